//! `…/developer-rateplans` and `…/developer-accepted-rateplans`: plans that developers have
//! accepted. They are the subscriptions of Apigee X; those that were bought there show here, and the
//! other way round.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::acceptances::FirstFees;
use tollgate_ledger_store::catalogue::records::{Developer, Plan, Product, Subscription};
use tollgate_ledger_store::catalogue::{CatalogueError, Window};
use tollgate_metering::{Currency, UnixMillis};

use super::date;
use super::decimal::Decimal;
use super::error::MintError;
use super::query::Terms;
use super::rate_plans::RatePlanShape;
use super::shapes::{DeveloperShape, Reference};
use crate::auth::Identity;
use crate::error::ApiError;
use crate::extract::{At, Json};
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::routes::{Answer, booking, developer};

/// A plan that a developer holds.
pub(crate) struct Held {
    /// Its id as people know it.
    pub(crate) name: String,
    /// Its currency.
    pub(crate) currency: Currency,
}

/// An acceptance in a request.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct AcceptanceInput {
    developer: Option<Reference>,
    rate_plan: Option<Reference>,
    start_date: Option<String>,
    end_date: Option<String>,
    /// Taken, and without effect, as the fields below are.
    #[serde(rename = "quotaTarget")]
    _quota_target: Option<Decimal>,
    #[serde(rename = "suppressWarning")]
    _suppress_warning: Option<bool>,
    #[serde(rename = "waveTerminationCharge")]
    _wave_termination_charge: Option<bool>,
    #[serde(rename = "id")]
    _id: crate::shapes::ReadOnly,
    #[serde(rename = "created")]
    _created: crate::shapes::ReadOnly,
    #[serde(rename = "updated")]
    _updated: crate::shapes::ReadOnly,
    #[serde(rename = "renewalDate")]
    _renewal_date: crate::shapes::ReadOnly,
    #[serde(rename = "nextCycleStartDate")]
    _next_cycle_start_date: crate::shapes::ReadOnly,
    #[serde(rename = "nextRecurringFeeDate")]
    _next_recurring_fee_date: crate::shapes::ReadOnly,
}

/// An acceptance in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AcceptanceShape {
    id: String,
    developer: DeveloperShape,
    rate_plan: RatePlanShape,
    start_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
    created: String,
    updated: String,
    next_cycle_start_date: String,
    quota_target: u32,
}

/// A list of them.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AcceptanceList {
    #[serde(rename = "developerRatePlan")]
    _developer_rate_plan: Vec<AcceptanceShape>,
    #[serde(rename = "totalRecords")]
    _total_records: u64,
}

/// `POST …/developer-rateplans?waivefees=`.
pub(crate) async fn accept(
    State(api): State<Api>,
    may::SubscriptionsWrite(by): may::SubscriptionsWrite,
    At((organization, name)): At<(String, String)>,
    query: Terms,
    Json(input): Json<AcceptanceInput>,
) -> Answer {
    query.only(&["waivefees", "keepStartDate"])?;
    let is_waived = query.flag("waivefees")?;
    let owner = developer(&api, &organization, &name).await?;
    if let Some(named) = &input.developer
        && developer(&api, &organization, &named.id).await?.id != owner.id
    {
        return Err(ApiError::invalid("developer.id", "is another developer than the path names"));
    }
    let plan = input.rate_plan.as_ref().map(|plan| plan.id.as_str());
    let plan = plan.ok_or_else(|| ApiError::invalid("ratePlan.id", "is required"))?;
    let found = api.catalogue.plan_named(&organization, plan).await?;
    let now = api.clock.now();
    let window = input.window(&found[0].1, now, query.flag("keepStartDate")?)?;
    // Whoever held the plan elsewhere before today has paid the current period there as well.
    let fee = match (is_waived, date::end_of_day(window.start) <= now) {
        (false, _) => FirstFees::Due,
        (true, false) => FirstFees::SetupWaived,
        (true, true) => FirstFees::Waived,
    };
    let accepted = purchase(&api, &organization, &owner, (plan, window, fee), &by).await?;
    Ok(created(&shape(&owner, &accepted, &found)))
}

