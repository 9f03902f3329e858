//! Versioned documents: the storage under the catalogue.

use async_trait::async_trait;
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use crate::error::LedgerError;

/// Names a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    /// What it is: `developer`, `app`, `product` …
    pub kind: &'static str,
    /// What it belongs to, e.g. the organization, or organization and developer; one partition.
    pub scope: String,
    /// Its name within kind and scope; documents of one kind and scope list in this order.
    pub name: String,
}

/// A document as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Counts the writes, from 1.
    pub version: u64,
    /// JSON.
    pub body: String,
}

/// How a conditional write of a document ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Written.
    Written,
    /// Nothing written: the document has another version, or is there, or is not there.
    Conflict,
}

/// A line of the log of changes: which document changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentChange {
    /// Unique.
    pub id: Uuid,
    /// When, by the writer's clock.
    pub at: UnixMillis,
    /// `kind`, `scope` and `name` of the document.
    pub kind: String,
    /// See [`DocumentKey::scope`].
    pub scope: String,
    /// See [`DocumentKey::name`].
    pub name: String,
}

/// Stores documents. Errors as in [`crate::Ledger`].
#[async_trait]
pub trait DocumentStore: Send + Sync + 'static {
    /// The document, if it is there, read so that every write that was answered is seen.
    async fn get(&self, key: &DocumentKey) -> Result<Option<Document>, LedgerError>;

    /// Documents of a kind and scope by name, from `start` (included) on, at most `limit`.
    async fn list(
        &self,
        kind: &'static str,
        scope: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, LedgerError>;

    /// Writes a document whole, if it still has version `expected` (`None`: if it is not there),
    /// and appends to the log of changes at `at`.
    async fn put(
        &self,
        key: &DocumentKey,
        expected: Option<u64>,
        body: &str,
        at: UnixMillis,
    ) -> Result<Put, LedgerError>;

    /// Removes a document, if it still has version `expected`, and appends to the log.
    async fn delete(
        &self,
        key: &DocumentKey,
        expected: u64,
        at: UnixMillis,
    ) -> Result<Put, LedgerError>;

    /// The log of changes from `since` on (by the writers' clocks; at least the lines of the last
    /// hour are kept). Lines may appear late or twice: read with an overlap, compare ids.
    async fn changes(&self, since: UnixMillis) -> Result<Vec<DocumentChange>, LedgerError>;
}
