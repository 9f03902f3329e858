//! How an invoice becomes money: finalizing, charging, charging again, and giving up.

use serde_json::{Value, json};

use super::super::{customers, payment_intents, payment_methods, subscriptions};
use super::{default_method, is_owed, lines};
use crate::agenda::Due;
use crate::calendar::DAY_S;
use crate::currency;
use crate::error::{Answer, ApiError};
use crate::object::{flag, int, text};
use crate::space::Space;

/// Days from a failed attempt to the next one, as often as it is tried again.
const RETRY_DAYS: &[i64] = &[3, 5, 7];

/// Makes a draft final: it gets its number, the customer's balance is settled with it, and it is open or paid.
pub(crate) fn finalize(space: &mut Space, mut invoice: Value) -> Answer {
    lines::total(space, &mut invoice)?;
    let customer_id = text(&invoice, "customer").to_owned();
    let mut customer = space.named("customer", &customer_id, "customer")?;
    let code = text(&invoice, "currency").to_owned();
    let owed = int(&invoice, "total") + int(&invoice, "starting_balance");
    // Less than can be charged goes on the next invoice, by way of the customer's balance.
    let is_carried = owed < currency::minimum(&code);
    let ending = if is_carried { owed } else { 0 };
    if !is_carried {
        currency::check_amount(owed, &code)?;
    }
    if invoice["number"].is_null() {
        let sequence = int(&customer, "next_invoice_sequence");
        invoice["number"] = json!(format!("{}-{sequence:04}", text(&customer, "invoice_prefix")));
        customer["next_invoice_sequence"] = json!(sequence + 1);
        space.store.put(customer);
    }
    let moved = ending - int(&invoice, "starting_balance");
    if moved != 0 {
        let id = text(&invoice, "id").to_owned();
        customers::move_balance(
            space,
            &customer_id,
            moved,
            &code,
            "applied_to_invoice",
            Some(&id),
        )?;
    }
    invoice["amount_due"] = json!(if is_carried { 0 } else { owed });
    invoice["amount_remaining"] = invoice["amount_due"].clone();
    invoice["ending_balance"] = json!(ending);
    invoice["automatically_finalizes_at"] = Value::Null;
    invoice["effective_at"] = json!(space.now);
    invoice["status_transitions"]["finalized_at"] = json!(space.now);
    invoice["status"] = json!("open");
    let page = format!("{}/_control/invoice/{}", space.base_url, text(&invoice, "id"));
    invoice["invoice_pdf"] = json!(format!("{page}/pdf"));
    invoice["hosted_invoice_url"] = json!(page);
    if !is_carried {
        let intent = payment_intents::draft_for_invoice(space, &invoice, owed)?;
        invoice["_intent"] = intent["id"].clone();
    }
    space.create(&invoice, "invoice.finalized");
    if is_carried {
        return Ok(settle(space, invoice, 0));
    }
    if flag(&invoice, "auto_advance")
        && text(&invoice, "collection_method") == "charge_automatically"
    {
        space.agenda.note(space.now, Due::CollectInvoice(text(&invoice, "id").to_owned()));
    }
    Ok(invoice)
}

/// Charges what is left of an invoice, to its default where no method is given.
///
/// # Errors
/// 400 without a payment method; 402 when the bank refuses or the customer has to authenticate.
pub(crate) fn pay(space: &mut Space, invoice: &Value, method: Option<&Value>) -> Answer {
    let id = text(invoice, "id").to_owned();
    let method = match method {
        Some(method) => method.clone(),
        None => {
            let default = default_method(space, invoice);
            if default.is_empty() {
                let message = "There is no `default_payment_method` set on this Customer or Invoice. Please set \
                               either, or pass a `payment_method`.";
                return Err(ApiError::state("resource_missing", message));
            }
            space.at("payment_method", &default)?
        }
    };
    payment_methods::check_usable(&method)?;
    let mut intent = space.at("payment_intent", text(invoice, "_intent"))?;
    if text(&intent, "status") == "processing" {
        let message = "A payment of this invoice is being processed.";
        return Err(ApiError::state("invoice_payment_pending", message));
    }
    let attempted = payment_intents::charge_invoice(space, &mut intent, text(&method, "id"));
    let invoice = space.at("invoice", &id)?;
    attempted?;
    if text(&intent, "status") == "requires_action" {
        let message = "This payment requires additional user action before it can be completed successfully. Payment \
                       can be completed using the PaymentIntent associated with the invoice.";
        return Err(ApiError::card("invoice_payment_intent_requires_action", message)
            .with("payment_intent", intent));
    }
    Ok(invoice)
}

/// The intent of an invoice has succeeded.
pub(crate) fn paid_by(space: &mut Space, intent: &Value) {
    let Ok(mut invoice) = space.at("invoice", text(intent, "_invoice")) else { return };
    invoice["_charge"] = intent["latest_charge"].clone();
    invoice["attempt_count"] = json!(int(&invoice, "attempt_count") + 1);
    invoice["attempted"] = json!(true);
    let amount = int(intent, "amount_received");
    settle(space, invoice, amount);
}