/// Begins, pays and activates, as a purchase through Apigee X.
async fn purchase(
    api: &Api,
    organization: &str,
    owner: &Developer,
    (plan, window, fee): (&str, Window, FirstFees),
    by: &Identity,
) -> Result<Vec<Subscription>, ApiError> {
    let now = api.clock.now();
    let accepted = api.catalogue.accept_plan(organization, owner, plan, window, fee, now).await?;
    let Some(first) = accepted.first().filter(|first| first.is_pending) else {
        return Ok(accepted);
    };
    let paid = booking::purchase_fees(api, organization, owner, first, by, false).await;
    if let (
        Err(
            ApiError::BalanceTooSmall { .. }
            | ApiError::NoWallet { .. }
            | ApiError::Reserved { .. }
            | ApiError::ModeChanging,
        ),
        Some(acceptance),
    ) = (&paid, first.acceptance)
    {
        api.catalogue.abandon_acceptance(organization, owner, acceptance, now).await?;
    }
    paid?;
    Ok(api.catalogue.activate_acceptance(organization, owner, &accepted, now).await?)
}

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::SubscriptionsRead,
    At((organization, name)): At<(String, String)>,
    query: Terms,
) -> Answer {
    let owner = developer(&api, &organization, &name).await?;
    Ok(ok(&query.list("developerRatePlan", all(&api, &organization, &owner).await?)?))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::SubscriptionsRead,
    At((organization, name, id)): At<(String, String, String)>,
) -> Answer {
    let owner = developer(&api, &organization, &name).await?;
    let all = all(&api, &organization, &owner).await?;
    let found = all.into_iter().find(|shape| shape.id == id);
    let found = found.ok_or_else(|| missing(&owner, &id))?;
    Ok(ok(&found))
}

/// Sets when an acceptance ends.
pub(crate) async fn update(
    State(api): State<Api>,
    _: may::SubscriptionsWrite,
    At((organization, name, id)): At<(String, String, String)>,
    query: Terms,
    Json(input): Json<AcceptanceInput>,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let end = input.end_date.as_deref().map(|text| date::read("endDate", text)).transpose()?;
    let (end, now) = (end.map(date::end_of_day), api.clock.now());
    // Of one that ends today the whole day is kept; a day before today ends it now.
    let end = end.map(|end| end.max(now));
    api.catalogue.end_acceptance(&organization, &owner, &id, end, now).await?;
    let all = all(&api, &organization, &owner).await?;
    let found = all.into_iter().find(|shape| shape.id == id);
    Ok(ok(&found.ok_or_else(|| missing(&owner, &id))?))
}

pub(crate) async fn delete(
    State(api): State<Api>,
    may::SubscriptionsWrite(by): may::SubscriptionsWrite,
    At((organization, name, id)): At<(String, String, String)>,
    query: Terms,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let all = all(&api, &organization, &owner).await?;
    let found = all.into_iter().find(|shape| shape.id == id);
    let found = found.ok_or_else(|| missing(&owner, &id))?;
    let now = api.clock.now();
    match api.catalogue.withdraw_acceptance(&organization, &owner, &id, now).await {
        Ok(taken_back) => {
            booking::return_fees(&api, &organization, &owner, &taken_back, &by).await;
            Ok(ok(&found))
        }
        Err(CatalogueError::Precondition(_)) => Err(MintError::HasBegun.into()),
        Err(error) => Err(error.into()),
    }
}

/// A plan that the developer holds now.
pub(crate) async fn held(
    api: &Api,
    organization: &str,
    owner: &Developer,
    plan: &str,
) -> Result<Held, ApiError> {
    let found = api.catalogue.plan_named(organization, plan).await?;
    let now = api.clock.now();
    let held = api.catalogue.subscriptions(organization, owner.id).await?;
    for (product, plan) in &found {
        let Some((currency, window)) = plan.in_force()? else { continue };
        let is_held = |held: &Subscription| {
            let is_own = !plan.terms.is_accepted() && window.contains(now);
            let is_of_plan = held.plan.map_or(is_own, |accepted| accepted == plan.id);
            held.product == product.id && is_of_plan && held.window.contains(now)
        };
        if held.iter().any(is_held) {
            return Ok(Held { name: plan.public_id(), currency });
        }
    }
    Err(MintError::NoPlan { developer: owner.email.clone(), product: format!("rate plan {plan}") }
        .into())
}

/// Everything that a developer has accepted or bought and not taken back, oldest first.
async fn all(
    api: &Api,
    organization: &str,
    owner: &Developer,
) -> Result<Vec<AcceptanceShape>, ApiError> {
    let held = api.catalogue.subscriptions(organization, owner.id).await?;
    let products = api.catalogue.products(organization, None, usize::MAX).await?;
    let mut shapes: Vec<AcceptanceShape> = Vec::new();
    for one in held.iter().filter(|held| !held.is_taken_back()) {
        let id = one.acceptance.unwrap_or(one.id).to_string();
        let Some(product) = products.iter().find(|product| product.id == one.product) else {
            continue;
        };
        let is_it = |plan: &&Plan| match one.plan {
            Some(accepted) => plan.id == accepted,
            None => !plan.terms.is_accepted(),
        };
        if let Some(plan) = product.plans.iter().rfind(is_it)
            && !shapes.iter().any(|shape| shape.id == id)
        {
            let found = [(product.clone(), plan.clone())];
            shapes.push(shape(owner, std::slice::from_ref(one), &found));
        }
    }
    Ok(shapes)
}

