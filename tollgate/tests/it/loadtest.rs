//! The load test against real processes: a short scenario, one in which parts die, and a gateway that charges for nothing.

use std::path::Path;

use tollgate_loadtest::accounting::Verdict;
use tollgate_loadtest::live::Live;
use tollgate_loadtest::nanos::Nanos;
use tollgate_loadtest::overspend::{self, Place};
use tollgate_loadtest::report::{Report, Run};
use tollgate_loadtest::scenario::Scenario;
use tollgate_loadtest::steps::Kind;

use crate::support::process::standalone;
use crate::support::upstream::Upstream;

async fn run(scenario: &str, folder: &Path) -> Report {
    let scenario = Scenario::parse("scenario.toml", scenario).unwrap();
    let binary = env!("CARGO_BIN_EXE_tollgate").into();
    let place = Place { binary, folder: folder.join("data") };
    overspend::run(&scenario, &place, &mut Live::on_stderr()).await.unwrap()
}

/// What must be so of every run, whatever it went through.
fn must_hold(run: &Run) {
    let it = &run.summary;
    assert!(it.is_kept, "{}", run.line());
    assert_eq!(it.admitted + it.refused + it.failed + it.not_sent + it.in_flight, it.due);
    assert_eq!(it.charged, it.admitted_worth + it.difference);
    let open = run.price.times(it.in_flight);
    assert!((Nanos::ZERO..=open).contains(&it.difference), "{it:?}");
    assert!(it.overspent >= Nanos::ZERO && it.overspent <= it.bound, "{it:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_spend_a_wallet_and_every_call_is_charged() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = r#"
        title = "Short"
        [fleet]
        gateways = 2
        nodes = 1
        [wallets]
        developers = 2
        overspend = ["optimistic"]
        price = "0.01"
        currency = "EUR"
        credit = "0.5"
        [load]
        calls_per_second = 100
        span_ms = 3000
        [[step]]
        at_ms = 2200
        top_up = "0.25"
    "#;
    let report = run(scenario, folder.path()).await;
    let [run] = report.runs.as_slice() else { panic!("one policy, one run") };
    must_hold(run);
    let it = &run.summary;
    assert_eq!((it.due, it.in_flight), (300, 0), "nothing was killed");
    assert_eq!((it.difference, it.credited.to_string().as_str()), (Nanos::ZERO, "1.50"));
    assert!(it.charged >= it.credited - run.price.times(2), "the wallets were spent: {it:?}");
    assert!(it.refused > 0, "and refused: {it:?}");
    assert!(it.bound_told.is_some() && it.bound_before.is_some(), "the service told: {it:?}");
    for gateway in 0..2 {
        let has_seen = run.balances.iter().any(|sample| sample.gateways[gateway].is_some());
        assert!(has_seen, "nobody asked gateway {gateway} what it believes");
    }
    report.write(folder.path()).unwrap();
    for file in ["report.html", "report.json", "overspend.svg"] {
        assert!(folder.path().join(file).metadata().unwrap().len() > 1_000, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_wallet_never_goes_below_zero() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = r#"
        title = "Strict"
        [fleet]
        gateways = 2
        nodes = 1
        [wallets]
        overspend = ["strict"]
        price = "0.01"
        currency = "EUR"
        credit = "0.1"
        [load]
        calls_per_second = 50
        span_ms = 4000
    "#;
    let report = run(scenario, folder.path()).await;
    let [run] = report.runs.as_slice() else { panic!("one policy, one run") };
    must_hold(run);
    let it = &run.summary;
    assert_eq!((it.bound, it.overspent), (Nanos::ZERO, Nanos::ZERO));
    assert!(it.charged > Nanos::ZERO && it.charged <= it.credited, "{it:?}");
    assert!(it.reserved_most > Nanos::ZERO && it.reserved_most <= it.credited, "{it:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_die_and_wires_that_are_cut_lose_no_answered_call() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = r#"
        title = "Faults"
        [fleet]
        gateways = 2
        nodes = 2
        staleness_limit_ms = 3000
        [wallets]
        overspend = ["optimistic"]
        price = "0.001"
        currency = "EUR"
        credit = "0.6"
        [load]
        calls_per_second = 120
        span_ms = 8000
        [[step]]
        at_ms = 1000
        kill = "gateway-1"
        [[step]]
        at_ms = 1600
        restart = "gateway-1"
        [[step]]
        at_ms = 2400
        kill = "node-2"
        [[step]]
        at_ms = 3000
        restart = "node-2"
        [[step]]
        at_ms = 3800
        cut = "gateway-2 node-1"
        [[step]]
        at_ms = 4600
        heal = "gateway-2 node-1"
    "#;
    let report = run(scenario, folder.path()).await;
    let [run] = report.runs.as_slice() else { panic!("one policy, one run") };
    must_hold(run);
    let kinds: Vec<Kind> = run.events.iter().map(|event| event.kind).collect();
    let want = [Kind::Killed, Kind::Back, Kind::Killed, Kind::Back, Kind::Cut, Kind::Healed];
    assert_eq!(kinds, want);
    assert!(run.summary.not_sent > 0, "a gateway was down: {:?}", run.summary);
}

/// Whoever answers calls without telling the ledger is found out: the one thing that the load test is there for.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_charges_for_nothing_breaks_the_promise() {
    let dir = tempfile::tempdir().unwrap();
    let (process, gateway) = (standalone(dir.path(), &[]), Upstream::start().await);
    let scenario = format!(
        r#"
        title = "Free calls"
        [target]
        gateways = ["{gateway}"]
        nodes = ["{node}"]
        management = "{management}"
        token_file = "{token}"
        proxy = "demo"
        path = "/demo/orders"
        [wallets]
        overspend = ["optimistic"]
        price = "0.01"
        currency = "EUR"
        credit = "5"
        [load]
        calls_per_second = 50
        span_ms = 500
        "#,
        gateway = gateway.url,
        node = process.text(&["sync"]),
        management = process.text(&["management"]),
        token = process.text(&["admin_token_file"]),
    );
    let report = run(&scenario, dir.path()).await;
    let [run] = report.runs.as_slice() else { panic!("one policy, one run") };
    assert_eq!(run.summary.admitted, 25);
    assert_eq!(run.summary.charged, Nanos::ZERO);
    assert_eq!((run.summary.verdict, report.is_kept()), (Verdict::Lost, false));
    assert!(run.line().contains("BROKEN"), "{}", run.line());
}
