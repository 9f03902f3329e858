//! The lines of a wallet's charges: whose they are, of which day, and which were late.
//!
//! The ledger knows units by meter and a charge by total units alone, so lines are differences of
//! that charge in a stated order, which makes them add up to it: within a line of revisions by
//! revision, as the ledger walks them; within a meter by day (UTC), then by app in the order of ids,
//! then what nobody is known to have used. A day outside the meter's period counts as its nearest.
//! What a checkpoint moved more than a day after the period's end, and after its first closing, is
//! late: it is of the day it was booked on.
//! Units that came late can change what later units of the line cost; that difference is a line of
//! its own ([`Kind::Rebanded`]), with no units.
//!
//! Invariants: lines of a meter add up to its charge and to its units (test: `random_work_adds_up`),
//! so credits less debits less lines is the balance. Usage history decides only how a charge is
//! split; where there is none, it is one line of nobody on the last day that it can be of.
//! Bounds: a line an app, meter and day, and two a checkpoint. Not here: names, sums (`management`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::account::{Account, Entry, EntryKind};
use crate::id::{AppId, Incarnation};
use crate::meter::{Meter, Registers};
use crate::money::Money;
use crate::rating::{RateBook, RatingError, charges};
use crate::time::{Period, UnixMillis};
use crate::units::Units;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Checkpoints are booked within minutes of a period's end; for so long they are in time.
const IN_TIME: Duration = Duration::from_secs(86_400);
/// How long the first closing of a wallet's meters may take.
const CLOSING: Duration = Duration::from_secs(3_600);

/// A day (UTC), counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

/// Where a register, or an app's part of it, stood at the end of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayTotal {
    /// The meter.
    pub meter: Meter,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// The app; `None` for the register itself.
    pub app: Option<AppId>,
    /// The day.
    pub day: Day,
    /// Cumulative units.
    pub units: Units,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Units that were there when the period was closed, or of a period that is open.
    Usage,
    /// Units that came later.
    Late,
    /// What late units of an earlier revision changed of the price of others.
    Rebanded,
}

/// A part of a meter's charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The meter.
    pub meter: Meter,
    /// Who used the units, as far as it is known.
    pub app: Option<AppId>,
    /// The day it counts for.
    pub day: Day,
    /// What it is.
    pub kind: Kind,
    /// Units of the line of revisions before these: where in the bands they begin.
    pub from: Units,
    /// How many units.
    pub units: Units,
    /// What they cost.
    pub charge: Money,
}

/// Until when what is charged of each period of a wallet that was closed is in time: a day after its
/// end, or an hour after its first checkpoint where that came later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cutoffs(BTreeMap<Period, UnixMillis>);

/// What lines are made of, all of one wallet.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The account.
    pub account: &'a Account,
    /// Its registers, read after it.
    pub registers: &'a Registers,
    /// Prices of all its meters.
    pub rates: &'a RateBook,
    /// Its journal.
    pub entries: &'a [Entry],
    /// Its usage history, in any order.
    pub usage: &'a [DayTotal],
    /// The time of the ledger: no line is of a later day.
    pub now: UnixMillis,
}

/// A part of a meter's charge that was closed at one time, or is still open.
struct Part {
    kind: Kind,
    /// The day it was booked on; `None`: the days of its units.
    day: Option<Day>,
    units: Units,
    charge: Money,
}

/// Units of one app on one day.
struct Slice {
    day: Day,
    app: Option<AppId>,
    units: Units,
}

// === impl Day ===

impl Day {
    /// The day of a time.
    #[must_use]
    pub const fn of(time: UnixMillis) -> Day {
        Day(time.0.div_euclid(DAY_MS))
    }

    /// Its first millisecond.
    #[must_use]
    pub const fn start(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(DAY_MS))
    }
}

// === impl Cutoffs ===

