//! A collector that keeps what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A running collector; it ends with the test's runtime.
pub(crate) struct Collector {
    /// `http://host:port`.
    pub(crate) url: String,
    kept: Kept,
}

#[derive(Clone, Default)]
struct Kept {
    metrics: Arc<Mutex<BTreeMap<String, Metric>>>,
    spans: Arc<Mutex<Vec<Span>>>,
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let resources = request.into_inner().resource_metrics.into_iter();
        let metrics = resources.flat_map(|it| it.scope_metrics).flat_map(|it| it.metrics);
        self.metrics.lock().unwrap().extend(metrics.map(|metric| (metric.name.clone(), metric)));
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        self.spans
            .lock()
            .unwrap()
            .extend(resources.flat_map(|it| it.scope_spans).flat_map(|it| it.spans));
        Ok(Response::new(Default::default()))
    }
}

// === impl Collector ===

impl Collector {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Kept::default();
        let server = tonic::transport::Server::builder()
            .add_service(MetricsServiceServer::new(kept.clone()))
            .add_service(TraceServiceServer::new(kept.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Self { url, kept }
    }

    /// Names of all metrics that have arrived.
    pub(crate) fn metric_names(&self) -> Vec<String> {
        self.kept.metrics.lock().unwrap().keys().cloned().collect()
    }

    /// Sum of a counter's newest values over all its labels.
    pub(crate) fn counter(&self, name: &str) -> Option<f64> {
        let metrics = self.kept.metrics.lock().unwrap();
        let Some(metric::Data::Sum(sum)) = &metrics.get(name)?.data else { return None };
        let values = sum.data_points.iter().map(|point| match point.value {
            Some(number_data_point::Value::AsDouble(value)) => value,
            Some(number_data_point::Value::AsInt(_)) | None => 0.0,
        });
        Some(values.sum())
    }

    /// All spans that have arrived.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().unwrap().clone()
    }
}
