//! What a node counts, for Prometheus.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry,
};

/// Upper bounds of persist times, in seconds.
const PERSIST_SECONDS: [f64; 11] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Upper bounds of overspends, in currency units.
const OVERSPENDS: [f64; 14] = [
    0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 1_000.0, 10_000.0, 100_000.0,
];

/// A node's families.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) streams: IntGauge,
    /// Reports by outcome: taken, ahead, fenced, unregistered, not_serving.
    pub(crate) reports: IntCounterVec,
    /// Rows written by kind: register, hold, suspense, usage.
    pub(crate) rows: IntCounterVec,
    /// Batches that failed, by kind.
    pub(crate) failures: IntCounterVec,
    pub(crate) persist_seconds: Histogram,
    pub(crate) dirty_registers: IntGauge,
    /// Messages to gateways: snapshot, fresh, durable, forget.
    pub(crate) messages: IntCounterVec,
    pub(crate) wallets: IntGauge,
    pub(crate) reads: IntCounter,
    pub(crate) clock_offset_seconds: Gauge,
    pub(crate) overdraft_wallets: IntGauge,
    pub(crate) overdraft_total: GaugeVec,
    pub(crate) exposure_total: GaugeVec,
    pub(crate) exposure_largest: GaugeVec,
    /// How deep wallets were below their floor when they came back to it.
    pub(crate) overspend: HistogramVec,
    pub(crate) housekeeping: IntCounterVec,
    pub(crate) grants: IntCounterVec,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let gauge = |name, help| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counters = |name, help, label| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let persist = HistogramOpts::new(
            "tollgate_sync_persist_duration_seconds",
            "Time to write one batch of registers, holds and suspense.",
        );
        let persist_seconds = Histogram::with_opts(persist.buckets(PERSIST_SECONDS.to_vec()))?;
        registry.register(Box::new(persist_seconds.clone()))?;
        let reads = IntCounter::new("tollgate_sync_wallet_reads_total", "Wallets read.")?;
        registry.register(Box::new(reads.clone()))?;
        let clock_offset_seconds = Gauge::new(
            "tollgate_sync_clock_offset_seconds",
            "How far this node's clock is ahead of the ledger's.",
        )?;
        registry.register(Box::new(clock_offset_seconds.clone()))?;
        let by_currency = |name, help| by_currency(registry, name, help);
        Ok(Metrics {
            streams: gauge("tollgate_sync_streams", "Open streams of gateways.")?,
            reports: counters("tollgate_sync_reports_total", "Reports by outcome.", "outcome")?,
            rows: counters("tollgate_sync_rows_written_total", "Ledger rows written.", "kind")?,
            failures: counters("tollgate_sync_write_failures_total", "Failed batches.", "kind")?,
            persist_seconds,
            dirty_registers: gauge(
                "tollgate_sync_dirty_registers",
                "Registers that the ledger does not hold yet.",
            )?,
            messages: counters("tollgate_sync_messages_total", "Messages to gateways.", "kind")?,
            wallets: gauge("tollgate_sync_wallets", "Wallets in memory.")?,
            reads,
            clock_offset_seconds,
            overdraft_wallets: gauge(
                "tollgate_overdraft_wallets",
                "Wallets in this node's memory that are below zero.",
            )?,
            overdraft_total: by_currency(
                "tollgate_overdraft_total",
                "Money that wallets in this node's memory are below zero, by currency.",
            )?,
            exposure_total: by_currency(
                "tollgate_max_exposure_total",
                "Sum of how far calls may take wallets in this node's memory below their floor.",
            )?,
            exposure_largest: by_currency(
                "tollgate_max_exposure_largest",
                "The most that calls may take one wallet in this node's memory below its floor.",
            )?,
            overspend: overspend(registry)?,
            housekeeping: counters(
                "tollgate_sync_housekeeping_total",
                "Wallets that housekeeping changed, by what it did.",
                "action",
            )?,
            grants: counters(
                "tollgate_sync_grant_commits_total",
                "Conditional changes of strict wallets' grants, by how they ended.",
                "outcome",
            )?,
        })
    }
}

fn by_currency(registry: &Registry, name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
    let gauges = GaugeVec::new(Opts::new(name, help), &["currency"])?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

fn overspend(registry: &Registry) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(
        "tollgate_overspend",
        "Deepest point below its floor of each wallet that came back to it, in its currency.",
    );
    let overspend = HistogramVec::new(options.buckets(OVERSPENDS.to_vec()), &["currency"])?;
    registry.register(Box::new(overspend.clone()))?;
    Ok(overspend)
}
