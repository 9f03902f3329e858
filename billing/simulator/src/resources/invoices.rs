//! Invoices: `draft` → `open` → `paid`, `void` or `uncollectible`, and the endpoints that move them.
//!
//! What stands on an invoice is `lines`, how it becomes money is `collection`.

use serde_json::{Value, json};

use self::collection::{finalize, pay};
use super::payment_methods;
use crate::agenda::Due;
use crate::currency;
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{flag, int, text};
use crate::params::Params;
use crate::routes::{Call, Route, delete, get, list, post};
use crate::space::Space;

pub(crate) mod collection;
mod lines;

pub(crate) use lines::{
    add_items, add_line, check_item, drop_item, include_pending, line, refresh_of,
};

/// How long an invoice that advances by itself stays a draft, in seconds.
pub(crate) const DRAFT_S: i64 = 3600;
/// When a bill that was sent is due where nothing else was said, in days.
const DUE_DAYS: i64 = 30;

const CREATE: &str = "customer! auto_advance:flag collection_method currency days_until_due:int due_date:int \
                      description metadata:hash footer custom_fields:any default_payment_method \
                      pending_invoice_items_behavior subscription statement_descriptor payment_settings:hash \
                      effective_at:int number rendering:hash automatic_tax:hash";
const UPDATE: &str = "auto_advance:flag collection_method days_until_due:int due_date:int description metadata:hash \
                      footer custom_fields:any default_payment_method statement_descriptor payment_settings:hash \
                      effective_at:int number rendering:hash";

pub(crate) const ROUTES: &[Route] = &[
    post("invoices", CREATE, create),
    list("invoices", "customer status subscription collection_method due_date:any", all),
    get("invoices/{id}", "", retrieve),
    post("invoices/{id}", UPDATE, update),
    delete("invoices/{id}", remove),
    list("invoices/{id}/lines", "", lines_of),
    post("invoices/{id}/add_lines", "lines:list! invoice_metadata:hash", add_lines),
    post("invoices/{id}/finalize", "auto_advance:flag", finalize_now),
    post(
        "invoices/{id}/pay",
        "payment_method source off_session:flag paid_out_of_band:flag forgive:flag mandate",
        pay_now,
    ),
    post("invoices/{id}/send", "", send),
    post("invoices/{id}/void", "", void),
    post("invoices/{id}/mark_uncollectible", "", mark_uncollectible),
];

fn create(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    let behaviour = params.text("pending_invoice_items_behavior").unwrap_or("exclude");
    if !matches!(behaviour, "exclude" | "include") {
        let message = "Invalid pending_invoice_items_behavior: must be one of exclude, include";
        return Err(ApiError::invalid("pending_invoice_items_behavior", message));
    }
    let customer = params.text("customer").unwrap_or_default();
    let mut invoice = draft(space, customer, params)?;
    if let Some(subscription) = params.text("subscription") {
        invoice["_subscription"] =
            space.named("subscription", subscription, "subscription")?["id"].clone();
    }
    check_due(params, text(&invoice, "collection_method"))?;
    space.create(&invoice, "invoice.created");
    if behaviour == "include" {
        invoice = lines::include_pending(space, invoice)?;
    }
    advance_later(space, &invoice);
    Ok(invoice)
}

