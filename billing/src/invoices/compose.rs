//! What stands in an invoice: the next of a chain, computed from the journal alone.
//!
//! An invoice takes up entries of the ledger's journal, each once for ever: checkpoints of postpaid
//! meters, fees that were noted for it, and credits of switches from prepaid. An entry belongs to
//! the month whose statement tells it (`metering::lines`), and the invoice of a month takes up all
//! that none before it has, of its month and those before: so what came late, or what was booked
//! while the invoice was being made, stands on the next one. Hence, to the nano and for ever,
//! `Σ entries taken up = Σ totals + what the newest invoice carries`.
//!
//! Pure: the journal is read elsewhere. Bounds: [`LINES_MAX`], [`ITEMS_MAX`].

use std::collections::{BTreeMap, BTreeSet};

use tollgate_ledger_store::charges::Charges;
use tollgate_metering::lines::Cutoffs;
use tollgate_metering::rating::RatingError;
use tollgate_metering::{
    Currency, Entry, EntryKind, Meter, Money, MoneyError, Period, PlanId, ProductId, Units,
    UnixMillis,
};

use super::record::{Band, Invoice, Item, Line, LineKind, Usage};
use super::rounding::{rounded, shared};
use crate::currency::{CHARGE_MAX, from_minor, least, step_nanos, to_minor};
use crate::error::BillingError;

/// Lines of one invoice; what is beyond them stands on the next one of the same month.
pub const LINES_MAX: usize = 2_000;

/// Items of one invoice at Stripe, which takes 250: more lines are put together by product.
pub const ITEMS_MAX: usize = 200;

/// Characters of an item's description.
const DESCRIPTION_CHARS_MAX: usize = 300;

/// What people call products and plans.
pub type Names = BTreeMap<(ProductId, PlanId), (String, String)>;

/// The months that the next invoice may take up.
#[derive(Clone, Copy, Debug)]
pub struct Months {
    /// The first that is invoiced at all.
    pub first: Period,
    /// The last.
    pub through: Period,
}

/// Entries that become one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// Checkpoints of a meter, in time or late.
    Meter(Meter, LineKind),
    /// One of its own.
    Entry(LineKind, UnixMillis, String),
}

/// Whether an entry is for an invoice, and as what.
#[must_use]
pub fn is_for_invoices(entry: &Entry) -> bool {
    match entry.kind {
        EntryKind::PostpaidCheckpoint | EntryKind::PostpaidFee | EntryKind::Transfer => true,
        EntryKind::Credit
        | EntryKind::Adjustment
        | EntryKind::Fee
        | EntryKind::Checkpoint
        | EntryKind::Limit
        | EntryKind::SuspenseCharge
        | EntryKind::SuspenseWriteOff
        | EntryKind::Usage
        | EntryKind::ShadowCheckpoint
        | EntryKind::ShadowFee => false,
    }
}

/// What an entry adds to what is to be paid.
#[must_use]
pub fn owed(entry: &Entry) -> Money {
    match entry.kind {
        EntryKind::Transfer => entry.amount.negated(),
        _ if is_for_invoices(entry) => entry.amount,
        _ => Money::ZERO,
    }
}

/// Entries that the next invoice takes up: not on any of the `chain`, and of these months.
#[must_use]
pub fn untaken<'a>(entries: &'a [Entry], chain: &[Invoice], months: Months) -> Vec<&'a Entry> {
    let cutoffs = Cutoffs::of(entries);
    let lines = chain.iter().flat_map(|invoice| &invoice.lines);
    let taken: BTreeSet<&str> =
        lines.flat_map(|line| line.entries.iter().map(String::as_str)).collect();
    let is_next = |entry: &&Entry| {
        let month = cutoffs.month(entry);
        is_for_invoices(entry)
            && !entry.amount.is_zero()
            && months.first <= month
            && month <= months.through
            && !taken.contains(entry.id.as_str())
    };
    entries.iter().filter(is_next).collect()
}

