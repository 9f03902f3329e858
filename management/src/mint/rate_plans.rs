//! `…/monetization-packages/{package}/rate-plans` and `…/rate-plans`: Edge's rate plans over the
//! catalogue's, rate cards with touching bands among them. Plans of Apigee X show here as well.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tollgate_ledger_store::CatalogueError;
use tollgate_ledger_store::catalogue::records::{
    Audience, Freemium, Package, PackageTerms, Plan, PlanState, PlanTerms, PriceBand, PricingType,
    Product, ShareBand, ShareType, Span, SpanUnit,
};

use super::date;
use super::decimal::{self, Decimal, Number};
use super::query::Terms;
use super::shapes::{CurrencyShape, Named, Reference};
use crate::error::ApiError;
use crate::extract::{At, Json};
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::routes::Answer;

/// A rate plan in a request. Fields of Edge that have no effect are kept as they are given.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RatePlanInput {
    id: Option<String>,
    name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    published: Option<bool>,
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

/// A rate plan in an answer.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RatePlanShape {
    pub(super) id: String,
    name: String,
    display_name: String,
    description: String,
    #[serde(rename = "type")]
    kind: &'static str,
    pub(super) published: bool,
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
    monetization_package: Option<Named>,
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

/// A list of them.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RatePlanList {
    #[serde(rename = "ratePlan")]
    _rate_plan: Vec<RatePlanShape>,
    #[serde(rename = "totalRecords")]
    _total_records: u64,
}

pub(crate) async fn create(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, package)): At<(String, String)>,
    Json(input): Json<RatePlanInput>,
) -> Answer {
    let owner = input.owner(&api, &organization).await?;
    let now = api.clock.now();
    let id = match (&input.id, &input.name) {
        (Some(id), _) => Some(id.clone()),
        // Edge makes the id of package and name.
        (None, Some(name)) => Some(format!("{package}_{}", slug(name))),
        (None, None) => None,
    };
    input.check(&api.catalogue.package(&organization, &package).await?)?;
    let terms = |product: &str| input.terms(&package, product, owner.clone()).ok().flatten();
    let made =
        api.catalogue.create_package_plan(&organization, &package, id.as_deref(), terms, now);
    let made = made.await?;
    let found = api.catalogue.plan_named(&organization, &made.plan.name).await?;
    Ok(created(&RatePlanShape::of(&found)))
}

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::ProductsRead,
    At((organization, package)): At<(String, String)>,
    query: Terms,
) -> Answer {
    let package = api.catalogue.package(&organization, &package).await?;
    let shapes = all(&api, &organization).await?.into_iter().filter(|shape| {
        shape.monetization_package.as_ref().is_some_and(|named| named.id == package.id)
    });
    Ok(ok(&query.list("ratePlan", shapes.collect())?))
}

pub(crate) async fn list_all(
    State(api): State<Api>,
    _: may::ProductsRead,
    At(organization): At<String>,
    query: Terms,
) -> Answer {
    Ok(ok(&query.list("ratePlan", all(&api, &organization).await?)?))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::ProductsRead,
    At((organization, _, plan)): At<(String, String, String)>,
) -> Answer {
    Ok(ok(&RatePlanShape::of(&api.catalogue.plan_named(&organization, &plan).await?)))
}

pub(crate) async fn get_one(
    State(api): State<Api>,
    _: may::ProductsRead,
    At((organization, plan)): At<(String, String)>,
) -> Answer {
    Ok(ok(&RatePlanShape::of(&api.catalogue.plan_named(&organization, &plan).await?)))
}

/// Replaces a plan; publishing it is `published: true`.
pub(crate) async fn update(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, package, plan)): At<(String, String, String)>,
    Json(mut input): Json<RatePlanInput>,
) -> Answer {
    let owner = input.owner(&api, &organization).await?;
    let now = api.clock.now();
    let of_package = api.catalogue.package(&organization, &package).await?;
    let found = api.catalogue.package_plan(&organization, &plan).await?;
    if found.package != of_package.id {
        return Err(ApiError::invalid("ratePlan", "is of another package"));
    }
    if input.published.is_none() {
        // A plan that is left without prices by a slip would refuse every call.
        let found = api.catalogue.plan_named(&organization, &plan).await?;
        let is_published = |plan: &Plan| plan.terms.state == PlanState::Published;
        input.published = Some(found.iter().any(|(_, plan)| is_published(plan)));
    }
    input.check(&of_package)?;
    let terms = |product: &str| input.terms(&package, product, owner.clone()).ok().flatten();
    let made = api.catalogue.update_package_plan(&organization, &plan, terms, now).await?;
    let found = api.catalogue.plan_named(&organization, &made.plan.name).await?;
    Ok(ok(&RatePlanShape::of(&found)))
}

