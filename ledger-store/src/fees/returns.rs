//! Fees of purchases that were taken back before they began: nothing was had for them, so they are
//! given back.
//!
//! What was taken back is noted with the subscription, in the write that takes it back; the entries
//! have ids made of the fees', so that of two who give back one finds it done. What was never booked,
//! or was waived, does not come back. A fee comes back the way it went, whoever pays when by then:
//! a prepaid one to its wallet, a postpaid one off the invoice, one in shadow mode off the reports.

use tollgate_metering::booking::{Booking, BookingError, entry_id};
use tollgate_metering::{BillingType, DeveloperId, EntryKind, UnixMillis, WalletId};

use super::{Fees, FeesError};
use crate::book::BookError;
use crate::catalogue::records::Subscription;

// === impl Fees ===

impl Fees {
    /// Gives the fees of a purchase back that was taken back before it began, if that is not done
    /// yet; adds wallets that have another balance now to `changed`.
    ///
    /// # Errors
    /// Of the first fee that was not given back; a later pass does it.
    pub async fn return_fees(
        &self,
        organization: &str,
        developer: DeveloperId,
        subscription: &Subscription,
        by: &str,
        (now, changed): (UnixMillis, &mut Vec<WalletId>),
    ) -> Result<(), FeesError> {
        if !subscription.is_fee_back_due {
            return Ok(());
        }
        for fee in subscription.purchase_fees() {
            let id = entry_id(EntryKind::Fee, &fee.id);
            let Some(paid) = self.ledger.entry(developer, &id).await? else { continue };
            let billing = match paid.kind {
                EntryKind::PostpaidFee => BillingType::Postpaid,
                EntryKind::ShadowFee => BillingType::Shadow,
                EntryKind::Fee
                | EntryKind::Credit
                | EntryKind::Adjustment
                | EntryKind::Checkpoint
                | EntryKind::PostpaidCheckpoint
                | EntryKind::ShadowCheckpoint
                | EntryKind::Limit
                | EntryKind::SuspenseCharge
                | EntryKind::SuspenseWriteOff
                | EntryKind::Usage
                | EntryKind::Transfer => BillingType::Prepaid,
            };
            let booking = Booking {
                id: format!("{}/back", fee.id),
                at: now,
                by: by.to_owned(),
                reason: format!("{} given back: taken back before it began", fee.reason),
                is_forced: false,
            };
            match self.book.return_fee(paid.wallet, &booking, paid.amount, billing).await {
                Ok(booked) if billing == BillingType::Prepaid && !booked.is_repeated => {
                    changed.push(paid.wallet);
                }
                // Of a developer who was deleted.
                Ok(_) | Err(BookError::Refused(BookingError::Sealed)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let id = subscription.id;
        Ok(self.catalogue.note_fees_returned(organization, developer, id, now).await?)
    }
}
