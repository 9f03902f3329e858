//! Balance-sync nodes: how they are called, and what was said to each.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tollgate_metering::WalletId;
use tollgate_proto::v1;
use tollgate_proto::v1::gateway_message::Message as ToNode;
use tollgate_proto::v1::own_client::OwnClient;
use tollgate_proto::v1::resolve_client::ResolveClient;
use tollgate_proto::v1::sync_client::SyncClient;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::connection::Stream;
use crate::network::{Dial, Network};
use crate::spend_file::{Spend, SpendFile};
use crate::wallet_cache::WalletEntry;

/// Reports of a stream whose sending time is remembered: more than a minute of the shortest interval.
const SENT_MAX: usize = 8_192;
/// How often wallets are asked for again whose snapshots were not taken whole.
const ASK_AGAIN_EVERY: Duration = Duration::from_millis(100);
/// Bytes of a message from a node: a snapshot of a wallet with many thousand meters.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Adds the bearer token to each call.
#[derive(Debug, Clone)]
pub(crate) struct Auth(Option<http::HeaderValue>);

/// Calls one node.
#[derive(Debug, Clone)]
pub(crate) struct NodeClient {
    address: String,
    channel: InterceptedService<Channel, Auth>,
}

/// One node as the hub sees it.
#[derive(Debug)]
pub(super) struct Node {
    address: String,
    stream: Option<Stream>,
    /// Whether it ever had a stream: its next one may have missed invalidations.
    pub(super) was_up: bool,
    /// Reports of the stream that were not called durable yet, oldest first.
    pending: VecDeque<Pending>,
    /// `seq` and sending time of the stream's newest reports, rising.
    sent: VecDeque<(i64, Duration)>,
    /// When the newest report was sent on the stream.
    reported_at: Option<Duration>,
    /// Wallets whose newest snapshot on the stream was not taken whole.
    pub(super) doubtful: HashSet<WalletId>,
    /// Wallets that were subscribed and not told yet: what is confirmed meanwhile is what an earlier subscription was told.
    pub(super) untold: HashSet<WalletId>,
    /// When they were last asked for again.
    asked_again_at: Duration,
    /// Wallets to subscribe and unsubscribe with the next message.
    pub(super) subscribe: Vec<WalletId>,
    pub(super) unsubscribe: Vec<WalletId>,
}

/// A report that was not called durable yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) file: Arc<SpendFile>,
    pub(super) seq: i64,
    pub(super) registers: Vec<(u32, Spend)>,
    pub(super) wallets: Vec<Arc<WalletEntry>>,
    pub(super) is_final: bool,
}

// === impl Auth ===

impl Interceptor for Auth {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = &self.0 {
            let text = token.to_str().map_err(|_| tonic::Status::internal("token is not text"))?;
            let text = text.parse().map_err(|_| tonic::Status::internal("token is not text"))?;
            request.metadata_mut().insert("authorization", text);
        }
        Ok(request)
    }
}

// === impl NodeClient ===

impl NodeClient {
    /// Connects with the first call, and again after each break.
    pub(crate) fn new(
        address: &str,
        endpoint: &Endpoint,
        token: Option<http::HeaderValue>,
        network: &Network,
    ) -> Self {
        let channel = match network {
            Network::System => endpoint.connect_lazy(),
            Network::Given(network) => over(endpoint, Arc::clone(network)),
        };
        let channel = InterceptedService::new(channel, Auth(token));
        Self { address: address.to_owned(), channel }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn sync(&self) -> SyncClient<InterceptedService<Channel, Auth>> {
        SyncClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn resolve(&self) -> ResolveClient<InterceptedService<Channel, Auth>> {
        ResolveClient::new(self.channel.clone())
    }

    pub(crate) fn own(&self) -> OwnClient<InterceptedService<Channel, Auth>> {
        OwnClient::new(self.channel.clone())
    }
}

// === impl Node ===

impl Node {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: None,
            was_up: false,
            pending: VecDeque::new(),
            sent: VecDeque::new(),
            reported_at: None,
            doubtful: HashSet::new(),
            untold: HashSet::new(),
            asked_again_at: Duration::ZERO,
            subscribe: Vec::new(),
            unsubscribe: Vec::new(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.stream.is_some()
    }

    pub(super) fn has_stream(&self, id: Uuid) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.id == id)
    }

