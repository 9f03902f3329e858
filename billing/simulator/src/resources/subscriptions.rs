//! Subscriptions: prices that come back every period. The endpoints; what time does to one is `cycle`'s.

use serde_json::{Value, json};

use super::{invoices, prices};
use crate::agenda::Due;
use crate::calendar::{DAY_S, Interval};
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{int, text};
use crate::params::{Params, nested_int};
use crate::routes::{Call, Route, get, list, post};
use crate::space::Space;

pub(crate) mod cycle;
mod proration;

/// Most items of a subscription.
const ITEMS_MAX: usize = 20;
/// How long the first payment may take, in seconds.
const INCOMPLETE_S: i64 = 23 * 3600;

const CREATE: &str = "customer! items:list! default_payment_method collection_method days_until_due:int \
                      metadata:hash cancel_at_period_end:flag cancel_at trial_period_days:int trial_end \
                      trial_settings:hash payment_behavior billing_cycle_anchor proration_behavior off_session \
                      description payment_settings:hash currency";
const UPDATE: &str = "items:list default_payment_method collection_method days_until_due:int metadata:hash \
                      cancel_at_period_end:flag cancel_at trial_end trial_settings:hash payment_behavior \
                      billing_cycle_anchor proration_behavior proration_date:int off_session description \
                      payment_settings:hash pause_collection:hash cancellation_details:hash";
const CANCEL: &str = "invoice_now:flag prorate:flag cancellation_details:hash";
const BEHAVIOURS: &[&str] =
    &["allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"];

pub(crate) const ROUTES: &[Route] = &[
    post("subscriptions", CREATE, create),
    list("subscriptions", "customer status price collection_method", all),
    get("subscriptions/{id}", "", retrieve),
    post("subscriptions/{id}", UPDATE, update),
    Route { method: "DELETE", ..post("subscriptions/{id}", CANCEL, cancel_now) },
    list("subscription_items", "subscription!", items_of),
    get("subscription_items/{id}", "", retrieve_item),
];

fn create(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    let behaviour = params.text("payment_behavior").unwrap_or("allow_incomplete");
    if !BEHAVIOURS.contains(&behaviour) {
        let message = format!("Invalid payment_behavior: must be one of {}", BEHAVIOURS.join(", "));
        return Err(ApiError::invalid("payment_behavior", message));
    }
    let subscription = draft(space, params)?;
    let needs_method = text(&subscription, "collection_method") == "charge_automatically"
        && text(&subscription, "status") != "trialing"
        && cycle::price_of_period(&subscription)? > 0;
    if needs_method && behaviour != "default_incomplete" {
        check_method(space, &subscription)?;
    }
    let id = text(&subscription, "id").to_owned();
    space.create(&subscription, "customer.subscription.created");
    let paid = cycle::begin(space, &id, behaviour != "default_incomplete");
    if let (Err(refusal), "error_if_incomplete") = (paid, behaviour) {
        cycle::undo(space, &id);
        return Err(refusal);
    }
    if let Some(at) = params.text("cancel_at") {
        cycle::cancel_later(space, &id, nested_int(&json!(at), "cancel_at")?);
    }
    space.at("subscription", &id)
}

