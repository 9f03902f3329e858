//! Whether a call in shadow mode would have passed.
//!
//! Nothing is refused in shadow mode and nothing paid; what is decided here is on which meter a
//! call is counted: beside those that would have been charged, or beside those that would have been
//! refused. It is decided as an optimistic wallet would have, from what the gateway knows: what
//! shadow calls of the period would have cost is taken off what there is. Of earlier periods
//! nothing is carried over, since nobody paid it.
//!
//! Not here: prices of what was refused: it costs nothing (`rating`).

use std::sync::Arc;
use std::time::Duration;

use super::whole::Whole;
use super::{HoldError, Tariff, within_bands};
use crate::meter::BillingType;
use crate::money::Money;
use crate::rating::RatingError;

/// Who a call in shadow mode would have been paid by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsIf {
    /// The wallet.
    Prepaid,
    /// Its developer, later, who may owe so much in one period; `None`: any sum.
    Postpaid(Option<Money>),
}

// === impl Whole ===

impl Whole {
    pub(super) fn within_shadow(
        &self,
        tariff: &Arc<Tariff>,
        as_if: AsIf,
        now: Duration,
        staleness_limit: Duration,
    ) -> Result<(), HoldError> {
        let is_limited = as_if != AsIf::Postpaid(None);
        if is_limited {
            self.known_since(now, staleness_limit)?;
        }
        within_bands(tariff, self.total(tariff).map_err(|_| HoldError::Full)?)?;
        let computed = || {
            let (price, wanted) = self.wanted(tariff)?;
            let left = match as_if {
                AsIf::Prepaid => self.available,
                AsIf::Postpaid(None) => return Ok((price, wanted, wanted)),
                AsIf::Postpaid(Some(credit)) => {
                    credit.minus(self.used(BillingType::Postpaid, tariff.period)?)?
                }
            };
            Ok((price, wanted, left.minus(self.used(BillingType::Shadow, tariff.period)?)?))
        };
        let (price, wanted, left) = computed().map_err(|_: RatingError| HoldError::Full)?;
        if price.is_zero() || wanted <= left {
            return Ok(());
        }
        Err(match as_if {
            AsIf::Prepaid => HoldError::TooSmall { available: left, price },
            AsIf::Postpaid(_) => HoldError::CreditReached { left, price },
        })
    }
}
