//! Starts and ends what makes a process observable: logs, traces, metrics, health.
//!
//! Logs go to stderr, so that stdout holds the one line that says where the process serves. Traces go to a collector by OTLP
//! where one is configured. Metrics have one source, [`families`]: the metrics port renders them as text, and [`otlp_metrics`] sends
//! the same to the collector.
//! Not here: what is counted (each crate registers its own metrics), what is a span (`gateway`).

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use self::families::Families;
use crate::config::file::Problem;

pub(crate) mod families;
pub(crate) mod health;
mod otlp_metrics;

/// The longest that a collector is waited for, in one export and at the end.
const EXPORT_WAIT: Duration = Duration::from_secs(3);

/// What servers log where `RUST_LOG` says nothing. The driver tells each node that comes and goes; at start that is a page.
const LOG_OF_SERVERS: &str = "info,scylla=error";

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where traces and metrics are sent: `[telemetry]` of every configuration file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TelemetryConfig {
    /// The collector, `http://host:4317`; absent: nothing is sent.
    pub(crate) otlp_endpoint: Option<String>,
    /// The part of new traces that is recorded, from 0 to 1; a caller's decision wins over it.
    pub(crate) trace_ratio: f64,
    /// How often metrics are sent.
    pub(crate) metrics_interval_ms: u64,
}

/// What has to be ended in order, so that the last spans and values arrive.
#[derive(Debug)]
pub(crate) struct Telemetry {
    traces: Option<SdkTracerProvider>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// The environment's `RUST_LOG` is not a filter.
    #[error("RUST_LOG is not a filter for log lines")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The collector's address cannot be used.
    #[error("cannot export to the OTLP endpoint {endpoint}")]
    Endpoint {
        /// What was configured.
        endpoint: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Starts logs, and where `config` names a collector, traces and metrics. Belongs into a tokio runtime.
///
/// # Errors
/// A [`TelemetryError`].
pub(crate) fn start(
    part: &'static str,
    format: LogFormat,
    config: &TelemetryConfig,
    metrics: &Families,
) -> Result<Telemetry, TelemetryError> {
    let resource = resource(part);
    let channel = config.otlp_endpoint.as_deref().map(connect).transpose()?;
    let traces = match &channel {
        Some(channel) => Some(trace_provider(config, channel.clone(), resource.clone())?),
        None => None,
    };
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let spans = traces.as_ref().map(|provider| {
        opentelemetry::global::set_tracer_provider(provider.clone());
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("tollgate"))
            // The exporter's own connection must not become spans that are exported again.
            .with_filter(tracing_subscriber::filter::filter_fn(|meta| {
                meta.target().starts_with("tollgate")
            }))
    });
    let _ = Registry::default().with(spans).with(log_layer(format, LOG_OF_SERVERS)?).try_init();
    let telemetry = Telemetry { traces, stop: CancellationToken::new(), tasks: TaskTracker::new() };
    if let Some(channel) = channel {
        let exporter = otlp_metrics::Exporter::new(channel, &resource, metrics.clone());
        let interval = Duration::from_millis(config.metrics_interval_ms);
        telemetry.tasks.spawn(exporter.run(interval, telemetry.stop.clone()));
    }
    telemetry.tasks.close();
    Ok(telemetry)
}

/// Log lines alone, for commands that serve nothing.
///
/// # Errors
/// [`TelemetryError::Filter`].
pub(crate) fn start_logs(format: LogFormat, default: &str) -> Result<(), TelemetryError> {
    let _ = Registry::default().with(log_layer(format, default)?).try_init();
    Ok(())
}

fn log_layer<S>(
    format: LogFormat,
    default: &str,
) -> Result<Box<dyn Layer<S> + Send + Sync>, TelemetryError>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a> + Send + Sync,
{
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => builder.parse(text).map_err(TelemetryError::Filter)?,
        Ok(_) | Err(_) => builder.parse_lossy(default),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    Ok(match format {
        LogFormat::Text => lines.with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    })
}

fn resource(part: &'static str) -> Resource {
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", format!("tollgate-{part}")),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ])
        .build()
}

/// A connection to the collector, which need not be there yet.
fn connect(endpoint: &str) -> Result<Channel, TelemetryError> {
    let wrong = |source: tonic::transport::Error| TelemetryError::Endpoint {
        endpoint: endpoint.to_owned(),
        source: Box::new(source),
    };
    let mut target =
        Endpoint::from_shared(endpoint.to_owned()).map_err(wrong)?.timeout(EXPORT_WAIT);
    if endpoint.starts_with("https://") {
        let tls = ClientTlsConfig::new().with_native_roots();
        target = target.tls_config(tls).map_err(wrong)?;
    }
    Ok(target.connect_lazy())
}

fn trace_provider(
    config: &TelemetryConfig,
    channel: Channel,
    resource: Resource,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_timeout(EXPORT_WAIT)
        .build()
        .map_err(|source| TelemetryError::Endpoint {
            endpoint: config.otlp_endpoint.clone().unwrap_or_default(),
            source: Box::new(source),
        })?;
    let ratio = Sampler::TraceIdRatioBased(config.trace_ratio);
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_resource(resource)
        .build())
}

// === impl TelemetryConfig ===

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, trace_ratio: 0.01, metrics_interval_ms: 15_000 }
    }
}

impl TelemetryConfig {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if !(0.0..=1.0).contains(&self.trace_ratio) {
            return Err(Problem::at(
                "telemetry.trace_ratio",
                format!("{} is not from 0 to 1", self.trace_ratio),
            ));
        }
        if self.metrics_interval_ms < 100 {
            return Err(Problem::at("telemetry.metrics_interval_ms", "must be at least 100"));
        }
        match &self.otlp_endpoint {
            Some(endpoint)
                if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") =>
            {
                Err(Problem::at(
                    "telemetry.otlp_endpoint",
                    format!("{endpoint:?} must begin with http:// or https://"),
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// What records spans of calls, where traces are sent.
    pub(crate) fn tracer(&self) -> Option<Arc<BoxedTracer>> {
        let traces = self.traces.as_ref()?;
        Some(Arc::new(BoxedTracer::new(Box::new(traces.tracer("tollgate-gateway")))))
    }

    /// Sends what is left and ends. Takes no longer than twice [`EXPORT_WAIT`].
    pub(crate) async fn end(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(EXPORT_WAIT, self.tasks.wait()).await;
        if let Some(traces) = self.traces {
            // The batch processor's thread needs this runtime for its last export, so it is not waited for on it.
            let ended =
                tokio::task::spawn_blocking(move || traces.shutdown_with_timeout(EXPORT_WAIT));
            let _ = tokio::time::timeout(EXPORT_WAIT, ended).await;
        }
    }
}
