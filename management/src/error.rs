//! What an API call can end with instead of an answer.
//!
//! Handlers say what happened; `respond` alone decides how that looks on the wire.

use std::sync::Arc;

use tollgate_billing::BillingError;
use tollgate_ledger_store::book::BookError;
use tollgate_ledger_store::{CatalogueError, LedgerError};
use tollgate_metering::booking::BookingError;

use crate::auth::{Identity, Unidentified};
use crate::mint::error::MintError;
use crate::permission::Permission;

/// Why a call was not answered as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Nobody is known to ask.
    #[error("{} needs a bearer token, or Basic with a token as the password: {why}", needed(*permission))]
    Unauthenticated { permission: Option<Permission>, why: Arc<Unidentified> },
    /// Whoever asks may not do this, or not here.
    #[error(
        "permission {permission}{} is missing: token {} has role {}{}",
        inside(organization.as_deref()), identity.name, identity.role,
        inside(identity.organization.as_deref())
    )]
    Forbidden { permission: Permission, identity: Identity, organization: Option<String> },
    /// The change cannot be put into the audit log, so it was not made.
    #[error("audit log cannot be written, so nothing was changed")]
    Unaudited(#[source] CatalogueError),
    /// There is no such path.
    #[error("path does not exist")]
    NoSuchPath,
    /// The path exists, for other methods.
    #[error("method is not allowed on this path")]
    Method,
    /// The body is larger than the limit.
    #[error("request body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    /// The body is not JSON, or not of this shape.
    #[error("request body: {0}")]
    Body(String),
    /// A query parameter that is unknown or malformed.
    #[error("query parameter {name}: {reason}")]
    Query { name: String, reason: String },
    /// A value that is wrong.
    #[error("{field}: {reason}")]
    Invalid { field: String, reason: String },
    /// More than an answer may be made of.
    #[error("answer would be made of more than {most} {what}: ask for fewer days or groups")]
    TooMuch { what: &'static str, most: usize },
    /// The wallet holds less than the booking takes.
    #[error("balance {balance} {currency} is less than the {needed} {currency} that are needed")]
    BalanceTooSmall { balance: String, needed: String, currency: String },
    /// The developer has no wallet in the currency.
    #[error("developer {developer} has no wallet in {currency}")]
    NoWallet { developer: String, currency: String },
    /// The wallet's developer was deleted.
    #[error("wallet is sealed: its developer was deleted")]
    Sealed,
    /// A sum that no balance can hold.
    #[error("{field}: {reason}")]
    OutOfRange { field: &'static str, reason: String },
    /// The id was used for another booking.
    #[error("{what} {id} was used before for {before}")]
    Duplicate { what: &'static str, id: String, before: String },
    /// The adjustment would raise the balance above what the last credit left.
    #[error("adjustment would raise the balance to {balance}, above {cap} after the last credit")]
    AboveCap { balance: String, cap: String },
    /// The booking takes money that gateways may spend.
    #[error(
        "balance would be {balance} {currency}, of which gateways may spend {reserved} {currency} \
         down to {floor} {currency}: book less, ask again when calls have given it back, or add \
         force=true to the query and let the wallet go below its floor"
    )]
    Reserved { balance: String, reserved: String, floor: String, currency: String },
    /// What was left in the wallets at the last switch to postpaid is not moved yet.
    #[error(
        "what was left when the developer became POSTPAID is not moved yet: {reason}; ask again, or \
         add force=true to the query and let the wallet go below its floor"
    )]
    SwitchOpen { reason: String },
    /// Gateways do not all go by the wallet's policy yet.
    #[error(
        "overspend policy of the wallet is changing and not every gateway has acknowledged it: \
         ask again, or add force=true to the query"
    )]
    ModeChanging,
    /// The booking may or may not have been applied.
    #[error("outcome is unknown: ask again with {ask_again}; it is booked once at most")]
    Unknown {
        /// What to repeat, e.g. `the same transactionId "…"`.
        ask_again: String,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The book refused for a reason that no caller can cause.
    #[error("booking failed")]
    Booking(#[source] BookingError),
    /// The balance cannot be told.
    #[error("balance cannot be told")]
    Standing(#[source] BookError),
    /// No answer in time.
    #[error("no answer in time: what was asked may or may not have been applied")]
    Timeout,
    /// A refusal of Edge's paths.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// Billing is not enabled in this installation.
    #[error(
        "billing is not enabled: an administrator enables it with a [billing] section in the \
         configuration of the node that serves this API"
    )]
    BillingOff,
    /// Billing refused, or Stripe did.
    #[error(transparent)]
    Billing(BillingError),
    /// The catalogue refused or failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

// === impl ApiError ===

impl ApiError {
    pub(crate) fn invalid(field: impl ToString, reason: impl ToString) -> ApiError {
        ApiError::Invalid { field: field.to_string(), reason: reason.to_string() }
    }
}

impl From<BillingError> for ApiError {
    fn from(error: BillingError) -> ApiError {
        match error {
            BillingError::Catalogue(error) => ApiError::Catalogue(error),
            BillingError::Ledger(error) => ApiError::from(error),
            other => ApiError::Billing(other),
        }
    }
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> ApiError {
        ApiError::Catalogue(CatalogueError::Ledger(error))
    }
}

fn needed(permission: Option<Permission>) -> String {
    permission.map_or_else(|| "this".to_owned(), |permission| format!("permission {permission}"))
}

fn inside(organization: Option<&str>) -> String {
    organization.map_or_else(String::new, |name| format!(" in organization {name}"))
}
