//! Rate plans as requests of Edge have them, and the terms that the catalogue keeps of them.

use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_ledger_store::catalogue::records::{
    Audience, Freemium, Package, PackageTerms, PlanState, PlanTerms, PriceBand, PricingType,
    ShareBand, ShareType, Span, SpanUnit,
};

use super::super::date;
use super::super::decimal::{self, Decimal};
use super::super::shapes::Reference;
use crate::error::ApiError;
use crate::router::Api;

/// A rate plan in a request. Fields of Edge that have no effect are kept as they are given.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RatePlanInput {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    pub(super) published: Option<bool>,
    is_private: Option<bool>,
    set_up_fee: Option<Decimal>,
    recurring_fee: Option<Decimal>,
    frequency_duration: Option<Decimal>,
    currency: Option<Reference>,
    developer: Option<Reference>,
    developer_category: Option<Reference>,
    start_date: Option<String>,
    end_date: Option<String>,
    rate_plan_details: Vec<DetailInput>,
    advance: Option<bool>,
    prorate: Option<bool>,
    recurring_type: Option<String>,
    recurring_start_unit: Option<Decimal>,
    early_termination_fee: Option<Decimal>,
    payment_due_days: Option<Decimal>,
    contract_duration: Option<Decimal>,
    contract_duration_type: Option<String>,
    frequency_duration_type: Option<String>,
}

/// What a plan charges, of all products of its package or of one.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DetailInput {
    #[serde(rename = "type")]
    kind: Option<String>,
    metering_type: Option<String>,
    rating_parameter: Option<String>,
    product: Option<Reference>,
    freemium_unit: Option<Decimal>,
    freemium_duration: Option<Decimal>,
    freemium_duration_type: Option<String>,
    rate_plan_rates: Vec<RateInput>,
}

/// A band.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RateInput {
    #[serde(rename = "type")]
    kind: Option<String>,
    rate: Option<Decimal>,
    revshare: Option<Decimal>,
    start_unit: Option<Decimal>,
    end_unit: Option<Decimal>,
}

// === impl RatePlanInput ===

impl RatePlanInput {
    /// Who alone may accept it.
    pub(super) async fn owner(
        &self,
        api: &Api,
        organization: &str,
    ) -> Result<Option<Audience>, ApiError> {
        let id = |reference: &Option<Reference>, field| {
            let id = reference.as_ref().map(|reference| reference.id.clone());
            id.ok_or_else(|| ApiError::invalid(field, "is required for a plan of this type"))
        };
        match self.kind.as_deref() {
            None | Some("STANDARD") => Ok(None),
            Some("DEVELOPER") => {
                let name = id(&self.developer, "developer")?;
                let owner = api.catalogue.developer(organization, &name).await?;
                Ok(Some(Audience::Developer(owner.id)))
            }
            Some("DEVELOPER_CATEGORY") => {
                Ok(Some(Audience::Category(id(&self.developer_category, "developerCategory")?)))
            }
            Some(other) => Err(ApiError::invalid("type", format!("{other} is not taken here"))),
        }
    }

    /// Refuses what no product could be given, and prices of products that the package has not.
    pub(super) fn check(&self, package: &Package) -> Result<(), ApiError> {
        let products = self.rate_plan_details.iter().filter_map(|detail| detail.product.as_ref());
        for product in products {
            if !package.products.iter().any(|other| other.name == product.id) {
                let reason = format!("{} is not in package {}", product.id, package.id);
                return Err(ApiError::invalid("ratePlanDetails.product", reason));
            }
            self.terms(&package.id, &product.id, None)?;
        }
        self.terms(&package.id, "", None)?;
        Ok(())
    }

