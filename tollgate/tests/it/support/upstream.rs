//! An upstream that answers every call with 200, but those of `…/fail` with 503, and remembers how many there were.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A running upstream; it ends with the test's runtime.
pub(crate) struct Upstream {
    /// `http://host:port`.
    pub(crate) url: String,
    calls: Arc<AtomicU64>,
    heads: mpsc::UnboundedReceiver<HeaderMap>,
}

// === impl Upstream ===

impl Upstream {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let (seen, heads) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, seen) = (Arc::clone(&counted), seen.clone());
                let answer = move |request: Request<Incoming>| {
                    let is_failing = request.uri().path().ends_with("/fail");
                    let status =
                        if is_failing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
                    counted.fetch_add(u64::from(!is_failing), Ordering::Relaxed);
                    let _ = seen.send(request.headers().clone());
                    let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
                    *response.status_mut() = status;
                    async { Ok::<_, Infallible>(response) }
                };
                tokio::spawn(
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(answer)),
                );
            }
        });
        Self { url, calls, heads }
    }

    /// Calls that it answered with 200.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The header of the next call that it has not told about yet.
    pub(crate) async fn next_head(&mut self) -> HeaderMap {
        self.heads.recv().await.expect("the upstream runs")
    }
}
