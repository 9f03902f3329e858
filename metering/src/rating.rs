//! Prices units under rate plans.
//!
//! A charge is a pure function of a meter's total units, so it does not depend on which gateway
//! served which call, in which order, or how often a report was repeated: two gateways that both
//! think the free tier is not used up cannot give it away twice. Bands are summed exactly and
//! rounded once, half to even, to nanos.
//!
//! The revisions of one plan in one period are walked as one line: revision k charges
//! `f_k(U_1 + … + U_k) − f_k(U_1 + … + U_{k−1})`, so a price edit does not restart a free tier.
//!
//! Invariants, for every [`Model`]: no units cost nothing; a charge never falls when units rise, so
//! that a checkpoint, a ceiling and a hold never have to be taken back (test: `charges_never_fall`);
//! [`Rates::most`] is the greatest difference of two charges (test: `holds_cover_any_call`).
//! Past the end of a bounded last band ([`Rates::units_max`]) that band goes on: gateways refuse
//! calls there, and what they let through on old knowledge is charged, never lost.
//! How a charge came about says `explain`.

use std::collections::HashMap;
use std::sync::Arc;

pub use explain::{Exact, Explanation, Line, Part};

use crate::id::PlanId;
use crate::meter::{BillingType, Meter};
use crate::money::{Money, MoneyError};
use crate::units::{Units, UnitsError};

mod explain;
mod models;

/// Nano-units in a unit: what a product of nanos and nano-units is divided by.
const SCALE: i128 = 1_000_000_000;

/// How the prices of bands become a charge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Model {
    /// Each unit costs the price of the band that it falls in: `FIXED_PER_UNIT` and `BANDED`,
    /// Edge's `UNIT` and `VOLUME`.
    #[default]
    Marginal,
    /// All units cost the price of the band that their total has reached, and never less than
    /// fewer units cost: `f(U) = max over u ≤ U of u × price(u)`. `TIERED`.
    Tiered,
    /// A band costs its price once, as soon as any of its units is counted, and with it all bands
    /// below: `STAIRSTEP`, and Edge's `STAIR_STEP`, where a band is called a bundle.
    Stairs,
}

/// One band of a rate plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Total units at which the band ends, included; `None` where it has no end.
    pub up_to: Option<Units>,
    /// Price of one unit or, of [`Model::Stairs`], of the band; not negative.
    pub price: Money,
}

/// The prices of one rate plan revision; immutable once published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    model: Model,
    /// In rising order, all but the last with an end; never empty.
    bands: Box<[Band]>,
    /// Units of a period that cost nothing; bands begin after them.
    free: Units,
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
    /// No end in a band that is not the last.
    #[error("band {band}: every band but the last has an end")]
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
        Rates::new(Model::Marginal, bands, Units::ZERO)
    }

    /// Prices by bands under a model, after `free` units of each period that cost nothing and take
    /// no room in the bands; [`Units::MAX`]: all of them.
    ///
    /// # Errors
    /// A [`RatesError`] that names the band.
    pub fn new(model: Model, bands: Vec<Band>, free: Units) -> Result<Rates, RatesError> {
        let last = bands.len().checked_sub(1).ok_or(RatesError::Empty)?;
        let mut below = Units::ZERO;
        for (index, band) in bands.iter().enumerate() {
            let number = index + 1;
            if band.price.is_negative() {
                return Err(RatesError::NegativePrice { band: number });
            }
            match band.up_to {
                Some(end) if end > below => below = end,
                Some(_) => return Err(RatesError::Order { band: number }),
                None if index == last => {}
                None => return Err(RatesError::End { band: number }),
            }
        }
        let is_flat = last == 0 && model == Model::Marginal && free.is_zero();
        let flat = is_flat.then(|| bands[0].price);
        Ok(Rates { model, bands: bands.into(), free, flat })
    }

    /// How bands become a charge.
    #[must_use]
    pub const fn model(&self) -> Model {
        self.model
    }

    /// The bands in rising order.
    #[must_use]
    pub fn bands(&self) -> &[Band] {
        &self.bands
    }

    /// Units of a period that cost nothing, before the first band.
    #[must_use]
    pub const fn free(&self) -> Units {
        self.free
    }

    /// Total units of a period beyond which calls are refused; `None`: there is no such end.
    #[must_use]
    pub fn units_max(&self) -> Option<Units> {
        let end = self.bands.last()?.up_to?;
        Some(end.plus(self.free).unwrap_or(Units::MAX))
    }

    /// Whether a call of one unit on top of `total` goes past [`Rates::units_max`].
    #[must_use]
    pub fn is_exceeded(&self, total: Units) -> bool {
        self.units_max().is_some_and(|most| most.beyond(total) < Units::ONE)
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
        Money::from_nanos(half_to_even(self.exact(total.beyond(self.free))?))
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

    /// What `more` units on a meter cost on top of `total` on its line. What would have been refused
    /// costs nothing.
    ///
    /// # Errors
    /// As [`RateBook::rates`] and [`Rates::marginal`].
    pub fn marginal(&self, meter: &Meter, total: Units, more: Units) -> Result<Money, RatingError> {
        match meter.billing {
            BillingType::Prepaid | BillingType::Postpaid | BillingType::Shadow => {
                self.rates(meter.plan, meter.revision)?.marginal(total, more)
            }
            BillingType::ShadowRefused => Ok(Money::ZERO),
        }
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
        let price = rates.marginal(&meter, below, units)?;
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
