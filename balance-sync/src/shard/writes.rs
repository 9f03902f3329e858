//! Persists what the wallets of a shard have that the ledger lacks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::ledger::{HoldWrite, Suspense, UsageWrite};
use tollgate_ledger_store::{LedgerError, RegisterCell, RegisterWrite};
use tollgate_metering::node::{DirtyRegister, StreamId, StreamMark, UsageRow, Writes, need};
use tollgate_metering::{UnixMillis, WalletId};

use super::{Done, RETRY_AFTER, SETTLE_EVERY, Shard};
use crate::node::Node;
use crate::refusal::chain;
use crate::settings::{BATCH_ROWS_MAX, BATCHES_MAX};

/// A batch that was written, or not.
pub(super) struct Written {
    writes: Vec<(WalletId, Writes)>,
    /// Row by row, in the order of `writes`.
    registers: Vec<bool>,
    is_held_written: bool,
    is_suspense_written: bool,
}

/// Usage that was written, or not.
pub(super) struct UsageWritten {
    rows: Vec<UsageRow>,
    is_written: bool,
}

// === impl Shard ===

impl Shard {
    /// Begins to write what is due.
    pub(super) fn start_writes(&mut self, now: Duration) {
        if now < self.retry_at && self.draining.is_empty() {
            return;
        }
        if !self.draining.is_empty() {
            let dirty = &self.dirty;
            dirty.iter().for_each(|wallet| self.persists.sooner(*wallet, Duration::ZERO));
        }
        // Ticks are not exact: what is due within half a tick is due now.
        let soon = now + self.node.settings.tick / 2;
        while self.batches < BATCHES_MAX {
            let mut batch = self.gather(soon, now);
            if batch.is_empty() {
                return;
            }
            // Neighbours in the ledger are neighbours in the batch.
            batch.sort_unstable_by_key(|(wallet, _)| *wallet);
            self.batches += 1;
            let (node, era) = (Arc::clone(&self.node), self.era);
            self.tasks.spawn(async move { Done::Written(era, write(&node, batch).await) });
        }
    }

    /// Takes what is due until a batch is full.
    fn gather(&mut self, soon: Duration, now: Duration) -> Vec<(WalletId, Writes)> {
        let wall = self.node.now();
        let marks: HashMap<StreamId, StreamMark> =
            self.streams.iter().map(|(stream, open)| (*stream, open.mark)).collect();
        let latest = |stream| marks.get(&stream).copied().unwrap_or_default();
        let is_draining = !self.draining.is_empty();
        let (mut batch, mut rows, mut later) = (Vec::new(), 0, Vec::new());
        while rows < BATCH_ROWS_MAX
            && let Some(wallet) = self.persists.take(soon)
        {
            let Some(entry) = self.wallets.get_mut(&wallet) else { continue };
            if entry.machine.is_writing() {
                // What it lacks is written when this write has ended.
                entry.is_write_wanted = true;
                continue;
            }
            if entry.rows_until > soon && !entry.is_hurried && !is_draining {
                later.push((wallet, entry.rows_until));
                continue;
            }
            let writes = entry.machine.begin_write(latest, wall);
            if writes.is_empty() {
                // What was not read yet is written when it was.
                entry.is_hurried &= entry.machine.is_dirty();
                continue;
            }
            entry.is_hurried = false;
            let count = writes.registers.len() + writes.holds.len() + writes.suspense.len();
            (entry.persisted_at, entry.persisted_left) = (now, entry.left);
            entry.rows_until = now + need::rows_interval(count);
            rows += count;
            batch.push((wallet, writes));
        }
        later.into_iter().for_each(|(wallet, at)| self.persists.sooner(wallet, at));
        batch
    }

