//! Sends a request to its upstream and waits for the response head, within every limit there is.

use std::cell::Cell;
use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::body::{BodyState, BodyWatch, RequestBody};
use super::core::Core;
use super::route::Route;
use crate::refusal::Refusal;
use crate::upstream::{ConnectError, Lease};

/// A response head, and the connection that its body comes over.
pub(crate) type Answered = (Response<Incoming>, Lease);

/// Sends a request. It is sent again only when a pooled connection hands it back unsent.
///
/// # Errors
/// What the client is told; nothing was answered, so nothing is charged.
pub(crate) async fn send(
    core: &Core,
    route: &Route,
    mut request: Request<RequestBody>,
    deadline: Option<Instant>,
) -> Result<Answered, Refusal> {
    let pool = &core.pools[route.upstream];
    let watch = request.body().watch();
    loop {
        let mut lease = match pool.free() {
            Some(lease) => lease,
            None => pool.connection(route.connect_timeout).await.map_err(|error| {
                tracing::debug!(
                    proxy = route.config.name,
                    error = &error as &dyn std::error::Error,
                    "no connection to the upstream"
                );
                match error {
                    ConnectError::Connect(_) | ConnectError::Tls(_) | ConnectError::Http(_) => {
                        Refusal::UpstreamUnreachable
                    }
                    ConnectError::TooSlow => Refusal::UpstreamTooSlow,
                    ConnectError::Saturated => Refusal::UpstreamSaturated,
                }
            })?,
        };
        let limits =
            Limits { route, watch: watch.as_ref(), deadline, begun: Cell::new(Instant::now()) };
        match limits.wait(lease.send(request)).await {
            Some(Ok(response)) => return Ok((response, lease)),
            Some(Err(mut failed)) => match failed.take_message() {
                Some(unsent) if lease.is_reused => request = unsent,
                Some(_) => return Err(Refusal::UpstreamUnreachable),
                None => return Err(failure(watch.as_ref(), failed.error())),
            },
            None => return Err(Refusal::UpstreamTooSlow),
        }
    }
}

/// Why a request that was on its way failed.
fn failure(watch: Option<&Rc<BodyWatch>>, error: &hyper::Error) -> Refusal {
    match watch.map(|watch| watch.state.get()) {
        Some(BodyState::TooLarge) => Refusal::BodyTooLarge,
        Some(BodyState::TooSlow) => Refusal::RequestTooSlow,
        // Nobody is there to read it.
        Some(BodyState::Broken) => Refusal::BadRequest,
        Some(BodyState::Open | BodyState::Done) | None if error.is_parse() => {
            Refusal::UpstreamInvalid
        }
        Some(BodyState::Open | BodyState::Done) | None => Refusal::UpstreamUnreachable,
    }
}

/// Limits on the wait for a response head.
struct Limits<'a> {
    route: &'a Route,
    watch: Option<&'a Rc<BodyWatch>>,
    deadline: Option<Instant>,
    begun: Cell<Instant>,
}

// === impl Limits ===

impl Limits<'_> {
    /// Waits; none where a limit is reached.
    async fn wait<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let head_deadline = self.begun.get() + self.route.head_timeout;
            let end = self.deadline.map_or(head_deadline, |deadline| deadline.min(head_deadline));
            if let Ok(answer) = timeout_at(end, answer.as_mut()).await {
                return Some(answer);
            }
            // The upstream's time runs from the end of the request; while that is on its way, the client's limit holds.
            let progress = self.watch.map(|watch| watch.progress.get());
            let is_total_over = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            match progress {
                Some(progress) if progress > self.begun.get() && !is_total_over => {
                    self.begun.set(progress);
                }
                Some(_) | None => return None,
            }
        }
    }
}
