//! Two gateways spend one wallet at once: what was let through on stale copies is charged to the last nano.

use hyper::StatusCode;

use crate::support::api::{Portal, nanos};
use crate::support::load::{Caller, Load};
use crate::support::process::{Tollgate, standalone};

/// One caller for each gateway of a process.
fn callers(process: &Tollgate) -> Vec<Caller> {
    let key = process.text(&["demo", "key"]);
    let path = "/demo/orders";
    process.gateways().iter().map(|url| Caller::new(format!("{url}{path}"), key)).collect()
}

/// A burst that began just before the gateways told each other may end with no debt: then the wallet gets more, and another.
const BURSTS_MAX: i64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_take_a_wallet_below_zero_and_the_next_top_up_pays_the_debt_first() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tollgate.toml");
    // Copies go stale for longer than a burst takes on a busy machine.
    std::fs::write(&file, "[wallets]\nsync_interval_ms = 1000\n").unwrap();
    let process = standalone(dir.path(), &["--gateways", "2", "--config", file.to_str().unwrap()]);
    let portal = Portal::of_demo(&process);
    let gateways = process.gateways();
    assert_eq!(gateways.len(), 2, "{gateways:?}");

    let (mut credited, mut succeeded) = (nanos("1"), 0);
    for burst in 1.. {
        let load = Load::start(&callers(&process), 8);
        load.until_refused(200).await;
        let tally = load.end().await;
        assert_eq!(tally.in_flight, 0, "{tally:?}");
        succeeded += i128::from(tally.succeeded());
        portal.balance_becomes(credited - succeeded * nanos("0.01")).await;
        if succeeded * nanos("0.01") > credited {
            break;
        }
        assert!(burst < BURSTS_MAX, "no burst of {burst} took the wallet below zero: {tally:?}");
        assert_eq!(
            portal.credit(1, &format!("burst-{burst}")).await.unwrap().status,
            StatusCode::OK
        );
        credited += nanos("1");
    }
    let debt = succeeded * nanos("0.01") - credited;

    assert_eq!(portal.credit(30, "top-up").await.unwrap().status, StatusCode::OK);
    portal.balance_becomes(nanos("30") - debt).await;
    let load = Load::start(&callers(&process), 1);
    load.until_succeeded(10).await;
    let more = load.end().await;
    portal.balance_becomes(nanos("30") - debt - i128::from(more.succeeded()) * nanos("0.01")).await;
    assert!(process.stop().success());
}
