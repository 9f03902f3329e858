//! People and housekeeping: what reads a wallet, plans a change and commits it.
//!
//! A booking looks for its id before each attempt, after the account was read, and repeats the same
//! id after an unknown outcome; who asked asks again with it. Housekeeping folds, closes, raises the
//! horizon and purges, from any node, also from several at once.

use std::collections::BTreeSet;
use std::time::Duration;

use tollgate_metering::account::{Entry, Overspend};
use tollgate_metering::balance::PERIOD_GRACE;
use tollgate_metering::booking::{
    self, AdjustmentCap, Booking, BookingError, Resolution, Suspended, entry_id,
};
use tollgate_metering::node::{FENCE, Read};
use tollgate_metering::{
    Change, EntryKind, Incarnation, Money, Period, SuspenseReason, Units, UnixMillis,
};
use uuid::Uuid;

use super::storage::{Answered, Reader, Work};
use super::{Event, World};
use crate::fault::Fault;
use crate::trace::note;

mod keeping;
mod people;

/// Attempts before a caller is told that the outcome is unknown.
const ATTEMPTS_MAX: u32 = 8;

/// Who is told "unknown" again and again waits longer each time, until this many times as long: a
/// minute, which the quiet at the end leaves time for.
const DOUBT_ROUNDS_MAX: u32 = 12;

/// Attempts after which housekeeping leaves a wallet to its next round.
const KEEP_ATTEMPTS_MAX: u32 = 60;

/// Age of incarnations that the horizon leaves behind.
pub(super) const HORIZON_AGE: Duration = Duration::from_secs(10 * 86_400);
/// How much older than that is what is removed.
pub(super) const PURGE_DELAY: Duration = Duration::from_secs(3_600);
/// The horizon goes up in steps, so that there are times when what it left behind can be removed.
pub(super) const RAISE_STEP: Duration = Duration::from_secs(2 * 3_600);
/// An incarnation is folded so long after the fence.
pub(super) const FOLD_DELAY: Duration = Duration::from_secs(3_600);

/// Something that is being booked or kept in order.
#[derive(Debug)]
pub(crate) struct Task {
    w: usize,
    what: What,
    attempts: u32,
    read: Option<Box<Read>>,
    /// The version of a commit that may yet turn up.
    doubt: Option<u64>,
}

/// What it is.
#[derive(Clone, Debug)]
enum What {
    Book { id: String, amount: Amount },
    Limit(Money),
    Policy(Overspend),
    Retire(Incarnation),
    Keep { n: usize, process: u32, stage: Stage, ended: BTreeSet<Uuid> },
}

/// What is booked.
#[derive(Clone, Copy, Debug)]
enum Amount {
    Credit(Money),
    Adjust(Money),
    Fee(Money),
    Resolve(Suspended, Units, bool),
}

/// What housekeeping is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fold,
    Close,
    FoldOld,
    CloseOld,
    Raise,
    Purge,
}

// === impl World ===

impl World {
    fn add_task(&mut self, w: usize, what: What) {
        self.next_task += 1;
        let task = self.next_task;
        self.tasks.insert(task, Task { w, what, attempts: 0, read: None, doubt: None });
        self.after(Duration::ZERO, Event::Task { task });
    }

    /// A grant of a node is applied.
    pub(super) fn commit_grant(&mut self, w: usize, change: &Change) -> bool {
        if self.is(Fault::NoEpoch) {
            self.ledger.wallets[w].overwrite(change);
            self.note_given(w);
            return true;
        }
        self.commit(w, 0, change)
    }

    /// A task begins an attempt.
    pub(super) fn step_task(&mut self, task: u64) {
        if self.is_given_up(task) {
            self.tasks.remove(&task);
            return;
        }
        let Some(each) = self.tasks.get_mut(&task) else { return };
        each.attempts += 1;
        let (w, n) = (each.w, each.what.node());
        let generation = n.map_or(self.ledger.generation, |n| self.nodes[n].generation);
        let reader = Reader::Task { task };
        self.ask(n, generation, Work::Read { reader, w, reading: Box::default() });
    }

    /// Whether housekeeping of a wallet ends here: its process is gone or does not serve, and what
    /// that one read is nothing for the next process of the node, nor for its clock; or it took
    /// too often.
    fn is_given_up(&self, task: u64) -> bool {
        let Some(Task { what: What::Keep { n, process, .. }, attempts, .. }) =
            self.tasks.get(&task)
        else {
            return false;
        };
        let node = &self.nodes[*n];
        !node.is_serving() || node.process != *process || *attempts >= KEEP_ATTEMPTS_MAX
    }

    /// The wallet was read.
    pub(super) fn task_read(&mut self, task: u64, read: Option<Read>) {
        if self.is_given_up(task) {
            self.tasks.remove(&task);
            return;
        }
        let Some(each) = self.tasks.get_mut(&task) else { return };
        let Some(read) = read else { return self.again(task) };
        each.read = Some(Box::new(read));
        let w = each.w;
        match &each.what {
            What::Book { id, amount } => {
                let id = entry_id(amount.kind(), id);
                let generation = self.ledger.generation;
                self.ask(None, generation, Work::Find { task, w, id, found: None });
            }
            What::Limit(_) | What::Policy(_) | What::Retire(_) | What::Keep { .. } => {
                self.plan_task(task);
            }
        }
    }

