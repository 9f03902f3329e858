//! One call, top to bottom: which proxy, whose key, may it pass, forward it, count it.
//!
//! Invariants: a refused call never reaches the upstream. A hold is settled when the upstream's response head is there, before
//! its first byte is passed on; every other way out drops the hold, which releases it: a refusal, an upstream that dies before
//! its head, a client that leaves (hyper drops the call's future, and with it the request to the upstream). So a client that
//! hangs up after a successful head pays, and nobody else who got no answer.
//! Not here: connections of clients (`server`), connections to upstreams (`upstream`), money (`admission`).

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use self::answer::Caller;
use self::call::Call;
use self::headers::{Bit, Scan};
use self::route::{Found, Route};
use self::told::Wish;
use self::verdict::Verdict;
use crate::admission::{
    Admission, CallHead, CallHold, CallReport, Decision, MultiplierSource, OwnQuestion,
};
use crate::metrics::Outcome;
use crate::refusal::{Refusal, Refused};
use crate::server::Client;

pub(crate) use self::body::{RequestBody, ResponseBody};
pub(crate) use self::core::Core;
pub(crate) use self::own::RESERVED;
pub(crate) use self::route::Routes;

mod answer;
mod body;
mod call;
mod core;
mod forward;
mod framing;
mod headers;
mod key;
mod own;
mod prepare;
mod route;
mod told;
mod upgrade;
mod verdict;
mod waits;

/// How often a call fetches: each fetch can make known what the next decision lacks (the key, then the wallet).
const FETCHES_MAX: usize = 3;

/// What admission let pass.
#[derive(Debug)]
enum Pass<Hold> {
    Held(Hold),
    /// In shadow mode: what counts its units, and how it ends where it succeeds.
    Shadow(Option<Hold>, Outcome),
    Unpriced,
    Unmetered,
}

/// What a connection's calls share.
#[derive(Debug)]
pub(crate) struct Serving<A> {
    pub(crate) core: Rc<Core>,
    pub(crate) admission: Arc<A>,
    pub(crate) client: Rc<Client>,
}

/// Carries one call. Dropping the future gives the call up, its hold and its request to the upstream.
///
/// One function from top to bottom, with the request in one place: moving it from future to future costs more than metering it.
pub(crate) async fn serve<A: Admission>(
    serving: Rc<Serving<A>>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let Serving { core, admission, client } = &*serving;
    let scan = Scan::of(request.headers());
    let caller = Caller::of(&request, scan);
    let mut call = Call::open(Rc::clone(core), Rc::clone(client), core.tracer.begin(&request));
    let (mut fetches, mut failed) = (0, None);
    let admitted = loop {
        match admit(core, &**admission, &request, scan, failed, &mut call) {
            Ok(Admitted::Now(route, pass)) => break Ok((route, pass)),
            Ok(Admitted::Missing(missing)) => match failed {
                Some(refusal) => break Err(refusal.into()),
                // Asked once more: a call in shadow mode passes also without.
                None if fetches == FETCHES_MAX => failed = Some(Refusal::BalanceUnknown),
                None => {
                    fetches += 1;
                    // Boxed, since few calls come here and all would carry its size.
                    failed = Box::pin(admission.fetch(missing)).await.err();
                }
            },
            Ok(Admitted::Own(question)) => {
                // Boxed, since few calls come here and all would carry its size.
                let answered = Box::pin(own::answer(&**admission, question, &request)).await;
                return Ok(call.answer_own(caller, answered));
            }
            Err(refused) => break Err(refused),
        }
    };
    let sent = call.is_decided();
    let prepared = admitted.and_then(|(route, pass)| {
        let wish = Wish::of(route, &request, scan);
        let upgrade = prepare::request(core, client, route, scan, &call, &mut request)?;
        Ok((route, pass, upgrade, wish))
    });
    let (route, pass, upgrade, wish) = match prepared {
        Ok(prepared) => prepared,
        Err(refused) => return Ok(call.refuse(caller, refused, Outcome::Refused)),
    };
    let deadline = route.total_timeout.map(|limit| call.begun + limit);
    let mut request = Some(prepare::body(core, route, request));
    let (mut response, lease) = match forward::send(core, route, &mut request, sent, deadline).await
    {
        Ok(answered) => answered,
        // The hold is dropped with `pass`: the call costs nothing.
        Err(refusal) => return Ok(call.refuse(caller, refusal, Outcome::Failed)),
    };
    core.metrics.answered(route.index, sent);
    call.is_answered(response.status());
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_upgrade && upgrade.is_none() {
        return Ok(call.refuse(caller, Refusal::UpstreamInvalid, Outcome::Failed));
    }
    let told = wish.wants_headers.then_some(sent);
    let (outcome, report) = settle(core, route, pass, &mut response, told);
    // What is not known is not told: a charged call without a report did not cost nothing.
    let is_counted = matches!(outcome, Outcome::Charged | Outcome::Shadow);
    let wish = if is_counted && report.is_none() { Wish::NONE } else { wish };
    call.ends(outcome);
    let version = std::mem::replace(response.version_mut(), Version::HTTP_11);
    let headers = response.headers_mut();
    let scan = Scan::of(headers);
    headers::strip_hop(headers, scan);
    if scan.has(Bit::Own) {
        headers::strip_own(headers);
    }
    headers::tell_via(headers, scan, version);
    let is_streamed = !is_upgrade && response.body().size_hint().exact().is_none();
    let trailers = wish.tell(report.as_ref(), is_streamed, response.headers_mut());
    if is_upgrade && let Some(ours) = upgrade {
        headers::ask_upgrade(response.headers_mut());
        let theirs = hyper::upgrade::on(&mut response);
        upgrade::join(ours, theirs, route.idle_timeout, lease, call);
        return Ok(response.map(|_| ResponseBody::empty()));
    }
    let idle = route.idle_timeout;
    Ok(response.map(|body| ResponseBody::stream(body, lease, idle, deadline, trailers, call)))
}

