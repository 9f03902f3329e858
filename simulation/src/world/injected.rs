//! What a schedule does to the world. Whatever it breaks is whole again when the last phase ends.

use std::time::Duration;

use tollgate_metering::{BillingType, Incarnation};

use super::storage::Backup;
use super::{Event, World};
use crate::fault::Fault;
use crate::schedule::{Injected, Trouble};
use crate::trace::note;

/// News of the catalogue reach every gateway within this.
const NEWS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(3));

// === impl World ===

impl World {
    /// The end of something that lasts so long: no later than the run.
    fn until(&self, lasts: Duration) -> Duration {
        (self.now + lasts).min(self.setup.end()).max(self.now)
    }

    pub(super) fn inject(&mut self, place: usize) {
        let what = self.schedule.events[place].what.clone();
        note!(self, "injected: {:?}", super::gateway::Spelled(&what));
        match what {
            Injected::Cut { g, n, way, lasts } => {
                let until = self.until(lasts);
                self.cut(g, n, way, until);
            }
            Injected::Break { g, n } => {
                let of_link = |each: &&u64| {
                    let stream = &self.streams[each];
                    stream.g == g && stream.n == n
                };
                let streams: Vec<u64> = self.streams.keys().filter(of_link).copied().collect();
                streams.into_iter().for_each(|stream| self.break_stream(stream));
            }
            Injected::Delay { g, n, by, lasts } => {
                let until = self.until(lasts);
                self.slow(g, n, by, until);
            }
            Injected::Die { g, death, returns_after } => {
                self.end_gateway(g, death);
                let at = self.until(returns_after);
                self.at(at, Event::Start { g });
            }
            Injected::Pause { g, lasts } => {
                let until = self.until(lasts);
                let gateway = &mut self.gateways[g];
                gateway.paused_since.get_or_insert(self.now);
                gateway.paused_until = gateway.paused_until.max(until);
            }
            Injected::Set { g, by_ms } => self.gateways[g].clock.off_ms += by_ms,
            Injected::Rotate { g } => self.rotate(g),
            Injected::NodeDie { .. }
            | Injected::NodePause { .. }
            | Injected::NodeClock { .. }
            | Injected::NodeCut { .. } => self.inject_node(&what),
            Injected::Ledger { trouble, lasts } => {
                self.ledger_trouble = Some((trouble, self.until(lasts)));
            }
            Injected::Backup => self.back_up(),
            Injected::Restore => self.restore(),
            Injected::Credit { w, amount, callers } => self.pay_in(w, amount, callers),
            Injected::Adjust { w, amount } => self.take_out(w, amount, false),
            Injected::Fee { w, amount } => self.take_out(w, amount, true),
            Injected::Limit { w, limit } => self.set_limit(w, limit),
            Injected::Publish => {
                self.tariffs.publish();
                self.spread_news();
            }
            Injected::Billing { w } => {
                let billing = &mut self.tariffs.billing[w];
                *billing = match billing {
                    BillingType::Prepaid => BillingType::Postpaid,
                    BillingType::Postpaid => BillingType::Shadow,
                    BillingType::Shadow => BillingType::ShadowRefused,
                    BillingType::ShadowRefused => BillingType::Prepaid,
                };
                self.spread_news();
            }
            Injected::Policy { w, is_strict } => self.set_policy(w, is_strict),
            Injected::Retire { g } => self.retire_lost(g),
            Injected::Resolve { w, is_charged } => self.resolve(w, is_charged),
        }
    }

