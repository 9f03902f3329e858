//! A gateway that is told to stop finishes what it began.

use std::sync::Arc;

use crate::harness::*;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tollgate_gateway::config::Limits;

#[tokio::test]
async fn open_calls_finish_idle_connections_close_and_nobody_new_comes() {
    let go = Arc::new(Notify::new());
    let going = Arc::clone(&go);
    let mut upstream = Upstream::scripted(move |mut stream, told| {
        let going = Arc::clone(&going);
        async move {
            told.send(stream.request().await.unwrap()).unwrap();
            going.notified().await;
            stream.send(&ok("hello")).await;
        }
    })
    .await;
    // One worker tells both connections at once, so that one closing shows that the other was told.
    let limits = Limits { workers: 1, ..Limits::default() };
    let mut gateway = Gateway::with(vec![open_proxy(upstream.address)], limits, None).await;
    let mut idle = gateway.client().await;
    let mut client = gateway.client().await;
    client.get("/", &[]).await;
    upstream.request().await;
    gateway.shut_down();
    assert!(idle.is_closed().await);
    go.notify_one();
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
    assert!(client.is_closed().await);
    let address = gateway.address;
    gateway.down().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_takes_too_long_is_cut_and_its_hold_released() {
    let mut upstream = Upstream::scripted(|mut stream, told| async move {
        told.send(stream.request().await.unwrap()).unwrap();
        stream.is_closed().await;
    })
    .await;
    let limits = Limits { drain_timeout_ms: 100, ..Limits::default() };
    let mut gateway = Gateway::with(vec![proxy(upstream.address)], limits, None).await;
    let mut client = gateway.client().await;
    client.get("/", &["x-api-key: good"]).await;
    upstream.request().await;
    gateway.shut_down();
    assert!(client.is_closed().await);
    assert_eq!(gateway.ended(1).await, [Ended::Released]);
    gateway.down().await;
}
