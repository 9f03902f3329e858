//! One shard: the actor that owns the machines of some wallets.
//!
//! It takes commands of streams and services from a bounded queue, looks at every tick what has to
//! be written, read and told, and starts that as tasks whose outcomes come back to it. So a wallet
//! is touched by one task only, nothing is locked, and a ledger that does not answer holds up
//! nothing but its own outcomes. When the ledger is away, reports are taken and snapshots told
//! from memory; nothing is called durable; what is dirty is tried again after a moment.
//!
//! Bounds: `WALLETS_MAX` wallets that are subscribed; whatever else is kept by wallet (`touched`,
//! `dirty`, `looking`, agendas) names wallets in memory, and goes with them or at the next tick.
//! Not here: when a wallet is due (`need`), grants and changes of the policy (`grants`), the bound
//! on overspend (`exposure`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tollgate_metering::account::Ceiling;
use tollgate_metering::exposure::Exposure;
use tollgate_metering::node::need::Burn;
use tollgate_metering::node::{NodeWallet, Part, StreamId, StreamMark};
use tollgate_metering::protocol::OwnIncarnations;
use tollgate_metering::rating::RatingError;
use tollgate_metering::{Header, Incarnation, Money, WalletId};
use uuid::Uuid;

use crate::node::Node;
use crate::refusal::Refusal;

mod agenda;
mod exposure;
mod gauges;
mod grants;
mod need;
mod reads;
mod sink;
mod streams;
mod tell;
mod writes;

use agenda::Agenda;

pub(crate) use gauges::{Gauges, ShardGauges};
pub(crate) use sink::{Settled, Sink, Told};

/// A wallet that nobody uses is forgotten after this.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How often idle wallets are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// How often streams are told how far their reports are durable, where nobody waits for it.
const SETTLE_EVERY: Duration = Duration::from_millis(100);

/// How long after another node's report a wallet counts as shared.
const SHARED_MEMORY: Duration = Duration::from_secs(30);

/// A ledger that failed is tried again after this.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What a shard is told.
pub(crate) enum Command {
    /// A stream opens; it is told through the sink.
    Open {
        stream: StreamId,
        own: Arc<OwnIncarnations>,
        /// As its gateway told it.
        staleness_limit: Option<Duration>,
        sink: Sink,
    },
    /// The stream's gateway counts others itself now.
    Own { stream: StreamId, own: Arc<OwnIncarnations> },
    /// A report, as far as it is about this shard's wallets: every shard hears of every report.
    Report {
        stream: StreamId,
        mark: StreamMark,
        parts: Vec<(WalletId, Part)>,
        ended: Option<Incarnation>,
    },
    /// The stream wants to be told of wallets.
    Subscribe { stream: StreamId, wallets: Vec<WalletId> },
    /// It no longer does.
    Unsubscribe { stream: StreamId, wallets: Vec<WalletId> },
    /// Persist at once what the stream has reported.
    Flush { stream: StreamId },
    /// The stream ended.
    Close { stream: StreamId },
    /// The wallet's account changed: read it now.
    Changed { wallet: WalletId },
    /// What is the wallet worth? By a read that begins now, or (`is_peek`) from memory.
    Ask { wallet: WalletId, is_peek: bool, answer: oneshot::Sender<Result<Worth, Refusal>> },
    /// The ledger is another one: forget everything.
    Forget,
    /// Persist everything, then answer.
    Drain { answer: oneshot::Sender<()> },
}

/// What a wallet is worth.
#[derive(Clone, Debug)]
pub(crate) struct Worth {
    pub(crate) header: Header,
    pub(crate) balance: Money,
    pub(crate) held: Money,
    pub(crate) reserved: Money,
    pub(crate) ceilings: BTreeMap<Incarnation, Ceiling>,
    pub(crate) exposure: Exposure,
}