/// A new subscription, not stored.
pub(crate) fn draft(space: &mut Space, params: &Params) -> Answer {
    let customer = params.text("customer").unwrap_or_default();
    space.named("customer", customer, "customer")?;
    let id = space.id("sub");
    let items = items_from(space, &id, params.list("items").unwrap_or_default())?;
    check_items(&items)?;
    if let Some(method) = params.text("default_payment_method") {
        check_owner(space, customer, method)?;
    }
    let trial_end = trial_end(space, params)?;
    let period_end = match trial_end {
        Some(at) => at,
        None => interval_of(&items[0])?.after(space.now, 1),
    };
    let is_automatic = params.text("collection_method") != Some("send_invoice");
    let status = match (trial_end, is_automatic) {
        (Some(_), _) => "trialing",
        (None, true) => "incomplete",
        (None, false) => "active",
    };
    let mut subscription = json!({
        "id": id, "object": "subscription", "application": null, "application_fee_percent": null,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null },
        "billing_cycle_anchor": trial_end.unwrap_or(space.now), "billing_cycle_anchor_config": null,
        "billing_thresholds": null, "cancel_at": null, "cancel_at_period_end": false, "canceled_at": null,
        "cancellation_details": { "comment": null, "feedback": null, "reason": null },
        "collection_method": "charge_automatically", "created": space.now,
        "currency": items[0]["price"]["currency"], "customer": customer, "days_until_due": null,
        "default_payment_method": null, "default_source": null, "default_tax_rates": [], "description": null,
        "discounts": [], "ended_at": null, "invoice_settings": { "account_tax_ids": null, "issuer": { "type": "self" } },
        "items": lists::embedded(&format!("/v1/subscription_items?subscription={id}"), &items),
        "latest_invoice": null, "livemode": space.mode.is_live(), "metadata": {},
        "next_pending_invoice_item_invoice": null, "on_behalf_of": null, "pause_collection": null,
        "payment_settings": { "payment_method_options": null, "payment_method_types": null,
            "save_default_payment_method": "off" },
        "pending_invoice_item_interval": null, "pending_setup_intent": null, "pending_update": null,
        "schedule": null, "start_date": space.now, "status": status, "test_clock": null, "transfer_data": null,
        "trial_end": trial_end, "trial_settings": { "end_behavior": { "missing_payment_method": "create_invoice" } },
        "trial_start": trial_end.map(|_| space.now), "_period_start": space.now, "_period_end": period_end,
        "_period_count": 1,
    });
    apply(space, &mut subscription, params)?;
    Ok(subscription)
}

/// Items of `{price|price_data, quantity, metadata}`.
fn items_from(
    space: &mut Space,
    subscription: &str,
    described: &[Value],
) -> Result<Vec<Value>, ApiError> {
    let mut items = Vec::new();
    for (number, described) in described.iter().enumerate() {
        let param = format!("items[{number}]");
        let price = prices::resolve(space, described, &param)?;
        items.push(json!({
            "id": space.id("si"), "object": "subscription_item", "billing_thresholds": null,
            "created": space.now, "discounts": [],
            "metadata": described.get("metadata").cloned().unwrap_or_else(|| json!({})),
            "price": price, "quantity": prices::quantity(described, &param)?, "subscription": subscription,
            "tax_rates": [],
        }));
    }
    Ok(items)
}

fn check_items(items: &[Value]) -> Result<(), ApiError> {
    let Some(first) = items.first() else { return Err(ApiError::missing_param("items")) };
    if items.len() > ITEMS_MAX {
        return Err(ApiError::invalid(
            "items",
            format!("A subscription can have at most {ITEMS_MAX} items."),
        ));
    }
    for item in items {
        interval_of(item)?;
        let is_same = |path: &str| crate::object::at(item, path) == crate::object::at(first, path);
        if !(is_same("price.currency")
            && is_same("price.recurring.interval")
            && is_same("price.recurring.interval_count"))
        {
            let message = "All prices on a subscription must have the same currency and `recurring.interval`.";
            return Err(ApiError::invalid("items", message));
        }
    }
    Ok(())
}

fn interval_of(item: &Value) -> Result<Interval, ApiError> {
    let recurring = &item["price"]["recurring"];
    Interval::parse(text(recurring, "interval"), int(recurring, "interval_count")).ok_or_else(|| {
        let message = "The price specified is set to `type=one_time` but this field only accepts prices with \
                       `type=recurring`.";
        ApiError::invalid("items[0][price]", message)
    })
}

fn trial_end(space: &Space, params: &Params) -> Result<Option<i64>, ApiError> {
    let end = match (params.int("trial_period_days"), params.text("trial_end")) {
        (Some(days), None) if days > 0 => space.now.saturating_add(days.saturating_mul(DAY_S)),
        (Some(_) | None, None) | (None, Some("now")) => return Ok(None),
        (None, Some(at)) => nested_int(&json!(at), "trial_end")?,
        (Some(_), Some(_)) => {
            let message = "You may only specify one of trial_end, trial_period_days.";
            return Err(ApiError::invalid("trial_end", message));
        }
    };
    if end <= space.now {
        return Err(ApiError::invalid("trial_end", "Invalid timestamp: must be in the future."));
    }
    Ok(Some(end))
}

