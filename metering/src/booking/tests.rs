//! Planners against their rules, and against a plain model that never folds or closes anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::account::{Ceiling, SuspenseKey, SuspenseReason};
use crate::balance::PERIOD_GRACE;
use crate::id::{DeveloperId, PlanId, ProductId, WalletId};
use crate::meter::{BillingType, Register};
use crate::rating::{Band, Rates};
use crate::time::Period;

mod model;
mod shadow;
mod switches;

const NOON: UnixMillis = UnixMillis(1_795_348_800_000);
const WALLET: WalletId = WalletId(Uuid::from_u128(1));

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn units(text: &str) -> Units {
    text.parse().unwrap()
}

fn incarnation(number: u128, born: UnixMillis) -> Incarnation {
    Incarnation { born, id: Uuid::from_u128(number) }
}

fn meter(billing: BillingType, revision: u32) -> Meter {
    Meter {
        wallet: WALLET,
        product: ProductId(Uuid::from_u128(2)),
        plan: PlanId(Uuid::from_u128(3)),
        billing,
        period: Period::of(NOON),
        revision,
    }
}

/// Ten units free, then 1.5; a price edit makes it 1 and 10, another 2.25 flat.
fn rates() -> RateBook {
    let banded = |price: &str, free: &str| {
        let free = Band { up_to: Some(units(free)), price: Money::ZERO };
        Rates::banded(vec![free, Band { up_to: None, price: money(price) }]).unwrap()
    };
    let plan = PlanId(Uuid::from_u128(3));
    let mut rates = RateBook::default();
    rates.add(plan, 1, Arc::new(banded("1.5", "10")));
    rates.add(plan, 2, Arc::new(banded("1", "10")));
    rates.add(plan, 3, Arc::new(Rates::flat(money("2.25")).unwrap()));
    rates
}

fn booking(id: &str) -> Booking {
    let (by, reason) = ("test".to_owned(), "because".to_owned());
    Booking { id: id.to_owned(), at: NOON, by, reason, is_forced: false }
}

fn opened() -> Account {
    let developer = DeveloperId(Uuid::from_u128(4));
    let eur = "EUR".parse().unwrap();
    let mut account = Account::unopened(WALLET, "acme", developer, eur, 1, NOON);
    let change = open(&account).unwrap();
    account.apply(&change);
    account
}

fn credited(amount: &str) -> Account {
    let mut account = opened();
    let none = Registers::new();
    let change = credit(&account, &none, &rates(), &booking("c"), money(amount)).unwrap();
    account.apply(&change);
    account
}

fn registers(rows: &[(Meter, Incarnation, &str)]) -> Registers {
    let register = |text: &str| Register { live: units(text), recovered: Units::ZERO };
    rows.iter().map(|(meter, by, text)| ((*meter, *by), register(text))).collect()
}

fn balance(account: &Account, registers: &Registers) -> Money {
    account.balance(registers, &rates()).unwrap()
}

#[test]
fn a_credit_pays_the_debt_first_and_says_what_is_left() {
    let account = opened();
    let meter = meter(BillingType::Prepaid, 1);
    let registers = registers(&[(meter, incarnation(9, NOON), "12")]);
    assert_eq!(balance(&account, &registers), money("-3"));
    let change = credit(&account, &registers, &rates(), &booking("t-1"), money("10")).unwrap();
    assert_eq!(change.header.credited, money("10"));
    assert_eq!(change.header.balance_at_last_credit, money("7"));
    assert_eq!(change.header.last_credit_at, Some(NOON));
    let [entry] = &change.entries[..] else { panic!("one entry") };
    assert_eq!((entry.id.as_str(), entry.kind), ("credit:t-1", EntryKind::Credit));
    assert_eq!((entry.amount, entry.balance_after), (money("10"), money("7")));
}

