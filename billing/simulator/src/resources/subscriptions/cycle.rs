//! What time and payments do to a subscription: periods, invoices, arrears, the end.

use serde_json::{Value, json};

use super::super::{customers, invoices, prices};
use super::{INCOMPLETE_S, interval_of};
use crate::agenda::Due;
use crate::calendar::DAY_S;
use crate::error::{Answer, ApiError};
use crate::object::{flag, int, text};
use crate::params::Params;
use crate::settings::AfterFailures;
use crate::space::Space;

/// How long before its end a trial is warned of, in seconds.
const TRIAL_WARNING_S: i64 = 3 * DAY_S;

/// What a period of a subscription costs.
pub(crate) fn price_of_period(subscription: &Value) -> Result<i64, ApiError> {
    let mut sum = 0_i64;
    for item in subscription["items"]["data"].as_array().into_iter().flatten() {
        let cost = prices::total(&item["price"], int(item, "quantity"))?;
        let more = sum.checked_add(cost);
        sum = more.ok_or_else(|| ApiError::invalid("items", "The amount would be too large."))?;
    }
    Ok(sum)
}

/// Begins the first period: its invoice, and its payment where it is collected and `is_charged`.
///
/// # Errors
/// The bank's refusal; the subscription is incomplete then.
pub(crate) fn begin(space: &mut Space, id: &str, is_charged: bool) -> Result<(), ApiError> {
    let subscription = space.at("subscription", id)?;
    customers::note_currency(
        space,
        text(&subscription, "customer"),
        text(&subscription, "currency"),
    );
    await_renewal(space, &subscription);
    await_trial_end(space, &subscription);
    let invoice = invoice_period(space, &subscription, "subscription_create")?;
    if text(&subscription, "collection_method") == "send_invoice" {
        invoices::advance_later(space, &invoice);
        return Ok(());
    }
    if text(&subscription, "status") == "incomplete" {
        space
            .agenda
            .note(space.now.saturating_add(INCOMPLETE_S), Due::ExpireSubscription(id.to_owned()));
    }
    let invoice = invoices::collection::finalize(space, invoice)?;
    if is_charged && invoices::is_owed(&invoice) {
        invoices::collection::pay(space, &invoice, None)?;
    }
    Ok(())
}

/// Begins the first period with an invoice that stays a draft for an hour.
pub(crate) fn begin_as_draft(space: &mut Space, id: &str) -> Answer {
    let subscription = space.at("subscription", id)?;
    customers::note_currency(
        space,
        text(&subscription, "customer"),
        text(&subscription, "currency"),
    );
    await_renewal(space, &subscription);
    let invoice = invoice_period(space, &subscription, "subscription_create")?;
    invoices::advance_later(space, &invoice);
    space.at("subscription", id)
}

/// Takes a subscription and its invoice away, as if it had never been.
pub(crate) fn undo(space: &mut Space, id: &str) {
    if let Ok(subscription) = space.at("subscription", id) {
        if let Ok(invoice) = space.at("invoice", text(&subscription, "latest_invoice")) {
            // Voiding an open invoice ends its intent.
            drop(invoices::collection::void(space, invoice));
        }
        space.store.remove("subscription", id);
    }
}

/// Makes the invoice of the period that has begun, as a draft.
fn invoice_period(space: &mut Space, subscription: &Value, reason: &str) -> Answer {
    let is_trial = text(subscription, "status") == "trialing";
    let items = subscription["items"]["data"].as_array().cloned().unwrap_or_default();
    let mut invoice = draft(space, subscription, reason)?;
    for item in &items {
        let amount =
            if is_trial { 0 } else { prices::total(&item["price"], int(item, "quantity"))? };
        let line = line_of(space, subscription, item, amount, is_trial);
        invoices::add_line(space, &mut invoice, line)?;
    }
    space.create(&invoice, "invoice.created");
    let invoice = invoices::include_pending(space, invoice)?;
    let mut subscription = subscription.clone();
    subscription["latest_invoice"] = invoice["id"].clone();
    space.change(&subscription, "customer.subscription.updated");
    Ok(invoice)
}

