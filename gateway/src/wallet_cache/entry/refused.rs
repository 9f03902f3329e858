//! Why a wallet gives no hold, and whether it would have given one to a call in shadow mode.

use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::Money;
use tollgate_metering::wallet::{AsIf, HoldError, Tariff, View};

use super::{Cell, Feed, WalletEntry};
use crate::caller_cache::Credit;
use crate::spend_file::SpendFileError;

/// Why a wallet gave no hold.
#[derive(Debug)]
pub(crate) enum NoHold {
    /// Fetch it and ask again.
    Unknown,
    /// There is no such wallet.
    Absent,
    /// What is known is too old, and nothing newer comes.
    Stale,
    /// It does not cover the call.
    TooSmall(Box<Lack>),
    /// Its developer, who pays later, would owe more than he may.
    CreditReached(Box<Lack>),
    /// The plan's last band has ended.
    BandExceeded,
    /// A strict wallet's grant has no room for the call: a node was asked for more.
    Ungranted,
    /// Its overspend policy is changing.
    Changing,
    /// The gateway has no incarnation that takes calls.
    NotServing,
    /// The call's units could not be recorded; the error where it is new.
    Unmetered(Option<SpendFileError>),
}

/// A call that a wallet does not cover.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lack {
    pub(crate) price: Money,
    pub(crate) available: Money,
    /// What one may cost at the start of the next period.
    pub(crate) returned: Money,
    /// The wallet at that moment; `None` where it is not what pays.
    pub(crate) view: Option<View>,
}

// === impl WalletEntry ===

impl WalletEntry {
    /// Whether a call in shadow mode would have been given a hold, had it been paid `as_if`.
    pub(crate) fn fits(
        &self,
        tariff: &Arc<Tariff>,
        as_if: AsIf,
        now: Duration,
    ) -> Result<(), NoHold> {
        self.touch(now);
        let mut cell = self.cell.lock();
        if cell.is_blocked || cell.is_evicted {
            return Err(NoHold::Unknown);
        }
        let fits = cell.wallet.within_shadow(tariff, as_if, now, self.books.staleness_limit);
        fits.map_err(|error| cell.no_hold(error, None))
    }
}

// === impl Cell ===

impl Cell {
    /// What the driver is told of an error.
    pub(super) fn no_hold(&self, error: HoldError, credit: Option<Credit>) -> NoHold {
        match error {
            HoldError::Unknown if self.is_absent => NoHold::Absent,
            HoldError::TooOld if self.feed == Feed::Live => NoHold::Stale,
            HoldError::Unknown | HoldError::TooOld => NoHold::Unknown,
            HoldError::TooSmall { available, price } => {
                let view = self.wallet.view();
                NoHold::TooSmall(Box::new(Lack { price, available, returned: available, view }))
            }
            HoldError::CreditReached { left, price } => {
                let returned = credit.map_or(Money::ZERO, |credit| credit.limit);
                NoHold::CreditReached(Box::new(Lack {
                    price,
                    available: left,
                    returned,
                    view: None,
                }))
            }
            HoldError::BandExceeded { .. } => NoHold::BandExceeded,
            HoldError::Ungranted { .. } => NoHold::Ungranted,
            HoldError::Changing => NoHold::Changing,
            HoldError::Unopened | HoldError::Full => NoHold::Unmetered(None),
        }
    }
}
