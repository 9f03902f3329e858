//! Why billing did not do what was asked, split by what the caller does next.

use tollgate_ledger_store::book::BookError;
use tollgate_ledger_store::charges::ChargesError;
use tollgate_ledger_store::{CatalogueError, LedgerError};
use tollgate_metering::rating::RatingError;

use crate::connector::ConnectorError;
use crate::currency::AmountError;
use crate::stripe::StripeError;
use crate::stripe::webhook::SignatureError;
use crate::vault::VaultError;

/// Why billing did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BillingError {
    /// There is no such thing: nothing was changed.
    #[error("{what} {name} does not exist in {inside}")]
    Missing {
        /// What was looked for, e.g. `billing`.
        what: &'static str,
        /// Under which name.
        name: String,
        /// In which organization or catalogue.
        inside: String,
    },
    /// There is one already: nothing was changed.
    #[error("{what} {name} already exists in {inside}")]
    Exists {
        /// What was to be made.
        what: &'static str,
        /// Under which name.
        name: String,
        /// In which organization or catalogue.
        inside: String,
    },
    /// A value is wrong: nothing was changed.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field as the wire calls it.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The state of things does not allow it: nothing was changed.
    #[error("{0}")]
    Precondition(String),
    /// Somebody else keeps changing the same record: nothing was changed; ask again.
    #[error("{what} is being changed by somebody else")]
    Contended {
        /// What is.
        what: &'static str,
    },
    /// An amount that Stripe cannot take.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// Stripe refused, or cannot be asked; the error says whether something may have happened.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// The connector refused: nothing was changed, but where it says how much was.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// An event is not from Stripe, or was sent long ago: nothing was changed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A secret cannot be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A sum is out of range, or prices are unknown.
    #[error(transparent)]
    Rating(#[from] RatingError),
    /// The ledger refused or failed to book.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The catalogue refused or failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The store under the records failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

// === impl BillingError ===

impl BillingError {
    /// A value that is wrong.
    pub fn invalid(field: impl ToString, reason: impl ToString) -> BillingError {
        BillingError::Invalid { field: field.to_string(), reason: reason.to_string() }
    }

    /// Something that is not there.
    pub fn missing(what: &'static str, name: impl ToString, inside: impl ToString) -> BillingError {
        BillingError::Missing { what, name: name.to_string(), inside: inside.to_string() }
    }

    /// Something that is there already.
    pub fn exists(what: &'static str, name: impl ToString, inside: impl ToString) -> BillingError {
        BillingError::Exists { what, name: name.to_string(), inside: inside.to_string() }
    }
}

impl From<ChargesError> for BillingError {
    fn from(error: ChargesError) -> BillingError {
        match error {
            ChargesError::TooMuch { .. } => BillingError::Precondition(error.to_string()),
            ChargesError::Contended => BillingError::Contended { what: "wallet" },
            ChargesError::Rating(error) => BillingError::Rating(error),
            ChargesError::Catalogue(error) => BillingError::Catalogue(error),
            ChargesError::Ledger(error) => BillingError::Ledger(error),
        }
    }
}
