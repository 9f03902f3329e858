//! Rate plans, also those of packages, which X shows beside the product's own.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::records::{
    Plan, PlanState, PlanTerms, PriceBand, PricingType,
};
use tollgate_metering::{Currency, Money, UnixMillis};

use super::money::{MoneyInput, MoneyShape, currency};
use super::shares::{ShareInput, ShareShape};
use super::{ReadOnly, millis, shares};
use crate::error::ApiError;
use crate::json;
use crate::number;

/// A rate plan in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(extend("required" = ["apiproduct", "state"]))]
pub(crate) struct PlanInput {
    apiproduct: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    #[schemars(extend("enum" = ["BILLING_PERIOD_UNSPECIFIED", "WEEKLY", "MONTHLY", null]))]
    billing_period: Option<String>,
    payment_funding_model: Option<String>,
    currency_code: Option<String>,
    #[serde(deserialize_with = "json::object")]
    setup_fee: Option<MoneyInput>,
    #[serde(deserialize_with = "json::object")]
    fixed_recurring_fee: Option<MoneyInput>,
    #[serde(deserialize_with = "number::int32")]
    #[schemars(with = "crate::openapi::Int32Input")]
    fixed_fee_frequency: Option<i32>,
    #[schemars(extend("enum" = ["CONSUMPTION_PRICING_TYPE_UNSPECIFIED", "FIXED_PER_UNIT", "BANDED", "TIERED", "STAIRSTEP", null]))]
    consumption_pricing_type: Option<String>,
    #[serde(deserialize_with = "json::objects")]
    consumption_pricing_rates: Option<Vec<RateInput>>,
    #[schemars(extend("enum" = ["REVENUE_SHARE_TYPE_UNSPECIFIED", "FIXED", "VOLUME_BANDED", null]))]
    revenue_share_type: Option<String>,
    #[serde(deserialize_with = "json::objects")]
    revenue_share_rates: Option<Vec<ShareInput>>,
    #[schemars(extend("enum" = ["DRAFT", "PUBLISHED"]))]
    state: Option<String>,
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    start_time: Option<i64>,
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    end_time: Option<i64>,
    /// Beyond Apigee's: calls and fees are counted, never refused and never paid. Absent: a new plan
    /// is not, one that is replaced stays what it was.
    shadow: Option<bool>,
    #[serde(rename = "name")]
    _name: ReadOnly,
    #[serde(rename = "createdAt")]
    _created_at: ReadOnly,
    #[serde(rename = "lastModifiedAt")]
    _last_modified_at: ReadOnly,
}

#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RateInput {
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    start: Option<i64>,
    #[serde(deserialize_with = "number::int64")]
    #[schemars(with = "crate::openapi::Int64Input")]
    end: Option<i64>,
    #[serde(deserialize_with = "json::object")]
    fee: Option<MoneyInput>,
}

/// A rate plan in a response.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanShape {
    name: String,
    apiproduct: String,
    display_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_period: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_funding_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    setup_fee: Option<MoneyShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_recurring_fee: Option<MoneyShape>,
    #[serde(skip_serializing_if = "is_zero")]
    fixed_fee_frequency: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumption_pricing_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumption_pricing_rates: Vec<RateShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revenue_share_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revenue_share_rates: Vec<ShareShape>,
    #[schemars(extend("enum" = ["DRAFT", "PUBLISHED"]))]
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::openapi::Int64Text>")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::openapi::Int64Text>")]
    end_time: Option<String>,
    /// Beyond Apigee's; absent unless it is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<bool>,
    #[schemars(with = "crate::openapi::Int64Text")]
    created_at: String,
    #[schemars(with = "crate::openapi::Int64Text")]
    last_modified_at: String,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
struct RateShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::openapi::Int64Text>")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::openapi::Int64Text>")]
    end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<MoneyShape>,
}

/// A rate plan in a listing that is not expanded.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct PlanName {
    pub(crate) name: String,
    pub(crate) apiproduct: String,
}

