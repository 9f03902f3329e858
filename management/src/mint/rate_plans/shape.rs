//! Rate plans as answers of Edge show them, plans of Apigee X among them.

use serde::Serialize;
use tollgate_ledger_store::catalogue::records::{
    Audience, Plan, PlanState, PriceBand, PricingType, Product, SpanUnit,
};

use super::super::date;
use super::super::decimal::Number;
use super::super::shapes::{CurrencyShape, Named};

/// A rate plan in an answer.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RatePlanShape {
    id: String,
    name: String,
    display_name: String,
    description: String,
    #[serde(rename = "type")]
    kind: &'static str,
    published: bool,
    is_private: bool,
    set_up_fee: Number,
    recurring_fee: Number,
    frequency_duration: u32,
    frequency_duration_type: &'static str,
    advance: bool,
    prorate: bool,
    recurring_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<CurrencyShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) monetization_package: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
    rate_plan_details: Vec<DetailShape>,
}

#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DetailShape {
    #[serde(rename = "type")]
    kind: &'static str,
    metering_type: &'static str,
    rating_parameter: String,
    product: Named,
    #[serde(skip_serializing_if = "Option::is_none")]
    freemium_unit: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    freemium_duration: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    freemium_duration_type: Option<&'static str>,
    rate_plan_rates: Vec<RateShape>,
}

#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RateShape {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revshare: Option<Number>,
    start_unit: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_unit: Option<i64>,
}

// === impl RatePlanShape ===

impl RatePlanShape {
    /// A plan with the products that have it; there is at least one.
    pub(crate) fn of(found: &[(Product, Plan)]) -> RatePlanShape {
        let named: Vec<(&str, &Plan)> =
            found.iter().map(|(product, plan)| (product.name.as_str(), plan)).collect();
        RatePlanShape::of_named(&named)
    }

    /// The same by the names of the products.
    pub(super) fn of_named(found: &[(&str, &Plan)]) -> RatePlanShape {
        let plan = found[0].1;
        let terms = &plan.terms;
        let package = terms.package.as_ref();
        let zero = tollgate_metering::Money::ZERO;
        RatePlanShape {
            id: plan.public_id(),
            name: terms.display_name.clone(),
            display_name: terms.display_name.clone(),
            description: terms.description.clone(),
            kind: match package.map(|package| &package.audience) {
                None | Some(Audience::Everybody) => "STANDARD",
                Some(Audience::Developer(_)) => "DEVELOPER",
                Some(Audience::Category(_)) => "DEVELOPER_CATEGORY",
            },
            published: terms.state == PlanState::Published,
            is_private: package.is_some_and(|package| package.is_private),
            set_up_fee: terms.setup_fee.unwrap_or(zero).into(),
            recurring_fee: terms.recurring_fee.unwrap_or(zero).into(),
            frequency_duration: terms.fee_months.max(1),
            frequency_duration_type: "MONTH",
            advance: true,
            prorate: true,
            recurring_type: "CALENDAR",
            currency: terms.currency.map(CurrencyShape::of),
            monetization_package: package.map(|package| Named::id(&package.package)),
            start_date: terms.start.map(date::write),
            end_date: terms.end.map(date::last_second),
            rate_plan_details: found.iter().map(|(product, plan)| detail(product, plan)).collect(),
        }
    }
}

fn detail(product: &str, plan: &Plan) -> DetailShape {
    let terms = &plan.terms;
    let prices = terms.bands.iter().map(|band| {
        let (start_unit, end_unit) = band.touching();
        let rate = Some(band.fee.into());
        RateShape { kind: "RATECARD", rate, revshare: None, start_unit, end_unit }
    });
    let shares = terms.share_bands.iter().map(|band| {
        let fee = tollgate_metering::Money::ZERO;
        let (start_unit, end_unit) = PriceBand { start: band.start, end: band.end, fee }.touching();
        let revshare = Some(Number::hundredths(band.hundredths));
        RateShape { kind: "REVSHARE", rate: None, revshare, start_unit, end_unit }
    });
    let freemium = terms.freemium.unwrap_or_default();
    let rated = terms.package.as_ref().and_then(|package| package.rating_attribute.clone());
    DetailShape {
        kind: match (terms.bands.is_empty(), terms.share_bands.is_empty()) {
            (_, true) => "RATECARD",
            (true, false) => "REVSHARE",
            (false, false) => "REVSHARE_RATECARD",
        },
        metering_type: match terms.pricing {
            None | Some(PricingType::FixedPerUnit) => "UNIT",
            Some(PricingType::Banded | PricingType::Tiered) => "VOLUME",
            Some(PricingType::Stairstep) => "STAIR_STEP",
        },
        rating_parameter: rated.unwrap_or_else(|| "VOLUME".to_owned()),
        product: Named::of(product, product),
        freemium_unit: freemium.units.map(Number::from),
        freemium_duration: freemium.span.map(|span| span.count),
        freemium_duration_type: freemium.span.map(|span| match span.unit {
            SpanUnit::Day => "DAY",
            SpanUnit::Week => "WEEK",
            SpanUnit::Month => "MONTH",
            SpanUnit::Quarter => "QUARTER",
            SpanUnit::Year => "YEAR",
        }),
        rate_plan_rates: prices.chain(shares).collect(),
    }
}
