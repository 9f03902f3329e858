//! Whether the process lives, and whether it can serve.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::respond::json_response;
use crate::router::{Api, ok};

/// How long the ledger may take to say that it is there.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Alive as long as it answers.
pub(crate) async fn alive() -> Response {
    ok(&json!({ "status": "ok" }))
}

/// Ready while the ledger answers.
pub(crate) async fn ready(State(api): State<Api>) -> Response {
    match tokio::time::timeout(READY_TIMEOUT, api.ledger.generation()).await {
        Ok(Ok(_)) => ok(&json!({ "status": "ok" })),
        Ok(Err(error)) => unready(&error.to_string()),
        Err(_) => unready("ledger does not answer"),
    }
}

fn unready(reason: &str) -> Response {
    json_response(
        StatusCode::SERVICE_UNAVAILABLE,
        &json!({ "status": "unready", "reason": reason }),
    )
}

/// What the description of the API says of these paths, and of itself.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    type Answer = serde_json::Map<String, serde_json::Value>;
    paths.get("/healthz", "Whether the process lives").public().answers::<Answer>(200);
    paths
        .get("/readyz", "Whether the ledger answers")
        .public()
        .answers::<Answer>(200)
        .answers::<Answer>(503);
    paths.get("/openapi.json", "This document").public().answers::<Answer>(200);
}
