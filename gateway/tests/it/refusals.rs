//! What a refusal tells a machine: in the fault's detail, in headers, and as metadata of a gRPC call.

use std::time::Duration;

use tollgate_gateway::config::Proxy;
use tollgate_gateway::refusal::{Refusal, Refused};

use crate::harness::{Gateway, Upstream, proxy};
use crate::http2::{get, h2c};
use crate::metered::Wallets;
use crate::scripted_node::{KEY, Ledger, Node, WALLET};

const FACTS: [(&str, &str, &str); 9] = [
    ("refusal", "tollgate-refusal", "balance_too_small"),
    ("wallet", "tollgate-wallet", "00000000-0000-0000-0000-000000000007"),
    ("currency", "tollgate-currency", "EUR"),
    ("price", "tollgate-price", "0.000000001"),
    ("balance", "tollgate-balance", "-1.5"),
    ("available", "tollgate-available", "-1.500000001"),
    ("balanceAgeMs", "tollgate-balance-age-ms", "12"),
    ("budgetReturnsAt", "tollgate-budget-returns-at", "2026-12-01T00:00:00Z"),
    (
        "topUpUrl",
        "tollgate-top-up-url",
        "https://pay.example/00000000-0000-0000-0000-000000000008?c=EUR",
    ),
];

async fn gateway() -> Gateway {
    let upstream = Upstream::ok("hello").await;
    let toml = format!(
        "name = \"all\"\ntarget = \"http://{}\"\n\
         top_up_url = \"https://pay.example/{{developer}}?c={{currency}}\"",
        upstream.address
    );
    Gateway::start(vec![toml::from_str::<Proxy>(&toml).unwrap()]).await
}

#[tokio::test]
async fn a_refusal_says_what_is_missing_when_it_returns_and_where_to_top_up() {
    let gateway = gateway().await;
    let mut client = gateway.client().await;
    let answer = client.got("/", &["x-api-key: broke"]).await;
    assert_eq!(answer.status(), 402);
    let members: String =
        FACTS.iter().map(|(member, _, value)| format!(r#","{member}":"{value}""#)).collect();
    assert_eq!(
        answer.body,
        format!(
            r#"{{"fault":{{"faultstring":"Developer usage exceeds balance","detail":{{"errorcode":"mint.service.developer_usage_exceeds_balance"{members}}}}}}}"#
        )
    );
    for (_, header, value) in FACTS {
        assert_eq!(answer.header(header), Some(value), "{header}");
    }
    assert_eq!(answer.header("retry-after"), Some("86401"), "rounded up");
}

#[tokio::test]
async fn who_cannot_be_helped_by_waiting_is_not_told_to_wait() {
    let gateway = gateway().await;
    let mut client = gateway.client().await;
    for (key, status) in [("lost", 402), ("poor", 402), ("bad", 401)] {
        let answer = client.got("/", &[&format!("x-api-key: {key}")]).await;
        assert_eq!((answer.status(), answer.header("retry-after")), (status, None), "{key}");
        assert_eq!(answer.header("tollgate-budget-returns-at"), None, "{key}");
        assert_eq!(answer.header("tollgate-top-up-url").is_some(), key == "lost", "{key}");
    }
}

#[tokio::test]
async fn a_grpc_caller_gets_the_same_as_metadata_of_its_trailers() {
    let gateway = gateway().await;
    let mut client = h2c(gateway.address).await;
    let uri = format!("http://{}/pkg.Service/Method", gateway.address);
    let lines = [("content-type", "application/grpc"), ("x-api-key", "broke")];
    let response = get(&mut client, uri, &lines).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["grpc-status"]),
        (200, &"8".parse().unwrap())
    );
    for (_, header, value) in FACTS {
        assert_eq!(response.headers()[header], value, "{header}");
    }
    assert_eq!(response.headers()["grpc-retry-pushback-ms"], "86400001");
}

#[tokio::test]
async fn without_a_link_none_is_told() {
    let upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let answer = gateway.client().await.got("/", &["x-api-key: broke"]).await;
    assert_eq!(answer.header("tollgate-top-up-url"), None);
    assert!(!answer.body.contains("topUpUrl"), "{}", answer.body);
}

/// The refusal after the wallet was spent, with so many free calls a month.
async fn spent(free: u64) -> Refused {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    ledger.with(|books| {
        books.base = "0.025".parse().unwrap();
        books.free = free;
    });
    let wallets = Wallets::start_with(vec![node.url()], |_| {});
    wallets.until_ready().await;
    wallets.calls(2 + usize::try_from(free).unwrap()).await;
    wallets.decided(Some(KEY)).await.map(drop).expect_err("the call is refused")
}

#[tokio::test]
async fn a_spent_wallet_tells_its_price_and_balance_to_the_nano() {
    let refused = spent(0).await;
    let budget = refused.budget.unwrap();
    let known = budget.known.unwrap();
    assert_eq!((refused.kind, budget.wallet), (Refusal::BalanceTooSmall, Some(WALLET)));
    assert_eq!((budget.currency.as_str(), budget.price), ("EUR", "0.01".parse().ok()));
    assert_eq!((known.balance, known.available), ("0.005".parse().unwrap(), known.balance));
    assert!(known.age.unwrap() < Duration::from_secs(3), "{known:?}");
    assert_eq!(budget.returns, None, "the next period's first call costs as much");
}

#[tokio::test]
async fn a_free_tier_returns_with_the_next_period() {
    let refused = spent(3).await;
    let returns = refused.budget.as_ref().unwrap().returns.expect("the free tier returns");
    assert!(returns.wait <= Duration::from_secs(31 * 86_400), "{returns:?}");
    assert_eq!(refused.wait(), Some(returns.wait));
}
