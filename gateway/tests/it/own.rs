//! What the owner of a key asks about itself: the reserved paths, the key, the cache.

use std::time::Duration;

use tollgate_gateway::admission::{Admission, OwnQuestion};
use tollgate_gateway::refusal::Refusal;

use crate::harness::{Gateway, Upstream, proxy};
use crate::metered::Wallets;
use crate::scripted_node::{KEY, Ledger, Node};

#[tokio::test]
async fn the_reserved_prefix_wins_over_every_proxy() {
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let rows = [
        ("/.tollgate/v1/balance", "x-api-key: good", 200),
        ("/.tollgate/v1/usage?apikey=good", "x: y", 200),
        ("/.tollgate/v1/balance", "x: y", 401),
        ("/.tollgate/v1/balance", "x-api-key: bad", 401),
        ("/.tollgate/v1/balance/ada@acme.test", "x-api-key: good", 404),
        ("/.tollgate/v1/balance/../../x", "x-api-key: good", 400),
        ("/.tollgate/v1/%2e%2e/x", "x-api-key: good", 400),
        ("/%2Etollgate/v1/balance", "x-api-key: good", 400),
        ("//.tollgate/v1/balance", "x-api-key: good", 400),
        ("/.tollgate/v1/balance?apikey=good&apikey=other", "x: y", 400),
    ];
    for (target, line, status) in rows {
        // A bad request is the last on its connection.
        let answer = gateway.client().await.got(target, &[line]).await;
        assert_eq!(answer.status(), status, "{target} {line}: {}", answer.body);
        if status == 200 {
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(answer.body.contains("good"), "{}", answer.body);
        }
    }
    upstream.heard_nothing();
    let mut client = gateway.client().await;
    assert_eq!(client.got("/.tollgates", &["x-api-key: good"]).await.body, "hello");
}

async fn asked(
    wallets: &Wallets,
    question: OwnQuestion,
    key: Option<&str>,
) -> Result<String, Refusal> {
    let answer = wallets.metered.own(question, key).await;
    answer.map(|body| String::from_utf8(body.to_vec()).unwrap()).map_err(|refused| refused.kind)
}

#[tokio::test]
async fn an_owner_is_answered_in_exact_decimals_and_asks_a_node_once_a_second() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::start_with(vec![node.url()], |_| {});
    wallets.until_ready().await;
    let balance = asked(&wallets, OwnQuestion::Balance, Some(KEY)).await.unwrap();
    for part in [
        r#""billingType":"PREPAID""#,
        r#""currency":"EUR","balance":"1","held":"0.000000001""#,
        r#""product":"weather""#,
        r#""ageMs":"#,
    ] {
        assert!(balance.contains(part), "{part}: {balance}");
    }
    let usage = asked(&wallets, OwnQuestion::Usage, Some(KEY)).await.unwrap();
    assert!(usage.contains(r#""day":"2026-11-26","product":"weather""#), "{usage}");
    assert!(usage.contains(r#""units":"2.5""#), "{usage}");
    assert_eq!(ledger.with(|books| books.owned), 1, "both from one answer");
    assert_eq!(asked(&wallets, OwnQuestion::Balance, None).await, Err(Refusal::KeyMissing));
    let unknown = asked(&wallets, OwnQuestion::Balance, Some("bad")).await;
    assert_eq!(unknown, Err(Refusal::KeyUnknown));
    assert_eq!(ledger.with(|books| books.owned), 1, "nobody is asked for a key that does not work");
}

#[tokio::test]
async fn what_is_kept_is_told_with_its_age_while_no_node_answers() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::start_with(vec![node.url()], |settings| {
        settings.catalogue_staleness_limit_ms = 60_000;
    });
    wallets.until_ready().await;
    asked(&wallets, OwnQuestion::Balance, Some(KEY)).await.unwrap();
    node.kill().await;
    let age = || async {
        let kept = asked(&wallets, OwnQuestion::Balance, Some(KEY)).await.unwrap();
        let (_, age) = kept.rsplit_once(r#""ageMs":"#).unwrap();
        age.trim_end_matches('}').parse::<u64>().unwrap()
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while age().await <= 1_000 {
        assert!(tokio::time::Instant::now() < deadline, "never older than it is fresh");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_revoked_key_gets_nothing_of_what_was_kept_for_it() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = Wallets::start_with(vec![node.url()], |_| {});
    wallets.until_ready().await;
    asked(&wallets, OwnQuestion::Balance, Some(KEY)).await.unwrap();
    ledger.with(|books| books.is_key_approved = false);
    node.forget_everything().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        match asked(&wallets, OwnQuestion::Balance, Some(KEY)).await {
            Err(refusal) => return assert_eq!(refusal, Refusal::KeyNotApproved),
            Ok(_) => assert!(tokio::time::Instant::now() < deadline, "never refused"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
