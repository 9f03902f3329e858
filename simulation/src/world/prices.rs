//! Prices and accounts of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate_metering::rating::{Band, Rates};
use tollgate_metering::wallet::Tariff;
use tollgate_metering::{
    Account, BillingType, DeveloperId, Meter, Period, PlanId, ProductId, RateBook, Units, booking,
};
use uuid::Uuid;

use super::wallet_id;
use crate::schedule::Setup;

/// The one product of a run.
const PRODUCT: ProductId = ProductId(Uuid::from_u128(2));

/// The one plan of a run.
const PLAN: PlanId = PlanId(Uuid::from_u128(3));

/// Tariffs by revision, billing type and period, made on first use.
#[derive(Debug)]
pub(crate) struct Tariffs {
    rates: Vec<Arc<Rates>>,
    /// The newest revision.
    pub(crate) published: u32,
    /// Billing types by wallet.
    pub(crate) billing: Vec<BillingType>,
    known: BTreeMap<(u32, BillingType, Period), Arc<Tariff>>,
}

/// A wallet's account when it was opened.
pub(crate) fn opened(setup: &Setup, w: usize) -> Account {
    let developer = DeveloperId(Uuid::from_u128(4_000 + w as u128));
    let currency = "EUR".parse().expect("EUR is a currency");
    let mut account = Account::unopened(wallet_id(w), "acme", developer, currency, 1, setup.start);
    account.header.overdraft_limit = setup.wallets[w].overdraft;
    if setup.wallets[w].is_strict {
        account.header.mode.overspend = tollgate_metering::account::Overspend::Strict;
    }
    let change = booking::open(&account).expect("a drawn overdraft limit is not negative");
    account.apply(&change);
    account
}

// === impl Tariffs ===

impl Tariffs {
    pub(crate) fn new(setup: &Setup) -> Tariffs {
        let band = |(end, price): &(Option<u64>, _)| {
            let nanos = |units: &u64| u128::from(*units) * Units::ONE.nanos();
            let up_to = end.as_ref().map(nanos);
            let up_to = up_to.map(|nanos| Units::from_nanos(nanos).expect("ends are small"));
            Band { up_to, price: *price }
        };
        let rates = setup.prices.iter().map(|bands| {
            let bands = bands.iter().map(band).collect();
            Arc::new(Rates::banded(bands).expect("drawn prices are in order"))
        });
        let billing = vec![BillingType::Prepaid; setup.wallets.len()];
        Tariffs { rates: rates.collect(), published: 1, billing, known: BTreeMap::new() }
    }

    pub(crate) fn rates(&self) -> RateBook {
        let mut book = RateBook::default();
        for (place, rates) in self.rates.iter().enumerate() {
            let revision = u32::try_from(place + 1).expect("there are few revisions");
            book.add(PLAN, revision, Arc::clone(rates));
        }
        book
    }

    /// Publishes the next revision, if there is one.
    pub(crate) fn publish(&mut self) {
        let count = u32::try_from(self.rates.len()).expect("there are few revisions");
        self.published = (self.published + 1).min(count);
    }

    pub(crate) fn get(
        &mut self,
        revision: u32,
        billing: BillingType,
        period: Period,
    ) -> Arc<Tariff> {
        let rates = &self.rates[revision as usize - 1];
        let made = self.known.entry((revision, billing, period)).or_insert_with(|| {
            let rates = Arc::clone(rates);
            Arc::new(Tariff { product: PRODUCT, plan: PLAN, revision, billing, period, rates })
        });
        Arc::clone(made)
    }

    pub(crate) fn of_meter(&self, meter: &Meter) -> Option<Arc<Tariff>> {
        self.known.get(&(meter.revision, meter.billing, meter.period)).cloned()
    }
}
