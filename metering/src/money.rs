//! Exact amounts of money.
//!
//! An amount is a whole number of nanos (10⁻⁹ of a currency unit), as Apigee's `units` + `nanos`
//! writes it. Every operation is checked: overflow or a lost digit is an error, never a wrap, a
//! clamp or a rounding. Not here: which currency an amount is in (the wallet says it once) and
//! how units become money (`rating`).

use std::fmt;
use std::str::FromStr;

use crate::decimal;

/// Nanos in one currency unit.
pub const NANOS_PER_UNIT: i128 = 1_000_000_000;

/// Largest amount of currency units on either side of zero: `i64::MAX`, Apigee's `units`.
const UNITS_MAX: i128 = i64::MAX as i128;

/// An exact amount of money in nanos, negative for a debt.
///
/// Range: ±(2⁶³ − 1) currency units and 999,999,999 nanos, what Apigee's Money can write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

/// Why an amount cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The result lies outside the range of [`Money`].
    #[error("amount is out of range: at most 9223372036854775807.999999999 either side of zero")]
    OutOfRange,
    /// More than nine digits after the point.
    #[error("amount has more than 9 digits after the point")]
    TooManyDecimals,
    /// Not a plain decimal number.
    #[error("not a decimal amount")]
    Malformed,
    /// `units` and `nanos` point to different sides of zero, or nanos reach a whole unit.
    #[error(
        "nanos must lie between -999999999 and 999999999 and have no other sign than a negative amount's"
    )]
    Nanos,
}

// === impl Money ===

impl Money {
    /// No money.
    pub const ZERO: Money = Money(0);
    /// The largest amount.
    pub const MAX: Money = Money(UNITS_MAX * NANOS_PER_UNIT + NANOS_PER_UNIT - 1);
    /// The largest debt.
    pub const MIN: Money = Money(-Money::MAX.0);

    /// An amount of `nanos` (10⁻⁹ of a currency unit).
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub const fn from_nanos(nanos: i128) -> Result<Money, MoneyError> {
        if nanos > Money::MAX.0 || nanos < Money::MIN.0 {
            return Err(MoneyError::OutOfRange);
        }
        Ok(Money(nanos))
    }

    /// An amount as Apigee's Money writes it. Positive nanos beside negative units are read with
    /// the sign of the units (−50 and 100,000,000 is −50.1), as the samples of Apigee's page on
    /// prepaid balances do.
    ///
    /// # Errors
    /// [`MoneyError::Nanos`] where nanos reach a whole unit or are negative beside positive units.
    pub const fn from_units_nanos(units: i64, nanos: i32) -> Result<Money, MoneyError> {
        if nanos <= -1_000_000_000 || nanos >= 1_000_000_000 || (units > 0 && nanos < 0) {
            return Err(MoneyError::Nanos);
        }
        let nanos = if units < 0 { -(nanos.abs() as i128) } else { nanos as i128 };
        Money::from_nanos(units as i128 * NANOS_PER_UNIT + nanos)
    }

    /// The amount in nanos.
    #[must_use]
    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// The amount as Apigee's Money writes it: both parts have the amount's sign.
    #[must_use]
    pub fn units_nanos(self) -> (i64, i32) {
        let units = i64::try_from(self.0 / NANOS_PER_UNIT).expect("the range is i64 units");
        let nanos = i32::try_from(self.0 % NANOS_PER_UNIT).expect("a remainder of 10^9 fits");
        (units, nanos)
    }

    /// `self + other`.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub const fn plus(self, other: Money) -> Result<Money, MoneyError> {
        // Both lie far inside i128, so the sum cannot wrap before the range is checked.
        Money::from_nanos(self.0 + other.0)
    }

    /// `self − other`.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub const fn minus(self, other: Money) -> Result<Money, MoneyError> {
        Money::from_nanos(self.0 - other.0)
    }

    /// `part / whole` of the amount, rounded once, half to even, to nanos.
    ///
    /// # Panics
    /// Where `whole` is zero or less than `part`.
    #[must_use]
    pub const fn prorated(self, part: u32, whole: u32) -> Money {
        assert!(0 < whole && part <= whole);
        // The range times 2³² lies inside i128.
        let (product, whole) = (self.0 * part as i128, whole as i128);
        let (quotient, rest) = (product.div_euclid(whole), product.rem_euclid(whole));
        let is_up = 2 * rest > whole || (2 * rest == whole && quotient % 2 != 0);
        Money(if is_up { quotient + 1 } else { quotient })
    }

    /// The same amount on the other side of zero.
    #[must_use]
    pub const fn negated(self) -> Money {
        Money(-self.0)
    }

    /// Whether this is a debt.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether this is no money at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// How far the amount is below zero: the overdraft of a balance.
    #[must_use]
    pub const fn debt(self) -> Money {
        if self.0 < 0 { self.negated() } else { Money::ZERO }
    }
}

