//! Top-ups, and what is paid automatically. Tollgate's own: Apigee has no such resources.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_billing::topups::automatic::{Automatic, AutomaticTerms};
use tollgate_billing::topups::{Failure, TopUp};
use tollgate_metering::{Currency, Money};

use crate::error::ApiError;
use crate::json;
use crate::shapes::millis;
use crate::shapes::money::{MoneyInput, MoneyShape};

/// Body of `balance:topUp`.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(extend("required" = ["amount"]))]
pub(crate) struct TopUpInput {
    #[serde(deserialize_with = "json::object")]
    amount: Option<MoneyInput>,
    /// Names the credit in the ledger, and makes asking again safe.
    pub(crate) transaction_id: Option<String>,
    /// A saved payment method, `pm_…`; without one a browser pays with the client secret.
    pub(crate) payment_method: Option<String>,
    /// Where a browser goes after a bank's page.
    pub(crate) return_url: Option<String>,
    /// The billing to pay through, where the organization has several.
    pub(crate) billing: Option<String>,
}

/// A top-up.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopUpShape {
    id: String,
    /// `BEGUN`, `WAITING`, `ACTION_REQUIRED`, `PROCESSING`, `DECLINED`, `CREDITED`, `CANCELED`,
    /// `REFUSED` or `STRANDED`.
    state: &'static str,
    amount: MoneyShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<String>,
    billing: String,
    /// `ASKED`, `AUTOMATIC`, or `FOUND` at Stripe.
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_intent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_method: Option<String>,
    /// With the publishable key, what a browser needs to pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publishable_key: Option<String>,
    /// What the payer has to do, as Stripe puts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credited: Option<MoneyShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<MoneyShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disputed: Option<MoneyShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureShape>,
    #[schemars(with = "crate::openapi::Int64Text")]
    created_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    last_modified_at: String,
}

/// Why a payment failed.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct FailureShape {
    code: String,
    message: String,
}

/// `{"topUps":[…],"nextStartKey":…}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopUpList {
    pub(crate) top_ups: Vec<TopUpShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_start_key: Option<String>,
}

/// What is paid when a wallet runs low, in a request; amounts are in the wallet's currency.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(extend("required" = ["threshold", "amount", "capPerDay", "capPerMonth"]))]
pub(crate) struct AutomaticInput {
    #[serde(deserialize_with = "json::object")]
    threshold: Option<MoneyInput>,
    #[serde(deserialize_with = "json::object")]
    amount: Option<MoneyInput>,
    #[serde(deserialize_with = "json::object")]
    cap_per_day: Option<MoneyInput>,
    #[serde(deserialize_with = "json::object")]
    cap_per_month: Option<MoneyInput>,
    /// A saved payment method, `pm_…`; else the customer's default.
    payment_method: Option<String>,
    billing: Option<String>,
}

/// What is paid when a wallet runs low.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AutomaticShape {
    threshold: MoneyShape,
    amount: MoneyShape,
    cap_per_day: MoneyShape,
    cap_per_month: MoneyShape,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing: Option<String>,
    /// What the newest day and month have used of the caps.
    used_of_day: MoneyShape,
    used_of_month: MoneyShape,
    /// The top-up that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    declines: u32,
    /// Whether nothing is tried until it is set again.
    is_suspended: bool,
    /// Nothing is tried before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::openapi::Int64Text>")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureShape>,
}

// === impl TopUpInput ===

impl TopUpInput {
    /// The amount with its currency.
    pub(crate) fn amount(&self) -> Result<(Money, Currency), ApiError> {
        let amount = self.amount.as_ref();
        let amount = amount.ok_or_else(|| ApiError::invalid("amount", "is required"))?;
        Ok((amount.amount("amount")?, amount.required_currency("amount")?))
    }
}

// === impl TopUpShape ===

impl TopUpShape {
    pub(crate) fn of(top_up: &TopUp) -> TopUpShape {
        let shape = |amount| MoneyShape::of(amount, top_up.currency);
        let some = |amount: Money| (!amount.is_zero()).then(|| shape(amount));
        TopUpShape {
            id: top_up.id.to_string(),
            state: top_up.state.as_str(),
            amount: shape(top_up.amount),
            transaction_id: top_up.transaction_id.clone(),
            billing: top_up.billing.clone(),
            origin: top_up.origin.as_str(),
            payment_intent: top_up.payment_intent.clone(),
            payment_method: top_up.payment_method.clone(),
            client_secret: None,
            publishable_key: None,
            next_action: None,
            credited: top_up.credited.map(shape),
            refunded: some(top_up.refunded),
            disputed: some(top_up.disputed),
            failure: top_up.failure.as_ref().map(FailureShape::of),
            created_at: millis(top_up.created_at),
            last_modified_at: millis(top_up.modified_at),
        }
    }

    /// With what a browser needs to pay it.
    pub(crate) fn payable(
        self,
        publishable_key: String,
        client_secret: Option<String>,
        next_action: Option<Value>,
    ) -> TopUpShape {
        TopUpShape { publishable_key: Some(publishable_key), client_secret, next_action, ..self }
    }
}

// === impl FailureShape ===

impl FailureShape {
    fn of(failure: &Failure) -> FailureShape {
        FailureShape { code: failure.code.clone(), message: failure.message.clone() }
    }
}

// === impl AutomaticInput ===

impl AutomaticInput {
    pub(crate) fn terms(&self, currency: Currency) -> Result<AutomaticTerms, ApiError> {
        let amount = |given: &Option<MoneyInput>, field: &str| {
            let given = given.as_ref().ok_or_else(|| ApiError::invalid(field, "is required"))?;
            if given.currency(field)?.is_some_and(|named| named != currency) {
                let reason = format!("is not the wallet's, which is {currency}");
                return Err(ApiError::invalid(format!("{field}.currencyCode"), reason));
            }
            given.amount(field)
        };
        Ok(AutomaticTerms {
            threshold: amount(&self.threshold, "threshold")?,
            amount: amount(&self.amount, "amount")?,
            cap_per_day: amount(&self.cap_per_day, "capPerDay")?,
            cap_per_month: amount(&self.cap_per_month, "capPerMonth")?,
            payment_method: self.payment_method.clone(),
            billing: self.billing.clone(),
        })
    }
}

// === impl AutomaticShape ===

impl AutomaticShape {
    /// Of what is set: something is, or it would be told as missing.
    pub(crate) fn of(set: &Automatic) -> AutomaticShape {
        let shape = |amount| MoneyShape::of(amount, set.currency);
        let terms = set.terms.as_ref();
        let of_terms =
            |amount: fn(&AutomaticTerms) -> Money| shape(terms.map_or(Money::ZERO, amount));
        AutomaticShape {
            threshold: of_terms(|terms| terms.threshold),
            amount: of_terms(|terms| terms.amount),
            cap_per_day: of_terms(|terms| terms.cap_per_day),
            cap_per_month: of_terms(|terms| terms.cap_per_month),
            payment_method: terms.and_then(|terms| terms.payment_method.clone()),
            billing: terms.and_then(|terms| terms.billing.clone()),
            used_of_day: shape(set.day.amount),
            used_of_month: shape(set.month.amount),
            current: set.current.as_ref().map(|current| current.id.to_string()),
            declines: set.declines,
            is_suspended: set.is_suspended(),
            not_before: set.not_before.map(millis),
            failure: set.failure.as_ref().map(FailureShape::of),
        }
    }
}
