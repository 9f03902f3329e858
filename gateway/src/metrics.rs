//! What the data path counts and measures.
//!
//! Each worker counts in plain memory of its own and adds it to the registry's families a few times a second and when it ends:
//! a counter shared by all cores would cost every call a contended cache line. Handles are resolved per proxy at the start.
//! Invariants: a call ends in exactly one outcome. Not here: holds, staleness and sync (the wallet half's own families).

use std::cell::{Cell, RefCell};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use tokio::time::Instant;

use crate::refusal::Refusal;

/// Seconds; from a refusal in memory to a slow upstream.
const DURATION_BUCKETS: [f64; 15] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Seconds; from a decision in memory to a fetch that waits for balance-sync.
const ADMISSION_BUCKETS: [f64; 12] = [
    0.000_000_25,
    0.000_000_5,
    0.000_001,
    0.000_002_5,
    0.000_005,
    0.000_01,
    0.000_1,
    0.001,
    0.01,
    0.1,
    1.0,
    5.0,
];

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Forwarded, successful, its units counted.
    Charged,
    /// Forwarded and answered, but no success: its hold was released.
    Uncharged,
    /// Forwarded in shadow mode, successful, its units counted: it would have been charged.
    Shadow,
    /// Forwarded in shadow mode, though it would have been refused.
    ShadowRefused,
    /// Forwarded though nothing prices it.
    Unpriced,
    /// Forwarded by a proxy without metering.
    Unmetered,
    /// Answered by the gateway; the upstream never heard of it.
    Refused,
    /// Sent to the upstream, which gave no response head; not charged.
    Failed,
    /// The client left before a response head was there; not charged.
    Aborted,
}

/// The families of one gateway's data path.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    calls: IntCounterVec,
    refusals: IntCounterVec,
    shadow_refusals: IntCounterVec,
    multipliers: IntCounterVec,
    requests: HistogramVec,
    upstreams: HistogramVec,
    admissions: HistogramVec,
    pub(crate) calls_open: IntGauge,
    pub(crate) connections_open: IntGauge,
    pub(crate) upstream_connections_open: IntGauge,
}

/// One worker's share of them.
#[derive(Debug)]
pub(crate) struct LocalMetrics {
    families: Metrics,
    /// By a proxy's index; the last is for calls that no proxy serves.
    proxies: Vec<LocalProxy>,
    open: Cell<i64>,
    open_told: Cell<i64>,
}

#[derive(Debug)]
struct LocalProxy {
    name: String,
    outcomes: [LocalIntCounter; Outcome::ALL.len()],
    /// Resolved when first used: 27 series a proxy would be much of nothing.
    refusals: RefCell<[Option<LocalIntCounter>; Refusal::ALL.len()]>,
    requests: LocalHistogram,
    upstreams: LocalHistogram,
    admissions: LocalHistogram,
}

// === impl Outcome ===

impl Outcome {
    const ALL: [Self; 9] = [
        Self::Charged,
        Self::Uncharged,
        Self::Shadow,
        Self::ShadowRefused,
        Self::Unpriced,
        Self::Unmetered,
        Self::Refused,
        Self::Failed,
        Self::Aborted,
    ];

    /// Its name in metrics and spans.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Charged => "charged",
            Self::Uncharged => "uncharged",
            Self::Shadow => "shadow",
            Self::ShadowRefused => "shadow_refused",
            Self::Unpriced => "unpriced",
            Self::Unmetered => "unmetered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Creates the families and registers them.
    ///
    /// # Errors
    /// A family of that name is registered already: give each gateway of a process a registry of its own.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let histograms = |name: &str, help: &str, buckets: &[f64]| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &["proxy"])
        };
        let metrics = Self {
            calls: counters(
                "tollgate_calls_total",
                "calls by how they ended",
                &["proxy", "outcome"],
            )?,
            refusals: counters(
                "tollgate_refusals_total",
                "calls that the gateway answered itself, by kind",
                &["proxy", "refusal"],
            )?,
            shadow_refusals: counters(
                "tollgate_shadow_refusals_total",
                "calls that were forwarded in shadow mode and would have been refused, by kind",
                &["proxy", "refusal"],
            )?,
            multipliers: counters(
                "tollgate_multipliers_changed_total",
                "multipliers of upstreams that were not taken as they stood",
                &["proxy", "reason"],
            )?,
            requests: histograms(
                "tollgate_request_duration_seconds",
                "from the request's head to the end of the response",
                &DURATION_BUCKETS,
            )?,
            upstreams: histograms(
                "tollgate_upstream_duration_seconds",
                "from sending a request to its response head",
                &DURATION_BUCKETS,
            )?,
            admissions: histograms(
                "tollgate_admission_duration_seconds",
                "deciding a metered call, waits for what was not in memory included",
                &ADMISSION_BUCKETS,
            )?,
            calls_open: IntGauge::new("tollgate_calls_open", "calls in flight")?,
            connections_open: IntGauge::new("tollgate_connections_open", "client connections")?,
            upstream_connections_open: IntGauge::new(
                "tollgate_upstream_connections_open",
                "connections to upstreams",
            )?,
        };
        let families: [Box<dyn Collector>; 10] = [
            Box::new(metrics.calls.clone()),
            Box::new(metrics.refusals.clone()),
            Box::new(metrics.shadow_refusals.clone()),
            Box::new(metrics.multipliers.clone()),
            Box::new(metrics.requests.clone()),
            Box::new(metrics.upstreams.clone()),
            Box::new(metrics.admissions.clone()),
            Box::new(metrics.calls_open.clone()),
            Box::new(metrics.connections_open.clone()),
            Box::new(metrics.upstream_connections_open.clone()),
        ];
        for family in families {
            registry.register(family)?;
        }
        Ok(metrics)
    }
}

