//! Takes what nodes say.

use std::time::Duration;
use tollgate_metering::protocol::Snapshot;
use tollgate_metering::wallet::{Life, OwnList, Taken};
use tollgate_metering::{Incarnation, Meter, Units};
use uuid::Uuid;

use super::super::network::{Down, Reason, Said, Up};
use super::super::{World, place_of};
use super::Pending;
use crate::fault::Fault;
use crate::trace::note;
use std::sync::Arc;

// === impl World ===

impl World {
    pub(in crate::world) fn hear(&mut self, g: usize, n: usize, stream: u64, message: Down) {
        let now = self.monotonic(g);
        let Some(run) = self.process(g) else { return };
        if run.nodes[n].stream != Some(stream) {
            return;
        }
        let Down { service_time, said } = message;
        if let Some(service_time) = service_time {
            run.sequence.hear(service_time, now);
        }
        match said {
            Said::Welcome { generation, own_list } => self.up(g, n, stream, generation, own_list),
            Said::Durable { incarnation, seq } => self.durable(g, n, incarnation, seq),
            Said::Refused { incarnation, seq, reason } => {
                self.refused(g, n, incarnation, seq, reason)
            }
            Said::Snapshot(snapshot) => self.snapshot(g, n, &snapshot),
            Said::Fresh { answered_seq, wallets } => self.fresh(g, n, answered_seq, &wallets),
            Said::Mode { w, mode } => self.mode_asked(g, n, w, mode),
            Said::End => self.lose_stream(g, n, false),
        }
        // At once: what an earlier subscription is told until then would pass for news.
        self.send_subscriptions(g);
    }

    fn up(&mut self, g: usize, n: usize, stream: u64, generation: u32, own_list: u64) {
        let Some(run) = self.process(g) else { return };
        if run.generation.is_some_and(|known| generation < known) {
            return self.lose_stream(g, n, true);
        }
        self.hear_generation(g, generation);
        let Some(run) = self.process(g) else { return };
        let number = run.own.number;
        // The generation may have ended it.
        if run.nodes[n].stream != Some(stream) {
            return;
        }
        run.nodes[n].is_up = true;
        if own_list != number {
            let own = self.own_list(g);
            self.send_up(stream, Up::Own(Arc::new(own)));
        }
        self.health_changed(g);
        self.send_subscriptions(g);
    }

    /// Nothing of an older ledger is believed once a newer one is met.
    pub(super) fn hear_generation(&mut self, g: usize, generation: u32) {
        let Some(run) = self.process(g) else { return };
        let before = run.generation.replace(generation);
        if before.is_none_or(|before| before == generation) {
            return;
        }
        note!(self, "g{} meets generation {}", g, generation);
        for n in 0..self.nodes.len() {
            let Some(run) = self.process(g) else { return };
            if run.nodes[n].is_up {
                self.lose_stream(g, n, true);
            }
        }
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        for life in &run.own.listed {
            if let Some(file) = gateway.files.get_mut(&run.lives[life.0 as usize]) {
                file.restart(generation);
            }
        }
        run.finals.clear();
        for kept in &mut run.kept {
            if let Some(file) = gateway.files.get_mut(&kept.id) {
                file.restart(generation);
            }
            kept.restart();
        }
        self.block_kept(g);
        let Some(run) = self.process(g) else { return };
        let listed = run.own.listed.clone();
        for entry in &mut run.wallets {
            entry.wallet.forget(&|life| listed.contains(&life));
            entry.is_changed = true;
        }
    }

    fn durable(&mut self, g: usize, n: usize, incarnation: Incarnation, seq: i64) {
        let mut done = self.take_pending(g, n, incarnation.id, seq, true);
        if self.is(Fault::DurableAcrossStreams) {
            for other in (0..self.nodes.len()).filter(|other| *other != n) {
                done.extend(self.take_pending(g, other, incarnation.id, seq, true));
            }
        }
        if !done.is_empty() {
            note!(self, "n{} calls {} durable up to {}", n, incarnation, seq);
        }
        self.check_durable(g, &done);
        self.acknowledge(g, done);
    }

    /// Reports of a stream that are answered: all up to one, or one.
    fn take_pending(
        &mut self,
        g: usize,
        n: usize,
        id: Uuid,
        seq: i64,
        is_up_to: bool,
    ) -> Vec<Pending> {
        let Some(run) = self.process(g) else { return Vec::new() };
        let is_meant = |pending: &Pending| {
            pending.id == id && (pending.seq == seq || (is_up_to && pending.seq < seq))
        };
        let pending = std::mem::take(&mut run.nodes[n].pending);
        let (taken, rest): (Vec<_>, Vec<_>) = pending.into_iter().partition(is_meant);
        run.nodes[n].pending = rest.into();
        taken
    }

    fn acknowledge(&mut self, g: usize, done: Vec<Pending>) {
        for pending in done {
            if let Some(file) = self.gateways[g].files.get_mut(&pending.id) {
                for (slot, spend) in &pending.registers {
                    file.acknowledge(*slot, *spend);
                }
            }
            if pending.is_final {
                self.ended(g, pending.id);
            }
        }
        self.unblock_kept(g);
    }

    fn sent_at(&mut self, g: usize, n: usize, seq: i64) -> Option<Duration> {
        let is_arrival = self.is(Fault::AgeFromArrival);
        let now = self.monotonic(g);
        if is_arrival {
            return Some(now);
        }
        let run = self.process(g)?;
        let sent = &run.nodes[n].sent;
        let after = sent.partition_point(|(other, _)| *other <= seq);
        sent.get(after.checked_sub(1)?).map(|(_, at)| *at)
    }

