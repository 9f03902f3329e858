//! PaymentIntents: the states of a payment, and the endpoints that move it from one to the next.
//!
//! `requires_payment_method` → `requires_confirmation` → (`requires_action`) → (`processing`) → `succeeded`, with
//! `requires_capture` before it where capture is manual; a refusal goes back to `requires_payment_method`. What the bank
//! does is `charging`'s.

use serde_json::{Value, json};

use self::attempts::{attempt, fail};
use super::payment_methods;
use crate::agenda::Due;
use crate::charging::{Presence, Verdict, behaviour_of};
use crate::currency;
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{int, or_null, text};
use crate::params::Params;
use crate::routes::{Call, Route, get, list, post};
use crate::space::Space;

mod attempts;

const CREATE: &str = "amount:int! currency! customer payment_method payment_method_data:hash \
                      payment_method_types:list payment_method_options:hash automatic_payment_methods:hash \
                      capture_method confirmation_method confirm:flag off_session setup_future_usage description \
                      metadata:hash receipt_email return_url shipping:hash statement_descriptor \
                      statement_descriptor_suffix mandate mandate_data:hash error_on_requires_action:flag \
                      use_stripe_sdk:flag transfer_group";
const UPDATE: &str = "amount:int currency customer payment_method payment_method_data:hash \
                      payment_method_types:list payment_method_options:hash setup_future_usage description \
                      metadata:hash receipt_email shipping:hash statement_descriptor statement_descriptor_suffix \
                      capture_method transfer_group";
const CONFIRM: &str = "payment_method payment_method_data:hash payment_method_types:list \
                       payment_method_options:hash off_session setup_future_usage receipt_email return_url \
                       shipping:hash mandate mandate_data:hash error_on_requires_action:flag use_stripe_sdk:flag \
                       capture_method client_secret";
const CAPTURE: &str = "amount_to_capture:int metadata:hash statement_descriptor statement_descriptor_suffix \
                       final_capture:flag";

pub(crate) const ROUTES: &[Route] = &[
    post("payment_intents", CREATE, create),
    list("payment_intents", "customer", all),
    get("payment_intents/{id}", "client_secret", retrieve).public(),
    post("payment_intents/{id}", UPDATE, update),
    post("payment_intents/{id}/confirm", CONFIRM, confirm).public(),
    post("payment_intents/{id}/capture", CAPTURE, capture),
    post("payment_intents/{id}/cancel", "cancellation_reason", cancel),
];

/// Why an intent was canceled, by those who may say so.
const REASONS: &[&str] = &["duplicate", "fraudulent", "requested_by_customer", "abandoned"];
/// Fields that the parameters of the same name set.
const COPIED: &str = "description receipt_email return_url setup_future_usage shipping statement_descriptor \
                      statement_descriptor_suffix transfer_group payment_method_options";

fn create(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    if let Some(customer) = params.text("customer") {
        space.named("customer", customer, "customer")?;
    }
    let mut intent = draft(space, params)?;
    choose_method(space, &mut intent, params)?;
    if params.flag("confirm") != Some(true) {
        if params.get("off_session").is_some() {
            let message = "`off_session` can only be sent with `confirm` set to true.";
            return Err(ApiError::invalid("off_session", message));
        }
        space.create(&intent, "payment_intent.created");
        return Ok(intent);
    }
    // What confirming would refuse for its parameters leaves no intent behind.
    check_confirmable(space, &intent, params)?;
    space.create(&intent, "payment_intent.created");
    confirm_now(space, intent, params)
}

