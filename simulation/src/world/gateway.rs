//! A gateway: what production's cache and hub do with the machines.
//!
//! A process begins with the files that it finds, registers an incarnation, and goes from tick to
//! tick: connect, report, sweep. What it knew dies with it; its files and its place in the network
//! do not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::protocol::OwnIncarnations;
use tollgate_metering::wallet::{Hold, Life, Wallet};
use tollgate_metering::{BillingType, Incarnation, Sequence, UnixMillis};
use uuid::Uuid;

use super::clock::Clock;
use super::network::Up;
use super::{Event, World};
use crate::dice::Dice;
use crate::fault::Fault;
use crate::schedule::{Death, Setup};
use crate::trace::note;

mod calls;
mod file;
mod incoming;
mod kept;
mod lives;
mod modes;
mod report;

use file::{File, Slot, Spend};
use kept::Kept;

/// How often files are synced, idle wallets looked at and incarnations ended.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) process: u32,
    pub(crate) clock: Clock,
    pub(crate) paused_since: Option<Duration>,
    pub(crate) paused_until: Duration,
    dice: Dice,
    /// Its disk.
    pub(crate) files: BTreeMap<Uuid, File>,
    pub(crate) made: u128,
    /// What it has heard of the catalogue.
    pub(crate) revision: u32,
    pub(crate) billing: Vec<BillingType>,
    pub(crate) run: Option<Process>,
}

/// What dies with a process.
#[derive(Debug)]
pub(crate) struct Process {
    sequence: Sequence,
    generation: Option<u32>,
    pub(crate) wallets: Vec<Entry>,
    /// By their place: the incarnations of this process.
    pub(crate) lives: Vec<Uuid>,
    pub(crate) own: Own,
    current: Option<Life>,
    /// The incarnation that is being registered.
    rotating: Option<Uuid>,
    wants_rotation: bool,
    finals: BTreeSet<Life>,
    reregistering: BTreeSet<Uuid>,
    kept: Vec<Kept>,
    /// Wallets of which units of earlier incarnations became durable, and when.
    freed: BTreeMap<usize, Duration>,
    nodes: Vec<ToNode>,
    /// Modes that are to be acknowledged, by node and wallet.
    modes: BTreeMap<(usize, usize), u64>,
    pub(crate) calls: BTreeMap<u64, Call>,
    next_call: u64,
    sweep_at: Duration,
}

/// The list of own incarnations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    pub(crate) number: u64,
    pub(crate) since: Duration,
    pub(crate) listed: Vec<Life>,
    began: Duration,
}

/// One wallet in memory.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) wallet: Wallet,
    node: Option<usize>,
    is_changed: bool,
    pub(crate) is_blocked: bool,
    /// Zero while nobody uses it.
    used_at: Duration,
}

/// An open call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) w: usize,
    pub(crate) hold: Hold,
    id: Uuid,
}

/// One node as a gateway sees it.
#[derive(Debug, Default)]
struct ToNode {
    stream: Option<u64>,
    is_up: bool,
    opened_at: Duration,
    pending: VecDeque<Pending>,
    sent: VecDeque<(i64, Duration)>,
    /// Wallets whose newest snapshot was not taken whole; whether another one was asked for.
    doubtful: BTreeMap<usize, bool>,
    subscribe: BTreeSet<usize>,
    unsubscribe: BTreeSet<usize>,
}

/// A report that was not called durable yet.
#[derive(Clone, Debug)]
struct Pending {
    id: Uuid,
    seq: i64,
    registers: Vec<(u32, Spend)>,
    wallets: Vec<usize>,
    is_final: bool,
}

/// Which process of a gateway asked, and when by its monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) process: u32,
    pub(crate) at: Duration,
}

/// A node's answer to a gateway that registers an incarnation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered {
    /// When it was asked for, by the gateway's monotonic clock.
    pub(crate) asked: Duration,
    pub(crate) incarnation: Incarnation,
    pub(crate) generation: u32,
    pub(crate) service_time: UnixMillis,
}

// === impl Gateway ===

