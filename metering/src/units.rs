//! Exact amounts of what calls consume.

use std::fmt;
use std::str::FromStr;

use crate::decimal;
use crate::money::MoneyError;

/// Nano-units in one unit.
const NANOS_PER_UNIT: u128 = 1_000_000_000;

/// An exact amount of units: 1 × multiplier a call, at most nine places, never negative.
///
/// Range: 0 to [`Units::MAX`], the sum of any number of registers that a wallet can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Units(u128);

/// Why an amount of units cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitsError {
    /// The result lies outside the range of [`Units`].
    #[error("units are out of range: between 0 and {max}", max = Units::MAX)]
    OutOfRange,
    /// More than nine digits after the point.
    #[error("units have more than 9 digits after the point")]
    TooManyDecimals,
    /// Not a plain decimal number.
    #[error("not a decimal amount of units")]
    Malformed,
}

// === impl Units ===

impl Units {
    /// No units.
    pub const ZERO: Units = Units(0);
    /// One unit: a call without a multiplier.
    pub const ONE: Units = Units(NANOS_PER_UNIT);
    /// The most units a meter can total: 10¹⁸.
    pub const MAX: Units = Units(NANOS_PER_UNIT * 1_000_000_000_000_000_000);
    /// The most units one register (one incarnation on one meter) can count: 2⁶³ − 1 nano-units,
    /// because a register is a signed 64-bit cell in Cassandra and a 64-bit slot in a spend file.
    pub const REGISTER_MAX: Units = Units(i64::MAX as u128);

    /// An amount of nano-units (10⁻⁹ of a unit).
    ///
    /// # Errors
    /// [`UnitsError::OutOfRange`].
    pub const fn from_nanos(nanos: u128) -> Result<Units, UnitsError> {
        if nanos > Units::MAX.0 {
            return Err(UnitsError::OutOfRange);
        }
        Ok(Units(nanos))
    }

    /// An amount that a register holds, in nano-units.
    #[must_use]
    pub const fn from_register(nanos: u64) -> Units {
        Units(nanos as u128)
    }

    /// The amount as a register holds it, in nano-units.
    ///
    /// # Errors
    /// [`UnitsError::OutOfRange`] past [`Units::REGISTER_MAX`].
    pub const fn register(self) -> Result<u64, UnitsError> {
        if self.0 > Units::REGISTER_MAX.0 {
            return Err(UnitsError::OutOfRange);
        }
        Ok(self.0 as u64)
    }

    /// The amount in nano-units.
    #[must_use]
    pub const fn nanos(self) -> u128 {
        self.0
    }

    /// `self + other`.
    ///
    /// # Errors
    /// [`UnitsError::OutOfRange`].
    pub const fn plus(self, other: Units) -> Result<Units, UnitsError> {
        Units::from_nanos(self.0 + other.0)
    }

    /// `self − other`, or none where `other` is more: what is left to count.
    #[must_use]
    pub const fn beyond(self, other: Units) -> Units {
        Units(self.0.saturating_sub(other.0))
    }

    /// Whether these are no units at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Units {
    /// The shortest decimal: `2.5`, `1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal::write(f, false, self.0)
    }
}

impl FromStr for Units {
    type Err = UnitsError;

    /// Reads a plain decimal (no sign, no exponent): `2.5`.
    fn from_str(text: &str) -> Result<Units, UnitsError> {
        match decimal::read(text) {
            Ok((true, _)) | Err(MoneyError::OutOfRange) => Err(UnitsError::OutOfRange),
            Ok((false, nanos)) => Units::from_nanos(nanos),
            Err(MoneyError::TooManyDecimals) => Err(UnitsError::TooManyDecimals),
            Err(MoneyError::Malformed | MoneyError::Nanos) => Err(UnitsError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_exactly_or_refused() {
        let check = |rows: &[(&str, Result<u128, UnitsError>)]| {
            for (text, want) in rows {
                assert_eq!(text.parse::<Units>().map(Units::nanos), *want, "{text:?}");
            }
        };
        check(&[
            ("1", Ok(1_000_000_000)),
            ("2.5", Ok(2_500_000_000)),
            ("0.000000001", Ok(1)),
            ("-1", Err(UnitsError::OutOfRange)),
            ("0.0000000001", Err(UnitsError::TooManyDecimals)),
            ("1e3", Err(UnitsError::Malformed)),
            ("1000000000000000000", Ok(Units::MAX.nanos())),
            ("1000000000000000001", Err(UnitsError::OutOfRange)),
        ]);
    }

    #[test]
    fn a_register_ends_before_it_wraps() {
        assert_eq!(Units::REGISTER_MAX.register(), Ok(i64::MAX as u64));
        let over = Units::REGISTER_MAX.plus(Units::from_register(1)).unwrap();
        assert_eq!(over.register(), Err(UnitsError::OutOfRange));
    }
}
