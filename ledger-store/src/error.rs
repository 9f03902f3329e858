//! What can go wrong in a ledger, split by what the caller does next.

/// Boxed error of a database driver.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the ledger did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The ledger cannot be reached or refused to start the work: certainly not applied. Try
    /// again later.
    #[error("ledger is unavailable: {what}")]
    Unavailable {
        /// What was asked.
        what: &'static str,
        /// The driver's error.
        #[source]
        source: Source,
    },
    /// The write may or may not have been applied: look for its id before it is tried again.
    #[error("outcome is unknown: {what}")]
    Unknown {
        /// What was asked.
        what: &'static str,
        /// The driver's error.
        #[source]
        source: Source,
    },
    /// Stored data cannot be read as what it should be: nothing was applied, a person must look.
    #[error("ledger holds {what} that cannot be read: {detail}")]
    Corrupt {
        /// Which row.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The ledger is of another generation than this node believed: certainly not applied.
    #[error("ledger has generation {found}, this node worked on generation {expected}")]
    Generation {
        /// What this node believed.
        expected: u32,
        /// What the ledger says.
        found: u32,
    },
    /// The file or keyspace is not a ledger that this version can open: nothing was applied.
    #[error("cannot open the ledger: {detail}")]
    NotOurs {
        /// What was found, and where.
        detail: String,
    },
}

// === impl LedgerError ===

impl LedgerError {
    /// Whether the write was certainly not applied.
    #[must_use]
    pub fn is_certainly_not_applied(&self) -> bool {
        match self {
            LedgerError::Unavailable { .. }
            | LedgerError::Corrupt { .. }
            | LedgerError::Generation { .. }
            | LedgerError::NotOurs { .. } => true,
            LedgerError::Unknown { .. } => false,
        }
    }
}
