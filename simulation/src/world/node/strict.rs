//! Strict wallets at a node: looks at what gateways drew, commits grants and changes of the policy.

use std::time::Duration;

use tollgate_metering::account::{Mode, Overspend};
use tollgate_metering::node::FENCE;
use tollgate_metering::node::grants::Terms;
use tollgate_metering::{Change, Incarnation};
use uuid::Uuid;

use super::super::World;
use super::super::book::FOLD_DELAY;
use super::super::network::Said;
use super::super::storage::{Answered, Work};
use crate::fault::Fault;
use crate::trace::note;

/// How often gateways are asked to acknowledge a mode.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How old knowledge is beside the tick.
const WAYS: Duration = Duration::from_millis(100);
/// A commit that failed is tried again after this.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// A broken rule takes grants back after this.
const LAPSE: Duration = Duration::from_secs(2);

/// Where a strict wallet stands.
#[derive(Debug, Default)]
pub(super) struct Strict {
    is_committing: bool,
    look_at: Duration,
    ask_at: Duration,
    /// Incarnations that had ended when the newest read began.
    pub(super) ended: Vec<Uuid>,
}

// === impl World ===

impl World {
    /// Begins every look that can begin now.
    pub(super) fn look_at_draws(&mut self, n: usize) {
        let now = self.now;
        for w in self.nodes[n].looking.clone() {
            let Some(entry) = self.nodes[n].wallets.get(&w) else {
                self.nodes[n].looking.remove(&w);
                continue;
            };
            let is_busy = entry.is_reading || entry.strict.is_committing;
            let is_settled = entry.machine.dirty_count() == 0 && !entry.machine.is_writing();
            if is_busy || !is_settled || now < entry.strict.look_at {
                continue;
            }
            self.start_read(n, w);
            if self.nodes[n].wallets.get(&w).is_some_and(|entry| entry.is_reading) {
                self.nodes[n].looking.remove(&w);
            }
        }
    }

    /// Incarnations whose end the registry has noted.
    pub(super) fn noted_ends(&self) -> Vec<Uuid> {
        let ended = self.ledger.registry.iter().filter(|(_, each)| each.has_ended);
        ended.map(|(id, _)| *id).collect()
    }

    /// Does what a wallet that was read needs, if it is strict.
    pub(super) fn tend_strict(&mut self, n: usize, w: usize) {
        let is_lapsing = self.is(Fault::GrantLapses);
        let lapsed: Vec<Uuid> = if is_lapsing { self.silent_gateways() } else { Vec::new() };
        let (rates, tick) = (&self.rates, self.setup.tick);
        let node = &mut self.nodes[n];
        let monotonic = node.clock.monotonic(self.now);
        let id = Uuid::from_u128((n as u128 + 1) << 64 | u128::from(node.process));
        let Some(entry) = node.wallets.get_mut(&w) else { return };
        let Some(mode) = entry.machine.account().map(|account| account.header.mode) else { return };
        if mode.is_changing {
            return self.change_mode(n, w, mode);
        }
        if mode.overspend != Overspend::Strict || entry.strict.is_committing {
            return;
        }
        let ended = &entry.strict.ended;
        let has_ended = |each: Incarnation| ended.contains(&each.id) || lapsed.contains(&each.id);
        let terms =
            Terms { node: id, now: monotonic, knowledge: tick * 2 + WAYS, has_ended: &has_ended };
        let planned = entry.machine.plan_grants(rates, terms);
        let planned = planned.expect("prices of a run are known and sums small");
        if let Some(change) = planned {
            self.grant(n, w, change);
        }
        self.tell(n, w);
    }

    /// Incarnations of gateways that were not heard for a moment, as a broken rule has it.
    fn silent_gateways(&self) -> Vec<Uuid> {
        let is_heard = |g: usize| {
            self.nodes
                .iter()
                .any(|node| node.streams.keys().any(|stream| self.heard_from(*stream, g, LAPSE)))
        };
        let of = self.truth.gateway_of.iter().filter(|(_, g)| !is_heard(**g));
        of.map(|(id, _)| *id).collect()
    }

    fn grant(&mut self, n: usize, w: usize, change: Change) {
        let is_early = self.is(Fault::CeilingBeforeWritten);
        let now = self.now;
        let node = &mut self.nodes[n];
        let monotonic = node.clock.monotonic(now);
        let (process, era, generation) = (node.process, node.era, node.generation);
        let Some(entry) = node.wallets.get_mut(&w) else { return };
        entry.strict.is_committing = true;
        entry.strict.look_at = now + self.setup.tick;
        if is_early {
            entry.machine.committed(&change, monotonic);
        }
        let change = Box::new(change);
        let work = Work::Grant { n, process, era, w, change, is_applied: false };
        self.ask(Some(n), generation, work);
    }

    /// A grant was answered.
    pub(in crate::world) fn granted(
        &mut self,
        (n, process, era, w): (usize, u32, u64, usize),
        change: &Change,
        is_applied: bool,
        answer: Answered,
    ) {
        let now = self.now;
        let node = &mut self.nodes[n];
        if !node.is_up() || node.process != process || node.era != era {
            return;
        }
        let monotonic = node.clock.monotonic(now);
        let Some(entry) = node.wallets.get_mut(&w) else { return };
        entry.strict.is_committing = false;
        if answer == Answered::Done && is_applied {
            entry.machine.committed(change, monotonic);
            if change.header.mode.is_changing {
                node.looking.insert(w);
            }
            self.tell(n, w);
            return;
        }
        if answer != Answered::Done {
            entry.strict.look_at = now + RETRY_AFTER;
        }
        node.looking.insert(w);
    }

    /// Asks every gateway to acknowledge, and goes on where all have.
    fn change_mode(&mut self, n: usize, w: usize, mode: Mode) {
        let now = self.now;
        let wall = self.nodes[n].wall(now);
        let is_blind = self.is(Fault::ModeWithoutWait);
        let streams: Vec<u64> = self.nodes[n].streams.keys().copied().collect();
        let Some(entry) = self.nodes[n].wallets.get_mut(&w) else { return };
        if now >= entry.strict.ask_at {
            entry.strict.ask_at = now + ASK_EVERY;
            for stream in streams {
                self.send_down(stream, Said::Mode { w, mode: mode.counter });
            }
        }
        if self.is_ledger_away() || now < self.nodes[n].cut_until {
            return;
        }
        let registry = &self.ledger.registry;
        let alive = registry.iter().filter(|(_, each)| !each.has_ended);
        let (gone, alive): (Vec<_>, Vec<_>) = alive
            .map(|(id, each)| (Incarnation { born: each.born, id: *id }, each))
            .partition(|(by, each)| each.is_retired || wall.since(by.born) > FENCE + FOLD_DELAY);
        let Some(entry) = self.nodes[n].wallets.get(&w) else { return };
        let waits = |by: Incarnation| !entry.machine.has_acknowledged(by);
        if entry.strict.is_committing || (!is_blind && alive.iter().any(|(by, _)| waits(*by))) {
            return;
        }
        let gone: Vec<Incarnation> = gone.into_iter().map(|(by, _)| by).collect();
        if let Some(change) = entry.machine.plan_mode(&gone) {
            note!(self, "n{} settles mode {} of wallet {}", n, mode.counter, w);
            self.grant(n, w, change);
        }
    }
}
