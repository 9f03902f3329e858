//! Checks a gateway's limits and proxies whole, so that a typo is told at the start and not at the first call.

use std::collections::BTreeSet;

use http::header::HeaderName;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

use super::{HostHeader, Limits, Proxy};
use crate::proxy::RESERVED;
use crate::refusal::TopUpUrl;

/// The smallest head limit: hyper's smallest read buffer.
const HEAD_BYTES_MIN: usize = 8_192;
/// Proxies in one gateway; a limit against generated configurations gone wrong.
const PROXY_COUNT_MAX: usize = 10_000;

/// One value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key as it stands in the file, such as `proxy "orders": target`.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Checks limits and proxies.
///
/// # Errors
/// The first value that cannot be used.
pub fn check(limits: &Limits, proxies: &[Proxy]) -> Result<(), ConfigError> {
    check_limits(limits)?;
    at_most("proxy", proxies.len(), PROXY_COUNT_MAX)?;
    let mut names = BTreeSet::new();
    let mut places = BTreeSet::new();
    for proxy in proxies {
        check_proxy(proxy)?;
        if !names.insert(&proxy.name) {
            return Err(of(proxy, "name", "another proxy has this name"));
        }
        let host = proxy.host.as_ref().map(|host| host.to_ascii_lowercase());
        if !places.insert((host, proxy.base_path.trim_end_matches('/'))) {
            return Err(of(proxy, "base_path", "another proxy has this host and base path"));
        }
    }
    Ok(())
}

fn check_limits(limits: &Limits) -> Result<(), ConfigError> {
    let rows = [
        ("connections_max", limits.connections_max as u64),
        ("calls_max", limits.calls_max as u64),
        ("streams_max", u64::from(limits.streams_max)),
        ("target_bytes_max", limits.target_bytes_max as u64),
        ("head_timeout_ms", limits.head_timeout_ms),
        ("keep_alive_timeout_ms", limits.keep_alive_timeout_ms),
        ("client_idle_timeout_ms", limits.client_idle_timeout_ms),
    ];
    for (key, value) in rows {
        if value == 0 {
            return Err(error(format!("limits.{key}"), "must be above 0"));
        }
    }
    if limits.head_bytes_max < HEAD_BYTES_MIN {
        return Err(error("limits.head_bytes_max", format!("must be at least {HEAD_BYTES_MIN}")));
    }
    at_most("limits.workers", limits.workers, 1_024)
}

fn check_proxy(proxy: &Proxy) -> Result<(), ConfigError> {
    if proxy.name.is_empty() || proxy.name.len() > 255 {
        return Err(error("proxy.name", "must have 1 to 255 bytes"));
    }
    check_place(proxy)?;
    check_target(proxy)?;
    check_headers(proxy)?;
    let above_zero = [
        ("connect_timeout_ms", proxy.connect_timeout_ms),
        ("head_timeout_ms", proxy.head_timeout_ms),
        ("idle_timeout_ms", proxy.idle_timeout_ms),
        ("upstream.connections_max", proxy.upstream.connections_max as u64),
        ("upstream.keep_alive_timeout_ms", proxy.upstream.keep_alive_timeout_ms),
    ];
    for (key, value) in above_zero {
        if value == 0 {
            return Err(of(proxy, key, "must be above 0"));
        }
    }
    for (refusal, status) in &proxy.refusal_status.0 {
        if !(400..600).contains(status) {
            let key = format!("refusal_status.{}", refusal.row().name);
            return Err(of(proxy, &key, format!("must be from 400 to 599, not {status}")));
        }
    }
    match proxy.top_up_url.as_ref().and_then(TopUpUrl::problem) {
        Some(problem) => Err(of(proxy, "top_up_url", problem)),
        None => Ok(()),
    }
}

