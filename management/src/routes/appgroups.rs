//! `…/appgroups`: owners of apps that are not people.
//!
//! Paths below an AppGroup whose answers are those of a developer's go to the same handlers, which
//! find the owner of a path by [`super::developer`]; a layer on these paths says that it is an
//! AppGroup. Here is what differs: the group itself, names of lists, pages, apps, and bodies of keys
//! and adjustments.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use tollgate_ledger_store::catalogue::records::{AppGroup, Developer};

use super::apps::action;
use super::{Answer, balances, developer, subscriptions};
use crate::error::ApiError;
use crate::extract::{At, Body, Json, Parameters};
use crate::json;
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::shapes::appgroups::{
    AppGroupApp, AppGroupAppInput, AppGroupAppList, AppGroupInput, AppGroupKeyInput, AppGroupList,
    AppGroupShape, AppGroupSubscriptionList,
};
use crate::shapes::apps::CredentialShape;
use crate::shapes::balances::AdjustInput;
use crate::shapes::subscriptions::{SubscriptionInput, SubscriptionShape};

tokio::task_local! {
    /// Set while a request below an AppGroup is answered.
    static GROUP: ();
}

/// Subscriptions on a page, where the request does not say.
const SUBSCRIPTIONS_SHOWN: usize = 100;

/// Answers a request as one about an AppGroup.
pub(crate) async fn of_groups(request: Request, next: Next) -> Response {
    GROUP.scope((), next.run(request)).await
}

/// Whether the request that is being answered is about an AppGroup.
pub(super) fn is_asked_for() -> bool {
    GROUP.try_with(|()| ()).is_ok()
}

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::DevelopersRead,
    At(organization): At<String>,
    query: Parameters,
) -> Answer {
    query.only(&["filter", "pageSize", "pageToken"])?;
    let filter = filter(&query)?;
    let size = query.number("pageSize")?;
    let start = query.get("pageToken").filter(|token| !token.is_empty());
    let passes = |group: &Developer, more: &AppGroup| {
        filter.iter().all(|(field, value)| match *field {
            Field::Status => group.is_active == (*value == "active"),
            Field::ChannelId => more.channel_id == *value,
            Field::ChannelUri => more.channel_uri == *value,
        })
    };
    let mut found = api.catalogue.app_groups(&organization, start, size + 1, passes).await?;
    let next_page_token = (found.len() > size).then(|| found.pop()).flatten();
    let app_groups = found.iter().map(|group| AppGroupShape::of(&organization, group)).collect();
    let next_page_token = next_page_token.map(|group| group.email);
    Ok(ok(&AppGroupList { app_groups, next_page_token }))
}