/// The next invoice of a chain; `None` where there is nothing to take up.
///
/// # Errors
/// `Ledger` where prices are unknown or a sum is out of range.
pub fn compose(
    charges: &Charges,
    names: &Names,
    chain: &[Invoice],
    months: Months,
    now: UnixMillis,
) -> Result<Option<Invoice>, BillingError> {
    let currency = charges.read.account.header.currency;
    let last = chain.last();
    let brought = last.map_or(Money::ZERO, |invoice| invoice.carried);
    let is_continuing = last.is_some_and(|invoice| invoice.is_continued);
    let groups = groups(charges, chain, months);
    if groups.is_empty() && !is_continuing {
        return Ok(None);
    }
    let is_longer = groups.len() > LINES_MAX;
    let mut lines = Vec::new();
    for (group, entries) in groups.into_iter().take(LINES_MAX) {
        lines.push(line(charges, names, group, &entries).map_err(out_of_range)?);
    }
    let asked = ask(brought, &lines, currency)?;
    Ok(Some(Invoice {
        number: last.map_or(1, |invoice| invoice.number + 1),
        month: months.through,
        made_at: now,
        brought,
        lines,
        total: asked.total,
        carried: asked.carried,
        items: asked.items,
        is_continued: is_longer || asked.is_cut,
    }))
}

/// Entries by the line that they become, in the order of lines.
fn groups<'a>(
    charges: &'a Charges,
    chain: &[Invoice],
    months: Months,
) -> BTreeMap<Group, Vec<&'a Entry>> {
    let cutoffs = Cutoffs::of(&charges.entries);
    let mut groups: BTreeMap<Group, Vec<&Entry>> = BTreeMap::new();
    for entry in untaken(&charges.entries, chain, months) {
        let of_its_own = |kind| Group::Entry(kind, entry.at, entry.id.clone());
        let group = match (entry.kind, entry.meter) {
            (EntryKind::PostpaidCheckpoint, Some(meter)) => {
                let is_in_time = cutoffs.month(entry) == meter.period;
                Group::Meter(meter, if is_in_time { LineKind::Usage } else { LineKind::Late })
            }
            (EntryKind::Transfer, _) => of_its_own(LineKind::Transfer),
            _ => of_its_own(LineKind::Fee),
        };
        groups.entry(group).or_default().push(entry);
    }
    groups
}

fn line(
    charges: &Charges,
    names: &Names,
    group: Group,
    entries: &[&Entry],
) -> Result<Line, RatingError> {
    let mut amount = Money::ZERO;
    for entry in entries {
        amount = amount.plus(owed(entry))?;
    }
    let ids = entries.iter().map(|entry| entry.id.clone()).collect();
    Ok(match group {
        Group::Meter(meter, kind) => {
            let usage = Some(usage(charges, names, meter, entries, amount)?);
            Line { kind, entries: ids, usage, booked_at: None, reason: String::new(), amount }
        }
        Group::Entry(kind, at, _) => {
            let reason = entries.first().map(|entry| entry.reason.clone()).unwrap_or_default();
            Line { kind, entries: ids, usage: None, booked_at: Some(at), reason, amount }
        }
    })
}

/// What checkpoints of a meter moved: the units between the one before them and the last of them.
fn usage(
    charges: &Charges,
    names: &Names,
    meter: Meter,
    entries: &[&Entry],
    amount: Money,
) -> Result<Usage, RatingError> {
    let of_meter =
        |entry: &&Entry| entry.kind == EntryKind::PostpaidCheckpoint && entry.meter == Some(meter);
    let numbers = entries.iter().map(|entry| number(entry));
    let (first, last) = (numbers.clone().min().unwrap_or(1), numbers.max().unwrap_or(1));
    let total_at = |is_it: &dyn Fn(u32) -> bool| {
        let found = charges.entries.iter().filter(of_meter).filter(|entry| is_it(number(entry)));
        found.max_by_key(|entry| number(entry)).map_or(Units::ZERO, |entry| entry.units)
    };
    let (from, to) = (total_at(&|number| number < first), total_at(&|number| number == last));
    let units = to.beyond(from);
    let below = below(charges, meter)?.plus(from)?;
    let explained = charges.rates.rates(meter.plan, meter.revision)?.explain(below, units)?;
    let mut bands: Vec<Band> = explained
        .lines
        .iter()
        .map(|line| Band {
            part: line.part.to_string(),
            units: line.units,
            price: line.price,
            amount: line.amount.to_string(),
        })
        .collect();
    let otherwise = amount.minus(explained.charge)?;
    if !otherwise.is_zero() {
        let (part, amount) = ("closed otherwise".to_owned(), otherwise.to_string());
        bands.push(Band { part, units: Units::ZERO, price: Money::ZERO, amount });
    }
    let ids = || (meter.product.to_string(), meter.plan.to_string());
    let (product_name, plan_name) =
        names.get(&(meter.product, meter.plan)).cloned().unwrap_or_else(ids);
    Ok(Usage {
        product: meter.product,
        product_name,
        plan: meter.plan,
        plan_name,
        revision: meter.revision,
        period: meter.period,
        units,
        bands,
        rounding: explained.rounding.to_string(),
    })
}

