//! Which incarnations the ledger's registry holds: only their reports are taken.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tollgate_ledger_store::ledger::Registration;
use tollgate_ledger_store::{Ledger, LedgerError};
use tollgate_metering::{Incarnation, UnixMillis};
use uuid::Uuid;

use crate::node::Node;
use crate::refusal::chain;

/// The registry is read for an unknown incarnation at most so often.
const RELOAD_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is read again where strict wallets are in use.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The registry as this node last saw it.
#[derive(Default)]
pub(crate) struct Incarnations {
    seen: Mutex<Seen>,
    is_watched: AtomicBool,
}

#[derive(Default)]
struct Seen {
    born: HashMap<Uuid, UnixMillis>,
    ended: Arc<HashSet<Uuid>>,
    retired: HashSet<Uuid>,
    loaded_at: Option<Duration>,
}

/// Reads the registry again and again while anybody depends on who has ended or was retired.
pub(crate) async fn watch(node: Arc<Node>) {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        if node.incarnations.is_watched.swap(false, Ordering::Relaxed) {
            let now = node.clock.monotonic();
            if let Err(error) = node.incarnations.load(&node.ledger, now).await {
                tracing::warn!(error = chain(&error), "registry was not read");
            }
        }
    }
}

// === impl Incarnations ===

impl Incarnations {
    /// Enters an incarnation; one that is there keeps its birth.
    pub(crate) async fn register(
        &self,
        ledger: &Arc<dyn Ledger>,
        id: Uuid,
        gateway: &str,
        now: UnixMillis,
    ) -> Result<Incarnation, LedgerError> {
        let incarnation = ledger.register_incarnation(id, gateway, now).await?;
        self.seen.lock().born.insert(incarnation.id, incarnation.born);
        Ok(incarnation)
    }

    /// Whether the incarnation, with this birth, is in the registry.
    pub(crate) async fn has(
        &self,
        ledger: &Arc<dyn Ledger>,
        incarnation: Incarnation,
        now: Duration,
    ) -> Result<bool, LedgerError> {
        if let Some(answer) = self.seen(incarnation, now) {
            return Ok(answer);
        }
        self.load(ledger, now).await?;
        Ok(self.seen.lock().born.get(&incarnation.id) == Some(&incarnation.born))
    }

    async fn load(&self, ledger: &Arc<dyn Ledger>, now: Duration) -> Result<(), LedgerError> {
        let registrations = ledger.registrations().await?;
        let all = registrations.iter().map(|each| &each.incarnation);
        let born = all.map(|incarnation| (incarnation.id, incarnation.born)).collect();
        let ids = |is_so: fn(&Registration) -> bool| {
            registrations.iter().filter(move |each| is_so(each)).map(|each| each.incarnation.id)
        };
        let ended = Arc::new(ids(|each| each.ended_at.is_some()).collect());
        let retired = ids(|each| each.retired_at.is_some()).collect();
        *self.seen.lock() = Seen { born, ended, retired, loaded_at: Some(now) };
        Ok(())
    }

    /// Incarnations whose final report is durable, as far as is known.
    pub(crate) fn ended(&self) -> Arc<HashSet<Uuid>> {
        Arc::clone(&self.seen.lock().ended)
    }

    /// This node noted that the incarnation has ended.
    pub(crate) fn note_ended(&self, incarnation: Incarnation) {
        Arc::make_mut(&mut self.seen.lock().ended).insert(incarnation.id);
    }

    /// Whether a person retired the incarnation, as far as is known.
    pub(crate) fn is_retired(&self, incarnation: Incarnation) -> bool {
        self.seen.lock().retired.contains(&incarnation.id)
    }

    /// Somebody depends on who has ended or was retired.
    pub(crate) fn watch(&self) {
        self.is_watched.store(true, Ordering::Relaxed);
    }

    /// The ledger is another one.
    pub(crate) fn forget(&self) {
        *self.seen.lock() = Seen::default();
    }

    fn seen(&self, incarnation: Incarnation, now: Duration) -> Option<bool> {
        let seen = self.seen.lock();
        if let Some(born) = seen.born.get(&incarnation.id) {
            return Some(*born == incarnation.born);
        }
        let is_recent = |at: Duration| now.saturating_sub(at) < RELOAD_INTERVAL;
        seen.loaded_at.is_some_and(is_recent).then_some(false)
    }
}