fn check_place(proxy: &Proxy) -> Result<(), ConfigError> {
    if let Some(host) = &proxy.host {
        let is_name =
            host.parse::<Authority>().is_ok_and(|it| it.port().is_none() && it.host() == host);
        if !is_name || host.contains('@') {
            return Err(of(proxy, "host", format!("{host:?} is not a host name without port")));
        }
    }
    check_path(proxy, "base_path", &proxy.base_path)?;
    if proxy.base_path.split('/').nth(1) == RESERVED.strip_prefix('/') {
        return Err(of(proxy, "base_path", format!("{RESERVED} is the gateway's own")));
    }
    for rewrite in &proxy.rewrite {
        check_path(proxy, "rewrite.from", &rewrite.from)?;
        check_path(proxy, "rewrite.to", &rewrite.to)?;
    }
    Ok(())
}

/// A path that means the same to everybody: nothing encoded, no dots to resolve, no empty segment.
fn check_path(proxy: &Proxy, key: &str, path: &str) -> Result<(), ConfigError> {
    let problem = if !path.starts_with('/') {
        "must begin with /"
    } else if path.contains(['%', '?', '#', '\\']) {
        "must not contain any of % ? # \\"
    } else if path.contains("//") {
        "must not contain //"
    } else if path.split('/').any(|segment| segment == "." || segment == "..") {
        "must not contain . or .. as a segment"
    } else if path.parse::<PathAndQuery>().is_err() {
        "is not a path"
    } else {
        return Ok(());
    };
    Err(of(proxy, key, format!("{path:?} {problem}")))
}

fn check_target(proxy: &Proxy) -> Result<(), ConfigError> {
    let wrong = |problem: &str| Err(of(proxy, "target", format!("{:?} {problem}", proxy.target)));
    let Ok(uri) = proxy.target.parse::<Uri>() else {
        return wrong("is not a URL");
    };
    let is_tls = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => false,
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(_) | None => return wrong("must begin with http:// or https://"),
    };
    if uri.authority().is_none_or(|it| it.as_str().contains('@') || it.host().is_empty()) {
        return wrong("must name a host, without user or password");
    }
    if uri.port_u16() == Some(0) {
        return wrong("must not have port 0");
    }
    if uri.query().is_some() {
        return wrong("must not have a query");
    }
    check_path(proxy, "target", uri.path())?;
    let only_tls = [
        ("upstream.ca_file", proxy.upstream.ca_file.is_some()),
        ("upstream.server_name", proxy.upstream.server_name.is_some()),
    ];
    for (key, is_set) in only_tls {
        if is_set && !is_tls {
            return Err(of(proxy, key, "is for https:// targets"));
        }
    }
    if let Some(name) = &proxy.upstream.server_name
        && rustls_pki_types::ServerName::try_from(name.as_str()).is_err()
    {
        return Err(of(
            proxy,
            "upstream.server_name",
            format!("{name:?} is not a host name or address"),
        ));
    }
    if let HostHeader::Named(name) = &proxy.host_header
        && name.parse::<Authority>().is_err()
    {
        return Err(of(proxy, "host_header.named", format!("{name:?} is not a host")));
    }
    Ok(())
}

fn check_headers(proxy: &Proxy) -> Result<(), ConfigError> {
    let names = [
        ("success_header", proxy.success_header.as_deref()),
        ("multiplier_header", proxy.multiplier_header.as_deref()),
        ("key.header", Some(proxy.key.header.as_str()).filter(|name| !name.is_empty())),
    ];
    for (key, name) in names {
        if let Some(name) = name
            && HeaderName::from_bytes(name.as_bytes()).is_err()
        {
            return Err(of(proxy, key, format!("{name:?} is not a header name")));
        }
    }
    match (&proxy.multiplier_header, proxy.max_multiplier) {
        (Some(_), None) => Err(of(proxy, "max_multiplier", "is required beside multiplier_header")),
        (None, Some(_)) => Err(of(proxy, "multiplier_header", "is required beside max_multiplier")),
        (Some(_), Some(most)) if most.is_zero() => {
            Err(of(proxy, "max_multiplier", "must be above 0"))
        }
        (Some(_), Some(_)) | (None, None) => Ok(()),
    }
}

