//! A balance-sync node that does what a test says, on a real socket. Several nodes can share one ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tollgate_gateway::clock::{Clock, SystemClock};
use tollgate_metering::protocol::{OwnIncarnations, Report, Snapshot, SnapshotMeter};
use tollgate_metering::rating::Band;
use tollgate_metering::{Meter, Money, Period, Rates, Register, Units, UnixMillis, WalletId};
use tollgate_proto::v1::gateway_message::Message as FromGateway;
use tollgate_proto::v1::node_message::Message as ToGateway;
use tollgate_proto::v1::own_server::OwnServer;
use tollgate_proto::v1::resolve_server::{Resolve, ResolveServer};
use tollgate_proto::v1::sync_server::{Sync, SyncServer};
use tollgate_proto::{PlanPrices, snapshot_to_wire, v1};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::harness::PATIENCE;

mod own;

/// The key that the ledger knows.
pub(crate) const KEY: &str = "good";
pub(crate) const WALLET: WalletId = WalletId(Uuid::from_u128(5));
const PLAN: Uuid = Uuid::from_u128(6);
const PRODUCT: Uuid = Uuid::from_u128(7);

type Outgoing = mpsc::Sender<Result<v1::NodeMessage, Status>>;

/// What all nodes agree on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Books>>);

#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) generation: u32,
    pub(crate) version: u64,
    pub(crate) base: Money,
    pub(crate) is_key_approved: bool,
    pub(crate) is_unpriced: bool,
    pub(crate) is_postpaid: bool,
    pub(crate) is_shadow: bool,
    pub(crate) is_subscribed: bool,
    /// Credit limit, what is owed of it, and in which period.
    pub(crate) credit: Option<(Money, Money, Period)>,
    pub(crate) has_wallet: bool,
    /// Calls of each month that cost nothing.
    pub(crate) free: u64,
    pub(crate) registers: BTreeMap<(Meter, Uuid), Register>,
    pub(crate) excess: BTreeMap<Uuid, Units>,
    pub(crate) holds: BTreeMap<Uuid, Money>,
    pub(crate) registered: Vec<Uuid>,
    pub(crate) finals: BTreeSet<Uuid>,
    pub(crate) resolved: usize,
    /// Questions of owners.
    pub(crate) owned: usize,
    /// Reports with anything in them.
    pub(crate) reports: usize,
    /// Reports with nothing in them.
    pub(crate) beats: usize,
}

/// What a test says to a node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Script {
    /// Reports are taken, and nothing is said of it.
    pub(crate) is_mute: bool,
    /// Reports of the first incarnation on the stream are refused.
    pub(crate) refuses: Option<v1::RefusedReason>,
}

/// A running node.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// PEM, where it has one; it takes gateways with the same one.
    pub(crate) certificate: String,
    pub(crate) key: String,
    inner: NodeInner,
    /// Its own, so that a kill takes every connection with it.
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Clone)]
struct NodeInner {
    ledger: Ledger,
    script: Arc<Mutex<Script>>,
    streams: Arc<Mutex<Vec<Outgoing>>>,
    /// Wallets subscribed and unsubscribed so far.
    subscriptions: Arc<Mutex<(usize, usize)>>,
    /// What a gateway said last that it believes of the wallet.
    view: Arc<Mutex<Option<v1::LocalView>>>,
    clock: SystemClock,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            generation: 1,
            version: 1,
            base: "1".parse().unwrap(),
            is_key_approved: true,
            is_unpriced: false,
            is_postpaid: false,
            is_shadow: false,
            is_subscribed: true,
            credit: None,
            has_wallet: true,
            free: 0,
            registers: BTreeMap::new(),
            excess: BTreeMap::new(),
            holds: BTreeMap::new(),
            registered: Vec::new(),
            finals: BTreeSet::new(),
            resolved: 0,
            owned: 0,
            reports: 0,
            beats: 0,
        }
    }
}

