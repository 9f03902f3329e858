//! What an operator can say about the exchange with balance-sync: plain values, checked whole before anything starts.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tollgate_metering::node::need::{self, Bounds};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// How soon a wallet near its limit is reported.
const SYNC_INTERVAL_MIN_MS: u64 = 20;
/// How late a wallet far from its limit is reported.
const SYNC_INTERVAL_MAX_MS: u64 = 2_000;
/// Nodes that a gateway can use.
pub(super) const NODES_MAX: usize = 64;

/// How this gateway meters: where balance-sync is, how stale a balance may be, where spend files are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncSettings {
    /// The gateway's name, for people and metrics; unique among gateways, at most 128 bytes.
    pub gateway: String,
    /// The environment that its proxies are deployed in, as API products name it.
    #[serde(default = "environment")]
    pub environment: String,
    /// Addresses of balance-sync nodes: `http://host:port` or `https://host:port`.
    pub balance_sync: Vec<String>,
    /// The bearer token that balance-sync knows this gateway by.
    #[serde(default)]
    pub token: Option<Token>,
    /// A file that holds the token instead.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Certificates for `https` addresses; required there.
    #[serde(default)]
    pub tls: Option<SyncTls>,
    /// The folder of spend files; its disk must survive the process.
    pub spend_dir: PathBuf,
    /// How often what changed is reported, whatever it needs; absent: as it needs.
    #[serde(default)]
    pub sync_interval_ms: Option<u64>,
    /// How soon a wallet near its limit is reported; 20 where absent.
    #[serde(default)]
    pub sync_interval_min_ms: Option<u64>,
    /// How late a wallet far from its limit is reported; 2000 where absent.
    #[serde(default)]
    pub sync_interval_max_ms: Option<u64>,
    /// The oldest balance that admits a call.
    #[serde(default = "staleness_limit")]
    pub staleness_limit_ms: u64,
    /// The oldest key, product or plan that decides a call.
    #[serde(default = "catalogue_staleness_limit")]
    pub catalogue_staleness_limit_ms: u64,
    /// How long a call waits for a key or a wallet that is not in memory.
    #[serde(default = "fetch_timeout")]
    pub fetch_timeout_ms: u64,
    /// How long spend files are kept after the ledger has all that is in them: as long as backups are.
    #[serde(default = "retention")]
    pub spend_file_retention_hours: u64,
    /// Wallets in memory; calls on further ones are refused.
    #[serde(default = "wallets")]
    pub wallets_max: usize,
    /// Keys in memory; further ones push out those that were not used lately.
    #[serde(default = "callers")]
    pub callers_max: usize,
}

/// Certificates for the connection to balance-sync.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncTls {
    /// PEM file with the authorities that may sign a node's certificate.
    pub ca_file: PathBuf,
    /// The name in the nodes' certificates, where it is not the address's host.
    #[serde(default)]
    pub server_name: Option<String>,
    /// PEM file with the gateway's certificate chain, for mTLS.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

