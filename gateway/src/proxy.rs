//! One call, top to bottom: which proxy, whose key, may it pass, forward it, count it.
//!
//! Invariants: a refused call never reaches the upstream. A hold is settled when the upstream's response head is there, before
//! its first byte is passed on; every other way out drops the hold, which releases it: a refusal, an upstream that dies before
//! its head, a client that leaves (hyper drops the call's future, and with it the request to the upstream). So a client that
//! hangs up after a successful head pays, and nobody else who got no answer.
//! Not here: connections of clients (`server`), connections to upstreams (`upstream`), money (`admission`).

use std::rc::Rc;
use std::sync::Arc;

use http::header::{HOST, HeaderValue};
use http::uri::{Parts, Uri};
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use self::answer::Caller;
use self::call::Call;
use self::headers::Hop;
use self::route::{Found, Query, Route};
use self::verdict::Verdict;
use crate::admission::{Admission, CallHead, CallHold, Decision, MultiplierSource};
use crate::config::UpstreamHttp;
use crate::metrics::Outcome;
use crate::refusal::Refusal;
use crate::server::Client;

pub(crate) use self::body::{RequestBody, ResponseBody};
pub(crate) use self::core::Core;
pub(crate) use self::route::Routes;

mod answer;
mod body;
mod call;
mod core;
mod forward;
mod framing;
mod headers;
mod key;
mod route;
mod upgrade;
mod verdict;

/// How often a call is decided: each fetch can make known what the next decision lacks (the key, then the wallet).
const DECISIONS_MAX: usize = 4;

/// What admission let pass.
#[derive(Debug)]
enum Pass<Hold> {
    Held(Hold),
    Unpriced,
    Unmetered,
}

/// How a call ends without a response of the upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    refusal: Refusal,
    outcome: Outcome,
}

/// Carries one call. Dropping the future gives the call up, its hold and its request to the upstream.
pub(crate) async fn serve<A: Admission>(
    core: Rc<Core>,
    admission: Arc<A>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let span = core.tracer.begin(&request);
    let call = Call::open(Rc::clone(&core), Rc::clone(&client), span);
    let caller = Caller::of(&request);
    match carry(&core, &*admission, &client, request, call).await {
        Ok(response) => response,
        Err((end, mut call)) => {
            let route = call.proxy.map(|index| &core.routes.all[index]);
            call.is_refused(end.refusal, end.outcome);
            caller.refuse(end.refusal, route)
        }
    }
}

async fn carry<A: Admission>(
    core: &Rc<Core>,
    admission: &A,
    client: &Rc<Client>,
    request: Request<Incoming>,
    mut call: Call,
) -> Result<Response<ResponseBody>, (End, Call)> {
    let found = match find(core, &request) {
        Ok(found) => found,
        Err(refusal) => return Err((refused(refusal), call)),
    };
    let route = found.route;
    call.is_for(route.index);
    let pass = match admit(core, admission, &found, &request).await {
        Ok(pass) => pass,
        Err(refusal) => return Err((refused(refusal), call)),
    };
    let prepared = match prepare(core, client, route, request, &call) {
        Ok(prepared) => prepared,
        Err(refusal) => return Err((refused(refusal), call)),
    };
    let sent = Instant::now();
    let deadline = route.total_timeout.map(|limit| call.begun + limit);
    let answered = forward::send(core, route, prepared.request, deadline).await;
    let (mut response, lease) = match answered {
        Ok(answered) => answered,
        // The hold is dropped with `pass`: the call costs nothing.
        Err(refusal) => return Err((End { refusal, outcome: Outcome::Failed }, call)),
    };
    core.metrics.answered(route.index, sent);
    call.is_answered(response.status());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && prepared.upgrade.is_none() {
        return Err((End { refusal: Refusal::UpstreamInvalid, outcome: Outcome::Failed }, call));
    }
    call.ends(settle(core, route, pass, &mut response));
    let version = std::mem::replace(response.version_mut(), Version::HTTP_11);
    headers::strip_hop(response.headers_mut());
    headers::tell_via(response.headers_mut(), version);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(ours) = prepared.upgrade
    {
        let theirs = hyper::upgrade::on(&mut response);
        headers::ask_upgrade(response.headers_mut());
        upgrade::join(ours, theirs, route.idle_timeout, lease, call);
        return Ok(response.map(|_| ResponseBody::empty()));
    }
    let idle = route.idle_timeout;
    Ok(response.map(|body| ResponseBody::stream(body, lease, idle, deadline, call)))
}

/// Checks the head and finds its proxy.
fn find<'r, 'p>(core: &'r Core, request: &'p Request<Incoming>) -> Result<Found<'r, 'p>, Refusal> {
    if core.metrics.open() > core.calls_max {
        return Err(Refusal::TooManyCalls);
    }
    let host = framing::check(request, &core.limits)?;
    core.routes.find(framing::without_port(host), request.uri().path())
}

