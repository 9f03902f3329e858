//! What an operator can say about listeners, limits and proxies: plain values, checked whole before a port is bound.
//!
//! Units: durations end in `_ms`, sizes in `_bytes_max`, counts in `_max`. Unknown keys are errors. Not here: where the
//! configuration file is and what else it holds (the binary), exchange with balance-sync (the sync client's settings).

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use tollgate_metering::Units;

pub use self::check::{ConfigError, check};
use crate::refusal::{StatusOverrides, TopUpUrl};

mod check;

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
    /// Bytes of a request head, request line included; at least 8192.
    pub head_bytes_max: usize,
    /// Bytes of a request target.
    pub target_bytes_max: usize,
    /// From the first byte of a request to the end of its head; for the first request, from the connection's start.
    pub head_timeout_ms: u64,
    /// How long a connection without a call is kept.
    pub keep_alive_timeout_ms: u64,
    /// How long a client may neither send a byte of a body that is awaited nor take one that is waiting for it.
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
    /// The host it serves, without port, in any case; absent: every host. A proxy that names the host goes first.
    #[serde(default)]
    pub host: Option<String>,
    /// The path it serves, and all below it. The longest base path wins.
    #[serde(default = "root")]
    pub base_path: String,
    /// The upstream: `http://host:port/path` or `https://…`. Its path takes the place of the base path.
    pub target: String,
    /// Whether the base path is taken off before the target's path is put in front.
    #[serde(default = "yes")]
    pub strip_base_path: bool,
    /// Prefixes replaced in what is below the base path; the first that matches on a segment boundary.
    #[serde(default)]
    pub rewrite: Vec<Rewrite>,
    /// How the upstream is spoken to.
    #[serde(default)]
    pub upstream: Upstream,
    /// Which `Host` the upstream sees.
    #[serde(default)]
    pub host_header: HostHeader,
    /// What is told to the upstream about the client.
    #[serde(default)]
    pub forwarded: Forwarded,
    /// Where the consumer key is.
    #[serde(default)]
    pub key: Key,
    /// Whether calls are metered.
    #[serde(default)]
    pub metering: Metering,
    /// What becomes of calls that nothing prices.
    #[serde(default)]
    pub unpriced: Unpriced,
    /// Whether its calls are in shadow mode: counted as far as there is somebody to count them on, never refused by admission
    /// and never paid.
    #[serde(default)]
    pub shadow: bool,
    /// The upstream's response header that says `true` or `false`: whether the call is charged. Absent: status below 300.
    #[serde(default)]
    pub success_header: Option<String>,
    /// The upstream's response header that says how many units the call takes. Absent: 1.
    #[serde(default)]
    pub multiplier_header: Option<String>,
    /// The most units one call can take; required beside `multiplier_header`, an integer or a decimal in quotes.
    #[serde(default, deserialize_with = "units")]
    pub max_multiplier: Option<Units>,
    /// From the first attempt to connect to a connection (TLS included), or to a free one where all are in use.
    #[serde(default = "five_seconds")]
    pub connect_timeout_ms: u64,
    /// From the end of the request to the end of the response head.
    #[serde(default = "one_minute")]
    pub head_timeout_ms: u64,
    /// How long the upstream may be silent in the middle of a response, and both sides in an upgraded connection.
    #[serde(default = "five_minutes")]
    pub idle_timeout_ms: u64,
    /// From the request's head to the end of the response; 0 is without limit.
    #[serde(default)]
    pub total_timeout_ms: u64,
    /// Bytes of a request body; 0 is without limit.
    #[serde(default = "request_body_bytes")]
    pub body_bytes_max: u64,
    /// HTTP statuses of refusals by their names, where they differ from the table.
    #[serde(default)]
    pub refusal_status: StatusOverrides,
    /// Where a developer tops up, told by refusals that a top-up mends; `{developer}`, `{wallet}` and `{currency}` stand for the
    /// developer's and the wallet's id and the currency.
    #[serde(default)]
    pub top_up_url: Option<TopUpUrl>,
    /// Who is told in headers what a call cost and what is left.
    #[serde(default)]
    pub call_headers: CallHeaders,
}

