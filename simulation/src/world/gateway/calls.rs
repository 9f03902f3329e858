//! Calls: a hold before, units or the hold back after.

use std::time::Duration;

use tollgate_metering::wallet::{Hold, HoldError, ROTATE_AT};
use tollgate_metering::{BillingType, Period, Units};

use super::super::{Event, World, wallet_id};
use super::Call;
use crate::fault::Fault;
use crate::trace::note;

/// A wallet without a call for this long is not told about any more.
const IDLE_AFTER: Duration = Duration::from_secs(10);

// === impl World ===

impl World {
    pub(in crate::world) fn next_call(&mut self, g: usize, process: u32) {
        let gap = match self.setup.pace(self.now) {
            None => self.setup.gateways[g].gap,
            Some(pace) => pace,
        };
        let span = self.gateways[g].dice.span((gap / 2, gap + gap / 2));
        let span = self.next_busy(span);
        self.after(span.max(gap / 2), Event::Call { g, process });
    }

    /// A call arrives.
    pub(in crate::world) fn call(&mut self, g: usize, process: u32) {
        if self.gateways[g].process != process || !self.gateways[g].is_up() || self.is_quiet {
            return;
        }
        self.next_call(g, process);
        let w = self.gateways[g].dice.place(self.setup.wallets.len());
        self.use_wallet(g, w);
        let Ok(call) = self.hold(g, w) else {
            self.costs.refused += 1;
            return;
        };
        let span = self.gateways[g].dice.scale(self.setup.call);
        self.after(span, Event::CallEnd { g, process, call });
    }

    /// A wallet that somebody calls on is told about.
    pub(in crate::world) fn use_wallet(&mut self, g: usize, w: usize) {
        let now = self.now;
        let Some(run) = self.process(g) else { return };
        run.wallets[w].used_at = now.max(Duration::from_micros(1));
        if run.wallets[w].is_blocked {
            return;
        }
        if run.wallets[w].node.is_none()
            && let Some(n) = run.route(w)
        {
            run.wallets[w].node = Some(n);
            run.nodes[n].subscribe.insert(w);
            self.send_subscriptions(g);
        }
    }

    fn hold(&mut self, g: usize, w: usize) -> Result<u64, HoldError> {
        let now = self.monotonic(g);
        let gateway = &mut self.gateways[g];
        let (revision, billing) = (gateway.revision, gateway.billing[w]);
        let run = gateway.run.as_mut().ok_or(HoldError::Unknown)?;
        let life = run.current.ok_or(HoldError::Unknown)?;
        let time = run.sequence.service_time(now).ok_or(HoldError::Unknown)?;
        let period = Period::of(time);
        let tariff = self.tariffs.get(revision, billing, period);
        let entry = &mut run.wallets[w];
        if entry.is_blocked {
            return Err(HoldError::Unknown);
        }
        let limit = self.setup.staleness;
        let most = Units::from_nanos(u128::from(self.setup.units_max) * 1_000_000);
        let most = most.expect("multipliers are small");
        let mut answer = entry.wallet.hold(&tariff, life, most, now, limit);
        let id = run.lives[life.0 as usize];
        if answer == Err(HoldError::Unopened) {
            let file = gateway.files.get_mut(&id).expect("a life has a file");
            let slot = file.allocate(tariff.meter(wallet_id(w)));
            entry.wallet.open(&tariff, life, slot);
            answer = entry.wallet.hold(&tariff, life, most, now, limit);
        }
        if matches!(answer, Err(HoldError::Ungranted { .. })) {
            entry.is_changed = true;
        }
        if answer == Err(HoldError::Full) {
            run.wants_rotation = true;
        }
        let hold = answer?;
        entry.is_changed = true;
        let amount = hold.amount.nanos();
        run.next_call += 1;
        let call = run.next_call;
        run.calls.insert(call, Call { w, hold, id });
        self.truth.wallets[w].begin_hold((g, call), self.now, amount);
        note!(self, "g{} admits call {} on wallet {}, holding {}", g, call, w, amount);
        self.check_admission(g, w, period, billing == BillingType::Prepaid);
        Ok(call)
    }

