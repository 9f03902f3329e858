//! A node whose clock is wrong does not serve; one that meets a restored ledger starts over.

use std::sync::Arc;
use std::time::Duration;

use tollgate_proto::v1;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use uuid::Uuid;

use crate::gateway::{Gateway, channel, client, register_of};
use crate::ground::{Ground, TestNode, eventually, money};
use crate::ledger::SetClock;

async fn health(node: &TestNode) -> ServingStatus {
    let mut client = HealthClient::new(channel(node).await);
    let request = HealthCheckRequest { service: "tollgate.v1.Sync".to_owned() };
    client.check(request).await.unwrap().into_inner().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_wrong_takes_no_reports_and_registers_nobody() {
    let mut ground = Ground::with_ten().await;
    // The ledger keeps its own clock.
    let clock = Arc::new(SetClock::new());
    ground.clock = Arc::clone(&clock);
    let node = ground.node().await;
    assert_eq!(health(&node).await, ServingStatus::Serving);
    let mut gateway = Gateway::connect(&node).await;
    clock.set_forward(Duration::from_secs(61));
    eventually("the node sees that its clock is wrong", || async { !node.standing.is_serving() })
        .await;
    eventually("its health says so", || async { health(&node).await == ServingStatus::NotServing })
        .await;
    assert!(node.metric("tollgate_sync_clock_offset_seconds", "") > 60.0);
    // Every message tells the time, so there are none.
    assert_eq!(gateway.end().await.code(), Code::Unavailable);
    let request = v1::RegisterRequest {
        incarnation_id: Uuid::new_v4().as_bytes().to_vec(),
        gateway: "gateway".to_owned(),
    };
    let status = client(&node).await.register(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("clock"), "{status}");
    let nothing = tokio_stream::pending::<v1::GatewayMessage>();
    let status = client(&node).await.stream(nothing).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

/// Until the guard looked again, a node whose clock had been set told that time, and gateways counted
/// calls on another month.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_between_two_looks_tells_no_time() {
    let mut ground = Ground::with_ten().await;
    let clock = Arc::new(SetClock::new());
    ground.clock = Arc::clone(&clock);
    let mut settings = crate::ground::settings();
    settings.ledger_check_interval = Duration::from_secs(3_600);
    let node = ground.node_with(settings).await;
    let request = || v1::RegisterRequest {
        incarnation_id: Uuid::new_v4().as_bytes().to_vec(),
        gateway: "gateway".to_owned(),
    };
    let before = client(&node).await.register(request()).await.unwrap().into_inner();
    clock.set_forward(Duration::from_secs(40 * 86_400));
    // Either it is found out before it answers, or the answer has the time that it should have.
    if let Ok(after) = client(&node).await.register(request()).await {
        let told = after.into_inner().service_time_ms - before.service_time_ms;
        assert!((0..60_000).contains(&told), "told {told} ms later");
    }
    eventually("the guard looks at once", || async { !node.standing.is_serving() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_ledger_is_met_by_starting_over() {
    let ground = Ground::with_ten().await;
    let node = ground.node().await;
    let mut gateway = Gateway::connect(&node).await;
    let seq = gateway.report(vec![register_of(ground.meter(), "3")]).await;
    gateway.durable(seq).await;
    let generation = gateway.welcome.generation;
    ground.ledger.restore();
    assert_eq!(gateway.end().await.code(), Code::Unavailable);
    let mut gateway = Gateway::reconnect(&node, gateway.incarnation, seq).await;
    assert_eq!(gateway.welcome.generation, generation + 1);
    // What an older ledger acknowledged is written again.
    let written = node.metric("tollgate_sync_rows_written_total", "register");
    let seq = gateway.report(vec![register_of(ground.meter(), "3")]).await;
    gateway.durable(seq).await;
    assert_eq!(ground.balance().await, money("9.97"));
    assert!(node.metric("tollgate_sync_rows_written_total", "register") >= written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_before_its_ledger_serves_when_it_comes() {
    let ground = Ground::with_ten().await;
    ground.ledger.set_away(true);
    let starting = ground.start(crate::ground::settings()).await;
    eventually("the listener answers", || async {
        health(&starting).await == ServingStatus::NotServing
    })
    .await;
    ground.ledger.set_away(false);
    eventually("it serves", || async { starting.standing.is_serving() }).await;
    Gateway::connect(&starting).await;
}
