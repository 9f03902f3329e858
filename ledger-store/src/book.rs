//! Books entries and keeps accounts in order, over any ledger.
//!
//! The database only compares a version and writes rows; what is written was planned by
//! `tollgate_metering::booking` from an account and registers that were read before. This module
//! owns what stands around that: reading in the right order, planning again after a lost race,
//! and finding out what became of a commit whose answer was lost.
//!
//! Invariants: an entry's id is looked for before each attempt, after the account was read, so
//! that a repetition is answered with the first outcome even where it would be refused today; a
//! commit with an unknown outcome is repeated under the same id only, and as long as it is not
//! known to be dead no answer says "failed".
//! Bounds: `ATTEMPTS_MAX` attempts a call; one call a wallet at a time in a process (others wait),
//! so that its own calls do not race each other for the version.
//! Not here: who may book what (`management`), prices (`RateSource`).

mod attempt;
mod closing;
mod error;
mod fees;

use std::sync::Arc;

use tokio::sync::Mutex;
use tollgate_metering::account::Mode;
use tollgate_metering::booking::{
    self, AdjustmentCap, Booking, BookingError, Resolution, Suspended, entry_id,
};
use tollgate_metering::{
    Account, Currency, DeveloperId, Entry, EntryKind, Header, Meter, Money, SuspenseKey, Units,
    UnixMillis, WalletId,
};

use self::attempt::{Ask, Outcome, Want};
pub use self::closing::{HORIZON_AGE, PURGE_DELAY, may_purge};
pub use self::error::BookError;
use crate::catalogue::wallets::wallet_id;
use crate::clock::Clock;
use crate::ledger::{Commit, Ledger, Suspense, WalletRead};
use crate::rates::RateSource;

/// Locks that wallets share; a power of two.
const TURNS: usize = 64;

/// Books on one ledger. Every method may be dropped at any time: what it was about to book may
/// then be booked or not, and asking again with the same id tells.
pub struct Book {
    ledger: Arc<dyn Ledger>,
    rates: Arc<dyn RateSource>,
    clock: Arc<dyn Clock>,
    turns: [Mutex<()>; TURNS],
}

/// An entry that is in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// The entry, with the balance right after it.
    pub entry: Entry,
    /// Whether it was there before: the same id and content was booked earlier. Of calls that book
    /// the same entry in the same millisecond from several nodes more than one may say that it was
    /// not.
    pub is_repeated: bool,
    /// Whether the wallet was opened for it.
    pub has_opened: bool,
}

/// A wallet and what it is worth.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The wallet as read.
    pub read: WalletRead,
    /// Its balance.
    pub balance: Money,
}

/// Suspense of which a part waits for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSuspense {
    /// The register.
    pub suspense: Suspense,
    /// What nobody has decided about.
    pub open: Units,
}

// === impl Book ===

