//! The end of a run: nothing breaks any more, nobody calls, and everything must come to agree.

use std::collections::BTreeMap;

use tollgate_metering::account::Overspend;
use tollgate_metering::{BillingType, Meter, Money, SuspenseReason};

use super::{Event, World, place_of, wallet_id};
use crate::schedule::{QUIET_BUSY, QUIET_IDLE};
use crate::trace::note;

// === impl World ===

impl World {
    pub(super) fn quieten(&mut self, step: u8) {
        note!(self, "quiet {}", step);
        if step == 0 {
            self.is_quiet = true;
            self.mend_links();
            self.ledger_trouble = None;
            let all = QUIET_BUSY * 2 + QUIET_IDLE;
            self.after(all, Event::Quiet { step: 1 });
            return;
        }
        self.check_payments();
        let totals = self.check_units();
        self.check_agreement(&totals);
        self.queue.clear();
    }

    /// Each id is booked once.
    fn check_payments(&mut self) {
        let mut given = vec![0_i128; self.setup.wallets.len()];
        let mut lacking = None;
        for (id, payment) in &self.truth.payments {
            given[payment.w] += payment.amount;
            if !self.ledger.wallets[payment.w].entries.contains_key(id) {
                lacking = Some(id.clone());
            }
        }
        if let Some(id) = lacking {
            self.blame("what was to be booked is booked", || format!("{id} is not"));
        }
        for (w, want) in given.into_iter().enumerate() {
            let header = &self.ledger.wallets[w].account.header;
            let found = self.truth.wallets[w].given[&(header.generation, header.version)];
            if found != want {
                self.blame("an id is booked once", || {
                    format!("wallet {w} was given {found} nanos, {want} by distinct ids")
                });
            }
        }
    }

    /// Every answered unit is counted, waits in suspense, or was declared lost; returns the totals
    /// that the ledger must therefore charge.
    fn check_units(&mut self) -> BTreeMap<Meter, u128> {
        let mut totals = self.truth.late_charged.clone();
        let mut wrong = None;
        for ((id, meter), units) in &self.truth.units {
            let shown = self.truth.shown.get(&(*id, *meter)).copied().unwrap_or_default();
            let stored = &self.ledger.wallets[place_of(meter.wallet)];
            let of = |reason| {
                let rows = stored.suspense.iter().filter(move |(key, _)| {
                    key.incarnation.id == *id && key.meter == *meter && key.reason == reason
                });
                let most = rows.map(|(_, (units, _))| units.register().unwrap_or(u64::MAX)).max();
                most.unwrap_or(0)
            };
            let known = shown.max(of(SuspenseReason::Fence));
            let lossy = self.truth.lossy.get(id);
            let least = lossy.map_or(*units, |least| least.get(meter).copied().unwrap_or(0));
            if known > *units || known < least {
                wrong = Some(format!(
                    "{id} on {meter}: {shown} counted, {known} known, {units} answered, {least} not lost"
                ));
            }
            let excess = self.truth.excess.get(&(*id, *meter)).copied().unwrap_or_default();
            let found = of(SuspenseReason::Multiplier);
            if found > excess || (found < excess && lossy.is_none()) {
                wrong = Some(format!(
                    "{id} on {meter}: {found} in suspense, {excess} beyond the maximum"
                ));
            }
            let counted = self.truth.cut(*id, meter, shown);
            *totals.entry(*meter).or_default() += u128::from(counted);
        }
        if let Some(wrong) = wrong {
            self.blame("after quiet the ledger equals the truth", || wrong);
        }
        totals
    }

    /// Ledger, nodes and gateways agree to the nano.
    fn check_agreement(&mut self, totals: &BTreeMap<Meter, u128>) {
        for w in 0..self.setup.wallets.len() {
            let header = &self.ledger.wallets[w].account.header;
            let limit = header.overdraft_limit;
            let given = self.truth.wallets[w].given[&(header.generation, header.version)];
            let want = World::amount(given - self.truth.spent(wallet_id(w), totals));
            let found = self.ledger.wallets[w].balance(&self.rates);
            if found != want {
                self.blame("after quiet the ledger equals the truth", || {
                    format!("wallet {w}: balance {found}, should be {want}")
                });
            }
            for n in 0..self.nodes.len() {
                self.check_node(n, w, want);
            }
            for g in 0..self.gateways.len() {
                self.check_gateway(g, w, want, limit, totals);
            }
        }
    }