fn draft(space: &mut Space, subscription: &Value, reason: &str) -> Answer {
    let mut params = json!({
        "currency": subscription["currency"], "collection_method": subscription["collection_method"],
        "auto_advance": true,
    });
    if let Some(days) = subscription["days_until_due"].as_i64() {
        params["days_until_due"] = json!(days);
    }
    let mut invoice = invoices::draft(space, text(subscription, "customer"), &Params::of(params))?;
    invoice["billing_reason"] = json!(reason);
    invoice["_subscription"] = subscription["id"].clone();
    invoice["_subscription_metadata"] = subscription["metadata"].clone();
    Ok(invoice)
}

fn line_of(
    space: &mut Space,
    subscription: &Value,
    item: &Value,
    amount: i64,
    is_trial: bool,
) -> Value {
    let product = space.store.get("product", text(item, "price.product"));
    let name = product.map_or("", |product| text(product, "name")).to_owned();
    let quantity = int(item, "quantity");
    let description =
        if is_trial { format!("Trial period for {name}") } else { format!("{quantity} × {name}") };
    let described = json!({
        "amount": amount, "currency": subscription["currency"], "description": description,
        "discountable": true, "livemode": subscription["livemode"], "metadata": item["metadata"],
        "period": { "start": subscription["_period_start"], "end": subscription["_period_end"] },
        "quantity": quantity, "id": null, "_price": item["price"], "_unit_amount": item["price"]["unit_amount"],
        "_subscription": subscription["id"], "proration": false, "_subscription_item": item["id"],
    });
    invoices::line(space, &described)
}

/// Puts the customer's pending items on an invoice of their own, which is collected.
pub(crate) fn invoice_pending(space: &mut Space, subscription: &Value) -> Result<(), ApiError> {
    let invoice = draft(space, subscription, "subscription_update")?;
    space.create(&invoice, "invoice.created");
    let invoice = invoices::include_pending(space, invoice)?;
    if invoice["_lines"].as_array().is_some_and(Vec::is_empty) {
        space.store.remove("invoice", text(&invoice, "id"));
        return Ok(());
    }
    let mut subscription = space.at("subscription", text(subscription, "id"))?;
    subscription["latest_invoice"] = invoice["id"].clone();
    space.store.put(subscription);
    invoices::collection::finalize(space, invoice)?;
    Ok(())
}

fn await_renewal(space: &mut Space, subscription: &Value) {
    let due = Due::RenewSubscription(text(subscription, "id").to_owned());
    space.agenda.note(int(subscription, "_period_end"), due);
}

/// Notes when to warn of a trial's end; a trial shorter than the warning's time is warned of at once.
fn await_trial_end(space: &mut Space, subscription: &Value) {
    let Some(end) = subscription["trial_end"].as_i64() else { return };
    let id = text(subscription, "id");
    if end - TRIAL_WARNING_S <= space.now {
        warn_of_trial_end(space, id);
    } else {
        space.agenda.note(end - TRIAL_WARNING_S, Due::WarnOfTrialEnd(id.to_owned()));
    }
}

/// Tells that a trial, if it still runs, ends soon.
pub(crate) fn warn_of_trial_end(space: &mut Space, id: &str) {
    if let Ok(subscription) = space.at("subscription", id)
        && text(&subscription, "status") == "trialing"
    {
        space.emit("customer.subscription.trial_will_end", &subscription);
    }
}

