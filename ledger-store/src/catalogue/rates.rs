//! Price revisions: written once, never changed, never deleted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tollgate_metering::account::Overspend;
use tollgate_metering::rating::{Band, Model};
use tollgate_metering::{Currency, DeveloperId, Money, PlanId, Rates, Units, UnixMillis};

use super::Catalogue;
use super::error::CatalogueError;
use super::store::revision_key;
use super::text;
use crate::documents::Put;
use crate::error::LedgerError;
use crate::rates::RateSource;

/// Most revisions kept in memory; the cache is emptied when it is full.
const CACHED_MAX: usize = 100_000;

/// How many taken numbers are stepped over: writers that crashed before they used theirs.
const SKIPPED_MAX: u32 = 1000;

/// A price revision as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Revision {
    #[serde(with = "text::plain")]
    currency: Currency,
    bands: Vec<StoredBand>,
    #[serde(default)]
    model: StoredModel,
    /// Units of a period in front of the bands.
    #[serde(default, with = "text::option")]
    free: Option<Units>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredModel {
    #[default]
    Marginal,
    Tiered,
    Stairs,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredBand {
    /// Total units at which it ends, included.
    #[serde(with = "text::option")]
    up_to: Option<Units>,
    #[serde(with = "text::plain")]
    price: Money,
}

/// Revisions that were read: they never change.
#[derive(Debug, Default)]
pub(super) struct RateCache(Mutex<HashMap<(PlanId, u32), Arc<Rates>>>);

// === impl Revision ===

impl Revision {
    pub(super) fn of(currency: Currency, rates: &Rates) -> Revision {
        let store = |band: &Band| StoredBand { up_to: band.up_to, price: band.price };
        let model = match rates.model() {
            Model::Marginal => StoredModel::Marginal,
            Model::Tiered => StoredModel::Tiered,
            Model::Stairs => StoredModel::Stairs,
        };
        let free = Some(rates.free()).filter(|free| !free.is_zero());
        Revision { currency, bands: rates.bands().iter().map(store).collect(), model, free }
    }

    fn rates(self) -> Result<Rates, CatalogueError> {
        let bands = self.bands.into_iter();
        let bands = bands.map(|band| Band { up_to: band.up_to, price: band.price }).collect();
        let model = match self.model {
            StoredModel::Marginal => Model::Marginal,
            StoredModel::Tiered => Model::Tiered,
            StoredModel::Stairs => Model::Stairs,
        };
        Rates::new(model, bands, self.free.unwrap_or(Units::ZERO)).map_err(|error| {
            let (what, detail) = ("plan_revision", error.to_string());
            CatalogueError::Ledger(LedgerError::Corrupt { what, detail })
        })
    }
}

// === impl RateCache ===

impl RateCache {
    fn get(&self, plan: PlanId, revision: u32) -> Option<Arc<Rates>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cached.get(&(plan, revision)).cloned()
    }

    fn put(&self, plan: PlanId, revision: u32, rates: &Arc<Rates>) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.len() >= CACHED_MAX {
            cached.clear();
        }
        cached.insert((plan, revision), Arc::clone(rates));
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// The prices of a revision, from memory once they were read.
    ///
    /// # Errors
    /// `Corrupt` where the revision is not there: a meter names only what was written before.
    pub async fn rates_of(
        &self,
        plan: PlanId,
        revision: u32,
    ) -> Result<Arc<Rates>, CatalogueError> {
        if let Some(rates) = self.rates.get(plan, revision) {
            return Ok(rates);
        }
        let rates = Arc::new(self.revision(plan, revision).await?.rates()?);
        self.rates.put(plan, revision, &rates);
        Ok(rates)
    }

    pub(super) async fn revision(
        &self,
        plan: PlanId,
        revision: u32,
    ) -> Result<Revision, CatalogueError> {
        let found = self.load::<Revision>(&revision_key(plan, revision)).await?;
        found.map(|stored| stored.record).ok_or_else(|| {
            let detail = format!("revision {revision} of rate plan {plan} is not there");
            CatalogueError::Ledger(LedgerError::Corrupt { what: "plan_revision", detail })
        })
    }

    /// Writes a revision under the first number after `last` that is free or says the same.
    pub(super) async fn write_revision(
        &self,
        plan: PlanId,
        last: u32,
        wanted: &Revision,
        now: UnixMillis,
    ) -> Result<u32, CatalogueError> {
        for number in last.saturating_add(1)..last.saturating_add(SKIPPED_MAX) {
            if self.insert(&revision_key(plan, number), wanted, now).await? == Put::Written
                || self.revision(plan, number).await? == *wanted
            {
                return Ok(number);
            }
        }
        Err(CatalogueError::Contended { what: "rate plan" })
    }
}

#[async_trait]
impl RateSource for Catalogue {
    async fn rates(&self, plan: PlanId, revision: u32) -> Result<Arc<Rates>, LedgerError> {
        self.rates_of(plan, revision).await.map_err(|error| match error {
            CatalogueError::Ledger(error) => error,
            other => LedgerError::Corrupt { what: "plan_revision", detail: other.to_string() },
        })
    }

    async fn overspend(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
        now: UnixMillis,
    ) -> Result<Overspend, LedgerError> {
        let policy = Catalogue::overspend(self, organization, developer, currency, now).await;
        policy.map_err(|error| match error {
            CatalogueError::Ledger(error) => error,
            other => LedgerError::Corrupt { what: "overspend policy", detail: other.to_string() },
        })
    }
}
