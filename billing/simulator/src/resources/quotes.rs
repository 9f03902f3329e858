//! Quotes: `draft` → `open` → `accepted` (an invoice, or a subscription) or `canceled`.

use serde_json::{Value, json};

use super::{invoiceitems, invoices, prices, subscriptions};
use crate::agenda::Due;
use crate::calendar::DAY_S;
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{int, text};
use crate::params::{Params, nested_int};
use crate::routes::{Call, Route, get, list, post};
use crate::space::Space;

/// How long a quote can be accepted where it does not say.
const EXPIRES_S: i64 = 30 * DAY_S;
/// Most lines of a quote.
const LINES_MAX: usize = 20;

const FIELDS: &str = "customer line_items:list description metadata:hash expires_at:int header footer \
                      collection_method invoice_settings:hash subscription_data:hash";

pub(crate) const ROUTES: &[Route] = &[
    post("quotes", FIELDS, create),
    list("quotes", "customer status", all),
    get("quotes/{id}", "", retrieve),
    post("quotes/{id}", FIELDS, update),
    list("quotes/{id}/line_items", "", lines_of),
    list("quotes/{id}/computed_upfront_line_items", "", upfront_of),
    post("quotes/{id}/finalize", "expires_at:int", finalize),
    post("quotes/{id}/accept", "", accept),
    post("quotes/{id}/cancel", "", cancel),
];

