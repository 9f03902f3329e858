//! Puts every change that is made through the API into the audit log.
//!
//! `permission` begins the entry once it has decided that the asker may make the change, with the
//! resource as a GET shows it; the change follows only where that was written, so that there is
//! none without an entry. After the answer the entry is completed. Where that fails the answer
//! stands, since the change is made, and the entry shows no outcome.
//! Invariants: no secret is in an entry; an answer names its request (`x-request-id`).
//! Not here: how entries are stored (`ledger-store::catalogue::audit`).

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::Value;
use tollgate_ledger_store::catalogue::audit::{
    AuditEntry, AuditKey, NO_ORGANIZATION, Outcome, VALUE_BYTES_MAX,
};
use tower::Service;
use uuid::Uuid;

use crate::auth::{Asker, Identity};
use crate::error::ApiError;
use crate::router::Api;

/// Names a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Most bytes of a request's id that a client chose.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Most bytes of an answer that are looked at; answers of changes are far smaller.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Fields that are secrets wherever they stand.
const SECRETS: [&str; 4] = ["clientSecret", "consumerSecret", "secret", "token"];

/// Query parameters that are: Google's clients may send them, and they are ignored here.
const SECRET_PARAMETERS: [&str; 3] = ["access_token", "key", "oauth_token"];

/// What stands for a secret.
const MASK: &str = "****";

/// What recording needs: the API, and its routes once more to read resources by.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) api: Api,
    pub(crate) routes: Router,
}

/// A change that is on its way, on its request.
#[derive(Clone)]
pub(crate) struct Pending(Arc<Change>);

struct Change {
    recorder: Recorder,
    request: String,
    method: Method,
    /// As the routes know it.
    uri: Uri,
    /// As the client sent it.
    shown: String,
    begun: OnceLock<(AuditKey, Option<String>)>,
}

/// Gives each request its id, and completes the entries of changes.
pub(crate) async fn record(
    State(recorder): State<Recorder>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.headers());
    let header = HeaderValue::from_str(&id);
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let mut response = if is_change {
        let shown = request.extensions().get::<OriginalUri>().map(|uri| uri.0.to_string());
        let pending = Pending(Arc::new(Change {
            recorder,
            request: id,
            method: request.method().clone(),
            shown: without_secrets(&shown.unwrap_or_else(|| request.uri().to_string())),
            uri: request.uri().clone(),
            begun: OnceLock::new(),
        }));
        request.extensions_mut().insert(pending.clone());
        pending.finish(next.run(request).await).await
    } else {
        next.run(request).await
    };
    if let Ok(id) = header {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The client's, where it can be shown; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let given = given.filter(|id| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()));
    given.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

// === impl Pending ===

impl Pending {
    /// Begins the entry of a change that `by` may make, on the route that matched.
    ///
    /// # Errors
    /// `Unaudited`: the change must not be made.
    pub(crate) async fn begin(
        &self,
        by: &Identity,
        organization: Option<&str>,
        route: &str,
    ) -> Result<(), ApiError> {
        let change = &self.0;
        let (before, read) = change.before(route).await;
        let entry = AuditEntry {
            request: change.request.clone(),
            at: change.recorder.api.clock.now(),
            actor: by.name.clone(),
            role: by.role.to_string(),
            method: change.method.to_string(),
            resource: change.shown.clone(),
            before,
            after: Value::Null,
            outcome: None,
        };
        let organization = organization.unwrap_or(NO_ORGANIZATION);
        let catalogue = &change.recorder.api.catalogue;
        let begun = catalogue.begin_audit(organization, &entry).await;
        let key = begun.map_err(ApiError::Unaudited)?;
        // A request is decided on once.
        let _ = change.begun.set((key, read));
        Ok(())
    }

    /// Completes the entry, if one was begun.
    async fn finish(&self, response: Response) -> Response {
        let change = &self.0;
        let Some((key, read)) = change.begun.get() else { return response };
        let status = response.status();
        let (head, body) = response.into_parts();
        // Answers are made whole before they are sent.
        let body = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap_or_default();
        let after = match status.is_success() {
            true => change.after(&body, read.as_deref()).await,
            false => Value::Null,
        };
        let (api, outcome) = (&change.recorder.api, Outcome { status: status.as_u16() });
        let finished = api.catalogue.finish_audit(key, &after, outcome, api.clock.now()).await;
        if let Err(error) = finished {
            tracing::error!(request = change.request, %error, "audit entry was not completed");
        }
        Response::from_parts(head, Body::from(body))
    }
}

// === impl Change ===

impl Change {
    /// The resource before the change, and the path that it was read from; nothing where the
    /// change makes something new.
    async fn before(&self, route: &str) -> (Value, Option<String>) {
        let Some(path) = target(&self.method, route, self.uri.path()) else {
            return (Value::Null, None);
        };
        match self.read(path).await {
            (StatusCode::METHOD_NOT_ALLOWED, _) => {
                // What stands on a resource and is none itself, as a product on a key.
                let parent = path.rsplitn(3, '/').nth(2).unwrap_or_default().to_owned();
                (self.read(&parent).await.1, Some(parent))
            }
            (_, value) => (value, Some(path.to_owned())),
        }
    }

    /// The resource after the change.
    async fn after(&self, answer: &[u8], read: Option<&str>) -> Value {
        match read {
            None => redacted(serde_json::from_slice(answer).unwrap_or_default()),
            Some(path) => self.read(path).await.1,
        }
    }

    /// A resource as a GET shows it; null where there is none.
    async fn read(&self, path: &str) -> (StatusCode, Value) {
        let mut request = Request::new(Body::empty());
        let Ok(uri) = path.parse() else { return (StatusCode::NOT_FOUND, Value::Null) };
        *request.uri_mut() = uri;
        request.extensions_mut().insert(Asker::recorder());
        let mut routes = self.recorder.routes.clone();
        let Ok(response) = routes.call(request).await;
        let status = response.status();
        if !status.is_success() {
            return (status, Value::Null);
        }
        // Twice what is kept: what is longer is omitted with its length by the log itself.
        let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX.max(VALUE_BYTES_MAX)).await;
        let value = body.ok().and_then(|body| serde_json::from_slice(&body).ok());
        (status, redacted(value.unwrap_or_default()))
    }
}

