//! Rating against Apigee's documented arithmetic, and the laws that every plan obeys.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::id::{ProductId, WalletId};
use crate::meter::BillingType;
use crate::time::{Period, UnixMillis};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn units(text: &str) -> Units {
    text.parse().unwrap()
}

fn banded(bands: &[(&str, &str)]) -> Rates {
    rates(Model::Marginal, bands, "0")
}

fn rates(model: Model, bands: &[(&str, &str)], free: &str) -> Rates {
    let band = |(end, price): &(&str, &str)| Band {
        up_to: (!end.is_empty()).then(|| units(end)),
        price: money(price),
    };
    Rates::new(model, bands.iter().map(band).collect(), units(free)).unwrap()
}

#[test]
fn documented_bands_cost_what_the_documents_say() {
    let apigee = banded(&[("100", "2"), ("200", "1.5"), ("", "1")]);
    let manual = banded(&[("1000", "2"), ("", "1")]);
    let free_tier = banded(&[("10", "0"), ("", "0.01")]);
    let tiny = banded(&[("", "0.000000001")]);
    let check = |rows: &[(&Rates, &str, &str)]| {
        for (rates, total, want) in rows {
            assert_eq!(rates.charge(units(total)).unwrap(), money(want), "{total} units");
        }
    };
    check(&[
        (&apigee, "50", "100"),
        (&apigee, "150", "275"),
        (&apigee, "250", "400"),
        (&apigee, "500", "650"),
        (&manual, "1500", "2500"),
        (&free_tier, "10", "0"),
        (&free_tier, "12.5", "0.025"),
        // Half a nano rounds to even, once, after the sum.
        (&tiny, "0.5", "0"),
        (&tiny, "1.5", "0.000000002"),
        (&tiny, "2.5", "0.000000002"),
        (&tiny, "2.500000001", "0.000000003"),
    ]);
}

#[test]
fn each_model_costs_what_its_rule_says() {
    let falling = [("100", "2"), ("200", "1.5"), ("", "1")];
    let tiered = rates(Model::Tiered, &falling, "0");
    let rising = rates(Model::Tiered, &[("10", "1"), ("", "2")], "0");
    let free_first = rates(Model::Tiered, &[("10", "0"), ("", "0.1")], "0");
    let bundles = rates(Model::Stairs, &[("1000", "100"), ("", "50")], "0");
    let bounded = rates(Model::Stairs, &[("100", "75"), ("200", "25")], "0");
    let freemium = rates(Model::Marginal, &[("100", "0.5"), ("1000", "0.25")], "10");
    let gift = rates(Model::Stairs, &[("", "7")], "1000000000000000000");
    let check = |rows: &[(&Rates, &str, &str)]| {
        for (rates, total, want) in rows {
            assert_eq!(rates.charge(units(total)).unwrap(), money(want), "{total} units");
        }
    };
    check(&[
        (&tiered, "0", "0"),
        (&tiered, "50", "100"),
        (&tiered, "100", "200"),
        // 101 units at 1.50 would be 151.50: never less than 100 units cost.
        (&tiered, "101", "200"),
        (&tiered, "133.333333333", "200"),
        (&tiered, "133.333333334", "200.000000001"),
        (&tiered, "150", "225"),
        (&tiered, "200", "300"),
        (&tiered, "300", "300"),
        (&tiered, "500", "500"),
        (&rising, "10", "10"),
        // All units at the price of the tier: one nano-unit more makes ten units dearer.
        (&rising, "10.000000001", "20.000000002"),
        (&rising, "11", "22"),
        (&free_first, "10", "0"),
        (&free_first, "11", "1.1"),
        (&bundles, "0", "0"),
        (&bundles, "0.000000001", "100"),
        (&bundles, "1000", "100"),
        (&bundles, "1010", "150"),
        (&bounded, "50", "75"),
        (&bounded, "150", "100"),
        // What gateways let through past the end is in the last band.
        (&bounded, "900", "100"),
        // Edge's bands touch: 0 to 100 and 100 to 1000, after ten free units.
        (&freemium, "10", "0"),
        (&freemium, "10.5", "0.25"),
        (&freemium, "110", "50"),
        (&freemium, "110.5", "50.125"),
        (&freemium, "1010", "275"),
        (&freemium, "1011", "275.25"),
        (&gift, "1000000000", "0"),
    ]);
}

