//! The gateway's own paths, below `/.tollgate`: what the owner of a key asks about itself.
//!
//! The prefix is the gateway's on every host, before any proxy, also one of base path `/`; a proxy cannot be configured below it.
//! A path that only looks like it after decoding (`/%2etollgate`, `//.tollgate`) is refused as one that can be read in two ways.
//! The key is where every proxy has it by default: header `x-api-key`, else query parameter `apikey`.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response};

use super::body::ResponseBody;
use super::{key, route};
use crate::admission::{Admission, OwnQuestion};
use crate::refusal::{Refusal, Refused};

/// What no proxy may serve.
pub(crate) const RESERVED: &str = "/.tollgate";

static KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
const KEY_QUERY: &str = "apikey";

/// The owner's question in a path; `None` for a path of the proxies.
///
/// # Errors
/// [`Refusal::NoProxy`] for what is below the prefix and no question, [`Refusal::BadRequest`] for what can be read in two ways,
/// [`Refusal::MethodNotAllowed`] for anything but reading.
pub(super) fn question<B>(request: &Request<B>) -> Result<Option<OwnQuestion>, Refusal> {
    let path = request.uri().path();
    // One look at one byte for nearly every call.
    if !matches!(path.as_bytes().get(1), Some(b'.' | b'%' | b'/' | b'\\' | b';')) {
        return Ok(None);
    }
    let Some(decoded) = route::decoded(path) else { return Ok(None) };
    if !route::is_below(&decoded, RESERVED) {
        return Ok(None);
    }
    if decoded != path {
        return Err(Refusal::BadRequest);
    }
    let question = match path {
        "/.tollgate/v1/balance" => OwnQuestion::Balance,
        "/.tollgate/v1/usage" => OwnQuestion::Usage,
        _ => return Err(Refusal::NoProxy),
    };
    match *request.method() {
        Method::GET | Method::HEAD => Ok(Some(question)),
        _ => Err(Refusal::MethodNotAllowed),
    }
}

/// Asks admission and answers the owner.
///
/// # Errors
/// What the owner is told instead.
pub(super) async fn answer<A: Admission, B>(
    admission: &A,
    question: OwnQuestion,
    request: &Request<B>,
) -> Result<Response<ResponseBody>, Refused> {
    let query = request.uri().query();
    let key = key::find_in(Some(&KEY_HEADER), KEY_QUERY, request.headers(), query)?;
    let body = admission.own(question, key.as_deref()).await?;
    let mut response = Response::new(ResponseBody::whole(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, path: &str) -> Result<Option<OwnQuestion>, Refusal> {
        question(&Request::builder().method(method).uri(path).body(()).unwrap())
    }

    #[test]
    fn the_reserved_prefix_is_read_in_one_way() {
        let rows = [
            ("/.tollgate/v1/balance", Ok(Some(OwnQuestion::Balance))),
            ("/.tollgate/v1/usage?apikey=k", Ok(Some(OwnQuestion::Usage))),
            ("/.tollgate", Err(Refusal::NoProxy)),
            ("/.tollgate/v1/balance/", Err(Refusal::NoProxy)),
            ("/.tollgate/v1/balance/bob@acme.test", Err(Refusal::NoProxy)),
            ("/.tollgate/v2/balance", Err(Refusal::NoProxy)),
            ("/%2etollgate/v1/balance", Err(Refusal::BadRequest)),
            ("/.tollgate/v1/b%61lance", Err(Refusal::BadRequest)),
            ("//.tollgate/v1/balance", Err(Refusal::BadRequest)),
            ("/.tollgate;x/v1/balance", Err(Refusal::BadRequest)),
            ("/.tollgates/v1/balance", Ok(None)),
            ("/.well-known/x", Ok(None)),
            ("/v1/.tollgate/v1/balance", Ok(None)),
            // Two dots are refused where proxies are looked for.
            ("/x/../.tollgate/v1/balance", Ok(None)),
            ("/", Ok(None)),
        ];
        for (path, want) in rows {
            assert_eq!(asked(&Method::GET, path), want, "{path}");
        }
        assert_eq!(asked(&Method::POST, "/.tollgate/v1/balance"), Err(Refusal::MethodNotAllowed));
    }
}