pub(crate) async fn create(
    State(api): State<Api>,
    _: may::DevelopersWrite,
    At(organization): At<String>,
    query: Parameters,
    Json(mut input): Json<AppGroupInput>,
) -> Answer {
    query.only(&[])?;
    let name = input.name.take().unwrap_or_default();
    let (group, attributes) = input.terms();
    let now = api.clock.now();
    let made =
        api.catalogue.create_app_group(&organization, &name, &group, &attributes, now).await?;
    Ok(created(&AppGroupShape::of(&organization, &made)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::DevelopersRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let found = api.catalogue.app_group(&organization, &name).await?;
    Ok(ok(&AppGroupShape::of(&organization, &found)))
}

/// With `?action=active|inactive` and no body, or with a body and no action.
pub(crate) async fn update(
    State(api): State<Api>,
    _: may::DevelopersWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
    Body(body): Body,
) -> Answer {
    query.only(&["action"])?;
    let (catalogue, now) = (&api.catalogue, api.clock.now());
    let changed = match query.get("action") {
        Some("active") => catalogue.set_app_group_active(&organization, &name, true, now).await?,
        Some("inactive") => {
            catalogue.set_app_group_active(&organization, &name, false, now).await?
        }
        Some(_) => {
            let reason = "must be active or inactive".to_owned();
            return Err(ApiError::Query { name: "action".to_owned(), reason });
        }
        None => {
            let input: AppGroupInput = json::read(&body)?;
            is_name(input.name.as_deref(), &name)?;
            let (group, attributes) = input.terms();
            catalogue.update_app_group(&organization, &name, &group, &attributes, now).await?
        }
    };
    super::wallets::follow(&api, changed.id).await;
    Ok(ok(&AppGroupShape::of(&organization, &changed)))
}

pub(crate) async fn delete(
    State(api): State<Api>,
    _: may::DevelopersWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let gone = api.catalogue.delete_app_group(&organization, &name, api.clock.now()).await?;
    Ok(ok(&AppGroupShape::of(&organization, &gone)))
}

/// An adjustment that lowers the balance: Apigee has no other for AppGroups.
pub(crate) async fn adjust(
    api: State<Api>,
    by: may::BalancesAdjust,
    at: At<(String, String)>,
    query: Parameters,
    headers: HeaderMap,
    Json(input): Json<AdjustInput>,
) -> Answer {
    let amount = input.adjustment.as_ref().map(|amount| amount.amount("adjustment")).transpose()?;
    if amount.is_some_and(|amount| amount.is_negative()) {
        let reason = "must not be negative for an AppGroup: credit its balance instead";
        return Err(ApiError::invalid("adjustment", reason));
    }
    balances::adjust(api, by, at, query, headers, Json(input)).await
}

pub(crate) async fn subscriptions(
    State(api): State<Api>,
    _: may::SubscriptionsRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&["pageSize", "pageToken"])?;
    let size = match query.get("pageSize") {
        None | Some("0") => SUBSCRIPTIONS_SHOWN,
        Some(_) => query.number("pageSize")?,
    };
    let start = query.get("pageToken").filter(|token| !token.is_empty());
    let owner = developer(&api, &organization, &name).await?;
    let all = api.catalogue.subscriptions(&organization, owner.id).await?;
    let mut rest =
        all.iter().skip_while(|held| start.is_some_and(|token| held.id.to_string() != token));
    let app_group_subscriptions = rest.by_ref().take(size).map(SubscriptionShape::of).collect();
    let next_page_token = rest.next().map(|held| held.id.to_string());
    Ok(ok(&AppGroupSubscriptionList { app_group_subscriptions, next_page_token }))
}

/// Buys a product from now on: the times are the server's.
pub(crate) async fn buy(
    api: State<Api>,
    by: may::SubscriptionsWrite,
    at: At<(String, String)>,
    query: Parameters,
    Json(input): Json<SubscriptionInput>,
) -> Answer {
    subscriptions::buy(api, by, at, query, Json(input.starting_now())).await
}

pub(crate) async fn apps(
    State(api): State<Api>,
    _: may::AppsRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&["pageSize", "pageToken"])?;
    let size = query.number("pageSize")?;
    let start = query.get("pageToken").filter(|token| !token.is_empty());
    let owner = developer(&api, &organization, &name).await?;
    let mut found = api.catalogue.apps(&organization, owner.id, start, size + 1).await?;
    let next_page_token = (found.len() > size).then(|| found.pop()).flatten();
    let app_group_apps = found.iter().map(|app| AppGroupApp::of(app, &owner)).collect();
    let next_page_token = next_page_token.map(|app| app.name);
    Ok(ok(&AppGroupAppList { app_group_apps, next_page_token }))
}

pub(crate) async fn create_app(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
    Json(mut input): Json<AppGroupAppInput>,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let app = input.name.take().unwrap_or_default();
    let (terms, now) = (input.terms()?, api.clock.now());
    let app = api.catalogue.create_app(&organization, &owner, &app, &terms, now).await?;
    Ok(created(&AppGroupApp::of(&app, &owner)))
}

pub(crate) async fn app(
    State(api): State<Api>,
    _: may::AppsRead,
    At((organization, name, app)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let app = api.catalogue.app(&organization, &owner, &app).await?;
    Ok(ok(&AppGroupApp::of(&app, &owner)))
}

/// With `?action=approve|revoke` and no body, or with a body and no action.
pub(crate) async fn update_app(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app)): At<(String, String, String)>,
    query: Parameters,
    Body(body): Body,
) -> Answer {
    query.only(&["action"])?;
    let status = action(&query)?;
    let owner = developer(&api, &organization, &name).await?;
    let now = api.clock.now();
    let changed = match status {
        Some(status) => {
            api.catalogue.set_app_status(&organization, &owner, &app, status, now).await?
        }
        None => {
            let input: AppGroupAppInput = json::read(&body)?;
            is_name(input.name.as_deref(), &app)?;
            let terms = input.terms()?;
            api.catalogue.update_app(&organization, &owner, &app, &terms, now).await?
        }
    };
    Ok(ok(&AppGroupApp::of(&changed, &owner)))
}

