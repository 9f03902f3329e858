//! Payment methods: cards and bank debits, made of test tokens or test numbers, attached to a customer and detached for good.

use serde_json::{Value, json};

use crate::cards::{Behaviour, Card};
use crate::charging::{behaviour_of, declined};
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{flag, or_null, text};
use crate::params::{Params, nested_int};
use crate::routes::{Call, Route, get, list, post};
use crate::space::Space;

const CREATE: &str = "type card:hash us_bank_account:hash sepa_debit:hash billing_details:hash metadata:hash \
                      allow_redisplay payment_user_agent time_on_page:any guid muid sid referrer";

pub(crate) const ROUTES: &[Route] = &[
    post("payment_methods", CREATE, create).public(),
    list("payment_methods", "customer type", all),
    get("payment_methods/{id}", "", retrieve),
    post(
        "payment_methods/{id}",
        "billing_details:hash card:hash metadata:hash allow_redisplay",
        update,
    ),
    post("payment_methods/{id}/attach", "customer!", attach),
    post("payment_methods/{id}/detach", "", detach),
    list("customers/{id}/payment_methods", "type", of_customer),
    get("customers/{id}/payment_methods/{method}", "", retrieve_of_customer),
    post("tokens", "card:hash", tokenize).public(),
];

fn create(space: &mut Space, call: &Call) -> Answer {
    create_with(space, &call.params)
}

/// Makes a payment method of `type` and the hash of that name.
pub(crate) fn create_with(space: &mut Space, params: &Params) -> Answer {
    let kind = params.text("type").ok_or_else(|| ApiError::missing_param("type"))?;
    let field = match kind {
        "card" => "number",
        "us_bank_account" => "account_number",
        "sepa_debit" => "iban",
        other => {
            let message = format!("Invalid payment_method type: the simulator has no {other}");
            return Err(ApiError::invalid("type", message));
        }
    };
    let hash = params.hash(kind).ok_or_else(|| ApiError::missing_param(kind))?;
    if let Some(token) = hash.get("token").and_then(Value::as_str) {
        let card = of_card_token(space, token)?;
        return Ok(store(space, card, params, "pm", &Value::Null));
    }
    let param = format!("{kind}[{field}]");
    let number = hash.get(field).and_then(Value::as_str);
    let number = number.ok_or_else(|| ApiError::missing_param(&param))?;
    let card = Card::of_number(number).filter(|card| card.kind() == kind);
    let card = card.ok_or_else(|| {
        let message =
            "Your card number is incorrect. The simulator takes Stripe's test numbers only.";
        ApiError::card("incorrect_number", message).with("param", param.as_str())
    })?;
    if kind == "card" {
        check_expiry(space, hash)?;
    }
    let typed = params.get(kind).cloned().unwrap_or_default();
    Ok(store(space, card, params, "pm", &typed))
}

fn check_expiry(space: &Space, hash: &serde_json::Map<String, Value>) -> Result<(), ApiError> {
    let part = |name: &str| {
        let param = format!("card[{name}]");
        let value = hash.get(name).ok_or_else(|| ApiError::missing_param(&param))?;
        nested_int(value, &param)
    };
    let (month, year) = (part("exp_month")?, part("exp_year")?);
    // Whole years are enough: 1970 plus the years that have passed.
    let this_year = 1970 + space.now / 31_556_952;
    if !(1..=12).contains(&month) {
        let message = "Your card's expiration month is invalid.";
        return Err(
            ApiError::card("invalid_expiry_month", message).with("param", "card[exp_month]")
        );
    }
    let year = if year < 100 { 2000 + year } else { year };
    if year < this_year {
        let message = "Your card's expiration year is invalid.";
        return Err(ApiError::card("invalid_expiry_year", message).with("param", "card[exp_year]"));
    }
    Ok(())
}

