//! Everything in a ledger as JSON lines: one object a row, its kind under `row`.
//!
//! Amounts and units are decimal strings, so that no reader loses a digit; times are milliseconds
//! since 1970.

use std::io::Write;

use serde_json::{Value, json};
use tollgate_metering::{Account, Entry, Header, Incarnation, Meter, WalletId};

use super::{PAGE, entries_of};
use crate::error::LedgerError;
use crate::ledger::{Ledger, Registration, Suspense, UsageWrite, WalletRead};

/// Minutes of usage asked for at a time: a day.
const USAGE_MINUTES: i64 = 1_440;

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The ledger did not answer.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The target cannot be written.
    #[error("cannot write the export")]
    Write(#[from] std::io::Error),
}

/// Writes all rows that count: wallets with their parts and journal, the registry, suspense and
/// usage. What lies below a wallet's horizon is not read any more. Returns the number of lines.
///
/// # Errors
/// [`ExportError`]; what was written by then stays.
pub async fn export(
    ledger: &dyn Ledger,
    target: &mut (dyn Write + Send),
) -> Result<u64, ExportError> {
    let mut lines = Lines { target, count: 0 };
    lines.write(&json!({"row": "ledger", "generation": ledger.generation().await?}))?;
    for registration in ledger.registrations().await? {
        lines.write(&registration_row(&registration))?;
    }
    let mut after = None;
    loop {
        let page = ledger.list(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(lines.count) };
        after = Some(*last);
        for wallet in page {
            export_wallet(ledger, wallet, &mut lines).await?;
        }
    }
}

/// Writes all rows of one wallet that count, as [`export`] does. Returns the number of lines: none where there is no such
/// wallet.
///
/// # Errors
/// [`ExportError`]; what was written by then stays.
pub async fn export_one(
    ledger: &dyn Ledger,
    wallet: WalletId,
    target: &mut (dyn Write + Send),
) -> Result<u64, ExportError> {
    let mut lines = Lines { target, count: 0 };
    export_wallet(ledger, wallet, &mut lines).await?;
    Ok(lines.count)
}

struct Lines<'a> {
    target: &'a mut (dyn Write + Send),
    count: u64,
}

async fn export_wallet(
    ledger: &dyn Ledger,
    wallet: WalletId,
    lines: &mut Lines<'_>,
) -> Result<(), ExportError> {
    let Some(read) = ledger.read(wallet).await? else { return Ok(()) };
    let header = &read.account.header;
    lines.write(&header_row(header))?;
    for row in account_rows(&read.account).chain(read_rows(&read)) {
        lines.write(&row)?;
    }
    for suspense in ledger.suspense(wallet).await? {
        lines.write(&suspense_row(&suspense))?;
    }
    for entry in entries_of(ledger, header.developer).await? {
        if entry.wallet == wallet {
            lines.write(&entry_row(&entry))?;
        }
    }
    // Clocks of gateways may be off by a day in either direction and more is not believed.
    let end = ledger.clock().await?.0 / 60_000 + USAGE_MINUTES;
    let mut from = header.opened_at.0 / 60_000 - USAGE_MINUTES;
    while from < end {
        for usage in ledger.usage(wallet, from, from + USAGE_MINUTES).await? {
            lines.write(&usage_row(&usage))?;
        }
        from += USAGE_MINUTES;
    }
    Ok(())
}

// === impl Lines ===

impl Lines<'_> {
    fn write(&mut self, row: &Value) -> Result<(), ExportError> {
        serde_json::to_writer(&mut *self.target, row).map_err(std::io::Error::from)?;
        self.target.write_all(b"\n")?;
        self.count += 1;
        Ok(())
    }
}

fn header_row(header: &Header) -> Value {
    json!({
        "row": "wallet",
        "wallet": header.wallet.to_string(),
        "version": header.version,
        "organization": header.organization,
        "developer": header.developer.to_string(),
        "currency": header.currency.as_str(),
        "opened_at_ms": header.opened_at.0,
        "credited": header.credited.to_string(),
        "settled": header.settled.to_string(),
        "horizon_ms": header.horizon.0,
        "last_credit_at_ms": header.last_credit_at.map(|at| at.0),
        "balance_at_last_credit": header.balance_at_last_credit.to_string(),
        "overdraft_limit": header.overdraft_limit.to_string(),
        "overspend": header.mode.overspend.as_str(),
        "mode_counter": header.mode.counter,
        "is_mode_changing": header.mode.is_changing,
        "owner_epoch": header.owner.epoch,
        "owner_node": header.owner.node.map(|node| node.to_string()),
        "retirements": header.retirements,
        "is_sealed": header.is_sealed,
    })
}

