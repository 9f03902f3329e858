//! Every route × every role. A route that has no row here fails the test, and so does a row without
//! its route.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, header};
use serde_json::Value;
use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::{
    Catalogue, Clock, DocumentStore, Ledger, LedgerMetrics, RateSource, SqliteLedger, SystemClock,
};
use tower::Service;

use super::*;
use crate::auth::{Authorizer, Unidentified};
use crate::{Limits, Metrics, NoExposures, Parts};

/// Method, path below the root and what it needs; several methods at once where one handler has
/// them all. Paths of one kind stand together.
const ROUTES: &[(&str, &str, Option<Permission>)] = {
    use Permission as P;
    const ORGANIZATION: &str = "/v1/organizations/{organization}";
    &[
        ("GET", "/healthz", None),
        ("GET", "/readyz", None),
        ("GET", "/openapi.json", None),
        ("GET", "/v1/organizations", Some(P::OrganizationsList)),
        ("POST", "/v1/organizations", Some(P::OrganizationsCreate)),
        ("GET", ORGANIZATION, Some(P::OrganizationsRead)),
        ("PUT POST", ORGANIZATION, Some(P::OrganizationsWrite)),
        ("POST", "…/{verb}", Some(P::OrganizationsWrite)),
        // AppGroups.
        ("GET", "…/appgroups", Some(P::DevelopersRead)),
        ("POST", "…/appgroups", Some(P::DevelopersWrite)),
        ("GET", "…/appgroups/{appgroup}", Some(P::DevelopersRead)),
        ("PUT DELETE", "…/appgroups/{appgroup}", Some(P::DevelopersWrite)),
        ("GET", "…/appgroups/{appgroup}/monetizationConfig", Some(P::DevelopersRead)),
        ("PUT", "…/appgroups/{appgroup}/monetizationConfig", Some(P::DevelopersWrite)),
        ("GET", "…/appgroups/{appgroup}/balance", Some(P::BalancesRead)),
        ("GET", "…/appgroups/{appgroup}/balance:entries", Some(P::BalancesRead)),
        ("POST", "…/appgroups/{appgroup}/balance:credit", Some(P::BalancesCredit)),
        ("POST", "…/appgroups/{appgroup}/balance/:credit", Some(P::BalancesCredit)),
        ("POST", "…/appgroups/{appgroup}/balance:adjust", Some(P::BalancesAdjust)),
        ("POST", "…/appgroups/{appgroup}/balance/:adjust", Some(P::BalancesAdjust)),
        ("GET", "…/appgroups/{appgroup}/wallets", Some(P::BalancesRead)),
        ("GET", "…/appgroups/{appgroup}/wallets/{currency}", Some(P::BalancesRead)),
        ("PATCH", "…/appgroups/{appgroup}/wallets/{currency}", Some(P::WalletsWrite)),
        ("GET", "…/appgroups/{appgroup}/subscriptions", Some(P::SubscriptionsRead)),
        ("POST", "…/appgroups/{appgroup}/subscriptions", Some(P::SubscriptionsWrite)),
        ("GET", "…/appgroups/{appgroup}/subscriptions/{subscription}", Some(P::SubscriptionsRead)),
        (
            "POST",
            "…/appgroups/{appgroup}/subscriptions/{subscription}",
            Some(P::SubscriptionsWrite),
        ),
        (
            "POST",
            "…/appgroups/{appgroup}/subscriptions/{subscription}/{verb}",
            Some(P::SubscriptionsWrite),
        ),
        ("GET", "…/appgroups/{appgroup}/apps", Some(P::AppsRead)),
        ("POST", "…/appgroups/{appgroup}/apps", Some(P::AppsWrite)),
        ("GET", "…/appgroups/{appgroup}/apps/{app}", Some(P::AppsRead)),
        ("PUT DELETE", "…/appgroups/{appgroup}/apps/{app}", Some(P::AppsWrite)),
        ("POST", "…/appgroups/{appgroup}/apps/{app}/keys", Some(P::AppsWrite)),
        ("GET", "…/appgroups/{appgroup}/apps/{app}/keys/{key}", Some(P::AppsRead)),
        ("POST DELETE", "…/appgroups/{appgroup}/apps/{app}/keys/{key}", Some(P::AppsWrite)),
        (
            "POST DELETE",
            "…/appgroups/{appgroup}/apps/{app}/keys/{key}/apiproducts/{product}",
            Some(P::AppsWrite),
        ),
        // Tokens.
        ("GET", "/v1/tokens", Some(P::TokensRead)),
        ("POST", "/v1/tokens", Some(P::TokensWrite)),
        ("GET", "/v1/tokens/{token}", Some(P::TokensRead)),
        ("DELETE", "/v1/tokens/{token}", Some(P::TokensWrite)),
        ("GET", "/v1/audit", Some(P::TokensRead)),
        ("GET", "…/audit", Some(P::AuditRead)),
        // Developers.
        ("GET", "…/developers", Some(P::DevelopersRead)),
        ("POST", "…/developers", Some(P::DevelopersWrite)),
        ("GET", "…/developers/{developer}", Some(P::DevelopersRead)),
        ("PUT POST DELETE", "…/developers/{developer}", Some(P::DevelopersWrite)),
        ("GET", "…/developers/{developer}/monetizationConfig", Some(P::DevelopersRead)),
        ("PUT", "…/developers/{developer}/monetizationConfig", Some(P::DevelopersWrite)),
        ("GET", "…/developers/{developer}/attributes", Some(P::DevelopersRead)),
        ("POST", "…/developers/{developer}/attributes", Some(P::DevelopersWrite)),
        ("GET", "…/developers/{developer}/attributes/{attribute}", Some(P::DevelopersRead)),
        (
            "POST DELETE",
            "…/developers/{developer}/attributes/{attribute}",
            Some(P::DevelopersWrite),
        ),
        // Money.
        ("GET", "…/developers/{developer}/balance", Some(P::BalancesRead)),
        ("GET", "…/developers/{developer}/balance:entries", Some(P::BalancesRead)),
        ("POST", "…/developers/{developer}/balance:credit", Some(P::BalancesCredit)),
        ("POST", "…/developers/{developer}/balance/:credit", Some(P::BalancesCredit)),
        ("POST", "…/developers/{developer}/balance:adjust", Some(P::BalancesAdjust)),
        ("POST", "…/developers/{developer}/balance/:adjust", Some(P::BalancesAdjust)),
        ("GET", "…/developers/{developer}/wallets", Some(P::BalancesRead)),
        ("GET", "…/developers/{developer}/wallets/{currency}", Some(P::BalancesRead)),
        ("PATCH", "…/developers/{developer}/wallets/{currency}", Some(P::WalletsWrite)),
        // Top-ups.
        ("POST", "…/developers/{developer}/balance:topUp", Some(P::BalancesCredit)),
        ("POST", "…/developers/{developer}/balance/:topUp", Some(P::BalancesCredit)),
        ("GET", "…/developers/{developer}/topups", Some(P::BalancesRead)),
        ("GET", "…/developers/{developer}/topups/{topup}", Some(P::BalancesRead)),
        (
            "GET",
            "…/developers/{developer}/wallets/{currency}/automaticTopUp",
            Some(P::BalancesRead),
        ),
        (
            "PUT DELETE",
            "…/developers/{developer}/wallets/{currency}/automaticTopUp",
            Some(P::BalancesCredit),
        ),
        ("POST", "…/appgroups/{appgroup}/balance:topUp", Some(P::BalancesCredit)),
        ("POST", "…/appgroups/{appgroup}/balance/:topUp", Some(P::BalancesCredit)),
        ("GET", "…/appgroups/{appgroup}/topups", Some(P::BalancesRead)),
        ("GET", "…/appgroups/{appgroup}/topups/{topup}", Some(P::BalancesRead)),
        ("GET", "…/appgroups/{appgroup}/wallets/{currency}/automaticTopUp", Some(P::BalancesRead)),
        (
            "PUT DELETE",
            "…/appgroups/{appgroup}/wallets/{currency}/automaticTopUp",
            Some(P::BalancesCredit),
        ),
        ("POST", "/stripe/webhooks/{organization}/{billing}", None),
        // Subscriptions.
        ("GET", "…/reports/charges", Some(P::ReportsRead)),
        ("GET", "…/developers/{developer}/reports/charges", Some(P::ReportsRead)),
        ("GET", "…/developers/{developer}/statements/{currency}", Some(P::ReportsRead)),
        ("GET", "…/developers/{developer}/explain/{currency}", Some(P::ReportsRead)),
        ("POST", "…/developers/{developer}/reprice/{currency}", Some(P::ReportsRead)),
        ("GET", "…/developers/{developer}/subscriptions", Some(P::SubscriptionsRead)),
        ("POST", "…/developers/{developer}/subscriptions", Some(P::SubscriptionsWrite)),
        (
            "GET",
            "…/developers/{developer}/subscriptions/{subscription}",
            Some(P::SubscriptionsRead),
        ),
        (
            "POST",
            "…/developers/{developer}/subscriptions/{subscription}",
            Some(P::SubscriptionsWrite),
        ),
        (
            "POST",
            "…/developers/{developer}/subscriptions/{subscription}/{verb}",
            Some(P::SubscriptionsWrite),
        ),
        // Apps and keys.
        ("GET", "…/developers/{developer}/apps", Some(P::AppsRead)),
        ("POST", "…/developers/{developer}/apps", Some(P::AppsWrite)),
        ("GET", "…/developers/{developer}/apps/{app}", Some(P::AppsRead)),
        ("PUT POST DELETE", "…/developers/{developer}/apps/{app}", Some(P::AppsWrite)),
        ("GET", "…/developers/{developer}/apps/{app}/attributes", Some(P::AppsRead)),
        ("POST", "…/developers/{developer}/apps/{app}/attributes", Some(P::AppsWrite)),
        ("GET", "…/developers/{developer}/apps/{app}/attributes/{attribute}", Some(P::AppsRead)),
        (
            "POST DELETE",
            "…/developers/{developer}/apps/{app}/attributes/{attribute}",
            Some(P::AppsWrite),
        ),
        ("POST", "…/developers/{developer}/apps/{app}/keys", Some(P::AppsWrite)),
        ("POST", "…/developers/{developer}/apps/{app}/keys/create", Some(P::AppsWrite)),
        ("GET", "…/developers/{developer}/apps/{app}/keys/{key}", Some(P::AppsRead)),
        ("PUT POST DELETE", "…/developers/{developer}/apps/{app}/keys/{key}", Some(P::AppsWrite)),
        (
            "POST DELETE",
            "…/developers/{developer}/apps/{app}/keys/{key}/apiproducts/{product}",
            Some(P::AppsWrite),
        ),
        // Products and plans.
        ("GET", "…/apps", Some(P::AppsRead)),
        ("GET", "…/apps/{app}", Some(P::AppsRead)),
        ("GET", "…/apiproducts", Some(P::ProductsRead)),
        ("POST", "…/apiproducts", Some(P::ProductsWrite)),
        ("GET", "…/apiproducts/{product}", Some(P::ProductsRead)),
        ("PUT POST DELETE", "…/apiproducts/{product}", Some(P::ProductsWrite)),
        ("POST", "…/apiproducts/{product}/{verb}", Some(P::ProductsWrite)),
        ("GET", "…/apiproducts/{product}/attributes", Some(P::ProductsRead)),
        ("POST", "…/apiproducts/{product}/attributes", Some(P::ProductsWrite)),
        ("GET", "…/apiproducts/{product}/attributes/{attribute}", Some(P::ProductsRead)),
        ("POST DELETE", "…/apiproducts/{product}/attributes/{attribute}", Some(P::ProductsWrite)),
        ("GET", "…/apiproducts/{product}/rateplans", Some(P::ProductsRead)),
        ("POST", "…/apiproducts/{product}/rateplans", Some(P::ProductsWrite)),
        ("GET", "…/apiproducts/{product}/rateplans/{plan}", Some(P::ProductsRead)),
        ("PUT DELETE", "…/apiproducts/{product}/rateplans/{plan}", Some(P::ProductsWrite)),
        // Edge.
        ("POST", "mint…/transactions", Some(P::UsageWrite)),
        ("GET", "mint…/developers", Some(P::DevelopersRead)),
        ("GET", "mint…/developers/{developer}", Some(P::DevelopersRead)),
        ("GET", "mint…/developers/{developer}/developer-balances", Some(P::BalancesRead)),
        ("POST", "mint…/developers/{developer}/developer-balances", Some(P::BalancesCredit)),
        ("GET", "mint…/developers/{developer}/prepaid-developer-balance", Some(P::BalancesRead)),
        (
            "GET",
            "mint…/developers/{developer}/developer-accepted-rateplans",
            Some(P::SubscriptionsRead),
        ),
        ("POST", "mint…/developers/{developer}/developer-rateplans", Some(P::SubscriptionsWrite)),
        (
            "GET",
            "mint…/developers/{developer}/developer-rateplans/{acceptance}",
            Some(P::SubscriptionsRead),
        ),
        (
            "PUT DELETE",
            "mint…/developers/{developer}/developer-rateplans/{acceptance}",
            Some(P::SubscriptionsWrite),
        ),
        ("GET", "mint…/suspended-developers", Some(P::DevelopersRead)),
        ("GET", "mint…/suspended-developers/{developer}", Some(P::DevelopersRead)),
        ("GET", "mint…/monetization-packages", Some(P::ProductsRead)),
        ("POST", "mint…/monetization-packages", Some(P::ProductsWrite)),
        ("GET", "mint…/monetization-packages/{package}", Some(P::ProductsRead)),
        ("PUT DELETE", "mint…/monetization-packages/{package}", Some(P::ProductsWrite)),
        (
            "POST DELETE",
            "mint…/monetization-packages/{package}/products/{product}",
            Some(P::ProductsWrite),
        ),
        ("GET", "mint…/monetization-packages/{package}/rate-plans", Some(P::ProductsRead)),
        ("POST", "mint…/monetization-packages/{package}/rate-plans", Some(P::ProductsWrite)),
        ("GET", "mint…/monetization-packages/{package}/rate-plans/{plan}", Some(P::ProductsRead)),
        (
            "PUT DELETE",
            "mint…/monetization-packages/{package}/rate-plans/{plan}",
            Some(P::ProductsWrite),
        ),
        (
            "POST",
            "mint…/monetization-packages/{package}/rate-plans/{plan}/real-currency-credit-transactions",
            Some(P::BalancesAdjust),
        ),
        ("GET", "mint…/rate-plans", Some(P::ProductsRead)),
        ("GET", "mint…/rate-plans/{plan}", Some(P::ProductsRead)),
        ("GET", "mint…/products", Some(P::ProductsRead)),
        ("GET", "mint…/products/{product}", Some(P::ProductsRead)),
    ]
};

