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
use crate::units::Units;

/// Nano-units of one unit.
const UNIT: u64 = Units::ONE.nanos() as u64;

// === impl Whole ===

impl Whole {
    pub(super) fn within_credit(
        &self,
        tariff: &Arc<Tariff>,
        credit: Money,
        now: Duration,
        staleness_limit: Duration,
    ) -> Result<(), HoldError> {
        let as_of = self.as_of().ok_or(HoldError::Unknown)?;
        if now.saturating_sub(as_of) > staleness_limit {
            return Err(HoldError::TooOld);
        }
        let calls: u64 = self.holds.iter().map(|held| u64::from(held.calls - held.prepaid)).sum();
        let with_open = calls.checked_add(1).and_then(|calls| calls.checked_mul(UNIT));
        let with_open = Units::from_register(with_open.ok_or(HoldError::Full)?);
        let computed = || {
            let total = self.total(tariff)?;
            let price = tariff.rates.marginal(total, Units::ONE)?;
            // As if every open call were of this plan: what they will be charged under is not kept.
            let wanted = tariff.rates.marginal(total, with_open)?;
            let owed = self.charge(|other| {
                other.billing == BillingType::Postpaid && other.period == tariff.period
            })?;
            Ok((price, wanted, credit.minus(owed)?))
        };
        let (price, wanted, left) =
            computed().map_err(|_: crate::rating::RatingError| HoldError::Full)?;
        if !price.is_zero() && wanted > left {
            return Err(HoldError::CreditReached { left, price });
        }
        Ok(())
    }
}
