//! What the wallet half counts and measures; the gateway's name is a label, since several may share a registry.

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry};

/// Seconds; from one machine to another continent with a slow ledger.
const ROUND_TRIP_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The families of one gateway's wallets and streams.
#[derive(Debug, Clone)]
pub(crate) struct SyncMetrics {
    pub(crate) holds_open: IntGauge,
    pub(crate) staleness: Gauge,
    pub(crate) round_trip: Histogram,
    pub(crate) not_durable: Gauge,
    pub(crate) wallets_cached: IntGauge,
    pub(crate) calls_unpriced: IntCounter,
    pub(crate) nodes_up: IntGauge,
    pub(crate) files_damaged: IntGauge,
}

// === impl SyncMetrics ===

impl SyncMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// Where the registry has them for this gateway already.
    pub(crate) fn new(registry: &Registry, gateway: &str) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("gateway", gateway);
        let gauge = |name: &str, help: &str| {
            let gauge = Gauge::with_opts(opts(name, help))?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        let int_gauge = |name: &str, help: &str| {
            let gauge = IntGauge::with_opts(opts(name, help))?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        let unpriced = "tollgate_calls_unpriced_total";
        let calls_unpriced = IntCounter::with_opts(opts(
            unpriced,
            "Calls forwarded though their product has no active rate plan.",
        ))?;
        registry.register(Box::new(calls_unpriced.clone()))?;
        let round_trip = Histogram::with_opts(
            HistogramOpts::new(
                "tollgate_sync_round_trip_seconds",
                "From a report to the word that it is durable.",
            )
            .const_label("gateway", gateway)
            .buckets(ROUND_TRIP_BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(round_trip.clone()))?;
        Ok(Self {
            holds_open: int_gauge("tollgate_holds_open", "Holds that have not ended.")?,
            staleness: gauge(
                "tollgate_staleness_seconds",
                "Age of the oldest balance among the wallets in use.",
            )?,
            round_trip,
            not_durable: gauge(
                "tollgate_spend_not_durable",
                "Units counted that the ledger is not known to have.",
            )?,
            wallets_cached: int_gauge("tollgate_wallets_cached", "Wallets in memory.")?,
            calls_unpriced,
            nodes_up: int_gauge(
                "tollgate_sync_nodes_up",
                "Balance-sync nodes that this gateway has a stream to.",
            )?,
            files_damaged: int_gauge(
                "tollgate_spend_files_damaged",
                "Spend files with something that cannot be read; a person must look.",
            )?,
        })
    }
}
