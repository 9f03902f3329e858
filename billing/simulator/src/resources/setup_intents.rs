//! SetupIntents: keeping a payment method for later without paying now.

use serde_json::{Value, json};

use super::payment_methods;
use crate::charging::{Presence, Verdict, ask_setup, declined};
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{or_null, text};
use crate::params::Params;
use crate::routes::{Call, Route, get, list, post};
use crate::space::Space;

const CREATE: &str = "confirm:flag customer payment_method payment_method_data:hash payment_method_types:list \
                      payment_method_options:hash automatic_payment_methods:hash usage description metadata:hash \
                      return_url mandate_data:hash use_stripe_sdk:flag";
const CONFIRM: &str = "payment_method payment_method_data:hash payment_method_options:hash return_url \
                       mandate_data:hash use_stripe_sdk:flag client_secret";

pub(crate) const ROUTES: &[Route] = &[
    post("setup_intents", CREATE, create),
    list("setup_intents", "customer payment_method", all),
    get("setup_intents/{id}", "client_secret", retrieve).public(),
    post(
        "setup_intents/{id}",
        "customer payment_method payment_method_data:hash payment_method_types:list description metadata:hash",
        update,
    ),
    post("setup_intents/{id}/confirm", CONFIRM, confirm).public(),
    post("setup_intents/{id}/cancel", "cancellation_reason", cancel),
];

fn create(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    if let Some(customer) = params.text("customer") {
        space.named("customer", customer, "customer")?;
    }
    let usage = params.text("usage").unwrap_or("off_session");
    if !matches!(usage, "off_session" | "on_session") {
        return Err(ApiError::invalid(
            "usage",
            "Invalid usage: must be one of off_session, on_session",
        ));
    }
    let types = params.list("payment_method_types").filter(|types| !types.is_empty());
    let id = space.id("seti");
    let secret = format!("{id}_secret_{}", space.random(25));
    let mut intent = json!({
        "id": id, "object": "setup_intent", "application": null, "automatic_payment_methods": null,
        "cancellation_reason": null, "client_secret": secret, "created": space.now,
        "customer": or_null(params.text("customer").unwrap_or_default()), "description": null,
        "flow_directions": null, "last_setup_error": null, "latest_attempt": null,
        "livemode": space.mode.is_live(), "mandate": null, "metadata": {}, "next_action": null,
        "on_behalf_of": null, "payment_method": null, "payment_method_configuration_details": null,
        "payment_method_options": { "card": { "mandate_options": null, "network": null,
            "request_three_d_secure": "automatic" } },
        "payment_method_types": types.map_or_else(|| json!(["card"]), |types| json!(types)),
        "single_use_mandate": null, "status": "requires_payment_method", "usage": usage,
    });
    params.copy(&mut intent, "description");
    params.merge_metadata(&mut intent);
    choose_method(space, &mut intent, params)?;
    if params.flag("confirm") == Some(true) {
        check_confirmable(&intent)?;
    }
    space.create(&intent, "setup_intent.created");
    if params.flag("confirm") == Some(true) {
        attempt(space, &mut intent, params.text("return_url"), Presence::OnSession)?;
    }
    Ok(intent)
}

fn choose_method(space: &mut Space, intent: &mut Value, params: &Params) -> Result<(), ApiError> {
    let method = if let Some(id) = params.text("payment_method") {
        payment_methods::resolve(space, id, "payment_method")?
    } else if let Some(described) = params.hash("payment_method_data") {
        payment_methods::create_with(space, &Params::of(json!(described)))?
    } else {
        return Ok(());
    };
    payment_methods::check_usable(&method)?;
    let owner = text(&method, "customer");
    if !owner.is_empty() && owner != text(intent, "customer") {
        let message = "The payment method supplied belongs to another Customer.";
        return Err(ApiError::invalid("payment_method", message));
    }
    intent["payment_method"] = method["id"].clone();
    intent["status"] = json!("requires_confirmation");
    Ok(())
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let (customer, method) = (call.params.text("customer"), call.params.text("payment_method"));
    lists::page(space, &call.params, "setup_intent", "/v1/setup_intents", |intent| {
        customer.is_none_or(|id| text(intent, "customer") == id)
            && method.is_none_or(|id| text(intent, "payment_method") == id)
    })
}

/// The intent of the path; a publishable key has to bring its client secret.
fn visible(space: &Space, call: &Call) -> Answer {
    let intent = space.at("setup_intent", call.id())?;
    let secret = call.params.text("client_secret");
    if (call.is_publishable || secret.is_some()) && secret != intent["client_secret"].as_str() {
        let message = "The client_secret provided does not match the client_secret associated with the SetupIntent.";
        return Err(ApiError::invalid("client_secret", message)
            .with("code", "setup_intent_invalid_parameter"));
    }
    Ok(intent)
}

