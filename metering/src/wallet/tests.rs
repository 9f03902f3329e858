//! A wallet against the ledger's formula, by cases and by random steps.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::account::Account;
use crate::id::{DeveloperId, Incarnation};
use crate::meter::{Register, Registers};
use crate::protocol::SnapshotMeter;
use crate::rating::{Band, Model, RateBook};
use crate::time::UnixMillis;

mod outside;

const LIMIT: Duration = Duration::from_secs(10);
const WALLET: WalletId = WalletId(Uuid::from_u128(1));

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn units(text: &str) -> Units {
    text.parse().unwrap()
}

fn tariff(plan: u128, revision: u32, billing: BillingType, rates: Rates) -> Arc<Tariff> {
    Arc::new(Tariff {
        product: ProductId(Uuid::from_u128(7)),
        plan: PlanId(Uuid::from_u128(plan)),
        revision,
        billing,
        period: Period::of(UnixMillis(1_795_305_600_000)),
        rates: Arc::new(rates),
    })
}

fn cent() -> Arc<Tariff> {
    tariff(1, 1, BillingType::Prepaid, Rates::flat(money("0.01")).unwrap())
}

fn snapshot(base: &str, others: &[(&Arc<Tariff>, &str)]) -> Snapshot {
    Snapshot {
        wallet: WALLET,
        generation: 1,
        version: 1,
        retirements: 0,
        own_list: 1,
        answered_seq: 1,
        base: money(base),
        floor: Money::ZERO,
        mode: Mode::default(),
        horizon: UnixMillis(0),
        meters: others
            .iter()
            .map(|(tariff, others)| SnapshotMeter {
                meter: tariff.meter(WALLET),
                others: units(others),
                closed_charge: Money::ZERO,
            })
            .collect(),
        others_held: Money::ZERO,
        ceilings: Vec::new(),
    }
}

const ALL: OwnList<'static> =
    OwnList { number: 1, since: Duration::ZERO, has: &|_| true, life_of: &|_| Some(Life(0)) };

/// Takes a snapshot whose tariffs are `known`.
fn take(wallet: &mut Wallet, snapshot: &Snapshot, at: u64, known: &[&Arc<Tariff>]) -> Taken {
    let find = |meter: &Meter| {
        known.iter().find(|tariff| tariff.meter(WALLET) == *meter).map(|found| Arc::clone(found))
    };
    wallet.snapshot(snapshot, Some(Duration::from_secs(at)), ALL, &find).unwrap()
}

fn available(wallet: &Wallet) -> String {
    wallet.view().unwrap().available.to_string()
}

fn hold(wallet: &mut Wallet, tariff: &Arc<Tariff>, at: u64) -> Result<Hold, HoldError> {
    wallet.hold(tariff, Life(0), Units::ONE, Duration::from_secs(at), LIMIT)
}

#[test]
fn a_hold_is_turned_into_units_or_given_back() {
    let (cent, mut wallet) = (cent(), Wallet::default());
    assert_eq!(hold(&mut wallet, &cent, 1), Err(HoldError::Unknown));
    take(&mut wallet, &snapshot("0.03", &[]), 1, &[]);
    assert_eq!(hold(&mut wallet, &cent, 1), Err(HoldError::Unopened));
    wallet.open(&cent, Life(0), 5);
    assert!(matches!(wallet.0, Form::Packed(_)), "the usual wallet is packed");
    let first = hold(&mut wallet, &cent, 1).unwrap();
    let second = hold(&mut wallet, &cent, 1).unwrap();
    let third = hold(&mut wallet, &cent, 1).unwrap();
    let (available_now, price) = (Money::ZERO, money("0.01"));
    let small = HoldError::TooSmall { available: available_now, price };
    assert_eq!(hold(&mut wallet, &cent, 1), Err(small));
    assert_eq!((wallet.held(Life(0)), wallet.open_holds()), (money("0.03"), 3));
    wallet.release(first);
    assert_eq!(available(&wallet), "0.01");
    assert_eq!(wallet.settle(second, units("2.5")).nanos, 2_500_000_000);
    assert_eq!(available(&wallet), "-0.005");
    assert_eq!(wallet.settle(third, Units::ONE).nanos, 3_500_000_000);
    assert_eq!(available(&wallet), "-0.005");
    assert_eq!(wallet.open_holds(), 0);
}

