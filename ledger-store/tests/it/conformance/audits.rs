//! The auditor's view: a sound ledger shows nothing, each broken row shows itself.

use std::sync::Arc;

use tollgate_ledger_store::RegisterCell::Live;
use tollgate_ledger_store::ledger::{HoldWrite, Suspense, UsageWrite};
use tollgate_ledger_store::verify::{Finding, export, inspect};
use tollgate_ledger_store::{Commit, Ledger};
use tollgate_metering::account::{Ceiling, Cell, MeterTotals, Stamp};
use tollgate_metering::balance::PERIOD_GRACE;
use tollgate_metering::booking::Resolution;
use tollgate_metering::{
    Change, DeveloperId, Meter, SuspenseKey, SuspenseReason, Units, UnixMillis, WalletId,
};
use uuid::Uuid;

use super::Backend;
use crate::fixtures::{
    NOON, Prices, book, booking, entry, incarnation, meter, money, read, report, units, write,
};

/// A wallet in which everything has happened once.
async fn lived_in(ledger: &Arc<dyn Ledger>) -> (WalletId, Meter) {
    let (book, developer) = (book(Arc::clone(ledger)), DeveloperId(Uuid::new_v4()));
    let eur = "EUR".parse().unwrap();
    let booked = book.credit("acme", developer, eur, &booking("c"), money("100")).await.unwrap();
    let wallet = booked.entry.wallet;
    let (meter, dead, alive) = (meter(wallet), incarnation(NOON), incarnation(NOON));
    report(&**ledger, &[write(meter, dead, Live, "7", 1_000)]).await;
    report(&**ledger, &[write(meter, alive, Live, "2.5", 1_000)]).await;
    book.fold_dead(wallet, |incarnation| incarnation == dead).await.unwrap();
    book.close_period(wallet, meter.period, "closing").await.unwrap();
    let row = Suspense {
        meter,
        incarnation: dead,
        reason: SuspenseReason::Multiplier,
        units: units("3"),
        counted: Units::ZERO,
    };
    ledger.write_suspense(&[row]).await.unwrap();
    let charge = Resolution::Charge;
    let some = Some(units("2"));
    book.resolve_suspense(wallet, &booking("s"), row.key(), some, charge).await.unwrap();
    book.fee(wallet, &booking("f"), money("1.25")).await.unwrap();
    (wallet, meter)
}

async fn findings(ledger: &dyn Ledger, wallet: WalletId) -> Vec<Finding> {
    let inspection = inspect(ledger, &Prices::flat("1"), wallet).await.unwrap();
    inspection.expect("the wallet is there").findings
}

pub(crate) async fn a_sound_wallet_shows_no_finding_and_its_balance<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let (wallet, meter) = lived_in(&ledger).await;
    let found = inspect(&*ledger, &Prices::flat("1"), wallet).await.unwrap().unwrap();
    assert_eq!(found.findings, []);
    assert_eq!(found.balance, Ok(money("87.25")));
    assert_eq!(found.units[&meter], units("11.5"));
    assert_eq!((found.entries.len(), found.suspense.len()), (4, 1));
    let nobody = WalletId(Uuid::new_v4());
    assert!(inspect(&*ledger, &Prices::flat("1"), nobody).await.unwrap().is_none());
    let unpriced = inspect(&*ledger, &Prices::none(), wallet).await.unwrap().unwrap();
    assert!(matches!(unpriced.findings[..], [Finding::Balance(_)]), "{:?}", unpriced.findings);
}

/// Each tampered row is found by the check that is there for it.
pub(crate) async fn whatever_is_wrong_is_found_by_name<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    wrong_sums_are_found(&ledger).await;
    wrong_meters_are_found(&ledger).await;
    wrong_suspense_is_found(&ledger).await;
}

/// Tampers with a wallet that was lived in, and looks for the finding.
async fn check(
    ledger: &Arc<dyn Ledger>,
    tamper: fn(&mut Change, Meter),
    is_it: fn(&Finding) -> bool,
) {
    let (wallet, meter) = lived_in(ledger).await;
    let mut change = read(&**ledger, wallet).await.account.change();
    tamper(&mut change, meter);
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    let found = findings(&**ledger, wallet).await;
    assert!(found.iter().any(is_it), "{found:?}");
}

async fn wrong_sums_are_found(ledger: &Arc<dyn Ledger>) {
    check(
        ledger,
        |change, _| change.header.credited = money("101"),
        |finding| {
            matches!(finding, Finding::Credited { stored, entries }
            if (*stored, *entries) == (money("101"), money("100")))
        },
    )
    .await;
    check(
        ledger,
        |change, _| change.header.settled = money("0.000000001"),
        |finding| matches!(finding, Finding::Settled { .. }),
    )
    .await;
    check(
        ledger,
        |change, _| change.header.balance_at_last_credit = money("99"),
        |finding| matches!(finding, Finding::LastCredit(_)),
    )
    .await;
}