fn prices(free: u64) -> PlanPrices {
    let up_to = (free > 0).then(|| Units::from_register(free * 1_000_000_000));
    let free = up_to.map(|end| Band { up_to: Some(end), price: Money::ZERO });
    let band = Band { up_to: None, price: "0.01".parse().unwrap() };
    let rates = Arc::new(Rates::banded(free.into_iter().chain([band]).collect()).unwrap());
    PlanPrices { plan: tollgate_metering::PlanId(PLAN), revision: 1, rates }
}

impl Ledger {
    pub(crate) fn with<T>(&self, with: impl FnOnce(&mut Books) -> T) -> T {
        with(&mut self.0.lock())
    }

    /// Units of all incarnations on all meters.
    pub(crate) fn units(&self) -> Units {
        self.with(|books| {
            let registers = books.registers.values();
            registers.fold(Units::ZERO, |sum, register| sum.plus(register.units()).unwrap())
        })
    }

    fn caller(&self) -> v1::Caller {
        let books = self.0.lock();
        let window = v1::Window { start_ms: 0, end_ms: 0 };
        let revision = Some(v1::RatePlanRevision::from(&prices(books.free)));
        let plan = v1::Plan {
            revision,
            currency: "EUR".into(),
            window: Some(window),
            is_shadow: books.is_shadow,
        };
        let product = v1::ProductAccess {
            product: PRODUCT.as_bytes().to_vec(),
            is_approved: true,
            plans: if books.is_unpriced { Vec::new() } else { vec![plan] },
            subscriptions: if books.is_subscribed { vec![window] } else { Vec::new() },
            ..Default::default()
        };
        let billing =
            if books.is_postpaid { v1::BillingType::Postpaid } else { v1::BillingType::Prepaid };
        let credit_limit = books.credit.map(|(limit, owed, period)| v1::CreditLimit {
            limit: Some(limit.into()),
            owed: Some(owed.into()),
            period: period.number(),
        });
        v1::Caller {
            app_id: Uuid::from_u128(77).as_bytes().to_vec(),
            developer: Uuid::from_u128(8).as_bytes().to_vec(),
            is_developer_active: true,
            is_app_approved: true,
            is_key_approved: books.is_key_approved,
            billing_type: billing.into(),
            products: vec![product],
            wallets: vec![v1::Wallet {
                wallet: WALLET.0.as_bytes().to_vec(),
                currency: "EUR".into(),
                credit_limit,
            }],
            ..Default::default()
        }
    }

    fn take(&self, report: &Report) {
        let mut books = self.0.lock();
        let incarnation = report.incarnation.id;
        let is_beat = report.registers.is_empty() && report.holds.is_empty();
        books.reports += usize::from(!is_beat);
        books.beats += usize::from(is_beat);
        for reported in &report.registers {
            let register = books.registers.entry((reported.meter, incarnation)).or_default();
            let (live, recovered) = if reported.is_recovered {
                (Units::ZERO, reported.units)
            } else {
                (reported.units, Units::ZERO)
            };
            register.merge(Register { live, recovered });
            if !reported.excess.is_zero() {
                books.excess.insert(incarnation, reported.excess);
            }
        }
        for (_, amount) in &report.holds {
            books.holds.insert(incarnation, *amount);
        }
        if report.is_final {
            books.finals.insert(incarnation);
        }
    }

    fn snapshot(&self, wallet: WalletId, own: &OwnIncarnations, answered_seq: i64) -> ToGateway {
        let books = self.0.lock();
        if !books.has_wallet {
            return ToGateway::NoWallet(v1::NoWallet { wallet: wallet.0.as_bytes().to_vec() });
        }
        let mut others: BTreeMap<Meter, Units> = BTreeMap::new();
        for ((meter, incarnation), register) in &books.registers {
            if !own.incarnations.iter().any(|own| own.id == *incarnation) {
                let sum = others.entry(*meter).or_default();
                *sum = sum.plus(register.units()).unwrap();
            }
        }
        let meters = others.into_iter().map(|(meter, others)| SnapshotMeter {
            meter,
            others,
            closed_charge: Money::ZERO,
        });
        let snapshot = Snapshot {
            wallet,
            generation: books.generation,
            version: books.version,
            retirements: 0,
            own_list: own.number,
            answered_seq,
            base: books.base,
            floor: Money::ZERO,
            mode: Default::default(),
            horizon: UnixMillis(0),
            meters: meters.collect(),
            others_held: Money::ZERO,
            ceilings: Vec::new(),
        };
        ToGateway::Snapshot(snapshot_to_wire(&snapshot, &[prices(books.free)]))
    }
}

