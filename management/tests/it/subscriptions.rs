//! Purchases of API products.

use serde_json::json;

use crate::harness::{ADA, NOON, Server};

const BUY: &str = r#"{"apiproduct":"weather"}"#;

#[tokio::test]
async fn a_subscription_begins_now_and_ends_when_it_is_expired() {
    let server = Server::start_with_ada().await;
    server.add_plan("weather", "").await;
    let path = format!("{ADA}/subscriptions");
    assert_eq!(server.get(&path).await.json, json!({}));
    let bought = server.post(&path, BUY).await;
    assert_eq!(bought.status, 201, "{bought:?}");
    let name = bought.json["name"].as_str().unwrap();
    let want = json!({
        "name": name, "apiproduct": "weather", "startTime": NOON.to_string(),
        "createdAt": NOON.to_string(), "lastModifiedAt": NOON.to_string(),
    });
    assert_eq!(bought.json, want);
    assert_eq!(server.get(&format!("{path}/{name}")).await.json, want);
    let again = server.post(&path, BUY).await;
    assert_eq!((again.status, again.error_status()), (409, "ALREADY_EXISTS"), "{again:?}");

    server.clock.set(NOON + 10);
    // With a body, without one, and as Apigee's command line client sends it.
    for verb in [":expire", "/:expire"] {
        for body in ["{}", ""] {
            let ended = server.post(&format!("{path}/{name}{verb}"), body).await;
            assert_eq!(ended.json["endTime"], (NOON + 10).to_string(), "{ended:?}");
            server.clock.set(NOON + 20);
        }
    }
    let second = server.post(&path, BUY).await;
    assert_eq!(second.status, 201);
    let page = server.get(&format!("{path}?count=1&page=0&size=5")).await;
    assert_eq!(page.json["developerSubscriptions"][0]["name"], name);
    assert_eq!(page.json["nextStartKey"], second.json["name"]);
    let next = second.json["name"].as_str().unwrap();
    let page = server.get(&format!("{path}?count=1&startKey={next}")).await;
    assert_eq!(page.json, json!({"developerSubscriptions": [second.json]}));
}

#[tokio::test]
async fn a_setup_fee_is_paid_once_from_the_wallet() {
    let server = Server::start_with_ada().await;
    server.add_plan("weather", r#","setupFee":{"units":"5"}"#).await;
    let path = format!("{ADA}/subscriptions");
    let refused = server.post(&path, BUY).await;
    assert_eq!((refused.status, refused.error_status()), (400, "FAILED_PRECONDITION"));
    assert_eq!(refused.reason(), "keymanagement.service.developer_wallet_does_not_exist");
    server.credit("EUR", "4", "t-1").await;
    let refused = server.post(&path, BUY).await;
    assert_eq!((refused.status, refused.error_status()), (400, "FAILED_PRECONDITION"));
    assert_eq!(refused.reason(), "mint.service.developer_usage_exceeds_balance");
    assert!(refused.message().contains("4 EUR") && refused.message().contains("5 EUR"));
    assert_eq!(server.balance("EUR").await.unwrap(), "4");
    assert_eq!(server.get(&path).await.json, json!({}));

    server.credit("EUR", "10", "t-2").await;
    let (one, other) = tokio::join!(server.post(&path, BUY), server.post(&path, BUY));
    assert!(one.status == 201 || other.status == 201, "{one:?} {other:?}");
    assert_eq!(server.balance("EUR").await.unwrap(), "9");
    let all = server.get(&path).await;
    assert_eq!(all.json["developerSubscriptions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn who_pays_later_buys_without_a_wallet() {
    let server = Server::start_with_ada().await;
    server.add_plan("weather", r#","setupFee":{"units":"5"}"#).await;
    let postpaid = r#"{"billingType":"POSTPAID"}"#;
    server.put(&format!("{ADA}/monetizationConfig"), postpaid).await;
    let bought = server.post(&format!("{ADA}/subscriptions"), BUY).await;
    assert_eq!(bought.status, 201, "{bought:?}");
    assert_eq!(server.balance("EUR").await, None);
}