impl Cutoffs {
    /// Those of a wallet with this journal.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Cutoffs {
        let mut cutoffs: BTreeMap<Period, UnixMillis> = BTreeMap::new();
        for (meter, checkpoints) in checkpoints(entries) {
            let after_end = |entry: &&Entry| entry.at >= meter.period.end();
            if let Some(first) = checkpoints.into_iter().find(after_end) {
                let first = first.at.plus(CLOSING);
                let known = cutoffs.entry(meter.period).or_insert(first);
                *known = first.min(*known);
            }
        }
        for (period, cutoff) in &mut cutoffs {
            *cutoff = period.end().plus(IN_TIME).max(*cutoff);
        }
        Cutoffs(cutoffs)
    }

    /// After when nothing more becomes part of a period: what is booked later is late. Of a period
    /// without a checkpoint it may yet move, once there is one.
    #[must_use]
    pub fn after(&self, period: Period) -> UnixMillis {
        self.0.get(&period).copied().unwrap_or_else(|| period.end().plus(IN_TIME))
    }

    /// The month whose statement tells of an entry: the meter's of a checkpoint in time, else the
    /// one that it was booked in.
    #[must_use]
    pub fn month(&self, entry: &Entry) -> Period {
        match entry.meter.filter(|_| entry.kind.is_checkpoint()) {
            Some(meter) if entry.at <= self.after(meter.period) => meter.period,
            Some(_) | None => Period::of(entry.at),
        }
    }
}

// === impl Sources ===

