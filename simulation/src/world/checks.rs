//! What must hold after every step.

use std::time::Duration;

use tollgate_metering::account::Overspend;
use tollgate_metering::node::DirtyRegister;
use tollgate_metering::wallet::Life;
use tollgate_metering::{
    Change, EntryKind, Incarnation, Meter, Money, Period, SuspenseKey, SuspenseReason, Units,
};
use uuid::Uuid;

use super::truth::WalletTruth;
use super::{World, wallet_id};
use crate::schedule::Profile;

/// Two clocks that serve may disagree by so much, and a little.
const CLOCKS: Duration = Duration::from_secs(125);

/// The rule about a belief that is too poor.
const TWICE: &str = "nothing is subtracted twice from what a gateway believes";

// === impl World ===

impl World {
    /// A birth is near the ledger's time.
    pub(super) fn check_birth(&mut self, incarnation: Incarnation) {
        let registered = self.truth.births.insert(incarnation.id, incarnation.born);
        let (wall, born) = (self.wall(), incarnation.born);
        let off = wall.since(born).max(born.since(wall));
        if registered.is_none() && off > CLOCKS {
            self.blame("births are given by the ledger's time", || {
                format!("{incarnation} is off by {off:?}")
            });
        }
    }

    /// A register in the ledger only grows, up to what was answered.
    pub(super) fn check_register(
        &mut self,
        w: usize,
        row: &DirtyRegister,
        before: Units,
        after: Units,
    ) {
        let DirtyRegister { meter, incarnation, .. } = *row;
        if after < before {
            let found = || format!("{incarnation} on {meter}: {before} became {after}");
            self.blame("a register in the ledger never shrinks", found);
        }
        let key = (incarnation.id, meter);
        let truth = self.truth.units.get(&key).copied().unwrap_or_default();
        if after > Units::from_register(truth) {
            let found = || {
                format!(
                    "{incarnation} on {meter}: {after} in the ledger, {truth} nano-units answered"
                )
            };
            self.blame("the ledger never exceeds the truth", found);
        }
        let header = &self.ledger.wallets[w].account.header;
        if header.counts_meter(&meter) && header.counts_incarnation(incarnation) {
            let shown = self.truth.shown.entry(key).or_default();
            *shown = (*shown).max(after.register().unwrap_or(u64::MAX));
        }
    }

    /// Notes what the ledger shows to be spent from now on.
    pub(super) fn note_persisted(&mut self, w: usize) {
        let spent = self.persisted(w);
        let most = self.truth.wallets[w].spent;
        if spent > most && self.is_one_line(w) {
            self.blame("the ledger never exceeds the truth", || {
                format!("wallet {w}: {spent} nanos charged, {most} spent")
            });
        }
        self.truth.wallets[w].persist(self.now, spent);
    }

    /// What the restored ledger shows counts from the beginning.
    pub(super) fn note_restored(&mut self, w: usize) {
        let spent = self.persisted(w);
        self.truth.wallets[w].persist(Duration::ZERO, spent);
    }

    pub(super) fn persisted(&self, w: usize) -> i128 {
        let stored = &self.ledger.wallets[w];
        let header = &stored.account.header;
        let given = self.truth.wallets[w].given[&(header.generation, header.version)];
        given - stored.balance(&self.rates).nanos()
    }

    /// Whether each line of the wallet has one revision: only then do more units never cost less.
    pub(super) fn is_one_line(&self, w: usize) -> bool {
        self.tariffs.published == 1 && w < self.setup.wallets.len()
    }

    /// A change moves the balance by its entries alone.
    pub(super) fn check_change(&mut self, w: usize, before: Money, change: &Change) {
        let after = self.ledger.wallets[w].balance(&self.rates);
        let is_charge = |kind| matches!(kind, EntryKind::SuspenseCharge | EntryKind::Usage);
        if change.entries.iter().any(|entry| is_charge(entry.kind)) {
            return;
        }
        let moved = change.entries.iter().map(|entry| match entry.kind {
            EntryKind::Credit => entry.amount.nanos(),
            EntryKind::Adjustment | EntryKind::Fee | EntryKind::Transfer => -entry.amount.nanos(),
            EntryKind::Checkpoint
            | EntryKind::PostpaidCheckpoint
            | EntryKind::Limit
            | EntryKind::SuspenseCharge
            | EntryKind::SuspenseWriteOff
            | EntryKind::Usage
            | EntryKind::PostpaidFee
            | EntryKind::ShadowCheckpoint
            | EntryKind::ShadowFee => 0,
        });
        // What was counted since a retirement was planned is cut off.
        if change.ceilings.values().flatten().any(|row| row.is_retired) {
            return;
        }
        let want = before.nanos() + moved.sum::<i128>();
        if after.nanos() != want {
            let horizon = change.header.horizon;
            self.blame("folds and purges change no balance", || {
                format!(
                    "wallet {w}: {before} became {after}, horizon {horizon}, {} entries",
                    change.entries.len()
                )
            });
        }
    }

