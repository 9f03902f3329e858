//! A raw client of `Sync`, as a gateway is one.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tollgate_metering::protocol::{OwnIncarnations, Report, ReportedRegister, Snapshot};
use tollgate_metering::{Incarnation, Meter, Money, Units, WalletId};
use tollgate_proto::v1::gateway_message::Message as Inbound;
use tollgate_proto::v1::node_message::Message as Outbound;
use tollgate_proto::v1::sync_client::SyncClient;
use tollgate_proto::{report_to_wire, v1};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use uuid::Uuid;

use crate::ground::{GATEWAY_TOKEN, Ground, TestNode, units};

/// Longest wait for a message.
const PATIENCE: Duration = Duration::from_secs(10);

type Bearer = fn(Request<()>) -> Result<Request<()>, Status>;
pub(crate) type Client = SyncClient<InterceptedService<Channel, Bearer>>;

/// A gateway with one open stream.
pub(crate) struct Gateway {
    pub(crate) incarnation: Incarnation,
    pub(crate) welcome: v1::Welcome,
    /// Messages that were passed over while waiting for another.
    pub(crate) passed: Vec<Outbound>,
    outgoing: mpsc::Sender<v1::GatewayMessage>,
    incoming: Streaming<v1::NodeMessage>,
    seq: i64,
}

