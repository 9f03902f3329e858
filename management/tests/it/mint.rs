//! Apigee Edge's paths: plans that are rated by bands, repetitions, credits, acceptances. What they
//! say is held against the wallet that Apigee X's paths show.

use serde_json::{Value, json};

use crate::harness::{ADA, ADMIN, NOON, Reply, Server};

const MINT: &str = "/v1/mint/organizations/acme";
const DAY: i64 = 86_400_000;
const APP: &str = "6a9b1afc-2110-43d6-bae7-1b137aecb05b";

fn rate(start: u32, end: Option<u32>, rate: &str) -> Value {
    let rate = serde_json::from_str::<Value>(rate).unwrap();
    json!({"type": "RATECARD", "startUnit": start, "endUnit": end, "rate": rate})
}

/// A published plan in `detail`, from 2020 on.
fn plan(name: &str, detail: Value) -> Value {
    json!({
        "name": name, "displayName": name, "type": "STANDARD", "published": true,
        "currency": {"id": "eur"}, "startDate": "2020-01-01 00:00:00",
        "ratePlanDetails": [detail],
    })
}

fn card(metering: &str, rates: &[Value]) -> Value {
    json!({"type": "RATECARD", "meteringType": metering, "ratePlanRates": rates})
}

/// Ada with an app, and a package with two products.
async fn shop() -> Server {
    let server = Server::start_with_ada().await;
    for product in ["weather", "maps", "other"] {
        let attributes = json!([{"name": "MINT_CUSTOM_ATTRIBUTE_1", "value": "megabytes"}]);
        let body = json!({"name": product, "attributes": attributes}).to_string();
        made(&server.post("/v1/organizations/acme/apiproducts", &body).await);
    }
    let products = [json!({"id": "weather"}), json!({"id": "maps"})];
    let package = json!({"name": "bundle", "displayName": "Bundle", "product": products});
    made(&server.post(&format!("{MINT}/monetization-packages"), &package.to_string()).await);
    let app = json!({"name": "shop", "apiProducts": ["weather", "maps"]}).to_string();
    made(&server.post(&format!("{ADA}/apps?appId={APP}"), &app).await);
    server
}

fn made(reply: &Reply) {
    assert_eq!(reply.status, 201, "{reply:?}");
}

async fn create(server: &Server, plan: &Value) -> Reply {
    let path = format!("{MINT}/monetization-packages/bundle/rate-plans");
    server.post(&path, &plan.to_string()).await
}

/// Accepts a plan from today on.
async fn accept(server: &Server, plan: &str, query: &str) -> Reply {
    accept_from(server, plan, "2026-11-22", query).await
}

async fn accept_from(server: &Server, plan: &str, start: &str, query: &str) -> Reply {
    let path = format!("{MINT}/developers/ada@example.com/developer-rateplans{query}");
    let body = json!({"ratePlan": {"id": plan}, "startDate": start});
    server.post(&path, &body.to_string()).await
}

/// Moves usage of weather.
async fn charge(server: &Server, key: &str, batch_size: u32) -> Reply {
    let body = json!({
        "application": {"id": APP}, "product": {"id": "weather"}, "batchSize": batch_size,
    });
    let header = format!("Idempotency-Key: {key}\r\n");
    let path = format!("{MINT}/transactions");
    server.call("POST", &path, ADMIN, &header, Some(&body.to_string())).await
}

async fn credit(server: &Server, amount: &str) -> Reply {
    let path = format!(
        "{MINT}/monetization-packages/bundle/rate-plans/bundle_flat\
         /real-currency-credit-transactions?billingMonth=NOVEMBER&billingYear=2026&currencyId=eur\
         &developerId=ada@example.com&transactionAmount={amount}&transactionNote=sorry"
    );
    server.post(&path, "").await
}

async fn balance(server: &Server) -> String {
    server.balance("EUR").await.unwrap()
}

