//! Who retired an incarnation, and why: the registry says only that and when.

use serde::{Deserialize, Serialize};
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use super::Catalogue;
use super::error::CatalogueError;
use super::store::retirement_key;
use super::text;

/// A person's word that an incarnation will not come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retirement {
    /// Who said it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(with = "text::millis")]
    pub at: UnixMillis,
}

// === impl Catalogue ===

impl Catalogue {
    /// Notes who retired an incarnation; the first word stays, and is returned.
    ///
    /// # Errors
    /// The store's.
    pub async fn note_retirement(
        &self,
        incarnation: Uuid,
        retirement: &Retirement,
    ) -> Result<Retirement, CatalogueError> {
        let key = retirement_key(incarnation);
        if let Some(found) = self.load::<Retirement>(&key).await? {
            return Ok(found.record);
        }
        // Of two at once either may be the first.
        self.insert(&key, retirement, retirement.at).await?;
        let found = self.load::<Retirement>(&key).await?;
        Ok(found.map_or_else(|| retirement.clone(), |stored| stored.record))
    }

    /// Who retired an incarnation, if a person did.
    ///
    /// # Errors
    /// The store's.
    pub async fn retirement(
        &self,
        incarnation: Uuid,
    ) -> Result<Option<Retirement>, CatalogueError> {
        let found = self.load::<Retirement>(&retirement_key(incarnation)).await?;
        Ok(found.map(|stored| stored.record))
    }
}
