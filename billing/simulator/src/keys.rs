//! API keys: whose they are, what they may do, and what happens to one that was rolled.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode, header};
use serde::Serialize;

use base64::Engine as _;

use crate::error::ApiError;

/// The two halves of an account, whose objects never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Test cards, no money.
    Test,
    /// What would be money at Stripe.
    Live,
}

/// The first keys of an account.
#[derive(Clone, Debug, Serialize)]
pub struct AccountKeys {
    /// The account's id.
    pub account: String,
    /// Secret key of the test mode.
    pub secret_test: String,
    /// Publishable key of the test mode.
    pub publishable_test: String,
    /// Secret key of the live mode.
    pub secret_live: String,
    /// Publishable key of the live mode.
    pub publishable_live: String,
}

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    /// Everything.
    Secret,
    /// What a browser does: confirm and read intents with their client secret, make payment methods.
    Publishable,
    /// Only paths that begin with one of these, such as `customers`.
    Restricted(Vec<String>),
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) account: String,
    pub(crate) mode: Mode,
    pub(crate) power: Power,
    pub(crate) is_expired: bool,
}

/// All keys of all accounts.
#[derive(Debug, Default)]
pub(crate) struct KeyRing(BTreeMap<String, Key>);

// === impl Mode ===

impl Mode {
    /// Whether this is the live mode.
    #[must_use]
    pub fn is_live(self) -> bool {
        self == Mode::Live
    }

    /// `test` or `live`, as keys have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Test => "test",
            Mode::Live => "live",
        }
    }
}

// === impl KeyRing ===

impl KeyRing {
    /// Makes a key.
    pub(crate) fn add(&mut self, key: Key, random: &str) -> String {
        let kind = match key.power {
            Power::Secret => "sk",
            Power::Publishable => "pk",
            Power::Restricted(_) => "rk",
        };
        let tail = key.account.trim_start_matches("acct_");
        let value = format!("{kind}_{}_5{tail}{random}", key.mode.name());
        self.0.insert(value.clone(), key);
        value
    }

    /// Expires a key and says what it was; `None` when there is no such key.
    pub(crate) fn expire(&mut self, value: &str) -> Option<Key> {
        let key = self.0.get_mut(value)?;
        key.is_expired = true;
        Some(Key { is_expired: false, ..key.clone() })
    }

    /// Finds the key that a request carries.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Key, ApiError> {
        let Some(value) = presented(headers) else {
            let message = "You did not provide an API key. You need to provide your API key in the Authorization \
                           header, using Bearer auth.";
            return Err(unauthorized(message));
        };
        match self.0.get(&value) {
            Some(key) if key.is_expired => {
                Err(unauthorized(&format!("Expired API Key provided: {}", masked(&value)))
                    .with("code", "api_key_expired"))
            }
            Some(key) => Ok(key.clone()),
            None => Err(unauthorized(&format!("Invalid API Key provided: {}", masked(&value)))),
        }
    }
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message)
}

fn presented(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, value) = given.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    Some(decoded.split(':').next().unwrap_or_default().to_owned())
}

/// The key as messages show it.
pub(crate) fn masked(value: &str) -> String {
    let shown: String = value.chars().take(8).collect();
    let last: String = value.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect();
    format!("{shown}{}{last}", "*".repeat(value.chars().count().saturating_sub(12)))
}
