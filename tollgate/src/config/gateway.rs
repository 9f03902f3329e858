//! `tollgate gateway --config FILE`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use tollgate_gateway::config::{ConfigError, Limits, Listener, ListenerTls, Proxy};
use tollgate_gateway::sync_client::{SettingsError, SyncSettings, SyncTls};

use super::file::{Checked, Problem, Step};
use super::secret::SecretPlace;
use super::sections::{LogSection, MetricsSection};
use crate::telemetry::TelemetryConfig;

/// A gateway's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewayFile {
    /// Where callers connect, and where the gateway keeps its spend.
    pub(crate) gateway: GatewaySection,
    /// Which balance-sync nodes it talks to.
    pub(crate) sync: SyncSection,
    /// How it keeps wallets.
    #[serde(default)]
    pub(crate) wallets: WalletsSection,
    /// What it takes at most.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// Its proxies.
    #[serde(default)]
    pub(crate) proxy: Vec<Proxy>,
    /// Where its metrics and health are.
    pub(crate) metrics: MetricsSection,
    /// Where traces and metrics are sent.
    #[serde(default)]
    pub(crate) telemetry: TelemetryConfig,
    /// How log lines look.
    #[serde(default)]
    pub(crate) log: LogSection,
}

/// `[gateway]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewaySection {
    /// Its name, for people; absent: the machine's.
    pub(crate) name: Option<String>,
    /// Address and port; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Present: TLS with ALPN. Absent: HTTP/1.1 and h2c on the same port.
    pub(crate) tls: Option<ListenerTls>,
    /// Where its spend files are; it must survive restarts.
    pub(crate) data_dir: PathBuf,
    /// Its environment, where products are limited to some.
    pub(crate) environment: Option<String>,
}

/// `[sync]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SyncSection {
    /// The balance-sync nodes, `http://host:port` or `https://…`.
    pub(crate) nodes: Vec<String>,
    /// The token that they know this gateway by; absent where they know it by its certificate.
    pub(crate) token: Option<SecretPlace>,
    /// TLS to them, for `https://`.
    pub(crate) tls: Option<SyncTls>,
}

/// `[wallets]`: how wallets are kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WalletsSection {
    /// How often what changed is reported, whatever it needs; absent: as it needs.
    pub(crate) sync_interval_ms: Option<u64>,
    /// How soon a wallet near its limit is reported; 20 where absent.
    pub(crate) sync_interval_min_ms: Option<u64>,
    /// How late a wallet far from its limit is reported; 2000 where absent.
    pub(crate) sync_interval_max_ms: Option<u64>,
    /// The oldest balance that admits a call.
    pub(crate) staleness_limit_ms: u64,
    /// The oldest key, product or plan that decides a call.
    pub(crate) catalogue_staleness_limit_ms: u64,
    /// How long a call waits for a key or a wallet that is not in memory.
    pub(crate) fetch_timeout_ms: u64,
    /// How long spend files are kept after the ledger has all that is in them: as long as backups are.
    pub(crate) spend_file_retention_hours: u64,
    /// Wallets in memory; calls on further ones are refused.
    pub(crate) wallets_max: usize,
    /// Keys in memory; further ones push out those that were not used lately.
    pub(crate) callers_max: usize,
}

// === impl WalletsSection ===

impl Default for WalletsSection {
    fn default() -> Self {
        let settings = SyncSettings::new("", "");
        Self {
            sync_interval_ms: settings.sync_interval_ms,
            sync_interval_min_ms: settings.sync_interval_min_ms,
            sync_interval_max_ms: settings.sync_interval_max_ms,
            staleness_limit_ms: settings.staleness_limit_ms,
            catalogue_staleness_limit_ms: settings.catalogue_staleness_limit_ms,
            fetch_timeout_ms: settings.fetch_timeout_ms,
            spend_file_retention_hours: settings.spend_file_retention_hours,
            wallets_max: settings.wallets_max,
            callers_max: settings.callers_max,
        }
    }
}