/// The gateway dropped a month's charges from the moment it ended, the ledger some minutes later:
/// in between the gateway believed in money that had been spent.
#[test]
fn a_month_counts_as_long_as_it_does_in_the_ledger() {
    let (cent, mut wallet) = (cent(), Wallet::default());
    let mut ended = snapshot("1", &[(&cent, "30")]);
    ended.horizon = cent.period.end();
    take(&mut wallet, &ended, 1, &[&cent]);
    assert_eq!(available(&wallet), "0.7");
    ended.horizon = cent.period.end().plus(crate::balance::PERIOD_GRACE);
    ended.version = 2;
    take(&mut wallet, &ended, 2, &[&cent]);
    assert_eq!(available(&wallet), "1");
}

#[test]
fn age_runs_from_the_report_that_was_answered() {
    let (cent, mut wallet) = (cent(), Wallet::default());
    wallet.open(&cent, Life(0), 0);
    take(&mut wallet, &snapshot("1", &[]), 5, &[]);
    assert!(hold(&mut wallet, &cent, 15).is_ok());
    assert_eq!(hold(&mut wallet, &cent, 16), Err(HoldError::TooOld));
    wallet.fresh(Duration::from_secs(6));
    assert!(hold(&mut wallet, &cent, 16).is_ok());
    wallet.fresh(Duration::from_secs(3));
    assert!(hold(&mut wallet, &cent, 16).is_ok(), "an older answer makes nothing older");
}

#[test]
fn a_free_call_is_admitted_at_any_balance() {
    let bands = vec![
        Band { up_to: Some(units("2")), price: Money::ZERO },
        Band { up_to: None, price: money("0.5") },
    ];
    let free = tariff(1, 1, BillingType::Prepaid, Rates::banded(bands).unwrap());
    let mut wallet = Wallet::default();
    wallet.open(&free, Life(0), 0);
    take(&mut wallet, &snapshot("-3", &[(&free, "1")]), 1, &[&free]);
    let call = hold(&mut wallet, &free, 1).unwrap();
    assert!(call.amount.is_zero());
    wallet.settle(call, Units::ONE);
    let (available, price) = (money("-3"), money("0.5"));
    assert_eq!(hold(&mut wallet, &free, 1), Err(HoldError::TooSmall { available, price }));
}

#[test]
fn a_call_past_the_last_band_is_refused_whoever_pays() {
    for billing in [BillingType::Prepaid, BillingType::Postpaid] {
        let last = Band { up_to: Some(units("3")), price: money("0.5") };
        let bounded = tariff(1, 1, billing, Rates::banded(vec![last]).unwrap());
        let mut wallet = Wallet::default();
        wallet.open(&bounded, Life(0), 0);
        take(&mut wallet, &snapshot("9", &[(&bounded, "1.5")]), 1, &[&bounded]);
        let call = hold(&mut wallet, &bounded, 1).unwrap();
        wallet.settle(call, units("0.5"));
        // A hold is not counted before it settles: two calls may share the last unit.
        let calls =
            [hold(&mut wallet, &bounded, 1).unwrap(), hold(&mut wallet, &bounded, 1).unwrap()];
        for call in calls {
            wallet.settle(call, Units::ONE);
        }
        let exceeded = HoldError::BandExceeded { units_max: units("3") };
        assert_eq!(hold(&mut wallet, &bounded, 1), Err(exceeded), "{billing:?}");
        let left = if billing == BillingType::Prepaid { "7" } else { "9" };
        assert_eq!(available(&wallet), left, "what came past the end is charged");
    }
}

#[test]
fn a_price_edit_goes_on_with_the_line() {
    let bands = |free: &str, price: &str| {
        Rates::banded(vec![
            Band { up_to: Some(units(free)), price: Money::ZERO },
            Band { up_to: None, price: money(price) },
        ])
        .unwrap()
    };
    let first = tariff(1, 1, BillingType::Prepaid, bands("2", "1"));
    let second = tariff(1, 2, BillingType::Prepaid, bands("2", "3"));
    let mut wallet = Wallet::default();
    wallet.open(&second, Life(0), 0);
    take(&mut wallet, &snapshot("10", &[(&first, "2")]), 1, &[&first]);
    let call = hold(&mut wallet, &second, 1).unwrap();
    assert_eq!(call.amount, money("3"), "the free tier is used up by the earlier revision");
    wallet.settle(call, Units::ONE);
    assert_eq!(available(&wallet), "7");
}