fn create(space: &mut Space, call: &Call) -> Answer {
    let id = space.id("qt");
    let mut quote = json!({
        "id": id, "object": "quote", "amount_subtotal": 0, "amount_total": 0, "application": null,
        "application_fee_amount": null, "application_fee_percent": null,
        "automatic_tax": { "enabled": false, "liability": null, "provider": null, "status": null },
        "collection_method": "charge_automatically", "computed": {}, "created": space.now, "currency": null,
        "customer": null, "default_tax_rates": [], "description": null, "discounts": [],
        "expires_at": space.now + EXPIRES_S, "footer": null, "from_quote": null, "header": null, "invoice": null,
        "invoice_settings": { "days_until_due": null, "issuer": { "type": "self" } },
        "livemode": space.mode.is_live(), "metadata": {}, "number": null, "on_behalf_of": null, "status": "draft",
        "status_transitions": { "accepted_at": null, "canceled_at": null, "finalized_at": null },
        "subscription": null,
        "subscription_data": { "description": null, "effective_date": null, "metadata": {}, "trial_period_days": null },
        "subscription_schedule": null, "test_clock": null,
        "total_details": { "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 }, "transfer_data": null,
        "_lines": [],
    });
    apply(space, &mut quote, &call.params)?;
    space.create(&quote, "quote.created");
    Ok(quote)
}

fn apply(space: &mut Space, quote: &mut Value, params: &Params) -> Result<(), ApiError> {
    if let Some(customer) = params.text("customer") {
        space.named("customer", customer, "customer")?;
    }
    if let Some(days) =
        params.hash("invoice_settings").and_then(|settings| settings.get("days_until_due"))
    {
        quote["invoice_settings"]["days_until_due"] =
            json!(nested_int(days, "invoice_settings[days_until_due]")?);
    }
    if let Some(described) = params.list("line_items") {
        set_lines(space, quote, described)?;
    }
    params.copy(quote, "customer description expires_at header footer collection_method");
    params.merge_metadata(quote);
    Ok(())
}

fn set_lines(space: &mut Space, quote: &mut Value, described: &[Value]) -> Result<(), ApiError> {
    if described.len() > LINES_MAX {
        return Err(ApiError::invalid(
            "line_items",
            format!("A quote can have at most {LINES_MAX} lines."),
        ));
    }
    let mut lines = Vec::new();
    let (mut upfront, mut recurring) = (0_i64, 0_i64);
    for (number, described) in described.iter().enumerate() {
        let param = format!("line_items[{number}]");
        let price = prices::resolve(space, described, &param)?;
        let quantity = prices::quantity(described, &param)?;
        let amount = prices::total(&price, quantity)?;
        let is_recurring = text(&price, "type") == "recurring";
        let sum = if is_recurring { &mut recurring } else { &mut upfront };
        *sum = sum
            .checked_add(amount)
            .ok_or_else(|| ApiError::invalid(&param, "The total would be too large."))?;
        quote["currency"] = price["currency"].clone();
        lines.push(json!({
            "id": space.id("li"), "object": "item", "amount_discount": 0, "amount_subtotal": amount,
            "amount_tax": 0, "amount_total": amount, "currency": price["currency"],
            "description": price["nickname"], "price": price, "quantity": quantity,
        }));
    }
    let total = upfront.saturating_add(recurring);
    quote["amount_subtotal"] = json!(total);
    quote["amount_total"] = json!(total);
    let details = json!({ "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 });
    let of = |amount| json!({ "amount_subtotal": amount, "amount_total": amount, "total_details": details });
    quote["computed"] = json!({
        "recurring": if recurring > 0 { of(recurring) } else { Value::Null }, "upfront": of(total),
    });
    quote["_lines"] = json!(lines);
    Ok(())
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let (customer, status) = (call.params.text("customer"), call.params.text("status"));
    lists::page(space, &call.params, "quote", "/v1/quotes", |quote| {
        customer.is_none_or(|id| text(quote, "customer") == id)
            && status.is_none_or(|status| text(quote, "status") == status)
    })
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("quote", call.id())
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut quote = in_status(space, call.id(), &["draft"], "updated")?;
    apply(space, &mut quote, &call.params)?;
    space.store.put(quote.clone());
    Ok(quote)
}

fn lines_of(space: &mut Space, call: &Call) -> Answer {
    page_of_lines(space, call, "line_items")
}

fn upfront_of(space: &mut Space, call: &Call) -> Answer {
    page_of_lines(space, call, "computed_upfront_line_items")
}

fn page_of_lines(space: &Space, call: &Call, name: &str) -> Answer {
    let quote = space.at("quote", call.id())?;
    let lines: Vec<&Value> = quote["_lines"].as_array().into_iter().flatten().collect();
    lists::cut(space, &call.params, "item", &format!("/v1/quotes/{}/{name}", call.id()), &lines)
}

fn finalize(space: &mut Space, call: &Call) -> Answer {
    let mut quote = in_status(space, call.id(), &["draft"], "finalized")?;
    if quote["_lines"].as_array().is_some_and(Vec::is_empty) {
        return Err(ApiError::state(
            "quote_without_lines",
            "You cannot finalize a quote without line items.",
        ));
    }
    call.params.copy(&mut quote, "expires_at");
    let count =
        space.store.newest_first("quote").filter(|other| !other["number"].is_null()).count() + 1;
    quote["number"] = json!(format!("QT-{}-{count:04}-1", space.random(8).to_ascii_uppercase()));
    quote["status"] = json!("open");
    quote["status_transitions"]["finalized_at"] = json!(space.now);
    space.create(&quote, "quote.finalized");
    space.agenda.note(int(&quote, "expires_at"), Due::ExpireQuote(call.id().to_owned()));
    Ok(quote)
}

fn accept(space: &mut Space, call: &Call) -> Answer {
    let mut quote = in_status(space, call.id(), &["open"], "accepted")?;
    if text(&quote, "customer").is_empty() {
        return Err(ApiError::state(
            "quote_without_customer",
            "You cannot accept a quote without a customer.",
        ));
    }
    let lines = quote["_lines"].as_array().cloned().unwrap_or_default();
    let (recurring, once): (Vec<Value>, Vec<Value>) =
        lines.into_iter().partition(|line| text(line, "price.type") == "recurring");
    if recurring.is_empty() {
        quote["invoice"] = invoice(space, &quote, &once)?["id"].clone();
    } else {
        let subscription = subscribe(space, &quote, &recurring, &once)?;
        quote["subscription"] = subscription["id"].clone();
        quote["invoice"] = subscription["latest_invoice"].clone();
    }
    quote["status"] = json!("accepted");
    quote["status_transitions"]["accepted_at"] = json!(space.now);
    space.create(&quote, "quote.accepted");
    Ok(quote)
}

/// The draft invoice of a quote's one-time prices.
fn invoice(space: &mut Space, quote: &Value, lines: &[Value]) -> Answer {
    let mut params = json!({
        "collection_method": quote["collection_method"], "currency": quote["currency"],
        "description": quote["description"],
    });
    if let Some(days) = quote["invoice_settings"]["days_until_due"].as_i64() {
        params["days_until_due"] = json!(days);
    }
    let mut invoice = invoices::draft(space, text(quote, "customer"), &Params::of(params))?;
    invoice["_quote"] = quote["id"].clone();
    space.create(&invoice, "invoice.created");
    let items = items(space, quote, lines)?;
    invoices::add_items(space, invoice, &items)
}

fn items(space: &mut Space, quote: &Value, lines: &[Value]) -> Result<Vec<Value>, ApiError> {
    let customer = text(quote, "customer");
    let mut items = Vec::new();
    for line in lines {
        let params = json!({
            "amount": line["amount_total"].as_i64(), "currency": line["currency"], "description": line["description"],
        });
        let mut item = invoiceitems::draft(space, &Params::of(params), customer)?;
        item["quantity"] = line["quantity"].clone();
        item["_price"] = line["price"].clone();
        space.store.put(item.clone());
        items.push(item);
    }
    Ok(items)
}

/// The subscription of a quote's recurring prices; its one-time prices are on the first invoice.
fn subscribe(space: &mut Space, quote: &Value, recurring: &[Value], once: &[Value]) -> Answer {
    items(space, quote, once)?;
    let wanted: Vec<Value> = recurring
        .iter()
        .map(|line| json!({ "price": line["price"]["id"], "quantity": line["quantity"].to_string() }))
        .collect();
    let params = json!({
        "customer": quote["customer"], "items": wanted, "collection_method": quote["collection_method"],
        "days_until_due": quote["invoice_settings"]["days_until_due"], "metadata": quote["metadata"],
    });
    let mut subscription = subscriptions::draft(space, &Params::of(params))?;
    // The first invoice stays a draft for an hour, and the subscription runs meanwhile.
    subscription["status"] = json!("active");
    space.create(&subscription, "customer.subscription.created");
    subscriptions::cycle::begin_as_draft(space, text(&subscription, "id"))
}

fn cancel(space: &mut Space, call: &Call) -> Answer {
    let quote = in_status(space, call.id(), &["draft", "open"], "canceled")?;
    Ok(end(space, quote))
}

fn end(space: &mut Space, mut quote: Value) -> Value {
    quote["status"] = json!("canceled");
    quote["status_transitions"]["canceled_at"] = json!(space.now);
    space.create(&quote, "quote.canceled");
    quote
}

/// Nobody has accepted a quote in time.
pub(crate) fn expire(space: &mut Space, id: &str) {
    if let Ok(quote) = in_status(space, id, &["open"], "expired") {
        end(space, quote);
    }
}

fn in_status(space: &Space, id: &str, allowed: &[&str], what: &str) -> Answer {
    let quote = space.at("quote", id)?;
    let status = text(&quote, "status");
    if allowed.contains(&status) {
        return Ok(quote);
    }
    let message = format!("This quote cannot be {what}, because it is {status}.");
    Err(ApiError::state("quote_unexpected_state", message))
}
