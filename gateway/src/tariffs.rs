//! Prices by meter, one value for all wallets that are charged under them.
//!
//! Rate plan revisions are immutable, so what was once heard of one stays true; it is heard with a caller's plans and with
//! snapshots. Bounds: prices of every revision heard since start; tariffs nobody uses are dropped past [`TARIFFS_MAX`].

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tollgate_metering::wallet::Tariff;
use tollgate_metering::{
    BillingType, Meter, Period, PlanId, ProductId, RateBook, Rates, UnixMillis, WalletId,
};
use uuid::Uuid;

/// Tariffs kept before unused ones are dropped.
const TARIFFS_MAX: usize = 65_536;

/// All of a meter but its wallet.
type TariffKey = (ProductId, PlanId, u32, BillingType, Period);

/// The tariffs that this gateway uses.
#[derive(Debug, Default)]
pub(crate) struct Tariffs {
    rates: RwLock<RateBook>,
    tariffs: Mutex<HashMap<TariffKey, Arc<InPeriod>>>,
}

/// A tariff with the time in which calls are charged under it.
#[derive(Debug)]
pub(crate) struct InPeriod {
    start: UnixMillis,
    end: UnixMillis,
    pub(crate) tariff: Arc<Tariff>,
}

// === impl InPeriod ===

impl InPeriod {
    /// Whether a call at `now` is charged under it.
    pub(crate) fn has(&self, now: UnixMillis) -> bool {
        self.start <= now && now < self.end
    }
}

// === impl Tariffs ===

impl Tariffs {
    /// Takes the prices of a plan revision.
    pub(crate) fn add(&self, plan: PlanId, revision: u32, rates: Arc<Rates>) {
        self.rates.write().add(plan, revision, rates);
    }

    /// The tariff of a meter; `None` where its prices were not heard.
    pub(crate) fn of_meter(&self, meter: &Meter) -> Option<Arc<Tariff>> {
        self.in_period(meter).map(|in_period| Arc::clone(&in_period.tariff))
    }

    fn in_period(&self, meter: &Meter) -> Option<Arc<InPeriod>> {
        let key = (meter.product, meter.plan, meter.revision, meter.billing, meter.period);
        let mut tariffs = self.tariffs.lock();
        if let Some(known) = tariffs.get(&key) {
            return Some(Arc::clone(known));
        }
        let rates = self.rates.read().rates(meter.plan, meter.revision).ok().map(Arc::clone)?;
        let Meter { wallet: _, product, plan, billing, period, revision } = *meter;
        let tariff = Arc::new(Tariff { product, plan, revision, billing, period, rates });
        let is_used = |known: &Arc<InPeriod>| {
            Arc::strong_count(known) > 1 || Arc::strong_count(&known.tariff) > 1
        };
        if tariffs.len() >= TARIFFS_MAX {
            tariffs.retain(|_, known| is_used(known));
        }
        let in_period = Arc::new(InPeriod { start: period.start(), end: period.end(), tariff });
        tariffs.insert(key, Arc::clone(&in_period));
        Some(in_period)
    }

    /// The tariff of a plan revision in a period.
    pub(crate) fn of_plan(
        &self,
        product: ProductId,
        (plan, revision): (PlanId, u32),
        billing: BillingType,
        period: Period,
    ) -> Option<Arc<InPeriod>> {
        let wallet = WalletId(Uuid::nil());
        self.in_period(&Meter { wallet, product, plan, billing, period, revision })
    }
}
