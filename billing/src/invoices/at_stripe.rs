//! Requests about invoices, and what Stripe's answers say.
//!
//! Answers are read tolerantly: only what is needed here, and a status that is not known counts as
//! open, since nothing may be asked for a second time because of it.

use serde_json::Value;
use tollgate_metering::UnixMillis;

use super::record::{Invoice, InvoiceKey, Invoicing, Item, State};
use crate::customers::Customer;
use crate::stripe::{Client, Form, StripeError};

/// Invoices of one customer that are looked through for a mark.
const LOOKED_THROUGH_MAX: usize = 1_000;

/// Items of a draft that are looked at: more than Stripe allows in one.
const ITEMS_READ_MAX: usize = 1_000;

/// Metadata that names the invoice.
const MARK: &str = "tollgate_invoice";

/// Metadata of an item: its index.
const INDEX: &str = "tollgate_item";

/// An invoice of Stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: String,
    /// Of our metadata; `None` where it is not ours.
    pub(super) mark: Option<String>,
    /// A draft is pending.
    pub(super) state: State,
    /// Of all items, in smallest parts.
    pub(super) total: i64,
    pub(super) paid_minor: i64,
    pub(super) customer: String,
    /// Whether it is paid by a card without the developer, else it was sent.
    pub(super) is_charged: bool,
    pub(super) number: Option<String>,
    pub(super) hosted_url: Option<String>,
}

/// What is to be changed of a draft's items.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// Indexes of items that are not there.
    pub(super) missing: Vec<usize>,
    /// Ids of items of ours that are there twice, or otherwise than they should be.
    pub(super) extra: Vec<String>,
}

// === impl Found ===

impl Found {
    pub(super) fn of(object: &Value) -> Found {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let customer = &object["customer"];
        Found {
            id: text(&object["id"]).unwrap_or_default(),
            mark: text(&object["metadata"][MARK]),
            state: match object["status"].as_str() {
                Some("draft") => State::Pending,
                Some("paid") => State::Paid,
                Some("void") => State::Void,
                Some("uncollectible") => State::Uncollectible,
                _ => State::Open,
            },
            total: object["total"].as_i64().unwrap_or_default(),
            paid_minor: object["amount_paid"].as_i64().unwrap_or_default(),
            customer: text(customer).or_else(|| text(&customer["id"])).unwrap_or_default(),
            is_charged: object["collection_method"].as_str() == Some("charge_automatically"),
            number: text(&object["number"]),
            hosted_url: text(&object["hosted_invoice_url"]),
        }
    }
}

// === impl Repairs ===

impl Repairs {
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty()
    }
}

pub(super) async fn get(client: &Client, id: &str) -> Result<Found, StripeError> {
    let object = client.get(&format!("/invoices/{id}"), &Form::new()).await?;
    Ok(Found::of(&object))
}

/// Invoices of this mark, the newest first.
pub(super) async fn find(
    client: &Client,
    customer: &str,
    mark: &str,
    since: UnixMillis,
) -> Result<Vec<Found>, StripeError> {
    let query =
        Form::new().with("customer", customer).with("created[gte]", since.0.div_euclid(1_000));
    let all = client.list("/invoices", &query, LOOKED_THROUGH_MAX).await?;
    let found = all.iter().map(Found::of);
    Ok(found.filter(|found| found.mark.as_deref() == Some(mark)).collect())
}

/// Parameters of a draft: nothing is in it but what is put there, and nothing happens by itself.
pub(super) fn draft(
    invoicing: &Invoicing,
    key: &InvoiceKey,
    invoice: &Invoice,
    payer: &Customer,
) -> Form {
    let form = Form::new()
        .with("customer", &payer.id)
        .with("currency", key.currency.as_str().to_ascii_lowercase())
        .with("auto_advance", false)
        .with("pending_invoice_items_behavior", "exclude")
        .with("description", format!("Usage of {}", invoice.month))
        .with("metadata[tollgate_organization]", &key.organization)
        .with("metadata[tollgate_developer]", key.developer)
        .with("metadata[tollgate_month]", invoice.month)
        .with(format!("metadata[{MARK}]"), key.mark());
    match payer.default_payment_method {
        Some(_) => form.with("collection_method", "charge_automatically"),
        None => form
            .with("collection_method", "send_invoice")
            .with("days_until_due", invoicing.days_until_due),
    }
}

/// Parameters of an item.
pub(super) fn item(invoice: &Invoice, key: &InvoiceKey, index: usize, draft: &Found) -> Form {
    let item = &invoice.items[index];
    Form::new()
        .with("customer", &draft.customer)
        .with("invoice", &draft.id)
        .with("currency", key.currency.as_str().to_ascii_lowercase())
        .with("amount", item.minor)
        .with("description", &item.description)
        .with(format!("metadata[{MARK}]"), key.mark())
        .with(format!("metadata[{INDEX}]"), index)
}

/// Compares the items of a draft. What others have put there is left to the comparison of totals.
pub(super) async fn repairs(
    client: &Client,
    draft: &str,
    items: &[Item],
) -> Result<Repairs, StripeError> {
    let query = Form::new().with("invoice", draft);
    let there = client.list("/invoiceitems", &query, ITEMS_READ_MAX).await?;
    let mut repairs = Repairs::default();
    let mut is_there = vec![false; items.len()];
    for object in &there {
        let Some(index) = object["metadata"][INDEX].as_str() else { continue };
        let index = index.parse::<usize>().ok().filter(|index| *index < items.len());
        let is_right = |index: usize| object["amount"].as_i64() == Some(items[index].minor);
        match index {
            Some(index) if !is_there[index] && is_right(index) => is_there[index] = true,
            Some(_) | None => {
                repairs.extra.extend(object["id"].as_str().map(str::to_owned));
            }
        }
    }
    repairs.missing = (0..items.len()).filter(|index| !is_there[*index]).collect();
    Ok(repairs)
}

pub(super) async fn remove_item(client: &Client, id: &str) -> Result<(), StripeError> {
    match client.delete(&format!("/invoiceitems/{id}")).await {
        Ok(_) | Err(StripeError::Missing(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a draft that does not count, its items first, which would else wait for another invoice.
pub(super) async fn discard(client: &Client, id: &str) -> Result<(), StripeError> {
    let query = Form::new().with("invoice", id);
    for item in client.list("/invoiceitems", &query, ITEMS_READ_MAX).await? {
        if let Some(item) = item["id"].as_str() {
            remove_item(client, item).await?;
        }
    }
    match client.delete(&format!("/invoices/{id}")).await {
        Ok(_) | Err(StripeError::Missing(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