impl Node {
    /// Starts a node on a free port.
    pub(crate) async fn start(ledger: &Ledger) -> Self {
        Self::start_at(ledger, "127.0.0.1:0".parse().unwrap()).await
    }

    /// Starts a node that speaks TLS, to those with its certificate and this token.
    pub(crate) async fn start_secured(ledger: &Ledger, token: &'static str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(&certificate, &key))
            .client_ca_root(Certificate::from_pem(&certificate));
        let server = Server::builder().tls_config(tls).unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let mut node = Self::serve_at(ledger, address, server, Some(token)).await;
        (node.certificate, node.key) = (certificate, key);
        node
    }

    /// Starts a node where one was before.
    pub(crate) async fn start_at(ledger: &Ledger, address: SocketAddr) -> Self {
        Self::serve_at(ledger, address, Server::builder(), None).await
    }

    async fn serve_at(
        ledger: &Ledger,
        address: SocketAddr,
        mut server: Server,
        token: Option<&'static str>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.spawn(TcpListener::bind(address)).await.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let inner = NodeInner {
            ledger: ledger.clone(),
            script: Arc::default(),
            streams: Arc::default(),
            subscriptions: Arc::default(),
            view: Arc::default(),
            clock: SystemClock::start(),
        };
        let knows = move |request: Request<()>| {
            let shown = request.metadata().get("authorization");
            let is_known =
                token.is_none_or(|token| shown.is_some_and(|it| it == &format!("Bearer {token}")));
            if is_known { Ok(request) } else { Err(Status::unauthenticated("who are you?")) }
        };
        let server = server
            .add_service(SyncServer::with_interceptor(inner.clone(), knows))
            .add_service(ResolveServer::with_interceptor(inner.clone(), knows))
            .add_service(OwnServer::with_interceptor(inner.clone(), knows));
        runtime.spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        let (certificate, key) = Default::default();
        Self { address, certificate, key, inner, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn script(&self, edit: impl FnOnce(&mut Script)) {
        edit(&mut self.inner.script.lock());
    }

    /// Wallets subscribed and unsubscribed so far.
    pub(crate) fn subscriptions(&self) -> (usize, usize) {
        *self.inner.subscriptions.lock()
    }

    /// Ends all streams.
    pub(crate) async fn break_streams(&self) {
        let streams = std::mem::take(&mut *self.inner.streams.lock());
        for stream in streams {
            stream.send(Err(Status::unavailable("scripted"))).await.ok();
        }
    }

    /// Says something on every stream.
    pub(crate) async fn say(&self, message: ToGateway) {
        let streams = self.inner.streams.lock().clone();
        for stream in streams {
            self.inner.say(&stream, message.clone()).await.ok();
        }
    }

    /// Says that the catalogue changed.
    pub(crate) async fn forget_everything(&self) {
        self.say(ToGateway::Forget(v1::Forget { everything: true, ..Default::default() })).await;
    }

    /// Asks the gateway until it believes that this much is available.
    pub(crate) async fn until_believed(&self, available: &str) {
        let want = available.parse::<Money>().unwrap();
        let believed = async {
            loop {
                let wallet = WALLET.0.as_bytes().to_vec();
                let question = v1::LocalViewQuestion { question: 1, wallet };
                self.say(ToGateway::LocalView(question)).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
                let view = self.inner.view.lock().take();
                let view = view.and_then(|view| view.available);
                if view.is_some_and(|view| Money::try_from(&view) == Ok(want)) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, believed).await.expect("the gateway believes it");
    }

    /// Ends the node at once; its port is free afterwards.
    pub(crate) async fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)))
                .await
                .unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl NodeInner {
    async fn say(&self, to: &Outgoing, message: ToGateway) -> Result<(), ()> {
        let service_time_ms = self.clock.unix_us() / 1_000;
        let message = v1::NodeMessage { service_time_ms, message: Some(message) };
        to.send(Ok(message)).await.map_err(|_| ())
    }

    async fn serve(
        self,
        mut incoming: Streaming<v1::GatewayMessage>,
        to: Outgoing,
    ) -> Result<(), ()> {
        let mut own = OwnIncarnations::default();
        let (mut wallets, mut answered, mut first) = (BTreeSet::new(), 0, None);
        while let Ok(Some(message)) = incoming.message().await {
            let script = *self.script.lock();
            match message.message.unwrap() {
                FromGateway::Hello(hello) => {
                    own = OwnIncarnations::try_from(&hello.own.unwrap()).unwrap();
                    let generation = self.ledger.with(|books| books.generation);
                    let node = Uuid::from_u128(9).as_bytes().to_vec();
                    let welcome = v1::Welcome { node, generation, persist_interval_ms: 10 };
                    self.say(&to, ToGateway::Welcome(welcome)).await?;
                }
                FromGateway::Own(list) => own = OwnIncarnations::try_from(&list).unwrap(),
                FromGateway::Report(report) => {
                    let report = Report::try_from(&report).unwrap();
                    let incarnation = Some(report.incarnation.into());
                    let seq = report.seq;
                    let first = *first.get_or_insert(report.incarnation.id);
                    if let Some(reason) = script.refuses.filter(|_| first == report.incarnation.id)
                    {
                        let refused = v1::Refused { incarnation, seq, reason: reason.into() };
                        self.say(&to, ToGateway::Refused(refused)).await?;
                        continue;
                    }
                    self.ledger.take(&report);
                    if script.is_mute {
                        continue;
                    }
                    answered = seq;
                    self.say(&to, ToGateway::Durable(v1::Durable { incarnation, seq })).await?;
                }
                FromGateway::Subscribe(message) => {
                    let joined = tollgate_proto::wallets("", &message.wallets).unwrap();
                    self.subscriptions.lock().0 += joined.len();
                    wallets.extend(joined);
                }
                FromGateway::Unsubscribe(message) => {
                    let left = tollgate_proto::wallets("", &message.wallets).unwrap();
                    self.subscriptions.lock().1 += left.len();
                    wallets.retain(|wallet| !left.contains(wallet));
                }
                // Everything is durable at once here.
                FromGateway::Flush(v1::Flush {}) => {}
                FromGateway::LocalView(answer) => *self.view.lock() = answer.view,
            }
            for wallet in wallets.iter().filter(|_| !script.is_mute) {
                let snapshot = self.ledger.snapshot(*wallet, &own, answered);
                self.say(&to, snapshot).await?;
            }
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Sync for NodeInner {
    type StreamStream = ReceiverStream<Result<v1::NodeMessage, Status>>;

    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        let id = Uuid::from_slice(&request.get_ref().incarnation_id).unwrap();
        let service_time_ms = self.clock.unix_us() / 1_000;
        let generation = self.ledger.with(|books| {
            books.registered.push(id);
            books.generation
        });
        let incarnation = v1::Incarnation { id: id.as_bytes().to_vec(), born_ms: service_time_ms };
        let incarnation = Some(incarnation);
        Ok(Response::new(v1::RegisterResponse { incarnation, service_time_ms, generation }))
    }

    async fn stream(
        &self,
        request: Request<Streaming<v1::GatewayMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (to, outgoing) = mpsc::channel(64);
        self.streams.lock().push(to.clone());
        tokio::spawn(self.clone().serve(request.into_inner(), to));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

#[tonic::async_trait]
impl Resolve for NodeInner {
    async fn resolve_key(
        &self,
        request: Request<v1::ResolveKeyRequest>,
    ) -> Result<Response<v1::Caller>, Status> {
        self.ledger.with(|books| books.resolved += 1);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let known: [u8; 32] = Sha256::digest(KEY).into();
        if request.get_ref().key_sha256 != known {
            return Err(Status::not_found("no such key"));
        }
        Ok(Response::new(self.ledger.caller()))
    }
}