    /// What a register counts in the ledger, and what waits in suspense.
    fn held_by_ledger(&self, w: usize, incarnation: Incarnation, meter: Meter) -> (Units, Units) {
        let stored = &self.ledger.wallets[w];
        let is_inside = stored.account.header.counts_incarnation(incarnation);
        let shown = self.truth.shown.get(&(incarnation.id, meter)).copied().unwrap_or_default();
        let counted = if is_inside {
            stored.counted(meter, incarnation)
        } else {
            Units::from_register(shown)
        };
        let key = SuspenseKey { meter, incarnation, reason: SuspenseReason::Fence };
        let suspended = stored.suspense.get(&key).map_or(Units::ZERO, |row| row.0);
        (counted, suspended)
    }

    /// What is called durable is in the ledger.
    pub(super) fn note_durable(&mut self, g: usize, rows: &[(Uuid, Meter, Units)]) {
        let heard = self.gateways[g].run.as_ref().and_then(|run| run.generation());
        if heard != Some(self.ledger.generation) {
            return;
        }
        for (id, meter, units) in rows {
            let Some(file) = self.gateways[g].files.get(id) else { continue };
            let incarnation = file.incarnation;
            let w = super::place_of(meter.wallet);
            let (counted, suspended) = self.held_by_ledger(w, incarnation, *meter);
            if counted.max(suspended) < *units {
                self.blame("what is called durable is in the ledger", || {
                    format!("{incarnation} on {meter}: {units} called durable, {counted} counted, {suspended} suspended")
                });
            }
            let known = counted.min(*units).register().unwrap_or(u64::MAX);
            let known = self.truth.cut(*id, meter, known);
            self.truth.note_durable(*id, *meter, known);
        }
    }

    /// What was refused as late waits in suspense.
    pub(super) fn note_suspended(&mut self, rows: &[(Uuid, Meter, Units)]) {
        for (id, meter, units) in rows {
            let g = self.truth.gateway_of.get(id).copied().unwrap_or_default();
            let heard = self.gateways[g].run.as_ref().and_then(|run| run.generation());
            if heard != Some(self.ledger.generation) {
                return;
            }
            let Some(born) = self.ledger.registry.get(id).map(|each| each.born) else { continue };
            let incarnation = Incarnation { born, id: *id };
            let w = super::place_of(meter.wallet);
            let (counted, suspended) = self.held_by_ledger(w, incarnation, *meter);
            if counted.max(suspended) < *units {
                self.blame("what comes too late is in suspense", || {
                    format!("{incarnation} on {meter}: {units} refused, {counted} counted, {suspended} suspended")
                });
            }
        }
    }

    /// What a gateway believes lies between what was persisted when it asked and the truth.
    pub(super) fn check_belief(&mut self, g: usize, w: usize) {
        let Some(run) = &self.gateways[g].run else { return };
        let (Some(view), Some(generation)) = (run.wallets[w].wallet.view(), run.generation())
        else {
            return;
        };
        if generation != self.ledger.generation || !self.is_one_line(w) {
            return;
        }
        // A gateway that comes back after the horizon has passed its incarnation counts it once
        // more, until it has a new one.
        let horizon = self.ledger.wallets[w].account.header.horizon;
        let files = &self.gateways[g].files;
        let is_past = |life: Life| {
            files.get(&run.life(life)).is_some_and(|file| file.incarnation.born < horizon)
        };
        let own: Vec<Life> =
            run.wallets[w].wallet.registers().map(|(_, register)| register.life).collect();
        if own.into_iter().any(is_past) {
            return;
        }
        let truth = &self.truth.wallets[w];
        let Some(given) = truth.given.get(&(generation, view.version)) else { return };
        let believed = given - view.balance.nanos();
        let spent = truth.spent;
        if believed > spent {
            self.blame(TWICE, || {
                format!("g{g} on wallet {w}: {believed} nanos believed, {spent} spent")
            });
            return;
        }
        let Some(as_of) = view.as_of else { return };
        let as_of = self.gateways[g].clock.true_time(as_of);
        let least = truth.persisted_at(as_of);
        if believed < least {
            self.blame("knowledge is as old as it says", || {
                format!("g{g} on wallet {w}: {believed} nanos believed as of {as_of:?}, {least} were persisted")
            });
        }
    }

