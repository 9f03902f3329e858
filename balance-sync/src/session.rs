//! One gateway's stream: reports in, snapshots out.
//!
//! The session splits reports by shard and puts together what shards say: a report is durable when
//! every shard says so. It is the only writer of its stream; where the gateway takes no messages,
//! snapshots wait in the shards, which tell the newest state and nothing older.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tollgate_ledger_store::catalogue::Forget;
use tollgate_ledger_store::{LedgerError, ledger::Registration};
use tollgate_metering::node::stream::{StreamLog, Taken};
use tollgate_metering::node::{AHEAD_MAX, FENCE, Part};
use tollgate_metering::protocol::{OwnIncarnations, Report, Snapshot};
use tollgate_metering::{Incarnation, PlanId, WalletId};
use tollgate_proto::v1::gateway_message::Message as Inbound;
use tollgate_proto::v1::node_message::Message as Outbound;
use tollgate_proto::{PlanPrices, Problem, WireError, snapshot_to_wire, v1, wallets};
use tonic::{Status, Streaming};

use crate::admission::Admission;
use crate::node::{Node, OpenStream, QUESTIONS_MAX, Question};
use crate::refusal::{Refusal, chain};
use crate::settings::{MESSAGES_MAX, SEND_TIMEOUT, SUBSCRIPTIONS_MAX};
use crate::shard::{Command, Settled, Sink, Told};

/// Messages on their way to the gateway.
pub(crate) type Outgoing = mpsc::Sender<Result<v1::NodeMessage, Status>>;

/// One gateway's stream.
pub(crate) struct Session {
    node: Arc<Node>,
    stream: OpenStream,
    gateway: String,
    outgoing: Outgoing,
    told: mpsc::Receiver<Told>,
    settled: Arc<Settled>,
    forgets: broadcast::Receiver<Forget>,
    log: StreamLog,
    /// Prices that this stream has carried.
    carried: HashSet<(PlanId, u32)>,
    subscribed: HashSet<WalletId>,
    questions: HashMap<u64, mpsc::Sender<v1::LocalView>>,
    asked: u64,
    /// Retired incarnations of which the gateway was told.
    retired: HashSet<Incarnation>,
}

// === impl Session ===

impl Session {
    /// Opens a stream on all shards and welcomes the gateway.
    pub(crate) async fn open(
        node: Arc<Node>,
        hello: v1::Hello,
        outgoing: Outgoing,
    ) -> Result<Session, Refusal> {
        let generation = node.standing.now().generation()?;
        let missing = |field| WireError::new(field, Problem::Missing);
        let own = hello.own.as_ref().ok_or_else(|| missing("hello.own"))?;
        let own = OwnIncarnations::try_from(own).map_err(|error| error.within("hello.own"))?;
        let stream = node.open_stream()?;
        let settled = Arc::new(Settled::of_shards(node.shards.len()));
        let (tell, told) = mpsc::channel(MESSAGES_MAX);
        // Subscribed before the first key is resolved through this node: nothing is missed.
        let forgets = node.forgets.subscribe();
        let own = Arc::new(own);
        let limit_ms = Some(hello.staleness_limit_ms).filter(|limit_ms| *limit_ms > 0);
        let staleness_limit = limit_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        for shard in 0..node.shards.len() {
            let sink = Sink::new(tell.clone(), Arc::clone(&settled));
            let own = Arc::clone(&own);
            let open = Command::Open { stream: stream.id, own, staleness_limit, sink };
            node.to_shard(shard, open).await?;
        }
        let session = Session {
            gateway: hello.gateway,
            stream,
            outgoing,
            told,
            settled,
            forgets,
            log: StreamLog::default(),
            carried: HashSet::new(),
            subscribed: HashSet::new(),
            questions: HashMap::new(),
            asked: 0,
            retired: HashSet::new(),
            node,
        };
        let persist_interval = session.node.settings.persist_interval.as_millis();
        let welcome = v1::Welcome {
            node: session.node.id.as_bytes().to_vec(),
            generation,
            persist_interval_ms: u32::try_from(persist_interval).unwrap_or(u32::MAX),
        };
        session.send(Outbound::Welcome(welcome)).await?;
        Ok(session)
    }