fn shape(owner: &Developer, held: &[Subscription], plan: &[(Product, Plan)]) -> AcceptanceShape {
    let first = &held[0];
    let next = tollgate_metering::Period::of(first.window.start.max(first.modified_at)).end();
    AcceptanceShape {
        id: first.acceptance.unwrap_or(first.id).to_string(),
        developer: DeveloperShape::of(owner),
        rate_plan: RatePlanShape::of(plan),
        start_date: date::write(first.window.start),
        end_date: first.window.end.map(date::last_second),
        created: date::write(first.created_at),
        updated: date::write(first.modified_at),
        next_cycle_start_date: date::write(next),
        quota_target: 0,
    }
}

fn missing(owner: &Developer, id: &str) -> ApiError {
    CatalogueError::Missing {
        what: tollgate_ledger_store::catalogue::error::What::Subscription,
        name: id.to_owned(),
        inside: owner.email.clone(),
    }
    .into()
}

// === impl AcceptanceInput ===

impl AcceptanceInput {
    /// When it holds, within the plan's own window.
    fn window(&self, plan: &Plan, now: UnixMillis, keeps_start: bool) -> Result<Window, ApiError> {
        let Some((_, published)) = plan.in_force()? else {
            return Err(MintError::NotPublished(plan.public_id()).into());
        };
        let start = self.start_date.as_deref();
        let start = start.ok_or_else(|| ApiError::invalid("startDate", "is required"))?;
        let start = date::read("startDate", start)?;
        let end = self.end_date.as_deref().map(|text| date::read("endDate", text)).transpose()?;
        let end = end.map(date::end_of_day);
        let refuse = |code, message: &str| Err(window(code, message));
        if !keeps_start && date::end_of_day(start) <= now {
            return refuse("mint.startDateEarlierThanToday", "startDate lies before today");
        }
        if date::end_of_day(start) <= published.start {
            let message = "startDate lies before the rate plan's";
            return refuse("mint.startDateEarlierThanPlanStartDate", message);
        }
        if published.end.is_some_and(|end| start >= end) {
            let message = "startDate lies after the rate plan's endDate";
            return refuse("mint.startDateLaterThanPlanEndDate", message);
        }
        if end.is_some_and(|end| end <= start) {
            return refuse("mint.endDateEarlierThanStart", "endDate lies before startDate");
        }
        if let (Some(end), Some(last)) = (end, published.end)
            && end > date::end_of_day(last)
        {
            let message = "endDate lies after the rate plan's";
            return refuse("mint.endDateLaterThanPlanEndDate", message);
        }
        Ok(Window { start, end })
    }
}

fn window(code: &'static str, message: &str) -> ApiError {
    MintError::Window { code, message: message.to_owned() }.into()
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let at = "/v1/mint/organizations/{organization}/developers/{developer}";
    let one = &format!("{at}/developer-rateplans/{{acceptance}}");
    paths
        .post(&format!("{at}/developer-rateplans"), "Accepts a rate plan")
        .flag(
            "waivefees",
            "Give the setup fee away; of a kept start, also the current recurring one.",
        )
        .flag("keepStartDate", "Take a startDate before today, as a migration needs it.")
        .takes::<AcceptanceInput>()
        .example(serde_json::json!({
            "developer": { "id": "ada@example.com" },
            "ratePlan": { "id": "mypackage_rateplan1" },
            "startDate": "2026-12-01 00:00:00",
        }))
        .answers::<AcceptanceShape>(201);
    paths.get(one, "Reads an accepted rate plan").answers::<AcceptanceShape>(200);
    paths
        .put(one, "Sets when an accepted rate plan ends")
        .takes::<AcceptanceInput>()
        .answers::<AcceptanceShape>(200);
    paths
        .delete(one, "Takes an accepted rate plan back that has not begun")
        .answers::<AcceptanceShape>(200);
    paths
        .get(&format!("{at}/developer-accepted-rateplans"), "Lists accepted rate plans")
        .answers::<AcceptanceList>(200);
}
