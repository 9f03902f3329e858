//! Wallets, meters and amounts that properties are written with. Every id is new, so that
//! properties hold on a ledger that others use at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tollgate_ledger_store::{
    Book, Clock, Commit, Ledger, LedgerError, RateSource, RegisterCell, RegisterWrite, WalletRead,
};
use tollgate_metering::booking::Booking;
use tollgate_metering::rating::Band;
use tollgate_metering::time::Period;
use tollgate_metering::{
    Account, BillingType, DeveloperId, Entry, EntryKind, Incarnation, Meter, Money, PlanId,
    ProductId, Rates, Units, UnixMillis, WalletId,
};
use uuid::Uuid;

/// 2026-11-22T12:00:00Z.
pub(crate) const NOON: UnixMillis = UnixMillis(1_795_348_800_000);

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

pub(crate) fn units(text: &str) -> Units {
    text.parse().unwrap()
}

pub(crate) fn incarnation(born: UnixMillis) -> Incarnation {
    Incarnation { born, id: Uuid::new_v4() }
}

/// A prepaid meter of the month of [`NOON`].
pub(crate) fn meter(wallet: WalletId) -> Meter {
    Meter {
        wallet,
        product: ProductId(Uuid::new_v4()),
        plan: PlanId(Uuid::new_v4()),
        billing: BillingType::Prepaid,
        period: Period::of(NOON),
        revision: 1,
    }
}

/// An account that no ledger has yet, in the generation of `ledger`.
pub(crate) async fn unopened(ledger: &dyn Ledger) -> Account {
    let generation = ledger.generation().await.unwrap();
    Account::unopened(
        WalletId(Uuid::new_v4()),
        "acme",
        DeveloperId(Uuid::new_v4()),
        "EUR".parse().unwrap(),
        generation,
        NOON,
    )
}

/// A wallet that `ledger` has at version 1.
pub(crate) async fn opened(ledger: &dyn Ledger) -> Account {
    let mut account = unopened(ledger).await;
    let change = account.change();
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);
    account
}

pub(crate) async fn read(ledger: &dyn Ledger, wallet: WalletId) -> WalletRead {
    ledger.read(wallet).await.unwrap().expect("the wallet was opened")
}

pub(crate) fn entry(account: &Account, id: &str, amount: &str) -> Entry {
    Entry {
        id: id.to_owned(),
        kind: EntryKind::Credit,
        wallet: account.header.wallet,
        amount: money(amount),
        balance_after: money(amount),
        at: NOON,
        by: "test".to_owned(),
        reason: String::new(),
        meter: None,
        units: Units::ZERO,
        is_forced: false,
    }
}

pub(crate) fn write(
    meter: Meter,
    incarnation: Incarnation,
    cell: RegisterCell,
    total: &str,
    seq: i64,
) -> RegisterWrite {
    RegisterWrite { meter, incarnation, cell, units: units(total), seq }
}

/// Writes registers and expects each to be taken.
pub(crate) async fn report(ledger: &dyn Ledger, writes: &[RegisterWrite]) {
    for answer in ledger.write_registers(writes).await {
        answer.unwrap();
    }
}

/// Who, when and why of an entry with this id.
pub(crate) fn booking(id: &str) -> Booking {
    let (by, reason) = ("test".to_owned(), "because".to_owned());
    Booking { id: id.to_owned(), at: NOON, by, reason, is_forced: false }
}

/// Prices by revision, the same for every plan.
#[derive(Clone)]
pub(crate) struct Prices(BTreeMap<u32, Arc<Rates>>);

impl Prices {
    /// One price for every unit in the first revision.
    pub(crate) fn flat(price: &str) -> Prices {
        Prices::none().with_revision(1, &[("", price)])
    }

    /// No revision at all.
    pub(crate) fn none() -> Prices {
        Prices(BTreeMap::new())
    }

    /// Adds a revision with bands (end, price).
    pub(crate) fn with_revision(mut self, revision: u32, bands: &[(&str, &str)]) -> Prices {
        let band = |(end, price): &(&str, &str)| Band {
            up_to: (!end.is_empty()).then(|| units(end)),
            price: money(price),
        };
        let rates = Rates::banded(bands.iter().map(band).collect()).unwrap();
        self.0.insert(revision, Arc::new(rates));
        self
    }
}

#[async_trait]
impl RateSource for Prices {
    async fn rates(&self, plan: PlanId, revision: u32) -> Result<Arc<Rates>, LedgerError> {
        let detail = format!("{plan} has no revision {revision}");
        let missing = LedgerError::Corrupt { what: "a rate plan", detail };
        self.0.get(&revision).cloned().ok_or(missing)
    }
}

/// A clock that a test sets; its monotonic time takes a step with each look.
pub(crate) struct TestClock {
    now: Mutex<UnixMillis>,
    monotonic: Mutex<Duration>,
    step: Duration,
}

impl TestClock {
    pub(crate) fn at(now: UnixMillis) -> TestClock {
        TestClock::stepping(now, Duration::ZERO)
    }

    pub(crate) fn stepping(now: UnixMillis, step: Duration) -> TestClock {
        TestClock { now: Mutex::new(now), monotonic: Mutex::default(), step }
    }

    pub(crate) fn set(&self, now: UnixMillis) {
        *self.now.lock() = now;
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        *self.now.lock()
    }

    fn monotonic(&self) -> Duration {
        let mut monotonic = self.monotonic.lock();
        *monotonic += self.step;
        *monotonic
    }
}

/// A book at noon where every unit costs 1.
pub(crate) fn book(ledger: Arc<dyn Ledger>) -> Book {
    book_at(ledger, Prices::flat("1"), Arc::new(TestClock::at(NOON)))
}

pub(crate) fn book_at(ledger: Arc<dyn Ledger>, prices: Prices, clock: Arc<TestClock>) -> Book {
    Book::new(ledger, Arc::new(prices), clock)
}
