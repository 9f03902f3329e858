//! What must hold of one wallet's rows.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_metering::rating::charges;
use tollgate_metering::{
    Entry, EntryKind, Meter, Money, MoneyError, RateBook, Units, UnitsError, UnixMillis,
};

use super::{Finding, Inspection};

/// Everything that is wrong with the wallet.
pub(super) fn findings(inspection: &Inspection, rates: &RateBook) -> Vec<Finding> {
    let mut findings = Vec::new();
    let checks = [sums, last_credit, checkpoints, totals, folds, resolutions];
    for check in checks {
        if check(inspection, &mut findings).is_err() {
            findings.push(Finding::OutOfRange);
        }
    }
    behind_horizon(inspection, rates, &mut findings);
    if let Err(error) = inspection.balance {
        findings.push(error.into());
    }
    findings
}

/// A sum left its range.
struct OutOfRange;

impl From<MoneyError> for OutOfRange {
    fn from(_: MoneyError) -> OutOfRange {
        OutOfRange
    }
}

impl From<UnitsError> for OutOfRange {
    fn from(_: UnitsError) -> OutOfRange {
        OutOfRange
    }
}

fn sum<'a>(entries: impl Iterator<Item = &'a Entry>) -> Result<Money, MoneyError> {
    entries.map(|entry| entry.amount).try_fold(Money::ZERO, Money::plus)
}

fn sums(inspection: &Inspection, findings: &mut Vec<Finding>) -> Result<(), OutOfRange> {
    let header = &inspection.read.account.header;
    let entries = sum(inspection.entries.iter().filter(|entry| entry.kind.is_credited()))?;
    if entries != header.credited {
        findings.push(Finding::Credited { stored: header.credited, entries });
    }
    let entries = sum(inspection.entries.iter().filter(|entry| entry.kind.is_settled()))?;
    if entries != header.settled {
        findings.push(Finding::Settled { stored: header.settled, entries });
    }
    Ok(())
}

fn last_credit(inspection: &Inspection, findings: &mut Vec<Finding>) -> Result<(), OutOfRange> {
    let header = &inspection.read.account.header;
    let balance = header.balance_at_last_credit;
    let is_it = |at: UnixMillis, entry: &Entry| {
        entry.kind.is_credited() && entry.at == at && entry.balance_after == balance
    };
    let is_known = match header.last_credit_at {
        Some(at) => inspection.entries.iter().any(|entry| is_it(at, entry)),
        None => !inspection.entries.iter().any(|entry| entry.kind.is_credited()),
    };
    if !is_known {
        findings.push(Finding::LastCredit(balance));
    }
    Ok(())
}

fn checkpoints(inspection: &Inspection, findings: &mut Vec<Finding>) -> Result<(), OutOfRange> {
    let mut booked: BTreeMap<Meter, (Money, u32)> = BTreeMap::new();
    for entry in inspection.entries.iter().filter(|entry| entry.kind.is_checkpoint()) {
        let Some(meter) = entry.meter else { continue };
        let (amount, count) = booked.entry(meter).or_default();
        *amount = amount.plus(entry.amount)?;
        *count = count.checked_add(1).ok_or(OutOfRange)?;
    }
    let meters = &inspection.read.account.meters;
    for meter in meters.keys().chain(booked.keys().filter(|meter| !meters.contains_key(meter))) {
        let stored = meters.get(meter).copied().unwrap_or_default();
        let (entries, count) = booked.get(meter).copied().unwrap_or_default();
        let meter = *meter;
        if stored.closed_charge != entries {
            let stored = stored.closed_charge;
            findings.push(Finding::ClosedCharge { meter, stored, entries });
        }
        if stored.checkpoints != count {
            let (stored, entries) = (stored.checkpoints, count);
            findings.push(Finding::Checkpoints { meter, stored, entries });
        }
    }
    Ok(())
}

