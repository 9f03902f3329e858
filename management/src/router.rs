//! The paths of the API, and what every request passes on its way to one.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use http::{Method, StatusCode};

use tollgate_billing::Billing;

use crate::audit::{Recorder, record};
use crate::auth::authenticate;
use crate::error::ApiError;
use crate::permission::may;
use crate::routes::attributes::Permitted;
use crate::routes::{
    appgroups, apps, attributes, audit, balances, billing, developers, explain, health, keys,
    org_apps, organizations, plans, products, reports, subscriptions, tokens, wallets,
};
use crate::{Parts, mint, openapi, respond};

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct Api(Arc<Parts>);

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Api {
    /// Billing, where it is enabled.
    pub(crate) fn billing(&self) -> Result<&Billing, ApiError> {
        self.billing.as_ref().ok_or(ApiError::BillingOff)
    }
}

/// All paths over these parts.
pub(crate) fn router(parts: Parts) -> Router {
    let api = Api(Arc::new(parts));
    let v1 = organization_paths()
        .without_v07_checks()
        .merge(developer_paths())
        .merge(access_paths(&api))
        .merge(app_group_paths(&api))
        .merge(top_up_paths())
        .merge(product_paths())
        .merge(token_paths())
        .merge(audit_paths())
        .merge(report_paths())
        .merge(mint::paths(&api));
    let recorder = Recorder { api: api.clone(), routes: v1.clone().with_state(api.clone()) };
    let v1 = v1
        .layer(middleware::from_fn_with_state(recorder, record))
        .layer(middleware::from_fn_with_state(api.clone(), authenticate));
    Router::new()
        .without_v07_checks()
        .nest("/v1", v1)
        .route("/stripe/webhooks/{organization}/{billing}", post(billing::webhooks::receive))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::serve))
        .fallback(async || ApiError::NoSuchPath)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(middleware::from_fn_with_state(api.clone(), limit_time))
        .layer(middleware::from_fn_with_state(api.clone(), measure))
        .with_state(api)
}

fn organization_paths() -> Router<Api> {
    Router::new()
        .route("/organizations", get(organizations::list).post(organizations::create))
        .route(
            "/organizations/{organization}",
            get(organizations::get).put(organizations::update).post(organizations::verb),
        )
        .route("/organizations/{organization}/{verb}", post(organizations::verb_apart))
        .route("/organizations/{organization}/apps", get(org_apps::list))
        .route("/organizations/{organization}/apps/{app}", get(org_apps::get))
}

fn developer_paths() -> Router<Api> {
    let at = |path: &str| format!("/organizations/{{organization}}/developers{path}");
    // Axum takes a colon for a leftover of its older syntax, unless it is told.
    Router::new()
        .without_v07_checks()
        .route(&at(""), get(developers::list).post(developers::create))
        .route(
            &at("/{developer}"),
            get(developers::get)
                .put(developers::update)
                .post(developers::act)
                .delete(developers::delete),
        )
        .route(
            &at("/{developer}/monetizationConfig"),
            get(developers::monetization_config).put(developers::set_monetization_config),
        )
        .route(
            &at("/{developer}/attributes"),
            all_attributes::<may::DevelopersRead, may::DevelopersWrite>(),
        )
        .route(
            &at("/{developer}/attributes/{attribute}"),
            one_attribute::<may::DevelopersRead, may::DevelopersWrite>(),
        )
        .route(&at("/{developer}/balance"), get(balances::get))
        .route(&at("/{developer}/balance:credit"), post(balances::credit))
        .route(&at("/{developer}/balance/:credit"), post(balances::credit))
        .route(&at("/{developer}/balance:adjust"), post(balances::adjust))
        .route(&at("/{developer}/balance/:adjust"), post(balances::adjust))
        .route(&at("/{developer}/balance:entries"), get(balances::entries))
        .route(&at("/{developer}/wallets"), get(wallets::list))
        .route(&at("/{developer}/wallets/{currency}"), get(wallets::get).patch(wallets::patch))
}