fn buy(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    amounts: &[&str],
    billing: BillingType,
) -> Result<Change, BookingError> {
    let fees = amounts.iter().enumerate().map(|(number, amount)| Fee {
        id: format!("f/{number}"),
        amount: money(amount),
        reason: String::new(),
    });
    purchase(account, registers, rates, &booking("all"), &fees.collect::<Vec<_>>(), billing)
}

#[test]
fn the_fees_of_a_purchase_are_booked_together_or_not_at_all() {
    let (account, rates, none) = (credited("10"), rates(), Registers::new());
    let change = buy(&account, &none, &rates, &["4", "6"], BillingType::Prepaid).unwrap();
    assert_eq!(change.header.settled, money("10"));
    let booked: Vec<_> = change.entries.iter().map(|e| (e.id.as_str(), e.balance_after)).collect();
    assert_eq!(booked, [("fee:f/0", money("6")), ("fee:f/1", Money::ZERO)]);
    let refused = buy(&account, &none, &rates, &["4", "6.01"], BillingType::Prepaid).unwrap_err();
    let (balance, needed) = (money("10"), money("10.01"));
    assert_eq!(refused, BookingError::NotCovered { balance, needed });

    let change = buy(&account, &none, &rates, &["4", "60"], BillingType::Postpaid).unwrap();
    assert_eq!(change.header.settled, Money::ZERO);
    let booked = change.entries.iter().map(|e| (e.kind, e.id.as_str(), e.balance_after));
    let kind = EntryKind::PostpaidFee;
    assert_eq!(
        booked.collect::<Vec<_>>(),
        [(kind, "fee:f/0", balance), (kind, "fee:f/1", balance)]
    );
}

#[test]
fn fees_ask_what_is_reserved_whoever_pays_them() {
    let (mut account, rates, none) = (credited("10"), rates(), Registers::new());
    account.header.mode.overspend = Overspend::Strict;
    let draw = money("4");
    let ceiling = Ceiling { draw, most: draw, is_retired: false, ..Ceiling::RETIRED };
    account.ceilings.insert(incarnation(1, NOON), ceiling);
    let is_refused = |amount| {
        let refused = buy(&account, &none, &rates, &[amount], BillingType::Prepaid);
        matches!(refused, Err(BookingError::Reserved { .. }))
    };
    assert_eq!((is_refused("6"), is_refused("6.000000001")), (false, true));
    assert!(buy(&account, &none, &rates, &["60"], BillingType::Postpaid).is_ok());
    let mut asked = booking("1/EUR");
    let refused = transfer(&account, &none, &rates, &asked).unwrap_err();
    assert!(matches!(refused, BookingError::Reserved { .. }), "{refused}");
    asked.is_forced = true;
    let change = transfer(&account, &none, &rates, &asked).unwrap();
    assert_eq!((change.entries[0].amount, change.entries[0].is_forced), (money("10"), true));
}

#[test]
fn a_transfer_takes_what_is_left_and_leaves_a_debt() {
    let (account, rates) = (credited("10"), rates());
    let transferred = |used: &str| {
        let registers = registers(&[(meter(BillingType::Prepaid, 1), incarnation(9, NOON), used)]);
        let change = transfer(&account, &registers, &rates, &booking("1/EUR")).unwrap();
        let [entry] = &change.entries[..] else { panic!("one entry") };
        (entry.amount.to_string(), entry.balance_after.to_string())
    };
    assert_eq!(transferred("12"), ("7".to_owned(), "0".to_owned()));
    assert_eq!(transferred("20"), ("0".to_owned(), "-5".to_owned()));
}

#[test]
fn a_purchase_is_covered_by_the_balance_and_not_by_an_overdraft() {
    let (mut account, rates) = (credited("10"), rates());
    account.header.overdraft_limit = money("100");
    let registers = registers(&[(meter(BillingType::Prepaid, 1), incarnation(9, NOON), "12")]);
    let fee = |amount: &str| buy(&account, &registers, &rates, &[amount], BillingType::Prepaid);
    assert_eq!(fee("7").unwrap().header.settled, money("7"));
    let needed = money("7.000000001");
    let refused = BookingError::NotCovered { balance: money("7"), needed };
    assert_eq!(fee("7.000000001").unwrap_err(), refused);
}