/// A new intent without a payment method.
fn draft(space: &mut Space, params: &Params) -> Answer {
    let currency = currency::known(params.text("currency").unwrap_or_default())?;
    let amount = params.int("amount").unwrap_or_default();
    currency::check_charge(amount, &currency)?;
    let capture = one_of(params, "capture_method", &["automatic", "automatic_async", "manual"])?;
    let confirmation = one_of(params, "confirmation_method", &["automatic", "manual"])?;
    let types = params.list("payment_method_types").filter(|types| !types.is_empty());
    let automatic = match (params.hash("automatic_payment_methods"), types) {
        (Some(hash), Some(_)) if hash.get("enabled").is_some_and(|value| value == "true") => {
            let message = "You may only specify one of these parameters: automatic_payment_methods, \
                           payment_method_types.";
            return Err(ApiError::invalid("payment_method_types", message));
        }
        (Some(hash), None) => json!({
            "allow_redirects": hash.get("allow_redirects").cloned().unwrap_or_else(|| json!("always")),
            "enabled": hash.get("enabled").is_some_and(|value| value == "true"),
        }),
        (None, None) => json!({ "allow_redirects": "always", "enabled": true }),
        (_, Some(_)) => Value::Null,
    };
    let id = space.id("pi");
    let secret = format!("{id}_secret_{}", space.random(25));
    let default_types = match currency.as_str() {
        "usd" => json!(["card", "us_bank_account"]),
        "eur" => json!(["card", "sepa_debit"]),
        _ => json!(["card"]),
    };
    let mut intent = json!({
        "id": id, "object": "payment_intent", "amount": amount, "amount_capturable": 0,
        "amount_details": { "tip": {} }, "amount_received": 0, "application": null,
        "application_fee_amount": null, "automatic_payment_methods": automatic, "canceled_at": null,
        "cancellation_reason": null, "capture_method": capture.unwrap_or("automatic"),
        "client_secret": secret, "confirmation_method": confirmation.unwrap_or("automatic"),
        "created": space.now, "currency": currency, "customer": or_null(params.text("customer").unwrap_or_default()),
        "description": null, "last_payment_error": null, "latest_charge": null,
        "livemode": space.mode.is_live(), "metadata": {}, "next_action": null, "on_behalf_of": null,
        "payment_method": null, "payment_method_configuration_details": null,
        "payment_method_options": { "card": { "installments": null, "mandate_options": null, "network": null,
            "request_three_d_secure": "automatic" } },
        "payment_method_types": types.map_or(default_types, |types| json!(types)),
        "processing": null, "receipt_email": null, "review": null, "setup_future_usage": null,
        "shipping": null, "source": null, "statement_descriptor": null, "statement_descriptor_suffix": null,
        "status": "requires_payment_method", "transfer_data": null, "transfer_group": null,
        "_return_url": null, "_invoice": null, "_is_authenticated": false,
    });
    apply(&mut intent, params);
    Ok(intent)
}

/// A payment for an invoice, which its customer did not ask for.
pub(crate) fn draft_for_invoice(space: &mut Space, invoice: &Value, amount: i64) -> Answer {
    let params = Params::of(json!({
        "amount": amount, "currency": invoice["currency"], "customer": invoice["customer"],
        "payment_method_types": ["card", "us_bank_account", "sepa_debit"],
    }));
    let mut intent = draft(space, &params)?;
    intent["_invoice"] = invoice["id"].clone();
    intent["description"] = json!(format!("Payment for invoice {}", text(invoice, "number")));
    space.create(&intent, "payment_intent.created");
    Ok(intent)
}

fn one_of<'a>(params: &'a Params, name: &str, known: &[&str]) -> Result<Option<&'a str>, ApiError> {
    match params.text(name) {
        Some(value) if !known.contains(&value) => {
            let message = format!("Invalid {name}: must be one of {}", known.join(", "));
            Err(ApiError::invalid(name, message))
        }
        value => Ok(value),
    }
}

fn apply(intent: &mut Value, params: &Params) {
    params.copy(intent, COPIED);
    if let Some(url) = intent.as_object_mut().and_then(|fields| fields.remove("return_url")) {
        intent["_return_url"] = url;
    }
    params.merge_metadata(intent);
}