/// `{"ratePlans":[…],"nextStartKey":…}`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanList<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rate_plans: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_start_key: Option<String>,
}

// === impl PlanInput ===

impl PlanInput {
    /// The product that the body names.
    pub(crate) fn product(&self) -> Option<&str> {
        self.apiproduct.as_deref()
    }

    /// The terms of a plan of `product`, which the body must name too.
    pub(crate) fn terms(self, product: &str) -> Result<PlanTerms, ApiError> {
        match self.apiproduct.as_deref() {
            None => return Err(ApiError::invalid("apiproduct", "is required")),
            Some(named) if named != product => {
                let reason = format!("{named:?} is not the API product of the path, {product:?}");
                return Err(ApiError::invalid("apiproduct", reason));
            }
            Some(_) => {}
        }
        let currency = self.currency_code.as_deref().map(|code| currency("", code)).transpose()?;
        let setup_fee = self.setup_fee.as_ref();
        let recurring_fee = self.fixed_recurring_fee.as_ref();
        let mut bands = Vec::new();
        for (index, rate) in self.consumption_pricing_rates.iter().flatten().enumerate() {
            let field = format!("consumptionPricingRates[{index}].fee");
            let missing = || ApiError::invalid(&field, "is required");
            let given = rate.fee.as_ref().ok_or_else(missing)?;
            bands.push(PriceBand {
                start: rate.start.filter(|start| *start != 0),
                end: rate.end.filter(|end| *end != 0),
                fee: fee(&field, given, currency)?,
            });
        }
        Ok(PlanTerms {
            is_monthly: billing_period(self.billing_period.as_deref())?,
            setup_fee: setup_fee.map(|given| fee("setupFee", given, currency)).transpose()?,
            recurring_fee: recurring_fee
                .map(|given| fee("fixedRecurringFee", given, currency))
                .transpose()?
                .filter(|fee| !fee.is_zero()),
            fee_months: fee_months(self.fixed_fee_frequency)?,
            share: shares::share_type(self.revenue_share_type.as_deref())?,
            share_bands: shares::bands(self.revenue_share_rates.unwrap_or_default())?,
            freemium: None,
            package: None,
            flat: None,
            pricing: pricing_type(self.consumption_pricing_type.as_deref())?,
            state: state(self.state.as_deref())?,
            shadow: self.shadow,
            display_name: self.display_name.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
            payment_funding_model: funding_model(self.payment_funding_model)?,
            currency,
            bands,
            start: self.start_time.filter(|time| *time != 0).map(UnixMillis),
            end: self.end_time.filter(|time| *time != 0).map(UnixMillis),
        })
    }
}

/// A fee in the plan's currency, which it may leave out.
fn fee(field: &str, given: &MoneyInput, plan: Option<Currency>) -> Result<Money, ApiError> {
    if let Some(named) = given.currency(field)?
        && Some(named) != plan
    {
        let plan = plan.map_or_else(|| "missing".to_owned(), |plan| plan.to_string());
        let reason = format!("{named} is not the currencyCode of the plan, which is {plan}");
        return Err(ApiError::invalid(format!("{field}.currencyCode"), reason));
    }
    given.amount(field)
}

