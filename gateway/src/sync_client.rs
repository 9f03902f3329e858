//! The gateway's side of the exchange with balance-sync.
//!
//! One task, the `Hub`, owns all bookkeeping: which node tells about which wallet, what was reported on which stream and is
//! not durable yet, which incarnations are the gateway's own, which files of earlier processes still have units to report.
//! One task a node keeps its stream (`connection`) and passes messages both ways. So nothing here is locked, and every event
//! is handled whole.
//!
//! At each tick of `sync_interval_min_ms` the wallets that are due are collected and reported to their nodes, chosen by
//! rendezvous hashing over those that serve: at once what its calls, or others', bring near its limit, the rest as its pace says,
//! `sync_interval_max_ms` after its change at the latest (`hub::paces`, `metering::pace`). A report without content is a heartbeat,
//! sent on a stream that was silent, whose answer tells how old snapshots are. What a stream did not call durable before it broke
//! is reported again on the next.
//!
//! Invariants: a register is acknowledged in its spend file only after a node called the report that carried it durable in the
//! ledger's current generation; an incarnation leaves the own list only after its final report was durable.
//! Bounds: named constants beside what they bound. Not here: admission (`metered`), arithmetic (`metering::wallet`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tollgate_metering::WalletId;

pub use self::settings::{SettingsError, SyncSettings, SyncTls, Token};

pub(crate) use self::hub::{Hub, Parts, unborn};
pub(crate) use self::metrics::SyncMetrics;
pub(crate) use self::nodes::NodeClient;

mod connection;
mod hub;
mod metrics;
mod nodes;
mod settings;

/// Commands that wait for the hub.
pub(crate) const COMMANDS_MAX: usize = 65_536;

/// What the rest of the gateway asks of the hub.
#[derive(Debug)]
pub(crate) enum Command {
    /// Somebody waits for this wallet.
    Subscribe(WalletId),
    /// Admit nothing more, make everything durable, say when.
    Drain(oneshot::Sender<()>),
}

/// What the rest of the gateway may look at.
#[derive(Debug, Default)]
pub(crate) struct Status {
    /// Nodes with a stream.
    nodes_up: AtomicU32,
    /// Monotonic time of the hub's newest tick, in ms.
    ticked_ms: AtomicU64,
}

/// Sends commands to the hub.
#[derive(Debug, Clone)]
pub(crate) struct HubHandle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) status: Arc<Status>,
}

// === impl Status ===

impl Status {
    pub(crate) fn has_node(&self) -> bool {
        self.nodes_up.load(Ordering::Relaxed) > 0
    }

    fn set_nodes_up(&self, count: usize) {
        self.nodes_up.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// How long ago the hub last did its work.
    pub(crate) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.ticked_ms.load(Ordering::Relaxed)))
    }

    fn tick(&self, now: Duration) {
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.ticked_ms.store(now_ms, Ordering::Relaxed);
    }
}
