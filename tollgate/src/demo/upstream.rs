//! The small upstream of the demo: answers every call with what it saw of it.
//!
//! `?delay_ms=` lets a call take its time (at most ten seconds) and `?status=` fail, so that everything that this
//! gateway does with slow and failing upstreams can be seen without another program.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const DELAY_MS_MAX: u64 = 10_000;

/// Serves until `stopped` is cancelled.
pub(crate) async fn serve(listener: TcpListener, stopped: CancellationToken) {
    let routes = Router::new().fallback(answer);
    if let Err(error) =
        axum::serve(listener, routes).with_graceful_shutdown(stopped.cancelled_owned()).await
    {
        tracing::error!(%error, "the demo's upstream is not served any more");
    }
}

/// A body that was sent comes back as it is; a call without one is told what it was.
async fn answer(request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let delay_ms = parameter(query, "delay_ms").and_then(|text| text.parse().ok()).unwrap_or(0);
    let status =
        parameter(query, "status").and_then(|text| text.parse().ok()).unwrap_or(StatusCode::OK);
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(u64::min(delay_ms, DELAY_MS_MAX))).await;
    }
    let has_body = request.headers().contains_key(header::CONTENT_LENGTH)
        || request.headers().contains_key(header::TRANSFER_ENCODING);
    if has_body {
        let kind = request.headers().get(header::CONTENT_TYPE).cloned();
        let mut response = Response::new(Body::from_stream(request.into_body().into_data_stream()));
        *response.status_mut() = status;
        response.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
        return response;
    }
    let seen = json!({
        "hello": "from the demo's upstream",
        "method": request.method().as_str(),
        "path": request.uri().path(),
    });
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{seen}\n")).into_response()
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_says_what_was_called() {
        let request = |uri: &str| Request::builder().uri(uri).body(Body::empty()).unwrap();
        let response = answer(request("/orders?status=503")).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains("\"path\":\"/orders\""));
    }
}
