//! Spans of calls, where tracing is on: one for each sampled call, from its head to the end of its response.
//!
//! A caller's decision to record a trace is followed; without one the configured part of all calls is recorded. Calls that are
//! not recorded cost a decision and no span. Not here: context of calls without a span (`trace_context`), where spans go.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use opentelemetry::global::{BoxedSpan, BoxedTracer, get_text_map_propagator};
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{Span, SpanContext, SpanKind, Status, TraceContextExt, Tracer as _};
use opentelemetry::{Context, KeyValue};

use crate::refusal::Refusal;

/// The longest path that a span tells.
const PATH_BYTES_MAX: usize = 256;

/// Makes spans.
#[derive(Clone, Debug)]
pub(crate) struct Spans(Arc<BoxedTracer>);

/// The span of one call; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct CallSpan(BoxedSpan);

struct Headers<'a>(&'a HeaderMap);

struct HeadersMut<'a>(&'a mut HeaderMap);

// === impl Spans ===

impl Spans {
    pub(crate) fn new(tracer: Arc<BoxedTracer>) -> Self {
        Self(tracer)
    }

    /// A span of this request, where it is to be recorded.
    pub(crate) fn begin<B>(&self, request: &Request<B>) -> Option<CallSpan> {
        let headers = Headers(request.headers());
        let parent = get_text_map_propagator(|propagator| {
            propagator.extract_with_context(&Context::new(), &headers)
        });
        let name = method(request.method());
        let span = self.0.span_builder(name).with_kind(SpanKind::Server);
        let mut span = span.start_with_context(&*self.0, &parent);
        if !span.is_recording() {
            return None;
        }
        let path = request.uri().path();
        let end = path.floor_char_boundary(PATH_BYTES_MAX);
        span.set_attribute(KeyValue::new("http.request.method", name));
        span.set_attribute(KeyValue::new("url.path", path[..end].to_owned()));
        Some(CallSpan(span))
    }
}

/// Methods as names: a client must not make new ones.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

// === impl CallSpan ===

impl CallSpan {
    /// The call is one of this proxy.
    pub(crate) fn is_for(&mut self, proxy: &str) {
        self.0.set_attribute(KeyValue::new("tollgate.proxy", proxy.to_owned()));
    }

    /// The upstream answered with this status.
    pub(crate) fn is_answered(&mut self, status: http::StatusCode) {
        self.0
            .set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    }

    /// The gateway answered.
    pub(crate) fn is_refused(&mut self, refusal: Refusal) {
        let row = refusal.row();
        self.0.set_attribute(KeyValue::new("tollgate.refusal", row.name));
        if row.status >= 500 {
            self.0.set_status(Status::error(row.name));
        }
    }

    /// Puts the span's context where the upstream looks for it, in place of the client's.
    pub(crate) fn propagate(&self, headers: &mut HeaderMap) {
        let context: SpanContext = self.0.span_context().clone();
        let context = Context::new().with_remote_span_context(context);
        get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut HeadersMut(headers));
        });
    }
}

// === impl Headers, HeadersMut ===

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
