//! What an invoice may be: whole steps of what Stripe takes.
//!
//! Lines are exact to the nano, a payment is not. The sum is rounded once, half to even, to
//! Stripe's step, and its items share it by the largest remainder: each is its amount rounded down,
//! and the steps that are missing go to those that lost most, the first of them where several lost
//! the same. What rounding left is carried to the next invoice, so nothing is ever lost or added.

use tollgate_metering::{Currency, Money, MoneyError};

use crate::currency::step_nanos;

/// The amount in whole steps, rounded half to even.
///
/// # Errors
/// `OutOfRange`.
pub fn rounded(amount: Money, currency: Currency) -> Result<Money, MoneyError> {
    let step = step_nanos(currency);
    let (whole, rest) = (amount.nanos().div_euclid(step), amount.nanos().rem_euclid(step));
    let is_up = 2 * rest > step || (2 * rest == step && whole % 2 != 0);
    Money::from_nanos((whole + i128::from(is_up)) * step)
}

/// Amounts in whole steps that add up to the rounded sum; none is further than a step from its own.
///
/// # Errors
/// `OutOfRange`.
pub fn shared(amounts: &[Money], currency: Currency) -> Result<Vec<Money>, MoneyError> {
    let step = step_nanos(currency);
    let sum = amounts.iter().try_fold(Money::ZERO, |sum, amount| sum.plus(*amount))?;
    let down = |amount: &Money| amount.nanos().div_euclid(step);
    let lost = |index: usize| amounts[index].nanos().rem_euclid(step);
    let whole: i128 = amounts.iter().map(down).sum();
    // Of n amounts each loses less than a step, so fewer than n are missing.
    let missing = usize::try_from(rounded(sum, currency)?.nanos() / step - whole)
        .expect("rounding down loses");
    let mut order: Vec<usize> = (0..amounts.len()).collect();
    order.sort_by_key(|index| (std::cmp::Reverse(lost(*index)), *index));
    let mut steps: Vec<i128> = amounts.iter().map(down).collect();
    order.into_iter().take(missing).for_each(|index| steps[index] += 1);
    steps.into_iter().map(|steps| Money::from_nanos(steps * step)).collect()
}

#[cfg(test)]
mod tests {
    use tollgate_metering::{Currency, Money};

    use super::{rounded, shared};

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn currency(text: &str) -> Currency {
        text.parse().unwrap()
    }

    #[test]
    fn a_sum_is_rounded_once_half_to_even_to_what_stripe_takes() {
        let check = |amount: &str, code: &str, want: &str| {
            let rounded = rounded(money(amount), currency(code)).unwrap();
            assert_eq!(rounded, money(want), "{amount} {code}");
        };
        check("0.125", "EUR", "0.12");
        check("0.135", "EUR", "0.14");
        check("0.125000001", "EUR", "0.13");
        check("-0.125", "EUR", "-0.12");
        check("-0.125000001", "EUR", "-0.13");
        check("2.5", "JPY", "2");
        check("3.5", "ISK", "4");
        check("1.0149", "KWD", "1.01");
    }

    #[test]
    fn items_share_the_rounded_sum_by_the_largest_remainder() {
        let check = |amounts: &[&str], want: &[&str]| {
            let amounts: Vec<Money> = amounts.iter().map(|text| money(text)).collect();
            let want: Vec<Money> = want.iter().map(|text| money(text)).collect();
            assert_eq!(shared(&amounts, currency("EUR")).unwrap(), want, "{amounts:?}");
        };
        check(&[], &[]);
        check(&["0.004", "0.004", "0.004"], &["0.01", "0", "0"]);
        check(&["0.333333333", "0.333333333", "0.333333334"], &["0.33", "0.33", "0.34"]);
        check(&["1.006", "-0.003"], &["1", "0"]);
        check(&["-0.005", "2"], &["0", "2"]);
        check(&["5", "-2"], &["5", "-2"]);
    }

    #[test]
    fn shares_always_add_up_to_the_rounded_sum() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let count = random.usize(0..40);
            let amount = |_| Money::from_nanos(random.i128(-9_000_000_000..9_000_000_000)).unwrap();
            let amounts: Vec<Money> = (0..count).map(amount).collect();
            for code in ["EUR", "JPY", "ISK", "KWD"] {
                let shares = shared(&amounts, currency(code)).unwrap();
                let sum = |all: &[Money]| {
                    all.iter().fold(Money::ZERO, |sum, each| sum.plus(*each).unwrap())
                };
                assert_eq!(sum(&shares), rounded(sum(&amounts), currency(code)).unwrap());
                let step = crate::currency::step_nanos(currency(code));
                let mut pairs = amounts.iter().zip(&shares);
                assert!(pairs.all(|(a, b)| (a.nanos() - b.nanos()).abs() <= step));
            }
        }
    }
}
