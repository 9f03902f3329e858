//! The ledger in one SQLite file: the embedded default, because operators can look into it with
//! ordinary tools.
//!
//! One thread writes, with group commit (`writer`); a few connections read beside it
//! (`readers`). The file is in WAL mode with `synchronous = FULL`: an answered write survives a
//! power cut. Several processes may share one file on one machine; each waits up to five seconds
//! for another's commit.
//!
//! Invariants: every string of SQL is in `statements.rs`; a file that is not ours, or of a newer
//! version, is refused before anything in it is changed; a full disk or a locked file is an
//! error of the requests that met it, leaves nothing half done and needs no restart.
//! Not here: which rows there must be (`metering`), retries (`book`).

mod accounts;
mod documents;
mod failure;
mod files;
mod readers;
mod registers;
mod rows;
mod schema;
mod statements;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use tollgate_metering::{Change, DeveloperId, Entry, Header, Incarnation, UnixMillis, WalletId};
use uuid::Uuid;

use self::failure::Failure;
pub use self::files::{newest_generation, path_of, restore};
use self::readers::Readers;
use self::writer::Writer;
use crate::clock::{Clock, SystemClock};
use crate::documents::{Document, DocumentChange, DocumentKey, DocumentStore, Put};
use crate::error::LedgerError;
use crate::ledger::{
    Commit, HoldWrite, Ledger, RegisterWrite, Registration, Suspense, UsageWrite, WalletRead,
};
use crate::metrics::{LedgerMetrics, Operation};

/// Registers in one transaction of the writer, so that other requests get their turn.
const REGISTERS_PER_REQUEST: usize = 1_000;

/// A ledger in a SQLite file.
///
/// Dropped, it blocks until the requests that were queued are written.
pub struct SqliteLedger {
    readers: Readers,
    /// None where the file was opened to read only.
    writer: Option<Writer>,
    clock: Arc<dyn Clock>,
    metrics: LedgerMetrics,
}

// === impl SqliteLedger ===

impl SqliteLedger {
    /// Opens a ledger file, creating it where there is none.
    ///
    /// # Errors
    /// [`LedgerError::NotOurs`] with the file's name where it is no ledger that this version
    /// knows, [`LedgerError::Unavailable`] where it cannot be read or written now.
    pub fn open(path: &Path, metrics: LedgerMetrics) -> Result<SqliteLedger, LedgerError> {
        SqliteLedger::open_with_clock(path, metrics, Arc::new(SystemClock::start()))
    }

    /// Opens a ledger file with another clock than the system's.
    ///
    /// # Errors
    /// As [`SqliteLedger::open`].
    pub fn open_with_clock(
        path: &Path,
        metrics: LedgerMetrics,
        clock: Arc<dyn Clock>,
    ) -> Result<SqliteLedger, LedgerError> {
        let connection = schema::writer(path)?;
        let writer = Writer::start(connection, Arc::clone(&clock)).map_err(|error| {
            LedgerError::Unavailable { what: "start the writer", source: Box::new(error) }
        })?;
        let readers = Readers::new(path.to_owned());
        Ok(SqliteLedger { readers, writer: Some(writer), clock, metrics })
    }

    /// Opens a ledger file for tools that only look: nothing in it changes, and every write
    /// fails with [`LedgerError::Unavailable`].
    ///
    /// # Errors
    /// As [`SqliteLedger::open`]; also where the file has an older schema.
    pub fn open_read_only(
        path: &Path,
        metrics: LedgerMetrics,
    ) -> Result<SqliteLedger, LedgerError> {
        schema::check_readable(path)?;
        let clock = Arc::new(SystemClock::start());
        Ok(SqliteLedger { readers: Readers::new(path.to_owned()), writer: None, clock, metrics })
    }

    /// Copies the ledger as it is now to a new file: a backup that [`restore`] takes.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] where `target` is there already or cannot be written.
    pub async fn back_up(&self, target: &Path) -> Result<(), LedgerError> {
        let target = target.to_string_lossy().into_owned();
        let copy = move |connection: &Connection| {
            connection.execute("VACUUM INTO ?1", [&target])?;
            Ok(())
        };
        self.readers.read_outside_transaction("back up", copy).await
    }

