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
    let band = |(end, price): &(&str, &str)| Band {
        up_to: (!end.is_empty()).then(|| units(end)),
        price: money(price),
    };
    Rates::banded(bands.iter().map(band).collect()).unwrap()
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
fn prices_that_are_no_plan_are_refused_by_band() {
    let band = |end: Option<&str>, price: &str| Band { up_to: end.map(units), price: money(price) };
    assert_eq!(Rates::banded(vec![]), Err(RatesError::Empty));
    assert_eq!(Rates::flat(money("-1")), Err(RatesError::NegativePrice { band: 1 }));
    let falling = vec![band(Some("5"), "1"), band(Some("5"), "1"), band(None, "1")];
    assert_eq!(Rates::banded(falling), Err(RatesError::Order { band: 2 }));
    assert_eq!(Rates::banded(vec![band(Some("5"), "1")]), Err(RatesError::End { band: 1 }));
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

proptest! {
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
