//! What stands on an invoice, and what it adds up to.

use serde_json::{Value, json};

use super::editable;
use crate::error::{Answer, ApiError};
use crate::object::{flag, int, text};
use crate::space::Space;

/// Most lines of an invoice.
const LINES_MAX: usize = 250;

/// Checks that an item can stand on an invoice.
pub(crate) fn check_item(invoice: &Value, item: &Value) -> Result<(), ApiError> {
    if item["currency"] != invoice["currency"] {
        let message = format!(
            "The currency of the item ({}) is not that of the invoice ({}).",
            text(item, "currency"),
            text(invoice, "currency")
        );
        return Err(ApiError::invalid("currency", message));
    }
    if !item["invoice"].is_null() {
        return Err(ApiError::invalid("invoice_item", "The item stands on an invoice already."));
    }
    check_count(invoice, 1)
}

/// Checks that so many more lines fit.
pub(super) fn check_count(invoice: &Value, more: usize) -> Result<(), ApiError> {
    if invoice["_lines"].as_array().map_or(0, Vec::len) + more <= LINES_MAX {
        return Ok(());
    }
    let message = format!("An invoice can have at most {LINES_MAX} invoice items.");
    Err(ApiError::state("invoice_items_too_many", message))
}

/// Puts items on a draft.
pub(crate) fn add_items(space: &mut Space, mut invoice: Value, items: &[Value]) -> Answer {
    for item in items {
        let mut item = item.clone();
        item["invoice"] = invoice["id"].clone();
        let line = line(space, &item);
        push(&mut invoice, line);
        space.store.put(item);
    }
    total(space, &mut invoice)?;
    space.change(&invoice, "invoice.updated");
    Ok(invoice)
}

/// Puts a line on an invoice that is no item, such as a subscription's.
pub(crate) fn add_line(space: &Space, invoice: &mut Value, line: Value) -> Result<(), ApiError> {
    check_count(invoice, 1)?;
    push(invoice, line);
    total(space, invoice)
}

fn push(invoice: &mut Value, mut line: Value) {
    line["invoice"] = invoice["id"].clone();
    if let Some(lines) = invoice["_lines"].as_array_mut() {
        lines.push(line);
    }
}

/// Takes the items of the customer that wait for an invoice of this currency.
pub(crate) fn include_pending(space: &mut Space, invoice: Value) -> Answer {
    let is_pending = |item: &&Value| {
        item["invoice"].is_null()
            && item["customer"] == invoice["customer"]
            && item["currency"] == invoice["currency"]
    };
    let mut pending: Vec<Value> =
        space.store.newest_first("invoiceitem").filter(is_pending).cloned().collect();
    pending.reverse();
    for item in &mut pending {
        item["_was_pending"] = json!(true);
    }
    let room = LINES_MAX - invoice["_lines"].as_array().map_or(0, Vec::len);
    pending.truncate(room);
    if pending.is_empty() {
        return Ok(invoice);
    }
    add_items(space, invoice, &pending)
}

/// A line that shows an item.
pub(crate) fn line(space: &mut Space, item: &Value) -> Value {
    json!({
        "id": space.id("il"), "object": "line_item", "amount": item["amount"], "currency": item["currency"],
        "description": item["description"], "discount_amounts": [], "discountable": item["discountable"],
        "discounts": [], "invoice": item["invoice"], "livemode": item["livemode"], "metadata": item["metadata"],
        "period": item["period"], "pretax_credit_amounts": [], "quantity": item["quantity"],
        "_price": item["_price"], "_unit_amount": item["_unit_amount"], "_item": item["id"],
        "_subscription": item["_subscription"], "_proration": item["proration"],
        "_subscription_item": item["_subscription_item"],
    })
}

/// Shows the items of a draft as they are now.
pub(crate) fn refresh_of(space: &mut Space, id: &str) -> Result<(), ApiError> {
    if id.is_empty() {
        return Ok(());
    }
    let mut invoice = editable(space, id, "id")?;
    if let Some(lines) = invoice["_lines"].as_array_mut() {
        for line in lines {
            if let Some(item) = space.store.get("invoiceitem", text(line, "_item")) {
                for name in [
                    "amount",
                    "description",
                    "quantity",
                    "metadata",
                    "discountable",
                    "_unit_amount",
                ] {
                    line[name] = item[name].clone();
                }
            }
        }
    }
    total(space, &mut invoice)?;
    space.change(&invoice, "invoice.updated");
    Ok(())
}

/// Takes an item off its draft.
pub(crate) fn drop_item(space: &mut Space, item: &Value) -> Result<(), ApiError> {
    let id = text(item, "invoice");
    if id.is_empty() {
        return Ok(());
    }
    let mut invoice = editable(space, id, "id")?;
    if let Some(lines) = invoice["_lines"].as_array_mut() {
        lines.retain(|line| line["_item"] != item["id"]);
    }
    total(space, &mut invoice)?;
    space.change(&invoice, "invoice.updated");
    Ok(())
}

/// Lets the items of a draft go that is deleted: those that had waited wait again, the others end with it.
pub(super) fn release(space: &mut Space, invoice: &Value) {
    for line in invoice["_lines"].as_array().into_iter().flatten() {
        let Ok(mut item) = space.at("invoiceitem", text(line, "_item")) else { continue };
        if flag(&item, "_was_pending") {
            item["invoice"] = Value::Null;
            space.store.put(item);
        } else {
            space.store.remove("invoiceitem", text(&item, "id"));
        }
    }
}

/// Adds a draft up, with what the customer's balance adds or takes.
pub(crate) fn total(space: &Space, invoice: &mut Value) -> Result<(), ApiError> {
    let mut sum = 0_i64;
    for line in invoice["_lines"].as_array().into_iter().flatten() {
        let more = sum.checked_add(int(line, "amount"));
        sum = more.ok_or_else(|| {
            ApiError::invalid("amount", "The invoice's total would be too large.")
        })?;
    }
    let balance = space.store.get("customer", text(invoice, "customer"));
    let balance = balance.map_or(0, |customer| int(customer, "balance"));
    for name in ["subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"] {
        invoice[name] = json!(sum);
    }
    let due = sum.saturating_add(balance).max(0);
    invoice["starting_balance"] = json!(balance);
    invoice["amount_due"] = json!(due);
    invoice["amount_remaining"] = json!(due);
    Ok(())
}
