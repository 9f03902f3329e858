//! Documents and the log of their changes.
//!
//! A document is written under a condition on its version; the line in the log follows. Between
//! the two a node may die and the line be lost: who caches documents therefore has a limit on
//! their age as well, which bounds how long such a change can go unseen. A caller that goes away
//! does not lose the line: the writes are a task of their own.

use std::sync::Arc;

use scylla::value::CqlTimestamp;
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use super::cluster::Cluster;
use super::contention::{Attempt, Settled, write_settled};
use super::outcome;
use super::values::{bigint, corrupt, count, required, time, timestamp};
use crate::documents::{Document, DocumentChange, DocumentKey, Put};
use crate::error::LedgerError;

/// What errors call a document.
const WHAT: &str = "a document";

/// Milliseconds of a partition of the log.
const HOUR_MS: i64 = 3_600_000;

/// Hours of the log that are read at most: it keeps its lines for a day.
const HOURS_MAX: i64 = 25;

/// How often a line of the log is tried.
const LINE_ATTEMPTS: usize = 3;

/// A conditional write of a document.
#[derive(Debug)]
pub(super) enum Write {
    /// Writes it, if it is not there.
    Insert(String),
    /// Writes it, if it has this version.
    Update(u64, String),
    /// Removes it, if it has this version.
    Delete(u64),
}

/// A document that is being written.
struct WriteAttempt<'a> {
    cluster: &'a Cluster,
    key: &'a DocumentKey,
    write: &'a Write,
}

#[derive(Debug, scylla::DeserializeRow)]
struct DocumentRow {
    name: String,
    version: Option<i64>,
    body: Option<String>,
}

#[derive(Debug, scylla::SerializeRow)]
struct ChangeValues<'a> {
    hour: i64,
    changed_at: CqlTimestamp,
    id: Uuid,
    kind: &'a str,
    scope: &'a str,
    name: &'a str,
}

#[derive(Debug, scylla::DeserializeRow)]
struct ChangeRow {
    changed_at: CqlTimestamp,
    id: Uuid,
    kind: Option<String>,
    scope: Option<String>,
    name: Option<String>,
}

/// The document, if it is there.
pub(super) async fn get(
    cluster: &Cluster,
    key: &DocumentKey,
) -> Result<Option<Document>, LedgerError> {
    let values = (key.kind, key.scope.as_str(), key.name.as_str());
    let rows: Vec<DocumentRow> = cluster.rows(&cluster.statements.document_read, values).await?;
    match rows.into_iter().next() {
        Some(row) => row.document().map(|(_, document)| Some(document)),
        None => Ok(None),
    }
}

/// Documents of a kind and scope by name.
pub(super) async fn list(
    cluster: &Cluster,
    kind: &'static str,
    scope: &str,
    start: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Document)>, LedgerError> {
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let values = (kind, scope, start.unwrap_or(""), limit);
    let rows: Vec<DocumentRow> =
        cluster.paged_rows(&cluster.statements.document_list, values).await?;
    rows.into_iter().map(DocumentRow::document).collect()
}

/// Writes or removes a document and appends to the log.
pub(super) async fn put(
    cluster: Arc<Cluster>,
    key: DocumentKey,
    write: Write,
    at: UnixMillis,
) -> Result<Put, LedgerError> {
    let work = tokio::spawn(async move {
        let attempted = WriteAttempt { cluster: &cluster, key: &key, write: &write };
        let is_applied = write_settled(&attempted).await;
        let outcome = is_applied.map(|is| if is { Put::Written } else { Put::Conflict });
        // A line too many only makes somebody read again; where the outcome is unknown it may be
        // the line that is needed.
        if matches!(outcome, Ok(Put::Written) | Err(LedgerError::Unknown { .. })) {
            append(&cluster, &key, at).await;
        }
        outcome
    });
    work.await.unwrap_or_else(|error| {
        Err(LedgerError::Unknown { what: "write a document", source: Box::new(error) })
    })
}