impl Book {
    /// A book on `ledger` with prices from `rates`.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, rates: Arc<dyn RateSource>, clock: Arc<dyn Clock>) -> Book {
        Book { ledger, rates, clock, turns: std::array::from_fn(|_| Mutex::new(())) }
    }

    /// The wallet of a developer in a currency, opened with nothing in it where there is none,
    /// under the overspend policy that holds for it; true where this call opened it.
    ///
    /// # Errors
    /// [`BookError::Unknown`]: ask again; those of every method.
    pub async fn open_wallet(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
    ) -> Result<(WalletId, bool), BookError> {
        let wallet = wallet_id(developer, currency);
        if self.ledger.read(wallet).await?.is_some() {
            return Ok((wallet, false));
        }
        let (generation, now) = (self.ledger.generation().await?, self.clock.now());
        let policy = self.rates.overspend(organization, developer, currency, now).await?;
        let mut account =
            Account::unopened(wallet, organization, developer, currency, generation, now);
        account.header.mode = Mode::opened(policy);
        // Opening has no content: whoever opened it in between, it is the same wallet.
        let has_opened = match self.ledger.commit(&booking::open(&account)?).await {
            Ok(outcome) => outcome == Commit::Applied,
            Err(error) if error.is_certainly_not_applied() => return Err(error.into()),
            Err(error) => match self.ledger.read(wallet).await {
                Ok(Some(_)) => true,
                Ok(None) | Err(_) => return Err(BookError::from_commit("the wallet", error)),
            },
        };
        if has_opened {
            // A policy that was set meanwhile, by somebody who saw no wallet to apply it to.
            let policy = self.rates.overspend(organization, developer, currency, now).await?;
            self.set_overspend(wallet, policy).await?;
        }
        Ok((wallet, has_opened))
    }

    /// Books money paid in, opening the wallet where there is none.
    ///
    /// # Errors
    /// [`BookError::Refused`], [`BookError::Conflict`], [`BookError::Unknown`], or those of
    /// every method. A conflict changes nothing, and opens no wallet.
    pub async fn credit(
        &self,
        organization: &str,
        developer: DeveloperId,
        currency: Currency,
        booking: &Booking,
        amount: Money,
    ) -> Result<Booked, BookError> {
        if amount <= Money::ZERO {
            return Err(BookingError::NotPositive(amount).into());
        }
        let wallet = wallet_id(developer, currency);
        let want = Want::amount(wallet, EntryKind::Credit, &booking.id, amount);
        let mut has_opened = false;
        if self.ledger.read(wallet).await?.is_none() {
            if let Some(found) = self.ledger.entry(developer, &want.id).await? {
                return want.repeated(found);
            }
            (_, has_opened) = self.open_wallet(organization, developer, currency).await?;
        }
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            booking::credit(account, registers, rates, booking, amount).map(Some)
        };
        let booked = self.book(wallet, want, &plan).await?;
        Ok(Booked { has_opened, ..booked })
    }

    /// Books a correction: a positive amount lowers the balance, a negative one raises it.
    ///
    /// # Errors
    /// As [`Book::credit`]; [`BookError::NoWallet`].
    pub async fn adjust(
        &self,
        wallet: WalletId,
        booking: &Booking,
        amount: Money,
        cap: AdjustmentCap,
    ) -> Result<Booked, BookError> {
        let want = Want::amount(wallet, EntryKind::Adjustment, &booking.id, amount);
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            booking::adjustment(account, registers, rates, booking, amount, cap).map(Some)
        };
        self.book(wallet, want, &plan).await
    }

    /// Suspense of a wallet, decided or not.
    ///
    /// # Errors
    /// [`BookError::NoWallet`], [`BookError::Ledger`].
    pub async fn suspense(&self, wallet: WalletId) -> Result<Vec<OpenSuspense>, BookError> {
        let read = self.ledger.read(wallet).await?.ok_or(BookError::NoWallet(wallet))?;
        let rows = self.ledger.suspense(wallet).await?.into_iter().map(|suspense| {
            let open =
                booking::open_suspense(&read.account, &read.registers, &suspended(&suspense));
            OpenSuspense { suspense, open }
        });
        Ok(rows.collect())
    }

    /// Charges suspense or writes it off: `units` of it, or all that is open.
    ///
    /// # Errors
    /// As [`Book::adjust`]; [`BookError::NoSuspense`].
    pub async fn resolve_suspense(
        &self,
        wallet: WalletId,
        booking: &Booking,
        key: SuspenseKey,
        units: Option<Units>,
        resolution: Resolution,
    ) -> Result<Booked, BookError> {
        let rows = self.ledger.suspense(wallet).await?;
        let row = rows.iter().find(|row| row.key() == key).ok_or(BookError::NoSuspense)?;
        let row = suspended(row);
        let kind = match resolution {
            Resolution::Charge => EntryKind::SuspenseCharge,
            Resolution::WriteOff => EntryKind::SuspenseWriteOff,
        };
        // An entry has no column for the register, so its text tells one from another.
        let named = format!("{} of {}: ", key.reason.as_str(), key.incarnation);
        let reason = format!("{named}{}", booking.reason);
        let noted = Booking { reason, ..booking.clone() };
        let want = Want {
            meter: Some(key.meter),
            units,
            reason_start: named,
            ..Want::amount(wallet, kind, &booking.id, Money::ZERO)
        };
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            let open = booking::open_suspense(account, registers, &row);
            let units = units.unwrap_or(open);
            booking::resolve_suspense(account, registers, rates, &noted, &row, units, resolution)
                .map(Some)
        };
        self.book(wallet, want, &plan).await
    }

    /// Counts units on a meter, opening nothing: see [`booking::usage`].
    ///
    /// # Errors
    /// As [`Book::adjust`].
    pub async fn usage(
        &self,
        meter: Meter,
        booking: &Booking,
        units: Units,
    ) -> Result<Booked, BookError> {
        let wallet = meter.wallet;
        let want = Want {
            meter: Some(meter),
            units: Some(units),
            ..Want::amount(wallet, EntryKind::Usage, &booking.id, Money::ZERO)
        };
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            booking::usage(account, registers, rates, booking, meter, units).map(Some)
        };
        self.book(wallet, want, &plan).await
    }

    /// The wallet and its balance, of one read.
    ///
    /// # Errors
    /// [`BookError::NoWallet`]; those of every method.
    pub async fn standing(&self, wallet: WalletId) -> Result<Standing, BookError> {
        let read = self.ledger.read(wallet).await?.ok_or(BookError::NoWallet(wallet))?;
        let rates = self.rates_of(&read, None).await?;
        let balance = read.account.balance(&read.registers, &rates).map_err(BookingError::from)?;
        Ok(Standing { read, balance })
    }

    /// The headers of a developer's wallets.
    ///
    /// # Errors
    /// [`BookError::Ledger`].
    pub async fn wallets_of(&self, developer: DeveloperId) -> Result<Vec<Header>, BookError> {
        Ok(self.ledger.wallets_of(developer).await?)
    }

    /// Plans and commits an entry until it is there.
    async fn book(
        &self,
        wallet: WalletId,
        want: Want,
        plan: &attempt::Plan<'_>,
    ) -> Result<Booked, BookError> {
        let booked = self.book_unless_moved(wallet, want, plan).await?;
        Ok(booked.expect("a planner of entries plans one or fails"))
    }

    /// The same for a planner that may find nothing to do: `None` then.
    async fn book_unless_moved(
        &self,
        wallet: WalletId,
        want: Want,
        plan: &attempt::Plan<'_>,
    ) -> Result<Option<Booked>, BookError> {
        let id = want.id.clone();
        // What is written off costs nothing: its prices may be lost.
        let meter = want.meter.filter(|_| want.kind != EntryKind::SuspenseWriteOff);
        let ask = Ask { wallet, meter, want: Some(want) };
        match self.commit_planned(&ask, plan).await? {
            Outcome::Found(booked) => Ok(Some(booked)),
            Outcome::Committed(change) => {
                let entry = change.entries.into_iter().find(|entry| entry.id == id);
                let entry = entry.expect("the planner books under the id that it was given");
                Ok(Some(Booked { entry, is_repeated: false, has_opened: false }))
            }
            Outcome::Nothing => Ok(None),
        }
    }

    /// Now, by the clock that entries are dated with.
    fn now(&self) -> UnixMillis {
        self.clock.now()
    }
}

