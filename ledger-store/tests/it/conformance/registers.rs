//! Registers: rules 1 and 2.

use std::time::Duration;

use tollgate_ledger_store::Commit;
use tollgate_ledger_store::RegisterCell::{Live, Recovered};
use tollgate_ledger_store::WalletRead;
use tollgate_ledger_store::ledger::{Held, HoldWrite, Registration, Suspense, UsageWrite};
use tollgate_metering::account::Cell;
use tollgate_metering::{AppId, Meter, SuspenseReason, Units};
use uuid::Uuid;

use super::Backend;
use crate::fixtures::{NOON, incarnation, meter, money, opened, read, report, units, write};

const MILLISECOND: Duration = Duration::from_millis(1);

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

pub(crate) async fn a_register_past_its_range_is_refused_alone<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let account = opened(&*ledger).await;
    let (meter, incarnation) = (meter(account.header.wallet), incarnation(NOON));
    let other = self::incarnation(NOON);
    let mut greatest = write(meter, other, Live, "1", 1_000);
    greatest.units = Units::REGISTER_MAX;
    let too_much = write(meter, incarnation, Live, "9223372037", 1_000);
    let answers = ledger.write_registers(&[too_much, greatest]).await;
    assert!(answers[0].is_err() && answers[1].is_ok(), "{answers:?}");
    let found = read(&*ledger, account.header.wallet).await.registers;
    assert_eq!(found.len(), 1);
    assert_eq!(found[&(meter, other)].units(), Units::REGISTER_MAX);
}

pub(crate) async fn of_holds_and_usage_the_highest_seq_wins<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = opened(&*ledger).await.header.wallet;
    let (meter, incarnation) = (meter(wallet), incarnation(NOON));
    for (amount, seq) in [("5", 50), ("0.000000001", 60), ("9", 40)] {
        let hold = HoldWrite { wallet, incarnation, amount: money(amount), seq };
        ledger.write_holds(&[hold]).await.unwrap();
    }
    let held = Held { amount: money("0.000000001"), seq: 60 };
    assert_eq!(read(&*ledger, wallet).await.holds[&incarnation], held);

    let minute = NOON.0 / 60_000;
    let row = |minute, total: &str, seq| UsageWrite {
        meter,
        incarnation,
        app: None,
        minute,
        units: units(total),
        seq,
    };
    let rows = [row(minute + 1, "7", 70), row(minute, "3", 30), row(minute, "2", 20)];
    ledger.write_usage(&rows).await.unwrap();
    ledger.write_usage(&[row(minute + 2, "8", 80), row(minute, "1", 10)]).await.unwrap();
    let found = ledger.usage(wallet, minute, minute + 2).await.unwrap();
    assert_eq!(found, [row(minute, "3", 30), row(minute + 1, "7", 70)]);
}

/// A month's report needs more than the ten days that minutes are kept for.
pub(crate) async fn of_usage_the_last_row_of_each_day_survives_the_purge<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let mut account = opened(&*ledger).await;
    let wallet = account.header.wallet;
    let (meter, old, young) =
        (meter(wallet), incarnation(NOON.minus(MILLISECOND)), incarnation(NOON));
    let day = NOON.0.div_euclid(86_400_000);
    let (one, two) = (AppId(Uuid::from_u128(1)), AppId(Uuid::from_u128(2)));
    let row = |incarnation, app, days: i64, minute: i64, total: &str| UsageWrite {
        meter,
        incarnation,
        app,
        minute: (day + days) * 1_440 + minute,
        units: units(total),
        seq: NOON.0 * 1_000 + days * 1_000 + minute,
    };
    let rows = [
        row(old, None, 0, 700, "3"),
        row(old, Some(one), 0, 700, "3"),
        row(old, None, 0, 1_439, "5"),
        row(old, Some(two), 0, 1_439, "2"),
        row(old, None, 1, 0, "6"),
        row(old, Some(one), 1, 0, "4"),
        row(young, None, 1, 1, "9"),
    ];
    ledger.write_usage(&rows).await.unwrap();
    assert_eq!(ledger.usage(wallet, day * 1_440, (day + 2) * 1_440).await.unwrap().len(), 7);
    let sorted = |mut rows: Vec<UsageWrite>| {
        rows.sort_by_key(|row| (row.minute, row.incarnation, row.app));
        rows
    };
    let want = sorted([&rows[1..4], &rows[4..]].concat());
    let kept = async || sorted(ledger.daily_usage(wallet, day, day + 2).await.unwrap());
    assert_eq!(kept().await, want);

    let mut change = account.change();
    change.header.horizon = NOON;
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);
    for _ in 0..2 {
        ledger.purge(wallet, NOON).await.unwrap();
        assert_eq!(kept().await, want);
    }
    let minutes = ledger.usage(wallet, day * 1_440, (day + 2) * 1_440).await.unwrap();
    assert_eq!(minutes, rows[6..], "the minutes themselves are gone");
    let second = sorted(ledger.daily_usage(wallet, day + 1, day + 2).await.unwrap());
    assert_eq!(second, sorted(rows[4..].to_vec()));
}

