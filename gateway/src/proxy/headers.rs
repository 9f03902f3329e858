//! What a request and a response lose and gain on their way through.
//!
//! Headers that speak of one connection only (RFC 9110 §7.6.1) end here, those that `Connection` names included. One pass over
//! the names finds which of them are there, so that a request with none of them costs no look-up.

use http::header::{
    CONNECTION, EXPECT, FORWARDED, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, Version};

use crate::config::Forwarded;
use crate::server::Client;

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

static HTTP: HeaderValue = HeaderValue::from_static("http");
static HTTPS: HeaderValue = HeaderValue::from_static("https");
static TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
static WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// What a message asked of this hop in the headers that were taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The sender takes trailers.
    pub(crate) takes_trailers: bool,
    /// The sender wants to speak WebSocket.
    pub(crate) is_websocket: bool,
}

/// Takes off what speaks of one connection only.
pub(crate) fn strip_hop(headers: &mut HeaderMap) -> Hop {
    let mut there = 0_u16;
    for name in headers.keys() {
        there |= bit(name);
    }
    let mut hop = Hop { takes_trailers: false, is_websocket: false };
    if there == 0 {
        return hop;
    }
    if there & TE_BIT != 0 {
        hop.takes_trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
        headers.remove(TE);
    }
    if there & CONNECTION_BIT != 0 {
        let is_upgrade =
            headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
        let is_websocket =
            |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
        hop.is_websocket = is_upgrade && headers.get(UPGRADE).is_some_and(is_websocket);
        strip_named(headers);
    }
    for (name, mask) in REST {
        if there & mask != 0 {
            headers.remove(name);
        }
    }
    hop
}

/// Takes off `Connection` and what it names, but for what no message is sound without.
fn strip_named(headers: &mut HeaderMap) {
    // Few messages name more than `close`, `keep-alive`, `upgrade` or `te`, which fall anyway.
    let mut named = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let is_known = [&b"close"[..], b"keep-alive", b"upgrade", b"te"]
                .iter()
                .any(|known| token.eq_ignore_ascii_case(known));
            if !is_known && let Ok(name) = HeaderName::from_bytes(token) {
                named.push(name);
            }
        }
    }
    headers.remove(CONNECTION);
    for name in named {
        // A client must not make the gateway hide what says where a message ends and whom it is for.
        if name != http::header::CONTENT_LENGTH && name != HOST {
            headers.remove(name);
        }
    }
}

const TE_BIT: u16 = 1;
const CONNECTION_BIT: u16 = 1 << 1;
const REST: [(&HeaderName, u16); 8] = [
    (&TRANSFER_ENCODING, 1 << 2),
    (&UPGRADE, 1 << 3),
    (&KEEP_ALIVE, 1 << 4),
    (&PROXY_CONNECTION, 1 << 5),
    (&HTTP2_SETTINGS, 1 << 6),
    (&PROXY_AUTHORIZATION, 1 << 7),
    (&PROXY_AUTHENTICATE, 1 << 8),
    (&EXPECT, 1 << 9),
];

fn bit(name: &HeaderName) -> u16 {
    if *name == TE {
        return TE_BIT;
    }
    if *name == CONNECTION {
        return CONNECTION_BIT;
    }
    REST.iter().find(|(known, _)| *known == name).map_or(0, |(_, mask)| *mask)
}

/// Whether a comma-separated list has this word, whatever its case and parameters.
fn has_token(value: &HeaderValue, word: &str) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|item| {
        let token = item.split(|byte| *byte == b';').next().unwrap_or_default();
        token.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
    })
}

/// Asks the upstream for what the client asked of this hop.
pub(crate) fn ask_hop(headers: &mut HeaderMap, hop: Hop, is_http1: bool) {
    if hop.takes_trailers {
        headers.insert(TE, TRAILERS.clone());
        if is_http1 {
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
    }
    if hop.is_websocket && is_http1 {
        ask_upgrade(headers);
    }
}

/// Says that the connection changes to WebSocket.
pub(crate) fn ask_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, WEBSOCKET.clone());
}

