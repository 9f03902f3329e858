//! How one request reaches Stripe: over the workspace's HTTP stack, or as a test wants it.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// The largest answer that is read: a page of a hundred invoices has less than a tenth of it.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection, so the request was certainly not sent.
    #[error("cannot connect")]
    NotSent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The request was sent, or begun to be.
    #[error("connection broke before the answer was there")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("no answer in time")]
    Late,
}

/// Sends requests. A future that is dropped may have sent its request.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The answer, whole.
    ///
    /// # Errors
    /// [`TransportError`], which says whether the request may have been sent.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, TransportError>;
}

/// Connections of this machine, kept and shared; TLS with the system's authorities.
pub struct Direct {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

// === impl Direct ===

impl Direct {
    /// A transport of its own pool.
    ///
    /// # Errors
    /// Where the system's authorities cannot be read.
    pub fn new() -> std::io::Result<Direct> {
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Direct { client: Client::builder(TokioExecutor::new()).build(connector) })
    }
}

#[async_trait]
impl Transport for Direct {
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, TransportError> {
        let answer = self.client.request(request).await.map_err(|error| {
            if error.is_connect() {
                TransportError::NotSent(error.into())
            } else {
                TransportError::Broken(error.into())
            }
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        Ok(Response::from_parts(head, body.map_err(TransportError::Broken)?.to_bytes()))
    }
}
