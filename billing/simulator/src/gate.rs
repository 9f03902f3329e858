//! The way of a request before and after its endpoint: key, idempotency, faults, counting, headers.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::faults::{Fault, FaultKind};
use crate::idempotency::{Fingerprint, Stored};
use crate::keys::{Mode, Power, masked};
use crate::params::Params;
use crate::routes::{self, Call, Route};
use crate::server::Shared;
use crate::shape;
use crate::space::Origin;
use crate::world::World;

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Reply(Reply),
    /// The connection is cut without an answer.
    Cut,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// A request that may go to its endpoint.
struct Admitted {
    route: &'static Route,
    ids: Vec<String>,
    sent: Map<String, Value>,
    account: String,
    mode: Mode,
    is_publishable: bool,
    origin: Origin,
    fault: Option<Fault>,
}

/// What stopped a request before its endpoint.
enum Stop {
    Refused(ApiError),
    Replayed(Stored),
}

// === impl Reply ===

impl Reply {
    fn new(status: StatusCode, body: Value) -> Reply {
        Reply { status, headers: HeaderMap::new(), body }
    }

    fn set(&mut self, name: &'static str, value: &str) {
        // What a client sent as a header can be a header.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }
}

/// Answers one request of the API.
pub(crate) async fn serve(shared: &Shared, request: Request) -> Outcome {
    let (admission, request_id) = {
        let mut world = shared.world.lock();
        let request_id =
            format!("req_{}", (0..14).map(|_| world.rng.alphanumeric()).collect::<String>());
        (admit(&mut world, &request, &request_id), request_id)
    };
    let mut reply = match admission {
        Err(Stop::Refused(refusal)) => refused(&refusal),
        Err(Stop::Replayed(stored)) => {
            let mut reply = Reply::new(stored.status, stored.body);
            reply.set("idempotent-replayed", "true");
            reply.set("original-request", &stored.request_id);
            reply
        }
        Ok(admitted) => match work(shared, admitted).await {
            Outcome::Reply(reply) => reply,
            Outcome::Cut => return Outcome::Cut,
        },
    };
    reply.set("request-id", &request_id);
    let version = header(&request.headers, "stripe-version");
    let version = version.unwrap_or_else(|| shared.world.lock().settings.api_version.clone());
    reply.set("stripe-version", &version);
    if let Some(key) = header(&request.headers, "idempotency-key") {
        reply.set("idempotency-key", &key);
    }
    Outcome::Reply(reply)
}

fn admit(world: &mut World, request: &Request, request_id: &str) -> Result<Admitted, Stop> {
    *world.received.entry(format!("{} {}", request.method, request.path)).or_default() += 1;
    let refuse = Stop::Refused;
    let key = world.keys.authenticate(&request.headers).map_err(refuse)?;
    let account = acting_account(world, request, &key.account).map_err(refuse)?;
    let Some((route, ids)) = routes::find(&request.method, &request.path) else {
        let message = format!("Unrecognized request URL ({}: {}).", request.method, request.path);
        let refusal = ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message);
        return Err(refuse(refusal));
    };
    check_power(&key.power, route, request).map_err(refuse)?;
    let sent = sent_by(request).map_err(refuse)?;
    let version = header(&request.headers, "stripe-version");
    let origin = Origin {
        request_id: Some(request_id.to_owned()),
        idempotency_key: header(&request.headers, "idempotency-key")
            .filter(|_| request.method == "POST"),
        version: version.unwrap_or_else(|| world.settings.api_version.clone()),
    };
    let now = world.now_s();
    let is_publishable = key.power == Power::Publishable;
    if let (Some(name), Some(space)) = (&origin.idempotency_key, world.space(&account, key.mode)) {
        let fingerprint = Fingerprint { path: request.path.clone(), sent: sent.clone() };
        if let Some(stored) = space.idempotency.begin(name, fingerprint, now).map_err(refuse)? {
            return Err(Stop::Replayed(stored));
        }
    }
    let fault = world.faults.strike(&request.method, &request.path, &mut world.rng);
    Ok(Admitted { route, ids, sent, account, mode: key.mode, is_publishable, origin, fault })
}