/// What decides which API products a developer uses, and so under which overspend policy.
fn access_paths(api: &Api) -> Router<Api> {
    let at = |path: &str| format!("/organizations/{{organization}}/developers{path}");
    Router::new()
        .without_v07_checks()
        .route(&at("/{developer}/subscriptions"), get(subscriptions::list).post(subscriptions::buy))
        .route(
            &at("/{developer}/subscriptions/{subscription}"),
            get(subscriptions::get).post(subscriptions::verb),
        )
        .route(
            &at("/{developer}/subscriptions/{subscription}/{verb}"),
            post(subscriptions::verb_apart),
        )
        .route(&at("/{developer}/apps"), get(apps::list).post(apps::create))
        .route(
            &at("/{developer}/apps/{app}"),
            get(apps::get).put(apps::update).post(apps::act).delete(apps::delete),
        )
        .route(
            &at("/{developer}/apps/{app}/attributes"),
            all_attributes::<may::AppsRead, may::AppsWrite>(),
        )
        .route(
            &at("/{developer}/apps/{app}/attributes/{attribute}"),
            one_attribute::<may::AppsRead, may::AppsWrite>(),
        )
        .route(&at("/{developer}/apps/{app}/keys"), post(keys::create))
        .route(&at("/{developer}/apps/{app}/keys/create"), post(keys::create))
        .route(
            &at("/{developer}/apps/{app}/keys/{key}"),
            get(keys::get).put(keys::update).post(keys::act).delete(keys::delete),
        )
        .route(
            &at("/{developer}/apps/{app}/keys/{key}/apiproducts/{product}"),
            post(keys::act_on_product).merge(delete(keys::detach)),
        )
        .layer(middleware::from_fn_with_state(api.clone(), wallets::follow_changes))
}

fn product_paths() -> Router<Api> {
    let at = |path: &str| format!("/organizations/{{organization}}/apiproducts{path}");
    Router::new()
        .route(&at(""), get(products::list).post(products::create))
        .route(
            &at("/{product}"),
            get(products::get).put(products::update).post(products::verb).delete(products::delete),
        )
        .route(&at("/{product}/{verb}"), post(products::verb_apart))
        .route(
            &at("/{product}/attributes"),
            all_attributes::<may::ProductsRead, may::ProductsWrite>(),
        )
        .route(
            &at("/{product}/attributes/{attribute}"),
            one_attribute::<may::ProductsRead, may::ProductsWrite>(),
        )
        .route(&at("/{product}/rateplans"), get(plans::list).post(plans::create))
        .route(
            &at("/{product}/rateplans/{plan}"),
            get(plans::get).put(plans::update).delete(plans::delete),
        )
}

fn audit_paths() -> Router<Api> {
    Router::new()
        .route("/audit", get(audit::list_apart))
        .route("/organizations/{organization}/audit", get(audit::list))
}

fn token_paths() -> Router<Api> {
    Router::new()
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{token}", get(tokens::get).delete(tokens::revoke))
}

/// Attributes, for who may read (`R`) and write (`W`) what they belong to.
fn all_attributes<R: Permitted, W: Permitted>() -> MethodRouter<Api> {
    get(attributes::list::<R>).post(attributes::replace::<W>)
}

fn one_attribute<R: Permitted, W: Permitted>() -> MethodRouter<Api> {
    get(attributes::get::<R>).post(attributes::set::<W>).delete(attributes::remove::<W>)
}

fn report_paths() -> Router<Api> {
    let at = |path: &str| format!("/organizations/{{organization}}/developers/{{developer}}{path}");
    Router::new()
        .route("/organizations/{organization}/reports/charges", get(reports::charges))
        .route(&at("/reports/charges"), get(reports::charges_of))
        .route(&at("/statements/{currency}"), get(reports::statement))
        .route(&at("/explain/{currency}"), get(explain::explain))
        .route(&at("/reprice/{currency}"), post(explain::reprice))
}

