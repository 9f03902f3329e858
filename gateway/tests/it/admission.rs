//! What a call costs, whatever happens to it.

use crate::harness::*;
use std::time::Duration;
use tollgate_gateway::config::{Metering, Proxy};

fn settled(units: &str) -> Ended {
    Ended::Settled(units.to_owned(), "0".to_owned())
}

#[tokio::test]
async fn a_successful_call_is_settled_once() {
    let mut upstream = Upstream::ok("hello").await;
    let mut gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    let answer = client.got("/things?a=b", &["x-api-key: good"]).await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, "hello"));
    assert_eq!(gateway.ended(1).await, [settled("1")]);
    let request = upstream.request().await;
    assert!(request.starts_with("GET /things?a=b HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(&request, "x-api-key"), None, "the key is taken off");
    gateway.counts("tollgate_calls_total", &["all", "charged"], 1).await;
    gateway.counts("tollgate_admission_duration_seconds", &["all"], 1).await;
    gateway.counts("tollgate_upstream_duration_seconds", &["all"], 1).await;
    gateway.counts("tollgate_request_duration_seconds", &["all"], 1).await;
}

#[tokio::test]
async fn refused_calls_never_reach_the_upstream() {
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    let rows = [
        ("/", "x: y", 401, "oauth.v2.InvalidApiKey", "key_missing"),
        ("/", "x-api-key: bad", 401, "oauth.v2.InvalidApiKey", "key_unknown"),
        (
            "/?apikey=poor",
            "x: y",
            402,
            "mint.service.developer_usage_exceeds_balance",
            "balance_too_small",
        ),
    ];
    for (target, line, status, code, kind) in rows {
        let answer = client.got(target, &[line]).await;
        assert_eq!(answer.status(), status, "{target} {line}");
        assert!(answer.body.starts_with(r#"{"fault":{"faultstring":""#), "{}", answer.body);
        assert!(
            answer.body.ends_with(&format!(
                r#"","detail":{{"errorcode":"{code}","refusal":"{kind}"}}}}}}"#
            )),
            "{}",
            answer.body
        );
        gateway.counts("tollgate_refusals_total", &["all", kind], 1).await;
    }
    upstream.heard_nothing();
    gateway.counts("tollgate_calls_total", &["all", "refused"], 3).await;
}

#[tokio::test]
async fn what_is_missing_is_fetched_and_decided_again() {
    let upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &["x-api-key: late"]).await.status(), 200);
    let answer = client.got("/", &["x-api-key: never"]).await;
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
}

#[tokio::test]
async fn statuses_of_refusals_can_be_set_by_proxy() {
    let upstream = Upstream::ok("hello").await;
    let proxy: Proxy = toml::from_str(&format!(
        "name = \"all\"\ntarget = \"http://{}\"\nrefusal_status = {{ balance_too_small = 429 }}",
        upstream.address
    ))
    .unwrap();
    let gateway = Gateway::start(vec![proxy]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &["x-api-key: poor"]).await.status(), 429);
    assert_eq!(client.got("/", &["x-api-key: bad"]).await.status(), 401);
}

#[tokio::test]
async fn unmetered_and_unpriced_calls_pass_and_are_counted_apart() {
    let upstream = Upstream::ok("hello").await;
    let open = Proxy {
        metering: Metering::None,
        base_path: "/open".into(),
        name: "open".into(),
        ..proxy(upstream.address)
    };
    let gateway = Gateway::start(vec![proxy(upstream.address), open]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/open/a", &[]).await.status(), 200);
    assert_eq!(client.got("/a", &["x-api-key: free"]).await.status(), 200);
    gateway.counts("tollgate_calls_total", &["open", "unmetered"], 1).await;
    gateway.counts("tollgate_calls_total", &["all", "unpriced"], 1).await;
    assert_eq!(*gateway.admission.paths.lock(), ["/a"], "an open proxy asks nobody");
}

#[tokio::test]
async fn the_upstream_says_whether_and_how_much() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        while let Some(request) = stream.request().await {
            let path = request.split(' ').nth(1).unwrap();
            let lines = path.trim_start_matches('/').replace('=', ": ").replace('&', "\r\n");
            stream
                .send(&format!("HTTP/1.1 201 Created\r\n{lines}\r\ncontent-length: 0\r\n\r\n"))
                .await;
        }
    })
    .await;
    let mut gateway = Gateway::start(vec![Proxy {
        success_header: Some("x-success".into()),
        multiplier_header: Some("x-units".into()),
        max_multiplier: Some("100".parse().unwrap()),
        ..proxy(upstream.address)
    }])
    .await;
    let mut client = gateway.client().await;
    let rows = [
        ("/x-a=b", settled("1")),
        ("/x-success=false", Ended::Released),
        ("/x-success=maybe", Ended::Released),
        ("/x-units=2.5", settled("2.5")),
        ("/x-success=true&x-units=0.000000001", settled("0.000000001")),
        ("/x-units=-2", settled("1")),
        ("/x-units=101.5", Ended::Settled("100".into(), "1.5".into())),
    ];
    for (target, want) in rows {
        let answer = client.got(target, &["x-api-key: good"]).await;
        assert_eq!(answer.status(), 201);
        assert_eq!(
            (answer.header("x-success"), answer.header("x-units")),
            (None, None),
            "both are stripped"
        );
        assert_eq!(gateway.ended(1).await, [want], "{target}");
    }
    gateway.counts("tollgate_multipliers_changed_total", &["all", "invalid"], 1).await;
    gateway.counts("tollgate_multipliers_changed_total", &["all", "capped"], 1).await;
}

