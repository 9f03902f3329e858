//! How a shard tells a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc};
use tollgate_metering::WalletId;
use tollgate_metering::node::Arrival;
use tollgate_metering::protocol::Snapshot;

use crate::refusal::Refusal;

/// What a stream is told by a shard.
pub(crate) enum Told {
    /// The wallet is as this says.
    Snapshot(Box<Snapshot>),
    /// These wallets were read again and are as they were.
    Fresh { answered_seq: i64, wallets: Vec<WalletId> },
    /// There is no such wallet.
    NoWallet(WalletId),
    /// The wallet's mode changes: it is to be acknowledged.
    Mode { wallet: WalletId, mode: u64 },
    /// The stream cannot go on.
    End(Refusal),
}

/// The way from one shard to one stream.
#[derive(Clone)]
pub(crate) struct Sink {
    told: mpsc::Sender<Told>,
    settled: Arc<Settled>,
}

/// How far each shard has persisted a stream's reports.
#[derive(Default)]
pub(crate) struct Settled {
    through: Box<[AtomicU64]>,
    changed: Notify,
}

// === impl Sink ===

impl Sink {
    pub(crate) fn new(told: mpsc::Sender<Told>, settled: Arc<Settled>) -> Sink {
        Sink { told, settled }
    }

    /// Whether it was taken; not while the stream's queue is full.
    pub(crate) fn tell(&self, told: Told) -> bool {
        self.told.try_send(told).is_ok()
    }

    /// Ends the stream; where its queue is full, it will end for that.
    pub(crate) fn end(&self, refusal: Refusal) {
        let _ = self.told.try_send(Told::End(refusal));
    }

    /// Everything up to the stream's `through`-th report is durable as far as the shard goes.
    pub(crate) fn settle(&self, shard: usize, through: Arrival) {
        if self.settled.through[shard].fetch_max(through, Ordering::AcqRel) < through {
            self.settled.changed.notify_one();
        }
    }
}

// === impl Settled ===

impl Settled {
    pub(crate) fn of_shards(count: usize) -> Settled {
        let through = (0..count).map(|_| AtomicU64::new(0)).collect();
        Settled { through, changed: Notify::new() }
    }

    /// The newest report such that it and all before it are durable.
    pub(crate) fn through(&self) -> Arrival {
        let through = self.through.iter().map(|each| each.load(Ordering::Acquire));
        through.min().unwrap_or(0)
    }

    /// Waits for a change.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
