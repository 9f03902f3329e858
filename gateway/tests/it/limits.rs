//! What is too large, too slow or too much is refused, and costs nothing.

use std::time::Duration;

use crate::harness::*;
use tollgate_gateway::config::{Limits, Proxy};

#[tokio::test]
async fn heads_and_targets_have_a_size() {
    let mut upstream = Upstream::ok("hello").await;
    let limits = Limits { head_bytes_max: 8192, target_bytes_max: 100, ..Limits::default() };
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], limits, None).await;
    let mut client = gateway.client().await;
    let answer = client.got(&format!("/{}", "a".repeat(100)), &[]).await;
    assert_eq!(answer.status(), 414);
    client.get("/", &[&format!("x: {}", "a".repeat(9000))]).await;
    assert_eq!(client.answer().await.status(), 431);
    assert!(client.is_closed().await);
    upstream.heard_nothing();
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &[&format!("x: {}", "a".repeat(7000))]).await.status(), 200);
}

#[tokio::test]
async fn bodies_have_a_size_told_or_not() {
    let mut upstream = Upstream::ok("hello").await;
    let small = Proxy { body_bytes_max: 5, ..proxy(upstream.address) };
    let mut gateway = Gateway::start(vec![small]).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nx-api-key: good\r\n";
    let mut client = gateway.client().await;
    client.send(&format!("{head}content-length: 6\r\n\r\nabcdef")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.header("connection")), (413, Some("close")));
    upstream.heard_nothing();
    let mut client = gateway.client().await;
    client
        .send(&format!("{head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"))
        .await;
    assert_eq!(client.answer().await.status(), 413);
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
    let mut client = gateway.client().await;
    client.send(&format!("{head}content-length: 5\r\n\r\nabcde")).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn a_large_body_that_is_refused_still_gets_its_answer() {
    let upstream = Upstream::ok("hello").await;
    let small = Proxy { body_bytes_max: 5, ..proxy(upstream.address) };
    let gateway = Gateway::start(vec![small]).await;
    let mut client = gateway.client().await;
    let size = 4 * 1024 * 1024;
    client
        .send(&format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n{}",
            "a".repeat(size)
        ))
        .await;
    assert_eq!(client.answer().await.status(), 413);
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_head_is_cut() {
    let upstream = Upstream::ok("hello").await;
    let limits = Limits { head_timeout_ms: 500, ..Limits::default() };
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], limits, None).await;
    let mut silent = gateway.client().await;
    assert!(silent.is_closed().await);
    let mut slow = gateway.client().await;
    assert_eq!(slow.got("/", &[]).await.status(), 200);
    // Idle between calls is another limit.
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(slow.got("/", &[]).await.status(), 200);
    slow.send("GET / HTTP/1.1\r\nhost:").await;
    assert!(slow.is_closed().await);
    gateway.counts("tollgate_connections_open", &[], 0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let upstream = Upstream::ok("hello").await;
    let limits = Limits { keep_alive_timeout_ms: 100, ..Limits::default() };
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], limits, None).await;
    let mut client = gateway.client().await;
    assert_eq!(client.got("/", &[]).await.status(), 200);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_that_does_not_send_its_body_gets_408_and_pays_nothing() {
    let upstream = Upstream::ok("hello").await;
    let limits = Limits { client_idle_timeout_ms: 100, ..Limits::default() };
    let mut gateway = Gateway::with(vec![proxy(upstream.address)], limits, None).await;
    let mut client = gateway.client().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\nx-api-key: good\r\ncontent-length: 5\r\n\r\nab")
        .await;
    assert_eq!(client.answer().await.status(), 408);
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_and_has_paid() {
    let upstream = Upstream::scripted(|mut stream, _| async move {
        use tokio::io::AsyncWriteExt;
        stream.request().await;
        stream.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
        let block = vec![b'a'; 64 * 1024];
        while stream.stream.write_all(&block).await.is_ok() {}
    })
    .await;
    let limits = Limits { client_idle_timeout_ms: 200, ..Limits::default() };
    let mut gateway = Gateway::with(vec![proxy(upstream.address)], limits, None).await;
    let mut client = gateway.client().await;
    client.get("/", &["x-api-key: good"]).await;
    client.head().await.unwrap();
    gateway.counts("tollgate_connections_open", &[], 0).await;
    assert_eq!(gateway.ended(1).await, [Ended::Settled("1".into(), "0".into())]);
}

#[tokio::test]
async fn an_upload_may_take_longer_than_the_head_limit() {
    let upstream = Upstream::ok("hello").await;
    let hasty = Proxy { head_timeout_ms: 1_000, ..proxy(upstream.address) };
    let gateway = Gateway::start(vec![hasty]).await;
    let mut client = gateway.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\nx-api-key: good\r\ncontent-length: 6\r\n\r\n").await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        client.send("a").await;
    }
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn calls_in_flight_have_a_cap() {
    let mut upstream = Upstream::scripted(|mut stream, told| async move {
        told.send(stream.request().await.unwrap()).unwrap();
        stream.is_closed().await;
    })
    .await;
    let limits = Limits { calls_max: 1, workers: 1, ..Limits::default() };
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], limits, None).await;
    let (mut first, mut second) = (gateway.client().await, gateway.client().await);
    first.get("/", &[]).await;
    upstream.request().await;
    assert_eq!(second.got("/", &[]).await.status(), 503);
    gateway.counts("tollgate_refusals_total", &["too_many_calls"], 1).await;
}

#[tokio::test]
async fn connections_over_the_cap_wait() {
    let upstream = Upstream::ok("hello").await;
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let gateway = Gateway::with(vec![open_proxy(upstream.address)], limits, None).await;
    let mut first = gateway.client().await;
    assert_eq!(first.got("/", &[]).await.status(), 200);
    let mut second = gateway.client().await;
    second.get("/", &[]).await;
    let early = tokio::time::timeout(Duration::from_millis(50), second.head()).await;
    assert!(early.is_err(), "the second waits");
    drop(first);
    assert_eq!(second.answer().await.status(), 200);
}

#[tokio::test]
async fn methods_that_no_gateway_carries_are_405() {
    let upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    for request in
        ["CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n"]
    {
        let mut client = gateway.client().await;
        client.send(request).await;
        assert_eq!(client.answer().await.status(), 405);
    }
}
