//! How far below its floor calls may take a wallet: the bound that holds now.
//!
//! On an optimistic wallet each of N gateways admits by what it knew W ago, so it can spend what
//! the others have spent since. With `q·s` the money that the fastest of them spends in a second
//! and B what lies above the floor, free tiers at full price included:
//! `min((N − 1)·(q·s·W + s), (N − 1)·B) + what open calls may settle beyond their holds`: calls
//! come whole, so each of the others may have one more than its pace says. Nothing caps
//! q, so this is measured, not promised. A strict wallet's calls spend grants, which are inside the
//! balance: its bound is zero, and promised. While a wallet changes its policy some gateways still
//! go by the older one, so it is bound as an optimistic one.
//!
//! Invariants: a bound is never negative; it never falls when a gateway joins, gets faster, or
//! knows less, nor with the money there is (test: `bounds_grow_with_each_input`). All roundings are
//! up, and what is out of range is the largest amount: a bound decides nothing.
//! Not here: who looks when (`balance-sync`), what was overspent (`balance-sync`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::account::{Account, Mode, Overspend};
use crate::id::Incarnation;
use crate::meter::{BillingType, Registers};
use crate::money::Money;
use crate::rating::{RateBook, Rates, RatingError};
use crate::time::Period;
use crate::units::Units;

/// Nano-units in a unit.
const SCALE: i128 = 1_000_000_000;

/// Looks at registers that are closer than this say little about a pace: reports come in steps.
pub const LOOK_MIN: Duration = Duration::from_secs(1);

/// How long the greatest pace is remembered, at least; at most twice as long.
pub const MEMORY: Duration = Duration::from_secs(10);

/// What the age of a gateway's knowledge is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// How long a gateway may wait before it reports, and a node before it tells.
    pub sync_interval: Duration,
    /// From gateway to node, or back.
    pub one_way: Duration,
    /// How long a node may keep what the ledger does not hold.
    pub persist_interval: Duration,
    /// A write of the ledger.
    pub ledger_write: Duration,
    /// The age of knowledge at which a gateway stops admitting.
    pub staleness_limit: Duration,
}

/// How things are around a wallet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Whether other nodes serve it too: what gateways know of each other goes through the ledger.
    pub is_shared: bool,
    /// Whether some gateway may be cut off: it goes on until its knowledge is too old.
    pub is_stale: bool,
}

/// Money in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pace {
    nanos_per_second: i128,
}

/// What a bound is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many gateways may admit calls on the wallet.
    pub gateways: u32,
    /// What the fastest of them spends; `None`: nobody has measured it.
    pub fastest: Option<Pace>,
    /// The most that lay above the floor within the age of knowledge; below it counts as nothing.
    pub above_floor: Money,
    /// Units that are free and may be given away several times, at full price.
    pub free_tiers: Money,
    /// What the dearest call costs.
    pub dearest: Money,
    /// What calls that are open now may settle beyond their holds.
    pub uncovered: Money,
}

/// A bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Calls take the wallet at most so far below its floor.
    pub most: Money,
    /// Whether it holds whatever gateways do; else it was measured.
    pub is_promised: bool,
}

/// The greatest pace of one gateway on a wallet, by looks at its registers.
#[derive(Clone, Debug, Default)]
pub struct Fastest {
    seen_at: Option<Duration>,
    seen: BTreeMap<Incarnation, Money>,
    /// The greatest pace of this memory and of the one before it, and who moved in them.
    windows: [Window; 2],
    has_measured: bool,
}

#[derive(Clone, Debug, Default)]
struct Window {
    since: Duration,
    pace: Pace,
    gateways: u32,
}

/// The bound of a wallet in a mode.
#[must_use]
pub fn exposure(mode: Mode, standing: &Standing, age: Duration) -> Exposure {
    if mode.overspend == Overspend::Strict && !mode.is_changing {
        return Exposure { most: Money::ZERO, is_promised: true };
    }
    let others = i128::from(standing.gateways.saturating_sub(1));
    let above = standing.above_floor.nanos().max(0).saturating_add(standing.free_tiers.nanos());
    let by_money = others.saturating_mul(above.max(0));
    let dearest = standing.dearest.nanos().max(0);
    let by_pace = standing.fastest.map_or(i128::MAX, |pace| {
        others.saturating_mul(pace.over_nanos(age).saturating_add(dearest))
    });
    let most = by_money.min(by_pace).saturating_add(standing.uncovered.nanos().max(0));
    Exposure { most: bounded(most), is_promised: false }
}

/// The most that one call on the wallet's meters can cost.
///
/// # Errors
/// [`RatingError::UnknownRates`].
pub fn dearest(
    registers: &Registers,
    rates: &RateBook,
    multiplier_max: Units,
) -> Result<Money, RatingError> {
    let mut price = 0;
    for (meter, _) in registers.keys().filter(|(meter, _)| meter.billing == BillingType::Prepaid) {
        price = highest(rates.rates(meter.plan, meter.revision)?).max(price);
    }
    let units = i128::try_from(multiplier_max.max(Units::ONE).nanos()).unwrap_or(i128::MAX);
    Ok(bounded(divided_up(units.saturating_mul(price), SCALE)))
}

/// What calls that hold `held` may settle beyond it: an optimistic hold covers a multiplier of 1.
#[must_use]
pub fn uncovered(held: Money, multiplier_max: Units) -> Money {
    let beyond = i128::try_from(multiplier_max.beyond(Units::ONE).nanos()).unwrap_or(i128::MAX);
    bounded(divided_up(held.nanos().max(0).saturating_mul(beyond), SCALE))
}

