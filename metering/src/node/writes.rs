//! What the ledger does not hold yet, and what becomes of writing it.

use std::time::Duration;

use super::reports::{Hold, Waiting};
use super::stream::{Arrival, StreamId, StreamMark, Unsettled};
use super::{NodeWallet, USAGE_MINUTES_MAX, WRITE_AGE_MAX};
use crate::account::{SuspenseKey, SuspenseReason};
use crate::id::{AppId, Incarnation, WalletId};
use crate::meter::Meter;
use crate::money::Money;
use crate::time::UnixMillis;
use crate::units::Units;

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// One cell of a register to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyRegister {
    /// The meter.
    pub meter: Meter,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// Whether it goes to the cell of recovered files.
    pub is_recovered: bool,
    /// Cumulative units.
    pub units: Units,
    /// The newest report that said so: the write's timestamp.
    pub seq: i64,
}

/// Open holds to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyHold {
    /// The wallet.
    pub wallet: WalletId,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// Their sum.
    pub amount: Money,
    /// The report that said so.
    pub seq: i64,
}

/// Suspense to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtySuspense {
    /// Which register of suspense.
    pub key: SuspenseKey,
    /// Cumulative units.
    pub units: Units,
    /// Of them, what was counted in the register.
    pub counted: Units,
}

/// A minute of usage history to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The meter.
    pub meter: Meter,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// The app whose part this is; `None` for the register itself.
    pub app: Option<AppId>,
    /// The minute, counted from 1970.
    pub minute: i64,
    /// Cumulative units at its end.
    pub units: Units,
    /// The report that said so.
    pub seq: i64,
}

/// What to write now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Registers.
    pub registers: Vec<DirtyRegister>,
    /// Holds.
    pub holds: Vec<DirtyHold>,
    /// Suspense.
    pub suspense: Vec<DirtySuspense>,
}

// === impl Writes ===

impl Writes {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.registers.is_empty() && self.holds.is_empty() && self.suspense.is_empty()
    }

    /// The parts that were acknowledged, where `registers` says so row by row.
    #[must_use]
    pub fn acknowledged(self, registers: &[bool], holds: bool, suspense: bool) -> Writes {
        let rows = self.registers.into_iter().zip(registers);
        Writes {
            registers: rows.filter(|(_, is_written)| **is_written).map(|(row, _)| row).collect(),
            holds: if holds { self.holds } else { Vec::new() },
            suspense: if suspense { self.suspense } else { Vec::new() },
        }
    }
}

// === impl NodeWallet ===

impl NodeWallet {
    /// Registers, and suspense, that the ledger does not hold yet.
    #[must_use]
    pub fn dirty_count(&self) -> usize {
        self.dirty.len() + self.suspense.values().filter(|each| each.is_unsettled()).count()
    }

