//! The charge of each model, exact, and the most that a call can cost.
//!
//! Amounts are in 10⁻¹⁸ of a currency unit (nanos × nano-units), units are those past the free
//! ones. A charge is left-continuous: a unit that ends where a band ends is in that band.

use super::{Model, Rates, SCALE};
use crate::money::{Money, MoneyError};
use crate::units::Units;

/// A band with both ends: from `below`, not included, to `end`, included. The last one is open.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) below: Units,
    pub(super) end: Units,
    pub(super) price: Money,
}

// === impl Rates ===

impl Rates {
    /// The bands with both ends, as charges walk them.
    pub(super) fn spans(&self) -> impl Iterator<Item = Span> {
        let last = self.bands.len() - 1;
        let mut below = Units::ZERO;
        self.bands.iter().enumerate().map(move |(index, band)| {
            let end = band.up_to.filter(|_| index < last).unwrap_or(Units::MAX);
            Span { below: std::mem::replace(&mut below, end), end, price: band.price }
        })
    }

    /// What `total` units cost before it is rounded.
    pub(super) fn exact(&self, total: Units) -> Result<i128, MoneyError> {
        let mut exact: i128 = 0;
        for span in self.spans().take_while(|span| span.below < total) {
            let reached = span.end.min(total);
            exact = match self.model {
                Model::Marginal => {
                    exact.checked_add(times(span.price, reached.beyond(span.below))?)
                }
                Model::Tiered => Some(exact.max(times(span.price, reached)?)),
                Model::Stairs => exact.checked_add(times(span.price, Units::ONE)?),
            }
            .ok_or(MoneyError::OutOfRange)?;
        }
        Ok(exact)
    }

    /// The most that `more` units can cost, rounded up, where at least `total` units were counted
    /// before them: what a strict hold sets aside.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn most(&self, total: Units, more: Units) -> Result<Money, MoneyError> {
        let total = total.beyond(self.free);
        let exact = match self.model {
            Model::Marginal => {
                let applies = self.spans().filter(|span| span.end > total);
                let price = applies.map(|span| span.price).max();
                times(price.unwrap_or(Money::ZERO), more)?
            }
            Model::Tiered => self.steepest(total, more)?,
            Model::Stairs => self.dearest_steps(total, more)?,
        };
        Money::from_nanos(exact / SCALE + i128::from(exact % SCALE > 0))
    }

    /// Units past `total` that cost nothing if they come before others do, and could cost something
    /// after them: what several gateways may each believe to be free.
    #[must_use]
    pub fn free_ahead(&self, total: Units) -> Units {
        if self.free == Units::MAX {
            return Units::ZERO;
        }
        let mut free = self.free.beyond(total).nanos();
        let total = total.beyond(self.free);
        let mut charged: i128 = 0;
        for span in self.spans() {
            let is_open = span.end == Units::MAX;
            let end = match self.model {
                Model::Marginal if span.price.is_zero() && !is_open => span.end,
                Model::Marginal => span.below,
                Model::Stairs if is_open => span.below,
                Model::Stairs => span.end,
                // Free as long as all units together cost no more than fewer did.
                Model::Tiered => match units_for(charged, span.price) {
                    Some(units) => units.min(span.end).max(span.below),
                    None if is_open => span.below,
                    None => span.end,
                },
            };
            free = free.saturating_add(end.beyond(span.below.max(total)).nanos());
            charged = charged.max(times(span.price, span.end).unwrap_or(i128::MAX));
        }
        Units::from_nanos(free).unwrap_or(Units::MAX)
    }

    /// The dearest run of bands that `more` units can enter.
    fn dearest_steps(&self, total: Units, more: Units) -> Result<i128, MoneyError> {
        let mut dearest = 0;
        for first in self.spans().filter(|span| span.below >= total) {
            let entered = self
                .spans()
                .filter(|span| span.below >= first.below && span.below.beyond(first.below) < more);
            let mut sum: i128 = 0;
            for span in entered {
                sum = times(span.price, Units::ONE)?
                    .checked_add(sum)
                    .ok_or(MoneyError::OutOfRange)?;
            }
            dearest = dearest.max(sum);
        }
        Ok(dearest)
    }

    /// The greatest rise of a tiered charge over `more` units.
    ///
    /// The charge is made of straight pieces, so that the rise is greatest where one end of the
    /// `more` units lies at an end of a piece, or where they begin at `total`. Looks at all of
    /// those, of which there are at most eight a band.
    fn steepest(&self, total: Units, more: Units) -> Result<i128, MoneyError> {
        let rise = |from: Units| -> Result<i128, MoneyError> {
            let to = from.plus(more).map_err(|_| MoneyError::OutOfRange)?;
            Ok(self.exact(to)? - self.exact(from)?)
        };
        let mut steepest = rise(total)?;
        let mut look = |from: Option<Units>| {
            // Where a charge is out of range nobody can be charged.
            if let Some(Ok(found)) = from.filter(|from| *from >= total).map(rise) {
                steepest = steepest.max(found);
            }
        };
        let mut charged: i128 = 0;
        for span in self.spans() {
            let ends = [Some(span.end), units_for(charged, span.price)];
            for end in ends.into_iter().flatten().filter(|end| *end > span.below) {
                for end in [end.nanos(), end.nanos() + 1] {
                    look(Units::from_nanos(end).ok());
                    let from = end.checked_sub(more.nanos());
                    look(from.and_then(|from| Units::from_nanos(from).ok()));
                }
            }
            charged = charged.max(times(span.price, span.end).unwrap_or(i128::MAX));
        }
        Ok(steepest)
    }
}

/// Price times units, in 10⁻¹⁸.
pub(super) fn times(price: Money, units: Units) -> Result<i128, MoneyError> {
    let units = i128::try_from(units.nanos()).map_err(|_| MoneyError::OutOfRange)?;
    price.nanos().checked_mul(units).ok_or(MoneyError::OutOfRange)
}

/// The most units that cost no more than `exact` at a price; `None` where all do.
fn units_for(exact: i128, price: Money) -> Option<Units> {
    let nanos = u128::try_from(exact.checked_div(price.nanos())?).ok()?;
    Some(Units::from_nanos(nanos).unwrap_or(Units::MAX))
}
