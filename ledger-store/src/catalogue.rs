//! The catalogue: organizations, developers, apps, keys, API products, rate plans, subscriptions.
//!
//! Typed records over a [`DocumentStore`], with the rules that must hold whoever writes: unique
//! names, at most one active rate plan a product, immutable price revisions. Everything a gateway
//! needs to decide a call offline comes out of [`Catalogue::resolve`] as windows of time instead
//! of verdicts; [`forget`] says what a change of a document makes stale.
//!
//! There is no transaction over several documents, so writes are ordered. Names that must be
//! unique (an e-mail address, a product's name, a consumer key) are *claims*: documents of their
//! own that point to the record. A claim is written first, then the record, then the claim is
//! confirmed; a crash in between leaves a claim that points to nothing, which nobody resolves and
//! which the next writer may take over a minute later. A removal marks or removes the record
//! first, so that it stops working at once, and then what pointed to it. A price revision is
//! written before the plan that uses it; one that no plan uses is harmless. What is one decision
//! (the plans of a product, the subscriptions of a developer) is one document.
//!
//! Times are passed in. Not here: HTTP (`management`), balances (`book`), what a call matches
//! (`gateway`).

use std::sync::Arc;

use tollgate_metering::UnixMillis;

use crate::documents::{DocumentChange, DocumentStore};
use crate::error::LedgerError;
use crate::ledger::Ledger;

pub mod acceptances;
pub mod app_groups;
pub mod apps;
pub mod attributes;
pub mod audit;
pub mod caller;
pub mod claims;
pub mod credit;
pub mod developers;
pub mod error;
pub mod fees;
pub mod flat;
pub mod forget;
pub mod held;
pub mod keys;
pub mod organizations;
pub mod overspend;
pub mod owners;
pub mod packages;
pub mod plans;
pub mod pricing;
pub mod products;
pub mod rates;
pub mod records;
pub mod resolve;
pub mod retirements;
pub mod secrets;
mod spans;
mod store;
pub mod subscriptions;
pub mod switches;
pub mod text;
pub mod tokens;
pub mod wallets;

pub use caller::{Caller, CallerPlan, CallerProduct, Credit, Operation, Window};
pub use error::CatalogueError;
pub use forget::Forget;
pub use wallets::wallet_id;

/// The catalogue over a document store and, for wallets, the ledger.
///
/// All methods may be dropped at any time: the order of writes makes that a crash.
pub struct Catalogue {
    documents: Arc<dyn DocumentStore>,
    ledger: Arc<dyn Ledger>,
    rates: rates::RateCache,
    noted: audit::Noted,
}

// === impl Catalogue ===

impl Catalogue {
    /// A catalogue over these stores.
    #[must_use]
    pub fn new(documents: Arc<dyn DocumentStore>, ledger: Arc<dyn Ledger>) -> Catalogue {
        Catalogue {
            documents,
            ledger,
            rates: rates::RateCache::default(),
            noted: audit::Noted::default(),
        }
    }

    /// The log of the catalogue's changes from `since` on; see [`DocumentStore::changes`].
    ///
    /// # Errors
    /// The store's.
    pub async fn changes(&self, since: UnixMillis) -> Result<Vec<DocumentChange>, LedgerError> {
        self.documents.changes(since).await
    }
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue").finish_non_exhaustive()
    }
}