/// A period has ended: the subscription ends with it, or begins the next one.
pub(crate) fn renew(space: &mut Space, id: &str) {
    let Ok(mut subscription) = space.at("subscription", id) else { return };
    let is_running =
        matches!(text(&subscription, "status"), "active" | "trialing" | "past_due" | "unpaid");
    // A period that was begun anew meanwhile ends later.
    if !is_running || space.now < int(&subscription, "_period_end") {
        return;
    }
    if flag(&subscription, "cancel_at_period_end") {
        cancel(space, &subscription, "cancellation_requested");
        return;
    }
    if text(&subscription, "status") == "trialing" {
        end_trial(space, id);
        return;
    }
    let anchor = int(&subscription, "billing_cycle_anchor");
    let Ok(interval) = interval_of(&subscription["items"]["data"][0]) else { return };
    let count = int(&subscription, "_period_count") + 1;
    subscription["_period_count"] = json!(count);
    subscription["_period_start"] = subscription["_period_end"].clone();
    subscription["_period_end"] = json!(interval.after(anchor, count));
    space.store.put(subscription.clone());
    await_renewal(space, &subscription);
    bill(space, &subscription, "subscription_cycle");
}

/// Begins a period at this moment, and bills it.
pub(crate) fn restart(space: &mut Space, subscription: &Value) -> Result<(), ApiError> {
    let mut subscription = subscription.clone();
    let interval = interval_of(&subscription["items"]["data"][0])?;
    subscription["billing_cycle_anchor"] = json!(space.now);
    subscription["_period_count"] = json!(1);
    subscription["_period_start"] = json!(space.now);
    subscription["_period_end"] = json!(interval.after(space.now, 1));
    space.store.put(subscription.clone());
    await_renewal(space, &subscription);
    let invoice = invoice_period(space, &subscription, "subscription_update")?;
    invoices::collection::finalize(space, invoice)?;
    Ok(())
}

/// The trial is over: the first period that costs something begins, unless nobody can pay and that ends it.
pub(crate) fn end_trial(space: &mut Space, id: &str) {
    let Ok(mut subscription) = space.at("subscription", id) else { return };
    let without =
        text(&subscription, "trial_settings.end_behavior.missing_payment_method").to_owned();
    let can_pay = !invoices::default_method(
        space,
        &json!({ "customer": subscription["customer"], "default_payment_method": subscription["default_payment_method"] }),
    )
    .is_empty();
    if !can_pay && without == "cancel" {
        cancel(space, &subscription, "cancellation_requested");
        return;
    }
    if !can_pay && without == "pause" {
        subscription["status"] = json!("paused");
        space.change(&subscription, "customer.subscription.updated");
        space.emit("customer.subscription.paused", &subscription);
        return;
    }
    let Ok(interval) = interval_of(&subscription["items"]["data"][0]) else { return };
    subscription["trial_end"] = json!(space.now);
    subscription["billing_cycle_anchor"] = json!(space.now);
    subscription["_period_count"] = json!(1);
    subscription["_period_start"] = json!(space.now);
    subscription["_period_end"] = json!(interval.after(space.now, 1));
    subscription["status"] = json!("active");
    space.change(&subscription, "customer.subscription.updated");
    await_renewal(space, &subscription);
    bill(space, &subscription, "subscription_cycle");
}

/// Bills a period: in an hour, or as the pause says.
fn bill(space: &mut Space, subscription: &Value, reason: &str) {
    let Ok(mut invoice) = invoice_period(space, subscription, reason) else { return };
    let paused = text(subscription, "pause_collection.behavior").to_owned();
    match paused.as_str() {
        "void" | "mark_uncollectible" => {
            invoice["auto_advance"] = json!(false);
            let Ok(mut invoice) = invoices::collection::finalize(space, invoice) else { return };
            if paused == "void" {
                drop(invoices::collection::void(space, invoice));
            } else if invoices::is_owed(&invoice) {
                invoice["status"] = json!("uncollectible");
                space.create(&invoice, "invoice.marked_uncollectible");
            }
        }
        _ if paused == "keep_as_draft" || text(subscription, "status") == "unpaid" => {
            invoice["auto_advance"] = json!(false);
            space.store.put(invoice);
        }
        _ => invoices::advance_later(space, &invoice),
    }
}