    /// What the plan says in a product; `None`: it is not for it.
    pub(super) fn terms(
        &self,
        package: &str,
        product: &str,
        audience: Option<Audience>,
    ) -> Result<Option<PlanTerms>, ApiError> {
        let is_for =
            |detail: &&DetailInput| detail.product.as_ref().is_none_or(|named| named.id == product);
        let details: Vec<&DetailInput> = self.rate_plan_details.iter().filter(is_for).collect();
        if details.is_empty() && !self.rate_plan_details.is_empty() {
            return Ok(None);
        }
        let name = self.display_name.clone().or_else(|| self.name.clone());
        let currency = self.currency.as_ref().map(|named| decimal::currency("currency", &named.id));
        let money = |field: &str, given: &Option<Decimal>| {
            let amount = given.as_ref().map(|amount| amount.money(field)).transpose()?;
            Ok::<_, ApiError>(amount.filter(|amount| !amount.is_zero()))
        };
        let end = self.end_date.as_deref().map(|text| date::read("endDate", text)).transpose()?;
        let start = self.start_date.as_deref().map(|text| date::read("startDate", text));
        let mut terms = PlanTerms {
            display_name: name.ok_or_else(|| ApiError::invalid("displayName", "is required"))?,
            description: self.description.clone().unwrap_or_default(),
            is_monthly: true,
            currency: currency.transpose()?,
            setup_fee: money("setUpFee", &self.set_up_fee)?,
            recurring_fee: money("recurringFee", &self.recurring_fee)?,
            fee_months: self.fee_months()?,
            state: match self.published {
                Some(true) => PlanState::Published,
                Some(false) | None => PlanState::Draft,
            },
            start: start.transpose()?,
            end: end.map(date::end_of_day),
            ..PlanTerms::default()
        };
        let mut rating_attribute = None;
        for detail in details {
            detail.put(&mut terms)?;
            rating_attribute = rating_attribute.or_else(|| detail.rating_attribute());
        }
        terms.package = Some(PackageTerms {
            package: package.to_owned(),
            audience: audience.unwrap_or_default(),
            is_private: self.is_private.unwrap_or(false),
            rating_attribute,
            stored: self.stored(),
        });
        Ok(Some(terms))
    }

    /// Months from one recurring fee to the next; zero where it is not said.
    fn fee_months(&self) -> Result<u32, ApiError> {
        let kind = self.frequency_duration_type.as_deref();
        let months: u32 = match kind {
            None | Some("MONTH") => 1,
            Some("QUARTER") => 3,
            Some("YEAR") => 12,
            // Nothing is charged so often.
            Some(_) if self.recurring_fee.as_ref().is_none_or(Decimal::is_zero) => 1,
            Some(other) => {
                let reason = format!("{other:?} is not MONTH, QUARTER or YEAR");
                return Err(ApiError::invalid("frequencyDurationType", reason));
            }
        };
        let Some(given) = &self.frequency_duration else {
            return Ok(if kind.is_some() { months } else { 0 });
        };
        let count = u32::try_from(given.positive_whole("frequencyDuration")?).ok();
        let product = count.and_then(|count| count.checked_mul(months));
        product.ok_or_else(|| ApiError::invalid("frequencyDuration", "is out of range"))
    }

    /// Fields without an effect.
    fn stored(&self) -> Map<String, Value> {
        let texts = [
            ("recurringType", &self.recurring_type),
            ("contractDurationType", &self.contract_duration_type),
            ("frequencyDurationType", &self.frequency_duration_type),
        ];
        let given = texts.iter().filter_map(|(field, text)| {
            text.as_ref().map(|text| ((*field).to_owned(), Value::from(text.clone())))
        });
        given.collect()
    }
}

// === impl DetailInput ===