    /// A call's upstream has answered, or failed.
    pub(in crate::world) fn end_call(&mut self, g: usize, process: u32, call: u64) {
        if self.gateways[g].process != process {
            return;
        }
        let Some(Call { w, hold, id }) = self.process(g).and_then(|run| run.calls.remove(&call))
        else {
            return;
        };
        self.truth.wallets[w].end_hold((g, call));
        let is_answered = self.gateways[g].dice.happens(850);
        if is_answered {
            self.settle_call(g, w, hold, id);
        } else if !self.is(Fault::HoldOutlivesCall) {
            if let Some(run) = self.process(g) {
                run.wallets[w].wallet.release(hold);
                run.wallets[w].is_changed = true;
            }
            note!(self, "g{} releases call {}", g, call);
        }
        self.check_holds(g, w);
    }

    fn settle_call(&mut self, g: usize, w: usize, hold: Hold, id: uuid::Uuid) {
        let thousandths = self.gateways[g].dice.one(&self.setup.units);
        let most = self.setup.units_max;
        let nanos = |thousandths: u64| u128::from(thousandths) * 1_000_000;
        let units = Units::from_nanos(nanos(thousandths.min(most))).expect("multipliers are small");
        let excess =
            u64::try_from(nanos(thousandths.saturating_sub(most))).expect("they are small");
        let meter = self.gateways[g].files[&id].slot(hold.slot).meter;
        let hold = self.counted_on(g, w, hold, id);
        let slot = hold.slot;
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        let settled = run.wallets[w].wallet.settle(hold, units);
        run.wallets[w].is_changed = true;
        run.wants_rotation |= settled.nanos > ROTATE_AT;
        let file = gateway.files.get_mut(&id).expect("a life has a file");
        let beyond = settled.beyond.register().expect("it fits into a register");
        let spend = &mut file.slots[slot as usize].spend;
        spend.units = settled.nanos;
        spend.excess += excess + beyond;
        let taken = units.beyond(settled.beyond).register().expect("it fits into a register");
        let cost = self.truth.settle(w, id, meter, taken, excess + beyond);
        self.costs.calls += 1;
        self.truth.wallets[w].note_settle(cost);
        note!(self, "g{} settles {} nano-units on wallet {} for {}", g, taken, w, cost);
        self.check_overspend(w);
    }

    /// The register that a call is counted on: that of its hold, unless the rule is broken.
    fn counted_on(&mut self, g: usize, w: usize, hold: Hold, id: uuid::Uuid) -> Hold {
        let is_billing = self.is(Fault::BillingAtSettle);
        if !is_billing && !self.is(Fault::PeriodAtSettle) {
            return hold;
        }
        let now = self.monotonic(g);
        let gateway = &mut self.gateways[g];
        let meter = gateway.files[&id].slot(hold.slot).meter;
        let Some(run) = &mut gateway.run else { return hold };
        let time = run.sequence.service_time(now).expect("a call was admitted");
        let (billing, period) = if is_billing {
            (gateway.billing[w], meter.period)
        } else {
            (meter.billing, Period::of(time))
        };
        let tariff = self.tariffs.get(meter.revision, billing, period);
        let file = gateway.files.get_mut(&id).expect("a life has a file");
        let slot = file.allocate(tariff.meter(wallet_id(w)));
        run.wallets[w].wallet.open(&tariff, hold.life, slot);
        Hold { slot, ..hold }
    }

    /// Unsubscribes wallets that nobody calls on and of which nothing is open.
    pub(super) fn leave_idle(&mut self, g: usize) {
        let (now, monotonic) = (self.now, self.monotonic(g));
        let (staleness, is_quiet) = (self.setup.staleness, self.is_quiet);
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        for w in 0..run.wallets.len() {
            let Some(n) = run.wallets[w].node else { continue };
            let entry = &run.wallets[w];
            let is_durable = entry.wallet.registers().all(|(_, register)| {
                let file = gateway.files.get(&run.lives[register.life.0 as usize]);
                file.is_none_or(|file| file.slot(register.slot).is_acknowledged())
            });
            let is_still = entry.wallet.open_holds() == 0 && !entry.is_changed && is_durable;
            let is_unused = now.saturating_sub(entry.used_at) > IDLE_AFTER && !is_quiet;
            let age = entry.wallet.as_of().map(|as_of| monotonic.saturating_sub(as_of));
            if is_unused && is_still {
                run.nodes[n].unsubscribe.insert(w);
                run.wallets[w].node = None;
                run.wallets[w].used_at = Duration::ZERO;
            } else if age.is_some_and(|age| age > staleness) {
                run.nodes[n].subscribe.insert(w);
            }
        }
    }
}
