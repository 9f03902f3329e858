//! Conditional batches and timestamps, as a cluster has them.

use std::time::Duration;

use tollgate_ledger_store::ledger::Suspense;
use tollgate_ledger_store::{Commit, CqlLedger, Ledger, LedgerError, RegisterCell};
use tollgate_metering::account::{Ceiling, Cell, MeterTotals, Stamp};
use tollgate_metering::{SuspenseKey, SuspenseReason, Units};
use uuid::Uuid;

use super::cluster::{Guard, config, connect, shared_prefix};
use crate::fixtures::{NOON, entry, incarnation, meter, money, opened, read, report, units, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_every_kind_of_row_applies_once_and_reads_back_whole() {
    let _guard = Guard::shared().await;
    let ledger = connect(&config(shared_prefix().await)).await;
    let mut account = opened(&ledger).await;
    let meter = meter(account.header.wallet);
    let (kept, removed) = (incarnation(NOON), incarnation(NOON));
    let ceiling = Ceiling {
        stamp: Stamp { mode: 1, epoch: 2, counter: 3 },
        draw: money("-0.000000001"),
        most: money("0.3"),
        settled: money("0.05"),
        is_retired: false,
    };
    let key = SuspenseKey { meter, incarnation: kept, reason: SuspenseReason::Cut };

    let mut change = account.change();
    change.header.credited = money("9223372036854775807.999999999");
    change.header.last_credit_at = Some(NOON);
    change.header.owner.node = Some(Uuid::new_v4());
    change.header.mode.overspend = tollgate_metering::account::Overspend::Strict;
    change.header.is_sealed = true;
    let totals =
        MeterTotals { settled_units: Units::MAX, closed_charge: money("-12.5"), checkpoints: 7 };
    change.meters.insert(meter, totals);
    change.cells.insert((meter, kept), Cell { folded: units("3"), cut: Some(units("4.5")) });
    change.cells.insert((meter, removed), Cell { folded: units("3"), cut: None });
    change.ceilings.insert(kept, Some(ceiling));
    change.ceilings.insert(removed, Some(ceiling));
    change.resolved.insert(key, units("2"));
    change.entries.push(entry(&account, "credit-1", "10"));
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Conflict);
    account.apply(&change);
    assert_eq!(read(&ledger, account.header.wallet).await.account, account);

    let mut change = account.change();
    change.ceilings.insert(removed, None);
    change.cells.insert((meter, kept), Cell { folded: units("4"), cut: None });
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);
    assert_eq!(read(&ledger, account.header.wallet).await.account, account);
}

/// The answer is lost, as when a connection breaks after the request was sent: the client gives
/// up, the cluster goes on, and a linearizable read finds what became of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_unknown_and_found_by_its_id() {
    let _guard = Guard::shared().await;
    let patient = connect(&config(shared_prefix().await)).await;
    let mut hasty = config(shared_prefix().await);
    hasty.conditional_timeout_ms = 1;
    hasty.start_timeout_ms = 10_000;
    // It opens nothing conditionally, since the keyspace is there.
    let hasty = connect(&hasty).await;
    // A cluster under load may drop the request with its client: then the id is repeated, as the
    // caller of a ledger does it. Most attempts are found.
    for _ in 0..10 {
        if is_found_after_lost_answer(&patient, &hasty).await {
            return;
        }
    }
    panic!("ten commits in a row were dropped by the cluster");
}

/// Commits by a client that does not wait for the answer. Whatever became of it, the entry stands
/// once in the end; whether it did so without a second attempt.
async fn is_found_after_lost_answer(patient: &CqlLedger, hasty: &CqlLedger) -> bool {
    let account = opened(patient).await;
    let mut change = account.change();
    change.header.credited = money("10");
    change.entries.push(entry(&account, "credit-1", "10"));
    let error = hasty.commit(&change).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unknown { .. }), "{error:?}");
    assert!(!error.is_certainly_not_applied());

    let developer = account.header.developer;
    // Each linearizable read settles what is under way, one way or the other.
    let mut found = None;
    for _ in 0..20 {
        found = patient.entry(developer, "credit-1").await.unwrap();
        if found.is_some() {
            break;
        }
    }
    let again = patient.commit(&change).await.unwrap();
    if let Some(found) = &found {
        assert!(found.is_same_booking(&change.entries[0]));
        assert_eq!(again, Commit::Conflict);
    }
    assert!(patient.entry(developer, "credit-1").await.unwrap().is_some());
    let read = read(patient, account.header.wallet).await;
    assert_eq!(read.account.header.credited, money("10"));
    found.is_some()
}

/// All writes of a suspense register carry one timestamp; the greatest value has to win in every
/// order, and in the merge of what is on disk with what is in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suspense_takes_the_greatest_total_in_any_order() {
    let _guard = Guard::shared().await;
    let ledger = connect(&config(shared_prefix().await)).await;
    let wallet = opened(&ledger).await.header.wallet;
    let orders = [["1", "255", "256"], ["256", "255", "1"], ["255", "1", "256"]];
    let suspense = |meter, incarnation, total: &str, counted: &str| Suspense {
        meter,
        incarnation,
        reason: SuspenseReason::Fence,
        units: units(total),
        counted: units(counted),
    };
    for order in orders {
        let (meter, incarnation) = (meter(wallet), incarnation(NOON));
        for total in order {
            let write = suspense(meter, incarnation, total, total);
            ledger.write_suspense(&[write]).await.unwrap();
        }
        let found = ledger.suspense(wallet).await.unwrap();
        let found = found.iter().find(|found| found.meter == meter).unwrap();
        assert_eq!(*found, suspense(meter, incarnation, "256", order[0]));
    }
    let (meter, incarnation) = (meter(wallet), incarnation(NOON));
    let most = Suspense { units: Units::REGISTER_MAX, ..suspense(meter, incarnation, "0", "0") };
    ledger.write_suspense(&[most]).await.unwrap();
    let found = ledger.suspense(wallet).await.unwrap();
    assert!(found.contains(&most));
}

/// A purge must not swallow what younger incarnations write, whatever their sequence numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_covers_older_incarnations_alone() {
    let _guard = Guard::shared().await;
    let ledger = connect(&config(shared_prefix().await)).await;
    let wallet = opened(&ledger).await.header.wallet;
    let (old, young) = (incarnation(NOON.minus(Duration::from_secs(1))), incarnation(NOON));
    let meter = meter(wallet);
    let now_us = ledger.clock().await.unwrap().0 * 1_000;
    report(&ledger, &[write(meter, old, RegisterCell::Live, "5", now_us + 50_000_000)]).await;
    report(&ledger, &[write(meter, young, RegisterCell::Live, "6", 10)]).await;
    ledger.purge(wallet, NOON).await.unwrap();
    // Below the tombstone's time, but not below its births.
    report(&ledger, &[write(meter, young, RegisterCell::Recovered, "7", 11)]).await;
    let found = read(&ledger, wallet).await.registers;
    assert_eq!(found.keys().map(|(_, incarnation)| *incarnation).collect::<Vec<_>>(), [young]);
    assert_eq!(found[&(meter, young)].units(), units("7"));
}
