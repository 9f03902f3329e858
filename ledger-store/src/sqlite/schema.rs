//! Opens files: only ours, only versions that we know, set up the same way each time.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::failure::Failure;
use super::statements::{APPLICATION_ID, MIGRATIONS};
use crate::error::LedgerError;

/// How long a connection waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Attempts within [`BUSY_TIMEOUT`].
const BUSY_ATTEMPTS: u128 = BUSY_TIMEOUT.as_millis() / BUSY_PAUSE.as_millis();
/// Prepared statements a connection keeps; more than there are.
const STATEMENTS_MAX: usize = 64;

/// The newest schema.
fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("there are few migrations")
}

/// Opens the connection that writes; creates the file or brings its schema up to date.
pub(super) fn writer(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> Result<Connection, Failure> {
        let connection = connect(path, flags)?;
        // Looked at before anything is changed: a file that is not ours stays as it is.
        check(&connection, path)?;
        let mode = write_ahead(&connection)?;
        if !mode.eq_ignore_ascii_case("wal") {
            let detail = format!("{} cannot have a write-ahead log ({mode})", path.display());
            return Err(LedgerError::NotOurs { detail }.into());
        }
        connection.execute_batch("PRAGMA synchronous = FULL")?;
        migrate(&connection, path)?;
        Ok(connection)
    };
    open().map_err(|failure| opening(failure, path))
}

/// Asks for a write-ahead log and returns the mode that the file has then.
///
/// Two processes that open a new file at once both want to change its mode, and SQLite answers
/// that it is busy without waiting: each would wait for the other.
fn write_ahead(connection: &Connection) -> Result<String, rusqlite::Error> {
    let ask = || connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
    for _ in 1..BUSY_ATTEMPTS {
        match ask() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                std::thread::sleep(BUSY_PAUSE);
            }
            other => return other,
        }
    }
    ask()
}

/// Opens a connection that reads a file of the newest schema.
pub(super) fn reader(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(connect(path, flags)?)
}

/// Checks that a file can be read as it is, without changing it.
pub(super) fn check_readable(path: &Path) -> Result<(), LedgerError> {
    let read = || -> Result<(), Failure> {
        let found = check(&reader(path)?, path)?;
        if found != newest() {
            let detail = format!(
                "{} has schema {found}, which `tollgate standalone` brings to {}",
                path.display(),
                newest()
            );
            return Err(LedgerError::NotOurs { detail }.into());
        }
        Ok(())
    };
    read().map_err(|failure| opening(failure, path))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.execute_batch("PRAGMA trusted_schema = OFF")?;
    Ok(connection)
}

/// The schema version of a file that is ours, 0 of one that is empty.
fn check(connection: &Connection, path: &Path) -> Result<i64, Failure> {
    let pragma = |name| connection.query_row(name, [], |row| row.get::<_, i64>(0));
    // In this order, because another process may bring the file to life between two of them: tables
    // that are seen are never older than the id that is seen after them.
    let tables = pragma("SELECT count(*) FROM sqlite_schema")?;
    let version = pragma("PRAGMA user_version")?;
    let application = pragma("PRAGMA application_id")?;
    let path = path.display();
    if application == 0 && version == 0 && tables == 0 {
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) {
        let detail = format!("{path} is a database of another program (id {application:#x})");
        return Err(LedgerError::NotOurs { detail }.into());
    }
    if version > newest() {
        let known = newest();
        let detail = format!("{path} has schema {version}; this version knows up to {known}");
        return Err(LedgerError::NotOurs { detail }.into());
    }
    Ok(version)
}

/// Applies what is missing in one transaction; another process may do the same at the same time.
fn migrate(connection: &Connection, path: &Path) -> Result<(), Failure> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let found = check(connection, path)?;
    let done = usize::try_from(found).map_err(|error| Failure::corrupt("user_version", error))?;
    for migration in MIGRATIONS.iter().skip(done) {
        connection.execute_batch(migration)?;
    }
    connection.pragma_update(None, "user_version", newest())?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

fn opening(failure: Failure, path: &Path) -> LedgerError {
    match failure {
        Failure::Sql(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            LedgerError::NotOurs { detail: format!("{} is not a database", path.display()) }
        }
        Failure::Sql(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
            LedgerError::NotOurs { detail: format!("{}: {error}", path.display()) }
        }
        other => other.not_applied("open the file"),
    }
}
