//! Nodes that die under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Registry, TextEncoder};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollgate_ledger_store::{Commit, CqlLedger, Ledger, LedgerError, RegisterCell};
use tollgate_metering::account::Account;
use tollgate_metering::{DeveloperId, Incarnation, Meter, Money, Units, WalletId};

use super::cluster::{Guard, config, connect_counted, node, nodes, shared_prefix};
use crate::fixtures::{NOON, entry, incarnation, meter, money, opened, read, write};

/// Incarnations that report while nodes die.
const REPORTERS: usize = 4;

/// How long a writer rests between two writes: a node has to start beside this load.
const REST: Duration = Duration::from_millis(3);

/// What a writer did until it was told to stop.
#[derive(Debug, Default)]
struct Done {
    /// Writes that were answered, or found when their answer was lost.
    applied: u64,
    /// Errors on the way.
    errors: u64,
}

/// Writes one register again and again, each time with a greater total, and repeats the newest
/// total after an error, as a gateway does.
async fn reporter(
    ledger: Arc<CqlLedger>,
    meter: Meter,
    incarnation: Incarnation,
    stop: watch::Receiver<bool>,
) -> Done {
    let mut done = Done::default();
    while !*stop.borrow() || done.applied == 0 {
        let total = (done.applied + 1).to_string();
        let seq = i64::try_from(done.applied + done.errors).unwrap() + 1;
        let row = write(meter, incarnation, RegisterCell::Live, &total, seq);
        match ledger.write_registers(&[row]).await.remove(0) {
            Ok(()) => done.applied += 1,
            Err(_) => done.errors += 1,
        }
        tokio::time::sleep(REST).await;
    }
    done
}

/// Books credits of 1, each with an id of its own; after an unknown outcome looks for the id.
async fn creditor(ledger: Arc<CqlLedger>, wallet: WalletId, stop: watch::Receiver<bool>) -> Done {
    let mut done = Done::default();
    while !*stop.borrow() || done.applied == 0 {
        let id = format!("credit-{:06}", done.applied);
        match credit_once(&ledger, wallet, &id).await {
            Ok(Commit::Applied) => done.applied += 1,
            Ok(Commit::Conflict) => {}
            Err(_) => done.errors += 1,
        }
        tokio::time::sleep(REST).await;
    }
    done
}

async fn credit_once(
    ledger: &CqlLedger,
    wallet: WalletId,
    id: &str,
) -> Result<Commit, LedgerError> {
    let account = ledger.read(wallet).await?.unwrap().account;
    if ledger.entry(account.header.developer, id).await?.is_some() {
        return Ok(Commit::Applied);
    }
    let mut change = account.change();
    change.header.credited = account.header.credited.plus(money("1")).unwrap();
    change.entries.push(entry(&account, id, "1"));
    ledger.commit(&change).await
}

async fn entry_count(ledger: &CqlLedger, developer: DeveloperId) -> u64 {
    u64::try_from(ledger.entries(developer, None, 1_000_000).await.unwrap().len()).unwrap()
}

fn total(applied: u64) -> Units {
    applied.to_string().parse().unwrap()
}

/// Writers on a wallet, and what must hold when they stopped.
struct Load {
    account: Account,
    reporters: BTreeMap<Incarnation, Meter>,
    stop: watch::Sender<bool>,
    reports: JoinSet<(Incarnation, Done)>,
    credits: JoinSet<Done>,
}

// === impl Load ===

impl Load {
    async fn start(ledger: &Arc<CqlLedger>) -> Load {
        let account = opened(&**ledger).await;
        let (stop, stopped) = watch::channel(false);
        let mut load = Load {
            reporters: BTreeMap::new(),
            stop,
            reports: JoinSet::new(),
            credits: JoinSet::new(),
            account,
        };
        let wallet = load.account.header.wallet;
        for _ in 0..REPORTERS {
            let (meter, incarnation) = (meter(wallet), incarnation(NOON));
            load.reporters.insert(incarnation, meter);
            let work = reporter(Arc::clone(ledger), meter, incarnation, stopped.clone());
            load.reports.spawn(async move { (incarnation, work.await) });
        }
        load.credits.spawn(creditor(Arc::clone(ledger), wallet, stopped));
        load
    }

    /// Stops the writers and compares every sum with what they know was applied.
    async fn stop_and_check(self, ledger: &CqlLedger) -> (Done, Done) {
        self.stop.send(true).unwrap();
        let reports = self.reports.join_all().await;
        let credits = self.credits.join_all().await.remove(0);
        let found = read(ledger, self.account.header.wallet).await;
        let mut reported = Done::default();
        for (incarnation, done) in &reports {
            let meter = self.reporters[incarnation];
            let units = found.registers[&(meter, *incarnation)].units();
            assert_eq!(units, total(done.applied), "{incarnation}");
            reported.applied += done.applied;
            reported.errors += done.errors;
        }
        let credited: Money = credits.applied.to_string().parse().unwrap();
        assert_eq!(found.account.header.credited, credited);
        let developer = self.account.header.developer;
        assert_eq!(entry_count(ledger, developer).await, credits.applied);
        (reported, credits)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_under_load_costs_no_write_and_no_credit() {
    let _guard = Guard::exclusive().await;
    let mut config = config(shared_prefix().await);
    config.request_timeout_ms = 2_000;
    config.conditional_timeout_ms = 4_000;
    let registry = Registry::new();
    let ledger = Arc::new(connect_counted(&config, &registry).await.unwrap());
    let load = Load::start(&ledger).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    node("kill", 3).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    node("start-node", 3).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (reports, credits) = load.stop_and_check(&ledger).await;
    eprintln!("reports {reports:?}, credits {credits:?}");
    assert!(reports.applied > 100 && credits.applied > 10, "{reports:?} {credits:?}");
    // Two of three nodes are a quorum: what was on its way through the dead one may fail, no more.
    assert!(reports.errors + credits.errors <= 20, "{reports:?} {credits:?}");

    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for node in nodes() {
        let family = "tollgate_ledger_node_request_duration_seconds_count";
        let line = format!("{family}{{node=\"{node}\",operation=\"live_write\"}}");
        assert!(text.contains(&line), "{line} in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_away_is_an_error_until_they_are_back_without_a_restart() {
    let _guard = Guard::exclusive().await;
    let mut config = config(shared_prefix().await);
    config.request_timeout_ms = 1_000;
    config.conditional_timeout_ms = 2_000;
    let ledger = Arc::new(connect_counted(&config, &Registry::new()).await.unwrap());
    let load = Load::start(&ledger).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let wallet = load.account.header.wallet;
    node("kill", 2).await;
    node("kill", 3).await;

    let away = ledger.read(wallet).await.unwrap_err();
    assert!(matches!(away, LedgerError::Unavailable { .. }), "{away:?}");
    let meter = meter(wallet);
    let row = write(meter, incarnation(NOON), RegisterCell::Live, "1", 1);
    assert!(ledger.write_registers(&[row]).await.remove(0).is_err());
    let error = ledger.commit(&load.account.change()).await.unwrap_err();
    let is_known = matches!(error, LedgerError::Unavailable { .. } | LedgerError::Unknown { .. });
    assert!(is_known, "{error:?}");

    node("start-node", 2).await;
    node("start-node", 3).await;
    let back = async {
        while ledger.read(wallet).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), back).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (reports, credits) = load.stop_and_check(&ledger).await;
    eprintln!("reports {reports:?}, credits {credits:?}");
    assert!(reports.errors > 0, "{reports:?}");
}
