//! Why something is not booked, split by what the caller does next.

use tollgate_metering::booking::BookingError;
use tollgate_metering::{Entry, WalletId};

use crate::error::{LedgerError, Source};

/// Why a call on the book did not end as asked.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// There is no such wallet: certainly nothing was changed.
    #[error("there is no wallet {0}")]
    NoWallet(WalletId),
    /// There is no such suspense register: certainly nothing was changed.
    #[error("there is no such suspense")]
    NoSuspense,
    /// The rules refuse it: certainly nothing was changed, and asking again is of no use.
    #[error(transparent)]
    Refused(#[from] BookingError),
    /// The id was used for something else: certainly nothing was changed.
    #[error("id is taken by another booking of {amount}", amount = found.amount)]
    Conflict {
        /// What was booked under the id.
        found: Box<Entry>,
    },
    /// Others were faster each time: certainly nothing was changed; ask again.
    #[error("wallet {0} is changed too often by others")]
    Contended(WalletId),
    /// It may be booked or not: ask again with this id until the answer is another.
    #[error("outcome is unknown, ask again with the same id ({id})")]
    Unknown {
        /// The id to ask with, as the ledger has it.
        id: String,
        /// What went wrong.
        #[source]
        source: Source,
    },
    /// The ledger did not answer: certainly nothing was changed; ask again later.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

// === impl BookError ===

impl BookError {
    /// Whether certainly nothing was changed.
    #[must_use]
    pub fn is_certainly_not_applied(&self) -> bool {
        !matches!(self, BookError::Unknown { .. })
    }

    /// The error of a commit that is not tried again.
    pub(super) fn from_commit(id: &str, error: LedgerError) -> BookError {
        if error.is_certainly_not_applied() {
            return BookError::Ledger(error);
        }
        BookError::Unknown { id: id.to_owned(), source: Box::new(error) }
    }
}
