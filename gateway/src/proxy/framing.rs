//! Refuses requests whose head can be read in two ways, before anything is decided on it.
//!
//! What hyper refuses by itself with 400 and a closed connection: folded lines, space before a colon, a bare CR or NUL, two
//! differing or broken `Content-Length`s, `Transfer-Encoding` that does not end in `chunked` or comes with HTTP/1.0. Where
//! `Transfer-Encoding` and `Content-Length` come together it drops the length and closes after the answer, as RFC 9112 §6.3
//! lets it. What is left is here; a doubled length of equal value is `server::head_guard`'s.

use http::header::{EXPECT, HOST, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Version};

use super::headers::{Bit, Scan};
use crate::config::Limits;
use crate::refusal::Refusal;

/// The host that a request is for, as the client wrote it, port included; empty where it named none.
///
/// # Errors
/// What is wrong with the head.
pub(crate) fn check<'a, B>(
    request: &'a Request<B>,
    scan: Scan,
    limits: &Limits,
) -> Result<&'a str, Refusal> {
    let method = request.method();
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err(Refusal::MethodNotAllowed);
    }
    let uri = request.uri();
    if uri.path_and_query().is_some_and(|whole| whole.as_str().len() > limits.target_bytes_max) {
        return Err(Refusal::TargetTooLong);
    }
    let headers = request.headers();
    for bit in [Bit::Host, Bit::ContentLength, Bit::TransferEncoding, Bit::Expect] {
        if scan.has_twice(bit) {
            return Err(Refusal::BadRequest);
        }
    }
    if scan.has(Bit::TransferEncoding) && !is_value(headers, &TRANSFER_ENCODING, b"chunked") {
        return Err(Refusal::BadRequest);
    }
    if scan.has(Bit::Expect) && !is_value(headers, &EXPECT, b"100-continue") {
        return Err(Refusal::ExpectationFailed);
    }
    let host = match headers.get(HOST).map(|host| host.to_str()) {
        Some(Ok(host)) => Some(host),
        Some(Err(_)) => return Err(Refusal::BadRequest),
        None => None,
    };
    let host = match (uri.authority(), host) {
        (Some(authority), Some(host)) => {
            // RFC 9112 §3.2.2: the target's host wins. RFC 9113 §8.3.1: there they must not differ.
            if request.version() == Version::HTTP_2
                && !authority.as_str().eq_ignore_ascii_case(host)
            {
                return Err(Refusal::BadRequest);
            }
            authority.as_str()
        }
        (Some(_), None) if request.version() == Version::HTTP_11 => {
            return Err(Refusal::BadRequest);
        }
        (Some(authority), None) => authority.as_str(),
        (None, Some(host)) => host,
        (None, None) if request.version() == Version::HTTP_10 => "",
        (None, None) => return Err(Refusal::BadRequest),
    };
    if is_host(host) { Ok(host) } else { Err(Refusal::BadRequest) }
}

/// The host without its port.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

fn is_value(headers: &HeaderMap, name: &HeaderName, want: &[u8]) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(want))
}

/// Whether these are bytes of a host and port. Which host, the routes say.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        Some(_) | None => (host, ""),
    };
    let is_literal = name.starts_with('[') && name.ends_with(']');
    let is_in_name = |byte: u8| match byte {
        b':' | b'[' | b']' => is_literal,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => true,
        _ => b"-._~!$&'()*+;=%".contains(&byte),
    };
    name.bytes().all(is_in_name) && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(
        version: Version,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<String, Refusal> {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let scan = Scan::of(request.headers());
        check(&request, scan, &Limits::default()).map(str::to_owned)
    }

    #[test]
    fn heads_with_two_readings_are_refused() {
        let (http1, http2) = (Version::HTTP_11, Version::HTTP_2);
        let bad = || Err(Refusal::BadRequest);
        let ok = |host: &str| Ok(host.to_owned());
        let rows = [
            (http1, "/", vec![("host", "a:80")], ok("a:80")),
            (http1, "/", vec![("host", "[::1]:80")], ok("[::1]:80")),
            (http1, "/", vec![("host", "[::1]")], ok("[::1]")),
            (http1, "/", vec![("host", "")], ok("")),
            (http1, "/", vec![], bad()),
            (Version::HTTP_10, "/", vec![], ok("")),
            (http1, "/", vec![("host", "a"), ("host", "a")], bad()),
            (http1, "/", vec![("host", "a b")], bad()),
            (http1, "/", vec![("host", "a/b")], bad()),
            (http1, "/", vec![("host", "u@a")], bad()),
            (http1, "/", vec![("host", "a:b")], bad()),
            (http1, "/", vec![("host", "a, b")], bad()),
            (http1, "http://b/", vec![("host", "a")], ok("b")),
            (http1, "http://b/", vec![], bad()),
            (http2, "http://b/", vec![], ok("b")),
            (http2, "http://b/", vec![("host", "B")], ok("b")),
            (http2, "http://b/", vec![("host", "a")], bad()),
            (http1, "/", vec![("host", "a"), ("transfer-encoding", "gzip, chunked")], bad()),
            (http1, "/", vec![("host", "a"), ("transfer-encoding", "Chunked")], ok("a")),
            (http1, "/", vec![("host", "a"), ("expect", "100-Continue")], ok("a")),
            (http1, "/", vec![("host", "a"), ("expect", "x")], Err(Refusal::ExpectationFailed)),
        ];
        for (version, target, headers, want) in rows {
            assert_eq!(checked(version, target, &headers), want, "{target} {headers:?}");
        }
    }

    #[test]
    fn ports_are_taken_off() {
        let rows =
            [("a", "a"), ("a:80", "a"), ("[::1]", "[::1]"), ("[::1]:80", "[::1]"), ("a:", "a")];
        for (host, want) in rows {
            assert_eq!(without_port(host), want);
        }
    }
}
