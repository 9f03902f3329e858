//! Connections: reads requests, hands them on, writes answers, and cuts off where a fault says so.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;

use crate::gate::{Outcome, Reply, Request};
use crate::world::World;
use crate::{control, gate};

/// Longest body of a request in bytes.
const BODY_MAX: usize = 1 << 20;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) world: Mutex<World>,
}

/// Makes hyper close a connection without an answer.
#[derive(Debug)]
struct Cut;

// === impl Cut ===

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// Serves connections until the task is dropped.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // What cannot be accepted now can be in a moment; the peer sees a connection that waits.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new();
            // An error here is a peer that went away or a cut.
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: http::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else { return Err(Cut) };
    let request = Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    // A task of its own: Stripe goes on with its work when its client goes away.
    let work = tokio::spawn(async move {
        if request.path.starts_with("/_control") {
            Outcome::Reply(control::serve(&shared, &request).await)
        } else {
            gate::serve(&shared, request).await
        }
    });
    match work.await {
        Ok(Outcome::Reply(reply)) => Ok(written(reply)),
        Ok(Outcome::Cut) => Err(Cut),
        Err(panic) => {
            let message = format!("the simulator itself has failed: {panic}");
            let body = json!({ "error": { "type": "api_error", "message": message } });
            let status = http::StatusCode::INTERNAL_SERVER_ERROR;
            Ok(written(Reply { status, headers: http::HeaderMap::new(), body }))
        }
    }
}

fn written(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{:#}\n", reply.body))));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
