//! Lines against the account that they split, and against what people would say by hand.

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::balance::PERIOD_GRACE;
use crate::booking::{self, AdjustmentCap, Booking};
use crate::id::{DeveloperId, PlanId, ProductId, WalletId};
use crate::meter::{BillingType, Register};
use crate::rating::{Band, Rates};
use crate::time::Period;

/// Noon of a day in the middle of November 2026.
const NOON: UnixMillis = UnixMillis(1_794_744_000_000);
const TODAY: Day = Day::of(NOON);

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn units(text: &str) -> Units {
    text.parse().unwrap()
}

fn meter(billing: BillingType, revision: u32) -> Meter {
    Meter {
        wallet: WalletId(Uuid::from_u128(1)),
        product: ProductId(Uuid::from_u128(2)),
        plan: PlanId(Uuid::from_u128(3)),
        billing,
        period: Period::of(NOON),
        revision,
    }
}

fn app(number: u128) -> Option<AppId> {
    (number > 0).then(|| AppId(Uuid::from_u128(number)))
}

fn incarnation(number: u128) -> Incarnation {
    Incarnation { born: NOON, id: Uuid::from_u128(number) }
}

/// Ten units free, then 1.5; a price edit makes it 1, another 2.25 flat.
fn rates() -> RateBook {
    let free = |price: &str| {
        let free = Band { up_to: Some(units("10")), price: Money::ZERO };
        Rates::banded(vec![free, Band { up_to: None, price: money(price) }]).unwrap()
    };
    let mut rates = RateBook::default();
    rates.add(PlanId(Uuid::from_u128(3)), 1, Arc::new(free("1.5")));
    rates.add(PlanId(Uuid::from_u128(3)), 2, Arc::new(free("1")));
    rates.add(PlanId(Uuid::from_u128(3)), 3, Arc::new(Rates::flat(money("2.25")).unwrap()));
    rates
}

/// A wallet, its journal and its history, as a ledger would hold them.
struct World {
    account: Account,
    registers: Registers,
    entries: Vec<Entry>,
    usage: BTreeMap<(Meter, Incarnation, Option<AppId>, Day), Units>,
    now: UnixMillis,
}

// === impl World ===

impl World {
    fn new() -> World {
        let (wallet, developer) = (meter(BillingType::Prepaid, 1).wallet, Uuid::from_u128(9));
        let eur = "EUR".parse().unwrap();
        let mut account = Account::unopened(wallet, "acme", DeveloperId(developer), eur, 1, NOON);
        let change = booking::open(&account).unwrap();
        account.apply(&change);
        let (registers, entries, usage) = Default::default();
        World { account, registers, entries, usage, now: NOON }
    }

    fn booking(&self) -> Booking {
        let (id, by) = (format!("b-{}", self.entries.len()), "test".to_owned());
        Booking { id, at: self.now, by, reason: String::new(), is_forced: false }
    }

    fn apply(&mut self, change: crate::account::Change) {
        self.account.apply(&change);
        self.entries.extend(change.entries);
    }

    /// Units that an incarnation counts, for an app or nobody.
    fn count(&mut self, meter: Meter, by: Incarnation, app: Option<AppId>, more: Units) {
        let register = self.registers.entry((meter, by)).or_default();
        register.merge(Register { live: register.live.plus(more).unwrap(), ..Register::default() });
        let (whole, day) = (register.live, Day::of(self.now));
        self.usage.insert((meter, by, None, day), whole);
        if app.is_some() {
            let days =
                self.usage.iter().filter(|(key, _)| (key.0, key.1, key.2) == (meter, by, app));
            let before = days.map(|(_, units)| *units).max().unwrap_or_default();
            self.usage.insert((meter, by, app, day), before.plus(more).unwrap());
        }
    }

    fn fold(&mut self, by: Incarnation) {
        let planned = booking::fold(&self.account, &self.registers, |each| each == by).unwrap();
        planned.into_iter().for_each(|change| self.apply(change));
    }

    fn close(&mut self) {
        let (account, registers) = (&self.account, &self.registers);
        let through = Period::of(NOON);
        let planned =
            booking::checkpoint(account, registers, &rates(), through, self.now, "closing");
        planned.unwrap().into_iter().for_each(|change| self.apply(change));
    }

    fn raise_horizon(&mut self) {
        let horizon = Period::of(NOON).end().plus(PERIOD_GRACE);
        let (account, registers) = (&self.account, &self.registers);
        if let Ok(change) = booking::raise_horizon(account, registers, &rates(), horizon) {
            self.apply(change);
            self.registers.clear();
        }
    }

    fn lines(&self) -> Vec<Line> {
        let total = |(key, units): (&(Meter, Incarnation, Option<AppId>, Day), &Units)| DayTotal {
            meter: key.0,
            incarnation: key.1,
            app: key.2,
            day: key.3,
            units: *units,
        };
        let (usage, rates): (Vec<_>, _) = (self.usage.iter().map(total).collect(), rates());
        let sources = Sources {
            account: &self.account,
            registers: &self.registers,
            rates: &rates,
            entries: &self.entries,
            usage: &usage,
            now: self.now,
        };
        sources.lines().unwrap()
    }

