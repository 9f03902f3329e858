//! Money from outside: Stripe, and what it does to wallets and invoices.
//!
//! The ledger knows what is owed; this crate sees to it that it is paid. Everything that happens
//! at Stripe is begun by a record here (a job, a top-up, an invoice), written before the first
//! request and found again after a crash, and every request that changes something carries an
//! idempotency key made of that record's id and its step. So a process may die anywhere, and
//! whoever goes on does not pay, charge or credit twice.
//!
//! ```text
//! management ──▶ records ◀── workers (jobs, top-ups, invoices, missed events) ──▶ stripe ──HTTPS──▶ Stripe
//!     ▲             │                                       │
//!  webhooks         ▼                                       ▼
//!           documents of the catalogue                 book of the ledger
//! ```
//!
//! Invariants: a wallet is credited for what Stripe says it has, once, under an id that was known
//! before; no secret key is in a log, an error, a record in plain text or a `Debug`; amounts are
//! exact or refused ([`currency`]); nothing is rounded but where an invoice says how.
//! Not here: paths and shapes of HTTP (`management`), what a wallet is (`metering`), how it is
//! stored (`ledger-store`).

pub mod attempts;
pub mod cards;
pub mod catalogs;
pub mod connector;
pub mod currency;
pub mod customers;
pub mod dunning;
pub mod events;
pub mod integrations;
pub mod invoices;
pub mod jobs;
pub mod lease;
pub mod publishing;
pub mod records;
pub mod secret;
pub mod stripe;
pub mod subscribing;
pub mod topups;
pub mod vault;
pub mod workers;

mod error;
mod metrics;

use std::sync::Arc;

use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::{Catalogue, Clock, DocumentStore, Ledger};

pub use customers::Customer;
pub use error::BillingError;
pub use integrations::Integration;
pub use metrics::Metrics;
pub use records::Records;
pub use vault::Vault;
pub use workers::Intervals;

/// What billing works with.
#[derive(Clone)]
pub struct Parts {
    /// Where its records are.
    pub documents: Arc<dyn DocumentStore>,
    /// The catalogue over the same store.
    pub catalogue: Arc<Catalogue>,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Books on the same ledger.
    pub book: Arc<Book>,
    /// The clock that records and entries are dated with.
    pub clock: Arc<dyn Clock>,
    /// Seals what is secret.
    pub vault: Arc<Vault>,
    /// Where Stripe is, and how patient to be with it.
    pub stripe: stripe::Settings,
    /// How requests reach it.
    pub transport: Arc<dyn stripe::Transport>,
    /// How often its workers look for work.
    pub intervals: Intervals,
}

/// Billing of one process. Cheap to clone.
#[derive(Clone)]
pub struct Billing {
    parts: Arc<Parts>,
    records: Records,
    metrics: Metrics,
}

// === impl Billing ===

impl Billing {
    /// Billing over these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Billing {
        let records = Records::new(Arc::clone(&parts.documents));
        Billing { parts: Arc::new(parts), records, metrics: Metrics::new() }
    }

    /// What it works with.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Its records.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A client of Stripe for this key, acting for `account` where one is named.
    #[must_use]
    pub fn stripe(&self, key: secret::SecretKey, account: Option<String>) -> stripe::Client {
        let transport = Arc::clone(&self.parts.transport);
        stripe::Client::new(transport, self.parts.stripe.clone(), key, account)
    }
}

impl std::fmt::Debug for Billing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Billing").finish_non_exhaustive()
    }
}
