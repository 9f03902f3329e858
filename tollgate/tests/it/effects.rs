//! What people change takes effect on every gateway within a second of the management API's answer.
//!
//! Two nodes over one ledger and three gateways, all processes of their own. A change is made at one node; every gateway is
//! asked without a pause until it does what was changed, and the time from the API's answer to the last of them is held against
//! the second that is promised. The gateways knew the key and its plan before, so what is timed is that they forget.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::{Answer, Portal, get, nanos};
use crate::support::parts::{Developer, Gateway, Node, Site};
use crate::support::upstream::Upstream;
use crate::support::{DEADLINE, eventually, now};

/// Nanos of one.
const UNIT: i128 = 1_000_000_000;
/// What is promised.
const PROMISED: Duration = Duration::from_secs(1);

struct Fleet {
    _site: Site,
    _upstream: Upstream,
    _nodes: Vec<Node>,
    gateways: Vec<Gateway>,
    developer: Developer,
}

// === impl Fleet ===

impl Fleet {
    /// Gateways that have all carried a call of the developer.
    async fn warm() -> Fleet {
        let (site, upstream) = (Site::on_sqlite(), Upstream::start().await);
        let nodes: Vec<Node> = (0..2).map(|n| site.node(&format!("node-{n}"))).collect();
        let refs: Vec<&Node> = nodes.iter().collect();
        let gateway = |n| {
            let name = format!("gateway-{n}");
            // In the proxy's table: what a call cost is told with each answer.
            site.gateway_telling(&name, &refs, &upstream.url)
        };
        let gateways: Vec<Gateway> = (0..3).map(gateway).collect();
        let developer = site.developer(&nodes[0], 100).await;
        let fleet = Fleet { _site: site, _upstream: upstream, _nodes: nodes, gateways, developer };
        for gateway in &fleet.gateways {
            fleet.until(gateway, "warm", |answer| answer.status == StatusCode::OK).await;
        }
        fleet
    }

    /// A developer who pays later, with a key for the same product.
    async fn who_pays_later(&self, address: &str) -> Developer {
        let portal = Portal { developer: address.to_owned(), ..self.developer.portal.clone() };
        let body =
            json!({"email": address, "firstName": "Bob", "lastName": "B", "userName": "bob"});
        portal.must(Method::POST, "/developers", &body).await;
        let of_developer = format!("/developers/{address}");
        let app = json!({"name": "later", "apiProducts": ["orders"]});
        let app = portal.must(Method::POST, &format!("{of_developer}/apps"), &app).await;
        let subscription = json!({"apiproduct": "orders"});
        portal.must(Method::POST, &format!("{of_developer}/subscriptions"), &subscription).await;
        let key = app["credentials"][0]["consumerKey"].as_str().expect("a key").to_owned();
        Developer { portal, key }
    }

    async fn until(&self, gateway: &Gateway, what: &str, is_so: impl Fn(&Answer) -> bool) {
        let (url, end) = (gateway.url(), now() + DEADLINE);
        loop {
            let answer = get(&url, &[("x-api-key", &self.developer.key)]).await;
            if is_so(&answer) {
                return;
            }
            assert!(now() < end, "{what}: never on {url}; last: {answer:?}");
        }
    }

    /// Holds the time since `answered` until every gateway does so against what is promised.
    async fn takes_effect(&self, what: &str, answered: Instant, is_so: impl Fn(&Answer) -> bool) {
        let gateways = self.gateways.iter();
        let waits = gateways.map(|gateway| self.until(gateway, what, &is_so));
        futures_util::future::join_all(waits).await;
        let took = now() - answered;
        assert!(took < PROMISED, "{what} took {took:?} to reach every gateway");
    }

    /// A change that must succeed, and when it was answered.
    async fn change(&self, method: Method, path: &str, body: &Value) -> Instant {
        self.developer.portal.must(method, path, body).await;
        now()
    }
}

