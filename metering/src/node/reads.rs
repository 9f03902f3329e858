//! Merges what the ledger says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reports::Hold;
use super::stream::{StreamId, StreamMark};
use super::{NodeWallet, READ_AGE_MAX};
use crate::account::{Account, SuspenseReason};
use crate::id::Incarnation;
use crate::meter::{Meter, Registers};
use crate::money::Money;
use crate::protocol::{ReportedDraw, ReportedRegister};
use crate::time::UnixMillis;
use crate::units::Units;

/// A wallet as the ledger has it: the account was read before the registers.
#[derive(Clone, Debug)]
pub struct Read {
    /// The account at its version.
    pub account: Account,
    /// Registers born at or after the account's horizon.
    pub registers: Registers,
    /// Open holds.
    pub holds: BTreeMap<Incarnation, ReadHold>,
}

/// One incarnation's open holds as the ledger has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadHold {
    /// Their sum.
    pub amount: Money,
    /// The report that said so.
    pub seq: i64,
}

/// When a read began, and what was persisted by then.
#[derive(Clone, Debug)]
pub struct ReadMark {
    began: Duration,
    answers: Vec<(StreamId, i64)>,
    draws: Vec<(Incarnation, i64, ReportedDraw)>,
}

/// Why a read was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It took too long: read again.
    #[error("read took {took:?}, longer than {READ_AGE_MAX:?}")]
    Old {
        /// How long.
        took: Duration,
    },
    /// The ledger is another one than what is known here was read from: forget all of it.
    #[error("ledger has generation {found}, what is known is of generation {known}")]
    Generation {
        /// Of what is known.
        known: u32,
        /// Of the read.
        found: u32,
    },
}

// === impl NodeWallet ===

impl NodeWallet {
    /// A read begins: `latest` says the newest report of each stream. A monotonic `now`.
    #[must_use]
    pub fn begin_read(&self, latest: impl Fn(StreamId) -> StreamMark, now: Duration) -> ReadMark {
        let answers = self.subscribers.iter().map(|(stream, subscriber)| {
            let is_settled = self.unsettled(*stream).is_none();
            let seq = if is_settled { latest(*stream).seq } else { 0 };
            (*stream, seq.max(subscriber.settled_seq))
        });
        ReadMark { began: now, answers: answers.collect(), draws: self.durable_draws() }
    }

    /// Merges a read that began at `mark`; `None`: there is no such wallet.
    ///
    /// # Errors
    /// A [`ReadError`] where the read says nothing; nothing changed then.
    pub fn reread(
        &mut self,
        mark: &ReadMark,
        read: Option<Read>,
        now: Duration,
        wall: UnixMillis,
    ) -> Result<(), ReadError> {
        let took = now.saturating_sub(mark.began);
        if took > READ_AGE_MAX {
            return Err(ReadError::Old { took });
        }
        let Some(read) = read else {
            self.is_missing = self.account.is_none();
            return Ok(());
        };
        let found = read.account.header.generation;
        if let Some(account) = &self.account
            && account.header.generation != found
        {
            return Err(ReadError::Generation { known: account.header.generation, found });
        }
        self.is_missing = false;
        self.merge_account(read.account);
        self.merge_registers(&read.registers, now);
        self.merge_holds(&read.holds, wall);
        self.drop_rows_before_horizon();
        self.suspend_cut();
        self.judge_suspense();
        self.read_draws(&mark.draws, now);
        for (stream, seq) in &mark.answers {
            if let Some(subscriber) = self.subscribers.get_mut(stream) {
                subscriber.answered = subscriber.answered.max(*seq);
                subscriber.settled_seq = subscriber.settled_seq.max(*seq);
            }
        }
        Ok(())
    }

