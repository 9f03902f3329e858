//! `…/apiproducts/{product}/rateplans`; `apiproducts/-` lists across products.

use axum::extract::State;
use tollgate_ledger_store::catalogue::records::Plan;

use super::Answer;
use crate::error::ApiError;
use crate::extract::{At, Json, Page, Parameters};
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::shapes::plans::{PlanInput, PlanList, PlanName, PlanShape, name, state_word};

/// Stands for every product of the organization.
const EVERY_PRODUCT: &str = "-";

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::ProductsRead,
    At((organization, product)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&["count", "startKey", "expand", "state", "orderBy"])?;
    let Page { start, count } = query.page()?;
    let state = match query.get("state") {
        None | Some("STATE_UNSPECIFIED") => None,
        Some(word @ ("DRAFT" | "PUBLISHED")) => Some(word),
        Some(_) => {
            let reason = "must be DRAFT or PUBLISHED".to_owned();
            return Err(ApiError::Query { name: "state".to_owned(), reason });
        }
    };
    let products = match product.as_str() {
        EVERY_PRODUCT => api.catalogue.products(&organization, None, usize::MAX).await?,
        name => vec![api.catalogue.product(&organization, name).await?],
    };
    let plans = products
        .iter()
        .flat_map(|product| product.plans.iter().map(|plan| (product.name.as_str(), plan)));
    let mut plans: Vec<(&str, &Plan)> = plans
        .filter(|(_, plan)| state.is_none_or(|word| word == state_word(plan.terms.state)))
        .skip_while(|(_, plan)| start.as_ref().is_some_and(|key| name(plan) != *key))
        .take(count + 1)
        .collect();
    let next = (plans.len() > count).then(|| plans.pop()).flatten();
    let next_start_key = next.map(|(_, plan)| name(plan));
    if query.flag("expand")? {
        let rate_plans = plans.iter().map(|(product, plan)| PlanShape::of(product, plan)).collect();
        return Ok(ok(&PlanList { rate_plans, next_start_key }));
    }
    let named = |(product, plan): &(&str, &Plan)| PlanName {
        name: name(plan),
        apiproduct: (*product).to_owned(),
    };
    Ok(ok(&PlanList { rate_plans: plans.iter().map(named).collect(), next_start_key }))
}

pub(crate) async fn create(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, product)): At<(String, String)>,
    query: Parameters,
    Json(input): Json<PlanInput>,
) -> Answer {
    query.only(&[])?;
    let (terms, now) = (input.terms(&product)?, api.clock.now());
    let plan = api.catalogue.create_plan(&organization, &product, &terms, now).await?;
    Ok(created(&PlanShape::of(&product, &plan)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::ProductsRead,
    At((organization, product, id)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let plan = api.catalogue.plan(&organization, &product, &id).await?;
    Ok(ok(&PlanShape::of(&product, &plan)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, product, id)): At<(String, String, String)>,
    query: Parameters,
    Json(input): Json<PlanInput>,
) -> Answer {
    query.only(&[])?;
    let (terms, now) = (input.terms(&product)?, api.clock.now());
    let plan = api.catalogue.update_plan(&organization, &product, &id, &terms, now).await?;
    Ok(ok(&PlanShape::of(&product, &plan)))
}

pub(crate) async fn delete(
    State(api): State<Api>,
    _: may::ProductsWrite,
    At((organization, product, id)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let plan = api.catalogue.delete_plan(&organization, &product, &id, api.clock.now()).await?;
    Ok(ok(&PlanShape::of(&product, &plan)))
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let all = "/v1/organizations/{organization}/apiproducts/{product}/rateplans";
    let one = &format!("{all}/{{plan}}");
    let states = ["STATE_UNSPECIFIED", "DRAFT", "PUBLISHED"];
    paths
        .get(all, "Lists rate plans; the product - stands for every one")
        .paged()
        .flag("expand", "Whole plans in place of names.")
        .choice("state", &states, "Only plans in this state.")
        .text("orderBy", "Taken, and without effect.")
        .answers::<PlanList<PlanShape>>(200)
        .answers::<PlanList<PlanName>>(200);
    paths
        .post(all, "Creates a rate plan")
        .takes::<PlanInput>()
        .example(serde_json::json!({
            "apiproduct": "weather",
            "displayName": "standard",
            "billingPeriod": "MONTHLY",
            "currencyCode": "EUR",
            "consumptionPricingType": "FIXED_PER_UNIT",
            "consumptionPricingRates": [{ "fee": { "nanos": 10_000_000 } }],
            "state": "DRAFT",
        }))
        .answers::<PlanShape>(201);
    paths.get(one, "Reads a rate plan").answers::<PlanShape>(200);
    paths.put(one, "Changes a rate plan").takes::<PlanInput>().answers::<PlanShape>(200);
    paths.delete(one, "Deletes a rate plan that is a draft").answers::<PlanShape>(200);
}
