//! Sections that several configuration files have.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tollgate_ledger_store::LedgerError;
use tollgate_ledger_store::cql::CqlConfig;
use tollgate_management::{JwtSettings, KeyPlace};

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

/// `[jwt]`: an OpenID Connect issuer whose JWTs the management API takes beside tokens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JwtSection {
    /// `iss` has to be this.
    pub(crate) issuer: String,
    /// `aud` has to be this, or have it.
    pub(crate) audience: String,
    /// The issuer's JSON Web Key Set in a file; this or `jwks_url`.
    pub(crate) jwks_file: Option<PathBuf>,
    /// The same by http:// or https://.
    pub(crate) jwks_url: Option<String>,
    /// The claim with the role; dots lead into objects.
    #[serde(default = "role_claim")]
    pub(crate) role_claim: String,
    /// The claim with the organization that the bearer is bound to.
    #[serde(default = "organization_claim")]
    pub(crate) organization_claim: String,
    /// The claim with the bearer's name.
    #[serde(default = "name_claim")]
    pub(crate) name_claim: String,
    /// How far the issuer's clock may be off.
    #[serde(default = "leeway_ms")]
    pub(crate) leeway_ms: u32,
    /// How old the issuer's keys may get.
    #[serde(default = "refresh_interval_ms")]
    pub(crate) refresh_interval_ms: u32,
}

fn role_claim() -> String {
    "role".to_owned()
}

fn organization_claim() -> String {
    "organization".to_owned()
}

fn name_claim() -> String {
    "sub".to_owned()
}

fn leeway_ms() -> u32 {
    60_000
}

fn refresh_interval_ms() -> u32 {
    300_000
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

// === impl JwtSection ===

impl JwtSection {
    /// What the management API is told.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub(crate) fn settings(&self) -> Result<JwtSettings, Problem> {
        let url = |text: &String| {
            let url = text.parse::<http::Uri>().ok().filter(|url| {
                url.host().is_some() && matches!(url.scheme_str(), Some("http" | "https"))
            });
            let text = "must begin with http:// or https://";
            url.map(KeyPlace::Url).ok_or_else(|| Problem::at("jwt.jwks_url", text))
        };
        let keys = match (&self.jwks_file, &self.jwks_url) {
            (Some(path), None) => KeyPlace::File(path.clone()),
            (None, Some(text)) => url(text)?,
            (None, None) | (Some(_), Some(_)) => {
                return Err(Problem::at("jwt", "needs either jwks_file or jwks_url"));
            }
        };
        for (key, text) in [("jwt.issuer", &self.issuer), ("jwt.audience", &self.audience)] {
            if text.is_empty() {
                return Err(Problem::at(key, "must not be empty"));
            }
        }
        Ok(JwtSettings {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            keys,
            role_claim: self.role_claim.clone(),
            organization_claim: self.organization_claim.clone(),
            name_claim: self.name_claim.clone(),
            leeway: Duration::from_millis(u64::from(self.leeway_ms)),
            refresh: Duration::from_millis(u64::from(self.refresh_interval_ms)),
        })
    }
}

/// What the management API is told of an issuer, where there is one.
///
/// # Errors
/// The first value that cannot be used.
pub(crate) fn jwt_settings(section: Option<&JwtSection>) -> Result<Option<JwtSettings>, Problem> {
    section.map(JwtSection::settings).transpose()
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
