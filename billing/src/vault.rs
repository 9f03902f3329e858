//! Seals secrets for the store: AES-256-GCM under keys that the store never sees.
//!
//! A sealed text names its key, so that a vault with several opens what any of them sealed and
//! seals with the first: a key is rotated by putting the new one in front, sealing everything
//! anew, and removing the old one. What a secret belongs to is authenticated with it, so that a
//! row copied over another does not open there.
//! Not here: where keys are configured (`tollgate::config`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};

mod identity;

pub use identity::key_of_identity;

/// Begins every sealed text.
const PREFIX: &str = "v1";

/// Keys that a vault may have, old ones included.
pub const KEYS_MAX: usize = 16;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Seals and opens secrets.
pub struct Vault {
    keys: Vec<Key>,
    random: SystemRandom,
}

struct Key {
    id: String,
    cipher: LessSafeKey,
}

/// Why a secret cannot be sealed or opened. Nothing of it is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// No key, or more than [`KEYS_MAX`].
    #[error("a vault needs 1 to {KEYS_MAX} keys")]
    Keys,
    /// The key that sealed it is not there.
    #[error("secret was sealed with key {id}, which is not configured")]
    UnknownKey {
        /// Names the key.
        id: String,
    },
    /// Not a sealed text, damaged, or of something else.
    #[error(
        "sealed secret of {owner} cannot be opened: it is damaged or belongs to something else"
    )]
    Damaged {
        /// What it was said to belong to.
        owner: String,
    },
    /// The system has no randomness.
    #[error("system gives no random bytes")]
    Random,
}

// === impl Vault ===

impl Vault {
    /// A vault with these keys; the first one seals.
    ///
    /// # Errors
    /// [`VaultError::Keys`].
    pub fn new(keys: &[[u8; KEY_BYTES]]) -> Result<Vault, VaultError> {
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(VaultError::Keys);
        }
        let keys = keys.iter().map(|bytes| {
            let cipher = UnboundKey::new(&AES_256_GCM, bytes).expect("the length is a key's");
            Key { id: id_of(bytes), cipher: LessSafeKey::new(cipher) }
        });
        Ok(Vault { keys: keys.collect(), random: SystemRandom::new() })
    }

    /// Seals `secret`, which belongs to `owner`: a text that names it for good.
    ///
    /// # Errors
    /// [`VaultError::Random`].
    pub fn seal(&self, owner: &str, secret: &str) -> Result<String, VaultError> {
        let key = &self.keys[0];
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| VaultError::Random)?;
        let mut sealed = secret.as_bytes().to_vec();
        key.cipher
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(owner.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| VaultError::Random)?;
        Ok(format!("{PREFIX}.{}.{}.{}", key.id, BASE64.encode(nonce), BASE64.encode(sealed)))
    }

    /// Opens what was sealed for `owner`.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`], [`VaultError::Damaged`].
    pub fn open(&self, owner: &str, sealed: &str) -> Result<String, VaultError> {
        let damaged = || VaultError::Damaged { owner: owner.to_owned() };
        let parts: Vec<&str> = sealed.split('.').collect();
        let [PREFIX, id, nonce, body] = parts.as_slice() else { return Err(damaged()) };
        let key = self.keys.iter().find(|key| key.id == **id);
        let key = key.ok_or_else(|| VaultError::UnknownKey { id: (*id).to_owned() })?;
        let nonce = BASE64.decode(nonce).map_err(|_| damaged())?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| damaged())?;
        let mut body = BASE64.decode(body).map_err(|_| damaged())?;
        let opened = key.cipher.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut body);
        let opened = opened.map_err(|_| damaged())?;
        String::from_utf8(opened.to_vec()).map_err(|_| damaged())
    }

    /// Whether this was sealed with the key that seals now.
    #[must_use]
    pub fn is_current(&self, sealed: &str) -> bool {
        sealed.split('.').nth(1) == Some(self.keys[0].id.as_str())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// Names a key without telling anything of it: eight hexadecimal digits of its SHA-256.
fn id_of(key: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, key);
    digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Vault, VaultError};

    #[test]
    fn a_secret_opens_for_its_owner_alone() {
        let vault = Vault::new(&[[7; 32]]).unwrap();
        let sealed = vault.seal("acme/stripe", "sk_test_4242").unwrap();
        assert!(!sealed.contains("4242"));
        assert_eq!(vault.open("acme/stripe", &sealed).unwrap(), "sk_test_4242");
        let owner = "acme/other".to_owned();
        assert_eq!(vault.open(&owner, &sealed), Err(VaultError::Damaged { owner }));
        let mut flipped = sealed.into_bytes();
        let last = flipped.len() - 3;
        flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
        assert!(vault.open("acme/stripe", &String::from_utf8(flipped).unwrap()).is_err());
    }

    #[test]
    fn a_rotated_key_opens_what_the_old_one_sealed() {
        let old = Vault::new(&[[1; 32]]).unwrap();
        let sealed = old.seal("x", "secret").unwrap();
        let both = Vault::new(&[[2; 32], [1; 32]]).unwrap();
        assert_eq!(both.open("x", &sealed).unwrap(), "secret");
        assert!(!both.is_current(&sealed));
        let anew = both.seal("x", &both.open("x", &sealed).unwrap()).unwrap();
        assert!(both.is_current(&anew));
        let new = Vault::new(&[[2; 32]]).unwrap();
        assert_eq!(new.open("x", &anew).unwrap(), "secret");
        assert!(matches!(new.open("x", &sealed), Err(VaultError::UnknownKey { .. })));
        assert!(!format!("{both:?}").contains("secret"));
    }
}
