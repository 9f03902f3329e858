//! Documents and the log of their changes.

use std::time::Duration;

use rusqlite::{Connection, params};
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use super::accounts::limit_of;
use super::failure::Failure;
use super::rows;
use super::statements as sql;
use crate::documents::{Document, DocumentChange, DocumentKey, Put};

/// How long the log of changes is kept, an hour being promised.
const CHANGES_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// A document, if it is there.
pub(super) fn get(connection: &Connection, key: &DocumentKey) -> Result<Option<Document>, Failure> {
    let mut statement = connection.prepare_cached(sql::DOCUMENT)?;
    let mut found = statement.query([key.kind, &key.scope, &key.name])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let version = rows::count(row, 0, "a document's version")?;
    Ok(Some(Document { version, body: row.get(1)? }))
}

/// Documents by name.
pub(super) fn list(
    connection: &Connection,
    kind: &str,
    scope: &str,
    start: &str,
    limit: usize,
) -> Result<Vec<(String, Document)>, Failure> {
    let mut statement = connection.prepare_cached(sql::DOCUMENTS)?;
    let mut found = statement.query(params![kind, scope, start, limit_of(limit)])?;
    let mut documents = Vec::new();
    while let Some(row) = found.next()? {
        let version = rows::count(row, 1, "a document's version")?;
        documents.push((row.get(0)?, Document { version, body: row.get(2)? }));
    }
    Ok(documents)
}

/// Writes a document where the stored version is `expected`.
pub(super) fn put(
    connection: &Connection,
    key: &DocumentKey,
    expected: Option<u64>,
    body: &str,
    at: UnixMillis,
) -> Result<Put, Failure> {
    let DocumentKey { kind, scope, name } = key;
    let written = match expected {
        None => connection
            .prepare_cached(sql::INSERT_DOCUMENT)?
            .execute(params![kind, scope, name, body])?,
        Some(version) => {
            let version = rows::stored(version, "a document's version")?;
            let mut statement = connection.prepare_cached(sql::UPDATE_DOCUMENT)?;
            statement.execute(params![kind, scope, name, body, version])?
        }
    };
    log_write(connection, key, written, at)
}

/// Removes a document where the stored version is `expected`.
pub(super) fn delete(
    connection: &Connection,
    key: &DocumentKey,
    expected: u64,
    at: UnixMillis,
) -> Result<Put, Failure> {
    let version = rows::stored(expected, "a document's version")?;
    let written = connection
        .prepare_cached(sql::DELETE_DOCUMENT)?
        .execute(params![key.kind, key.scope, key.name, version])?;
    log_write(connection, key, written, at)
}

/// The log from `since` on.
pub(super) fn changes(
    connection: &Connection,
    since: UnixMillis,
) -> Result<Vec<DocumentChange>, Failure> {
    let mut statement = connection.prepare_cached(sql::CHANGES)?;
    let mut found = statement.query([since.0])?;
    let mut changes = Vec::new();
    while let Some(row) = found.next()? {
        changes.push(DocumentChange {
            at: UnixMillis(row.get(0)?),
            id: rows::text(row, 1, "a change's id")?,
            kind: row.get(2)?,
            scope: row.get(3)?,
            name: row.get(4)?,
        });
    }
    Ok(changes)
}

fn log_write(
    connection: &Connection,
    key: &DocumentKey,
    written: usize,
    at: UnixMillis,
) -> Result<Put, Failure> {
    if written == 0 {
        return Ok(Put::Conflict);
    }
    let id = Uuid::new_v4().to_string();
    connection
        .prepare_cached(sql::INSERT_CHANGE)?
        .execute(params![at.0, id, key.kind, key.scope, key.name])?;
    connection.prepare_cached(sql::FORGET_CHANGES)?.execute([at.minus(CHANGES_KEPT).0])?;
    Ok(Put::Written)
}
