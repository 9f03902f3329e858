//! Fees of plans, and what becomes of a prepaid balance whose developer begins to pay later.
//!
//! A prepaid fee lowers the balance, a postpaid one waits for an invoice, one of a plan in shadow
//! mode is only noted; all have ids of one space, so that a fee is booked once whatever the billing
//! type is by then. The fees of one
//! purchase stand in one change: a purchase is never half paid.

use super::{
    Booking, BookingError, balance_after, check_positive, entry, takes_reserved, unsealed,
};
use crate::account::{Account, Change, EntryKind};
use crate::meter::{BillingType, Registers};
use crate::money::Money;
use crate::rating::RateBook;

/// One fee of several that are booked together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fee {
    /// Its id, given before the first attempt.
    pub id: String,
    /// How much; positive.
    pub amount: Money,
    /// What it is for.
    pub reason: String,
}

/// Books a fee of a plan, into debt where the balance does not cover it.
///
/// # Errors
/// [`BookingError::Sealed`], [`BookingError::NotPositive`], or those of every planner.
pub fn fee(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    amount: Money,
) -> Result<Change, BookingError> {
    check_positive(amount)?;
    Ok(super::settle(account, registers, rates, booking, EntryKind::Fee, amount)?.0)
}

/// Notes a fee of a plan for the invoice of a developer who pays later.
///
/// # Errors
/// As [`fee`].
pub fn postpaid_fee(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    amount: Money,
) -> Result<Change, BookingError> {
    check_positive(amount)?;
    noted(account, registers, rates, booking, EntryKind::PostpaidFee, amount)
}

/// Notes a fee of a plan in shadow mode: nobody pays it, now or later.
///
/// # Errors
/// As [`fee`].
pub fn shadow_fee(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    amount: Money,
) -> Result<Change, BookingError> {
    check_positive(amount)?;
    noted(account, registers, rates, booking, EntryKind::ShadowFee, amount)
}

/// An entry that leaves the balance as it is.
fn noted(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    kind: EntryKind,
    amount: Money,
) -> Result<Change, BookingError> {
    let mut change = unsealed(account)?;
    let balance = account.balance(registers, rates)?;
    change.entries.push(entry(account, booking, kind, amount, balance)?);
    Ok(change)
}

/// Gives a fee back whose purchase was taken back before it began: the fee once more, with its amount
/// negated, so that every sum of fees is right again.
///
/// # Errors
/// As [`fee`].
pub fn returned_fee(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    amount: Money,
    billing: BillingType,
) -> Result<Change, BookingError> {
    check_positive(amount)?;
    let back = amount.negated();
    match billing {
        BillingType::Prepaid => {
            Ok(super::settle(account, registers, rates, booking, EntryKind::Fee, back)?.0)
        }
        BillingType::Postpaid => {
            noted(account, registers, rates, booking, EntryKind::PostpaidFee, back)
        }
        BillingType::Shadow | BillingType::ShadowRefused => {
            noted(account, registers, rates, booking, EntryKind::ShadowFee, back)
        }
    }
}

/// Books the fees that a purchase depends on, all or none: prepaid ones only where the balance
/// covers their sum. Of `booking` everything but id and reason is theirs.
///
/// # Errors
/// [`BookingError::NotCovered`], or those of [`fee`].
pub fn purchase(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    fees: &[Fee],
    billing: BillingType,
) -> Result<Change, BookingError> {
    let balance = account.balance(registers, rates)?;
    let mut needed = Money::ZERO;
    for fee in fees {
        check_positive(fee.amount)?;
        needed = needed.plus(fee.amount)?;
    }
    let mut change = unsealed(account)?;
    let (kind, is_prepaid) = match billing {
        BillingType::Prepaid => (EntryKind::Fee, true),
        BillingType::Postpaid => (EntryKind::PostpaidFee, false),
        BillingType::Shadow | BillingType::ShadowRefused => (EntryKind::ShadowFee, false),
    };
    // Asked before what is reserved: where gateways have reserved the little there is, that does
    // not make it a matter of force.
    if is_prepaid && balance < needed {
        return Err(BookingError::NotCovered { balance, needed });
    }
    for fee in fees {
        if is_prepaid {
            change.header.settled = change.header.settled.plus(fee.amount)?;
        }
        let after = balance_after(account, &change, registers, rates)?;
        let named = Booking { id: fee.id.clone(), reason: fee.reason.clone(), ..booking.clone() };
        change.entries.push(entry(account, &named, kind, fee.amount, after)?);
    }
    if is_prepaid {
        let (after, limit) = (balance.minus(needed)?, account.header.overdraft_limit);
        let is_forced = takes_reserved(account, registers, after, limit, booking.is_forced)?;
        change.entries.iter_mut().for_each(|entry| entry.is_forced = is_forced);
    }
    Ok(change)
}

/// Moves what is left of a prepaid balance out of it, as a credit for invoices to net. A debt
/// stays where it is. There is an entry also where nothing is left, so that a transfer which was
/// done is never done again with money that was paid in later.
///
/// # Errors
/// [`BookingError::Reserved`] or [`BookingError::ModeChanging`] while gateways may spend of it;
/// [`BookingError::Sealed`], or those of every planner.
pub fn transfer(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
) -> Result<Change, BookingError> {
    let left = account.balance(registers, rates)?.max(Money::ZERO);
    Ok(super::settle(account, registers, rates, booking, EntryKind::Transfer, left)?.0)
}
