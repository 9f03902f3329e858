//! The ledger on Apache Cassandra or ScyllaDB.
//!
//! Two kinds of tables that never mix: what is changed under a condition (accounts, documents,
//! the registry), one partition a developer, document scope or incarnation, by Paxos; and what
//! incarnations report (registers, holds, usage, suspense), by plain writes whose timestamps make
//! every repetition and reordering harmless. No counter columns, no materialized views, no logged
//! batches, no time to live on money.
//!
//! Invariants: a keyspace holds one generation, so nothing in flight to an older one lands here;
//! a part of an account is read with SERIAL or not at all; a conditional write is never repeated
//! by the driver, and its error says "certainly not applied" only where that is certain.
//! Bounds: a call has at most `writes_in_flight_max` writes in flight; timeouts are those of
//! [`CqlConfig`]. Not here: when to fold, close, purge (`metering`), retries of changes (`book`).

mod account;
mod cluster;
mod config;
mod contention;
mod documents;
mod entries;
mod generation;
mod header;
mod keys;
mod ledger;
mod node_metrics;
mod outcome;
mod registers;
mod registry;
mod schema;
mod session;
mod statements;
mod suspense;
mod usage;
mod values;
mod wallets;

use std::sync::Arc;

use scylla::client::session::Session;

use self::cluster::Cluster;
pub use self::config::CqlConfig;
pub use self::node_metrics::NodeMetrics;
use self::statements::{Profiles, Statements};
use self::usage::DaysKnown;
use self::wallets::DevelopersKnown;
use crate::error::LedgerError;
use crate::metrics::LedgerMetrics;

/// A ledger in a keyspace.
#[derive(Debug)]
pub struct CqlLedger {
    cluster: Arc<Cluster>,
    generation: u32,
    days: DaysKnown,
    developers: DevelopersKnown,
    metrics: LedgerMetrics,
}

// === impl CqlLedger ===

impl CqlLedger {
    /// Connects to a cluster, waiting for it at most `start_timeout_ms`, and makes or migrates the
    /// keyspace of the configured generation.
    ///
    /// # Errors
    /// [`LedgerError::NotOurs`] where the settings or the keyspace do not fit,
    /// [`LedgerError::Unavailable`] where the cluster does not answer.
    pub async fn connect(
        config: &CqlConfig,
        metrics: LedgerMetrics,
        nodes: NodeMetrics,
    ) -> Result<CqlLedger, LedgerError> {
        let (session, datacenter) = Self::session(config).await?;
        schema::migrate(&session, config, &datacenter).await?;
        let cluster = Self::cluster(session, config, &datacenter, nodes).await?;
        generation::adopt(&cluster, config.generation).await?;
        Ok(Self::opened(cluster, config, metrics))
    }

    /// Connects to a keyspace as a node left it: nothing is made, migrated or adopted, so that
    /// looking at a ledger under a name with a slip in it leaves no ledger of that name behind.
    ///
    /// # Errors
    /// Those of [`Self::connect`]; [`LedgerError::NotOurs`] also where there is no keyspace, or one
    /// that a node of this version has not opened yet.
    pub async fn connect_existing(
        config: &CqlConfig,
        metrics: LedgerMetrics,
        nodes: NodeMetrics,
    ) -> Result<CqlLedger, LedgerError> {
        let (session, datacenter) = Self::session(config).await?;
        schema::expect_current(&session, config).await?;
        let cluster = Self::cluster(session, config, &datacenter, nodes).await?;
        generation::expect(&cluster, config.generation).await?;
        Ok(Self::opened(cluster, config, metrics))
    }

    async fn session(config: &CqlConfig) -> Result<(Session, String), LedgerError> {
        config.check()?;
        let session = session::connect(config).await?;
        let datacenter = session::datacenter(&session, config).await?;
        Ok((session, datacenter))
    }

    async fn cluster(
        session: Session,
        config: &CqlConfig,
        datacenter: &str,
        nodes: NodeMetrics,
    ) -> Result<Cluster, LedgerError> {
        let profiles = Profiles::new(config, datacenter);
        let statements = Statements::prepare(&session, &config.keyspace(), &profiles)
            .await
            .map_err(|error| outcome::unavailable("prepare the statements", error))?;
        let writes_in_flight_max = config.writes_in_flight_max;
        tracing::info!(keyspace = config.keyspace(), datacenter, "keyspace opened");
        Ok(Cluster { session, statements, profiles, metrics: nodes, writes_in_flight_max })
    }

    fn opened(cluster: Cluster, config: &CqlConfig, metrics: LedgerMetrics) -> CqlLedger {
        CqlLedger {
            cluster: Arc::new(cluster),
            generation: config.generation,
            days: DaysKnown::default(),
            developers: DevelopersKnown::default(),
            metrics,
        }
    }
}
