//! Rules 4, 5 and 6 through the book: folds, checkpoints, horizon, suspense, each under faults.

use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::RegisterCell::{Live, Recovered};
use tollgate_ledger_store::book::{HORIZON_AGE, PURGE_DELAY};
use tollgate_ledger_store::ledger::Suspense;
use tollgate_ledger_store::{Book, BookError, Ledger};
use tollgate_metering::account::MeterTotals;
use tollgate_metering::balance::PERIOD_GRACE;
use tollgate_metering::booking::{BookingError, Resolution};
use tollgate_metering::{
    BillingType, DeveloperId, EntryKind, Incarnation, Meter, Money, SuspenseReason, Units, WalletId,
};
use uuid::Uuid;

use super::Backend;
use crate::fault::{Fault, Faulty};
use crate::fixtures::{
    NOON, Prices, TestClock, book, book_at, booking, incarnation, meter, money, read, report,
    units, write,
};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A wallet with a credit of 100; every unit costs 1.
async fn funded(ledger: &Arc<dyn Ledger>) -> WalletId {
    let (book, developer) = (book(Arc::clone(ledger)), DeveloperId(Uuid::new_v4()));
    let eur = "EUR".parse().unwrap();
    let booked = book.credit("acme", developer, eur, &booking("t-1"), money("100")).await.unwrap();
    booked.entry.wallet
}

async fn balance(book: &Book, wallet: WalletId) -> Money {
    book.standing(wallet).await.unwrap().balance
}

/// Rule 4: folding deletes nothing, so repeating it and a zombie are harmless.
pub(crate) async fn folding_deletes_nothing_and_a_zombies_later_report_counts<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = funded(&ledger).await;
    let book = book(Arc::clone(&ledger));
    let (meter, dead, alive) = (meter(wallet), incarnation(NOON), incarnation(NOON));
    report(&*ledger, &[write(meter, dead, Live, "7", 1_000)]).await;
    report(&*ledger, &[write(meter, alive, Live, "5", 1_000)]).await;
    let is_dead = |incarnation: Incarnation| incarnation == dead;
    assert_eq!(book.fold_dead(wallet, is_dead).await.unwrap(), 1);
    assert_eq!(book.fold_dead(wallet, is_dead).await.unwrap(), 0);
    let found = read(&*ledger, wallet).await;
    assert_eq!(found.registers[&(meter, dead)].units(), units("7"));
    assert_eq!(found.account.meters[&meter].settled_units, units("7"));
    assert_eq!(balance(&book, wallet).await, money("88"));

    // The zombie's old report arrives again, then a larger one, then its spend file is found.
    report(&*ledger, &[write(meter, dead, Live, "6", 900)]).await;
    assert_eq!(balance(&book, wallet).await, money("88"));
    report(&*ledger, &[write(meter, dead, Live, "9", 2_000)]).await;
    report(&*ledger, &[write(meter, dead, Recovered, "8", 3_000)]).await;
    assert_eq!(balance(&book, wallet).await, money("86"));
    assert_eq!(book.fold_dead(wallet, is_dead).await.unwrap(), 1);
    assert_eq!(balance(&book, wallet).await, money("86"));
    assert_eq!(read(&*ledger, wallet).await.account.meters[&meter].settled_units, units("9"));
}

/// Rule 4: two nodes fold the same incarnations at the same time, and one of them loses answers.
pub(crate) async fn repeated_folds_of_two_nodes_move_each_unit_once<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = funded(&ledger).await;
    let meter = meter(wallet);
    let rows: Vec<_> =
        (0..70).map(|_| write(meter, incarnation(NOON), Live, "0.5", 1_000)).collect();
    report(&*ledger, &rows).await;
    let faults = [Fault::AnswerLost, Fault::RequestLost, Fault::Delayed];
    let (one, two) =
        (book(Faulty::new(Arc::clone(&ledger), faults)), book(backend.another().await));
    let (first, second) =
        tokio::join!(one.fold_dead(wallet, |_| true), two.fold_dead(wallet, |_| true));
    first.unwrap();
    second.unwrap();
    let found = read(&*ledger, wallet).await.account;
    assert_eq!(found.meters[&meter].settled_units, units("35"));
    assert_eq!(found.cells.len(), 70);
    assert_eq!(balance(&one, wallet).await, money("65"));
}