    /// Runs the stream until either side ends it.
    pub(crate) async fn run(
        mut self,
        mut incoming: Streaming<v1::GatewayMessage>,
        admission: &Admission,
    ) {
        let ended = self.exchange(&mut incoming, admission).await;
        // Shards close the stream whatever it ended of; one that is gone has nothing to close.
        for shard in 0..self.node.shards.len() {
            let close = Command::Close { stream: self.stream.id };
            let _ = self.node.to_shard(shard, close).await;
        }
        match ended {
            Ok(()) => tracing::info!(gateway = self.gateway, "stream ended"),
            Err(refusal) => {
                tracing::info!(gateway = self.gateway, %refusal, "stream ended");
                let _ = self.outgoing.send_timeout(Err(refusal.into()), SEND_TIMEOUT).await;
            }
        }
    }

    async fn exchange(
        &mut self,
        incoming: &mut Streaming<v1::GatewayMessage>,
        admission: &Admission,
    ) -> Result<(), Refusal> {
        let drained = self.node.drained.clone();
        let node = Arc::clone(&self.node);
        let mut revoked = std::pin::pin!(admission.ended(&node));
        loop {
            tokio::select! {
                message = incoming.message() => match message {
                    Ok(Some(message)) => self.take(message).await?,
                    Ok(None) => return Ok(()),
                    Err(status) => {
                        tracing::debug!(gateway = self.gateway, %status, "stream broke");
                        return Ok(());
                    }
                },
                Some(told) = self.told.recv() => self.tell(told).await?,
                () = self.settled.changed() => self.settle().await?,
                forget = self.forgets.recv() => self.forget(forget).await?,
                Some(question) = self.stream.questions.recv() => self.ask(question).await?,
                () = self.stream.end.cancelled() => return Err(Refusal::Draining),
                () = &mut revoked => return Err(Refusal::Unauthenticated),
                () = drained.cancelled() => {
                    self.settle().await?;
                    return Err(Refusal::Draining);
                }
            }
        }
    }

    async fn take(&mut self, message: v1::GatewayMessage) -> Result<(), Refusal> {
        match message.message.ok_or(Refusal::Protocol("a message without content"))? {
            Inbound::Hello(_) => Err(Refusal::Protocol("hello is the first message only")),
            Inbound::Own(own) => {
                let own = OwnIncarnations::try_from(&own).map_err(|error| error.within("own"))?;
                self.to_all(|stream, _| Command::Own { stream, own: Arc::new(own.clone()) }).await
            }
            Inbound::Report(report) => {
                let report = Report::try_from(&report).map_err(|error| error.within("report"))?;
                self.report(report).await
            }
            Inbound::Subscribe(message) => {
                self.subscribe(wallets("subscribe.wallets", &message.wallets)?).await
            }
            Inbound::Unsubscribe(message) => {
                let wallets = wallets("unsubscribe.wallets", &message.wallets)?;
                wallets.iter().for_each(|wallet| {
                    self.subscribed.remove(wallet);
                });
                let stream = self.stream.id;
                for (shard, wallets) in self.by_shard(wallets) {
                    let command = Command::Unsubscribe { stream, wallets };
                    self.node.to_shard(shard, command).await?;
                }
                Ok(())
            }
            Inbound::Flush(v1::Flush {}) => {
                self.to_all(|stream, _| Command::Flush { stream }).await
            }
            Inbound::LocalView(answer) => {
                if let Some(asker) = self.questions.remove(&answer.question)
                    && let Some(view) = answer.view
                {
                    // Who asked may have given up.
                    let _ = asker.try_send(view);
                }
                Ok(())
            }
        }
    }

