//! Credits, adjustments and the journal.

use serde_json::json;
use tollgate_ledger_store::Ledger;
use tollgate_ledger_store::catalogue::wallet_id;

use crate::harness::{ADA, ADMIN, NOON, READER, Server};

#[tokio::test]
async fn a_transaction_counts_once() {
    let server = Server::start_with_ada().await;
    for _ in 0..3 {
        assert_eq!(server.credit("EUR", "10", "t-1").await.status, 200);
    }
    assert_eq!(server.balance("EUR").await.unwrap(), "10");
    // The id is the developer's, whatever the amount or currency.
    let of_dollars = "a credit of 10 in another currency than USD";
    for (currency, units, before) in
        [("EUR", "11", "a credit of 10 EUR"), ("USD", "10", of_dollars)]
    {
        let other = server.credit(currency, units, "t-1").await;
        assert_eq!((other.status, other.error_status()), (409, "ALREADY_EXISTS"), "{other:?}");
        assert_eq!(other.reason(), "tollgate.transaction.duplicate_id");
        let want = format!("transactionId t-1 was used before for {before}");
        assert_eq!(other.message(), want);
    }
    assert_eq!(server.balance("EUR").await.unwrap(), "10");
    assert_eq!(server.balance("USD").await, None, "a conflict opens no wallet");
}

#[tokio::test]
async fn many_at_the_same_time_count_once_each() {
    let server = Server::start_with_ada().await;
    let ids: Vec<String> = (0..8).map(|number| format!("t-{number}")).collect();
    let mut calls = Vec::new();
    for id in ids.iter().chain(&ids) {
        calls.push(server.credit("EUR", "1", id));
    }
    for reply in futures_util::future::join_all(calls).await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(server.balance("EUR").await.unwrap(), "8");
}

#[tokio::test]
async fn an_adjustment_with_a_key_counts_once() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "10", "t-1").await;
    let path = format!("{ADA}/balance:adjust");
    let adjust = async |units: i64, key: &str| {
        let body = json!({"adjustment": {"currencyCode": "EUR", "units": units}}).to_string();
        server.call("POST", &path, ADMIN, key, Some(&body)).await
    };
    for _ in 0..2 {
        let reply = adjust(3, "Idempotency-Key: t-1\r\n").await;
        assert_eq!(reply.status, 200, "a key is no transaction id: {reply:?}");
        assert_eq!(reply.header("idempotency-key"), Some("t-1"));
    }
    assert_eq!(server.balance("EUR").await.unwrap(), "7");
    let other = adjust(4, "Idempotency-Key: t-1\r\n").await;
    assert_eq!((other.status, other.error_status()), (409, "ALREADY_EXISTS"), "{other:?}");
    let twice = adjust(4, "Idempotency-Key: a\r\nIdempotency-Key: b\r\n").await;
    assert_eq!(twice.status, 400);
    assert_eq!(server.balance("EUR").await.unwrap(), "7");
    // Without a key each is one of its own, and the answer names it.
    assert!(adjust(1, "").await.header("idempotency-key").is_some());
    adjust(1, "").await;
    assert_eq!(server.balance("EUR").await.unwrap(), "5");
}

#[tokio::test]
async fn an_adjustment_is_capped_where_the_organization_says_so() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "100", "t-1").await;
    let raise = r#"{"adjustment":{"currencyCode":"EUR","units":"-1"}}"#;
    let path = format!("{ADA}/balance:adjust");
    assert_eq!(server.post(&path, raise).await.status, 200);
    assert_eq!(server.balance("EUR").await.unwrap(), "101");

    let capped = json!({"properties": {"property":
        [{"name": "tollgate.adjustment_cap", "value": "true"}]}});
    let set = server.put("/v1/organizations/acme", &capped.to_string()).await;
    assert_eq!(set.status, 200, "{set:?}");
    let above = server.post(&path, raise).await;
    assert_eq!((above.status, above.error_status()), (400, "FAILED_PRECONDITION"), "{above:?}");
    assert_eq!(above.reason(), "tollgate.adjustment.above_last_credit");
    assert_eq!(server.balance("EUR").await.unwrap(), "101");
    let lower = r#"{"adjustment":{"currencyCode":"EUR","units":"11"}}"#;
    assert_eq!(server.post(&path, lower).await.status, 200);
    let back = r#"{"adjustment":{"currencyCode":"EUR","units":"-10"}}"#;
    assert_eq!(server.post(&path, back).await.status, 200);
    assert_eq!(server.balance("EUR").await.unwrap(), "100");
}