    /// Revision, app, days from today, kind, units and charge of each line.
    fn told(&self) -> Vec<(u32, Option<AppId>, i64, Kind, String, String)> {
        let told = |line: &Line| {
            let (day, kind) = (line.day.0 - TODAY.0, line.kind);
            let (units, charge) = (line.units.to_string(), line.charge.to_string());
            (line.meter.revision, line.app, day, kind, units, charge)
        };
        self.lines().iter().map(told).collect()
    }

    /// Checks that checkpoints of a month are the lines of that month, once all is closed.
    fn check_months(&self, lines: &[Line]) {
        let cutoffs = Cutoffs::of(&self.entries);
        let mut sums: BTreeMap<(Meter, Period), [Money; 2]> = BTreeMap::new();
        let mut add = |meter: Meter, month: Period, side: usize, amount: Money| {
            let sum = &mut sums.entry((meter, month)).or_default()[side];
            *sum = sum.plus(amount).unwrap();
        };
        for line in lines {
            add(line.meter, Period::of(line.day.start()), 0, line.charge);
        }
        for entry in &self.entries {
            if entry.kind.is_checkpoint() {
                add(entry.meter.unwrap(), cutoffs.month(entry), 1, entry.amount);
            }
        }
        let planned = booking::checkpoint(
            &self.account,
            &self.registers,
            &rates(),
            Period::of(NOON),
            self.now,
            "closing",
        );
        if planned.unwrap().is_none() {
            sums.iter().for_each(|(key, [told, closed])| assert_eq!(told, closed, "{key:?}"));
        }
    }

    /// Checks that lines and entries are the balance.
    fn check(&self) {
        let lines = self.lines();
        let mut sum = Money::ZERO;
        for entry in &self.entries {
            sum = match entry.kind {
                EntryKind::Credit => sum.plus(entry.amount).unwrap(),
                EntryKind::Adjustment | EntryKind::Fee => sum.minus(entry.amount).unwrap(),
                _ => sum,
            };
        }
        let mut by_meter: BTreeMap<Meter, Units> = BTreeMap::new();
        for line in &lines {
            let total = by_meter.entry(line.meter).or_default();
            *total = total.plus(line.units).unwrap();
            if line.meter.billing == BillingType::ShadowRefused {
                assert_eq!(line.charge, Money::ZERO, "{line:?}");
            }
            if line.meter.billing == BillingType::Prepaid {
                sum = sum.minus(line.charge).unwrap();
            }
            assert!(line.day <= Day::of(self.now), "{line:?}");
            let end = Day::of(line.meter.period.end());
            assert!(line.kind != Kind::Usage || line.day < end, "{line:?}");
        }
        assert_eq!(sum, self.account.balance(&self.registers, &rates()).unwrap());
        self.check_months(&lines);
        for (meter, units) in self.account.units(&self.registers, |_| false).unwrap() {
            assert_eq!(by_meter.get(&meter).copied().unwrap_or_default(), units, "{meter:?}");
        }
    }
}

fn line(
    revision: u32,
    whose: u128,
    day: i64,
    kind: Kind,
    (units, charge): (&str, &str),
) -> (u32, Option<AppId>, i64, Kind, String, String) {
    (revision, app(whose), day, kind, units.to_owned(), charge.to_owned())
}

#[test]
fn lines_walk_days_and_apps_through_the_bands() {
    let (mut world, prepaid) = (World::new(), meter(BillingType::Prepaid, 1));
    world.count(prepaid, incarnation(1), app(2), units("6"));
    world.count(prepaid, incarnation(2), app(1), units("3"));
    world.count(prepaid, incarnation(2), None, units("2"));
    world.now = NOON.plus(std::time::Duration::from_secs(86_400));
    world.count(prepaid, incarnation(1), app(1), units("1.5"));
    world.count(meter(BillingType::Prepaid, 2), incarnation(1), app(1), units("4"));
    let want = [
        line(1, 1, 0, Kind::Usage, ("3", "0")),
        line(1, 2, 0, Kind::Usage, ("6", "0")),
        line(1, 0, 0, Kind::Usage, ("2", "1.5")),
        line(1, 1, 1, Kind::Usage, ("1.5", "2.25")),
        line(2, 1, 1, Kind::Usage, ("4", "4")),
    ];
    assert_eq!(world.told(), want);
    world.check();

    // A history that was lost is a line of nobody; one that says too much is cut.
    world.usage.retain(|key, _| key.1 != incarnation(2));
    let want = [
        line(1, 2, 0, Kind::Usage, ("6", "0")),
        line(1, 1, 1, Kind::Usage, ("1.5", "0")),
        line(1, 0, 1, Kind::Usage, ("5", "3.75")),
        line(2, 1, 1, Kind::Usage, ("4", "4")),
    ];
    assert_eq!(world.told(), want);
    world.registers.retain(|key, _| key.1 != incarnation(1));
    world.usage.insert((prepaid, incarnation(1), app(7), TODAY), units("1000"));
    world.usage.insert((prepaid, incarnation(1), None, TODAY), units("1000"));
    world.check();
}