/// Units of the running period that cost nothing yet and would cost something where they are given
/// away twice, at the highest price of their plan.
///
/// # Errors
/// A [`RatingError`] where prices are unknown or a sum is out of range.
pub fn free_tiers(
    account: &Account,
    registers: &Registers,
    rates: &RateBook,
    running: Period,
) -> Result<Money, RatingError> {
    let mut sum = 0_i128;
    let mut lines = BTreeMap::new();
    for (meter, units) in account.units(registers, |_| false)? {
        if meter.billing == BillingType::Prepaid && meter.period == running {
            // Of a line the newest revision prices what comes, on top of all units before.
            let line = lines.entry((meter.product, meter.plan)).or_insert((0, Units::ZERO));
            *line = (meter.revision, line.1.plus(units)?);
        }
    }
    for ((_, plan), (revision, units)) in lines {
        sum = sum.saturating_add(free_of(rates.rates(plan, revision)?, units));
    }
    Ok(bounded(sum))
}

/// What each incarnation has spent on a wallet, each unit at the highest price of its revision:
/// only grows, and by at least what its calls cost.
///
/// # Errors
/// [`RatingError::UnknownRates`].
pub fn spent_by(
    registers: &Registers,
    rates: &RateBook,
) -> Result<BTreeMap<Incarnation, Money>, RatingError> {
    let mut spent: BTreeMap<Incarnation, i128> = BTreeMap::new();
    for ((meter, incarnation), register) in registers {
        if meter.billing != BillingType::Prepaid {
            continue;
        }
        let price = highest(rates.rates(meter.plan, meter.revision)?);
        let units = i128::try_from(register.units().nanos()).unwrap_or(i128::MAX);
        let sum = spent.entry(*incarnation).or_default();
        *sum = sum.saturating_add(divided_up(units.saturating_mul(price), SCALE));
    }
    Ok(spent.into_iter().map(|(incarnation, nanos)| (incarnation, bounded(nanos))).collect())
}

/// The most that a unit costs, in nanos.
fn highest(rates: &Rates) -> i128 {
    rates.most(Units::ZERO, Units::ONE).unwrap_or(Money::MAX).nanos()
}

/// What the units past `units` cost that several gateways may each believe to be free, in nanos.
fn free_of(rates: &Rates, units: Units) -> i128 {
    rates.most(Units::ZERO, rates.free_ahead(units)).unwrap_or(Money::MAX).nanos()
}

/// The nearest amount.
fn bounded(nanos: i128) -> Money {
    Money::from_nanos(nanos.min(Money::MAX.nanos())).unwrap_or(Money::ZERO)
}

/// Divides what is not negative, rounding up.
fn divided_up(value: i128, by: i128) -> i128 {
    value / by + i128::from(value % by > 0)
}

// === impl Delays ===

impl Delays {
    /// How old a gateway's knowledge may be.
    #[must_use]
    pub fn age(&self, circumstances: Circumstances) -> Duration {
        let mut age = self.sync_interval * 2 + self.one_way * 3;
        if circumstances.is_shared {
            age += self.persist_interval * 2 + self.ledger_write;
        }
        if circumstances.is_stale {
            age += self.staleness_limit;
        }
        age
    }
}

// === impl Pace ===

impl Pace {
    /// So much within a time.
    #[must_use]
    pub fn of(spent: Money, within: Duration) -> Pace {
        let within_us = i128::try_from(within.as_micros()).unwrap_or(i128::MAX).max(1);
        let per_second = spent.nanos().max(0).saturating_mul(1_000_000);
        Pace { nanos_per_second: divided_up(per_second, within_us) }
    }

    fn over_nanos(self, age: Duration) -> i128 {
        let age_us = i128::try_from(age.as_micros()).unwrap_or(i128::MAX).saturating_add(1);
        divided_up(self.nanos_per_second.saturating_mul(age_us), 1_000_000)
    }
}

// === impl Fastest ===

impl Fastest {
    /// Whether a look now would say something.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        self.seen_at.is_none_or(|then| now.saturating_sub(then) >= LOOK_MIN)
    }

    /// Looks at what incarnations have spent: see [`spent_by`].
    pub fn look(&mut self, spent: BTreeMap<Incarnation, Money>, now: Duration) {
        if !self.is_due(now) {
            return;
        }
        if let Some(then) = self.seen_at {
            if now.saturating_sub(self.windows[0].since) >= MEMORY {
                self.windows.swap(0, 1);
                self.windows[0] = Window { since: now, ..Window::default() };
            }
            let mut moved = 0_u32;
            for (incarnation, sum) in &spent {
                let before = self.seen.get(incarnation).copied().unwrap_or(Money::ZERO);
                let more = sum.minus(before).unwrap_or(Money::MAX).max(Money::ZERO);
                moved += u32::from(!more.is_zero());
                let pace = Pace::of(more, now.saturating_sub(then));
                self.windows[0].pace = self.windows[0].pace.max(pace);
            }
            self.windows[0].gateways = self.windows[0].gateways.max(moved);
            self.has_measured = true;
        }
        self.seen = spent;
        self.seen_at = Some(now);
    }

    /// The greatest pace lately; `None` before two looks.
    #[must_use]
    pub fn pace(&self) -> Option<Pace> {
        let [now, before] = &self.windows;
        self.has_measured.then(|| now.pace.max(before.pace))
    }

    /// How many gateways have spent something lately at once.
    #[must_use]
    pub fn gateways(&self) -> u32 {
        self.windows[0].gateways.max(self.windows[1].gateways)
    }
}

#[cfg(test)]
mod tests;
