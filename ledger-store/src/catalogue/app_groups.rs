//! AppGroups: owners of apps, keys, wallets and subscriptions that are not people.
//!
//! One is stored as a developer with [`Developer::group`] set and its name in place of an address,
//! so that wallets, meters and callers know one kind of owner. Names and ids of one kind do not
//! find the other: [`Catalogue::developer`] knows people alone. What takes a record, like apps,
//! keys and subscriptions, is done by the functions for developers.

use tollgate_metering::{BillingType, DeveloperId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::claims::{Claim, Owner};
use super::developers::owner;
use super::error::{CatalogueError, What};
use super::organizations::{check_attributes, check_name};
use super::overspend;
use super::owners::OwnerKind;
use super::records::{AppGroup, Attribute, Developer};
use super::store::{app_group_key, developer_key};
use crate::documents::Put;

/// What names of AppGroups may hold besides letters and digits.
const NAME_OTHERS: &str = "._-$ %";

// === impl Catalogue ===

impl Catalogue {
    /// Creates an active AppGroup, which pays later until [`Catalogue::set_billing`] says else.
    ///
    /// # Errors
    /// `Missing` (organization), `Exists`, `Invalid`, or the store's.
    pub async fn create_app_group(
        &self,
        organization: &str,
        name: &str,
        group: &AppGroup,
        attributes: &[Attribute],
        now: UnixMillis,
    ) -> Result<Developer, CatalogueError> {
        check_name("name", name, NAME_OTHERS)?;
        check(attributes)?;
        self.organization(organization).await?;
        if let Some(gone) = self.find_app_group(organization, name).await?
            && gone.is_deleted
        {
            self.clear_developer(organization, &gone, now).await?;
        }
        let id = DeveloperId(Uuid::new_v4());
        let record = Developer {
            id,
            email: name.to_owned(),
            group: Some(group.clone()),
            first_name: String::new(),
            last_name: String::new(),
            user_name: String::new(),
            is_active: true,
            billing: BillingType::Postpaid,
            attributes: attributes.to_vec(),
            access_type: String::new(),
            app_family: String::new(),
            companies: Vec::new(),
            created_at: now,
            modified_at: now,
            is_deleted: false,
            switches: 0,
            switched_at: None,
            is_switch_open: false,
        };
        let name_key = app_group_key(organization, name);
        let claimed = self.claim(What::AppGroup, name_key, owner(organization, id), now).await?;
        let key = developer_key(organization, id);
        if self.insert(&key, &record, now).await? == Put::Conflict {
            return Err(CatalogueError::Contended { what: "AppGroup" });
        }
        if let Err(error) = self.confirm(claimed, now).await {
            self.remove(&key, now).await?;
            return Err(error);
        }
        Ok(record)
    }

    /// An AppGroup by name.
    ///
    /// # Errors
    /// `Missing` (organization or AppGroup), or the store's.
    pub async fn app_group(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Developer, CatalogueError> {
        match self.find_app_group(organization, name).await? {
            Some(group) if !group.is_deleted => Ok(group),
            _ => {
                self.organization(organization).await?;
                Err(missing(organization, name))
            }
        }
    }

    /// AppGroups in order of name, from `start` (included) on, at most `limit` that pass.
    ///
    /// # Errors
    /// `Missing` (organization), or the store's.
    pub async fn app_groups(
        &self,
        organization: &str,
        start: Option<&str>,
        limit: usize,
        passes: impl Fn(&Developer, &AppGroup) -> bool + Send + Sync,
    ) -> Result<Vec<Developer>, CatalogueError> {
        let passes =
            |found: &Developer| found.group.as_ref().is_some_and(|group| passes(found, group));
        self.owners(OwnerKind::AppGroups, organization, start, limit, passes).await
    }

    /// Replaces what people write of an AppGroup. Name, status, billing type and id stay.
    ///
    /// # Errors
    /// `Missing`, `Invalid`, or the store's.
    pub async fn update_app_group(
        &self,
        organization: &str,
        name: &str,
        group: &AppGroup,
        attributes: &[Attribute],
        now: UnixMillis,
    ) -> Result<Developer, CatalogueError> {
        check(attributes)?;
        let id = self.app_group(organization, name).await?.id;
        self.try_edit_developer(organization, id, now, |record| {
            record.group = Some(group.clone());
            record.attributes = attributes.to_vec();
            Ok(())
        })
        .await
    }

    /// Makes the AppGroup's keys work, or not.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn set_app_group_active(
        &self,
        organization: &str,
        name: &str,
        is_active: bool,
        now: UnixMillis,
    ) -> Result<Developer, CatalogueError> {
        let id = self.app_group(organization, name).await?.id;
        self.try_edit_developer(organization, id, now, |record| {
            record.is_active = is_active;
            Ok(())
        })
        .await
    }

    /// Deletes an AppGroup as [`Catalogue::delete_developer`] does.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn delete_app_group(
        &self,
        organization: &str,
        name: &str,
        now: UnixMillis,
    ) -> Result<Developer, CatalogueError> {
        let Some(group) = self.find_app_group(organization, name).await? else {
            self.organization(organization).await?;
            return Err(missing(organization, name));
        };
        self.delete_owner(organization, &group, now).await?;
        if group.is_deleted {
            return Err(missing(organization, name));
        }
        Ok(group)
    }

    /// An AppGroup by name, also one that is being deleted.
    async fn find_app_group(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Option<Developer>, CatalogueError> {
        let claim = self.load::<Claim>(&app_group_key(organization, name)).await?;
        let Some(Owner::Developer { developer, .. }) = claim.map(|claim| claim.record.owner) else {
            return Ok(None);
        };
        let found = self.load::<Developer>(&developer_key(organization, developer)).await?;
        let found = found.map(|stored| stored.record);
        Ok(found.filter(|found| found.group.is_some() && found.email == name))
    }
}

fn missing(organization: &str, name: &str) -> CatalogueError {
    CatalogueError::missing(What::AppGroup, name, organization)
}

fn check(attributes: &[Attribute]) -> Result<(), CatalogueError> {
    check_attributes(attributes)?;
    overspend::check(attributes)
}
