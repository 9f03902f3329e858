//! Fees of plans, and balances that leave their wallet when the billing type changes.

use tollgate_metering::booking::{self, Booking, Fee};
use tollgate_metering::{BillingType, EntryKind, Money, WalletId};

use super::attempt::Want;
use super::{Book, BookError, Booked};
use crate::ledger::WalletRead;

// === impl Book ===

impl Book {
    /// Books a prepaid fee of a plan, into debt where the balance does not cover it.
    ///
    /// # Errors
    /// As [`Book::adjust`].
    pub async fn fee(
        &self,
        wallet: WalletId,
        booking: &Booking,
        amount: Money,
    ) -> Result<Booked, BookError> {
        self.fee_billed(wallet, booking, amount, BillingType::Prepaid).await
    }

    /// Books a fee of a plan, prepaid as [`Book::fee`] does, for an invoice, or for nobody to pay
    /// where its plan is in shadow mode. Whichever it was booked as, the same id and amount is the same fee.
    ///
    /// # Errors
    /// As [`Book::adjust`].
    pub async fn fee_billed(
        &self,
        wallet: WalletId,
        booking: &Booking,
        amount: Money,
        billing: BillingType,
    ) -> Result<Booked, BookError> {
        let want = Want::amount(wallet, EntryKind::Fee, &booking.id, amount);
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            match billing {
                BillingType::Prepaid => booking::fee(account, registers, rates, booking, amount),
                BillingType::Postpaid => {
                    booking::postpaid_fee(account, registers, rates, booking, amount)
                }
                BillingType::Shadow | BillingType::ShadowRefused => {
                    booking::shadow_fee(account, registers, rates, booking, amount)
                }
            }
            .map(Some)
        };
        self.book(wallet, want, &plan).await
    }

    /// Books the fees that a purchase depends on, all or none: prepaid ones only where the balance
    /// covers them. The first is returned; it stands for all of them.
    ///
    /// # Errors
    /// As [`Book::adjust`].
    ///
    /// # Panics
    /// Where there are no fees.
    pub async fn purchase(
        &self,
        wallet: WalletId,
        booking: &Booking,
        fees: &[Fee],
        billing: BillingType,
    ) -> Result<Booked, BookError> {
        let first = fees.first().expect("a purchase without fees books nothing");
        let want = Want::amount(wallet, EntryKind::Fee, &first.id, first.amount);
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            booking::purchase(account, registers, rates, booking, fees, billing).map(Some)
        };
        self.book(wallet, want, &plan).await
    }

    /// Gives a fee back that was booked as `billing` says: `amount` is what it was.
    ///
    /// # Errors
    /// As [`Book::adjust`].
    pub async fn return_fee(
        &self,
        wallet: WalletId,
        booking: &Booking,
        amount: Money,
        billing: BillingType,
    ) -> Result<Booked, BookError> {
        let want = Want::amount(wallet, EntryKind::Fee, &booking.id, amount.negated());
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            booking::returned_fee(account, registers, rates, booking, amount, billing).map(Some)
        };
        self.book(wallet, want, &plan).await
    }

    /// Moves what is left of a prepaid balance out of it, as a credit that invoices net; once for
    /// each id, whatever was left then. `None` where the account has left `version`, so that what
    /// the caller found out after it had read that version may not hold any more.
    ///
    /// # Errors
    /// As [`Book::adjust`].
    pub async fn transfer(
        &self,
        wallet: WalletId,
        version: u64,
        booking: &Booking,
    ) -> Result<Option<Booked>, BookError> {
        let want = Want::amount(wallet, EntryKind::Transfer, &booking.id, Money::ZERO);
        let want = Want { amount: None, ..want };
        let plan = |read: &WalletRead, rates: &_| {
            let (account, registers) = (&read.account, &read.registers);
            if account.header.version != version {
                return Ok(None);
            }
            booking::transfer(account, registers, rates, booking).map(Some)
        };
        self.book_unless_moved(wallet, want, &plan).await
    }
}