/// Takes the payment method that the parameters name or describe.
fn choose_method(space: &mut Space, intent: &mut Value, params: &Params) -> Result<(), ApiError> {
    let method = if let Some(id) = params.text("payment_method") {
        payment_methods::resolve(space, id, "payment_method")?
    } else if let Some(described) = params.hash("payment_method_data") {
        payment_methods::create_with(space, &Params::of(json!(described)))?
    } else {
        return Ok(());
    };
    payment_methods::check_usable(&method)?;
    let allowed = intent["payment_method_types"].as_array().cloned().unwrap_or_default();
    if !allowed.contains(&method["type"]) {
        let message = format!(
            "The PaymentMethod provided ({}) is not allowed for this PaymentIntent.",
            text(&method, "type")
        );
        return Err(ApiError::invalid("payment_method", message));
    }
    let owner = text(&method, "customer");
    if !owner.is_empty() && owner != text(intent, "customer") {
        let message = format!(
            "The payment method supplied ({}) belongs to a Customer. Please include the Customer in the `customer` \
             parameter on the PaymentIntent.",
            text(&method, "id")
        );
        return Err(ApiError::invalid("payment_method", message));
    }
    intent["payment_method"] = method["id"].clone();
    intent["status"] = json!("requires_confirmation");
    Ok(())
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let customer = call.params.text("customer");
    lists::page(space, &call.params, "payment_intent", "/v1/payment_intents", |intent| {
        customer.is_none_or(|id| text(intent, "customer") == id)
    })
}

/// The intent of the path; a publishable key has to bring its client secret.
fn visible(space: &Space, call: &Call) -> Answer {
    let intent = space.at("payment_intent", call.id())?;
    let secret = call.params.text("client_secret");
    let is_needed = call.is_publishable || secret.is_some();
    if is_needed && secret != intent["client_secret"].as_str() {
        let message = "The client_secret provided does not match the client_secret associated with the PaymentIntent.";
        return Err(ApiError::invalid("client_secret", message)
            .with("code", "payment_intent_invalid_parameter"));
    }
    Ok(intent)
}

/// What a publishable key sees of an intent.
fn seen_by(call: &Call, mut intent: Value) -> Value {
    if let (true, Some(fields)) = (call.is_publishable, intent.as_object_mut()) {
        for name in
            ["customer", "metadata", "latest_charge", "amount_received", "amount_capturable"]
        {
            fields.remove(name);
        }
    }
    intent
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    Ok(seen_by(call, visible(space, call)?))
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut intent = space.at("payment_intent", call.id())?;
    let params = &call.params;
    let moves_money = ["amount", "currency", "customer", "payment_method", "payment_method_data"];
    let is_open = text(&intent, "status").starts_with("requires_")
        && text(&intent, "status") != "requires_capture";
    if let Some(name) = moves_money.iter().find(|name| params.get(name).is_some() && !is_open) {
        return Err(unexpected(
            &intent,
            &format!("This PaymentIntent's {name} could not be updated"),
        ));
    }
    if let Some(code) = params.text("currency") {
        intent["currency"] = json!(currency::known(code)?);
    }
    if let Some(amount) = params.int("amount") {
        intent["amount"] = json!(amount);
    }
    currency::check_charge(int(&intent, "amount"), text(&intent, "currency"))?;
    if let Some(customer) = params.text("customer") {
        space.named("customer", customer, "customer")?;
        intent["customer"] = json!(customer);
    }
    one_of(params, "capture_method", &["automatic", "automatic_async", "manual"])?;
    params.copy(&mut intent, "capture_method payment_method_types");
    choose_method(space, &mut intent, params)?;
    apply(&mut intent, params);
    space.store.put(intent.clone());
    Ok(intent)
}

