//! What a request and a response lose and gain on their way through.
//!
//! Headers that speak of one connection only (RFC 9110 §7.6.1) end here, those that `Connection` names included. One pass over
//! the names finds which headers matter here ([`Scan`]), so that what is not there costs no look-up.
//! Names that begin with `tollgate-` are the gateway's own to callers: an upstream's never reach one, told or not, in the
//! head or after the body, so that no upstream can say what a call cost.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
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
static TE_OPTION: HeaderValue = HeaderValue::from_static("te");
static CLOSE: HeaderValue = HeaderValue::from_static("close");
static VIA_HTTP10: HeaderValue = HeaderValue::from_static("1.0 tollgate");
static VIA_HTTP11: HeaderValue = HeaderValue::from_static("1.1 tollgate");
static VIA_HTTP2: HeaderValue = HeaderValue::from_static("2.0 tollgate");

/// Which of the headers that matter here a message has, found in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    there: u32,
    twice: u32,
}

/// What a message asked of this hop in the headers that were taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The sender takes trailers.
    pub(crate) takes_trailers: bool,
    /// The sender wants to speak WebSocket.
    pub(crate) is_websocket: bool,
}

/// A header that matters here, as a bit of a [`Scan`].
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum Bit {
    Te = 1,
    Connection = 1 << 1,
    TransferEncoding = 1 << 2,
    Upgrade = 1 << 3,
    KeepAlive = 1 << 4,
    ProxyConnection = 1 << 5,
    Http2Settings = 1 << 6,
    ProxyAuthorization = 1 << 7,
    ProxyAuthenticate = 1 << 8,
    Expect = 1 << 9,
    Host = 1 << 10,
    ContentLength = 1 << 11,
    ForwardedFor = 1 << 12,
    Forwarded = 1 << 13,
    Via = 1 << 14,
    Traceparent = 1 << 15,
    Cookie = 1 << 16,
    ContentType = 1 << 17,
    /// Any that begins as the gateway's own do.
    Own = 1 << 18,
}

/// Begins the names of what the gateway tells callers.
const OWN: &str = "tollgate-";

/// Those that end here whatever they say.
const REST: [(&HeaderName, Bit); 8] = [
    (&TRANSFER_ENCODING, Bit::TransferEncoding),
    (&UPGRADE, Bit::Upgrade),
    (&KEEP_ALIVE, Bit::KeepAlive),
    (&PROXY_CONNECTION, Bit::ProxyConnection),
    (&HTTP2_SETTINGS, Bit::Http2Settings),
    (&PROXY_AUTHORIZATION, Bit::ProxyAuthorization),
    (&PROXY_AUTHENTICATE, Bit::ProxyAuthenticate),
    (&EXPECT, Bit::Expect),
];
const REST_BITS: u32 = 0b11_1111_1100;
const HOP_BITS: u32 = REST_BITS | Bit::Te as u32 | Bit::Connection as u32;

// === impl Scan ===

impl Scan {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut scan = Self { there: 0, twice: 0 };
        for (name, _) in headers {
            let bit = bit(name.as_str());
            scan.twice |= scan.there & bit;
            scan.there |= bit;
        }
        scan
    }

    pub(crate) fn has(self, bit: Bit) -> bool {
        self.there & bit as u32 != 0
    }

    /// Whether a header came more than once.
    pub(crate) fn has_twice(self, bit: Bit) -> bool {
        self.twice & bit as u32 != 0
    }

    pub(crate) fn has_traceparent(self) -> bool {
        self.has(Bit::Traceparent)
    }
}