    async fn subscribe(&mut self, wallets: Vec<WalletId>) -> Result<(), Refusal> {
        self.subscribed.extend(&wallets);
        if self.subscribed.len() > SUBSCRIPTIONS_MAX {
            return Err(Refusal::TooMany { what: "subscriptions", cap: SUBSCRIPTIONS_MAX });
        }
        let stream = self.stream.id;
        for (shard, wallets) in self.by_shard(wallets) {
            self.node.to_shard(shard, Command::Subscribe { stream, wallets }).await?;
        }
        Ok(())
    }

    async fn report(&mut self, report: Report) -> Result<(), Refusal> {
        let (incarnation, seq) = (report.incarnation, report.seq);
        let unpriced = match self.refused(&report).await {
            None => self.unpriced(&report).await,
            Some(reason) => Err(reason),
        };
        let unpriced = match unpriced {
            Ok(unpriced) => unpriced,
            Err(reason) => {
                self.count(outcome_of(reason));
                let incarnation = Some(incarnation.into());
                let refused = v1::Refused { incarnation, seq, reason: reason.into() };
                return self.send(Outbound::Refused(refused)).await;
            }
        };
        let is_fenced = self.node.now().since(incarnation.born) > FENCE;
        self.count(if is_fenced { "fenced" } else { "taken" });
        let mark = self.log.take(incarnation, seq, is_fenced, report.is_final)?;
        if self.node.incarnations.is_retired(incarnation) && self.retired.insert(incarnation) {
            let reason = v1::RefusedReason::Retired.into();
            let refused = v1::Refused { incarnation: Some(incarnation.into()), seq, reason };
            self.send(Outbound::Refused(refused)).await?;
        }
        let ended = report.is_final.then_some(incarnation);
        let mut by_shard: HashMap<usize, Vec<(WalletId, Part)>> = HashMap::new();
        for ((wallet, _), part) in split(&report, is_fenced, &unpriced) {
            by_shard.entry(self.node.shard_of(wallet)).or_default().push((wallet, part));
        }
        let mut by_shard: Vec<_> =
            (0..self.node.shards.len()).map(|shard| by_shard.remove(&shard)).collect();
        self.to_all(|stream, shard| {
            let parts = by_shard[shard].take().unwrap_or_default();
            Command::Report { stream, mark, parts, ended }
        })
        .await
    }

    /// Whether the report is not taken, and why.
    async fn refused(&self, report: &Report) -> Option<v1::RefusedReason> {
        let node = &self.node;
        if !node.standing.is_serving() {
            return Some(v1::RefusedReason::NotServing);
        }
        let latest_us = node.now().plus(AHEAD_MAX).0.saturating_mul(1000);
        if report.seq > latest_us {
            return Some(v1::RefusedReason::Ahead);
        }
        let now = node.clock.monotonic();
        match node.incarnations.has(&node.ledger, report.incarnation, now).await {
            Ok(true) => None,
            Ok(false) => Some(v1::RefusedReason::Unregistered),
            Err(error) => {
                tracing::warn!(error = chain(&error), "registry was not read");
                Some(v1::RefusedReason::NotServing)
            }
        }
    }

