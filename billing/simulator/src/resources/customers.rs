//! Customers, and the balance that Stripe keeps for each.

use serde_json::{Value, json};

use super::{payment_methods, subscriptions};
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{int, or_null, text};
use crate::params::Params;
use crate::routes::{Call, Route, delete, get, list, post};
use crate::space::Space;

const FIELDS: &str = "name email phone description address:hash shipping:hash metadata:hash balance:int \
                      invoice_settings:hash invoice_prefix next_invoice_sequence:int preferred_locales:list \
                      tax_exempt source";
const CREATE: &str = "name email phone description address:hash shipping:hash metadata:hash balance:int \
                      invoice_settings:hash invoice_prefix next_invoice_sequence:int preferred_locales:list \
                      tax_exempt source payment_method";

pub(crate) const ROUTES: &[Route] = &[
    post("customers", CREATE, create),
    list("customers", "email", all),
    get("customers/{id}", "", retrieve),
    post("customers/{id}", FIELDS, update),
    delete("customers/{id}", remove),
    list("customers/{id}/balance_transactions", "", balance_transactions),
    post(
        "customers/{id}/balance_transactions",
        "amount:int! currency! description metadata:hash",
        create_balance_transaction,
    ),
];

fn create(space: &mut Space, call: &Call) -> Answer {
    let id = space.id("cus");
    let prefix = space.random(8).to_ascii_uppercase();
    let mut customer = json!({
        "id": id, "object": "customer", "address": null, "balance": 0, "created": space.now, "currency": null,
        "default_source": null, "delinquent": false, "description": null, "discount": null, "email": null,
        "invoice_prefix": prefix,
        "invoice_settings": {
            "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null,
        },
        "livemode": space.mode.is_live(), "metadata": {}, "name": null, "next_invoice_sequence": 1,
        "phone": null, "preferred_locales": [], "shipping": null, "tax_exempt": "none", "test_clock": null,
    });
    // A card that the bank refuses leaves no customer behind.
    let mut attached = Vec::new();
    if let Some(method) = call.params.text("payment_method") {
        let wanted_default = call.params.nested("invoice_settings", "default_payment_method");
        let method = payment_methods::resolve(space, method, "payment_method")?;
        if wanted_default == call.params.text("payment_method") {
            customer["invoice_settings"]["default_payment_method"] = method["id"].clone();
        }
        attached.push(method);
    }
    if let Some(source) = call.params.text("source") {
        let method = payment_methods::of_source(space, source)?;
        customer["default_source"] = method["id"].clone();
        attached.push(method);
    }
    for method in &attached {
        payment_methods::attach_to(space, method, &id)?;
    }
    apply(space, &mut customer, &call.params)?;
    space.create(&customer, "customer.created");
    Ok(customer)
}

/// Puts the parameters that create and update share into a customer.
fn apply(space: &Space, customer: &mut Value, params: &Params) -> Result<(), ApiError> {
    let fields = "name email phone description address shipping balance invoice_prefix next_invoice_sequence \
                  preferred_locales tax_exempt";
    if let Some(settings) = params.hash("invoice_settings") {
        for (name, value) in settings {
            let param = format!("invoice_settings[{name}]");
            let Some(kept) = customer["invoice_settings"].get_mut(name) else {
                let message = format!("Received unknown parameter: {param}");
                return Err(ApiError::invalid(&param, message).with("code", "parameter_unknown"));
            };
            let id = value.as_str().unwrap_or_default();
            // A test token has been made into a payment method above.
            let is_token = crate::cards::Card::of_token(id).is_some();
            if name != "default_payment_method" {
                *kept = value.clone();
            } else if !is_token {
                check_default(space, text_of_id(customer), id, &param)?;
                customer["invoice_settings"]["default_payment_method"] = or_null(id);
            }
        }
    }
    params.copy(customer, fields);
    params.merge_metadata(customer);
    Ok(())
}

fn text_of_id(customer: &Value) -> &str {
    text(customer, "id")
}