/// Rule 6: readers ignore what was born before the horizon, whether it was removed or not, and
/// removing it changes nothing that counts.
pub(crate) async fn below_the_horizon_nothing_is_read_and_all_is_purged<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let mut account = opened(&*ledger).await;
    let wallet = account.header.wallet;
    let (meter, old, at, young) = (
        meter(wallet),
        incarnation(NOON.minus(MILLISECOND)),
        incarnation(NOON),
        incarnation(NOON.plus(MILLISECOND)),
    );
    let mut change = account.change();
    for (index, incarnation) in [old, at, young].into_iter().enumerate() {
        let seq = 1_000 + i64::try_from(index).unwrap();
        report(&*ledger, &[write(meter, incarnation, Live, "5", seq)]).await;
        let hold = HoldWrite { wallet, incarnation, amount: money("1"), seq };
        ledger.write_holds(&[hold]).await.unwrap();
        let (minute, total) = (NOON.0 / 60_000, units("5"));
        let usage = UsageWrite { meter, incarnation, app: None, minute, units: total, seq };
        ledger.write_usage(&[usage]).await.unwrap();
        change.cells.insert((meter, incarnation), Cell { folded: units("5"), cut: None });
    }
    change.header.horizon = NOON;
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);

    let counted = |found: &WalletRead| {
        let registers: Vec<_> = found.registers.keys().map(|(_, born)| *born).collect();
        let holds: Vec<_> = found.holds.keys().copied().collect();
        (registers, holds)
    };
    let before = read(&*ledger, wallet).await;
    assert_eq!(before.account, account);
    assert_eq!(counted(&before), (vec![at, young], vec![at, young]));
    ledger.purge(wallet, NOON).await.unwrap();
    account.cells.remove(&(meter, old));
    ledger.purge(wallet, NOON).await.unwrap();
    let minute = NOON.0 / 60_000;
    let usage = ledger.usage(wallet, minute, minute + 1).await.unwrap();
    let mut used: Vec<_> = usage.into_iter().map(|row| row.incarnation).collect();
    used.sort_unstable();
    assert_eq!(used, [at, young]);
    let after = read(&*backend.another().await, wallet).await;
    assert_eq!(counted(&after), (vec![at, young], vec![at, young]));
    assert_eq!(after.account, account);
}

pub(crate) async fn suspense_rises_and_what_was_counted_keeps_its_first_value<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = opened(&*ledger).await.header.wallet;
    let row = |reason, total: &str, counted: &str| Suspense {
        meter: Meter { wallet, ..meter(wallet) },
        incarnation: incarnation(NOON),
        reason,
        units: units(total),
        counted: units(counted),
    };
    let fenced = row(SuspenseReason::Fence, "10", "4");
    let more = Suspense { units: units("12"), counted: units("6"), ..fenced };
    let multiplied = Suspense { reason: SuspenseReason::Multiplier, ..row_of(fenced, "3") };
    ledger.write_suspense(&[fenced, multiplied]).await.unwrap();
    ledger.write_suspense(&[more]).await.unwrap();
    ledger.write_suspense(&[Suspense { units: units("11"), ..more }]).await.unwrap();

    let mut found = ledger.suspense(wallet).await.unwrap();
    found.sort_by_key(Suspense::key);
    assert_eq!(found, [Suspense { units: units("12"), ..fenced }, multiplied]);
    assert!(read(&*ledger, wallet).await.registers.is_empty(), "suspense does not count");
}

fn row_of(suspense: Suspense, total: &str) -> Suspense {
    Suspense { units: units(total), counted: Units::ZERO, ..suspense }
}

/// Rule 6: the service assigns a birth once; whoever asks again hears the first.
pub(crate) async fn an_incarnation_keeps_its_first_birth_and_its_end<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let id = uuid::Uuid::new_v4();
    let (first, second) = tokio::join!(
        ledger.register_incarnation(id, "gateway-1", NOON),
        ledger.register_incarnation(id, "gateway-1", NOON.plus(MILLISECOND)),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first, second);
    let later = NOON.plus(MILLISECOND * 9);
    let again = backend.another().await.register_incarnation(id, "gateway-1", later).await;
    assert_eq!(again.unwrap(), first);

    let mut registration = Registration {
        incarnation: first,
        gateway: "gateway-1".to_owned(),
        ended_at: None,
        retired_at: None,
    };
    let ours = |all: Vec<Registration>| all.into_iter().find(|row| row.incarnation.id == id);
    assert_eq!(ours(ledger.registrations().await.unwrap()), Some(registration.clone()));
    registration.ended_at = Some(later);
    ledger.end_incarnation(&registration).await.unwrap();
    assert_eq!(ours(ledger.registrations().await.unwrap()), Some(registration.clone()));
    registration.retired_at = Some(later);
    ledger.end_incarnation(&registration).await.unwrap();
    assert_eq!(ours(ledger.registrations().await.unwrap()), Some(registration));
}