/// One wallet, and when it is due.
struct Entry {
    machine: NodeWallet,
    burn: Burn,
    /// What was left in it at the newest look.
    left: Money,
    /// What was left when its subscribers were told last, and when that was.
    told_left: Money,
    told_at: Duration,
    /// The same for the last write.
    persisted_left: Money,
    persisted_at: Duration,
    /// Until then its last write has used up the rows that one wallet may cost.
    rows_until: Duration,
    /// Somebody waits for it to be durable: not even the rows that it may cost hold it up.
    is_hurried: bool,
    /// It was due while a write was under way.
    is_write_wanted: bool,
    is_reading: bool,
    /// Somebody waits for a read that begins after now.
    is_read_wanted: bool,
    last_used: Duration,
    /// Wait for the next read to begin, and for the one under way to end.
    asking: Vec<oneshot::Sender<Result<Worth, Refusal>>>,
    asked: Vec<oneshot::Sender<Result<Worth, Refusal>>>,
    overdraft: Money,
    watched: exposure::Watched,
    strict: grants::Strict,
    /// Incarnations of which the registry said, before the newest read, that they have ended.
    ended: Arc<HashSet<Uuid>>,
}

/// One stream, as far as this shard is concerned.
struct Stream {
    mark: StreamMark,
    own: Arc<OwnIncarnations>,
    staleness_limit: Option<Duration>,
    sink: Sink,
    wallets: HashSet<WalletId>,
}

/// The actor.
pub(crate) struct Shard {
    node: Arc<Node>,
    index: usize,
    wallets: HashMap<WalletId, Entry>,
    streams: BTreeMap<StreamId, Stream>,
    tasks: JoinSet<Done>,
    reads: usize,
    batches: usize,
    /// Wallets that were reported since the last tick.
    touched: HashSet<WalletId>,
    /// Wallets whose subscribers may have to be told.
    tells: Agenda,
    /// Strict wallets that are to be looked at.
    looking: HashSet<WalletId>,
    /// Wallets with something that the ledger does not hold, and when it is written.
    dirty: HashSet<WalletId>,
    persists: Agenda,
    /// Wallets that are to be read again.
    rereads: Agenda,
    settled_at: Duration,
    /// Somebody waits for durability until then.
    settle_always_until: Duration,
    tidied_at: Duration,
    usage_at: Duration,
    is_writing_usage: bool,
    retry_at: Duration,
    draining: Vec<oneshot::Sender<()>>,
    gauges: ShardGauges,
    gauges_at: Duration,
    /// Counts ledgers: outcomes of work on an older one are thrown away.
    era: u64,
}

/// The outcome of a task.
enum Done {
    Read(u64, Box<reads::ReadDone>),
    Written(u64, writes::Written),
    Committed(u64, Box<grants::Committed>),
    Registry(u64, Box<grants::Registry>),
    Usage(u64, writes::UsageWritten),
}

// === impl Shard ===

impl Shard {
    pub(crate) fn new(node: Arc<Node>, index: usize) -> Shard {
        Shard {
            node,
            index,
            wallets: HashMap::new(),
            streams: BTreeMap::new(),
            tasks: JoinSet::new(),
            reads: 0,
            batches: 0,
            touched: HashSet::new(),
            tells: Agenda::default(),
            looking: HashSet::new(),
            dirty: HashSet::new(),
            persists: Agenda::default(),
            rereads: Agenda::default(),
            settled_at: Duration::ZERO,
            settle_always_until: Duration::ZERO,
            tidied_at: Duration::ZERO,
            usage_at: Duration::ZERO,
            is_writing_usage: false,
            retry_at: Duration::ZERO,
            draining: Vec::new(),
            gauges: ShardGauges::default(),
            gauges_at: Duration::ZERO,
            era: 0,
        }
    }

