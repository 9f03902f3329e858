//! The world: everything that the seed decides, moved forward one event at a time.
//!
//! One queue orders events by time, and by the order in which they were made where times are
//! equal. Parts (gateways, nodes, the ledger, people) do nothing but in events; what they say to
//! each other is an event later. A process that is paused gets its events when it goes on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::{Money, RateBook, UnixMillis, WalletId};

use crate::dice::Dice;
use crate::fault::Fault;
use crate::schedule::{Schedule, Setup};
use crate::trace::{Trace, note};

mod book;
mod checks;
mod clock;
mod costs;
mod gateway;
mod injected;
mod ledger;
mod network;
mod node;
mod prices;
mod quiet;
mod storage;
mod truth;

pub use costs::Costs;
pub use truth::Violation;

use gateway::Gateway;
use ledger::Ledger;
use network::{Down, Link, Stream, Up};
use node::Node;
use storage::Op;
use truth::Truth;

/// Events of one run; a run with more goes in circles.
const EVENTS_MAX: u64 = 2_000_000;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first thing that must not be.
    pub violation: Option<Violation>,
    /// Hash of all that happened.
    pub hash: u64,
    /// All that happened, where it was asked for.
    pub lines: Vec<String>,
    /// What it cost.
    pub costs: Costs,
    /// Events that were handled.
    pub events: u64,
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Duration,
    queue: BinaryHeap<Reverse<Queued>>,
    order: u64,
    setup: Arc<Setup>,
    schedule: Arc<Schedule>,
    fault: Option<Fault>,
    gateways: Vec<Gateway>,
    nodes: Vec<Node>,
    /// By gateway, then node.
    links: Vec<Link>,
    streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    ledger: Ledger,
    backup: Option<storage::Backup>,
    ledger_trouble: Option<(crate::schedule::Trouble, Duration)>,
    ops: BTreeMap<u64, Op>,
    next_op: u64,
    tasks: BTreeMap<u64, book::Task>,
    next_task: u64,
    rates: RateBook,
    tariffs: prices::Tariffs,
    truth: Truth,
    dice: WorldDice,
    is_quiet: bool,
    pub(crate) trace: Trace,
    costs: Costs,
    violation: Option<Violation>,
}

/// Dice of parts that are no process.
struct WorldDice {
    ledger: Dice,
    people: Dice,
}

/// Something that will happen.
#[derive(Debug)]
struct Queued {
    at: Duration,
    order: u64,
    event: Event,
}

/// What happens.
#[derive(Debug)]
enum Event {
    GatewayTick { g: usize, process: u32 },
    NodeTick { n: usize, process: u32 },
    Call { g: usize, process: u32 },
    CallEnd { g: usize, process: u32, call: u64 },
    Learn { g: usize, process: u32 },
    Start { g: usize },
    Register { n: usize, g: usize, asked: gateway::Asked, id: uuid::Uuid },
    Registered { g: usize, process: u32, answer: gateway::Registered },
    RegisterAgain { g: usize, process: u32, id: uuid::Uuid },
    Up { stream: u64, message: Box<Up> },
    Down { stream: u64, message: Box<Down> },
    Apply { op: u64, step: u8 },
    Answer { op: u64 },
    Task { task: u64 },
    NodeStart { n: usize, off_ms: i64 },
    Injected { place: usize },
    NodeSet { n: usize },
    Quiet { step: u8 },
}

// === impl Queued ===

impl PartialEq for Queued {
    fn eq(&self, other: &Queued) -> bool {
        self.order == other.order
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Queued) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Queued) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// The id of the wallet at a place.
fn wallet_id(w: usize) -> WalletId {
    WalletId(uuid::Uuid::from_u128(1_000 + w as u128))
}

/// The place of a wallet.
fn place_of(wallet: WalletId) -> usize {
    usize::try_from(wallet.0.as_u128() - 1_000).expect("wallets of a run are counted from 1000")
}

// === impl World ===

impl World {
    /// Runs a schedule to its end, or to the first thing that must not be.
    pub(crate) fn run(schedule: &Schedule, fault: Option<Fault>, has_lines: bool) -> Outcome {
        let mut world = World::new(schedule, fault, has_lines);
        world.begin();
        let mut events = 0;
        while world.violation.is_none()
            && let Some(Reverse(queued)) = world.queue.pop()
        {
            events += 1;
            if events > EVENTS_MAX {
                world.blame("a run ends", || format!("{EVENTS_MAX} events and no end"));
            }
            world.now = queued.at;
            world.handle(queued.order, queued.event);
        }
        let World { violation, trace, costs, .. } = world;
        Outcome { violation, hash: trace.hash(), lines: trace.into_lines(), costs, events }
    }