/// The bit of a name; lengths tell nearly all names apart before a byte is compared.
fn bit(name: &str) -> u32 {
    if is_own(name) {
        return Bit::Own as u32;
    }
    let (known, bit) = match name.len() {
        2 => ("te", Bit::Te),
        3 => ("via", Bit::Via),
        4 => ("host", Bit::Host),
        6 if name.starts_with('c') => ("cookie", Bit::Cookie),
        6 => ("expect", Bit::Expect),
        7 => ("upgrade", Bit::Upgrade),
        9 => ("forwarded", Bit::Forwarded),
        10 if name.starts_with('c') => ("connection", Bit::Connection),
        10 => ("keep-alive", Bit::KeepAlive),
        11 => ("traceparent", Bit::Traceparent),
        12 => ("content-type", Bit::ContentType),
        14 if name.starts_with('c') => ("content-length", Bit::ContentLength),
        14 => ("http2-settings", Bit::Http2Settings),
        15 => ("x-forwarded-for", Bit::ForwardedFor),
        16 => ("proxy-connection", Bit::ProxyConnection),
        17 => ("transfer-encoding", Bit::TransferEncoding),
        18 => ("proxy-authenticate", Bit::ProxyAuthenticate),
        19 => ("proxy-authorization", Bit::ProxyAuthorization),
        _ => return 0,
    };
    if name == known { bit as u32 } else { 0 }
}

fn is_own(name: &str) -> bool {
    name.starts_with(OWN)
}

/// Takes off what only the gateway may tell a caller.
pub(crate) fn strip_own(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> =
        headers.keys().filter(|name| is_own(name.as_str())).cloned().collect();
    for name in own {
        headers.remove(name);
    }
}

/// Takes off what speaks of one connection only.
pub(crate) fn strip_hop(headers: &mut HeaderMap, scan: Scan) -> Hop {
    let mut hop = Hop { takes_trailers: false, is_websocket: false };
    if scan.there & HOP_BITS == 0 {
        return hop;
    }
    if scan.has(Bit::Te) {
        hop.takes_trailers = takes_trailers(headers, scan);
        headers.remove(TE);
    }
    if scan.has(Bit::Connection) && !is_kept_alive(headers, scan) {
        let mut values = headers.get_all(CONNECTION).iter();
        let is_upgrade = values.any(|value| has_token(value, "upgrade"));
        let is_websocket =
            |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
        hop.is_websocket = is_upgrade && headers.get(UPGRADE).is_some_and(is_websocket);
        strip_named(headers);
    }
    if scan.there & REST_BITS != 0 {
        for (name, bit) in REST {
            if scan.has(bit) {
                headers.remove(name);
            }
        }
    }
    hop
}

/// Whether the sender takes trailers on this hop.
pub(crate) fn takes_trailers(headers: &HeaderMap, scan: Scan) -> bool {
    scan.has(Bit::Te) && headers.get_all(TE).iter().any(|value| has_token(value, "trailers"))
}

/// Takes off a `Connection` that says `keep-alive` and nothing else, as many upstreams do in every answer.
fn is_kept_alive(headers: &mut HeaderMap, scan: Scan) -> bool {
    let is_plain = !scan.has_twice(Bit::Connection)
        && headers
            .get(CONNECTION)
            .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"keep-alive"));
    if is_plain {
        headers.remove(CONNECTION);
    }
    is_plain
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
        if name != CONTENT_LENGTH && name != HOST {
            headers.remove(name);
        }
    }
}

/// Whether a comma-separated list has this word, whatever its case and parameters.
pub(crate) fn has_token(value: &HeaderValue, word: &str) -> bool {
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
            headers.insert(CONNECTION, TE_OPTION.clone());
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
    headers.insert(CONNECTION, CLOSE.clone());
}

/// Tells the upstream about the client and the host that it asked for.
pub(crate) fn tell_client(
    headers: &mut HeaderMap,
    scan: Scan,
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
            let is_first = !scan.has(Bit::ForwardedFor);
            append(headers, &X_FORWARDED_FOR, client.address.clone(), is_first);
            // These two are no lists for most readers: whoever stands in front knows better.
            headers.entry(&X_FORWARDED_PROTO).or_insert_with(|| scheme(client).clone());
            headers.entry(&X_FORWARDED_HOST).or_insert_with(|| host.clone());
            let is_first = !scan.has(Bit::Forwarded);
            append(headers, &FORWARDED, client.forwarded(host), is_first);
        }
    }
}