/// Units of earlier revisions, on which those of a meter go on.
fn below(charges: &Charges, meter: Meter) -> Result<Units, RatingError> {
    let units = charges.read.account.units(&charges.read.registers, |_| false)?;
    let earlier = units
        .iter()
        .filter(|(other, _)| other.is_same_line(&meter) && other.revision < meter.revision);
    let mut sum = Units::ZERO;
    for (_, units) in earlier {
        sum = sum.plus(*units)?;
    }
    Ok(sum)
}

/// The number of a checkpoint, which its id ends in.
fn number(entry: &Entry) -> u32 {
    let number = entry.id.rsplit('/').next().and_then(|number| number.parse().ok());
    number.unwrap_or(u32::MAX)
}

/// What is asked for, and what is not.
struct Asked {
    total: Money,
    carried: Money,
    items: Vec<Item>,
    /// Whether more was due than Stripe takes at once.
    is_cut: bool,
}

fn ask(brought: Money, lines: &[Line], currency: Currency) -> Result<Asked, BillingError> {
    let sum = |due: Money, line: &Line| due.plus(line.amount);
    let due = lines.iter().try_fold(brought, sum).map_err(out_of_range)?;
    let whole = rounded(due, currency).map_err(out_of_range)?;
    // Less than Stripe takes, nothing, or a credit: all of it is carried.
    if whole < from_minor(least(currency), currency) {
        return Ok(Asked { total: Money::ZERO, carried: due, items: Vec::new(), is_cut: false });
    }
    let total = whole.min(most(currency));
    let carried = due.minus(total).map_err(out_of_range)?;
    let mut named = named(brought, lines).map_err(out_of_range)?;
    let amounts: Vec<Money> = named.iter().map(|(_, amount)| *amount).collect();
    let shares = shared(&amounts, currency).map_err(out_of_range)?;
    named.iter_mut().zip(shares).for_each(|((_, amount), share)| *amount = share);
    let is_cut = total < whole;
    if is_cut {
        let rest = total.minus(whole).map_err(out_of_range)?;
        named.push(("Carried to the next invoice".to_owned(), rest));
    }
    let mut items = Vec::new();
    for (description, amount) in named.into_iter().filter(|(_, amount)| !amount.is_zero()) {
        let description = description.chars().take(DESCRIPTION_CHARS_MAX).collect();
        items.push(Item { description, minor: to_minor(amount, currency)? });
    }
    Ok(Asked { total, carried, items, is_cut })
}

/// The most that one invoice asks for, in whole steps.
fn most(currency: Currency) -> Money {
    let most = from_minor(CHARGE_MAX, currency);
    let whole = most.nanos() - most.nanos().rem_euclid(step_nanos(currency));
    Money::from_nanos(whole).expect("it is less than what is in range")
}

/// Amounts with what Stripe is told of them, at most [`ITEMS_MAX`], one of which may come yet.
fn named(brought: Money, lines: &[Line]) -> Result<Vec<(String, Money)>, MoneyError> {
    let mut named = Vec::new();
    if !brought.is_zero() {
        named.push(("Carried from the invoice before".to_owned(), brought));
    }
    if lines.len() + named.len() < ITEMS_MAX {
        named.extend(lines.iter().map(|line| (line.description(), line.amount)));
        return Ok(named);
    }
    let mut by_product: BTreeMap<String, Money> = BTreeMap::new();
    for line in lines {
        let name = match (&line.usage, line.kind) {
            (Some(usage), LineKind::Late) => format!("Late usage: {}", usage.product_name),
            (Some(usage), _) => format!("Usage: {}", usage.product_name),
            (None, LineKind::Transfer) => line.description(),
            (None, _) => "Fees".to_owned(),
        };
        let sum = by_product.entry(name).or_default();
        *sum = sum.plus(line.amount)?;
    }
    let room = ITEMS_MAX - named.len() - 2;
    let mut rest = Money::ZERO;
    for (index, (name, amount)) in by_product.into_iter().enumerate() {
        if index < room {
            named.push((name, amount));
        } else {
            rest = rest.plus(amount)?;
        }
    }
    if !rest.is_zero() {
        named.push(("Further products".to_owned(), rest));
    }
    Ok(named)
}

fn out_of_range(error: impl Into<RatingError>) -> BillingError {
    BillingError::Rating(error.into())
}

#[cfg(test)]
mod tests;
