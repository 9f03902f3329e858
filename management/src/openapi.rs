//! The OpenAPI 3.1 description of the API, which `GET /openapi.json` serves.
//!
//! It is made from the code: bodies from the types that read and write them, so that a renamed
//! field is renamed here too, and paths from the `describe` function at the end of each module of
//! `routes`, beside the handlers. A line there is all that a new route needs:
//!
//! ```text
//! paths.get("/v1/organizations/{organization}/things", "Lists things").paged().answers::<ThingList>(200);
//! ```
//!
//! and, for a new module, a line in [`MODULES`]. The types of bodies derive `JsonSchema`; a 64-bit
//! number is `#[schemars(with = "crate::openapi::Int64Text")]` in answers and `Int64Input` in
//! requests. The test `every_route_is_described` names the routes that have no description.
//! Not here: which routes there are (`router`).

mod document;
mod numbers;
mod paths;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;

pub(crate) use numbers::{Int32Input, Int64Input, Int64Text};
pub(crate) use paths::{Describing, Paths};

use crate::routes::{
    appgroups, apps, attributes, audit, balances, billing, developers, explain, health, keys,
    org_apps, organizations, plans, products, reports, subscriptions, tokens, wallets,
};

/// What describes the routes, a module each.
const MODULES: [fn(&mut Paths); 20] = [
    organizations::describe,
    developers::describe,
    balances::describe,
    wallets::describe,
    subscriptions::describe,
    apps::describe,
    appgroups::describe,
    org_apps::describe,
    attributes::describe,
    keys::describe,
    products::describe,
    plans::describe,
    tokens::describe,
    audit::describe,
    reports::describe,
    explain::describe,
    billing::topups::describe,
    billing::webhooks::describe,
    health::describe,
    crate::mint::describe,
];

/// The document, made once.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let document = serde_json::to_string_pretty(&describe());
    document.expect("a value has string keys")
});

/// `GET /openapi.json`: for everybody, since it tells nothing about anybody.
pub(crate) async fn serve() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json; charset=UTF-8")];
    (kind, DOCUMENT.as_str()).into_response()
}

fn describe() -> serde_json::Value {
    let mut paths = Paths::new();
    for describe in MODULES {
        describe(&mut paths);
    }
    document::document(paths)
}
