//! Random work of two nodes on one wallet, answers getting lost, against a plain model: sums of
//! what was booked and what each meter's total units cost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tollgate_ledger_store::RegisterCell::{Live, Recovered};
use tollgate_ledger_store::ledger::Suspense;
use tollgate_ledger_store::verify::inspect;
use tollgate_ledger_store::{Book, BookError, Booked, Ledger, RateSource};
use tollgate_metering::balance::PERIOD_GRACE;
use tollgate_metering::booking::{AdjustmentCap, Resolution};
use tollgate_metering::rating::charges;
use tollgate_metering::{
    BillingType, DeveloperId, Incarnation, Meter, Money, RateBook, SuspenseReason, Units, WalletId,
};
use uuid::Uuid;

use super::Backend;
use crate::fault::{Fault, Faulty};
use crate::fixtures::{
    NOON, Prices, TestClock, book_at, booking, incarnation, meter, report, write,
};

/// Wallets that are worked on, one after the other.
const CASES: usize = 12;
const STEPS: usize = 40;

#[derive(Clone, Debug)]
enum Step {
    /// Reports arrive as `order` says: 0 as sent, 1 twice, 2 never, 3 after the next one.
    Report {
        meter: usize,
        by: usize,
        more: u64,
        is_recovered: bool,
        order: u8,
    },
    Credit(u64),
    Adjust(i32),
    Fee(u32),
    Fold(usize),
    Close,
    RaiseHorizon {
        is_past_the_period: bool,
    },
    Suspend {
        meter: usize,
        by: usize,
        nanos: u64,
    },
    Resolve {
        index: usize,
        is_charged: bool,
    },
    Purge,
}

fn step() -> impl Strategy<Value = (Step, Vec<Fault>)> {
    let nanos = 1..9_000_000_000_u64;
    let step = prop_oneof![
        8 => (0..4_usize, 0..4_usize, nanos.clone(), any::<bool>(), 0..4_u8).prop_map(
            |(meter, by, more, is_recovered, order)| {
                Step::Report { meter, by, more, is_recovered, order }
            }),
        2 => (1..u64::MAX / 4).prop_map(Step::Credit),
        2 => any::<i32>().prop_map(Step::Adjust),
        1 => (1..u32::MAX).prop_map(Step::Fee),
        3 => (0..4_usize).prop_map(Step::Fold),
        3 => Just(Step::Close),
        2 => any::<bool>().prop_map(
            |is_past_the_period| Step::RaiseHorizon { is_past_the_period }),
        2 => (0..4_usize, 0..4_usize, nanos).prop_map(
            |(meter, by, nanos)| Step::Suspend { meter, by, nanos }),
        2 => (0..4_usize, any::<bool>()).prop_map(
            |(index, is_charged)| Step::Resolve { index, is_charged }),
        1 => Just(Step::Purge),
    ];
    let fault = prop_oneof![
        Just(Fault::AnswerLost),
        Just(Fault::RequestLost),
        Just(Fault::Delayed),
        Just(Fault::Away),
    ];
    (step, prop::collection::vec(fault, 0..3))
}

/// What is on its way to the ledger from one incarnation on one meter.
#[derive(Default)]
struct Sent {
    total: u64,
    late: Option<(u64, i64)>,
}

struct World {
    ledger: Arc<dyn Ledger>,
    other: Arc<dyn Ledger>,
    prices: Prices,
    clock: Arc<TestClock>,
    developer: DeveloperId,
    wallet: WalletId,
    meters: [Meter; 4],
    incarnations: [Incarnation; 4],
    sent: BTreeMap<(Meter, Incarnation, bool), Sent>,
    seq: i64,
    suspense: Vec<(Suspense, bool)>,
    ids: u32,
    credited: i128,
    debited: i128,
    counted: BTreeMap<(Meter, Incarnation), Units>,
    charged: BTreeMap<Meter, Units>,
}

fn prices() -> Prices {
    Prices::flat("1.5")
        .with_revision(2, &[("10", "0"), ("", "1")])
        .with_revision(3, &[("", "2.25")])
}