#[tokio::test]
async fn a_debt_is_shown_and_paid_first() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "1", "t-1").await;
    let body = r#"{"adjustment":{"currencyCode":"EUR","units":"2","nanos":750000000}}"#;
    let reply = server.post(&format!("{ADA}/balance:adjust"), body).await;
    let balance = json!({"currencyCode": "EUR", "units": "-1", "nanos": -750_000_000});
    assert_eq!(reply.json["wallets"][0]["balance"], balance);
    let reply = server.credit("EUR", "2", "t-2").await;
    let balance = json!({"currencyCode": "EUR", "nanos": 250_000_000});
    assert_eq!(reply.json["wallets"][0]["balance"], balance);
}

#[tokio::test]
async fn both_forms_of_numbers_are_read() {
    let server = Server::start_with_ada().await;
    let path = format!("{ADA}/balance:credit");
    let amounts = [
        r#"{"currencyCode":"EUR","units":10}"#,
        r#"{"currencyCode":"EUR","units":"10"}"#,
        r#"{"currencyCode":"EUR","nanos":"500000000"}"#,
        r#"{"currencyCode":"EUR","units":null,"nanos":500000000}"#,
        r#"{"currencyCode":"EUR","units":"0","nanos":1,}"#,
    ];
    for (id, amount) in amounts.iter().enumerate() {
        let body = format!(r#"{{"transactionAmount":{amount},"transactionId":"t-{id}"}}"#);
        let reply = server.post(&path, &body).await;
        assert_eq!(reply.status, 200, "{amount}: {reply:?}");
    }
    assert_eq!(server.balance("EUR").await.unwrap(), "21.000000001");
}

#[tokio::test]
async fn a_developer_is_found_however_the_path_is_written() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "1", "t-1").await;
    let id = server.get(ADA).await.json["developerId"].as_str().unwrap().to_owned();
    let names = ["ada@example.com", "ada%40example.com", "ada%2540example.com", &id];
    for name in names {
        let path = format!("/v1/organizations/acme/developers/{name}/balance?alt=json&%24.xgafv=2");
        let reply = server.get(&path).await;
        assert_eq!(reply.json["wallets"][0]["balance"]["units"], "1", "{name}: {reply:?}");
    }
    let apart = format!("{ADA}/balance/:credit");
    let body = r#"{"transactionAmount":{"currencyCode":"EUR","units":"1"},"transactionId":"t-2"}"#;
    assert_eq!(server.post(&apart, body).await.status, 200);
}

#[tokio::test]
async fn the_journal_says_who_when_why_and_how_much() {
    let server = Server::start_with_ada().await;
    let body = json!({
        "transactionAmount": {"currencyCode": "EUR", "units": "5"},
        "transactionId": "t-1",
        "reason": "invoice 7",
    });
    server.post(&format!("{ADA}/balance:credit"), &body.to_string()).await;
    let lower = r#"{"adjustment":{"currencyCode":"EUR","units":"1"}}"#;
    server.post(&format!("{ADA}/balance:adjust"), lower).await;
    let path = format!("{ADA}/balance:entries");
    let reply = server.call("GET", &path, READER, "", None).await;
    let entries = reply.json["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{reply:?}");
    let credit = entries.iter().find(|entry| entry["kind"] == "credit").unwrap();
    let want = json!({
        "id": "credit:t-1",
        "kind": "credit",
        "amount": {"currencyCode": "EUR", "units": "5"},
        "balanceAfter": {"currencyCode": "EUR", "units": "5"},
        "time": NOON.to_string(),
        "by": "admin",
        "reason": "invoice 7",
    });
    assert_eq!(*credit, want);

    let first = server.get(&format!("{path}?count=1")).await;
    let next = first.json["nextStartKey"].as_str().unwrap();
    let second = server.get(&format!("{path}?count=1&startKey={next}")).await;
    assert_ne!(first.json["entries"][0]["id"], second.json["entries"][0]["id"]);
}

/// A credit that was under way while its developer was deleted.
#[tokio::test]
async fn a_sealed_wallet_takes_no_money() {
    let server = Server::start_with_ada().await;
    server.credit("EUR", "5", "t-1").await;
    let id = server.get(ADA).await.json["developerId"].as_str().unwrap().parse().unwrap();
    let wallet = wallet_id(id, "EUR".parse().unwrap());
    let account = server.sqlite.read(wallet).await.unwrap().unwrap().account;
    let sealed = tollgate_metering::booking::seal(&account).unwrap();
    server.sqlite.commit(&sealed).await.unwrap();
    let refused = server.credit("EUR", "5", "t-2").await;
    assert_eq!((refused.status, refused.reason()), (400, "tollgate.wallet.sealed"), "{refused:?}");
    assert_eq!(server.credit("EUR", "5", "t-1").await.status, 200, "it was booked before");
    assert_eq!(server.balance("EUR").await.unwrap(), "5");
}
