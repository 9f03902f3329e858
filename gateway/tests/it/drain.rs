//! A gateway that is told to stop finishes what it began.

use std::time::Duration;

use crate::harness::*;
use tokio::net::TcpStream;
use tollgate_gateway::config::Limits;

async fn slow_upstream() -> Upstream {
    Upstream::scripted(|mut stream, told| async move {
        told.send(stream.request().await.unwrap()).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.send(&ok("hello")).await;
    })
    .await
}

#[tokio::test]
async fn open_calls_finish_idle_connections_close_and_nobody_new_comes() {
    let mut upstream = slow_upstream().await;
    let mut gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut idle = gateway.client().await;
    let mut client = gateway.client().await;
    client.get("/", &[]).await;
    upstream.request().await;
    gateway.shut_down();
    assert!(idle.is_closed().await);
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