pub(crate) async fn random_work_of_two_nodes_adds_up_to_the_nano<B: Backend>() {
    let backend = B::fresh().await;
    let mut runner = TestRunner::deterministic();
    for case in 0..CASES {
        let mut world = World::new(backend.ledger(), backend.another().await).await;
        let steps = prop::collection::vec(step(), STEPS).new_tree(&mut runner).unwrap().current();
        for (index, (step, faults)) in steps.into_iter().enumerate() {
            let told = format!("case {case}, step {index}: {step:?} with {faults:?}");
            world.take(step, faults, &told).await;
            let standing = world.book(Vec::new()).standing(world.wallet).await.unwrap();
            assert_eq!(standing.balance, world.expected().await, "{told}");
        }
        let found = inspect(&*world.other, &world.prices, world.wallet).await.unwrap().unwrap();
        assert_eq!(found.findings, [], "case {case}");
    }
}

impl World {
    async fn new(ledger: Arc<dyn Ledger>, other: Arc<dyn Ledger>) -> World {
        let (developer, eur) = (DeveloperId(Uuid::new_v4()), "EUR".parse().unwrap());
        let clock = Arc::new(TestClock::at(NOON));
        let book = book_at(Arc::clone(&ledger), prices(), Arc::clone(&clock));
        let (wallet, _) = book.open_wallet("acme", developer, eur).await.unwrap();
        let first = meter(wallet);
        let later = first.period.end().plus(PERIOD_GRACE * 2);
        World {
            ledger,
            other,
            prices: prices(),
            clock,
            developer,
            wallet,
            meters: [
                first,
                Meter { revision: 2, ..first },
                Meter { revision: 3, ..first },
                Meter { billing: BillingType::Postpaid, ..first },
            ],
            incarnations: [
                incarnation(NOON),
                incarnation(NOON),
                incarnation(NOON.plus(Duration::from_secs(1))),
                incarnation(later),
            ],
            sent: BTreeMap::new(),
            seq: 1_000,
            suspense: Vec::new(),
            ids: 0,
            credited: 0,
            debited: 0,
            counted: BTreeMap::new(),
            charged: BTreeMap::new(),
        }
    }

    /// A book of a node whose next commits go wrong like this; without faults the other node's.
    fn book(&self, faults: Vec<Fault>) -> Book {
        let ledger = if faults.is_empty() {
            Arc::clone(&self.other)
        } else {
            Faulty::new(Arc::clone(&self.ledger), faults) as Arc<dyn Ledger>
        };
        book_at(ledger, self.prices.clone(), Arc::clone(&self.clock))
    }

    async fn expected(&self) -> Money {
        let mut totals = self.charged.clone();
        for ((meter, _), units) in &self.counted {
            let total = totals.entry(*meter).or_default();
            *total = total.plus(*units).unwrap();
        }
        totals.retain(|meter, _| meter.billing == BillingType::Prepaid);
        let mut rates = RateBook::default();
        for meter in &self.meters {
            let found = self.prices.rates(meter.plan, meter.revision).await.unwrap();
            rates.add(meter.plan, meter.revision, found);
        }
        let charges = charges(&rates, totals).unwrap();
        let charge: i128 = charges.iter().map(|(_, charge)| charge.nanos()).sum();
        Money::from_nanos(self.credited - self.debited - charge).unwrap()
    }

    /// Books with faults, and asks again with the same id until it is known: the model counts it
    /// once, whatever the first answer was.
    async fn settle<'a, F>(&self, faults: Vec<Fault>, told: &str, ask: impl Fn(Arc<Book>) -> F)
    where
        F: Future<Output = Result<Booked, BookError>> + 'a,
    {
        if ask(Arc::new(self.book(faults))).await.is_err() {
            let again = ask(Arc::new(self.book(Vec::new()))).await;
            assert!(again.is_ok(), "{told}: {again:?}");
        }
    }

