//! Sends the families of the process to a collector by OTLP.
//!
//! [`Families`] is the one source: what a scrape of the metrics port shows and what the collector gets are the same numbers,
//! under the same names. Counters and histograms are cumulative since the start of the process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{self, MetricFamily, MetricType};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::families::Families;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// Sends a process's families to one collector.
pub(super) struct Exporter {
    client: MetricsServiceClient<Channel>,
    resource: Resource,
    families: Families,
    started: u64,
    is_failing: bool,
}

/// The times of every data point of one export, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Times {
    start: u64,
    now: u64,
}

// === impl Exporter ===

impl Exporter {
    /// An exporter over a connection to the collector.
    pub(super) fn new(
        channel: Channel,
        resource: &opentelemetry_sdk::Resource,
        families: Families,
    ) -> Self {
        let attributes =
            resource.iter().map(|(key, value)| attribute(key.as_str(), &value.as_str())).collect();
        Self {
            client: MetricsServiceClient::new(channel),
            resource: Resource { attributes, ..Resource::default() },
            families,
            started: now(),
            is_failing: false,
        }
    }

    /// Sends every `interval`, and once more when `stop` is cancelled.
    pub(super) async fn run(mut self, interval: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.send().await;
        }
        self.send().await;
    }

    /// A collector that is away is told once, not every interval.
    async fn send(&mut self) {
        let times = Times { start: self.started, now: now() };
        let metrics = self.families.gather().iter().map(|family| metric(family, times)).collect();
        let scope =
            InstrumentationScope { name: "tollgate".to_owned(), ..InstrumentationScope::default() };
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope),
                    metrics,
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        match self.client.export(request).await {
            Ok(_) if self.is_failing => {
                self.is_failing = false;
                tracing::info!("metrics reach the collector again");
            }
            Ok(_) => {}
            Err(status) if !self.is_failing => {
                self.is_failing = true;
                tracing::warn!(%status, "metrics do not reach the collector");
            }
            Err(_) => {}
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a collector wants wall time; nothing is decided by it"
)]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn metric(family: &MetricFamily, times: Times) -> Metric {
    let rows = family.get_metric();
    let data = match family.get_field_type() {
        MetricType::COUNTER => metric::Data::Sum(Sum {
            data_points: rows
                .iter()
                .map(|row| number(row, row.get_counter().get_value(), times))
                .collect(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        MetricType::HISTOGRAM => metric::Data::Histogram(Histogram {
            data_points: rows.iter().map(|row| histogram(row, times)).collect(),
            aggregation_temporality: CUMULATIVE,
        }),
        // The registry has no summaries and nothing untyped: the crate that fills it offers neither.
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => {
            metric::Data::Gauge(Gauge {
                data_points: rows
                    .iter()
                    .map(|row| number(row, row.get_gauge().get_value(), times))
                    .collect(),
            })
        }
    };
    Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn labels(row: &proto::Metric) -> Vec<KeyValue> {
    row.get_label().iter().map(|label| attribute(label.name(), label.value())).collect()
}

fn number(row: &proto::Metric, value: f64, times: Times) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels(row),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Prometheus counts each bucket with all below it, OTLP each alone and one more for what is above the last bound.
fn histogram(row: &proto::Metric, times: Times) -> HistogramDataPoint {
    let source = row.get_histogram();
    let mut bucket_counts = Vec::new();
    let mut explicit_bounds = Vec::new();
    let mut below = 0;
    for bucket in source.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        explicit_bounds.push(bucket.upper_bound());
        bucket_counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    bucket_counts.push(source.get_sample_count().saturating_sub(below));
    HistogramDataPoint {
        attributes: labels(row),
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count: source.get_sample_count(),
        sum: Some(source.get_sample_sum()),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, IntCounterVec, Opts, Registry};

    use super::*;

    const TIMES: Times = Times { start: 1, now: 2 };

    #[test]
    fn a_counter_keeps_its_labels_and_value() {
        let registry = Registry::new();
        let counter = IntCounterVec::new(Opts::new("calls_total", "Calls."), &["outcome"]).unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        counter.with_label_values(&["charged"]).inc_by(7);
        let metric = metric(&registry.gather()[0], TIMES);
        assert_eq!((metric.name.as_str(), metric.description.as_str()), ("calls_total", "Calls."));
        let Some(metric::Data::Sum(sum)) = metric.data else { panic!("a counter is a sum") };
        assert!(sum.is_monotonic);
        assert_eq!(sum.data_points[0].attributes, [attribute("outcome", "charged")]);
        assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsDouble(7.0)));
    }

    #[test]
    fn buckets_are_counted_each_alone() {
        let registry = Registry::new();
        let seconds = prometheus::Histogram::with_opts(
            HistogramOpts::new("seconds", "Time.").buckets(vec![1.0, 2.0]),
        );
        let seconds = seconds.unwrap();
        registry.register(Box::new(seconds.clone())).unwrap();
        for value in [0.5, 0.5, 1.5, 9.0] {
            seconds.observe(value);
        }
        let Some(metric::Data::Histogram(data)) = metric(&registry.gather()[0], TIMES).data else {
            panic!("a histogram")
        };
        let point = &data.data_points[0];
        assert_eq!(point.explicit_bounds, [1.0, 2.0]);
        assert_eq!(point.bucket_counts, [2, 1, 1]);
        assert_eq!((point.count, point.sum), (4, Some(11.5)));
    }
}