fn told<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name)?.to_str().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_plan_takes_effect_on_every_gateway_within_a_second() {
    let fleet = Fleet::warm().await;
    let list = "/apiproducts/orders/rateplans?expand=true";
    let plans = fleet.developer.portal.send(Method::GET, list, None).await.unwrap();
    let plans: Value = serde_json::from_str(&plans.body).unwrap();
    let mut plan = plans["ratePlans"][0].clone();
    plan["consumptionPricingRates"][0]["fee"] = json!({"nanos": 70_000_000});
    let path = format!("/apiproducts/orders/rateplans/{}", plan["name"].as_str().unwrap());
    let answered = fleet.change(Method::PUT, &path, &plan).await;
    let costs_more = |answer: &Answer| told(answer, "tollgate-cost") == Some("0.07");
    fleet.takes_effect("a plan's price", answered, costs_more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_on_every_gateway_within_a_second_and_back_as_fast() {
    let fleet = Fleet::warm().await;
    let (portal, key) = (&fleet.developer.portal, &fleet.developer.key);
    let path = format!("/developers/{}/apps/shop/keys/{key}", portal.developer);
    for (action, status) in [("revoke", StatusCode::UNAUTHORIZED), ("approve", StatusCode::OK)] {
        let answer = portal.send(Method::POST, &format!("{path}?action={action}"), None).await;
        let answered = now();
        assert!(answer.as_ref().unwrap().status.is_success(), "{action}: {answer:?}");
        fleet.takes_effect(action, answered, |answer| answer.status == status).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_billing_switch_takes_effect_on_every_gateway_within_a_second() {
    let fleet = Fleet::warm().await;
    let path = format!("/developers/{}/monetizationConfig", fleet.developer.portal.developer);
    // A postpaid call has no balance to tell.
    for (billing, has_balance) in [("POSTPAID", false), ("PREPAID", true)] {
        let body = json!({"billingType": billing});
        let answered = fleet.change(Method::PUT, &path, &body).await;
        let is_so = |answer: &Answer| {
            answer.status.is_success() && told(answer, "tollgate-balance").is_some() == has_balance
        };
        if has_balance {
            // What was left became a credit at the first switch: the wallet is empty, so calls are refused for money.
            let is_prepaid =
                |answer: &Answer| is_so(answer) || answer.status == StatusCode::PAYMENT_REQUIRED;
            fleet.takes_effect(billing, answered, is_prepaid).await;
        } else {
            fleet.takes_effect(billing, answered, is_so).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_limit_takes_effect_on_every_gateway_within_a_second() {
    let mut fleet = Fleet::warm().await;
    fleet.developer = fleet.who_pays_later("bob@example.com").await;
    for gateway in &fleet.gateways {
        fleet.until(gateway, "warm", |answer| answer.status == StatusCode::OK).await;
    }
    let wallet = format!("/developers/{}/wallets/EUR", fleet.developer.portal.developer);
    let is_refused =
        |answer: &Answer| told(answer, "tollgate-refusal") == Some("credit_limit_reached");
    // Less than was used already.
    let limit = json!({"creditLimit": {"nanos": 20_000_000}});
    let answered = fleet.change(Method::PATCH, &wallet, &limit).await;
    fleet.takes_effect("a credit limit", answered, is_refused).await;
    let answered = fleet.change(Method::PATCH, &wallet, &json!({"creditLimit": null})).await;
    fleet.takes_effect("no limit", answered, |answer| answer.status == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_limit_pays_for_so_many_calls_and_no_more() {
    let mut fleet = Fleet::warm().await;
    fleet.developer = fleet.who_pays_later("bob@example.com").await;
    let wallet = format!("/developers/{}/wallets/EUR", fleet.developer.portal.developer);
    let limit = json!({"creditLimit": {"nanos": 50_000_000}});
    fleet.change(Method::PATCH, &wallet, &limit).await;
    let is_refused = |answer: &Answer| {
        answer.status == StatusCode::PAYMENT_REQUIRED
            && told(answer, "tollgate-refusal") == Some("credit_limit_reached")
    };
    fleet.until(&fleet.gateways[0], "first", |answer| answer.status == StatusCode::OK).await;
    let url = fleet.gateways[0].url();
    let call = async || get(&url, &[("x-api-key", &fleet.developer.key)]).await;
    for number in 1..5 {
        let answer = call().await;
        assert_eq!(answer.status, StatusCode::OK, "{number}: {answer:?}");
    }
    let answer = call().await;
    assert!(is_refused(&answer), "one more than the limit pays for: {answer:?}");
    for gateway in &fleet.gateways {
        fleet.until(gateway, "the others hear of it", is_refused).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_key_sees_its_own_balance_on_a_gateway() {
    let fleet = Fleet::warm().await;
    let url = fleet.gateways[0].url().replace("/orders/1", "/.tollgate/v1/balance");
    let answer = get(&url, &[("x-api-key", &fleet.developer.key)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["billingType"], "PREPAID");
    assert_eq!(body["balances"][0]["currency"], "EUR");
    assert_eq!(body["plans"][0]["product"], "orders");
    let balance = body["balances"][0]["balance"].as_str().unwrap();
    assert!(nanos(balance) <= nanos("100") && nanos(balance) > nanos("90"), "{body}");
    let stranger = get(&url, &[("x-api-key", "nobody's")]).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
}

/// A plan that is far too dear is tried, bites, and nothing of the trial is ever paid.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_in_shadow_mode_refuses_and_charges_nobody_on_any_gateway_within_a_second() {
    let fleet = Fleet::warm().await;
    let portal = &fleet.developer.portal;
    let list = "/apiproducts/orders/rateplans?expand=true";
    let plans: Value =
        serde_json::from_str(&portal.send(Method::GET, list, None).await.unwrap().body).unwrap();
    let mut plan = plans["ratePlans"][0].clone();
    let path = format!("/apiproducts/orders/rateplans/{}", plan["name"].as_str().unwrap());
    plan["shadow"] = json!(true);
    plan["consumptionPricingRates"][0]["fee"] = json!({"units": "30"});
    let answered = fleet.change(Method::PUT, &path, &plan).await;
    let is_free = |answer: &Answer| told(answer, "tollgate-cost") == Some("0");
    fleet.takes_effect("shadow mode", answered, is_free).await;
    let url = fleet.gateways[0].url();
    for _ in 0..10 {
        let answer = get(&url, &[("x-api-key", &fleet.developer.key)]).await;
        assert_eq!((answer.status, is_free(&answer)), (StatusCode::OK, true), "{answer:?}");
    }
    // Three of 30 would have been paid from less than 100 on this gateway, the others refused.
    let report = format!("/developers/{}/reports/charges", portal.developer);
    let totals = async || {
        let body = portal.send(Method::GET, &report, None).await?.body;
        let report: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let total = report["totals"][0].clone();
        let text = |name: &str| total[name].as_str().map(nanos).ok_or_else(|| total.to_string());
        Ok::<_, String>((text("shadowCharges")?, text("shadowRefusedUnits")?, text("charges")?))
    };
    eventually("every call of the trial is in the reports", || async {
        let (charged, refused, _) = totals().await?;
        let units = charged / 30 + refused;
        let is_told = units >= 13 * UNIT && charged >= 90 * UNIT && refused >= 7 * UNIT;
        if is_told { Ok(()) } else { Err(format!("{charged} and {refused} units")) }
    })
    .await;

    // The trial ends: each gateway's first call is paid, and nothing else was.
    plan["shadow"] = json!(false);
    let (trial, _, before) = totals().await.unwrap();
    let answered = fleet.change(Method::PUT, &path, &plan).await;
    let is_paid = |answer: &Answer| told(answer, "tollgate-cost") == Some("30");
    fleet.takes_effect("the end of shadow mode", answered, is_paid).await;
    portal.balance_becomes(100 * UNIT - before - 90 * UNIT).await;
    let (still, _, charges) = totals().await.unwrap();
    assert!(still >= trial, "what was tried stays told");
    assert_eq!(charges, before + 90 * UNIT);
}