fn check_owner(space: &Space, customer: &str, method: &str) -> Result<(), ApiError> {
    let found = space.named("payment_method", method, "default_payment_method")?;
    if text(&found, "customer") == customer {
        return Ok(());
    }
    let message = format!("The customer does not have a payment method with the ID {method}.");
    Err(ApiError::invalid("default_payment_method", message).with("code", "resource_missing"))
}

fn check_method(space: &Space, subscription: &Value) -> Result<(), ApiError> {
    let own = text(subscription, "default_payment_method");
    let customer = json!({ "customer": subscription["customer"], "default_payment_method": own });
    if invoices::default_method(space, &customer).is_empty() {
        let message = "This customer has no attached payment source or default payment method. Please consider adding \
                       a default payment method.";
        return Err(ApiError::state("resource_missing", message));
    }
    Ok(())
}

fn apply(space: &Space, subscription: &mut Value, params: &Params) -> Result<(), ApiError> {
    let method =
        params.text("collection_method").unwrap_or(text(subscription, "collection_method"));
    if !matches!(method, "charge_automatically" | "send_invoice") {
        let message =
            "Invalid collection_method: must be one of charge_automatically, send_invoice";
        return Err(ApiError::invalid("collection_method", message));
    }
    if let Some(method) = params.text("default_payment_method") {
        check_owner(space, text(subscription, "customer"), method)?;
    }
    if let Some(wanted) = params.get("trial_settings").and_then(|sent| sent.get("end_behavior")) {
        subscription["trial_settings"]["end_behavior"] = wanted.clone();
    }
    params
        .copy(subscription, "collection_method days_until_due default_payment_method description");
    params.merge_metadata(subscription);
    if let Some(ends) = params.flag("cancel_at_period_end") {
        subscription["cancel_at_period_end"] = json!(ends);
        subscription["cancel_at"] =
            if ends { subscription["_period_end"].clone() } else { Value::Null };
        subscription["canceled_at"] = if ends { json!(space.now) } else { Value::Null };
    }
    Ok(())
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    let (customer, status, price) =
        (params.text("customer"), params.text("status"), params.text("price"));
    lists::page(space, params, "subscription", "/v1/subscriptions", |subscription| {
        let is = text(subscription, "status");
        let has_ended = matches!(is, "canceled" | "incomplete_expired");
        let fits = match status {
            None => !has_ended,
            Some("all") => true,
            Some("ended") => has_ended,
            Some(wanted) => is == wanted,
        };
        let items = subscription["items"]["data"].as_array();
        fits && customer.is_none_or(|id| text(subscription, "customer") == id)
            && price.is_none_or(|id| {
                items.is_some_and(|items| items.iter().any(|item| text(item, "price.id") == id))
            })
    })
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("subscription", call.id())
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut subscription = space.at("subscription", call.id())?;
    let params = &call.params;
    if matches!(text(&subscription, "status"), "canceled" | "incomplete_expired") {
        let message =
            "A canceled subscription can only update its cancellation_details and metadata.";
        return Err(ApiError::state("subscription_canceled", message));
    }
    let behaviour = params.text("proration_behavior").unwrap_or("create_prorations");
    if !matches!(behaviour, "create_prorations" | "none" | "always_invoice") {
        let message =
            "Invalid proration_behavior: must be one of create_prorations, none, always_invoice";
        return Err(ApiError::invalid("proration_behavior", message));
    }
    pause(space, &mut subscription, params)?;
    apply(space, &mut subscription, params)?;
    let before = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
    let after = match params.list("items") {
        Some(changes) => changed_items(space, &subscription, &before, changes)?,
        None => before.clone(),
    };
    subscription["items"] =
        lists::embedded(&format!("/v1/subscription_items?subscription={}", call.id()), &after);
    space.change(&subscription, "customer.subscription.updated");
    if let Some(at) = params.text("cancel_at") {
        cycle::cancel_later(space, call.id(), nested_int(&json!(at), "cancel_at")?);
    }
    if params.text("trial_end") == Some("now") && text(&subscription, "status") == "trialing" {
        cycle::end_trial(space, call.id());
    } else if before != after || params.text("billing_cycle_anchor") == Some("now") {
        let restarts = interval_of(&before[0])? != interval_of(&after[0])?
            || params.text("billing_cycle_anchor") == Some("now");
        proration::settle(space, call.id(), &before, behaviour, restarts)?;
    }
    space.at("subscription", call.id())
}

