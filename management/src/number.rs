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

struct Int64;

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