#[test]
fn snapshots_of_several_nodes_merge() {
    let (cent, mut wallet) = (cent(), Wallet::default());
    let newer = Snapshot { version: 2, ..snapshot("20", &[(&cent, "100")]) };
    assert_eq!(take(&mut wallet, &newer, 5, &[&cent]), Taken::Whole);
    assert_eq!(available(&wallet), "19");
    // Another node has read an older account, but more units.
    let older = Snapshot { others_held: money("1"), ..snapshot("5", &[(&cent, "200")]) };
    assert_eq!(take(&mut wallet, &older, 4, &[&cent]), Taken::Partly);
    assert_eq!(available(&wallet), "18", "highest version, greatest units, freshest holds");
    assert_eq!(take(&mut wallet, &older, 6, &[&cent]), Taken::Whole);
    assert_eq!(available(&wallet), "17");
    // A retirement cuts units; what was read before it counts no more.
    let cut = Snapshot { version: 3, retirements: 1, ..snapshot("20", &[(&cent, "50")]) };
    take(&mut wallet, &cut, 6, &[&cent]);
    take(&mut wallet, &older, 6, &[&cent]);
    assert_eq!(available(&wallet), "18.5");
    assert_eq!(wallet.view().unwrap().version, 3);
}

#[test]
fn a_snapshot_of_an_older_list_or_ledger_is_ignored() {
    let (cent, mut wallet) = (cent(), Wallet::default());
    wallet.open(&cent, Life(0), 0);
    take(&mut wallet, &snapshot("1", &[]), 1, &[]);
    let call = hold(&mut wallet, &cent, 1).unwrap();
    wallet.settle(call, Units::ONE);
    // The old incarnation was rotated away and its units are in others' now.
    let has = |life: Life| life == Life(1);
    let list = OwnList { number: 2, since: Duration::from_secs(7), has: &has, life_of: &|_| None };
    let tariffs = |_: &Meter| Some(Arc::clone(&cent));
    let others = snapshot("1", &[(&cent, "1")]);
    let at = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(wallet.snapshot(&others, at(8), list, &tariffs), Ok(Taken::Ignored));
    let echoed = Snapshot { own_list: 2, ..others };
    assert_eq!(wallet.snapshot(&echoed, at(6), list, &tariffs), Ok(Taken::Ignored));
    assert_eq!(available(&wallet), "0.99");
    assert_eq!(wallet.snapshot(&echoed, at(7), list, &tariffs), Ok(Taken::Whole));
    assert_eq!(available(&wallet), "0.99", "the unit moved from own to others");
    assert_eq!(wallet.registers().count(), 0);
    let restored = Snapshot { generation: 2, version: 1, ..echoed.clone() };
    assert_eq!(wallet.snapshot(&restored, at(8), list, &tariffs), Ok(Taken::Whole));
    assert_eq!(wallet.snapshot(&echoed, at(9), list, &tariffs), Ok(Taken::Ignored));
}

#[test]
fn a_restored_ledger_resets_what_the_older_one_said() {
    let (cent, mut wallet) = (cent(), Wallet::default());
    wallet.open(&cent, Life(0), 0);
    take(&mut wallet, &Snapshot { version: 9, ..snapshot("1", &[(&cent, "40")]) }, 1, &[&cent]);
    let call = hold(&mut wallet, &cent, 1).unwrap();
    wallet.settle(call, Units::ONE);
    let restored = Snapshot { generation: 2, version: 3, ..snapshot("1", &[(&cent, "30")]) };
    take(&mut wallet, &restored, 1, &[&cent]);
    assert_eq!(available(&wallet), "0.69");
    wallet.forget(&|_| true);
    assert_eq!(hold(&mut wallet, &cent, 1), Err(HoldError::Unknown));
    assert_eq!(wallet.registers().next().unwrap().1.nanos, 1_000_000_000);
}

