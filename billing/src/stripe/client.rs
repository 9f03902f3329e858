//! Requests with their retries.
//!
//! Of the statuses, 409 and 429 are worth another attempt, and those of 500 and above; what Stripe
//! itself says in `Stripe-Should-Retry` goes before. Pauses double from half a second to
//! [`PAUSE_MAX`] and are shortened at random by up to half, so that many clients do not come back
//! together. GET is asked again as well as what carries an idempotency key; nothing else is.
//! Not here: how often an account may be asked in a second (each caller).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::Full;
use serde_json::Value;

use super::error::{Refusal, StripeError};
use super::form::Form;
use super::transport::{Transport, TransportError};
use crate::secret::{KeyMode, SecretKey};

/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The longest idempotency key that Stripe takes, in bytes.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Objects of one page of a whole listing: the most that Stripe gives.
const PAGE: usize = 100;

/// Where Stripe is, and how patient to be with it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Scheme, host and port, without a slash at the end.
    pub base: String,
    /// How long one attempt may take.
    pub answer_timeout: Duration,
    /// Attempts after the first one.
    pub retries_max: u32,
    /// The pause before the second attempt; it doubles.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            base: "https://api.stripe.com".to_owned(),
            answer_timeout: Duration::from_secs(30),
            retries_max: 2,
            pause: Duration::from_millis(500),
        }
    }
}

/// A client of one account and mode. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    settings: Settings,
    key: SecretKey,
    account: Option<String>,
}

/// A request, to be sent more than once perhaps.
struct Call<'a> {
    method: Method,
    path: &'a str,
    form: &'a Form,
    idempotency_key: Option<&'a str>,
}

// === impl Client ===

impl Client {
    /// A client with this key, acting for `account` (`Stripe-Account`) where one is named.
    #[must_use]
    pub fn new(
        transport: Arc<dyn Transport>,
        settings: Settings,
        key: SecretKey,
        account: Option<String>,
    ) -> Client {
        Client { transport, settings, key, account }
    }

    /// The namespace in which it works.
    #[must_use]
    pub fn mode(&self) -> KeyMode {
        self.key.mode()
    }

    /// Reads: `path` is below `/v1`, e.g. `/customers/cus_1`.
    ///
    /// # Errors
    /// [`StripeError`].
    pub async fn get(&self, path: &str, query: &Form) -> Result<Value, StripeError> {
        self.call(Call { method: Method::GET, path, form: query, idempotency_key: None }).await
    }

    /// Changes, under a key that was chosen before the first attempt: at most
    /// 255 bytes.
    ///
    /// # Errors
    /// [`StripeError`].
    pub async fn post(&self, path: &str, form: &Form, key: &str) -> Result<Value, StripeError> {
        debug_assert!(!key.is_empty() && key.len() <= IDEMPOTENCY_KEY_BYTES_MAX);
        self.call(Call { method: Method::POST, path, form, idempotency_key: Some(key) }).await
    }

    /// Removes; what is gone already is [`StripeError::Missing`].
    ///
    /// # Errors
    /// [`StripeError`].
    pub async fn delete(&self, path: &str) -> Result<Value, StripeError> {
        let form = &Form::new();
        self.call(Call { method: Method::DELETE, path, form, idempotency_key: None }).await
    }

    /// All objects of a list, newest first as Stripe lists them, at most `most`.
    ///
    /// # Errors
    /// [`StripeError`].
    pub async fn list(
        &self,
        path: &str,
        query: &Form,
        most: usize,
    ) -> Result<Vec<Value>, StripeError> {
        let mut objects: Vec<Value> = Vec::new();
        loop {
            let last = objects.last().and_then(|object| object["id"].as_str()).map(str::to_owned);
            let page = query.clone().with("limit", PAGE.min(most - objects.len()));
            let mut answer = self.get(path, &page.with_some("starting_after", last)).await?;
            let has_more = answer["has_more"].as_bool().unwrap_or(false);
            let Some(page) = answer["data"].as_array_mut() else { return Ok(objects) };
            let is_empty = page.is_empty();
            objects.append(page);
            if !has_more || is_empty || objects.len() >= most {
                return Ok(objects);
            }
        }
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, StripeError> {
        let mut pause = self.settings.pause;
        let mut left = self.settings.retries_max;
        loop {
            let (error, advice) = match self.attempt(&call).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if left == 0 || !advice.unwrap_or_else(|| is_worth_another(&error, &call)) {
                return Err(error);
            }
            left -= 1;
            let shortened = shorten(pause);
            tracing::debug!(path = call.path, %error, ?shortened, "asking Stripe again");
            tokio::time::sleep(shortened).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One attempt; a failed one with what Stripe says about another.
    async fn attempt(&self, call: &Call<'_>) -> Result<Value, (StripeError, Option<bool>)> {
        let sent = self.transport.send(self.request(call));
        let answer = match tokio::time::timeout(self.settings.answer_timeout, sent).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error @ TransportError::NotSent(_))) => {
                return Err((StripeError::Unreachable(error), None));
            }
            Ok(Err(error)) => return Err((StripeError::Lost(error), None)),
            Err(_) => return Err((StripeError::Lost(TransportError::Late), None)),
        };
        let (status, headers) = (answer.status(), answer.headers());
        let request_id = text(headers, "request-id");
        let advice = text(headers, "stripe-should-retry").and_then(|it| it.parse().ok());
        if !status.is_success() {
            let refusal = Refusal::read(status, request_id, answer.body());
            return Err((StripeError::of(refusal), advice));
        }
        serde_json::from_slice(answer.body()).map_err(|_| {
            (StripeError::Failed(Box::new(Refusal::unreadable(status, request_id))), Some(false))
        })
    }

    fn request(&self, call: &Call<'_>) -> Request<Full<Bytes>> {
        let mut uri = format!("{}/v1{}", self.settings.base, call.path);
        let mut body = Bytes::new();
        let encoded = call.form.encode();
        if call.method == Method::POST {
            body = Bytes::from(encoded);
        } else if !encoded.is_empty() {
            uri = format!("{uri}?{encoded}");
        }
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(uri)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key.expose()))
            .header(header::USER_AGENT, concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .header("stripe-version", super::VERSION);
        if call.method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(key) = call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(account) = &self.account {
            request = request.header("stripe-account", account);
        }
        request.body(Full::new(body)).expect("base, paths, keys and accounts were checked")
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("key", &self.key).field("account", &self.account).finish()
    }
}

/// Whether the same request may end otherwise in a moment, and harms nothing if it was done before.
fn is_worth_another(error: &StripeError, call: &Call<'_>) -> bool {
    let may_repeat = call.method == Method::GET || call.idempotency_key.is_some();
    match error {
        StripeError::Unreachable(_) | StripeError::Busy(_) => true,
        StripeError::Lost(_) | StripeError::Failed(_) => may_repeat,
        StripeError::Unauthorized(_)
        | StripeError::Forbidden(_)
        | StripeError::Declined(_)
        | StripeError::Missing(_)
        | StripeError::Reused(_)
        | StripeError::Invalid(_) => false,
    }
}

/// The pause less a random part of up to half of it.
fn shorten(pause: Duration) -> Duration {
    let half = u64::try_from(pause.as_millis() / 2).unwrap_or(u64::MAX);
    pause.saturating_sub(Duration::from_millis(fastrand::u64(0..=half)))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