    async fn take(&mut self, step: Step, faults: Vec<Fault>, told: &str) {
        self.ids += 1;
        let (booking, wallet) = (booking(&self.ids.to_string()), self.wallet);
        let (developer, eur) = (self.developer, "EUR".parse().unwrap());
        match step {
            Step::Report { meter, by, more, is_recovered, order } => {
                let (meter, by) = (self.meters[meter], self.incarnations[by]);
                self.report(meter, by, more, is_recovered, order).await;
            }
            Step::Credit(nanos) => {
                let amount = Money::from_nanos(nanos.into()).unwrap();
                self.settle(faults, told, |book| {
                    let booking = booking.clone();
                    async move { book.credit("acme", developer, eur, &booking, amount).await }
                })
                .await;
                self.credited += i128::from(nanos);
            }
            Step::Adjust(0) => {}
            Step::Adjust(nanos) => {
                let amount = Money::from_nanos(nanos.into()).unwrap();
                self.settle(faults, told, |book| {
                    let booking = booking.clone();
                    async move { book.adjust(wallet, &booking, amount, AdjustmentCap::None).await }
                })
                .await;
                self.debited += i128::from(nanos);
            }
            Step::Fee(nanos) => {
                let amount = Money::from_nanos(nanos.into()).unwrap();
                self.settle(faults, told, |book| {
                    let booking = booking.clone();
                    async move { book.fee(wallet, &booking, amount).await }
                })
                .await;
                self.debited += i128::from(nanos);
            }
            Step::Fold(by) => {
                let dead = self.incarnations[by];
                // An error moves nothing or something; either is right.
                let _ = self.book(faults).fold_dead(wallet, |one| one == dead).await;
            }
            Step::Close => {
                let period = self.meters[0].period;
                let _ = self.book(faults).close_period(wallet, period, "closing").await;
            }
            Step::RaiseHorizon { is_past_the_period } => {
                let past = self.meters[0].period.end().plus(PERIOD_GRACE);
                let soon = NOON.plus(Duration::from_millis(1));
                let horizon = if is_past_the_period { past } else { soon };
                let _ = self.book(faults).raise_horizon(wallet, horizon).await;
            }
            Step::Suspend { meter, by, nanos } => self.suspend(meter, by, nanos).await,
            Step::Resolve { index, is_charged } => {
                self.resolve(index, is_charged, faults, told).await;
            }
            Step::Purge => self.purge().await,
        }
    }

    async fn report(
        &mut self,
        meter: Meter,
        by: Incarnation,
        more: u64,
        is_recovered: bool,
        order: u8,
    ) {
        let horizon = self.other.read(self.wallet).await.unwrap().unwrap().account.header.horizon;
        if by.born < horizon || by.born >= meter.period.end() {
            return;
        }
        self.seq += 1;
        let sent = self.sent.entry((meter, by, is_recovered)).or_default();
        sent.total += more;
        let late = if order == 3 { None } else { sent.late.take() };
        let now = (sent.total, self.seq);
        let arriving: Vec<(u64, i64)> = match order {
            0 => [Some(now), late].into_iter().flatten().collect(),
            1 => [Some(now), late, Some(now)].into_iter().flatten().collect(),
            2 => late.into_iter().collect(),
            _ => {
                sent.late = Some(now);
                Vec::new()
            }
        };
        let cell = if is_recovered { Recovered } else { Live };
        for (nanos, seq) in arriving {
            let units = Units::from_register(nanos);
            report(&*self.ledger, &[write(meter, by, cell, &units.to_string(), seq)]).await;
            let counted = self.counted.entry((meter, by)).or_default();
            *counted = (*counted).max(units);
        }
    }

    async fn suspend(&mut self, meter: usize, by: usize, nanos: u64) {
        let row = Suspense {
            meter: self.meters[meter],
            incarnation: self.incarnations[by],
            reason: SuspenseReason::Multiplier,
            units: Units::from_register(nanos),
            counted: Units::ZERO,
        };
        if self.suspense.iter().all(|(known, _)| known.key() != row.key()) {
            self.ledger.write_suspense(&[row]).await.unwrap();
            self.suspense.push((row, false));
        }
    }

    async fn resolve(&mut self, index: usize, is_charged: bool, faults: Vec<Fault>, told: &str) {
        let Some((row, is_resolved)) = self.suspense.get_mut(index) else { return };
        if std::mem::replace(is_resolved, true) {
            return;
        }
        let (row, wallet, booking) = (*row, self.wallet, booking(&self.ids.to_string()));
        let resolution = if is_charged { Resolution::Charge } else { Resolution::WriteOff };
        self.settle(faults, told, |book| {
            let (booking, units) = (booking.clone(), Some(row.units));
            async move { book.resolve_suspense(wallet, &booking, row.key(), units, resolution).await }
        })
        .await;
        if is_charged {
            let charged = self.charged.entry(row.meter).or_default();
            *charged = charged.plus(row.units).unwrap();
        }
    }

    async fn purge(&self) {
        let horizon = self.other.read(self.wallet).await.unwrap().unwrap().account.header.horizon;
        self.ledger.purge(self.wallet, horizon).await.unwrap();
    }
}
