//! The one task that owns the bookkeeping of the exchange: takes events, reports what changed as it is due, acknowledges changes of
//! overspend policies, sweeps what is idle.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use tollgate_metering::node::need::{self, Bounds};
use tollgate_metering::wallet::{Life, OwnList};
use tollgate_metering::{Incarnation, Sequence, UnixMillis, WalletId};
use tollgate_proto::v1;
use tollgate_proto::v1::gateway_message::Message as ToNode;
use tracing::{error, info};
use uuid::Uuid;

use super::connection::{self, Stream, StreamEvent};
use super::metrics::SyncMetrics;
use super::nodes::{Node, NodeClient, Pending, route};
use super::{Command, Status};
use crate::caller_cache::{CallerCache, Forgotten};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::spend_file::{SpendFile, SpendFolder};
use crate::waits::Waits;
use crate::wallet_cache::{Feed, WalletCache};

pub(crate) use self::lives::unborn;

mod incoming;
mod kept;
mod lives;
mod modes;
mod paces;
mod report;
mod sweep;

/// Events of all streams that wait for the hub.
const EVENTS_MAX: usize = 4_096;
/// Wallets in one subscription.
const SUBSCRIBE_MAX: usize = 10_000;
/// How often idle wallets, ended incarnations and metrics are looked after.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What the hub works with.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) gateway: String,
    /// How soon and how late a wallet is reported.
    pub(crate) bounds: Bounds,
    pub(crate) retention: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Disk,
    pub(crate) wallets: Arc<WalletCache>,
    pub(crate) callers: Arc<CallerCache>,
    pub(crate) wallet_waits: Arc<Waits<WalletId>>,
    pub(crate) folder: SpendFolder,
    pub(crate) clients: Vec<NodeClient>,
    pub(crate) status: Arc<Status>,
    pub(crate) metrics: SyncMetrics,
}

/// The exchange of one gateway.
pub(crate) struct Hub {
    parts: Parts,
    nodes: Vec<Node>,
    sequence: Sequence,
    /// The ledger's generation, once heard.
    generation: Option<u32>,
    own: Own,
    paces: paces::Paces,
    /// A node that was sent no report for so long is sent an empty one.
    beat_interval: Duration,
    /// Files of incarnations that count no more, until they are deleted.
    kept: Vec<kept::Kept>,
    /// Wallets of which units of earlier incarnations became durable, and when; until a younger snapshot came.
    freed: HashMap<WalletId, Duration>,
    /// Incarnations whose final report is under way.
    finals: HashSet<Life>,
    /// Incarnations that are being registered again.
    reregistering: HashSet<Uuid>,
    /// Modes that nodes ask this gateway to acknowledge, by node and wallet.
    modes: BTreeMap<(usize, WalletId), u64>,
    /// An incarnation is being made.
    is_rotating: bool,
    /// Somebody waits for everything to be durable.
    drain: Option<oneshot::Sender<()>>,
    hello: watch::Sender<Option<v1::Hello>>,
    lives: mpsc::Sender<lives::Born>,
}

/// The list of own incarnations.
#[derive(Debug, Default)]
struct Own {
    number: u64,
    since: Duration,
    listed: Vec<Life>,
    /// When the newest of them began.
    began: Duration,
}

// === impl Hub ===

impl Hub {
    /// A hub that has reported nothing yet; `kept` are the files of earlier processes.
    pub(crate) fn new(parts: Parts, kept: Vec<SpendFile>) -> (Self, HubQueues) {
        let (hello, _) = watch::channel(None);
        let (lives, born) = mpsc::channel(16);
        let nodes = parts.clients.iter().map(|client| Node::new(client.address())).collect();
        let limit = parts.wallets.books.staleness_limit;
        let beat_interval = parts.bounds.slowest.min(need::report_within(limit));
        let mut hub = Self {
            paces: paces::Paces::new(parts.bounds),
            beat_interval,
            parts,
            nodes,
            sequence: Sequence::default(),
            generation: None,
            own: Own::default(),
            kept: kept.into_iter().map(kept::Kept::found).collect(),
            freed: HashMap::new(),
            finals: HashSet::new(),
            reregistering: HashSet::new(),
            modes: BTreeMap::new(),
            is_rotating: false,
            drain: None,
            hello,
            lives,
        };
        hub.block_kept();
        (hub, HubQueues { born })
    }

