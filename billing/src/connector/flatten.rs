//! Objects of Stripe laid flat.
//!
//! Rules, read off the documented outputs of actions: what is nested is named with dots; numbers
//! and booleans are texts; `null` stays `null`; a list has `null` under its own name. Its elements,
//! which the samples do not have, follow under their numbers (`lines.data.0.id`), so that nothing
//! is lost. Entities have the same keys with capitals, and values of their own types.
//! Keys that the samples show are always there, `null` where this object has none.

use serde_json::{Map, Value};

use super::naming::pascal;

/// Keys of the documented samples of a payment intent.
const PAYMENT_INTENT: &[&str] = &[
    "id",
    "object",
    "amount",
    "amount_capturable",
    "amount_received",
    "canceled_at",
    "cancellation_reason",
    "capture_method",
    "client_secret",
    "confirmation_method",
    "created",
    "currency",
    "customer",
    "description",
    "invoice",
    "last_payment_error",
    "latest_charge",
    "level3",
    "livemode",
    "next_action",
    "on_behalf_of",
    "payment_method",
    "payment_method_configuration_details",
    "payment_method_options.card.installments",
    "payment_method_types",
    "processing",
    "receipt_email",
    "review",
    "setup_future_usage",
    "shipping",
    "statement_descriptor_suffix",
    "status",
    "transfer_data",
    "transfer_group",
];

/// Keys of the documented sample of an invoice. Versions of Stripe's API after the pinned one have
/// neither `charge` nor `paid`, `paid_out_of_band` and `payment_intent`.
const INVOICE: &[&str] = &[
    "id",
    "object",
    "account_country",
    "account_name",
    "billing_reason",
    "charge",
    "collection_method",
    "created",
    "currency",
    "discounts",
    "due_date",
    "effective_at",
    "ending_balance",
    "footer",
    "lines.data",
    "lines.has_more",
    "lines.total_count",
    "livemode",
    "next_payment_attempt",
    "number",
    "on_behalf_of",
    "paid_out_of_band",
    "payment_intent",
];

/// The object as an action puts it out.
#[must_use]
pub fn action_output(object: &Value) -> Map<String, Value> {
    let mut flat = Map::new();
    walk(object, &mut Vec::new(), &mut |path, value| {
        flat.insert(path.join("."), text(value));
    });
    complete(object, &mut flat);
    flat
}

/// The object as an entity's fields.
#[must_use]
pub fn entity_fields(object: &Value) -> Map<String, Value> {
    let mut flat = Map::new();
    walk(object, &mut Vec::new(), &mut |path, value| {
        let value = if value.is_array() || value.is_object() { Value::Null } else { value.clone() };
        flat.insert(entity_name(path), value);
    });
    flat
}

/// `InvoiceSettings.DefaultPaymentMethod`; what is below `Metadata` stays as it is.
fn entity_name(path: &[String]) -> String {
    let is_verbatim = path.first().is_some_and(|first| first == "metadata");
    let named = path.iter().enumerate().map(|(at, part)| match is_verbatim && at > 0 {
        true => part.clone(),
        false => pascal(part),
    });
    named.collect::<Vec<_>>().join(".")
}

/// Adds what every such object has, whatever version of the API answered.
fn complete(object: &Value, flat: &mut Map<String, Value>) {
    let keys: &[&str] = match object["object"].as_str() {
        Some("payment_intent") => PAYMENT_INTENT,
        Some("invoice") => INVOICE,
        Some(_) | None => &[],
    };
    for key in keys {
        flat.entry(*key).or_insert(Value::Null);
    }
    if object["object"] == "invoice" {
        let is_paid = object["status"] == "paid";
        flat.entry("paid").or_insert_with(|| Value::from(is_paid.to_string()));
        let out_of_band = flat.get_mut("paid_out_of_band").filter(|it| it.is_null());
        if let Some(value) = out_of_band {
            *value = Value::from("false");
        }
        let total = object["lines"]["data"].as_array().map_or(0, Vec::len);
        let count = flat.get_mut("lines.total_count").filter(|it| it.is_null());
        if let Some(count) = count {
            *count = Value::from(total.to_string());
        }
    }
}

/// Calls `visit` for each scalar, and for each list and each object without parts.
fn walk(value: &Value, path: &mut Vec<String>, visit: &mut impl FnMut(&[String], &Value)) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                path.push(name.clone());
                walk(field, path, visit);
                path.pop();
            }
        }
        Value::Array(items) => {
            visit(path, value);
            for (at, item) in items.iter().enumerate() {
                path.push(at.to_string());
                walk(item, path, visit);
                path.pop();
            }
        }
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            visit(path, value);
        }
    }
}

/// A scalar as a text; what has parts is told by them.
fn text(value: &Value) -> Value {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => Value::Null,
        Value::Bool(it) => Value::from(it.to_string()),
        Value::Number(number) => Value::from(number.to_string()),
        Value::String(text) => Value::from(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{action_output, entity_fields};

    #[test]
    fn scalars_are_texts_and_what_is_nested_has_dots() {
        let flat = action_output(&json!({
            "id": "pi_1", "object": "payment_intent", "amount": 33000, "livemode": false,
            "canceled_at": null, "payment_method_types": ["card"], "metadata": {},
            "payment_method_options": {"card": {"installments": null, "network": null}},
        }));
        let check = |rows: &[(&str, Value)]| {
            for (key, want) in rows {
                assert_eq!(flat.get(*key), Some(want), "{key}");
            }
        };
        check(&[
            ("amount", json!("33000")),
            ("livemode", json!("false")),
            ("canceled_at", Value::Null),
            ("payment_method_types", Value::Null),
            ("payment_method_types.0", json!("card")),
            ("payment_method_options.card.installments", Value::Null),
            ("metadata", Value::Null),
            // A key of the samples that this object does not have.
            ("level3", Value::Null),
        ]);
    }

    #[test]
    fn an_invoice_of_a_later_version_has_the_keys_of_the_sample() {
        let flat = action_output(&json!({
            "id": "in_1", "object": "invoice", "status": "paid",
            "lines": {"object": "list", "data": [], "has_more": false},
        }));
        assert_eq!(flat["paid"], "true");
        assert_eq!(flat["paid_out_of_band"], "false");
        assert_eq!(flat["lines.data"], Value::Null);
        assert_eq!(flat["lines.has_more"], "false");
        assert_eq!(flat["lines.total_count"], "0");
        assert_eq!(flat["charge"], Value::Null);
    }

    #[test]
    fn fields_of_an_entity_keep_their_types() {
        let fields = entity_fields(&json!({
            "id": "cus_1", "balance": -5, "invoice_settings": {"default_payment_method": null},
            "metadata": {"order_id": "7"}, "preferred_locales": [],
        }));
        assert_eq!(
            Value::Object(fields),
            json!({
                "Id": "cus_1", "Balance": -5, "InvoiceSettings.DefaultPaymentMethod": null,
                "Metadata.order_id": "7", "PreferredLocales": null,
            })
        );
    }
}