    fn inject_node(&mut self, what: &Injected) {
        match what {
            Injected::NodeDie { n, returns_after } => {
                self.end_node(*n);
                let at = self.until(*returns_after);
                self.at(at, Event::NodeStart { n: *n, off_ms: 0 });
            }
            Injected::NodePause { n, lasts } => {
                let until = self.until(*lasts);
                let node = &mut self.nodes[*n];
                node.paused_since.get_or_insert(self.now);
                node.paused_until = node.paused_until.max(until);
            }
            Injected::NodeClock { n, off_ms, lasts } => {
                self.end_node(*n);
                self.start_node(*n, *off_ms);
                let at = self.until(*lasts);
                self.at(at, Event::NodeSet { n: *n });
            }
            Injected::NodeCut { n, lasts } => {
                let until = self.until(*lasts);
                self.nodes[*n].cut_until = self.nodes[*n].cut_until.max(until);
            }
            _ => unreachable!("only what is done to nodes comes here"),
        }
    }

    /// A node with a wrong clock starts again with the right one.
    pub(super) fn set_node(&mut self, n: usize) {
        if self.nodes[n].is_up() {
            self.end_node(n);
        }
        self.start_node(n, 0);
    }

    /// Retires what a lost disk left behind, and all of a gateway that is away.
    fn retire_lost(&mut self, g: usize) {
        let files = &self.gateways[g].files;
        let is_away = !self.gateways[g].is_up();
        let lost: Vec<Incarnation> = self
            .ledger
            .registry
            .iter()
            .filter(|(id, each)| {
                let is_its = self.truth.gateway_of.get(id) == Some(&g);
                let is_lost = !files.contains_key(id) && self.truth.lossy.contains_key(id);
                is_its && !each.has_ended && !each.is_retired && (is_away || is_lost)
            })
            .map(|(id, each)| Incarnation { born: each.born, id: *id })
            .collect();
        lost.into_iter().for_each(|each| self.retire(each));
    }

    fn spread_news(&mut self) {
        for g in 0..self.gateways.len() {
            let process = self.gateways[g].process;
            let delay = self.dice.people.span(NEWS);
            self.after(delay, Event::Learn { g, process });
        }
    }

    pub(super) fn is_ledger_away(&self) -> bool {
        let is_now =
            |(trouble, until): (Trouble, Duration)| trouble == Trouble::Down && self.now < until;
        self.ledger_trouble.is_some_and(is_now)
    }

    fn back_up(&mut self) {
        self.backup = Some(Backup {
            ledger: self.ledger.clone(),
            shown: self.truth.shown.clone(),
            charged: self.truth.charged.clone(),
            late_charged: self.truth.late_charged.clone(),
            retired: self.truth.retired.clone(),
        });
    }

    /// A backup becomes the next ledger: nothing in flight to the old one lands in it.
    fn restore(&mut self) {
        let Some(backup) = self.backup.take() else { return };
        let generation = self.ledger.generation;
        self.ledger = backup.ledger;
        let is_told = !self.is(Fault::RestoreUntold);
        self.ledger.adopt(if is_told { generation + 1 } else { generation });
        note!(self, "ledger: a backup is restored as generation {}", self.ledger.generation);
        let truth = &mut self.truth;
        truth.shown = backup.shown;
        truth.charged = backup.charged;
        truth.late_charged = backup.late_charged;
        truth.retired = backup.retired;
        truth.durable.clear();
        truth.durable_totals.clear();
        // What only the older ledger had, and no file has, is lost.
        for (id, least) in &mut truth.lossy {
            for (meter, nanos) in least.iter_mut() {
                let file = truth.gateway_of.get(id).and_then(|g| self.gateways[*g].files.get(id));
                let left = file.and_then(|file| file.units().get(meter).copied()).unwrap_or(0);
                let shown = truth.shown.get(&(*id, *meter)).copied().unwrap_or(0);
                *nanos = (*nanos).min(left.max(shown));
            }
        }
        for w in 0..self.setup.wallets.len() {
            let wallet = super::wallet_id(w);
            self.truth.wallets[w].spent = self.truth.spent(wallet, &self.truth.totals);
            self.truth.wallets[w].is_void = true;
            self.truth.wallets[w].persisted.clear();
            self.note_given(w);
            self.note_restored(w);
        }
        self.replay();
    }
}
