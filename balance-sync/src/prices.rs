//! Prices of every plan revision that this node has met. Revisions never change.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::RwLock;
use tollgate_ledger_store::LedgerError;
use tollgate_ledger_store::rates::RateSource;
use tollgate_metering::{Meter, PlanId, RateBook, Rates};

/// Prices in memory, and where more come from.
pub(crate) struct Prices {
    source: Arc<dyn RateSource>,
    book: RwLock<RateBook>,
}

// === impl Prices ===

impl Prices {
    pub(crate) fn new(source: Arc<dyn RateSource>) -> Prices {
        Prices { source, book: RwLock::new(RateBook::default()) }
    }

    /// Loads what is missing for these meters.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] where there is no such revision, else the store's.
    pub(crate) async fn load(
        &self,
        meters: impl IntoIterator<Item = Meter>,
    ) -> Result<(), LedgerError> {
        let missing: BTreeSet<(PlanId, u32)> = {
            let book = self.book.read();
            let meters = meters.into_iter().map(|meter| (meter.plan, meter.revision));
            meters.filter(|(plan, revision)| !book.has(*plan, *revision)).collect()
        };
        for (plan, revision) in missing {
            let rates = self.source.rates(plan, revision).await?;
            self.book.write().add(plan, revision, rates);
        }
        Ok(())
    }

    /// The prices of a revision, if they were loaded.
    pub(crate) fn get(&self, plan: PlanId, revision: u32) -> Option<Arc<Rates>> {
        self.book.read().rates(plan, revision).ok().cloned()
    }

    /// Computes with all prices; nothing waits meanwhile but other loads.
    pub(crate) fn with<T>(&self, compute: impl FnOnce(&RateBook) -> T) -> T {
        compute(&self.book.read())
    }
}
