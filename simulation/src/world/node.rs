//! A balance-sync node: what production's sessions, shards and guard do with the machines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::node::need::Burn;
use tollgate_metering::node::stream::StreamLog;
use tollgate_metering::node::{NodeWallet, StreamMark};
use tollgate_metering::protocol::OwnIncarnations;
use tollgate_metering::{Incarnation, UnixMillis};
use uuid::Uuid;

use super::clock::Clock;
use super::gateway::Asked;
use super::storage::Work;
use super::{Event, World};
use crate::fault::Fault;
use crate::trace::note;

mod session;
mod shard;
mod strict;

/// A node whose clock is further off does not serve.
const CLOCK_OFFSET_MAX: Duration = Duration::from_secs(60);
/// How often clock and generation of the ledger are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How soon a ledger that was not reached yet is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How often housekeeping goes over the wallets.
const KEEP_EVERY: Duration = Duration::from_millis(1_500);

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) process: u32,
    pub(crate) clock: Clock,
    /// Wall time that agreed with the ledger's, and when; between two such looks it goes on as
    /// monotonic time does.
    confirmed: Option<(UnixMillis, Duration)>,
    skew_ms: i64,
    pub(crate) paused_since: Option<Duration>,
    pub(crate) paused_until: Duration,
    /// It does not reach the ledger until then.
    pub(crate) cut_until: Duration,
    standing: Standing,
    /// The ledger that it knows.
    pub(crate) generation: u32,
    era: u64,
    streams: BTreeMap<u64, NodeStream>,
    pub(crate) wallets: BTreeMap<usize, Entry>,
    stale: BTreeSet<usize>,
    dirty: BTreeSet<usize>,
    /// Strict wallets that are to be looked at.
    looking: BTreeSet<usize>,
    incarnations: BTreeMap<Uuid, UnixMillis>,
    retry_at: Duration,
    look_at: Duration,
    keep_at: Duration,
    usage_at: Duration,
}

/// Whether a node serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The process is not there.
    Down,
    Starting,
    Serving,
    ClockOff,
}

/// One stream.
#[derive(Debug)]
struct NodeStream {
    log: StreamLog,
    mark: StreamMark,
    /// Retired incarnations of which it was told so.
    retired: BTreeSet<Uuid>,
    own: Arc<OwnIncarnations>,
    wallets: BTreeSet<usize>,
}

/// One wallet, and when it is due.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) machine: NodeWallet,
    burn: Burn,
    persist_at: Duration,
    read_at: Duration,
    is_reading: bool,
    is_read_wanted: bool,
    last_used: Duration,
    strict: strict::Strict,
}

// === impl Node ===

impl Node {
    pub(crate) fn new(skew_ms: i64) -> Node {
        let zero = Duration::ZERO;
        Node {
            process: 0,
            clock: Clock::new(UnixMillis(0), 0, 0),
            confirmed: None,
            skew_ms,
            paused_since: None,
            paused_until: zero,
            cut_until: zero,
            standing: Standing::Down,
            generation: 0,
            era: 0,
            streams: BTreeMap::new(),
            wallets: BTreeMap::new(),
            stale: BTreeSet::new(),
            dirty: BTreeSet::new(),
            looking: BTreeSet::new(),
            incarnations: BTreeMap::new(),
            retry_at: zero,
            look_at: zero,
            keep_at: zero,
            usage_at: zero,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.standing != Standing::Down
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.standing == Standing::Serving
    }

    /// The time that it works with and tells.
    pub(crate) fn wall(&self, now: Duration) -> UnixMillis {
        let wall = self.clock.wall(now);
        let Some((confirmed, at)) = self.confirmed else { return wall };
        let even = confirmed.plus(self.clock.monotonic(now).saturating_sub(at));
        let is_even = wall.since(even).max(even.since(wall)) <= CLOCK_OFFSET_MAX;
        if is_even { wall } else { even }
    }
}

// === impl World ===

impl World {
    pub(super) fn start_node(&mut self, n: usize, off_ms: i64) {
        if self.nodes[n].is_up() {
            return;
        }
        let (old, now) = (&self.nodes[n], self.now);
        let mut node = Node::new(old.skew_ms);
        node.process = old.process + 1;
        node.era = old.era;
        node.cut_until = old.cut_until;
        node.clock = Clock::new(self.setup.start, old.skew_ms + off_ms, 0);
        node.standing = Standing::Starting;
        node.keep_at = now + KEEP_EVERY;
        let process = node.process;
        self.nodes[n] = node;
        note!(self, "n{} starts, clock off by {} ms", n, self.nodes[n].clock.off_ms);
        self.look(n);
        self.after(Duration::ZERO, Event::NodeTick { n, process });
    }

    /// The process ends, and with it all that it knew.
    pub(super) fn end_node(&mut self, n: usize) {
        note!(self, "n{} dies", n);
        self.nodes[n].standing = Standing::Down;
        self.nodes[n].paused_until = self.now;
        self.nodes[n].paused_since = None;
        let streams: Vec<u64> = self.nodes[n].streams.keys().copied().collect();
        for stream in streams {
            self.close_at_node(stream, true);
        }
    }

