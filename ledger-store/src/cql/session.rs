//! Finds the cluster at start.

use std::num::NonZeroUsize;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::client::{Compression, PoolSize};
use tokio::time::Instant;

use super::config::CqlConfig;
use super::outcome::{self, chain};
use super::statements::schema;
use crate::error::LedgerError;

/// First and longest wait between attempts to reach the cluster.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// Most time to open one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How often an idle connection is tried, and how long that may take: a node that is gone
/// without a word is noticed after both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects, trying again until the start timeout: after a restart of the whole cluster, nodes
/// accept connections before they can serve.
pub(super) async fn connect(config: &CqlConfig) -> Result<Session, LedgerError> {
    let deadline = Instant::now() + Duration::from_millis(config.start_timeout_ms);
    let mut wait = RETRY_FIRST;
    loop {
        match builder(config)?.build().await {
            Ok(session) => return Ok(session),
            Err(error) if Instant::now() + wait >= deadline => {
                return Err(outcome::unavailable("connect to the cluster", error));
            }
            Err(error) => {
                tracing::warn!(
                    nodes = ?config.nodes,
                    error = %chain(&error),
                    retry_ms = wait.as_millis(),
                    "ledger is not reachable yet"
                );
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_LONGEST);
    }
}

/// The datacenter to stay in: the configured one, or that of the node that answers.
pub(super) async fn datacenter(
    session: &Session,
    config: &CqlConfig,
) -> Result<String, LedgerError> {
    let datacenter = match &config.datacenter {
        Some(datacenter) => datacenter.clone(),
        None => local_datacenter(session).await?,
    };
    let state = session.get_cluster_state();
    let known: Vec<&str> =
        state.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref()).collect();
    if known.contains(&datacenter.as_str()) {
        return Ok(datacenter);
    }
    Err(LedgerError::NotOurs {
        detail: format!("datacenter {datacenter:?} has no node; nodes are in {known:?}"),
    })
}

/// How many nodes a datacenter has.
pub(super) fn node_count(session: &Session, datacenter: &str) -> usize {
    let state = session.get_cluster_state();
    let is_in = |name: &Option<String>| name.as_deref() == Some(datacenter);
    state.get_nodes_info().iter().filter(|node| is_in(&node.datacenter)).count()
}

async fn local_datacenter(session: &Session) -> Result<String, LedgerError> {
    let what = "read the datacenter's name";
    let result = session.query_unpaged(schema::LOCAL_DATACENTER, ()).await;
    let rows = result
        .map_err(|error| outcome::unavailable(what, error))?
        .into_rows_result()
        .map_err(|error| outcome::misread(what, error))?;
    let (name,) = rows.single_row::<(String,)>().map_err(|error| outcome::misread(what, error))?;
    Ok(name)
}

fn builder(config: &CqlConfig) -> Result<SessionBuilder, LedgerError> {
    let per_node = NonZeroUsize::new(config.connections_per_node).unwrap_or(NonZeroUsize::MIN);
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.nodes)
        .compression(Some(Compression::Lz4))
        .pool_size(PoolSize::PerHost(per_node))
        .connection_timeout(CONNECT_TIMEOUT)
        .keepalive_interval(KEEPALIVE_INTERVAL)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        .fetch_schema_metadata(false);
    if let (Some(user), Some(password)) = (&config.user, &config.password) {
        builder = builder.user(user, password);
    }
    Ok(builder)
}