// === impl LocalMetrics ===

impl LocalMetrics {
    /// A worker's share, for proxies of these names.
    pub(crate) fn new<'a>(families: &Metrics, proxies: impl Iterator<Item = &'a str>) -> Self {
        let local = |family: &HistogramVec, name: &str| {
            Histogram::local(&family.with_label_values(&[name]))
        };
        let of = |name: &str| LocalProxy {
            name: name.to_owned(),
            outcomes: Outcome::ALL
                .map(|outcome| families.calls.with_label_values(&[name, outcome.label()]).local()),
            refusals: RefCell::new([const { None }; Refusal::ALL.len()]),
            requests: local(&families.requests, name),
            upstreams: local(&families.upstreams, name),
            admissions: local(&families.admissions, name),
        };
        Self {
            families: families.clone(),
            proxies: proxies.chain([""]).map(of).collect(),
            open: Cell::new(0),
            open_told: Cell::new(0),
        }
    }

    fn proxy(&self, index: Option<usize>) -> &LocalProxy {
        &self.proxies[index.unwrap_or(self.proxies.len() - 1)]
    }

    pub(crate) fn call_opened(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// Calls in flight on this worker.
    pub(crate) fn open(&self) -> usize {
        usize::try_from(self.open.get()).unwrap_or(0)
    }

    pub(crate) fn call_closed(&self, proxy: Option<usize>, outcome: Outcome, begun: Instant) {
        self.open.set(self.open.get() - 1);
        let proxy = self.proxy(proxy);
        proxy.outcomes[outcome as usize].inc();
        proxy.requests.observe(begun.elapsed().as_secs_f64());
    }

    pub(crate) fn refused(&self, proxy: Option<usize>, refusal: Refusal) {
        let proxy = self.proxy(proxy);
        let counter = &mut proxy.refusals.borrow_mut()[refusal.index()];
        let labels = [proxy.name.as_str(), refusal.row().name];
        counter
            .get_or_insert_with(|| self.families.refusals.with_label_values(&labels).local())
            .inc();
    }

    /// A call in shadow mode was forwarded that would have been refused.
    pub(crate) fn spared(&self, proxy: usize, refusal: Refusal) {
        let labels = [self.proxies[proxy].name.as_str(), refusal.row().name];
        self.families.shadow_refusals.with_label_values(&labels).inc();
    }

    pub(crate) fn decided(&self, proxy: usize, duration: Duration) {
        self.proxies[proxy].admissions.observe(duration.as_secs_f64());
    }

    pub(crate) fn answered(&self, proxy: usize, begun: Instant) {
        self.proxies[proxy].upstreams.observe(begun.elapsed().as_secs_f64());
    }

    pub(crate) fn multiplier_changed(&self, proxy: usize, reason: &str) {
        let labels = [self.proxies[proxy].name.as_str(), reason];
        self.families.multipliers.with_label_values(&labels).inc();
    }

    pub(crate) fn upstream_connection(&self, change: i64) {
        self.families.upstream_connections_open.add(change);
    }

    /// Adds what was counted since the last time to the families.
    pub(crate) fn flush(&self) {
        for proxy in &self.proxies {
            proxy.outcomes.iter().for_each(LocalIntCounter::flush);
            proxy.refusals.borrow().iter().flatten().for_each(LocalIntCounter::flush);
            for histogram in [&proxy.requests, &proxy.upstreams, &proxy.admissions] {
                if histogram.get_sample_count() > 0 {
                    histogram.flush();
                }
            }
        }
        let open = self.open.get();
        self.families.calls_open.add(open - self.open_told.replace(open));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_listed_in_their_places() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
    }
}