/// Money that is paid at Stripe, by developers and AppGroups.
fn top_up_paths() -> Router<Api> {
    use billing::topups;
    let of = |owner: &str| {
        let at = |path: &str| format!("/organizations/{{organization}}/{owner}{path}");
        Router::new()
            .without_v07_checks()
            .route(&at("/balance:topUp"), post(topups::top_up))
            .route(&at("/balance/:topUp"), post(topups::top_up))
            .route(&at("/topups"), get(topups::list))
            .route(&at("/topups/{topup}"), get(topups::get))
            .route(
                &at("/wallets/{currency}/automaticTopUp"),
                get(topups::automatic).put(topups::set_automatic).delete(topups::unset_automatic),
            )
    };
    let of_groups = of("appgroups/{appgroup}").layer(middleware::from_fn(appgroups::of_groups));
    Router::new().without_v07_checks().merge(of("developers/{developer}")).merge(of_groups)
}

/// AppGroups: what is the same as for developers has the same handlers.
fn app_group_paths(api: &Api) -> Router<Api> {
    let at = |path: &str| format!("/organizations/{{organization}}/appgroups{path}");
    Router::new()
        .without_v07_checks()
        .route(&at(""), get(appgroups::list).post(appgroups::create))
        .route(
            &at("/{appgroup}"),
            get(appgroups::get).put(appgroups::update).delete(appgroups::delete),
        )
        .route(
            &at("/{appgroup}/monetizationConfig"),
            get(developers::monetization_config).put(developers::set_monetization_config),
        )
        .route(&at("/{appgroup}/balance"), get(balances::get))
        .route(&at("/{appgroup}/balance:credit"), post(balances::credit))
        .route(&at("/{appgroup}/balance/:credit"), post(balances::credit))
        .route(&at("/{appgroup}/balance:adjust"), post(appgroups::adjust))
        .route(&at("/{appgroup}/balance/:adjust"), post(appgroups::adjust))
        .route(&at("/{appgroup}/balance:entries"), get(balances::entries))
        .route(&at("/{appgroup}/wallets"), get(wallets::list))
        .route(&at("/{appgroup}/wallets/{currency}"), get(wallets::get).patch(wallets::patch))
        .merge(app_group_access_paths(api))
        .layer(middleware::from_fn(appgroups::of_groups))
}

fn app_group_access_paths(api: &Api) -> Router<Api> {
    let at = |path: &str| format!("/organizations/{{organization}}/appgroups/{{appgroup}}{path}");
    Router::new()
        .without_v07_checks()
        .route(&at("/subscriptions"), get(appgroups::subscriptions).post(appgroups::buy))
        .route(
            &at("/subscriptions/{subscription}"),
            get(subscriptions::get).post(subscriptions::verb),
        )
        .route(&at("/subscriptions/{subscription}/{verb}"), post(subscriptions::verb_apart))
        .route(&at("/apps"), get(appgroups::apps).post(appgroups::create_app))
        .route(
            &at("/apps/{app}"),
            get(appgroups::app).put(appgroups::update_app).delete(appgroups::delete_app),
        )
        .route(&at("/apps/{app}/keys"), post(keys::create))
        .route(
            &at("/apps/{app}/keys/{key}"),
            get(keys::get).post(appgroups::update_key).delete(keys::delete),
        )
        .route(
            &at("/apps/{app}/keys/{key}/apiproducts/{product}"),
            post(keys::act_on_product).merge(delete(keys::detach)),
        )
        .layer(middleware::from_fn_with_state(api.clone(), wallets::follow_changes))
}

/// Ends a request that takes too long.
async fn limit_time(State(api): State<Api>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(api.limits.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Timeout.into_response(),
    }
}

/// Counts requests and measures how long they take.
async fn measure(State(api): State<Api>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = label(request.method());
    let begun = api.clock.monotonic();
    let response = next.run(request).await;
    let took = api.clock.monotonic().saturating_sub(begun);
    api.metrics.count(method, &path, response.status(), took);
    response
}

/// Methods as label values: a client must not make new ones.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// A JSON answer with status 200.
pub(crate) fn ok<T: serde::Serialize>(value: &T) -> Response {
    respond::json_response(StatusCode::OK, value)
}

/// A JSON answer with status 201.
pub(crate) fn created<T: serde::Serialize>(value: &T) -> Response {
    respond::json_response(StatusCode::CREATED, value)
}

/// An empty answer with status 204.
pub(crate) fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
