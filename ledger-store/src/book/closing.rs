//! What time asks of wallets: folds, checkpoints, the horizon, seals. All of it can be repeated.

use std::time::Duration;

use tollgate_metering::account::Overspend;
use tollgate_metering::booking::{self, Booking, BookingError};
use tollgate_metering::node::WRITE_AGE_MAX;
use tollgate_metering::time::Period;
use tollgate_metering::{Account, Incarnation, Money, UnixMillis, WalletId};

use super::attempt::{Ask, Outcome, Plan};
use super::{Book, BookError};
use crate::ledger::WalletRead;

/// Age of incarnations that the horizon leaves behind.
pub const HORIZON_AGE: Duration = Duration::from_secs(10 * 86_400);
/// How much older than that is what is removed, so that every reader has met the new horizon.
pub const PURGE_DELAY: Duration = Duration::from_secs(3_600);
/// Changes that one call makes to a wallet at most, of 32 rows each; the next call goes on.
const CHANGES_MAX: usize = 1_024;

const _: () = assert!(WRITE_AGE_MAX.as_secs() < HORIZON_AGE.as_secs());

/// Whether the horizon, which was [`HORIZON_AGE`] old when it rose, has been there for
/// [`PURGE_DELAY`] and left something behind.
#[must_use]
pub fn may_purge(account: &Account, now: UnixMillis) -> bool {
    let age = now.since(account.header.horizon);
    age >= HORIZON_AGE + PURGE_DELAY && account.has_rows_behind_horizon()
}

// === impl Book ===

impl Book {
    /// Folds the units of dead incarnations, in slices; returns how many slices there were.
    ///
    /// # Errors
    /// [`BookError::NoWallet`], [`BookError::Ledger`], [`BookError::Contended`]; after
    /// [`BookError::Unknown`], too, the call is simply made again.
    pub async fn fold_dead(
        &self,
        wallet: WalletId,
        is_dead: impl Fn(Incarnation) -> bool + Sync,
    ) -> Result<usize, BookError> {
        let plan =
            |read: &WalletRead, _: &_| booking::fold(&read.account, &read.registers, &is_dead);
        self.change_all(wallet, &plan).await
    }