#[test]
fn what_comes_after_the_closing_is_late_and_what_it_moves_is_told() {
    let day = |days: u64| std::time::Duration::from_secs(days * 86_400);
    let (mut world, first) = (World::new(), meter(BillingType::Prepaid, 1));
    let second = meter(BillingType::Prepaid, 2);
    world.count(first, incarnation(1), app(1), units("8"));
    world.count(second, incarnation(1), app(1), units("4"));
    let end = first.period.end();
    let last = Day::of(end).0 - 1 - TODAY.0;
    world.now = end.plus(day(1));
    world.close();
    let closed = [line(1, 1, 0, Kind::Usage, ("8", "0")), line(2, 1, 0, Kind::Usage, ("4", "2"))];
    assert_eq!(world.told(), closed);
    // Three more units of the first revision take the rest of the free tier.
    world.now = end.plus(day(2));
    world.count(first, incarnation(1), app(2), units("3"));
    let open = [
        line(1, 1, 0, Kind::Usage, ("8", "0")),
        line(1, 2, last + 3, Kind::Late, ("3", "1.5")),
        line(2, 1, 0, Kind::Usage, ("4", "4")),
        line(2, 0, last, Kind::Rebanded, ("0", "-2")),
        line(2, 0, last + 3, Kind::Rebanded, ("0", "2")),
    ];
    assert_eq!(world.told(), open);
    world.check();
    world.close();
    world.now = end.plus(day(12));
    let booked = open;
    assert_eq!(world.told(), booked, "of the day it was booked on");
    world.fold(incarnation(1));
    world.raise_horizon();
    assert!(!world.account.header.counts_meter(&first));
    assert_eq!(world.told(), booked, "whatever the horizon takes away");
    world.check();
}

/// One thing that happens to a wallet.
#[derive(Clone, Debug)]
enum Step {
    Count { meter: usize, by: u128, app: u128, nanos: u64 },
    Lose(usize),
    Credit(u64),
    Adjust(i64),
    Fee(u64),
    Fold(u128),
    Wait(u64),
    Close,
    RaiseHorizon,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4_usize, 1..4_u128, 0..4_u128, 1..9_000_000_000_u64)
            .prop_map(|(meter, by, app, nanos)| Step::Count { meter, by, app, nanos }),
        1 => (0..100_usize).prop_map(Step::Lose),
        1 => (1..u64::MAX / 4).prop_map(Step::Credit),
        1 => any::<i64>().prop_map(Step::Adjust),
        1 => (1..u64::MAX / 4).prop_map(Step::Fee),
        1 => (1..4_u128).prop_map(Step::Fold),
        3 => (0..9_u64).prop_map(Step::Wait),
        2 => Just(Step::Close),
        1 => Just(Step::RaiseHorizon),
    ]
}

impl World {
    fn take(&mut self, step: &Step) {
        let meters = [1, 2, 3].map(|revision| meter(BillingType::Prepaid, revision));
        let outside = BillingType::ALL.map(|billing| meter(billing, 3));
        let meters = [&meters[..], &outside[1..]].concat();
        let nanos = |nanos: i128| Money::from_nanos(nanos).unwrap();
        let (account, registers, rates) = (&self.account, &self.registers, rates());
        let booking = self.booking();
        let planned = match *step {
            Step::Count { meter, by, app: whose, nanos } => {
                if self.account.header.counts_meter(&meters[meter]) {
                    let more = Units::from_register(nanos);
                    self.count(meters[meter], incarnation(by), app(whose), more);
                }
                return;
            }
            Step::Lose(index) => {
                let lost = self.usage.keys().nth(index).copied();
                lost.map(|key| self.usage.remove(&key));
                return;
            }
            Step::Wait(days) => {
                self.now = self.now.plus(std::time::Duration::from_secs(days * 86_400));
                return;
            }
            Step::Fold(by) => return self.fold(incarnation(by)),
            Step::Close if self.now >= Period::of(NOON).end() => return self.close(),
            Step::Close => return,
            Step::RaiseHorizon => return self.raise_horizon(),
            Step::Credit(amount) => {
                booking::credit(account, registers, &rates, &booking, nanos(amount.into()))
            }
            Step::Adjust(amount) => {
                let (amount, cap) = (nanos(amount.into()), AdjustmentCap::None);
                booking::adjustment(account, registers, &rates, &booking, amount, cap)
            }
            Step::Fee(amount) => {
                booking::fee(account, registers, &rates, &booking, nanos(amount.into()))
            }
        };
        planned.into_iter().for_each(|change| self.apply(change));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_work_adds_up(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
    }
}