pub(crate) async fn delete_app(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let app = api.catalogue.delete_app(&organization, &owner, &app, api.clock.now()).await?;
    Ok(ok(&AppGroupApp::of(&app, &owner)))
}

/// Approves or revokes a key, and puts products, attributes and scopes on it.
pub(crate) async fn update_key(
    State(api): State<Api>,
    _: may::AppsWrite,
    At((organization, name, app, key)): At<(String, String, String, String)>,
    query: Parameters,
    Body(body): Body,
) -> Answer {
    query.only(&["action"])?;
    let mut status = action(&query)?;
    let input: AppGroupKeyInput = match status.is_some() && body.is_empty() {
        true => AppGroupKeyInput::default(),
        false => json::read(&body)?,
    };
    status = input.status()?.or(status);
    let owner = developer(&api, &organization, &name).await?;
    let (terms, now) = (input.terms(), api.clock.now());
    let catalogue = &api.catalogue;
    let mut changed = catalogue.update_key(&organization, &owner, &app, &key, &terms, now).await?;
    if let Some(status) = status {
        changed = catalogue.set_key_status(&organization, &owner, &app, &key, status, now).await?;
    }
    Ok(ok(&CredentialShape::of(&changed)))
}

/// What a listing of AppGroups may ask for.
#[derive(Clone, Copy)]
enum Field {
    Status,
    ChannelId,
    ChannelUri,
}

fn filter(query: &Parameters) -> Result<Vec<(Field, &str)>, ApiError> {
    let mut conditions = Vec::new();
    for condition in query.get("filter").unwrap_or_default().split(" AND ") {
        let condition = condition.trim();
        if condition.is_empty() {
            continue;
        }
        let (field, value) = condition.split_once('=').unwrap_or((condition, ""));
        let value = value.trim().trim_matches('"');
        let field = match (field.trim(), value) {
            ("status", "active" | "inactive") => Field::Status,
            ("channelId", _) => Field::ChannelId,
            ("channelUri", _) => Field::ChannelUri,
            _ => {
                let reason = format!(
                    "{condition:?} is not a condition: status=active, status=inactive, channelId \
                     or channelUri = a value, joined by AND"
                );
                return Err(ApiError::Query { name: "filter".to_owned(), reason });
            }
        };
        conditions.push((field, value));
    }
    Ok(conditions)
}

/// Refuses a body that names another thing than the path.
fn is_name(given: Option<&str>, name: &str) -> Result<(), ApiError> {
    match given.is_some_and(|given| given != name) {
        true => Err(ApiError::invalid("name", "cannot be changed")),
        false => Ok(()),
    }
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let all = "/v1/organizations/{organization}/appgroups";
    let one = &format!("{all}/{{appgroup}}");
    let size = serde_json::json!({ "type": "integer", "minimum": 0 });
    let token = "Where the page begins: what an answer gave.";
    paths
        .get(all, "Lists AppGroups")
        .text("filter", "Conditions like status=active or channelId=shop, joined by AND.")
        .query("pageSize", "How many at most.", size.clone())
        .text("pageToken", token)
        .answers::<AppGroupList>(200);
    paths.post(all, "Creates an AppGroup").takes::<AppGroupInput>().answers::<AppGroupShape>(201);
    paths.get(one, "Reads an AppGroup").answers::<AppGroupShape>(200);
    paths
        .put(one, "Changes an AppGroup, or lets it in or keeps it out")
        .choice("action", &["active", "inactive"], "What it shall be; without it the body counts.")
        .may_take::<AppGroupInput>()
        .answers::<AppGroupShape>(200);
    paths.delete(one, "Deletes an AppGroup").answers::<AppGroupShape>(200);
    describe_money(paths, one, &size, token);
    describe_apps(paths, &format!("{one}/apps"), &size, token);
}

