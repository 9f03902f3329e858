//! Counts what reconciling costs, and what it lets through: fixed intervals against intervals that follow need.
//!
//! Real gateways' wallets, without HTTP, call on 10,000 wallets that are far from empty and on 20 that run dry; they report
//! over loopback gRPC to a real balance-sync node on a SQLite ledger. Both arms run in turn on copies of one ledger. Counted are
//! the node's own metrics over the span, and in the end, when every gateway has drained, how far each dry wallet is below zero.
//! Then one hot wallet is driven by a hundred gateways. Fixed is what it was before: everything every 100 ms.
//!
//! `WALLETS=10000 GATEWAYS=16 CALLS=5000 SPAN_S=8 WARM_S=8 ROUNDS=3 HOT=100 cargo bench --package tollgate --bench sync`

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::float_arithmetic, reason = "figures for people, no money")]
#![allow(clippy::disallowed_methods, reason = "a benchmark measures with the machine's clock")]

use std::time::Duration;

use self::fleet::Fleet;
use self::ground::{Counts, Ground, Node};

mod fleet;
mod ground;

/// How both sides pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arm {
    Fixed,
    Adaptive,
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    wallets: usize,
    gateways: usize,
    /// Calls a second on all rich wallets together.
    calls: u64,
    span: Duration,
    warm: Duration,
}

/// What a round came to.
#[derive(Debug, Clone)]
struct Round {
    per_second: Counts,
    calls_per_second: f64,
    /// Below zero, all dry wallets together, in units of the currency.
    overspent: f64,
    /// Calls that were settled less calls that were charged.
    difference: i128,
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let count = |name, default| usize::try_from(variable(name, default)).unwrap();
    let sizes = Sizes {
        wallets: count("WALLETS", 10_000),
        gateways: count("GATEWAYS", 16),
        calls: variable("CALLS", 5_000),
        span: Duration::from_secs(variable("SPAN_S", 8)),
        warm: Duration::from_secs(variable("WARM_S", 8)),
    };
    let ground = Ground::fill(sizes.wallets).await;
    println!("{} wallets and {} that run dry are in the ledger", sizes.wallets, ground::DRY);
    let (mut fixed, mut adaptive) = (Vec::new(), Vec::new());
    for round in 0..variable("ROUNDS", 3) {
        // Each round begins with another arm.
        let arms = [Arm::Fixed, Arm::Adaptive];
        for arm in if round % 2 == 0 { arms } else { [arms[1], arms[0]] } {
            let measured = measure(&ground, arm, sizes).await;
            show(&format!("{arm:?}"), &measured);
            if arm == Arm::Fixed { &mut fixed } else { &mut adaptive }.push(measured);
        }
    }
    compare(&fixed, &adaptive);
    let hot = count("HOT", 100);
    for money in [1_000_000, 1_000] {
        drive_hot(&ground, hot, money, sizes.span).await;
    }
}

async fn measure(ground: &Ground, arm: Arm, sizes: Sizes) -> Round {
    let node = Node::start(ground, arm).await;
    let fleet = Fleet::start(&node, sizes.gateways, arm).await;
    let load = fleet.spread(sizes);
    tokio::time::sleep(sizes.warm).await;
    load.start_dry();
    let (before, calls) = (node.counts(), load.settled());
    tokio::time::sleep(sizes.span).await;
    let seconds = sizes.span.as_secs_f64();
    let per_second = node.counts().since(&before).per(seconds);
    let calls_per_second = (load.settled() - calls) as f64 / seconds;
    let settled = load.end().await;
    assert!(settled > 0, "no call was admitted");
    fleet.drain().await;
    let (overspent, charged) = node.books(sizes.wallets).await;
    node.stop().await;
    let difference = i128::from(settled) - charged;
    Round { per_second, calls_per_second, overspent, difference }
}

/// One wallet with this much money and every gateway on it.
async fn drive_hot(ground: &Ground, gateways: usize, money: u64, span: Duration) {
    let node = Node::start(ground, Arm::Adaptive).await;
    node.credit_hot(money).await;
    let fleet = Fleet::start(&node, gateways, Arm::Adaptive).await;
    let load = fleet.on_one(variable("HOT_CALLS", 20_000));
    // Every gateway has fetched it, and the first reports are over.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (before, calls) = (node.counts(), load.settled());
    tokio::time::sleep(span).await;
    let seconds = span.as_secs_f64();
    let counts = node.counts().since(&before).per(seconds);
    let calls = (load.settled() - calls) as f64 / seconds;
    load.end().await;
    fleet.drain().await;
    node.stop().await;
    println!("hot wallet with {money}, {gateways} gateways: {calls:.0} calls/s, {counts}");
}

fn show(name: &str, round: &Round) {
    let Round { per_second, calls_per_second, overspent, difference } = round;
    println!(
        "{name:>8}: {calls_per_second:.0} calls/s, {per_second}, overspent {overspent:.2}, difference {difference}"
    );
}

/// Medians of the ratios within a round.
fn compare(fixed: &[Round], adaptive: &[Round]) {
    let ratio = |what: &str, of: fn(&Round) -> f64| {
        let mut ratios: Vec<f64> = fixed
            .iter()
            .zip(adaptive)
            .map(|(fixed, adaptive)| of(adaptive) / of(fixed).max(f64::MIN_POSITIVE))
            .collect();
        ratios.sort_by(f64::total_cmp);
        if let Some(median) = ratios.get(ratios.len() / 2) {
            println!("adaptive / fixed, {what}: {median:.3}");
        }
    };
    ratio("ledger rows", |round| round.per_second.rows());
    ratio("ledger reads", |round| round.per_second.reads);
    ratio("messages both ways", |round| round.per_second.messages + round.per_second.reports);
    ratio("overspend", |round| round.overspent);
}
