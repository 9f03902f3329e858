//! How the ledger answers: late, not at all, or after the caller gave up.
//!
//! Whoever asks draws what becomes of it: when it is applied, if it is, and what is answered. An
//! operation whose outcome is unknown to its caller may have been applied before, may be applied
//! much later, or never. Nothing of an older generation reaches a newer ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_metering::node::{ReadMark, Writes};
use tollgate_metering::{
    Account, Change, Entry, Incarnation, Meter, Registers, UnixMillis, WalletId,
};
use uuid::Uuid;

use super::gateway::Asked;
use super::ledger::Ledger;
use super::{Event, World};
use crate::fault::Fault;
use crate::schedule::Trouble;
use crate::trace::note;

/// A caller gives up after this.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A backup: the ledger's content, and what it shows.
#[derive(Debug)]
pub(crate) struct Backup {
    pub(crate) ledger: Ledger,
    pub(crate) shown: BTreeMap<(Uuid, Meter), u64>,
    pub(crate) charged: BTreeMap<Meter, u128>,
    pub(crate) late_charged: BTreeMap<Meter, u128>,
    pub(crate) retired: BTreeMap<(Uuid, WalletId), BTreeMap<Meter, u64>>,
}

/// Who reads.
#[derive(Debug)]
pub(crate) enum Reader {
    Node { n: usize, process: u32, era: u64, mark: ReadMark },
    Task { task: u64 },
}

/// A wallet being read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) account: Option<Account>,
    pub(crate) registers: Option<Registers>,
    pub(crate) holds: BTreeMap<Incarnation, tollgate_metering::node::ReadHold>,
    /// What was durable when the account was read.
    durable: BTreeMap<Meter, u128>,
}

/// What the ledger is asked for.
#[derive(Debug)]
pub(crate) enum Work {
    Rows { n: usize, process: u32, era: u64, w: usize, writes: Box<Writes>, fates: Fates },
    Read { reader: Reader, w: usize, reading: Box<Reading> },
    Commit { task: u64, w: usize, change: Box<Change>, is_applied: bool },
    Grant { n: usize, process: u32, era: u64, w: usize, change: Box<Change>, is_applied: bool },
    Find { task: u64, w: usize, id: String, found: Option<Box<Entry>> },
    Register { n: usize, process: u32, g: usize, asked: Asked, id: Uuid, born: UnixMillis },
    End { n: usize, process: u32, stream: u64, incarnation: Incarnation, seq: i64 },
    Look { n: usize, process: u32, before: UnixMillis, clock: UnixMillis, generation: u32 },
    Purge { task: u64, w: usize, below: UnixMillis, timestamp: i64 },
}

/// Which rows of a batch are applied at once, and which later.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fates {
    prompt: Vec<bool>,
    late: Vec<bool>,
    is_held: bool,
    is_suspended: bool,
}

/// An operation that is under way.
#[derive(Debug)]
pub(crate) struct Op {
    /// The ledger that it is for; 0: any.
    pub(crate) generation: u32,
    pub(crate) work: Work,
    pub(crate) answer: Answered,
    /// Events that are to come.
    events: u8,
}

/// What the caller hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Done,
    /// Certainly nothing was applied.
    Failed,
    Unknown,
}

// === impl World ===

impl World {
    /// Asks the ledger. `n` is the node that asks, if one does.
    pub(super) fn ask(&mut self, n: Option<usize>, generation: u32, mut work: Work) {
        self.next_op += 1;
        let op = self.next_op;
        let is_cut = n.is_some_and(|n| self.now < self.nodes[n].cut_until);
        let trouble =
            self.ledger_trouble.filter(|(_, until)| self.now < *until).map(|(what, _)| what);
        let latency = self.latency(trouble);
        let dice = &mut self.dice.ledger;
        let is_down = is_cut || trouble == Some(Trouble::Down);
        let is_lost = match trouble {
            Some(Trouble::Unknown) => dice.happens(500),
            Some(_) | None => dice.happens(self.setup.trouble),
        };
        if is_down || (is_lost && dice.happens(200)) {
            let answer = Answered::Failed;
            self.ops.insert(op, Op { generation, work, answer, events: 1 });
            return self.after(latency.min(TIMEOUT), Event::Answer { op });
        }
        if let Work::Rows { writes, fates, .. } = &mut work {
            *fates = Fates::draw(dice, writes, is_lost);
        }
        let two_steps = matches!(work, Work::Read { .. });
        let answer = if is_lost { Answered::Unknown } else { Answered::Done };
        let first = latency / 3;
        let mut events = 1;
        // One in three is applied and not answered, one later, one never.
        let fate = if is_lost { dice.number(0, 2) } else { 0 };
        let late = dice.scale((TIMEOUT, Duration::from_secs(60)));
        let is_rows = matches!(work, Work::Rows { .. });
        if fate == 0 || is_rows {
            events += 1;
            self.after(first, Event::Apply { op, step: 0 });
            if two_steps {
                events += 1;
                self.after(first * 2, Event::Apply { op, step: 1 });
            }
        }
        if is_lost && (fate == 1 || is_rows) {
            events += 1;
            self.after(late, Event::Apply { op, step: if is_rows { 1 } else { 0 } });
        }
        let answered = if is_lost && !is_rows { TIMEOUT } else { latency };
        self.after(answered, Event::Answer { op });
        self.ops.insert(op, Op { generation, work, answer, events });
    }

