//! What time asks of an account: folding dead incarnations, closing periods, raising the horizon.
//!
//! The three follow each other. Folding moves units from registers into the account, closing
//! moves charges from the formula into `settled`; only where both are complete may the horizon
//! pass, after which registers and meters below it no longer count. None of them changes the
//! balance by a nano.

use std::collections::BTreeMap;

use super::{Booking, BookingError, balance_after, entry};
use crate::account::{Account, Change, EntryKind};
use crate::id::Incarnation;
use crate::meter::{BillingType, Meter, Registers};
use crate::money::Money;
use crate::rating::{RateBook, charges};
use crate::time::{Period, UnixMillis};
use crate::units::Units;

/// Rows that one change folds or closes at most: a batch stays far below what Cassandra refuses
/// (50 KiB) also where each row has an entry.
pub const CHANGE_ROWS_MAX: usize = 32;

/// Folds units of dead incarnations: into the meter's `settled_units`, and by the same into that
/// incarnation's `folded`. Repeating it is harmless, and a zombie's later, larger report simply
/// counts. At most [`CHANGE_ROWS_MAX`] registers at a time; `None` where nothing is left.
///
/// # Errors
/// [`BookingError::Rating`] where a sum is out of range.
pub fn fold(
    account: &Account,
    registers: &Registers,
    is_dead: impl Fn(Incarnation) -> bool,
) -> Result<Option<Change>, BookingError> {
    let mut change = account.change();
    for ((meter, incarnation), register) in registers {
        if change.cells.len() == CHANGE_ROWS_MAX {
            break;
        }
        let units = account.unfolded(meter, *incarnation, *register);
        if units.is_zero() || !is_dead(*incarnation) {
            continue;
        }
        let known = account.meters.get(meter).copied().unwrap_or_default();
        let totals = change.meters.entry(*meter).or_insert(known);
        totals.settled_units = totals.settled_units.plus(units)?;
        let mut cell = account.cells.get(&(*meter, *incarnation)).copied().unwrap_or_default();
        cell.folded = cell.folded.plus(units)?;
        change.cells.insert((*meter, *incarnation), cell);
    }
    Ok((!change.cells.is_empty()).then_some(change))
}

/// Closes every meter of the periods up to `through`: moves what its charge has grown (or
/// shrunk) by since its newest checkpoint into `settled`. The entry's id is (meter, checkpoint
/// number). Repeated after late units it moves those; `None` where nothing is left to move. At
/// most [`CHANGE_ROWS_MAX`] meters at a time.
///
/// A postpaid meter's checkpoint is for its invoice, a shadow meter's for reports: both move
/// `closed_charge` alone.
///
/// # Errors
/// [`BookingError::Rating`] where prices are unknown or a sum is out of range.
pub fn checkpoint(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    through: Period,
    at: UnixMillis,
    by: &str,
) -> Result<Option<Change>, BookingError> {
    let units = account.units(registers, |_| false)?;
    let closing: BTreeMap<Meter, Units> = units
        .into_iter()
        .filter(|(meter, _)| meter.period <= through && account.header.counts_meter(meter))
        .collect();
    let mut change = account.change();
    move_charges(account, &mut change, rates, &closing, at, by, CHANGE_ROWS_MAX)?;
    if change.entries.is_empty() {
        return Ok(None);
    }
    let balance = balance_after(account, &change, registers, rates)?;
    change.entries.iter_mut().for_each(|entry| entry.balance_after = balance);
    Ok(Some(change))
}

/// Adds to `change` the checkpoints that bring `closed_charge` of these meters, whole lines of
/// them, to their charge; at most `rows_max` checkpoints.
pub(super) fn move_charges(
    account: &Account,
    change: &mut Change,
    rates: &RateBook,
    units: &BTreeMap<Meter, Units>,
    at: UnixMillis,
    by: &str,
    rows_max: usize,
) -> Result<(), BookingError> {
    let mut moved = 0;
    for (meter, charge) in charges(rates, units.iter().map(|(meter, units)| (*meter, *units)))? {
        let known = account.meters.get(&meter).copied().unwrap_or_default();
        let totals = change.meters.get(&meter).copied().unwrap_or(known);
        let more = charge.minus(totals.closed_charge)?;
        if more.is_zero() || moved == rows_max {
            continue;
        }
        moved += 1;
        let number = totals.checkpoints.checked_add(1).ok_or(BookingError::Checkpoints(meter))?;
        let kind = match meter.billing {
            BillingType::Prepaid => EntryKind::Checkpoint,
            BillingType::Postpaid => EntryKind::PostpaidCheckpoint,
            BillingType::Shadow | BillingType::ShadowRefused => EntryKind::ShadowCheckpoint,
        };
        if kind.is_settled() {
            change.header.settled = change.header.settled.plus(more)?;
        }
        let booking = Booking {
            id: format!("{meter}/{number}"),
            at,
            by: by.to_owned(),
            reason: String::new(),
            is_forced: false,
        };
        let mut booked = entry(account, &booking, kind, more, Money::ZERO)?;
        booked.meter = Some(meter);
        booked.units = units[&meter];
        change.entries.push(booked);
        let totals =
            crate::account::MeterTotals { closed_charge: charge, checkpoints: number, ..totals };
        change.meters.insert(meter, totals);
    }
    Ok(())
}

/// Raises the horizon: what was born before it no longer counts by its registers, and meters
/// whose period lies behind it no longer count by their units. At most [`CHANGE_ROWS_MAX`] grants
/// behind it go with it.
///
/// # Errors
/// [`BookingError::HorizonNotAhead`]; [`BookingError::Unfolded`] and [`BookingError::Unclosed`]
/// name the first thing that would be lost; [`BookingError::Rating`].
pub fn raise_horizon(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    horizon: UnixMillis,
) -> Result<Change, BookingError> {
    if horizon <= account.header.horizon {
        return Err(BookingError::HorizonNotAhead(account.header.horizon));
    }
    let mut change = account.change();
    change.header.horizon = horizon;
    // Nothing of them counts any more, so nothing is reserved for them; the fence has cut them long
    // ago. Where there is no room for all, those without a reserve stay until the next horizon.
    let is_behind = |each: &Incarnation| !change.header.counts_incarnation(*each);
    let of = |is_retired| {
        let some = account.ceilings.iter().filter(move |(_, row)| row.is_retired == is_retired);
        some.map(|(incarnation, _)| *incarnation).filter(is_behind)
    };
    let behind = of(false).chain(of(true)).take(CHANGE_ROWS_MAX);
    change.ceilings = behind.map(|incarnation| (incarnation, None)).collect();
    for ((meter, incarnation), register) in registers {
        let units = account.unfolded(meter, *incarnation, *register);
        if !change.header.counts_incarnation(*incarnation) && !units.is_zero() {
            let (meter, incarnation) = (*meter, *incarnation);
            return Err(BookingError::Unfolded { meter, incarnation, units });
        }
    }
    let leaving = account.units(registers, |_| false)?.into_iter().filter(|(meter, _)| {
        account.header.counts_meter(meter) && !change.header.counts_meter(meter)
    });
    for (meter, charge) in charges(rates, leaving)? {
        let closed = account.meters.get(&meter).map_or(Money::ZERO, |totals| totals.closed_charge);
        if charge != closed {
            return Err(BookingError::Unclosed { meter, charge, closed });
        }
    }
    Ok(change)
}
