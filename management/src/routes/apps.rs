//! `…/developers/{developer}/apps`.

use axum::extract::State;
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::records::Approval;

use uuid::Uuid;

use super::{Answer, developer};
use crate::error::ApiError;
use crate::extract::{At, Body, Json, Parameters};
use crate::json;
use crate::permission::may;
use crate::router::{Api, created, done, ok};
use crate::shapes::apps::{AppInput, AppList, AppName, AppShape};

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::AppsRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&["expand", "shallowExpand", "count", "startKey"])?;
    let is_shallow = query.flag("shallowExpand")?;
    let page = query.page()?;
    let owner = developer(&api, &organization, &name).await?;
    let apps =
        api.catalogue.apps(&organization, owner.id, page.start.as_deref(), page.count).await?;
    if query.flag("expand")? {
        return Ok(ok(&AppList { app: apps.iter().map(AppShape::of).collect() }));
    }
    if is_shallow {
        return Ok(ok(&AppList { app: apps.iter().map(AppShape::shallow).collect() }));
    }
    let app = apps.into_iter().map(|app| AppName { app_id: app.id.to_string(), name: app.name });
    Ok(ok(&AppList { app: app.collect() }))
}

pub(crate) async fn create(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
    Json(mut input): Json<AppInput>,
) -> Answer {
    query.only(&["appId"])?;
    let id = query.get("appId").map(str::parse::<Uuid>).transpose();
    let id = id.map_err(|_| ApiError::Query {
        name: "appId".to_owned(),
        reason: "is not a UUID".to_owned(),
    })?;
    let owner = developer(&api, &organization, &name).await?;
    let now = api.clock.now();
    let name = input.name.take().unwrap_or_default();
    let terms = AppTerms { id, ..input.terms() };
    let app = api.catalogue.create_app(&organization, &owner, &name, &terms, now).await?;
    Ok(created(&AppShape::of(&app)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::AppsRead,
    At((organization, name, app)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    // A count of an app's API resources has no place in the documented answer.
    query.only(&["entity", "query"])?;
    let owner = developer(&api, &organization, &name).await?;
    Ok(ok(&AppShape::of(&api.catalogue.app(&organization, &owner, &app).await?)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app)): At<(String, String, String)>,
    query: Parameters,
    Json(input): Json<AppInput>,
) -> Answer {
    query.only(&[])?;
    is_name(&input, &app)?;
    let owner = developer(&api, &organization, &name).await?;
    let (terms, now) = (input.terms(), api.clock.now());
    let app = api.catalogue.update_app(&organization, &owner, &app, &terms, now).await?;
    Ok(ok(&AppShape::of(&app)))
}

/// `POST …/apps/{app}?action=approve|revoke`, or with a body that asks for another key.
pub(crate) async fn act(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app)): At<(String, String, String)>,
    query: Parameters,
    Body(body): Body,
) -> Answer {
    query.only(&["action"])?;
    let asked = action(&query)?;
    let owner = developer(&api, &organization, &name).await?;
    let now = api.clock.now();
    let Some(status) = asked else {
        let input: AppInput = json::read(&body)?;
        is_name(&input, &app)?;
        let terms = input.terms();
        let app = api.catalogue.add_generated_key(&organization, &owner, &app, &terms, now).await?;
        return Ok(ok(&AppShape::of(&app)));
    };
    api.catalogue.set_app_status(&organization, &owner, &app, status, now).await?;
    Ok(done())
}

pub(crate) async fn delete(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let app = api.catalogue.delete_app(&organization, &owner, &app, api.clock.now()).await?;
    Ok(ok(&AppShape::of(&app)))
}

/// Refuses a body that names another app than the path.
pub(super) fn is_name(input: &AppInput, app: &str) -> Result<(), ApiError> {
    match input.name.as_ref().is_some_and(|named| named != app) {
        true => Err(ApiError::invalid("name", "cannot be changed")),
        false => Ok(()),
    }
}

/// `?action=approve|revoke`, if it is there.
pub(super) fn action(query: &Parameters) -> Result<Option<Approval>, ApiError> {
    match query.get("action") {
        None => Ok(None),
        Some("approve") => Ok(Some(Approval::Approved)),
        Some("revoke") => Ok(Some(Approval::Revoked)),
        Some(_) => {
            let reason = "must be approve or revoke".to_owned();
            Err(ApiError::Query { name: "action".to_owned(), reason })
        }
    }
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let all = "/v1/organizations/{organization}/developers/{developer}/apps";
    let one = &format!("{all}/{{app}}");
    paths
        .get(all, "Lists apps")
        .paged()
        .flag("expand", "Whole apps in place of names.")
        .flag("shallowExpand", "Apps without their keys.")
        .answers::<AppList<AppShape>>(200)
        .answers::<AppList<AppName>>(200);
    paths
        .post(all, "Creates an app with a key")
        .takes::<AppInput>()
        .example(serde_json::json!({ "name": "weather-app", "apiProducts": ["weather"] }))
        .answers::<AppShape>(201);
    paths
        .get(one, "Reads an app")
        .text("entity", "Taken, and without effect.")
        .text("query", "Taken, and without effect.")
        .answers::<AppShape>(200);
    paths.put(one, "Changes an app").takes::<AppInput>().answers::<AppShape>(200);
    paths
        .post(one, "Approves or revokes an app, or makes it another key")
        .choice("action", &["approve", "revoke"], "What to do; without it a key is made.")
        .may_take::<AppInput>()
        .answers::<AppShape>(200)
        .answers_nothing(204);
    paths.delete(one, "Deletes an app and its keys").answers::<AppShape>(200);
}