#[test]
fn a_bounded_last_band_ends_after_its_free_units() {
    let bounded = rates(Model::Marginal, &[("100", "1")], "10");
    assert_eq!(bounded.units_max(), Some(units("110")));
    assert!(!bounded.is_exceeded(units("109")));
    assert!(bounded.is_exceeded(units("109.5")));
    assert!(bounded.is_exceeded(units("110")));
    assert!(bounded.is_exceeded(units("300")));
    assert!(!Rates::flat(money("1")).unwrap().is_exceeded(Units::MAX));
}

#[test]
fn a_charge_is_explained_line_by_line() {
    let line = |part, units_: &str, price: &str, amount: &str| {
        let (units, price) = (units(units_), money(price));
        (Line { part, units, price, amount: Exact::ZERO }, amount.to_owned())
    };
    let check = |rates: &Rates, (from, more): (&str, &str), want: &[(Line, String)]| {
        let lines = rates.explain(units(from), units(more)).unwrap().lines;
        let lines = lines.into_iter();
        let lines: Vec<_> = lines
            .map(|line| (Line { amount: Exact::ZERO, ..line }, line.amount.to_string()))
            .collect();
        assert_eq!(lines, want);
    };
    let freemium = rates(Model::Marginal, &[("100", "0.5"), ("", "0.000000001")], "10");
    check(
        &freemium,
        ("0", "110.25"),
        &[
            line(Part::Free, "10", "0", "0"),
            line(Part::Band(1), "100", "0.5", "50"),
            line(Part::Band(2), "0.25", "0.000000001", "0.00000000025"),
        ],
    );
    check(
        &rates(Model::Stairs, &[("100", "75"), ("", "25")], "0"),
        ("50", "60"),
        &[line(Part::Step(1), "50", "75", "0"), line(Part::Step(2), "10", "25", "25")],
    );
    let tiered = rates(Model::Tiered, &[("100", "2"), ("", "1.5")], "0");
    check(&tiered, ("0", "150"), &[line(Part::Tier(2), "150", "1.5", "225")]);
    check(
        &tiered,
        ("50", "60"),
        &[
            line(Part::Tier(1), "100", "2", "200"),
            line(Part::Discounted(2), "10", "0", "0"),
            line(Part::Before, "50", "0", "-100"),
        ],
    );
    assert_eq!(
        freemium.explain(units("0"), units("110.5")).unwrap().rounding.to_string(),
        "-0.0000000005"
    );
}

#[test]
fn prices_that_are_no_plan_are_refused_by_band() {
    let band = |end: Option<&str>, price: &str| Band { up_to: end.map(units), price: money(price) };
    assert_eq!(Rates::banded(vec![]), Err(RatesError::Empty));
    assert_eq!(Rates::flat(money("-1")), Err(RatesError::NegativePrice { band: 1 }));
    let falling = vec![band(Some("5"), "1"), band(Some("5"), "1"), band(None, "1")];
    assert_eq!(Rates::banded(falling), Err(RatesError::Order { band: 2 }));
    let open = vec![band(None, "1"), band(None, "1")];
    assert_eq!(Rates::banded(open), Err(RatesError::End { band: 1 }));
}

#[test]
fn a_charge_out_of_range_is_an_error() {
    let rates = Rates::flat(Money::MAX).unwrap();
    assert_eq!(rates.charge(units("2")), Err(MoneyError::OutOfRange));
    assert_eq!(rates.charge(Units::MAX), Err(MoneyError::OutOfRange));
}

fn meter(revision: u32) -> Meter {
    Meter {
        wallet: WalletId(Uuid::from_u128(1)),
        product: ProductId(Uuid::from_u128(2)),
        plan: PlanId(Uuid::from_u128(3)),
        billing: BillingType::Prepaid,
        period: Period::of(UnixMillis(1_795_305_600_000)),
        revision,
    }
}