fn describe_money(
    paths: &mut crate::openapi::Paths,
    one: &str,
    size: &serde_json::Value,
    token: &str,
) {
    use crate::shapes::balances::{CreditInput, DeveloperBalance, EntryList};
    use crate::shapes::developers::MonetizationConfig;
    use crate::shapes::wallets::{WalletDetail, WalletInput, WalletList};
    let config = &format!("{one}/monetizationConfig");
    paths.get(config, "Reads an AppGroup's billing type").answers::<MonetizationConfig>(200);
    paths
        .put(config, "Sets an AppGroup's billing type")
        .flag("force", "Switch although gateways of a strict wallet may spend from it.")
        .takes::<MonetizationConfig>()
        .answers::<MonetizationConfig>(200);
    let balance = &format!("{one}/balance");
    paths.get(balance, "Reads the wallets of an AppGroup").answers::<DeveloperBalance>(200);
    paths
        .post(&format!("{balance}:credit"), "Credits an AppGroup's wallet")
        .also(&format!("{balance}/:credit"))
        .takes::<CreditInput>()
        .answers::<DeveloperBalance>(200);
    paths
        .post(&format!("{balance}:adjust"), "Lowers an AppGroup's balance")
        .also(&format!("{balance}/:adjust"))
        .flag("force", "Take what gateways of a strict wallet may spend as well.")
        .takes::<AdjustInput>()
        .answers::<DeveloperBalance>(200);
    let entries = format!("{balance}:entries");
    paths.get(&entries, "Lists an AppGroup's journal").paged().answers::<EntryList>(200);
    let wallets = &format!("{one}/wallets");
    let wallet = &format!("{wallets}/{{currency}}");
    paths.get(wallets, "Lists what an AppGroup's wallets may do").answers::<WalletList>(200);
    paths.get(wallet, "Reads what an AppGroup's wallet may do").answers::<WalletDetail>(200);
    paths
        .patch(wallet, "Changes what an AppGroup's wallet may do")
        .flag("force", "Lower the limit although gateways may spend what is above it.")
        .takes::<WalletInput>()
        .answers::<WalletDetail>(200);
    let bought = &format!("{one}/subscriptions");
    let subscription = &format!("{bought}/{{subscription}}");
    paths
        .get(bought, "Lists an AppGroup's subscriptions")
        .query("pageSize", "How many at most.", size.clone())
        .text("pageToken", token)
        .answers::<AppGroupSubscriptionList>(200);
    paths
        .post(bought, "Buys an API product for an AppGroup")
        .flag("force", "Take the fee although gateways of a strict wallet may spend it.")
        .takes::<SubscriptionInput>()
        .answers::<SubscriptionShape>(201);
    paths.get(subscription, "Reads an AppGroup's subscription").answers::<SubscriptionShape>(200);
    paths
        .post(&format!("{subscription}:expire"), "Ends an AppGroup's subscription now")
        .also(&format!("{subscription}/:expire"))
        .answers::<SubscriptionShape>(200);
}

fn describe_apps(
    paths: &mut crate::openapi::Paths,
    all: &str,
    size: &serde_json::Value,
    token: &str,
) {
    use crate::shapes::apps::KeyInput;
    let actions = ["approve", "revoke"];
    let one = &format!("{all}/{{app}}");
    paths
        .get(all, "Lists an AppGroup's apps")
        .query("pageSize", "How many at most.", size.clone())
        .text("pageToken", token)
        .answers::<AppGroupAppList>(200);
    paths
        .post(all, "Creates an AppGroup's app with a key")
        .takes::<AppGroupAppInput>()
        .answers::<AppGroupApp>(201);
    paths.get(one, "Reads an AppGroup's app").answers::<AppGroupApp>(200);
    paths
        .put(one, "Changes an AppGroup's app, or approves or revokes it")
        .choice("action", &actions, "What to do; without it the body counts.")
        .may_take::<AppGroupAppInput>()
        .answers::<AppGroupApp>(200);
    paths.delete(one, "Deletes an AppGroup's app and its keys").answers::<AppGroupApp>(200);
    let keys = &format!("{one}/keys");
    let key = &format!("{keys}/{{key}}");
    paths
        .post(keys, "Creates an AppGroup's key of given value")
        .takes::<KeyInput>()
        .answers::<CredentialShape>(201);
    paths.get(key, "Reads an AppGroup's key").answers::<CredentialShape>(200);
    paths
        .post(key, "Approves or revokes an AppGroup's key, and puts products on it")
        .choice("action", &actions, "What to do, if the body does not say.")
        .may_take::<AppGroupKeyInput>()
        .answers::<CredentialShape>(200);
    paths.delete(key, "Deletes an AppGroup's key").answers::<CredentialShape>(200);
    let product = &format!("{key}/apiproducts/{{product}}");
    paths
        .post(product, "Approves or revokes a product of an AppGroup's key")
        .choice("action", &actions, "What to do.")
        .required()
        .answers_nothing(204);
    paths.delete(product, "Takes a product off an AppGroup's key").answers::<CredentialShape>(200);
}
