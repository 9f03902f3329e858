//! Rate plans.

use serde_json::{Value, json};

use crate::harness::{NOON, Server, plan_body};

const PLANS: &str = "/v1/organizations/acme/apiproducts/weather/rateplans";

#[tokio::test]
async fn a_banded_plan_has_the_documented_shape() {
    let server = Server::start().await;
    server.post("/v1/organizations/acme/apiproducts", r#"{"name":"weather"}"#).await;
    let body = json!({
        "apiproduct": "weather", "displayName": "Banded", "billingPeriod": "MONTHLY",
        "paymentFundingModel": "PREPAID", "currencyCode": "USD", "state": "PUBLISHED",
        "setupFee": {"units": "3", "nanos": 500_000_000},
        "fixedRecurringFee": {"units": 20}, "fixedFeeFrequency": 1, "revenueShareRates": [],
        "consumptionPricingType": "BANDED",
        "consumptionPricingRates": [
            {"start": 1, "end": "100", "fee": {"units": 2}},
            {"start": "101", "end": 0, "fee": {"units": "1", "nanos": 500_000_000,
                "currencyCode": "USD"}},
        ],
        "startTime": NOON, "endTime": (NOON + 1000).to_string(),
    });
    let made = server.post(PLANS, &body.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let usd = |mut money: Value| {
        money["currencyCode"] = "USD".into();
        money
    };
    let want = json!({
        "name": made.json["name"], "apiproduct": "weather", "displayName": "Banded",
        "billingPeriod": "MONTHLY", "paymentFundingModel": "PREPAID", "currencyCode": "USD",
        "setupFee": usd(json!({"units": "3", "nanos": 500_000_000})),
        "fixedRecurringFee": usd(json!({"units": "20"})), "fixedFeeFrequency": 1,
        "consumptionPricingType": "BANDED",
        "consumptionPricingRates": [
            {"start": "1", "end": "100", "fee": usd(json!({"units": "2"}))},
            {"start": "101", "fee": usd(json!({"units": "1", "nanos": 500_000_000}))},
        ],
        "state": "PUBLISHED", "startTime": NOON.to_string(),
        "endTime": (NOON + 1000).to_string(),
        "createdAt": NOON.to_string(), "lastModifiedAt": NOON.to_string(),
    });
    assert_eq!(made.json, want);
    // Cloning: what was got is sent back, read-only fields included.
    let path = format!("{PLANS}/{}", made.json["name"].as_str().unwrap());
    let mut later = server.get(&path).await.json;
    assert_eq!(later, want);
    later["startTime"] = (NOON + 1000).to_string().into();
    later["endTime"] = Value::Null;
    assert_eq!(server.post(PLANS, &later.to_string()).await.status, 201);
    let deleted = server.delete(&path).await;
    assert_eq!((deleted.status, deleted.json), (200, want));
    assert_eq!(server.get(&path).await.status, 404);
}

#[tokio::test]
async fn every_pricing_model_fee_and_share_is_kept_and_shown() {
    let server = Server::start().await;
    server.post("/v1/organizations/acme/apiproducts", r#"{"name":"weather"}"#).await;
    for model in ["TIERED", "STAIRSTEP", "BANDED"] {
        let body = json!({
            "apiproduct": "weather", "displayName": model, "state": "DRAFT", "currencyCode": "EUR",
            "consumptionPricingType": model,
            "consumptionPricingRates": [
                {"end": 100, "fee": {"units": 75}},
                {"start": 101, "end": 200, "fee": {"units": 25, "nanos": 5}},
            ],
            "fixedRecurringFee": {"units": "9"}, "fixedFeeFrequency": 3,
            "revenueShareType": "VOLUME_BANDED",
            "revenueShareRates": [
                {"end": "10", "sharePercentage": 6.5},
                {"start": "11", "sharePercentage": "33.33"},
            ],
        });
        let made = server.post(PLANS, &body.to_string()).await;
        assert_eq!(made.status, 201, "{made:?}");
        let want = json!({
            "name": made.json["name"], "apiproduct": "weather", "displayName": model,
            "state": "DRAFT", "currencyCode": "EUR", "consumptionPricingType": model,
            "consumptionPricingRates": [
                {"end": "100", "fee": {"currencyCode": "EUR", "units": "75"}},
                {"start": "101", "end": "200", "fee": {"currencyCode": "EUR", "units": "25", "nanos": 5}},
            ],
            "fixedRecurringFee": {"currencyCode": "EUR", "units": "9"}, "fixedFeeFrequency": 3,
            "revenueShareType": "VOLUME_BANDED",
            "revenueShareRates": [
                {"end": "10", "sharePercentage": 6.5},
                {"start": "11", "sharePercentage": 33.33},
            ],
            "createdAt": NOON.to_string(), "lastModifiedAt": NOON.to_string(),
        });
        assert_eq!(made.json, want);
        // What was got can be sent back, and a body that says less drops the rest.
        let path = format!("{PLANS}/{}", made.json["name"].as_str().unwrap());
        assert_eq!(server.put(&path, &want.to_string()).await.json, want);
        let short = json!({"apiproduct": "weather", "displayName": "short", "state": "DRAFT"});
        let put = server.put(&path, &short.to_string()).await.json;
        assert_eq!(put["displayName"], "short");
        assert_eq!(put.get("fixedRecurringFee"), None);
        assert_eq!(put.get("revenueShareRates"), None);
        assert_eq!(put.get("consumptionPricingType"), None);
    }
}

#[tokio::test]
async fn plans_are_listed_by_product_and_for_all() {
    let server = Server::start().await;
    assert_eq!(server.get("/v1/organizations/acme/apiproducts/-/rateplans").await.json, json!({}));
    let weather = server.add_plan("weather", "").await;
    let maps = server.add_plan("maps", "").await;
    let draft = plan_body("weather", "").replace("PUBLISHED", "DRAFT");
    let draft = server.post(PLANS, &draft).await;
    let draft = draft.json["name"].as_str().unwrap();

    let published = server.get(&format!("{PLANS}?expand=true&state=PUBLISHED")).await;
    assert_eq!(published.json["ratePlans"].as_array().unwrap().len(), 1);
    assert_eq!(published.json["ratePlans"][0]["name"], weather);
    let named = json!({"ratePlans": [{"name": draft, "apiproduct": "weather"}]});
    assert_eq!(server.get(&format!("{PLANS}?state=DRAFT")).await.json, named);

    let all = "/v1/organizations/acme/apiproducts/-/rateplans";
    let first = server.get(&format!("{all}?count=2")).await;
    assert_eq!(first.json["ratePlans"][0]["name"], maps, "by product");
    assert_eq!(first.json["nextStartKey"], draft);
    let second = server.get(&format!("{all}?count=2&startKey={draft}")).await;
    assert_eq!(second.json, json!({"ratePlans": [{"name": draft, "apiproduct": "weather"}]}));
}

#[tokio::test]
async fn overlapping_published_plans_are_refused() {
    let server = Server::start().await;
    let first = server.add_plan("weather", "").await;
    let refused = server.post(PLANS, &plan_body("weather", "")).await;
    assert_eq!((refused.status, refused.error_status()), (400, "FAILED_PRECONDITION"));
    assert!(refused.message().contains(&first), "{refused:?}");
    assert_eq!(server.get(PLANS).await.json["ratePlans"].as_array().unwrap().len(), 1);
}