/// What a publishable key sees of an intent.
fn seen_by(call: &Call, mut intent: Value) -> Value {
    if let (true, Some(fields)) = (call.is_publishable, intent.as_object_mut()) {
        for name in ["customer", "metadata", "latest_attempt", "mandate"] {
            fields.remove(name);
        }
    }
    intent
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    Ok(seen_by(call, visible(space, call)?))
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut intent = space.at("setup_intent", call.id())?;
    if let Some(customer) = call.params.text("customer") {
        space.named("customer", customer, "customer")?;
        intent["customer"] = json!(customer);
    }
    choose_method(space, &mut intent, &call.params)?;
    call.params.copy(&mut intent, "description payment_method_types");
    call.params.merge_metadata(&mut intent);
    space.store.put(intent.clone());
    Ok(intent)
}

fn confirm(space: &mut Space, call: &Call) -> Answer {
    let mut intent = visible(space, call)?;
    if matches!(text(&intent, "status"), "succeeded" | "canceled" | "processing") {
        return Err(unexpected(&intent, "You cannot confirm this SetupIntent"));
    }
    choose_method(space, &mut intent, &call.params)?;
    check_confirmable(&intent)?;
    attempt(space, &mut intent, call.params.text("return_url"), Presence::OnSession)?;
    Ok(seen_by(call, intent))
}

fn check_confirmable(intent: &Value) -> Result<(), ApiError> {
    if text(intent, "payment_method").is_empty() {
        let what = "You cannot confirm this SetupIntent because it's missing a payment method. It";
        return Err(unexpected(intent, what));
    }
    Ok(())
}

/// Tries to keep the payment method; the intent is stored as the attempt left it.
fn attempt(
    space: &mut Space,
    intent: &mut Value,
    return_url: Option<&str>,
    presence: Presence,
) -> Result<(), ApiError> {
    let method = space.named("payment_method", text(intent, "payment_method"), "payment_method")?;
    intent["last_setup_error"] = Value::Null;
    intent["next_action"] = Value::Null;
    match ask_setup(&method, presence) {
        Verdict::Declined(code, decline) => {
            let refusal = declined(code, decline).with("payment_method", method);
            return Err(fail(space, intent, refusal));
        }
        Verdict::MustAuthenticate => {
            let url =
                format!("{}/_control/authenticate?intent={}", space.base_url, text(intent, "id"));
            intent["next_action"] = match return_url {
                Some(back) => {
                    json!({ "type": "redirect_to_url", "redirect_to_url": { "return_url": back, "url": url } })
                }
                None => json!({ "type": "use_stripe_sdk", "use_stripe_sdk": { "stripe_js": url } }),
            };
            intent["status"] = json!("requires_action");
            space.create(intent, "setup_intent.requires_action");
        }
        Verdict::Paid | Verdict::Pending => {
            let mut kept = match text(intent, "customer") {
                "" => method,
                customer => payment_methods::attach_to(space, &method, customer)?,
            };
            kept["_is_set_up"] = json!(true);
            space.store.put(kept);
            intent["status"] = json!("succeeded");
            space.create(intent, "setup_intent.succeeded");
        }
    }
    Ok(())
}

/// The customer has authenticated, or failed to.
pub(crate) fn authenticate(space: &mut Space, id: &str, is_passed: bool) -> Answer {
    let mut intent = space.at("setup_intent", id)?;
    if text(&intent, "status") != "requires_action" {
        return Err(unexpected(&intent, "Nobody can authenticate for this SetupIntent"));
    }
    if is_passed {
        attempt(space, &mut intent, None, Presence::Authenticated)?;
    } else {
        let message = "We are unable to authenticate your payment method.";
        fail(space, &mut intent, ApiError::card("setup_intent_authentication_failure", message));
    }
    Ok(intent)
}

fn fail(space: &mut Space, intent: &mut Value, refusal: ApiError) -> ApiError {
    intent["last_setup_error"] = json!(refusal.fields);
    intent["payment_method"] = Value::Null;
    intent["next_action"] = Value::Null;
    intent["status"] = json!("requires_payment_method");
    space.create(intent, "setup_intent.setup_failed");
    refusal.with("setup_intent", intent.clone())
}

fn cancel(space: &mut Space, call: &Call) -> Answer {
    let mut intent = space.at("setup_intent", call.id())?;
    if !text(&intent, "status").starts_with("requires_") {
        return Err(unexpected(&intent, "You cannot cancel this SetupIntent"));
    }
    intent["cancellation_reason"] =
        or_null(call.params.text("cancellation_reason").unwrap_or_default());
    intent["next_action"] = Value::Null;
    intent["status"] = json!("canceled");
    space.create(&intent, "setup_intent.canceled");
    Ok(intent)
}

fn unexpected(intent: &Value, what: &str) -> ApiError {
    let message = format!("{what} because it has a status of {}.", text(intent, "status"));
    ApiError::state("setup_intent_unexpected_state", message).with("setup_intent", intent.clone())
}