#[test]
fn what_cannot_be_booked_is_refused() {
    let (account, none, rates) = (credited("100"), Registers::new(), rates());
    let mut sealed = account.clone();
    sealed.apply(&seal(&account).unwrap());
    assert_eq!(seal(&sealed), None);
    let mut full = account.clone();
    full.header.credited = Money::MAX;
    let b = booking("x");
    let credit = |account: &Account, amount: Money| {
        credit(account, &none, &rates, &b, amount).map(|_| ()).unwrap_err()
    };
    let adjust = |account: &Account, amount: Money, cap| {
        adjustment(account, &none, &rates, &b, amount, cap).map(|_| ())
    };
    let fee = |account: &Account, amount: Money| {
        fee(account, &none, &rates, &b, amount).map(|_| ()).unwrap_err()
    };
    let (one, zero, minus) = (money("1"), Money::ZERO, money("-1"));
    assert_eq!(credit(&account, zero), BookingError::NotPositive(zero));
    assert_eq!(credit(&account, minus), BookingError::NotPositive(minus));
    assert_eq!(credit(&sealed, one), BookingError::Sealed);
    assert_eq!(credit(&full, one), MoneyError::OutOfRange.into());
    assert_eq!(fee(&account, minus), BookingError::NotPositive(minus));
    assert_eq!(fee(&sealed, one), BookingError::Sealed);
    let none_cap = AdjustmentCap::None;
    assert_eq!(adjust(&account, zero, none_cap), Err(BookingError::Zero));
    assert_eq!(adjust(&sealed, minus, none_cap), Err(BookingError::Sealed));
    assert_eq!(adjust(&account, Money::MIN, none_cap), Err(MoneyError::OutOfRange.into()));
    let limit = |account: &Account, limit| {
        overdraft_limit(account, &Registers::new(), &RateBook::default(), &b, limit)
    };
    assert_eq!(limit(&account, minus), Err(BookingError::NegativeLimit(minus)));
    assert_eq!(limit(&sealed, one), Err(BookingError::Sealed));
    assert_eq!(limit(&account, zero), Ok(None));
    assert_eq!(open(&account), Err(BookingError::IsOpen));
    let long = Booking { id: "x".repeat(201), ..b.clone() };
    let refused = super::credit(&account, &none, &rates, &long, one).unwrap_err();
    assert_eq!(refused, BookingError::Text { field: "id", bytes: 201, min: 1, max: 200 });
}

#[test]
fn an_adjustment_lowers_by_a_positive_amount_and_may_be_capped_at_the_last_credit() {
    let (mut account, none) = (credited("100"), Registers::new());
    let down =
        adjustment(&account, &none, &rates(), &booking("a"), money("10"), AdjustmentCap::None);
    account.apply(&down.unwrap());
    assert_eq!(balance(&account, &none), money("90"));
    let up = |amount: &str, cap| {
        adjustment(&account, &none, &rates(), &booking("b"), money(amount), cap)
    };
    let change = up("-10", AdjustmentCap::LastCredit).unwrap();
    assert_eq!(change.entries[0].balance_after, money("100"));
    assert_eq!(change.header.last_credit_at, account.header.last_credit_at);
    let refused = up("-10.000000001", AdjustmentCap::LastCredit).unwrap_err();
    let (balance, cap) = (money("100.000000001"), money("100"));
    assert_eq!(refused, BookingError::AboveLastCredit { balance, cap });
    assert!(up("-50.1", AdjustmentCap::None).is_ok());
}

