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
use super::truth::Payment;
use super::{Event, World};
use crate::fault::Fault;
use crate::trace::note;

mod keeping;

/// Attempts before a caller is told that the outcome is unknown.
const ATTEMPTS_MAX: u32 = 8;

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

    pub(super) fn pay_in(&mut self, w: usize, amount: Money, callers: usize) {
        let id = format!("pay-{}", self.truth.number());
        self.book(w, &id, Amount::Credit(amount), callers);
    }

    pub(super) fn take_out(&mut self, w: usize, amount: Money, is_fee: bool) {
        let id = format!("take-{}", self.truth.number());
        let amount = if is_fee { Amount::Fee(amount) } else { Amount::Adjust(amount) };
        self.book(w, &id, amount, 1);
    }

    fn book(&mut self, w: usize, id: &str, amount: Amount, callers: usize) {
        let nanos = match amount {
            Amount::Credit(amount) => amount.nanos(),
            Amount::Adjust(amount) | Amount::Fee(amount) => -amount.nanos(),
            Amount::Resolve(..) => 0,
        };
        let kind = amount.kind();
        let payment = Payment { w, amount: nanos, kind };
        self.truth.payments.insert(entry_id(kind, id), payment);
        note!(self, "{} callers book {} of wallet {}: {}", callers, id, w, nanos);
        for _ in 0..callers {
            self.add_task(w, What::Book { id: id.to_owned(), amount });
        }
    }

    pub(super) fn set_limit(&mut self, w: usize, limit: Money) {
        self.add_task(w, What::Limit(limit));
    }

    /// A person changes the overspend policy.
    pub(super) fn set_policy(&mut self, w: usize, is_strict: bool) {
        let policy = if is_strict { Overspend::Strict } else { Overspend::Optimistic };
        self.add_task(w, What::Policy(policy));
    }

    /// A person says that an incarnation will not come back.
    pub(super) fn retire(&mut self, incarnation: Incarnation) {
        if let Some(registered) = self.ledger.registry.get_mut(&incarnation.id) {
            registered.is_retired = true;
        }
        for w in 0..self.setup.wallets.len() {
            self.add_task(w, What::Retire(incarnation));
        }
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

    /// A person decides about the first open suspense of a wallet.
    pub(super) fn resolve(&mut self, w: usize, is_charged: bool) {
        let stored = &self.ledger.wallets[w];
        let open = stored.suspense.iter().find_map(|(key, (units, counted))| {
            let suspended = Suspended { key: *key, units: *units, counted: *counted };
            let open = booking::open_suspense(&stored.account, &stored.registers, &suspended);
            (!open.is_zero()).then_some((suspended, open))
        });
        let Some((suspended, open)) = open else { return };
        // Once the cells are purged, nobody knows what of a late total was counted in time: only
        // its gateway's file does. Such suspense is written off here.
        let is_inside = stored.account.header.counts_incarnation(suspended.key.incarnation);
        let is_charged = is_charged && (is_inside || suspended.key.reason != SuspenseReason::Fence);
        let id = format!("decide-{}", self.truth.number());
        self.book(w, &id, Amount::Resolve(suspended, open, is_charged), 1);
    }

    /// What was booked since a backup is booked again, by its ids.
    pub(super) fn replay(&mut self) {
        let lost: Vec<(String, Payment)> = self
            .truth
            .payments
            .iter()
            .filter(|(id, payment)| !self.ledger.wallets[payment.w].entries.contains_key(*id))
            .map(|(id, payment)| (id.clone(), payment.clone()))
            .collect();
        for (id, payment) in lost {
            let amount = Money::from_nanos(payment.amount).expect("amounts are small");
            let amount = match payment.kind {
                EntryKind::Credit => Amount::Credit(amount),
                EntryKind::Adjustment => Amount::Adjust(amount.negated()),
                EntryKind::Fee => Amount::Fee(amount.negated()),
                // Who decided about suspense sees what is open now.
                _ => {
                    self.truth.payments.remove(&id);
                    continue;
                }
            };
            let (_, id) = id.split_once(':').expect("an id names its kind");
            self.add_task(payment.w, What::Book { id: id.to_owned(), amount });
        }
    }

    /// A task begins an attempt.
    pub(super) fn step_task(&mut self, task: u64) {
        let Some(each) = self.tasks.get_mut(&task) else { return };
        each.attempts += 1;
        if let What::Keep { n, process, .. } = each.what
            && (!self.nodes[n].is_serving()
                || self.nodes[n].process != process
                || each.attempts > 60)
        {
            self.tasks.remove(&task);
            return;
        }
        let (w, n) = (each.w, each.what.node());
        let generation = n.map_or(self.ledger.generation, |n| self.nodes[n].generation);
        let reader = Reader::Task { task };
        self.ask(n, generation, Work::Read { reader, w, reading: Box::default() });
    }

    /// The wallet was read.
    pub(super) fn task_read(&mut self, task: u64, read: Option<Read>) {
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
        let pause = if each.attempts % ATTEMPTS_MAX == 0 {
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