#[tokio::test]
async fn an_upstream_that_dies_before_its_head_costs_nothing() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        stream.request().await;
        stream.send("HTTP/1.1 200 OK\r\ncontent-le").await;
    })
    .await;
    let mut gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &["x-api-key: good"]).await.status(), 502);
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
    gateway.counts("tollgate_calls_total", &["all", "failed"], 1).await;
}

#[tokio::test]
async fn an_upstream_that_is_not_there_costs_nothing() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut gateway = Gateway::start(vec![proxy(nobody)]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &["x-api-key: good"]).await.status(), 502);
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
}

#[tokio::test]
async fn a_slow_head_is_504_and_costs_nothing() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        stream.request().await;
        // Until the gateway gives up.
        stream.request().await;
    })
    .await;
    let slow = Proxy { head_timeout_ms: 50, ..proxy(upstream.address) };
    let mut gateway = Gateway::start(vec![slow]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &["x-api-key: good"]).await.status(), 504);
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_pays_nothing_and_the_upstream_is_told() {
    let mut upstream = Upstream::scripted(|mut stream, told| async move {
        let request = stream.request().await.unwrap();
        told.send(request).unwrap();
        assert!(stream.is_closed().await);
        told.send("closed".into()).unwrap();
    })
    .await;
    let mut gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client.get("/", &["x-api-key: good"]).await;
    upstream.request().await;
    drop(client);
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
    assert_eq!(upstream.request().await, "closed");
    gateway.counts("tollgate_calls_total", &["all", "aborted"], 1).await;
}

#[tokio::test]
async fn a_client_that_leaves_after_the_head_pays() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        stream.request().await;
        stream.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin").await;
        assert!(stream.is_closed().await);
    })
    .await;
    let mut gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client.get("/", &["x-api-key: good"]).await;
    client.head().await.unwrap();
    drop(client);
    assert_eq!(gateway.ended(1).await, [settled("1")]);
    gateway.counts("tollgate_calls_total", &["all", "charged"], 1).await;
}

#[tokio::test]
async fn the_hold_is_settled_before_the_first_byte_is_passed_on() {
    let upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    for count in 1..=20 {
        client.get("/", &["x-api-key: good"]).await;
        client.bytes(1).await.unwrap();
        // Whoever has a byte has been charged; nothing is waited for.
        assert_eq!(gateway.admission.ended.lock().len(), count);
        client.answer().await;
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_the_client_and_is_paid() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        stream.request().await;
        stream.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    })
    .await;
    let mut gateway = Gateway::start(vec![proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    client.get("/", &["x-api-key: good"]).await;
    client.head().await.unwrap();
    assert_eq!(client.bytes(10).await, None);
    assert_eq!(gateway.ended(1).await, [settled("1")]);
}

#[tokio::test]
async fn a_silent_body_ends_at_the_idle_limit() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        stream.request().await;
        stream.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        stream.is_closed().await;
    })
    .await;
    let idle = Proxy { idle_timeout_ms: 50, ..proxy(upstream.address) };
    let gateway = Gateway::start(vec![idle]).await;
    let mut client = gateway.client().await;
    client.get("/", &["x-api-key: good"]).await;
    client.head().await.unwrap();
    assert_eq!(client.bytes(10).await, None);
}

#[tokio::test]
async fn a_call_ends_at_the_total_limit_though_bytes_flow() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        stream.request().await;
        stream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        loop {
            use tokio::io::AsyncWriteExt;
            tokio::time::sleep(Duration::from_millis(5)).await;
            if stream.stream.write_all(b"1\r\nx\r\n").await.is_err() {
                return;
            }
        }
    })
    .await;
    let short = Proxy { total_timeout_ms: 100, ..proxy(upstream.address) };
    let gateway = Gateway::start(vec![short]).await;
    let mut client = gateway.client().await;
    client.get("/", &["x-api-key: good"]).await;
    client.head().await.unwrap();
    while client.bytes(1).await.is_some() {}
}