/// Lines of the log from `since` on; `now` is the ledger's time.
pub(super) async fn changes(
    cluster: &Cluster,
    since: UnixMillis,
    now: UnixMillis,
) -> Result<Vec<DocumentChange>, LedgerError> {
    // The writers' clocks may be ahead.
    let last = now.0.max(since.0).div_euclid(HOUR_MS).saturating_add(1);
    let first = since.0.div_euclid(HOUR_MS).max(last.saturating_sub(HOURS_MAX));
    let mut changes = Vec::new();
    for hour in first..=last {
        let from = (hour, timestamp(since));
        let rows: Vec<ChangeRow> =
            cluster.paged_rows(&cluster.statements.changes_read, from).await?;
        changes.extend(rows.into_iter().filter_map(ChangeRow::change));
    }
    Ok(changes)
}

/// Appends a line, the same at each attempt. That it cannot be appended does not undo the write:
/// readers then see the change when their copy gets too old.
async fn append(cluster: &Cluster, key: &DocumentKey, at: UnixMillis) {
    let values = ChangeValues {
        hour: at.0.div_euclid(HOUR_MS),
        changed_at: timestamp(at),
        id: Uuid::new_v4(),
        kind: key.kind,
        scope: &key.scope,
        name: &key.name,
    };
    for attempt in 1..=LINE_ATTEMPTS {
        match cluster.write(&cluster.statements.change_write, &values).await {
            Ok(()) => return,
            Err(error) if attempt == LINE_ATTEMPTS => {
                let source = outcome::chain(&error);
                tracing::error!(kind = key.kind, error = %source, "change was not announced");
            }
            Err(_) => {}
        }
    }
}

// === impl Write ===

impl Write {
    /// What a linearizable read of the document says about this write. A version is written once,
    /// unless the document was removed and made again, which shows as a lower one.
    fn settled(&self, found: Option<Document>) -> Settled {
        let (expected, body) = match self {
            Write::Insert(body) => (0, Some(body)),
            Write::Update(expected, body) => (*expected, Some(body)),
            Write::Delete(expected) => (*expected, None),
        };
        let version = found.as_ref().map_or(0, |document| document.version);
        if version == expected {
            return Settled::Open;
        }
        match (body, found) {
            (Some(body), Some(found)) if version == expected + 1 => {
                if found.body == *body {
                    Settled::Applied
                } else {
                    Settled::Refused
                }
            }
            (None, Some(_)) if version == expected + 1 => Settled::Refused,
            _ => Settled::Unclear,
        }
    }
}

// === impl WriteAttempt ===

impl Attempt for WriteAttempt<'_> {
    async fn write(&self) -> Result<bool, LedgerError> {
        let (cluster, statements) = (self.cluster, &self.cluster.statements);
        let (kind, scope, name) = (self.key.kind, self.key.scope.as_str(), self.key.name.as_str());
        match self.write {
            Write::Insert(body) => {
                cluster.write_if(&statements.document_insert, (kind, scope, name, body)).await
            }
            Write::Update(expected, body) => {
                let (expected, next) = (bigint(WHAT, *expected)?, bigint(WHAT, *expected + 1)?);
                let values = (next, body, kind, scope, name, expected);
                cluster.write_if(&statements.document_update, values).await
            }
            Write::Delete(expected) => {
                let values = (kind, scope, name, bigint(WHAT, *expected)?);
                cluster.write_if(&statements.document_delete, values).await
            }
        }
    }

    async fn look(&self) -> Result<Settled, LedgerError> {
        let key = (self.key.kind, self.key.scope.as_str(), self.key.name.as_str());
        let settle = &self.cluster.statements.document_settle;
        let rows: Vec<DocumentRow> = self.cluster.serial_rows(settle, key).await?;
        let found = rows.into_iter().next().map(DocumentRow::document).transpose()?;
        Ok(self.write.settled(found.map(|(_, document)| document)))
    }
}

// === impl DocumentRow ===

impl DocumentRow {
    fn document(self) -> Result<(String, Document), LedgerError> {
        let version = count(WHAT, required(WHAT, "version", self.version)?)?;
        let body = required(WHAT, "body", self.body)?;
        if version == 0 {
            return Err(corrupt(WHAT, "version 0"));
        }
        Ok((self.name, Document { version, body }))
    }
}

// === impl ChangeRow ===

impl ChangeRow {
    fn change(self) -> Option<DocumentChange> {
        Some(DocumentChange {
            id: self.id,
            at: time(self.changed_at),
            kind: self.kind?,
            scope: self.scope?,
            name: self.name?,
        })
    }
}
