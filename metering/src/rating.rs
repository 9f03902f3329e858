//! Prices units under rate plans.
//!
//! A charge is a pure function of a meter's total units, so it does not depend on which gateway
//! served which call, in which order, or how often a report was repeated: two gateways that both
//! think the free tier is not used up cannot give it away twice. Bands are summed exactly and
//! rounded once, half to even, to nanos.
//!
//! The revisions of one plan in one period are walked as one line: revision k charges
//! `f_k(U_1 + … + U_k) − f_k(U_1 + … + U_{k−1})`, so a price edit does not restart a free tier.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::PlanId;
use crate::meter::Meter;
use crate::money::{Money, MoneyError};
use crate::units::{Units, UnitsError};

/// Nano-units in a unit: what a product of nanos and nano-units is divided by.
const SCALE: i128 = 1_000_000_000;

/// One band of a rate plan: what each unit costs up to a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Total units at which the band ends, included; `None` in the last band, which is open.
    pub up_to: Option<Units>,
    /// Price of one unit, not negative.
    pub price: Money,
}

/// The prices of one rate plan revision; immutable once published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// In rising order, the last one open; never empty.
    bands: Box<[Band]>,
    /// The price of a whole unit where there is one band, which needs no division.
    flat: Option<Money>,
}

/// Prices by plan and revision: what a wallet's meters are charged under.
#[derive(Clone, Debug, Default)]
pub struct RateBook(HashMap<(PlanId, u32), Arc<Rates>>);

/// Why prices are not a rate plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatesError {
    /// No band at all.
    #[error("a rate plan needs at least one price")]
    Empty,
    /// A price below zero.
    #[error("price of band {band} is negative")]
    NegativePrice {
        /// The band, counted from 1.
        band: usize,
    },
    /// A band that does not end after the one before it.
    #[error("band {band} ends at or before the band in front of it")]
    Order {
        /// The band, counted from 1.
        band: usize,
    },
    /// An end in the last band, or none in an earlier one.
    #[error("band {band}: every band but the last has an end, and the last has none")]
    End {
        /// The band, counted from 1.
        band: usize,
    },
}

