//! What a strict wallet does otherwise: it admits under a grant, and says what it drew of it.

use std::sync::Arc;
use std::time::Duration;

use super::grants::{self, Short};
use super::whole::Whole;
use super::{HoldError, Life, Tariff};
use crate::account::Overspend;
use crate::id::WalletId;
use crate::meter::BillingType;
use crate::money::Money;
use crate::protocol::ReportedDraw;
use crate::units::Units;

// === impl Whole ===

impl Whole {
    pub(super) fn open_prepaid(&self) -> u32 {
        self.open_of(BillingType::Prepaid)
    }

    pub(super) fn draws(&self, wallet: WalletId) -> Vec<(Life, ReportedDraw)> {
        let draw = |grant: grants::Grant| {
            let drawn = ReportedDraw {
                wallet,
                mode: self.grants.mode(),
                settled: grant.settled,
                held: self.held_by(grant.life),
                stamp: grant.stamp,
                limit: grant.limit,
                wanted: self.grants.wanted(grant.life, self.held_by(grant.life)),
            };
            (grant.life, drawn)
        };
        self.grants.all().map(draw).collect()
    }

    pub(super) fn wants(&self) -> bool {
        self.grants.wanting(|life| self.held_by(life)).is_some()
    }

    pub(super) fn has_headroom(&self) -> bool {
        let has_left = |life: Life| self.grants.left(life, self.held_by(life)) > Money::ZERO;
        self.wants() || self.grants.all().any(|grant| has_left(grant.life))
    }

    /// What the next call may cost at most: of a strict wallet what the newest grant has left.
    pub(super) fn next_price_max(&self) -> Money {
        let mode = self.known.as_ref().map(|known| known.mode.overspend);
        if mode != Some(Overspend::Strict) {
            return self.available;
        }
        let newest = self.grants.all().map(|grant| grant.life).max();
        newest.map_or(Money::ZERO, |life| self.grants.left(life, self.held_by(life)))
    }

    /// Whether the wallet is strict, where what is known is young enough and in force.
    pub(super) fn is_strict(
        &self,
        now: Duration,
        staleness_limit: Duration,
    ) -> Result<bool, HoldError> {
        let known = self.known.as_ref().ok_or(HoldError::Unknown)?;
        let as_of = known.as_of.ok_or(HoldError::Unknown)?;
        if now.saturating_sub(as_of) > staleness_limit {
            return Err(HoldError::TooOld);
        }
        if known.mode.is_changing || known.mode.counter < self.mode_floor {
            return Err(HoldError::Changing);
        }
        Ok(known.mode.overspend == Overspend::Strict)
    }

    /// The most that a call of `units_max` can cost.
    pub(super) fn most(&self, tariff: &Arc<Tariff>, units_max: Units) -> Result<Money, HoldError> {
        let most = self.total(tariff).and_then(|total| Ok(tariff.rates.most(total, units_max)?));
        most.map_err(|_| HoldError::Full)
    }

    /// Takes room under the incarnation's ceiling, which the hold then fills.
    pub(super) fn draw(&mut self, life: Life, price: Money) -> Result<(), HoldError> {
        if price.is_zero() {
            return Ok(());
        }
        let held = self.held_by(life);
        self.grants.draw(life, held, price).map_err(|short| match short {
            Short { left, is_denied: true } => HoldError::TooSmall { available: left, price },
            Short { left, is_denied: false } => HoldError::Ungranted { left, price },
        })
    }
}
