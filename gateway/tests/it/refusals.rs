//! What a refusal tells a machine: in the fault's detail, in headers, and as metadata of a gRPC call.

use std::time::Duration;

use tollgate_gateway::clock::{Clock, SystemClock};
use tollgate_gateway::config::Proxy;
use tollgate_gateway::refusal::{Refusal, Refused};
use tollgate_metering::{Money, Period, UnixMillis};

use crate::harness::{Gateway, PATIENCE, Upstream, proxy};
use crate::http2::{get, h2c};
use crate::metered::{Wallets, units, until};
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

/// A gateway's wallets of a developer who pays later, with this limit and so much owed beside calls.
async fn on_credit(
    limit: &str,
    owed: &str,
    ledger: &Ledger,
    node: &Node,
    period: Period,
) -> Wallets {
    ledger.with(|books| {
        (books.is_postpaid, books.base) = (true, Money::ZERO);
        books.credit = Some((limit.parse().unwrap(), owed.parse().unwrap(), period));
    });
    let wallets = Wallets::start_with(vec![node.url()], |_| {});
    wallets.until_ready().await;
    wallets
}

fn this_month() -> Period {
    Period::of(UnixMillis(SystemClock::start().unix_us() / 1_000))
}

#[tokio::test]
async fn who_pays_later_is_refused_one_call_past_the_limit_and_told_when_it_returns() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = on_credit("0.05", "0.02", &ledger, &node, this_month()).await;
    wallets.calls(2).await;
    // An open call counts until it ends, one that is given back no more.
    let open = wallets.open(Some(KEY)).await.unwrap();
    assert_eq!(wallets.call().await, Err(Refusal::CreditLimitReached));
    drop(open);
    wallets.calls(1).await;
    let refused = wallets.decided(Some(KEY)).await.map(drop).expect_err("the limit is reached");
    let budget = refused.budget.as_ref().unwrap();
    assert_eq!(refused.kind, Refusal::CreditLimitReached);
    assert_eq!((budget.wallet, budget.price), (Some(WALLET), "0.01".parse().ok()));
    assert_eq!(budget.known, None, "no balance pays it");
    assert_eq!(budget.returns.unwrap().period.start(), this_month().end());
}

#[tokio::test]
async fn what_was_owed_in_another_period_and_free_calls_do_not_count() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    ledger.with(|books| books.free = 2);
    let before = Period::from_number(this_month().number() - 1).unwrap();
    let wallets = on_credit("0.01", "5", &ledger, &node, before).await;
    wallets.calls(3).await;
    assert_eq!(wallets.call().await, Err(Refusal::CreditLimitReached));
}

#[tokio::test]
async fn without_a_limit_who_pays_later_is_never_refused_for_money() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let wallets = on_credit("0", "0", &ledger, &node, this_month()).await;
    assert_eq!(wallets.call().await, Err(Refusal::CreditLimitReached));
    ledger.with(|books| books.credit = None);
    node.forget_everything().await;
    let passed = async {
        while wallets.call().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, passed).await.expect("the limit is gone");
}

#[tokio::test]
async fn what_other_gateways_admitted_counts_against_the_limit() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    let one = on_credit("0.03", "0", &ledger, &node, this_month()).await;
    one.calls(2).await;
    until("durable", || ledger.units() == units(2)).await;
    let other = on_credit("0.03", "0", &ledger, &node, this_month()).await;
    other.calls(1).await;
    assert_eq!(other.call().await, Err(Refusal::CreditLimitReached));
}

#[tokio::test]
async fn a_postpaid_call_needs_no_balance_and_is_counted() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    ledger.with(|books| {
        books.is_postpaid = true;
        books.base = "-5".parse().unwrap();
    });
    let wallets = Wallets::start_with(vec![node.url()], |_| {});
    wallets.until_ready().await;
    wallets.calls(3).await;
    until("counted", || ledger.units() == units(3)).await;
}
