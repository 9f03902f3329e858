//! Wallets beyond their balance: Tollgate's own.

use serde::{Deserialize, Deserializer, Serialize};
use tollgate_metering::account::Overspend;
use tollgate_metering::exposure::Exposure;
use tollgate_metering::{Currency, Header, Money};

use super::ReadOnly;
use super::money::{MoneyInput, MoneyShape};
use crate::error::ApiError;
use crate::json;

/// Body of a `PATCH`: what is absent stays as it is.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct WalletInput {
    /// `null` is a value: the wallet inherits its policy.
    #[serde(deserialize_with = "given")]
    #[schemars(extend("enum" = ["optimistic", "strict", null]))]
    overspend: Option<Option<String>>,
    #[serde(deserialize_with = "json::object")]
    overdraft_limit: Option<MoneyInput>,
    /// `null` is a value: no limit.
    #[serde(deserialize_with = "given_money")]
    credit_limit: Option<Option<MoneyInput>>,
    #[serde(rename = "currencyCode")]
    _currency_code: ReadOnly,
    #[serde(rename = "effectiveOverspend")]
    _effective_overspend: ReadOnly,
    #[serde(rename = "isChanging")]
    _is_changing: ReadOnly,
    #[serde(rename = "balance")]
    _balance: ReadOnly,
    #[serde(rename = "reserved")]
    _reserved: ReadOnly,
    #[serde(rename = "maxExposure")]
    _max_exposure: ReadOnly,
    #[serde(rename = "isMaxExposurePromised")]
    _is_max_exposure_promised: ReadOnly,
}

/// `{"wallets":[…]}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct WalletList {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) wallets: Vec<WalletDetail>,
}

/// A wallet in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WalletDetail {
    currency_code: String,
    /// The wallet's own policy; `null` where it inherits one.
    overspend: Option<&'static str>,
    /// The policy that it goes by, or is changing to.
    #[schemars(extend("enum" = ["optimistic", "strict"]))]
    effective_overspend: &'static str,
    is_changing: bool,
    overdraft_limit: MoneyShape,
    /// What a developer who pays later may owe in a month, calls and fees together; `null` for no
    /// limit.
    credit_limit: Option<MoneyShape>,
    balance: MoneyShape,
    /// Of the balance, what gateways may spend, or may have spent, under grants.
    reserved: MoneyShape,
    /// Calls take the wallet at most so far below its floor; absent where no node has measured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_exposure: Option<MoneyShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_max_exposure_promised: Option<bool>,
}

/// Tells what is given as `null` from what is not given.
#[expect(clippy::option_option, reason = "absent, null and a word are three things here")]
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

/// The same of an amount.
#[expect(clippy::option_option, reason = "absent, null and an amount are three things here")]
fn given_money<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<MoneyInput>>, D::Error> {
    json::object(from).map(Some)
}

// === impl WalletInput ===

impl WalletInput {
    /// The policy that is asked for: none, to inherit one, or one of its own.
    #[expect(clippy::option_option, reason = "absent, null and a word are three things here")]
    pub(crate) fn overspend(&self) -> Result<Option<Option<Overspend>>, ApiError> {
        let policy = |word: &String| {
            let invalid = |error| ApiError::invalid("overspend", format!("{word:?} is {error}"));
            word.parse().map_err(invalid)
        };
        let asked = self.overspend.as_ref();
        asked.map(|asked| asked.as_ref().map(policy).transpose()).transpose()
    }

    /// The limit that is asked for, in the wallet's currency.
    pub(crate) fn limit(&self, field: &str, currency: Currency) -> Result<Option<Money>, ApiError> {
        self.overdraft_limit.as_ref().map(|limit| not_negative(limit, field, currency)).transpose()
    }

    /// The credit limit that is asked for: none, or one in the wallet's currency.
    #[expect(clippy::option_option, reason = "absent, null and an amount are three things here")]
    pub(crate) fn credit(
        &self,
        field: &str,
        currency: Currency,
    ) -> Result<Option<Option<Money>>, ApiError> {
        let limit = |limit: &MoneyInput| not_negative(limit, field, currency);
        let asked = self.credit_limit.as_ref();
        asked.map(|asked| asked.as_ref().map(limit).transpose()).transpose()
    }
}

fn not_negative(limit: &MoneyInput, field: &str, currency: Currency) -> Result<Money, ApiError> {
    if limit.currency(field)?.is_some_and(|named| named != currency) {
        let reason = format!("is not the wallet's, which is {currency}");
        return Err(ApiError::invalid(format!("{field}.currencyCode"), reason));
    }
    let amount = limit.amount(field)?;
    if amount.is_negative() {
        return Err(ApiError::invalid(field, "must not be negative"));
    }
    Ok(amount)
}

// === impl WalletDetail ===

impl WalletDetail {
    pub(crate) fn of(
        header: &Header,
        balance: Money,
        reserved: Money,
        own: Option<Overspend>,
        credit: Option<Money>,
        exposure: Option<Exposure>,
    ) -> WalletDetail {
        let shape = |amount| MoneyShape::of(amount, header.currency);
        WalletDetail {
            currency_code: header.currency.to_string(),
            overspend: own.map(Overspend::as_str),
            effective_overspend: header.mode.overspend.as_str(),
            is_changing: header.mode.is_changing,
            overdraft_limit: shape(header.overdraft_limit),
            credit_limit: credit.map(shape),
            balance: shape(balance),
            reserved: shape(reserved),
            max_exposure: exposure.map(|exposure| shape(exposure.most)),
            is_max_exposure_promised: exposure.map(|exposure| exposure.is_promised),
        }
    }
}
