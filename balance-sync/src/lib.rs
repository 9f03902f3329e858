//! The balance-sync node: reconciles gateways with the ledger.
//!
//! ```text
//! gateway ─ stream ─ session ─┬─ shard 0 ─┐   one actor owns the machines of its wallets
//! gateway ─ stream ─ session ─┼─ shard 1 ─┼─ ledger
//!              forget ────────┘   guard ──┤   clock and generation: does this node serve?
//!              catalogue log ─────────────┤   changes → forget, to every stream
//!              registry watch ────────────┤   who has ended or was retired, for strict wallets
//!              housekeeping ──────────────┘   policies, fold, close, horizon, purge, fees
//! ```
//!
//! The node answers from memory and persists behind. What decides money is
//! [`tollgate_metering::node`], a state machine without I/O; here are the sockets, timers and
//! tasks around it. Any number of nodes serve one ledger; each of them may be killed at any time,
//! because nothing is called durable that the ledger did not acknowledge.
//!
//! Invariants: a wallet is touched by one shard only; every queue and map has a cap
//! ([`settings`]); a report is durable on a stream when every shard says so; a ceiling is told
//! after its commit; no lock is held across an await. Not here: prices, balances and what is
//! granted (`metering`), storage (`ledger-store`), credits, adjustments and policies
//! (`management`), which tell this node of them by [`Changes`] and ask it for bounds by
//! [`Exposures`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tollgate_ledger_store::Ledger;
use tollgate_ledger_store::catalogue::Catalogue;
use tollgate_ledger_store::clock::Clock;
use tonic::transport::server::{Connected, TcpIncoming};

mod access;
mod admission;
mod catalogue_log;
mod changes;
mod exposures;
mod guard;
mod housekeeping;
mod incarnations;
mod metrics;
mod node;
mod prices;
pub mod refusal;
mod server;
mod service;
mod service_clock;
mod session;
pub mod settings;
mod shard;
mod standing;

pub use access::{Access, Token};
pub use changes::Changes;
pub use exposures::Exposures;
pub use settings::{ExposureTerms, Settings, Tls};
pub use standing::{Standing, StandingWatch};
pub use tollgate_ledger_store::Role;

use node::{Node, NodeParts};
use settings::COMMANDS_MAX;
use shard::{Command, Shard};

/// How long open streams may take to end once everything is persisted.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// What a node is made of.
pub struct Parts {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The catalogue over the same ledger; prices come from it as well.
    pub catalogue: Arc<Catalogue>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// What the node is told.
    pub settings: Settings,
    /// Where its metrics are registered.
    pub registry: prometheus::Registry,
    /// Through which the rest of the process says what it changed.
    pub changes: Changes,
    /// Through which the node says whether it serves.
    pub standing: StandingWatch,
    /// Through which it tells how far calls may take wallets below their floor.
    pub exposures: Exposures,
}

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A metric of that name is registered already.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
    /// Certificate or key cannot be used, or the listener failed.
    #[error("cannot serve")]
    Serve(#[from] tonic::transport::Error),
    /// The description of the services cannot be read.
    #[error("cannot describe the services")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The listener failed.
    #[error("cannot use the listener")]
    Listener(#[from] std::io::Error),
}

/// Serves until `shutdown`, then persists what is known, says what is durable, and ends.
///
/// # Errors
/// A [`RunError`]; a ledger that is away is none.
pub async fn run(
    listener: TcpListener,
    parts: Parts,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    run_over(TcpIncoming::from(listener).with_nodelay(Some(true)), parts, shutdown).await
}

/// Serves connections that are passed in, of any kind, until `shutdown`.
///
/// # Errors
/// As [`run`].
#[doc(hidden)]
pub async fn run_over<C>(
    connections: impl Stream<Item = io::Result<C>>,
    parts: Parts,
    shutdown: CancellationToken,
) -> Result<(), RunError>
where
    C: AsyncRead + AsyncWrite + Connected + Send + Unpin + 'static,
{
    let Parts { ledger, catalogue, clock, settings, registry, changes, standing, exposures } =
        parts;
    let metrics = metrics::Metrics::register(&registry)?;
    let count = match settings.shards {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    let (shards, commands): (Vec<_>, Vec<_>) =
        (0..count).map(|_| mpsc::channel(COMMANDS_MAX)).unzip();
    let parts = NodeParts { settings, ledger, catalogue, clock, metrics, standing, shards };
    let node = Arc::new(Node::new(parts));
    exposures.answer_by(&node);

    let mut tasks = tokio::task::JoinSet::new();
    for (index, commands) in commands.into_iter().enumerate() {
        tasks.spawn(Shard::new(Arc::clone(&node), index).run(commands));
    }
    tasks.spawn(guard::watch(Arc::clone(&node)));
    tasks.spawn(incarnations::watch(Arc::clone(&node)));
    tasks.spawn(catalogue_log::follow(Arc::clone(&node), changes.clone()));
    tasks.spawn(housekeeping::keep(Arc::clone(&node)));
    tasks.spawn(housekeeping::fees::keep(Arc::clone(&node)));
    tasks.spawn(pass_changes(Arc::clone(&node), changes));

    let ended = CancellationToken::new();
    let mut server = Box::pin(server::serve(connections, Arc::clone(&node), ended.clone()));
    tokio::select! {
        served = &mut server => return served,
        () = shutdown.cancelled() => {}
    }
    drain(&node).await;
    ended.cancel();
    match tokio::time::timeout(END_TIMEOUT, server).await {
        Ok(served) => served,
        Err(_) => {
            tracing::warn!("connections were still open at the end");
            Ok(())
        }
    }
}

/// Persists everything, then lets streams say so and end.
async fn drain(node: &Arc<Node>) {
    node.standing.set(Standing::Draining);
    let drained = async {
        let mut answers = Vec::new();
        for shard in 0..node.shards.len() {
            let (answer, answered) = oneshot::channel();
            if node.to_shard(shard, Command::Drain { answer }).await.is_ok() {
                answers.push(answered);
            }
        }
        futures_util::future::join_all(answers).await;
    };
    if tokio::time::timeout(node.settings.drain_timeout, drained).await.is_err() {
        tracing::warn!("the ledger did not take everything in time; gateways send it again");
    }
    node.drained.cancel();
}

/// Tells shards of wallets that this process changed.
async fn pass_changes(node: Arc<Node>, changes: Changes) {
    loop {
        for wallet in changes.wallets().await {
            if node.to_shard_of(wallet, Command::Changed { wallet }).await.is_err() {
                return;
            }
        }
    }
}