    /// Lets the file grow to at most `pages` pages from now on; past them writes fail as on a
    /// full disk until it is raised.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn limit_pages(&self, pages: u32) -> Result<(), LedgerError> {
        self.write(Operation::Meta, "limit the file", move |connection| {
            let pragma = format!("PRAGMA max_page_count = {pages}");
            connection.query_row(&pragma, [], |_| Ok(()))?;
            Ok(())
        })
        .await
    }

    async fn read_only<T: Send + 'static>(
        &self,
        operation: Operation,
        what: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.metrics.record(operation, self.readers.read(what, work)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: Operation,
        what: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let write = async {
            match &self.writer {
                Some(writer) => writer.write(what, work).await,
                None => {
                    let source = Box::new(std::io::Error::other("file was opened to read only"));
                    Err(LedgerError::Unavailable { what, source })
                }
            }
        };
        self.metrics.record(operation, write).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn generation(&self) -> Result<u32, LedgerError> {
        self.read_only(Operation::Meta, "read the generation", accounts::generation).await
    }

    /// The system's clock, but never before the latest time that was seen: after the clock was
    /// set back, this one is ahead of it, and nodes notice that they are off.
    /// A clock that had once been ahead leaves its mark: when that is mended, an operator lowers
    /// `clock_high_ms` in the table `meta`.
    async fn clock(&self) -> Result<UnixMillis, LedgerError> {
        let mark = self.read_only(Operation::Meta, "read the clock", accounts::clock_mark).await?;
        Ok(self.clock.now().max(mark))
    }

    async fn read(&self, wallet: WalletId) -> Result<Option<WalletRead>, LedgerError> {
        let read = move |connection: &Connection| registers::wallet(connection, wallet);
        self.read_only(Operation::Read, "read a wallet", read).await
    }

    async fn wallets_of(&self, developer: DeveloperId) -> Result<Vec<Header>, LedgerError> {
        let read = move |connection: &Connection| accounts::wallets_of(connection, developer);
        self.read_only(Operation::Read, "read wallets", read).await
    }

    async fn list(
        &self,
        after: Option<WalletId>,
        limit: usize,
    ) -> Result<Vec<WalletId>, LedgerError> {
        let read = move |connection: &Connection| accounts::list(connection, after, limit);
        self.read_only(Operation::Read, "list wallets", read).await
    }

    async fn commit(&self, change: &Change) -> Result<Commit, LedgerError> {
        let change = change.clone();
        let write = move |connection: &Connection| accounts::commit(connection, &change);
        self.write(Operation::Commit, "commit a change", write).await
    }

    async fn entry(&self, developer: DeveloperId, id: &str) -> Result<Option<Entry>, LedgerError> {
        let id = id.to_owned();
        let read = move |connection: &Connection| accounts::entry(connection, developer, &id);
        self.read_only(Operation::Entries, "read an entry", read).await
    }

    async fn entries(
        &self,
        developer: DeveloperId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        let after = after.unwrap_or_default().to_owned();
        let read =
            move |connection: &Connection| accounts::entries(connection, developer, &after, limit);
        self.read_only(Operation::Entries, "read entries", read).await
    }

    /// Rows of one transaction succeed or fail together, except a row that cannot be stored at
    /// all, which fails alone.
    async fn write_registers(&self, writes: &[RegisterWrite]) -> Vec<Result<(), LedgerError>> {
        let mut answers = Vec::with_capacity(writes.len());
        for rows in writes.chunks(REGISTERS_PER_REQUEST) {
            answers.extend(self.write_register_rows(rows).await);
        }
        answers
    }

    async fn write_holds(&self, writes: &[HoldWrite]) -> Result<(), LedgerError> {
        let writes = writes.to_vec();
        let write = move |connection: &Connection| registers::write_holds(connection, &writes);
        self.write(Operation::WriteHolds, "write holds", write).await
    }

    async fn write_usage(&self, writes: &[UsageWrite]) -> Result<(), LedgerError> {
        let writes = writes.to_vec();
        let write = move |connection: &Connection| registers::write_usage(connection, &writes);
        self.write(Operation::WriteUsage, "write usage", write).await
    }

    async fn usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        let read = move |connection: &Connection| registers::usage(connection, wallet, from, to);
        self.read_only(Operation::Usage, "read usage", read).await
    }

    async fn daily_usage(
        &self,
        wallet: WalletId,
        from: i64,
        to: i64,
    ) -> Result<Vec<UsageWrite>, LedgerError> {
        let read =
            move |connection: &Connection| registers::daily_usage(connection, wallet, from, to);
        self.read_only(Operation::Usage, "read daily usage", read).await
    }

    async fn purge(&self, wallet: WalletId, horizon: UnixMillis) -> Result<(), LedgerError> {
        let write = move |connection: &Connection| registers::purge(connection, wallet, horizon);
        self.write(Operation::Purge, "purge a wallet", write).await
    }

    async fn register_incarnation(
        &self,
        id: Uuid,
        gateway: &str,
        born: UnixMillis,
    ) -> Result<Incarnation, LedgerError> {
        let gateway = gateway.to_owned();
        let write = move |connection: &Connection| {
            registers::register_incarnation(connection, id, &gateway, born)
        };
        self.write(Operation::Registry, "register an incarnation", write).await
    }

    async fn registrations(&self) -> Result<Vec<Registration>, LedgerError> {
        let read = registers::registrations;
        self.read_only(Operation::Registry, "read the registry", read).await
    }

    async fn end_incarnation(&self, registration: &Registration) -> Result<(), LedgerError> {
        let ended = registration.clone();
        let write = move |connection: &Connection| registers::end_incarnation(connection, &ended);
        self.write(Operation::Registry, "end an incarnation", write).await
    }

    async fn write_suspense(&self, writes: &[Suspense]) -> Result<(), LedgerError> {
        let writes = writes.to_vec();
        let write = move |connection: &Connection| registers::write_suspense(connection, &writes);
        self.write(Operation::Suspense, "write suspense", write).await
    }

    async fn suspense(&self, wallet: WalletId) -> Result<Vec<Suspense>, LedgerError> {
        let read = move |connection: &Connection| registers::suspense(connection, wallet);
        self.read_only(Operation::Suspense, "read suspense", read).await
    }
}

