//! Reads and writes plain decimals with nine places, for money and for units.

use std::fmt;

use crate::money::{MoneyError, NANOS_PER_UNIT};

/// Digits after the point.
const PLACES: usize = 9;

/// Reads `[-]digits[.digits]` as (is it negative, magnitude in 10⁻⁹).
///
/// Trailing zeros past the ninth place are refused as well: who writes them means a precision
/// that is not there.
pub(crate) fn read(text: &str) -> Result<(bool, u128), MoneyError> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return Err(MoneyError::Malformed),
        Some(parts) => parts,
        None => (digits, ""),
    };
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
        return Err(MoneyError::Malformed);
    }
    if fraction.len() > PLACES {
        return Err(MoneyError::TooManyDecimals);
    }
    let zeros = std::iter::repeat_n(b'0', PLACES - fraction.len());
    let mut magnitude: u128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()).chain(zeros) {
        magnitude = magnitude
            .checked_mul(10)
            .and_then(|shifted| shifted.checked_add(u128::from(digit - b'0')))
            .ok_or(MoneyError::OutOfRange)?;
    }
    Ok((is_negative, magnitude))
}

/// Writes the shortest decimal of `magnitude` in 10⁻⁹.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, is_negative: bool, magnitude: u128) -> fmt::Result {
    let scale = NANOS_PER_UNIT.unsigned_abs();
    let (whole, fraction) = (magnitude / scale, magnitude % scale);
    let sign = if is_negative { "-" } else { "" };
    if fraction == 0 {
        return write!(f, "{sign}{whole}");
    }
    let digits = format!("{fraction:09}");
    write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
}