/// The account that a request works on.
fn acting_account(world: &World, request: &Request, own: &str) -> Result<String, ApiError> {
    let Some(account) = header(&request.headers, "stripe-account") else {
        return Ok(own.to_owned());
    };
    if world.acts_for(own, &account) {
        return Ok(account);
    }
    let message = format!(
        "The provided key does not have access to account '{account}' (or that account does not exist). \
         Application access may have been revoked."
    );
    let refusal = ApiError::new(StatusCode::FORBIDDEN, "invalid_request_error", message);
    Err(refusal.with("code", "account_invalid"))
}

fn check_power(power: &Power, route: &Route, request: &Request) -> Result<(), ApiError> {
    let refusal =
        |message: String| ApiError::new(StatusCode::FORBIDDEN, "invalid_request_error", message);
    match power {
        Power::Secret => Ok(()),
        Power::Publishable if route.is_public => Ok(()),
        Power::Publishable => {
            let message = "This API call cannot be made with a publishable API key. Please use a secret API key.";
            Err(refusal(message.to_owned()).with("code", "secret_key_required"))
        }
        Power::Restricted(paths)
            if paths.iter().any(|path| route.path.starts_with(path.as_str())) =>
        {
            Ok(())
        }
        Power::Restricted(_) => {
            let key = header(&request.headers, "authorization").unwrap_or_default();
            let key = masked(key.rsplit(' ').next().unwrap_or_default());
            Err(refusal(format!(
                "The provided key '{key}' does not have the required permissions for this endpoint."
            ))
            .with("code", "more_permissions_required"))
        }
    }
}

fn sent_by(request: &Request) -> Result<Map<String, Value>, ApiError> {
    let unreadable = |what: String| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            format!("Invalid request: {what}"),
        )
    };
    if request.method == "GET" || request.method == "DELETE" {
        let mut sent = crate::form::decode(request.query.as_bytes()).map_err(unreadable)?;
        sent.append(&mut crate::form::decode(&request.body).map_err(unreadable)?);
        return Ok(sent);
    }
    let kind = header(&request.headers, "content-type").unwrap_or_default();
    if !request.body.is_empty() && !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(unreadable(format!(
            "parameters are application/x-www-form-urlencoded, and this is {kind}"
        )));
    }
    crate::form::decode(&request.body).map_err(unreadable)
}

/// Lets an admitted request fail as it should, or run.
async fn work(shared: &Shared, admitted: Admitted) -> Outcome {
    let hang = Duration::from_millis(shared.world.lock().settings.hang_max_ms);
    let Some(fault) = admitted.fault.clone() else {
        return Outcome::Reply(run(&mut shared.world.lock(), admitted, None));
    };
    match fault.kind {
        FaultKind::RateLimited | FaultKind::LockTimeout => {
            forget(&mut shared.world.lock(), &admitted);
            Outcome::Reply(too_many(&fault))
        }
        FaultKind::ErrorBefore => {
            let refusal = ApiError::internal();
            keep(&mut shared.world.lock(), &admitted, refusal.status, &refusal.body());
            Outcome::Reply(with_advice(refused(&refusal), &fault))
        }
        FaultKind::ErrorAfter => {
            let refusal = ApiError::internal();
            let reply = run(&mut shared.world.lock(), admitted, Some(refusal));
            Outcome::Reply(with_advice(reply, &fault))
        }
        FaultKind::HangBefore => {
            tokio::time::sleep(hang).await;
            forget(&mut shared.world.lock(), &admitted);
            Outcome::Cut
        }
        FaultKind::HangAfter => {
            run(&mut shared.world.lock(), admitted, None);
            tokio::time::sleep(hang).await;
            Outcome::Cut
        }
        FaultKind::CutBefore => {
            forget(&mut shared.world.lock(), &admitted);
            Outcome::Cut
        }
        FaultKind::CutAfter => {
            run(&mut shared.world.lock(), admitted, None);
            Outcome::Cut
        }
        FaultKind::Slow => {
            tokio::time::sleep(Duration::from_millis(fault.slow_ms)).await;
            Outcome::Reply(run(&mut shared.world.lock(), admitted, None))
        }
    }
}