    /// Runs until all senders of commands are gone.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut ticks = tokio::time::interval(self.node.settings.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.take(command),
                    None => return,
                },
                _ = ticks.tick() => self.tick(),
                Some(done) = self.tasks.join_next() => match done {
                    Ok(Done::Read(era, done)) => self.end_read(era, *done),
                    Ok(Done::Written(era, done)) => self.end_write(era, done),
                    Ok(Done::Committed(era, done)) => self.end_commit(era, *done),
                    Ok(Done::Registry(era, done)) => self.end_registry(era, *done),
                    Ok(Done::Usage(era, done)) => self.end_usage(era, done),
                    // The runtime ends, and this task with it.
                    Err(error) if error.is_cancelled() => return,
                    Err(error) => {
                        // A panic in a task is a bug whose wallet stays marked as busy; the
                        // process ends rather than leave money unwritten for ever.
                        tracing::error!(%error, "a ledger task died");
                        std::process::abort();
                    }
                },
            }
        }
    }

    fn take(&mut self, command: Command) {
        let (now, wall) = (self.node.clock.monotonic(), self.node.now());
        match command {
            Command::Open { stream, own, staleness_limit, sink } => {
                let (mark, wallets) = (StreamMark::default(), HashSet::new());
                let open = Stream { mark, own, staleness_limit, sink, wallets };
                self.streams.insert(stream, open);
            }
            Command::Own { stream, own } => self.set_own(stream, own),
            Command::Report { stream, mark, parts, ended } => {
                self.report(stream, mark, &parts, ended);
            }
            Command::Subscribe { stream, wallets } => self.subscribe(stream, wallets),
            Command::Unsubscribe { stream, wallets } => {
                for wallet in wallets {
                    if let Some(open) = self.streams.get_mut(&stream) {
                        open.wallets.remove(&wallet);
                    }
                    if let Some(entry) = self.wallets.get_mut(&wallet) {
                        entry.machine.unsubscribe(stream, wall);
                        entry.last_used = now;
                    }
                }
            }
            Command::Flush { stream } => {
                self.flush(stream, now);
                self.start_writes(now);
            }
            Command::Close { stream } => {
                let subscribed = self.streams.remove(&stream).map(|open| open.wallets);
                for wallet in subscribed.iter().flatten().chain(&self.dirty) {
                    if let Some(entry) = self.wallets.get_mut(wallet) {
                        entry.machine.end_stream(stream, wall);
                        entry.last_used = now;
                    }
                }
            }
            Command::Changed { wallet } => {
                // Also where nobody uses it: its policy may be changing.
                self.wallets.entry(wallet).or_insert_with(|| Entry::new(wallet, now));
                self.want_read(wallet, now);
                self.start_read(wallet);
            }
            Command::Ask { wallet, is_peek, answer } => self.ask(wallet, is_peek, answer),
            Command::Forget => self.forget(),
            Command::Drain { answer } => {
                self.draining.push(answer);
                self.tick();
            }
        }
    }

    fn ask(
        &mut self,
        wallet: WalletId,
        is_peek: bool,
        answer: oneshot::Sender<Result<Worth, Refusal>>,
    ) {
        let now = self.node.clock.monotonic();
        let entry = self.wallets.entry(wallet).or_insert_with(|| Entry::new(wallet, now));
        entry.last_used = now;
        if is_peek && entry.machine.account().is_some() {
            let worth = entry.worth(&self.node);
            // Who asked may have gone away meanwhile.
            let _ = answer.send(worth);
            return;
        }
        entry.asking.push(answer);
        self.want_read(wallet, now);
        self.start_read(wallet);
    }

    fn forget(&mut self) {
        self.era += 1;
        for entry in self.wallets.values_mut() {
            entry.answer_all(|| Err(Refusal::Draining));
        }
        self.wallets.clear();
        self.dirty.clear();
        self.touched.clear();
        self.tells.clear();
        self.persists.clear();
        self.rereads.clear();
        self.looking.clear();
        self.reads = 0;
        self.batches = 0;
        self.is_writing_usage = false;
        self.streams.values_mut().for_each(|open| open.wallets.clear());
    }

    fn tick(&mut self) {
        let now = self.node.clock.monotonic();
        self.assess_touched(now);
        self.start_writes(now);
        self.start_usage(now);
        self.look();
        self.start_due_reads(now);
        self.settle_in_time(now);
        self.tell_due(now);
        if now.saturating_sub(self.tidied_at) >= TIDY_EVERY {
            self.tidied_at = now;
            self.forget_idle(now, IDLE_MAX);
        }
        self.gauge(now);
        self.end_drain();
    }

    fn forget_idle(&mut self, now: Duration, after: Duration) {
        let is_idle = |entry: &Entry| {
            entry.machine.is_idle()
                && !entry.machine.is_mode_changing()
                && !entry.strict.is_busy()
                && !entry.is_reading
                && entry.asking.is_empty()
                && now.saturating_sub(entry.last_used) >= after
        };
        let before = self.wallets.len();
        let Shard { wallets, tells, dirty, persists, rereads, .. } = self;
        wallets.retain(|wallet, entry| {
            let is_kept = !is_idle(entry);
            if !is_kept {
                dirty.remove(wallet);
                tells.remove(*wallet);
                persists.remove(*wallet);
                rereads.remove(*wallet);
            }
            is_kept
        });
        if before != self.wallets.len() {
            tracing::debug!(forgotten = before - self.wallets.len(), "forgot idle wallets");
        }
    }

    fn end_drain(&mut self) {
        let is_busy = self.batches > 0 || self.is_writing_usage;
        let has_more = || {
            let mut entries = self.wallets.values();
            entries.any(|entry| entry.machine.dirty_count() > 0)
        };
        if !self.draining.is_empty() && !is_busy && !has_more() {
            self.settle();
            for answer in self.draining.drain(..) {
                let _ = answer.send(());
            }
        }
    }
}

