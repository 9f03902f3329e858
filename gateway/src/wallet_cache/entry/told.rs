//! Settles a call and says what it did, for a caller that asked.
//!
//! Three short locks instead of one, since few calls come here: estimate, settle, view. Another call may settle between them, so
//! cost and balance are estimates; the receipt is exact, since it is made of what the settle itself returned.

use std::time::Duration;

use tollgate_metering::wallet::View;
use tollgate_metering::{BillingType, Money, Receipt, Units};

use super::WalletHold;

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// What a settled call did to its wallet.
#[derive(Debug)]
pub(crate) struct SettledCall {
    /// What its units cost on top of those that were known.
    pub(crate) cost: Option<Money>,
    /// The wallet afterwards; `None` where the call is not paid from it.
    pub(crate) view: Option<View>,
    pub(crate) receipt: Receipt,
}

// === impl WalletHold ===

impl WalletHold {
    /// Turns the hold into units at the monotonic time `now`.
    pub(crate) fn settle_told(
        mut self,
        units: Units,
        excess: Units,
        now: Duration,
    ) -> Option<SettledCall> {
        let hold = self.hold.take()?;
        let entry = &self.entry;
        let incarnation = entry.books.lives.get(hold.life).file.incarnation().id;
        let estimate = entry.cell.lock().wallet.estimate(&hold, units);
        let nanos = entry.settle(hold, self.app, units, excess);
        let (tariff, cost) = estimate?;
        let minute = entry.books.service_time(now)?.0.div_euclid(MINUTE_MS);
        let receipt = Receipt {
            incarnation,
            minute: u32::try_from(minute).ok()?,
            meter: Receipt::mark_of(&tariff.meter(entry.id)),
            units: Units::from_register(nanos),
        };
        let is_paid = tariff.billing == BillingType::Prepaid;
        let view = if is_paid { entry.view() } else { None };
        let cost = if tariff.billing.is_shadow() { Some(Money::ZERO) } else { cost };
        Some(SettledCall { cost, view, receipt })
    }
}
