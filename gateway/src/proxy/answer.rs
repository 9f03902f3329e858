//! Turns refusals into responses: the one place where the gateway itself speaks to a caller.

use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode, Version};

use super::body::ResponseBody;
use super::headers::{self, Bit, Scan};
use super::route::Route;
use crate::refusal::{Refusal, Refused, StatusOverrides, TopUpUrl};

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// When a gRPC client's own retries may go on (gRPC proposal A6).
static GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What must be known of a call to answer it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    is_grpc: bool,
    version: Version,
}

// === impl Caller ===

impl Caller {
    pub(crate) fn of<B>(request: &http::Request<B>, scan: Scan) -> Self {
        let is_grpc = scan.has(Bit::ContentType) && is_grpc(request.headers());
        Self { is_grpc, version: request.version() }
    }

    /// The response that tells this caller of a refusal.
    pub(crate) fn refuse(self, refused: &Refused, route: Option<&Route>) -> Response<ResponseBody> {
        let refusal = refused.kind;
        let mut response = if self.is_grpc { grpc(refusal) } else { fault(refused, route) };
        let headers = response.headers_mut();
        refused.each_fact(top_up(route), |_, name, value| {
            let value = HeaderValue::from_str(value).expect("facts are printable ASCII");
            headers.insert(name, value);
        });
        if let Some(wait) = refused.wait() {
            // Rounded up: who comes back then must not come too early.
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            if self.is_grpc {
                let pushback_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
                headers.insert(&GRPC_PUSHBACK, HeaderValue::from(pushback_ms));
            }
        }
        // What is left of such a request on the connection cannot be told from the next one, or is not wanted.
        let is_last = matches!(
            refusal,
            Refusal::BadRequest
                | Refusal::BodyTooLarge
                | Refusal::RequestTooSlow
                | Refusal::HeadTooLarge
        );
        if is_last && self.version != Version::HTTP_2 {
            headers::say_close(headers);
        }
        response
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    match kind.as_bytes().strip_prefix(b"application/grpc") {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

fn top_up(route: Option<&Route>) -> Option<&TopUpUrl> {
    route?.config.top_up_url.as_ref()
}

/// Apigee's fault shape; what Tollgate tells beside stands in the detail after Apigee's code.
fn fault(refused: &Refused, route: Option<&Route>) -> Response<ResponseBody> {
    let (refusal, row) = (refused.kind, refused.kind.row());
    // No text here holds a character that JSON escapes (tests: `faults_need_no_escapes`, `top_up_urls_are_checked`).
    let mut body = format!(
        r#"{{"fault":{{"faultstring":"{}","detail":{{"errorcode":"{}""#,
        row.fault, row.code
    );
    refused.each_fact(top_up(route), |member, _, value| {
        for part in [",\"", member, "\":\"", value, "\""] {
            body.push_str(part);
        }
    });
    body.push_str("}}}");
    let status = match route {
        Some(route) => route.config.refusal_status.status(refusal),
        None => StatusOverrides::default().status(refusal),
    };
    let mut response = Response::new(ResponseBody::whole(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        headers.insert(ALLOW, methods);
    }
    response
}

/// Trailers alone: status and message in the head of an empty response.
fn grpc(refusal: Refusal) -> Response<ResponseBody> {
    let row = refusal.row();
    let mut response = Response::new(ResponseBody::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(&GRPC_STATUS, HeaderValue::from(u16::from(row.grpc)));
    let message = format!("{} ({})", row.fault, row.code);
    let message = HeaderValue::try_from(message).expect("faults and codes are printable ASCII");
    headers.insert(&GRPC_MESSAGE, message);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_need_no_escapes() {
        for refusal in Refusal::ALL {
            let row = refusal.row();
            let is_plain = |text: &str| {
                text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\%".contains(&byte))
            };
            assert!(is_plain(row.fault) && is_plain(row.code) && is_plain(row.name), "{refusal:?}");
        }
    }

    #[test]
    fn grpc_callers_are_known_by_their_content_type() {
        let rows = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ];
        for (kind, want) in rows {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_grpc(&headers), want, "{kind}");
        }
    }
}