impl Gateway {
    pub(crate) fn new(setup: &Setup, seed: u64, g: usize) -> Gateway {
        let each = &setup.gateways[g];
        Gateway {
            process: 0,
            clock: Clock::new(setup.start, each.skew_ms, each.drift_ppm),
            paused_since: None,
            paused_until: Duration::ZERO,
            dice: Dice::new(seed, "gateway", g as u64),
            files: BTreeMap::new(),
            made: 0,
            revision: 1,
            billing: vec![BillingType::Prepaid; setup.wallets.len()],
            run: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.run.is_some()
    }
}

// === impl Process ===

impl Process {
    fn new(setup: &Setup, now: Duration) -> Process {
        let nodes = (0..setup.nodes.len()).map(|_| ToNode::default());
        let wallets = (0..setup.wallets.len()).map(|_| Entry::default());
        Process {
            sequence: Sequence::default(),
            generation: None,
            wallets: wallets.collect(),
            lives: Vec::new(),
            own: Own { since: now, ..Own::default() },
            current: None,
            rotating: None,
            wants_rotation: false,
            finals: BTreeSet::new(),
            reregistering: BTreeSet::new(),
            kept: Vec::new(),
            freed: BTreeMap::new(),
            nodes: nodes.collect(),
            modes: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            sweep_at: Duration::ZERO,
        }
    }

    pub(crate) fn life(&self, life: Life) -> Uuid {
        self.lives[life.0 as usize]
    }

    /// The ledger that it knows.
    pub(crate) fn generation(&self) -> Option<u32> {
        self.generation
    }

    /// Open calls of an incarnation.
    fn open_calls(&self, life: Life) -> usize {
        self.calls.values().filter(|call| call.hold.life == life).count()
    }

    /// The node of a wallet among those that serve.
    fn route(&self, w: usize) -> Option<usize> {
        let up = (0..self.nodes.len()).filter(|n| self.nodes[*n].is_up);
        up.max_by_key(|n| {
            let mixed = (*n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                ^ (w as u64 + 1).wrapping_mul(0xff51_afd7_ed55_8ccd);
            (mixed ^ (mixed >> 29)).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
        })
    }
}

// === impl World ===

impl World {
    pub(super) fn process(&mut self, g: usize) -> Option<&mut Process> {
        self.gateways[g].run.as_mut()
    }

    /// A gateway's monotonic clock.
    pub(super) fn monotonic(&self, g: usize) -> Duration {
        self.gateways[g].clock.monotonic(self.now)
    }

    pub(super) fn start_gateway(&mut self, g: usize) {
        if self.gateways[g].is_up() {
            return;
        }
        let now = self.monotonic(g);
        let is_unsynced = self.is(Fault::RecoveredBeforeSynced);
        let gateway = &mut self.gateways[g];
        gateway.process += 1;
        gateway.paused_since = None;
        let mut process = Process::new(&self.setup, now);
        for (id, file) in &mut gateway.files {
            if !is_unsynced {
                file.sync();
            }
            process.kept.push(Kept::found(*id, file));
        }
        gateway.run = Some(process);
        let process = gateway.process;
        note!(self, "g{} starts with {} files", g, self.gateways[g].files.len());
        self.block_kept(g);
        self.begin_life(g);
        self.after(Duration::ZERO, Event::GatewayTick { g, process });
        self.next_call(g, process);
        self.after(Duration::ZERO, Event::Learn { g, process });
    }

    /// The process ends; calls that were open die unanswered.
    pub(super) fn end_gateway(&mut self, g: usize, death: Death) {
        let Some(run) = self.gateways[g].run.take() else { return };
        note!(self, "g{} dies: {:?}", g, Spelled(death));
        for (call, each) in &run.calls {
            self.truth.wallets[each.w].end_hold((g, *call));
        }
        let is_said = death == Death::Kill;
        for to in &run.nodes {
            if let Some(stream) = to.stream {
                self.close_at_gateway(stream, is_said);
            }
        }
        let gateway = &mut self.gateways[g];
        gateway.paused_until = self.now;
        gateway.paused_since = None;
        match death {
            // The kernel has what was written, whether the disk has it or not.
            Death::Kill => {}
            Death::Power => {
                for (id, file) in &mut gateway.files {
                    file.cut_power(&mut gateway.dice);
                    self.truth.lose(*id, &file.units());
                }
                self.check_files(g);
            }
            Death::Disk => {
                for id in std::mem::take(&mut gateway.files).into_keys() {
                    self.truth.lose(id, &BTreeMap::new());
                }
            }
        }
    }

    pub(super) fn gateway_tick(&mut self, g: usize, process: u32) {
        if !self.gateways[g].is_up() || self.gateways[g].process != process {
            return;
        }
        self.gateways[g].paused_since = None;
        for n in 0..self.nodes.len() {
            self.keep_stream(g, n);
        }
        if self.is_quiet {
            (0..self.setup.wallets.len()).for_each(|w| self.use_wallet(g, w));
        }
        self.report_changes(g);
        self.answer_modes(g);
        let now = self.now;
        if self.process(g).is_some_and(|run| run.sweep_at <= now) {
            self.sweep(g);
        }
        self.send_subscriptions(g);
        let pace = self.setup.pace(now).unwrap_or(self.setup.sync);
        let span = self.next_busy(pace);
        self.after(span, Event::GatewayTick { g, process });
    }

