//! Takes what nodes say.

use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::protocol::Snapshot;
use tollgate_metering::wallet::Taken;
use tollgate_metering::{DeveloperId, ProductId, UnixMillis};
use tollgate_proto::v1::gateway_message::Message as ToNode;
use tollgate_proto::v1::node_message::Message as FromNode;
use tollgate_proto::{PlanPrices, WireError, uuid, v1};
use tracing::{error, warn};

use super::Hub;
use crate::caller_cache::Forgotten;
use crate::sync_client::nodes::Pending;

// === impl Hub ===

impl Hub {
    /// Takes the service's time, for reports and for calls.
    pub(super) fn hear_time(&mut self, service_time: UnixMillis, now: Duration) {
        self.sequence.hear(service_time, now);
        self.tell_time(now);
    }

    /// Tells calls the service's time as it is known now.
    pub(super) fn tell_time(&self, now: Duration) {
        if let Some(time) = self.sequence.service_time(now) {
            self.parts.wallets.books.hear(time, now);
        }
    }

    pub(super) fn said(&mut self, node: usize, message: v1::NodeMessage) {
        let now = self.now();
        let service_time = UnixMillis(message.service_time_ms);
        if service_time.0 > 0 {
            self.hear_time(service_time, now);
        }
        let Some(message) = message.message else { return };
        let read = match message {
            FromNode::Welcome(_) => Ok(()),
            FromNode::Durable(durable) => self.durable(node, &durable),
            FromNode::Snapshot(snapshot) => self.snapshot(node, &snapshot),
            FromNode::Fresh(fresh) => self.fresh(node, &fresh),
            FromNode::NoWallet(none) => self.no_wallet(node, &none),
            FromNode::Refused(refused) => self.refused(node, &refused),
            FromNode::Forget(forget) => self.forget(&forget),
            FromNode::LocalView(question) => self.local_view(node, &question),
            FromNode::Mode(question) => self.mode(node, &question),
        };
        if let Err(unreadable) = read {
            let address = self.parts.clients[node].address();
            error!(address, error = unreadable.to_line(), "message from balance-sync is not read");
        }
    }

    fn durable(&mut self, node: usize, durable: &v1::Durable) -> Result<(), WireError> {
        let incarnation = tollgate_proto::incarnation("incarnation", &durable.incarnation)?;
        let now = self.now();
        if let Some(sent_at) = self.nodes[node].sent_at(durable.seq) {
            let round_trip = now.saturating_sub(sent_at);
            self.parts.metrics.round_trip.observe(round_trip.as_secs_f64());
        }
        let done = self.nodes[node].take_up_to(incarnation.id, durable.seq);
        self.acknowledge(done);
        Ok(())
    }

    /// The ledger has what these reports carried.
    fn acknowledge(&mut self, done: Vec<Pending>) {
        for pending in done {
            for (slot, spend) in &pending.registers {
                pending.file.acknowledge(*slot, *spend);
            }
            if pending.is_final {
                self.ended(&pending.file);
            }
        }
        self.unblock_kept();
    }

    fn snapshot(&mut self, node: usize, wire: &v1::Snapshot) -> Result<(), WireError> {
        for plan in &wire.plans {
            let PlanPrices { plan, revision, rates } = PlanPrices::try_from(plan)?;
            self.parts.wallets.books.tariffs.add(plan, revision, rates);
        }
        let snapshot = Snapshot::try_from(wire)?;
        if self.generation.is_some_and(|known| snapshot.generation > known) {
            // The stream that says so belongs to the older ledger: it ends, and the next one starts over.
            self.hear_generation(snapshot.generation);
            self.health_changed();
            return Ok(());
        }
        let wallet = snapshot.wallet;
        self.nodes[node].untold.remove(&wallet);
        let Some(entry) = self.parts.wallets.get(wallet) else { return Ok(()) };
        if entry.node() != Some(node) {
            // Its new node tells all there is, and repeats nothing that an old one says in between.
            return Ok(());
        }
        let as_of = self.nodes[node].sent_at(snapshot.answered_seq);
        if !self.has_recovered(wallet, as_of) {
            self.nodes[node].doubtful.insert(wallet);
            return Ok(());
        }
        match self.with_own(|own| entry.snapshot(&snapshot, as_of, own)) {
            Ok(merged) => {
                self.paces.heard(&entry, &merged, self.parts.clock.monotonic());
                match merged.taken {
                    Taken::Whole => self.nodes[node].doubtful.remove(&wallet),
                    Taken::Partly | Taken::Ignored => self.nodes[node].doubtful.insert(wallet),
                };
            }
            Err(failure) => {
                self.nodes[node].doubtful.insert(wallet);
                error!(%wallet, error = &failure as &dyn std::error::Error, "snapshot is not taken");
            }
        }
        self.parts.wallet_waits.wake(&wallet);
        Ok(())
    }