fn confirm(space: &mut Space, call: &Call) -> Answer {
    let mut intent = visible(space, call)?;
    let status = text(&intent, "status");
    if !matches!(status, "requires_payment_method" | "requires_confirmation" | "requires_action") {
        let what = format!(
            "You cannot confirm this PaymentIntent because it has already {status} after being \
                            previously confirmed"
        );
        return Err(unexpected(&intent, &what));
    }
    call.params.copy(&mut intent, "payment_method_types capture_method");
    choose_method(space, &mut intent, &call.params)?;
    apply(&mut intent, &call.params);
    check_confirmable(space, &intent, &call.params)?;
    let answer = confirm_now(space, intent, &call.params)?;
    Ok(seen_by(call, answer))
}

fn check_confirmable(space: &Space, intent: &Value, params: &Params) -> Result<(), ApiError> {
    if text(intent, "payment_method").is_empty() {
        let what = "You cannot confirm this PaymentIntent because it's missing a payment method";
        return Err(unexpected(intent, what));
    }
    let redirects = &intent["automatic_payment_methods"];
    let may_redirect = redirects["enabled"] == true && redirects["allow_redirects"] != "never";
    let has_return = !text(intent, "_return_url").is_empty() || params.text("return_url").is_some();
    if may_redirect && !has_return && !is_away(params) && space.origin.is_since("2023-08-16") {
        let message = "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because \
                       some of these might redirect your customer off of your page, you must provide a `return_url`, \
                       or set `automatic_payment_methods[allow_redirects]` to `never`.";
        return Err(ApiError::invalid("return_url", message));
    }
    Ok(())
}

fn is_away(params: &Params) -> bool {
    params.text("off_session").is_some_and(|value| value != "false")
}

fn confirm_now(space: &mut Space, mut intent: Value, params: &Params) -> Answer {
    let presence = if is_away(params) {
        Presence::OffSession
    } else if intent["_is_authenticated"] == true {
        Presence::Authenticated
    } else {
        Presence::OnSession
    };
    let refuses_action = params.flag("error_on_requires_action") == Some(true);
    intent["_uses_sdk"] = json!(params.flag("use_stripe_sdk").unwrap_or(false));
    attempt(space, &mut intent, presence, refuses_action)?;
    Ok(intent)
}

/// Charges an invoice's intent with a payment method; where it asks for authentication, the intent waits for that.
pub(crate) fn charge_invoice(
    space: &mut Space,
    intent: &mut Value,
    method: &str,
) -> Result<(), ApiError> {
    intent["payment_method"] = json!(method);
    attempt(space, intent, Presence::OnSession, false)
}

fn capture(space: &mut Space, call: &Call) -> Answer {
    let mut intent = space.at("payment_intent", call.id())?;
    if text(&intent, "status") != "requires_capture" {
        return Err(unexpected(&intent, "This PaymentIntent could not be captured"));
    }
    let capturable = int(&intent, "amount_capturable");
    let amount = call.params.int("amount_to_capture").unwrap_or(capturable);
    if !(1..=capturable).contains(&amount) {
        let message = format!(
            "The amount to capture must be from 1 to the capturable {capturable}, and was {amount}"
        );
        return Err(
            ApiError::invalid("amount_to_capture", message).with("code", "amount_too_large")
        );
    }
    if let Ok(mut charge) = space.at("charge", text(&intent, "latest_charge")) {
        charge["captured"] = json!(true);
        charge["amount_captured"] = json!(amount);
        space.change(&charge, "charge.captured");
    }
    call.params.merge_metadata(&mut intent);
    intent["amount_capturable"] = json!(0);
    intent["amount_received"] = json!(amount);
    intent["status"] = json!("succeeded");
    space.create(&intent, "payment_intent.succeeded");
    Ok(intent)
}

