//! Streams of a node: reports in, what is durable and what changed out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tollgate_metering::node::stream::{StreamLog, Taken};
use tollgate_metering::node::{AHEAD_MAX, FENCE, Part, StreamId, StreamMark};
use tollgate_metering::protocol::{OwnIncarnations, Report};
use tollgate_metering::{Incarnation, WalletId};

use super::super::network::{Reason, Said};
use super::super::storage::Work;
use super::super::{World, place_of, wallet_id};
use super::NodeStream;
use crate::fault::Fault;
use crate::trace::note;

// === impl World ===

impl World {
    pub(in crate::world) fn welcome(&mut self, stream: u64, n: usize, own: Arc<OwnIncarnations>) {
        if !self.nodes[n].is_serving() {
            return self.send_down(stream, Said::End);
        }
        let own_list = own.number;
        let own = self.told_own(own);
        let new = NodeStream {
            log: StreamLog::default(),
            mark: StreamMark::default(),
            retired: BTreeSet::new(),
            own,
            wallets: BTreeSet::new(),
        };
        self.nodes[n].streams.insert(stream, new);
        self.note_open_at_node(stream);
        let generation = self.nodes[n].generation;
        self.send_down(stream, Said::Welcome { generation, own_list });
    }

    /// The list as the machine is told it.
    fn told_own(&self, own: Arc<OwnIncarnations>) -> Arc<OwnIncarnations> {
        if self.is(Fault::OwnUnitsAsOthers) {
            return Arc::new(OwnIncarnations { number: own.number, incarnations: Vec::new() });
        }
        own
    }

    pub(in crate::world) fn hear_own(&mut self, stream: u64, n: usize, own: Arc<OwnIncarnations>) {
        let own = self.told_own(own);
        let node = &mut self.nodes[n];
        let Some(open) = node.streams.get_mut(&stream) else { return };
        for w in &open.wallets {
            if let Some(entry) = node.wallets.get_mut(w) {
                entry.machine.set_own(StreamId(stream), &own);
                node.stale.insert(*w);
            }
        }
        open.own = own;
    }

    pub(in crate::world) fn subscribe(&mut self, stream: u64, n: usize, wallets: &[usize]) {
        for w in wallets {
            let now = self.now;
            let node = &mut self.nodes[n];
            let Some(open) = node.streams.get_mut(&stream) else { return };
            open.wallets.insert(*w);
            let own = Arc::clone(&open.own);
            let entry = node.entry(*w, now);
            entry.machine.subscribe(StreamId(stream), own);
            entry.is_read_wanted = true;
            entry.last_used = now;
            let is_known = entry.machine.account().is_some();
            if is_known {
                self.tell(n, *w);
            }
            self.start_read(n, *w);
        }
    }

    pub(in crate::world) fn unsubscribe(&mut self, stream: u64, n: usize, wallets: &[usize]) {
        let now = self.now;
        let node = &mut self.nodes[n];
        let wall = node.wall(now);
        for w in wallets {
            if let Some(open) = node.streams.get_mut(&stream) {
                open.wallets.remove(w);
            }
            if let Some(entry) = node.wallets.get_mut(w) {
                entry.machine.unsubscribe(StreamId(stream), wall);
                entry.last_used = now;
            }
        }
    }

    /// The node's end of a stream is closed.
    pub(in crate::world) fn end_at_node(&mut self, stream: u64, n: usize) {
        let now = self.now;
        let node = &mut self.nodes[n];
        let wall = node.wall(now);
        let Some(open) = node.streams.remove(&stream) else { return };
        for w in open.wallets.iter().chain(&node.dirty) {
            if let Some(entry) = node.wallets.get_mut(w) {
                entry.machine.end_stream(StreamId(stream), wall);
                entry.last_used = now;
            }
        }
    }

    pub(in crate::world) fn take_report(&mut self, stream: u64, n: usize, report: Report) {
        let Report { incarnation, seq, .. } = report;
        if let Some(reason) = self.refused_reason(n, &report) {
            note!(self, "n{} refuses report {}", n, seq);
            return self.send_down(stream, Said::Refused { incarnation, seq, reason });
        }
        let now = self.now;
        let wall = self.nodes[n].wall(now);
        let is_watched = !self.is(Fault::PurgeWithoutFence) && !self.is(Fault::WriteWithoutAge);
        let is_fenced = is_watched && wall.since(incarnation.born) > FENCE;
        let node = &mut self.nodes[n];
        let Some(open) = node.streams.get_mut(&stream) else { return };
        let mark = match open.log.take(incarnation, seq, is_fenced, report.is_final) {
            Ok(mark) => mark,
            Err(error) => return self.blame("reports of a stream rise", || error.to_string()),
        };
        open.mark = mark;
        let is_retired =
            self.ledger.registry.get(&incarnation.id).is_some_and(|each| each.is_retired);
        let is_news = is_retired && open.retired.insert(incarnation.id);
        for (wallet, part) in split(&report, is_fenced) {
            let w = place_of(wallet);
            let entry = node.entry(w, now);
            entry.machine.report(StreamId(stream), mark.arrival, &part, wall);
            entry.last_used = now;
            entry.is_read_wanted |= entry.machine.account().is_none();
            node.dirty.insert(w);
            node.stale.insert(w);
            if part.draw.is_some() {
                node.looking.insert(w);
            }
        }
        if report.is_final {
            for (w, entry) in &mut node.wallets {
                entry.machine.end_incarnation(incarnation, mark.seq, wall);
                node.stale.insert(*w);
                node.dirty.insert(*w);
            }
        }
        if is_news {
            self.send_down(stream, Said::Refused { incarnation, seq, reason: Reason::Retired });
        }
    }