/// A secret; not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value that cannot be.
    #[error("{key}: {problem}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An address that is none.
    #[error("balance_sync: {address} is not an address like http://host:port")]
    Address {
        /// The address.
        address: String,
    },
    /// A file that cannot be read.
    #[error("{key}: cannot read {path}")]
    File {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Certificates that cannot be used.
    #[error("tls: the certificates cannot be used")]
    Tls(#[source] tonic::transport::Error),
}

fn environment() -> String {
    "prod".to_owned()
}

fn staleness_limit() -> u64 {
    10_000
}

fn catalogue_staleness_limit() -> u64 {
    300_000
}

fn fetch_timeout() -> u64 {
    2_000
}

fn retention() -> u64 {
    168
}

fn wallets() -> usize {
    1_000_000
}

fn callers() -> usize {
    1_000_000
}

// === impl SyncSettings ===

impl SyncSettings {
    /// Settings with every default.
    #[must_use]
    pub fn new(gateway: impl Into<String>, spend_dir: impl Into<PathBuf>) -> Self {
        Self {
            gateway: gateway.into(),
            environment: environment(),
            balance_sync: Vec::new(),
            token: None,
            token_file: None,
            tls: None,
            spend_dir: spend_dir.into(),
            sync_interval_ms: None,
            sync_interval_min_ms: None,
            sync_interval_max_ms: None,
            staleness_limit_ms: staleness_limit(),
            catalogue_staleness_limit_ms: catalogue_staleness_limit(),
            fetch_timeout_ms: fetch_timeout(),
            spend_file_retention_hours: retention(),
            wallets_max: wallets(),
            callers_max: callers(),
        }
    }

    /// Checks all values that need no file.
    ///
    /// # Errors
    /// A [`SettingsError`] that names the setting.
    pub fn check(&self) -> Result<(), SettingsError> {
        let value = |is_sound: bool, key, problem| {
            if is_sound { Ok(()) } else { Err(SettingsError::Value { key, problem }) }
        };
        let named = !self.gateway.is_empty() && self.gateway.len() <= 128;
        value(named, "gateway", "it has 1 to 128 bytes")?;
        let nodes = (1..=NODES_MAX).contains(&self.balance_sync.len());
        value(nodes, "balance_sync", "there are 1 to 64 addresses")?;
        self.check_intervals()?;
        let catalogue = self.catalogue_staleness_limit_ms >= 1_000;
        value(catalogue, "catalogue_staleness_limit_ms", "it is at least 1000")?;
        let fetch = (10..=60_000).contains(&self.fetch_timeout_ms);
        value(fetch, "fetch_timeout_ms", "it is 10 to 60000")?;
        value(self.wallets_max > 0, "wallets_max", "it is at least 1")?;
        value(self.callers_max > 0, "callers_max", "it is at least 1")?;
        let one_token = self.token.is_none() || self.token_file.is_none();
        value(one_token, "token_file", "token is given as well")?;
        let tls = self.tls.as_ref();
        let whole = tls.is_none_or(|tls| tls.certificate_file.is_some() == tls.key_file.is_some());
        value(whole, "tls.key_file", "certificate_file and key_file go together")?;
        for address in &self.balance_sync {
            let uri = address.parse::<http::Uri>().ok();
            let scheme = uri.as_ref().and_then(|uri| uri.scheme_str());
            if !matches!(scheme, Some("http" | "https")) {
                return Err(SettingsError::Address { address: address.clone() });
            }
            let has_authorities = scheme == Some("http") || tls.is_some();
            value(has_authorities, "tls", "an https address needs tls.ca_file")?;
        }
        Ok(())
    }

    fn check_intervals(&self) -> Result<(), SettingsError> {
        let value = |is_sound: bool, key, problem| {
            if is_sound { Ok(()) } else { Err(SettingsError::Value { key, problem }) }
        };
        let (fixed, min) = (self.sync_interval_ms, self.sync_interval_min_ms);
        let max = self.sync_interval_max_ms;
        let is_sound =
            |interval: Option<u64>| interval.is_none_or(|ms| (10..=10_000).contains(&ms));
        value(is_sound(fixed), "sync_interval_ms", "it is 10 to 10000")?;
        value(is_sound(min), "sync_interval_min_ms", "it is 10 to 10000")?;
        value(is_sound(max), "sync_interval_max_ms", "it is 10 to 10000")?;
        let is_one = fixed.is_none() || (min.is_none() && max.is_none());
        value(is_one, "sync_interval_ms", "sync_interval_min_ms or _max_ms is given as well")?;
        let (least, most) = self.intervals_ms();
        value(least <= most, "sync_interval_max_ms", "it is at least sync_interval_min_ms")?;
        let staleness = self.staleness_limit_ms > least;
        value(staleness, "staleness_limit_ms", "it is more than the shortest sync interval")
    }

    fn intervals_ms(&self) -> (u64, u64) {
        match self.sync_interval_ms {
            Some(fixed) => (fixed, fixed),
            None => (
                self.sync_interval_min_ms.unwrap_or(SYNC_INTERVAL_MIN_MS),
                self.sync_interval_max_ms.unwrap_or(SYNC_INTERVAL_MAX_MS),
            ),
        }
    }

    /// How soon and how late a wallet is reported.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let (least, most) = self.intervals_ms();
        let (fastest, slowest) = (Duration::from_millis(least), Duration::from_millis(most));
        if least == most {
            return Bounds { fastest, slowest };
        }
        // What is not reported cannot be durable, nor told to others, before it is too old.
        let limit = need::persist_within(Duration::from_millis(self.staleness_limit_ms));
        Bounds { fastest, slowest }.within(limit)
    }

    /// The token, read from its file where it is in one.
    ///
    /// # Errors
    /// [`SettingsError::File`]; [`SettingsError::Value`] where it is not header text.
    pub(crate) fn read_token(&self) -> Result<Option<http::HeaderValue>, SettingsError> {
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.0.clone(),
            (None, Some(path)) => read("token_file", path)?,
            (None, None) => return Ok(None),
        };
        let mut header = http::HeaderValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| SettingsError::Value { key: "token", problem: "it is printable ASCII" })?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// How each node is connected to.
    ///
    /// # Errors
    /// A [`SettingsError`] that names what cannot be used.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, SettingsError> {
        let tls = self.tls.as_ref().map(SyncTls::read).transpose()?;
        let endpoint = |address: &String| {
            let endpoint = Endpoint::from_shared(address.clone())
                .map_err(|_| SettingsError::Address { address: address.clone() })?
                .connect_timeout(Duration::from_secs(2))
                // A peer that vanished without a word is noticed within three seconds.
                .http2_keep_alive_interval(Duration::from_secs(1))
                .keep_alive_timeout(Duration::from_secs(2))
                .keep_alive_while_idle(true);
            match &tls {
                Some(tls) if address.starts_with("https") => {
                    endpoint.tls_config(tls.clone()).map_err(SettingsError::Tls)
                }
                _ => Ok(endpoint),
            }
        };
        self.balance_sync.iter().map(endpoint).collect()
    }
}

