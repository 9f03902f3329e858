//! What a server believes of the catalogue's tokens: what it read at most half a second ago.
//!
//! A revoked token is therefore refused on every node within that time, and nobody has to be told.
//! While the store does not answer, what was read stays good for a while, so that gateways can
//! connect again while the ledger is away.
//! Bounds: at most [`TOKENS_CACHED_MAX`] tokens; the memory is emptied when it is full. Only tokens
//! that exist are kept, so that nobody fills it with guesses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::catalogue::tokens::TokenRecord;
use crate::catalogue::{Catalogue, CatalogueError};
use crate::clock::Clock;

/// How long a token is believed to be as it was read.
pub const FRESH: Duration = Duration::from_millis(500);

/// How long, while the store does not answer.
pub const STALE_MAX: Duration = Duration::from_secs(300);

/// Most tokens in memory.
pub const TOKENS_CACHED_MAX: usize = 10_000;

/// Tokens as they were read.
pub struct TokenCache {
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    /// By the SHA-256 of the whole token.
    known: Mutex<HashMap<[u8; 32], (TokenRecord, Duration)>>,
}

// === impl TokenCache ===

impl TokenCache {
    /// Nothing read yet.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> TokenCache {
        TokenCache { catalogue, clock, known: Mutex::default() }
    }

    /// The record of a token as its bearer sent it, expired ones too; `None` for nobody's.
    ///
    /// # Errors
    /// The store's, where nothing is known.
    pub async fn find(&self, token: &str) -> Result<Option<TokenRecord>, CatalogueError> {
        if !token.starts_with(crate::catalogue::tokens::PREFIX) {
            return Ok(None);
        }
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.lock().get(&key).cloned();
        let age = |read_at: Duration| self.clock.monotonic().saturating_sub(read_at);
        if let Some((record, read_at)) = &known
            && age(*read_at) < FRESH
        {
            return Ok(Some(record.clone()));
        }
        // Its age runs from before it was read.
        let asked_at = self.clock.monotonic();
        match (self.catalogue.find_token(token, self.clock.now()).await, known) {
            (Ok(Some(record)), _) => {
                let mut cached = self.lock();
                if cached.len() >= TOKENS_CACHED_MAX {
                    cached.clear();
                }
                cached.insert(key, (record.clone(), asked_at));
                Ok(Some(record))
            }
            (Ok(None), _) => {
                self.lock().remove(&key);
                Ok(None)
            }
            (Err(CatalogueError::Ledger(_)), Some((record, read_at)))
                if age(read_at) < STALE_MAX =>
            {
                Ok(Some(record))
            }
            (Err(error), _) => Err(error),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], (TokenRecord, Duration)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}