fn scheme(client: &Client) -> &'static HeaderValue {
    if client.is_tls { &HTTPS } else { &HTTP }
}

/// Puts cookies that HTTP/2 sent in parts into the one line that HTTP/1.1 has for them (RFC 9113 §8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap, scan: Scan) {
    if scan.has_twice(Bit::Cookie)
        && let Some(whole) = joined(headers.get_all(COOKIE).iter(), b"; ")
    {
        headers.insert(COOKIE, whole);
    }
}

/// Adds the gateway to the message's way, by the version that it arrived in.
pub(crate) fn tell_via(headers: &mut HeaderMap, scan: Scan, version: Version) {
    let via = match version {
        Version::HTTP_2 => &VIA_HTTP2,
        Version::HTTP_10 => &VIA_HTTP10,
        _ => &VIA_HTTP11,
    };
    append(headers, &VIA, via.clone(), !scan.has(Bit::Via));
}

/// Appends to a list header, in one line. `is_first`: there is none yet.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue, is_first: bool) {
    if is_first {
        headers.insert(name, value);
        return;
    }
    if let Some(whole) = joined(headers.get_all(name).iter().chain([&value]), b", ") {
        headers.insert(name, whole);
    }
}

/// Values in one line. Parts that are values make a value.
fn joined<'a>(parts: impl Iterator<Item = &'a HeaderValue>, between: &[u8]) -> Option<HeaderValue> {
    let mut whole = Vec::new();
    for part in parts {
        if !whole.is_empty() {
            whole.extend_from_slice(between);
        }
        whole.extend_from_slice(part.as_bytes());
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(whole)).ok()
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
        let scan = Scan::of(&headers);
        assert!(scan.has_twice(Bit::Connection) && !scan.has_twice(Bit::Te));
        let hop = strip_hop(&mut headers, scan);
        assert_eq!(hop, Hop { takes_trailers: true, is_websocket: false });
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "host", "trailer", "x-kept"]);
    }

    #[test]
    fn every_bit_is_found_by_its_name() {
        let mut seen = 0;
        for (name, known) in REST {
            assert_eq!(bit(name.as_str()), known as u32, "{name}");
            seen |= known as u32;
        }
        assert_eq!(seen, REST_BITS);
        let others = [
            ("te", Bit::Te),
            ("connection", Bit::Connection),
            ("host", Bit::Host),
            ("content-length", Bit::ContentLength),
            ("x-forwarded-for", Bit::ForwardedFor),
            ("forwarded", Bit::Forwarded),
            ("via", Bit::Via),
            ("traceparent", Bit::Traceparent),
            ("cookie", Bit::Cookie),
            ("content-type", Bit::ContentType),
            ("tollgate-cost", Bit::Own),
            ("tollgate-price", Bit::Own),
            ("tollgate-balance", Bit::Own),
        ];
        for (name, known) in others {
            assert_eq!(bit(name), known as u32, "{name}");
        }
        assert_eq!((bit("accept"), bit("tollgate")), (0, 0));
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
            let mut map = map(headers);
            let scan = Scan::of(&map);
            assert_eq!(strip_hop(&mut map, scan).is_websocket, want, "{headers:?}");
        }
    }

    #[test]
    fn lists_are_appended_in_one_line() {
        let mut headers = map(&[("via", "1.0 a")]);
        headers.append("via", HeaderValue::from_static("1.1 b"));
        let scan = Scan::of(&headers);
        tell_via(&mut headers, scan, Version::HTTP_2);
        let lines: Vec<_> = headers.get_all("via").iter().collect();
        assert_eq!(lines, ["1.0 a, 1.1 b, 2.0 tollgate"]);
    }
}