/// Rule 4.
#[test]
fn folding_moves_units_once_and_a_zombies_later_report_counts() {
    let mut account = credited("100");
    let (dead, alive) = (incarnation(8, NOON), incarnation(9, NOON));
    let meter = meter(BillingType::Prepaid, 1);
    let mut now = registers(&[(meter, dead, "7"), (meter, alive, "5")]);
    let before = balance(&account, &now);
    let change = fold(&account, &now, |incarnation| incarnation == dead).unwrap().unwrap();
    account.apply(&change);
    assert_eq!(account.meters[&meter].settled_units, units("7"));
    assert_eq!(account.cells[&(meter, dead)].folded, units("7"));
    assert!(!account.cells.contains_key(&(meter, alive)));
    assert_eq!(balance(&account, &now), before);
    assert_eq!(fold(&account, &now, |incarnation| incarnation == dead), Ok(None));

    now.insert((meter, dead), Register { live: units("7"), recovered: units("9") });
    assert_eq!(balance(&account, &now), before.minus(money("3")).unwrap());
    let change = fold(&account, &now, |incarnation| incarnation == dead).unwrap().unwrap();
    assert_eq!(change.cells[&(meter, dead)].folded, units("9"));
    assert_eq!(change.meters[&meter].settled_units, units("9"));
}

#[test]
fn a_long_fold_goes_in_slices() {
    let mut account = credited("100");
    let meter = meter(BillingType::Prepaid, 1);
    let rows: Vec<_> = (10..80).map(|number| (meter, incarnation(number, NOON), "1")).collect();
    let now = registers(&rows);
    let mut slices = Vec::new();
    while let Some(change) = fold(&account, &now, |_| true).unwrap() {
        slices.push(change.cells.len());
        account.apply(&change);
        assert_eq!(balance(&account, &now), money("10"));
    }
    assert_eq!(slices, [32, 32, 6]);
}

/// Rule 5.
#[test]
fn closing_moves_the_charge_once_and_late_units_cost_what_they_would_have_cost_in_time() {
    let mut account = credited("100");
    let (first, third) = (meter(BillingType::Prepaid, 1), meter(BillingType::Prepaid, 3));
    let by = incarnation(9, NOON);
    let mut now = registers(&[(first, by, "12"), (third, by, "2")]);
    let before = balance(&account, &now);
    let close = |account: &Account, now: &Registers| {
        checkpoint(account, now, &rates(), Period::of(NOON), NOON, "closing").unwrap()
    };
    let change = close(&account, &now).unwrap();
    assert_eq!(change.header.settled, money("7.5"));
    let ids: Vec<_> = change.entries.iter().map(|entry| entry.id.clone()).collect();
    assert_eq!(ids, [format!("checkpoint:{first}/1"), format!("checkpoint:{third}/1")]);
    assert!(change.entries.iter().all(|entry| entry.balance_after == before));
    assert_eq!((change.entries[0].meter, change.entries[0].units), (Some(first), units("12")));
    account.apply(&change);
    assert_eq!(balance(&account, &now), before);
    assert_eq!(close(&account, &now), None);

    now.insert((first, by), Register { live: units("14"), recovered: Units::ZERO });
    let late = balance(&account, &now);
    assert_eq!(late, before.minus(money("3")).unwrap());
    let change = close(&account, &now).unwrap();
    let [entry] = &change.entries[..] else { panic!("one meter changed") };
    assert_eq!((entry.id.clone(), entry.amount), (format!("checkpoint:{first}/2"), money("3")));
    account.apply(&change);
    assert_eq!(balance(&account, &now), late);
    assert_eq!(account.meters[&first].checkpoints, 2);
}