/// Stops invoices from being collected, or lets them be again.
fn pause(space: &mut Space, subscription: &mut Value, params: &Params) -> Result<(), ApiError> {
    let Some(sent) = params.get("pause_collection") else { return Ok(()) };
    if sent.as_str() == Some("") {
        subscription["pause_collection"] = Value::Null;
        return Ok(());
    }
    let behaviour = text(sent, "behavior");
    if !matches!(behaviour, "keep_as_draft" | "mark_uncollectible" | "void") {
        let message = "Invalid pause_collection[behavior]: must be one of keep_as_draft, mark_uncollectible, void";
        return Err(ApiError::invalid("pause_collection[behavior]", message));
    }
    let resumes_at = match sent.get("resumes_at") {
        Some(at) => Some(nested_int(at, "pause_collection[resumes_at]")?),
        None => None,
    };
    subscription["pause_collection"] = json!({ "behavior": behaviour, "resumes_at": resumes_at });
    if let Some(at) = resumes_at {
        space.agenda.note(at, Due::ResumeCollection(text(subscription, "id").to_owned()));
    }
    Ok(())
}

/// The items of a subscription after changes: by id, or new ones.
fn changed_items(
    space: &mut Space,
    subscription: &Value,
    before: &[Value],
    changes: &[Value],
) -> Result<Vec<Value>, ApiError> {
    let mut after = before.to_vec();
    for (number, change) in changes.iter().enumerate() {
        let param = format!("items[{number}]");
        let Some(id) = change["id"].as_str() else {
            after.append(&mut items_from(
                space,
                text(subscription, "id"),
                std::slice::from_ref(change),
            )?);
            continue;
        };
        let place = after.iter().position(|item| item["id"] == id);
        let place = place
            .ok_or_else(|| ApiError::no_such("subscription_item", id, &format!("{param}[id]")))?;
        if change["deleted"] == "true" {
            after.remove(place);
            continue;
        }
        if change.get("price").is_some() || change.get("price_data").is_some() {
            after[place]["price"] = prices::resolve(space, change, &param)?;
        }
        if change.get("quantity").is_some() {
            after[place]["quantity"] = json!(prices::quantity(change, &param)?);
        }
    }
    check_items(&after)?;
    if after[0]["price"]["currency"] != subscription["currency"] {
        let message = "The currency of a subscription cannot be changed.";
        return Err(ApiError::invalid("items", message));
    }
    Ok(after)
}

fn cancel_now(space: &mut Space, call: &Call) -> Answer {
    let subscription = space.at("subscription", call.id())?;
    if text(&subscription, "status") == "canceled" {
        return Err(ApiError::no_such("subscription", call.id(), "id"));
    }
    if call.params.flag("prorate") == Some(true) {
        let items = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
        proration::credit(space, &subscription, &items)?;
    }
    let subscription = cycle::cancel(space, &subscription, "cancellation_requested");
    if call.params.flag("invoice_now") == Some(true) {
        cycle::invoice_pending(space, &subscription)?;
    }
    Ok(subscription)
}

fn items_of(space: &mut Space, call: &Call) -> Answer {
    let id = call.params.text("subscription").unwrap_or_default();
    let subscription = space.named("subscription", id, "subscription")?;
    let all: Vec<&Value> = subscription["items"]["data"].as_array().into_iter().flatten().collect();
    lists::cut(space, &call.params, "subscription_item", "/v1/subscription_items", &all)
}

fn retrieve_item(space: &mut Space, call: &Call) -> Answer {
    let mut items = space
        .store
        .newest_first("subscription")
        .flat_map(|subscription| subscription["items"]["data"].as_array().into_iter().flatten());
    let found = items.find(|item| item["id"] == call.id()).cloned();
    found.ok_or_else(|| ApiError::no_such("subscription_item", call.id(), "id"))
}

/// Cancels what a customer has, who is deleted.
pub(crate) fn end_all_of(space: &mut Space, customer: &str) {
    let is_running = |subscription: &&Value| {
        text(subscription, "customer") == customer
            && !matches!(text(subscription, "status"), "canceled" | "incomplete_expired")
    };
    let running: Vec<Value> =
        space.store.newest_first("subscription").filter(is_running).cloned().collect();
    for subscription in running {
        cycle::cancel(space, &subscription, "cancellation_requested");
    }
}