impl Sources<'_> {
    /// All lines of the wallet, whoever pays them, in the order of the walk.
    ///
    /// # Errors
    /// A [`RatingError`] where prices are unknown or a sum is out of range.
    pub fn lines(&self) -> Result<Vec<Line>, RatingError> {
        let (checkpoints, cutoffs) = (checkpoints(self.entries), Cutoffs::of(self.entries));
        let mut slices = self.slices()?;
        let mut lines = Vec::new();
        let mut before: Option<(Meter, Units)> = None;
        for (meter, (total, charge)) in self.totals()? {
            let below = match before {
                Some((other, below)) if other.is_same_line(&meter) => below,
                _ => Units::ZERO,
            };
            before = Some((meter, below.plus(total)?));
            let checkpoints = checkpoints.get(&meter).map_or(&[][..], Vec::as_slice);
            let cutoff = cutoffs.0.get(&meter.period).copied();
            let parts = self.parts(&meter, total, charge, checkpoints, cutoff)?;
            let mut slices = slices.remove(&meter).unwrap_or_default();
            self.fit(&meter, total, &mut slices)?;
            self.walk(&meter, below, parts, slices, &mut lines)?;
        }
        Ok(lines)
    }

    /// Units and charge of every meter there ever was. Past the horizon checkpoints hold the charge.
    fn totals(&self) -> Result<BTreeMap<Meter, (Units, Money)>, RatingError> {
        let units = self.account.units(self.registers, |_| false)?;
        let counts = |meter: &Meter| self.account.header.counts_meter(meter);
        let counted: Vec<_> = units.iter().filter(|(meter, _)| counts(meter)).collect();
        let counted = counted.into_iter().map(|(meter, units)| (*meter, *units));
        let charged = charges(self.rates, counted)?;
        let mut totals: BTreeMap<Meter, (Units, Money)> =
            charged.into_iter().map(|(meter, charge)| (meter, (units[&meter], charge))).collect();
        for (meter, known) in self.account.meters.iter().filter(|(meter, _)| !counts(meter)) {
            totals.insert(*meter, (known.settled_units, known.closed_charge));
        }
        Ok(totals)
    }

    /// Entries that added to a meter's units.
    fn recorded(&self) -> impl Iterator<Item = (Meter, &Entry)> {
        let is_counted =
            |entry: &&Entry| matches!(entry.kind, EntryKind::Usage | EntryKind::SuspenseCharge);
        let counted = self.entries.iter().filter(is_counted);
        counted.filter_map(|entry| Some((entry.meter?, entry)))
    }

    /// A meter's charge by the time it was closed at.
    fn parts(
        &self,
        meter: &Meter,
        total: Units,
        charge: Money,
        checkpoints: &[&Entry],
        cutoff: Option<UnixMillis>,
    ) -> Result<Vec<Part>, RatingError> {
        let Some(cutoff) = cutoff.filter(|cutoff| self.now > *cutoff) else {
            return Ok(vec![Part { kind: Kind::Usage, day: None, units: total, charge }]);
        };
        let closed = self.account.meters.get(meter).map_or(Money::ZERO, |each| each.closed_charge);
        let (in_time, late): (Vec<&Entry>, Vec<&Entry>) =
            checkpoints.iter().copied().partition(|entry| entry.at <= cutoff);
        // A meter that cost nothing when it was closed has no checkpoint of that.
        let counted = match in_time.last() {
            Some(entry) => entry.units,
            None => self.heard_before(meter, Day::of(cutoff))?,
        };
        let most = late.first().map_or(total, |entry| entry.units.min(total));
        let mut through = counted.min(most);
        let mut main = closed;
        let mut parts = vec![Part { kind: Kind::Usage, day: None, units: through, charge: closed }];
        let mut add = |day, to: Units, charge| {
            let units = to.min(total).beyond(through);
            through = through.max(to.min(total));
            Part { kind: Kind::Late, day: Some(day), units, charge }
        };
        for entry in late {
            main = main.minus(entry.amount)?;
            parts.push(add(self.today(Day::of(entry.at)), entry.units, entry.amount));
        }
        parts.push(add(self.today(Day(i64::MAX)), total, charge.minus(closed)?));
        parts[0].charge = main;
        parts.retain(|part| !(part.units.is_zero() && part.charge.is_zero()));
        Ok(parts)
    }

    /// Units of a meter that had been reported before a day.
    fn heard_before(&self, meter: &Meter, day: Day) -> Result<Units, RatingError> {
        let mut totals: BTreeMap<Incarnation, Units> = BTreeMap::new();
        let of_meter = self.usage.iter().filter(|row| row.meter == *meter && row.app.is_none());
        for row in of_meter.filter(|row| row.day < day) {
            let total = totals.entry(row.incarnation).or_default();
            *total = row.units.max(*total);
        }
        let of_meter = self.recorded().filter(|(each, _)| each == meter);
        let before = of_meter.filter(|(_, entry)| Day::of(entry.at) < day);
        let mut all = totals.into_values().chain(before.map(|(_, entry)| entry.units));
        all.try_fold(Units::ZERO, |sum, units| Ok(sum.plus(units)?))
    }

    /// What usage history says of each meter, by day and app.
    fn slices(&self) -> Result<BTreeMap<Meter, Vec<Slice>>, RatingError> {
        let mut totals: BTreeMap<(Meter, Option<AppId>, Incarnation), BTreeMap<Day, Units>> =
            BTreeMap::new();
        for row in self.usage {
            let days = totals.entry((row.meter, row.app, row.incarnation)).or_default();
            let total = days.entry(row.day).or_default();
            *total = row.units.max(*total);
        }
        // None, the register itself, comes first.
        let mut used: BTreeMap<(Meter, Day), BTreeMap<Option<AppId>, Units>> = BTreeMap::new();
        for ((meter, app, _), days) in totals {
            let mut before = Units::ZERO;
            for (day, total) in days {
                let apps = used.entry((meter, self.within(&meter, day))).or_default();
                let units = apps.entry(app).or_default();
                *units = units.plus(total.beyond(before))?;
                before = before.max(total);
            }
        }
        // What people counted in place of a gateway is of the day they did, and names no app.
        for (meter, entry) in self.recorded() {
            let apps = used.entry((meter, self.within(&meter, Day::of(entry.at)))).or_default();
            let units = apps.entry(None).or_default();
            *units = units.plus(entry.units)?;
        }
        let mut slices: BTreeMap<Meter, Vec<Slice>> = BTreeMap::new();
        for ((meter, day), mut apps) in used {
            let mut rest = apps.remove(&None).unwrap_or_default();
            let slices = slices.entry(meter).or_default();
            for (app, units) in apps {
                let units = units.min(rest);
                rest = rest.beyond(units);
                slices.push(Slice { day, app, units });
            }
            slices.push(Slice { day, app: None, units: rest });
        }
        Ok(slices)
    }

    /// Brings what history says to the units that count: the rest is nobody's, of the last day.
    fn fit(&self, meter: &Meter, total: Units, slices: &mut Vec<Slice>) -> Result<(), RatingError> {
        let mut rest = total;
        for slice in slices.iter_mut() {
            slice.units = slice.units.min(rest);
            rest = rest.beyond(slice.units);
        }
        let day = self.within(meter, Day(i64::MAX));
        slices.push(Slice { day, app: None, units: rest });
        slices.retain(|slice| !slice.units.is_zero());
        Ok(())
    }

    /// Lays slices along the parts of a charge, and what is left of a part beside them.
    fn walk(
        &self,
        meter: &Meter,
        mut from: Units,
        parts: Vec<Part>,
        slices: Vec<Slice>,
        lines: &mut Vec<Line>,
    ) -> Result<(), RatingError> {
        let last = self.within(meter, Day(i64::MAX));
        let mut slices = slices.into_iter().peekable();
        for part in parts {
            let (mut left, mut charged) = (part.units, Money::ZERO);
            while !left.is_zero()
                && let Some(slice) = slices.peek_mut()
            {
                let units = slice.units.min(left);
                let charge = self.rates.marginal(meter, from, units)?;
                let day = part.day.unwrap_or(slice.day);
                let (meter, app, kind) = (*meter, slice.app, part.kind);
                push(lines, Line { meter, app, day, kind, from, units, charge })?;
                (left, slice.units) = (left.beyond(units), slice.units.beyond(units));
                (from, charged) = (from.plus(units)?, charged.plus(charge)?);
                if slice.units.is_zero() {
                    slices.next();
                }
            }
            let charge = part.charge.minus(charged)?;
            if !charge.is_zero() {
                let (day, units, kind) = (part.day.unwrap_or(last), Units::ZERO, Kind::Rebanded);
                lines.push(Line { meter: *meter, app: None, day, kind, from, units, charge });
            }
        }
        Ok(())
    }

    /// The day of a meter's period that is nearest to a day, and not later than today.
    fn within(&self, meter: &Meter, day: Day) -> Day {
        let (first, last) = (Day::of(meter.period.start()), Day(Day::of(meter.period.end()).0 - 1));
        self.today(day.clamp(first, last))
    }

    fn today(&self, day: Day) -> Day {
        day.min(Day::of(self.now))
    }
}

/// Checkpoints by meter, in the order of their numbers.
fn checkpoints(entries: &[Entry]) -> BTreeMap<Meter, Vec<&Entry>> {
    let mut by_meter: BTreeMap<Meter, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        if let Some(meter) = entry.meter.filter(|_| entry.kind.is_checkpoint()) {
            by_meter.entry(meter).or_default().push(entry);
        }
    }
    let number = |entry: &&Entry| {
        let number = entry.id.rsplit('/').next().and_then(|number| number.parse::<u32>().ok());
        number.unwrap_or(u32::MAX)
    };
    by_meter.values_mut().for_each(|entries| entries.sort_by_key(number));
    by_meter
}

/// Adds a line, or lengthens the one before it.
fn push(lines: &mut Vec<Line>, line: Line) -> Result<(), RatingError> {
    let key = |line: &Line| (line.meter, line.app, line.day, line.kind);
    match lines.last_mut() {
        Some(before) if key(before) == key(&line) => {
            before.units = before.units.plus(line.units)?;
            before.charge = before.charge.plus(line.charge)?;
        }
        _ => lines.push(line),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
