//! What time asks of wallets: folds, checkpoints, the horizon, removal; and those rules broken.

use std::collections::BTreeSet;

use tollgate_metering::account::{Cell, MeterTotals};
use tollgate_metering::booking::{self, BookingError};
use tollgate_metering::node::Read;
use tollgate_metering::{Change, Incarnation, Period, UnixMillis};
use uuid::Uuid;

use super::super::storage::Work;
use super::super::{Event, World};
use super::{HORIZON_AGE, PURGE_DELAY, RAISE_STEP, Stage, Task, What, ended_period, is_dead};
use crate::fault::Fault;
use crate::trace::note;
use std::time::Duration;

// === impl World ===

impl World {
    /// A node's housekeeping comes to a wallet.
    pub(in crate::world) fn tend(&mut self, n: usize, w: usize) {
        let is_this = |task: &Task| {
            task.w == w && matches!(task.what, What::Keep { n: other, .. } if other == n)
        };
        if self.tasks.values().any(is_this) || !self.is_due(n, w) {
            return;
        }
        let registry = self.ledger.registry.iter();
        let ended = registry.filter(|(_, each)| each.has_ended).map(|(id, _)| *id).collect();
        let process = self.nodes[n].process;
        self.add_task(w, What::Keep { n, process, stage: Stage::Fold, ended });
    }

    /// Whether there is anything to do, by a look that costs nothing here.
    fn is_due(&self, n: usize, w: usize) -> bool {
        let now = self.nodes[n].wall(self.now);
        let stored = &self.ledger.wallets[w];
        let account = &stored.account;
        let has_ended = |by: &Incarnation| {
            let registered = self.ledger.registry.get(&by.id);
            let is_noted = registered.is_some_and(|each| each.has_ended);
            is_noted || is_dead(*by, &BTreeSet::new(), now)
        };
        let has_unfolded = stored.registers.iter().any(|((meter, by), register)| {
            has_ended(by) && !account.unfolded(meter, *by, *register).is_zero()
        });
        let old = now.minus(self.horizon_age() + RAISE_STEP);
        let is_behind = stored.registers.keys().any(|(_, by)| by.born < old);
        let ended = ended_period(now);
        let has_open = stored.registers.keys().map(|(meter, _)| meter).chain(account.meters.keys());
        let is_open = has_open.clone().any(|meter| {
            ended.is_some_and(|ended| meter.period <= ended) && account.header.counts_meter(meter)
        });
        let is_left = account.header.horizon;
        let has_rows = stored.registers.keys().any(|(_, by)| by.born < is_left);
        let is_purgeable = has_rows && now.since(is_left) >= self.horizon_age() + PURGE_DELAY;
        has_unfolded || is_behind || is_open || is_purgeable
    }

    fn horizon_age(&self) -> Duration {
        if self.is(Fault::PurgeWithoutFence) {
            Duration::from_secs(2 * 86_400)
        } else {
            HORIZON_AGE
        }
    }

    pub(super) fn plan_keeping(
        &self,
        read: &Read,
        n: usize,
        stage: Stage,
        ended: &BTreeSet<Uuid>,
    ) -> Result<Option<Change>, BookingError> {
        let now = self.nodes[n].wall(self.now);
        let (account, registers, rates) = (&read.account, &read.registers, &self.rates);
        let horizon = now.minus(self.horizon_age());
        let is_behind = |by: &Incarnation| by.born < horizon.minus(RAISE_STEP);
        let is_late = registers.keys().map(|(_, by)| by).chain(read.holds.keys()).any(is_behind);
        let by = "housekeeping";
        match stage {
            Stage::Fold if !self.is(Fault::HorizonPastUnfolded) => {
                booking::fold(account, registers, |each| is_dead(each, ended, now))
            }
            Stage::Close if !self.is(Fault::HorizonPastUnclosed) => match ended_period(now) {
                Some(period) => {
                    booking::checkpoint(account, registers, rates, period, self.wall(), by)
                }
                None => Ok(None),
            },
            Stage::FoldOld if is_late && !self.is(Fault::HorizonPastUnfolded) => {
                booking::fold(account, registers, |each| each.born < horizon)
            }
            Stage::CloseOld if is_late && !self.is(Fault::HorizonPastUnclosed) => {
                let running = Period::of(horizon).number();
                match Period::from_number(running.saturating_sub(1)) {
                    Some(period) => {
                        booking::checkpoint(account, registers, rates, period, self.wall(), by)
                    }
                    None => Ok(None),
                }
            }
            Stage::Raise if is_late => self.plan_raise(read, horizon),
            Stage::Fold
            | Stage::Close
            | Stage::FoldOld
            | Stage::CloseOld
            | Stage::Raise
            | Stage::Purge => Ok(None),
        }
    }