    fn snapshot(&mut self, g: usize, n: usize, snapshot: &Snapshot) {
        let Some(run) = self.process(g) else { return };
        if run.generation.is_some_and(|known| snapshot.generation > known) {
            self.hear_generation(g, snapshot.generation);
            return;
        }
        let w = place_of(snapshot.wallet);
        // A node that the wallet has left knows nothing that its new node will not tell.
        if run.wallets[w].node != Some(n) {
            return;
        }
        let as_of = self.sent_at(g, n, snapshot.answered_seq);
        if !self.has_recovered(g, w, as_of) {
            if let Some(run) = self.process(g) {
                run.nodes[n].doubtful.insert(w, false);
            }
            return;
        }
        let is_arrival = self.is(Fault::MergeByArrival);
        let tariffs = &self.tariffs;
        let Some(run) = self.gateways[g].run.as_mut() else { return };
        let listed = &run.own.listed;
        let has = |life: Life| listed.contains(&life);
        let lives = &run.lives;
        let life_of = |incarnation: Incarnation| {
            let place = lives.iter().position(|id| *id == incarnation.id)?;
            u32::try_from(place).ok().map(Life)
        };
        let (number, since) = (run.own.number, run.own.since);
        let own = OwnList { number, since, has: &has, life_of: &life_of };
        let of = |meter: &Meter| tariffs.of_meter(meter);
        let entry = &mut run.wallets[w];
        let before = entry.wallet.as_of();
        let stamps_of = |wallet: &tollgate_metering::wallet::Wallet| -> Vec<_> {
            wallet.draws(snapshot.wallet).iter().map(|(_, draw)| draw.stamp).collect()
        };
        let stamps = stamps_of(&entry.wallet);
        if is_arrival && snapshot.own_list == run.own.number {
            entry.wallet.forget(&|_| true);
        }
        let taken = entry.wallet.snapshot(snapshot, as_of, own, &of);
        if is_arrival && let Some(before) = before {
            entry.wallet.fresh(before);
        }
        // A ceiling is echoed: a recall counts from then on.
        entry.is_changed |= stamps_of(&entry.wallet) != stamps;
        let is_whole = matches!(taken, Ok(Taken::Whole));
        if is_whole {
            run.nodes[n].doubtful.remove(&w);
        } else {
            run.nodes[n].doubtful.insert(w, false);
        }
        let answered = snapshot.answered_seq;
        note!(
            self,
            "g{} takes version {} of wallet {} from n{}, answering {}: {:?}",
            g,
            snapshot.version,
            w,
            n,
            answered,
            super::Spelled(&taken)
        );
        self.check_belief(g, w);
    }

    fn fresh(&mut self, g: usize, n: usize, answered_seq: i64, wallets: &[usize]) {
        let Some(as_of) = self.sent_at(g, n, answered_seq) else { return };
        for w in wallets {
            let Some(run) = self.process(g) else { return };
            if run.wallets[*w].node != Some(n) {
                continue;
            }
            if let Some(is_asked) = run.nodes[n].doubtful.get_mut(w) {
                if !std::mem::replace(is_asked, true) {
                    run.nodes[n].subscribe.insert(*w);
                }
            } else {
                run.wallets[*w].wallet.fresh(as_of);
                self.check_belief(g, *w);
            }
        }
    }

    fn refused(&mut self, g: usize, n: usize, incarnation: Incarnation, seq: i64, reason: Reason) {
        // A retired incarnation's report was taken all the same.
        let lost = if reason == Reason::Retired {
            Vec::new()
        } else {
            self.take_pending(g, n, incarnation.id, seq, reason == Reason::Fenced)
        };
        note!(self, "n{} refuses {} of {}: {:?}", n, seq, incarnation, super::Spelled(reason));
        match reason {
            Reason::Fenced => {
                self.check_suspended(g, &lost);
                self.acknowledge(g, lost);
                let is_current = self.process(g).is_some_and(|run| {
                    run.current.is_some_and(|life| run.life(life) == incarnation.id)
                });
                if is_current {
                    self.begin_life(g);
                }
            }
            Reason::Unregistered => {
                self.report_again(g, lost);
                self.register_again(g, incarnation.id);
            }
            Reason::Ahead => self.report_again(g, lost),
            Reason::Retired => {
                self.report_again(g, lost);
                let is_current = self.process(g).is_some_and(|run| {
                    run.current.is_some_and(|life| run.life(life) == incarnation.id)
                });
                if is_current {
                    self.begin_life(g);
                }
            }
            Reason::NotServing => {
                self.report_again(g, lost);
                self.lose_stream(g, n, true);
            }
        }
    }

    /// What a report said of a slot.
    pub(in crate::world) fn reported_units(
        &self,
        g: usize,
        pending: &[(Uuid, u32, u64)],
    ) -> Vec<(Uuid, Meter, Units)> {
        let known = pending.iter().filter_map(|(id, slot, units)| {
            let file = self.gateways[g].files.get(id)?;
            let slot = file.slots.get(*slot as usize)?;
            Some((*id, slot.meter, Units::from_register(*units)))
        });
        known.collect()
    }

    fn check_durable(&mut self, g: usize, done: &[Pending]) {
        let rows = self.reported_units(g, &rows(done));
        self.note_durable(g, &rows);
    }

    fn check_suspended(&mut self, g: usize, done: &[Pending]) {
        let rows = self.reported_units(g, &rows(done));
        self.note_suspended(&rows);
    }
}

fn rows(done: &[Pending]) -> Vec<(Uuid, u32, u64)> {
    let registers = done.iter().flat_map(|pending| {
        pending.registers.iter().map(|(slot, spend)| (pending.id, *slot, spend.units))
    });
    registers.collect()
}
