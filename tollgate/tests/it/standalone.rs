//! What a newcomer does: start, call, look at the balance, spend it, top it up, start again.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::{Portal, get, nanos};
use crate::support::eventually;
use crate::support::process::{self, Tollgate, standalone};

/// One call of the demo with its key.
async fn call(process: &Tollgate) -> StatusCode {
    let key = process.text(&["demo", "key"]);
    get(process.text(&["demo", "url"]), &[("x-api-key", key)]).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_costs_its_price_until_the_wallet_is_spent_and_a_top_up_lets_calls_pass() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let portal = Portal::of_demo(&process);
    assert_eq!(process.text(&["demo", "price"]), "0.01");
    let first = portal.try_balance().await.unwrap();
    assert_eq!(first, nanos("1"));

    assert_eq!(call(&process).await, StatusCode::OK);
    portal.balance_becomes(nanos("0.99")).await;

    let mut passed = 1;
    while call(&process).await == StatusCode::OK {
        passed += 1;
        assert!(
            passed <= 100,
            "one gateway alone never lets a call pass that the wallet cannot pay"
        );
    }
    assert_eq!(passed, 100);
    portal.balance_becomes(0).await;
    let key = process.text(&["demo", "key"]);
    let refused = get(process.text(&["demo", "url"]), &[("x-api-key", key)]).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    let body: Value = serde_json::from_str(&refused.body).unwrap();
    assert_eq!(
        body["fault"]["detail"]["errorcode"],
        "mint.service.developer_usage_exceeds_balance"
    );

    assert_eq!(portal.credit(2, "top-up-1").await.unwrap().status, StatusCode::OK);
    eventually("a call passes after the top-up", || async {
        let status = call(&process).await;
        if status == StatusCode::OK { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    portal.balance_becomes(nanos("1.99")).await;
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_fail_or_are_refused_cost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let portal = Portal::of_demo(&process);
    let url = process.text(&["demo", "url"]);
    let key = process.text(&["demo", "key"]);
    let rows = [
        (format!("{url}?status=503"), vec![("x-api-key", key)], 503, ""),
        (url.to_owned(), vec![], 401, "oauth.v2.InvalidApiKey"),
        (url.to_owned(), vec![("x-api-key", "nobody's")], 401, "oauth.v2.InvalidApiKey"),
    ];
    for (url, headers, status, code) in rows {
        let answer = get(&url, &headers).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert!(answer.body.contains(code), "{answer:?}");
    }
    // One that is paid for behind them: when it has arrived, they would have as well.
    assert_eq!(call(&process).await, StatusCode::OK);
    portal.balance_becomes(nanos("0.99")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_and_paid_in_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let token = Portal::of_demo(&process).token;
    let key = process.text(&["demo", "key"]).to_owned();
    for _ in 0..3 {
        assert_eq!(call(&process).await, StatusCode::OK);
    }
    // No waiting: the end itself reports and flushes.
    assert!(process.stop().success());

    let process = standalone(dir.path(), &[]);
    let portal = Portal::of_demo(&process);
    assert_eq!(portal.token, token);
    assert_eq!(process.text(&["demo", "key"]), key);
    assert_eq!(portal.try_balance().await.unwrap(), nanos("0.97"));
    assert_eq!(call(&process).await, StatusCode::OK);
    portal.balance_becomes(nanos("0.96")).await;
    assert!(process.stop().success());
    let output = process::run([
        "ledger".as_ref(),
        "verify".as_ref(),
        "--data-dir".as_ref(),
        dir.path().as_os_str(),
    ]);
    assert!(output.status.success(), "{:?}", process::texts(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_credit_counts_once_and_another_amount_under_its_id_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let portal = Portal::of_demo(&process);
    for _ in 0..2 {
        assert_eq!(portal.credit(3, "once").await.unwrap().status, StatusCode::OK);
    }
    let other = portal.credit(4, "once").await.unwrap();
    assert!(other.status.is_client_error(), "{other:?}");
    assert_eq!(portal.try_balance().await.unwrap(), nanos("4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let portal = Portal::of_demo(&process);
    assert_eq!(call(&process).await, StatusCode::OK);
    let key = process.text(&["demo", "key"]);
    let path = format!("/developers/{}/apps/demo/keys/{key}?action=revoke", portal.developer);
    let answer = portal.send(Method::POST, &path, None).await.unwrap();
    assert!(answer.status.is_success(), "{answer:?}");
    let began = crate::support::now();
    eventually("the key is refused", || async {
        let status = call(&process).await;
        if status == StatusCode::UNAUTHORIZED { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let took = crate::support::now() - began;
    assert!(took < std::time::Duration::from_secs(1), "it took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_token_is_written_once_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &["--no-demo"]);
    let file = process.text(&["admin_token_file"]);
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(process.stderr().contains(file), "{}", process.stderr());
    assert_eq!(process.ready["demo"], Value::Null);
    let url = format!("{}/v1/organizations", process.text(&["management"]));
    let answer = get(&url, &[("authorization", "Bearer wrong")]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_are_shown_over_grpc_to_people_and_programs() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    assert_eq!(call(&process).await, StatusCode::OK);
    Portal::of_demo(&process).balance_becomes(nanos("0.99")).await;
    let address = process.text(&["sync"]).to_owned();
    let token = process.text(&["admin_token_file"]).to_owned();
    let ask = |words: &[&str]| {
        let rest = ["--address", &address, "--token-file", &token];
        let output = process::run(["balance"].iter().chain(words).chain(rest.iter()));
        assert!(output.status.success(), "{words:?}: {:?}", process::texts(&output));
        process::texts(&output).0
    };
    let shown: Value = serde_json::from_str(&ask(&["get", "--json", "--gateways"])).unwrap();
    assert_eq!(shown["balance"], "0.99");
    assert_eq!(shown["currency"], "EUR");
    assert_eq!(shown["gateways"][0]["balance"], "0.99", "{shown}");
    let listed: Value = serde_json::from_str(&ask(&["list", "--json"])).unwrap();
    assert_eq!(listed["balance"], "0.99");
    let table = ask(&["get"]);
    assert!(table.lines().count() == 2 && table.contains("0.99"), "{table}");

    let wrong = dir.path().join("wrong-token");
    std::fs::write(&wrong, "wrong").unwrap();
    let wrong = wrong.to_str().unwrap();
    let output = process::run(["balance", "get", "--address", &address, "--token-file", wrong]);
    assert!(!output.status.success());
    assert!(process::texts(&output).1.contains("Unauthenticated"), "{:?}", process::texts(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_methods_reach_the_upstream_as_they_were_sent() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &[]);
    let key = process.text(&["demo", "key"]);
    let sent = json!({"order": 7}).to_string();
    let url = process.text(&["demo", "url"]);
    let headers = [("x-api-key", key), ("content-type", "application/json")];
    let answer =
        crate::support::api::request(Method::POST, url, &headers, Some(&sent)).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, sent.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_billing_type_takes_effect_on_every_gateway_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let process = standalone(dir.path(), &["--gateways", "2"]);
    let portal = Portal::of_demo(&process);
    let key = process.text(&["demo", "key"]).to_owned();
    let path = format!("/developers/{}/monetizationConfig", portal.developer);
    // What is left leaves the wallet: paid calls are refused from now on, and later ones are not.
    let switches = [("POSTPAID", 200), ("PREPAID", 402), ("POSTPAID", 200), ("PREPAID", 402)];
    for (billing, want) in switches {
        portal.must(Method::PUT, &path, &json!({"billingType": billing})).await;
        let began = crate::support::now();
        for gateway in process.gateways() {
            let url = format!("{gateway}/demo/orders");
            eventually("the gateway goes by it", || async {
                let status = get(&url, &[("x-api-key", &key)]).await.status.as_u16();
                if status == want { Ok(()) } else { Err(status.to_string()) }
            })
            .await;
        }
        let took = crate::support::now() - began;
        assert!(took < std::time::Duration::from_secs(1), "{billing} took {took:?}");
    }
    assert!(process.stop().success());
}
