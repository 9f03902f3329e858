//! Connections to upstreams are kept, shared out and given up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use crate::harness::*;
use tollgate_gateway::config::{Limits, Proxy, Upstream as UpstreamConfig};

fn one_worker() -> Limits {
    Limits { workers: 1, ..Limits::default() }
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let upstream = Upstream::ok("hello").await;
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], one_worker(), None).await;
    for _ in 0..5 {
        let mut client = gateway.client().await;
        client.got("/", &[]).await;
        client.got("/", &[]).await;
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_is_sent_again_only_when_it_comes_back_unsent() {
    // Closes each connection after its first answer: the pooled one is dead when the next call takes it.
    let mut upstream = Upstream::scripted(|mut stream, told| async move {
        let request = stream.request().await.unwrap();
        told.send(request).unwrap();
        stream.send(&ok("hello")).await;
    })
    .await;
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], one_worker(), None).await;
    let mut client = gateway.client().await;
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.got(path, &[]).await.status(), 200);
        assert!(upstream.request().await.starts_with(&format!("GET {path} ")));
        // The close arrives.
        gateway.counts("tollgate_upstream_connections_open", &[], 0).await;
    }
    upstream.heard_nothing();
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_again() {
    // Reads the second request of a connection and closes without a word.
    let mut upstream = Upstream::scripted(|mut stream, told| async move {
        told.send(stream.request().await.unwrap()).unwrap();
        stream.send(&ok("hello")).await;
        if let Some(request) = stream.request().await {
            told.send(request).unwrap();
        }
    })
    .await;
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], one_worker(), None).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/1", &[]).await.status(), 200);
    assert_eq!(client.got("/2", &[]).await.status(), 502);
    assert!(upstream.request().await.starts_with("GET /1"));
    assert!(upstream.request().await.starts_with("GET /2"));
    upstream.heard_nothing();
}

#[tokio::test]
async fn over_the_cap_calls_wait_and_then_are_refused() {
    let go = Arc::new(Notify::new());
    let going = Arc::clone(&go);
    let mut upstream = Upstream::scripted(move |mut stream, told| {
        let going = Arc::clone(&going);
        async move {
            while let Some(request) = stream.request().await {
                told.send(request).unwrap();
                going.notified().await;
                stream.send(&ok("hello")).await;
            }
        }
    })
    .await;
    let place = |name: &str, connect_timeout_ms| Proxy {
        name: name.into(),
        base_path: format!("/{name}"),
        connect_timeout_ms,
        upstream: UpstreamConfig { connections_max: 1, ..UpstreamConfig::default() },
        ..open_proxy(upstream.address)
    };
    let proxies = vec![place("patient", 20_000), place("hasty", 10)];
    let gateway = Gateway::with(proxies, one_worker(), None).await;
    let (mut first, mut second, mut third) =
        (gateway.client().await, gateway.client().await, gateway.client().await);
    first.get("/patient", &[]).await;
    upstream.request().await;
    second.get("/patient", &[]).await;
    let refused = third.got("/hasty", &[]).await;
    assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("1")));
    go.notify_one();
    assert_eq!(first.answer().await.status(), 200);
    upstream.request().await;
    go.notify_one();
    assert_eq!(second.answer().await.status(), 200);
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_was_idle_for_long_is_closed() {
    let mut upstream = Upstream::scripted(|mut stream, told| async move {
        stream.request().await;
        stream.send(&ok("hello")).await;
        assert!(stream.is_closed().await);
        told.send("closed".into()).unwrap();
    })
    .await;
    let brief = Proxy {
        upstream: UpstreamConfig { keep_alive_timeout_ms: 50, ..UpstreamConfig::default() },
        ..open_proxy(upstream.address)
    };
    let gateway = Gateway::start(vec![brief]).await;
    let mut client = gateway.client().await;
    client.got("/", &[]).await;
    assert_eq!(upstream.request().await, "closed");
    gateway.counts("tollgate_upstream_connections_open", &[], 0).await;
}