/// Which roles have a permission besides admin, which has all.
fn roles(permission: Permission) -> &'static [Role] {
    use Permission as P;
    use Role::{BalancesRead, Portal, Provider, Viewer};
    match permission {
        P::OrganizationsCreate | P::TokensRead | P::TokensWrite => &[],
        P::SettingsRead => &[Provider, Viewer],
        P::OrganizationsWrite
        | P::DevelopersWrite
        | P::AppsWrite
        | P::ProductsWrite
        | P::SubscriptionsWrite
        | P::BalancesAdjust
        | P::WalletsWrite
        | P::UsageWrite
        | P::SettingsManage => &[Provider],
        P::BalancesCredit => &[Provider, Portal],
        P::OrganizationsList
        | P::AppsRead
        | P::ProductsRead
        | P::SubscriptionsRead
        | P::ReportsRead
        | P::AuditRead => &[Provider, Viewer],
        P::OrganizationsRead | P::DevelopersRead => &[Provider, Viewer, Portal],
        P::BalancesRead => &[Provider, Viewer, Portal, BalancesRead],
    }
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A token is its role, and `@` and an organization.
struct Words;

#[async_trait]
impl Authorizer for Words {
    async fn identify(&self, token: &str) -> Result<Identity, Unidentified> {
        let (role, organization) = token.split_once('@').unwrap_or((token, ""));
        let role = role.parse().map_err(|_| Unidentified::Unknown)?;
        let organization = Some(organization.to_owned()).filter(|name| !name.is_empty());
        Ok(Identity { name: token.to_owned(), role, organization, permissions: Vec::new() })
    }
}

