//! Why Stripe did not do what was asked, split by what the caller does next.

use std::fmt;

use http::StatusCode;
use serde_json::Value;

use super::transport::TransportError;

/// Beginnings of texts that are secret, whatever they stand in.
const SECRET_PREFIXES: [&str; 7] =
    ["sk_test_", "sk_live_", "rk_test_", "rk_live_", "whsec_", "pi_secret_", "seti_secret_"];

/// Why Stripe did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// Stripe cannot be reached: certainly nothing happened. Ask again later.
    #[error("cannot reach Stripe")]
    Unreachable(#[source] TransportError),
    /// The answer was lost: something may have happened. Ask again under the same idempotency key
    /// within a day, later look first.
    #[error("answer of Stripe was lost")]
    Lost(#[source] TransportError),
    /// Stripe failed (status 5xx) or answers what cannot be read: something may have happened, and
    /// the same idempotency key may replay this answer for a day. Look first.
    #[error("Stripe failed: {0}")]
    Failed(Box<Refusal>),
    /// Too many requests, or another request holds the object or the key: nothing happened. Ask
    /// again later under the same key.
    #[error("Stripe is busy: {0}")]
    Busy(Box<Refusal>),
    /// The key is unknown, rolled or expired: nothing happened until the key is replaced.
    #[error("Stripe does not know the secret key: {0}")]
    Unauthorized(Box<Refusal>),
    /// The key may not do this: nothing happened.
    #[error("secret key may not do this at Stripe: {0}")]
    Forbidden(Box<Refusal>),
    /// The payment was declined or needs its payer: nothing was paid.
    #[error("payment failed: {0}")]
    Declined(Box<Refusal>),
    /// There is no such object in this account and mode: nothing happened.
    #[error("Stripe has no such object: {0}")]
    Missing(Box<Refusal>),
    /// The idempotency key was used with other parameters: nothing happened now.
    #[error("idempotency key was used for another request: {0}")]
    Reused(Box<Refusal>),
    /// Stripe refuses the request as it is: nothing happened.
    #[error("Stripe refuses: {0}")]
    Invalid(Box<Refusal>),
}

/// What Stripe says about a request that it did not fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of HTTP.
    pub status: u16,
    /// `type`: `api_error`, `card_error`, `idempotency_error`, `invalid_request_error`.
    pub kind: String,
    /// `code`, e.g. `card_declined`.
    pub code: Option<String>,
    /// `decline_code`, e.g. `insufficient_funds`.
    pub decline_code: Option<String>,
    /// For people, without anything that is secret.
    pub message: String,
    /// The parameter that is wrong.
    pub param: Option<String>,
    /// `Request-Id`: what Stripe's support asks for.
    pub request_id: Option<String>,
    /// The id of `payment_intent` in the error, where the payment was made and failed.
    pub payment_intent: Option<String>,
}

// === impl StripeError ===

impl StripeError {
    /// Whether certainly nothing happened at Stripe.
    #[must_use]
    pub fn is_certainly_not_applied(&self) -> bool {
        match self {
            StripeError::Lost(_) | StripeError::Failed(_) => false,
            StripeError::Unreachable(_)
            | StripeError::Busy(_)
            | StripeError::Unauthorized(_)
            | StripeError::Forbidden(_)
            | StripeError::Declined(_)
            | StripeError::Missing(_)
            | StripeError::Reused(_)
            | StripeError::Invalid(_) => true,
        }
    }

    /// What Stripe said, where it said something.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            StripeError::Unreachable(_) | StripeError::Lost(_) => None,
            StripeError::Failed(refusal)
            | StripeError::Busy(refusal)
            | StripeError::Unauthorized(refusal)
            | StripeError::Forbidden(refusal)
            | StripeError::Declined(refusal)
            | StripeError::Missing(refusal)
            | StripeError::Reused(refusal)
            | StripeError::Invalid(refusal) => Some(refusal),
        }
    }

    /// The error of an answer that is none of success.
    pub(super) fn of(refusal: Refusal) -> StripeError {
        let refusal = Box::new(refusal);
        let is_reuse = refusal.kind == "idempotency_error";
        match refusal.status {
            400 | 409 if is_reuse && refusal.code.as_deref() != Some("idempotency_key_in_use") => {
                StripeError::Reused(refusal)
            }
            401 => StripeError::Unauthorized(refusal),
            402 => StripeError::Declined(refusal),
            403 => StripeError::Forbidden(refusal),
            404 => StripeError::Missing(refusal),
            409 | 429 => StripeError::Busy(refusal),
            500.. => StripeError::Failed(refusal),
            _ => StripeError::Invalid(refusal),
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// Reads the body of an error; one that is none is told by its status.
    pub(super) fn read(status: StatusCode, request_id: Option<String>, body: &[u8]) -> Refusal {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &body["error"];
        let text = |name: &str| error[name].as_str().map(redacted);
        let intent = &error["payment_intent"];
        Refusal {
            status: status.as_u16(),
            kind: text("type").unwrap_or_else(|| "api_error".to_owned()),
            code: text("code"),
            decline_code: text("decline_code"),
            message: text("message").unwrap_or_else(|| format!("status {status}")),
            param: text("param"),
            request_id,
            payment_intent: intent["id"].as_str().or(intent.as_str()).map(str::to_owned),
        }
    }

    /// An answer that cannot be read.
    pub(super) fn unreadable(status: StatusCode, request_id: Option<String>) -> Refusal {
        let message = "answer is not JSON".to_owned();
        Refusal { message, ..Refusal::read(status, request_id, b"") }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        let more = [
            ("status", Some(self.status.to_string())),
            ("code", self.code.clone()),
            ("decline code", self.decline_code.clone()),
            ("parameter", self.param.clone()),
            ("request", self.request_id.clone()),
        ];
        let more: Vec<String> =
            more.into_iter().filter_map(|(name, it)| Some(format!("{name} {}", it?))).collect();
        write!(f, " ({})", more.join(", "))
    }
}

/// The text without what could be a secret in it.
fn redacted(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let found = SECRET_PREFIXES.iter().find_map(|prefix| Some((word.find(prefix)?, prefix)));
        words.push(match found {
            Some((at, prefix)) => format!("{}{prefix}…", &word[..at]),
            None if word.contains("_secret_") => "…_secret_…".to_owned(),
            None => word.to_owned(),
        });
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::{Refusal, StripeError, redacted};

    #[test]
    fn a_message_tells_no_secret() {
        let told = redacted("Invalid key: sk_test_4242. See pi_1_secret_77 (whsec_1)");
        assert!(
            !told.contains("4242") && !told.contains("77") && !told.contains("whsec_1"),
            "{told}"
        );
    }

    #[test]
    fn the_status_says_what_to_do() {
        let of = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            StripeError::of(Refusal::read(status, Some("req_1".to_owned()), body.as_bytes()))
        };
        let declined = of(
            402,
            r#"{"error":{"type":"card_error","code":"card_declined","payment_intent":{"id":"pi_1"}}}"#,
        );
        assert_eq!(declined.refusal().unwrap().payment_intent.as_deref(), Some("pi_1"));
        assert!(matches!(declined, StripeError::Declined(_)));
        assert!(matches!(
            of(400, r#"{"error":{"type":"idempotency_error"}}"#),
            StripeError::Reused(_)
        ));
        assert!(matches!(
            of(409, r#"{"error":{"code":"idempotency_key_in_use"}}"#),
            StripeError::Busy(_)
        ));
        assert!(matches!(of(400, "{}"), StripeError::Invalid(_)));
        assert!(!of(502, "<html>").is_certainly_not_applied());
    }
}
