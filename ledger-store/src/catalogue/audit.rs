//! The audit log: who changed what, from what to what.
//!
//! An entry is written before the change, as begun, and completed after it: so there is no change
//! without an entry, and one whose entry was never completed is known as that. Entries are documents
//! that nothing else reads; ten minutes of an organization are one scope, which bounds a partition,
//! and the scopes that have entries are documents too, so that a reader skips what is empty.
//! Bounds: [`VALUE_BYTES_MAX`] of what was there before and after; [`SCANNED_MAX`] entries are looked
//! at for one page.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use super::Catalogue;
use super::error::CatalogueError;
use super::store::{AUDIT, AUDIT_BUCKET, audit_bucket_key, audit_key, audit_scope};
use super::text;

/// Milliseconds of one scope.
const BUCKET_MS: i64 = 600_000;

/// Most bytes of JSON that are kept of what was before, and of what was after.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Most entries that are looked at for one page.
pub const SCANNED_MAX: usize = 5_000;

/// Scopes that are known to be noted; forgotten when they are more.
const NOTED_MAX: usize = 10_000;

/// Entries of changes that belong to no organization are under this name; no organization has it.
pub const NO_ORGANIZATION: &str = "-";

/// A change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The id of the request.
    pub request: String,
    /// When it began.
    #[serde(with = "text::millis")]
    pub at: UnixMillis,
    /// The name of the token, or of the command.
    pub actor: String,
    /// What he was.
    pub role: String,
    /// What was done: the method, or the command.
    pub method: String,
    /// To what: path and query.
    pub resource: String,
    /// As it was shown before; null where there was nothing.
    pub before: Value,
    /// As it was shown afterwards; null where there was nothing.
    pub after: Value,
    /// How it ended; `None` where that was never written: it may or may not have been done.
    pub outcome: Option<Outcome>,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The status that was answered.
    pub status: u16,
}

/// An entry that was begun, to be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditKey {
    organization: String,
    name: String,
}

/// What is looked for; all of it has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// From then on.
    pub from: Option<UnixMillis>,
    /// Until then, excluded.
    pub until: Option<UnixMillis>,
    /// What the resource begins with, below the organization.
    pub resource: Option<String>,
    /// Who.
    pub actor: Option<String>,
}

/// One page of the log, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditPage {
    /// What fits, each with its name.
    pub entries: Vec<(String, AuditEntry)>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// The scopes that this process noted, and how many entries it began.
#[derive(Debug, Default)]
pub(super) struct Noted {
    scopes: Mutex<HashSet<(String, i64)>>,
    begun: AtomicU64,
}

// === impl AuditFilter ===

impl AuditFilter {
    fn takes(&self, entry: &AuditEntry) -> bool {
        self.from.is_none_or(|from| entry.at >= from)
            && self.until.is_none_or(|until| entry.at < until)
            && self.actor.as_ref().is_none_or(|actor| entry.actor == *actor)
            && self.resource.as_ref().is_none_or(|part| entry.resource.contains(part.as_str()))
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// Begins an entry of an organization; the change follows only where this succeeds.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_audit(
        &self,
        organization: &str,
        entry: &AuditEntry,
    ) -> Result<AuditKey, CatalogueError> {
        let bucket = entry.at.0.div_euclid(BUCKET_MS);
        self.note_bucket(organization, bucket, entry.at).await?;
        // Of one millisecond in the order of this process.
        let place = self.noted.begun.fetch_add(1, Ordering::Relaxed);
        let name = format!("{:013}-{place:012}-{}", entry.at.0, Uuid::new_v4().simple());
        let entry = AuditEntry { before: bounded(&entry.before), ..entry.clone() };
        self.insert(&audit_key(organization, bucket, &name), &entry, entry.at).await?;
        Ok(AuditKey { organization: organization.to_owned(), name })
    }

    /// Completes an entry.
    ///
    /// # Errors
    /// The store's; the change is done, and its entry stays begun.
    pub async fn finish_audit(
        &self,
        key: &AuditKey,
        after: &Value,
        outcome: Outcome,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let bucket = bucket_of(&key.name).unwrap_or_default();
        let at = audit_key(&key.organization, bucket, &key.name);
        self.edit(&at, now, |entry: &mut AuditEntry| {
            entry.after = bounded(after);
            entry.outcome = Some(outcome);
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// One page of an organization's log: at most `limit` entries from `start` on, included.
    ///
    /// # Errors
    /// The store's.
    pub async fn audit(
        &self,
        organization: &str,
        filter: &AuditFilter,
        start: Option<&str>,
        limit: usize,
    ) -> Result<AuditPage, CatalogueError> {
        let of = |at: UnixMillis| at.0.div_euclid(BUCKET_MS);
        let first = start.and_then(bucket_of).unwrap_or(i64::MIN).max(filter.from.map_or(0, of));
        let (mut bucket, mut scanned, mut entries) = (first, 0, Vec::new());
        let mut from = start.map(str::to_owned);
        loop {
            // The next scope that has entries.
            let name = format!("{:010}", bucket.max(0));
            let next = self.page::<()>(AUDIT_BUCKET, organization, Some(&name), 1).await?;
            let next = next.first().and_then(|(name, ())| name.parse().ok());
            match next {
                Some(next) if filter.until.is_none_or(|until| next <= of(until)) => bucket = next,
                Some(_) | None => return Ok(AuditPage { entries, next: None }),
            }
            let scope = audit_scope(organization, bucket);
            loop {
                let page = self.page(AUDIT, &scope, from.as_deref(), PAGE).await?;
                let is_last = page.len() < PAGE;
                for (name, entry) in page {
                    if entries.len() >= limit || scanned >= SCANNED_MAX {
                        return Ok(AuditPage { entries, next: Some(name) });
                    }
                    scanned += 1;
                    // The least name after this one.
                    from = Some(format!("{name}\u{0}"));
                    if filter.takes(&entry) {
                        entries.push((name, entry));
                    }
                }
                if is_last {
                    break;
                }
            }
            (bucket, from) = (bucket + 1, None);
        }
    }

    /// Notes that a scope has entries, before its first.
    async fn note_bucket(
        &self,
        organization: &str,
        bucket: i64,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let known = (organization.to_owned(), bucket);
        let noted = || self.noted.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if noted().contains(&known) {
            return Ok(());
        }
        // One that is there is noted already.
        self.insert(&audit_bucket_key(organization, bucket), &(), now).await?;
        let mut noted = noted();
        if noted.len() >= NOTED_MAX {
            noted.clear();
        }
        noted.insert(known);
        Ok(())
    }
}

/// Entries that one read of a scope asks for.
const PAGE: usize = 500;

fn bucket_of(name: &str) -> Option<i64> {
    let at: i64 = name.get(..13)?.parse().ok()?;
    Some(at.div_euclid(BUCKET_MS))
}

/// A value, or how large it was.
fn bounded(value: &Value) -> Value {
    let bytes = value.to_string().len();
    if bytes > VALUE_BYTES_MAX { json!({ "omitted_bytes": bytes }) } else { value.clone() }
}
