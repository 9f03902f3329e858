//! Balances, bookings and the journal.

use serde::{Deserialize, Serialize};
use tollgate_metering::{Currency, Entry, Header, Money};

use super::millis;
use super::money::{MoneyInput, MoneyShape};
use crate::json;

/// Body of `balance:credit`.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(extend("required" = ["transactionAmount", "transactionId"]))]
pub(crate) struct CreditInput {
    #[serde(deserialize_with = "json::object")]
    pub(crate) transaction_amount: Option<MoneyInput>,
    pub(crate) transaction_id: Option<String>,
    /// Why, for the journal: Tollgate's own.
    pub(crate) reason: Option<String>,
}

/// Body of `balance:adjust`.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(extend("required" = ["adjustment"]))]
pub(crate) struct AdjustInput {
    #[serde(deserialize_with = "json::object")]
    pub(crate) adjustment: Option<MoneyInput>,
    /// Why, for the journal: Tollgate's own.
    pub(crate) reason: Option<String>,
}

/// A developer's wallets.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct DeveloperBalance {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) wallets: Vec<WalletShape>,
}

/// A wallet.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WalletShape {
    balance: MoneyShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::openapi::Int64Text>")]
    last_credit_time: Option<String>,
}

/// A page of the journal.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryList {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) entries: Vec<EntryShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_start_key: Option<String>,
}

/// A line of the journal.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryShape {
    id: String,
    kind: &'static str,
    amount: MoneyShape,
    balance_after: MoneyShape,
    #[schemars(with = "crate::openapi::Int64Text")]
    time: String,
    by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// Whether it took money that gateways of a strict wallet might spend.
    #[serde(skip_serializing_if = "is_false")]
    is_forced: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

// === impl WalletShape ===

impl WalletShape {
    pub(crate) fn of(header: &Header, balance: Money) -> WalletShape {
        WalletShape {
            balance: MoneyShape::of(balance, header.currency),
            last_credit_time: header.last_credit_at.map(millis),
        }
    }
}

// === impl EntryShape ===

impl EntryShape {
    pub(crate) fn of(entry: &Entry, currency: Currency) -> EntryShape {
        EntryShape {
            id: entry.id.clone(),
            kind: entry.kind.as_str(),
            amount: MoneyShape::of(entry.amount, currency),
            balance_after: MoneyShape::of(entry.balance_after, currency),
            time: millis(entry.at),
            by: entry.by.clone(),
            reason: entry.reason.clone(),
            is_forced: entry.is_forced,
        }
    }
}