impl fmt::Display for Money {
    /// The shortest decimal: `150.21`, `-0.000000001`, `3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal::write(f, self.0 < 0, self.0.unsigned_abs())
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Reads a plain decimal (no exponent, no grouping): `-150.21`.
    fn from_str(text: &str) -> Result<Money, MoneyError> {
        let (is_negative, magnitude) = decimal::read(text)?;
        let nanos = i128::try_from(magnitude).map_err(|_| MoneyError::OutOfRange)?;
        Money::from_nanos(if is_negative { -nanos } else { nanos })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_amounts_are_read_as_the_documents_say() {
        // −50 and 100000000 raise 150 to 200.1 in Apigee's page on prepaid balances.
        let adjustment = Money::from_units_nanos(-50, 100_000_000).unwrap();
        assert_eq!(adjustment.to_string(), "-50.1");
        let sum = "150.50".parse::<Money>().unwrap().plus("150.21".parse().unwrap());
        assert_eq!(sum.unwrap().to_string(), "300.71");
        assert_eq!(Money::from_units_nanos(0, -5).unwrap().to_string(), "-0.000000005");
        assert_eq!(Money::from_units_nanos(1, -5), Err(MoneyError::Nanos));
        assert_eq!(Money::from_units_nanos(0, 1_000_000_000), Err(MoneyError::Nanos));
        assert_eq!(Money::from_units_nanos(0, i32::MIN), Err(MoneyError::Nanos));
    }

    #[test]
    fn the_range_ends_with_an_error() {
        assert_eq!(Money::MAX.plus("0.000000001".parse().unwrap()), Err(MoneyError::OutOfRange));
        assert_eq!(Money::MIN.minus("0.000000001".parse().unwrap()), Err(MoneyError::OutOfRange));
        assert_eq!("9223372036854775808".parse::<Money>(), Err(MoneyError::OutOfRange));
        assert_eq!(Money::MAX.to_string().parse::<Money>(), Ok(Money::MAX));
        assert_eq!(Money::MAX.units_nanos(), (i64::MAX, 999_999_999));
        assert_eq!(Money::MIN.units_nanos(), (-i64::MAX, -999_999_999));
    }

    #[test]
    fn a_part_is_rounded_once_half_to_even() {
        let check = |rows: &[(&str, u32, u32, &str)]| {
            for (amount, part, whole, want) in rows {
                let amount: Money = amount.parse().unwrap();
                assert_eq!(amount.prorated(*part, *whole).to_string(), *want, "{amount}");
            }
        };
        check(&[
            ("30", 30, 30, "30"),
            ("30", 1, 30, "1"),
            ("10", 1, 3, "3.333333333"),
            ("10", 2, 3, "6.666666667"),
            ("0.000000001", 1, 2, "0"),
            ("0.000000003", 1, 2, "0.000000002"),
            ("0.000000005", 1, 2, "0.000000002"),
            ("-0.000000003", 1, 2, "-0.000000002"),
            ("-0.000000001", 1, 2, "0"),
            ("-0.000000001", 2, 3, "-0.000000001"),
        ]);
        assert_eq!(Money::MAX.prorated(u32::MAX, u32::MAX), Money::MAX);
        assert_eq!(Money::MIN.prorated(u32::MAX, u32::MAX), Money::MIN);
    }

    #[test]
    fn text_that_is_not_a_plain_decimal_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "+1", "1e3", "1,5", " 1", "0x1", "1.2.3", "--1"] {
            assert_eq!(text.parse::<Money>(), Err(MoneyError::Malformed), "{text:?}");
        }
        assert_eq!("0.0000000001".parse::<Money>(), Err(MoneyError::TooManyDecimals));
        assert_eq!("0.0000000010".parse::<Money>(), Err(MoneyError::TooManyDecimals));
    }

    proptest::proptest! {
        #[test]
        fn text_and_parts_come_back(units in -i64::MAX..=i64::MAX, nanos in 0..1_000_000_000i32) {
            let money = Money::from_units_nanos(units, nanos).unwrap();
            proptest::prop_assert_eq!(money.to_string().parse::<Money>(), Ok(money));
            let (units, nanos) = money.units_nanos();
            proptest::prop_assert_eq!(Money::from_units_nanos(units, nanos), Ok(money));
        }
    }
}
