//! `…/developers` and their `monetizationConfig`.

use axum::extract::State;

use super::{Answer, booking, developer, wallets};
use crate::error::ApiError;
use crate::extract::{self, At, Json, Parameters};
use crate::permission::may;
use crate::router::{Api, created, done, ok};
use crate::shapes::developers::{
    DeveloperInput, DeveloperList, DeveloperName, DeveloperShape, MonetizationConfig,
};

/// How many apps a developer is shown with.
const APPS_SHOWN: usize = 100;

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::DevelopersRead,
    At(organization): At<String>,
    query: Parameters,
) -> Answer {
    query.only(&["expand", "count", "startKey", "ids", "app", "includeCompany"])?;
    let page = query.page()?;
    let developers = match (query.get("ids"), query.get("app")) {
        (Some(ids), _) => {
            let mut found = Vec::new();
            for id in ids.split(',').filter(|id| !id.is_empty()).take(page.count) {
                found.push(developer(&api, &organization, id).await?);
            }
            found
        }
        (None, Some(app)) => api.catalogue.developers_with_app(&organization, app).await?,
        (None, None) => {
            api.catalogue.developers(&organization, page.start.as_deref(), page.count).await?
        }
    };
    if query.flag("expand")? {
        let shape = |found| DeveloperShape::of(&organization, found, None);
        return Ok(ok(&DeveloperList { developer: developers.iter().map(shape).collect() }));
    }
    let developer = developers.into_iter().map(|found| DeveloperName { email: found.email });
    Ok(ok(&DeveloperList { developer: developer.collect() }))
}

pub(crate) async fn create(
    State(api): State<Api>,
    _: may::DevelopersWrite,
    At(organization): At<String>,
    query: Parameters,
    Json(input): Json<DeveloperInput>,
) -> Answer {
    query.only(&[])?;
    let made =
        api.catalogue.create_developer(&organization, &input.terms(), api.clock.now()).await?;
    Ok(created(&DeveloperShape::of(&organization, &made, None)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::DevelopersRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&["action"])?;
    let found = developer(&api, &organization, &name).await?;
    let apps = api.catalogue.apps(&organization, found.id, None, APPS_SHOWN).await?;
    let apps = apps.into_iter().map(|app| app.name).collect();
    Ok(ok(&DeveloperShape::of(&organization, &found, Some(apps))))
}

pub(crate) async fn update(
    State(api): State<Api>,
    _: may::DevelopersWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
    Json(input): Json<DeveloperInput>,
) -> Answer {
    query.only(&[])?;
    let (name, now) = (extract::developer(&name), api.clock.now());
    let changed = api.catalogue.update_developer(&organization, &name, &input.terms(), now).await?;
    wallets::follow(&api, changed.id).await;
    Ok(ok(&DeveloperShape::of(&organization, &changed, None)))
}

/// `POST …/developers/{developer}?action=active|inactive`.
pub(crate) async fn act(
    State(api): State<Api>,
    _: may::DevelopersWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&["action"])?;
    let is_active = match query.get("action") {
        Some("active") => true,
        Some("inactive") => false,
        _ => {
            let reason = "is required: active or inactive".to_owned();
            return Err(ApiError::Query { name: "action".to_owned(), reason });
        }
    };
    let (name, now) = (extract::developer(&name), api.clock.now());
    api.catalogue.set_active(&organization, &name, is_active, now).await?;
    Ok(done())
}

pub(crate) async fn delete(
    State(api): State<Api>,
    _: may::DevelopersWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let (name, now) = (extract::developer(&name), api.clock.now());
    let deleted = api.catalogue.delete_developer(&organization, &name, now).await?;
    Ok(ok(&DeveloperShape::of(&organization, &deleted, None)))
}

pub(crate) async fn monetization_config(
    State(api): State<Api>,
    _: may::DevelopersRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let found = developer(&api, &organization, &name).await?;
    Ok(ok(&MonetizationConfig::of(found.billing)))
}

pub(crate) async fn set_monetization_config(
    State(api): State<Api>,
    may::DevelopersWrite(by): may::DevelopersWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
    Json(input): Json<MonetizationConfig>,
) -> Answer {
    query.only(&["force"])?;
    let is_forced = query.flag("force")?;
    let (owner, billing) = (developer(&api, &organization, &name).await?, input.billing()?);
    let changed =
        booking::set_billing(&api, &organization, &owner, billing, &by, is_forced).await?;
    Ok(ok(&MonetizationConfig::of(changed.billing)))
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let all = "/v1/organizations/{organization}/developers";
    let one = &format!("{all}/{{developer}}");
    let config = &format!("{one}/monetizationConfig");
    paths
        .get(all, "Lists developers")
        .paged()
        .flag("expand", "Whole developers in place of their addresses.")
        .text("ids", "Only these, separated by commas.")
        .text("app", "Only those with an app of this name or id.")
        .flag("includeCompany", "Taken, and without effect.")
        .answers::<DeveloperList<DeveloperShape>>(200)
        .answers::<DeveloperList<DeveloperName>>(200);
    paths
        .post(all, "Creates a developer")
        .takes::<DeveloperInput>()
        .example(serde_json::json!({
            "email": "ada@example.com",
            "firstName": "Ada",
            "lastName": "Lovelace",
            "userName": "ada",
        }))
        .answers::<DeveloperShape>(201);
    paths
        .get(one, "Reads a developer")
        .choice("action", &["active", "inactive"], "Taken, and without effect.")
        .answers::<DeveloperShape>(200);
    paths.put(one, "Changes a developer").takes::<DeveloperInput>().answers::<DeveloperShape>(200);
    paths
        .post(one, "Lets a developer in, or keeps one out")
        .choice("action", &["active", "inactive"], "What the developer shall be.")
        .required()
        .answers_nothing(204);
    paths.delete(one, "Deletes a developer").answers::<DeveloperShape>(200);
    paths.get(config, "Reads the billing type").answers::<MonetizationConfig>(200);
    paths
        .put(config, "Sets the billing type")
        .takes::<MonetizationConfig>()
        .example(serde_json::json!({ "billingType": "PREPAID" }))
        .answers::<MonetizationConfig>(200);
}
