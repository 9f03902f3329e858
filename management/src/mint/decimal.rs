//! Decimals as Edge writes them: JSON numbers, read and written digit by digit, never as floats.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use tollgate_metering::{Currency, Money, Units};

use crate::error::ApiError;

/// The most digits after the point that Edge takes.
pub(crate) const PLACES_MAX: usize = 4;

/// A decimal in a request: a number, or the same in a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal(String);

/// A decimal in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number(String);

// === impl Decimal ===

impl Decimal {
    /// The amount, with at most [`PLACES_MAX`] digits after the point.
    pub(crate) fn money(&self, field: &str) -> Result<Money, ApiError> {
        self.check_places(field)?;
        self.0.parse().map_err(|error| ApiError::invalid(field, error))
    }

    /// Positive units, with at most [`PLACES_MAX`] digits after the point.
    pub(crate) fn positive_units(&self, field: &str) -> Result<Units, ApiError> {
        self.check_places(field)?;
        if self.0.starts_with('-') {
            return Err(ApiError::invalid(field, "must be positive"));
        }
        let units: Units = self.0.parse().map_err(|error| ApiError::invalid(field, error))?;
        if units.is_zero() { Err(ApiError::invalid(field, "must be positive")) } else { Ok(units) }
    }

    /// A whole number of at least one.
    pub(crate) fn positive_whole(&self, field: &str) -> Result<u64, ApiError> {
        match self.0.parse() {
            Ok(0) | Err(_) => Err(ApiError::invalid(field, "must be a whole number from 1 on")),
            Ok(number) => Ok(number),
        }
    }

    /// A whole number.
    pub(crate) fn whole(&self, field: &str) -> Result<i64, ApiError> {
        let whole = self.0.strip_suffix(".0").unwrap_or(&self.0);
        whole.parse().map_err(|_| ApiError::invalid(field, "must be a whole number"))
    }

    /// Whether it is zero, however it is written.
    pub(crate) fn is_zero(&self) -> bool {
        self.0.bytes().all(|byte| !(b'1'..=b'9').contains(&byte))
    }

    fn check_places(&self, field: &str) -> Result<(), ApiError> {
        let places = self.0.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if places > PLACES_MAX {
            let reason = format!("has {places} decimals, at most {PLACES_MAX} are taken");
            return Err(ApiError::invalid(field, reason));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Decimal, D::Error> {
        let raw = Box::<RawValue>::deserialize(from)?;
        let text = raw.get().trim_matches('"');
        let is_digit = |byte: u8| byte.is_ascii_digit() || b"-.".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_digit) {
            return Err(D::Error::custom(format!("{} is not a plain decimal", raw.get())));
        }
        Ok(Decimal(text.to_owned()))
    }
}

impl schemars::JsonSchema for Decimal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [
            { "type": "number" },
            { "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$" },
        ]})
    }
}

// === impl Number ===

impl Number {
    /// Hundredths as a decimal.
    pub(crate) fn hundredths(hundredths: u32) -> Number {
        Number(format!("{}.{:02}", hundredths / 100, hundredths % 100))
    }
}

impl From<Money> for Number {
    fn from(amount: Money) -> Number {
        Number(amount.to_string())
    }
}

impl From<Units> for Number {
    fn from(units: Units) -> Number {
        Number(units.to_string())
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Number {
        Number(number.to_string())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let raw = RawValue::from_string(self.0.clone());
        raw.expect("a plain decimal is a JSON number").serialize(to)
    }
}

impl schemars::JsonSchema for Number {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number" })
    }
}

/// `factor × units`, exactly.
pub(crate) fn times(factor: u64, units: Units, field: &str) -> Result<Units, ApiError> {
    let nanos = u128::from(factor).checked_mul(units.nanos());
    let product = nanos.and_then(|nanos| Units::from_nanos(nanos).ok());
    product.ok_or_else(|| ApiError::invalid(field, "the units are out of range"))
}

/// An amount in a query.
pub(crate) fn amount(field: &'static str, text: &str) -> Result<Money, ApiError> {
    Decimal(text.to_owned()).money(field)
}

/// A currency by Edge's id: the code in any letter case.
pub(crate) fn currency(field: &str, id: &str) -> Result<Currency, ApiError> {
    crate::shapes::money::currency(field, &id.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_digit_by_digit() {
        let check = |rows: &[(&str, Option<&str>)]| {
            for (given, want) in rows {
                let read = serde_json::from_str::<Decimal>(given).ok();
                let read = read.and_then(|read| read.positive_units("custAtt1").ok());
                assert_eq!(read.map(|units| units.to_string()).as_deref(), *want, "{given}");
            }
        };
        check(&[
            ("0.1", Some("0.1")),
            ("\"0.1\"", Some("0.1")),
            ("12.3456", Some("12.3456")),
            ("12.34567", None),
            ("0.00000", None),
            ("-1", None),
            ("0", None),
            ("1e3", None),
            ("\"\"", None),
            ("true", None),
            ("null", None),
        ]);
        let tenth = serde_json::from_str::<Decimal>("0.1").unwrap().positive_units("").unwrap();
        assert_eq!(times(125, tenth, "").unwrap().to_string(), "12.5");
        assert!(times(u64::MAX, Units::MAX, "").is_err());
        let shown = Number::from("916.77".parse::<Money>().unwrap());
        assert_eq!(serde_json::to_string_pretty(&shown).unwrap(), "916.77");
    }
}
