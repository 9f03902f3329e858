//! Usage that somebody records in place of a gateway: units on a meter, in one conditional change.
//!
//! The units go to the meter's total, as folded ones do, and are priced with all the others: which
//! units came from a gateway and which from here makes no difference to the charge. The entry's id
//! makes a repetition harmless. Units of a period that the horizon has passed move their charge at
//! once, as charged suspense does.

use super::closing::move_charges;
use super::suspense::line_of;
use super::{Booking, BookingError, balance_after, entry, takes_reserved, unsealed};
use crate::account::{Account, Change, EntryKind};
use crate::meter::{BillingType, Meter, Registers};
use crate::money::Money;
use crate::rating::RateBook;
use crate::units::Units;

/// Counts `units` on `meter`. Prepaid units that the balance does not cover down to the wallet's
/// floor are counted only where the booking is forced, and its entry says so.
///
/// # Errors
/// [`BookingError::NoUnits`], [`BookingError::NotCovered`], [`BookingError::Sealed`],
/// [`BookingError::Reserved`], [`BookingError::ModeChanging`], or those of every planner.
pub fn usage(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    meter: Meter,
    units: Units,
) -> Result<Change, BookingError> {
    if units.is_zero() {
        return Err(BookingError::NoUnits);
    }
    let mut change = unsealed(account)?;
    let mut totals = account.meters.get(&meter).copied().unwrap_or_default();
    totals.settled_units = totals.settled_units.plus(units)?;
    change.meters.insert(meter, totals);
    let mut booked = entry(account, booking, EntryKind::Usage, Money::ZERO, Money::ZERO)?;
    booked.meter = Some(meter);
    booked.units = units;
    change.entries.push(booked);
    if !account.header.counts_meter(&meter) {
        let line = line_of(account, &change, &meter);
        let rows_max = line.len();
        move_charges(account, &mut change, rates, &line, booking.at, &booking.by, rows_max)?;
    }
    let after = balance_after(account, &change, registers, rates)?;
    let is_forced = match meter.billing {
        BillingType::Prepaid => uncovered(account, registers, rates, booking, after)?,
        BillingType::Postpaid | BillingType::Shadow | BillingType::ShadowRefused => false,
    };
    for entry in &mut change.entries {
        (entry.balance_after, entry.is_forced) = (after, is_forced);
    }
    Ok(change)
}

/// Whether usage that leaves `after` had to be forced.
fn uncovered(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    after: Money,
) -> Result<bool, BookingError> {
    let balance = account.balance(registers, rates)?;
    if after >= balance {
        return Ok(false);
    }
    let limit = account.header.overdraft_limit;
    let is_short = after < limit.negated();
    if is_short && !booking.is_forced {
        return Err(BookingError::NotCovered { balance, needed: balance.minus(after)? });
    }
    Ok(takes_reserved(account, registers, after, limit, booking.is_forced)? || is_short)
}