    /// Whether there is anything that the ledger does not hold yet, holds included.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.dirty_count() > 0 || (self.account.is_some() && self.holds.values().any(is_unwritten))
    }

    /// Whether a write is under way.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.is_writing
    }

    /// The first report on the stream with something that the ledger does not hold yet.
    #[must_use]
    pub fn unsettled(&self, stream: StreamId) -> Option<Arrival> {
        self.unsettled.get(&stream).and_then(Unsettled::first)
    }

    /// The streams that wait for the ledger, each with the first report that it lacks.
    pub fn unsettled_streams(&self) -> impl Iterator<Item = (StreamId, Arrival)> + '_ {
        self.unsettled.iter().filter_map(|(stream, each)| Some((*stream, each.first()?)))
    }

    /// Begins a write of all that the ledger lacks. Empty while another is under way, and before
    /// the first read, which decides whether there is such a wallet.
    ///
    /// `latest` says the newest report of each stream, `wall` the service's time: registers that
    /// are too old to be written go to suspense instead.
    pub fn begin_write(
        &mut self,
        latest: impl Fn(StreamId) -> StreamMark,
        wall: UnixMillis,
    ) -> Writes {
        if self.is_writing || (self.account.is_none() && !self.is_missing) {
            return Writes::default();
        }
        self.give_up_old(wall);
        self.judge_suspense();
        let writes = Writes {
            registers: self.dirty_registers(),
            holds: self.dirty_holds(),
            suspense: self.dirty_suspense(),
        };
        if writes.is_empty() {
            return writes;
        }
        self.is_writing = true;
        for row in &writes.holds {
            if let Some(hold) = self.holds.get_mut(&row.incarnation) {
                hold.owed = Some(row.seq);
            }
        }
        self.unsettled.values_mut().for_each(Unsettled::begin_write);
        for (stream, subscriber) in &mut self.subscribers {
            subscriber.writing_seq = latest(*stream).seq;
        }
        writes
    }

    /// The write under way ended: `acknowledged` are the rows that the ledger holds now, and
    /// `is_whole` says whether these are all that were to be written.
    pub fn end_write(&mut self, acknowledged: &Writes, is_whole: bool) {
        self.is_writing = false;
        for row in &acknowledged.registers {
            let key = (row.meter, row.incarnation);
            let Some(register) = self.registers.get(&key) else { continue };
            let durable = self.durable.entry(key).or_default();
            let cell = if row.is_recovered { &mut durable.recovered } else { &mut durable.live };
            *cell = (*cell).max(row.units);
            if *durable == *register {
                self.dirty.remove(&key);
            }
        }
        for row in &acknowledged.holds {
            // A read may have shown a later one meanwhile, which stays.
            if let Some(hold) = self.holds.get_mut(&row.incarnation)
                && hold.durable.is_none_or(|(_, seq)| seq <= row.seq)
            {
                hold.durable = Some((row.amount, row.seq));
                hold.pay(row.seq);
            }
        }
        for row in &acknowledged.suspense {
            if let Some(waiting) = self.suspense.get_mut(&row.key) {
                waiting.durable = waiting.durable.max(row.units);
            }
        }
        if is_whole {
            for unsettled in self.unsettled.values_mut() {
                unsettled.writing = None;
            }
            // All that had arrived when the write began was in it.
            for subscriber in self.subscribers.values_mut() {
                subscriber.settled_seq = subscriber.settled_seq.max(subscriber.writing_seq);
            }
        } else {
            self.unsettled.values_mut().for_each(Unsettled::fail_write);
        }
        self.unsettled.retain(|_, each| each.first().is_some());
        self.settle_if_clean();
    }

    /// Takes the minutes of usage that have ended by a time, so that each is one row written once;
    /// those of a failed write come back by [`NodeWallet::return_usage`].
    pub fn take_usage(&mut self, ended_by: UnixMillis) -> Vec<UsageRow> {
        if self.account.is_none() {
            return Vec::new();
        }
        let first_open = ended_by.0.div_euclid(MINUTE_MS);
        let mut rows = Vec::new();
        for ((meter, incarnation, app), minutes) in &mut self.usage {
            let open = minutes.split_off(&first_open);
            let ended = std::mem::replace(minutes, open);
            rows.extend(ended.into_iter().map(|(minute, (units, seq))| UsageRow {
                meter: *meter,
                incarnation: *incarnation,
                app: *app,
                minute,
                units,
                seq,
            }));
        }
        self.usage.retain(|_, minutes| !minutes.is_empty());
        rows
    }

    /// Puts minutes back that were not written.
    pub fn return_usage(&mut self, rows: &[UsageRow]) {
        for row in rows {
            let minutes = self.usage.entry((row.meter, row.incarnation, row.app)).or_default();
            let known = minutes.entry(row.minute).or_insert((row.units, row.seq));
            *known = (known.0.max(row.units), known.1.max(row.seq));
            if minutes.len() > USAGE_MINUTES_MAX {
                minutes.pop_first();
            }
        }
    }

    /// Where nothing is dirty, nothing is unsettled either, whatever the marks say.
    pub(super) fn settle_if_clean(&mut self) {
        if self.dirty_count() == 0 {
            self.unsettled.clear();
        }
    }

    /// Finds out of each late register what of it was counted; nothing more than that is to write
    /// where all of it was.
    pub(super) fn judge_suspense(&mut self) {
        let keys: Vec<SuspenseKey> = self.suspense.keys().copied().collect();
        for key in keys.into_iter().filter(|key| key.reason == SuspenseReason::Fence) {
            let counted = self.counted(&key);
            if self.account.is_some()
                && let Some(waiting) = self.suspense.get_mut(&key)
            {
                waiting.is_counted = waiting.units <= counted;
            }
        }
        self.settle_if_clean();
    }

    /// Units that stand in the register already, folded or not.
    pub(super) fn counted(&self, key: &SuspenseKey) -> Units {
        let place = (key.meter, key.incarnation);
        // What was heard before the fence fell is counted as well: it is on its way to the ledger.
        let register = self.registers.get(&place).copied().unwrap_or_default().units();
        let cells = self.account.as_ref().map(|account| &account.cells);
        let cell = cells.and_then(|cells| cells.get(&place)).copied().unwrap_or_default();
        register.max(cell.folded)
    }

    fn give_up_old(&mut self, wall: UnixMillis) {
        let is_missing = self.account.is_none();
        let is_old =
            |incarnation: &Incarnation| is_missing || wall.since(incarnation.born) > WRITE_AGE_MAX;
        let old: Vec<(Meter, Incarnation)> =
            self.dirty.iter().filter(|(_, incarnation)| is_old(incarnation)).copied().collect();
        for key in old {
            self.give_up(key);
        }
    }

    fn dirty_registers(&self) -> Vec<DirtyRegister> {
        let mut rows = Vec::with_capacity(self.dirty.len());
        for (meter, incarnation) in &self.dirty {
            let key = (*meter, *incarnation);
            let register = self.registers.get(&key).copied().unwrap_or_default();
            let durable = self.durable.get(&key).copied().unwrap_or_default();
            let seqs = self.seqs.get(&key).copied().unwrap_or_default();
            let row = |is_recovered, units, seq| DirtyRegister {
                meter: *meter,
                incarnation: *incarnation,
                is_recovered,
                units,
                seq,
            };
            if register.live > durable.live {
                rows.push(row(false, register.live, seqs.live));
            }
            if register.recovered > durable.recovered {
                rows.push(row(true, register.recovered, seqs.recovered));
            }
        }
        rows
    }

    fn dirty_holds(&self) -> Vec<DirtyHold> {
        if self.account.is_none() {
            return Vec::new();
        }
        let dirty = self.holds.iter().filter(|(_, hold)| is_unwritten(hold));
        let row = |(incarnation, hold): (&Incarnation, &Hold)| DirtyHold {
            wallet: self.wallet,
            incarnation: *incarnation,
            amount: hold.amount,
            seq: hold.seq,
        };
        dirty.map(row).collect()
    }

    fn dirty_suspense(&self) -> Vec<DirtySuspense> {
        let dirty = self.suspense.iter().filter(|(_, waiting)| waiting.is_unsettled());
        let row = |(key, waiting): (&SuspenseKey, &Waiting)| {
            let cut = || self.account.as_ref()?.cut(&key.meter, key.incarnation);
            let counted = match key.reason {
                SuspenseReason::Fence => self.counted(key),
                SuspenseReason::Cut => cut().unwrap_or_default(),
                SuspenseReason::Multiplier => Units::ZERO,
            };
            DirtySuspense { key: *key, units: waiting.units, counted }
        };
        dirty.map(row).collect()
    }

    /// Writes holds of connected gateways again that the ledger has held unchanged for long, so
    /// that other nodes do not take their gateway for dead.
    pub fn refresh_holds(&mut self, wall: UnixMillis, hold_life: Duration) {
        let old = wall.minus(hold_life / 3);
        let connected: Vec<Incarnation> =
            self.holds.keys().copied().filter(|each| self.is_connected(*each)).collect();
        for incarnation in connected {
            if let Some(hold) = self.holds.get_mut(&incarnation)
                && hold.fresh_at < old
                && !hold.amount.is_zero()
            {
                hold.fresh_at = wall;
                hold.seq += 1;
                hold.owed = Some(hold.seq);
            }
        }
    }
}

/// Whether the ledger has another amount, or may have; none is as good as nothing.
fn is_unwritten(hold: &Hold) -> bool {
    hold.owed.is_some() || hold.durable.map_or(Money::ZERO, |(amount, _)| amount) != hold.amount
}