/// The test card of `tok_visa`, or of a token that was made here.
fn of_card_token(space: &Space, token: &str) -> Result<&'static Card, ApiError> {
    let made =
        space.store.get("token", token).and_then(|token| Card::of_number(text(token, "_number")));
    made.or_else(|| Card::of_token(token)).ok_or_else(|| ApiError::no_such("token", token, "token"))
}

/// Finds the payment method of an id, or makes one of a test token such as `pm_card_visa`.
pub(crate) fn resolve(space: &mut Space, id: &str, param: &str) -> Answer {
    if let Some(card) = Card::of_token(id) {
        return Ok(store(space, card, &Params::default(), "pm", &Value::Null));
    }
    space.named("payment_method", id, param)
}

/// Makes the payment method of a token such as `tok_visa`, which the old `source` parameters take.
pub(crate) fn of_source(space: &mut Space, token: &str) -> Answer {
    let card = of_card_token(space, token)?;
    Ok(store(space, card, &Params::default(), "card", &Value::Null))
}

fn store(space: &mut Space, card: &Card, params: &Params, prefix: &str, typed: &Value) -> Value {
    let kind = card.kind();
    let given = |name: &str, default: i64| {
        typed[name].as_str().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let details = match kind {
        "card" => json!({
            "brand": card.brand, "country": "US", "display_brand": card.brand,
            "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
            "exp_month": given("exp_month", 12), "exp_year": given("exp_year", 2040),
            "fingerprint": format!("fp{}", card.number), "funding": "credit", "generated_from": null,
            "last4": card.last4(), "networks": { "available": [card.brand], "preferred": null },
            "regulated_status": "unregulated", "three_d_secure_usage": { "supported": true }, "wallet": null,
        }),
        _ => {
            json!({ "bank_name": "TEST BANK", "fingerprint": format!("fp{}", card.number), "last4": card.last4() })
        }
    };
    let mut method = json!({
        "id": space.id(prefix), "object": "payment_method", "allow_redisplay": "unspecified",
        "billing_details": {
            "address": { "city": null, "country": null, "line1": null, "line2": null, "postal_code": null, "state": null },
            "email": null, "name": null, "phone": null, "tax_id": null,
        },
        kind: details, "created": space.now, "customer": null, "livemode": space.mode.is_live(),
        "metadata": {}, "type": kind, "_number": card.number, "_is_set_up": false, "_is_spent": false,
    });
    merge_billing(&mut method, params);
    params.copy(&mut method, "allow_redisplay");
    params.merge_metadata(&mut method);
    space.store.put(method.clone());
    method
}

fn merge_billing(method: &mut Value, params: &Params) {
    for (name, value) in params.hash("billing_details").into_iter().flatten() {
        method["billing_details"][name] = value.clone();
    }
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let (customer, kind) = (call.params.text("customer"), call.params.text("type"));
    if let Some(customer) = customer {
        space.named("customer", customer, "customer")?;
    }
    lists::page(space, &call.params, "payment_method", "/v1/payment_methods", |method| {
        customer.is_some_and(|id| text(method, "customer") == id)
            && kind.is_none_or(|kind| text(method, "type") == kind)
    })
}

fn of_customer(space: &mut Space, call: &Call) -> Answer {
    space.at("customer", call.id())?;
    let url = format!("/v1/customers/{}/payment_methods", call.id());
    let kind = call.params.text("type");
    lists::page(space, &call.params, "payment_method", &url, |method| {
        text(method, "customer") == call.id()
            && kind.is_none_or(|kind| text(method, "type") == kind)
    })
}

fn retrieve_of_customer(space: &mut Space, call: &Call) -> Answer {
    space.at("customer", call.id())?;
    let id = call.ids.get(1).map_or("", String::as_str);
    let method = space.at("payment_method", id)?;
    if text(&method, "customer") != call.id() {
        return Err(ApiError::no_such("payment_method", id, "id"));
    }
    Ok(method)
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    resolve(space, call.id(), "id")
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut method = space.at("payment_method", call.id())?;
    for name in ["exp_month", "exp_year"] {
        if let Some(value) = call.params.hash("card").and_then(|card| card.get(name)) {
            method["card"][name] = json!(nested_int(value, &format!("card[{name}]"))?);
        }
    }
    merge_billing(&mut method, &call.params);
    call.params.copy(&mut method, "allow_redisplay");
    call.params.merge_metadata(&mut method);
    space.change(&method, "payment_method.updated");
    Ok(method)
}

fn attach(space: &mut Space, call: &Call) -> Answer {
    let customer = call.params.text("customer").unwrap_or_default();
    space.named("customer", customer, "customer")?;
    let method = resolve(space, call.id(), "id")?;
    attach_to(space, &method, customer)
}

/// Attaches a payment method to a customer; attaching it again to the same one changes nothing.
pub(crate) fn attach_to(space: &mut Space, method: &Value, customer: &str) -> Answer {
    let mut method = method.clone();
    check_usable(&method)?;
    match text(&method, "customer") {
        "" => {}
        owner if owner == customer => return Ok(method),
        _ => {
            let message =
                "The payment method you provided has already been attached to a customer.";
            return Err(ApiError::state("payment_method_unexpected_state", message));
        }
    }
    if let Behaviour::Declines(code, decline) = behaviour_of(&method) {
        return Err(declined(code, decline));
    }
    method["customer"] = json!(customer);
    space.store.put(method.clone());
    space.emit("payment_method.attached", &method);
    Ok(method)
}

/// Refuses a payment method that was detached, or used without a customer: it is worth nothing any more.
pub(crate) fn check_usable(method: &Value) -> Result<(), ApiError> {
    if !flag(method, "_is_spent") {
        return Ok(());
    }
    let message = "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, \
                   or was detached from a Customer. It may not be used again.";
    Err(ApiError::state("payment_method_unexpected_state", message))
}

fn detach(space: &mut Space, call: &Call) -> Answer {
    let method = space.at("payment_method", call.id())?;
    if text(&method, "customer").is_empty() {
        let message = "The payment method you provided is not attached to a customer so detachment is impossible.";
        return Err(ApiError::state("payment_method_unexpected_state", message));
    }
    Ok(detach_from_owner(space, &method))
}

/// Detaches a payment method for good; where it was a default, there is none any more.
pub(crate) fn detach_from_owner(space: &mut Space, method: &Value) -> Value {
    let id = text(method, "id");
    if let Ok(mut customer) = space.at("customer", text(method, "customer"))
        && customer["invoice_settings"]["default_payment_method"] == id
    {
        customer["invoice_settings"]["default_payment_method"] = Value::Null;
        space.change(&customer, "customer.updated");
    }
    let mut detached = method.clone();
    detached["customer"] = Value::Null;
    detached["_is_spent"] = json!(true);
    let previous = json!({ "customer": method["customer"] });
    space.store.put(detached.clone());
    space.emit_with("payment_method.detached", &detached, Some(previous));
    detached
}

fn tokenize(space: &mut Space, call: &Call) -> Answer {
    let number = call.params.nested("card", "number").unwrap_or_default();
    let card = Card::of_number(number).filter(|card| card.kind() == "card").ok_or_else(|| {
        ApiError::card("incorrect_number", "Your card number is incorrect.")
            .with("param", "card[number]")
    })?;
    let token = json!({
        "id": space.id("tok"), "object": "token", "created": space.now, "livemode": space.mode.is_live(),
        "type": "card", "used": false, "client_ip": null, "_number": card.number,
        "card": {
            "id": space.id("card"), "object": "card", "brand": card.brand, "last4": card.last4(),
            "name": or_null(call.params.nested("card", "name").unwrap_or_default()),
        },
    });
    space.store.put(token.clone());
    Ok(token)
}
