//! Typed records as versioned documents of the ledger's store.
//!
//! Every write names the version that it was computed from, so of two nodes that work on one record
//! one wins and the other begins again. A kind is a constant of the module that owns the record and
//! begins with [`KIND_PREFIX`], by which balance-sync knows that gateways need not hear of it.
//! Not here: the order in which records are written (each module).

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tollgate_ledger_store::{DocumentKey, DocumentStore, LedgerError, Put};
use tollgate_metering::UnixMillis;

use crate::error::BillingError;

/// How often a read-change-write is begun again when somebody else was faster.
const ATTEMPTS: usize = 16;

/// How many documents one page of a whole listing asks for.
const PAGE: usize = 500;

/// A record with the version that a conditional write of it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// Counts the writes, from 1.
    pub version: u64,
    /// What is stored.
    pub record: T,
}

/// Reads and writes records. Cheap to clone.
#[derive(Clone)]
pub struct Records {
    documents: Arc<dyn DocumentStore>,
}

/// Begins every kind of billing's records.
pub use tollgate_ledger_store::catalogue::forget::BILLING_PREFIX as KIND_PREFIX;

/// Names a record: one partition a kind and scope, which lists in the order of names.
pub fn key(kind: &'static str, scope: impl ToString, name: impl ToString) -> DocumentKey {
    // Gateways forget everything that they know at a change of a kind that is unknown.
    debug_assert!(kind.starts_with(KIND_PREFIX), "kind {kind:?} must begin with {KIND_PREFIX:?}");
    DocumentKey { kind, scope: scope.to_string(), name: name.to_string() }
}

// === impl Records ===

impl Records {
    /// Records in this store.
    #[must_use]
    pub fn new(documents: Arc<dyn DocumentStore>) -> Records {
        Records { documents }
    }

    /// The record, if it is there.
    ///
    /// # Errors
    /// The store's; `Corrupt` where it cannot be read.
    pub async fn load<T: DeserializeOwned>(
        &self,
        key: &DocumentKey,
    ) -> Result<Option<Stored<T>>, BillingError> {
        let Some(document) = self.documents.get(key).await? else { return Ok(None) };
        let record = read(key.kind, &key.name, &document.body)?;
        Ok(Some(Stored { version: document.version, record }))
    }

    /// Writes a record that is not there yet.
    ///
    /// # Errors
    /// The store's.
    pub async fn insert<T: Serialize>(
        &self,
        key: &DocumentKey,
        record: &T,
        now: UnixMillis,
    ) -> Result<Put, BillingError> {
        Ok(self.documents.put(key, None, &write(key.kind, record)?, now).await?)
    }

    /// Writes a record over the version that it was computed from.
    ///
    /// # Errors
    /// The store's.
    pub async fn replace<T: Serialize>(
        &self,
        key: &DocumentKey,
        version: u64,
        record: &T,
        now: UnixMillis,
    ) -> Result<Put, BillingError> {
        Ok(self.documents.put(key, Some(version), &write(key.kind, record)?, now).await?)
    }

    /// Reads, changes and writes a record, again from the start where somebody else was faster.
    /// `None` if it is not there. A `change` that fails writes nothing.
    ///
    /// # Errors
    /// Those of `change`; `Contended`; the store's.
    pub async fn edit<T, R>(
        &self,
        key: &DocumentKey,
        now: UnixMillis,
        mut change: impl FnMut(&mut T) -> Result<R, BillingError>,
    ) -> Result<Option<(T, R)>, BillingError>
    where
        T: Serialize + DeserializeOwned,
    {
        for _ in 0..ATTEMPTS {
            let Some(mut stored) = self.load::<T>(key).await? else { return Ok(None) };
            let result = change(&mut stored.record)?;
            match self.replace(key, stored.version, &stored.record, now).await? {
                Put::Written => return Ok(Some((stored.record, result))),
                Put::Conflict => {}
            }
        }
        Err(BillingError::Contended { what: key.kind })
    }

    /// Removes a record, if it still has this version.
    ///
    /// # Errors
    /// The store's.
    pub async fn delete(
        &self,
        key: &DocumentKey,
        version: u64,
        now: UnixMillis,
    ) -> Result<Put, BillingError> {
        Ok(self.documents.delete(key, version, now).await?)
    }

    /// Removes a record whatever its version; one that is not there is removed already.
    ///
    /// # Errors
    /// `Contended`; the store's.
    pub async fn remove(&self, key: &DocumentKey, now: UnixMillis) -> Result<(), BillingError> {
        for _ in 0..ATTEMPTS {
            let Some(document) = self.documents.get(key).await? else { return Ok(()) };
            match self.documents.delete(key, document.version, now).await? {
                Put::Written => return Ok(()),
                Put::Conflict => {}
            }
        }
        Err(BillingError::Contended { what: key.kind })
    }

    /// Records of a kind and scope by name, from `start` (included) on, at most `limit`.
    ///
    /// # Errors
    /// The store's; `Corrupt`.
    pub async fn page<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        scope: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Stored<T>)>, BillingError> {
        let mut records = Vec::new();
        for (name, document) in self.documents.list(kind, scope, start, limit).await? {
            let record = read(kind, &name, &document.body)?;
            records.push((name, Stored { version: document.version, record }));
        }
        Ok(records)
    }

    /// A whole listing, page by page.
    ///
    /// # Errors
    /// As [`Records::page`].
    pub async fn all<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        scope: &str,
    ) -> Result<Vec<(String, Stored<T>)>, BillingError> {
        let mut records: Vec<(String, Stored<T>)> = Vec::new();
        loop {
            let last = records.last().map(|(name, _)| name.clone());
            let mut page = self.page(kind, scope, last.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            // A page begins with the name it starts from, which the page before ended with.
            if last.is_some() && page.first().map(|(name, _)| name) == last.as_ref() {
                page.remove(0);
            }
            records.append(&mut page);
            if is_last {
                return Ok(records);
            }
        }
    }
}

fn write<T: Serialize>(kind: &'static str, record: &T) -> Result<String, BillingError> {
    serde_json::to_string(record).map_err(|error| {
        BillingError::Ledger(LedgerError::Corrupt { what: kind, detail: error.to_string() })
    })
}

fn read<T: DeserializeOwned>(
    kind: &'static str,
    name: &str,
    body: &str,
) -> Result<T, BillingError> {
    serde_json::from_str(body).map_err(|error| {
        let detail = format!("{name}: {error}");
        BillingError::Ledger(LedgerError::Corrupt { what: kind, detail })
    })
}
