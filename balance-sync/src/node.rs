//! What all parts of one balance-sync node share.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tollgate_ledger_store::catalogue::{Catalogue, Forget};
use tollgate_ledger_store::clock::Clock;
use tollgate_ledger_store::{Ledger, LedgerError, TokenCache};
use tollgate_metering::node::{Read, ReadHold, StreamId};
use tollgate_metering::{UnixMillis, WalletId};
use tollgate_proto::v1;
use uuid::Uuid;

use crate::incarnations::Incarnations;
use crate::metrics::Metrics;
use crate::prices::Prices;
use crate::refusal::Refusal;
use crate::service_clock::ServiceClock;
use crate::settings::{STREAMS_MAX, Settings};
use crate::shard::{Command, Gauges};
use crate::standing::StandingWatch;

/// Changes of the catalogue that wait for one stream; one that falls behind forgets everything.
const FORGETS_MAX: usize = 1_024;

/// Questions that wait for one stream.
pub(crate) const QUESTIONS_MAX: usize = 64;

/// One node.
pub(crate) struct Node {
    /// Names the process; a node that starts again is another.
    pub(crate) id: Uuid,
    pub(crate) settings: Settings,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The same clock, for who confirms it.
    pub(crate) service_clock: Arc<ServiceClock>,
    pub(crate) metrics: Metrics,
    /// Tokens of the catalogue.
    pub(crate) tokens: TokenCache,
    pub(crate) prices: Prices,
    pub(crate) incarnations: Incarnations,
    pub(crate) standing: StandingWatch,
    pub(crate) shards: Vec<mpsc::Sender<Command>>,
    pub(crate) forgets: broadcast::Sender<Forget>,
    /// Shards have nothing left to persist: streams say so and end.
    pub(crate) drained: CancellationToken,
    pub(crate) gauges: Gauges,
    streams: Mutex<HashMap<StreamId, StreamEntry>>,
    next_stream: AtomicU64,
}

/// A question to a gateway: what does it believe of this wallet?
pub(crate) struct Question {
    pub(crate) wallet: WalletId,
    pub(crate) answer: mpsc::Sender<v1::LocalView>,
}

/// How other parts reach an open stream.
#[derive(Clone)]
struct StreamEntry {
    questions: mpsc::Sender<Question>,
    end: CancellationToken,
}

/// An open stream; dropped, it is forgotten.
pub(crate) struct OpenStream {
    pub(crate) id: StreamId,
    pub(crate) questions: mpsc::Receiver<Question>,
    pub(crate) end: CancellationToken,
    node: Arc<Node>,
}

/// The parts of a [`Node`] that come from outside.
pub(crate) struct NodeParts {
    pub(crate) settings: Settings,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) standing: StandingWatch,
    pub(crate) shards: Vec<mpsc::Sender<Command>>,
}

// === impl Node ===

impl Node {
    pub(crate) fn new(parts: NodeParts) -> Node {
        let NodeParts { settings, ledger, catalogue, clock, metrics, standing, shards } = parts;
        let service_clock = Arc::new(ServiceClock::new(clock));
        Node {
            id: Uuid::new_v4(),
            tokens: TokenCache::new(Arc::clone(&catalogue), Arc::clone(&service_clock) as Arc<_>),
            prices: Prices::new(Arc::clone(&catalogue) as Arc<_>),
            settings,
            ledger,
            catalogue,
            clock: Arc::clone(&service_clock) as Arc<_>,
            service_clock,
            metrics,
            incarnations: Incarnations::default(),
            standing,
            shards,
            gauges: Gauges::default(),
            forgets: broadcast::Sender::new(FORGETS_MAX),
            drained: CancellationToken::new(),
            streams: Mutex::default(),
            next_stream: AtomicU64::new(1),
        }
    }

    /// The service's time.
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The place of the shard that owns a wallet.
    pub(crate) fn shard_of(&self, wallet: WalletId) -> usize {
        let mut hasher = DefaultHasher::new();
        wallet.hash(&mut hasher);
        let count = self.shards.len() as u64;
        usize::try_from(hasher.finish() % count).expect("a remainder of a usize is one")
    }

    /// Sends to the shard that owns the wallet; waits while its queue is full.
    pub(crate) async fn to_shard_of(
        &self,
        wallet: WalletId,
        command: Command,
    ) -> Result<(), Refusal> {
        self.to_shard(self.shard_of(wallet), command).await
    }

    /// Sends to a shard by its place; waits while its queue is full.
    pub(crate) async fn to_shard(&self, shard: usize, command: Command) -> Result<(), Refusal> {
        self.shards[shard].send(command).await.map_err(|_| Refusal::Draining)
    }

    /// A number for something that listens to shards as a stream does.
    pub(crate) fn number_stream(&self) -> StreamId {
        StreamId(self.next_stream.fetch_add(1, Ordering::Relaxed))
    }

    /// Opens a stream.
    pub(crate) fn open_stream(self: &Arc<Node>) -> Result<OpenStream, Refusal> {
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let (id, end) = (self.number_stream(), CancellationToken::new());
        let mut streams = self.streams.lock();
        if streams.len() >= STREAMS_MAX {
            return Err(Refusal::TooMany { what: "streams", cap: STREAMS_MAX });
        }
        streams.insert(id, StreamEntry { questions, end: end.clone() });
        self.metrics.streams.set(i64::try_from(streams.len()).unwrap_or(i64::MAX));
        drop(streams);
        Ok(OpenStream { id, questions: asked, end, node: Arc::clone(self) })
    }

    /// Asks every gateway what it believes of a wallet; answers come while the receiver is kept.
    pub(crate) fn ask_gateways(&self, wallet: WalletId) -> mpsc::Receiver<v1::LocalView> {
        let entries: Vec<StreamEntry> = self.streams.lock().values().cloned().collect();
        let (answer, answers) = mpsc::channel(entries.len().max(1));
        for entry in entries {
            // A stream with a full queue of questions is not going to answer in time anyway.
            let _ = entry.questions.try_send(Question { wallet, answer: answer.clone() });
        }
        answers
    }

    /// Ends every stream: gateways come back and send everything again.
    pub(crate) fn end_streams(&self) {
        self.streams.lock().values().for_each(|entry| entry.end.cancel());
    }

    /// Reads a wallet, and the prices of its meters.
    pub(crate) async fn read(&self, wallet: WalletId) -> Result<Option<Read>, LedgerError> {
        self.metrics.reads.inc();
        let Some(read) = self.ledger.read(wallet).await? else { return Ok(None) };
        self.prices.load(read.meters()).await?;
        let holds = read.holds.into_iter().map(|(incarnation, held)| {
            (incarnation, ReadHold { amount: held.amount, seq: held.seq })
        });
        let holds = holds.collect();
        Ok(Some(Read { account: read.account, registers: read.registers, holds }))
    }
}

// === impl OpenStream ===

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = self.node.streams.lock();
        streams.remove(&self.id);
        self.node.metrics.streams.set(i64::try_from(streams.len()).unwrap_or(i64::MAX));
    }
}