fn api(directory: &std::path::Path) -> Router {
    let registry = prometheus::Registry::new();
    let metrics = LedgerMetrics::register(&registry).unwrap();
    let sqlite = Arc::new(SqliteLedger::open(&directory.join("ledger.sqlite"), metrics).unwrap());
    let ledger = Arc::clone(&sqlite) as Arc<dyn Ledger>;
    let documents = sqlite as Arc<dyn DocumentStore>;
    let catalogue = Arc::new(Catalogue::new(documents, Arc::clone(&ledger)));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let rates = Arc::clone(&catalogue) as Arc<dyn RateSource>;
    crate::router::router(Parts {
        book: Arc::new(Book::new(Arc::clone(&ledger), rates, Arc::clone(&clock))),
        ledger,
        catalogue,
        clock,
        authorizer: Arc::new(Words),
        metrics: Metrics::register(&registry).unwrap(),
        exposures: Arc::new(NoExposures),
        limits: Limits::default(),
        billing: None,
    })
}

/// Every path that the router knows: as `Debug` shows them, there is no other way to ask.
fn paths(router: &Router) -> Vec<String> {
    let shown = format!("{router:?}");
    let paths = shown.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/'));
    let mut paths: Vec<String> = paths
        .filter(|path| path.len() > 1 && !path.contains("__private__"))
        .map(str::to_owned)
        .collect();
    paths.sort();
    paths.dedup();
    assert!(paths.len() > 30, "{shown}");
    paths
}

