//! `kill -9` under load: answered ≤ charged ≤ answered + in flight.

use crate::support::api::nanos;
use crate::support::eventually;
use crate::support::load::{Caller, Load, Tally};
use crate::support::parts::{Developer, Site};
use crate::support::upstream::Upstream;

/// Waits until what is charged is within the bounds and every gateway would say the same as the ledger.
async fn charged_within_bounds(developer: &Developer, credited: i128, tally: &Tally) -> i128 {
    let least = i128::from(tally.succeeded());
    let most = least + i128::from(tally.in_flight);
    let price = nanos("0.01");
    eventually("the ledger has what was answered", || async {
        let charged = credited - developer.portal.try_balance().await?;
        assert_eq!(charged % price, 0, "{charged} nanos are whole calls");
        let calls = charged / price;
        if (least..=most).contains(&calls) {
            return Ok(calls);
        }
        assert!(
            calls <= most,
            "{calls} calls are charged, {most} at most were answered or in flight"
        );
        Err(format!("{calls} calls charged, {least} answered, {} in flight", tally.in_flight))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_under_load_loses_no_answered_call() {
    let upstream = Upstream::start().await;
    let site = Site::on_sqlite();
    let node = site.node("node");
    let developer = site.developer(&node, 1_000).await;
    let gateway = site.gateway("gateway", &[&node], &upstream.url, "");
    let load = Load::start(&[Caller::new(gateway.url(), &developer.key)], 16);
    load.until_succeeded(500).await;
    let restart = site.kill_gateway(gateway);
    let tally = load.end().await;
    assert!(tally.succeeded() >= 500, "{tally:?}");
    assert_eq!(tally.of(402), 0, "{tally:?}");

    // The next start finds the spend file and reports it.
    let gateway = restart();
    charged_within_bounds(&developer, nanos("1000"), &tally).await;
    assert!(upstream.calls() <= tally.succeeded() + tally.in_flight);
    assert!(gateway.process.stop().success());
    assert!(node.process.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_sync_node_killed_under_load_loses_and_doubles_nothing() {
    let upstream = Upstream::start().await;
    let site = Site::on_sqlite();
    let node = site.node("node");
    let developer = site.developer(&node, 1_000).await;
    let gateway = site.gateway("gateway", &[&node], &upstream.url, "");
    let load = Load::start(&[Caller::new(gateway.url(), &developer.key)], 4);
    load.until_succeeded(200).await;
    let restart = site.kill_node(node);
    let so_far = load.succeeded();
    load.until_succeeded(so_far + 200).await;
    let node = restart();
    let so_far = load.succeeded();
    load.until_succeeded(so_far + 200).await;
    let tally = load.end().await;
    assert_eq!(tally.in_flight, 0, "the gateway was never away: {tally:?}");
    charged_within_bounds(&developer, nanos("1000"), &tally).await;
    assert!(gateway.process.stop().success());
    assert!(node.process.stop().success());
}