    pub(super) fn end_write(&mut self, era: u64, written: Written) {
        if era != self.era {
            return;
        }
        self.batches = self.batches.saturating_sub(1);
        let now = self.node.clock.monotonic();
        let Written { writes, registers, is_held_written, is_suspense_written } = written;
        let mut rows = registers.as_slice();
        for (wallet, writes) in writes {
            let (these, rest) = rows.split_at(writes.registers.len().min(rows.len()));
            rows = rest;
            let is_whole = these.iter().all(|row| *row)
                && (is_held_written || writes.holds.is_empty())
                && (is_suspense_written || writes.suspense.is_empty());
            let acknowledged = writes.acknowledged(these, is_held_written, is_suspense_written);
            let Some(entry) = self.wallets.get_mut(&wallet) else { continue };
            entry.machine.end_write(&acknowledged, is_whole);
            // A hold that was heard while an older one was written may have looked like none before.
            if entry.machine.is_dirty() && self.dirty.insert(wallet) {
                self.persists.sooner(wallet, now);
            }
            let streams = &self.streams;
            let latest = |stream| streams.get(&stream).map(|open| open.mark).unwrap_or_default();
            if is_whole && entry.machine.has_unanswered(latest) {
                self.rereads.sooner(wallet, now);
            }
            if std::mem::take(&mut entry.is_write_wanted) {
                self.persists.sooner(wallet, now);
            }
            if !is_whole {
                self.retry_at = now + RETRY_AFTER;
                self.persists.sooner(wallet, self.retry_at);
            }
        }
        self.settle_in_time(now);
        self.look();
        self.end_drain();
    }

    /// Begins to write usage history, all of it in one go.
    pub(super) fn start_usage(&mut self, now: Duration) {
        let is_due = self.usage_at <= now || !self.draining.is_empty();
        if self.is_writing_usage || !is_due || now < self.retry_at {
            return;
        }
        self.usage_at = now + self.node.settings.usage_interval;
        // A minute is written when it is over, and once: or there are no minutes to come.
        let ended_by =
            if self.draining.is_empty() { self.node.now() } else { UnixMillis(i64::MAX) };
        let entries = self.wallets.values_mut();
        let rows: Vec<UsageRow> =
            entries.flat_map(|entry| entry.machine.take_usage(ended_by)).collect();
        if rows.is_empty() {
            return;
        }
        self.is_writing_usage = true;
        let (node, era) = (Arc::clone(&self.node), self.era);
        self.tasks.spawn(async move { Done::Usage(era, write_usage(&node, rows).await) });
    }

    pub(super) fn end_usage(&mut self, era: u64, written: UsageWritten) {
        if era != self.era {
            return;
        }
        self.is_writing_usage = false;
        if !written.is_written {
            let mut by_wallet: HashMap<WalletId, Vec<UsageRow>> = HashMap::new();
            for row in written.rows {
                by_wallet.entry(row.meter.wallet).or_default().push(row);
            }
            for (wallet, rows) in by_wallet {
                if let Some(entry) = self.wallets.get_mut(&wallet) {
                    entry.machine.return_usage(&rows);
                }
            }
        }
        self.end_drain();
    }

    /// Tells each stream how far its reports are durable, if that is due.
    pub(super) fn settle_in_time(&mut self, now: Duration) {
        let is_waited_for = now < self.settle_always_until || !self.draining.is_empty();
        if is_waited_for || now.saturating_sub(self.settled_at) >= SETTLE_EVERY {
            self.settled_at = now;
            self.settle();
        }
    }

    /// Tells each stream how far its reports are durable.
    pub(super) fn settle(&mut self) {
        let mut through: HashMap<StreamId, u64> =
            self.streams.iter().map(|(stream, open)| (*stream, open.mark.arrival)).collect();
        let (wallets, mut dirty_count) = (&self.wallets, 0);
        self.dirty.retain(|wallet| {
            let Some(entry) = wallets.get(wallet) else { return false };
            dirty_count += entry.machine.dirty_count();
            let mut is_unsettled = false;
            for (stream, first) in entry.machine.unsettled_streams() {
                is_unsettled = true;
                if let Some(through) = through.get_mut(&stream) {
                    *through = (*through).min(first - 1);
                }
            }
            is_unsettled || entry.machine.is_dirty()
        });
        for (stream, through) in through {
            if let Some(open) = self.streams.get(&stream) {
                open.sink.settle(self.index, through);
            }
        }
        self.gauges.dirty_registers = dirty_count;
    }
}

