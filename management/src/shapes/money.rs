//! google.type.Money.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use tollgate_metering::{Currency, Money};

use super::iso_4217;
use crate::error::ApiError;
use crate::number;

/// An amount in a request.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct MoneyInput {
    currency_code: Option<String>,
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    units: Option<i64>,
    #[serde(deserialize_with = "number::int32")]
    #[schemars(with = "crate::openapi::Int32Input")]
    nanos: Option<i32>,
}

/// An amount in a response: parts that are zero are left out.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MoneyShape {
    currency_code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::openapi::Int64Text>")]
    units: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nanos: Option<i32>,
}

// === impl MoneyInput ===

impl MoneyInput {
    /// The amount.
    pub(crate) fn amount(&self, field: &str) -> Result<Money, ApiError> {
        let (units, nanos) = (self.units.unwrap_or(0), self.nanos.unwrap_or(0));
        Money::from_units_nanos(units, nanos).map_err(|error| ApiError::invalid(field, error))
    }

    /// The currency, if one is named.
    pub(crate) fn currency(&self, field: &str) -> Result<Option<Currency>, ApiError> {
        self.currency_code.as_deref().map(|code| currency(field, code)).transpose()
    }

    /// The currency, which must be named.
    pub(crate) fn required_currency(&self, field: &str) -> Result<Currency, ApiError> {
        let missing = || ApiError::invalid(format!("{field}.currencyCode"), "is required");
        self.currency(field)?.ok_or_else(missing)
    }
}

/// Reads the currency of `field`.
pub(crate) fn currency(field: &str, code: &str) -> Result<Currency, ApiError> {
    let invalid = |reason: &dyn Display| {
        let field = match field {
            "" => "currencyCode".to_owned(),
            field => format!("{field}.currencyCode"),
        };
        ApiError::invalid(field, format!("{code:?} is {reason}"))
    };
    let currency: Currency = code.parse().map_err(|error| invalid(&error))?;
    if !iso_4217::has(currency) {
        return Err(invalid(&"not a currency of ISO 4217"));
    }
    Ok(currency)
}

// === impl MoneyShape ===

impl MoneyShape {
    pub(crate) fn of(amount: Money, currency: Currency) -> MoneyShape {
        let (units, nanos) = amount.units_nanos();
        MoneyShape {
            currency_code: currency.to_string(),
            units: (units != 0).then(|| units.to_string()),
            nanos: (nanos != 0).then_some(nanos),
        }
    }
}