/// A meter's total holds what was folded, what suspense was charged and what usage was recorded; exactly that as long as
/// no cell was removed.
fn totals(inspection: &Inspection, findings: &mut Vec<Finding>) -> Result<(), OutOfRange> {
    let account = &inspection.read.account;
    let mut moved: BTreeMap<Meter, Units> = BTreeMap::new();
    for ((meter, _), cell) in &account.cells {
        let total = moved.entry(*meter).or_default();
        *total = total.plus(cell.folded)?;
    }
    for entry in &inspection.entries {
        if let (EntryKind::SuspenseCharge | EntryKind::Usage, Some(meter)) =
            (entry.kind, entry.meter)
        {
            let total = moved.entry(meter).or_default();
            *total = total.plus(entry.units)?;
        }
    }
    let has_all_cells = account.header.horizon <= UnixMillis(0);
    let meters = account.meters.keys().chain(moved.keys());
    let meters: BTreeSet<Meter> = meters.copied().collect();
    for meter in meters {
        let stored = account.meters.get(&meter).map(|totals| totals.settled_units);
        let stored = stored.unwrap_or_default();
        let moved = moved.get(&meter).copied().unwrap_or_default();
        if moved > stored || (has_all_cells && moved != stored) {
            findings.push(Finding::SettledUnits { meter, stored, moved });
        }
    }
    Ok(())
}

fn folds(inspection: &Inspection, findings: &mut Vec<Finding>) -> Result<(), OutOfRange> {
    let read = &inspection.read;
    for ((meter, incarnation), cell) in &read.account.cells {
        if !read.account.header.counts_incarnation(*incarnation) {
            continue;
        }
        let register = read.registers.get(&(*meter, *incarnation)).copied().unwrap_or_default();
        let register = cell.cut.map_or(register.units(), |cut| register.units().min(cut));
        if cell.folded > register {
            let (meter, incarnation, folded) = (*meter, *incarnation, cell.folded);
            findings.push(Finding::Folded { meter, incarnation, folded, register });
        }
    }
    Ok(())
}

fn resolutions(inspection: &Inspection, findings: &mut Vec<Finding>) -> Result<(), OutOfRange> {
    let mut sums: BTreeMap<Meter, (Units, Units)> = BTreeMap::new();
    for (key, resolved) in &inspection.read.account.resolved {
        let row = inspection.suspense_of(key);
        let units = row.map_or(Units::ZERO, |row| row.units.beyond(row.counted));
        if *resolved > units {
            let (meter, resolved) = (key.meter, *resolved);
            findings.push(Finding::Resolved { meter, resolved, units });
        }
        let (stored, _) = sums.entry(key.meter).or_default();
        *stored = stored.plus(*resolved)?;
    }
    for entry in &inspection.entries {
        let is_resolution =
            matches!(entry.kind, EntryKind::SuspenseCharge | EntryKind::SuspenseWriteOff);
        if let (true, Some(meter)) = (is_resolution, entry.meter) {
            let (_, entries) = sums.entry(meter).or_default();
            *entries = entries.plus(entry.units)?;
        }
    }
    for (meter, (stored, entries)) in sums {
        if stored != entries {
            findings.push(Finding::ResolvedEntries { meter, stored, entries });
        }
    }
    Ok(())
}

/// Rule 6: what has left the formula is closed to the nano.
fn behind_horizon(inspection: &Inspection, rates: &RateBook, findings: &mut Vec<Finding>) {
    let account = &inspection.read.account;
    let left = account.meters.iter().filter(|(meter, _)| !account.header.counts_meter(meter));
    let left = left.map(|(meter, totals)| (*meter, totals.settled_units));
    match charges(rates, left) {
        Err(error) => findings.push(error.into()),
        Ok(charges) => findings.extend(charges.into_iter().filter_map(|(meter, charge)| {
            let closed = account.meters[&meter].closed_charge;
            (charge != closed).then_some(Finding::Unclosed { meter, charge, closed })
        })),
    }
}