    fn check_node(&mut self, n: usize, w: usize, want: Money) {
        let wall = self.nodes[n].wall(self.now);
        let Some(entry) = self.nodes[n].wallets.get(&w) else { return };
        let machine = &entry.machine;
        if !machine.is_subscribed() && !machine.is_dirty() {
            return;
        }
        let balance = machine.balance(&self.rates).expect("prices of a run are known");
        let held = machine.held(wall, self.setup.hold_life).expect("sums of a run are small");
        let is_dirty = machine.is_dirty();
        if balance != Some(want) || is_dirty {
            self.blame("all caches agree after quiet", || {
                format!("n{n} on wallet {w}: {balance:?}, should be {want}, dirty: {is_dirty}")
            });
        }
        if !held.is_zero() {
            self.blame("no hold outlives its call", || format!("n{n} on wallet {w}: {held} held"));
        }
    }

    fn check_gateway(
        &mut self,
        g: usize,
        w: usize,
        want: Money,
        limit: Money,
        totals: &BTreeMap<Meter, u128>,
    ) {
        // Units that a node told and then lost with its memory, and their gateway with its disk or
        // behind the fence, are believed until the process ends: a gateway may be too careful.
        let truth = &self.truth;
        let header = &self.ledger.wallets[w].account.header;
        let given = truth.wallets[w].given[&(header.generation, header.version)];
        let spent = truth.spent(wallet_id(w), &truth.totals);
        let mut suspended = self.ledger.wallets[w].suspense.keys();
        let is_lossy = !truth.lossy.is_empty()
            || !truth.retired.is_empty()
            || suspended.any(|key| key.reason == SuspenseReason::Fence);
        let (poorest, richest) = if is_lossy && !self.is_one_line(w) {
            // More units may cost less where a later revision's bands fall: what the units cost
            // that are believed is the one right answer.
            match self.believed(g, w, totals) {
                Ok(believed) => (believed, believed),
                Err(found) => return self.blame("all caches agree after quiet", || found),
            }
        } else {
            (if is_lossy { World::amount(given - spent).min(want) } else { want }, want)
        };
        let is_between = |found: Option<Money>, least: Money, most: Money| {
            found.is_some_and(|found| found >= least && found <= most)
        };
        let Some(run) = &self.gateways[g].run else {
            return self.blame("all gateways are back", || format!("g{g} is not"));
        };
        let entry = &run.wallets[w];
        let view = entry.wallet.view();
        let is_blocked = entry.is_blocked;
        let balance = view.map(|view| view.balance);
        if !is_between(balance, poorest, richest) {
            return self.blame("all caches agree after quiet", || {
                format!(
                    "g{g} on wallet {w}: {balance:?}, should be {richest}, blocked: {is_blocked}"
                )
            });
        }
        let available = view.map(|view| view.available);
        let (least, above) = match (poorest.plus(limit), richest.plus(limit)) {
            (Ok(least), Ok(above)) => (least, above),
            _ => return,
        };
        let mode = self.ledger.wallets[w].account.header.mode;
        let is_strict = mode.overspend == Overspend::Strict || mode.is_changing;
        if !is_strict && !is_between(available, least, above) {
            self.blame("no hold outlives its call", || {
                format!("g{g} on wallet {w}: {available:?} available, should be {above:?}")
            });
        }
    }

    /// What the balance must be by the units that a gateway believes, each of which is in the ledger
    /// or was lost.
    fn believed(
        &self,
        g: usize,
        w: usize,
        totals: &BTreeMap<Meter, u128>,
    ) -> Result<Money, String> {
        let header = &self.ledger.wallets[w].account.header;
        let wallet = self.gateways[g].run.as_ref().map(|run| &run.wallets[w].wallet);
        let units = wallet.map(|wallet| wallet.units().expect("sums of a run are small"));
        let mut known = totals.clone();
        for (tariff, units) in units.into_iter().flatten() {
            let meter = tariff.meter(wallet_id(w));
            if !header.counts_meter(&meter) || meter.billing == BillingType::Postpaid {
                continue;
            }
            let of = |sums: &BTreeMap<Meter, u128>| sums.get(&meter).copied().unwrap_or_default();
            let charged = of(&self.truth.charged);
            let (least, most) = (of(totals) + charged, of(&self.truth.totals) + charged);
            let found = units.nanos();
            if found < least || found > most {
                return Err(format!("g{g} on {meter}: {found} nano-units, not {least} to {most}"));
            }
            known.insert(meter, found - charged);
        }
        let given = self.truth.wallets[w].given[&(header.generation, header.version)];
        Ok(World::amount(given - self.truth.spent(wallet_id(w), &known)))
    }
}