    /// Gives a silent stream up, and opens one where there is none.
    fn keep_stream(&mut self, g: usize, n: usize) {
        let Some(to) = self.process(g).map(|run| &run.nodes[n]) else { return };
        let (stream, is_up, opened_at) = (to.stream, to.is_up, to.opened_at);
        if let Some(stream) = stream {
            let is_late = !is_up && opened_at + self.setup.keepalive <= self.now;
            if !is_late && !self.is_silent(stream, true) {
                return;
            }
            note!(self, "g{} gives stream {} up", g, stream);
            self.lose_stream(g, n, true);
        }
        let own = self.own_list(g);
        if own.incarnations.is_empty() {
            return;
        }
        let stream = self.open_stream(g, n);
        let now = self.now;
        if let Some(run) = self.process(g) {
            run.nodes[n] = ToNode { stream: Some(stream), opened_at: now, ..ToNode::default() };
        }
        self.send_up(stream, Up::Hello(Arc::new(own)));
    }

    /// A stream has ended: what it did not call durable is reported again.
    pub(super) fn lose_stream(&mut self, g: usize, n: usize, is_said: bool) {
        let Some(run) = self.process(g) else { return };
        let old = std::mem::take(&mut run.nodes[n]);
        if let Some(stream) = old.stream {
            self.close_at_gateway(stream, is_said);
        }
        self.health_changed(g);
        self.report_again(g, old.pending);
    }

    /// Gives every wallet in use to its node among those that serve now.
    fn health_changed(&mut self, g: usize) {
        let Some(run) = self.process(g) else { return };
        for w in 0..run.wallets.len() {
            let (before, now) = (run.wallets[w].node, run.route(w));
            if before == now || (before.is_none() && run.wallets[w].used_at == Duration::ZERO) {
                continue;
            }
            if let Some(before) = before {
                run.nodes[before].unsubscribe.insert(w);
            }
            if let Some(now) = now.filter(|_| !run.wallets[w].is_blocked) {
                run.nodes[now].subscribe.insert(w);
            }
            run.wallets[w].node = now;
            run.wallets[w].is_changed = true;
        }
    }

    pub(super) fn own_list(&mut self, g: usize) -> OwnIncarnations {
        let gateway = &self.gateways[g];
        let Some(run) = &gateway.run else { return OwnIncarnations::default() };
        let incarnations =
            run.own.listed.iter().filter_map(|life| {
                gateway.files.get(&run.life(*life)).map(|file| file.incarnation)
            });
        OwnIncarnations { number: run.own.number, incarnations: incarnations.collect() }
    }

    fn send_subscriptions(&mut self, g: usize) {
        let mut messages = Vec::new();
        let Some(run) = self.process(g) else { return };
        for to in run.nodes.iter_mut().filter(|to| to.is_up) {
            let Some(stream) = to.stream else { continue };
            let take =
                |set: &mut BTreeSet<usize>| std::mem::take(set).into_iter().collect::<Vec<_>>();
            let (left, joined) = (take(&mut to.unsubscribe), take(&mut to.subscribe));
            // What an earlier subscription is told confirms nothing from now on.
            to.doubtful.extend(joined.iter().map(|w| (*w, true)));
            if !left.is_empty() {
                messages.push((stream, Up::Unsubscribe(left)));
            }
            if !joined.is_empty() {
                messages.push((stream, Up::Subscribe(joined)));
            }
        }
        for (stream, message) in messages {
            self.send_up(stream, message);
        }
    }

    /// News of the catalogue reach the gateway.
    pub(super) fn learn(&mut self, g: usize, process: u32) {
        if self.gateways[g].process == process {
            self.gateways[g].revision = self.tariffs.published;
            self.gateways[g].billing.clone_from(&self.tariffs.billing);
        }
    }
}

/// A value in the trace by its words.
#[derive(Clone, Copy)]
pub(super) struct Spelled<T>(pub(super) T);

impl<T: std::fmt::Debug> std::fmt::Debug for Spelled<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: std::fmt::Debug> std::hash::Hash for Spelled<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        format!("{:?}", self.0).hash(state);
    }
}

/// Slots that a report carries.
fn reported(slot: &Slot, is_recovered: bool) -> tollgate_metering::protocol::ReportedRegister {
    tollgate_metering::protocol::ReportedRegister {
        meter: slot.meter,
        units: tollgate_metering::Units::from_register(slot.spend.units),
        is_recovered,
        excess: tollgate_metering::Units::from_register(slot.spend.excess),
    }
}
