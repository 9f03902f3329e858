//! Reports follow need: a rich wallet seldom, a poor one at once, and at the end everything.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::metered::{Wallets, units, until};
use crate::scripted_node::{Ledger, Node};

/// How late a rich wallet is reported here: later than any of these tests takes.
const SLOWEST_MS: u64 = 10_000;
/// At once, on a machine with other work to do.
const SOON: Duration = Duration::from_secs(4);

/// A gateway whose rich wallets wait for long, and a node with this much in the wallet.
async fn gateway(base: &str) -> (Ledger, Node, Wallets) {
    let ledger = Ledger::default();
    ledger.with(|books| books.base = base.parse().unwrap());
    let node = Node::start(&ledger).await;
    let wallets = Wallets::start_with(vec![node.url()], |settings| {
        settings.sync_interval_max_ms = Some(SLOWEST_MS);
        settings.staleness_limit_ms = 6 * SLOWEST_MS;
    });
    wallets.until_ready().await;
    (ledger, node, wallets)
}

async fn soon(what: &str, is_so: impl Fn() -> bool) {
    timeout(SOON, until(what, is_so)).await.unwrap_or_else(|_| panic!("not soon: {what}"));
}

#[tokio::test]
async fn a_rich_wallet_is_reported_seldom_and_whole_at_the_end() {
    let (ledger, _node, wallets) = gateway("1000").await;
    for _ in 0..50 {
        wallets.calls(1).await;
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ledger.with(|books| books.reports), 0, "half a thousandth of it is spent");
    assert!(timeout(SOON, wallets.metered.drain(SOON)).await.unwrap(), "a drain does not wait");
    assert_eq!(ledger.units(), units(50));
    assert!(ledger.with(|books| books.reports) <= 2);
}

#[tokio::test]
async fn a_poor_wallet_is_reported_at_once() {
    let (ledger, _node, wallets) = gateway("0.07").await;
    for count in 1..=7 {
        wallets.calls(1).await;
        soon("counted", || ledger.units() == units(count)).await;
    }
    assert!(ledger.with(|books| books.reports) >= 7);
}

#[tokio::test]
async fn a_burst_on_a_rich_wallet_is_reported_before_its_time() {
    let (ledger, _node, wallets) = gateway("10").await;
    wallets.calls(100).await;
    // A tenth of it is gone within a tick; the last of it may wait.
    soon("most is counted", || ledger.units() >= units(80)).await;
}

#[tokio::test]
async fn what_waits_is_reported_at_once_when_others_empty_the_wallet() {
    let (ledger, node, wallets) = gateway("1000").await;
    wallets.calls(1).await;
    assert_eq!(ledger.with(|books| books.reports), 0);
    ledger.with(|books| {
        books.base = "0.02".parse().unwrap();
        books.version += 1;
    });
    node.until_believed("0.01").await;
    soon("counted", || ledger.units() == units(1)).await;
}

#[tokio::test]
async fn a_wallet_whose_stream_broke_is_reported_at_once_on_the_next() {
    let (ledger, node, wallets) = gateway("10").await;
    wallets.calls(100).await;
    soon("most is counted", || ledger.units() >= units(80)).await;
    ledger.with(|books| books.registers.clear());
    node.script(|script| script.is_mute = true);
    let reports = ledger.with(|books| books.reports);
    wallets.calls(100).await;
    soon("reported, without a word", || ledger.with(|books| books.reports) > reports).await;
    node.script(|script| script.is_mute = false);
    node.break_streams().await;
    soon("reported again", || ledger.units() >= units(180)).await;
}

#[tokio::test]
async fn snapshots_stay_young_without_anything_to_report() {
    let ledger = Ledger::default();
    ledger.with(|books| books.base = "1000".parse().unwrap());
    let node = Node::start(&ledger).await;
    let wallets =
        Wallets::start_with(vec![node.url()], |settings| settings.staleness_limit_ms = 1_000);
    wallets.until_ready().await;
    wallets.calls(1).await;
    soon("counted", || ledger.units() == units(1)).await;
    // A tenth of the limit apart: this takes two seconds.
    let (reports, beats) = ledger.with(|books| (books.reports, books.beats));
    soon("twenty heartbeats", || ledger.with(|books| books.beats) >= beats + 20).await;
    assert_eq!(ledger.with(|books| books.reports), reports);
    let (seen, _) = node.subscriptions();
    wallets.calls(1).await;
    assert_eq!(node.subscriptions().0, seen, "its snapshot was young enough");
}