/// The customer has paid in another way.
pub(crate) fn paid_outside(space: &mut Space, mut invoice: Value) -> Value {
    invoice["_is_paid_outside"] = json!(true);
    cancel_intent(space, &invoice, "");
    let amount = int(&invoice, "amount_due");
    settle(space, invoice, amount)
}

/// The intent of an invoice was refused: it is tried again in some days.
pub(crate) fn failed_by(space: &mut Space, intent: &Value) {
    let Ok(mut invoice) = space.at("invoice", text(intent, "_invoice")) else { return };
    let attempts = note_attempt(space, &mut invoice);
    space.create(&invoice, "invoice.payment_failed");
    subscriptions::cycle::invoice_failed(space, &invoice, attempts > RETRY_DAYS.len());
}

/// The intent of an invoice waits for the customer.
pub(crate) fn waits_for(space: &mut Space, intent: &Value) {
    let Ok(mut invoice) = space.at("invoice", text(intent, "_invoice")) else { return };
    note_attempt(space, &mut invoice);
    space.create(&invoice, "invoice.payment_action_required");
    subscriptions::cycle::invoice_failed(space, &invoice, false);
}

/// Counts an attempt, and notes when the next one is.
fn note_attempt(space: &mut Space, invoice: &mut Value) -> usize {
    let attempts = int(invoice, "attempt_count") + 1;
    invoice["attempt_count"] = json!(attempts);
    invoice["attempted"] = json!(true);
    invoice["next_payment_attempt"] = Value::Null;
    let attempts = usize::try_from(attempts).unwrap_or(usize::MAX);
    let is_automatic = flag(invoice, "auto_advance")
        && text(invoice, "collection_method") == "charge_automatically";
    if let (true, Some(days)) = (is_automatic, RETRY_DAYS.get(attempts - 1)) {
        let at = space.now.saturating_add(days * DAY_S);
        invoice["next_payment_attempt"] = json!(at);
        space.agenda.note(at, Due::CollectInvoice(text(invoice, "id").to_owned()));
    }
    attempts
}

/// Marks an invoice as paid and tells so.
fn settle(space: &mut Space, mut invoice: Value, amount: i64) -> Value {
    invoice["amount_paid"] = json!(amount);
    invoice["amount_remaining"] = json!(0);
    invoice["attempted"] = json!(true);
    invoice["auto_advance"] = json!(false);
    invoice["next_payment_attempt"] = Value::Null;
    invoice["status"] = json!("paid");
    invoice["status_transitions"]["paid_at"] = json!(space.now);
    space.create(&invoice, "invoice.paid");
    space.emit("invoice.payment_succeeded", &invoice);
    subscriptions::cycle::invoice_paid(space, &invoice);
    invoice
}

/// Voids an invoice; what it took of the customer's balance comes back.
pub(crate) fn void(space: &mut Space, mut invoice: Value) -> Answer {
    let (customer, code) =
        (text(&invoice, "customer").to_owned(), text(&invoice, "currency").to_owned());
    let back = int(&invoice, "starting_balance") - int(&invoice, "ending_balance");
    if back != 0 {
        let id = text(&invoice, "id").to_owned();
        customers::move_balance(
            space,
            &customer,
            back,
            &code,
            "unapplied_from_invoice",
            Some(&id),
        )?;
    }
    cancel_intent(space, &invoice, "void_invoice");
    invoice["auto_advance"] = json!(false);
    invoice["next_payment_attempt"] = Value::Null;
    invoice["status"] = json!("void");
    invoice["status_transitions"]["voided_at"] = json!(space.now);
    space.create(&invoice, "invoice.voided");
    Ok(invoice)
}

fn cancel_intent(space: &mut Space, invoice: &Value, reason: &str) {
    if let Ok(mut intent) = space.at("payment_intent", text(invoice, "_intent"))
        && text(&intent, "status").starts_with("requires_")
    {
        payment_intents::end(space, &mut intent, reason);
    }
}

/// The hour of a draft that advances by itself has passed.
pub(crate) fn finalize_due(space: &mut Space, id: &str) {
    let Ok(invoice) = space.at("invoice", id) else { return };
    if text(&invoice, "status") != "draft" || !flag(&invoice, "auto_advance") {
        return;
    }
    if let Err(refusal) = finalize(space, invoice.clone()) {
        let mut failed = invoice;
        failed["last_finalization_error"] = json!(refusal.fields);
        space.create(&failed, "invoice.finalization_failed");
    }
}

/// The time has come to charge an invoice by itself.
pub(crate) fn collect_due(space: &mut Space, id: &str) {
    let Ok(invoice) = space.at("invoice", id) else { return };
    if !is_owed(&invoice) || !flag(&invoice, "auto_advance") {
        return;
    }
    if default_method(space, &invoice).is_empty() {
        let mut invoice = invoice;
        let attempts = note_attempt(space, &mut invoice);
        space.create(&invoice, "invoice.payment_failed");
        subscriptions::cycle::invoice_failed(space, &invoice, attempts > RETRY_DAYS.len());
        return;
    }
    // The refusal is in the invoice and its intent.
    drop(pay(space, &invoice, None));
}
