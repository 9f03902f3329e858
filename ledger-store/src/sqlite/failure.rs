//! What went wrong inside a piece of work, before it is known whether the work was applied.

use rusqlite::ErrorCode;

use crate::error::LedgerError;

/// Why a piece of work on a connection stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// SQLite said so.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// The ledger's own rules said so.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

// === impl Failure ===

impl Failure {
    /// A stored value that cannot be read, or one that cannot be stored.
    pub(super) fn corrupt(what: &'static str, detail: impl ToString) -> Failure {
        Failure::Ledger(LedgerError::Corrupt { what, detail: detail.to_string() })
    }

    /// The error of work that was rolled back or only read: certainly not applied.
    pub(super) fn not_applied(self, what: &'static str) -> LedgerError {
        match self {
            Failure::Ledger(error) => error,
            Failure::Sql(error) if is_corrupt(&error) => {
                LedgerError::Corrupt { what, detail: error.to_string() }
            }
            Failure::Sql(error) => LedgerError::Unavailable { what, source: Box::new(error) },
        }
    }
}

/// The error of a COMMIT that failed.
///
/// SQLite writes the frame that commits last, and a full disk or a lock stop it before that. Any
/// other failure may have come after it: the frame could be found when the file is opened again
/// after a crash, so the outcome is unknown.
pub(super) fn of_commit(what: &'static str, error: &rusqlite::Error) -> LedgerError {
    let source = Box::new(std::io::Error::other(error.to_string()));
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            LedgerError::Unavailable { what, source }
        }
        _ => LedgerError::Unknown { what, source },
    }
}

/// An error for each of many that failed for one reason: certainly not applied.
pub(super) fn shared(what: &'static str, error: &rusqlite::Error) -> LedgerError {
    let source = Box::new(std::io::Error::other(error.to_string()));
    LedgerError::Unavailable { what, source }
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    match error {
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => true,
        other => matches!(
            other.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ),
    }
}

/// The error of work whose transaction SQLite gave up: certainly not applied.
pub(super) fn lost(what: &'static str) -> LedgerError {
    let source = Box::new(std::io::Error::other("transaction was rolled back"));
    LedgerError::Unavailable { what, source }
}

/// The same error again, for each of several rows that shared one fate.
pub(super) fn alike(what: &'static str, error: &LedgerError) -> LedgerError {
    let text = || match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    let source = Box::new(std::io::Error::other(text()));
    if error.is_certainly_not_applied() {
        LedgerError::Unavailable { what, source }
    } else {
        LedgerError::Unknown { what, source }
    }
}