#[test]
fn a_full_register_takes_no_hold_and_loses_nothing() {
    let (cent, mut wallet) = (cent(), Wallet::default());
    wallet.open(&cent, Life(0), 0);
    take(&mut wallet, &snapshot("1000000000", &[]), 1, &[]);
    let (call, last) = (hold(&mut wallet, &cent, 1).unwrap(), hold(&mut wallet, &cent, 1).unwrap());
    let settled = wallet.settle(call, units("9000000000"));
    assert!(settled.nanos > ROTATE_AT);
    assert_eq!(hold(&mut wallet, &cent, 1), Err(HoldError::Full));
    let settled = wallet.settle(last, units("1000000000"));
    assert_eq!(settled.nanos, i64::MAX as u64);
    assert_eq!(settled.beyond, units("776627963.145224193"));
}

/// A step of a random run.
#[derive(Clone, Debug)]
enum Step {
    Hold { tariff: usize },
    Settle { nanos: u64 },
    Release,
    Others { tariff: usize, nanos: u64 },
    Credit { nanos: i128 },
    OthersHeld { nanos: i128 },
    Rotate,
    Snapshot,
    Fresh,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4usize).prop_map(|tariff| Step::Hold { tariff }),
        4 => (0..5_000_000_000u64).prop_map(|nanos| Step::Settle { nanos }),
        2 => Just(Step::Release),
        2 => (0..4usize, 0..5_000_000_000u64)
            .prop_map(|(tariff, nanos)| Step::Others { tariff, nanos }),
        2 => (-1_000_000_000..100_000_000_000i128).prop_map(|nanos| Step::Credit { nanos }),
        1 => (0..1_000_000_000i128).prop_map(|nanos| Step::OthersHeld { nanos }),
        1 => Just(Step::Rotate),
        3 => Just(Step::Snapshot),
        1 => Just(Step::Fresh),
    ];
    proptest::collection::vec(step, 1..60)
}

/// The ledger's side of a run: an account, registers of one other gateway and of the wallet's.
struct Ledger {
    account: Account,
    registers: Registers,
    rates: RateBook,
    tariffs: Vec<Arc<Tariff>>,
    others_held: Money,
}

fn incarnation(number: u128) -> Incarnation {
    Incarnation { born: UnixMillis(1_795_305_600_000), id: Uuid::from_u128(number) }
}

impl Ledger {
    fn new() -> Ledger {
        let bands = vec![
            Band { up_to: Some(units("3")), price: Money::ZERO },
            Band { up_to: Some(units("7.5")), price: money("0.333333333") },
            Band { up_to: None, price: money("0.1") },
        ];
        let model = |model| Rates::new(model, bands.clone(), units("0.5")).unwrap();
        let banded = Rates::banded(bands.clone()).unwrap();
        let flat = |price| Rates::flat(money(price)).unwrap();
        let tariffs = vec![
            tariff(1, 1, BillingType::Prepaid, flat("0.01")),
            tariff(2, 1, BillingType::Prepaid, banded),
            tariff(2, 2, BillingType::Prepaid, flat("0.7")),
            tariff(3, 1, BillingType::Postpaid, flat("5")),
            tariff(4, 1, BillingType::Prepaid, model(Model::Tiered)),
            tariff(5, 1, BillingType::Prepaid, model(Model::Stairs)),
        ];
        let mut rates = RateBook::default();
        for tariff in &tariffs {
            rates.add(tariff.plan, tariff.revision, Arc::clone(&tariff.rates));
        }
        let developer = DeveloperId(Uuid::from_u128(2));
        let currency = "EUR".parse().unwrap();
        let at = UnixMillis(0);
        let account = Account::unopened(WALLET, "org", developer, currency, 1, at);
        Ledger { account, registers: BTreeMap::new(), rates, tariffs, others_held: Money::ZERO }
    }

    /// Takes the wallet's registers, as reports would have brought them.
    fn report(&mut self, wallet: &Wallet) {
        for (tariff, own) in wallet.registers() {
            let key = (tariff.meter(WALLET), incarnation(u128::from(own.life.0)));
            let live = Units::from_register(own.nanos);
            self.registers.entry(key).or_default().merge(Register { live, ..Default::default() });
        }
    }