/// A new invoice without lines, not stored.
pub(crate) fn draft(space: &mut Space, customer: &str, params: &Params) -> Answer {
    let owner = space.named("customer", customer, "customer")?;
    let method = params.text("collection_method").unwrap_or("charge_automatically");
    if !matches!(method, "charge_automatically" | "send_invoice") {
        let message =
            "Invalid collection_method: must be one of charge_automatically, send_invoice";
        return Err(ApiError::invalid("collection_method", message));
    }
    let code = match (params.text("currency"), text(&owner, "currency")) {
        (Some(code), _) => currency::known(code)?,
        (None, "") => "usd".to_owned(),
        (None, code) => code.to_owned(),
    };
    let due_days = params.int("days_until_due").unwrap_or(DUE_DAYS);
    let due = params
        .int("due_date")
        .unwrap_or_else(|| space.now.saturating_add(due_days.saturating_mul(86_400)));
    let mut invoice = json!({
        "id": space.id("in"), "object": "invoice", "account_country": "US",
        "account_name": "Tollgate's simulator", "account_tax_ids": null, "amount_due": 0, "amount_overpaid": 0,
        "amount_paid": 0, "amount_remaining": 0, "amount_shipping": 0, "application": null, "attempt_count": 0,
        "attempted": false, "auto_advance": false,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null, "status": null },
        "automatically_finalizes_at": null, "billing_reason": "manual", "collection_method": method,
        "created": space.now, "currency": code, "custom_fields": null, "customer": customer,
        "customer_address": owner["address"], "customer_email": owner["email"], "customer_name": owner["name"],
        "customer_phone": owner["phone"], "customer_shipping": owner["shipping"], "customer_tax_exempt": "none",
        "customer_tax_ids": [], "default_payment_method": null, "default_source": null, "default_tax_rates": [],
        "description": null, "discounts": [],
        "due_date": if method == "send_invoice" { json!(due) } else { Value::Null },
        "effective_at": null, "ending_balance": null, "footer": null, "from_invoice": null,
        "hosted_invoice_url": null, "invoice_pdf": null, "issuer": { "type": "self" },
        "last_finalization_error": null, "latest_revision": null, "livemode": space.mode.is_live(),
        "metadata": {}, "next_payment_attempt": null, "number": null, "on_behalf_of": null,
        "payment_settings": { "default_mandate": null, "payment_method_options": null, "payment_method_types": null },
        "period_end": space.now, "period_start": space.now, "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0, "receipt_number": null, "rendering": null, "shipping_cost": null,
        "shipping_details": null, "starting_balance": owner["balance"], "statement_descriptor": null,
        "status": "draft",
        "status_transitions": { "finalized_at": null, "marked_uncollectible_at": null, "paid_at": null, "voided_at": null },
        "subtotal": 0, "subtotal_excluding_tax": 0, "test_clock": null, "total": 0, "total_discount_amounts": [],
        "total_excluding_tax": 0, "total_pretax_credit_amounts": [], "webhooks_delivered_at": space.now,
        "_lines": [], "_subscription": null, "_quote": null, "_intent": null, "_charge": null, "_is_paid_outside": false,
    });
    apply(space, &mut invoice, params)?;
    lines::total(space, &mut invoice)?;
    Ok(invoice)
}

fn apply(space: &Space, invoice: &mut Value, params: &Params) -> Result<(), ApiError> {
    if let Some(method) = params.text("default_payment_method") {
        let found = space.named("payment_method", method, "default_payment_method")?;
        if found["customer"] != invoice["customer"] {
            let message = "The default payment method must be attached to the invoice's customer.";
            return Err(ApiError::invalid("default_payment_method", message));
        }
    }
    params.copy(
        invoice,
        "auto_advance description footer custom_fields default_payment_method statement_descriptor effective_at number",
    );
    params.merge_metadata(invoice);
    Ok(())
}

fn check_due(params: &Params, method: &str) -> Result<(), ApiError> {
    let names = ["days_until_due", "due_date"];
    match names.iter().find(|name| params.get(name).is_some()) {
        Some(name) if method != "send_invoice" => {
            let message = "You can only set days_until_due or due_date if `collection_method` is 'send_invoice'.";
            Err(ApiError::invalid(name, message))
        }
        None if method == "send_invoice" && params.get("collection_method").is_some() => {
            let message = "If invoice `collection_method` is 'send_invoice', you must pass `due_date` or `days_until_due`.";
            Err(ApiError::invalid("days_until_due", message))
        }
        Some(_) | None => Ok(()),
    }
}

