//! What a wallet costs follows its need: rows, reads and pushes are counted.

#![allow(clippy::float_arithmetic, reason = "metrics are floats, and no money")]

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tollgate_balance_sync::Settings;
use tollgate_proto::v1::node_message::Message as Outbound;

use crate::gateway::{Gateway, others, register_of};
use crate::ground::{Ground, TestNode, money, settings, units};

const TICK: Duration = Duration::from_millis(20);

/// Rich wallets wait for ten seconds, longer than any of these tests takes.
fn lazy() -> Settings {
    Settings {
        tick: TICK,
        persist_interval: Duration::from_secs(10),
        read_interval: Duration::from_secs(1),
        idle_read_interval: Duration::from_secs(10),
        ..settings()
    }
}

fn rows(node: &TestNode) -> f64 {
    ["register", "hold"]
        .map(|kind| node.metric("tollgate_sync_rows_written_total", kind))
        .iter()
        .sum()
}

fn reads(node: &TestNode) -> f64 {
    node.metric("tollgate_sync_wallet_reads_total", "")
}

/// Waits until what is told is as young as this report.
async fn answered(gateway: &mut Gateway, seq: i64) {
    let is_so = |message: &Outbound| match message {
        Outbound::Fresh(fresh) => (fresh.answered_seq >= seq).then_some(()),
        Outbound::Snapshot(snapshot) => (snapshot.answered_seq >= seq).then_some(()),
        _ => None,
    };
    gateway.next_of(is_so).await;
}

/// A hundred units one by one, a tick apart.
async fn spend_slowly(gateway: &mut Gateway, ground: &Ground) -> i64 {
    let mut seq = 0;
    for total in 1..=100 {
        seq = gateway.report(vec![register_of(ground.meter(), &total.to_string())]).await;
        sleep(TICK).await;
    }
    seq
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rich_wallet_costs_next_to_nothing_until_somebody_waits_for_it() {
    let ground = Ground::with_ten().await;
    ground.credit("1000").await;
    let node = ground.node_with(lazy()).await;
    let (mut one, mut two) = (Gateway::connect(&node).await, Gateway::connect(&node).await);
    for gateway in [&mut one, &mut two] {
        let seq = gateway.report(Vec::new()).await;
        gateway.subscribe(ground.wallet).await;
        answered(gateway, seq).await;
    }
    let before = reads(&node);
    let seq = spend_slowly(&mut two, &ground).await;
    assert_eq!(rows(&node), 0.0);
    assert!(reads(&node) - before <= 1.0, "{}", reads(&node));
    let pushed = node.metric("tollgate_sync_messages_total", "snapshot");
    assert!(pushed <= 6.0, "{pushed} snapshots for a hundred changes");
    two.flushed(seq).await;
    assert_eq!(rows(&node), 1.0);
    let seq = two.report_of(two.incarnation, Vec::new(), Vec::new(), true).await;
    two.durable(seq).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_report_persists_what_came_before_it() {
    let ground = Ground::with_ten().await;
    let node = ground.node_with(lazy()).await;
    let mut gateway = Gateway::connect(&node).await;
    gateway.report(vec![register_of(ground.meter(), "3")]).await;
    let began = Instant::now();
    let seq = gateway.report_of(gateway.incarnation, Vec::new(), Vec::new(), true).await;
    gateway.durable(seq).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(ground.balance().await, money("9.97"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_near_its_floor_is_written_and_told_at_once() {
    let ground = Ground::with_ten().await;
    let node = ground.node_with(lazy()).await;
    let (mut one, mut two) = (Gateway::connect(&node).await, Gateway::connect(&node).await);
    one.subscribe(ground.wallet).await;
    one.snapshot(|snapshot| snapshot.base == money("10")).await;
    let began = Instant::now();
    for total in ["900", "980", "990", "995", "999", "1000"] {
        let seq = two.report(vec![register_of(ground.meter(), total)]).await;
        one.snapshot(|snapshot| others(snapshot, &ground) == units(total)).await;
        two.durable(seq).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(rows(&node) >= 6.0, "{}", rows(&node));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_on_a_quiet_wallet_is_told_at_once() {
    let ground = Ground::with_ten().await;
    let node = ground.node_with(lazy()).await;
    let (mut one, mut two) = (Gateway::connect(&node).await, Gateway::connect(&node).await);
    one.subscribe(ground.wallet).await;
    one.snapshot(|snapshot| snapshot.base == money("10")).await;
    let began = Instant::now();
    two.report(vec![register_of(ground.meter(), "500")]).await;
    one.snapshot(|snapshot| others(snapshot, &ground) == units("500")).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wallet_costs_a_thousand_rows_a_second_at_most() {
    let ground = Ground::with_ten().await;
    let node = ground.node_with(lazy()).await;
    let mut gateways = Vec::new();
    for _ in 0..40 {
        gateways.push(Gateway::connect(&node).await);
    }
    // All of it is spent, so that it needs every tick there is.
    let seq = gateways[0].report(vec![register_of(ground.meter(), "1000")]).await;
    gateways[0].flushed(seq).await;
    let (before, began) = (rows(&node), Instant::now());
    for round in 1..=60 {
        for gateway in &mut gateways {
            let total = (1000 + round).to_string();
            let held = money(if round % 2 == 0 { "0.01" } else { "0.02" });
            let registers = vec![register_of(ground.meter(), &total)];
            let holds = vec![(ground.wallet, held)];
            gateway.report_of(gateway.incarnation, registers, holds, false).await;
        }
        sleep(TICK).await;
    }
    // The next write may have begun just before the end.
    let allowed = 1_000.0 * began.elapsed().as_secs_f64() + 80.0;
    let written = rows(&node) - before;
    assert!(written > 80.0 && written <= allowed, "{written} of {allowed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_keep_within_the_staleness_limit_that_a_gateway_told() {
    let ground = Ground::with_ten().await;
    let node = ground.node_with(lazy()).await;
    let mut gateway = Gateway::connect_with_limit(&node, 500).await;
    gateway.report(Vec::new()).await;
    gateway.subscribe(ground.wallet).await;
    let began = Instant::now();
    for _ in 0..10 {
        let seq = gateway.report(Vec::new()).await;
        answered(&mut gateway, seq).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(reads(&node) <= 15.0, "{}", reads(&node));
}