    /// Of two accounts the later one counts, whichever read ended first.
    fn merge_account(&mut self, account: Account) {
        let known = self.account.as_ref().map(|known| (known.header.version, known.header.mode));
        if known.is_none_or(|(version, _)| account.header.version > version) {
            if known.is_some_and(|(_, mode)| account.header.mode.counter != mode.counter) {
                self.draws.denied.clear();
            }
            self.account = Some(account);
            self.changes += 1;
        }
    }

    fn merge_registers(&mut self, read: &Registers, now: Duration) {
        for (key, register) in read {
            let known = self.registers.entry(*key).or_default();
            let before = *known;
            known.merge(*register);
            if known.units() != before.units() {
                self.changes += 1;
                self.last_foreign_change = Some(now);
            }
            let durable = self.durable.entry(*key).or_default();
            durable.merge(*register);
            if self.dirty.contains(key) && *durable == self.registers[key] {
                self.dirty.remove(key);
            }
        }
        self.settle_if_clean();
    }

    fn merge_holds(&mut self, read: &BTreeMap<Incarnation, ReadHold>, wall: UnixMillis) {
        for (incarnation, held) in read {
            let durable = Some((held.amount, held.seq));
            let (amount, seq) = (held.amount, held.seq);
            let new = Hold { amount, seq, fresh_at: wall, durable, owed: None };
            match self.holds.get_mut(incarnation) {
                // What was acknowledged since the read began is not undone by it.
                Some(hold) if hold.seq >= held.seq => {
                    if hold.durable.is_none_or(|(_, seq)| seq <= held.seq) {
                        hold.durable = durable;
                    }
                    hold.pay(held.seq);
                }
                Some(hold) => {
                    *hold = new;
                    self.changes += 1;
                }
                None => {
                    self.holds.insert(*incarnation, new);
                    self.changes += 1;
                }
            }
        }
    }

    /// What was born before the horizon no longer counts, nor does a meter that the horizon has
    /// passed. A register that the ledger has not taken by then waits for a person.
    fn drop_rows_before_horizon(&mut self) {
        let Some(account) = &self.account else { return };
        let horizon = account.header.horizon;
        let is_late = |incarnation: Incarnation| incarnation.born < horizon;
        let late: Vec<(Meter, Incarnation)> = self
            .registers
            .keys()
            .filter(|(_, incarnation)| is_late(*incarnation))
            .copied()
            .collect();
        for key in late {
            self.give_up(key);
            self.registers.remove(&key);
            self.durable.remove(&key);
        }
        let left: Vec<(Meter, Incarnation)> =
            self.dirty.iter().filter(|(meter, _)| self.has_left(meter)).copied().collect();
        for key in left {
            self.give_up(key);
        }
        self.holds.retain(|incarnation, _| !is_late(*incarnation));
        self.usage.retain(|(_, incarnation, _), _| !is_late(*incarnation));
        self.draws.forget(&is_late);
    }

    /// What a retired incarnation counted beyond its cut waits for a person.
    fn suspend_cut(&mut self) {
        let Some(account) = &self.account else { return };
        let is_cut = |key: &(Meter, Incarnation)| account.cut(&key.0, key.1).is_some();
        let cut: Vec<(Meter, Incarnation)> =
            self.registers.keys().filter(|key| is_cut(key)).copied().collect();
        for (meter, incarnation) in cut {
            self.suspend_beyond_cut(meter, incarnation);
        }
    }

    /// Stops writing a register that is too old for it; what the ledger lacks goes to suspense.
    pub(super) fn give_up(&mut self, key: (Meter, Incarnation)) {
        self.seqs.remove(&key);
        if !self.dirty.remove(&key) {
            return;
        }
        let durable = self.durable.get(&key).copied().unwrap_or_default();
        let units = self.registers.insert(key, durable).unwrap_or_default().units();
        self.changes += 1;
        let (meter, incarnation) = key;
        let reported = ReportedRegister { meter, units, is_recovered: false, excess: Units::ZERO };
        self.suspend(incarnation, &reported, SuspenseReason::Fence, units);
    }
}