    /// Reported revisions whose prices the ledger does not have: it was restored to a time before they were published. One
    /// such meter would make its wallet's balance unknown to everybody, so its units wait in suspense; refusing the report
    /// instead would stop its gateway, with all its wallets, for as long as it has the spend file.
    async fn unpriced(&self, report: &Report) -> Result<HashSet<(PlanId, u32)>, v1::RefusedReason> {
        let mut unpriced = HashSet::new();
        let meters = || report.registers.iter().map(|each| each.meter);
        if self.node.prices.load(meters()).await.is_ok() {
            return Ok(unpriced);
        }
        for meter in meters() {
            match self.node.prices.load([meter]).await {
                Ok(()) => {}
                Err(error @ LedgerError::Corrupt { .. }) => {
                    if unpriced.insert((meter.plan, meter.revision)) {
                        let incarnation = report.incarnation;
                        let error = chain(&error);
                        tracing::error!(%incarnation, error, "units without prices go to suspense");
                    }
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "prices were not read");
                    return Err(v1::RefusedReason::NotServing);
                }
            }
        }
        Ok(unpriced)
    }

    async fn tell(&mut self, told: Told) -> Result<(), Refusal> {
        match told {
            Told::Snapshot(snapshot) => {
                let plans = self.prices_of(&snapshot);
                self.send(Outbound::Snapshot(snapshot_to_wire(&snapshot, &plans))).await
            }
            Told::Fresh { answered_seq, wallets } => {
                let wallets = wallets.iter().map(|wallet| wallet.0.as_bytes().to_vec()).collect();
                self.send(Outbound::Fresh(v1::Fresh { answered_seq, wallets })).await
            }
            Told::NoWallet(wallet) => {
                self.subscribed.remove(&wallet);
                let wallet = wallet.0.as_bytes().to_vec();
                self.send(Outbound::NoWallet(v1::NoWallet { wallet })).await
            }
            Told::Mode { wallet, mode } => {
                let wallet = wallet.0.as_bytes().to_vec();
                self.send(Outbound::Mode(v1::ModeQuestion { wallet, mode })).await
            }
            Told::End(refusal) => Err(refusal),
        }
    }

    /// Prices that the snapshot's meters need and this stream has not carried yet.
    fn prices_of(&mut self, snapshot: &Snapshot) -> Vec<PlanPrices> {
        let mut plans = Vec::new();
        for line in &snapshot.meters {
            let (plan, revision) = (line.meter.plan, line.meter.revision);
            if self.carried.contains(&(plan, revision)) {
                continue;
            }
            if let Some(rates) = self.node.prices.get(plan, revision) {
                self.carried.insert((plan, revision));
                plans.push(PlanPrices { plan, revision, rates });
            }
        }
        plans
    }

    async fn settle(&mut self) -> Result<(), Refusal> {
        for taken in self.log.settle(self.settled.through()) {
            let Taken { incarnation, seq, is_fenced, is_final, arrival: _ } = taken;
            let named = Some(incarnation.into());
            if is_fenced {
                let reason = v1::RefusedReason::Fenced.into();
                let refused = v1::Refused { incarnation: named, seq, reason };
                self.send(Outbound::Refused(refused)).await?;
            } else {
                if is_final {
                    self.log.forget(incarnation);
                    self.end_incarnation(incarnation).await?;
                }
                self.send(Outbound::Durable(v1::Durable { incarnation: named, seq })).await?;
            }
        }
        Ok(())
    }

    /// Notes in the registry that nothing more comes, before the gateway is told so: grants of the
    /// incarnation come back by this note, and nobody would say it again. Where it fails the stream
    /// ends, and the next one carries the final report again.
    async fn end_incarnation(&self, incarnation: Incarnation) -> Result<(), Refusal> {
        let (node, gateway) = (&self.node, self.gateway.clone());
        let ended_at = Some(node.now());
        let ended = Registration { incarnation, gateway, ended_at, retired_at: None };
        node.ledger.end_incarnation(&ended).await?;
        node.incarnations.note_ended(incarnation);
        Ok(())
    }

    async fn forget(
        &mut self,
        forget: Result<Forget, broadcast::error::RecvError>,
    ) -> Result<(), Refusal> {
        let mut message = v1::Forget::default();
        match forget {
            Ok(Forget::Key(sha256)) => message.key_sha256.push(sha256.to_vec()),
            Ok(Forget::Developer(id)) => message.developers.push(id.0.as_bytes().to_vec()),
            Ok(Forget::Product(id)) => message.products.push(id.0.as_bytes().to_vec()),
            Ok(Forget::Organization(_) | Forget::Everything)
            | Err(broadcast::error::RecvError::Lagged(_)) => message.everything = true,
            Err(broadcast::error::RecvError::Closed) => return Err(Refusal::Draining),
        }
        self.send(Outbound::Forget(message)).await
    }

    async fn ask(&mut self, question: Question) -> Result<(), Refusal> {
        self.questions.retain(|_, asker| !asker.is_closed());
        if self.questions.len() >= QUESTIONS_MAX {
            return Ok(());
        }
        self.asked += 1;
        self.questions.insert(self.asked, question.answer);
        let wallet = question.wallet.0.as_bytes().to_vec();
        let message = v1::LocalViewQuestion { question: self.asked, wallet };
        self.send(Outbound::LocalView(message)).await
    }

    /// Sends to all shards, in order of their place.
    async fn to_all(
        &self,
        mut command: impl FnMut(tollgate_metering::node::StreamId, usize) -> Command,
    ) -> Result<(), Refusal> {
        for shard in 0..self.node.shards.len() {
            self.node.to_shard(shard, command(self.stream.id, shard)).await?;
        }
        Ok(())
    }

    fn by_shard(&self, wallets: Vec<WalletId>) -> BTreeMap<usize, Vec<WalletId>> {
        let mut by_shard: BTreeMap<usize, Vec<WalletId>> = BTreeMap::new();
        for wallet in wallets {
            by_shard.entry(self.node.shard_of(wallet)).or_default().push(wallet);
        }
        by_shard
    }

    fn count(&self, outcome: &str) {
        self.node.metrics.reports.with_label_values(&[outcome]).inc();
    }

    async fn send(&self, message: Outbound) -> Result<(), Refusal> {
        self.node.metrics.messages.with_label_values(&[kind_of(&message)]).inc();
        let service_time_ms = self.node.now().0;
        let message = v1::NodeMessage { service_time_ms, message: Some(message) };
        let waited: Duration = SEND_TIMEOUT;
        let sent = self.outgoing.send_timeout(Ok(message), waited).await;
        sent.map_err(|_| Refusal::Slow { waited })
    }
}

