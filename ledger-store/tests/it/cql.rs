//! Cassandra: the conformance suite on three real nodes, and what only a cluster can do wrong.
//!
//! `TOLLGATE_CASSANDRA` names the nodes (`host:port,…`), `TOLLGATE_CASSANDRA_SCRIPT` the script that
//! kills and starts them; `make test` sets both. Properties of the suite share a keyspace; a
//! keyspace whose test process is gone is dropped by the next one.

mod cluster;
mod copy;
mod faults;
mod opening;
mod writes;

use std::sync::Arc;

use tollgate_ledger_store::{DocumentStore, Ledger};

use self::cluster::{Guard, connect, shared_prefix};
use self::copy::Copied;
use crate::conformance::{Backend, conformance};

/// A keyspace as one node sees it.
pub(crate) struct Cassandra {
    config: tollgate_ledger_store::CqlConfig,
    ledger: Arc<tollgate_ledger_store::CqlLedger>,
    /// Nodes stay up while a property runs.
    _guard: Arc<Guard>,
}

// === impl Cassandra ===

impl Backend for Cassandra {
    type Backup = Copied;

    async fn fresh() -> Cassandra {
        let guard = Arc::new(Guard::shared().await);
        let config = cluster::config(shared_prefix().await);
        let ledger = Arc::new(connect(&config).await);
        Cassandra { config, ledger, _guard: guard }
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::clone(&self.ledger) as Arc<dyn Ledger>
    }

    fn documents(&self) -> Arc<dyn DocumentStore> {
        Arc::clone(&self.ledger) as Arc<dyn DocumentStore>
    }

    async fn another(&self) -> Arc<dyn Ledger> {
        Arc::new(connect(&self.config).await)
    }

    async fn backup(&self) -> Copied {
        Copied::of(&self.config.keyspace()).await
    }

    /// As an operator does it: the tables of the next generation's keyspace are made and filled
    /// from the backup, and then a node of the next generation starts.
    async fn restore(&self, backup: Copied) -> Cassandra {
        let mut config = cluster::config(&cluster::new_prefix());
        config.generation = self.config.generation + 1;
        drop(connect(&config).await);
        backup.restore_to(&config.keyspace()).await;
        let ledger = Arc::new(connect(&config).await);
        Cassandra { config, ledger, _guard: Arc::clone(&self._guard) }
    }
}

conformance!(conforms, Cassandra);