/// An invoice was paid: who was in arrears with it is so no longer.
pub(crate) fn invoice_paid(space: &mut Space, invoice: &Value) {
    let Ok(mut subscription) = space.at("subscription", text(invoice, "_subscription")) else {
        return;
    };
    let is_behind = matches!(text(&subscription, "status"), "incomplete" | "past_due" | "unpaid");
    let owes_more = space.store.newest_first("invoice").any(|other| {
        other["_subscription"] == subscription["id"] && text(other, "status") == "open"
    });
    if is_behind && !owes_more {
        subscription["status"] = json!("active");
        space.change(&subscription, "customer.subscription.updated");
    }
}

/// An invoice was not paid; `is_last` when it is not tried again.
pub(crate) fn invoice_failed(space: &mut Space, invoice: &Value, is_last: bool) {
    let Ok(mut subscription) = space.at("subscription", text(invoice, "_subscription")) else {
        return;
    };
    let status = match (text(&subscription, "status"), is_last, space.after_failures) {
        ("active", false, _) | ("active" | "past_due", true, AfterFailures::PastDue) => "past_due",
        ("active" | "past_due", true, AfterFailures::Unpaid) => "unpaid",
        ("active" | "past_due", true, AfterFailures::Cancel) => {
            cancel(space, &subscription, "payment_failed");
            return;
        }
        _ => return,
    };
    subscription["status"] = json!(status);
    space.change(&subscription, "customer.subscription.updated");
}

/// Ends a subscription now; its drafts stay drafts.
pub(crate) fn cancel(space: &mut Space, subscription: &Value, reason: &str) -> Value {
    let mut subscription = subscription.clone();
    let drafts: Vec<Value> = space
        .store
        .newest_first("invoice")
        .filter(|invoice| {
            invoice["_subscription"] == subscription["id"] && text(invoice, "status") != "paid"
        })
        .cloned()
        .collect();
    for mut invoice in drafts {
        invoice["auto_advance"] = json!(false);
        invoice["next_payment_attempt"] = Value::Null;
        space.store.put(invoice);
    }
    if subscription["canceled_at"].is_null() {
        subscription["canceled_at"] = json!(space.now);
    }
    subscription["ended_at"] = json!(space.now);
    subscription["cancellation_details"]["reason"] = json!(reason);
    subscription["status"] = json!("canceled");
    space.create(&subscription, "customer.subscription.deleted");
    subscription
}

/// Notes that a subscription ends at a time.
pub(crate) fn cancel_later(space: &mut Space, id: &str, at: i64) {
    if let Ok(mut subscription) = space.at("subscription", id) {
        subscription["cancel_at"] = json!(at);
        subscription["canceled_at"] = json!(space.now);
        space.store.put(subscription);
        space.agenda.note(at, Due::CancelSubscription(id.to_owned()));
    }
}

/// The time to end a subscription has come, if it still is that time.
pub(crate) fn cancel_due(space: &mut Space, id: &str) {
    if let Ok(subscription) = space.at("subscription", id)
        && subscription["cancel_at"].as_i64().is_some_and(|at| at <= space.now)
        && text(&subscription, "status") != "canceled"
    {
        cancel(space, &subscription, "cancellation_requested");
    }
}

/// Nobody has paid the first invoice in time.
pub(crate) fn expire(space: &mut Space, id: &str) {
    let Ok(mut subscription) = space.at("subscription", id) else { return };
    if text(&subscription, "status") != "incomplete" {
        return;
    }
    if let Ok(invoice) = space.at("invoice", text(&subscription, "latest_invoice"))
        && text(&invoice, "status") == "open"
    {
        // The only refusal would be of a customer who is gone.
        drop(invoices::collection::void(space, invoice));
    }
    subscription["status"] = json!("incomplete_expired");
    subscription["ended_at"] = json!(space.now);
    space.change(&subscription, "customer.subscription.updated");
}

/// The pause of a subscription is over.
pub(crate) fn resume_collection(space: &mut Space, id: &str) {
    if let Ok(mut subscription) = space.at("subscription", id)
        && subscription["pause_collection"]["resumes_at"].as_i64().is_some_and(|at| at <= space.now)
    {
        subscription["pause_collection"] = Value::Null;
        space.change(&subscription, "customer.subscription.updated");
    }
}
