//! Incarnations of a gateway: begun, rotated, ended.

use std::time::Duration;

use tollgate_metering::Incarnation;
use tollgate_metering::wallet::Life;
use uuid::Uuid;

use super::super::network::Up;
use super::super::{Event, World};
use super::file::File;
use super::kept::Kept;
use super::{Asked, Registered, SWEEP_EVERY};
use crate::trace::note;
use std::sync::Arc;

/// How long an incarnation takes calls.
const ROTATE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two rounds of asking the nodes.
const REGISTER_AGAIN: Duration = Duration::from_millis(3_500);

// === impl World ===

impl World {
    /// Registers a new incarnation, unless one is being registered.
    pub(in crate::world) fn begin_life(&mut self, g: usize) {
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        if run.rotating.is_some() {
            return;
        }
        gateway.made += 1;
        let id = Uuid::from_u128(((g as u128 + 1) << 64) | gateway.made);
        run.rotating = Some(id);
        let process = gateway.process;
        self.register(g, process, id);
    }

    /// Asks a node, each time another one, until an answer came.
    pub(in crate::world) fn register(&mut self, g: usize, process: u32, id: Uuid) {
        if self.gateways[g].process != process {
            return;
        }
        let Some(run) = &self.gateways[g].run else { return };
        let is_wanted = run.rotating == Some(id) || run.reregistering.contains(&id);
        if !is_wanted {
            return;
        }
        let n = self.gateways[g].dice.place(self.nodes.len());
        let delay = self.delay(g, n);
        let asked = Asked { process, at: self.monotonic(g) };
        self.after(delay, Event::Register { n, g, asked, id });
        let again = if self.setup.pace(self.now).is_some() {
            Duration::from_secs(20)
        } else {
            REGISTER_AGAIN
        };
        let again = if self.is_quiet { Duration::from_millis(500) } else { again };
        self.after(again, Event::RegisterAgain { g, process, id });
    }

    /// A node registered an incarnation.
    pub(in crate::world) fn registered(&mut self, g: usize, process: u32, answer: Registered) {
        if self.gateways[g].process != process || !self.gateways[g].is_up() {
            return;
        }
        let now = self.monotonic(g);
        let id = answer.incarnation.id;
        let Some(run) = self.process(g) else { return };
        if !run.sequence.hear_answer(answer.service_time, answer.asked, now) {
            // It is being asked for again.
            return;
        }
        let is_new = run.rotating == Some(id);
        let is_again = run.reregistering.remove(&id);
        if run.generation.is_some_and(|known| known < answer.generation) {
            self.hear_generation(g, answer.generation);
        } else if run.generation.is_none() {
            run.generation = Some(answer.generation);
            self.match_kept(g, answer.generation);
        }
        if is_again {
            self.reborn(g, answer.incarnation);
        } else if is_new {
            self.start_life(g, answer);
        }
    }

    fn start_life(&mut self, g: usize, answer: Registered) {
        let now = self.monotonic(g);
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        let id = answer.incarnation.id;
        let generation = run.generation.unwrap_or(answer.generation);
        gateway.files.insert(id, File::new(answer.incarnation, generation));
        run.rotating = None;
        run.lives.push(id);
        let life = Life(u32::try_from(run.lives.len() - 1).expect("a run is short"));
        run.own.listed.push(life);
        run.own.began = now;
        run.current = Some(life);
        note!(self, "g{} begins {}", g, answer.incarnation);
        self.list_changed(g);
    }

    fn reborn(&mut self, g: usize, incarnation: Incarnation) {
        note!(self, "g{} registered {} again", g, incarnation);
        if let Some(file) = self.gateways[g].files.get_mut(&incarnation.id) {
            file.set_born(incarnation);
        }
        self.list_changed(g);
    }

    /// Asks for an incarnation's birth again: the ledger was restored to a time before it.
    pub(super) fn register_again(&mut self, g: usize, id: Uuid) {
        let process = self.gateways[g].process;
        if self.process(g).is_some_and(|run| run.reregistering.insert(id)) {
            self.register(g, process, id);
        }
    }

    /// Numbers the list anew and tells every node.
    fn list_changed(&mut self, g: usize) {
        let now = self.monotonic(g);
        let Some(run) = self.process(g) else { return };
        run.own.number += 1;
        run.own.since = now;
        let up = run.nodes.iter().filter(|to| to.is_up).filter_map(|to| to.stream);
        let streams: Vec<u64> = up.collect();
        let own = Arc::new(self.own_list(g));
        for stream in streams {
            self.send_up(stream, Up::Own(Arc::clone(&own)));
        }
    }

    /// Reports incarnations as final that take no calls, have none open, and are durable.
    fn end_lives(&mut self, g: usize) {
        let gateway = &self.gateways[g];
        let Some(run) = &gateway.run else { return };
        let has_ended = |life: &&Life| {
            Some(**life) != run.current
                && !run.finals.contains(life)
                && run.open_calls(**life) == 0
                && gateway.files.get(&run.life(**life)).is_some_and(File::is_settled)
        };
        let ended: Vec<Life> = run.own.listed.iter().filter(has_ended).copied().collect();
        let Some(n) = run.nodes.iter().position(|to| to.is_up) else { return };
        for life in ended {
            let Some(run) = self.process(g) else { return };
            run.finals.insert(life);
            let id = run.life(life);
            self.send_report(g, n, id, Vec::new(), Vec::new(), Vec::new(), true);
        }
    }

    /// An incarnation's final report is durable: its units are others' from now on.
    pub(super) fn ended(&mut self, g: usize, id: Uuid) {
        let unix = self.gateways[g].clock.wall(self.now);
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        let Some(file) = gateway.files.get_mut(&id) else { return };
        if let Some(kept) = run.kept.iter_mut().find(|kept| kept.id == id) {
            kept.settle();
            file.mark_settled(unix);
            return;
        }
        let Some(place) = run.lives.iter().position(|each| *each == id) else { return };
        let life = Life(u32::try_from(place).expect("a run is short"));
        run.finals.remove(&life);
        if run.open_calls(life) > 0 || !file.is_settled() {
            return;
        }
        run.own.listed.retain(|listed| *listed != life);
        file.mark_settled(unix);
        run.kept.push(Kept::ended(id));
        note!(self, "g{} has ended {}", g, id.as_u128());
        self.list_changed(g);
    }

    pub(super) fn sweep(&mut self, g: usize) {
        let (now, monotonic) = (self.now, self.monotonic(g));
        let staleness = self.setup.staleness;
        self.leave_idle(g);
        let Some(run) = self.process(g) else { return };
        run.sweep_at = now + SWEEP_EVERY;
        run.freed.retain(|_, freed| monotonic.saturating_sub(*freed) <= staleness);
        self.unblock_kept(g);
        self.end_lives(g);
        let Some(run) = self.process(g) else { return };
        let is_old = monotonic.saturating_sub(run.own.began) >= ROTATE_EVERY;
        let is_due = std::mem::take(&mut run.wants_rotation) || is_old;
        if is_due && !run.own.listed.is_empty() {
            self.begin_life(g);
        }
        let gateway = &mut self.gateways[g];
        let Some(run) = &gateway.run else { return };
        for life in &run.own.listed {
            if let Some(file) = gateway.files.get_mut(&run.life(*life)) {
                file.sync();
            }
        }
    }

    /// A person asks for a new incarnation.
    pub(in crate::world) fn rotate(&mut self, g: usize) {
        if let Some(run) = self.process(g) {
            run.wants_rotation = true;
        }
    }
}
