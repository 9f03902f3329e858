//! What objects look like under an API version.
//!
//! Stored objects hide (`_…`) what versions show differently. Before `2025-03-31` (basil) an invoice has `paid`,
//! `payment_intent`, `charge` and `subscription`, a payment its `invoice`, a line its `price`, and a subscription its period;
//! since then invoices have `parent` and `payments`, lines `pricing`, and periods belong to a subscription's items.

use serde_json::{Value, json};

use crate::object::{flag, text};

/// The first version of the new shape.
const BASIL: &str = "2025-03-31";
/// Lines that an invoice shows in itself; more are read from `/lines`.
const LINES_SHOWN: usize = 10;

/// Dresses an object, and those in it, for a version.
pub(crate) fn dress(value: &mut Value, version: &str) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields.iter_mut() {
                if name != "metadata" && name != "_lines" {
                    dress(inner, version);
                }
            }
            let is_legacy = version < BASIL;
            match text(value, "object") {
                "invoice" => invoice(value, version, is_legacy),
                "line_item" => line(value, is_legacy),
                "invoiceitem" => item(value, is_legacy),
                "payment_intent" | "charge" if is_legacy => {
                    value["invoice"] = value.get("_invoice").cloned().unwrap_or_default();
                }
                "subscription" => subscription(value, is_legacy),
                "quote" => value["line_items"] = embedded(value, "quotes", "line_items"),
                _ => {}
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| dress(item, version)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The first of an object's lines, as a list in it.
fn embedded(object: &Value, plural: &str, name: &str) -> Value {
    let lines = object["_lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = &lines[..lines.len().min(LINES_SHOWN)];
    let url = format!("/v1/{plural}/{}/{name}", text(object, "id"));
    json!({
        "object": "list", "url": url, "has_more": lines.len() > shown.len(), "total_count": lines.len(), "data": shown,
    })
}

fn invoice(invoice: &mut Value, version: &str, is_legacy: bool) {
    let mut lines = embedded(invoice, "invoices", "lines");
    dress(&mut lines, version);
    invoice["lines"] = lines;
    let subscription = invoice["_subscription"].clone();
    let metadata = invoice.get("_subscription_metadata").cloned().unwrap_or_else(|| json!({}));
    if is_legacy {
        let is_outside = flag(invoice, "_is_paid_outside");
        invoice["paid"] = json!(text(invoice, "status") == "paid");
        invoice["paid_out_of_band"] = json!(is_outside);
        invoice["payment_intent"] = invoice["_intent"].clone();
        invoice["charge"] = invoice["_charge"].clone();
        invoice["quote"] = invoice["_quote"].clone();
        invoice["subscription_details"] =
            json!({ "metadata": if subscription.is_null() { Value::Null } else { metadata } });
        invoice["subscription"] = subscription;
        invoice["discount"] = Value::Null;
        invoice["tax"] = Value::Null;
        invoice["total_tax_amounts"] = json!([]);
        invoice["application_fee_amount"] = Value::Null;
        invoice["transfer_data"] = Value::Null;
        return;
    }
    invoice["total_taxes"] = json!([]);
    invoice["parent"] = match (subscription.is_null(), invoice["_quote"].is_null()) {
        (false, _) => json!({
            "type": "subscription_details", "quote_details": null,
            "subscription_details": { "metadata": metadata, "subscription": subscription },
        }),
        (true, false) => json!({
            "type": "quote_details", "quote_details": { "quote": invoice["_quote"] }, "subscription_details": null,
        }),
        (true, true) => Value::Null,
    };
    let payments: Vec<Value> =
        invoice["_intent"].as_str().into_iter().map(|intent| payment(invoice, intent)).collect();
    invoice["_payments"] = json!({
        "object": "list", "has_more": false, "url": "/v1/invoice_payments", "data": payments,
    });
}

/// The record by which newer versions tie a payment to its invoice.
fn payment(invoice: &Value, intent: &str) -> Value {
    let is_paid = text(invoice, "status") == "paid";
    json!({
        "id": format!("inpay_{}", intent.trim_start_matches("pi_")), "object": "invoice_payment",
        "amount_paid": if is_paid { invoice["amount_paid"].clone() } else { Value::Null },
        "amount_requested": invoice["amount_due"], "created": invoice["status_transitions"]["finalized_at"],
        "currency": invoice["currency"], "invoice": invoice["id"], "is_default": true,
        "livemode": invoice["livemode"], "payment": { "payment_intent": intent, "type": "payment_intent" },
        "status": if is_paid { "paid" } else { "open" },
        "status_transitions": { "canceled_at": null, "paid_at": invoice["status_transitions"]["paid_at"] },
    })
}

fn line(line: &mut Value, is_legacy: bool) {
    let is_item = line["_item"].is_string();
    let (price, subscription) = (line["_price"].clone(), line["_subscription"].clone());
    let subscription_item = line.get("_subscription_item").cloned().unwrap_or_default();
    let proration = line["_proration"].clone();
    if is_legacy {
        line["price"] = priced(&price, line);
        line["invoice_item"] = line["_item"].clone();
        line["subscription"] = subscription;
        line["subscription_item"] = subscription_item;
        line["proration"] = proration;
        line["tax_amounts"] = json!([]);
        line["tax_rates"] = json!([]);
        line["type"] = json!(if is_item { "invoiceitem" } else { "subscription" });
        return;
    }
    line["pricing"] = pricing(&price, line);
    line["subtotal"] = line["amount"].clone();
    line["taxes"] = json!([]);
    line["subscription"] = subscription.clone();
    let name = if is_item { "invoice_item_details" } else { "subscription_item_details" };
    line["parent"] = json!({
        "type": name,
        name: {
            "invoice_item": line["_item"], "proration": proration, "subscription": subscription,
            "subscription_item": subscription_item,
        },
    });
}

fn item(item: &mut Value, is_legacy: bool) {
    let price = item["_price"].clone();
    if is_legacy {
        item["price"] = priced(&price, item);
        item["unit_amount"] = item["_unit_amount"].clone();
        item["subscription"] = item["_subscription"].clone();
        return;
    }
    item["pricing"] = pricing(&price, item);
    item["parent"] = match item["_subscription"].as_str() {
        Some(subscription) => json!({
            "type": "subscription_details", "subscription_details": { "subscription": subscription },
        }),
        None => Value::Null,
    };
}

/// The price of a line under old versions, which have one even where only an amount was given.
fn priced(price: &Value, of: &Value) -> Value {
    if price.is_object() {
        return price.clone();
    }
    json!({
        "id": format!("price_{}", text(of, "id").trim_start_matches("ii_").trim_start_matches("il_")),
        "object": "price", "active": false, "billing_scheme": "per_unit", "currency": of["currency"],
        "livemode": of["livemode"], "metadata": {}, "recurring": null, "type": "one_time",
        "unit_amount": of["_unit_amount"], "unit_amount_decimal": of["_unit_amount"].to_string(),
    })
}

fn pricing(price: &Value, of: &Value) -> Value {
    json!({
        "type": "price_details", "price_details": { "price": price["id"], "product": price["product"] },
        "unit_amount_decimal": of["_unit_amount"].to_string(),
    })
}

fn subscription(subscription: &mut Value, is_legacy: bool) {
    let (start, end) = (subscription["_period_start"].clone(), subscription["_period_end"].clone());
    if is_legacy {
        subscription["current_period_start"] = start;
        subscription["current_period_end"] = end;
        subscription["discount"] = Value::Null;
        return;
    }
    for item in subscription["items"]["data"].as_array_mut().into_iter().flatten() {
        item["current_period_start"] = start.clone();
        item["current_period_end"] = end.clone();
    }
}