#[test]
fn revisions_of_a_period_are_walked_as_one_line() {
    let mut book = RateBook::default();
    book.add(meter(1).plan, 1, Arc::new(banded(&[("10", "0"), ("", "2")])));
    book.add(meter(1).plan, 2, Arc::new(banded(&[("10", "0"), ("", "3")])));
    let line = [(meter(1), units("8")), (meter(2), units("5"))];
    // The free tier is 10 units of the period, not of each revision: 2 are left, 3 cost 3 each.
    assert_eq!(charges(&book, line).unwrap(), vec![(meter(1), money("0")), (meter(2), money("9"))]);
    // Late units of the first revision may make the second cheaper or dearer, never wrong in sum.
    let late = [(meter(1), units("12")), (meter(2), units("5"))];
    assert_eq!(
        charges(&book, late).unwrap(),
        vec![(meter(1), money("4")), (meter(2), money("15"))]
    );
}

prop_compose! {
    fn plan()(prices in prop::collection::vec(0..5_000_000_000i128, 1..5),
              widths in prop::collection::vec(1..20_000_000_000u128, 4)) -> Rates {
        let mut end = 0;
        let last = prices.len() - 1;
        let bands = prices.iter().enumerate().map(|(index, price)| {
            end += widths[index.min(3)];
            Band {
                up_to: (index < last).then(|| Units::from_nanos(end).unwrap()),
                price: Money::from_nanos(*price).unwrap(),
            }
        });
        Rates::banded(bands.collect()).unwrap()
    }
}

prop_compose! {
    /// Few nano-units and nanos, so that every total can be tried.
    fn tiny()(model in prop::sample::select(vec![Model::Marginal, Model::Tiered, Model::Stairs]),
              prices in prop::collection::vec(0..7i128, 1..5),
              widths in prop::collection::vec(1..9u128, 5),
              free in 0..4u128,
              is_bounded: bool) -> Rates {
        let mut end = 0;
        let last = prices.len() - 1;
        let bands = prices.iter().zip(widths).enumerate().map(|(index, (price, width))| {
            end += width;
            Band {
                up_to: (index < last || is_bounded).then(|| Units::from_nanos(end).unwrap()),
                price: Money::from_nanos(*price).unwrap(),
            }
        });
        Rates::new(model, bands.collect(), Units::from_nanos(free).unwrap()).unwrap()
    }
}

/// What nano-units cost in 10⁻¹⁸, by the rule of the model and nothing else, one after the other.
fn slowly(rates: &Rates, total: u128) -> i128 {
    let total = total.saturating_sub(rates.free().nanos());
    let price = |unit: u128| {
        let ends = |band: &&Band| band.up_to.is_none_or(|end| end.nanos() >= unit);
        rates.bands().iter().find(ends).unwrap_or(&rates.bands()[rates.bands().len() - 1]).price
    };
    let band = |unit: u128| {
        let before = |band: &&Band| band.up_to.is_some_and(|end| end.nanos() < unit);
        rates.bands().iter().filter(before).count().min(rates.bands().len() - 1)
    };
    let all = 1..=total;
    match rates.model() {
        Model::Marginal => all.map(|unit| price(unit).nanos()).sum(),
        Model::Tiered => {
            all.map(|unit| price(unit).nanos() * i128::try_from(unit).unwrap()).max().unwrap_or(0)
        }
        Model::Stairs => {
            let entered: std::collections::BTreeSet<usize> = all.map(band).collect();
            entered.iter().map(|band| rates.bands()[*band].price.nanos() * SCALE).sum()
        }
    }
}

/// Past this many nano-units a tiny plan goes on as it is: 5 bands of 9, the dearest of them 6 times
/// as dear as the last.
const TINY_END: u128 = 5 * 9 * 6 + 60;

