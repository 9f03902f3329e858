//! `/stripe/webhooks/{organization}/{billing}`: where Stripe sends its events.
//!
//! There is no token: the signature over the body, byte by byte, is the proof. An answer of success
//! says that everything that follows from the event is durable; anything else, that Stripe is to
//! send it again.

use axum::extract::State;
use http::HeaderMap;

use crate::extract::{At, Body};
use crate::router::{Api, done};
use crate::routes::Answer;

/// Where the signature is.
const SIGNATURE: &str = "stripe-signature";

pub(crate) async fn receive(
    State(api): State<Api>,
    At((organization, billing)): At<(String, String)>,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let signature = signature.unwrap_or_default();
    api.billing()?.receive(&organization, &billing, signature, &body).await?;
    Ok(done())
}

/// What the description of the API says of these paths.
pub(crate) fn describe(paths: &mut crate::openapi::Paths) {
    paths
        .post(
            "/stripe/webhooks/{organization}/{billing}",
            "Takes an event that Stripe has signed for this billing",
        )
        .public()
        .header(
            "Stripe-Signature",
            "Over the body as it is sent.",
            serde_json::json!({ "type": "string" }),
        )
        .required()
        .answers_nothing(204);
}