/// Last parts of routes that a POST makes something in.
const COLLECTIONS: [&str; 15] = [
    "organizations",
    "developers",
    "apps",
    "keys",
    "create",
    "subscriptions",
    "apiproducts",
    "rateplans",
    "rate-plans",
    "appgroups",
    "tokens",
    "transactions",
    "monetization-packages",
    "developer-rateplans",
    "real-currency-credit-transactions",
];

/// Last parts of routes that a POST with a verb behind the name is sent to.
const VERBS_BEHIND: [&str; 3] = ["{organization}", "{product}", "{subscription}"];

/// The path of what a change is about; `None` where it makes something new.
///
/// The route says which it is, and not the path: an app may be called `keys`, and a colon in front of
/// a verb may be written `%3A`.
fn target<'a>(method: &Method, route: &str, path: &'a str) -> Option<&'a str> {
    if *method != Method::POST {
        return Some(path);
    }
    let last = route.rsplit('/').next().unwrap_or_default();
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if COLLECTIONS.contains(&last) {
        return None;
    }
    // `…/balance/:credit` and `…/balance:credit` are about `…/balance`.
    if last == "{verb}" || last.starts_with(':') {
        return Some(parent);
    }
    if !last.contains(':') && !VERBS_BEHIND.contains(&last) {
        return Some(path);
    }
    let colon = [":", "%3A", "%3a"].iter().filter_map(|colon| name.rfind(colon)).max();
    Some(colon.map_or(path, |colon| &path[..parent.len() + 1 + colon]))
}

/// A path with its query, without the secrets of that.
fn without_secrets(shown: &str) -> String {
    let Some((path, query)) = shown.split_once('?') else { return shown.to_owned() };
    let masked = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) if SECRET_PARAMETERS.contains(&name) => format!("{name}={MASK}"),
        Some(_) | None => part.to_owned(),
    });
    format!("{path}?{}", masked.collect::<Vec<_>>().join("&"))
}

/// A value without its secrets.
fn redacted(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                *field = match SECRETS.contains(&name.as_str()) && field.is_string() {
                    true => Value::from(MASK),
                    false => redacted(field.take()),
                };
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| *item = redacted(item.take())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    value
}
