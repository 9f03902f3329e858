//! Sends a request to its upstream and waits for the response head, within every limit there is.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::body::{BodyState, BodyWatch, RequestBody};
use super::core::Core;
use super::route::Route;
use crate::refusal::Refusal;
use crate::upstream::{ConnectError, Lease};

/// A response head, and the connection that its body comes over.
pub(crate) type Answered = (Response<Incoming>, Lease);

/// Sends the request, begun at `begun`. It is sent again only when a pooled connection hands it back unsent.
///
/// # Errors
/// What the client is told; nothing was answered, so nothing is charged.
pub(crate) async fn send(
    core: &Core,
    route: &Route,
    request: &mut Option<Request<RequestBody>>,
    begun: Instant,
    deadline: Option<Instant>,
) -> Result<Answered, Refusal> {
    let pool = &core.pools[route.upstream];
    let watch = request.as_ref().and_then(|request| request.body().watch());
    let mut limits = Limits { route, watch: watch.as_ref(), deadline, begun };
    while let Some(unsent) = request.take() {
        let mut lease = match pool.free() {
            Some(lease) => lease,
            None => {
                // Boxed, since few calls come here and all would carry its size.
                let lease = Box::pin(pool.connection(route.connect_timeout)).await;
                let lease = lease.map_err(|error| unconnected(route, &error))?;
                limits.begun = Instant::now();
                lease
            }
        };
        let mut answer = pin!(lease.send(unsent));
        let mut wait = core.waits.until(limits.end());
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            while wait.poll(cx).is_ready() {
                if !limits.is_extended() {
                    return Poll::Ready(None);
                }
                wait = core.waits.until(limits.end());
            }
            Poll::Pending
        });
        match answered.await {
            Some(Ok(response)) => return Ok((response, lease)),
            Some(Err(mut failed)) => match failed.take_message() {
                Some(unsent) if lease.is_reused => *request = Some(unsent),
                Some(_) => return Err(Refusal::UpstreamUnreachable),
                None => return Err(failure(watch.as_ref(), failed.error())),
            },
            None => return Err(Refusal::UpstreamTooSlow),
        }
    }
    // A request is there until it is answered.
    Err(Refusal::UpstreamUnreachable)
}

fn unconnected(route: &Route, error: &ConnectError) -> Refusal {
    tracing::debug!(
        proxy = route.config.name,
        error = error as &dyn std::error::Error,
        "no connection to the upstream"
    );
    match error {
        ConnectError::Connect(_) | ConnectError::Tls(_) | ConnectError::Http(_) => {
            Refusal::UpstreamUnreachable
        }
        ConnectError::TooSlow => Refusal::UpstreamTooSlow,
        ConnectError::Saturated => Refusal::UpstreamSaturated,
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
    begun: Instant,
}

// === impl Limits ===

impl Limits<'_> {
    fn end(&self) -> Instant {
        let head_deadline = self.begun + self.route.head_timeout;
        self.deadline.map_or(head_deadline, |deadline| deadline.min(head_deadline))
    }

    /// The upstream's time runs from the end of the request: while that is on its way, the client's limit holds.
    fn is_extended(&mut self) -> bool {
        let is_total_over = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let progress = self.watch.map(|watch| watch.progress.get());
        match progress.filter(|progress| *progress > self.begun && !is_total_over) {
            Some(progress) => {
                self.begun = progress;
                true
            }
            None => false,
        }
    }
}
