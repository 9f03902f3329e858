//! Bounds by hand, and what must hold of every one.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::id::{DeveloperId, PlanId, ProductId, WalletId};
use crate::meter::{Meter, Register};
use crate::rating::Band;
use crate::time::UnixMillis;

const OPTIMISTIC: Mode = Mode { overspend: Overspend::Optimistic, counter: 0, is_changing: false };

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn units(text: &str) -> Units {
    text.parse().unwrap()
}

fn standing(gateways: u32, a_second: &str, above_floor: &str) -> Standing {
    Standing {
        gateways,
        fastest: Some(Pace::of(money(a_second), Duration::from_secs(1))),
        above_floor: money(above_floor),
        free_tiers: Money::ZERO,
        dearest: Money::ZERO,
        uncovered: Money::ZERO,
    }
}

#[test]
fn a_bound_is_the_lesser_of_pace_and_money_and_open_calls_on_top() {
    let age = Duration::from_millis(500);
    let check = |standing: Standing, want: &str| {
        let bound = exposure(OPTIMISTIC, &standing, age);
        // Roundings are up, by a microsecond's spending at most.
        let most = bound.most.nanos() - money(want).nanos();
        assert!((0..=100_000).contains(&most), "{bound:?}, not {want}, of {standing:?}");
        assert!(!bound.is_promised, "{standing:?}");
    };
    check(standing(1, "10", "100"), "0");
    check(standing(4, "10", "100"), "15");
    check(standing(4, "10", "2"), "6");
    // Calls come whole: a slow gateway's next one may come at once.
    check(Standing { dearest: money("0.25"), ..standing(4, "10", "100") }, "15.75");
    check(Standing { dearest: money("0.25"), ..standing(4, "0", "100") }, "0.75");
    check(standing(4, "10", "-3"), "0");
    check(standing(0, "10", "100"), "0");
    check(Standing { fastest: None, ..standing(4, "0", "100") }, "300");
    check(Standing { free_tiers: money("1"), ..standing(4, "10", "2") }, "9");
    check(Standing { uncovered: money("0.5"), ..standing(4, "10", "-3") }, "0.5");
    check(Standing { uncovered: money("0.5"), ..standing(1, "10", "5") }, "0.5");
}

#[test]
fn a_strict_wallet_promises_nothing_lost_unless_it_is_changing() {
    let (standing, age) = (standing(4, "10", "100"), Duration::from_secs(1));
    let strict = Mode { overspend: Overspend::Strict, counter: 1, is_changing: false };
    let want = Exposure { most: Money::ZERO, is_promised: true };
    assert_eq!(exposure(strict, &standing, age), want);
    let changing = Mode { is_changing: true, ..strict };
    assert_eq!(exposure(changing, &standing, age), exposure(OPTIMISTIC, &standing, age));
}

#[test]
fn knowledge_ages_by_what_it_passes() {
    let ms = Duration::from_millis;
    let delays = Delays {
        sync_interval: ms(100),
        one_way: ms(5),
        persist_interval: ms(1_000),
        ledger_write: ms(20),
        staleness_limit: ms(10_000),
    };
    let rows =
        [(false, false, 215), (true, false, 2_235), (false, true, 10_215), (true, true, 12_235)];
    for (is_shared, is_stale, want) in rows {
        assert_eq!(delays.age(Circumstances { is_shared, is_stale }), ms(want));
    }
}

#[test]
fn open_calls_may_settle_their_multiplier_beyond_the_hold() {
    let rows = [("0.5", "1", "0"), ("0.5", "3", "1"), ("0.5", "0.1", "0"), ("-1", "3", "0")];
    for (held, multiplier, want) in rows {
        assert_eq!(uncovered(money(held), units(multiplier)), money(want), "{held} × {multiplier}");
    }
    assert_eq!(uncovered(Money::MAX, units("3")), Money::MAX);
}

fn incarnation(number: u128) -> Incarnation {
    Incarnation { born: UnixMillis(1_795_348_800_000), id: Uuid::from_u128(number) }
}

/// An account with a meter of the running period, its registers and prices.
fn ground(bands: &[(Option<&str>, &str)]) -> (Account, Meter, RateBook) {
    let now = UnixMillis(1_795_348_800_000);
    let (wallet, developer) = (WalletId(Uuid::from_u128(1)), DeveloperId(Uuid::from_u128(2)));
    let account =
        Account::unopened(wallet, "acme", developer, "EUR".parse().unwrap(), 1, UnixMillis(0));
    let meter = Meter {
        wallet,
        product: ProductId(Uuid::from_u128(3)),
        plan: PlanId(Uuid::from_u128(4)),
        billing: BillingType::Prepaid,
        period: Period::of(now),
        revision: 1,
    };
    let band =
        |(end, price): &(Option<&str>, &str)| Band { up_to: end.map(units), price: money(price) };
    let rates = Rates::banded(bands.iter().map(band).collect()).unwrap();
    let mut book = RateBook::default();
    book.add(meter.plan, 1, rates.into());
    (account, meter, book)
}