impl DetailInput {
    fn put(&self, terms: &mut PlanTerms) -> Result<(), ApiError> {
        let kind = self.kind.as_deref().unwrap_or("RATECARD");
        if !["RATECARD", "REVSHARE", "REVSHARE_RATECARD"].contains(&kind) {
            let reason = format!("{kind} is not taken here: USAGE_TARGET only notifies");
            return Err(ApiError::invalid("ratePlanDetails.type", reason));
        }
        let is_share =
            |rate: &&RateInput| rate.kind.as_deref() == Some("REVSHARE") || rate.revshare.is_some();
        let shares: Vec<&RateInput> = self.rate_plan_rates.iter().filter(is_share).collect();
        let prices: Vec<&RateInput> =
            self.rate_plan_rates.iter().filter(|rate| !is_share(rate)).collect();
        if !prices.is_empty() {
            terms.pricing = Some(match self.metering_type.as_deref() {
                None | Some("UNIT") => PricingType::FixedPerUnit,
                Some("VOLUME") => PricingType::Banded,
                Some("STAIR_STEP") => PricingType::Stairstep,
                Some(other) => {
                    let reason = format!("{other} is not taken here");
                    return Err(ApiError::invalid("meteringType", reason));
                }
            });
            terms.bands = prices.iter().map(|rate| rate.band()).collect::<Result<_, _>>()?;
            terms.freemium = self.freemium()?;
        }
        if !shares.is_empty() {
            let is_one = shares.len() == 1;
            terms.share = Some(if is_one { ShareType::Fixed } else { ShareType::VolumeBanded });
            terms.share_bands = shares.iter().map(|rate| rate.share()).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn freemium(&self) -> Result<Option<Freemium>, ApiError> {
        let zero = |given: &Option<Decimal>| given.as_ref().is_none_or(Decimal::is_zero);
        let units = match &self.freemium_unit {
            Some(given) if !given.is_zero() => Some(given.positive_units("freemiumUnit")?),
            Some(_) | None => None,
        };
        let span = match &self.freemium_duration {
            Some(given) if !zero(&self.freemium_duration) => {
                let count = given.positive_whole("freemiumDuration")?;
                let unit = match self.freemium_duration_type.as_deref() {
                    Some("DAY") => SpanUnit::Day,
                    Some("WEEK") => SpanUnit::Week,
                    None | Some("MONTH") => SpanUnit::Month,
                    Some("QUARTER") => SpanUnit::Quarter,
                    Some("YEAR") => SpanUnit::Year,
                    Some(other) => {
                        let reason = format!("{other:?} is not DAY, WEEK, MONTH, QUARTER or YEAR");
                        return Err(ApiError::invalid("freemiumDurationType", reason));
                    }
                };
                let count = u32::try_from(count)
                    .map_err(|_| ApiError::invalid("freemiumDuration", "is out of range"))?;
                Some(Span { count, unit })
            }
            Some(_) | None => None,
        };
        let has_any = units.is_some() || span.is_some();
        Ok(has_any.then_some(Freemium { units, span }))
    }

    fn rating_attribute(&self) -> Option<String> {
        self.rating_parameter.clone().filter(|parameter| parameter != "VOLUME")
    }
}

// === impl RateInput ===

impl RateInput {
    fn band(&self) -> Result<PriceBand, ApiError> {
        let fee = self.rate.as_ref().ok_or_else(|| ApiError::invalid("rate", "is required"))?;
        let (start, end) = self.ends()?;
        Ok(PriceBand::of_touching(start, end, fee.money("rate")?)?)
    }

    fn share(&self) -> Result<ShareBand, ApiError> {
        let given =
            self.revshare.as_ref().ok_or_else(|| ApiError::invalid("revshare", "is required"))?;
        let percent = given.money("revshare")?.nanos();
        let hundredths = (percent % 10_000_000 == 0).then_some(percent / 10_000_000);
        let hundredths = hundredths.and_then(|hundredths| u32::try_from(hundredths).ok());
        let hundredths = hundredths
            .ok_or_else(|| ApiError::invalid("revshare", "takes a percentage with two decimals"))?;
        let (start, end) = self.ends()?;
        let band = PriceBand::of_touching(start, end, tollgate_metering::Money::ZERO)?;
        Ok(ShareBand { start: band.start, end: band.end, hundredths })
    }

    fn ends(&self) -> Result<(i64, Option<i64>), ApiError> {
        let start = self.start_unit.as_ref().map(|given| given.whole("startUnit")).transpose()?;
        let end = self.end_unit.as_ref().map(|given| given.whole("endUnit")).transpose()?;
        Ok((start.unwrap_or(0), end.filter(|end| *end != 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_and_quarters_are_months_and_days_are_refused() {
        let months = |given: Value| {
            let input: RatePlanInput = serde_json::from_str(&given.to_string()).unwrap();
            input.fee_months().ok()
        };
        let check = |rows: &[(Value, Option<u32>)]| {
            for (given, want) in rows {
                assert_eq!(months(given.clone()), *want, "{given}");
            }
        };
        let fee = |count: u32, kind: &str| {
            serde_json::json!({
                "recurringFee": 1200, "frequencyDuration": count, "frequencyDurationType": kind,
            })
        };
        check(&[
            (serde_json::json!({}), Some(0)),
            (serde_json::json!({ "recurringFee": 1, "frequencyDuration": 2 }), Some(2)),
            (
                serde_json::json!({ "frequencyDuration": 1, "frequencyDurationType": "DAY" }),
                Some(1),
            ),
            (fee(1, "MONTH"), Some(1)),
            (fee(2, "QUARTER"), Some(6)),
            (fee(1, "YEAR"), Some(12)),
            (fee(30, "DAY"), None),
            (fee(u32::MAX, "YEAR"), None),
        ]);
    }
}
