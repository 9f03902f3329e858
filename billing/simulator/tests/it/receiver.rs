//! A webhook endpoint: takes what comes, or refuses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;

/// What came: `Stripe-Signature` and the body.
type Letters = Arc<Mutex<Vec<(String, Bytes)>>>;

/// A server that answers with the status it was told.
pub(crate) struct Receiver {
    pub(crate) url: String,
    letters: Letters,
    status: Arc<AtomicU16>,
    task: tokio::task::JoinHandle<()>,
}

// === impl Receiver ===

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let letters = Letters::default();
        let status = Arc::new(AtomicU16::new(200));
        let task = tokio::spawn(serve(listener, Arc::clone(&letters), Arc::clone(&status)));
        Receiver { url, letters, status, task }
    }

    /// Answers with this status from now on.
    pub(crate) fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Takes all that came since the last time.
    pub(crate) fn take(&self) -> Vec<(String, Bytes)> {
        std::mem::take(&mut self.letters.lock())
    }

    /// The types of the events that came since the last time.
    pub(crate) fn take_types(&self) -> Vec<String> {
        let kind = |body: &Bytes| {
            let event: serde_json::Value = serde_json::from_slice(body).unwrap();
            event["type"].as_str().unwrap().to_owned()
        };
        self.take().iter().map(|(_, body)| kind(body)).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, letters: Letters, status: Arc<AtomicU16>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (letters, status) = (Arc::clone(&letters), Arc::clone(&status));
        tokio::spawn(async move {
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| async {
                let signature = request.headers()["stripe-signature"].to_str().unwrap().to_owned();
                let body = request.into_body().collect().await?.to_bytes();
                letters.lock().push((signature, body));
                let mut response = Response::new(Full::new(Bytes::new()));
                *response.status_mut() =
                    http::StatusCode::from_u16(status.load(Ordering::Relaxed)).unwrap();
                Ok::<_, hyper::Error>(response)
            });
            drop(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}