/// A draft that advances by itself is finalized in an hour.
pub(crate) fn advance_later(space: &mut Space, invoice: &Value) {
    if !flag(invoice, "auto_advance") {
        return;
    }
    let at = space.now.saturating_add(DRAFT_S);
    let mut invoice = invoice.clone();
    invoice["automatically_finalizes_at"] = json!(at);
    space.agenda.note(at, Due::FinalizeInvoice(text(&invoice, "id").to_owned()));
    space.store.put(invoice);
}

/// An invoice that is a draft.
pub(crate) fn editable(space: &Space, id: &str, param: &str) -> Answer {
    let invoice = space.named("invoice", id, param)?;
    if text(&invoice, "status") == "draft" {
        return Ok(invoice);
    }
    let message = format!(
        "Invoice {id} is {}: only a draft can be changed in this way.",
        text(&invoice, "status")
    );
    Err(ApiError::state("invoice_not_editable", message))
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    let (customer, status) = (params.text("customer"), params.text("status"));
    let (subscription, method) = (params.text("subscription"), params.text("collection_method"));
    lists::page(space, params, "invoice", "/v1/invoices", |invoice| {
        customer.is_none_or(|id| text(invoice, "customer") == id)
            && status.is_none_or(|status| text(invoice, "status") == status)
            && subscription.is_none_or(|id| text(invoice, "_subscription") == id)
            && method.is_none_or(|method| text(invoice, "collection_method") == method)
    })
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("invoice", call.id())
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut invoice = space.at("invoice", call.id())?;
    let params = &call.params;
    if text(&invoice, "status") != "draft" {
        let allowed =
            ["auto_advance", "metadata", "default_payment_method", "payment_settings", "expand"];
        let refused =
            UPDATE.split_whitespace().map(|word| word.split(':').next().unwrap_or_default());
        if let Some(name) =
            refused.filter(|name| !allowed.contains(name)).find(|name| params.get(name).is_some())
        {
            let message = format!("Finalized invoices can't be updated in this way: {name}");
            return Err(ApiError::state("invoice_not_editable", message).with("param", name));
        }
    }
    apply(space, &mut invoice, params)?;
    params.copy(&mut invoice, "collection_method due_date");
    space.change(&invoice, "invoice.updated");
    advance_later(space, &invoice);
    Ok(invoice)
}

fn remove(space: &mut Space, call: &Call) -> Answer {
    let invoice = editable(space, call.id(), "id")?;
    lines::release(space, &invoice);
    space.store.remove("invoice", call.id());
    space.emit("invoice.deleted", &invoice);
    Ok(json!({ "id": call.id(), "object": "invoice", "deleted": true }))
}

fn lines_of(space: &mut Space, call: &Call) -> Answer {
    let invoice = space.at("invoice", call.id())?;
    let url = format!("/v1/invoices/{}/lines", call.id());
    let all: Vec<&Value> = invoice["_lines"].as_array().into_iter().flatten().collect();
    lists::cut(space, &call.params, "line_item", &url, &all)
}

fn add_lines(space: &mut Space, call: &Call) -> Answer {
    let mut invoice = editable(space, call.id(), "id")?;
    let customer = text(&invoice, "customer").to_owned();
    let mut items = Vec::new();
    for described in call.params.list("lines").unwrap_or_default() {
        let mut described = described.clone();
        if described.get("invoice_item").is_none() {
            described["currency"] = invoice["currency"].clone();
            for name in ["amount", "quantity", "unit_amount"] {
                if described.get(name).is_some() {
                    described[name] = json!(crate::params::nested_int(
                        &described[name],
                        &format!("lines[{name}]")
                    )?);
                }
            }
            items.push(super::invoiceitems::draft(space, &Params::of(described), &customer)?);
        } else {
            items.push(space.named(
                "invoiceitem",
                text(&described, "invoice_item"),
                "lines[invoice_item]",
            )?);
        }
    }
    for item in &items {
        lines::check_item(&invoice, item)?;
    }
    lines::check_count(&invoice, items.len())?;
    if let Some(metadata) = call.params.get("invoice_metadata") {
        Params::of(json!({ "metadata": metadata })).merge_metadata(&mut invoice);
    }
    lines::add_items(space, invoice, &items)
}

