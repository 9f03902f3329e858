//! `…/apps/{app}/keys`.

use axum::extract::State;
use tollgate_ledger_store::catalogue::keys::KeyTerms;

use super::apps::action;
use super::{Answer, developer};
use crate::error::ApiError;
use crate::extract::{At, Body, Json, Parameters};
use crate::json;
use crate::permission::may;
use crate::router::{Api, created, done, ok};
use crate::shapes::apps::{CredentialShape, KeyInput};

/// Organization, developer, app and key.
type KeyPath = At<(String, String, String, String)>;

/// `POST …/keys` and `POST …/keys/create`.
pub(crate) async fn create(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app)): At<(String, String, String)>,
    query: Parameters,
    Json(input): Json<KeyInput>,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let now = api.clock.now();
    let (key, terms) = input.new_key(now)?;
    let mut made = api.catalogue.create_key(&organization, &owner, &app, key, &[], now).await?;
    if terms != KeyTerms::default() {
        let name = made.consumer_key.clone();
        let put = api.catalogue.update_key(&organization, &owner, &app, &name, &terms, now).await;
        let key = match put {
            Ok(key) => key,
            // What is refused must have changed nothing.
            Err(error) => {
                api.catalogue.delete_key(&organization, &owner, &app, &name, now).await?;
                return Err(error.into());
            }
        };
        (made.attributes, made.scopes) = (key.attributes, key.scopes);
    }
    Ok(created(&CredentialShape::of(&made)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::AppsRead,
    At((organization, name, app, key)): KeyPath,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let key = api.catalogue.key(&organization, &owner, &app, &key).await?;
    Ok(ok(&CredentialShape::of(&key)))
}

pub(crate) async fn update(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app, key)): KeyPath,
    query: Parameters,
    Json(input): Json<KeyInput>,
) -> Answer {
    query.only(&[])?;
    change(&api, &organization, &name, (&app, &key), input.replacement()).await
}

/// `POST …/keys/{key}?action=approve|revoke`, or with a body that puts products on it.
pub(crate) async fn act(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app, key)): KeyPath,
    query: Parameters,
    Body(body): Body,
) -> Answer {
    query.only(&["action"])?;
    let Some(status) = action(&query)? else {
        let input: KeyInput = json::read(&body)?;
        return change(&api, &organization, &name, (&app, &key), input.terms()).await;
    };
    let owner = developer(&api, &organization, &name).await?;
    let now = api.clock.now();
    api.catalogue.set_key_status(&organization, &owner, &app, &key, status, now).await?;
    Ok(done())
}

pub(crate) async fn delete(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app, key)): KeyPath,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let now = api.clock.now();
    let key = api.catalogue.delete_key(&organization, &owner, &app, &key, now).await?;
    Ok(ok(&CredentialShape::of(&key)))
}

/// `POST …/keys/{key}/apiproducts/{product}?action=approve|revoke`.
pub(crate) async fn act_on_product(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app, key, product)): At<(String, String, String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&["action"])?;
    let status = action(&query)?.ok_or_else(|| ApiError::Query {
        name: "action".to_owned(),
        reason: "is required: approve or revoke".to_owned(),
    })?;
    let owner = developer(&api, &organization, &name).await?;
    let path = (app.as_str(), key.as_str(), product.as_str());
    let now = api.clock.now();
    api.catalogue.set_key_product(&organization, &owner, path, Some(status), now).await?;
    Ok(done())
}

/// `DELETE …/keys/{key}/apiproducts/{product}`.
pub(crate) async fn detach(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app, key, product)): At<(String, String, String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let path = (app.as_str(), key.as_str(), product.as_str());
    let now = api.clock.now();
    let key = api.catalogue.set_key_product(&organization, &owner, path, None, now).await?;
    Ok(ok(&CredentialShape::of(&key)))
}

async fn change(
    api: &Api,
    organization: &str,
    developer_name: &str,
    (app, key): (&str, &str),
    terms: KeyTerms,
) -> Answer {
    let owner = developer(api, organization, developer_name).await?;
    let now = api.clock.now();
    let key = api.catalogue.update_key(organization, &owner, app, key, &terms, now).await?;
    Ok(ok(&CredentialShape::of(&key)))
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let all = "/v1/organizations/{organization}/developers/{developer}/apps/{app}/keys";
    let one = &format!("{all}/{{key}}");
    let product = &format!("{one}/apiproducts/{{product}}");
    let actions = ["approve", "revoke"];
    paths
        .post(all, "Creates a key of given value")
        .also(&format!("{all}/create"))
        .takes::<KeyInput>()
        .example(serde_json::json!({ "consumerKey": "3f8c1d0a9b", "consumerSecret": "7be1" }))
        .answers::<CredentialShape>(201);
    paths.get(one, "Reads a key").answers::<CredentialShape>(200);
    paths.put(one, "Changes a key").takes::<KeyInput>().answers::<CredentialShape>(200);
    paths
        .post(one, "Approves or revokes a key, or puts products on it")
        .choice("action", &actions, "What to do; without it the body says what to put on it.")
        .may_take::<KeyInput>()
        .answers::<CredentialShape>(200)
        .answers_nothing(204);
    paths.delete(one, "Deletes a key").answers::<CredentialShape>(200);
    paths
        .post(product, "Approves or revokes a product of a key")
        .choice("action", &actions, "What to do.")
        .required()
        .answers_nothing(204);
    paths.delete(product, "Takes a product off a key").answers::<CredentialShape>(200);
}
