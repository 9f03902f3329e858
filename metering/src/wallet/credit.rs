//! How far a developer who pays later is from what he may owe.
//!
//! The limit is looked at when a call is admitted and changes nothing in the wallet: postpaid holds
//! are zero, and what was admitted is counted whatever it costs. So it is as optimistic as an
//! optimistic wallet: gateways that admit at once may together go beyond it by what they have not
//! told each other. Not here: limit, fees and credits, which come with the caller.

use std::sync::Arc;
use std::time::Duration;

use super::whole::Whole;
use super::{HoldError, Tariff};
use crate::meter::BillingType;
use crate::money::Money;
use crate::rating::RatingError;
use crate::time::Period;
use crate::units::Units;

// === impl Whole ===

impl Whole {
    pub(super) fn within_credit(
        &self,
        tariff: &Arc<Tariff>,
        credit: Money,
        now: Duration,
        staleness_limit: Duration,
    ) -> Result<(), HoldError> {
        self.known_since(now, staleness_limit)?;
        let computed = || {
            let (price, wanted) = self.wanted(tariff)?;
            Ok((price, wanted, credit.minus(self.used(BillingType::Postpaid, tariff.period)?)?))
        };
        let (price, wanted, left) = computed().map_err(|_: RatingError| HoldError::Full)?;
        if !price.is_zero() && wanted > left {
            return Err(HoldError::CreditReached { left, price });
        }
        Ok(())
    }

    /// Checks that what is known of the wallet is young enough.
    pub(super) fn known_since(
        &self,
        now: Duration,
        staleness_limit: Duration,
    ) -> Result<(), HoldError> {
        let as_of = self.as_of().ok_or(HoldError::Unknown)?;
        if now.saturating_sub(as_of) > staleness_limit {
            return Err(HoldError::TooOld);
        }
        Ok(())
    }

    /// The price of one more unit on a meter whose holds are zero, and what it takes together with
    /// the open calls on such meters, as if every one were of this plan: what they will be charged
    /// under is not kept.
    pub(super) fn wanted(&self, tariff: &Arc<Tariff>) -> Result<(Money, Money), RatingError> {
        let with_open = u128::from(self.open_of(tariff.billing)) + 1;
        let with_open = Units::from_nanos(with_open * Units::ONE.nanos())?;
        let total = self.total(tariff)?;
        let price = tariff.rates.marginal(total, Units::ONE)?;
        Ok((price, tariff.rates.marginal(total, with_open)?))
    }

    /// What units of one billing type cost in a period.
    pub(super) fn used(&self, billing: BillingType, period: Period) -> Result<Money, RatingError> {
        self.charge(|other| other.billing == billing && other.period == period)
    }
}