impl SqliteLedger {
    async fn write_register_rows(&self, rows: &[RegisterWrite]) -> Vec<Result<(), LedgerError>> {
        let refused = |row: &RegisterWrite| {
            let detail = row.units.register().err()?.to_string();
            Some(LedgerError::Corrupt { what: "a register", detail })
        };
        let good: Vec<RegisterWrite> =
            rows.iter().filter(|row| refused(row).is_none()).copied().collect();
        let what = "write registers";
        let write = move |connection: &Connection| {
            good.iter().try_for_each(|row| registers::write_register(connection, row))
        };
        let outcome = self.write(Operation::WriteRegisters, what, write).await;
        let answer = |row: &RegisterWrite| match (refused(row), &outcome) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(()),
            (None, Err(error)) => Err(failure::alike(what, error)),
        };
        rows.iter().map(answer).collect()
    }
}

#[async_trait]
impl DocumentStore for SqliteLedger {
    async fn get(&self, key: &DocumentKey) -> Result<Option<Document>, LedgerError> {
        let key = key.clone();
        let read = move |connection: &Connection| documents::get(connection, &key);
        self.read_only(Operation::Documents, "read a document", read).await
    }

    async fn list(
        &self,
        kind: &'static str,
        scope: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, LedgerError> {
        let (scope, start) = (scope.to_owned(), start.unwrap_or_default().to_owned());
        let read =
            move |connection: &Connection| documents::list(connection, kind, &scope, &start, limit);
        self.read_only(Operation::Documents, "list documents", read).await
    }

    async fn put(
        &self,
        key: &DocumentKey,
        expected: Option<u64>,
        body: &str,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        let (key, body) = (key.clone(), body.to_owned());
        let write =
            move |connection: &Connection| documents::put(connection, &key, expected, &body, at);
        self.write(Operation::PutDocument, "write a document", write).await
    }

    async fn delete(
        &self,
        key: &DocumentKey,
        expected: u64,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        let key = key.clone();
        let write =
            move |connection: &Connection| documents::delete(connection, &key, expected, at);
        self.write(Operation::PutDocument, "remove a document", write).await
    }

    async fn changes(&self, since: UnixMillis) -> Result<Vec<DocumentChange>, LedgerError> {
        let read = move |connection: &Connection| documents::changes(connection, since);
        self.read_only(Operation::Documents, "read changes", read).await
    }
}
