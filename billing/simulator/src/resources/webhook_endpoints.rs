//! Webhook endpoints: where events are sent, and the secrets that sign them.

use serde_json::{Value, json};

use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::or_null;
use crate::params::Params;
use crate::routes::{Call, Route, delete, get, list, post};
use crate::space::Space;
use crate::webhooks::check_url;

/// Most endpoints of an account and mode.
const ENDPOINTS_MAX: usize = 16;
/// Most secrets that sign at once.
const SECRETS_MAX: usize = 4;

pub(crate) const ROUTES: &[Route] = &[
    list("webhook_endpoints", "", all),
    post(
        "webhook_endpoints",
        "url! enabled_events:list! api_version description metadata:hash connect:flag",
        create,
    ),
    get("webhook_endpoints/{id}", "", retrieve),
    post(
        "webhook_endpoints/{id}",
        "url enabled_events:list description metadata:hash disabled:flag",
        update,
    ),
    delete("webhook_endpoints/{id}", remove),
];

fn all(space: &mut Space, call: &Call) -> Answer {
    lists::page(space, &call.params, "webhook_endpoint", "/v1/webhook_endpoints", |_| true)
}

fn create(space: &mut Space, call: &Call) -> Answer {
    create_with(space, &call.params)
}

/// Registers an endpoint; only this answer shows its secret.
pub(crate) fn create_with(space: &mut Space, params: &Params) -> Answer {
    let url = params.text("url").unwrap_or_default();
    check_url(url)
        .map_err(|message| ApiError::invalid("url", message).with("code", "url_invalid"))?;
    check_events(params)?;
    if space.store.newest_first("webhook_endpoint").count() >= ENDPOINTS_MAX {
        let message =
            format!("You have reached the maximum of {ENDPOINTS_MAX} test webhook endpoints.");
        return Err(ApiError::invalid("url", message));
    }
    let secret = format!("whsec_{}", space.random(32));
    let mut endpoint = json!({
        "id": space.id("we"), "object": "webhook_endpoint",
        "api_version": or_null(params.text("api_version").unwrap_or_default()), "application": null,
        "created": space.now, "description": null, "enabled_events": [], "livemode": space.mode.is_live(),
        "metadata": {}, "status": "enabled", "url": url, "_secrets": [secret],
    });
    params.copy(&mut endpoint, "description enabled_events");
    params.merge_metadata(&mut endpoint);
    space.store.put(endpoint.clone());
    endpoint["secret"] = json!(secret);
    Ok(endpoint)
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("webhook_endpoint", call.id())
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut endpoint = space.at("webhook_endpoint", call.id())?;
    if let Some(url) = call.params.text("url") {
        check_url(url)
            .map_err(|message| ApiError::invalid("url", message).with("code", "url_invalid"))?;
    }
    check_events(&call.params)?;
    call.params.copy(&mut endpoint, "url description enabled_events");
    call.params.merge_metadata(&mut endpoint);
    if let Some(is_disabled) = call.params.flag("disabled") {
        endpoint["status"] = json!(if is_disabled { "disabled" } else { "enabled" });
    }
    space.store.put(endpoint.clone());
    Ok(endpoint)
}

fn remove(space: &mut Space, call: &Call) -> Answer {
    space.at("webhook_endpoint", call.id())?;
    space.store.remove("webhook_endpoint", call.id());
    Ok(json!({ "id": call.id(), "object": "webhook_endpoint", "deleted": true }))
}

/// Adds a secret; the ones before it go on signing beside it, as while a secret is rolled at Stripe.
pub(crate) fn roll_secret(space: &mut Space, id: &str) -> Result<String, ApiError> {
    let mut endpoint = space.at("webhook_endpoint", id)?;
    let secret = format!("whsec_{}", space.random(32));
    if let Some(secrets) = endpoint["_secrets"].as_array_mut() {
        secrets.push(json!(secret));
        if secrets.len() > SECRETS_MAX {
            secrets.remove(0);
        }
    }
    space.store.put(endpoint);
    Ok(secret)
}

fn check_events(params: &Params) -> Result<(), ApiError> {
    let Some(kinds) = params.list("enabled_events") else { return Ok(()) };
    let is_kind =
        |kind: &Value| kind.as_str().is_some_and(|kind| kind == "*" || kind.contains('.'));
    match kinds.iter().find(|kind| !is_kind(kind)) {
        Some(other) => {
            let message = format!("Invalid enabled_events: {other} is no event type");
            Err(ApiError::invalid("enabled_events", message))
        }
        None if kinds.is_empty() => Err(ApiError::missing_param("enabled_events")),
        None => Ok(()),
    }
}