    pub(super) fn node_tick(&mut self, n: usize, process: u32) {
        if !self.nodes[n].is_up() || self.nodes[n].process != process {
            return;
        }
        self.nodes[n].paused_since = None;
        let now = self.now;
        let silent: Vec<u64> = self.nodes[n]
            .streams
            .keys()
            .copied()
            .filter(|each| self.is_silent(*each, false))
            .collect();
        for stream in silent {
            note!(self, "n{} gives stream {} up", n, stream);
            self.close_at_node(stream, true);
        }
        if self.nodes[n].look_at <= now {
            self.look(n);
        }
        if self.nodes[n].standing != Standing::Starting {
            self.tick_shard(n);
        }
        if self.nodes[n].is_serving() && self.nodes[n].keep_at <= now {
            self.nodes[n].keep_at = now + KEEP_EVERY;
            for w in 0..self.setup.wallets.len() {
                self.tend(n, w);
            }
        }
        let pace = self.setup.pace(now).unwrap_or(self.setup.tick);
        let first_busy = self.next_busy(pace);
        self.after(first_busy, Event::NodeTick { n, process });
    }

    /// The next tick, which does not sleep into a busy phase.
    pub(super) fn next_busy(&self, pace: Duration) -> Duration {
        let ends = self.setup.phases.iter().map(|phase| phase.until);
        let next = ends.filter(|until| *until > self.now).min();
        next.map_or(pace, |until| pace.min(until - self.now))
    }

    /// Looks at the ledger's clock and generation.
    fn look(&mut self, n: usize) {
        self.nodes[n].look_at = self.now + LOOK_EVERY;
        let before = self.nodes[n].clock.wall(self.now);
        let process = self.nodes[n].process;
        let work = Work::Look { n, process, before, clock: UnixMillis(0), generation: 0 };
        self.ask(Some(n), 0, work);
    }

    /// What the ledger's clock and generation are.
    pub(super) fn looked(
        &mut self,
        n: usize,
        process: u32,
        before: UnixMillis,
        found: Option<(UnixMillis, u32)>,
    ) {
        if !self.nodes[n].is_up() || self.nodes[n].process != process {
            return;
        }
        let Some((ledger, generation)) = found else {
            if self.nodes[n].standing == Standing::Starting {
                self.nodes[n].look_at = self.now + LOOK_AGAIN;
            }
            return;
        };
        let after = self.nodes[n].clock.wall(self.now);
        if self.nodes[n].generation != generation {
            note!(self, "n{} meets generation {}", n, generation);
            if self.nodes[n].generation != 0 {
                self.forget_all(n);
            }
            self.nodes[n].generation = generation;
        }
        let offset = before.since(ledger).max(ledger.since(after));
        let is_off = offset > CLOCK_OFFSET_MAX && !self.is(Fault::WrongClockServes);
        if is_off {
            note!(self, "n{} has a wrong clock", n);
            self.nodes[n].standing = Standing::ClockOff;
            self.end_streams(n);
        } else {
            if !self.is(Fault::WrongClockServes) {
                let monotonic = self.nodes[n].clock.monotonic(self.now);
                self.nodes[n].confirmed = Some((after, monotonic));
            }
            self.nodes[n].standing = Standing::Serving;
        }
    }

    /// A node is told that an account changed.
    pub(super) fn wake(&mut self, n: usize, w: usize) {
        if !self.nodes[n].is_up() || self.nodes[n].paused_until > self.now {
            return;
        }
        if let Some(entry) = self.nodes[n].wallets.get_mut(&w) {
            entry.is_read_wanted = true;
            self.start_read(n, w);
        }
    }

    fn forget_all(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.era += 1;
        node.wallets.clear();
        node.dirty.clear();
        node.stale.clear();
        node.looking.clear();
        node.incarnations.clear();
        node.streams.values_mut().for_each(|stream| stream.wallets.clear());
        self.end_streams(n);
    }

    fn end_streams(&mut self, n: usize) {
        let streams: Vec<u64> = self.nodes[n].streams.keys().copied().collect();
        for stream in streams {
            self.close_at_node(stream, true);
        }
    }

    /// A gateway asks for an incarnation's birth.
    pub(super) fn register_asked(&mut self, n: usize, g: usize, asked: Asked, id: Uuid) {
        if self.is_cut(g, n, true) || !self.nodes[n].is_serving() {
            return;
        }
        let born = self.nodes[n].wall(self.now);
        let (process, generation) = (self.nodes[n].process, self.nodes[n].generation);
        self.ask(Some(n), generation, Work::Register { n, process, g, asked, id, born });
    }

    /// The ledger has an incarnation's birth.
    pub(super) fn register_done(
        &mut self,
        (n, process): (usize, u32),
        g: usize,
        asked: Asked,
        incarnation: Incarnation,
    ) {
        if !self.nodes[n].is_up() || self.nodes[n].process != process || self.is_cut(g, n, false) {
            return;
        }
        let node = &mut self.nodes[n];
        node.incarnations.insert(incarnation.id, incarnation.born);
        let answer = super::gateway::Registered {
            asked: asked.at,
            incarnation,
            generation: node.generation,
            service_time: node.wall(self.now),
        };
        let delay = self.delay(g, n);
        self.after(delay, Event::Registered { g, process: asked.process, answer });
    }
}