proptest! {
    #[test]
    fn charges_are_those_of_the_rule(rates in tiny(), total in 0..TINY_END) {
        let exact = rates.exact(Units::from_nanos(total).unwrap().beyond(rates.free())).unwrap();
        prop_assert_eq!(exact, slowly(&rates, total));
    }

    #[test]
    fn charges_never_fall(rates in tiny()) {
        let charges = (0..TINY_END).map(|total| slowly(&rates, total)).collect::<Vec<_>>();
        prop_assert!(charges.is_sorted());
        prop_assert_eq!(charges[0], 0);
    }

    #[test]
    fn holds_cover_any_call(rates in tiny(), total in 0..60u128, more in 0..50u128) {
        let charges = (0..TINY_END + 60).map(|total| slowly(&rates, total)).collect::<Vec<_>>();
        let rise = |from: u128| charges[(from + more) as usize] - charges[from as usize];
        let dearest = (total..TINY_END).map(rise).max().unwrap();
        let most = rates.most(Units::from_nanos(total).unwrap(), Units::from_nanos(more).unwrap());
        let (most, dearest) = (most.unwrap().nanos(), (dearest + SCALE - 1) / SCALE);
        match rates.model() {
            // A hold across bands takes the dearest for all of its units.
            Model::Marginal => prop_assert!(most >= dearest),
            Model::Tiered | Model::Stairs => prop_assert_eq!(most, dearest),
        }
    }

    #[test]
    fn free_units_ahead_are_those_that_raise_no_charge(rates in tiny(), total in 0..60u128) {
        let charges = (0..TINY_END).map(|total| slowly(&rates, total)).collect::<Vec<_>>();
        let last_rise = (1..charges.len()).rfind(|at| charges[*at] > charges[at - 1]).unwrap_or(0);
        let free = (total as usize + 1..last_rise).filter(|at| charges[*at] == charges[at - 1]);
        let ahead = rates.free_ahead(Units::from_nanos(total).unwrap()).nanos();
        prop_assert!(ahead >= free.count() as u128, "{} ahead", ahead);
    }

    #[test]
    fn lines_add_up_to_the_charge(rates in tiny(), total in 0..90u128, more in 0..90u128) {
        let (total, more) = (Units::from_nanos(total).unwrap(), Units::from_nanos(more).unwrap());
        let told = rates.explain(total, more).unwrap();
        let sum: i128 = told.lines.iter().map(|line| line.amount.attos()).sum();
        prop_assert_eq!(told.charge, rates.marginal(total, more).unwrap());
        prop_assert_eq!(sum + told.rounding.attos(), told.charge.nanos() * SCALE);
        prop_assert!(told.rounding.attos().abs() <= SCALE);
        let exact = |total: Units| slowly(&rates, total.nanos());
        prop_assert_eq!(sum, exact(total.plus(more).unwrap()) - exact(total));
        let counted = |line: &&Line| line.part != Part::Before;
        let units = told.lines.iter().filter(counted).map(|line| line.units.nanos()).sum::<u128>();
        let before = told.lines.iter().find(|line| line.part == Part::Before);
        prop_assert_eq!(units - before.map_or(0, |line| line.units.nanos()), more.nanos());
    }

    #[test]
    fn marginal_charges_add_up(rates in plan(), parts in prop::collection::vec(0..9_000_000_000u128, 1..20)) {
        let mut total = Units::ZERO;
        let mut sum = Money::ZERO;
        for part in parts {
            let more = Units::from_nanos(part).unwrap();
            sum = sum.plus(rates.marginal(total, more).unwrap()).unwrap();
            total = total.plus(more).unwrap();
        }
        prop_assert_eq!(sum, rates.charge(total).unwrap());
    }

    #[test]
    fn more_units_never_cost_less(rates in plan(), total in 0..90_000_000_000u128, more in 0..9_000_000_000u128) {
        let total = Units::from_nanos(total).unwrap();
        let more = Units::from_nanos(more).unwrap();
        prop_assert!(!rates.marginal(total, more).unwrap().is_negative());
    }

    #[test]
    fn the_short_cut_of_flat_plans_is_exact(price in 0..5_000_000_000i128, whole in 0..1_000_000u128) {
        let rates = Rates::flat(Money::from_nanos(price).unwrap()).unwrap();
        let total = Units::from_nanos(whole * 1_000_000_000).unwrap();
        let next = total.plus(Units::ONE).unwrap();
        let long = rates.charge(next).unwrap().minus(rates.charge(total).unwrap()).unwrap();
        prop_assert_eq!(rates.marginal(total, Units::ONE).unwrap(), long);
    }
}
