//! Every curl of Apigee Edge's page "Migrating developers to monetization", as it stands there; only
//! the host and the credentials are replaced. What the page does before them is done as it says,
//! through Edge's paths, and shown through those of Apigee X as well.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::{Answer, Portal, request};
use crate::support::process::{Tollgate, standalone};

const FIFTY_CALLS: &str = r#"curl -H "Content-Type:application/json" -X POST -d \
    '{ 
       "application":{
         "id":"6a9b1afc-2110-43d6-bae7-1b137aecb05b"
       },
       "product":{
         "id":"testproduct"
       },
       "batchSize":50
    }' \
    "https://api.enterprise.apigee.com/v1/mint/organizations/myOrg/transactions" \
    -u email:password"#;

const CUSTOM_ATTRIBUTE: &str = r#"curl -H "Content-Type:application/json" -X POST -d \
    '{ 
       "application":{
         "id":"6a9b1afc-2110-43d6-bae7-1b137aecb05b"
       },
       "product":{
         "id":"testproduct"
       },
       "batchSize": 125,
       "custAtt1" : 0.1
    }' \
    "https://api.enterprise.apigee.com/v1/mint/organizations/myOrg/transactions" \
    -u email:password"#;

const SETUP_FEE: &str = r#"curl -H "Content-Type:application/json" -X POST -d \
    '{ 
       "developer":{
         "id":"dev1@myorg.com"
       },
       "currency":{
         "id":"usd"
       },
       "ratePlan":{
         "id":"mypackage_rateplan1"
       },   
       "rate":10,
       "type":"SETUPFEES"
    }' \
    "https://api.enterprise.apigee.com/v1/mint/organizations/myOrg/transactions" \
    -u email:password"#;

const MINT: &str = "/v1/mint/organizations/myOrg";
const X: &str = "/v1/organizations/myOrg";
const APP: &str = "6a9b1afc-2110-43d6-bae7-1b137aecb05b";