    /// Takes a new stream.
    pub(super) fn begin(&mut self, stream: Stream) {
        self.stream = Some(stream);
    }

    /// Ends the stream; what it did not call durable is handed back.
    pub(super) fn end(&mut self) -> VecDeque<Pending> {
        if let Some(stream) = self.stream.take() {
            stream.end.cancel();
        }
        self.sent.clear();
        self.reported_at = None;
        self.doubtful.clear();
        self.untold.clear();
        self.subscribe.clear();
        self.unsubscribe.clear();
        std::mem::take(&mut self.pending)
    }

    /// Sends a message; `false` where the stream does not take it.
    pub(super) fn send(&self, message: ToNode) -> bool {
        let message = v1::GatewayMessage { message: Some(message) };
        self.stream.as_ref().is_some_and(|stream| stream.sender.try_send(message).is_ok())
    }

    /// Whether something was reported on the stream that is not durable yet.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether no report was sent on the stream for this long.
    pub(super) fn is_silent(&self, now: Duration, this_long: Duration) -> bool {
        self.reported_at.is_none_or(|at| now.saturating_sub(at) >= this_long)
    }

    /// Whether wallets of which a snapshot was not taken whole have waited long enough.
    pub(super) fn asks_again(&self, now: Duration) -> bool {
        !self.doubtful.is_empty() && now.saturating_sub(self.asked_again_at) >= ASK_AGAIN_EVERY
    }

    /// Asks for them again, behind a report that what comes is younger than.
    pub(super) fn ask_again(&mut self, now: Duration) {
        self.asked_again_at = now;
        self.subscribe.extend(&self.doubtful);
    }

    /// Notes a report that was sent.
    pub(super) fn note(&mut self, pending: Pending, now: Duration) {
        self.reported_at = Some(now);
        if self.sent.len() >= SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((pending.seq, now));
        let has_content = !pending.registers.is_empty() || !pending.wallets.is_empty();
        if has_content || pending.is_final {
            self.pending.push_back(pending);
        }
    }

    /// When the newest report up to `seq` was sent; `None` where none is remembered.
    pub(super) fn sent_at(&self, seq: i64) -> Option<Duration> {
        let after = self.sent.partition_point(|(sent, _)| *sent <= seq);
        self.sent.get(after.checked_sub(1)?).map(|(_, at)| *at)
    }

    /// Takes the reports of an incarnation up to `seq`.
    pub(super) fn take_up_to(&mut self, incarnation: Uuid, seq: i64) -> Vec<Pending> {
        self.take(|pending| pending.seq <= seq && pending.file.incarnation().id == incarnation)
    }

    /// Takes one report of an incarnation.
    pub(super) fn take_one(&mut self, incarnation: Uuid, seq: i64) -> Vec<Pending> {
        self.take(|pending| pending.seq == seq && pending.file.incarnation().id == incarnation)
    }

    fn take(&mut self, is_meant: impl Fn(&Pending) -> bool) -> Vec<Pending> {
        let (taken, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(is_meant);
        self.pending = rest.into();
        taken
    }
}

/// A channel over a network that was passed in.
fn over(endpoint: &Endpoint, network: Arc<dyn Dial>) -> Channel {
    endpoint.connect_with_connector_lazy(tower::service_fn(move |address: http::Uri| {
        let port = address.port_u16().unwrap_or(80);
        let dialling = network.dial(address.host().unwrap_or_default(), port);
        async move { dialling.await.map(TokioIo::new) }
    }))
}

/// The node of a wallet among those that serve: the one with the highest score, so that a node that comes or goes moves no
/// wallets but its own.
pub(super) fn route(nodes: &[Node], wallet: WalletId) -> Option<usize> {
    let up = nodes.iter().enumerate().filter(|(_, node)| node.is_up());
    up.max_by_key(|(place, node)| (score(&node.address, wallet), *place)).map(|(place, _)| place)
}

/// FNV-1a over address and wallet, then mixed: neighbours must not score alike.
fn score(address: &str, wallet: WalletId) -> u64 {
    let bytes = address.as_bytes().iter().chain(wallet.0.as_bytes());
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (sum ^ (sum >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}
