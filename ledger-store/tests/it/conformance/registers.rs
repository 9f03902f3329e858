//! Registers: rules 1 and 2.

use tollgate_ledger_store::RegisterCell::{Live, Recovered};

use super::Backend;
use crate::fixtures::{NOON, incarnation, meter, opened, read, report, units, write};

/// Rule 2: where the last timestamp wins, a spend file with less than was reported must not
/// lower what was counted; it goes to a cell of its own.
pub(crate) async fn a_smaller_total_with_a_later_seq_loses_nothing<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let account = opened(&*ledger).await;
    let (meter, incarnation) = (meter(account.header.wallet), incarnation(NOON));
    report(&*ledger, &[write(meter, incarnation, Live, "100", 1_000)]).await;
    report(&*ledger, &[write(meter, incarnation, Recovered, "80", 2_000)]).await;

    let found = read(&*ledger, account.header.wallet).await;
    let register = found.registers[&(meter, incarnation)];
    assert_eq!((register.live, register.recovered), (units("100"), units("80")));
    assert_eq!(register.units(), units("100"));
}

/// Rule 1: totals that grow with `seq` merge to the greatest, whatever the order of arrival.
pub(crate) async fn lost_repeated_and_reordered_reports_merge_by_max<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let account = opened(&*ledger).await;
    let (meter, incarnation) = (meter(account.header.wallet), incarnation(NOON));
    // The report with 2 units is lost; the others arrive late, twice, and side by side.
    for (total, seq) in [("3", 30), ("1", 10), ("3", 30), ("2.5", 25), ("1", 10)] {
        report(&*ledger, &[write(meter, incarnation, Live, total, seq)]).await;
    }
    report(
        &*ledger,
        &[
            write(meter, incarnation, Live, "4.000000001", 41),
            write(meter, incarnation, Live, "4", 40),
        ],
    )
    .await;
    let found = read(&*backend.another().await, account.header.wallet).await;
    assert_eq!(found.registers[&(meter, incarnation)].units(), units("4.000000001"));
}