/// What is answered: status, and the permission that is missing.
async fn ask(router: &mut Router, method: &str, path: &str, token: &str) -> (u16, String) {
    let filled: Vec<&str> = path
        .split('/')
        .map(|segment| match segment {
            "{organization}" => "acme",
            segment if segment.starts_with('{') => "x",
            segment => segment,
        })
        .collect();
    let mut request = Request::builder().method(method).uri(filled.join("/"));
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = router.call(request.body(Body::from("{}")).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let missing = body["error"]["details"][0]["metadata"]["permission"].as_str();
    // Edge's shape has it in the contexts.
    let missing = missing.or_else(|| body["contexts"][0]["value"].as_str());
    (status, missing.unwrap_or_default().to_owned())
}

/// The rows by method and whole path.
fn rows() -> BTreeMap<(String, String), Option<Permission>> {
    let mut rows = BTreeMap::new();
    for (methods, path, permission) in ROUTES {
        for method in methods.split(' ') {
            let path = path.replace("mint…", "/v1/mint/organizations/{organization}");
            let path = path.replace('…', "/v1/organizations/{organization}");
            assert!(
                rows.insert((method.to_owned(), path.clone()), *permission).is_none(),
                "{path}"
            );
        }
    }
    rows
}

#[tokio::test]
async fn every_route_asks_for_the_permission_of_its_row() {
    let directory = tempfile::tempdir().unwrap();
    let mut router = api(directory.path());
    let mut rows = rows();
    for path in paths(&router) {
        for method in METHODS {
            let (status, missing) = ask(&mut router, method, &path, "").await;
            if status == 405 {
                continue;
            }
            let row = rows.remove(&(method.to_owned(), path.clone()));
            let permission = row.unwrap_or_else(|| panic!("{method} {path} needs a row"));
            let Some(permission) = permission else { continue };
            let wanted = permission.as_str().to_owned();
            assert_eq!((status, &missing), (401, &wanted), "{method} {path} without a token");
            for role in Role::ALL {
                let has_it = role == Role::Admin || roles(permission).contains(&role);
                let (status, missing) = ask(&mut router, method, &path, role.as_str()).await;
                if has_it {
                    assert!(![401, 403].contains(&status), "{method} {path} as {role}: {status}");
                } else {
                    assert_eq!((status, &missing), (403, &wanted), "{method} {path} as {role}");
                }
                // Bound to the organization of the path, if it has one, and to another.
                let is_anywhere = permission == Permission::OrganizationsList
                    || permission == Permission::OrganizationsCreate;
                let is_own = is_anywhere || path.contains("{organization}");
                let own = ask(&mut router, method, &path, &format!("{role}@acme")).await;
                assert_eq!(own.0 != 403, has_it && is_own, "{method} {path} as {role} of its own");
                let other = ask(&mut router, method, &path, &format!("{role}@other")).await;
                assert_eq!(other.0 != 403, has_it && is_anywhere, "{method} {path} as {role}");
            }
        }
    }
    assert_eq!(rows, BTreeMap::new(), "rows without a route");
}

/// Entries of a log.
async fn log_length(router: &mut Router, log: &str) -> usize {
    let request = Request::builder().uri(format!("{log}?count=1000"));
    let request = request.header(header::AUTHORIZATION, "Bearer admin").body(Body::empty());
    let response = router.call(request.unwrap()).await.unwrap();
    let body = to_bytes(response.into_body(), 64 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    body["entries"].as_array().unwrap().len()
}

/// Whatever a route changes, and however it ends, whoever may change it is in the audit log.
#[tokio::test]
async fn every_write_leaves_an_entry() {
    let directory = tempfile::tempdir().unwrap();
    let mut router = api(directory.path());
    let made = Request::builder().method("POST").uri("/v1/organizations");
    let made = made.header(header::AUTHORIZATION, "Bearer admin");
    let made = router.call(made.body(Body::from(r#"{"name":"acme"}"#)).unwrap()).await.unwrap();
    assert_eq!(made.status(), 201);
    let (rows, mut writes) = (rows(), 0);
    for path in paths(&router) {
        let log = match path.contains("{organization}") {
            true => "/v1/organizations/acme/audit",
            false => "/v1/audit",
        };
        for method in METHODS.into_iter().filter(|method| *method != "GET") {
            // What asks for no permission proves in another way who asks, as a payment provider does.
            let Some(Some(_)) = rows.get(&(method.to_owned(), path.clone())) else { continue };
            let before = log_length(&mut router, log).await;
            let (status, _) = ask(&mut router, method, &path, "admin").await;
            assert_eq!(log_length(&mut router, log).await, before + 1, "{method} {path}: {status}");
            writes += 1;
        }
    }
    assert!(writes > 50, "{writes}");
}

#[test]
fn the_table_says_what_each_role_may() {
    for permission in Permission::ALL {
        for role in Role::ALL {
            let has_it = role == Role::Admin || roles(*permission).contains(&role);
            assert_eq!(permission.is_of(role), has_it, "{role} {permission}");
        }
    }
}