fn account_rows(account: &Account) -> impl Iterator<Item = Value> {
    let wallet = account.header.wallet;
    let meters = account.meters.iter().map(|(meter, totals)| {
        json!({
            "row": "meter",
            "meter": meter_value(meter),
            "settled_units": totals.settled_units.to_string(),
            "closed_charge": totals.closed_charge.to_string(),
            "checkpoints": totals.checkpoints,
        })
    });
    let cells = account.cells.iter().map(|((meter, incarnation), cell)| {
        json!({
            "row": "cell",
            "meter": meter_value(meter),
            "incarnation": incarnation_value(*incarnation),
            "folded": cell.folded.to_string(),
            "cut": cell.cut.map(|cut| cut.to_string()),
        })
    });
    let ceilings = account.ceilings.iter().map(move |(incarnation, ceiling)| {
        json!({
            "row": "ceiling",
            "wallet": wallet.to_string(),
            "incarnation": incarnation_value(*incarnation),
            "mode": ceiling.stamp.mode,
            "epoch": ceiling.stamp.epoch,
            "counter": ceiling.stamp.counter,
            "draw": ceiling.draw.to_string(),
            "most": ceiling.most.to_string(),
            "settled": ceiling.settled.to_string(),
            "is_retired": ceiling.is_retired,
        })
    });
    let resolved = account.resolved.iter().map(|(key, units)| {
        json!({
            "row": "resolved",
            "meter": meter_value(&key.meter),
            "incarnation": incarnation_value(key.incarnation),
            "reason": key.reason.as_str(),
            "units": units.to_string(),
        })
    });
    meters.chain(cells).chain(ceilings).chain(resolved)
}

fn read_rows(read: &WalletRead) -> impl Iterator<Item = Value> {
    let wallet = read.account.header.wallet;
    let registers = read.registers.iter().map(|((meter, incarnation), register)| {
        json!({
            "row": "register",
            "meter": meter_value(meter),
            "incarnation": incarnation_value(*incarnation),
            "live": register.live.to_string(),
            "recovered": register.recovered.to_string(),
        })
    });
    let holds = read.holds.iter().map(move |(incarnation, held)| {
        json!({
            "row": "hold",
            "wallet": wallet.to_string(),
            "incarnation": incarnation_value(*incarnation),
            "amount": held.amount.to_string(),
            "seq": held.seq,
        })
    });
    registers.chain(holds)
}

fn suspense_row(suspense: &Suspense) -> Value {
    json!({
        "row": "suspense",
        "meter": meter_value(&suspense.meter),
        "incarnation": incarnation_value(suspense.incarnation),
        "reason": suspense.reason.as_str(),
        "units": suspense.units.to_string(),
        "counted": suspense.counted.to_string(),
    })
}

fn entry_row(entry: &Entry) -> Value {
    json!({
        "row": "entry",
        "wallet": entry.wallet.to_string(),
        "id": entry.id,
        "kind": entry.kind.as_str(),
        "amount": entry.amount.to_string(),
        "balance_after": entry.balance_after.to_string(),
        "at_ms": entry.at.0,
        "by": entry.by,
        "reason": entry.reason,
        "meter": entry.meter.as_ref().map(meter_value),
        "units": entry.units.to_string(),
        "is_forced": entry.is_forced,
    })
}

fn usage_row(usage: &UsageWrite) -> Value {
    json!({
        "row": "usage",
        "meter": meter_value(&usage.meter),
        "incarnation": incarnation_value(usage.incarnation),
        "app": usage.app.map(|app| app.to_string()),
        "minute": usage.minute,
        "units": usage.units.to_string(),
        "seq": usage.seq,
    })
}

fn registration_row(registration: &Registration) -> Value {
    json!({
        "row": "incarnation",
        "incarnation": incarnation_value(registration.incarnation),
        "gateway": registration.gateway,
        "ended_at_ms": registration.ended_at.map(|at| at.0),
        "retired_at_ms": registration.retired_at.map(|at| at.0),
    })
}

fn meter_value(meter: &Meter) -> Value {
    json!({
        "wallet": meter.wallet.to_string(),
        "product": meter.product.to_string(),
        "plan": meter.plan.to_string(),
        "revision": meter.revision,
        "billing": meter.billing.as_str(),
        "period": meter.period.to_string(),
    })
}

fn incarnation_value(incarnation: Incarnation) -> Value {
    json!({"id": incarnation.id.to_string(), "born_ms": incarnation.born.0})
}