fn register_write(row: &DirtyRegister) -> RegisterWrite {
    let cell = if row.is_recovered { RegisterCell::Recovered } else { RegisterCell::Live };
    let DirtyRegister { meter, incarnation, is_recovered: _, units, seq } = *row;
    RegisterWrite { meter, incarnation, cell, units, seq }
}

/// Writes a batch: suspense before registers, so that what a person has to see is never behind.
async fn write(node: &Node, writes: Vec<(WalletId, Writes)>) -> Written {
    let began = node.clock.monotonic();
    let all = || writes.iter().map(|(_, writes)| writes);
    let registers: Vec<RegisterWrite> =
        all().flat_map(|writes| writes.registers.iter().map(register_write)).collect();
    let holds: Vec<HoldWrite> = all()
        .flat_map(|writes| &writes.holds)
        .map(|row| HoldWrite {
            wallet: row.wallet,
            incarnation: row.incarnation,
            amount: row.amount,
            seq: row.seq,
        })
        .collect();
    let suspense: Vec<Suspense> = all()
        .flat_map(|writes| &writes.suspense)
        .map(|row| Suspense {
            meter: row.key.meter,
            incarnation: row.key.incarnation,
            reason: row.key.reason,
            units: row.units,
            counted: row.counted,
        })
        .collect();
    let is_suspense_written = suspense.is_empty()
        || is_written(
            node,
            "suspense",
            suspense.len(),
            node.ledger.write_suspense(&suspense).await,
        );
    let answers = if registers.is_empty() {
        Vec::new()
    } else {
        node.ledger.write_registers(&registers).await
    };
    let mut rows = Vec::with_capacity(registers.len());
    let mut failure = None;
    for answer in answers {
        rows.push(answer.is_ok());
        failure = failure.or(answer.err());
    }
    // A backend that answers short has promised nothing for the rest.
    rows.resize(registers.len(), false);
    let written = rows.iter().filter(|row| **row).count();
    node.metrics.rows.with_label_values(&["register"]).inc_by(written as u64);
    if let Some(error) = failure {
        let _ = is_written(node, "register", 0, Err(error));
    }
    let is_held_written = holds.is_empty()
        || is_written(node, "hold", holds.len(), node.ledger.write_holds(&holds).await);
    let took = node.clock.monotonic().saturating_sub(began);
    node.metrics.persist_seconds.observe(took.as_secs_f64());
    Written { writes, registers: rows, is_held_written, is_suspense_written }
}

async fn write_usage(node: &Node, rows: Vec<UsageRow>) -> UsageWritten {
    let writes: Vec<UsageWrite> = rows
        .iter()
        .map(|row| UsageWrite {
            meter: row.meter,
            incarnation: row.incarnation,
            app: row.app,
            minute: row.minute,
            units: row.units,
            seq: row.seq,
        })
        .collect();
    let mut is_whole = true;
    for batch in writes.chunks(BATCH_ROWS_MAX) {
        let outcome = node.ledger.write_usage(batch).await;
        is_whole = is_whole && is_written(node, "usage", batch.len(), outcome);
    }
    UsageWritten { rows, is_written: is_whole }
}

/// Counts and logs the outcome of a batch.
fn is_written(node: &Node, kind: &str, rows: usize, outcome: Result<(), LedgerError>) -> bool {
    match outcome {
        Ok(()) => {
            node.metrics.rows.with_label_values(&[kind]).inc_by(rows as u64);
            true
        }
        Err(error) => {
            node.metrics.failures.with_label_values(&[kind]).inc();
            tracing::warn!(kind, error = chain(&error), "batch was not written, trying again");
            false
        }
    }
}