/// A default must be attached to its customer.
fn check_default(space: &Space, customer: &str, method: &str, param: &str) -> Result<(), ApiError> {
    if method.is_empty() {
        return Ok(());
    }
    let found = space.named("payment_method", method, param)?;
    if text(&found, "customer") == customer {
        return Ok(());
    }
    let message = format!(
        "The customer does not have a payment method with the ID {method}. The payment method must be attached to the \
         customer."
    );
    Err(ApiError::invalid(param, message).with("code", "resource_missing"))
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let email = call.params.text("email");
    lists::page(space, &call.params, "customer", "/v1/customers", |customer| {
        email.is_none_or(|email| text(customer, "email") == email)
    })
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    // One that was deleted can still be read, as a stub.
    let found = space.store.get("customer", call.id()).cloned();
    found.ok_or_else(|| ApiError::no_such("customer", call.id(), "id"))
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut customer = space.at("customer", call.id())?;
    apply(space, &mut customer, &call.params)?;
    if let Some(source) = call.params.text("source") {
        let method = payment_methods::of_source(space, source)?;
        payment_methods::attach_to(space, &method, call.id())?;
        customer["default_source"] = method["id"].clone();
    }
    space.change(&customer, "customer.updated");
    Ok(customer)
}

fn remove(space: &mut Space, call: &Call) -> Answer {
    let customer = space.at("customer", call.id())?;
    let owned: Vec<Value> = space
        .store
        .newest_first("payment_method")
        .filter(|method| text(method, "customer") == call.id())
        .cloned()
        .collect();
    subscriptions::end_all_of(space, call.id());
    for method in owned {
        payment_methods::detach_from_owner(space, &method);
    }
    let stub = json!({ "id": call.id(), "object": "customer", "deleted": true });
    space.store.put(stub.clone());
    space.emit("customer.deleted", &customer);
    Ok(stub)
}

fn balance_transactions(space: &mut Space, call: &Call) -> Answer {
    space.at("customer", call.id())?;
    let url = format!("/v1/customers/{}/balance_transactions", call.id());
    lists::page(space, &call.params, "customer_balance_transaction", &url, |entry| {
        text(entry, "customer") == call.id()
    })
}

fn create_balance_transaction(space: &mut Space, call: &Call) -> Answer {
    space.at("customer", call.id())?;
    let currency = crate::currency::known(call.params.text("currency").unwrap_or_default())?;
    let amount = call.params.int("amount").unwrap_or_default();
    let mut entry = move_balance(space, call.id(), amount, &currency, "adjustment", None)?;
    call.params.copy(&mut entry, "description");
    call.params.merge_metadata(&mut entry);
    space.store.put(entry.clone());
    Ok(entry)
}

/// Notes the currency of a customer who has none yet.
pub(crate) fn note_currency(space: &mut Space, id: &str, currency: &str) {
    if let Ok(mut customer) = space.at("customer", id)
        && customer["currency"].is_null()
    {
        customer["currency"] = json!(currency);
        space.store.put(customer);
    }
}

/// Moves a customer's balance: what is positive is owed by the customer, and goes on the next invoice.
pub(crate) fn move_balance(
    space: &mut Space,
    customer: &str,
    amount: i64,
    currency: &str,
    kind: &str,
    invoice: Option<&str>,
) -> Answer {
    let mut customer = space.at("customer", customer)?;
    let ending = int(&customer, "balance").checked_add(amount);
    let ending =
        ending.ok_or_else(|| ApiError::invalid("amount", "The balance would be too large."))?;
    customer["balance"] = json!(ending);
    customer["currency"] = json!(currency);
    space.change(&customer, "customer.updated");
    let entry = json!({
        "id": space.id("cbtxn"), "object": "customer_balance_transaction", "amount": amount,
        "created": space.now, "credit_note": null, "currency": currency, "customer": customer["id"],
        "description": null, "ending_balance": ending, "invoice": invoice,
        "livemode": space.mode.is_live(), "metadata": {}, "type": kind,
    });
    space.store.put(entry.clone());
    Ok(entry)
}
