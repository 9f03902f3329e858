//! Numbers as they are written, so that none passes through a float.

use std::cmp::Ordering;
use std::fmt;

/// Most digits of a number, on either side of its point.
const DIGITS_MAX: usize = 40;

/// A decimal number, exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exact {
    is_negative: bool,
    /// Without leading zeros; empty for zero.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

// === impl Exact ===

impl Exact {
    /// Reads a number as JSON writes one: `1500`, `-0.5`, `1.5e3`. `None` where it is none, or has
    /// more than forty digits before or after its point.
    #[must_use]
    pub fn parse(text: &str) -> Option<Exact> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        if text.len() > DIGITS_MAX || usize::from(exponent.unsigned_abs()) > DIGITS_MAX {
            return None;
        }
        let (whole, fraction) = shift(whole, fraction, exponent);
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        if whole.len() > DIGITS_MAX || fraction.len() > DIGITS_MAX {
            return None;
        }
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Exact { is_negative: is_negative && !is_zero, whole, fraction })
    }

    /// Whether nothing stands behind the point.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.fraction.is_empty()
    }

    /// As a whole number of 64 bits, where it is one.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        if self.is_whole() { self.to_string().parse().ok() } else { None }
    }

    fn compare_size(&self, other: &Exact) -> Ordering {
        let by_length = self.whole.len().cmp(&other.whole.len());
        by_length
            .then_with(|| self.whole.cmp(&other.whole))
            .then_with(|| self.fraction.cmp(&other.fraction))
    }
}

/// Moves the point `by` places to the right.
fn shift(whole: &str, fraction: &str, by: i16) -> (String, String) {
    let zeros = "0".repeat(usize::from(by.unsigned_abs()));
    if by >= 0 {
        let padded = format!("{fraction}{zeros}");
        let (moved, rest) = padded.split_at(zeros.len());
        (format!("{whole}{moved}"), rest.to_owned())
    } else {
        let padded = format!("{zeros}{whole}");
        let (rest, moved) = padded.split_at(padded.len() - zeros.len());
        (rest.to_owned(), format!("{moved}{fraction}"))
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Exact) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_size(other),
            (true, true) => other.compare_size(self),
        }
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Exact) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        match self.fraction.as_str() {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Exact;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let check = |rows: &[(&str, Option<&str>)]| {
            for (text, want) in rows {
                let read = Exact::parse(text).map(|number| number.to_string());
                assert_eq!(read.as_deref(), *want, "{text}");
            }
        };
        check(&[
            ("1500.0", Some("1500")),
            ("1500.00000000000000000001", Some("1500.00000000000000000001")),
            ("1.5e3", Some("1500")),
            ("15e-1", Some("1.5")),
            ("-0.0", Some("0")),
            ("-0.50", Some("-0.5")),
            ("007", Some("7")),
            ("1.", None),
            (".5", None),
            ("1e999", None),
            ("1,5", None),
            ("NaN", None),
            ("", None),
            ("-", None),
        ]);
        assert_eq!(Exact::parse("1500.0").and_then(|it| it.to_i64()), Some(1500));
        assert_eq!(Exact::parse("1500.5").and_then(|it| it.to_i64()), None);
        assert_eq!(Exact::parse("9223372036854775808").and_then(|it| it.to_i64()), None);
    }

    proptest! {
        #[test]
        fn numbers_order_as_integers_of_a_small_unit_do(a in any::<i64>(), b in any::<i64>()) {
            let exact = |it: i64| Exact::parse(&format!("{it}e-4")).unwrap();
            prop_assert_eq!(exact(a).cmp(&exact(b)), a.cmp(&b));
        }
    }
}