fn cancel(space: &mut Space, call: &Call) -> Answer {
    let mut intent = space.at("payment_intent", call.id())?;
    let reason = one_of(&call.params, "cancellation_reason", REASONS)?;
    if !text(&intent, "status").starts_with("requires_") {
        return Err(unexpected(&intent, "You cannot cancel this PaymentIntent"));
    }
    if !text(&intent, "_invoice").is_empty() {
        return Err(unexpected(
            &intent,
            "An invoice's PaymentIntent is canceled by voiding the invoice; it cannot be",
        ));
    }
    end(space, &mut intent, reason.unwrap_or_default());
    Ok(intent)
}

/// Cancels an intent; what was only authorized is let go.
pub(crate) fn end(space: &mut Space, intent: &mut Value, reason: &str) {
    if text(intent, "status") == "requires_capture"
        && let Ok(mut charge) = space.at("charge", text(intent, "latest_charge"))
    {
        charge["amount_refunded"] = charge["amount"].clone();
        charge["refunded"] = json!(true);
        space.change(&charge, "charge.refunded");
    }
    intent["amount_capturable"] = json!(0);
    intent["canceled_at"] = json!(space.now);
    intent["cancellation_reason"] = or_null(reason);
    intent["next_action"] = Value::Null;
    intent["status"] = json!("canceled");
    space.create(intent, "payment_intent.canceled");
}

/// The customer has authenticated, or failed to.
pub(crate) fn authenticate(space: &mut Space, id: &str, is_passed: bool) -> Answer {
    let mut intent = space.at("payment_intent", id)?;
    if text(&intent, "status") != "requires_action" {
        return Err(unexpected(&intent, "Nobody can authenticate for this PaymentIntent"));
    }
    if !is_passed {
        let message = "We are unable to authenticate your payment method. Please choose a different payment method \
                       and try again.";
        let error = ApiError::card("payment_intent_authentication_failure", message);
        fail(space, &mut intent, error);
    } else if text(&intent, "confirmation_method") == "manual" {
        intent["_is_authenticated"] = json!(true);
        intent["next_action"] = Value::Null;
        intent["status"] = json!("requires_confirmation");
        space.store.put(intent.clone());
    } else if attempt(space, &mut intent, Presence::Authenticated, false).is_err() {
        // The refusal is in the intent.
        return space.at("payment_intent", id);
    }
    Ok(intent)
}

/// The bank answers for a debit as its number says.
pub(crate) fn settle(space: &mut Space, id: &str) {
    let Ok(intent) = space.at("payment_intent", id) else { return };
    let Ok(method) = space.at("payment_method", text(&intent, "payment_method")) else { return };
    let is_paid = behaviour_of(&method) != crate::cards::Behaviour::DebitBounces;
    // A debit that was settled by hand before its time is settled.
    drop(settle_as(space, id, is_paid));
}

/// The bank answers for a debit.
pub(crate) fn settle_as(space: &mut Space, id: &str, is_paid: bool) -> Answer {
    let mut intent = space.at("payment_intent", id)?;
    if text(&intent, "status") != "processing" {
        return Err(unexpected(&intent, "No bank is asked about this PaymentIntent"));
    }
    attempts::settle(space, &mut intent, is_paid);
    Ok(intent)
}

/// Notes when the bank will answer.
fn await_bank(space: &mut Space, intent: &Value) {
    let at_s = space.now.saturating_add(space.bank_debit_s);
    space.agenda.note(at_s, Due::SettleDebit(text(intent, "id").to_owned()));
}

fn unexpected(intent: &Value, what: &str) -> ApiError {
    let message = format!("{what} because it has a status of {}.", text(intent, "status"));
    ApiError::state("payment_intent_unexpected_state", message)
        .with("payment_intent", intent.clone())
}

/// What a decline looks like to somebody who has an intent's verdict.
fn refusal_of(verdict: &Verdict) -> Option<ApiError> {
    match verdict {
        Verdict::Declined(code, decline) => Some(crate::charging::declined(code, decline)),
        Verdict::Paid | Verdict::Pending | Verdict::MustAuthenticate => None,
    }
}
