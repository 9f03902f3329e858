//! Every way in which a call is refused, and its gRPC status: the one table.

use std::time::Duration;

use tollgate_ledger_store::catalogue::CatalogueError;
use tollgate_ledger_store::{LedgerError, Role};
use tollgate_metering::node::stream::SeqNotRising;
use tollgate_metering::rating::RatingError;
use tollgate_proto::WireError;
use tonic::{Code, Status};

/// Why a call, or a stream, was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No token or certificate that is known.
    #[error("a bearer token or a client certificate is needed")]
    Unauthenticated,
    /// A token that may not do this.
    #[error("permission {permission} is missing here: {name} has role {role}")]
    Forbidden {
        /// What it needs.
        permission: &'static str,
        /// The token's name.
        name: String,
        /// Its role.
        role: Role,
    },
    /// A message that cannot be read.
    #[error("cannot be read: {}", .0.to_line())]
    Unreadable(WireError),
    /// A field with a value that it cannot have.
    #[error("field {field}: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A message that the protocol does not allow here.
    #[error("{0}")]
    Protocol(&'static str),
    /// Reports out of order.
    #[error(transparent)]
    Order(#[from] SeqNotRising),
    /// There is no such thing.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// The ledger did not answer.
    #[error("the ledger is away, ask again")]
    Ledger(#[source] LedgerError),
    /// The catalogue did not answer.
    #[error("the catalogue is away, ask again")]
    Catalogue(#[source] CatalogueError),
    /// Money that cannot be computed.
    #[error("the balance cannot be computed")]
    Rating(#[from] RatingError),
    /// This node's clock is wrong.
    #[error("this node's clock is {offset:?} off the ledger's, ask another node")]
    Clock {
        /// How far.
        offset: Duration,
    },
    /// This node has not reached its ledger yet.
    #[error("this node has not reached its ledger yet, ask again")]
    Starting,
    /// This node shuts down, or starts over with a restored ledger.
    #[error("this node ends its streams, ask another")]
    Draining,
    /// A cap.
    #[error("more than {cap} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The cap.
        cap: usize,
    },
    /// The other side takes no messages.
    #[error("messages were not taken for {waited:?}")]
    Slow {
        /// How long the node waited.
        waited: Duration,
    },
}

// === impl Refusal ===

impl Refusal {
    fn code(&self) -> Code {
        match self {
            Refusal::Unauthenticated => Code::Unauthenticated,
            Refusal::Forbidden { .. } => Code::PermissionDenied,
            Refusal::Unreadable(_)
            | Refusal::Invalid { .. }
            | Refusal::Protocol(_)
            | Refusal::Order(_) => Code::InvalidArgument,
            Refusal::Missing(_) => Code::NotFound,
            Refusal::Ledger(_)
            | Refusal::Catalogue(_)
            | Refusal::Clock { .. }
            | Refusal::Starting
            | Refusal::Draining => Code::Unavailable,
            Refusal::Rating(_) => Code::Internal,
            Refusal::TooMany { .. } => Code::ResourceExhausted,
            Refusal::Slow { .. } => Code::DeadlineExceeded,
        }
    }
}

impl From<Refusal> for Status {
    /// The caller gets kind and short text; the chain goes to the log, here and once.
    fn from(refusal: Refusal) -> Status {
        let code = refusal.code();
        if let Some(source) = std::error::Error::source(&refusal) {
            tracing::warn!(refusal = %refusal, source = chain(source), "call refused");
        }
        Status::new(code, refusal.to_string())
    }
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Refusal {
        Refusal::Unreadable(error)
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Refusal {
        Refusal::Ledger(error)
    }
}

impl From<CatalogueError> for Refusal {
    fn from(error: CatalogueError) -> Refusal {
        match error {
            CatalogueError::Missing { what, .. } => Refusal::Missing(name_of(what)),
            other => Refusal::Catalogue(other),
        }
    }
}

fn name_of(what: tollgate_ledger_store::catalogue::error::What) -> &'static str {
    use tollgate_ledger_store::catalogue::error::What;
    match what {
        What::Organization => "organization",
        What::Developer => "developer",
        What::App => "app",
        What::Key => "consumer key",
        What::Product => "API product",
        What::RatePlan => "rate plan",
        What::Package => "monetization package",
        What::Subscription => "subscription",
        What::Attribute => "attribute",
        What::AppGroup => "app_group",
        What::Token => "token",
    }
}

/// An error with all its causes, in one line for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