impl WalletsSection {
    /// Puts these values into a gateway's settings.
    pub(crate) fn put_into(&self, settings: SyncSettings) -> SyncSettings {
        SyncSettings {
            sync_interval_ms: self.sync_interval_ms,
            sync_interval_min_ms: self.sync_interval_min_ms,
            sync_interval_max_ms: self.sync_interval_max_ms,
            staleness_limit_ms: self.staleness_limit_ms,
            catalogue_staleness_limit_ms: self.catalogue_staleness_limit_ms,
            fetch_timeout_ms: self.fetch_timeout_ms,
            spend_file_retention_hours: self.spend_file_retention_hours,
            wallets_max: self.wallets_max,
            callers_max: self.callers_max,
            ..settings
        }
    }

    /// Checks these values as the gateway will.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let node = "http://127.0.0.1:1".to_owned();
        let settings =
            SyncSettings { balance_sync: vec![node], ..SyncSettings::new("gateway", "") };
        check_settings(&self.put_into(settings))
    }
}

/// The gateway's own check of its exchange with balance-sync, by the keys of this file.
fn check_settings(settings: &SyncSettings) -> Result<(), Problem> {
    settings.check().map_err(|error| match error {
        SettingsError::Value { key, problem } => {
            let path = match key {
                "gateway" => "gateway.name".to_owned(),
                "balance_sync" => "sync.nodes".to_owned(),
                key if key.starts_with("tls") || key.starts_with("token") => format!("sync.{key}"),
                key => format!("wallets.{key}"),
            };
            Problem::at(&path, problem)
        }
        SettingsError::Address { address } => Problem::at(
            "sync.nodes",
            format!("{address:?} is not an address like http://host:port"),
        ),
        other @ (SettingsError::File { .. } | SettingsError::Tls(_)) => {
            Problem::at("sync.tls", other.to_string())
        }
    })
}

// === impl GatewayFile ===

impl GatewayFile {
    /// How it meters; the token is not read yet.
    pub(crate) fn settings(&self) -> SyncSettings {
        let name = self.gateway.name.clone().unwrap_or_else(machine_name);
        let mut settings =
            self.wallets.put_into(SyncSettings::new(name, self.gateway.data_dir.join("spend")));
        settings.balance_sync.clone_from(&self.sync.nodes);
        settings.tls.clone_from(&self.sync.tls);
        if let Some(environment) = &self.gateway.environment {
            settings.environment.clone_from(environment);
        }
        settings
    }

    /// Where callers connect.
    pub(crate) fn listener(&self) -> Listener {
        Listener { address: self.gateway.listen, tls: self.gateway.tls.clone() }
    }
}

impl Checked for GatewayFile {
    fn check(&self) -> Result<(), Problem> {
        check_proxies(&self.limits, &self.proxy)?;
        if self.proxy.is_empty() {
            return Err(Problem::at("proxy", "a gateway needs at least one [[proxy]]"));
        }
        check_settings(&self.settings())?;
        let has_certificate =
            self.sync.tls.as_ref().is_some_and(|tls| tls.certificate_file.is_some());
        if self.sync.token.is_none() && !has_certificate {
            return Err(Problem::at("sync.token", "is required without sync.tls.certificate_file"));
        }
        self.telemetry.check()
    }
}

fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Checks limits and proxies, which know their keys by their own names.
///
/// # Errors
/// The first value that cannot be used.
pub(crate) fn check_proxies(limits: &Limits, proxies: &[Proxy]) -> Result<(), Problem> {
    tollgate_gateway::config::check(limits, proxies).map_err(|ConfigError { key, problem }| {
        let in_proxy = key.strip_prefix("proxy \"").and_then(|rest| rest.rsplit_once("\": "));
        match in_proxy {
            Some((name, key)) => Problem::in_entry("proxy", name, key, problem),
            None => {
                let path = key.split('.').map(|step| Step::Key(step.to_owned())).collect();
                Problem { path, text: problem }
            }
        }
    })
}