fn finalize_now(space: &mut Space, call: &Call) -> Answer {
    let mut invoice = editable(space, call.id(), "id")?;
    if let Some(advances) = call.params.flag("auto_advance") {
        invoice["auto_advance"] = json!(advances);
    }
    finalize(space, invoice)
}

fn pay_now(space: &mut Space, call: &Call) -> Answer {
    let mut invoice = space.at("invoice", call.id())?;
    if !matches!(text(&invoice, "status"), "draft" | "open" | "uncollectible") {
        let message = format!("Invoice is already {}", text(&invoice, "status"));
        return Err(ApiError::state("invoice_already_paid", message));
    }
    let method = match call.params.text("payment_method").or_else(|| call.params.text("source")) {
        Some(id) => Some(payment_methods::resolve(space, id, "payment_method")?),
        None => None,
    };
    if text(&invoice, "status") == "draft" {
        invoice["auto_advance"] = json!(false);
        invoice = finalize(space, invoice)?;
    }
    if text(&invoice, "status") == "paid" {
        return Ok(invoice);
    }
    if call.params.flag("paid_out_of_band") == Some(true) {
        return Ok(collection::paid_outside(space, invoice));
    }
    pay(space, &invoice, method.as_ref())
}

fn send(space: &mut Space, call: &Call) -> Answer {
    let mut invoice = space.at("invoice", call.id())?;
    if text(&invoice, "collection_method") != "send_invoice" {
        let message =
            "You can only manually send an invoice if its collection method is 'send_invoice'.";
        return Err(ApiError::state("invoice_not_sendable", message));
    }
    if text(&invoice, "status") == "draft" {
        invoice = finalize(space, invoice)?;
    }
    space.emit("invoice.sent", &invoice);
    Ok(invoice)
}

fn void(space: &mut Space, call: &Call) -> Answer {
    let invoice = unpaid(space, call.id(), "void")?;
    collection::void(space, invoice)
}

fn mark_uncollectible(space: &mut Space, call: &Call) -> Answer {
    let mut invoice = unpaid(space, call.id(), "mark as uncollectible")?;
    invoice["status"] = json!("uncollectible");
    invoice["auto_advance"] = json!(false);
    invoice["status_transitions"]["marked_uncollectible_at"] = json!(space.now);
    space.create(&invoice, "invoice.marked_uncollectible");
    Ok(invoice)
}

fn unpaid(space: &Space, id: &str, what: &str) -> Answer {
    let invoice = space.at("invoice", id)?;
    let status = text(&invoice, "status");
    if status == "open" || (status == "uncollectible" && what == "void") {
        return Ok(invoice);
    }
    let message = format!("You can only {what} an open invoice, and this one is {status}.");
    Err(ApiError::state("invoice_not_open", message))
}

/// Whether anything is left to pay.
pub(crate) fn is_owed(invoice: &Value) -> bool {
    matches!(text(invoice, "status"), "open" | "uncollectible")
        && int(invoice, "amount_remaining") > 0
}

/// The payment method that an invoice is charged to: its own, its subscription's, its customer's.
pub(crate) fn default_method(space: &Space, invoice: &Value) -> String {
    let subscription = space.store.get("subscription", text(invoice, "_subscription"));
    let customer = space.store.get("customer", text(invoice, "customer"));
    let candidates = [
        text(invoice, "default_payment_method"),
        subscription.map_or("", |subscription| text(subscription, "default_payment_method")),
        customer.map_or("", |customer| text(customer, "invoice_settings.default_payment_method")),
        customer.map_or("", |customer| text(customer, "default_source")),
    ];
    candidates.into_iter().find(|id| !id.is_empty()).unwrap_or_default().to_owned()
}
