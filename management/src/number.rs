//! Reads whole numbers as clients send them: as JSON numbers or as strings.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};

/// A whole number of 64 bits, absent, `null`, a number or a string.
pub(crate) fn int64<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    from.deserialize_any(Int64)
}

/// The same with 32 bits.
pub(crate) fn int32<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
    let wide = from.deserialize_any(Int64)?;
    wide.map(|wide| {
        i32::try_from(wide)
            .map_err(|_| de::Error::custom(format!("{wide} is out of range: 32 bits")))
    })
    .transpose()
}

/// A number with at most two decimals, in hundredths, absent, `null`, a number or a string.
pub(crate) fn hundredths<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    from.deserialize_any(Hundredths)
}

struct Int64;

struct Hundredths;

// === impl Int64 ===

impl Visitor<'_> for Int64 {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, as a number or a string")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Option<i64>, E> {
        Ok(Some(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Option<i64>, E> {
        let in_range = i64::try_from(value);
        in_range.map(Some).map_err(|_| E::custom(format!("{value} is out of range: 64 bits")))
    }

    /// What JSON writes with a point or exponent, or beyond 64 bits: never a whole number that
    /// could be read exactly.
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Option<i64>, E> {
        Err(E::custom("not a whole number of 64 bits; fractions of money go into nanos"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<i64>, E> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let reason = "is not a whole number; fractions of money go into nanos";
            return Err(E::custom(format!("{text:?} {reason}")));
        }
        let parsed = text.parse();
        parsed.map(Some).map_err(|_| E::custom(format!("{text} is out of range: 64 bits")))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<i64>, E> {
        Ok(None)
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<i64>, E> {
        Ok(None)
    }
}

// === impl Hundredths ===

impl Visitor<'_> for Hundredths {
    type Value = Option<u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number with at most two decimals, as a number or a string")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Option<u32>, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Option<u32>, E> {
        self.visit_str(&value.to_string())
    }

    /// The shortest decimal of a double is the one that was sent, where that has two decimals.
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Option<u32>, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<u32>, E> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > 2 {
            let reason = "is not a number with at most two decimals";
            return Err(E::custom(format!("{text:?} {reason}")));
        }
        let read = format!("{whole}{fraction:0<2}").parse();
        read.map(Some).map_err(|_| E::custom(format!("{text} is out of range")))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<u32>, E> {
        Ok(None)
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<u32>, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_exactly_or_refused() {
        let check = |rows: &[(&str, Option<u32>)]| {
            for (json, want) in rows {
                let read = hundredths(&mut serde_json::Deserializer::from_str(json));
                assert_eq!(read.ok().flatten(), *want, "{json}");
            }
        };
        check(&[
            ("6.5", Some(650)),
            ("\"6.5\"", Some(650)),
            ("0.07", Some(7)),
            ("33.33", Some(3333)),
            ("100", Some(10_000)),
            ("1.1e1", Some(1100)),
            ("8.125", None),
            ("-1", None),
            ("\"\"", None),
            ("\"1.\"", None),
            ("\"1e1\"", None),
            ("99999999999", None),
            ("null", None),
        ]);
    }
}
