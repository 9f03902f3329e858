//! What a call cost, told to who asked: in the head, and after a streamed body.

use std::time::Duration;

use http_body_util::BodyExt;
use tollgate_gateway::admission::{CallHold, CallReport, Multiplier, MultiplierSource};
use tollgate_gateway::config::{CallHeaders, Proxy};
use tollgate_metering::{BillingType, Receipt};

use crate::harness::{Gateway, Upstream, ok, proxy, within};
use crate::http2::{echo, get, h2c, over_http2};
use crate::metered::{Wallets, until};
use crate::scripted_node::{KEY, Ledger, Node};

const FACTS: [(&str, &str); 7] = [
    ("tollgate-cost", "0.025"),
    ("tollgate-currency", "EUR"),
    ("tollgate-units", "1"),
    ("tollgate-receipt", "00000000000000000000000000000009.1c09b10.0123456789abcdef.9502f900"),
    ("tollgate-balance", "9.975"),
    ("tollgate-available", "9.9"),
    ("tollgate-balance-age-ms", "12"),
];
const STREAMED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                        5\r\nhello\r\n0\r\nx-sum: 9\r\n\r\n";

async fn telling(answer: &str, call_headers: CallHeaders) -> Gateway {
    let upstream = Upstream::answering(answer).await;
    Gateway::start(vec![Proxy { call_headers, ..proxy(upstream.address) }]).await
}

#[tokio::test]
async fn who_asks_is_told_what_the_call_cost_and_nobody_else() {
    let gateway = telling(&ok("hello"), CallHeaders::OnRequest).await;
    let mut client = gateway.client().await;
    let answer = client.got("/", &["x-api-key: good", "tollgate-report: cost"]).await;
    for (name, value) in FACTS {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!((answer.header("trailer"), answer.body.as_str()), (None, "hello"));
    for line in ["x: y", "tollgate-report: costs"] {
        let silent = client.got("/", &["x-api-key: good", line]).await;
        assert_eq!(silent.header("tollgate-cost"), None, "{line}");
    }
    let never = telling(&ok("hello"), CallHeaders::Never).await;
    let answer = never.client().await.got("/", &["x-api-key: good", "tollgate-report: cost"]).await;
    assert_eq!(answer.header("tollgate-cost"), None);
}

#[tokio::test]
async fn a_call_that_is_not_charged_costs_nothing() {
    let failed = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n";
    let gateway = telling(failed, CallHeaders::Always).await;
    let answer = gateway.client().await.got("/", &["x-api-key: good"]).await;
    assert_eq!((answer.status(), answer.header("tollgate-cost")), (500, Some("0")));
    assert_eq!(answer.header("tollgate-receipt"), None);
}

#[tokio::test]
async fn a_streamed_body_is_followed_by_the_charge_where_the_client_takes_trailers() {
    let gateway = telling(STREAMED, CallHeaders::Always).await;
    let mut client = gateway.client().await;
    let lines = ["x-api-key: good", "te: trailers", "connection: te"];
    let answer = client.got("/", &lines).await;
    assert_eq!(answer.header("tollgate-cost"), Some("0.025"), "{}", answer.head);
    let (body, trailers) = answer.body.split_once("0\r\n").unwrap();
    assert_eq!(body, "5\r\nhello\r\n");
    assert!(trailers.contains("x-sum: 9\r\n"), "the upstream's own stay: {trailers}");
    for (name, value) in FACTS {
        assert!(trailers.contains(&format!("{name}: {value}\r\n")), "{name}: {trailers}");
    }
    let plain = client.got("/", &["x-api-key: good"]).await;
    assert_eq!(plain.header("tollgate-cost"), Some("0.025"));
    assert!(!plain.body.contains("tollgate"), "{}", plain.body);
}

/// What an upstream said of the cost reached callers of a proxy that tells nothing.
#[tokio::test]
async fn no_upstream_says_what_a_call_cost() {
    let lies: String = FACTS.iter().map(|(name, _)| format!("{name}: 777\r\n")).collect();
    let lies = format!("{lies}Tollgate-Top-Up-Url: https://evil.test\r\nx-kept: 1\r\n");
    let streamed = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-kept, tollgate-cost\r\n{lies}\r\n5\r\nhello\r\n0\r\n{lies}\r\n"
    );
    let lines = ["x-api-key: good", "te: trailers", "connection: te"];
    for call_headers in [CallHeaders::Never, CallHeaders::OnRequest, CallHeaders::Always] {
        let gateway = telling(&streamed, call_headers).await;
        let answer = gateway.client().await.got("/", &lines).await;
        let whole = format!("{}{}", answer.head, answer.body).to_ascii_lowercase();
        assert!(!whole.contains("777") && !whole.contains("evil"), "{call_headers:?}: {whole}");
        assert_eq!(whole.matches("x-kept: 1\r\n").count(), 2, "{call_headers:?}: {whole}");
        let is_told = answer.header("tollgate-cost") == Some("0.025");
        assert_eq!(is_told, call_headers == CallHeaders::Always, "{whole}");
    }
}