// === impl Want ===

impl Want {
    /// An entry of an amount alone.
    fn amount(wallet: WalletId, kind: EntryKind, name: &str, amount: Money) -> Want {
        let (id, reason_start) = (entry_id(kind, name), String::new());
        let (amount, units) = (Some(amount), Some(Units::ZERO));
        let rival = rival(kind).map(|kind| entry_id(kind, name));
        Want { id, kind, wallet, amount, meter: None, units, reason_start, rival }
    }
}

/// The kind whose entries share their names with those of `kind`.
const fn rival(kind: EntryKind) -> Option<EntryKind> {
    match kind {
        EntryKind::Usage => Some(EntryKind::Fee),
        EntryKind::Fee | EntryKind::PostpaidFee | EntryKind::ShadowFee => Some(EntryKind::Usage),
        EntryKind::Credit
        | EntryKind::Adjustment
        | EntryKind::Checkpoint
        | EntryKind::PostpaidCheckpoint
        | EntryKind::ShadowCheckpoint
        | EntryKind::Limit
        | EntryKind::SuspenseCharge
        | EntryKind::SuspenseWriteOff
        | EntryKind::Transfer => None,
    }
}

fn suspended(row: &Suspense) -> Suspended {
    Suspended { key: row.key(), units: row.units, counted: row.counted }
}
