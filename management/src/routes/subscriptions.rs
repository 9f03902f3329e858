//! `…/developers/{developer}/subscriptions`: purchases of API products.

use axum::extract::State;

use super::{Answer, booking, developer};
use crate::error::ApiError;
use crate::extract::{At, Json, Parameters};
use crate::permission::may;
use crate::router::{Api, created, ok};
use crate::shapes::subscriptions::{SubscriptionInput, SubscriptionList, SubscriptionShape};

pub(crate) async fn list(
    State(api): State<Api>,
    _: may::SubscriptionsRead,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&["count", "startKey"])?;
    let page = query.page()?;
    let owner = developer(&api, &organization, &name).await?;
    let all = api.catalogue.subscriptions(&organization, owner.id).await?;
    let mut rest = all
        .iter()
        .skip_while(|held| page.start.as_ref().is_some_and(|key| held.id.to_string() != *key));
    let developer_subscriptions =
        rest.by_ref().take(page.count).map(SubscriptionShape::of).collect();
    let next_start_key = rest.next().map(|held| held.id.to_string());
    Ok(ok(&SubscriptionList { developer_subscriptions, next_start_key }))
}

/// Buys a product: its fees are booked between beginning and activating the subscription, under
/// ids made of the subscription's, so that repeating the request after any failure books them
/// once.
pub(crate) async fn buy(
    State(api): State<Api>,
    may::SubscriptionsWrite(by): may::SubscriptionsWrite,
    At((organization, name)): At<(String, String)>,
    query: Parameters,
    Json(input): Json<SubscriptionInput>,
) -> Answer {
    query.only(&["force"])?;
    let is_forced = query.flag("force")?;
    let owner = developer(&api, &organization, &name).await?;
    booking::finish_switch(&api, &organization, &owner).await;
    let now = api.clock.now();
    let (product, window) = input.terms(now)?;
    let mut bought =
        api.catalogue.begin_subscription(&organization, &owner, &product, window, now).await?;
    if bought.is_pending {
        booking::purchase_fees(&api, &organization, &owner, &bought, &by, is_forced).await?;
        bought = api.catalogue.activate_subscription(&organization, &owner, &bought, now).await?;
    }
    Ok(created(&SubscriptionShape::of(&bought)))
}

pub(crate) async fn get(
    State(api): State<Api>,
    _: may::SubscriptionsRead,
    At((organization, name, id)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    query.only(&[])?;
    let owner = developer(&api, &organization, &name).await?;
    let found = api.catalogue.subscription(&organization, &owner, &id).await?;
    Ok(ok(&SubscriptionShape::of(&found)))
}

/// `POST …/subscriptions/{id}:expire`, with any body or none.
pub(crate) async fn verb(
    State(api): State<Api>,
    admin: may::SubscriptionsWrite,
    At((organization, name, segment)): At<(String, String, String)>,
    query: Parameters,
) -> Answer {
    let (id, verb) = segment.rsplit_once(':').ok_or(ApiError::Method)?;
    expire(&api, admin, &organization, &name, (id, verb), &query).await
}

/// `POST …/subscriptions/{id}/:expire`, as Apigee's command line client sends it.
pub(crate) async fn verb_apart(
    State(api): State<Api>,
    admin: may::SubscriptionsWrite,
    At((organization, name, id, verb)): At<(String, String, String, String)>,
    query: Parameters,
) -> Answer {
    let verb = verb.strip_prefix(':').ok_or(ApiError::NoSuchPath)?;
    expire(&api, admin, &organization, &name, (&id, verb), &query).await
}

async fn expire(
    api: &Api,
    may::SubscriptionsWrite(by): may::SubscriptionsWrite,
    organization: &str,
    name: &str,
    (id, verb): (&str, &str),
    query: &Parameters,
) -> Answer {
    query.only(&[])?;
    if verb != "expire" {
        return Err(ApiError::NoSuchPath);
    }
    let owner = developer(api, organization, name).await?;
    let now = api.clock.now();
    let ended = api.catalogue.expire_subscription(organization, &owner, id, now).await?;
    booking::return_fees(api, organization, &owner, &ended, &by).await;
    Ok(ok(&SubscriptionShape::of(&ended[0])))
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    let all = "/v1/organizations/{organization}/developers/{developer}/subscriptions";
    let one = &format!("{all}/{{subscription}}");
    paths.get(all, "Lists subscriptions").paged().answers::<SubscriptionList>(200);
    paths
        .post(all, "Buys an API product")
        .flag("force", "Take the fee although gateways of a strict wallet may spend it.")
        .takes::<SubscriptionInput>()
        .example(serde_json::json!({ "apiproduct": "weather" }))
        .answers::<SubscriptionShape>(201);
    paths.get(one, "Reads a subscription").answers::<SubscriptionShape>(200);
    paths
        .post(&format!("{one}:expire"), "Ends a subscription now")
        .also(&format!("{one}/:expire"))
        .answers::<SubscriptionShape>(200);
}