#[test]
fn free_units_count_at_full_price_until_they_are_used() {
    let bands = [(Some("100"), "0"), (Some("150"), "0.02"), (Some("200"), "0"), (None, "0.01")];
    let (account, meter, rates) = ground(&bands);
    let running = meter.period;
    let check = |counted: &str, want: &str| {
        let register = Register { live: units(counted), recovered: Units::ZERO };
        let registers = Registers::from([((meter, incarnation(1)), register)]);
        let found = free_tiers(&account, &registers, &rates, running).unwrap();
        assert_eq!(found, money(want), "{counted} counted");
        let later = Period::from_number(running.number() + 1).unwrap();
        let other = free_tiers(&account, &registers, &rates, later).unwrap();
        assert_eq!(other, Money::ZERO, "of another period nothing is given away");
    };
    check("0", "3");
    check("40", "2.2");
    check("120", "1");
    check("180", "0.4");
    check("500", "0");
    let (account, meter, rates) = ground(&[(None, "0")]);
    let register = Register { live: units("5"), recovered: Units::ZERO };
    let registers = Registers::from([((meter, incarnation(1)), register)]);
    assert_eq!(free_tiers(&account, &registers, &rates, running).unwrap(), Money::ZERO);
}

#[test]
fn the_fastest_gateway_is_remembered_for_a_while() {
    let (_, meter, rates) = ground(&[(Some("10"), "0"), (None, "0.5")]);
    let mut fastest = Fastest::default();
    let mut look = |at_ms: u64, counted: &[&str]| {
        let registers: Registers = (1..)
            .zip(counted)
            .map(|(number, total)| {
                let register = Register { live: units(total), recovered: Units::ZERO };
                ((meter, incarnation(number)), register)
            })
            .collect();
        fastest.look(spent_by(&registers, &rates).unwrap(), Duration::from_millis(at_ms));
        (fastest.pace(), fastest.gateways())
    };
    let a_second = |text: &str| Some(Pace::of(money(text), Duration::from_secs(1)));
    assert_eq!(look(0, &["5", "0"]), (None, 0));
    assert_eq!(look(900, &["9", "0"]), (None, 0), "too soon to say");
    assert_eq!(look(2_000, &["9", "8"]), (a_second("2"), 2), "free units count as well");
    assert_eq!(look(3_000, &["9", "9"]), (a_second("2"), 2), "it is not forgotten at once");
    assert_eq!(look(13_000, &["9", "9"]), (a_second("2"), 2));
    assert_eq!(look(24_000, &["9", "9"]), (a_second("0"), 0), "but it is in the end");
    assert_eq!(look(25_000, &["9"]), (a_second("0"), 0), "one that was purged has spent nothing");
}

fn any_money() -> impl Strategy<Value = Money> {
    let nanos = prop_oneof![-1_000_i128..1_000_000_000_000, Just(Money::MAX.nanos())];
    nanos.prop_map(|nanos| Money::from_nanos(nanos).unwrap())
}

proptest! {
    #[test]
    fn bounds_grow_with_each_input(
        gateways in (0_u32..200, 0_u32..200),
        pace in (any_money(), any_money()),
        is_measured in any::<bool>(),
        above in (any_money(), any_money()),
        free in (any_money(), any_money()),
        open in (any_money(), any_money()),
        age_ms in (0_u64..100_000, 0_u64..100_000),
        is_strict in any::<bool>(),
        is_changing in any::<bool>(),
    ) {
        let overspend = if is_strict { Overspend::Strict } else { Overspend::Optimistic };
        let mode = Mode { overspend, counter: 1, is_changing };
        let second = Duration::from_secs(1);
        let of = |gateways, pace: Money, above_floor, free_tiers: Money, uncovered| Standing {
            gateways,
            fastest: is_measured.then(|| Pace::of(pace, second)),
            above_floor,
            free_tiers: free_tiers.max(Money::ZERO),
            dearest: Money::ZERO,
            uncovered,
        };
        let age = |ms| Duration::from_millis(ms);
        let least = of(
            gateways.0.min(gateways.1),
            pace.0.min(pace.1),
            above.0.min(above.1),
            free.0.min(free.1),
            open.0.min(open.1),
        );
        let most = of(
            gateways.0.max(gateways.1),
            pace.0.max(pace.1),
            above.0.max(above.1),
            free.0.max(free.1),
            open.0.max(open.1),
        );
        let (young, old) = (age(age_ms.0.min(age_ms.1)), age(age_ms.0.max(age_ms.1)));
        let small = exposure(mode, &least, young);
        prop_assert!(!small.most.is_negative());
        prop_assert_eq!(small.is_promised, is_strict && !is_changing);
        let steps = [
            Standing { gateways: most.gateways, ..least },
            Standing { fastest: most.fastest, ..least },
            Standing { fastest: None, ..least },
            Standing { above_floor: most.above_floor, ..least },
            Standing { free_tiers: most.free_tiers, ..least },
            Standing { uncovered: most.uncovered, ..least },
            Standing { dearest: most.above_floor.max(Money::ZERO), ..least },
            most,
        ];
        for step in steps {
            prop_assert!(exposure(mode, &step, young).most >= small.most, "{:?}", step);
        }
        prop_assert!(exposure(mode, &least, old).most >= small.most);
        // What one gateway alone can do with what it knows is no overspend.
        let alone = Standing { gateways: 1, uncovered: Money::ZERO, ..most };
        prop_assert_eq!(exposure(mode, &alone, old).most, Money::ZERO);
    }
}