/// Asks admission until it has decided.
async fn admit<A: Admission>(
    core: &Core,
    admission: &A,
    found: &Found<'_, '_>,
    request: &Request<Incoming>,
) -> Result<Pass<A::Hold>, Refusal> {
    let route = found.route;
    // A body that will not be taken must not cost anything either.
    if request.body().size_hint().lower() > route.body_bytes_max {
        return Err(Refusal::BodyTooLarge);
    }
    if !route.is_metered {
        return Ok(Pass::Unmetered);
    }
    let begun = Instant::now();
    let key = key::find(route, request.headers(), request.uri().query())?;
    let head = CallHead {
        proxy: &route.config,
        proxy_index: route.index,
        method: request.method(),
        path: &found.below,
        consumer_key: key.as_deref(),
    };
    for _ in 0..DECISIONS_MAX {
        let pass = match admission.decide(&head) {
            Decision::Admit(hold) => Ok(Pass::Held(hold)),
            Decision::Unpriced => Ok(Pass::Unpriced),
            Decision::Refuse(refusal) => Err(refusal),
            Decision::Missing(missing) => {
                admission.fetch(missing).await?;
                continue;
            }
        };
        core.metrics.admitted(route.index, begun);
        return pass;
    }
    Err(Refusal::BalanceUnknown)
}

/// A request as the upstream gets it.
struct Prepared {
    request: Request<RequestBody>,
    /// The client's side of an upgrade that it asked for.
    upgrade: Option<OnUpgrade>,
}

fn prepare(
    core: &Core,
    client: &Client,
    route: &Route,
    mut request: Request<Incoming>,
    call: &Call,
) -> Result<Prepared, Refusal> {
    let is_http1 = core.pools[route.upstream].http() == UpstreamHttp::Http1;
    let version = request.version();
    let hop = headers::strip_hop(request.headers_mut());
    let upgrade = (hop.is_websocket && is_http1).then(|| hyper::upgrade::on(&mut request));
    let path = {
        let uri = request.uri();
        let without_key = match uri.query() {
            Some(query) if !route.config.key.forward => key::query_without(route, query),
            Some(_) | None => None,
        };
        let query = without_key.as_deref().map_or(Query::AsSent, Query::Without);
        route.upstream_path(uri, query)?
    };
    let host = client_host(&mut request)?;
    let headers = request.headers_mut();
    if let Some(name) = &route.key_header
        && !route.config.key.forward
    {
        headers.remove(name);
    }
    headers::tell_client(headers, client, &host, route.forwarded);
    headers::tell_via(headers, version);
    headers::ask_hop(headers, hop_for(hop, upgrade.is_some()), is_http1);
    core.tracer.propagate(call.span.as_ref(), headers);
    let mut parts = Parts::default();
    parts.path_and_query = Some(path);
    if is_http1 {
        let told = route.host.as_ref().map_or(&host, |(_, value)| value);
        request.headers_mut().insert(HOST, told.clone());
        *request.version_mut() = Version::HTTP_11;
    } else {
        let authority = match &route.host {
            Some((authority, _)) => authority.clone(),
            None => host.as_bytes().try_into().map_err(|_| Refusal::BadRequest)?,
        };
        parts.scheme = Some(route.scheme.clone());
        parts.authority = Some(authority);
        *request.version_mut() = Version::HTTP_2;
    }
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Refusal::BadRequest)?;
    let request =
        request.map(|body| RequestBody::new(body, route.body_bytes_max, core.client_idle));
    Ok(Prepared { request, upgrade })
}

fn hop_for(hop: Hop, is_upgrade: bool) -> Hop {
    Hop { is_websocket: is_upgrade, ..hop }
}

/// Takes the host that the client asked for out of the request.
fn client_host(request: &mut Request<Incoming>) -> Result<HeaderValue, Refusal> {
    let host = request.headers_mut().remove(HOST);
    match (request.uri().authority(), host) {
        (Some(authority), _) => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::BadRequest)
        }
        (None, Some(host)) => Ok(host),
        (None, None) => Ok(HeaderValue::from_static("")),
    }
}

/// Ends the hold by what the response head says, and says how the call ends.
fn settle<Hold: CallHold>(
    core: &Core,
    route: &Route,
    pass: Pass<Hold>,
    response: &mut Response<Incoming>,
) -> Outcome {
    let status = response.status();
    let verdict = verdict::take(route, status, response.headers_mut());
    let hold = match pass {
        Pass::Held(hold) => hold,
        Pass::Unpriced => return Outcome::Unpriced,
        Pass::Unmetered => return Outcome::Unmetered,
    };
    let Verdict::Charged(multiplier) = verdict else {
        return Outcome::Uncharged;
    };
    match multiplier.source {
        MultiplierSource::Absent | MultiplierSource::Header => {}
        MultiplierSource::Capped => {
            tracing::warn!(proxy = route.config.name, excess = %multiplier.excess, "multiplier above the proxy's maximum");
            core.metrics.multiplier_changed(route.index, "capped");
        }
        MultiplierSource::Invalid => {
            tracing::warn!(proxy = route.config.name, "multiplier cannot be read, taken as 1");
            core.metrics.multiplier_changed(route.index, "invalid");
        }
    }
    hold.settle(multiplier);
    Outcome::Charged
}

fn refused(refusal: Refusal) -> End {
    End { refusal, outcome: Outcome::Refused }
}