// === impl Entry ===

impl Entry {
    fn new(wallet: WalletId, now: Duration) -> Entry {
        Entry {
            machine: NodeWallet::new(wallet),
            burn: Burn::default(),
            left: Money::ZERO,
            told_left: Money::ZERO,
            told_at: Duration::ZERO,
            persisted_left: Money::ZERO,
            persisted_at: Duration::ZERO,
            rows_until: Duration::ZERO,
            is_hurried: false,
            is_write_wanted: false,
            is_reading: false,
            is_read_wanted: false,
            last_used: now,
            asking: Vec::new(),
            asked: Vec::new(),
            overdraft: Money::ZERO,
            watched: exposure::Watched::default(),
            strict: grants::Strict::default(),
            ended: Arc::default(),
        }
    }

    fn worth(&self, node: &Node) -> Result<Worth, Refusal> {
        let account = self.machine.account().ok_or(Refusal::Missing("wallet"))?;
        let balance = node.prices.with(|rates| account.balance(self.machine.registers(), rates))?;
        let held = self.machine.held(node.now(), node.settings.hold_life)?;
        let mut worth = Worth {
            header: account.header.clone(),
            balance,
            held,
            reserved: account.reserved().map_err(RatingError::from)?,
            ceilings: account.ceilings.clone(),
            exposure: Exposure::default(),
        };
        let now = node.clock.monotonic();
        worth.exposure = self.exposure(node, &worth, self.is_shared(now), now);
        Ok(worth)
    }

    fn is_shared(&self, now: Duration) -> bool {
        let foreign = self.machine.last_foreign_change();
        foreign.is_some_and(|at| now.saturating_sub(at) < SHARED_MEMORY)
    }

    fn answer_all(&mut self, answer: impl Fn() -> Result<Worth, Refusal>) {
        for waiting in self.asked.drain(..).chain(self.asking.drain(..)) {
            let _ = waiting.send(answer());
        }
    }
}
