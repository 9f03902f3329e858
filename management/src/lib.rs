//! The management API over HTTP: Apigee X's monetization paths and shapes under
//! `/v1/organizations/…`, over the catalogue and the ledger.
//!
//! A request goes top to bottom through one file each: `server` (connections, limits, shutdown)
//! → `router` (paths) → `auth` (who asks) → `permission` (whether he may, and `audit`: that he does) → a module of `routes` (what is asked) → the catalogue
//! or the book. Shapes on the wire are in `shapes`, apart from what is stored, so that either can
//! change. Every error becomes a response in `respond`, in Google's shape.
//!
//! Invariants: a request that is refused changed nothing; a booking whose outcome is not known is
//! answered as that, with the id to repeat it with, and never as a failure; amounts are exact or
//! refused.
//! Beyond Apigee: `GET …/balance:entries` lists the journal; credits and adjustments take a
//! `reason` for it; an adjustment takes an `Idempotency-Key` and its answer names it; an
//! organization whose property `tollgate.adjustment_cap` is `true` refuses adjustments that raise
//! a balance above what the newest credit left. `…/wallets` sets overspend policies and overdraft
//! limits; the attribute `tollgate.overspend` of an organization, a developer or an API product is
//! `optimistic` or `strict`. What takes money that gateways of a strict wallet may spend is refused
//! unless the query says `force=true`, which the journal then shows.
//! `GET /openapi.json` describes all of it; a new route gets a line in `describe` at the end of its
//! module of `routes`, which `openapi` explains and a test asks for.
//! `GET …/reports/charges` (also below a developer) tells charges apart by developer, app, product,
//! plan, revision and day; `…/developers/{developer}/statements/{currency}` is the statement of a
//! wallet, `…/explain/{currency}` says why charges are what they are, and
//! `POST …/reprice/{currency}` what they would have been. Reports are JSON or, with `format=csv`,
//! the same lines as CSV; see `docs/reports.md`.
//! Not here: what a record must fulfil (`ledger-store::catalogue`), how money is booked
//! (`ledger-store::book`), TLS.

mod audit;
mod auth;
mod charges;
mod error;
mod exposures;
mod extract;
mod json;
mod metrics;
mod mint;
mod number;
mod openapi;
mod permission;
mod respond;
mod router;
mod routes;
mod server;
mod shapes;
mod span;

use std::sync::Arc;
use std::time::Duration;

use tollgate_billing::Billing;
use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::{Catalogue, Clock, Ledger};

pub use auth::jwt::{Jwt, JwtSettings, PREFIX as JWT_NAME_PREFIX};
pub use auth::stored::StoredTokens;
pub use auth::{Authorizer, Chain, Identity, KeyPlace, Tokens, Unidentified};
pub use exposures::{ExposureSource, NoExposures};
pub use metrics::Metrics;
pub use permission::Permission;
pub use server::run;
pub use tollgate_ledger_store::Role;

/// What the API works with.
#[derive(Clone)]
pub struct Parts {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The catalogue over the same store.
    pub catalogue: Arc<Catalogue>,
    /// Books on the same ledger.
    pub book: Arc<Book>,
    /// The clock that times of records and entries come from.
    pub clock: Arc<dyn Clock>,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// What is counted.
    pub metrics: Metrics,
    /// How far calls may take wallets below their floor.
    pub exposures: Arc<dyn ExposureSource>,
    /// Limits.
    pub limits: Limits,
    /// Stripe, where an administrator has enabled billing.
    pub billing: Option<Billing>,
}

/// Bounds of what a client may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest request body in bytes.
    pub body_bytes_max: usize,
    /// Most connections at a time; more wait to be accepted.
    pub connections_max: usize,
    /// How long a client may take to send a request's head.
    pub head_timeout: Duration,
    /// How long a request may take from its head to its answer. A booking gives up a second
    /// earlier, to say under which id it is to be asked for again.
    pub request_timeout: Duration,
    /// How long open requests may take to end at a shutdown.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 1 << 20,
            connections_max: 1024,
            head_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
