//! Billing types that change.

use serde_json::{Value, json};

use crate::harness::{ADA, Server};

const PREPAID: &str = r#"{"billingType":"PREPAID"}"#;
const POSTPAID: &str = r#"{"billingType":"POSTPAID"}"#;

async fn transfers(server: &Server) -> Vec<Value> {
    let journal = server.get(&format!("{ADA}/balance:entries")).await.json;
    let entries = journal["entries"].as_array().cloned().unwrap_or_default();
    entries.into_iter().filter(|entry| entry["kind"] == "transfer").collect()
}

#[tokio::test]
async fn what_is_left_in_every_currency_shows_once_as_a_credit_and_is_not_spent_again() {
    let server = Server::start_with_ada().await;
    let config = format!("{ADA}/monetizationConfig");
    server.credit("EUR", "10", "t-1").await;
    server.credit("USD", "4", "t-2").await;
    let set = server.put(&config, POSTPAID).await;
    assert_eq!((set.status, set.json), (200, json!({"billingType": "POSTPAID"})));
    assert_eq!(server.put(&config, POSTPAID).await.status, 200);
    assert_eq!(server.balance("EUR").await.unwrap(), "0");
    assert_eq!(server.balance("USD").await.unwrap(), "0");
    let moved = transfers(&server).await;
    let amounts: Vec<Value> = moved.iter().map(|entry| entry["amount"].clone()).collect();
    let eur = json!({"currencyCode": "EUR", "units": "10"});
    assert_eq!(amounts, [eur, json!({"currencyCode": "USD", "units": "4"})]);

    // The wallet starts from what is topped up.
    assert_eq!(server.put(&config, PREPAID).await.status, 200);
    assert_eq!(server.balance("EUR").await.unwrap(), "0");
    server.credit("EUR", "3", "t-3").await;
    assert_eq!(server.balance("EUR").await.unwrap(), "3");
    assert_eq!(transfers(&server).await.len(), 2);
    // Each switch has its own.
    server.put(&config, POSTPAID).await;
    let moved = transfers(&server).await;
    let ids: Vec<&str> = moved.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["transfer:1/EUR", "transfer:1/USD", "transfer:2/EUR", "transfer:2/USD"]);
}

#[tokio::test]
async fn a_debt_stays_in_the_wallet_and_is_paid_by_the_next_top_up() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "1", "t-1").await;
    let charge = json!({"adjustment": {"currencyCode": "EUR", "units": "3"}}).to_string();
    server.post(&format!("{ADA}/balance:adjust"), &charge).await;
    server.put(&format!("{ADA}/monetizationConfig"), POSTPAID).await;
    assert_eq!(server.balance("EUR").await.unwrap(), "-2");
    assert_eq!(transfers(&server).await[0]["amount"], json!({"currencyCode": "EUR"}));
    server.credit("EUR", "5", "t-2").await;
    assert_eq!(server.balance("EUR").await.unwrap(), "3");
}
