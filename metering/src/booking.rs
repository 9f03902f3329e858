//! Plans what changes an account: each planner turns an account and its registers into one
//! conditional [`Change`], or says why there is none.
//!
//! Planners are pure, so that a change that lost the race for its version is simply planned
//! again from what is there now. What they are given must be read account first, registers
//! after it (see [`crate::balance`]).
//!
//! Invariants of every planned change: `credited` grows by the credits in it and `settled` by
//! its entries that settle, to the nano; `balance_after` is the formula's; no amount wraps, is
//! clamped or rounded.
//! Not here: retries and ids given twice (`ledger-store`), who may book what (`management`).

mod closing;
mod fees;
mod modes;
mod suspense;
mod usage;

pub use self::closing::{CHANGE_ROWS_MAX, checkpoint, fold, raise_horizon};
pub use self::fees::{Fee, fee, postpaid_fee, purchase, returned_fee, shadow_fee, transfer};
pub use self::modes::{overspend, retire, settle_mode};
pub use self::suspense::{Resolution, Suspended, open_suspense, resolve_suspense};
pub use self::usage::usage;

use crate::account::{Account, Change, Entry, EntryKind, Overspend};
use crate::id::Incarnation;
use crate::meter::{Meter, Registers};
use crate::money::{Money, MoneyError};
use crate::rating::{RateBook, RatingError};
use crate::time::UnixMillis;
use crate::units::{Units, UnitsError};

/// The longest id that a caller may give an entry, in bytes.
pub const ID_BYTES_MAX: usize = 200;
/// The longest reason or name of who booked, in bytes.
pub const TEXT_BYTES_MAX: usize = 2_000;

/// Who books, when, why, and under which id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// The caller's id, given before the first attempt; unique per developer and kind.
    pub id: String,
    /// When.
    pub at: UnixMillis,
    /// The name of the token or part that books.
    pub by: String,
    /// Free text.
    pub reason: String,
    /// Whether it may take money that is reserved for the gateways of a strict wallet.
    pub is_forced: bool,
}

/// How far an adjustment may raise a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdjustmentCap {
    /// As far as it likes.
    None,
    /// At most to what the balance was right after the newest credit, as Apigee does it.
    LastCredit,
}

/// Why nothing is booked: certainly nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookingError {
    /// The developer was deleted.
    #[error("wallet is sealed")]
    Sealed,
    /// The wallet is there already.
    #[error("wallet is open already")]
    IsOpen,
    /// A credit or fee that is zero or negative.
    #[error("amount {0} is not positive")]
    NotPositive(Money),
    /// An adjustment of nothing.
    #[error("amount is zero")]
    Zero,
    /// Usage of nothing.
    #[error("there are no units")]
    NoUnits,
    /// An overdraft limit below zero.
    #[error("overdraft limit {0} is negative")]
    NegativeLimit(Money),
    /// An adjustment that would raise the balance too far.
    #[error("balance would be {balance}, above {cap} right after the newest credit")]
    AboveLastCredit {
        /// The balance that would be.
        balance: Money,
        /// The balance right after the newest credit.
        cap: Money,
    },
    /// A fee that must be covered by the balance and is not.
    #[error("balance {balance} does not cover {needed}")]
    NotCovered {
        /// The balance before the fee.
        balance: Money,
        /// The fee.
        needed: Money,
    },
    /// A debit that would take money of a strict wallet that gateways may spend.
    #[error("balance would be {balance}, and {reserved} above {floor} are reserved for calls")]
    Reserved {
        /// The balance after the debit.
        balance: Money,
        /// What gateways may spend, or may have spent, of it.
        reserved: Money,
        /// What calls may not take it below.
        floor: Money,
    },
    /// A debit while gateways do not all go by the wallet's new policy yet.
    #[error("overspend policy is changing: not every gateway has acknowledged it")]
    ModeChanging,
    /// An id or text that is empty or too long.
    #[error("{field} has {bytes} bytes, allowed are {min} to {max}")]
    Text {
        /// Which text.
        field: &'static str,
        /// Its length.
        bytes: usize,
        /// The shortest that is allowed.
        min: usize,
        /// The longest that is allowed.
        max: usize,
    },
    /// The horizon is there or further already.
    #[error("horizon is at {0} already")]
    HorizonNotAhead(UnixMillis),
    /// An incarnation below the new horizon has units that were not folded.
    #[error("incarnation {incarnation} has {units} unfolded units on meter {meter}")]
    Unfolded {
        /// The meter.
        meter: Meter,
        /// The incarnation.
        incarnation: Incarnation,
        /// What is not folded.
        units: Units,
    },
    /// A meter that would leave the formula has a charge that no checkpoint has moved.
    #[error("meter {meter} is charged {charge}, of which {closed} is closed")]
    Unclosed {
        /// The meter.
        meter: Meter,
        /// Its whole charge.
        charge: Money,
        /// What checkpoints have moved.
        closed: Money,
    },
    /// More suspense than there is, or none at all.
    #[error("{asked} units of suspense to resolve, {open} are open")]
    Suspense {
        /// How many were to be resolved.
        asked: Units,
        /// How many there are.
        open: Units,
    },
    /// A meter with more checkpoints than can be numbered.
    #[error("checkpoints of meter {0} are used up")]
    Checkpoints(Meter),
    /// Prices are unknown or a sum is out of range.
    #[error(transparent)]
    Rating(#[from] RatingError),
}

