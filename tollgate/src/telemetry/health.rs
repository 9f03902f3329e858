//! Serves `/metrics`, `/healthz` and `/readyz` on the metrics port.
//!
//! Healthy says that the process runs; ready says that it can do its work now: every part of it has a say, so that a gateway
//! whose exchange with balance-sync has died gets no more calls from a load balancer while those that are open end.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::TextEncoder;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::families::Families;

/// Whether a part can do its work now.
pub(crate) type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The parts of a process and whether each is ready.
#[derive(Default)]
pub(crate) struct Readiness(Vec<(String, Check)>);

struct Observed {
    families: Families,
    readiness: Readiness,
    stopping: CancellationToken,
}

/// Serves until `stopped` is cancelled; not ready any more from `stopping` on.
pub(crate) async fn serve(
    listener: TcpListener,
    families: Families,
    readiness: Readiness,
    stopping: CancellationToken,
    stopped: CancellationToken,
) {
    let observed = Arc::new(Observed { families, readiness, stopping });
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(observed);
    if let Err(error) =
        axum::serve(listener, routes).with_graceful_shutdown(stopped.cancelled_owned()).await
    {
        tracing::error!(%error, "the metrics port is not served any more");
    }
}

async fn metrics(State(observed): State<Arc<Observed>>) -> impl IntoResponse {
    match TextEncoder::new().encode_to_string(&observed.families.gather()) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be rendered");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                [(header::CONTENT_TYPE, "text/plain")],
                String::new(),
            )
        }
    }
}

async fn ready(State(observed): State<Arc<Observed>>) -> (StatusCode, String) {
    let mut status = StatusCode::OK;
    let mut text = String::new();
    if observed.stopping.is_cancelled() {
        status = StatusCode::SERVICE_UNAVAILABLE;
        text.push_str("process: stopping\n");
    }
    for (part, check) in &observed.readiness.0 {
        let answer = match check() {
            Ok(()) => "ready".to_owned(),
            Err(problem) => {
                status = StatusCode::SERVICE_UNAVAILABLE;
                problem
            }
        };
        let _ = writeln!(text, "{part}: {answer}");
    }
    (status, text)
}

// === impl Readiness ===

impl Readiness {
    /// Adds a part.
    pub(crate) fn add(
        &mut self,
        part: impl Into<String>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.0.push((part.into(), Box::new(check)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_part_that_is_not_ready_makes_the_process_not_ready() {
        let is_alive = Arc::new(AtomicBool::new(true));
        let mut readiness = Readiness::default();
        let seen = Arc::clone(&is_alive);
        readiness.add("sync", move || {
            if seen.load(Ordering::Relaxed) { Ok(()) } else { Err("no stream".to_owned()) }
        });
        readiness.add("ledger", || Ok(()));
        let observed = Arc::new(Observed {
            families: Families::default(),
            readiness,
            stopping: CancellationToken::new(),
        });
        assert_eq!(
            ready(State(Arc::clone(&observed))).await,
            (StatusCode::OK, "sync: ready\nledger: ready\n".to_owned())
        );
        is_alive.store(false, Ordering::Relaxed);
        let want = "sync: no stream\nledger: ready\n".to_owned();
        assert_eq!(
            ready(State(Arc::clone(&observed))).await,
            (StatusCode::SERVICE_UNAVAILABLE, want)
        );
        is_alive.store(true, Ordering::Relaxed);
        observed.stopping.cancel();
        assert_eq!(ready(State(observed)).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
