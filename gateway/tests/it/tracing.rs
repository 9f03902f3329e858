//! Calls as spans, where somebody makes spans.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::global::{BoxedTracer, set_text_map_propagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use parking_lot::Mutex;

use crate::harness::*;
use tollgate_gateway::config::Limits;

#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Kept {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[tokio::test]
async fn a_call_is_a_span_between_the_clients_and_the_upstreams() {
    set_text_map_propagator(TraceContextPropagator::new());
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder().with_span_processor(kept.clone()).build();
    let tracer = Arc::new(BoxedTracer::new(Box::new(provider.tracer("tollgate"))));
    let mut upstream = Upstream::ok("hello").await;
    let gateway =
        Gateway::traced(vec![proxy(upstream.address)], Limits::default(), None, Some(tracer)).await;
    let mut client = gateway.client().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let line = format!("traceparent: 00-{trace}-b7ad6b7169203331-01");
    client.got("/things", &["x-api-key: good", &line]).await;
    gateway.counts("tollgate_calls_total", &["all", "charged"], 1).await;
    let spans = std::mem::take(&mut *kept.0.lock());
    let [span] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!(span.name, "GET");
    assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
    assert_eq!(span.span_context.trace_id().to_string(), trace);
    let said: Vec<_> =
        span.attributes.iter().map(|it| format!("{}={}", it.key, it.value)).collect();
    for want in ["tollgate.proxy=all", "http.response.status_code=200", "url.path=/things"] {
        assert!(said.iter().any(|it| it == want), "{want} in {said:?}");
    }
    let request = upstream.request().await;
    let told = format!("00-{trace}-{}-01", span.span_context.span_id());
    assert_eq!(header(&request, "traceparent"), Some(told.as_str()));
}

#[tokio::test]
async fn without_spans_the_clients_context_passes() {
    let mut upstream = Upstream::ok("hello").await;
    let gateway = Gateway::start(vec![open_proxy(upstream.address)]).await;
    let mut client = gateway.client().await;
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.got("/", &[&format!("traceparent: {context}"), "tracestate: a=b"]).await;
    let request = upstream.request().await;
    assert_eq!(header(&request, "traceparent"), Some(context));
    assert_eq!(header(&request, "tracestate"), Some("a=b"));
}