/// Why units cannot be priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// The charge or a sum of charges is out of range.
    #[error("charge is out of range")]
    Money(#[from] MoneyError),
    /// A sum of units is out of range.
    #[error("total of units is out of range")]
    Units(#[from] UnitsError),
    /// The prices of this revision are not at hand.
    #[error("prices of rate plan {plan} revision {revision} are unknown")]
    UnknownRates {
        /// The plan.
        plan: PlanId,
        /// Its revision.
        revision: u32,
    },
}

// === impl Rates ===

impl Rates {
    /// One price for every unit (`FIXED_PER_UNIT`).
    ///
    /// # Errors
    /// [`RatesError::NegativePrice`].
    pub fn flat(price: Money) -> Result<Rates, RatesError> {
        Rates::banded(vec![Band { up_to: None, price }])
    }

    /// Marginal prices by bands (`BANDED`): each unit costs the price of the band it falls in.
    ///
    /// # Errors
    /// A [`RatesError`] that names the band.
    pub fn banded(bands: Vec<Band>) -> Result<Rates, RatesError> {
        let last = bands.len().checked_sub(1).ok_or(RatesError::Empty)?;
        let mut below = Units::ZERO;
        for (index, band) in bands.iter().enumerate() {
            let number = index + 1;
            if band.price.is_negative() {
                return Err(RatesError::NegativePrice { band: number });
            }
            match band.up_to {
                Some(end) if index < last && end > below => below = end,
                Some(_) if index < last => return Err(RatesError::Order { band: number }),
                None if index == last => {}
                _ => return Err(RatesError::End { band: number }),
            }
        }
        let flat = (last == 0).then(|| bands[0].price);
        Ok(Rates { bands: bands.into(), flat })
    }

    /// The bands in rising order.
    #[must_use]
    pub fn bands(&self) -> &[Band] {
        &self.bands
    }

    /// The most that `more` units can cost, rounded up, where at least `total` units were counted
    /// before them: what a strict hold sets aside.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn most(&self, total: Units, more: Units) -> Result<Money, MoneyError> {
        let applies = |band: &&Band| band.up_to.is_none_or(|end| end > total);
        let price = self.bands.iter().filter(applies).map(|band| band.price).max();
        let exact = i128::try_from(more.nanos())
            .ok()
            .and_then(|more| more.checked_mul(price.unwrap_or(Money::ZERO).nanos()))
            .ok_or(MoneyError::OutOfRange)?;
        Money::from_nanos(exact / SCALE + i128::from(exact % SCALE > 0))
    }

    /// What `total` units cost, from the first unit of the period on.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn charge(&self, total: Units) -> Result<Money, MoneyError> {
        if let Some(price) = self.flat
            && total == Units::ONE
        {
            return Ok(price);
        }
        // Nanos × nano-units: 10⁻¹⁸ of a currency unit, exact.
        let mut exact: i128 = 0;
        let mut below: u128 = 0;
        for band in &self.bands {
            let end = band.up_to.map_or(total, |end| end.min(total)).nanos();
            let within = i128::try_from(end.saturating_sub(below)).expect("units are below 2^127");
            exact = within
                .checked_mul(band.price.nanos())
                .and_then(|part| exact.checked_add(part))
                .ok_or(MoneyError::OutOfRange)?;
            if end == total.nanos() {
                break;
            }
            below = end;
        }
        Money::from_nanos(half_to_even(exact))
    }

    /// What `more` units cost on top of `total`.
    ///
    /// # Errors
    /// A [`RatingError`] where the total or the charge is out of range.
    pub fn marginal(&self, total: Units, more: Units) -> Result<Money, RatingError> {
        if let Some(price) = self.flat
            && more == Units::ONE
            && total.nanos().is_multiple_of(Units::ONE.nanos())
        {
            return Ok(price);
        }
        Ok(self.charge(total.plus(more)?)?.minus(self.charge(total)?)?)
    }
}

// === impl RateBook ===

impl RateBook {
    /// Adds the prices of a revision. Revisions are immutable: adding one again changes nothing.
    pub fn add(&mut self, plan: PlanId, revision: u32, rates: Arc<Rates>) {
        self.0.entry((plan, revision)).or_insert(rates);
    }

    /// The prices of a revision.
    ///
    /// # Errors
    /// [`RatingError::UnknownRates`].
    pub fn rates(&self, plan: PlanId, revision: u32) -> Result<&Arc<Rates>, RatingError> {
        self.0.get(&(plan, revision)).ok_or(RatingError::UnknownRates { plan, revision })
    }

    /// Whether the prices of a revision are at hand.
    #[must_use]
    pub fn has(&self, plan: PlanId, revision: u32) -> bool {
        self.0.contains_key(&(plan, revision))
    }
}

/// Charges of `meters` with their total units, in the order given: ascending meters, so that the
/// revisions of a line stand side by side.
///
/// # Errors
/// A [`RatingError`] where prices are unknown or a sum is out of range.
pub fn charges(
    rates: &RateBook,
    meters: impl IntoIterator<Item = (Meter, Units)>,
) -> Result<Vec<(Meter, Money)>, RatingError> {
    let mut charged: Vec<(Meter, Money)> = Vec::new();
    let mut below = Units::ZERO;
    for (meter, units) in meters {
        if charged.last().is_none_or(|(before, _)| !before.is_same_line(&meter)) {
            below = Units::ZERO;
        }
        let price = rates.rates(meter.plan, meter.revision)?.marginal(below, units)?;
        below = below.plus(units)?;
        charged.push((meter, price));
    }
    Ok(charged)
}

/// Divides by [`SCALE`], rounding half to even. `exact` is not negative.
const fn half_to_even(exact: i128) -> i128 {
    let (whole, rest) = (exact / SCALE, exact % SCALE);
    let is_up = rest * 2 > SCALE || (rest * 2 == SCALE && whole % 2 == 1);
    if is_up { whole + 1 } else { whole }
}

#[cfg(test)]
mod tests;
