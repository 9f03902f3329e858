//! Secrets of consumer keys: shown by the answer that makes them, and stored as a hash.
//!
//! Whoever reads the store, or a backup of it, learns no secret. A record that was written with the
//! secret itself is read as its hash, and loses the secret when it is next written.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::keys::hex;

/// Begins what is stored; no secret has a colon.
const PREFIX: &str = "sha256:";

/// A secret, known by its SHA-256; in the memory of the request that made it also as itself.
#[derive(Clone)]
pub struct ConsumerSecret {
    sha256: [u8; 32],
    shown: Option<String>,
}

// === impl ConsumerSecret ===

impl ConsumerSecret {
    /// One that is being made.
    #[must_use]
    pub fn new(secret: String) -> ConsumerSecret {
        ConsumerSecret { sha256: sha256(&secret), shown: Some(secret) }
    }

    /// The secret itself, where it was just made.
    #[must_use]
    pub fn shown(&self) -> Option<&str> {
        self.shown.as_deref()
    }

    /// Whether this is the secret.
    #[must_use]
    pub fn is(&self, secret: &str) -> bool {
        self.sha256.ct_eq(&sha256(secret)).into()
    }
}

fn sha256(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Bytes of hexadecimal text; `None` where it is not so many of them.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0u8; 32];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Debug for ConsumerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsumerSecret(…)")
    }
}

impl PartialEq for ConsumerSecret {
    fn eq(&self, other: &ConsumerSecret) -> bool {
        self.sha256 == other.sha256
    }
}

impl Eq for ConsumerSecret {}

impl Serialize for ConsumerSecret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{PREFIX}{}", hex(&self.sha256)))
    }
}

impl<'de> Deserialize<'de> for ConsumerSecret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ConsumerSecret, D::Error> {
        let text = String::deserialize(from)?;
        let sha256 = match text.strip_prefix(PREFIX) {
            Some(hash) => unhex(hash).ok_or_else(|| de::Error::custom("is no SHA-256"))?,
            None => sha256(&text),
        };
        Ok(ConsumerSecret { sha256, shown: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_stored_as_its_hash_and_known_again() {
        let made = ConsumerSecret::new("s3cret".to_owned());
        let stored = serde_json::to_string(&made).unwrap();
        assert!(!stored.contains("s3cret") && !format!("{made:?}").contains("s3cret"));
        let read: ConsumerSecret = serde_json::from_str(&stored).unwrap();
        assert_eq!((read.shown(), made.shown()), (None, Some("s3cret")));
        assert!(read.is("s3cret") && !read.is("s3cre"));
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);
    }

    #[test]
    fn a_secret_that_was_stored_as_itself_is_read_as_its_hash() {
        let read: ConsumerSecret = serde_json::from_str("\"s3cret\"").unwrap();
        assert_eq!(read, ConsumerSecret::new("s3cret".to_owned()));
        assert_eq!(read.shown(), None);
    }
}