/// A report wallet by wallet.
fn split(
    report: &Report,
    is_fenced: bool,
    unpriced: &HashSet<(PlanId, u32)>,
) -> BTreeMap<(WalletId, bool), Part> {
    let mut parts: BTreeMap<(WalletId, bool), Part> = BTreeMap::new();
    let (incarnation, seq) = (report.incarnation, report.seq);
    let empty = |is_fenced| Part {
        incarnation,
        seq,
        registers: Vec::new(),
        apps: Vec::new(),
        held: None,
        draw: None,
        is_fenced,
    };
    for register in &report.registers {
        let meter = &register.meter;
        let is_fenced = is_fenced || unpriced.contains(&(meter.plan, meter.revision));
        let part = parts.entry((meter.wallet, is_fenced)).or_insert_with(|| empty(is_fenced));
        part.registers.push(*register);
    }
    for app in &report.apps {
        // Beside its register, or nowhere.
        let is_fenced = is_fenced || unpriced.contains(&(app.meter.plan, app.meter.revision));
        if let Some(part) = parts.get_mut(&(app.meter.wallet, is_fenced)) {
            part.apps.push(*app);
        }
    }
    for (wallet, amount) in &report.holds {
        let part = parts.entry((*wallet, is_fenced)).or_insert_with(|| empty(is_fenced));
        part.held = Some(*amount);
    }
    for draw in &report.draws {
        let part = parts.entry((draw.wallet, is_fenced)).or_insert_with(|| empty(is_fenced));
        part.draw = Some(*draw);
    }
    parts
}

fn outcome_of(reason: v1::RefusedReason) -> &'static str {
    match reason {
        v1::RefusedReason::Ahead => "ahead",
        v1::RefusedReason::Fenced => "fenced",
        v1::RefusedReason::Unregistered => "unregistered",
        v1::RefusedReason::Retired => "retired",
        v1::RefusedReason::NotServing | v1::RefusedReason::Unspecified => "not_serving",
    }
}

fn kind_of(message: &Outbound) -> &'static str {
    match message {
        Outbound::Welcome(_) => "welcome",
        Outbound::Durable(_) => "durable",
        Outbound::Snapshot(_) => "snapshot",
        Outbound::Fresh(_) => "fresh",
        Outbound::NoWallet(_) => "no_wallet",
        Outbound::Refused(_) => "refused",
        Outbound::Forget(_) => "forget",
        Outbound::LocalView(_) => "local_view",
        Outbound::Mode(_) => "mode",
    }
}