    fn plan_raise(&self, read: &Read, horizon: UnixMillis) -> Result<Option<Change>, BookingError> {
        let (account, registers, rates) = (&read.account, &read.registers, &self.rates);
        let is_blind = self.is(Fault::HorizonPastUnclosed) || self.is(Fault::HorizonPastUnfolded);
        if is_blind && horizon > account.header.horizon {
            let mut change = account.change();
            change.header.horizon = horizon;
            return Ok(Some(change));
        }
        match booking::raise_horizon(account, registers, rates, horizon) {
            Ok(change) => Ok(Some(change)),
            Err(BookingError::HorizonNotAhead(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes on with the next thing that housekeeping does.
    pub(super) fn next_stage(&mut self, task: u64) {
        let Some(each) = self.tasks.get_mut(&task) else { return };
        let What::Keep { stage, .. } = &mut each.what else {
            self.tasks.remove(&task);
            return;
        };
        *stage = match stage {
            Stage::Fold => Stage::Close,
            Stage::Close => Stage::FoldOld,
            Stage::FoldOld => Stage::CloseOld,
            Stage::CloseOld => Stage::Raise,
            Stage::Raise => Stage::Purge,
            Stage::Purge => {
                self.tasks.remove(&task);
                return;
            }
        };
        self.after(Duration::ZERO, Event::Task { task });
    }

    /// Removes what the horizon has left behind an hour ago.
    pub(super) fn plan_purge(&mut self, task: u64) {
        let delay = if self.is(Fault::PurgeAtHorizon) { Duration::ZERO } else { PURGE_DELAY };
        let Some(each) = self.tasks.get(&task) else { return };
        let (What::Keep { n, .. }, Some(read)) = (&each.what, &each.read) else { return };
        let (n, w) = (*n, each.w);
        let now = self.nodes[n].wall(self.now);
        let below = read.account.header.horizon;
        // Who raised it had this age in mind, so its own time tells when that was.
        if now.since(below) < self.horizon_age() + delay {
            return self.next_stage(task);
        }
        let stored = &self.ledger.wallets[w];
        let has_rows = stored.registers.keys().chain(stored.account.cells.keys());
        if !has_rows.clone().any(|(_, by)| by.born < below) {
            return self.next_stage(task);
        }
        let timestamp = (now.0.max(below.0) + 60_000) * 1_000;
        let generation = self.nodes[n].generation;
        self.ask(Some(n), generation, Work::Purge { task, w, below, timestamp });
    }

    pub(in crate::world) fn purge(&mut self, w: usize, below: UnixMillis, timestamp: i64) {
        let before = self.ledger.wallets[w].balance(&self.rates);
        self.ledger.wallets[w].purge(below, timestamp);
        let after = self.ledger.wallets[w].balance(&self.rates);
        note!(self, "ledger: wallet {} is purged below {}", w, below);
        if before != after {
            self.blame("folds and purges change no balance", || {
                format!("purge: {before} to {after}")
            });
        }
    }

    pub(in crate::world) fn purged(&mut self, task: u64) {
        self.tasks.remove(&task);
    }

    /// A planned change as it is written where the rule is broken.
    pub(super) fn broken(&self, w: usize, task: u64, change: &Change) -> Change {
        let mut change = change.clone();
        let stored = &self.ledger.wallets[w];
        let stage = match self.tasks.get(&task).map(|task| &task.what) {
            Some(What::Keep { stage, .. }) => Some(*stage),
            Some(What::Book { .. } | What::Limit(_) | What::Policy(_) | What::Retire(_)) | None => {
                None
            }
        };
        let is_fold = matches!(stage, Some(Stage::Fold | Stage::FoldOld));
        let is_retirement =
            matches!(self.tasks.get(&task).map(|task| &task.what), Some(What::Retire(_)));
        if is_retirement && self.is(Fault::RetireWithoutCut) {
            let most = Some(tollgate_metering::Units::REGISTER_MAX);
            change.cells.values_mut().for_each(|cell| cell.cut = most);
        }
        let is_close = matches!(stage, Some(Stage::Close | Stage::CloseOld));
        if is_fold && self.is(Fault::FoldDeletesRow) {
            change.cells.clear();
        }
        if is_close && self.is(Fault::ClosingReprices) {
            // What was closed is done with: the meter begins again at nothing.
            for (meter, totals) in &mut change.meters {
                *totals = MeterTotals { checkpoints: totals.checkpoints, ..MeterTotals::default() };
                for ((other, by), register) in &stored.registers {
                    if other == meter {
                        let cell = Cell { folded: register.units(), cut: None };
                        change.cells.insert((*meter, *by), cell);
                    }
                }
            }
        }
        change
    }

    /// What a broken rule does beside the change.
    pub(super) fn after_fold(&mut self, w: usize, change: &Change) {
        if !self.is(Fault::FoldDeletesRow) || change.meters.is_empty() || !change.entries.is_empty()
        {
            return;
        }
        let stored = &mut self.ledger.wallets[w];
        let now = self.setup.start.plus(self.now);
        let registry = &self.ledger.registry;
        let is_dead = |by: &Incarnation| {
            registry.get(&by.id).is_some_and(|each| each.has_ended)
                || is_dead(*by, &BTreeSet::new(), now)
        };
        let dead: Vec<_> = stored.registers.keys().filter(|(_, by)| is_dead(by)).copied().collect();
        for key in dead.iter().filter(|(meter, _)| change.meters.contains_key(meter)) {
            stored.remove(key);
        }
    }

    /// Whether a row is dropped because its period was closed, as it must not be.
    pub(in crate::world) fn is_dropped_as_late(
        &self,
        w: usize,
        row: &tollgate_metering::node::DirtyRegister,
    ) -> bool {
        let totals = self.ledger.wallets[w].account.meters.get(&row.meter);
        self.is(Fault::ClosingDropsLate) && totals.is_some_and(|totals| totals.checkpoints > 0)
    }
}