#[tokio::test]
async fn http2_gets_the_charge_as_trailers_of_a_stream() {
    let streamed = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let gateway = telling(streamed, CallHeaders::OnRequest).await;
    let mut client = h2c(gateway.address).await;
    let uri = format!("http://{}/", gateway.address);
    let lines = [("x-api-key", "good"), ("tollgate-report", "cost")];
    let response = get(&mut client, uri, &lines).await;
    let body = within(response.into_body().collect()).await.unwrap();
    let trailers = body.trailers().expect("trailers come").clone();
    assert_eq!(body.to_bytes(), "hello");
    for (name, value) in FACTS {
        assert_eq!(trailers[name], value, "{name}");
    }
}

#[tokio::test]
async fn a_grpc_calls_status_stays_in_its_trailers_beside_the_charge() {
    let (address, _requests) = echo().await;
    let call_headers = CallHeaders::Always;
    let gateway = Gateway::start(vec![Proxy { call_headers, ..over_http2(proxy(address)) }]).await;
    let mut client = h2c(gateway.address).await;
    let uri = format!("http://{}/pkg.Service/Method", gateway.address);
    let lines = [("content-type", "application/grpc"), ("x-api-key", "good"), ("te", "trailers")];
    let response = get(&mut client, uri, &lines).await;
    assert_eq!(response.headers()["tollgate-cost"], "0.025");
    let body = within(response.into_body().collect()).await.unwrap();
    let trailers = body.trailers().expect("trailers come");
    assert_eq!(
        (&trailers["grpc-status"], &trailers["tollgate-cost"]),
        (&"0".parse().unwrap(), &"0.025".parse().unwrap())
    );
}

/// A call that is told what it cost.
async fn told(wallets: &Wallets, units: Multiplier) -> CallReport {
    let hold = wallets.open(Some(KEY)).await.unwrap();
    hold.settle_told(units, Duration::ZERO).expect("the call is known")
}

#[tokio::test]
async fn what_is_told_is_what_the_register_and_the_wallet_say() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    ledger.with(|books| books.free = 1);
    let wallets = Wallets::start_with(vec![node.url()], |_| {});
    wallets.until_ready().await;
    let first = told(&wallets, Multiplier::ONE).await;
    assert_eq!(first.cost, "0".parse().ok(), "the free one");
    let more = Multiplier {
        units: "2.5".parse().unwrap(),
        source: MultiplierSource::Header,
        ..Multiplier::ONE
    };
    let second = told(&wallets, more).await;
    let known = second.known.unwrap();
    assert_eq!((second.cost, known.balance), ("0.025".parse().ok(), "0.975".parse().unwrap()));
    assert_eq!(second.receipt.units, "3.5".parse().unwrap());
    let text = second.receipt.to_string();
    until("the ledger knows the receipt", || {
        let receipt: Receipt = text.parse().unwrap();
        ledger.with(|books| {
            books.registers.iter().any(|((meter, incarnation), register)| {
                receipt.is_on(meter)
                    && receipt.incarnation == *incarnation
                    && register.units() >= receipt.units
            })
        })
    })
    .await;
}

#[tokio::test]
async fn a_postpaid_call_is_told_its_cost_and_no_balance() {
    let ledger = Ledger::default();
    let node = Node::start(&ledger).await;
    ledger.with(|books| books.is_postpaid = true);
    let wallets = Wallets::start_with(vec![node.url()], |_| {});
    wallets.until_ready().await;
    let told = told(&wallets, Multiplier::ONE).await;
    assert_eq!((told.cost, told.known), ("0.01".parse().ok(), None));
    let is_postpaid = |meter: &tollgate_metering::Meter| meter.billing == BillingType::Postpaid;
    until("counted", || {
        ledger.with(|books| {
            books.registers.keys().any(|(meter, _)| is_postpaid(meter) && told.receipt.is_on(meter))
        })
    })
    .await;
}