    fn snapshot(&self, own_list: u64, own: &[Life]) -> Snapshot {
        let is_own =
            |other: Incarnation| own.iter().any(|life| incarnation(u128::from(life.0)) == other);
        let others = self.account.units(&self.registers, is_own).unwrap();
        let header = &self.account.header;
        Snapshot {
            version: header.version,
            own_list,
            base: header.base().unwrap(),
            floor: header.overdraft_limit.negated(),
            others_held: self.others_held,
            meters: others
                .into_iter()
                .map(|(meter, others)| {
                    let closed = self.account.meters.get(&meter);
                    let closed_charge = closed.map_or(Money::ZERO, |totals| totals.closed_charge);
                    SnapshotMeter { meter, others, closed_charge }
                })
                .collect(),
            ..snapshot("0", &[])
        }
    }
}

fn unpacked(wallet: &Wallet) -> Whole {
    match &wallet.0 {
        Form::Packed(packed) => packed.unpack(),
        Form::Whole(whole) => (**whole).clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Incremental = formula after every step, and the ledger's own formula after every snapshot.
    #[test]
    fn available_is_what_the_formula_says(steps in steps(), seed in 0..1_000_000usize) {
        let mut ledger = Ledger::new();
        let mut wallet = Wallet::default();
        let mut open: Vec<Hold> = Vec::new();
        let (mut own, mut number, mut now) = (vec![Life(0)], 1, Duration::from_secs(1));
        let slots = RefCell::new(0);
        for (place, step) in steps.into_iter().enumerate() {
            now += Duration::from_millis(10);
            let any = (seed + place * 7) % open.len().max(1);
            match step {
                Step::Hold { tariff } => {
                    let (tariff, life) = (Arc::clone(&ledger.tariffs[tariff]), *own.last().unwrap());
                    let mut answer = wallet.hold(&tariff, life, Units::ONE, now, LIMIT);
                    if answer == Err(HoldError::Unopened) {
                        *slots.borrow_mut() += 1;
                        wallet.open(&tariff, life, *slots.borrow());
                        answer = wallet.hold(&tariff, life, Units::ONE, now, LIMIT);
                    }
                    open.extend(answer.ok());
                }
                Step::Settle { nanos } if !open.is_empty() => {
                    wallet.settle(open.swap_remove(any), Units::from_register(nanos));
                }
                Step::Release if !open.is_empty() => wallet.release(open.swap_remove(any)),
                Step::Others { tariff, nanos } => {
                    let key = (ledger.tariffs[tariff].meter(WALLET), incarnation(99));
                    let register = ledger.registers.entry(key).or_default();
                    register.live = register.live.plus(Units::from_register(nanos)).unwrap();
                }
                Step::Credit { nanos } => {
                    let mut change = ledger.account.change();
                    let more = Money::from_nanos(nanos).unwrap();
                    change.header.credited = change.header.credited.plus(more).unwrap();
                    ledger.account.apply(&change);
                }
                Step::OthersHeld { nanos } => ledger.others_held = Money::from_nanos(nanos).unwrap(),
                Step::Rotate => {
                    // A new incarnation comes; those without open calls are settled and go.
                    let next = Life(own.last().unwrap().0 + 1);
                    own.retain(|life| open.iter().any(|hold| hold.life == *life));
                    own.push(next);
                    number += 1;
                }
                Step::Snapshot => {
                    ledger.report(&wallet);
                    let has = |life: Life| own.contains(&life);
                    let list = OwnList { number, since: Duration::ZERO, has: &has, life_of: &|_| None };
                    let find = |meter: &Meter| {
                        ledger.tariffs.iter().find(|one| one.meter(WALLET) == *meter).cloned()
                    };
                    let told = ledger.snapshot(number, &own);
                    let taken = wallet.snapshot(&told, Some(now), list, &find);
                    prop_assert_eq!(taken, Ok(Taken::Whole));
                    let view = wallet.view().unwrap();
                    let balance = ledger.account.balance(&ledger.registers, &ledger.rates).unwrap();
                    prop_assert_eq!(view.balance, balance);
                    let free = balance.minus(view.held).unwrap().minus(ledger.others_held).unwrap();
                    prop_assert_eq!(view.available, free);
                }
                Step::Fresh => wallet.fresh(now),
                Step::Settle { .. } | Step::Release => {}
            }
            let whole = unpacked(&wallet);
            if whole.known.is_some() {
                prop_assert_eq!(whole.computed(), Ok(whole.available));
            }
            prop_assert_eq!(wallet.open_holds() as usize, open.len());
        }
    }
}
