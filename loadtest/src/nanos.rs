//! Amounts of money as whole nanos: read, shown and compared without a float.
//!
//! A black box has no use for the domain's arithmetic, only for sums and differences. Invariant: an amount that was read is
//! shown as it was; nothing is rounded. Bounds: what is read has at most 18 digits before the point, so no sum of a run's
//! amounts leaves 128 bits.

use std::fmt;
use std::ops::{Add, Neg, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tollgate_proto::v1;

const PER_UNIT: i128 = 1_000_000_000;
const DIGITS_MAX: usize = 18;
const FRACTION_DIGITS: usize = 9;
const FITS: &str = "amounts of a run stay far below 128 bits";

/// An amount of money in nanos of the currency's unit; negative for a debt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Nanos(pub i128);

/// Text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a decimal with at most {DIGITS_MAX} digits before and {FRACTION_DIGITS} after the point"
)]
pub struct NotAnAmount(String);

// === impl Nanos ===

impl Nanos {
    /// Nothing.
    pub const ZERO: Nanos = Nanos(0);

    /// This amount `count` times.
    #[must_use]
    pub fn times(self, count: u64) -> Nanos {
        Nanos(self.0.checked_mul(i128::from(count)).expect(FITS))
    }

    /// Whole units and the nanos beyond them, as Apigee writes money.
    #[must_use]
    pub fn units_and_nanos(self) -> (i128, i128) {
        (self.0 / PER_UNIT, self.0 % PER_UNIT)
    }

    /// An amount from the wire; absent is zero, as protobuf has it.
    #[must_use]
    pub fn of_wire(money: Option<&v1::Money>) -> Nanos {
        money.map_or(Nanos::ZERO, |money| {
            Nanos(i128::from(money.units) * PER_UNIT + i128::from(money.nanos))
        })
    }

    /// What is above zero of it.
    #[must_use]
    pub fn positive(self) -> Nanos {
        self.max(Nanos::ZERO)
    }
}

impl Add for Nanos {
    type Output = Nanos;

    fn add(self, other: Nanos) -> Nanos {
        Nanos(self.0.checked_add(other.0).expect(FITS))
    }
}

impl Sub for Nanos {
    type Output = Nanos;

    fn sub(self, other: Nanos) -> Nanos {
        Nanos(self.0.checked_sub(other.0).expect(FITS))
    }
}

impl Neg for Nanos {
    type Output = Nanos;

    fn neg(self) -> Nanos {
        Nanos::ZERO - self
    }
}

impl std::iter::Sum for Nanos {
    fn sum<I: Iterator<Item = Nanos>>(amounts: I) -> Nanos {
        amounts.fold(Nanos::ZERO, Add::add)
    }
}

impl fmt::Display for Nanos {
    /// A decimal with at least two places, as people write money.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (units, nanos) = self.units_and_nanos();
        let fraction = format!("{:09}", nanos.abs());
        let trimmed = fraction.trim_end_matches('0');
        f.pad(&format!("{sign}{}.{trimmed:0<2}", units.abs()))
    }
}

impl FromStr for Nanos {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Nanos, NotAnAmount> {
        let refused = || NotAnAmount(text.to_owned());
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (units, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let is_sound = is_digits(units) && is_digits(fraction);
        if !is_sound || units.len() > DIGITS_MAX || fraction.len() > FRACTION_DIGITS {
            return Err(refused());
        }
        let units: i128 = units.parse().map_err(|_| refused())?;
        let nanos: i128 = format!("{fraction:0<9}").parse().map_err(|_| refused())?;
        Ok(Nanos(sign * (units * PER_UNIT + nanos)))
    }
}

impl From<Nanos> for String {
    fn from(amount: Nanos) -> String {
        amount.to_string()
    }
}

impl TryFrom<String> for Nanos {
    type Error = NotAnAmount;

    fn try_from(text: String) -> Result<Nanos, NotAnAmount> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_shown_exactly() {
        let rows = [
            ("0", "0.00", 0),
            ("20", "20.00", 20 * PER_UNIT),
            ("0.01", "0.01", 10_000_000),
            ("-0.000000001", "-0.000000001", -1),
            ("-3.5", "-3.50", -3_500_000_000),
            ("999999999999999999.999999999", "999999999999999999.999999999", 10_i128.pow(27) - 1),
        ];
        for (text, shown, nanos) in rows {
            let amount: Nanos = text.parse().unwrap();
            assert_eq!((amount.0, amount.to_string().as_str()), (nanos, shown), "{text}");
        }
        for text in ["", "-", "1.", ".5", "1,5", "1e3", "0.0000000001", "+1", "1 000"] {
            assert!(text.parse::<Nanos>().is_err(), "{text}");
        }
    }

    #[test]
    fn wire_amounts_keep_their_sign() {
        let wire = v1::Money { units: -1, nanos: -500_000_000 };
        assert_eq!(Nanos::of_wire(Some(&wire)).to_string(), "-1.50");
        assert_eq!(Nanos::of_wire(None), Nanos::ZERO);
    }
}
