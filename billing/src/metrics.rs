//! What billing counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::topups::{OpenTopUps, Origin, State};

/// Counters and gauges of billing. Cheap to clone; counts also where nobody has registered it.
#[derive(Clone, Debug)]
pub struct Metrics {
    top_ups: IntCounterVec,
    stranded_takebacks: IntCounter,
    open: IntGauge,
    oldest_seconds: IntGauge,
    events: IntCounterVec,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).expect("names and labels are fixed")
        };
        let gauge = |name: &str, help: &str| IntGauge::new(name, help).expect("names are fixed");
        Metrics {
            top_ups: counters(
                "tollgate_billing_topups_total",
                "states that top-ups came to",
                &["origin", "state"],
            ),
            stranded_takebacks: IntCounter::new(
                "tollgate_billing_takebacks_stranded_total",
                "refunds and disputes that could not be booked: a person decides",
            )
            .expect("the name is fixed"),
            open: gauge("tollgate_billing_topups_open", "top-ups that are not over"),
            oldest_seconds: gauge(
                "tollgate_billing_topups_oldest_seconds",
                "age of the oldest top-up that is not over",
            ),
            events: counters(
                "tollgate_billing_events_total",
                "events of Stripe by how they came and what became of them",
                &["way", "outcome"],
            ),
        }
    }

    /// Registers the families.
    ///
    /// # Errors
    /// A family of that name is registered already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.top_ups.clone()))?;
        registry.register(Box::new(self.stranded_takebacks.clone()))?;
        registry.register(Box::new(self.open.clone()))?;
        registry.register(Box::new(self.oldest_seconds.clone()))?;
        registry.register(Box::new(self.events.clone()))
    }

    /// A top-up came to a state.
    pub(crate) fn count(&self, origin: Origin, state: State) {
        let labels = [origin.as_str(), state.as_str()].map(str::to_ascii_lowercase);
        self.top_ups.with_label_values(&labels).inc();
    }

    /// A refund or dispute waits for a person.
    pub(crate) fn count_stranded_takeback(&self) {
        self.stranded_takebacks.inc();
    }

    /// An event came by `webhook` or was fetched by `poll`.
    pub(crate) fn count_event(&self, way: &str, outcome: &str) {
        self.events.with_label_values(&[way, outcome]).inc();
    }

    pub(crate) fn set_open(&self, open: OpenTopUps) {
        self.open.set(i64::try_from(open.count).unwrap_or(i64::MAX));
        self.oldest_seconds.set(i64::try_from(open.oldest.as_secs()).unwrap_or(i64::MAX));
    }
}
