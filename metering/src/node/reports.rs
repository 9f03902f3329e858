//! Takes what gateways report.

use std::time::Duration;

use super::stream::{Arrival, StreamId};
use super::{NodeWallet, Part, USAGE_MINUTES_MAX};
use crate::account::{SuspenseKey, SuspenseReason};
use crate::id::{AppId, Incarnation};
use crate::meter::{Meter, Register};
use crate::money::Money;
use crate::protocol::{APPS_MAX, ReportedApp, ReportedRegister};
use crate::rating::RatingError;
use crate::time::UnixMillis;
use crate::units::Units;

/// Microseconds of a minute.
const MINUTE_US: i64 = 60_000_000;

/// A register, or the part of it that one app used.
pub(super) type UsageKey = (Meter, Incarnation, Option<AppId>);

/// The newest report that raised each cell of a register.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CellSeqs {
    pub(super) live: i64,
    pub(super) recovered: i64,
}

/// One incarnation's open holds on the wallet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) amount: Money,
    pub(super) seq: i64,
    /// When this node first learned of it, or last knew that its gateway lives.
    pub(super) fresh_at: UnixMillis,
    /// What the ledger is known to hold.
    pub(super) durable: Option<(Money, i64)>,
    /// A write of this `seq`, under way, wanted or of unknown outcome: until one as late is
    /// acknowledged the ledger may hold anything.
    pub(super) owed: Option<i64>,
}

/// Units for suspense.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    pub(super) units: Units,
    /// What of them the ledger's suspense is known to hold.
    pub(super) durable: Units,
    /// Whether they were counted in full before, so that nothing is to be written.
    pub(super) is_counted: bool,
}

// === impl NodeWallet ===

impl NodeWallet {
    /// Takes what a report, the stream's `arrival`-th, says of this wallet.
    pub fn report(&mut self, stream: StreamId, arrival: Arrival, part: &Part, now: UnixMillis) {
        let mut is_unsettled = false;
        for reported in &part.registers {
            is_unsettled |= if part.is_fenced || self.has_left(&reported.meter) {
                self.suspend(part.incarnation, reported, SuspenseReason::Fence, reported.units)
            } else {
                self.count(part, reported)
            };
            let reason = SuspenseReason::Multiplier;
            is_unsettled |= self.suspend(part.incarnation, reported, reason, reported.excess);
            is_unsettled |= self.suspend_beyond_cut(reported.meter, part.incarnation);
        }
        if is_unsettled {
            self.unsettled.entry(stream).or_default().wait(arrival);
        }
        if part.is_fenced {
            return;
        }
        for ReportedApp { meter, app, units } in part.apps.iter().copied() {
            self.note_usage((meter, part.incarnation, Some(app)), units, part.seq);
        }
        if let Some(amount) = part.held {
            self.hold(part.incarnation, amount, part.seq, now);
        }
        self.note_draw(stream, arrival, part);
    }

    /// The incarnation has ended: none of its calls is open. Whether it had any here.
    pub fn end_incarnation(&mut self, incarnation: Incarnation, seq: i64, now: UnixMillis) -> bool {
        let has_held = self.holds.contains_key(&incarnation);
        if has_held {
            self.hold(incarnation, Money::ZERO, seq, now);
        }
        has_held
    }

    /// Whether the horizon is past the meter, so that nothing counts on it any more. Its own
    /// incarnations went before it; one that is registered again, in a ledger restored from a
    /// backup older than itself, has a later birth there.
    pub(super) fn has_left(&self, meter: &Meter) -> bool {
        self.account.as_ref().is_some_and(|account| !account.header.counts_meter(meter))
    }

    /// Merges a register; whether the ledger does not hold it yet.
    fn count(&mut self, part: &Part, reported: &ReportedRegister) -> bool {
        let key = (reported.meter, part.incarnation);
        let heard = if reported.is_recovered {
            Register { live: Units::ZERO, recovered: reported.units }
        } else {
            Register { live: reported.units, recovered: Units::ZERO }
        };
        let register = self.registers.entry(key).or_default();
        let before = *register;
        register.merge(heard);
        let units = register.units();
        let seqs = self.seqs.entry(key).or_default();
        let seq = if reported.is_recovered { &mut seqs.recovered } else { &mut seqs.live };
        *seq = (*seq).max(part.seq);
        let durable = self.durable.get(&key).copied().unwrap_or_default();
        if before.units() != units {
            self.changes += 1;
            self.note_usage((reported.meter, part.incarnation, None), units, part.seq);
        }
        let is_unsettled = heard.live > durable.live || heard.recovered > durable.recovered;
        if is_unsettled {
            self.dirty.insert(key);
        }
        is_unsettled
    }

