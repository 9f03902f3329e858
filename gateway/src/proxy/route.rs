//! Finds the proxy of a call by host and path, and says where its upstream expects it.
//!
//! A path can mean different things to the gateway and to the upstream: `%70aid` and `paid`, `//paid`, `a/../paid`. What is
//! priced must be what is served, so: dot segments, NUL and broken escapes are refused in every spelling; a path that is
//! routed differently as it stands and decoded is refused; and products are matched against the decoded path. Parameters of
//! segments (`/paid;v=1`, which a servlet serves as `/paid`) are no part of it.
//! Invariants: the upstream gets the path's bytes as the client sent them (test: `the_path_below_keeps_its_bytes`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

use crate::config::{self, Forwarded, HostHeader, Metering, Proxy};
use crate::refusal::Refusal;
use crate::upstream::{Settings, UpstreamKey};

/// A proxy made ready for calls.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) config: Proxy,
    pub(crate) index: usize,
    /// Without the slash at its end: empty for the root.
    base: String,
    /// The target's path, without the slash at its end.
    prefix: String,
    pub(crate) scheme: Scheme,
    /// The host that the upstream is told: none is the client's.
    pub(crate) host: Option<(Authority, HeaderValue)>,
    /// The place of its upstream among the upstreams.
    pub(crate) upstream: usize,
    pub(crate) is_metered: bool,
    pub(crate) forwarded: Forwarded,
    pub(crate) key_header: Option<HeaderName>,
    pub(crate) success_header: Option<HeaderName>,
    pub(crate) multiplier_header: Option<HeaderName>,
    pub(crate) connect_timeout: Duration,
    pub(crate) head_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) body_bytes_max: u64,
}

/// All proxies, by host and path.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) all: Vec<Route>,
    pub(crate) upstreams: Vec<Settings>,
    /// Proxies of one host, the longest base path first; hosts in lower case.
    by_host: Vec<(String, Vec<usize>)>,
    any_host: Vec<usize>,
}

/// The proxy of a call.
#[derive(Debug)]
pub(crate) struct Found<'r, 'p> {
    pub(crate) route: &'r Route,
    /// The path below the base path as a product's resources are matched against it: decoded, beginning with `/`.
    pub(crate) below: Cow<'p, str>,
}

// === impl Routes ===

impl Routes {
    /// Makes checked proxies ready.
    pub(crate) fn new(proxies: Vec<Proxy>) -> Self {
        let mut upstreams = BTreeMap::<UpstreamKey, usize>::new();
        let mut settings = Vec::new();
        let mut all = Vec::with_capacity(proxies.len());
        for (index, proxy) in proxies.into_iter().enumerate() {
            let wanted = Settings::of(&proxy);
            let upstream = *upstreams.entry(wanted.key.clone()).or_insert_with(|| {
                settings.push(wanted);
                settings.len() - 1
            });
            all.push(Route::new(proxy, index, upstream));
        }
        let mut by_host = BTreeMap::<String, Vec<usize>>::new();
        let mut any_host = Vec::new();
        for route in &all {
            match &route.config.host {
                Some(host) => {
                    by_host.entry(host.to_ascii_lowercase()).or_default().push(route.index)
                }
                None => any_host.push(route.index),
            }
        }
        for places in by_host.values_mut().chain([&mut any_host]) {
            places.sort_by_key(|place| std::cmp::Reverse(all[*place].base.len()));
        }
        Self { all, upstreams: settings, by_host: by_host.into_iter().collect(), any_host }
    }

    /// Finds the proxy of a host (without port) and a path (without query).
    ///
    /// # Errors
    /// [`Refusal::NoProxy`]; [`Refusal::BadRequest`] for a path that can be read in two ways.
    pub(crate) fn find<'r, 'p>(
        &'r self,
        host: &str,
        path: &'p str,
    ) -> Result<Found<'r, 'p>, Refusal> {
        if is_plain(path) {
            let route = self.at(host, path).ok_or(Refusal::NoProxy)?;
            let below = &path[route.base.len()..];
            let below = if below.is_empty() { "/" } else { below };
            return Ok(Found { route, below: Cow::Borrowed(below) });
        }
        let decoded = decoded(path).ok_or(Refusal::BadRequest)?;
        match (self.at(host, path), self.at(host, &decoded)) {
            (Some(route), Some(same)) if route.index == same.index => {
                let below = &decoded[route.base.len()..];
                let below = if below.is_empty() { "/" } else { below };
                Ok(Found { route, below: Cow::Owned(below.to_owned()) })
            }
            (None, None) => Err(Refusal::NoProxy),
            (Some(_) | None, Some(_)) | (Some(_), None) => Err(Refusal::BadRequest),
        }
    }

    /// The shortest limit on an upstream's response head.
    pub(crate) fn shortest_limit(&self) -> Duration {
        let limits = self
            .all
            .iter()
            .flat_map(|route| route.total_timeout.into_iter().chain([route.head_timeout]));
        limits.min().unwrap_or(Duration::MAX)
    }

    fn at(&self, host: &str, path: &str) -> Option<&Route> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let named = self.by_host.iter().find(|(name, _)| name.eq_ignore_ascii_case(host));
        let named = named.map_or(&[][..], |(_, places)| places);
        let places = named.iter().chain(&self.any_host);
        places.map(|place| &self.all[*place]).find(|route| is_below(path, &route.base))
    }
}

