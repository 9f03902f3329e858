//! Idempotency keys of one space: the first answer is the answer, for a day.

use std::collections::HashMap;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// How long a key is remembered, in seconds.
const KEPT_S: i64 = 24 * 3600;
/// Longest key in characters.
const KEY_MAX: usize = 255;

/// What makes a request the same one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fingerprint {
    pub(crate) path: String,
    pub(crate) sent: Map<String, Value>,
}

/// A stored answer.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) request_id: String,
}

#[derive(Debug)]
enum State {
    InFlight,
    Done { stored: Stored, at_s: i64 },
}

/// The keys of one space.
#[derive(Debug, Default)]
pub(crate) struct Idempotency(HashMap<String, (Fingerprint, State)>);

// === impl Idempotency ===

impl Idempotency {
    /// Begins a request under a key, or finds the answer that it had before.
    ///
    /// # Errors
    /// Another request has the key, or the same one is still at work.
    pub(crate) fn begin(
        &mut self,
        key: &str,
        fingerprint: Fingerprint,
        now_s: i64,
    ) -> Result<Option<Stored>, ApiError> {
        if key.chars().count() > KEY_MAX {
            let message = format!("Idempotency keys can have at most {KEY_MAX} characters.");
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "idempotency_error", message));
        }
        match self.0.get(key) {
            Some((_, State::Done { at_s, .. })) if now_s >= at_s.saturating_add(KEPT_S) => {}
            Some((first, _)) if *first != fingerprint => {
                let message = format!(
                    "Keys for idempotent requests can only be used with the same parameters they were first used \
                     with. Try using a key other than '{key}' if you meant to execute a different request."
                );
                return Err(ApiError::new(StatusCode::BAD_REQUEST, "idempotency_error", message));
            }
            Some((_, State::InFlight)) => {
                let message = format!(
                    "There is currently another in-progress request using this idempotency key ({key})."
                );
                return Err(ApiError::new(StatusCode::CONFLICT, "idempotency_error", message)
                    .with("code", "idempotency_key_in_use"));
            }
            Some((_, State::Done { stored, .. })) => return Ok(Some(stored.clone())),
            None => {}
        }
        self.0.insert(key.to_owned(), (fingerprint, State::InFlight));
        Ok(None)
    }

    /// Keeps the answer of the request that holds the key.
    pub(crate) fn keep(&mut self, key: &str, stored: Stored, now_s: i64) {
        if let Some((_, state)) = self.0.get_mut(key) {
            *state = State::Done { stored, at_s: now_s };
        }
    }

    /// Forgets a key whose request did not begin its work.
    pub(crate) fn forget(&mut self, key: &str) {
        self.0.remove(key);
    }
}