fn read(key: &'static str, path: &PathBuf) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError::File {
        key,
        path: path.clone(),
        source,
    })
}

// === impl SyncTls ===

impl SyncTls {
    fn read(&self) -> Result<ClientTlsConfig, SettingsError> {
        let authorities = Certificate::from_pem(read("tls.ca_file", &self.ca_file)?);
        let mut config = ClientTlsConfig::new().ca_certificate(authorities);
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        if let (Some(certificate), Some(key)) = (&self.certificate_file, &self.key_file) {
            let certificate = read("tls.certificate_file", certificate)?;
            config = config.identity(Identity::from_pem(certificate, read("tls.key_file", key)?));
        }
        Ok(config)
    }
}

// === impl Token ===

impl Token {
    /// A token given in another way than by configuration.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_and_secrets_not_shown() {
        let text = r#"
            gateway = "gateway-1"
            balance_sync = ["http://127.0.0.1:8082"]
            token = "geheim"
            spend_dir = "/var/lib/tollgate/spend"
        "#;
        let settings: SyncSettings = toml::from_str(text).unwrap();
        settings.check().unwrap();
        assert!(!format!("{settings:?}").contains("geheim"));
        let typo = toml::from_str::<SyncSettings>(&format!("{text}\nstaleness_limit = 1"));
        assert!(typo.unwrap_err().to_string().contains("staleness_limit"));
        let check = |edit: &dyn Fn(&mut SyncSettings), want: &str| {
            let mut settings = settings.clone();
            edit(&mut settings);
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        };
        check(&|settings| settings.balance_sync.clear(), "balance_sync");
        check(&|settings| settings.balance_sync[0] = "127.0.0.1:8082".into(), "127.0.0.1:8082");
        check(&|settings| settings.balance_sync[0] = "https://a:1".into(), "tls");
        check(&|settings| settings.staleness_limit_ms = 20, "staleness_limit_ms");
        check(&|settings| settings.sync_interval_ms = Some(9), "sync_interval_ms");
        check(&|settings| settings.sync_interval_min_ms = Some(0), "sync_interval_min_ms");
        check(&|settings| settings.sync_interval_max_ms = Some(10_001), "sync_interval_max_ms");
        check(&|settings| settings.sync_interval_max_ms = Some(10), "sync_interval_max_ms");
        let both = |settings: &mut SyncSettings| {
            settings.sync_interval_ms = Some(100);
            settings.sync_interval_max_ms = Some(1_000);
        };
        check(&both, "sync_interval_ms");
        check(&|settings| settings.token_file = Some("t".into()), "token_file");
        check(&|settings| settings.gateway.clear(), "gateway");
    }

    #[test]
    fn intervals_follow_need_unless_one_is_fixed() {
        let bounds = |fixed, min, max, limit_ms| {
            let mut settings = SyncSettings::new("gateway-1", "");
            settings.sync_interval_ms = fixed;
            (settings.sync_interval_min_ms, settings.sync_interval_max_ms) = (min, max);
            settings.staleness_limit_ms = limit_ms;
            let Bounds { fastest, slowest } = settings.bounds();
            (fastest.as_millis(), slowest.as_millis())
        };
        assert_eq!(bounds(None, None, None, 10_000), (20, 2_000));
        assert_eq!(bounds(None, None, None, 1_000), (20, 200));
        assert_eq!(bounds(None, Some(50), Some(500), 10_000), (50, 500));
        assert_eq!(bounds(Some(100), None, None, 10_000), (100, 100));
        assert_eq!(bounds(None, Some(100), Some(100), 10_000), (100, 100));
    }
}