/// Says that the connection closes after this message.
pub(crate) fn say_close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Tells the upstream about the client and the host that it asked for.
pub(crate) fn tell_client(
    headers: &mut HeaderMap,
    client: &Client,
    host: &HeaderValue,
    how: Forwarded,
) {
    match how {
        Forwarded::Pass => {}
        Forwarded::Replace => {
            headers.insert(&X_FORWARDED_FOR, client.address.clone());
            headers.insert(&X_FORWARDED_PROTO, scheme(client).clone());
            headers.insert(&X_FORWARDED_HOST, host.clone());
            headers.insert(FORWARDED, client.forwarded(host));
        }
        Forwarded::Append => {
            append(headers, &X_FORWARDED_FOR, client.address.clone());
            // These two are no lists for most readers: whoever stands in front knows better.
            headers.entry(&X_FORWARDED_PROTO).or_insert_with(|| scheme(client).clone());
            headers.entry(&X_FORWARDED_HOST).or_insert_with(|| host.clone());
            append(headers, &FORWARDED, client.forwarded(host));
        }
    }
}

fn scheme(client: &Client) -> &'static HeaderValue {
    if client.is_tls { &HTTPS } else { &HTTP }
}

/// Adds the gateway to the message's way, by the version that it arrived in.
pub(crate) fn tell_via(headers: &mut HeaderMap, version: Version) {
    let via = match version {
        Version::HTTP_2 => HeaderValue::from_static("2.0 tollgate"),
        Version::HTTP_10 => HeaderValue::from_static("1.0 tollgate"),
        _ => HeaderValue::from_static("1.1 tollgate"),
    };
    append(headers, &VIA, via);
}

/// Appends to a list header, in one line.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    let mut before = headers.get_all(name).iter();
    let Some(first) = before.next() else {
        headers.insert(name, value);
        return;
    };
    let mut whole = first.as_bytes().to_vec();
    for next in before.chain([&value]) {
        whole.extend_from_slice(b", ");
        whole.extend_from_slice(next.as_bytes());
    }
    // Parts that are values make a value.
    if let Ok(whole) = HeaderValue::from_maybe_shared(bytes::Bytes::from(whole)) {
        headers.insert(name, whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        rows.iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn what_speaks_of_one_connection_ends_here() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret"),
            ("connection", "x-other , content-length,host"),
            ("keep-alive", "5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip, Trailers;q=1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("proxy-authorization", "x"),
            ("expect", "100-continue"),
            ("x-secret", "1"),
            ("x-other", "1"),
            ("x-kept", "1"),
            ("host", "a"),
            ("content-length", "3"),
            ("trailer", "x"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let hop = strip_hop(&mut headers);
        assert_eq!(hop, Hop { takes_trailers: true, is_websocket: false });
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "trailer", "x-kept"]);
    }

    #[test]
    fn a_websocket_needs_both_headers() {
        let rows = [
            (&[("connection", "Upgrade"), ("upgrade", "WebSocket")][..], true),
            (&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")], true),
            (&[("upgrade", "websocket")], false),
            (&[("connection", "upgrade"), ("upgrade", "h2c")], false),
        ];
        for (headers, want) in rows {
            assert_eq!(strip_hop(&mut map(headers)).is_websocket, want, "{headers:?}");
        }
    }

    #[test]
    fn lists_are_appended_in_one_line() {
        let mut headers = map(&[("via", "1.0 a")]);
        headers.append("via", HeaderValue::from_static("1.1 b"));
        tell_via(&mut headers, Version::HTTP_2);
        let lines: Vec<_> = headers.get_all("via").iter().collect();
        assert_eq!(lines, ["1.0 a, 1.1 b, 2.0 tollgate"]);
    }
}
