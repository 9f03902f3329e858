//! What a wallet is worth: the formula over account and registers.
//!
//! `balance = credited − settled − Σ over prepaid meters inside the horizon of
//! (f(units(meter)) − closed_charge(meter))`, with `units(meter) = settled_units + Σ over
//! incarnations born at or after the horizon of max(0, min(register, cut) − folded)`.
//! The account is read before the registers, so that a fold between both reads is seen as units
//! that are in the registers and not yet folded, never as units in neither.

use std::collections::BTreeMap;

use crate::account::{Account, Header};
use crate::id::Incarnation;
use crate::meter::{BillingType, Meter, Register, Registers};
use crate::money::Money;
use crate::rating::{RateBook, RatingError, charges};
use crate::units::Units;

// === impl Header ===

impl Header {
    /// Whether the meter still counts by its units: its period ends after the horizon. Past it,
    /// checkpoints hold its whole charge.
    #[must_use]
    pub fn counts_meter(&self, meter: &Meter) -> bool {
        meter.period.end() > self.horizon
    }

    /// Whether registers of the incarnation still count.
    #[must_use]
    pub fn counts_incarnation(&self, incarnation: Incarnation) -> bool {
        incarnation.born >= self.horizon
    }

    /// What credits have left before the charges of open meters: `credited − settled`.
    ///
    /// # Errors
    /// A [`RatingError`] where the sum is out of range.
    pub fn base(&self) -> Result<Money, RatingError> {
        Ok(self.credited.minus(self.settled)?)
    }
}

// === impl Account ===

impl Account {
    /// What of a register counts beyond what was folded already.
    #[must_use]
    pub fn unfolded(&self, meter: &Meter, incarnation: Incarnation, register: Register) -> Units {
        if !self.header.counts_incarnation(incarnation) {
            return Units::ZERO;
        }
        let cell = self.cells.get(&(*meter, incarnation)).copied().unwrap_or_default();
        let units = register.units();
        cell.cut.map_or(units, |cut| units.min(cut)).beyond(cell.folded)
    }

    /// Total units by meter, of meters that still count and of those that no longer do.
    ///
    /// Incarnations for which `is_left_out` holds are not counted: a snapshot for a gateway
    /// tells about everybody else.
    ///
    /// # Errors
    /// A [`RatingError`] where a sum is out of range.
    pub fn units(
        &self,
        registers: &Registers,
        is_left_out: impl Fn(Incarnation) -> bool,
    ) -> Result<BTreeMap<Meter, Units>, RatingError> {
        let mut totals: BTreeMap<Meter, Units> =
            self.meters.iter().map(|(meter, totals)| (*meter, totals.settled_units)).collect();
        for ((meter, incarnation), register) in registers {
            if is_left_out(*incarnation) {
                continue;
            }
            let more = self.unfolded(meter, *incarnation, *register);
            let total = totals.entry(*meter).or_default();
            *total = total.plus(more)?;
        }
        Ok(totals)
    }

    /// The wallet's balance; negative for a debt.
    ///
    /// # Errors
    /// A [`RatingError`] where prices are unknown or a sum is out of range.
    pub fn balance(&self, registers: &Registers, rates: &RateBook) -> Result<Money, RatingError> {
        let units = self.units(registers, |_| false)?;
        let counted = units.into_iter().filter(|(meter, _)| {
            meter.billing == BillingType::Prepaid && self.header.counts_meter(meter)
        });
        let mut balance = self.header.base()?;
        for (meter, charge) in charges(rates, counted)? {
            let closed = self.meters.get(&meter).map_or(Money::ZERO, |totals| totals.closed_charge);
            balance = balance.minus(charge.minus(closed)?)?;
        }
        Ok(balance)
    }
}
