//! `/v1/organizations`: enough to begin with.

use axum::extract::State;
use uuid::Uuid;

use super::Answer;
use crate::error::ApiError;
use crate::extract::{At, Body, Json, Parameters};
use crate::json;
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::shapes::organizations::{
    AddonsInput, OrganizationInput, OrganizationList, OrganizationName, OrganizationShape,
    addons_operation,
};

pub(crate) async fn list(
    State(api): State<Api>,
    may::OrganizationsList(by): may::OrganizationsList,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let all = api.catalogue.organizations().await?;
    let is_own = |name: &String| by.organization.as_ref().is_none_or(|own| own == name);
    let names = all.into_iter().map(|found| found.name).filter(is_own);
    let organizations = names.map(|organization| OrganizationName { organization }).collect();
    Ok(ok(&OrganizationList { organizations }))
}

/// The name comes from the body or, as with Apigee, from the project in `parent`.
pub(crate) async fn create(
    State(api): State<Api>,
    _: may::OrganizationsCreate,
    query: Parameters,
    Json(mut input): Json<OrganizationInput>,
) -> Answer {
    query.only(&["parent"])?;
    let parent = query.get("parent").map(|parent| parent.trim_start_matches("projects/"));
    let name = input.name.take().or_else(|| parent.map(str::to_owned)).unwrap_or_default();
    let terms = input.terms();
    let organization = api
        .catalogue
        .create_organization(
            &name,
            &terms.display_name,
            &terms.description,
            terms.attributes,
            api.clock.now(),
        )
        .await?;
    Ok(created(&OrganizationShape::of(&organization)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::OrganizationsRead,
    At(name): At<String>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    Ok(ok(&OrganizationShape::of(&api.catalogue.organization(&name).await?)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    _: may::OrganizationsWrite,
    At(name): At<String>,
    query: Parameters,
    Json(input): Json<OrganizationInput>,
) -> Answer {
    query.only(&[])?;
    if input.name.as_ref().is_some_and(|named| *named != name) {
        return Err(ApiError::invalid("name", "cannot be changed"));
    }
    let terms = input.terms();
    let organization = api
        .catalogue
        .update_organization(
            &name,
            &terms.display_name,
            &terms.description,
            &terms.attributes,
            api.clock.now(),
        )
        .await?;
    Ok(ok(&OrganizationShape::of(&organization)))
}

/// `POST organizations/{organization}:setAddons`.
pub(crate) async fn verb(
    State(api): State<Api>,
    admin: may::OrganizationsWrite,
    At(segment): At<String>,
    query: Parameters,
    body: Body,
) -> Answer {
    let (name, verb) = segment.rsplit_once(':').ok_or(ApiError::Method)?;
    run(&api, admin, name, verb, &query, &body).await
}

/// `POST organizations/{organization}/:setAddons`, as a client may send it.
pub(crate) async fn verb_apart(
    State(api): State<Api>,
    admin: may::OrganizationsWrite,
    At((name, verb)): At<(String, String)>,
    query: Parameters,
    body: Body,
) -> Answer {
    let verb = verb.strip_prefix(':').ok_or(ApiError::NoSuchPath)?;
    run(&api, admin, &name, verb, &query, &body).await
}

async fn run(
    api: &Api,
    _: may::OrganizationsWrite,
    name: &str,
    verb: &str,
    query: &Parameters,
    Body(body): &Body,
) -> Answer {
    query.only(&[])?;
    if verb != "setAddons" {
        return Err(ApiError::NoSuchPath);
    }
    let input: AddonsInput = json::read(body)?;
    let missing = || ApiError::invalid("addonsConfig.monetizationConfig", "is required");
    let monetization = input.addons_config.and_then(|addons| addons.monetization_config);
    let monetization = monetization.ok_or_else(missing)?;
    let organization =
        api.catalogue.set_monetized(name, monetization.enabled, api.clock.now()).await?;
    Ok(ok(&addons_operation(&organization, Uuid::new_v4())))
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let one = "/v1/organizations/{organization}";
    paths.get("/v1/organizations", "Lists organizations").answers::<OrganizationList>(200);
    paths
        .post("/v1/organizations", "Creates an organization")
        .text("parent", "projects/NAME, for a body without a name.")
        .takes::<OrganizationInput>()
        .example(serde_json::json!({ "name": "acme", "displayName": "Acme" }))
        .answers::<OrganizationShape>(201);
    paths.get(one, "Reads an organization").answers::<OrganizationShape>(200);
    paths
        .put(one, "Changes an organization")
        .takes::<OrganizationInput>()
        .answers::<OrganizationShape>(200);
    paths
        .post(&format!("{one}:setAddons"), "Turns add-ons on and off")
        .also(&format!("{one}/:setAddons"))
        .takes::<AddonsInput>()
        .example(serde_json::json!({
            "addonsConfig": { "monetizationConfig": { "enabled": true } },
        }))
        .answers::<serde_json::Map<String, serde_json::Value>>(200);
}