/// A running process, and an administrator's token.
struct Site {
    _process: Tollgate,
    url: String,
    token: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_curls_of_the_migration_page_move_usage_and_fees() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path()).await;
    site.prepare().await;
    site.top_up(1000).await;
    site.accept("true").await;
    assert_eq!(site.counters().await, (json!(1000), json!(0)));

    let moved = site.curl(FIFTY_CALLS, "").await;
    assert_eq!(moved.0, StatusCode::OK, "{moved:?}");
    assert_eq!(moved.1["ratedVolume"], 50);
    assert_eq!(moved.1["type"], "CHARGE");
    assert_eq!(moved.1["status"], "SUCCESS");
    assert_eq!(moved.1["application"]["id"], APP);
    // 50 units at 0.01.
    assert_eq!(site.counters().await, (json!(1000), json!(0.5)));

    let moved = site.curl(CUSTOM_ATTRIBUTE, "").await;
    assert_eq!((moved.0, &moved.1["ratedVolume"]), (StatusCode::OK, &json!(12.5)), "{moved:?}");
    assert_eq!(moved.1["custAtt1"], 0.1);
    assert_eq!(site.counters().await, (json!(1000), json!(0.625)));

    let booked = site.curl(SETUP_FEE, "").await;
    assert_eq!((booked.0, &booked.1["rate"]), (StatusCode::OK, &json!(10)), "{booked:?}");
    assert_eq!(site.counters().await, (json!(1000), json!(10.625)));

    // The same ledger, in the shape of Apigee X.
    let balance = site.get(&format!("{X}/developers/dev1@myorg.com/balance")).await;
    let usd = json!({"currencyCode": "USD", "units": "989", "nanos": 375_000_000});
    assert_eq!(balance["wallets"][0]["balance"], usd, "{balance}");
    let held = site.get(&format!("{X}/developers/dev1@myorg.com/subscriptions")).await;
    assert_eq!(held["developerSubscriptions"][0]["apiproduct"], "testproduct", "{held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_money_usage_and_fees_are_refused_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path()).await;
    site.prepare().await;
    site.accept("true").await;
    for command in [FIFTY_CALLS, CUSTOM_ATTRIBUTE, SETUP_FEE] {
        let refused = site.curl(command, "").await;
        let code = refused.1["code"].as_str().unwrap_or_default();
        assert_eq!(refused.0, StatusCode::BAD_REQUEST, "{refused:?}");
        assert_eq!(code, "mint.prepaidDeveloperHasNoBalance", "{refused:?}");
    }
    let shown = site.get(&format!("{MINT}/suspended-developers/dev1@myorg.com")).await;
    assert_eq!(shown[0]["reasonCode"], "INSUFFICIENT_FUNDS", "{shown}");
    site.top_up(1).await;
    let refused = site.curl(SETUP_FEE, "").await;
    assert_eq!(refused.1["code"], "mint.insufficientFunds", "{refused:?}");
    assert!(refused.1["message"].as_str().unwrap().ends_with("[10]"), "{refused:?}");
    assert_eq!(site.counters().await, (json!(1), json!(0)));
    let forced = site.curl(SETUP_FEE, "?force=true").await;
    assert_eq!(forced.0, StatusCode::OK, "{forced:?}");
    assert!(forced.1["notes"].as_str().unwrap().contains("force"), "{forced:?}");
    assert_eq!(site.counters().await, (json!(1), json!(10)));
    let refused = site.curl(FIFTY_CALLS, "").await;
    assert_eq!(refused.1["code"], "mint.insufficientFunds", "{refused:?}");
    let forced = site.curl(FIFTY_CALLS, "?force=true").await;
    assert!(forced.1["notes"].as_str().unwrap().contains("forced"), "{forced:?}");
    assert_eq!(site.counters().await, (json!(1), json!(10.5)));
    // Ids that nobody has are refused either way.
    for force in ["", "?force=true"] {
        for (from, to) in [(APP, "6a9b1afc-2110-43d6-bae7-000000000000"), ("testproduct", "x")] {
            let missing = site.curl(&FIFTY_CALLS.replace(from, to), force).await;
            assert_eq!(missing.0, StatusCode::NOT_FOUND, "{to}: {missing:?}");
        }
        let missing = site.curl(&SETUP_FEE.replace("mypackage_rateplan1", "x"), force).await;
        assert_eq!(missing.0, StatusCode::NOT_FOUND, "{missing:?}");
    }
    assert_eq!(site.counters().await, (json!(1), json!(10.5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_attributes_that_are_wrong_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path()).await;
    site.prepare().await;
    site.top_up(1000).await;
    site.accept("true").await;
    for given in
        ["\"custAtt1\" : -0.1", "\"custAtt1\" : 0.00001", "\"custAtt2\" : 1", "\"custAtt1\" : 0"]
    {
        let refused = site.curl(&CUSTOM_ATTRIBUTE.replace("\"custAtt1\" : 0.1", given), "").await;
        let name = &given[1..9];
        assert_eq!(refused.0, StatusCode::BAD_REQUEST, "{given}: {refused:?}");
        assert!(refused.1["message"].as_str().unwrap().contains(name), "{given}: {refused:?}");
    }
    assert_eq!(site.counters().await, (json!(1000), json!(0)));
    // The plan has a setup fee, which is due where it is not waived.
    let key = [("idempotency-key", "edge-1")];
    let body = json!({"application": {"id": APP}, "product": {"id": "testproduct"}}).to_string();
    for _ in 0..2 {
        let path = format!("{MINT}/transactions");
        let moved = site.send(Method::POST, &path, &key, Some(&body)).await;
        assert_eq!(moved.0, StatusCode::OK, "{moved:?}");
    }
    // One unit, once.
    assert_eq!(site.counters().await, (json!(1000), json!(0.01)));
}

#[tokio::test(flavor = "multi_thread")]
async fn accepting_a_plan_books_its_setup_fee_unless_waived() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path()).await;
    site.prepare().await;
    site.top_up(3).await;
    let refused = site.try_accept("false").await;
    assert_eq!(refused.1["code"], "mint.insufficientFunds", "{refused:?}");
    site.top_up(7).await;
    site.accept("false").await;
    assert_eq!(site.counters().await, (json!(10), json!(5)));
    let twice = site.try_accept("false").await;
    let code = "mint.developerAlreadyAcceptedRatePlanForProduct";
    assert_eq!((twice.0, &twice.1["code"]), (StatusCode::CONFLICT, &json!(code)), "{twice:?}");
}

