//! What an operator can say about listeners, limits and proxies: plain values, checked whole before a port is bound.
//!
//! Units: durations end in `_ms`, sizes in `_bytes_max`, counts in `_max`. Unknown keys are errors. Not here: where the
//! configuration file is and what else it holds (the binary), exchange with balance-sync (the sync client's settings).

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::refusal::StatusOverrides;

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Present: TLS with ALPN `h2` and `http/1.1`. Absent: HTTP/1.1 and h2c on the same port.
    pub tls: Option<ListenerTls>,
}

/// A listener's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// PEM file with the certificate chain, leaf first.
    pub certificate_file: PathBuf,
    /// PEM file with the private key.
    pub key_file: PathBuf,
}

/// What one gateway takes at most. Every value has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Client connections open at once; more wait in the listen queue.
    pub connections_max: usize,
    /// Calls open at once; more are refused.
    pub calls_max: usize,
    /// Streams open at once on one HTTP/2 connection.
    pub streams_max: u32,
    /// Bytes of a request head.
    pub head_bytes_max: usize,
    /// Bytes of a request target.
    pub target_bytes_max: usize,
    /// From the first byte of a connection, or the end of the last call on it, to the end of a head.
    pub head_timeout_ms: u64,
    /// How long a client may leave the gateway without one byte of a body that it sends or takes.
    pub client_idle_timeout_ms: u64,
    /// How long open calls may take once a shutdown has begun.
    pub drain_timeout_ms: u64,
    /// Threads that carry calls; 0 is one per core.
    pub workers: usize,
}

/// One route: where calls come in, where they go, and how they are metered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Its name in products, logs and metrics; unique.
    pub name: String,
    /// The host it serves, without port, any case; absent: every host that no other proxy names.
    #[serde(default)]
    pub host: Option<String>,
    /// The path it serves, and all below it.
    #[serde(default = "root")]
    pub base_path: String,
    /// The upstream: `http://host:port/path` or `https://…`.
    pub target: String,
    /// Whether calls are metered.
    #[serde(default)]
    pub metering: Metering,
    /// What becomes of calls that nothing prices.
    #[serde(default)]
    pub unpriced: Unpriced,
    /// HTTP statuses of refusals, where they differ from the table.
    #[serde(default)]
    pub refusal_status: StatusOverrides,
}

/// Whether calls through a proxy are metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metering {
    /// Each call needs a key and is paid from a wallet.
    #[default]
    Metered,
    /// Calls pass without a key and cost nothing.
    None,
}

/// What becomes of calls whose product has no active rate plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpriced {
    /// They are refused.
    #[default]
    Refuse,
    /// They are forwarded for nothing, and counted apart.
    Forward,
}

fn root() -> String {
    "/".to_owned()
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            calls_max: 20_000,
            streams_max: 200,
            head_bytes_max: 64 * 1024,
            target_bytes_max: 16 * 1024,
            head_timeout_ms: 15_000,
            client_idle_timeout_ms: 60_000,
            drain_timeout_ms: 30_000,
            workers: 0,
        }
    }
}