    /// The id was looked for.
    pub(super) fn found(&mut self, task: u64, found: Option<Entry>, answer: Answered) {
        if answer != Answered::Done {
            return self.again(task);
        }
        if found.is_some() {
            note!(self, "task {} finds its id", task);
            self.tasks.remove(&task);
            return;
        }
        if let Some(each) = self.tasks.get_mut(&task)
            && let Some(read) = &each.read
            && each.doubt.is_some_and(|doubt| read.account.header.version >= doubt)
        {
            each.doubt = None;
        }
        self.plan_task(task);
    }

    fn plan_task(&mut self, task: u64) {
        let Some(each) = self.tasks.get(&task) else { return };
        let Some(read) = &each.read else { return self.again(task) };
        let w = each.w;
        let planned = match &each.what {
            What::Book { id, amount } => self.plan_booking(read, id, *amount).map(Some),
            What::Limit(limit) => {
                let (account, registers) = (&read.account, &read.registers);
                let booking = self.booking(&format!("limit-{task}"));
                booking::overdraft_limit(account, registers, &self.rates, &booking, *limit)
            }
            What::Policy(policy) => booking::overspend(&read.account, *policy),
            What::Retire(by) => Ok(booking::retire(&read.account, &read.registers, *by)),
            What::Keep { n, stage, ended, .. } => {
                if *stage == Stage::Purge {
                    return self.plan_purge(task);
                }
                self.plan_keeping(read, *n, *stage, ended)
            }
        };
        match planned {
            Ok(Some(change)) => {
                let n = each.what.node();
                let generation = read.account.header.generation;
                let change = Box::new(change);
                self.ask(n, generation, Work::Commit { task, w, change, is_applied: false });
            }
            Ok(None) => self.next_stage(task),
            // A refusal stands only where no earlier commit may turn up.
            Err(_) if each.doubt.is_some() => self.again(task),
            Err(error) => self.refused_task(task, &error),
        }
    }

    fn booking(&self, id: &str) -> Booking {
        Booking {
            id: id.to_owned(),
            at: self.wall(),
            by: "simulation".to_owned(),
            reason: String::new(),
            is_forced: self.is(Fault::FloorBlind),
        }
    }

    fn plan_booking(&self, read: &Read, id: &str, amount: Amount) -> Result<Change, BookingError> {
        let booking = self.booking(id);
        let (account, registers, rates) = (&read.account, &read.registers, &self.rates);
        match amount {
            Amount::Credit(amount) => booking::credit(account, registers, rates, &booking, amount),
            Amount::Adjust(amount) => {
                let cap = AdjustmentCap::None;
                booking::adjustment(account, registers, rates, &booking, amount, cap)
            }
            Amount::Fee(amount) => booking::fee(account, registers, rates, &booking, amount),
            Amount::Resolve(suspended, units, is_charged) => {
                let how = if is_charged { Resolution::Charge } else { Resolution::WriteOff };
                booking::resolve_suspense(
                    account, registers, rates, &booking, &suspended, units, how,
                )
            }
        }
    }

    /// A commit was answered.
    pub(super) fn committed(&mut self, task: u64, is_applied: bool, answer: Answered) {
        let is_blind = self.is(Fault::BlindRetry);
        let Some(each) = self.tasks.get_mut(&task) else { return };
        let version = each.read.as_ref().map(|read| read.account.header.version + 1);
        match answer {
            Answered::Done if is_applied => match each.what {
                What::Book { .. } | What::Limit(_) | What::Policy(_) => {
                    self.tasks.remove(&task);
                }
                What::Retire(_) | What::Keep { .. } => {
                    self.after(Duration::ZERO, Event::Task { task })
                }
            },
            Answered::Done | Answered::Failed => self.again(task),
            Answered::Unknown => {
                each.doubt = version;
                if is_blind && let What::Book { id, .. } = &mut each.what {
                    id.push('x');
                }
                self.again(task);
            }
        }
    }

    /// Tries again after a moment; a caller that was told "unknown" asks again much later.
    fn again(&mut self, task: u64) {
        let Some(each) = self.tasks.get_mut(&task) else { return };
        let rounds = each.attempts / ATTEMPTS_MAX;
        let pause = if rounds > 0 && each.doubt.is_some() {
            // Only another change of the wallet can end the doubt, which may be days away.
            (Duration::from_secs(1), Duration::from_secs(5) * rounds.min(DOUBT_ROUNDS_MAX))
        } else if each.attempts % ATTEMPTS_MAX == 0 {
            (Duration::from_secs(1), Duration::from_secs(5))
        } else {
            (Duration::from_millis(1), Duration::from_millis(200))
        };
        let pause = self.dice.people.span(pause);
        self.after(pause, Event::Task { task });
    }

