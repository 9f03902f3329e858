//! What reconciling costs: the count of the real code is that of its rules.

use std::time::Duration;

use tollgate_simulation::fleet::{Fleet, FleetCosts, Pacing};

use crate::support::api::get;
use crate::support::load::{Caller, Load};
use crate::support::now;
use crate::support::parts::{Gateway, Node, Site};
use crate::support::upstream::Upstream;

const GATEWAYS: usize = 4;
/// Of one wallet, by all gateways: what a busy machine carries in a debug build.
const CALLS_PER_SECOND: u64 = 200;

/// Rows of registers that the node has written, and snapshots that it has sent.
async fn counted(node: &Node) -> (u64, u64) {
    let page = get(&format!("{}/metrics", node.process.text(&["metrics"])), &[]).await.body;
    let count = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |count| count.trim().parse().unwrap())
    };
    let rows = count("tollgate_sync_rows_written_total{kind=\"register\"}");
    (rows, count("tollgate_sync_messages_total{kind=\"snapshot\"}"))
}

/// Rows and snapshots in a second of a real fleet on one wallet with so many euros.
async fn real(euros: i64) -> (u64, u64, u64) {
    let (site, upstream) = (Site::on_sqlite(), Upstream::start().await);
    let node = site.node("node");
    let developer = site.developer(&node, euros).await;
    let gateway = |n| site.gateway(&format!("gateway-{n}"), &[&node], &upstream.url, "");
    let gateways: Vec<Gateway> = (0..GATEWAYS).map(gateway).collect();
    let pause = Duration::from_secs(1) * u32::try_from(GATEWAYS).unwrap()
        / u32::try_from(CALLS_PER_SECOND).unwrap();
    let callers: Vec<Caller> = gateways
        .iter()
        .map(|gateway| Caller { pause, ..Caller::new(gateway.url(), &developer.key) })
        .collect();
    let load = Load::start(&callers, 1);
    load.until_succeeded(CALLS_PER_SECOND * 3).await;
    let (began, calls, before) = (now(), load.succeeded(), counted(&node).await);
    load.until_succeeded(calls + CALLS_PER_SECOND * 6).await;
    let (after, took) = (counted(&node).await, now() - began);
    let per_second = |count: u64| count * 1000 / u64::try_from(took.as_millis()).unwrap();
    let calls = load.succeeded() - calls;
    load.end().await;
    (per_second(after.0 - before.0), per_second(after.1 - before.1), per_second(calls))
}

/// The same by the rules alone, at the pace that the machine carried.
fn simulated(balance: i64, calls_per_second: u64) -> FleetCosts {
    let span = Duration::from_secs(6);
    let pacing = Pacing::Adaptive;
    Fleet { gateways: GATEWAYS, wallets: 1, calls_per_second, balance, span, pacing }.run()
}

fn agrees(what: &str, real: u64, simulated: u64) {
    // A second's phase, and a machine that is late for its ticks.
    let (least, most) = (simulated / 3, simulated * 2 + 4);
    assert!((least..=most).contains(&real), "{what}: {real} counted, {simulated} by the rules");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_fleet_costs_what_the_simulator_counts() {
    for euros in [100_000, 60] {
        let (rows, snapshots, calls) = real(euros).await;
        let expected = simulated(euros, calls);
        agrees("rows", rows, expected.rows);
        agrees("snapshots", snapshots, expected.snapshots);
    }
}