/// Rule 5: late units of a dear early revision push a free tier's end into it, so that the later
/// revision's own share can shrink.
#[test]
fn a_checkpoint_can_be_negative() {
    let mut account = credited("100");
    let plan = PlanId(Uuid::from_u128(3));
    let mut rates = RateBook::default();
    let dear_at_first = vec![
        Band { up_to: Some(units("5")), price: money("4") },
        Band { up_to: None, price: money("1") },
    ];
    rates.add(plan, 1, Arc::new(Rates::flat(money("0.5")).unwrap()));
    rates.add(plan, 2, Arc::new(Rates::banded(dear_at_first).unwrap()));
    let (first, second) = (meter(BillingType::Prepaid, 1), meter(BillingType::Prepaid, 2));
    let by = incarnation(9, NOON);
    let mut now = registers(&[(second, by, "5")]);
    let close = |account: &Account, now: &Registers| {
        checkpoint(account, now, &rates, Period::of(NOON), NOON, "closing").unwrap().unwrap()
    };
    let change = close(&account, &now);
    assert_eq!(change.header.settled, money("20"));
    account.apply(&change);
    now.insert((first, by), Register { live: units("5"), recovered: Units::ZERO });
    let change = close(&account, &now);
    let amounts: Vec<_> = change.entries.iter().map(|entry| entry.amount).collect();
    assert_eq!(amounts, [money("2.5"), money("-15")]);
    assert_eq!(change.header.settled, money("7.5"));
    assert_eq!(change.entries[0].balance_after, money("92.5"));
}

#[test]
fn a_postpaid_meter_is_closed_for_its_invoice_and_never_touches_the_balance() {
    let mut account = credited("100");
    let meter = meter(BillingType::Postpaid, 3);
    let now = registers(&[(meter, incarnation(9, NOON), "4")]);
    let close = |account: &Account| {
        checkpoint(account, &now, &rates(), Period::of(NOON), NOON, "closing").unwrap()
    };
    let change = close(&account).unwrap();
    let [entry] = &change.entries[..] else { panic!("one entry") };
    assert_eq!((entry.kind, entry.amount), (EntryKind::PostpaidCheckpoint, money("9")));
    assert_eq!(entry.balance_after, money("100"));
    account.apply(&change);
    assert_eq!(account.header.settled, Money::ZERO);
    assert_eq!(account.meters[&meter].closed_charge, money("9"));
    assert_eq!(balance(&account, &now), money("100"));
    assert_eq!(close(&account), None);
}

/// Rule 6.
#[test]
fn the_horizon_waits_for_what_is_unfolded_or_unclosed() {
    let mut account = credited("100");
    let meter = meter(BillingType::Prepaid, 1);
    let (old, late) = (incarnation(8, NOON), incarnation(9, NOON));
    let mut now = registers(&[(meter, old, "12"), (meter, late, "3")]);
    let past = meter.period.end().plus(PERIOD_GRACE);
    let raise = |account: &Account, now: &Registers, horizon| {
        raise_horizon(account, now, &rates(), horizon)
    };
    let horizon = NOON.plus(Duration::from_millis(1));
    let unfolded = BookingError::Unfolded { meter, incarnation: old, units: units("12") };
    assert_eq!(raise(&account, &now, horizon), Err(unfolded));
    assert!(raise(&account, &now, NOON).is_ok(), "nobody was born before noon");
    account.apply(&fold(&account, &now, |_| true).unwrap().unwrap());
    assert!(raise(&account, &now, horizon).is_ok(), "the period still counts");
    assert!(raise(&account, &now, UnixMillis(past.0 - 1)).is_ok());
    let (charge, closed) = (money("7.5"), Money::ZERO);
    let unclosed = Err(BookingError::Unclosed { meter, charge, closed });
    assert_eq!(raise(&account, &now, past), unclosed);
    let closing = checkpoint(&account, &now, &rates(), meter.period, NOON, "closing");
    account.apply(&closing.unwrap().unwrap());
    let before = balance(&account, &now);
    account.apply(&raise(&account, &now, past).unwrap());
    assert_eq!(balance(&account, &now), before);
    now.clear();
    assert_eq!(balance(&account, &now), before);
    let stays = BookingError::HorizonNotAhead(past);
    assert_eq!(raise(&account, &now, past), Err(stays));
}