    /// Works until the commands' senders are gone or a drain is done. `first` is the file of the first incarnation, which is
    /// registered as soon as a node answers.
    pub(crate) async fn run(
        mut self,
        queues: HubQueues,
        first: SpendFile,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let HubQueues { mut born } = queues;
        let (events, mut said) = mpsc::channel(EVENTS_MAX);
        for (node, client) in self.parts.clients.iter().cloned().enumerate() {
            let hello = self.hello.subscribe();
            tokio::spawn(connection::keep(node, client, hello, events.clone()));
        }
        drop(events);
        self.begin_life(Some(first));
        let mut ticks = interval(self.parts.bounds.fastest);
        let mut sweeps = interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(event) = said.recv() => self.event(event),
                Some(born) = born.recv() => self.born(born),
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                _ = ticks.tick() => self.tick(),
                _ = sweeps.tick() => self.sweep(),
            }
            self.send_subscriptions();
            if self.is_drained() {
                break;
            }
        }
        info!(gateway = self.parts.gateway, "exchange with balance-sync ended");
    }

    fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    /// The wall clock.
    fn unix(&self) -> UnixMillis {
        UnixMillis(self.parts.clock.unix_us() / 1_000)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Subscribe(wallet) => self.subscribe(wallet),
            Command::Drain(done) => {
                self.parts.wallets.books.lives.switch(None);
                self.drain = Some(done);
            }
        }
    }

    /// A call waits for a wallet.
    fn subscribe(&mut self, wallet: WalletId) {
        let entry = self.parts.wallets.get_or_make(wallet);
        let node = entry.as_ref().and_then(|entry| {
            // A wallet with units that are not durable yet is subscribed once they are: no snapshot has them before.
            if entry.is_blocked() {
                None
            } else {
                entry.node().or_else(|| route(&self.nodes, wallet))
            }
        });
        let (Some(entry), Some(node)) = (entry, node) else { return };
        entry.touch(self.now());
        entry.set_node(Some(place(node)));
        self.nodes[node].subscribe.push(wallet);
    }

    fn send_subscriptions(&mut self) {
        for node in &mut self.nodes {
            let bytes = |wallets: &[WalletId]| {
                wallets.iter().map(|wallet| wallet.0.as_bytes().to_vec()).collect::<Vec<_>>()
            };
            let (left, joined) =
                (std::mem::take(&mut node.unsubscribe), std::mem::take(&mut node.subscribe));
            for wallets in left.chunks(SUBSCRIBE_MAX) {
                wallets.iter().for_each(|wallet| {
                    node.untold.remove(wallet);
                });
                node.send(ToNode::Unsubscribe(v1::Unsubscribe { wallets: bytes(wallets) }));
            }
            for wallets in joined.chunks(SUBSCRIBE_MAX) {
                let message = ToNode::Subscribe(v1::Subscribe { wallets: bytes(wallets) });
                if node.send(message) {
                    node.untold.extend(wallets);
                } else {
                    // Said again by the answer to the next Fresh, or by the next call.
                    node.doubtful.extend(wallets);
                }
            }
        }
    }

    fn event(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Up { node, stream } => self.up(node, stream),
            StreamEvent::Down { node, stream } if self.nodes[node].has_stream(stream) => {
                self.end_stream(node);
            }
            StreamEvent::Said { node, stream, message } if self.nodes[node].has_stream(stream) => {
                self.said(node, *message);
            }
            // The last words of a stream that was ended here.
            StreamEvent::Down { .. } | StreamEvent::Said { .. } => {}
        }
    }

    fn up(&mut self, node: usize, stream: Stream) {
        if self.generation.is_some_and(|known| stream.generation < known) {
            let (address, generation) = (self.parts.clients[node].address(), stream.generation);
            error!(address, generation, "node serves a ledger that was replaced; not used");
            stream.end.cancel();
            return;
        }
        self.hear_generation(stream.generation);
        let lost = self.nodes[node].end();
        self.report_again(lost);
        if stream.own_list != self.own.number {
            self.tell_own(&stream);
        }
        // Invalidations may have been lost while the stream was broken.
        if std::mem::replace(&mut self.nodes[node].was_up, true) {
            self.parts.callers.forget(&Forgotten { is_everything: true, ..Default::default() });
        }
        self.nodes[node].begin(stream);
        self.health_changed();
    }

    fn end_stream(&mut self, node: usize) {
        let lost = self.nodes[node].end();
        self.health_changed();
        self.report_again(lost);
    }

    /// Gives every wallet in use to its node among those that serve now.
    fn health_changed(&mut self) {
        let up = self.nodes.iter().filter(|node| node.is_up()).count();
        self.parts.status.set_nodes_up(up);
        self.parts.metrics.nodes_up.set(i64::try_from(up).unwrap_or(i64::MAX));
        let mut moved = Vec::new();
        let nodes = &mut self.nodes;
        self.parts.wallets.for_each(|entry| {
            let (before, now) = (entry.node(), route(nodes, entry.id));
            if entry.feed() == Feed::Idle || before == now {
                return;
            }
            if let Some(before) = before {
                nodes[before].unsubscribe.push(entry.id);
            }
            if let Some(now) = now {
                nodes[now].subscribe.push(entry.id);
            }
            entry.set_node(now.map(place));
            if !entry.is_quiet() {
                moved.push(Arc::clone(entry));
            }
        });
        // The new node must hear of open holds, and nothing must wait for an old one.
        moved.iter().for_each(|entry| entry.report_now());
    }

    /// What a stream did not call durable is reported again.
    fn report_again(&mut self, lost: impl IntoIterator<Item = Pending>) {
        for pending in lost {
            pending.wallets.iter().for_each(|entry| entry.report_now());
            if let Some(kept) = self.kept.iter_mut().find(|kept| kept.is_of(&pending.file)) {
                kept.is_lost();
            }
            if pending.is_final {
                let lives = self.parts.wallets.books.lives.all();
                let life = lives.filter(|own| Arc::ptr_eq(&own.file, &pending.file)).last();
                if let Some(life) = life {
                    self.finals.remove(&life.life);
                }
            }
        }
    }

    /// Nothing of an older ledger is believed once a newer one is met.
    fn hear_generation(&mut self, generation: u32) {
        let before = self.generation.replace(generation);
        if before.is_none_or(|before| before == generation) {
            return;
        }
        info!(generation, "the ledger was restored: everything since birth is reported again");
        for node in 0..self.nodes.len() {
            let lost = self.nodes[node].end();
            self.report_again(lost);
        }
        for life in self.own.listed.clone() {
            let file = &self.parts.wallets.books.lives.get(life).file;
            restart(file, generation);
        }
        self.finals.clear();
        self.kept.iter_mut().for_each(|kept| kept.restart(generation));
        self.block_kept();
        let listed = self.own.listed.clone();
        let mut all = Vec::new();
        self.parts.wallets.for_each(|entry| all.push(Arc::clone(entry)));
        for entry in all {
            entry.forget(&|life| listed.contains(&life));
            entry.report_now();
        }
    }

    /// The list that snapshots must leave out.
    fn with_own<T>(&self, with: impl FnOnce(OwnList<'_>) -> T) -> T {
        let has = |life: Life| self.own.listed.contains(&life);
        let lives = &self.parts.wallets.books.lives;
        let life_of = |incarnation: Incarnation| {
            let mut listed = self.own.listed.iter().copied();
            listed.find(|life| lives.get(*life).file.incarnation() == incarnation)
        };
        let Own { number, since, .. } = self.own;
        with(OwnList { number, since, has: &has, life_of: &life_of })
    }
}

/// What only the running hub reads.
pub(crate) struct HubQueues {
    born: mpsc::Receiver<lives::Born>,
}

/// Forgets a file's acknowledgements; a file that cannot note that is reported whole at the next start anyway.
fn restart(file: &SpendFile, generation: u32) {
    if let Err(failure) = file.restart(generation) {
        error!(error = &failure as &dyn std::error::Error, "spend file keeps its old header");
    }
}

/// A node's place as a wallet keeps it.
fn place(node: usize) -> u8 {
    u8::try_from(node).expect("settings allow 64 nodes")
}

// Kept beside the loop that reads them: a rotation that is due once a day.
impl Hub {
    /// Whether a new incarnation is due.
    fn is_rotation_due(&self) -> bool {
        let wanted = self.parts.wallets.books.wants_rotation.swap(false, Ordering::Relaxed);
        let is_old = self.now().saturating_sub(self.own.began) >= lives::ROTATE_EVERY;
        self.drain.is_none() && !self.own.listed.is_empty() && (wanted || is_old)
    }
}