/// What became of the question whether a call may pass.
enum Admitted<'a, Hold, Missing> {
    Now(&'a Route, Pass<Hold>),
    Missing(Missing),
    Own(OwnQuestion),
}

/// Checks the head, finds its proxy and asks admission once.
fn admit<'a, A: Admission>(
    core: &'a Core,
    admission: &A,
    request: &Request<Incoming>,
    scan: Scan,
    failed: Option<Refusal>,
    call: &mut Call,
) -> Result<Admitted<'a, A::Hold, A::Missing>, Refused> {
    if core.metrics.open() > core.calls_max {
        return Err(Refusal::TooManyCalls.into());
    }
    let host = framing::check(request, scan, &core.limits)?;
    if let Some(question) = own::question(request)? {
        return Ok(Admitted::Own(question));
    }
    let path = request.uri().path();
    let Found { route, below } = core.routes.find(framing::without_port(host), path)?;
    call.is_for(route.index);
    // A body that will not be taken must not cost anything either.
    if request.body().size_hint().lower() > route.body_bytes_max {
        return Err(Refusal::BodyTooLarge.into());
    }
    if !route.is_metered {
        return Ok(Admitted::Now(route, Pass::Unmetered));
    }
    let key = key::find(route, request.headers(), request.uri().query())?;
    let decision = admission.decide(&CallHead {
        proxy: &route.config,
        proxy_index: route.index,
        method: request.method(),
        path: &below,
        consumer_key: key.as_deref(),
        failed,
    });
    match decision {
        Decision::Admit(hold) => Ok(Admitted::Now(route, Pass::Held(hold))),
        Decision::Shadow { hold, refusal: None } => {
            Ok(Admitted::Now(route, Pass::Shadow(hold, Outcome::Shadow)))
        }
        Decision::Shadow { hold, refusal: Some(refusal) } => {
            core.metrics.spared(route.index, refusal);
            Ok(Admitted::Now(route, Pass::Shadow(hold, Outcome::ShadowRefused)))
        }
        Decision::Unpriced => Ok(Admitted::Now(route, Pass::Unpriced)),
        Decision::Refuse(refused) => Err(refused),
        Decision::Missing(missing) => Ok(Admitted::Missing(missing)),
    }
}

/// Ends the hold by what the response head says, and says how the call ends; `told` where its client is to be told: when it
/// was decided.
fn settle<Hold: CallHold>(
    core: &Core,
    route: &Route,
    pass: Pass<Hold>,
    response: &mut Response<Incoming>,
    told: Option<Instant>,
) -> (Outcome, Option<CallReport>) {
    let status = response.status();
    let verdict = verdict::take(route, status, response.headers_mut());
    let (hold, outcome) = match pass {
        Pass::Held(hold) => (hold, Outcome::Charged),
        Pass::Shadow(Some(hold), outcome) => (hold, outcome),
        Pass::Shadow(None, outcome) => return (outcome, None),
        Pass::Unpriced => return (Outcome::Unpriced, None),
        Pass::Unmetered => return (Outcome::Unmetered, None),
    };
    let Verdict::Charged(multiplier) = verdict else {
        return (Outcome::Uncharged, None);
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
    let report = match told {
        Some(decided) => hold.settle_told(multiplier, Instant::now().duration_since(decided)),
        None => {
            hold.settle(multiplier);
            None
        }
    };
    (outcome, report)
}