    /// A call was admitted.
    pub(super) fn check_admission(&mut self, g: usize, w: usize, period: Period, is_prepaid: bool) {
        let wall = self.wall();
        let near = [wall.minus(CLOCKS), wall.plus(CLOCKS)].map(Period::of);
        if !near.contains(&period) {
            self.blame("a call belongs to the month that it is", || {
                format!("g{g} counts on {period}")
            });
        }
        if !is_prepaid {
            return;
        }
        self.check_belief(g, w);
        self.check_found(g, w);
        self.check_others_held(g, w);
        let (now, age) = (self.now, self.setup.knowledge_age());
        self.truth.wallets[w].note_admission(now, age, g);
        self.check_holds(g, w);
    }

    /// Units of found files are known where a call is admitted.
    fn check_found(&mut self, g: usize, w: usize) {
        let gateway = &self.gateways[g];
        let Some(run) = &gateway.run else { return };
        let as_of = run.wallets[w].wallet.as_of().map(|as_of| gateway.clock.true_time(as_of));
        let as_of = as_of.unwrap_or(Duration::ZERO);
        let stored = &self.ledger.wallets[w];
        if run.generation() != Some(self.ledger.generation) {
            return;
        }
        let mut missing = None;
        for (id, file) in gateway.files.iter().filter(|(id, _)| !run.lives.contains(id)) {
            for slot in file.slots.iter().filter(|slot| slot.meter.wallet == wallet_id(w)) {
                let counted = stored.counted(slot.meter, file.incarnation);
                let (_, suspended) = self.held_by_ledger(w, file.incarnation, slot.meter);
                let units = Units::from_register(slot.spend.units);
                let is_known = stored.had(slot.meter, file.incarnation, units, as_of);
                let is_past = !stored.account.header.counts_incarnation(file.incarnation);
                if !is_known && !is_past && suspended < units && !units.is_zero() {
                    missing = Some((*id, units, counted));
                }
            }
        }
        if let Some((id, units, counted)) = missing {
            self.blame("nothing is admitted before found units are durable", || {
                format!("g{g} on wallet {w}: {units} in the file of {id}, {counted} in the ledger")
            });
        }
    }

    /// What was reported of a found file does not shrink between two starts.
    pub(super) fn check_files(&mut self, g: usize) {
        let mut shrunk = None;
        for (id, file) in &self.gateways[g].files {
            let units = file.units();
            for ((_, meter), reported) in self.truth.found.iter().filter(|((by, _), _)| by == id) {
                let left = units.get(meter).copied().unwrap_or(0);
                if left < *reported {
                    shrunk = Some(format!("{id} on {meter}: {left} left of {reported} nano-units"));
                }
            }
        }
        if let Some(shrunk) = shrunk {
            self.blame("what was reported of a found file is on its disk", || shrunk);
        }
    }

    /// Where nothing breaks, holds of others are known after the age of knowledge.
    fn check_others_held(&mut self, g: usize, w: usize) {
        if self.setup.profile != Profile::Calm {
            return;
        }
        let Some(run) = &self.gateways[g].run else { return };
        let Some(view) = run.wallets[w].wallet.view() else { return };
        let limit = self.ledger.wallets[w].account.header.overdraft_limit.nanos();
        let known = view.balance.nanos() + limit - view.held.nanos() - view.available.nanos();
        let old = self.now.saturating_sub(self.setup.knowledge_age());
        let truth = &self.truth.wallets[w];
        let others = truth.holds.iter().filter(|((by, _), (since, _))| *by != g && *since <= old);
        let least: i128 = others.map(|(_, (_, amount))| amount).sum();
        if known < least {
            self.blame("open holds of others are known", || {
                format!(
                    "g{g} on wallet {w}: {known} nanos known, {least} held since {old:?} and before"
                )
            });
        }
    }