pub(crate) fn bearer<T>(token: &str, mut request: Request<T>) -> Request<T> {
    let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

pub(crate) async fn channel(node: &TestNode) -> Channel {
    let address = format!("http://{}", node.address);
    Channel::from_shared(address).unwrap().connect().await.unwrap()
}

pub(crate) async fn client(node: &TestNode) -> Client {
    let bearer: Bearer = |request| Ok(bearer(GATEWAY_TOKEN, request));
    SyncClient::with_interceptor(channel(node).await, bearer)
}

pub(crate) async fn register(client: &mut Client, id: Uuid) -> Incarnation {
    let request = v1::RegisterRequest {
        incarnation_id: id.as_bytes().to_vec(),
        gateway: "gateway".to_owned(),
    };
    let response = client.register(request).await.unwrap().into_inner();
    tollgate_proto::incarnation("incarnation", &response.incarnation).unwrap()
}

pub(crate) fn register_of(meter: Meter, total: &str) -> ReportedRegister {
    ReportedRegister { meter, units: units(total), is_recovered: false, excess: Units::ZERO }
}

// === impl Gateway ===

impl Gateway {
    /// Registers and opens a stream.
    pub(crate) async fn connect(node: &TestNode) -> Gateway {
        let mut client = client(node).await;
        let incarnation = register(&mut client, Uuid::new_v4()).await;
        Gateway::open(&mut client, incarnation, 0).await
    }

    /// The same, with a staleness limit.
    pub(crate) async fn connect_with_limit(node: &TestNode, limit_ms: u32) -> Gateway {
        let mut client = client(node).await;
        let incarnation = register(&mut client, Uuid::new_v4()).await;
        Gateway::open(&mut client, incarnation, limit_ms).await
    }

    /// Opens a stream to another node, or again.
    pub(crate) async fn reconnect(node: &TestNode, incarnation: Incarnation, seq: i64) -> Gateway {
        let mut gateway = Gateway::open(&mut client(node).await, incarnation, 0).await;
        gateway.seq = gateway.seq.max(seq);
        gateway
    }

    async fn open(client: &mut Client, incarnation: Incarnation, limit_ms: u32) -> Gateway {
        let (outgoing, messages) = mpsc::channel(64);
        let own = OwnIncarnations { number: 1, incarnations: vec![incarnation] };
        let hello = v1::Hello {
            incarnation: Some(incarnation.into()),
            gateway: "gateway".to_owned(),
            own: Some((&own).into()),
            staleness_limit_ms: limit_ms,
        };
        let hello = v1::GatewayMessage { message: Some(Inbound::Hello(hello)) };
        outgoing.send(hello).await.unwrap();
        let incoming = client.stream(ReceiverStream::new(messages)).await.unwrap().into_inner();
        let seq = incarnation.born.0 * 1000;
        let welcome = v1::Welcome::default();
        let passed = Vec::new();
        let mut gateway = Gateway { incarnation, welcome, passed, outgoing, incoming, seq };
        gateway.welcome = match gateway.next().await.unwrap() {
            Outbound::Welcome(welcome) => welcome,
            other => panic!("welcome comes first, not {other:?}"),
        };
        gateway
    }

    pub(crate) fn seq(&self) -> i64 {
        self.seq
    }

    pub(crate) async fn send(&self, message: Inbound) {
        let message = v1::GatewayMessage { message: Some(message) };
        self.outgoing.send(message).await.unwrap();
    }

    pub(crate) async fn subscribe(&self, wallet: WalletId) {
        let wallets = vec![wallet.0.as_bytes().to_vec()];
        self.send(Inbound::Subscribe(v1::Subscribe { wallets })).await;
    }

    /// Reports, and says under which number.
    pub(crate) async fn report(&mut self, registers: Vec<ReportedRegister>) -> i64 {
        self.report_of(self.incarnation, registers, Vec::new(), false).await
    }

    pub(crate) async fn report_of(
        &mut self,
        incarnation: Incarnation,
        registers: Vec<ReportedRegister>,
        holds: Vec<(WalletId, Money)>,
        is_final: bool,
    ) -> i64 {
        self.seq += 1;
        let report = Report {
            incarnation,
            seq: self.seq,
            registers,
            apps: Vec::new(),
            holds,
            draws: Vec::new(),
            is_final,
        };
        self.send(Inbound::Report(report_to_wire(&report))).await;
        self.seq
    }

    /// The next message; an error ends the stream.
    pub(crate) async fn next(&mut self) -> Result<Outbound, Status> {
        let message = tokio::time::timeout(PATIENCE, self.incoming.message());
        match message.await.expect("a message comes in time")? {
            Some(message) => Ok(message.message.unwrap()),
            None => Err(Status::ok("the stream ended")),
        }
    }

    /// The next message that is one of these; others are passed over.
    pub(crate) async fn next_of<T>(&mut self, pick: impl Fn(&Outbound) -> Option<T>) -> T {
        loop {
            let message = self.next().await.unwrap();
            if let Some(picked) = pick(&message) {
                return picked;
            }
            self.passed.push(message);
        }
    }

    /// Asks for durability of all that was reported, and waits until the report is called durable.
    pub(crate) async fn flushed(&mut self, seq: i64) {
        self.send(Inbound::Flush(v1::Flush {})).await;
        self.durable(seq).await;
    }

    /// Waits until the report is called durable.
    pub(crate) async fn durable(&mut self, seq: i64) {
        let incarnation = self.incarnation.into();
        self.next_of(|message| match message {
            Outbound::Durable(durable) => (durable.incarnation.as_ref() == Some(&incarnation)
                && durable.seq >= seq)
                .then_some(()),
            _ => None,
        })
        .await;
    }

    /// The next snapshot that is so.
    pub(crate) async fn snapshot(&mut self, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
        self.next_of(|message| match message {
            Outbound::Snapshot(wire) => Some(Snapshot::try_from(wire).unwrap()).filter(&is_so),
            _ => None,
        })
        .await
    }

    pub(crate) async fn refused(&mut self) -> v1::RefusedReason {
        self.next_of(|message| match message {
            Outbound::Refused(refused) => Some(refused.reason()),
            _ => None,
        })
        .await
    }

    /// The status that the stream ends with.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(message) => self.passed.push(message),
                Err(status) => return status,
            }
        }
    }
}

/// Units of others on a ground's meter.
pub(crate) fn others(snapshot: &Snapshot, ground: &Ground) -> Units {
    let line = snapshot.meters.iter().find(|line| line.meter == ground.meter());
    line.map_or(Units::ZERO, |line| line.others)
}
