//! `…/monetization-packages/{package}/rate-plans` and `…/rate-plans`: Edge's rate plans over the
//! catalogue's, rate cards with touching bands among them. Plans of Apigee X show here as well.

mod input;
mod shape;

use std::collections::HashMap;

use axum::extract::State;
use serde::Serialize;
use tollgate_ledger_store::CatalogueError;
use tollgate_ledger_store::catalogue::error::What;
use tollgate_ledger_store::catalogue::records::{Plan, PlanState, Product};
use tollgate_metering::PlanId;

use self::input::RatePlanInput;
pub(crate) use self::shape::RatePlanShape;
use super::query::{List, Terms};
use crate::error::ApiError;
use crate::extract::{At, Json};
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::routes::Answer;

/// Products that one read asks for.
const PRODUCTS_PAGE: usize = 200;

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
    let (first, size) = query.wanted()?;
    let package = api.catalogue.package(&organization, &package).await?;
    let mut shapes = Vec::new();
    for plan in package.plans.iter().skip(first).take(size) {
        let found = api.catalogue.package_plan(&organization, &plan.name).await?;
        let named: Vec<(&str, &Plan)> =
            found.products.iter().map(|(product, plan)| (product.name.as_str(), plan)).collect();
        // A plan that no product of the package has yet says nothing.
        if !named.is_empty() {
            shapes.push(RatePlanShape::of_named(&named));
        }
    }
    Ok(ok(&List::of("ratePlan", shapes, package.plans.len())))
}

/// Every plan of an organization once, whichever products have it.
pub(crate) async fn list_all(
    State(api): State<Api>,
    _: may::ProductsRead,
    At(organization): At<String>,
    query: Terms,
) -> Answer {
    let (first, size) = query.wanted()?;
    let mut places: HashMap<PlanId, usize> = HashMap::new();
    let mut plans: Vec<Vec<(Product, Plan)>> = Vec::new();
    let mut start: Option<String> = None;
    loop {
        let page = api.catalogue.products(&organization, start.as_deref(), PRODUCTS_PAGE).await?;
        let is_last = page.len() < PRODUCTS_PAGE;
        // A page begins with the product that the one before it ended with.
        let is_new = |product: &&Product| start.as_ref() != Some(&product.name);
        for product in page.iter().filter(is_new) {
            for plan in &product.plans {
                let next = places.len();
                let place = *places.entry(plan.id).or_insert(next);
                if place < first || place - first >= size {
                    continue;
                }
                plans.resize_with(plans.len().max(place - first + 1), Vec::new);
                plans[place - first].push((product.clone(), plan.clone()));
            }
        }
        start = page.last().map(|product| product.name.clone());
        if is_last {
            break;
        }
    }
    let shapes = plans.iter().map(|found| RatePlanShape::of(found)).collect();
    Ok(ok(&List::of("ratePlan", shapes, places.len())))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::ProductsRead,
    At((organization, package, plan)): At<(String, String, String)>,
) -> Answer {
    Ok(ok(&RatePlanShape::of(&of_package(&api, &organization, &package, &plan).await?)))
}

/// A plan of a package, with every product that has it.
async fn of_package(
    api: &Api,
    organization: &str,
    package: &str,
    plan: &str,
) -> Result<Vec<(Product, Plan)>, ApiError> {
    let package = api.catalogue.package(organization, package).await?;
    let found = api.catalogue.plan_named(organization, plan).await?;
    let is_its = |(_, plan): &(Product, Plan)| {
        plan.terms.package.as_ref().is_some_and(|of| of.package == package.id)
    };
    match found.iter().all(is_its) {
        true => Ok(found),
        false => Err(CatalogueError::Missing {
            what: What::RatePlan,
            name: plan.to_owned(),
            inside: package.id,
        }
        .into()),
    }
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
    At((organization, package, plan)): At<(String, String, String)>,
) -> Answer {
    of_package(&api, &organization, &package, &plan).await?;
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

/// A name as part of an id.
fn slug(name: &str) -> String {
    let kept = name.chars().filter(|char| char.is_ascii_alphanumeric() || "-_".contains(*char));
    kept.collect::<String>().to_ascii_lowercase()
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
