//! What the owner of a key is told about itself, through balance-sync: the gateway has no ledger.
//!
//! An answer is kept for each key and asked for again when it is older than [`FRESH_FOR`], so one key costs a node one question a
//! second however often its owner asks. While no node answers, the owner gets what is kept, with its age, for [`KEPT_FOR`].
//! Invariants: the key is looked up first each time, so that a revoked key gets nothing of what was kept for it.
//! Bounds: [`KEYS_MAX`] answers, [`QUESTIONS_MAX`] questions on their way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tollgate_proto::v1;
use tracing::warn;

use super::{Inner, RESOLVE_TIMEOUT};
use crate::admission::OwnQuestion;
use crate::caller_cache::{KeyHash, Look};
use crate::refusal::{Refusal, Refused};

mod json;

/// An answer this old is asked for again.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// An answer older than this is told to nobody.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Answers that are kept.
const KEYS_MAX: usize = 4_096;
/// Questions to balance-sync at a time.
const QUESTIONS_MAX: usize = 16;
/// How often a key is asked for that was not in memory.
const LOOKS_MAX: usize = 2;

/// Answers by key.
#[derive(Debug)]
pub(super) struct OwnCache {
    answers: Mutex<HashMap<KeyHash, Arc<Kept>>>,
    questions: Semaphore,
}

/// An answer, and when it was asked for, in monotonic time.
#[derive(Debug)]
struct Kept {
    own: v1::GetOwnResponse,
    asked_at: Duration,
}

/// Why no node answered.
enum Unanswered {
    /// The key does not work, says a node.
    NotWorking,
    /// None could be reached in time.
    Away,
}

// === impl OwnCache ===

impl Default for OwnCache {
    fn default() -> Self {
        Self { answers: Mutex::default(), questions: Semaphore::new(QUESTIONS_MAX) }
    }
}

impl OwnCache {
    fn get(&self, key: &KeyHash) -> Option<Arc<Kept>> {
        self.answers.lock().get(key).map(Arc::clone)
    }

    fn put(&self, key: KeyHash, kept: &Arc<Kept>) {
        let mut answers = self.answers.lock();
        if answers.len() >= KEYS_MAX {
            let newest = kept.asked_at;
            answers.retain(|_, other| newest.saturating_sub(other.asked_at) <= FRESH_FOR);
        }
        if answers.len() >= KEYS_MAX {
            answers.clear();
        }
        answers.insert(key, Arc::clone(kept));
    }

    fn forget(&self, key: &KeyHash) {
        self.answers.lock().remove(key);
    }
}

// === impl Inner ===

impl Inner {
    /// What the owner of `key` asks about itself, as JSON.
    pub(super) async fn own(
        self: &Arc<Self>,
        question: OwnQuestion,
        key: Option<&str>,
    ) -> Result<Bytes, Refused> {
        let key = key.ok_or(Refusal::KeyMissing)?;
        let key: KeyHash = Sha256::digest(key).into();
        if let Err(refusal) = self.check_owner(&key).await {
            self.own.forget(&key);
            return Err(refusal.into());
        }
        let kept = self.kept(key).await?;
        let age = self.clock.monotonic().saturating_sub(kept.asked_at);
        json::answer(question, &kept.own, age).ok_or_else(|| Refusal::BalanceUnknown.into())
    }

    /// Whether the key works, by what calls are decided on.
    async fn check_owner(self: &Arc<Self>, key: &KeyHash) -> Result<(), Refusal> {
        for _ in 0..LOOKS_MAX {
            let now = self.clock.monotonic();
            match self.callers.look(key, now) {
                Look::Known(known) => {
                    let service_time = self.wallets.books.service_time(now);
                    return known.caller.check(service_time.ok_or(Refusal::BalanceUnknown)?);
                }
                Look::Unknown => return Err(Refusal::KeyUnknown),
                Look::Missing => self.fetch_caller(*key).await?,
            }
        }
        Err(Refusal::CallerUnknown)
    }

    async fn kept(&self, key: KeyHash) -> Result<Arc<Kept>, Refusal> {
        let asked_at = self.clock.monotonic();
        let age = |kept: &Arc<Kept>| asked_at.saturating_sub(kept.asked_at);
        let kept = self.own.get(&key).filter(|kept| age(kept) <= KEPT_FOR);
        if let Some(fresh) = kept.as_ref().filter(|kept| age(kept) <= FRESH_FOR) {
            return Ok(Arc::clone(fresh));
        }
        let Ok(_permit) = self.own.questions.try_acquire() else {
            return kept.ok_or(Refusal::TooManyCalls);
        };
        match self.ask_own(&key).await {
            Ok(own) => {
                let kept = Arc::new(Kept { own, asked_at });
                self.own.put(key, &kept);
                Ok(kept)
            }
            Err(Unanswered::NotWorking) => {
                self.own.forget(&key);
                Err(Refusal::KeyNotApproved)
            }
            Err(Unanswered::Away) => kept.ok_or(Refusal::BalanceUnknown),
        }
    }

    /// The first answer of a node.
    async fn ask_own(&self, key: &KeyHash) -> Result<v1::GetOwnResponse, Unanswered> {
        let first = usize::from(key[0]) % self.clients.len().max(1);
        let (before, after) = self.clients.split_at(first.min(self.clients.len()));
        for client in after.iter().chain(before) {
            let request = v1::GetOwnRequest { key_sha256: key.to_vec() };
            match timeout(RESOLVE_TIMEOUT, client.own().get_own(request)).await {
                Ok(Ok(own)) => return Ok(own.into_inner()),
                Ok(Err(status)) if status.code() == tonic::Code::NotFound => {
                    return Err(Unanswered::NotWorking);
                }
                Ok(Err(status)) => {
                    let (address, error) = (client.address(), status.message());
                    warn!(address, code = ?status.code(), error, "an owner's question was not answered");
                }
                Err(_) => {
                    warn!(
                        address = client.address(),
                        "an owner's question was not answered in time"
                    );
                }
            }
        }
        Err(Unanswered::Away)
    }
}