/// Deletes a plan that was never published.
pub(crate) async fn delete(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, _, plan)): At<(String, String, String)>,
) -> Answer {
    let found = refuse_published(&api, &organization, &plan).await?;
    let shape = RatePlanShape::of(&found);
    api.catalogue.delete_package_plan(&organization, &plan, api.clock.now()).await?;
    Ok(ok(&shape))
}

/// A plan that may be deleted: who holds a published one would be refused, or call for nothing.
pub(super) async fn refuse_published(
    api: &Api,
    organization: &str,
    plan: &str,
) -> Result<Vec<(Product, Plan)>, ApiError> {
    let found = api.catalogue.plan_named(organization, plan).await?;
    if found.iter().any(|(_, plan)| plan.terms.state == PlanState::Published) {
        let what = format!("rate plan {plan} is published: end it by an endDate");
        return Err(CatalogueError::Precondition(what).into());
    }
    Ok(found)
}

/// Every plan of an organization once, whichever products have it.
async fn all(api: &Api, organization: &str) -> Result<Vec<RatePlanShape>, ApiError> {
    let products = api.catalogue.products(organization, None, usize::MAX).await?;
    let mut plans: Vec<Vec<(Product, Plan)>> = Vec::new();
    for product in &products {
        for plan in &product.plans {
            let found = (product.clone(), plan.clone());
            match plans.iter_mut().find(|other| other[0].1.id == plan.id) {
                Some(other) => other.push(found),
                None => plans.push(vec![found]),
            }
        }
    }
    Ok(plans.iter().map(|found| RatePlanShape::of(found)).collect())
}

/// A name as part of an id.
fn slug(name: &str) -> String {
    let kept = name.chars().filter(|char| char.is_ascii_alphanumeric() || "-_".contains(*char));
    kept.collect::<String>().to_ascii_lowercase()
}

// === impl RatePlanInput ===

impl RatePlanInput {
    /// Who alone may accept it.
    async fn owner(&self, api: &Api, organization: &str) -> Result<Option<Audience>, ApiError> {
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
    fn check(&self, package: &Package) -> Result<(), ApiError> {
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
    fn terms(
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

// === impl RatePlanShape ===

impl RatePlanShape {
    /// A plan with the products that have it; there is at least one.
    pub(crate) fn of(found: &[(Product, Plan)]) -> RatePlanShape {
        let plan = &found[0].1;
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

fn detail(product: &Product, plan: &Plan) -> DetailShape {
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
        product: Named::of(&product.name, &product.name),
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

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let at = "/v1/mint/organizations/{organization}";
    let of_package = &format!("{at}/monetization-packages/{{package}}/rate-plans");
    let one = &format!("{of_package}/{{plan}}");
    paths.get(&format!("{at}/rate-plans"), "Lists rate plans").answers::<RatePlanList>(200);
    paths
        .get(&format!("{at}/rate-plans/{{plan}}"), "Reads a rate plan")
        .answers::<RatePlanShape>(200);
    paths.get(of_package, "Lists rate plans of a package").answers::<RatePlanList>(200);
    paths
        .post(of_package, "Creates a rate plan of a package")
        .takes::<RatePlanInput>()
        .example(serde_json::json!({
            "name": "rateplan1",
            "displayName": "Rate plan 1",
            "currency": { "id": "usd" },
            "published": true,
            "startDate": "2026-01-01 00:00:00",
            "ratePlanDetails": [{
                "type": "RATECARD",
                "meteringType": "UNIT",
                "ratePlanRates": [{ "type": "RATECARD", "rate": 0.01, "startUnit": 0 }],
            }],
        }))
        .answers::<RatePlanShape>(201);
    paths.get(one, "Reads a rate plan").answers::<RatePlanShape>(200);
    paths
        .put(one, "Changes or publishes a rate plan")
        .takes::<RatePlanInput>()
        .answers::<RatePlanShape>(200);
    paths.delete(one, "Deletes a rate plan that is a draft").answers::<RatePlanShape>(200);
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