    fn new(schedule: &Schedule, fault: Option<Fault>, has_lines: bool) -> World {
        let setup = Arc::new(schedule.setup.clone());
        let tariffs = prices::Tariffs::new(&setup);
        let seed = schedule.seed;
        let gateways = (0..setup.gateways.len()).map(|g| Gateway::new(&setup, seed, g)).collect();
        let nodes = (0..setup.nodes.len()).map(|n| Node::new(setup.nodes[n])).collect();
        let link = |number| Link::new(Dice::new(seed, "link", number));
        let links = (0..setup.gateways.len() * setup.nodes.len()).map(|place| link(place as u64));
        let accounts = (0..setup.wallets.len()).map(|w| prices::opened(&setup, w));
        World {
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            order: 0,
            schedule: Arc::new(schedule.clone()),
            fault,
            gateways,
            nodes,
            links: links.collect(),
            streams: BTreeMap::new(),
            next_stream: 0,
            ledger: Ledger::new(accounts),
            backup: None,
            ledger_trouble: None,
            ops: BTreeMap::new(),
            next_op: 0,
            tasks: BTreeMap::new(),
            next_task: 0,
            rates: tariffs.rates(),
            truth: Truth::new(&setup),
            tariffs,
            dice: WorldDice {
                ledger: Dice::new(seed, "ledger", 0),
                people: Dice::new(seed, "people", 0),
            },
            is_quiet: false,
            trace: if has_lines { Trace::with_lines() } else { Trace::default() },
            costs: Costs::default(),
            violation: None,
            setup,
        }
    }

    fn begin(&mut self) {
        for w in 0..self.setup.wallets.len() {
            self.note_given(w);
        }
        for n in 0..self.nodes.len() {
            self.after(Duration::ZERO, Event::NodeStart { n, off_ms: 0 });
        }
        for g in 0..self.gateways.len() {
            self.after(Duration::from_millis(5), Event::Start { g });
        }
        for w in 0..self.setup.wallets.len() {
            self.pay_in(w, self.setup.wallets[w].credit, 1);
        }
        for place in 0..self.schedule.events.len() {
            self.at(self.schedule.events[place].at, Event::Injected { place });
        }
        self.at(self.setup.end(), Event::Quiet { step: 0 });
    }

    fn handle(&mut self, order: u64, event: Event) {
        let Some(event) = self.unless_paused(order, event) else { return };
        match event {
            Event::GatewayTick { g, process } => self.gateway_tick(g, process),
            Event::NodeTick { n, process } => self.node_tick(n, process),
            Event::Call { g, process } => self.call(g, process),
            Event::CallEnd { g, process, call } => self.end_call(g, process, call),
            Event::Learn { g, process } => self.learn(g, process),
            Event::Start { g } => self.start_gateway(g),
            Event::Register { n, g, asked, id } => self.register_asked(n, g, asked, id),
            Event::Registered { g, process, answer } => self.registered(g, process, answer),
            Event::RegisterAgain { g, process, id } => self.register(g, process, id),
            Event::Up { stream, message } => self.up_arrives(stream, *message),
            Event::Down { stream, message } => self.down_arrives(stream, *message),
            Event::Apply { op, step } => self.apply(op, step),
            Event::Answer { op } => self.answer(op),
            Event::Task { task } => self.step_task(task),
            Event::NodeStart { n, off_ms } => self.start_node(n, off_ms),
            Event::Injected { place } => self.inject(place),
            Event::NodeSet { n } => self.set_node(n),
            Event::Quiet { step } => self.quieten(step),
        }
    }

    /// Puts an event off whose process stands still.
    fn unless_paused(&mut self, order: u64, event: Event) -> Option<Event> {
        let until = match &event {
            Event::GatewayTick { g, .. }
            | Event::Call { g, .. }
            | Event::CallEnd { g, .. }
            | Event::Learn { g, .. }
            | Event::Registered { g, .. }
            | Event::RegisterAgain { g, .. } => self.gateways[*g].paused_until,
            Event::NodeTick { n, .. } | Event::Register { n, .. } => self.nodes[*n].paused_until,
            Event::Up { stream, .. } => self
                .streams
                .get(stream)
                .map_or(Duration::ZERO, |each| self.nodes[each.n].paused_until),
            Event::Down { stream, .. } => self
                .streams
                .get(stream)
                .map_or(Duration::ZERO, |each| self.gateways[each.g].paused_until),
            Event::Answer { op } => self.asker_paused_until(*op),
            Event::Start { .. }
            | Event::Apply { .. }
            | Event::Task { .. }
            | Event::NodeStart { .. }
            | Event::Injected { .. }
            | Event::NodeSet { .. }
            | Event::Quiet { .. } => Duration::ZERO,
        };
        if until <= self.now {
            return Some(event);
        }
        // It keeps its order: what waits for one process happens in the order in which it came.
        self.queue.push(Reverse(Queued { at: until, order, event }));
        None
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Queued { at: at.max(self.now), order: self.order, event }));
    }

    fn after(&mut self, span: Duration, event: Event) {
        self.at(self.now + span, event);
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The ledger's clock.
    fn wall(&self) -> UnixMillis {
        self.setup.start.plus(self.now)
    }

    /// Notes the first thing that must not be.
    fn blame(&mut self, rule: &'static str, found: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let found = found();
            note!(self, "VIOLATION of \"{}\": {}", rule, found);
            self.violation = Some(Violation { at: self.now, rule, found });
        }
    }

    /// Notes what the account has been given, under the version that says so.
    fn note_given(&mut self, w: usize) {
        let stored = &self.ledger.wallets[w];
        let header = &stored.account.header;
        let key = (header.generation, header.version);
        let debits: i128 = stored
            .entries
            .values()
            .filter(|entry| entry.kind.is_settled() && entry.meter.is_none())
            .map(|entry| entry.amount.nanos())
            .sum();
        let given = header.credited.nanos() - debits;
        self.truth.wallets[w].given.insert(key, given);
    }

    fn amount(nanos: i128) -> Money {
        truth::money(nanos)
    }
}