#[test]
fn the_horizon_takes_grants_with_it_as_far_as_a_batch_has_room() {
    let mut account = credited("100");
    let counts =
        [(30_u128, Ceiling { is_retired: false, ..Ceiling::RETIRED }), (50, Ceiling::RETIRED)];
    for (first, (count, ceiling)) in counts.into_iter().enumerate() {
        let ids = (0..count).map(|each| incarnation(1_000 * first as u128 + each, NOON));
        account.ceilings.extend(ids.map(|incarnation| (incarnation, ceiling)));
    }
    let late = incarnation(9_999, NOON.plus(Duration::from_secs(1)));
    account.ceilings.insert(late, Ceiling::RETIRED);
    let none = Registers::new();
    let mut left = Vec::new();
    for ms in 1..=4 {
        let horizon = NOON.plus(Duration::from_millis(ms));
        let change = raise_horizon(&account, &none, &rates(), horizon).unwrap();
        assert!(change.ceilings.len() <= CHANGE_ROWS_MAX, "{}", change.ceilings.len());
        account.apply(&change);
        assert!(account.ceilings.values().all(|ceiling| ceiling.is_retired), "grants go first");
        left.push(account.ceilings.len());
    }
    assert_eq!(left, [49, 17, 1, 1], "and what was born after it stays");
}

fn suspended(meter: Meter, total: &str, counted: &str) -> Suspended {
    let key =
        SuspenseKey { meter, incarnation: incarnation(8, NOON), reason: SuspenseReason::Fence };
    Suspended { key, units: units(total), counted: units(counted) }
}

#[test]
fn suspense_is_charged_once_and_only_what_no_register_counts() {
    let mut account = credited("100");
    let meter = meter(BillingType::Prepaid, 3);
    let row = suspended(meter, "10", "4");
    let now = registers(&[(meter, row.key.incarnation, "6")]);
    assert_eq!(open_suspense(&account, &now, &row), units("4"));
    let resolve = |account: &Account, asked: &str, resolution| {
        resolve_suspense(account, &now, &rates(), &booking(asked), &row, units(asked), resolution)
    };
    let refused = |asked: &str, open: &str| {
        Err(BookingError::Suspense { asked: units(asked), open: units(open) })
    };
    assert_eq!(resolve(&account, "4.5", Resolution::Charge), refused("4.5", "4"));
    assert_eq!(resolve(&account, "0", Resolution::WriteOff), refused("0", "4"));
    let before = balance(&account, &now);
    let change = resolve(&account, "3", Resolution::Charge).unwrap();
    account.apply(&change);
    assert_eq!(balance(&account, &now), before.minus(money("6.75")).unwrap());
    assert_eq!(change.entries[0].balance_after, balance(&account, &now));
    assert_eq!((change.entries[0].amount, change.entries[0].units), (Money::ZERO, units("3")));
    assert_eq!(resolve(&account, "3", Resolution::Charge), refused("3", "1"));
    let before = balance(&account, &now);
    account.apply(&resolve(&account, "1", Resolution::WriteOff).unwrap());
    assert_eq!(balance(&account, &now), before);
    assert_eq!(resolve(&account, "1", Resolution::WriteOff), refused("1", "0"));
}