/// Replaces one path prefix by another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// The prefix, beginning with `/`.
    pub from: String,
    /// What takes its place, beginning with `/`.
    pub to: String,
}

/// How an upstream is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// The protocol; gRPC needs HTTP/2.
    pub http: UpstreamHttp,
    /// PEM file with the authorities that may sign its certificate, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The name in its certificate, where it is not the target's host.
    pub server_name: Option<String>,
    /// Connections open at once; over this, calls wait for one to become free.
    pub connections_max: usize,
    /// Connections kept open without a call.
    pub idle_connections_max: usize,
    /// How long a connection without a call is kept.
    pub keep_alive_timeout_ms: u64,
}

/// The protocol spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
pub enum UpstreamHttp {
    /// HTTP/1.1, one call at a time on a connection.
    #[default]
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge without.
    #[serde(rename = "2")]
    Http2,
}

/// Which `Host` an upstream sees.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostHeader {
    /// The target's.
    #[default]
    Target,
    /// The one that the client sent.
    Client,
    /// This one.
    Named(String),
}

/// What `Forwarded`, `X-Forwarded-For`, `-Proto` and `-Host` tell the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forwarded {
    /// This hop is appended to what the client sent.
    #[default]
    Append,
    /// What the client sent is dropped: this hop alone.
    Replace,
    /// What the client sent passes as it is.
    Pass,
}

/// Where a call's consumer key is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Key {
    /// The header that is looked at first; empty: none.
    pub header: String,
    /// The query parameter that is looked at where the header is absent; empty: none.
    pub query: String,
    /// Whether the upstream sees the key.
    pub forward: bool,
}

/// Who is told in headers what a call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallHeaders {
    /// Nobody.
    #[default]
    Never,
    /// Who sends `Tollgate-Report: cost`.
    OnRequest,
    /// Everybody.
    Always,
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

fn yes() -> bool {
    true
}

fn five_seconds() -> u64 {
    5_000
}

fn one_minute() -> u64 {
    60_000
}

fn five_minutes() -> u64 {
    300_000
}

fn request_body_bytes() -> u64 {
    100 * 1024 * 1024
}

/// Reads units from an integer or from a decimal in quotes, so that no float comes near them.
fn units<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Units>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "an integer, or a decimal in quotes")]
    enum Form {
        Whole(u64),
        Decimal(String),
    }
    let text = match Form::deserialize(from)? {
        Form::Whole(whole) => whole.to_string(),
        Form::Decimal(text) => text,
    };
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

// === impl Proxy ===

impl Proxy {
    /// A metered proxy of all hosts and paths, with every default.
    #[must_use]
    pub fn new(name: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            host: None,
            base_path: root(),
            target: target.into(),
            strip_base_path: true,
            rewrite: Vec::new(),
            upstream: Upstream::default(),
            host_header: HostHeader::default(),
            forwarded: Forwarded::default(),
            key: Key::default(),
            metering: Metering::default(),
            unpriced: Unpriced::default(),
            shadow: false,
            success_header: None,
            multiplier_header: None,
            max_multiplier: None,
            connect_timeout_ms: five_seconds(),
            head_timeout_ms: one_minute(),
            idle_timeout_ms: five_minutes(),
            total_timeout_ms: 0,
            body_bytes_max: request_body_bytes(),
            refusal_status: StatusOverrides::default(),
            top_up_url: None,
            call_headers: CallHeaders::default(),
        }
    }
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
            keep_alive_timeout_ms: 75_000,
            client_idle_timeout_ms: 60_000,
            drain_timeout_ms: 30_000,
            workers: 0,
        }
    }
}

// === impl Upstream ===

impl Default for Upstream {
    fn default() -> Self {
        Self {
            http: UpstreamHttp::Http1,
            ca_file: None,
            server_name: None,
            connections_max: 1_024,
            idle_connections_max: 128,
            keep_alive_timeout_ms: 60_000,
        }
    }
}

// === impl Key ===

impl Default for Key {
    fn default() -> Self {
        Self { header: "x-api-key".to_owned(), query: "apikey".to_owned(), forward: false }
    }
}
