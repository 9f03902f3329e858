//! Prices: what a product costs, once or every month; flat amounts only.

use serde_json::{Value, json};

use crate::calendar::Interval;
use crate::currency;
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{flag, int, text};
use crate::params::{Params, nested_int};
use crate::routes::{Call, Route, get, list, post};
use crate::space::Space;

const CREATE: &str = "currency! product product_data:hash unit_amount:int unit_amount_decimal recurring:hash \
                      nickname active:flag lookup_key transfer_lookup_key:flag metadata:hash tax_behavior \
                      billing_scheme";
const UPDATE: &str =
    "active:flag metadata:hash nickname lookup_key transfer_lookup_key:flag tax_behavior";

pub(crate) const ROUTES: &[Route] = &[
    post("prices", CREATE, create),
    list("prices", "product active:flag currency type lookup_keys:list recurring:hash", all),
    get("prices/{id}", "", retrieve),
    post("prices/{id}", UPDATE, update),
];

fn create(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    let described = params.hash("product_data");
    let product = match (params.text("product"), described) {
        (Some(id), None) => text(&space.named("product", id, "product")?, "id").to_owned(),
        (None, Some(_)) => space.id("prod"),
        (Some(_), Some(_)) | (None, None) => return Err(ApiError::missing_param("product")),
    };
    let price = draft(space, params, &product)?;
    if let Some(name) = described.map(|hash| hash.get("name").cloned().unwrap_or_default()) {
        let product = json!({
            "id": product, "object": "product", "active": true, "created": space.now, "default_price": null,
            "description": null, "images": [], "livemode": space.mode.is_live(), "marketing_features": [],
            "metadata": {}, "name": name, "package_dimensions": null, "shippable": null,
            "statement_descriptor": null, "tax_code": null, "type": "service", "unit_label": null,
            "updated": space.now, "url": null,
        });
        space.create(&product, "product.created");
    }
    space.create(&price, "price.created");
    Ok(price)
}

/// A price of a product, not stored.
pub(crate) fn draft(space: &mut Space, params: &Params, product: &str) -> Answer {
    let currency = currency::known(params.text("currency").unwrap_or_default())?;
    let amount = amount_of(params)?;
    currency::check_amount(amount, &currency)?;
    let recurring = match params.hash("recurring") {
        Some(recurring) => recurring_of(&json!(recurring))?,
        None => Value::Null,
    };
    let mut price = json!({
        "id": space.id("price"), "object": "price", "active": true, "billing_scheme": "per_unit",
        "created": space.now, "currency": currency, "custom_unit_amount": null,
        "livemode": space.mode.is_live(), "lookup_key": null, "metadata": {}, "nickname": null,
        "product": product, "tax_behavior": "unspecified", "tiers_mode": null, "transform_quantity": null,
        "type": if recurring.is_null() { "one_time" } else { "recurring" }, "recurring": recurring,
        "unit_amount": amount, "unit_amount_decimal": amount.to_string(),
    });
    params.copy(&mut price, "active nickname lookup_key tax_behavior");
    params.merge_metadata(&mut price);
    Ok(price)
}

/// The unit amount, which may come as a typed parameter or as a string inside a hash.
fn amount_of(params: &Params) -> Result<i64, ApiError> {
    if let Some(amount) = params.int("unit_amount") {
        return Ok(amount);
    }
    let given = params.get("unit_amount").or_else(|| params.get("unit_amount_decimal"));
    let given = given.ok_or_else(|| ApiError::missing_param("unit_amount"))?;
    nested_int(given, "unit_amount").map_err(|_| {
        ApiError::invalid("unit_amount_decimal", "The simulator prices in whole minor units only.")
    })
}

fn recurring_of(sent: &Value) -> Answer {
    let count = match sent.get("interval_count") {
        Some(count) => nested_int(count, "recurring[interval_count]")?,
        None => 1,
    };
    let name = text(sent, "interval");
    if Interval::parse(name, count).is_none() {
        let message = format!(
            "Invalid recurring: {count} {name}; an interval is day, week, month or year, up to three years"
        );
        return Err(ApiError::invalid("recurring[interval]", message));
    }
    if !matches!(text(sent, "usage_type"), "" | "licensed") {
        return Err(ApiError::invalid(
            "recurring[usage_type]",
            "The simulator has licensed prices only.",
        ));
    }
    Ok(json!({
        "interval": name, "interval_count": count, "meter": null, "trial_period_days": null, "usage_type": "licensed",
    }))
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    let (product, kind, currency) =
        (params.text("product"), params.text("type"), params.text("currency"));
    let (active, keys) = (params.flag("active"), params.list("lookup_keys"));
    lists::page(space, params, "price", "/v1/prices", |price| {
        product.is_none_or(|id| text(price, "product") == id)
            && kind.is_none_or(|kind| text(price, "type") == kind)
            && currency.is_none_or(|code| text(price, "currency") == code)
            && active.is_none_or(|active| flag(price, "active") == active)
            && keys.is_none_or(|keys| keys.contains(&price["lookup_key"]))
    })
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("price", call.id())
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut price = space.at("price", call.id())?;
    call.params.copy(&mut price, "active nickname lookup_key tax_behavior");
    call.params.merge_metadata(&mut price);
    space.change(&price, "price.updated");
    Ok(price)
}

/// The price that `{price}` or `{price_data: {…}}` names; one that is described is made.
pub(crate) fn resolve(space: &mut Space, item: &Value, param: &str) -> Answer {
    if let Some(id) = item["price"].as_str() {
        let price = space.named("price", id, &format!("{param}[price]"))?;
        if flag(&price, "active") {
            return Ok(price);
        }
        let message = "The price specified is inactive. This field only accepts active prices.";
        return Err(ApiError::invalid(&format!("{param}[price]"), message));
    }
    let described = &item["price_data"];
    let product = described["product"].as_str();
    let product = product.ok_or_else(|| ApiError::missing_param(&format!("{param}[price]")))?;
    space.named("product", product, &format!("{param}[price_data][product]"))?;
    let mut price = draft(space, &Params::of(described.clone()), product)?;
    price["active"] = json!(false);
    space.store.put(price.clone());
    Ok(price)
}

/// How many of a price an item has, one where it does not say.
pub(crate) fn quantity(item: &Value, param: &str) -> Result<i64, ApiError> {
    match item.get("quantity") {
        Some(quantity) => nested_int(quantity, &format!("{param}[quantity]")),
        None => Ok(1),
    }
}

/// What some of a price cost.
pub(crate) fn total(price: &Value, quantity: i64) -> Result<i64, ApiError> {
    let total = int(price, "unit_amount").checked_mul(quantity);
    total.ok_or_else(|| ApiError::invalid("quantity", "The amount would be too large."))
}
