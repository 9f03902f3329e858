//! Products: what is sold.

use serde_json::{Value, json};

use super::prices;
use crate::error::{Answer, ApiError};
use crate::lists;
use crate::object::{flag, text};
use crate::params::Params;
use crate::routes::{Call, Route, delete, get, list, post};
use crate::space::Space;

const CREATE: &str = "name! id active:flag description metadata:hash default_price_data:hash images:list \
                      unit_label statement_descriptor tax_code url shippable:flag type";
const UPDATE: &str = "name active:flag description metadata:hash default_price images:list unit_label \
                      statement_descriptor tax_code url shippable:flag";
const COPIED: &str = "name active description default_price images unit_label statement_descriptor tax_code url shippable type";

pub(crate) const ROUTES: &[Route] = &[
    post("products", CREATE, create),
    list("products", "active:flag ids:list url", all),
    get("products/{id}", "", retrieve),
    post("products/{id}", UPDATE, update),
    delete("products/{id}", remove),
];

fn create(space: &mut Space, call: &Call) -> Answer {
    let params = &call.params;
    let id = match params.text("id") {
        Some(id) if space.has("product", id) => {
            let message = format!("Product already exists: {id}");
            return Err(ApiError::state("resource_already_exists", message).with("param", "id"));
        }
        Some(id) => id.to_owned(),
        None => space.id("prod"),
    };
    let mut product = json!({
        "id": id, "object": "product", "active": true, "created": space.now, "default_price": null,
        "description": null, "images": [], "livemode": space.mode.is_live(), "marketing_features": [],
        "metadata": {}, "name": null, "package_dimensions": null, "shippable": null,
        "statement_descriptor": null, "tax_code": null, "type": "service", "unit_label": null,
        "updated": space.now, "url": null,
    });
    params.copy(&mut product, COPIED);
    params.merge_metadata(&mut product);
    let price = match params.hash("default_price_data") {
        Some(described) => Some(prices::draft(space, &Params::of(json!(described)), &id)?),
        None => None,
    };
    product["default_price"] = price.as_ref().map_or(Value::Null, |price| price["id"].clone());
    space.create(&product, "product.created");
    if let Some(price) = price {
        space.create(&price, "price.created");
    }
    Ok(product)
}

fn all(space: &mut Space, call: &Call) -> Answer {
    let active = call.params.flag("active");
    let ids = call.params.list("ids");
    lists::page(space, &call.params, "product", "/v1/products", |product| {
        active.is_none_or(|active| flag(product, "active") == active)
            && ids.is_none_or(|ids| ids.contains(&product["id"]))
    })
}

fn retrieve(space: &mut Space, call: &Call) -> Answer {
    space.at("product", call.id())
}

fn update(space: &mut Space, call: &Call) -> Answer {
    let mut product = space.at("product", call.id())?;
    if let Some(price) = call.params.text("default_price") {
        space.named("price", price, "default_price")?;
    }
    call.params.copy(&mut product, COPIED);
    call.params.merge_metadata(&mut product);
    product["updated"] = json!(space.now);
    space.change(&product, "product.updated");
    Ok(product)
}

fn remove(space: &mut Space, call: &Call) -> Answer {
    let product = space.at("product", call.id())?;
    if space.store.newest_first("price").any(|price| text(price, "product") == call.id()) {
        let message =
            "This product cannot be deleted because it has one or more user-created prices.";
        return Err(ApiError::state("product_has_prices", message));
    }
    space.store.remove("product", call.id());
    space.emit("product.deleted", &product);
    Ok(json!({ "id": call.id(), "object": "product", "deleted": true }))
}
