//! Bad input of every kind: a clear error in Google's shape, and nothing changes.

use serde_json::{Value, json};

use crate::harness::{ADA, Reply, Server, plan_body};

/// Everything that requests below could change, read back.
async fn state(server: &Server) -> Vec<Value> {
    let paths = [
        "/v1/organizations",
        "/v1/organizations/acme",
        "/v1/organizations/acme/developers?expand=true",
        "/v1/organizations/acme/developers/ada@example.com/monetizationConfig",
        "/v1/organizations/acme/developers/ada@example.com/balance",
        "/v1/organizations/acme/developers/ada@example.com/balance:entries",
        "/v1/organizations/acme/developers/ada@example.com/subscriptions",
        "/v1/organizations/acme/developers/ada@example.com/apps?expand=true",
        "/v1/organizations/acme/apiproducts?expand=true",
        "/v1/organizations/acme/apiproducts/-/rateplans?expand=true",
    ];
    let mut all = Vec::new();
    for path in paths {
        let reply = server.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        all.push(reply.json);
    }
    all
}

async fn server() -> Server {
    let server = Server::start_with_ada().await;
    server.add_plan("weather", "").await;
    server.post(&format!("{ADA}/apps"), r#"{"name":"shop","apiProducts":["weather"]}"#).await;
    server.credit("EUR", "10", "t-1").await;
    server
}

/// Sends each body to `path` and expects a 400 that says `want`.
async fn check(server: &Server, method: &str, path: &str, rows: &[(&str, &str)]) {
    let before = state(server).await;
    for (body, want) in rows {
        let reply = server.call(method, path, crate::harness::ADMIN, "", Some(body)).await;
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        is_shaped(&reply);
        assert!(reply.message().contains(want), "{body}: {}", reply.message());
    }
    assert_eq!(state(server).await, before);
}

fn is_shaped(reply: &Reply) {
    let error = reply.json["error"].as_object().unwrap();
    assert_eq!(error["code"], reply.status, "{reply:?}");
    assert!(error["message"].is_string() && error["status"].is_string(), "{reply:?}");
    if let Some(details) = error.get("details") {
        let violation = details[0]["violations"][0].as_object().unwrap();
        assert!(violation["type"].is_string() && violation["description"].is_string());
    }
}

#[tokio::test]
async fn credits_that_are_wrong_are_refused() {
    let server = server().await;
    let amount = |text: &str| format!(r#"{{"transactionId":"x","transactionAmount":{text}}}"#);
    let eur = |parts: &str| amount(&format!(r#"{{"currencyCode":"EUR",{parts}}}"#));
    let long = format!(
        r#"{{"transactionId":"{}","transactionAmount":{{"currencyCode":"EUR","units":1}}}}"#,
        "x".repeat(201)
    );
    let rows = [
        ("".to_owned(), "is empty"),
        ("{".to_owned(), "line 1 column 1"),
        (r#"{"transactionId":"x",,}"#.to_owned(), "line 1 column 22"),
        ("[]".to_owned(), "invalid type: sequence, expected an object"),
        (r#"{"transactionId":"x"}"#.to_owned(), "transactionAmount: is required"),
        (r#"{"transactionAmount":{"currencyCode":"EUR","units":1}}"#.to_owned(), "transactionId"),
        (eur(r#""units":1"#).replace("\"x\"", "\"\""), "transactionId: is required"),
        (long, "transactionId: has 201 bytes"),
        (eur(r#""units":1"#).replace("transactionId", "transactionid"), "`transactionid`"),
        (eur(r#""units":1,"cents":5"#), "unknown field `cents`"),
        (amount(r#"["EUR",1,0]"#), "invalid type: sequence, expected an object"),
        (amount(r#"{"units":1}"#), "transactionAmount.currencyCode: is required"),
        (amount(r#"{"currencyCode":"EURO","units":1}"#), "\"EURO\" is not a currency code"),
        (amount(r#"{"currencyCode":"eur","units":1}"#), "\"eur\" is not a currency code"),
        (amount(r#"{"currencyCode":"EUU","units":1}"#), "\"EUU\" is not a currency of ISO 4217"),
        (eur(r#""units":0"#), "transactionAmount: must be positive"),
        (eur(r#""units":"-5""#), "must be positive"),
        (eur(r#""nanos":-5"#), "must be positive"),
        (eur(r#""units":1.5"#), "not a whole number"),
        (eur(r#""units":"1.5""#), "\"1.5\" is not a whole number"),
        (eur(r#""units":1e3"#), "not a whole number"),
        (eur(r#""units":"+1""#), "not a whole number"),
        (eur(r#""units":true"#), "whole number"),
        (eur(r#""units":"9223372036854775808""#), "out of range"),
        (eur(r#""units":9223372036854775808"#), "out of range"),
        (eur(r#""nanos":1000000000"#), "nanos must lie between"),
        (eur(r#""units":1,"nanos":-1"#), "nanos must lie between"),
        (eur(r#""nanos":3000000000"#), "out of range"),
        (eur(r#""units":1,"units":2"#), "duplicate field"),
        // The wallet holds 10 already.
        (eur(r#""units":"9223372036854775807""#), "out of range"),
    ];
    let rows: Vec<(&str, &str)> = rows.iter().map(|(body, want)| (body.as_str(), *want)).collect();
    check(&server, "POST", &format!("{ADA}/balance:credit"), &rows).await;
}

#[tokio::test]
async fn adjustments_that_are_wrong_are_refused() {
    let server = server().await;
    let rows = [
        ("{}", "adjustment: is required"),
        (r#"{"adjustment":{"units":"1"}}"#, "adjustment.currencyCode: is required"),
        (r#"{"adjustment":{"currencyCode":"EUR"}}"#, "adjustment: is zero"),
        (r#"{"adjustment":{"currencyCode":"EUR","units":"-9223372036854775808"}}"#, "out of range"),
        (r#"{"adjustment":{"currencyCode":"EUR","units":"-9223372036854775807"}}"#, "out of range"),
        (r#"{"adjustment":{"currencyCode":"USD","units":"1"}}"#, "no wallet in USD"),
    ];
    check(&server, "POST", &format!("{ADA}/balance:adjust"), &rows).await;
    let other = r#"{"adjustment":{"currencyCode":"USD","units":"1"}}"#;
    let reply = server.post(&format!("{ADA}/balance:adjust"), other).await;
    assert_eq!(reply.reason(), "keymanagement.service.developer_wallet_does_not_exist");
}

#[tokio::test]
async fn rate_plans_that_are_wrong_are_refused() {
    let server = server().await;
    let plan = plan_body("weather", "");
    let with = |from: &str, to: &str| {
        assert!(plan.contains(from), "{from}");
        plan.replace(from, to)
    };
    let rates = r#"[{"fee":{"nanos":10000000}}]"#;
    let rows = [
        (with(r#""apiproduct":"weather""#, r#""apiproduct":"maps""#), "apiproduct: \"maps\""),
        (with(r#""apiproduct":"weather","#, ""), "apiproduct: is required"),
        (with(r#""displayName":"standard","#, ""), "displayName: is required"),
        (with("MONTHLY", "WEEKLY"), "WEEKLY is not supported here"),
        (with("MONTHLY", "DAILY"), "\"DAILY\" is not a billing period"),
        (with(r#""billingPeriod":"MONTHLY","#, ""), "billingPeriod: is required to publish"),
        (with(r#""currencyCode":"EUR","#, ""), "currencyCode: is required to publish"),
        (with("\"EUR\"", "\"€\""), "not a currency code"),
        (with("\"EUR\"", "\"EUU\""), "\"EUU\" is not a currency of ISO 4217"),
        (with(r#""state":"PUBLISHED","#, ""), "state: is required"),
        (with("PUBLISHED", "LIVE"), "\"LIVE\" is neither"),
        (with("startTime", "endTime"), "startTime: is required to publish"),
        (plan_body("weather", r#","endTime":5"#), "endTime: must lie after startTime"),
        (with("FIXED_PER_UNIT", "FREE"), "\"FREE\" is not a consumption pricing type"),
        (with(rates, "[]"), "at least one price"),
        (with(rates, "[{}]"), "consumptionPricingRates[0].fee: is required"),
        (with(rates, r#"[{"fee":{"units":"-1"}}]"#), "negative"),
        (with(rates, r#"[{"fee":{"currencyCode":"USD","units":"1"}}]"#), "USD is not the currency"),
        (with(rates, r#"[{"end":"9","fee":{}},{"start":"10","fee":{}}]"#), "exactly one rate"),
        (
            plan_body("weather", r#","fixedRecurringFee":{"units":"-1"}"#),
            "fixedRecurringFee: is neg",
        ),
        (plan_body("weather", r#","fixedFeeFrequency":-1"#), "fixedFeeFrequency: is negative"),
        (plan_body("weather", r#","fixedFeeFrequency":121"#), "at most 120 months"),
        (plan_body("weather", r#","revenueShareType":"SOME""#), "is not a revenue share type"),
        (plan_body("weather", r#","revenueShareType":"FIXED""#), "FIXED takes exactly one rate"),
        (
            plan_body("weather", r#","revenueShareRates":[{"sharePercentage":"6.5"}]"#),
            "is required",
        ),
        (
            plan_body("weather", r#","revenueShareRates":[{"sharePercentage":6.125}]"#),
            "two decimals",
        ),
        (
            plan_body("weather", r#","revenueShareType":"FIXED","revenueShareRates":[{}]"#),
            "is required",
        ),
        (
            plan_body(
                "weather",
                r#","revenueShareType":"FIXED","revenueShareRates":[{"sharePercentage":101}]"#,
            ),
            "between 0 and 100",
        ),
        (plan_body("weather", r#","setupFee":{"units":"-1"}"#), "setupFee: is negative"),
        (plan_body("weather", r#","price":1"#), "unknown field `price`"),
        (plan.clone(), "overlapping"),
    ];
    let rows: Vec<(&str, &str)> = rows.iter().map(|(body, want)| (body.as_str(), *want)).collect();
    let path = "/v1/organizations/acme/apiproducts/weather/rateplans";
    check(&server, "POST", path, &rows).await;
}

#[tokio::test]
async fn other_bodies_that_are_wrong_are_refused() {
    let server = server().await;
    let developers = "/v1/organizations/acme/developers";
    let names = r#""firstName":"A","lastName":"B","userName":"c""#;
    let with_email = |email: &str| format!(r#"{{"email":"{email}",{names}}}"#);
    let (upper, nowhere) = (with_email("Bob@example.com"), with_email("bob"));
    let rows = [
        (upper.as_str(), "email: must be in lower case"),
        (nowhere.as_str(), "email: is not an e-mail address"),
        (r#"{"email":"bob@example.com"}"#, "firstName: is required"),
        (r#"{"e-mail":"bob@example.com"}"#, "unknown field `e-mail`"),
    ];
    check(&server, "POST", developers, &rows).await;
    let rows = [
        ("{}", "billingType: is required"),
        (r#"{"billingType":"BARTER"}"#, "\"BARTER\" is neither PREPAID nor POSTPAID"),
    ];
    check(&server, "PUT", &format!("{ADA}/monetizationConfig"), &rows).await;
    let rows = [
        ("{}", "name: must have 1 to 255 characters"),
        (r#"{"name":"a/b"}"#, "has '/'"),
        (r#"{"name":"a","apiResources":["forecast"]}"#, "not a path pattern"),
        (r#"{"name":"a","approvalType":"never"}"#, "neither auto nor manual"),
        (
            r#"{"name":"a","apiResources":["/"],"operationGroup":{"operationConfigs":
                [{"apiSource":"p","operations":[{"resource":"/"}]}]}}"#,
            "excludes apiResources",
        ),
        (
            r#"{"name":"a","operationGroup":{"operationConfigs":[{"apiSource":"p"}]}}"#,
            "at least one",
        ),
        (r#"{"name":"a","soapOperationGroup":{}}"#, "unknown field `soapOperationGroup`"),
        (r#"{"name":"a","quotaCounterScope":"APP"}"#, "quotaCounterScope: \"APP\" is none of"),
        (
            r#"{"name":"a","operationGroup":{"operationConfigType":"soap"}}"#,
            "neither proxy nor remoteservice",
        ),
        (
            r#"{"name":"a","grpcOperationGroup":{"operationConfigType":"proxy"}}"#,
            "unknown field `operationConfigType`",
        ),
        (
            r#"{"name":"a","llmOperationGroup":{"operationConfigs":[{"apiSource":"p"}]}}"#,
            "llmOperationGroup.operationConfigs: needs at least one operation",
        ),
        (
            r#"{"name":"a","apiResources":["/"],"grpcOperationGroup":{"operationConfigs":
                [{"apiSource":"p","service":"s"}]}}"#,
            "excludes apiResources",
        ),
    ];
    check(&server, "POST", "/v1/organizations/acme/apiproducts", &rows).await;
    let rows = [
        (r#"{"name":""}"#, "name: must have"),
        (r#"{"name":"a","keyExpiresIn":"-2"}"#, "keyExpiresIn: is out of range"),
    ];
    check(&server, "POST", &format!("{ADA}/apps"), &rows).await;
    let rows = [
        (r#"{"consumerKey":"k"}"#, "consumerSecret: is required"),
        (r#"{"consumerKey":"k k","consumerSecret":"s"}"#, "letters, digits"),
        (
            r#"{"consumerKey":"k","consumerSecret":"s","attributes":[{"name":""}]}"#,
            "name of attribute 1 is empty",
        ),
        (r#"{"consumerKey":"k","consumerSecret":"s","apiProducts":["weather"]}"#, "apiProducts"),
    ];
    check(&server, "POST", &format!("{ADA}/apps/shop/keys"), &rows).await;
    let rows = [
        ("{}", "apiproduct: is required"),
        (r#"{"apiproduct":"weather","startTime":"9","endTime":"8"}"#, "endTime: must lie after"),
    ];
    check(&server, "POST", &format!("{ADA}/subscriptions"), &rows).await;
}

#[tokio::test]
async fn what_is_not_there_is_said_by_name() {
    let server = server().await;
    let rows = [
        ("organizations/nobody", "organization nobody"),
        ("organizations/nobody/developers", "organization nobody"),
        ("organizations/nobody/developers/ada@example.com", "organization nobody"),
        ("organizations/acme/developers/bob@example.com", "developer bob@example.com"),
        ("organizations/acme/developers/bob@example.com/balance", "developer bob@example.com"),
        ("organizations/acme/developers/ada@example.com/apps/none", "app none"),
        ("organizations/acme/developers/ada@example.com/apps/shop/keys/none", "consumer key"),
        ("organizations/acme/developers/ada@example.com/subscriptions/none", "subscription none"),
        ("organizations/acme/apiproducts/none", "API product none"),
        ("organizations/acme/apiproducts/none/rateplans", "API product none"),
        ("organizations/acme/apiproducts/weather/rateplans/none", "rate plan none"),
        ("organizations/acme/appgroups/a", "AppGroup a"),
        ("organizations/acme/appgroups/a/balance", "AppGroup a"),
        ("organizations/nobody/appgroups", "organization nobody"),
        ("organizations/acme/nothing/at/all", "path does not exist"),
    ];
    for (path, want) in rows {
        let reply = server.get(&format!("/v1/{path}")).await;
        assert_eq!((reply.status, reply.error_status()), (404, "NOT_FOUND"), "{path}: {reply:?}");
        is_shaped(&reply);
        assert!(reply.message().contains(want), "{path}: {}", reply.message());
    }
    let wrong = server.put(&format!("{ADA}/balance"), "{}").await;
    assert_eq!(wrong.status, 405);
    is_shaped(&wrong);
    let buy = server.post(&format!("{ADA}/subscriptions"), r#"{"apiproduct":"none"}"#).await;
    assert_eq!(buy.status, 404);
    let app = server.post(&format!("{ADA}/apps"), r#"{"name":"a","apiProducts":["none"]}"#).await;
    assert_eq!(app.status, 404);
    assert!(app.message().contains("API product none does not exist"), "{app:?}");
}

#[tokio::test]
async fn queries_that_are_wrong_are_refused() {
    let server = server().await;
    let list = "/v1/organizations/acme/developers";
    for query in ["count=0", "count=-1", "count=x", "expand=yes", "Count=1", "start_key=a"] {
        let reply = server.get(&format!("{list}?{query}")).await;
        assert_eq!((reply.status, reply.error_status()), (400, "INVALID_ARGUMENT"), "{query}");
        let name = query.split('=').next().unwrap();
        assert!(reply.message().contains(name), "{}", reply.message());
    }
    let google = "alt=json&prettyPrint=false&key=k&fields=x&quotaUser=u&uploadType=a&callback=c\
                  &upload_protocol=p&access_token=t&oauth_token=o&$.xgafv=1&page=1&size=2&verbose=1";
    assert_eq!(server.get(&format!("{list}?{google}")).await.status, 200);
    assert_eq!(server.get(&format!("{list}?count=5000")).await.status, 200);
    let body = json!({"billingType": "PREPAID"}).to_string();
    let put = server.put(&format!("{ADA}/monetizationConfig?dryRun=1"), &body).await;
    assert_eq!(put.status, 200, "what nobody knows does not hurt: {put:?}");
}