/// Rule 5: a period is closed by numbered checkpoints; late units cost what they would have cost
/// in time, and a repetition after a lost answer moves nothing twice.
pub(crate) async fn late_usage_is_the_next_checkpoint_of_its_meter<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = funded(&ledger).await;
    let faulty = book(Faulty::new(Arc::clone(&ledger), [Fault::AnswerLost]));
    let book = book(Arc::clone(&ledger));
    let (meter, by) = (meter(wallet), incarnation(NOON));
    report(&*ledger, &[write(meter, by, Live, "7", 1_000)]).await;
    faulty.close_period(wallet, meter.period, "closing").await.unwrap();
    assert_eq!(book.close_period(wallet, meter.period, "closing").await.unwrap(), 0);
    report(&*ledger, &[write(meter, by, Live, "7.5", 2_000)]).await;
    assert_eq!(balance(&book, wallet).await, money("92.5"));
    let (one, two) = tokio::join!(
        book.close_period(wallet, meter.period, "closing"),
        faulty.close_period(wallet, meter.period, "closing"),
    );
    assert_eq!(one.unwrap() + two.unwrap(), 1);

    let account = read(&*ledger, wallet).await.account;
    let entries = ledger.entries(account.header.developer, Some("checkpoint:"), 10).await.unwrap();
    let checkpoints: Vec<_> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Checkpoint)
        .map(|entry| (entry.id.clone(), entry.amount, entry.units))
        .collect();
    let id = |number| format!("checkpoint:{meter}/{number}");
    let want = [(id(1), money("7"), units("7")), (id(2), money("0.5"), units("7.5"))];
    assert_eq!(checkpoints, want);
    assert_eq!(account.header.settled, money("7.5"));
    assert_eq!(balance(&book, wallet).await, money("92.5"));
}

/// Rule 5: late units of an earlier revision use up what made a later one dear.
pub(crate) async fn late_usage_can_lower_what_was_closed<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = funded(&ledger).await;
    let prices = Prices::flat("0.5").with_revision(2, &[("5", "4"), ("", "1")]);
    let book = book_at(Arc::clone(&ledger), prices, Arc::new(TestClock::at(NOON)));
    let (first, by) = (meter(wallet), incarnation(NOON));
    let second = Meter { revision: 2, ..first };
    report(&*ledger, &[write(second, by, Live, "5", 1_000)]).await;
    book.close_period(wallet, first.period, "closing").await.unwrap();
    assert_eq!(read(&*ledger, wallet).await.account.header.settled, money("20"));
    report(&*ledger, &[write(first, by, Live, "5", 2_000)]).await;
    assert_eq!(balance(&book, wallet).await, money("92.5"));
    book.close_period(wallet, first.period, "closing").await.unwrap();
    let account = read(&*ledger, wallet).await.account;
    assert_eq!(account.header.settled, money("7.5"));
    assert_eq!(account.meters[&second].closed_charge, money("5"));
    assert_eq!(balance(&book, wallet).await, money("92.5"));
}

/// Postpaid meters are closed for their invoice and stand outside the balance.
pub(crate) async fn a_postpaid_checkpoint_leaves_the_balance_alone<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = funded(&ledger).await;
    let book = book(Arc::clone(&ledger));
    let postpaid = Meter { billing: BillingType::Postpaid, ..meter(wallet) };
    report(&*ledger, &[write(postpaid, incarnation(NOON), Live, "7", 1_000)]).await;
    book.close_period(wallet, postpaid.period, "closing").await.unwrap();
    let account = read(&*ledger, wallet).await.account;
    assert_eq!(account.header.settled, Money::ZERO);
    assert_eq!(account.meters[&postpaid].closed_charge, money("7"));
    assert_eq!(balance(&book, wallet).await, money("100"));
}

