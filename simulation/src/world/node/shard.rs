//! Wallets of a node: what is written, read and told, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_metering::Money;
use tollgate_metering::node::need::Bounds;
use tollgate_metering::node::{News, Read, ReadError, StreamId, StreamMark, Writes};

use super::super::World;
use super::super::network::Said;
use super::super::storage::{Answered, Fates, Reader, Reading, Work};
use crate::fault::Fault;
use crate::trace::note;

/// A wallet that nobody uses is forgotten after this.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long after another node's report a wallet counts as shared.
const USE_MEMORY: Duration = Duration::from_secs(30);
/// A ledger that failed is tried again after this.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How often usage history is written.
const USAGE_EVERY: Duration = Duration::from_secs(10);

type Marks = BTreeMap<StreamId, StreamMark>;

// === impl World ===

impl World {
    pub(super) fn tick_shard(&mut self, n: usize) {
        self.start_writes(n);
        self.start_usage(n);
        self.look_at_draws(n);
        self.start_due_reads(n);
        self.settle(n);
        let stale = std::mem::take(&mut self.nodes[n].stale);
        for w in stale {
            self.tell(n, w);
        }
        let now = self.now;
        self.nodes[n].wallets.retain(|_, entry| {
            let is_old = now.saturating_sub(entry.last_used) >= IDLE_MAX;
            !(entry.machine.is_idle() && !entry.is_reading && is_old)
        });
    }

    fn marks(&self, n: usize) -> Marks {
        let streams = self.nodes[n].streams.iter();
        streams.map(|(stream, open)| (StreamId(*stream), open.mark)).collect()
    }

    fn start_writes(&mut self, n: usize) {
        let now = self.now;
        if now < self.nodes[n].retry_at {
            return;
        }
        let due: Vec<usize> = self.nodes[n].dirty.iter().copied().collect();
        let due_by = now + self.setup.tick / 2;
        for w in due {
            let marks = self.marks(n);
            // The clock that begin_write looks at the age of incarnations with.
            let is_blind = self.is(Fault::WriteWithoutAge) || self.is(Fault::PurgeWithoutFence);
            let node = &mut self.nodes[n];
            let wall = if is_blind { self.setup.start } else { node.wall(now) };
            let Some(entry) = node.wallets.get_mut(&w) else { continue };
            if entry.persist_at > due_by || entry.machine.is_writing() {
                continue;
            }
            let latest = |stream| marks.get(&stream).copied().unwrap_or_default();
            let writes = entry.machine.begin_write(latest, wall);
            if writes.is_empty() {
                continue;
            }
            entry.persist_at = now + self.setup.persist;
            let (process, era, generation) = (node.process, node.era, node.generation);
            let writes = Box::new(writes);
            let fates = Fates::default();
            self.ask(Some(n), generation, Work::Rows { n, process, era, w, writes, fates });
        }
    }

