//! Amounts of an export, digit by digit.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tollgate_metering::{Currency, Money};

/// A record's fields as they were written: numbers never become floats.
pub(super) type Fields = BTreeMap<String, Box<RawValue>>;

/// An amount of a record; absent is zero.
pub(super) fn amount(fields: &Fields, name: &str) -> Result<Money, String> {
    let Some(raw) = fields.get(name) else { return Ok(Money::ZERO) };
    let text = raw.get().trim_matches('"');
    text.parse().map_err(|error| format!("{name} {text}: {error}"))
}

/// Edge's lower-case currency of a reference.
pub(super) fn currency(reference: Option<&str>) -> Result<Currency, String> {
    let id = reference.ok_or("names no currency")?;
    id.to_ascii_uppercase().parse().map_err(|_| format!("currency {id:?} is not known here"))
}

/// Apigee X's money.
pub(super) fn shape(amount: Money, currency: Currency) -> Value {
    let (units, nanos) = amount.units_nanos();
    json!({ "currencyCode": currency.to_string(), "units": units.to_string(), "nanos": nanos })
}