/// What was let through in shadow mode goes the way of all units, and leaves the balance alone.
pub(crate) async fn shadow_units_are_folded_closed_and_kept_and_never_paid<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = funded(&ledger).await;
    let shadow = Meter { billing: BillingType::Shadow, ..meter(wallet) };
    let refused = Meter { billing: BillingType::ShadowRefused, ..shadow };
    let by = incarnation(NOON);
    let rows = [write(shadow, by, Live, "7", 1_000), write(refused, by, Live, "50", 1_000)];
    report(&*ledger, &rows).await;
    let found = read(&*ledger, wallet).await.registers;
    assert_eq!((found[&(shadow, by)].live, found[&(refused, by)].live), (units("7"), units("50")));
    let horizon = shadow.period.end().plus(PERIOD_GRACE);
    let clock = Arc::new(TestClock::at(horizon.plus(HORIZON_AGE)));
    let book = book_at(Arc::clone(&ledger), Prices::flat("1"), clock);
    assert_eq!(balance(&book, wallet).await, money("100"));
    book.fold_dead(wallet, |incarnation| incarnation.born < horizon).await.unwrap();
    book.close_period(wallet, shadow.period, "closing").await.unwrap();
    assert!(book.raise_horizon(wallet, horizon).await.unwrap());
    let account = read(&*backend.another().await, wallet).await.account;
    let kept = |meter| {
        let totals: &MeterTotals = &account.meters[meter];
        (totals.settled_units, totals.closed_charge)
    };
    assert_eq!(kept(&shadow), (units("7"), money("7")));
    assert_eq!(kept(&refused), (units("50"), Money::ZERO));
    assert_eq!(account.header.settled, Money::ZERO);
    assert_eq!(balance(&book, wallet).await, money("100"));
    let entries = ledger.entries(account.header.developer, None, 100).await.unwrap();
    let noted = entries.iter().filter(|entry| entry.kind == EntryKind::ShadowCheckpoint);
    assert_eq!(noted.map(|entry| entry.amount).collect::<Vec<_>>(), [money("7")]);
}

/// Rule 6: the horizon waits for what would be lost, then the past is removed an hour later and
/// the balance has not moved.
pub(crate) async fn the_horizon_refuses_what_is_unfolded_or_unclosed_then_the_past_goes<
    B: Backend,
>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = funded(&ledger).await;
    let (meter, old) = (meter(wallet), incarnation(NOON));
    report(&*ledger, &[write(meter, old, Live, "7", 1_000)]).await;
    let horizon = meter.period.end().plus(PERIOD_GRACE);
    let clock = Arc::new(TestClock::at(horizon.plus(HORIZON_AGE)));
    let book = book_at(Arc::clone(&ledger), Prices::flat("1"), clock.clone());
    let refused = book.raise_horizon(wallet, horizon).await.unwrap_err();
    assert!(matches!(refused, BookError::Refused(BookingError::Unfolded { .. })), "{refused}");
    book.fold_dead(wallet, |incarnation| incarnation.born < horizon).await.unwrap();
    let refused = book.raise_horizon(wallet, horizon).await.unwrap_err();
    assert!(matches!(refused, BookError::Refused(BookingError::Unclosed { .. })), "{refused}");
    book.close_period(wallet, meter.period, "closing").await.unwrap();
    assert!(book.raise_horizon(wallet, horizon).await.unwrap());
    assert!(!book.raise_horizon(wallet, horizon).await.unwrap());
    assert_eq!(balance(&book, wallet).await, money("93"));
    assert!(read(&*ledger, wallet).await.registers.is_empty());

    clock.set(horizon.plus(HORIZON_AGE + PURGE_DELAY));
    book.purge(wallet).await.unwrap();
    let found = read(&*ledger, wallet).await;
    assert!(found.registers.is_empty() && found.account.cells.is_empty());
    assert_eq!(balance(&book, wallet).await, money("93"));
}

/// Housekeeping that was late by more than an hour raised the horizon and removed what lay behind
/// it at once: a read that had met the account just before the fold missed those units.
pub(crate) async fn what_the_horizon_leaves_behind_stays_for_an_hour_however_late_it_rises<
    B: Backend,
>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = funded(&ledger).await;
    report(&*ledger, &[write(meter(wallet), incarnation(NOON), Live, "7", 1_000)]).await;
    let late = NOON.plus(HORIZON_AGE + PURGE_DELAY * 5);
    let clock = Arc::new(TestClock::at(late));
    let book = book_at(Arc::clone(&ledger), Prices::flat("1"), clock.clone());
    book.advance_horizon(wallet, "upkeep").await.unwrap();
    let account = read(&*ledger, wallet).await.account;
    assert!(account.has_rows_behind_horizon(), "{account:?}");

    // Nor does a younger row raise it past them.
    let young = incarnation(NOON.plus(PURGE_DELAY * 5));
    report(&*ledger, &[write(meter(wallet), young, Live, "1", 2_000)]).await;
    clock.set(late.plus(PURGE_DELAY - MILLISECOND));
    book.advance_horizon(wallet, "upkeep").await.unwrap();
    let found = read(&*ledger, wallet).await.account;
    assert_eq!(found.header.horizon, account.header.horizon);
    assert!(found.has_rows_behind_horizon());

    clock.set(late.plus(PURGE_DELAY));
    book.advance_horizon(wallet, "upkeep").await.unwrap();
    assert!(!read(&*ledger, wallet).await.account.has_rows_behind_horizon());
    assert_eq!(balance(&book, wallet).await, money("92"));
}