    fn note_usage(&mut self, key: UsageKey, units: Units, seq: i64) {
        let (meter, incarnation, app) = key;
        if app.is_some() && !self.usage.contains_key(&key) {
            let from = (meter, incarnation, None);
            let of_meter = self.usage.range(from..).map(|(key, _)| (key.0, key.1));
            if of_meter.take_while(|each| *each == (meter, incarnation)).count() > APPS_MAX {
                return;
            }
        }
        let minutes = self.usage.entry(key).or_default();
        let row = minutes.entry(seq.div_euclid(MINUTE_US)).or_insert((units, seq));
        *row = (row.0.max(units), row.1.max(seq));
        if minutes.len() > USAGE_MINUTES_MAX {
            minutes.pop_first();
        }
    }

    /// Puts units aside for a person; whether the ledger's suspense does not hold them yet.
    pub(super) fn suspend(
        &mut self,
        incarnation: Incarnation,
        reported: &ReportedRegister,
        reason: SuspenseReason,
        units: Units,
    ) -> bool {
        if units.is_zero() {
            return false;
        }
        let key = SuspenseKey { meter: reported.meter, incarnation, reason };
        let is_judged = reason == SuspenseReason::Fence && self.account.is_some();
        let counted = if is_judged { self.counted(&key) } else { Units::ZERO };
        let waiting = self.suspense.entry(key).or_default();
        waiting.units = waiting.units.max(units);
        waiting.is_counted = is_judged && waiting.units <= counted;
        waiting.is_unsettled()
    }

    /// Puts what a retired incarnation counted beyond its cut aside for a person; whether the
    /// ledger's suspense does not hold it yet.
    pub(super) fn suspend_beyond_cut(&mut self, meter: Meter, incarnation: Incarnation) -> bool {
        let cut = self.account.as_ref().and_then(|account| account.cut(&meter, incarnation));
        let units = self.registers.get(&(meter, incarnation)).copied().unwrap_or_default().units();
        if cut.is_none_or(|cut| units <= cut) {
            return false;
        }
        let reported = ReportedRegister { meter, units, is_recovered: false, excess: Units::ZERO };
        self.suspend(incarnation, &reported, SuspenseReason::Cut, units)
    }

    fn hold(&mut self, incarnation: Incarnation, amount: Money, seq: i64, now: UnixMillis) {
        let new = Hold { amount, seq, fresh_at: now, durable: None, owed: None };
        let hold = self.holds.entry(incarnation).or_insert(new);
        if seq < hold.seq {
            return;
        }
        if hold.amount != amount || hold.durable.is_none() {
            self.changes += 1;
        }
        (hold.amount, hold.seq, hold.fresh_at) = (amount, seq, now);
    }

    /// Open holds of incarnations that are not in `own`. A hold counts as long as its gateway is
    /// connected here, and `hold_life` longer.
    pub(super) fn held_except(
        &self,
        own: &[Incarnation],
        now: UnixMillis,
        hold_life: Duration,
    ) -> Result<Money, RatingError> {
        let mut sum = Money::ZERO;
        for (incarnation, hold) in &self.holds {
            let is_open = now.since(hold.fresh_at) <= hold_life || self.is_connected(*incarnation);
            if is_open && !own.contains(incarnation) {
                sum = sum.plus(hold.amount)?;
            }
        }
        Ok(sum)
    }

    pub(super) fn is_connected(&self, incarnation: Incarnation) -> bool {
        self.subscribers.values().any(|each| each.own.incarnations.contains(&incarnation))
    }
}

// === impl Hold ===

impl Hold {
    /// The ledger holds what was written with this `seq`, or later.
    pub(super) fn pay(&mut self, seq: i64) {
        if self.owed.is_some_and(|owed| owed <= seq) {
            self.owed = None;
        }
    }
}

// === impl Waiting ===

impl Waiting {
    pub(super) fn is_unsettled(&self) -> bool {
        !self.is_counted && self.units > self.durable
    }
}