/// The id of an entry: ids are unique per developer across kinds, so the kind stands in front.
#[must_use]
pub fn entry_id(kind: EntryKind, id: &str) -> String {
    format!("{}:{id}", kind.id_word())
}

/// Opens a wallet from [`Account::unopened`].
///
/// # Errors
/// [`BookingError::IsOpen`], [`BookingError::NegativeLimit`].
pub fn open(account: &Account) -> Result<Change, BookingError> {
    if account.header.version != 0 {
        return Err(BookingError::IsOpen);
    }
    check_limit(account.header.overdraft_limit)?;
    Ok(account.change())
}

/// Books money paid in; a debt is paid first by the mere sum.
///
/// # Errors
/// [`BookingError::Sealed`], [`BookingError::NotPositive`], or those of every planner:
/// [`BookingError::Text`], [`BookingError::Rating`].
pub fn credit(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    amount: Money,
) -> Result<Change, BookingError> {
    check_positive(amount)?;
    let mut change = unsealed(account)?;
    change.header.credited = change.header.credited.plus(amount)?;
    let after = balance_after(account, &change, registers, rates)?;
    change.header.last_credit_at = Some(booking.at);
    change.header.balance_at_last_credit = after;
    change.entries.push(entry(account, booking, EntryKind::Credit, amount, after)?);
    Ok(change)
}

/// Books a correction by a person: a positive amount lowers the balance, a negative one raises
/// it.
///
/// # Errors
/// [`BookingError::Sealed`], [`BookingError::Zero`], [`BookingError::AboveLastCredit`], or those
/// of every planner.
pub fn adjustment(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    amount: Money,
    cap: AdjustmentCap,
) -> Result<Change, BookingError> {
    if amount.is_zero() {
        return Err(BookingError::Zero);
    }
    let (change, balance) =
        settle(account, registers, rates, booking, EntryKind::Adjustment, amount)?;
    let highest = account.header.balance_at_last_credit;
    if cap == AdjustmentCap::LastCredit && amount.is_negative() && balance > highest {
        return Err(BookingError::AboveLastCredit { balance, cap: highest });
    }
    Ok(change)
}

/// Moves the floor that calls may take the balance to; `None` where it is there already. A lower
/// limit is a debit: see [`Booking::is_forced`].
///
/// # Errors
/// [`BookingError::Sealed`], [`BookingError::NegativeLimit`], [`BookingError::Reserved`],
/// [`BookingError::ModeChanging`], or those of every planner.
pub fn overdraft_limit(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    limit: Money,
) -> Result<Option<Change>, BookingError> {
    check_limit(limit)?;
    let mut change = unsealed(account)?;
    if limit == account.header.overdraft_limit {
        return Ok(None);
    }
    change.header.overdraft_limit = limit;
    let balance = account.balance(registers, rates)?;
    let mut booked = entry(account, booking, EntryKind::Limit, limit, balance)?;
    if limit < account.header.overdraft_limit {
        booked.is_forced = takes_reserved(account, registers, balance, limit, booking.is_forced)?;
    }
    change.entries.push(booked);
    Ok(Some(change))
}