/// Runs the endpoint and keeps its answer, or `instead` of it, under the idempotency key.
fn run(world: &mut World, mut admitted: Admitted, instead: Option<ApiError>) -> Reply {
    world.tick();
    let accepts = accepts_of(admitted.route, admitted.is_publishable);
    let params = match Params::check(std::mem::take(&mut admitted.sent), &accepts) {
        Ok(params) => params,
        Err(refusal) => {
            forget(world, &admitted);
            return refused(&refusal);
        }
    };
    let call = Call {
        ids: std::mem::take(&mut admitted.ids),
        is_publishable: admitted.is_publishable,
        params,
    };
    let route = admitted.route;
    let answer = world.work(&admitted.account, admitted.mode, admitted.origin.clone(), |space| {
        let answer = (route.run)(space, &call);
        if !answer.as_ref().is_err_and(|refusal| !refusal.is_stored) {
            *space.executed.entry(route.name()).or_default() += 1;
        }
        let expansions = call.params.list("expand").unwrap_or_default();
        match answer {
            Ok(object) => shape::render(space, object, expansions),
            Err(mut refusal) => {
                for (_, inner) in refusal.fields.iter_mut().filter(|(_, inner)| inner.is_object()) {
                    *inner = shape::render(space, inner.take(), &[]).unwrap_or_default();
                }
                Err(refusal)
            }
        }
    });
    let answer = answer.unwrap_or_else(|_| Err(ApiError::internal()));
    let (status, body, is_stored) = match (answer, instead) {
        (Ok(_), Some(refusal)) => (refusal.status, refusal.body(), true),
        (Ok(object), None) => (StatusCode::OK, object, true),
        (Err(refusal), _) => (refusal.status, refusal.body(), refusal.is_stored),
    };
    if is_stored {
        keep(world, &admitted, status, &body);
    } else {
        forget(world, &admitted);
    }
    Reply::new(status, body)
}

fn accepts_of(route: &Route, is_publishable: bool) -> String {
    let paging = if route.is_list { crate::lists::ACCEPTS } else { "" };
    let secret = if is_publishable && !route.accepts.contains("client_secret") {
        "client_secret"
    } else {
        ""
    };
    format!("{} {paging} {secret}", route.accepts)
}

fn keep(world: &mut World, admitted: &Admitted, status: StatusCode, body: &Value) {
    let now = world.now_s();
    let stored = Stored {
        status,
        body: body.clone(),
        request_id: admitted.origin.request_id.clone().unwrap_or_default(),
    };
    if let (Some(key), Some(space)) =
        (&admitted.origin.idempotency_key, world.space(&admitted.account, admitted.mode))
    {
        space.idempotency.keep(key, stored, now);
    }
}

fn forget(world: &mut World, admitted: &Admitted) {
    if let (Some(key), Some(space)) =
        (&admitted.origin.idempotency_key, world.space(&admitted.account, admitted.mode))
    {
        space.idempotency.forget(key);
    }
}

fn refused(refusal: &ApiError) -> Reply {
    let mut reply = Reply::new(refusal.status, refusal.body());
    if refusal.fields.get("code").is_some_and(|code| code == "idempotency_key_in_use") {
        reply.set("stripe-should-retry", "true");
    }
    reply
}

fn too_many(fault: &Fault) -> Reply {
    let message = "Request rate limit exceeded. (This failure was asked of the simulator.)";
    let refusal = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "invalid_request_error", message);
    let is_lock = fault.kind == FaultKind::LockTimeout;
    let refusal = refusal.with("code", if is_lock { "lock_timeout" } else { "rate_limit" });
    let mut reply = refused(&refusal);
    if !is_lock {
        reply.set("stripe-rate-limited-reason", &fault.reason);
    }
    with_advice(reply, fault)
}

fn with_advice(mut reply: Reply, fault: &Fault) -> Reply {
    if let Some(should_retry) = fault.should_retry {
        reply.set("stripe-should-retry", if should_retry { "true" } else { "false" });
    }
    reply
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
