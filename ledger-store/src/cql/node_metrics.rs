//! Latency and errors of each database node.
//!
//! The driver tells a listener about every attempt: a request that moves on to the next node
//! counts against the first as well. A listener lives as long as its request, so what is dropped
//! half-way leaves nothing behind.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use scylla::errors::{DbError, RequestAttemptError, RequestError};
use scylla::observability::history::{AttemptId, HistoryListener, RequestId, SpeculativeId};
use scylla::policies::retry::RetryDecision;
use tokio::time::Instant;

/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// The label of a request that no node was found for.
const NO_NODE: &str = "none";

/// Latency and errors by node; a clone counts into the same families.
#[derive(Clone, Debug)]
pub struct NodeMetrics {
    duration: HistogramVec,
    errors: IntCounterVec,
}

/// Listens to one request.
#[derive(Debug)]
pub(super) struct RequestListener {
    metrics: NodeMetrics,
    operation: &'static str,
    /// The attempt under way.
    attempt: Mutex<Option<(SocketAddr, Instant)>>,
}

// === impl NodeMetrics ===

impl NodeMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// [`prometheus::Error::AlreadyReg`] where the registry counts the nodes of a ledger already.
    pub fn register(registry: &Registry) -> Result<NodeMetrics, prometheus::Error> {
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "tollgate_ledger_node_request_duration_seconds",
                "Time a database node took to answer a request that it answered.",
            )
            .buckets(BUCKETS.to_vec()),
            &["node", "operation"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new(
                "tollgate_ledger_node_errors_total",
                "Requests that a database node refused or did not answer.",
            ),
            &["node", "operation", "kind"],
        )?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        Ok(NodeMetrics { duration, errors })
    }

    /// A listener for one request.
    pub(super) fn listen(&self, operation: &'static str) -> Arc<RequestListener> {
        Arc::new(RequestListener { metrics: self.clone(), operation, attempt: Mutex::new(None) })
    }
}

// === impl RequestListener ===

impl RequestListener {
    fn end_attempt(&self) -> Option<(SocketAddr, Instant)> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn count_error(&self, node: Option<SocketAddr>, kind: &str) {
        let node = node.map_or_else(|| NO_NODE.to_owned(), |node| node.to_string());
        self.metrics.errors.with_label_values(&[node.as_str(), self.operation, kind]).inc();
    }
}

impl HistoryListener for RequestListener {
    fn log_request_start(&self) -> RequestId {
        RequestId(0)
    }

    fn log_request_success(&self, _: RequestId) {}

    fn log_request_error(&self, _: RequestId, error: &RequestError) {
        // The last attempt's error was counted when the attempt ended.
        let kind = match error {
            RequestError::LastAttemptError(_) => return,
            RequestError::RequestTimeout(_) => "client_timeout",
            _ => "no_connection",
        };
        self.count_error(self.end_attempt().map(|(node, _)| node), kind);
    }

    fn log_new_speculative_fiber(&self, _: RequestId) -> SpeculativeId {
        SpeculativeId(0)
    }

    fn log_attempt_start(
        &self,
        _: RequestId,
        _: Option<SpeculativeId>,
        node: SocketAddr,
    ) -> AttemptId {
        let attempt = Some((node, Instant::now()));
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = attempt;
        AttemptId(0)
    }

    fn log_attempt_success(&self, _: AttemptId) {
        if let Some((node, started)) = self.end_attempt() {
            let labels = [&node.to_string(), self.operation];
            let took = started.elapsed();
            self.metrics.duration.with_label_values(&labels).observe(took.as_secs_f64());
        }
    }

    fn log_attempt_error(&self, _: AttemptId, error: &RequestAttemptError, _: &RetryDecision) {
        let kind = match error {
            RequestAttemptError::BrokenConnectionError(_) => "broken_connection",
            RequestAttemptError::DbError(DbError::Unavailable { .. }, _) => "unavailable",
            RequestAttemptError::DbError(DbError::Overloaded, _) => "overloaded",
            RequestAttemptError::DbError(
                DbError::WriteTimeout { .. } | DbError::ReadTimeout { .. },
                _,
            ) => "timeout",
            RequestAttemptError::DbError(..) => "refused",
            _ => "other",
        };
        self.count_error(self.end_attempt().map(|(node, _)| node), kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_against_each_node_that_it_tried() {
        let registry = Registry::new();
        let metrics = NodeMetrics::register(&registry).unwrap();
        let listener = metrics.listen("live_write");
        let request = listener.log_request_start();
        let first = listener.log_attempt_start(request, None, "127.0.0.1:9042".parse().unwrap());
        let error = RequestAttemptError::DbError(DbError::Overloaded, String::new());
        listener.log_attempt_error(first, &error, &RetryDecision::RetryNextTarget(None));
        let second = listener.log_attempt_start(request, None, "127.0.0.2:9042".parse().unwrap());
        listener.log_attempt_success(second);
        listener.log_request_success(request);

        let silent = metrics.listen("commit");
        silent.log_attempt_start(request, None, "127.0.0.3:9042".parse().unwrap());
        let timeout = RequestError::RequestTimeout(std::time::Duration::from_secs(1));
        silent.log_request_error(request, &timeout);

        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            r#"node_errors_total{kind="overloaded",node="127.0.0.1:9042",operation="live_write"} 1"#,
            r#"duration_seconds_count{node="127.0.0.2:9042",operation="live_write"} 1"#,
            r#"node_errors_total{kind="client_timeout",node="127.0.0.3:9042",operation="commit"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
