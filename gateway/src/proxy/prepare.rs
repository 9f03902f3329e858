//! Makes the request that the upstream gets out of the one that the client sent.

use http::header::{HOST, HeaderValue};
use http::uri::{Parts, Uri};
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::body::RequestBody;
use super::call::Call;
use super::core::Core;
use super::headers::{self, Hop, Scan};
use super::key;
use super::route::{Query, Route};
use crate::config::UpstreamHttp;
use crate::refusal::Refusal;
use crate::server::Client;

/// Headers that a request gains at most: `Forwarded`, three `X-Forwarded-…`, `Via`, `traceparent`, `Host`, `TE`.
const HEADERS_GAINED: usize = 8;

/// Changes target, version and headers in place; the client's side of an upgrade, where it asked for one that can be passed on.
///
/// # Errors
/// [`Refusal::BadRequest`] for what cannot be said to the upstream.
pub(crate) fn request(
    core: &Core,
    client: &Client,
    route: &Route,
    scan: Scan,
    call: &Call,
    request: &mut Request<Incoming>,
) -> Result<Option<OnUpgrade>, Refusal> {
    let is_http1 = core.pools[route.upstream].http() == UpstreamHttp::Http1;
    let version = request.version();
    let hop = headers::strip_hop(request.headers_mut(), scan);
    let upgrade = (hop.is_websocket && is_http1).then(|| hyper::upgrade::on(&mut *request));
    let mut parts = Parts::default();
    parts.path_and_query = Some({
        let uri = request.uri();
        let without_key = match uri.query() {
            Some(query) if !route.config.key.forward => key::query_without(route, query),
            Some(_) | None => None,
        };
        let query = without_key.as_deref().map_or(Query::AsSent, Query::Without);
        route.upstream_path(uri, query)?
    });
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let headers = request.headers_mut();
    headers.reserve(HEADERS_GAINED);
    let host = take_host(headers, authority.as_deref(), route, is_http1)?;
    if let Some(name) = &route.key_header
        && !route.config.key.forward
    {
        headers.remove(name);
    }
    headers::tell_client(headers, scan, client, &host, route.forwarded);
    headers::tell_via(headers, scan, version);
    let hop = Hop { is_websocket: upgrade.is_some(), ..hop };
    headers::ask_hop(headers, hop, is_http1);
    core.tracer.propagate(call.span.as_ref(), scan.has_traceparent(), headers);
    if is_http1 {
        headers::join_cookies(headers, scan);
        *request.version_mut() = Version::HTTP_11;
    } else {
        parts.scheme = Some(route.scheme.clone());
        parts.authority = Some(match &route.host {
            Some((authority, _)) => authority.clone(),
            None => host.as_bytes().try_into().map_err(|_| Refusal::BadRequest)?,
        });
        *request.version_mut() = Version::HTTP_2;
    }
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Refusal::BadRequest)?;
    Ok(upgrade)
}

/// Puts the body's limits around it.
pub(crate) fn body(core: &Core, route: &Route, request: Request<Incoming>) -> Request<RequestBody> {
    request.map(|body| RequestBody::new(body, route.body_bytes_max, core.client_idle))
}

/// Takes the host that the client asked for, and leaves the one that an HTTP/1 upstream is told. HTTP/2 has it in the target.
fn take_host(
    headers: &mut http::HeaderMap,
    authority: Option<&str>,
    route: &Route,
    is_http1: bool,
) -> Result<HeaderValue, Refusal> {
    let asked = match authority {
        Some(authority) => Some(HeaderValue::from_str(authority).map_err(|_| Refusal::BadRequest)?),
        None => None,
    };
    let sent = match (&route.host, is_http1) {
        (Some((_, told)), true) => headers.insert(HOST, told.clone()),
        (None, true) => match &asked {
            Some(asked) => headers.insert(HOST, asked.clone()),
            None => headers.get(HOST).cloned(),
        },
        (Some(_) | None, false) => headers.remove(HOST),
    };
    Ok(asked.or(sent).unwrap_or(HeaderValue::from_static("")))
}