    fn fresh(&mut self, node: usize, fresh: &v1::Fresh) -> Result<(), WireError> {
        let Some(as_of) = self.nodes[node].sent_at(fresh.answered_seq) else { return Ok(()) };
        for wallet in tollgate_proto::wallets("wallets", &fresh.wallets)? {
            if self.nodes[node].untold.contains(&wallet) {
                continue;
            }
            if self.nodes[node].doubtful.remove(&wallet) {
                // What it confirms was not taken: ask for a snapshot again.
                self.nodes[node].subscribe.push(wallet);
            } else if let Some(entry) = self.parts.wallets.get(wallet)
                && entry.node() == Some(node)
                && entry.fresh(as_of)
            {
                self.parts.wallet_waits.wake(&wallet);
            }
        }
        Ok(())
    }

    fn no_wallet(&mut self, node: usize, none: &v1::NoWallet) -> Result<(), WireError> {
        let wallet = tollgate_proto::wallet("wallet", &none.wallet)?;
        self.nodes[node].doubtful.remove(&wallet);
        self.nodes[node].untold.remove(&wallet);
        if let Some(entry) = self.parts.wallets.get(wallet) {
            entry.set_absent();
        }
        self.parts.wallet_waits.wake(&wallet);
        Ok(())
    }

    fn refused(&mut self, node: usize, refused: &v1::Refused) -> Result<(), WireError> {
        let incarnation = tollgate_proto::incarnation("incarnation", &refused.incarnation)?;
        let node_book = &mut self.nodes[node];
        // Suspense is durable up to a report, as registers are; the other reasons are about one.
        let lost = match refused.reason() {
            v1::RefusedReason::Fenced => node_book.take_up_to(incarnation.id, refused.seq),
            // The report was taken: what became of it is said as of any other.
            v1::RefusedReason::Retired => Vec::new(),
            v1::RefusedReason::Ahead
            | v1::RefusedReason::Unregistered
            | v1::RefusedReason::NotServing
            | v1::RefusedReason::Unspecified => node_book.take_one(incarnation.id, refused.seq),
        };
        let address = self.parts.clients[node].address();
        let (seq, reason) = (refused.seq, refused.reason());
        match reason {
            v1::RefusedReason::Fenced => {
                warn!(address, %incarnation, seq, "reports are fenced: units went to suspense");
                // They are in the ledger, where a person looks after them.
                self.acknowledge(lost);
                if self.is_current(incarnation.id) {
                    self.begin_life(None);
                }
            }
            v1::RefusedReason::Retired => {
                warn!(address, %incarnation, "an operator retired this incarnation: another takes calls");
                if self.is_current(incarnation.id) {
                    self.parts.wallets.books.lives.switch(None);
                    self.begin_life(None);
                }
            }
            v1::RefusedReason::Unregistered => {
                self.report_again(lost);
                self.register_again(incarnation.id);
            }
            v1::RefusedReason::Ahead => {
                error!(address, seq, "report is ahead of the service: set this machine's clock");
                self.report_again(lost);
            }
            v1::RefusedReason::NotServing | v1::RefusedReason::Unspecified => {
                warn!(address, seq, ?reason, "node takes no reports; another is used");
                self.report_again(lost);
                self.end_stream(node);
            }
        }
        Ok(())
    }

    fn forget(&mut self, forget: &v1::Forget) -> Result<(), WireError> {
        let keys = forget.key_sha256.iter().filter_map(|key| key.as_slice().try_into().ok());
        let developers = forget.developers.iter().map(|id| uuid("developers", id).map(DeveloperId));
        let products = forget.products.iter().map(|id| uuid("products", id).map(ProductId));
        let what = Forgotten {
            keys: keys.collect(),
            developers: developers.collect::<Result<_, _>>()?,
            products: products.collect::<Result<_, _>>()?,
            is_everything: forget.everything,
        };
        self.parts.callers.forget(&what);
        Ok(())
    }

    fn local_view(&mut self, node: usize, asked: &v1::LocalViewQuestion) -> Result<(), WireError> {
        let wallet = tollgate_proto::wallet("wallet", &asked.wallet)?;
        let now = self.now();
        let life = self.own.listed.last().map(|life| self.parts.wallets.books.lives.get(*life));
        let known = self.parts.wallets.get(wallet).and_then(|entry| Some((entry.view()?, entry)));
        let view = known.map(|(view, entry)| v1::LocalView {
            gateway: self.parts.gateway.clone(),
            incarnation: life.map(|life| life.file.incarnation().into()),
            balance: Some(view.balance.into()),
            held: Some(view.held.into()),
            available: Some(view.available.into()),
            staleness_ms: view.as_of.map_or(u64::MAX, |as_of| {
                u64::try_from(now.saturating_sub(as_of).as_millis()).unwrap_or(u64::MAX)
            }),
            not_durable: Some(entry.not_durable().into()),
            version: view.version,
        });
        let answer = v1::LocalViewAnswer { question: asked.question, view };
        self.nodes[node].send(ToNode::LocalView(answer));
        Ok(())
    }

    fn is_current(&self, incarnation: uuid::Uuid) -> bool {
        let current = self.parts.wallets.books.lives.current();
        current.is_some_and(|life| Arc::as_ref(&life.file).incarnation().id == incarnation)
    }
}