/// What a node does for every wallet from time to time, in one call.
pub(crate) async fn a_wallets_past_is_folded_closed_and_removed_by_its_age<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = funded(&ledger).await;
    let (meter, old) = (meter(wallet), incarnation(NOON));
    let young = incarnation(NOON.plus(HORIZON_AGE));
    let next = Meter { period: tollgate_metering::time::Period::of(young.born), ..meter };
    report(&*ledger, &[write(meter, old, Live, "7", 1_000)]).await;
    report(&*ledger, &[write(next, young, Live, "2", 2_000)]).await;
    let clock = Arc::new(TestClock::at(NOON.plus(HORIZON_AGE)));
    let book = book_at(Arc::clone(&ledger), Prices::flat("1"), clock.clone());
    let version = read(&*ledger, wallet).await.account.header.version;
    book.advance_horizon(wallet, "upkeep").await.unwrap();
    let found = read(&*ledger, wallet).await;
    assert_eq!(found.account.header.version, version, "nothing is old enough yet");
    assert_eq!(found.registers.len(), 2);

    clock.set(NOON.plus(HORIZON_AGE + MILLISECOND));
    book.advance_horizon(wallet, "upkeep").await.unwrap();
    let found = read(&*ledger, wallet).await;
    assert_eq!(found.registers.keys().map(|(_, by)| *by).collect::<Vec<_>>(), [young]);
    assert_eq!(found.account.meters[&meter].settled_units, units("7"));
    assert_eq!(balance(&book, wallet).await, money("91"));
    let version = found.account.header.version;
    book.advance_horizon(wallet, "upkeep").await.unwrap();
    assert_eq!(read(&*ledger, wallet).await.account.header.version, version);
}

/// Rule 6: suspense is charged or written off once, whoever asks how often.
pub(crate) async fn suspense_is_resolved_once<B: Backend>() {
    let backend = B::fresh().await;
    let ledger = backend.ledger();
    let wallet = funded(&ledger).await;
    let (meter, fenced) = (meter(wallet), incarnation(NOON));
    report(&*ledger, &[write(meter, fenced, Live, "4", 1_000)]).await;
    let row = Suspense {
        meter,
        incarnation: fenced,
        reason: SuspenseReason::Fence,
        units: units("10"),
        counted: units("4"),
    };
    ledger.write_suspense(&[row]).await.unwrap();
    let nodes = [book(Arc::clone(&ledger)), book(backend.another().await)];
    let ask = |book: usize, id: &'static str, some: Option<&str>, resolution| {
        let some: Option<Units> = some.map(units);
        let book = &nodes[book];
        async move { book.resolve_suspense(wallet, &booking(id), row.key(), some, resolution).await }
    };
    let open = |book: usize| {
        let book = &nodes[book];
        async move { book.suspense(wallet).await.unwrap()[0].open }
    };
    assert_eq!(open(0).await, units("6"));
    let (one, two) = tokio::join!(
        ask(0, "s-1", Some("5"), Resolution::Charge),
        ask(1, "s-2", Some("5"), Resolution::Charge),
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1, "{one:?} {two:?}");
    assert_eq!(balance(&nodes[0], wallet).await, money("91"));
    let again = if one.is_ok() { "s-1" } else { "s-2" };
    let repeated = ask(1, again, Some("5"), Resolution::Charge).await.unwrap();
    assert!(repeated.is_repeated);
    let other = ask(1, again, Some("1"), Resolution::Charge).await;
    assert!(matches!(other, Err(BookError::Conflict { .. })), "{other:?}");

    assert_eq!(open(1).await, units("1"));
    let rest = ask(0, "s-3", None, Resolution::WriteOff).await.unwrap();
    assert_eq!((rest.entry.kind, rest.entry.units), (EntryKind::SuspenseWriteOff, units("1")));
    assert_eq!(open(0).await, Units::ZERO);
    assert!(ask(0, "s-3", None, Resolution::WriteOff).await.unwrap().is_repeated);
    let refused = ask(0, "s-4", None, Resolution::Charge).await;
    assert!(matches!(refused, Err(BookError::Refused(BookingError::Suspense { .. }))));
    assert_eq!(balance(&nodes[1], wallet).await, money("91"));
}
