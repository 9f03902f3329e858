//! Bearer tokens that are made and revoked while everything runs.
//!
//! A token is `tgt.NAME.SECRET`: its name finds the record, which has the SHA-256 of 256 random bits
//! and nothing that would open anything. Whoever made it sees it once. A revoked token's record is
//! removed, so that its name may be given again, to another secret.
//! Bounds: at most [`TOKENS_MAX`] tokens; a token's name has at most [`NAME_BYTES_MAX`] bytes.
//! Not here: how long a server believes what it read (`token_cache`), what a role may do.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use super::Catalogue;
use super::error::{CatalogueError, What};
use super::keys::hex;
use super::secrets::unhex;
use super::store::{ALL, TOKEN, token_key};
use super::text;
use crate::access::Role;
use crate::documents::Put;

/// Most tokens of a ledger.
pub const TOKENS_MAX: usize = 10_000;

/// Most bytes of a token's name.
pub const NAME_BYTES_MAX: usize = 64;

/// Begins every token of the catalogue; no JWT does.
pub const PREFIX: &str = "tgt.";

/// How exact the time of a token's last use is: it is not written more often.
pub const USED_STEP: Duration = Duration::from_secs(600);

/// A token as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Unique; the journal and the audit log show it.
    pub name: String,
    /// SHA-256 of the secret, in hexadecimal.
    sha256: String,
    /// What its bearer is.
    pub role: Role,
    /// The organization that he is bound to.
    #[serde(default)]
    pub organization: Option<String>,
    /// What he may do beside what his role may, as `management` names it.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// From when on it is refused; `None` for never.
    #[serde(default, with = "text::millis_option")]
    pub expires_at: Option<UnixMillis>,
    /// When it was last used, to within [`USED_STEP`]; `None` for never.
    #[serde(default, with = "text::millis_option")]
    pub used_at: Option<UnixMillis>,
}

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTerms {
    /// Unique.
    pub name: String,
    /// What its bearer is.
    pub role: Role,
    /// The organization that he is bound to; a provider needs one.
    pub organization: Option<String>,
    /// What he may do beside what his role may, as `management` names it.
    pub permissions: Vec<String>,
    /// From when on it is refused; `None` for never.
    pub expires_at: Option<UnixMillis>,
}

/// A token that was just made, with what its bearer sends.
#[derive(Clone)]
pub struct NewToken {
    /// What is stored.
    pub record: TokenRecord,
    /// What its bearer sends: shown once.
    pub token: String,
}

// === impl TokenRecord ===

impl TokenRecord {
    /// Whether the token, as its bearer sent it, is this one.
    #[must_use]
    pub fn is(&self, token: &str) -> bool {
        let Some((name, secret)) = parts(token) else { return false };
        let Some(known) = unhex(&self.sha256) else { return false };
        let given: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        name == self.name && bool::from(known.ct_eq(&given))
    }

    /// Whether it is over at `now`.
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecord")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("organization", &self.organization)
            .finish_non_exhaustive()
    }
}

/// Name and secret of a token of the catalogue; `None` where it is none.
pub(crate) fn parts(token: &str) -> Option<(&str, &str)> {
    token.strip_prefix(PREFIX)?.split_once('.')
}

/// 256 random bits in hexadecimal, out of 366.
fn random_secret() -> String {
    let mut digest = Sha256::new();
    for _ in 0..3 {
        digest.update(Uuid::new_v4().as_bytes());
    }
    hex(&digest.finalize())
}

fn check_name(name: &str) -> Result<(), CatalogueError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_@".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_good) {
        let reason =
            format!("must have 1 to {NAME_BYTES_MAX} characters: letters, digits, -, _ and @");
        return Err(CatalogueError::invalid("name", reason));
    }
    Ok(())
}

// === impl Catalogue ===

impl Catalogue {
    /// Makes a token.
    ///
    /// # Errors
    /// `Invalid`, `Missing` (organization), `Exists`, `Precondition` (too many), or the store's.
    pub async fn create_token(
        &self,
        terms: &TokenTerms,
        by: &str,
        now: UnixMillis,
    ) -> Result<NewToken, CatalogueError> {
        check_name(&terms.name)?;
        let bound = terms.role.check_organization(terms.organization.as_deref());
        bound.map_err(|error| CatalogueError::invalid("role", error))?;
        if terms.expires_at.is_some_and(|at| at <= now) {
            return Err(CatalogueError::invalid("expiresAt", "is over already"));
        }
        if let Some(organization) = &terms.organization {
            self.organization(organization).await?;
        }
        if self.tokens().await?.len() >= TOKENS_MAX {
            let what = format!("there are {TOKENS_MAX} tokens already");
            return Err(CatalogueError::Precondition(what));
        }
        let secret = random_secret();
        let record = TokenRecord {
            name: terms.name.clone(),
            sha256: hex(&Sha256::digest(secret.as_bytes())),
            role: terms.role,
            organization: terms.organization.clone(),
            permissions: terms.permissions.clone(),
            created_by: by.to_owned(),
            created_at: now,
            expires_at: terms.expires_at,
            used_at: None,
        };
        match self.insert(&token_key(&terms.name), &record, now).await? {
            Put::Written => {}
            Put::Conflict => {
                return Err(CatalogueError::exists(What::Token, &terms.name, "this ledger"));
            }
        }
        let token = format!("{PREFIX}{}.{secret}", record.name);
        Ok(NewToken { record, token })
    }

    /// A token by its name.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn token(&self, name: &str) -> Result<TokenRecord, CatalogueError> {
        let found = self.load::<TokenRecord>(&token_key(name)).await?;
        let missing = || CatalogueError::missing(What::Token, name, "this ledger");
        found.map(|stored| stored.record).ok_or_else(missing)
    }

    /// Every token by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, CatalogueError> {
        let all = self.all::<TokenRecord>(TOKEN, ALL).await?;
        Ok(all.into_iter().map(|(_, record)| record).collect())
    }

    /// Revokes a token for good.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn revoke_token(
        &self,
        name: &str,
        now: UnixMillis,
    ) -> Result<TokenRecord, CatalogueError> {
        let record = self.token(name).await?;
        self.remove(&token_key(name), now).await?;
        Ok(record)
    }

    /// The record of a token as its bearer sent it; expired ones too. Notes the use.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn find_token(
        &self,
        token: &str,
        now: UnixMillis,
    ) -> Result<Option<TokenRecord>, CatalogueError> {
        let Some((name, _)) = parts(token) else { return Ok(None) };
        if check_name(name).is_err() {
            return Ok(None);
        }
        let Some(found) = self.load::<TokenRecord>(&token_key(name)).await? else {
            return Ok(None);
        };
        let record = found.record;
        if !record.is(token) {
            return Ok(None);
        }
        if record.used_at.is_none_or(|at| now.since(at) >= USED_STEP) {
            let used = TokenRecord { used_at: Some(now), ..record.clone() };
            // Whoever was faster noted the same, and a token is good where this cannot be written.
            if let Err(error) = self.replace(&token_key(name), found.version, &used, now).await {
                tracing::debug!(%error, "use of a token was not noted");
            }
        }
        Ok(Some(record))
    }
}
