//! Sections that several configuration files have.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use tollgate_ledger_store::LedgerError;
use tollgate_ledger_store::cql::CqlConfig;

use super::file::Problem;
use super::secret::SecretPlace;
use crate::telemetry::LogFormat;

/// `[log]`: how lines on stderr look; `RUST_LOG` chooses which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSection {
    /// Text or JSON.
    pub(crate) format: LogFormat,
}

/// `[metrics]`: where metrics and health are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsSection {
    /// Address and port; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
}

/// `[management]`: where the management API is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManagementSection {
    /// Address and port; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
}

/// The certificate of a server, and whether clients need one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerTls {
    /// PEM file with the certificate chain, leaf first.
    pub(crate) certificate_file: PathBuf,
    /// PEM file with the private key.
    pub(crate) key_file: PathBuf,
    /// PEM file with the authorities that may sign clients' certificates; absent: clients need none.
    pub(crate) client_ca_file: Option<PathBuf>,
}

/// `[ledger]`: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerSection {
    /// A file on this machine.
    pub(crate) sqlite: Option<SqliteSection>,
    /// An Apache Cassandra or ScyllaDB cluster.
    pub(crate) cassandra: Option<CassandraSection>,
}

/// `[ledger.sqlite]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqliteSection {
    /// The folder of the file; the newest generation in it is opened, and created where there is none.
    pub(crate) folder: PathBuf,
}

/// `[ledger.cassandra]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CassandraSection {
    /// Some nodes, `host:port`; the others are found through them.
    pub(crate) nodes: Vec<String>,
    /// The keyspace is `<keyspace_prefix>_g<generation>`; created where there is none.
    #[serde(default = "tollgate")]
    pub(crate) keyspace_prefix: String,
    /// The ledger's generation, from 1; raised by one when a backup is restored.
    #[serde(default = "one")]
    pub(crate) generation: u32,
    /// Copies of every row in a keyspace that is created.
    #[serde(default = "three")]
    pub(crate) replication_factor: u32,
    /// The data centre whose nodes are asked; absent: that of the node that answers first.
    pub(crate) datacenter: Option<String>,
    /// Whom to log in as; absent: nobody.
    pub(crate) user: Option<String>,
    /// The user's password.
    pub(crate) password: Option<SecretPlace>,
    /// How long a start waits for the cluster.
    #[serde(default = "start_timeout_ms")]
    pub(crate) start_timeout_ms: u64,
}

fn tollgate() -> String {
    "tollgate".to_owned()
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn start_timeout_ms() -> u64 {
    60_000
}

// === impl LedgerSection ===

impl LedgerSection {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        match (&self.sqlite, &self.cassandra) {
            (Some(_), None) => Ok(()),
            (None, Some(cassandra)) => cassandra.check(),
            (Some(_), Some(_)) | (None, None) => {
                Err(Problem::at("ledger", "needs either [ledger.sqlite] or [ledger.cassandra]"))
            }
        }
    }
}

// === impl CassandraSection ===

impl CassandraSection {
    /// What the backend is told. `password` is what [`Self::password`] names, once it was read.
    pub(crate) fn config(&self, password: Option<String>) -> CqlConfig {
        CqlConfig {
            keyspace_prefix: self.keyspace_prefix.clone(),
            generation: self.generation,
            replication_factor: self.replication_factor,
            datacenter: self.datacenter.clone(),
            user: self.user.clone(),
            password,
            start_timeout_ms: self.start_timeout_ms,
            ..CqlConfig::new(self.nodes.clone())
        }
    }

    /// The backend's own check; secrets are not read for it.
    fn check(&self) -> Result<(), Problem> {
        let config = self.config(self.password.as_ref().map(|_| String::new()));
        config.check().map_err(|error| match error {
            LedgerError::NotOurs { detail } => {
                let (key, text) = detail.split_once(": ").unwrap_or(("nodes", &detail));
                let key = key.split(' ').next().unwrap_or(key);
                Problem::at(&format!("ledger.cassandra.{key}"), text)
            }
            other => Problem::at("ledger.cassandra", other.to_string()),
        })
    }
}
