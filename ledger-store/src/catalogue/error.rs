//! Why the catalogue refused, split by what the caller does next.

use crate::error::LedgerError;

/// Why an operation of the catalogue did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// There is no such thing: nothing was changed.
    #[error("{what} {name} does not exist in {inside}")]
    Missing {
        /// What was looked for.
        what: What,
        /// Under which name.
        name: String,
        /// In which organization, app …
        inside: String,
    },
    /// There is one already: nothing was changed.
    #[error("{what} {name} already exists in {inside}")]
    Exists {
        /// What was to be created.
        what: What,
        /// Under which name.
        name: String,
        /// In which organization, app …
        inside: String,
    },
    /// A value is wrong: nothing was changed.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, as Apigee calls it.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The state of things does not allow it: nothing was changed.
    #[error("{0}")]
    Precondition(String),
    /// Somebody else keeps changing the same thing: nothing was changed; try again.
    #[error("{what} is being changed by somebody else")]
    Contended {
        /// What is.
        what: &'static str,
    },
    /// The store under the catalogue failed; the error says whether something was applied.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Kinds of things, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An organization.
    Organization,
    /// A developer.
    Developer,
    /// An app.
    App,
    /// A consumer key.
    Key,
    /// An API product.
    Product,
    /// A rate plan.
    RatePlan,
    /// A monetization package.
    Package,
    /// A subscription.
    Subscription,
    /// An attribute.
    Attribute,
    /// An AppGroup.
    AppGroup,
    /// A bearer token.
    Token,
}

// === impl CatalogueError ===

impl CatalogueError {
    pub(super) fn missing(what: What, name: impl ToString, inside: impl ToString) -> Self {
        CatalogueError::Missing { what, name: name.to_string(), inside: inside.to_string() }
    }

    pub(super) fn exists(what: What, name: impl ToString, inside: impl ToString) -> Self {
        CatalogueError::Exists { what, name: name.to_string(), inside: inside.to_string() }
    }

    pub(super) fn invalid(field: impl ToString, reason: impl ToString) -> Self {
        CatalogueError::Invalid { field: field.to_string(), reason: reason.to_string() }
    }
}

// === impl What ===

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            What::Organization => "organization",
            What::Developer => "developer",
            What::App => "app",
            What::Key => "consumer key",
            What::Product => "API product",
            What::RatePlan => "rate plan",
            What::Package => "monetization package",
            What::Subscription => "subscription",
            What::Attribute => "attribute",
            What::AppGroup => "AppGroup",
            What::Token => "token",
        })
    }
}