/// Whether a path is a base path or lies below it, on the boundary of a segment.
pub(super) fn is_below(path: &str, base: &str) -> bool {
    match path.strip_prefix(base) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// Whether a path means the same to everybody, at a glance.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.starts_with('/')
        && path.bytes().all(|byte| {
            let is_odd = matches!(byte, b'%' | b'\\' | b';')
                || (before == b'/' && matches!(byte, b'/' | b'.'));
            before = byte;
            !is_odd
        })
}

/// A path as an upstream may read it: escapes decoded once, backslashes turned, parameters taken off, slashes merged. None where
/// it holds dot segments (`..;x` is one), NUL or broken escapes.
pub(super) fn decoded(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        return None;
    }
    let bytes = percent_decoded(path.as_bytes())?;
    let mut clean = Vec::with_capacity(bytes.len());
    let mut is_parameter = false;
    for byte in bytes {
        match byte {
            0 => return None,
            b'/' | b'\\' => {
                is_parameter = false;
                if clean.last() != Some(&b'/') {
                    clean.push(b'/');
                }
            }
            b';' => is_parameter = true,
            _ if is_parameter => {}
            _ => clean.push(byte),
        }
    }
    let clean = String::from_utf8_lossy(&clean).into_owned();
    if clean.split('/').any(|segment| matches!(segment, "." | "..")) { None } else { Some(clean) }
}

pub(super) fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        if *byte == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            let digit = |at: usize| char::from(digits[at]).to_digit(16);
            let value = digit(0)? * 16 + digit(1)?;
            decoded.push(u8::try_from(value).ok()?);
            rest = after;
        } else {
            decoded.push(*byte);
            rest = after;
        }
    }
    Some(decoded)
}

// === impl Route ===

impl Route {
    fn new(config: Proxy, index: usize, upstream: usize) -> Self {
        let target: Uri = config.target.parse().expect("the target was checked");
        let authority = target.authority().cloned().expect("the target was checked");
        let host = match &config.host_header {
            HostHeader::Target => Some(authority),
            HostHeader::Named(name) => Some(name.parse().expect("the host was checked")),
            HostHeader::Client => None,
        };
        let host = host.map(|authority| {
            let value = HeaderValue::from_str(authority.as_str()).expect("an authority is ASCII");
            (authority, value)
        });
        let header =
            |name: &str| HeaderName::from_bytes(name.as_bytes()).expect("the name was checked");
        let milliseconds = Duration::from_millis;
        Self {
            index,
            base: config.base_path.trim_end_matches('/').to_owned(),
            prefix: target.path().trim_end_matches('/').to_owned(),
            scheme: target.scheme().cloned().expect("the target was checked"),
            host,
            upstream,
            is_metered: config.metering == Metering::Metered,
            forwarded: config.forwarded,
            key_header: Some(config.key.header.as_str())
                .filter(|name| !name.is_empty())
                .map(header),
            success_header: config.success_header.as_deref().map(header),
            multiplier_header: config.multiplier_header.as_deref().map(header),
            connect_timeout: milliseconds(config.connect_timeout_ms),
            head_timeout: milliseconds(config.head_timeout_ms),
            idle_timeout: milliseconds(config.idle_timeout_ms),
            total_timeout: Some(milliseconds(config.total_timeout_ms)).filter(|it| !it.is_zero()),
            body_bytes_max: if config.body_bytes_max == 0 {
                u64::MAX
            } else {
                config.body_bytes_max
            },
            config,
        }
    }

    /// What the upstream is asked for: the path below put under the target's, with this query. The client's own bytes are
    /// taken over as they stand where nothing changes.
    ///
    /// # Errors
    /// [`Refusal::BadRequest`] where a rewritten path is none.
    pub(crate) fn upstream_path(
        &self,
        uri: &Uri,
        query: Query<'_>,
    ) -> Result<PathAndQuery, Refusal> {
        let path = uri.path();
        let below = if self.config.strip_base_path { &path[self.base.len()..] } else { path };
        let (rewritten, below) = self.rewritten(below);
        let is_same = self.prefix.is_empty()
            && rewritten.is_empty()
            && below.len() == path.len()
            && matches!(query, Query::AsSent);
        if is_same && let Some(whole) = uri.path_and_query() {
            return Ok(whole.clone());
        }
        let query = match query {
            Query::AsSent => uri.query().unwrap_or_default(),
            Query::Without(rest) => rest,
        };
        let mut whole = String::with_capacity(
            self.prefix.len() + rewritten.len() + below.len() + query.len() + 2,
        );
        whole.push_str(&self.prefix);
        whole.push_str(rewritten);
        whole.push_str(below);
        if whole.is_empty() {
            whole.push('/');
        }
        if !query.is_empty() {
            whole.push('?');
            whole.push_str(query);
        }
        PathAndQuery::from_maybe_shared(bytes::Bytes::from(whole)).map_err(|_| Refusal::BadRequest)
    }

    /// A path cut into what is put in front and what stays.
    fn rewritten<'a>(&'a self, below: &'a str) -> (&'a str, &'a str) {
        let rules = self.config.rewrite.iter();
        let rule = rules.map(trimmed).find(|(from, _)| is_below(below, from));
        rule.map_or(("", below), |(from, to)| (to, &below[from.len()..]))
    }
}

fn trimmed(rule: &config::Rewrite) -> (&str, &str) {
    (rule.from.trim_end_matches('/'), rule.to.trim_end_matches('/'))
}

/// The query that the upstream gets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Query<'a> {
    /// As the client sent it.
    AsSent,
    /// This, without a key; empty is none.
    Without(&'a str),
}

#[cfg(test)]
mod tests;