/// Months between recurring fees: Apigee does not say what its frequency counts.
fn fee_months(frequency: Option<i32>) -> Result<u32, ApiError> {
    u32::try_from(frequency.unwrap_or_default())
        .map_err(|_| ApiError::invalid("fixedFeeFrequency", "is negative"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(months: &u32) -> bool {
    *months == 0
}

fn billing_period(word: Option<&str>) -> Result<bool, ApiError> {
    match word {
        None | Some("BILLING_PERIOD_UNSPECIFIED") => Ok(false),
        Some("MONTHLY") => Ok(true),
        Some("WEEKLY") => {
            Err(ApiError::invalid("billingPeriod", "WEEKLY is not supported here, MONTHLY is"))
        }
        Some(other) => {
            Err(ApiError::invalid("billingPeriod", format!("{other:?} is not a billing period")))
        }
    }
}

fn funding_model(word: Option<String>) -> Result<Option<String>, ApiError> {
    match word.as_deref() {
        None | Some("PAYMENT_FUNDING_MODEL_UNSPECIFIED") => Ok(None),
        Some("PREPAID" | "POSTPAID") => Ok(word),
        Some(other) => {
            let reason = format!("{other:?} is not a payment funding model");
            Err(ApiError::invalid("paymentFundingModel", reason))
        }
    }
}

fn pricing_type(word: Option<&str>) -> Result<Option<PricingType>, ApiError> {
    let field = "consumptionPricingType";
    match word {
        None | Some("CONSUMPTION_PRICING_TYPE_UNSPECIFIED") => Ok(None),
        Some("FIXED_PER_UNIT") => Ok(Some(PricingType::FixedPerUnit)),
        Some("BANDED") => Ok(Some(PricingType::Banded)),
        Some("TIERED") => Ok(Some(PricingType::Tiered)),
        Some("STAIRSTEP") => Ok(Some(PricingType::Stairstep)),
        Some(other) => {
            Err(ApiError::invalid(field, format!("{other:?} is not a consumption pricing type")))
        }
    }
}

fn state(word: Option<&str>) -> Result<PlanState, ApiError> {
    match word {
        Some("DRAFT") => Ok(PlanState::Draft),
        Some("PUBLISHED") => Ok(PlanState::Published),
        None | Some("STATE_UNSPECIFIED") => {
            Err(ApiError::invalid("state", "is required: DRAFT or PUBLISHED"))
        }
        Some(other) => {
            Err(ApiError::invalid("state", format!("{other:?} is neither DRAFT nor PUBLISHED")))
        }
    }
}

// === impl PlanShape ===

impl PlanShape {
    pub(crate) fn of(product: &str, plan: &Plan) -> PlanShape {
        let terms = &plan.terms;
        let money = |amount: Money| terms.currency.map(|code| MoneyShape::of(amount, code));
        let rate = |band: &PriceBand| RateShape {
            start: band.start.map(|start| start.to_string()),
            end: band.end.map(|end| end.to_string()),
            fee: money(band.fee),
        };
        PlanShape {
            name: name(plan),
            apiproduct: product.to_owned(),
            display_name: terms.display_name.clone(),
            description: terms.description.clone(),
            billing_period: terms.is_monthly.then_some("MONTHLY"),
            payment_funding_model: terms.payment_funding_model.clone(),
            currency_code: terms.currency.map(|code| code.to_string()),
            setup_fee: terms.setup_fee.and_then(money),
            fixed_recurring_fee: terms.recurring_fee.and_then(money),
            fixed_fee_frequency: terms.fee_months,
            consumption_pricing_type: terms.pricing.map(|pricing| match pricing {
                PricingType::FixedPerUnit => "FIXED_PER_UNIT",
                PricingType::Banded => "BANDED",
                PricingType::Tiered => "TIERED",
                PricingType::Stairstep => "STAIRSTEP",
            }),
            consumption_pricing_rates: terms.bands.iter().map(rate).collect(),
            revenue_share_type: terms.share.map(shares::share_word),
            revenue_share_rates: terms.share_bands.iter().map(ShareShape::of).collect(),
            state: state_word(terms.state),
            start_time: terms.start.map(millis),
            end_time: terms.end.map(millis),
            shadow: terms.is_shadow().then_some(true),
            created_at: millis(plan.created_at),
            last_modified_at: millis(plan.modified_at),
        }
    }
}

/// The id of a plan: the one that its creator chose, or the generated one.
pub(crate) fn name(plan: &Plan) -> String {
    plan.name.clone().unwrap_or_else(|| plan.id.to_string())
}

/// The word of a state.
pub(crate) fn state_word(state: PlanState) -> &'static str {
    match state {
        PlanState::Draft => "DRAFT",
        PlanState::Published => "PUBLISHED",
    }
}