async fn wrong_meters_are_found(ledger: &Arc<dyn Ledger>) {
    fn whole(change: &mut Change, meter: Meter, units: &str, charge: &str, checkpoints: u32) {
        let (settled_units, closed_charge) = (self::units(units), money(charge));
        change.meters.insert(meter, MeterTotals { settled_units, closed_charge, checkpoints });
    }
    check(
        ledger,
        |change, meter| whole(change, meter, "9", "9.6", 1),
        |finding| matches!(finding, Finding::ClosedCharge { .. }),
    )
    .await;
    check(
        ledger,
        |change, meter| whole(change, meter, "9", "9.5", 2),
        |finding| matches!(finding, Finding::Checkpoints { stored: 2, entries: 1, .. }),
    )
    .await;
    check(
        ledger,
        |change, meter| whole(change, meter, "8", "9.5", 1),
        |finding| matches!(finding, Finding::SettledUnits { .. }),
    )
    .await;
    check(
        ledger,
        |change, meter| {
            let cell = Cell { folded: units("1"), cut: None };
            change.cells.insert((meter, incarnation(NOON)), cell);
        },
        |finding| matches!(finding, Finding::Folded { .. }),
    )
    .await;
    check(
        ledger,
        |change, meter| change.header.horizon = meter.period.end().plus(PERIOD_GRACE),
        |finding| matches!(finding, Finding::Unclosed { .. }),
    )
    .await;
}

async fn wrong_suspense_is_found(ledger: &Arc<dyn Ledger>) {
    check(
        ledger,
        |change, meter| {
            let (incarnation, reason) = (incarnation(NOON), SuspenseReason::Cut);
            change.resolved.insert(SuspenseKey { meter, incarnation, reason }, units("1"));
        },
        |finding| matches!(finding, Finding::Resolved { .. }),
    )
    .await;
    check(
        ledger,
        |change, meter| {
            let (incarnation, reason) = (incarnation(NOON), SuspenseReason::Cut);
            change.resolved.insert(SuspenseKey { meter, incarnation, reason }, units("1"));
        },
        |finding| matches!(finding, Finding::ResolvedEntries { .. }),
    )
    .await;
}

/// Every row is in the export, one JSON object a line.
pub(crate) async fn everything_is_in_the_export<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let (wallet, meter) = lived_in(&ledger).await;
    let holder = incarnation(NOON);
    let hold = HoldWrite { wallet, incarnation: holder, amount: money("0.5"), seq: 1_000 };
    ledger.write_holds(&[hold]).await.unwrap();
    let minute = UnixMillis(NOON.0).0 / 60_000;
    let usage = UsageWrite {
        meter,
        incarnation: holder,
        app: None,
        minute,
        units: units("2.5"),
        seq: 1_000,
    };
    ledger.write_usage(&[usage]).await.unwrap();
    let mut change = read(&*ledger, wallet).await.account.change();
    let stamp = Stamp { mode: 0, epoch: 1, counter: 1 };
    let ceiling = Ceiling { stamp, draw: money("3"), most: money("3"), ..Ceiling::RETIRED };
    change.ceilings.insert(holder, Some(ceiling));
    change.header.overdraft_limit = money("5");
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    ledger.register_incarnation(holder.id, "gateway-1", NOON).await.unwrap();

    let mut written = Vec::new();
    let count = export(&*ledger, &mut written).await.unwrap();
    let text = String::from_utf8(written).unwrap();
    assert_eq!(text.lines().count() as u64, count);
    let rows: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ours = |row: &&serde_json::Value| {
        let text = row.to_string();
        text.contains(&wallet.to_string()) || text.contains(&holder.id.to_string())
    };
    let mut kinds: Vec<&str> =
        rows.iter().filter(ours).map(|row| row["row"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let want = [
        "ceiling",
        "cell",
        "entry",
        "entry",
        "entry",
        "entry",
        "hold",
        "incarnation",
        "meter",
        "register",
        "register",
        "resolved",
        "suspense",
        "usage",
        "wallet",
    ];
    assert_eq!(kinds, want);
    let stored = rows.iter().find(|row| row["row"] == "wallet" && ours(row)).unwrap();
    assert_eq!(stored["overdraft_limit"], "5");
    let lonely = entry(&read(&*ledger, wallet).await.account, "x", "1");
    assert!(!text.contains(&format!("\"id\":\"{}\"", lonely.id)));
}