    /// No hold outlives its call.
    pub(super) fn check_holds(&mut self, g: usize, w: usize) {
        let Some(run) = &self.gateways[g].run else { return };
        let calls = run.calls.values().filter(|call| call.w == w).count();
        let holds = run.wallets[w].wallet.open_holds() as usize;
        if calls != holds {
            self.blame("no hold outlives its call", || {
                format!("g{g} on wallet {w}: {holds} holds, {calls} calls")
            });
        }
    }

    /// Calls never take a strict wallet below its floor: no further than it was when it became strict.
    pub(super) fn check_strict(&mut self, w: usize) {
        let stored = &self.ledger.wallets[w];
        let header = &stored.account.header;
        let truth = &self.truth.wallets[w];
        if header.mode.overspend != Overspend::Strict || header.mode.is_changing || truth.is_void {
            self.truth.wallets[w].strict = None;
            return;
        }
        // Units that are lost are not charged: then the ledger says what was.
        let limit = header.overdraft_limit.nanos();
        let below = if self.truth.lossy.is_empty() && self.truth.retired.is_empty() {
            truth.spent - truth.given[&(header.generation, header.version)] - limit
        } else {
            -stored.balance(&self.rates).nanos() - limit
        };
        let truth = &mut self.truth.wallets[w];
        let allowed = truth.strict.unwrap_or(below.max(0));
        truth.strict = Some(allowed.min(below.max(0)));
        if below > allowed {
            self.blame("calls never take a strict wallet below its floor", || {
                format!("wallet {w}: {below} nanos below, {allowed} when it became strict")
            });
        }
    }

    /// Notes how far a wallet is overspent.
    pub(super) fn check_overspend(&mut self, w: usize) {
        let header = &self.ledger.wallets[w].account.header;
        let truth = &self.truth.wallets[w];
        let given = truth.given[&(header.generation, header.version)];
        let below = truth.spent - given - header.overdraft_limit.nanos();
        let truth = &mut self.truth.wallets[w];
        truth.overspent = truth.overspent.max(below);
        self.costs.overspent = self.costs.overspent.max(below);
        self.check_strict(w);
        let truth = &self.truth.wallets[w];
        if self.setup.profile != Profile::Calm || truth.has_debits {
            return;
        }
        let bound = truth.bound(self.setup.gateways.len());
        if below > bound {
            self.blame("overspend is within its bound", || {
                format!("wallet {w}: {below} nanos, bound {bound}")
            });
        }
    }
}

// === impl WalletTruth ===

impl WalletTruth {
    pub(super) fn begin_hold(&mut self, call: (usize, u64), now: Duration, amount: i128) {
        self.holds.insert(call, (now, amount));
        self.open_max = self.open_max.max(self.holds.len());
        self.hold_min = self.hold_min.min(amount);
    }

    pub(super) fn end_hold(&mut self, call: (usize, u64)) {
        self.holds.remove(&call);
    }

    pub(super) fn note_settle(&mut self, cost: i128) {
        self.settle_max = self.settle_max.max(cost);
    }

    /// Counts admissions of each gateway within the age of knowledge.
    pub(super) fn note_admission(&mut self, now: Duration, age: Duration, g: usize) {
        self.recent.push_back((now, g));
        while self.recent.front().is_some_and(|(at, _)| *at + age < now) {
            self.recent.pop_front();
        }
        let count = self.recent.iter().filter(|(_, by)| *by == g).count();
        self.admitted_max = self.admitted_max.max(count);
    }

    /// `(N − 1)·q·W·s + open calls × (s − hold)`, with q·W and the rest as measured.
    fn bound(&self, gateways: usize) -> i128 {
        let others = i128::try_from(gateways - 1).unwrap_or(0);
        let admitted = i128::try_from(self.admitted_max).unwrap_or(0);
        let open = i128::try_from(self.open_max).unwrap_or(0);
        let beyond = (self.settle_max - self.hold_min.min(self.settle_max)).max(0);
        others * admitted * self.settle_max + open * beyond
    }
}
