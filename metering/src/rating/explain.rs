//! How a charge came about: the lines of an invoice.
//!
//! Invariants: the amounts of the lines and the rounding add up to the charge, to the last digit;
//! the charge is what [`Rates::marginal`] says (test: `lines_add_up_to_the_charge`). Lines are in
//! the order of the bands, those without units are left out.

use std::fmt;

use super::models::times;
use super::{Model, Rates, RatingError, SCALE};
use crate::money::{Money, MoneyError};
use crate::units::Units;

/// An amount before it is rounded: a whole number of 10⁻¹⁸ of a currency unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exact(i128);

/// What units of a line are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Free units in front of all bands.
    Free,
    /// Units in the band with this number, from 1, at the price of each.
    Band(usize),
    /// Units in the band with this number, whose price was charged once: with these units, or with
    /// others before them (the amount is zero then).
    Step(usize),
    /// All units, at the price of the band with this number, which their total has reached.
    Tier(usize),
    /// Units beyond a tier's end that cost nothing yet: all units at their own, lower price cost no
    /// more than fewer did at the tier's.
    Discounted(usize),
    /// What was charged before for the units before; the amount is negative.
    Before,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What its units are.
    pub part: Part,
    /// How many.
    pub units: Units,
    /// Of one unit or, of a step, of all.
    pub price: Money,
    /// What they cost.
    pub amount: Exact,
}

/// A charge with its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Its lines.
    pub lines: Vec<Line>,
    /// What rounding to nanos adds; less than a nano either way.
    pub rounding: Exact,
    /// Amounts of all lines and the rounding.
    pub charge: Money,
}

// === impl Exact ===

impl Exact {
    /// No money.
    pub const ZERO: Exact = Exact(0);

    /// The amount in 10⁻¹⁸ of a currency unit.
    #[must_use]
    pub const fn attos(self) -> i128 {
        self.0
    }

    fn of(money: Money) -> Result<Exact, MoneyError> {
        Ok(Exact(money.nanos().checked_mul(SCALE).ok_or(MoneyError::OutOfRange)?))
    }

    fn minus(self, other: Exact) -> Result<Exact, MoneyError> {
        Ok(Exact(self.0.checked_sub(other.0).ok_or(MoneyError::OutOfRange)?))
    }
}

impl fmt::Display for Exact {
    /// The shortest decimal: `0.025`, `-0.0000000005`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = (SCALE * SCALE).unsigned_abs();
        let (whole, fraction) = (self.0.unsigned_abs() / scale, self.0.unsigned_abs() % scale);
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{fraction:018}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

// === impl Part ===

impl fmt::Display for Part {
    /// `free`, `band 1`, `step 1`, `tier 1`, `discounted in tier 2`, `charged before`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Free => f.write_str("free"),
            Part::Band(number) => write!(f, "band {number}"),
            Part::Step(number) => write!(f, "step {number}"),
            Part::Tier(number) => write!(f, "tier {number}"),
            Part::Discounted(number) => write!(f, "discounted in tier {number}"),
            Part::Before => f.write_str("charged before"),
        }
    }
}

// === impl Rates ===

impl Rates {
    /// Says what `more` units cost on top of `total`, which is nothing for a whole period.
    ///
    /// The revisions of a line are explained one by one, each on top of those before it.
    ///
    /// # Errors
    /// A [`RatingError`] where the total or the charge is out of range.
    pub fn explain(&self, total: Units, more: Units) -> Result<Explanation, RatingError> {
        let (from, to) = (total, total.plus(more)?);
        let mut lines = Vec::new();
        let free = self.free.min(to).beyond(from);
        lines.push(Line { part: Part::Free, units: free, price: Money::ZERO, amount: Exact::ZERO });
        let (from, to) = (from.beyond(self.free), to.beyond(self.free));
        match self.model {
            Model::Marginal => self.band_lines(from, to, &mut lines)?,
            Model::Stairs => self.step_lines(from, to, &mut lines)?,
            Model::Tiered => self.tier_lines(from, to, &mut lines)?,
        }
        lines.retain(|line| !line.units.is_zero());
        let charge = self.marginal(total, more)?;
        let mut rounding = Exact::of(charge)?;
        for line in &lines {
            rounding = rounding.minus(line.amount)?;
        }
        Ok(Explanation { lines, rounding, charge })
    }

    fn band_lines(&self, from: Units, to: Units, lines: &mut Vec<Line>) -> Result<(), MoneyError> {
        for (index, span) in self.spans().enumerate() {
            let units = span.end.min(to).beyond(span.below.max(from));
            let amount = Exact(times(span.price, units)?);
            lines.push(Line { part: Part::Band(index + 1), units, price: span.price, amount });
        }
        Ok(())
    }

    fn step_lines(&self, from: Units, to: Units, lines: &mut Vec<Line>) -> Result<(), MoneyError> {
        for (index, span) in self.spans().enumerate() {
            let units = span.end.min(to).beyond(span.below.max(from));
            let is_entered = from <= span.below && span.below < to;
            let amount = if is_entered { Exact::of(span.price)? } else { Exact::ZERO };
            lines.push(Line { part: Part::Step(index + 1), units, price: span.price, amount });
        }
        Ok(())
    }

    fn tier_lines(&self, from: Units, to: Units, lines: &mut Vec<Line>) -> Result<(), MoneyError> {
        if from == to {
            return Ok(());
        }
        // The tier and the total that decide: the last of those that cost most.
        let mut decides = (0, Units::ZERO, Money::ZERO, 0);
        let mut reached = 0;
        for (index, span) in self.spans().take_while(|span| span.below < to).enumerate() {
            let units = span.end.min(to);
            let exact = times(span.price, units)?;
            if exact >= decides.3 {
                decides = (index + 1, units, span.price, exact);
            }
            reached = index + 1;
        }
        let (tier, units, price, exact) = decides;
        lines.push(Line { part: Part::Tier(tier), units, price, amount: Exact(exact) });
        let (part, units) = (Part::Discounted(reached), to.beyond(units));
        lines.push(Line { part, units, price: Money::ZERO, amount: Exact::ZERO });
        let before = Exact::ZERO.minus(Exact(self.exact(from)?))?;
        lines.push(Line { part: Part::Before, units: from, price: Money::ZERO, amount: before });
        Ok(())
    }
}
