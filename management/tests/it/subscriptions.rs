//! Purchases of API products.

use serde_json::{Value, json};

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
async fn who_pays_later_buys_without_money() {
    let server = Server::start_with_ada().await;
    let fees = r#","setupFee":{"units":"5"},"fixedRecurringFee":{"units":"30"}"#;
    server.add_plan("weather", fees).await;
    let postpaid = r#"{"billingType":"POSTPAID"}"#;
    server.put(&format!("{ADA}/monetizationConfig"), postpaid).await;
    let bought = server.post(&format!("{ADA}/subscriptions"), BUY).await;
    assert_eq!(bought.status, 201, "{bought:?}");
    // For an invoice, and not from the wallet, which stands for the currency alone.
    assert_eq!(server.balance("EUR").await.unwrap(), "0");
    let id = bought.json["name"].as_str().unwrap();
    let journal = server.get(&format!("{ADA}/balance:entries")).await;
    assert_eq!(
        kinds(&journal.json),
        [
            (
                format!("fee:{id}"),
                "postpaid_fee".to_owned(),
                json!({"currencyCode": "EUR", "units": "5"})
            ),
            (
                format!("fee:{id}/2026-11"),
                "postpaid_fee".to_owned(),
                json!({"currencyCode": "EUR", "units": "9"})
            ),
        ]
    );
}

#[tokio::test]
async fn the_first_interval_is_paid_by_the_days_that_are_left() {
    let server = Server::start_with_ada().await;
    // Noon of 22 November: nine days are left, today included.
    let fees = r#","setupFee":{"units":"5"},"fixedRecurringFee":{"units":"100"}"#;
    server.add_plan("weather", fees).await;
    server.credit("EUR", "34", "t-1").await;
    let path = format!("{ADA}/subscriptions");
    let refused = server.post(&path, BUY).await;
    assert_eq!(refused.reason(), "mint.service.developer_usage_exceeds_balance");
    assert!(refused.message().contains("35 EUR"), "{refused:?}");
    assert_eq!(server.balance("EUR").await.unwrap(), "34", "neither fee is booked");
    server.credit("EUR", "1", "t-2").await;
    assert_eq!(server.post(&path, BUY).await.status, 201);
    assert_eq!(server.balance("EUR").await.unwrap(), "0");
    // Ended and bought again in the last minute of the month: one day of 30.
    let all = server.get(&path).await.json;
    let id = all["developerSubscriptions"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(server.post(&format!("{path}/{id}:expire"), "").await.status, 200);
    server.credit("EUR", "10", "t-3").await;
    server.clock.set(1_796_083_199_999);
    assert_eq!(server.post(&path, BUY).await.status, 201);
    assert_eq!(server.balance("EUR").await.unwrap(), "1.666666667");
}

fn kinds(journal: &Value) -> Vec<(String, String, Value)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = journal["entries"].as_array().unwrap().iter();
    entries.map(|one| (text(&one["id"]), text(&one["kind"]), one["amount"].clone())).collect()
}