    /// Usage history is counted and thrown away: nothing depends on it.
    fn start_usage(&mut self, n: usize) {
        let now = self.now;
        let node = &mut self.nodes[n];
        if now < node.usage_at {
            return;
        }
        node.usage_at = now + USAGE_EVERY;
        let wall = node.wall(now);
        let entries = node.wallets.values_mut();
        let rows = entries.map(|entry| entry.machine.take_usage(wall).len() as u64);
        self.costs.rows += rows.sum::<u64>();
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of one operation")]
    pub(in crate::world) fn rows_written(
        &mut self,
        n: usize,
        process: u32,
        era: u64,
        w: usize,
        writes: Writes,
        fates: &Fates,
        answer: Answered,
    ) {
        let (rows, held, suspended) = fates.acknowledged(&mut self.dice.ledger, answer);
        let node = &mut self.nodes[n];
        if !node.is_up() || node.process != process || node.era != era {
            return;
        }
        let Some(entry) = node.wallets.get_mut(&w) else { return };
        let rows = if rows.is_empty() { vec![false; writes.registers.len()] } else { rows };
        let is_whole = rows.iter().all(|row| *row)
            && (held || writes.holds.is_empty())
            && (suspended || writes.suspense.is_empty());
        let acknowledged = writes.acknowledged(&rows, held, suspended);
        entry.machine.end_write(&acknowledged, is_whole);
        // What was written may be older than what was heard while it was.
        if entry.machine.is_dirty() {
            node.dirty.insert(w);
        }
        if !is_whole {
            node.retry_at = self.now + RETRY_AFTER;
        }
        self.settle(n);
    }

    fn start_due_reads(&mut self, n: usize) {
        let marks = self.marks(n);
        let latest = |stream| marks.get(&stream).copied().unwrap_or_default();
        let now = self.now;
        let is_due = |entry: &super::Entry| {
            let is_unread = entry.machine.account().is_none() && entry.machine.dirty_count() > 0;
            entry.is_read_wanted
                || (is_unread && entry.read_at <= now)
                || (entry.machine.is_subscribed()
                    && (entry.read_at <= now || entry.machine.has_unanswered(latest)))
        };
        let entries = self.nodes[n].wallets.iter();
        let due: Vec<usize> = entries.filter(|(_, each)| is_due(each)).map(|(w, _)| *w).collect();
        for w in due {
            self.start_read(n, w);
        }
    }

    pub(super) fn start_read(&mut self, n: usize, w: usize) {
        let (marks, now) = (self.marks(n), self.now);
        let ended = self.noted_ends();
        let node = &mut self.nodes[n];
        if now < node.retry_at {
            return;
        }
        let monotonic = node.clock.monotonic(now);
        let Some(entry) = node.wallets.get_mut(&w).filter(|entry| !entry.is_reading) else {
            return;
        };
        let latest = |stream| marks.get(&stream).copied().unwrap_or_default();
        let mark = entry.machine.begin_read(latest, monotonic);
        entry.is_reading = true;
        entry.is_read_wanted = false;
        entry.strict.ended = ended;
        let (process, era, generation) = (node.process, node.era, node.generation);
        let reader = Reader::Node { n, process, era, mark };
        self.ask(Some(n), generation, Work::Read { reader, w, reading: Box::default() });
    }

    /// A read reaches who asked for it.
    pub(in crate::world) fn read_done(
        &mut self,
        reader: Reader,
        w: usize,
        reading: Reading,
        answer: Answered,
    ) {
        let read = match (answer, reading.account, reading.registers) {
            (Answered::Done, Some(account), Some(registers)) => {
                Some(Read { account, registers, holds: reading.holds })
            }
            _ => None,
        };
        let (n, process, era, mark) = match reader {
            Reader::Node { n, process, era, mark } => (n, process, era, mark),
            Reader::Task { task } => return self.task_read(task, read),
        };
        let now = self.now;
        let node = &mut self.nodes[n];
        if !node.is_up() || node.process != process || node.era != era {
            return;
        }
        let (monotonic, wall) = (node.clock.monotonic(now), node.wall(now));
        let Some(entry) = node.wallets.get_mut(&w) else { return };
        entry.is_reading = false;
        let Some(read) = read else {
            node.retry_at = now + RETRY_AFTER;
            entry.read_at = now + RETRY_AFTER;
            return;
        };
        match entry.machine.reread(&mark, Some(read), monotonic, wall) {
            Ok(()) => {}
            Err(ReadError::Old { .. }) => {
                entry.is_read_wanted = true;
                return;
            }
            // The guard sees it as well.
            Err(ReadError::Generation { .. }) => return,
        }
        entry.machine.refresh_holds(wall, self.setup.hold_life);
        if entry.machine.is_dirty() {
            node.dirty.insert(w);
        }
        self.plan(n, w);
        self.tell(n, w);
        self.tend_strict(n, w);
    }

    /// Sets when the wallet is persisted and read next.
    fn plan(&mut self, n: usize, w: usize) {
        let (now, rates) = (self.now, &self.rates);
        let bounds = Bounds { fastest: self.setup.tick, slowest: self.setup.persist };
        let node = &mut self.nodes[n];
        let monotonic = node.clock.monotonic(now);
        let Some(entry) = node.wallets.get_mut(&w) else { return };
        let Ok(Some(balance)) = entry.machine.balance(rates) else { return };
        let limit = entry.machine.account().map_or(Money::ZERO, |each| each.header.overdraft_limit);
        entry.burn.look(balance, monotonic);
        let headroom = balance.plus(limit).unwrap_or(balance);
        let foreign = entry.machine.last_foreign_change();
        let is_shared = foreign.is_some_and(|at| monotonic.saturating_sub(at) < USE_MEMORY);
        let needed = entry.burn.interval(headroom, bounds);
        let interval = if is_shared { needed } else { bounds.slowest };
        entry.persist_at = entry.persist_at.min(now + interval);
        let slowest = self.setup.read;
        let pace = if is_shared { interval.min(slowest) } else { slowest };
        entry.read_at = now + pace.max(self.setup.tick);
    }

    /// Tells the subscribers of a wallet what changed.
    pub(super) fn tell(&mut self, n: usize, w: usize) {
        let (now, hold_life) = (self.now, self.setup.hold_life);
        let node = &mut self.nodes[n];
        node.stale.remove(&w);
        let wall = node.wall(now);
        let Some(entry) = node.wallets.get_mut(&w) else { return };
        let subscribers: Vec<StreamId> = entry.machine.subscribers().collect();
        let mut said = Vec::new();
        for stream in subscribers {
            match entry.machine.news(stream, wall, hold_life) {
                Ok(None) => {}
                Ok(Some(News::Fresh { answered_seq })) => {
                    said.push((stream.0, Said::Fresh { answered_seq, wallets: vec![w] }));
                }
                Ok(Some(News::Snapshot(snapshot))) => {
                    said.push((stream.0, Said::Snapshot(snapshot)));
                }
                Err(error) => panic!("prices of a run are known and sums small: {error}"),
            }
        }
        for (stream, said) in said {
            if let Said::Snapshot(snapshot) = &said {
                note!(
                    self,
                    "n{} tells stream {} version {}, answering {}",
                    n,
                    stream,
                    snapshot.version,
                    snapshot.answered_seq
                );
            }
            self.send_down(stream, said);
        }
    }
}