    fn refused_task(&mut self, task: u64, error: &BookingError) {
        let Some(each) = self.tasks.remove(&task) else { return };
        note!(self, "task {} is refused: {}", task, error.to_string());
        match each.what {
            What::Book { id, amount } => {
                // Another caller of the id may have a commit on its way, planned before what this
                // one was refused for.
                let is_last = !self.tasks.values().any(|other| other.what.is_booking(&id, amount));
                let id = entry_id(amount.kind(), &id);
                let is_there = self.ledger.wallets[each.w].entries.contains_key(&id);
                if is_last && !is_there {
                    self.truth.payments.remove(&id);
                }
            }
            What::Limit(_) | What::Policy(_) | What::Retire(_) | What::Keep { .. } => {}
        }
    }

    /// A change is applied, if it is still the next one.
    pub(super) fn commit(&mut self, w: usize, task: u64, change: &Change) -> bool {
        let change = self.broken(w, task, change);
        let before = self.ledger.wallets[w].balance(&self.rates);
        if !self.ledger.wallets[w].commit(&change) {
            return false;
        }
        self.costs.batches += 1;
        self.note_given(w);
        self.note_retired(w, &change);
        self.after_fold(w, &change);
        self.check_change(w, before, &change);
        for entry in &change.entries {
            if entry.kind == EntryKind::SuspenseCharge {
                self.truth.wallets[w].is_void = true;
                self.note_charged(entry, task);
            }
            if matches!(entry.kind, EntryKind::Adjustment | EntryKind::Fee) {
                self.truth.wallets[w].has_debits = true;
            }
        }
        self.note_persisted(w);
        self.check_strict(w);
        note!(
            self,
            "ledger: wallet {} has version {} with {} cells, {} entries",
            w,
            change.header.version,
            change.cells.len(),
            change.entries.len()
        );
        // Nodes are told that an account changed: what they read at once is pushed.
        for n in 0..self.nodes.len() {
            self.wake(n, w);
        }
        true
    }

    /// Notes what a retirement cuts, and that less may be believed from now on.
    fn note_retired(&mut self, w: usize, change: &Change) {
        let retired =
            change.ceilings.iter().filter(|(_, row)| row.is_some_and(|row| row.is_retired));
        let retired: Vec<Incarnation> = retired.map(|(by, _)| *by).collect();
        for by in retired {
            note!(self, "ledger: {} is retired on wallet {}", by, w);
            let cells = self.ledger.wallets[w].account.cells.iter();
            let cuts =
                cells.filter(|((_, other), _)| *other == by).filter_map(|((meter, _), cell)| {
                    Some((*meter, cell.cut?.register().unwrap_or(u64::MAX)))
                });
            let cuts = cuts.collect();
            self.truth.retire(by.id, super::wallet_id(w), &cuts);
            let shown = self.persisted(w);
            self.truth.wallets[w]
                .persisted
                .iter_mut()
                .for_each(|(_, spent)| *spent = shown.min(*spent));
        }
    }

    fn note_charged(&mut self, entry: &Entry, task: u64) {
        let Some(Task { what: What::Book { amount: Amount::Resolve(row, ..), .. }, .. }) =
            self.tasks.get(&task)
        else {
            return;
        };
        let charged = match row.key.reason {
            SuspenseReason::Multiplier => &mut self.truth.charged,
            SuspenseReason::Fence | SuspenseReason::Cut => &mut self.truth.late_charged,
        };
        *charged.entry(row.key.meter).or_default() += entry.units.nanos();
        let w = super::place_of(entry.wallet);
        self.truth.wallets[w].spent = self.truth.spent(entry.wallet, &self.truth.totals);
    }
}

// === impl What ===

impl What {
    fn node(&self) -> Option<usize> {
        match self {
            What::Keep { n, .. } => Some(*n),
            What::Book { .. } | What::Limit(_) | What::Policy(_) | What::Retire(_) => None,
        }
    }

    /// Whether it is about the entry of this id and kind.
    fn is_booking(&self, id: &str, amount: Amount) -> bool {
        match self {
            What::Book { id: own, amount: other } => own == id && other.kind() == amount.kind(),
            What::Limit(_) | What::Policy(_) | What::Retire(_) | What::Keep { .. } => false,
        }
    }
}

// === impl Amount ===

impl Amount {
    fn kind(self) -> EntryKind {
        match self {
            Amount::Credit(_) => EntryKind::Credit,
            Amount::Adjust(_) => EntryKind::Adjustment,
            Amount::Fee(_) => EntryKind::Fee,
            Amount::Resolve(_, _, true) => EntryKind::SuspenseCharge,
            Amount::Resolve(_, _, false) => EntryKind::SuspenseWriteOff,
        }
    }
}

/// The newest period that has ended for every node.
fn ended_period(now: UnixMillis) -> Option<Period> {
    let running = Period::of(now.minus(PERIOD_GRACE * 2));
    Period::from_number(running.number().checked_sub(1)?)
}

/// Whether an incarnation is dead for housekeeping.
fn is_dead(incarnation: Incarnation, ended: &BTreeSet<Uuid>, now: UnixMillis) -> bool {
    ended.contains(&incarnation.id) || now.since(incarnation.born) > FENCE + FOLD_DELAY
}
