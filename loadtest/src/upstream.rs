//! What the gateways of a run stand before: answers every call at once, so that nothing but the gateways is measured.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A running upstream; it ends when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    /// `http://host:port`.
    pub url: String,
    calls: Arc<AtomicU64>,
    _serving: AbortOnDropHandle<()>,
}

// === impl Upstream ===

impl Upstream {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// The system's, where no port can be had.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let calls = Arc::new(AtomicU64::new(0));
        let serving = tokio::spawn(serve(listener, Arc::clone(&calls)));
        Ok(Self { url, calls, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Calls that reached it.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, calls: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        // Without it a small answer may wait for an acknowledgement; a stream that is gone says so itself.
        let _ = stream.set_nodelay(true);
        let calls = Arc::clone(&calls);
        let answer = move |_: Request<Incoming>| {
            calls.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok\n")))) }
        };
        // Ends with its connection.
        tokio::spawn(
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)),
        );
    }
}
