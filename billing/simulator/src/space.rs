//! The objects of one account in one mode, and what a request needs while it works on them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::agenda::Agenda;
use crate::error::ApiError;
use crate::events::Outgoing;
use crate::idempotency::Idempotency;
use crate::keys::Mode;
use crate::object::{flag, text};
use crate::settings::AfterFailures;
use crate::store::Store;

/// Characters of ids.
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Random characters of an id.
const ID_LENGTH: usize = 24;

/// Where a change comes from: a request, or the clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) request_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    /// `Stripe-Version` of the request, or the account's.
    pub(crate) version: String,
}

/// One account in one mode.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) account: String,
    pub(crate) mode: Mode,
    /// Unix seconds at which the work under way happens.
    pub(crate) now: i64,
    pub(crate) origin: Origin,
    pub(crate) store: Store,
    pub(crate) idempotency: Idempotency,
    pub(crate) agenda: Agenda,
    /// Webhooks that the work under way has caused.
    pub(crate) outbox: Vec<Outgoing>,
    /// How often each endpoint did its work, by `POST /v1/customers/{id}`.
    pub(crate) executed: BTreeMap<String, u64>,
    /// How long a bank debit takes, in seconds.
    pub(crate) bank_debit_s: i64,
    /// What becomes of a subscription that is not paid.
    pub(crate) after_failures: AfterFailures,
    /// How long search does not see a new object, in seconds.
    pub(crate) search_lag_s: i64,
    /// Where this simulator listens.
    pub(crate) base_url: String,
    pub(crate) rng: fastrand::Rng,
}

// === impl Origin ===

impl Origin {
    /// Whether the request's API version is this one or a later one.
    pub(crate) fn is_since(&self, date: &str) -> bool {
        self.version.as_str() >= date
    }
}

// === impl Space ===

impl Space {
    /// A new id: `pi_` and random characters.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}_{}", self.random(ID_LENGTH))
    }

    pub(crate) fn random(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(ALPHABET[self.rng.usize(..ALPHABET.len())])).collect()
    }

    /// A copy of the object that the path names.
    ///
    /// # Errors
    /// 404.
    pub(crate) fn at(&self, kind: &str, id: &str) -> Result<Value, ApiError> {
        self.named(kind, id, "id")
    }

    /// A copy of the object that a parameter names.
    ///
    /// # Errors
    /// 400, or 404 where the parameter is the path's `id`.
    pub(crate) fn named(&self, kind: &str, id: &str, param: &str) -> Result<Value, ApiError> {
        match self.store.get(kind, id) {
            Some(object) if !flag(object, "deleted") => Ok(object.clone()),
            Some(_) | None => Err(ApiError::no_such(kind, id, param)),
        }
    }

    /// Whether an object of this kind is there.
    pub(crate) fn has(&self, kind: &str, id: &str) -> bool {
        self.store.get(kind, id).is_some_and(|object| !flag(object, "deleted"))
    }

    /// Stores a new object and tells so.
    pub(crate) fn create(&mut self, object: &Value, event: &str) {
        self.store.put(object.clone());
        self.emit(event, object);
    }

    /// Stores a changed object and tells so with what it was before; tells nothing where nothing changed.
    pub(crate) fn change(&mut self, object: &Value, event: &str) {
        let kind = text(object, "object");
        let before = self.store.get(kind, text(object, "id")).cloned().unwrap_or_default();
        let previous = crate::events::difference(&before, object);
        self.store.put(object.clone());
        if !previous.is_empty() {
            self.emit_with(event, object, Some(Value::Object(previous)));
        }
    }
}