/// Seals the wallet of a deleted developer: calls that are under way still count, nothing else
/// is booked. `None` where it is sealed already.
#[must_use]
pub fn seal(account: &Account) -> Option<Change> {
    let mut change = account.change();
    change.header.is_sealed = true;
    (!account.header.is_sealed).then_some(change)
}

/// A change whose entry stands in `settled`, and the balance after it.
fn settle(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    booking: &Booking,
    kind: EntryKind,
    amount: Money,
) -> Result<(Change, Money), BookingError> {
    let mut change = unsealed(account)?;
    change.header.settled = change.header.settled.plus(amount)?;
    let after = balance_after(account, &change, registers, rates)?;
    let mut booked = entry(account, booking, kind, amount, after)?;
    if amount > Money::ZERO {
        let limit = account.header.overdraft_limit;
        booked.is_forced = takes_reserved(account, registers, after, limit, booking.is_forced)?;
    }
    change.entries.push(booked);
    Ok((change, after))
}

/// Whether a debit that leaves `balance` takes money that gateways of a strict wallet may spend,
/// with an overdraft limit of `limit` from then on. Where it does, it must be forced: zero
/// overspend is a promise about calls, and calls under grants are not asked again.
fn takes_reserved(
    account: &Account,
    registers: &Registers,
    balance: Money,
    limit: Money,
    is_forced: bool,
) -> Result<bool, BookingError> {
    let mode = account.header.mode;
    let error = if mode.is_changing {
        BookingError::ModeChanging
    } else {
        let (mut reserved, floor) = (account.reserved()?, limit.negated());
        if !reserved.is_zero() {
            reserved = reserved.plus(account.rounding(registers)?)?;
        }
        if mode.overspend == Overspend::Optimistic || balance.minus(reserved)? >= floor {
            return Ok(false);
        }
        BookingError::Reserved { balance, reserved, floor }
    };
    if is_forced { Ok(true) } else { Err(error) }
}

fn unsealed(account: &Account) -> Result<Change, BookingError> {
    if account.header.is_sealed { Err(BookingError::Sealed) } else { Ok(account.change()) }
}

fn check_positive(amount: Money) -> Result<(), BookingError> {
    if amount > Money::ZERO { Ok(()) } else { Err(BookingError::NotPositive(amount)) }
}

fn check_limit(limit: Money) -> Result<(), BookingError> {
    if limit.is_negative() { Err(BookingError::NegativeLimit(limit)) } else { Ok(()) }
}

/// The balance when `change` has been applied.
fn balance_after(
    account: &Account,
    change: &Change,
    registers: &Registers,
    rates: &RateBook,
) -> Result<Money, BookingError> {
    let mut after = account.clone();
    after.apply(change);
    Ok(after.balance(registers, rates)?)
}

/// An entry without meter and units.
fn entry(
    account: &Account,
    booking: &Booking,
    kind: EntryKind,
    amount: Money,
    balance_after: Money,
) -> Result<Entry, BookingError> {
    let Booking { id, at, by, reason, is_forced: _ } = booking;
    check_text("id", id, 1, ID_BYTES_MAX)?;
    check_text("by", by, 1, TEXT_BYTES_MAX)?;
    check_text("reason", reason, 0, TEXT_BYTES_MAX)?;
    Ok(Entry {
        id: entry_id(kind, id),
        kind,
        wallet: account.header.wallet,
        amount,
        balance_after,
        at: *at,
        by: by.clone(),
        reason: reason.clone(),
        meter: None,
        units: Units::ZERO,
        is_forced: false,
    })
}

fn check_text(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), BookingError> {
    let bytes = text.len();
    if (min..=max).contains(&bytes) {
        return Ok(());
    }
    Err(BookingError::Text { field, bytes, min, max })
}

// === impl BookingError ===

impl From<MoneyError> for BookingError {
    fn from(error: MoneyError) -> BookingError {
        BookingError::Rating(error.into())
    }
}

impl From<UnitsError> for BookingError {
    fn from(error: UnitsError) -> BookingError {
        BookingError::Rating(error.into())
    }
}

#[cfg(test)]
mod tests;
