//! Keys of a Stripe account, which never show themselves.
//!
//! Not here: how they are stored (`vault`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a secret reads back, as IBM API Connect shows one.
pub const MASK: &str = "********";

/// The longest key in bytes; Stripe's have about 110.
pub const KEY_BYTES_MAX: usize = 255;

/// One of the two object namespaces of a Stripe account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyMode {
    /// Nothing is paid.
    Test,
    /// Real money.
    Live,
}

/// A key that may do something: secret or restricted.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

/// A key that a browser may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishableKey(String);

/// Why a text is no key. The text itself is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not of the form of a secret key.
    #[error(
        "must be a secret or restricted key of Stripe: sk_test_…, sk_live_…, rk_test_… or rk_live_…"
    )]
    Secret,
    /// Not of the form of a publishable key.
    #[error("must be a publishable key of Stripe: pk_test_… or pk_live_…")]
    Publishable,
}

// === impl KeyMode ===

impl KeyMode {
    /// `test` or `live`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyMode::Test => "test",
            KeyMode::Live => "live",
        }
    }

    fn after<'a>(text: &'a str, kind: &str) -> Option<(KeyMode, &'a str)> {
        let rest = text.strip_prefix(kind)?;
        let test = rest.strip_prefix("_test_").map(|tail| (KeyMode::Test, tail));
        test.or_else(|| rest.strip_prefix("_live_").map(|tail| (KeyMode::Live, tail)))
    }
}

impl fmt::Display for KeyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl SecretKey ===

impl SecretKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`KeyError::Secret`].
    pub fn parse(text: &str) -> Result<SecretKey, KeyError> {
        let found = ["sk", "rk"].into_iter().find_map(|kind| KeyMode::after(text, kind));
        match found {
            Some((_, tail)) if is_tail(tail) && text.len() <= KEY_BYTES_MAX => {
                Ok(SecretKey(text.to_owned()))
            }
            Some(_) | None => Err(KeyError::Secret),
        }
    }

    /// A publishable key in a place of a secret one: for the few requests that browsers make.
    #[must_use]
    pub fn of_publishable(key: &PublishableKey) -> SecretKey {
        SecretKey(key.0.clone())
    }

    /// Whose namespace it opens.
    #[must_use]
    pub fn mode(&self) -> KeyMode {
        let found = ["sk", "rk", "pk"].into_iter().find_map(|kind| KeyMode::after(&self.0, kind));
        found.expect("parse checked the prefix").0
    }

    /// The key itself: for the one header that carries it, and for sealing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.mode())
    }
}

// === impl PublishableKey ===

impl PublishableKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`KeyError::Publishable`].
    pub fn parse(text: &str) -> Result<PublishableKey, KeyError> {
        match KeyMode::after(text, "pk") {
            Some((_, tail)) if is_tail(tail) && text.len() <= KEY_BYTES_MAX => {
                Ok(PublishableKey(text.to_owned()))
            }
            Some(_) | None => Err(KeyError::Publishable),
        }
    }

    /// Whose namespace it belongs to.
    #[must_use]
    pub fn mode(&self) -> KeyMode {
        KeyMode::after(&self.0, "pk").map_or(KeyMode::Test, |(mode, _)| mode)
    }

    /// The key, which is no secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_tail(tail: &str) -> bool {
    !tail.is_empty() && tail.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::{KeyMode, PublishableKey, SecretKey};

    #[test]
    fn keys_tell_their_mode_and_nothing_else() {
        let check = |text: &str, mode: Option<KeyMode>| {
            let key = SecretKey::parse(text);
            assert_eq!(key.as_ref().ok().map(SecretKey::mode), mode, "{text}");
            assert!(!format!("{key:?}").contains("4242"), "{text}");
        };
        check("sk_test_4242", Some(KeyMode::Test));
        check("rk_live_4242", Some(KeyMode::Live));
        check("pk_test_4242", None);
        check("sk_test_", None);
        check("sk_test_42 42", None);
        check("sk_4242", None);
        assert_eq!(PublishableKey::parse("pk_live_1").map(|key| key.mode()), Ok(KeyMode::Live));
        assert!(PublishableKey::parse("sk_live_1").is_err());
    }
}
