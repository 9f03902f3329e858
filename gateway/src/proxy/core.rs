//! What one worker has: the routes, its connections to upstreams, its counters. It never leaves its thread.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::route::Routes;
use super::waits::Waits;
use crate::config::Limits;
use crate::metrics::{LocalMetrics, Metrics};
use crate::trace_context::Tracer;
use crate::upstream::{Connector, Pool};

/// One worker's parts.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) routes: Arc<Routes>,
    /// By a route's `upstream`.
    pub(crate) pools: Vec<Rc<Pool>>,
    pub(crate) metrics: Rc<LocalMetrics>,
    pub(crate) limits: Limits,
    /// This worker's share of the limit.
    pub(crate) calls_max: usize,
    pub(crate) client_idle: Duration,
    pub(crate) tracer: Tracer,
    pub(crate) waits: Waits,
}

// === impl Core ===

impl Core {
    pub(crate) fn new(
        routes: Arc<Routes>,
        connectors: &[Connector],
        metrics: &Metrics,
        limits: Limits,
        tracer: Tracer,
        workers: usize,
    ) -> Rc<Self> {
        let names = routes.all.iter().map(|route| route.config.name.as_str());
        let metrics = Rc::new(LocalMetrics::new(metrics, names));
        let pool =
            |connector: &Connector| Pool::new(connector.clone(), workers, Rc::clone(&metrics));
        Rc::new(Self {
            pools: connectors.iter().map(pool).collect(),
            routes,
            calls_max: limits.calls_max.div_ceil(workers.max(1)),
            client_idle: Duration::from_millis(limits.client_idle_timeout_ms),
            limits,
            metrics,
            tracer,
            waits: Waits::default(),
        })
    }

    /// What has to be done now and then.
    pub(crate) fn sweep(&self) {
        self.waits.look(Instant::now());
        for pool in &self.pools {
            pool.sweep();
        }
        self.metrics.flush();
    }
}
