//! Listings of developers and AppGroups, in order of their names.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::Catalogue;
use super::claims::{Claim, LOADS_AT_ONCE, NAMES_PAGE, Owner};
use super::error::CatalogueError;
use super::records::Developer;
use super::store::{APP_GROUP_NAME, DEVELOPER_EMAIL, developer_key};

/// Which owners are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKind {
    /// People.
    Developers,
    /// AppGroups.
    AppGroups,
}

/// Owners from some place on, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerPage {
    /// In order of name.
    pub owners: Vec<Developer>,
    /// Of all pages; names without an owner count until somebody takes them.
    pub total: usize,
}

// === impl Catalogue ===

impl Catalogue {
    /// Developers in order of address, from `start` (included) on, at most `limit`.
    ///
    /// # Errors
    /// `Missing` (organization), or the store's.
    pub async fn developers(
        &self,
        organization: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Developer>, CatalogueError> {
        self.owners(OwnerKind::Developers, organization, start, limit, |_| true).await
    }

    /// Owners by their place in the listing, as Apigee Edge pages: all names are counted, the records
    /// of the page alone are read.
    ///
    /// # Errors
    /// `Missing` (organization), or the store's.
    pub async fn owners_at(
        &self,
        kind: OwnerKind,
        organization: &str,
        first: usize,
        size: usize,
    ) -> Result<OwnerPage, CatalogueError> {
        self.organization(organization).await?;
        let (mut total, mut from) = (0, None::<String>);
        let mut wanted = Vec::new();
        loop {
            let mut names =
                self.page::<Claim>(kind.names(), organization, from.as_deref(), NAMES_PAGE).await?;
            let is_last = names.len() < NAMES_PAGE;
            // A page begins with the name that the one before it ended with.
            if names.first().map(|(name, _)| name) == from.as_ref() && !names.is_empty() {
                names.remove(0);
            }
            from = names.last().map(|(name, _)| name.clone()).or(from);
            for (place, name) in (total..).zip(names) {
                total += 1;
                if place >= first && place - first < size {
                    wanted.push(name);
                }
            }
            if is_last {
                break;
            }
        }
        let load = |(name, claim)| self.load_owner(organization, name, claim);
        let loads = stream::iter(wanted).map(load).buffered(LOADS_AT_ONCE);
        let owners = loads.try_filter_map(async |found| Ok(found)).try_collect().await?;
        Ok(OwnerPage { owners, total })
    }

    /// Owners in order of name, from `start` (included) on, at most `limit` that pass.
    pub(super) async fn owners(
        &self,
        kind: OwnerKind,
        organization: &str,
        start: Option<&str>,
        limit: usize,
        passes: impl Fn(&Developer) -> bool + Send + Sync,
    ) -> Result<Vec<Developer>, CatalogueError> {
        self.organization(organization).await?;
        let load = |name, claim| async {
            Ok(self.load_owner(organization, name, claim).await?.filter(&passes))
        };
        self.claimed(kind.names(), organization, start, limit, load).await
    }

    /// The record behind a name.
    async fn load_owner(
        &self,
        organization: &str,
        name: String,
        claim: Claim,
    ) -> Result<Option<Developer>, CatalogueError> {
        let Owner::Developer { developer, .. } = claim.owner else { return Ok(None) };
        let found = self.load::<Developer>(&developer_key(organization, developer)).await?;
        let found = found.map(|stored| stored.record);
        Ok(found.filter(|found| found.email == name && !found.is_deleted))
    }
}

// === impl OwnerKind ===

impl OwnerKind {
    const fn names(self) -> &'static str {
        match self {
            OwnerKind::Developers => DEVELOPER_EMAIL,
            OwnerKind::AppGroups => APP_GROUP_NAME,
        }
    }
}