fn at_most(key: &str, value: usize, most: usize) -> Result<(), ConfigError> {
    if value > most {
        return Err(error(key, format!("{value} is more than {most}")));
    }
    Ok(())
}

fn of(proxy: &Proxy, key: &str, problem: impl Into<String>) -> ConfigError {
    error(format!("proxy {:?}: {key}", proxy.name), problem)
}

fn error(key: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError { key: key.into(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(proxy: &str) -> String {
        let text = format!("name = \"orders\"\ntarget = \"http://127.0.0.1:9000\"\n{proxy}");
        match toml::from_str::<Proxy>(&text) {
            Ok(proxy) => check(&Limits::default(), &[proxy])
                .map_or_else(|it| it.to_string(), |()| String::new()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn wrong_values_are_told_with_their_key() {
        let rows = [
            ("", ""),
            ("base_path = \"v1\"", "proxy \"orders\": base_path: \"v1\" must begin with /"),
            (
                "base_path = \"/a/../b\"",
                "proxy \"orders\": base_path: \"/a/../b\" must not contain . or .. as a segment",
            ),
            (
                "base_path = \"/.tollgate/v1\"",
                "proxy \"orders\": base_path: /.tollgate is the gateway's own",
            ),
            ("host = \"a:80\"", "proxy \"orders\": host: \"a:80\" is not a host name without port"),
            (
                "multiplier_header = \"x-units\"",
                "proxy \"orders\": max_multiplier: is required beside multiplier_header",
            ),
            (
                "max_multiplier = 5",
                "proxy \"orders\": multiplier_header: is required beside max_multiplier",
            ),
            ("max_multiplier = \"2.5\"\nmultiplier_header = \"x-units\"", ""),
            (
                "success_header = \"a b\"",
                "proxy \"orders\": success_header: \"a b\" is not a header name",
            ),
            (
                "refusal_status = { no_wallet = 200 }",
                "proxy \"orders\": refusal_status.no_wallet: must be from 400 to 599, not 200",
            ),
            ("head_timeout_ms = 0", "proxy \"orders\": head_timeout_ms: must be above 0"),
            (
                "upstream = { ca_file = \"ca.pem\" }",
                "proxy \"orders\": upstream.ca_file: is for https:// targets",
            ),
            ("host_header = { named = \"api.example\" }", ""),
            ("top_up_url = \"https://pay.example/{developer}\"", ""),
            (
                "top_up_url = \"pay.example\"",
                "proxy \"orders\": top_up_url: must be an http:// or https:// URL",
            ),
        ];
        for (text, want) in rows {
            assert_eq!(problem(text), want, "{text}");
        }
    }

    #[test]
    fn unknown_keys_and_floats_are_refused() {
        assert!(problem("taget = \"x\"").contains("unknown field `taget`"));
        assert!(
            problem("refusal_status = { nowallet = 402 }").contains("unknown variant `nowallet`")
        );
        assert!(problem("max_multiplier = 2.5").contains("an integer, or a decimal in quotes"));
    }

    #[test]
    fn two_proxies_cannot_share_a_name_or_a_place() {
        let proxy = |name: &str, path: &str| Proxy {
            base_path: path.to_owned(),
            ..Proxy::new(name, "http://a/")
        };
        let both = |a, b| check(&Limits::default(), &[a, b]).map_err(|it| it.to_string());
        assert!(
            both(proxy("a", "/x"), proxy("a", "/y")).is_err_and(|it| it.contains("has this name"))
        );
        assert!(
            both(proxy("a", "/x"), proxy("b", "/x/")).is_err_and(|it| it.contains("has this host"))
        );
        assert_eq!(both(proxy("a", "/x"), proxy("b", "/y")), Ok(()));
    }
}