    fn refused_reason(&mut self, n: usize, report: &Report) -> Option<Reason> {
        if !self.nodes[n].is_serving() {
            return Some(Reason::NotServing);
        }
        let latest_us = self.nodes[n].wall(self.now).plus(AHEAD_MAX).0 * 1_000;
        if report.seq > latest_us {
            return Some(Reason::Ahead);
        }
        let Incarnation { born, id } = report.incarnation;
        if let Some(known) = self.nodes[n].incarnations.get(&id) {
            return (*known != born).then_some(Reason::Unregistered);
        }
        let is_away = self.now < self.nodes[n].cut_until || self.is_ledger_away();
        if is_away || self.ledger.generation != self.nodes[n].generation {
            return Some(Reason::NotServing);
        }
        let registry = &self.ledger.registry;
        let known = registry.iter().map(|(id, registered)| (*id, registered.born)).collect();
        self.nodes[n].incarnations = known;
        let known = self.nodes[n].incarnations.get(&id);
        (known != Some(&born)).then_some(Reason::Unregistered)
    }

    /// Tells each stream how far its reports are durable.
    pub(super) fn settle(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let mut through: BTreeMap<u64, u64> =
            node.streams.iter().map(|(stream, open)| (*stream, open.mark.arrival)).collect();
        let wallets = &node.wallets;
        node.dirty.retain(|w| {
            let Some(entry) = wallets.get(w) else { return false };
            let mut is_unsettled = false;
            for (stream, first) in entry.machine.unsettled_streams() {
                is_unsettled = true;
                if let Some(through) = through.get_mut(&stream.0) {
                    *through = (*through).min(first - 1);
                }
            }
            is_unsettled || entry.machine.is_dirty()
        });
        for (stream, through) in through {
            let Some(open) = self.nodes[n].streams.get_mut(&stream) else { continue };
            for taken in open.log.settle(through) {
                self.say_settled(stream, n, taken);
            }
        }
    }

    fn say_settled(&mut self, stream: u64, n: usize, taken: Taken) {
        let Taken { incarnation, seq, is_fenced, is_final, arrival: _ } = taken;
        if is_fenced {
            self.send_down(stream, Said::Refused { incarnation, seq, reason: Reason::Fenced });
        } else if !is_final {
            self.send_down(stream, Said::Durable { incarnation, seq });
        }
        if is_final && !is_fenced {
            if let Some(open) = self.nodes[n].streams.get_mut(&stream) {
                open.log.forget(incarnation);
            }
            let generation = self.nodes[n].generation;
            let process = self.nodes[n].process;
            self.ask(Some(n), generation, Work::End { n, process, stream, incarnation, seq });
        }
    }

    /// The registry has an incarnation's end, or not: only then it is called durable.
    pub(in crate::world) fn end_noted(
        &mut self,
        (n, process, stream): (usize, u32, u64),
        incarnation: Incarnation,
        seq: i64,
        is_noted: bool,
    ) {
        let node = &self.nodes[n];
        if !node.is_up() || node.process != process || !node.streams.contains_key(&stream) {
            return;
        }
        if is_noted {
            self.send_down(stream, Said::Durable { incarnation, seq });
        } else {
            self.close_at_node(stream, true);
        }
    }
}

/// A report wallet by wallet.
fn split(report: &Report, is_fenced: bool) -> BTreeMap<WalletId, Part> {
    let (incarnation, seq) = (report.incarnation, report.seq);
    let empty = || Part {
        incarnation,
        seq,
        registers: Vec::new(),
        apps: Vec::new(),
        held: None,
        draw: None,
        is_fenced,
    };
    let mut parts: BTreeMap<WalletId, Part> = BTreeMap::new();
    for register in &report.registers {
        let part = parts.entry(register.meter.wallet).or_insert_with(empty);
        part.registers.push(*register);
    }
    for (wallet, amount) in &report.holds {
        parts.entry(*wallet).or_insert_with(empty).held = Some(*amount);
    }
    for draw in &report.draws {
        parts.entry(draw.wallet).or_insert_with(empty).draw = Some(*draw);
    }
    parts
}

// === impl Node ===

impl super::Node {
    pub(super) fn entry(&mut self, w: usize, now: std::time::Duration) -> &mut super::Entry {
        self.wallets.entry(w).or_insert_with(|| super::Entry {
            machine: tollgate_metering::node::NodeWallet::new(wallet_id(w)),
            burn: tollgate_metering::node::need::Burn::default(),
            persist_at: now,
            read_at: now,
            is_reading: false,
            is_read_wanted: false,
            last_used: now,
            strict: super::strict::Strict::default(),
        })
    }
}