    /// Closes the periods up to `through`, which has ended: moves what their meters have come to
    /// into `settled`, each under the id (meter, checkpoint number); returns how many changes
    /// there were. Called again later it moves late usage.
    ///
    /// # Errors
    /// As [`Book::fold_dead`].
    pub async fn close_period(
        &self,
        wallet: WalletId,
        through: Period,
        by: &str,
    ) -> Result<usize, BookError> {
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            booking::checkpoint(account, registers, rates, through, self.now(), by)
        };
        self.change_all(wallet, &plan).await
    }

    /// Raises the horizon, if it is not there already; true where it was raised.
    ///
    /// # Errors
    /// [`BookError::Refused`] with [`BookingError::Unfolded`] or [`BookingError::Unclosed`]
    /// where something would be lost: fold and close first. As [`Book::fold_dead`].
    pub async fn raise_horizon(
        &self,
        wallet: WalletId,
        horizon: UnixMillis,
    ) -> Result<bool, BookError> {
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            match booking::raise_horizon(account, registers, rates, horizon) {
                Ok(change) => Ok(Some(change)),
                Err(BookingError::HorizonNotAhead(_)) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.change(wallet, &plan).await
    }

    /// Does for a wallet what its age asks for: folds what is older than [`HORIZON_AGE`], closes
    /// the periods that this takes out of the formula, raises the horizon, and removes what has
    /// been below it for [`PURGE_DELAY`]. A wallet that has nothing of that age stays as it is; the
    /// horizon rises again only when what it left behind was removed, so that its own age says for
    /// how long it has been there.
    ///
    /// # Errors
    /// As [`Book::raise_horizon`].
    pub async fn advance_horizon(&self, wallet: WalletId, by: &str) -> Result<(), BookError> {
        let horizon = self.now().minus(HORIZON_AGE);
        let read = self.ledger.read(wallet).await?.ok_or(BookError::NoWallet(wallet))?;
        let is_behind = |incarnation: &Incarnation| incarnation.born < horizon;
        let registers = read.registers.keys().map(|(_, incarnation)| incarnation);
        let is_due = registers.chain(read.holds.keys()).any(is_behind);
        if is_due && !read.account.has_rows_behind_horizon() {
            self.fold_dead(wallet, |incarnation| incarnation.born < horizon).await?;
            let running = Period::of(horizon).number();
            if let Some(ended) = Period::from_number(running.saturating_sub(1)) {
                self.close_period(wallet, ended, by).await?;
            }
            self.raise_horizon(wallet, horizon).await?;
        }
        self.purge(wallet).await
    }

    /// Removes what the horizon has left behind, [`PURGE_DELAY`] after it did, however late that
    /// was: a reader that met the account before it was folded must not miss the rows.
    ///
    /// # Errors
    /// [`BookError::NoWallet`], [`BookError::Ledger`].
    pub async fn purge(&self, wallet: WalletId) -> Result<(), BookError> {
        let read = self.ledger.read(wallet).await?.ok_or(BookError::NoWallet(wallet))?;
        if may_purge(&read.account, self.now()) {
            self.ledger.purge(wallet, read.account.header.horizon).await?;
        }
        Ok(())
    }

    /// Moves the floor that calls may take the balance to; true where it moved. A lower limit is a
    /// debit, which a strict wallet refuses where gateways may spend the money, unless it is
    /// forced.
    ///
    /// # Errors
    /// [`BookError::Refused`]; as [`Book::fold_dead`].
    pub async fn set_overdraft_limit(
        &self,
        wallet: WalletId,
        booking: &Booking,
        limit: Money,
    ) -> Result<bool, BookError> {
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            booking::overdraft_limit(account, registers, rates, booking, limit)
        };
        self.change(wallet, &plan).await
    }

    /// Begins to change what the wallet does when its balance may be stale; true where it was
    /// another. The change is in force once every gateway has acknowledged it.
    ///
    /// # Errors
    /// [`BookError::Refused`]; as [`Book::fold_dead`].
    pub async fn set_overspend(
        &self,
        wallet: WalletId,
        policy: Overspend,
    ) -> Result<bool, BookError> {
        let plan = |read: &WalletRead, _: &_| booking::overspend(&read.account, policy);
        self.change(wallet, &plan).await
    }

    /// Retires an incarnation on one wallet: what it has counted so far counts, the rest is
    /// suspense, and its grant is free. Returns how many changes that took.
    ///
    /// # Errors
    /// As [`Book::fold_dead`].
    pub async fn retire(
        &self,
        wallet: WalletId,
        incarnation: Incarnation,
    ) -> Result<usize, BookError> {
        let plan = |read: &WalletRead, _: &_| {
            Ok(booking::retire(&read.account, &read.registers, incarnation))
        };
        self.change_all(wallet, &plan).await
    }

    /// Seals the wallet of a deleted developer; true where it was open.
    ///
    /// # Errors
    /// As [`Book::fold_dead`].
    pub async fn seal(&self, wallet: WalletId) -> Result<bool, BookError> {
        let plan = |read: &WalletRead, _: &_| Ok(booking::seal(&read.account));
        self.change(wallet, &plan).await
    }

    /// Makes one change, if there is one to make.
    async fn change(&self, wallet: WalletId, plan: &Plan<'_>) -> Result<bool, BookError> {
        let ask = Ask { wallet, meter: None, want: None };
        let outcome = self.commit_planned(&ask, plan).await?;
        Ok(matches!(outcome, Outcome::Committed(_)))
    }

    /// Makes changes until there is none to make.
    async fn change_all(&self, wallet: WalletId, plan: &Plan<'_>) -> Result<usize, BookError> {
        for made in 0..CHANGES_MAX {
            if !self.change(wallet, plan).await? {
                return Ok(made);
            }
        }
        Ok(CHANGES_MAX)
    }
}
