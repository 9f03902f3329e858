//! Unique names: documents that point from a name to the record that holds it.
//!
//! Order of writes: claim, record, confirmation. An unconfirmed claim younger than
//! [`GRACE`] belongs to a writer that may still be at work; past that, or once confirmed, a claim
//! whose record does not hold the name is free. The confirmation is conditional, so a writer that
//! was slower than the grace learns that it lost.
//!
//! Listings are of names; the records behind those of a page are read several at a time, since each is
//! a document of its own, and no others.
//! Bounds: [`LOADS_AT_ONCE`] records, `NAMES_PAGE` names at a time.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tollgate_metering::{DeveloperId, ProductId, UnixMillis};

use super::Catalogue;
use super::error::{CatalogueError, What};
use super::records::{App, Developer, Package, Product};
use super::store::{app_key, developer_key, package_key, product_key};
use super::text;
use crate::documents::{DocumentKey, Put};

/// How long an unconfirmed claim is left to its writer.
pub const GRACE: Duration = Duration::from_secs(60);

/// Records that one listing reads at the same time.
pub const LOADS_AT_ONCE: usize = 16;

/// Names that one read of a listing asks for.
pub(super) const NAMES_PAGE: usize = 1_000;

/// Who holds a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Owner {
    Developer {
        organization: String,
        #[serde(with = "text::plain")]
        developer: DeveloperId,
    },
    Product {
        organization: String,
        #[serde(with = "text::plain")]
        product: ProductId,
    },
    App {
        organization: String,
        #[serde(with = "text::plain")]
        developer: DeveloperId,
        app: String,
    },
    Plan {
        organization: String,
        package: String,
    },
}

/// A claim as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) owner: Owner,
    #[serde(with = "text::millis")]
    pub(super) claimed_at: UnixMillis,
    pub(super) is_confirmed: bool,
}

/// A claim of ours that waits for its confirmation.
pub(super) struct Claimed {
    key: DocumentKey,
    version: u64,
    claim: Claim,
}

// === impl Catalogue ===

impl Catalogue {
    /// What is behind names of a kind in their order, from `start` (included) on, at most `limit` that
    /// `load` finds. Names that are left without a record, by a crash or a deletion, are skipped, so a
    /// page may need several reads.
    pub(super) async fn claimed<T, F>(
        &self,
        names: &'static str,
        organization: &str,
        start: Option<&str>,
        limit: usize,
        load: impl Fn(String, Claim) -> F + Send + Sync,
    ) -> Result<Vec<T>, CatalogueError>
    where
        T: Send,
        F: Future<Output = Result<Option<T>, CatalogueError>> + Send,
    {
        let mut records = Vec::new();
        let mut from = start.map(str::to_owned);
        let mut is_first = true;
        while records.len() < limit {
            let want = (limit - records.len()).min(NAMES_PAGE) + usize::from(!is_first);
            let mut claims = self.page::<Claim>(names, organization, from.as_deref(), want).await?;
            let is_last = claims.len() < want;
            // A page begins with the name that the one before it ended with.
            claims.retain(|(name, _)| is_first || Some(name) != from.as_ref());
            from = claims.last().map(|(name, _)| name.clone()).or(from);
            let loads = stream::iter(claims).map(|(name, claim)| load(name, claim));
            let mut loads = loads.buffered(LOADS_AT_ONCE);
            while let Some(found) = loads.try_next().await? {
                records.extend(found);
            }
            is_first = false;
            if is_last {
                break;
            }
        }
        Ok(records)
    }

    /// Claims a name, or says that it is taken.
    pub(super) async fn claim(
        &self,
        what: What,
        key: DocumentKey,
        owner: Owner,
        now: UnixMillis,
    ) -> Result<Claimed, CatalogueError> {
        let claim = Claim { owner, claimed_at: now, is_confirmed: false };
        if self.insert(&key, &claim, now).await? == Put::Written {
            return Ok(Claimed { key, version: 1, claim });
        }
        let Some(held) = self.load::<Claim>(&key).await? else {
            return Err(CatalogueError::Contended { what: key.kind });
        };
        let is_at_work = !held.record.is_confirmed && now.since(held.record.claimed_at) < GRACE;
        if is_at_work || self.is_live(&key.name, &held.record.owner).await? {
            // A key is a secret of somebody else: the error does not repeat it.
            let name = if what == What::Key { "given" } else { &key.name };
            return Err(CatalogueError::exists(what, name, held.record.owner.organization()));
        }
        match self.replace(&key, held.version, &claim, now).await? {
            Put::Written => Ok(Claimed { key, version: held.version + 1, claim }),
            Put::Conflict => Err(CatalogueError::Contended { what: key.kind }),
        }
    }

    /// Confirms a claim after its record was written. Gateways that looked the name up in between
    /// hear of it by this write.
    pub(super) async fn confirm(
        &self,
        claimed: Claimed,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let Claimed { key, version, claim } = claimed;
        let claim = Claim { is_confirmed: true, ..claim };
        match self.replace(&key, version, &claim, now).await? {
            Put::Written => Ok(()),
            Put::Conflict => Err(CatalogueError::Contended { what: key.kind }),
        }
    }

    /// Gives a name back, if it is still `owner`'s.
    pub(super) async fn release(
        &self,
        key: &DocumentKey,
        owner: &Owner,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        match self.load::<Claim>(key).await? {
            Some(held) if held.record.owner == *owner => {
                // A conflict means that somebody took the freed name over: it is theirs now.
                self.documents.delete(key, held.version, now).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether the record that a claim points to is there and holds the name.
    async fn is_live(&self, name: &str, owner: &Owner) -> Result<bool, CatalogueError> {
        Ok(match owner {
            Owner::Developer { organization, developer } => self
                .load::<Developer>(&developer_key(organization, *developer))
                .await?
                .is_some_and(|found| found.record.email == name),
            Owner::Product { organization, product } => {
                self.load::<Product>(&product_key(organization, *product)).await?.is_some()
            }
            Owner::Plan { organization, package } => self
                .load::<Package>(&package_key(organization, package))
                .await?
                .is_some_and(|found| found.record.plans.iter().any(|plan| plan.name == name)),
            Owner::App { organization, developer, app } => self
                .load::<App>(&app_key(organization, *developer, app))
                .await?
                .is_some_and(|found| found.record.has_key_hash(name)),
        })
    }
}

// === impl Owner ===

impl Owner {
    fn organization(&self) -> &str {
        match self {
            Owner::Developer { organization, .. }
            | Owner::Product { organization, .. }
            | Owner::App { organization, .. }
            | Owner::Plan { organization, .. } => organization,
        }
    }
}