/// Past the horizon nothing closes a meter any more, so the charge moves in the same change, for
/// every revision of the line whose share it shifts.
#[test]
fn suspense_past_the_horizon_moves_the_charge_of_its_whole_line() {
    let mut account = credited("100");
    let (first, second) = (meter(BillingType::Prepaid, 1), meter(BillingType::Prepaid, 2));
    let by = incarnation(8, NOON);
    let now = registers(&[(first, by, "4"), (second, by, "4")]);
    account.apply(&fold(&account, &now, |_| true).unwrap().unwrap());
    // Eight units of the line are free, so there is nothing to close.
    assert_eq!(checkpoint(&account, &now, &rates(), first.period, NOON, "closing"), Ok(None));
    let past = first.period.end().plus(PERIOD_GRACE);
    account.apply(&raise_horizon(&account, &now, &rates(), past).unwrap());
    let none = Registers::new();
    let row = suspended(first, "9", "4");
    let change = resolve_suspense(
        &account,
        &none,
        &rates(),
        &booking("s"),
        &row,
        units("5"),
        Resolution::Charge,
    );
    let change = change.unwrap();
    // The line has 4 + 5 + 4 = 13 units: the first revision 9 free, the second 1 free and 3 at 1.
    assert_eq!(change.header.settled, money("3"));
    assert_eq!(change.meters[&second].closed_charge, money("3"));
    assert_eq!(change.meters[&first].settled_units, units("9"));
    let kinds: Vec<_> = change.entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::SuspenseCharge, EntryKind::Checkpoint]);
    account.apply(&change);
    assert_eq!(balance(&account, &none), money("97"));
    assert_eq!(change.entries[1].balance_after, money("97"));
}

/// A debit left a gateway exactly what its grant said, after half a unit: the charge of its one
/// call was rounded up by a nano more, and the wallet ended below its floor.
#[test]
fn a_debit_leaves_what_rounding_may_add_to_granted_calls() {
    let nano = |nanos: i128| Money::from_nanos(nanos).unwrap();
    let mut rates = RateBook::default();
    rates.add(PlanId(Uuid::from_u128(3)), 1, Arc::new(Rates::flat(nano(1)).unwrap()));
    let (meter, gateway) = (meter(BillingType::Prepaid, 1), incarnation(9, NOON));
    let mut account = credited("0.000000003");
    account.header.mode.overspend = Overspend::Strict;
    let granted = Ceiling { most: nano(1), is_retired: false, ..Ceiling::RETIRED };
    account.ceilings.insert(gateway, granted);
    let before = registers(&[(meter, gateway, "0.5")]);
    let debit = |amount| fee(&account, &before, &rates, &booking("f"), nano(amount));
    assert!(matches!(debit(2), Err(BookingError::Reserved { .. })));
    let change = debit(1).unwrap();
    account.apply(&change);
    let after = registers(&[(meter, gateway, "1.5")]);
    assert_eq!(account.balance(&after, &rates), Ok(Money::ZERO));
}

/// Recorded usage and the registers of gateways are one total: the free tier is given once.
#[test]
fn recorded_usage_counts_beside_gateways_and_is_priced_with_them() {
    let mut account = credited("10");
    let (prepaid, none) = (meter(BillingType::Prepaid, 1), Registers::new());
    let now = registers(&[(prepaid, incarnation(8, NOON), "8")]);
    let record = |account: &Account, amount: &str, is_forced| {
        let booking = Booking { is_forced, ..booking(amount) };
        usage(account, &now, &rates(), &booking, prepaid, units(amount))
    };
    // Eight of the ten free units are used: of 4.5 more 2.5 cost 1.5 each.
    let change = record(&account, "4.5", false).unwrap();
    account.apply(&change);
    assert_eq!(balance(&account, &now), money("6.25"));
    assert_eq!(change.entries[0].balance_after, money("6.25"));
    assert!(!change.entries[0].is_forced);
    assert_eq!(balance(&account, &none), money("10"));
    // 5 more cost 7.5.
    let refused = Err(BookingError::NotCovered { balance: money("6.25"), needed: money("7.5") });
    assert_eq!(record(&account, "5", false), refused);
    let forced = record(&account, "5", true).unwrap();
    assert!(forced.entries[0].is_forced);
    account.apply(&forced);
    assert_eq!(balance(&account, &now), money("-1.25"));
    assert_eq!(record(&account, "0", true), Err(BookingError::NoUnits));
    // A postpaid meter is outside the balance.
    let postpaid = meter(BillingType::Postpaid, 1);
    let change = usage(&account, &now, &rates(), &booking("p"), postpaid, units("100")).unwrap();
    account.apply(&change);
    assert_eq!(balance(&account, &now), money("-1.25"));
}