    fn latency(&mut self, trouble: Option<Trouble>) -> Duration {
        let dice = &mut self.dice.ledger;
        match trouble {
            Some(Trouble::Slow) => {
                dice.scale((Duration::from_millis(200), Duration::from_secs(40)))
            }
            Some(Trouble::Down | Trouble::Unknown) | None => dice.span(self.setup.latency),
        }
    }

    pub(super) fn asker_paused_until(&self, op: u64) -> Duration {
        let n = match self.ops.get(&op).map(|op| &op.work) {
            Some(
                Work::Rows { n, .. }
                | Work::Register { n, .. }
                | Work::Look { n, .. }
                | Work::Grant { n, .. }
                | Work::End { n, .. }
                | Work::Read { reader: Reader::Node { n, .. }, .. },
            ) => *n,
            Some(_) | None => return Duration::ZERO,
        };
        self.nodes[n].paused_until
    }

    /// Something reaches the ledger.
    pub(super) fn apply(&mut self, op: u64, step: u8) {
        let Some(mut each) = self.take_op(op) else { return };
        if each.generation == 0 || each.generation == self.ledger.generation {
            self.apply_work(&mut each.work, step);
        } else if each.answer == Answered::Done {
            each.answer = Answered::Failed;
        }
        if each.events > 0 {
            self.ops.insert(op, each);
        }
    }

    fn apply_work(&mut self, work: &mut Work, step: u8) {
        match work {
            Work::Rows { n, w, writes, fates, .. } => {
                self.apply_rows(*n, *w, writes, fates, step == 1);
            }
            Work::Read { w, reading, .. } => {
                let is_account = (step == 0) != self.is(Fault::RegistersFirst);
                self.read_part(*w, reading, is_account);
            }
            Work::Commit { task, w, change, is_applied } => {
                *is_applied = self.commit(*w, *task, change);
            }
            Work::Grant { w, change, is_applied, .. } => {
                *is_applied = self.commit_grant(*w, change)
            }
            Work::Find { w, id, found, .. } => {
                *found = self.ledger.wallets[*w].entries.get(id).cloned().map(Box::new);
            }
            Work::Register { id, born, g, .. } => {
                let incarnation = self.ledger.register(*id, *born);
                self.truth.gateway_of.insert(*id, *g);
                *born = incarnation.born;
                self.check_birth(incarnation);
            }
            Work::End { incarnation, .. } => {
                if let Some(registered) = self.ledger.registry.get_mut(&incarnation.id) {
                    registered.has_ended = true;
                }
            }
            Work::Look { clock, generation, .. } => {
                (*clock, *generation) = (self.wall(), self.ledger.generation);
            }
            Work::Purge { w, below, timestamp, .. } => self.purge(*w, *below, *timestamp),
        }
    }

    /// The ledger's answer reaches the caller.
    pub(super) fn answer(&mut self, op: u64) {
        let Some(each) = self.take_op(op) else { return };
        let Op { generation, work, answer, events } = each;
        match work {
            Work::Rows { n, process, era, w, writes, fates } => {
                if answer != Answered::Failed && events > 0 {
                    // Rows that come about later.
                    let (writes, fates) = (writes.clone(), fates.clone());
                    let work = Work::Rows { n, process, era, w, writes, fates };
                    self.ops.insert(op, Op { generation, work, answer, events });
                }
                self.rows_written(n, process, era, w, *writes, &fates, answer);
            }
            Work::Read { reader, w, reading } => self.read_done(reader, w, *reading, answer),
            Work::Commit { task, w, change, is_applied } => {
                if events > 0 {
                    let (change, is_applied) = (change.clone(), false);
                    let work = Work::Commit { task, w, change, is_applied };
                    self.ops.insert(op, Op { generation, work, answer, events });
                }
                self.committed(task, is_applied, answer);
            }
            Work::Grant { n, process, era, w, change, is_applied } => {
                self.granted((n, process, era, w), &change, is_applied, answer);
                if events > 0 {
                    let work = Work::Grant { n, process, era, w, change, is_applied: false };
                    self.ops.insert(op, Op { generation, work, answer, events });
                }
            }
            Work::Find { task, found, .. } => self.found(task, found.map(|entry| *entry), answer),
            Work::Register { n, process, g, asked, id, born } => {
                if events > 0 {
                    let work = Work::Register { n, process, g, asked, id, born };
                    self.ops.insert(op, Op { generation, work, answer, events });
                }
                if answer == Answered::Done {
                    self.register_done((n, process), g, asked, Incarnation { born, id });
                }
            }
            Work::End { n, process, stream, incarnation, seq } => {
                if events > 0 {
                    let work = Work::End { n, process, stream, incarnation, seq };
                    self.ops.insert(op, Op { generation, work, answer, events });
                }
                self.end_noted((n, process, stream), incarnation, seq, answer == Answered::Done);
            }
            Work::Look { n, process, before, clock, generation } => {
                let found = (answer == Answered::Done).then_some((clock, generation));
                self.looked(n, process, before, found);
            }
            Work::Purge { task, w, below, timestamp } => {
                if events > 0 {
                    let work = Work::Purge { task, w, below, timestamp };
                    self.ops.insert(op, Op { generation, work, answer, events });
                }
                self.purged(task);
            }
        }
    }