async fn suspended(server: &Server, query: &str) -> Value {
    let reply = server.get(&format!("{MINT}/suspended-developers{query}")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json
}

#[tokio::test]
async fn waivefees_waives_the_setup_fee_and_not_the_recurring_one() {
    let server = shop().await;
    server.credit("EUR", "100", "c1").await;
    let flat = card("UNIT", &[rate(0, None, "0.01")]);
    let mut fees = plan("flat", flat);
    fees["setUpFee"] = json!(7);
    fees["recurringFee"] = json!(30);
    fees["frequencyDuration"] = json!(1);
    made(&create(&server, &fees).await);
    made(&accept(&server, "bundle_flat", "?waivefees=true").await);
    // Nine of November's thirty days are left.
    assert_eq!(balance(&server).await, "91");
    let history = server.get(&format!("{ADA}/balance/entries")).await;
    assert!(!history.json.to_string().contains("setup"), "{history:?}");
}

#[tokio::test]
async fn a_kept_start_and_waived_fees_leave_nothing_due() {
    let server = shop().await;
    server.credit("EUR", "100", "c1").await;
    let mut fees = plan("flat", card("UNIT", &[rate(0, None, "0.01")]));
    fees["setUpFee"] = json!(7);
    fees["recurringFee"] = json!(30);
    fees["frequencyDuration"] = json!(1);
    made(&create(&server, &fees).await);
    let query = "?waivefees=true&keepStartDate=true";
    made(&accept_from(&server, "bundle_flat", "2026-11-01", query).await);
    assert_eq!(balance(&server).await, "100");
}

#[tokio::test]
async fn a_repeated_charge_is_answered_with_its_first_outcome() {
    // In the next month, or under another revision, its meter would be another one.
    let server = shop().await;
    server.credit("EUR", "100", "c1").await;
    let flat = plan("flat", card("UNIT", &[rate(0, None, "0.5")]));
    made(&create(&server, &flat).await);
    made(&accept(&server, "bundle_flat", "").await);
    let first = charge(&server, "edge-1", 10).await;
    assert_eq!((first.status, &first.json["ratedVolume"]), (200, &json!(10)), "{first:?}");
    assert_eq!(balance(&server).await, "95");
    let again = async |why: &str| {
        let again = charge(&server, "edge-1", 10).await;
        assert_eq!(again.status, 200, "{why}: {again:?}");
        for field in ["id", "ratedVolume", "startTime", "currency", "notes"] {
            assert_eq!(again.json[field], first.json[field], "{why}: {field}");
        }
    };
    again("at once").await;
    server.clock.set(NOON + 10 * DAY);
    again("in the next month").await;
    let postpaid = r#"{"billingType":"POSTPAID"}"#;
    let set = server.put(&format!("{ADA}/monetizationConfig"), postpaid).await;
    assert_eq!(set.status, 200, "{set:?}");
    again("after a switch").await;
    let other = charge(&server, "edge-1", 11).await;
    assert_eq!(other.status, 409, "{other:?}");
}

/// One key booked a charge and a fee, and a charge of one app was answered with another's.
#[tokio::test]
async fn a_key_names_one_transaction_whatever_it_is() {
    let server = shop().await;
    server.credit("EUR", "100", "c1").await;
    made(&create(&server, &plan("flat", card("UNIT", &[rate(0, None, "0.5")]))).await);
    made(&accept(&server, "bundle_flat", "").await);
    let other = "0b7c5a0e-6f9b-4a6b-9d52-0f0f6f1f4c11";
    let app = json!({"name": "desk", "apiProducts": ["weather"]}).to_string();
    made(&server.post(&format!("{ADA}/apps?appId={other}"), &app).await);
    let send = async |key: &str, body: Value| {
        let header = format!("Idempotency-Key: {key}\r\n");
        let path = format!("{MINT}/transactions");
        server.call("POST", &path, ADMIN, &header, Some(&body.to_string())).await
    };
    let usage = |app: &str| json!({"application": {"id": app}, "product": {"id": "weather"}});
    let fee = |kind: &str| {
        json!({
            "type": kind, "developer": {"id": "ada@example.com"}, "currency": {"id": "eur"},
            "ratePlan": {"id": "bundle_flat"}, "rate": 3,
        })
    };
    let is_other = |reply: &Reply| {
        let code = reply.json["code"].as_str().unwrap_or_default();
        reply.status == 409 && code == "mint.resourceAlreadyExists"
    };
    assert_eq!(send("a", usage(APP)).await.status, 200);
    assert_eq!(balance(&server).await, "99.5");
    for body in [fee("SETUPFEES"), usage(other)] {
        let refused = send("a", body).await;
        assert!(is_other(&refused), "{refused:?}");
        assert_eq!(balance(&server).await, "99.5");
    }
    assert_eq!(send("b", fee("SETUPFEES")).await.status, 200);
    for body in [fee("RECURRINGFEES"), usage(APP)] {
        let refused = send("b", body).await;
        assert!(is_other(&refused), "{refused:?}");
        assert_eq!(balance(&server).await, "96.5");
    }
    // A fee that is repeated when its plan is not held any more was booked all the same.
    let held = server.get(&format!("{ADA}/subscriptions")).await;
    let id = held.json["developerSubscriptions"][0]["name"].as_str().unwrap().to_owned();
    server.clock.set(NOON + 1);
    assert_eq!(server.post(&format!("{ADA}/subscriptions/{id}:expire"), "").await.status, 200);
    let again = send("b", fee("SETUPFEES")).await;
    assert_eq!((again.status, &again.json["rate"]), (200, &json!(3)), "{again:?}");
    assert_eq!(send("c", fee("SETUPFEES")).await.json["code"], "mint.noCurrentPublishableEntity");
    assert_eq!(balance(&server).await, "96.5");
}

#[tokio::test]
async fn volume_walks_through_bands_and_beyond_the_last_one_is_refused() {
    let server = shop().await;
    server.credit("EUR", "100", "c1").await;
    let bands = [rate(0, Some(10), "1"), rate(10, Some(30), "0.5")];
    made(&create(&server, &plan("volume", card("VOLUME", &bands))).await);
    made(&accept(&server, "bundle_volume", "").await);
    assert_eq!(charge(&server, "a", 6).await.status, 200);
    assert_eq!(balance(&server).await, "94");
    // Four at 1, six at 0.5.
    assert_eq!(charge(&server, "b", 10).await.status, 200);
    assert_eq!(balance(&server).await, "87");
    assert_eq!(suspended(&server, "").await, json!([]));
    let beyond = charge(&server, "c", 15).await;
    assert_eq!(beyond.json["code"], "mint.ratePlanRateBandExceeded", "{beyond:?}");
    assert_eq!(charge(&server, "d", 14).await.status, 200);
    assert_eq!(balance(&server).await, "80");
    let rows = suspended(&server, "").await;
    assert_eq!(rows[0]["reasonCode"], "RATE_PLAN_RATE_BAND_EXCEEDED", "{rows}");
    assert_eq!(rows[0]["prodId"], "acme@@@weather", "{rows}");
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    assert_eq!(suspended(&server, "?page=2&size=1").await, json!([]));
    assert_eq!(suspended(&server, "?page=1&size=1").await.as_array().map(Vec::len), Some(1));
    // A new month begins at the first band.
    server.clock.set(NOON + 10 * DAY);
    assert_eq!(suspended(&server, "").await, json!([]));
}

#[tokio::test]
async fn stairs_cost_as_bundles_and_freemium_units_nothing() {
    let server = shop().await;
    server.credit("EUR", "100", "c1").await;
    let stairs = [rate(0, Some(10), "5"), rate(10, None, "8")];
    made(&create(&server, &plan("stairs", card("STAIR_STEP", &stairs))).await);
    made(&accept(&server, "bundle_stairs", "").await);
    for (key, units, left) in [("a", 1, "95"), ("b", 9, "95"), ("c", 1, "87")] {
        assert_eq!(charge(&server, key, units).await.status, 200);
        assert_eq!(balance(&server).await, left, "{key}");
    }

    let server = shop().await;
    server.credit("EUR", "100", "c1").await;
    let mut free = card("UNIT", &[rate(0, None, "2")]);
    free["freemiumUnit"] = json!(5);
    made(&create(&server, &plan("free", free)).await);
    made(&accept(&server, "bundle_free", "").await);
    for (key, units, left) in [("a", 5, "100"), ("b", 1, "98"), ("c", 10, "78")] {
        assert_eq!(charge(&server, key, units).await.status, 200);
        assert_eq!(balance(&server).await, left, "{key}");
    }
}

#[tokio::test]
async fn credits_lower_the_usage_of_a_month_that_adds_up() {
    let server = shop().await;
    server.credit("EUR", "100", "c1").await;
    made(&create(&server, &plan("flat", card("UNIT", &[rate(0, None, "0.5")]))).await);
    made(&accept(&server, "bundle_flat", "").await);
    assert_eq!(charge(&server, "a", 50).await.status, 200);
    made(&credit(&server, "10").await);
    assert_eq!(balance(&server).await, "85");
    made(&credit(&server, "-4").await);
    assert_eq!(balance(&server).await, "81");
    let month = async |month: &str| {
        let path = format!("{MINT}/developers/ada@example.com/prepaid-developer-balance");
        let query = format!("?billingMonth={month}&billingYear=2026");
        let reply = server.get(&format!("{path}{query}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json["developerBalance"][0].clone()
    };
    let check = |shown: &Value, fields: &[(&str, u32)]| {
        for (field, want) in fields {
            assert_eq!(shown[*field], json!(want), "{field}: {shown}");
        }
    };
    let november = month("NOVEMBER").await;
    assert_eq!(november["month"], "NOVEMBER", "{november}");
    let sums = [("previousBalance", 0), ("topups", 100), ("usage", 19), ("tax", 0)];
    check(&november, &sums);
    check(&november, &[("currentTotalBalance", 100), ("currentBalance", 81), ("year", 2026)]);
    let december = month("DECEMBER").await;
    check(&december, &[("previousBalance", 81), ("topups", 0), ("usage", 0)]);
}

#[tokio::test]
async fn an_acceptance_is_ended_and_only_a_future_one_is_deleted() {
    let server = shop().await;
    made(&create(&server, &plan("flat", card("UNIT", &[rate(0, None, "0.5")]))).await);
    let now = accept(&server, "bundle_flat", "").await;
    made(&now);
    let path = |reply: &Reply| {
        let id = reply.json["id"].as_str().unwrap();
        format!("{MINT}/developers/ada@example.com/developer-rateplans/{id}")
    };
    let refused = server.delete(&path(&now)).await;
    let code = "mint.onlyFutureDeveloperRatePlanCanBeDeleted";
    assert_eq!(refused.json["code"], code, "{refused:?}");
    let ended = server.put(&path(&now), r#"{"endDate":"2026-11-24"}"#).await;
    assert_eq!(ended.status, 200, "{ended:?}");
    // Its last day is its own.
    assert_eq!(ended.json["endDate"], "2026-11-24 23:59:59", "{ended:?}");
    let next = accept_from(&server, "bundle_flat", "2026-11-25", "").await;
    made(&next);
    assert_eq!(server.delete(&path(&next)).await.status, 200);
    assert_eq!(server.get(&path(&next)).await.status, 404);
    assert_eq!(server.get(&path(&now)).await.status, 200);
    let all = format!("{MINT}/developers/ada@example.com/developer-accepted-rateplans");
    assert_eq!(server.get(&all).await.json["totalRecords"], 1);
}

/// What was paid for a plan that was taken back before it began stayed paid.
#[tokio::test]
async fn an_acceptance_that_is_taken_back_before_it_begins_costs_nothing() {
    let server = shop().await;
    server.credit("EUR", "100", "c1").await;
    let mut fees = plan("flat", card("UNIT", &[rate(0, None, "0.5")]));
    fees["setUpFee"] = json!(7);
    fees["recurringFee"] = json!(30);
    fees["frequencyDuration"] = json!(1);
    made(&create(&server, &fees).await);
    for is_edge in [true, false] {
        let next = accept_from(&server, "bundle_flat", "2026-12-01", "").await;
        made(&next);
        assert_eq!(balance(&server).await, "63");
        let taken_back = if is_edge {
            let id = next.json["id"].as_str().unwrap();
            let path = format!("{MINT}/developers/ada@example.com/developer-rateplans/{id}");
            server.delete(&path).await
        } else {
            let all = server.get(&format!("{ADA}/subscriptions")).await;
            let last = all.json["developerSubscriptions"].as_array().unwrap().last().unwrap();
            let id = last["name"].as_str().unwrap();
            server.post(&format!("{ADA}/subscriptions/{id}:expire"), "").await
        };
        assert_eq!(taken_back.status, 200, "{taken_back:?}");
        assert_eq!(balance(&server).await, "100");
    }
    let statement = server.get(&format!("{ADA}/statements/EUR?month=2026-11")).await;
    assert_eq!((&statement.json["fees"], &statement.json["closing"]), (&json!("0"), &json!("100")));
}

#[tokio::test]
async fn a_price_of_a_product_that_the_package_has_not_is_refused_by_name() {
    let server = shop().await;
    let mut detail = card("UNIT", &[rate(0, None, "0.5")]);
    detail["product"] = json!({"id": "other"});
    let refused = create(&server, &plan("flat", detail)).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(refused.json["contexts"][0]["value"], "ratePlanDetails.product", "{refused:?}");
    assert!(refused.json["message"].as_str().unwrap().contains("other"), "{refused:?}");
}

/// A package was deleted with the plans that developers held: they were refused, or called for
/// nothing where a proxy lets unpriced calls pass.
#[tokio::test]
async fn a_package_with_a_published_plan_is_not_deleted() {
    let server = shop().await;
    made(&create(&server, &plan("flat", card("UNIT", &[rate(0, None, "0.5")]))).await);
    let path = format!("{MINT}/monetization-packages/bundle");
    let refused = server.delete(&path).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.json["message"].as_str().unwrap().contains("bundle_flat"), "{refused:?}");
    assert_eq!(server.get(&path).await.status, 200);
}

/// The package of the path was not looked at.
#[tokio::test]
async fn a_plan_is_found_in_its_own_package_alone() {
    let server = shop().await;
    let mut draft = plan("flat", card("UNIT", &[rate(0, None, "0.5")]));
    draft["published"] = json!(false);
    made(&create(&server, &draft).await);
    let other = json!({"name": "other", "product": [{"id": "other"}]}).to_string();
    made(&server.post(&format!("{MINT}/monetization-packages"), &other).await);
    let at =
        |package: &str| format!("{MINT}/monetization-packages/{package}/rate-plans/bundle_flat");
    assert_eq!(server.get(&at("other")).await.status, 404);
    assert_eq!(server.delete(&at("other")).await.status, 404);
    assert_eq!(server.get(&at("none")).await.status, 404);
    assert_eq!(server.get(&at("bundle")).await.json["id"], "bundle_flat");
    assert_eq!(server.delete(&at("bundle")).await.status, 200);
}

#[tokio::test]
async fn lists_are_paged_and_say_how_many_there_are() {
    let server = shop().await;
    for name in ["one", "two", "three"] {
        made(&create(&server, &plan(name, card("UNIT", &[rate(0, None, "0.5")]))).await);
    }
    server.add_plan("own", "").await;
    for name in ["b", "c"] {
        let body = json!({
            "email": format!("{name}@example.com"), "firstName": "x", "lastName": "y",
            "userName": name,
        });
        made(&server.post("/v1/organizations/acme/developers", &body.to_string()).await);
    }
    let page = async |path: &str, entity: &str| -> (Vec<String>, u64) {
        let reply = server.get(&format!("{MINT}{path}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let field = if entity == "developer" { "email" } else { "id" };
        let rows = reply.json[entity].as_array().unwrap().iter();
        let names = rows.map(|row| row[field].as_str().unwrap().to_owned()).collect();
        (names, reply.json["totalRecords"].as_u64().unwrap())
    };
    let (rows, total) = page("/developers?page=2&size=2", "developer").await;
    assert_eq!((rows, total), (vec!["c@example.com".to_owned()], 3));
    assert_eq!(page("/developers", "developer").await.0.len(), 3);
    let of_package = "/monetization-packages/bundle/rate-plans";
    let (rows, total) = page(&format!("{of_package}?page=2&size=1"), "ratePlan").await;
    assert_eq!((rows, total), (vec!["bundle_two".to_owned()], 3));
    // Every page of all plans, each once although two products have it.
    let all = page("/rate-plans", "ratePlan").await;
    assert_eq!((all.0.len(), all.1), (4, 4), "{all:?}");
    let mut paged = Vec::new();
    for number in 1..=3 {
        let (rows, total) = page(&format!("/rate-plans?page={number}&size=2"), "ratePlan").await;
        assert_eq!(total, 4);
        paged.extend(rows);
    }
    assert_eq!(paged, all.0);
}
