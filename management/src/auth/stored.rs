//! Tokens of the catalogue, as they are made and revoked while everything runs.

use std::sync::Arc;

use async_trait::async_trait;
use tollgate_ledger_store::{Catalogue, Clock, TokenCache};

use super::{Authorizer, Identity, Unidentified};
use crate::permission::Permission;

/// The catalogue's tokens, believed for as long as [`TokenCache`] does.
pub struct StoredTokens {
    cache: TokenCache,
    clock: Arc<dyn Clock>,
}

// === impl StoredTokens ===

impl StoredTokens {
    /// Tokens of this catalogue.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> StoredTokens {
        StoredTokens { cache: TokenCache::new(catalogue, Arc::clone(&clock)), clock }
    }
}

#[async_trait]
impl Authorizer for StoredTokens {
    async fn identify(&self, token: &str) -> Result<Identity, Unidentified> {
        let found = self.cache.find(token).await.map_err(Unidentified::Unavailable)?;
        let record = found.ok_or(Unidentified::Unknown)?;
        if record.is_expired(self.clock.now()) {
            return Err(Unidentified::Expired { name: record.name });
        }
        let (name, role) = (record.name, record.role);
        // One that this version does not know grants nothing.
        let permissions =
            record.permissions.iter().filter_map(|name| Permission::of_name(name)).collect();
        Ok(Identity { name, role, organization: record.organization, permissions })
    }
}
