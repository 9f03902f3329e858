//! Suspense: units that the ledger does not charge by itself, until a person decides.
//!
//! What was resolved is kept in the account under its version, so that nobody charges the same
//! units twice. Charged units go to the meter like folded ones; where the horizon has passed the
//! meter, checkpoints of its line in the same change move the charge at once.

use std::collections::BTreeMap;

use super::closing::move_charges;
use super::{Booking, BookingError, balance_after, entry, takes_reserved};
use crate::account::{Account, Change, EntryKind, SuspenseKey, SuspenseReason};
use crate::meter::{Meter, Registers};
use crate::money::Money;
use crate::rating::RateBook;
use crate::units::Units;

/// A suspense register as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// Its name.
    pub key: SuspenseKey,
    /// Cumulative units: the greatest total reported.
    pub units: Units,
    /// Of these, what was counted in the register when the fence fell.
    pub counted: Units,
}

/// What a person decides about suspense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The calls are charged like any others.
    Charge,
    /// The calls are given away.
    WriteOff,
}

/// Units of a suspense register that nobody has resolved and no register counts.
///
/// A register behind the fence may have counted more than was seen when the fence fell (another
/// node wrote in the same moment), so what it counts now is taken out as well.
#[must_use]
pub fn open_suspense(account: &Account, registers: &Registers, suspended: &Suspended) -> Units {
    let SuspenseKey { meter, incarnation, reason } = suspended.key;
    let counted = match reason {
        SuspenseReason::Fence => {
            let register = registers.get(&(meter, incarnation)).copied().unwrap_or_default();
            let cell = account.cells.get(&(meter, incarnation)).copied().unwrap_or_default();
            suspended.counted.max(register.units()).max(cell.folded)
        }
        SuspenseReason::Multiplier | SuspenseReason::Cut => suspended.counted,
    };
    let resolved = account.resolved.get(&suspended.key).copied().unwrap_or_default();
    suspended.units.beyond(counted).beyond(resolved)
}

/// Charges or writes off `units` of a suspense register.
///
/// # Errors
/// [`BookingError::Suspense`] where that is nothing or more than is open; those of every planner.
pub fn resolve_suspense(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    suspended: &Suspended,
    units: Units,
    resolution: Resolution,
) -> Result<Change, BookingError> {
    let open = open_suspense(account, registers, suspended);
    if units.is_zero() || units > open {
        return Err(BookingError::Suspense { asked: units, open });
    }
    let meter = suspended.key.meter;
    let mut change = account.change();
    let resolved = account.resolved.get(&suspended.key).copied().unwrap_or_default();
    change.resolved.insert(suspended.key, resolved.plus(units)?);
    let kind = match resolution {
        Resolution::Charge => EntryKind::SuspenseCharge,
        Resolution::WriteOff => EntryKind::SuspenseWriteOff,
    };
    let mut booked = entry(account, booking, kind, Money::ZERO, Money::ZERO)?;
    booked.meter = Some(meter);
    booked.units = units;
    change.entries.push(booked);
    if resolution == Resolution::Charge {
        let mut totals = account.meters.get(&meter).copied().unwrap_or_default();
        totals.settled_units = totals.settled_units.plus(units)?;
        change.meters.insert(meter, totals);
        if !account.header.counts_meter(&meter) {
            let line = line_of(account, &change, &meter);
            // Past the horizon nothing would move the rest later, so all of the line moves now.
            let rows_max = line.len();
            move_charges(account, &mut change, rates, &line, booking.at, &booking.by, rows_max)?;
        }
    }
    let balance = balance_after(account, &change, registers, rates)?;
    let is_forced = resolution == Resolution::Charge && {
        let limit = account.header.overdraft_limit;
        takes_reserved(account, registers, balance, limit, booking.is_forced)?
    };
    for entry in &mut change.entries {
        (entry.balance_after, entry.is_forced) = (balance, is_forced);
    }
    Ok(change)
}

/// Total units of the revisions beside `meter` once the change has been applied. Past the
/// horizon no register counts any more, so the totals are all there is.
pub(super) fn line_of(account: &Account, change: &Change, meter: &Meter) -> BTreeMap<Meter, Units> {
    let mut line = BTreeMap::new();
    for (other, totals) in account.meters.iter().chain(&change.meters) {
        if other.is_same_line(meter) {
            line.insert(*other, totals.settled_units);
        }
    }
    line
}
