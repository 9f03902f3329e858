//! Apigee Edge's monetization paths, `/v1/mint/organizations/{organization}/…`.
//!
//! A view, not a second book: packages, plans and acceptances are the catalogue's, balances the
//! ledger's, so what is done here shows in Apigee X's paths and the other way round. What differs
//! are shapes: decimals, dates, lists with `totalRecords`, and errors as `{code,message,contexts}`.
//!
//! Invariants: no float touches money or units (`decimal`); a transaction counts once for each
//! `Idempotency-Key`; without `force=true` nothing is booked that the balance does not cover.
//! Not here: prices and bands (`ledger-store::catalogue::pricing`), booking (`ledger-store::book`).

mod accepted;
mod credits;
mod date;
mod decimal;
mod developers;
pub(crate) mod error;
mod packages;
mod prepaid;
mod query;
mod rate_plans;
mod shapes;
mod transactions;
mod usage;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

use crate::router::Api;
use crate::routes::wallets;

/// All paths, below `/v1`.
pub(crate) fn paths(api: &Api) -> Router<Api> {
    let at = |path: &str| format!("/mint/organizations/{{organization}}{path}");
    let accepted = Router::new()
        .route(&at("/developers/{developer}/developer-rateplans"), post(accepted::accept))
        .route(
            &at("/developers/{developer}/developer-rateplans/{acceptance}"),
            get(accepted::get).put(accepted::update).delete(accepted::delete),
        )
        .layer(middleware::from_fn_with_state(api.clone(), wallets::follow_changes));
    Router::new()
        .route(&at("/transactions"), post(transactions::create))
        .route(&at("/developers"), get(developers::list))
        .route(&at("/developers/{developer}"), get(developers::get))
        .route(
            &at("/developers/{developer}/developer-balances"),
            get(developers::balances).post(developers::top_up),
        )
        .route(&at("/developers/{developer}/prepaid-developer-balance"), get(prepaid::get))
        .route(&at("/developers/{developer}/developer-accepted-rateplans"), get(accepted::list))
        .route(&at("/suspended-developers"), get(developers::suspended))
        .route(&at("/suspended-developers/{developer}"), get(developers::suspended_one))
        .merge(package_paths())
        .merge(accepted)
        .layer(middleware::from_fn(error::reshape))
}

fn package_paths() -> Router<Api> {
    let at = |path: &str| format!("/mint/organizations/{{organization}}{path}");
    let package = |path: &str| at(&format!("/monetization-packages/{{package}}{path}"));
    Router::new()
        .route(&at("/monetization-packages"), get(packages::list).post(packages::create))
        .route(&package(""), get(packages::get).put(packages::update).delete(packages::delete))
        .route(
            &package("/products/{product}"),
            post(packages::add_product).delete(packages::remove_product),
        )
        .route(&package("/rate-plans"), get(rate_plans::list).post(rate_plans::create))
        .route(
            &package("/rate-plans/{plan}"),
            get(rate_plans::get).put(rate_plans::update).delete(rate_plans::delete),
        )
        .route(
            &package("/rate-plans/{plan}/real-currency-credit-transactions"),
            post(credits::create),
        )
        .route(&at("/rate-plans"), get(rate_plans::list_all))
        .route(&at("/rate-plans/{plan}"), get(rate_plans::get_one))
        .route(&at("/products"), get(packages::products))
        .route(&at("/products/{product}"), get(packages::product))
}

/// What the description of the API says of all of them.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    transactions::describe(paths);
    developers::describe(paths);
    accepted::describe(paths);
    packages::describe(paths);
    rate_plans::describe(paths);
    credits::describe(paths);
    prepaid::describe(paths);
}
