//! `tollgate balance-sync --config FILE`.

use std::net::SocketAddr;

use serde::Deserialize;

use super::file::{Checked, Problem};
use super::secret::SecretPlace;
use super::sections::{LedgerSection, LogSection, ManagementSection, MetricsSection, ServerTls};
use crate::telemetry::TelemetryConfig;

/// A balance-sync node's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeFile {
    /// Where gateways and people connect over gRPC.
    pub(crate) sync: NodeSection,
    /// Where the management API is; absent: this node has none.
    pub(crate) management: Option<ManagementSection>,
    /// The ledger.
    pub(crate) ledger: LedgerSection,
    /// Who may do what.
    #[serde(default)]
    pub(crate) token: Vec<TokenSection>,
    /// Where its metrics and health are.
    pub(crate) metrics: MetricsSection,
    /// Where traces and metrics are sent.
    #[serde(default)]
    pub(crate) telemetry: TelemetryConfig,
    /// How log lines look.
    #[serde(default)]
    pub(crate) log: LogSection,
}

/// `[sync]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeSection {
    /// Address and port; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Present: TLS. Absent: plain HTTP/2.
    pub(crate) tls: Option<ServerTls>,
    /// What a client with a certificate of `tls.client_ca_file` may do.
    #[serde(default = "gateway")]
    pub(crate) certificate_role: Role,
    /// How late what gateways reported of a rich wallet is written to the ledger, a poor one being written at once; absent:
    /// two seconds.
    pub(crate) persist_interval_ms: Option<u64>,
}

/// `[[token]]`: a bearer token.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenSection {
    /// Whose it is, for logs and the journal; unique.
    pub(crate) name: String,
    /// Where the token itself is.
    pub(crate) secret: SecretPlace,
    /// What its bearer may do.
    pub(crate) role: Role,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Be a gateway: report spend, resolve keys.
    Gateway,
    /// Read balances.
    BalancesRead,
    /// Everything, the management API included.
    Admin,
}

fn gateway() -> Role {
    Role::Gateway
}

// === impl NodeFile ===

impl Checked for NodeFile {
    fn check(&self) -> Result<(), Problem> {
        self.ledger.check()?;
        if self.sync.persist_interval_ms == Some(0) {
            return Err(Problem::at("sync.persist_interval_ms", "must be above 0"));
        }
        for (place, token) in self.token.iter().enumerate() {
            if token.name.is_empty() {
                return Err(Problem::at("token.name", "must not be empty"));
            }
            if self.token[..place].iter().any(|other| other.name == token.name) {
                return Err(Problem::in_entry(
                    "token",
                    &token.name,
                    "name",
                    "another token has this name",
                ));
            }
        }
        let is_there = |role| self.token.iter().any(|token| token.role == role);
        let has_certificates =
            self.sync.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        if !is_there(Role::Gateway) && !is_there(Role::Admin) && !has_certificates {
            let text = "no token has the role \"gateway\" and no certificate is asked for: no gateway could connect";
            return Err(Problem::at("token", text));
        }
        if self.management.is_some() && !is_there(Role::Admin) {
            return Err(Problem::at(
                "management",
                "no token has the role \"admin\": nobody could use it",
            ));
        }
        self.telemetry.check()
    }
}
