//! What a wallet is worth: the formula over account and registers.
//!
//! `balance = credited − settled − Σ over prepaid meters inside the horizon of
//! (f(units(meter)) − closed_charge(meter))`, with `units(meter) = settled_units + Σ over
//! incarnations born at or after the horizon of max(0, min(register, cut) − folded)`.
//! The account is read before the registers, so that a fold between both reads is seen as units
//! that are in the registers and not yet folded, never as units in neither.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::account::{Account, Header};
use crate::id::Incarnation;
use crate::meter::{BillingType, Meter, Register, Registers};
use crate::money::Money;
use crate::rating::{RateBook, RatingError, charges};
use crate::time::{Period, UnixMillis};
use crate::units::Units;

/// How long after its end a period still counts; more than the clocks of two nodes that serve can
/// disagree.
pub const PERIOD_GRACE: Duration = Duration::from_secs(300);

/// Whether meters of a period still count by their units under this horizon; ledger and gateways
/// must agree on it, or a meter's charge would stand in a balance twice or not at all.
#[must_use]
pub fn counts_period(period: Period, horizon: UnixMillis) -> bool {
    period.end().plus(PERIOD_GRACE) > horizon
}

// === impl Header ===

impl Header {
    /// Whether the meter still counts by its units: the horizon is not past its period. Past it,
    /// checkpoints hold its whole charge.
    ///
    /// The horizon is past a period [`PERIOD_GRACE`] after its end: nodes disagree about the time
    /// by up to a minute each, so an incarnation born just after the end by one clock may have
    /// counted on the old period by another, and a meter must not leave before its registers.
    #[must_use]
    pub fn counts_meter(&self, meter: &Meter) -> bool {
        counts_period(meter.period, self.horizon)
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
        self.cut(meter, incarnation).map_or(units, |cut| units.min(cut)).beyond(cell.folded)
    }

    /// Whether the account still knows rows that the horizon has left behind: they are not removed
    /// yet.
    #[must_use]
    pub fn has_rows_behind_horizon(&self) -> bool {
        self.cells.keys().any(|(_, incarnation)| !self.header.counts_incarnation(*incarnation))
    }

    /// What readers take at most of a register: none but for an incarnation that was retired.
    #[must_use]
    pub fn cut(&self, meter: &Meter, incarnation: Incarnation) -> Option<Units> {
        let cell = self.cells.get(&(*meter, incarnation));
        let is_retired = || self.ceilings.get(&incarnation).is_some_and(|each| each.is_retired);
        cell.and_then(|cell| cell.cut).or_else(|| is_retired().then_some(Units::ZERO))
    }

    /// Total units by meter, of meters that still count and of those that no longer do.
    ///
    /// Incarnations for which `is_left_out` holds are not counted, folded or not: a snapshot for a
    /// gateway tells about everybody else.
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
        for ((meter, incarnation), cell) in &self.cells {
            if is_left_out(*incarnation) && self.header.counts_incarnation(*incarnation) {
                let total = totals.entry(*meter).or_default();
                *total = total.beyond(cell.folded);
            }
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

    /// What calls to come may lower the balance by beyond what they cost themselves: a charge is
    /// rounded once, so one more call can cost a nano more where the units before it were not
    /// whole.
    ///
    /// # Errors
    /// A [`RatingError`] where a sum is out of range.
    pub fn rounding(&self, registers: &Registers) -> Result<Money, RatingError> {
        let units = self.units(registers, |_| false)?;
        let broken = units.iter().filter(|(meter, units)| {
            let is_whole = units.nanos().is_multiple_of(Units::ONE.nanos());
            meter.billing == BillingType::Prepaid && self.header.counts_meter(meter) && !is_whole
        });
        Ok(Money::from_nanos(i128::try_from(broken.count()).unwrap_or(i128::MAX))?)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::account::{Cell, MeterTotals};
    use crate::id::{DeveloperId, PlanId, ProductId, WalletId};
    use crate::time::{Period, UnixMillis};

    fn units(text: &str) -> Units {
        text.parse().unwrap()
    }

    /// A snapshot told a gateway about everybody else, and counted the gateway's own units once
    /// they were folded: the gateway added them again and refused calls that were paid for.
    #[test]
    fn an_incarnation_that_is_left_out_is_left_out_folded_or_not() {
        let (wallet, now) = (WalletId(Uuid::from_u128(1)), UnixMillis(1_795_348_800_000));
        let developer = DeveloperId(Uuid::from_u128(2));
        let eur = "EUR".parse().unwrap();
        let mut account = Account::unopened(wallet, "acme", developer, eur, 1, now);
        let meter = Meter {
            wallet,
            product: ProductId(Uuid::from_u128(3)),
            plan: PlanId(Uuid::from_u128(4)),
            billing: BillingType::Prepaid,
            period: Period::of(now),
            revision: 1,
        };
        let own = Incarnation { born: now, id: Uuid::from_u128(5) };
        let other = Incarnation { born: now, id: Uuid::from_u128(6) };
        let mut registers = Registers::new();
        registers.insert((meter, own), Register { live: units("7"), recovered: Units::ZERO });
        registers.insert((meter, other), Register { live: units("5"), recovered: Units::ZERO });
        let others = |account: &Account| {
            account.units(&registers, |incarnation| incarnation == own).unwrap()[&meter]
        };
        assert_eq!(others(&account), units("5"));

        let totals = MeterTotals { settled_units: units("9"), ..MeterTotals::default() };
        account.meters.insert(meter, totals);
        account.cells.insert((meter, own), Cell { folded: units("6"), cut: None });
        account.cells.insert((meter, other), Cell { folded: units("3"), cut: None });
        assert_eq!(others(&account), units("5"));
        assert_eq!(account.units(&registers, |_| false).unwrap()[&meter], units("12"));
    }
}
