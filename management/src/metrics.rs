//! What the API counts.

use std::time::Duration;

use http::StatusCode;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Counters and histograms of the API.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    duration: HistogramVec,
}

// === impl Metrics ===

impl Metrics {
    /// Registers the families.
    ///
    /// # Errors
    /// A family of that name is registered already.
    pub fn register(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("tollgate_management_requests_total", "requests to the management API"),
            &["method", "path", "status"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "tollgate_management_request_duration_seconds",
                "from a request's head to its answer",
            ),
            &["method", "path"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Metrics { requests, duration })
    }

    /// Counts an answered request. `path` is a path of the router with its names left open.
    pub(crate) fn count(&self, method: &str, path: &str, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[method, path, status.as_str()]).inc();
        self.duration.with_label_values(&[method, path]).observe(took.as_secs_f64());
    }
}