// === impl Site ===

impl Site {
    async fn start(dir: &std::path::Path) -> Site {
        let process = standalone(dir, &[]);
        let Portal { url, token, .. } = Portal::of_demo(&process);
        Site { _process: process, url, token }
    }

    /// Steps 1 to 3 of the page: product, package, published plan, developer; and an app.
    async fn prepare(&self) {
        self.create("/v1/organizations", json!({"name": "myOrg"})).await;
        let attributes = json!([{"name": "MINT_CUSTOM_ATTRIBUTE_1", "value": "megabytes"}]);
        let product = json!({"name": "testproduct", "attributes": attributes});
        self.create(&format!("{X}/apiproducts"), product).await;
        let package = json!({
            "name": "mypackage", "displayName": "My package", "description": "all of it",
            "status": "CREATED", "product": [{"id": "testproduct"}],
        });
        self.create(&format!("{MINT}/monetization-packages"), package).await;
        let plan = json!({
            "name": "rateplan1", "displayName": "Rate plan 1", "description": "flat",
            "type": "STANDARD", "published": false, "setUpFee": 5, "currency": {"id": "usd"},
            "startDate": "2020-01-01 00:00:00",
            "ratePlanDetails": [{
                "type": "RATECARD", "meteringType": "UNIT",
                "ratePlanRates": [{"type": "RATECARD", "rate": 0.01, "startUnit": 0}],
            }],
        });
        let plans = format!("{MINT}/monetization-packages/mypackage/rate-plans");
        let made = self.create(&plans, plan.clone()).await;
        assert_eq!(made["id"], "mypackage_rateplan1", "{made}");
        let refused = self.try_accept("true").await;
        assert_eq!(refused.1["code"], "developer.service.DeveloperIdDoesNotExist", "{refused:?}");
        let developer = json!({
            "email": "dev1@myorg.com", "firstName": "Dev", "lastName": "One", "userName": "dev1",
        });
        self.create(&format!("{X}/developers"), developer).await;
        let refused = self.try_accept("true").await;
        assert_eq!(refused.1["code"], "mint.ratePlanNotPublished", "{refused:?}");
        let mut published = plan;
        published["published"] = json!(true);
        let path = format!("{plans}/mypackage_rateplan1");
        let body = published.to_string();
        let set = self.send(Method::PUT, &path, &[], Some(&body)).await;
        assert_eq!((set.0, &set.1["published"]), (StatusCode::OK, &json!(true)), "{set:?}");
        let path = format!("{X}/developers/dev1@myorg.com/monetizationConfig");
        let set = self.send(Method::PUT, &path, &[], Some(r#"{"billingType":"PREPAID"}"#)).await;
        assert_eq!(set.0, StatusCode::OK, "{set:?}");
        let app = json!({"name": "app1", "apiProducts": ["testproduct"]});
        let apps = format!("{X}/developers/dev1@myorg.com/apps?appId={APP}");
        let made = self.create(&apps, app).await;
        assert_eq!(made["appId"], APP, "{made}");
    }

    async fn top_up(&self, amount: u32) {
        let path = format!("{MINT}/developers/dev1@myorg.com/developer-balances");
        let body = json!({"amount": amount, "supportedCurrency": {"id": "usd"}}).to_string();
        let paid = self.send(Method::POST, &path, &[], Some(&body)).await;
        assert_eq!(paid.0, StatusCode::OK, "{paid:?}");
    }

    async fn accept(&self, waivefees: &str) {
        let accepted = self.try_accept(waivefees).await;
        assert_eq!(accepted.0, StatusCode::CREATED, "{accepted:?}");
        let path = format!("{MINT}/developers/dev1@myorg.com/developer-accepted-rateplans");
        let list = self.get(&path).await;
        assert_eq!(list["totalRecords"], 1, "{list}");
        assert_eq!(list["developerRatePlan"][0]["ratePlan"]["id"], "mypackage_rateplan1");
    }

    async fn try_accept(&self, waivefees: &str) -> (StatusCode, Value) {
        let path = format!(
            "{MINT}/developers/dev1@myorg.com/developer-rateplans\
             ?waivefees={waivefees}&keepStartDate=true"
        );
        let body = json!({
            "developer": {"id": "dev1@myorg.com"}, "ratePlan": {"id": "mypackage_rateplan1"},
            "startDate": "2026-01-01 00:00:00",
        });
        self.send(Method::POST, &path, &[], Some(&body.to_string())).await
    }

    /// `amount` and `usage` of the one balance.
    async fn counters(&self) -> (Value, Value) {
        let path = format!("{MINT}/developers/dev1@myorg.com/developer-balances");
        let list = self.get(&path).await;
        assert_eq!(list["totalRecords"], 1, "{list}");
        let balance = &list["developerBalance"][0];
        assert_eq!(balance["supportedCurrency"]["id"], "usd", "{list}");
        (balance["amount"].clone(), balance["usage"].clone())
    }

    async fn create(&self, path: &str, body: Value) -> Value {
        let made = self.send(Method::POST, path, &[], Some(&body.to_string())).await;
        assert_eq!(made.0, StatusCode::CREATED, "{path}: {made:?}");
        made.1
    }

    async fn get(&self, path: &str) -> Value {
        let found = self.send(Method::GET, path, &[], None).await;
        assert_eq!(found.0, StatusCode::OK, "{path}: {found:?}");
        found.1
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        more: &[(&str, &str)],
        body: Option<&str>,
    ) -> (StatusCode, Value) {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend_from_slice(more);
        let url = format!("{}{path}", self.url);
        of(&request(method, &url, &headers, body).await.unwrap())
    }

    /// Does what curl would do with these arguments, and `query` behind the URL.
    async fn curl(&self, command: &str, query: &str) -> (StatusCode, Value) {
        let (mut method, mut url, mut headers, mut body) = (None, None, Vec::new(), None);
        let mut words = words(command).into_iter();
        assert_eq!(words.next().as_deref(), Some("curl"));
        while let Some(word) = words.next() {
            match word.as_str() {
                "-H" => headers.push(words.next().unwrap()),
                "-X" => method = words.next(),
                "-d" => body = words.next().map(|text| text.replace('\n', "")),
                "-u" => {
                    let user = words.next().unwrap().replace("password", &self.token);
                    headers.push(format!("authorization:Basic {}", base64(user.as_bytes())));
                }
                _ => url = Some(word.replace("https://api.enterprise.apigee.com", &self.url)),
            }
        }
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|header| header.split_once(':').unwrap()).collect();
        let url = format!("{}{query}", url.unwrap());
        let method: Method = method.as_deref().unwrap_or("GET").parse().unwrap();
        of(&request(method, &url, &headers, body.as_deref()).await.unwrap())
    }
}

fn of(answer: &Answer) -> (StatusCode, Value) {
    let json = serde_json::from_str(&answer.body);
    (answer.status, json.unwrap_or_else(|_| panic!("{answer:?} is JSON")))
}

/// Splits a command as a shell does, as far as the samples need it.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for char in command.replace("\\\n", " ").chars() {
        match (quote, char) {
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            (None, ' ' | '\n') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(char),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Base64 as curl writes it for `-u`.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place)) & 63;
            let digit = char::from(DIGITS[digit as usize]);
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    text
}
