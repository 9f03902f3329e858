//! Invoice items: amounts that wait for an invoice, or stand on one.

use serde_json::{Value, json};

use super::{invoices, prices};
use crate::currency;
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{int, or_null, text};
use crate::params::{Params, nested_int};
use crate::routes::{Call, Route, delete, get, list, post};
use crate::space::Space;

const CREATE: &str = "customer! amount:int currency price pricing:hash price_data:hash quantity:int unit_amount:int \
                      unit_amount_decimal description invoice subscription metadata:hash period:hash \
                      discountable:flag tax_behavior";
const UPDATE: &str = "amount:int quantity:int unit_amount:int description metadata:hash period:hash \
                      discountable:flag";

pub(crate) const ROUTES: &[Route] = &[
    post("invoiceitems", CREATE, create),
    list("invoiceitems", "customer invoice pending:flag", all),
    get("invoiceitems/{id}", "", retrieve),
    post("invoiceitems/{id}", UPDATE, update),
    delete("invoiceitems/{id}", remove),
];

fn create(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    let customer = params.text("customer").unwrap_or_default();
    space.named("customer", customer, "customer")?;
    let item = draft(space, params, customer)?;
    if let Some(id) = params.text("invoice") {
        let invoice = invoices::editable(space, id, "invoice")?;
        if text(&invoice, "customer") != customer {
            return Err(ApiError::invalid("invoice", "The invoice belongs to another customer."));
        }
        invoices::check_item(&invoice, &item)?;
        space.create(&item, "invoiceitem.created");
        invoices::add_items(space, invoice, std::slice::from_ref(&item))?;
        return space.at("invoiceitem", text(&item, "id"));
    }
    space.create(&item, "invoiceitem.created");
    Ok(item)
}

/// An item of parameters, not stored.
pub(crate) fn draft(space: &mut Space, params: &Params, customer: &str) -> Answer {
    let (amount, quantity, price, code) = amounts(space, params)?;
    let code = currency::known(&code)?;
    // Negative amounts are credits.
    currency::check_amount(amount.checked_abs().unwrap_or(i64::MAX), &code)?;
    let period = |name: &str| match params.hash("period").and_then(|period| period.get(name)) {
        Some(at) => nested_int(at, &format!("period[{name}]")),
        None => Ok(space.now),
    };
    let (start, end) = (period("start")?, period("end")?);
    let unit = if quantity == 0 { amount } else { amount / quantity };
    let mut item = json!({
        "id": space.id("ii"), "object": "invoiceitem", "amount": amount, "currency": code,
        "customer": customer, "date": space.now, "created": space.now, "description": null,
        "discountable": amount >= 0, "discounts": [], "invoice": null, "livemode": space.mode.is_live(),
        "metadata": {}, "period": { "start": start, "end": end }, "proration": false, "quantity": quantity,
        "tax_rates": [], "test_clock": null, "_price": price, "_unit_amount": unit,
        "_subscription": or_null(params.text("subscription").unwrap_or_default()),
    });
    params.copy(&mut item, "description discountable");
    if item["description"].is_null() && price.is_object() {
        item["description"] = price["nickname"].clone();
    }
    params.merge_metadata(&mut item);
    Ok(item)
}

/// Amount, quantity, price and currency of an item, whichever way it was described.
fn amounts(space: &mut Space, params: &Params) -> Result<(i64, i64, Value, String), ApiError> {
    let quantity = params.int("quantity").unwrap_or(1);
    let described = match (
        params.text("price"),
        params.nested("pricing", "price"),
        params.hash("price_data"),
    ) {
        (Some(id), _, _) | (None, Some(id), _) => Some(json!({ "price": id })),
        (None, None, Some(data)) => Some(json!({ "price_data": data })),
        (None, None, None) => None,
    };
    if let Some(described) = described {
        let price = prices::resolve(space, &described, "invoiceitem")?;
        if text(&price, "type") == "recurring" {
            let message = "The price specified is set to `type=recurring` but this field only accepts prices with \
                           `type=one_time`.";
            return Err(ApiError::invalid("price", message));
        }
        let code = text(&price, "currency").to_owned();
        return Ok((prices::total(&price, quantity)?, quantity, price, code));
    }
    let code =
        params.text("currency").ok_or_else(|| ApiError::missing_param("currency"))?.to_owned();
    let amount = match (params.int("amount"), params.int("unit_amount")) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(
                "amount",
                "You may only specify one of amount, unit_amount.",
            ));
        }
        (Some(amount), None) => amount,
        (None, Some(unit)) => prices::total(&json!({ "unit_amount": unit }), quantity)?,
        (None, None) => return Err(ApiError::missing_param("amount")),
    };
    Ok((amount, quantity, Value::Null, code))
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let (customer, invoice) = (call.params.text("customer"), call.params.text("invoice"));
    let pending = call.params.flag("pending");
    lists::page(space, &call.params, "invoiceitem", "/v1/invoiceitems", |item| {
        customer.is_none_or(|id| text(item, "customer") == id)
            && invoice.is_none_or(|id| text(item, "invoice") == id)
            && pending.is_none_or(|pending| item["invoice"].is_null() == pending)
    })
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("invoiceitem", call.id())
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut item = editable(space, call.id())?;
    let params = &call.params;
    let quantity = params.int("quantity").unwrap_or_else(|| int(&item, "quantity"));
    let amount = match (params.int("amount"), params.int("unit_amount"), params.int("quantity")) {
        (Some(amount), _, _) => amount,
        (None, Some(unit), _) => prices::total(&json!({ "unit_amount": unit }), quantity)?,
        (None, None, Some(_)) => {
            prices::total(&json!({ "unit_amount": item["_unit_amount"] }), quantity)?
        }
        (None, None, None) => int(&item, "amount"),
    };
    currency::check_amount(amount.checked_abs().unwrap_or(i64::MAX), text(&item, "currency"))?;
    item["amount"] = json!(amount);
    item["quantity"] = json!(quantity);
    params.copy(&mut item, "description discountable");
    params.merge_metadata(&mut item);
    space.change(&item, "invoiceitem.updated");
    invoices::refresh_of(space, text(&item, "invoice"))?;
    Ok(item)
}

fn remove(space: &mut Space, call: &Call) -> Answer {
    let item = editable(space, call.id())?;
    invoices::drop_item(space, &item)?;
    space.store.remove("invoiceitem", call.id());
    space.emit("invoiceitem.deleted", &item);
    Ok(json!({ "id": call.id(), "object": "invoiceitem", "deleted": true }))
}

/// An item that is on no invoice that was finalized.
fn editable(space: &Space, id: &str) -> Answer {
    let item = space.at("invoiceitem", id)?;
    if !text(&item, "invoice").is_empty() {
        invoices::editable(space, text(&item, "invoice"), "id")?;
    }
    Ok(item)
}