    /// One of an operation's events happens.
    fn take_op(&mut self, op: u64) -> Option<Op> {
        let mut each = self.ops.remove(&op)?;
        each.events -= 1;
        Some(each)
    }

    fn read_part(&mut self, w: usize, reading: &mut Reading, is_account: bool) {
        if is_account {
            reading.account = Some(self.ledger.wallets[w].account.clone());
            reading.durable = self.truth.durable_totals.clone();
        } else {
            let stored = &self.ledger.wallets[w];
            let known = reading.account.as_ref().map(|account| account.header.horizon);
            let horizon = known.unwrap_or(UnixMillis(0));
            reading.registers = Some(stored.read_registers(horizon));
            reading.holds = stored.read_holds(horizon);
        }
        if let (Some(account), Some(_)) = (&reading.account, &reading.registers) {
            let horizon = account.header.horizon;
            if let Some(registers) = &mut reading.registers {
                registers.retain(|(_, by), _| by.born >= horizon);
            }
            self.costs.reads += 1;
            self.check_read(w, reading);
        }
    }

    fn check_read(&mut self, w: usize, reading: &Reading) {
        let (Some(account), Some(registers)) = (&reading.account, &reading.registers) else {
            return;
        };
        let units = account.units(registers, |_| false).expect("sums of a run are small");
        let mut wrong = None;
        for (meter, least) in &reading.durable {
            if meter.wallet != account.header.wallet || !account.header.counts_meter(meter) {
                continue;
            }
            let read = units.get(meter).copied().unwrap_or_default().nanos();
            let most = self.truth.totals.get(meter).copied().unwrap_or_default()
                + self.truth.charged.get(meter).copied().unwrap_or_default();
            // After a restore nothing is durable until it was said again.
            if read < *least || read > most {
                wrong = Some(format!(
                    "wallet {w}: {read} nano-units read of {meter}, not {least} to {most}"
                ));
            }
        }
        if let Some(wrong) = wrong {
            self.blame("a read lies between acknowledged and true spend", || wrong);
        }
    }

    fn apply_rows(&mut self, n: usize, w: usize, writes: &Writes, fates: &Fates, is_late: bool) {
        let is_server_time = self.is(Fault::ServerTimestamp);
        if !is_late && fates.is_suspended {
            for row in &writes.suspense {
                self.costs.rows += 1;
                self.ledger.wallets[w].write_suspense(row);
                note!(self, "ledger: suspense of {} is {}", row.key.incarnation, row.units);
            }
        }
        let which = if is_late { &fates.late } else { &fates.prompt };
        for (row, _) in writes.registers.iter().zip(which).filter(|(_, is_meant)| **is_meant) {
            self.costs.rows += 1;
            let timestamp =
                if is_server_time { self.nodes[n].clock.wall_us(self.now) } else { row.seq };
            if self.is_dropped_as_late(w, row) {
                continue;
            }
            let (before, after) = self.ledger.wallets[w].write(row, timestamp, self.now);
            note!(self, "ledger: {} by n{} has {} (was {})", row.incarnation, n, after, before);
            self.check_register(w, row, before, after);
        }
        if !is_late && fates.is_held {
            for row in &writes.holds {
                self.costs.rows += 1;
                self.ledger.wallets[w].write_hold(row);
            }
        }
        self.note_persisted(w);
    }
}

// === impl Fates ===

impl Fates {
    fn draw(dice: &mut crate::dice::Dice, writes: &Writes, is_lost: bool) -> Fates {
        let count = writes.registers.len();
        let mut fates = Fates {
            prompt: vec![true; count],
            late: vec![false; count],
            is_held: true,
            is_suspended: true,
        };
        if is_lost {
            for row in 0..count {
                fates.prompt[row] = dice.happens(400);
                fates.late[row] = dice.happens(400);
            }
            (fates.is_held, fates.is_suspended) = (dice.happens(500), dice.happens(500));
        }
        fates
    }

    /// What the caller hears of each row, where all or part is known: an applied row of a batch in
    /// trouble is acknowledged or not, at random.
    pub(crate) fn acknowledged(
        &self,
        dice: &mut crate::dice::Dice,
        answer: Answered,
    ) -> (Vec<bool>, bool, bool) {
        match answer {
            Answered::Done => (self.prompt.clone(), self.is_held, self.is_suspended),
            Answered::Failed => (vec![false; self.prompt.len()], false, false),
            Answered::Unknown => {
                let heard = self.prompt.iter().map(|row| *row && dice.happens(700)).collect();
                (heard, self.is_held && dice.happens(700), self.is_suspended && dice.happens(700))
            }
        }
    }
}
