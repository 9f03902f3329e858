//! Developers: unique by e-mail address, known by a generated id.

use tollgate_metering::{BillingType, DeveloperId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::claims::{Claim, Owner};
use super::error::{CatalogueError, What};
use super::organizations::{NAME_CHARS_MAX, check_attributes};
use super::overspend;
use super::records::{AppPlace, Attribute, Developer};
use super::store::{
    APP_ID, Stored, app_group_key, billing_switch_key, developer_key, email_key, fees_booked_key,
    subscriptions_key, wallet_note_key, wallet_policies_key,
};
use crate::documents::Put;

/// Most developers that are found by the name of an app.
pub const WITH_APP_MAX: usize = 1000;

/// The part of a developer that people write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeveloperTerms {
    /// In lower case.
    pub email: String,
    /// Required.
    pub first_name: String,
    /// Required.
    pub last_name: String,
    /// Required.
    pub user_name: String,
    /// Free.
    pub attributes: Vec<Attribute>,
    /// Stored only.
    pub access_type: String,
    /// Stored only.
    pub app_family: String,
    /// Stored only.
    pub companies: Vec<String>,
}

// === impl Catalogue ===

impl Catalogue {
    /// Creates an active developer, who pays later until [`Catalogue::set_billing`] says else:
    /// Apigee's default.
    ///
    /// # Errors
    /// `Missing` (organization), `Exists`, `Invalid`, or the store's.
    pub async fn create_developer(
        &self,
        organization: &str,
        terms: &DeveloperTerms,
        now: UnixMillis,
    ) -> Result<Developer, CatalogueError> {
        terms.check()?;
        self.organization(organization).await?;
        self.finish_deletion(organization, &terms.email, now).await?;
        let id = DeveloperId(Uuid::new_v4());
        let developer = Developer {
            id,
            email: terms.email.clone(),
            group: None,
            first_name: terms.first_name.clone(),
            last_name: terms.last_name.clone(),
            user_name: terms.user_name.clone(),
            is_active: true,
            billing: BillingType::Postpaid,
            attributes: terms.attributes.clone(),
            access_type: terms.access_type.clone(),
            app_family: terms.app_family.clone(),
            companies: terms.companies.clone(),
            created_at: now,
            modified_at: now,
            is_deleted: false,
            switches: 0,
            switched_at: None,
            is_switch_open: false,
        };
        let owner = owner(organization, id);
        let email = email_key(organization, &terms.email);
        let claimed = self.claim(What::Developer, email, owner, now).await?;
        let key = developer_key(organization, id);
        if self.insert(&key, &developer, now).await? == Put::Conflict {
            return Err(CatalogueError::Contended { what: "developer" });
        }
        if let Err(error) = self.confirm(claimed, now).await {
            self.remove(&key, now).await?;
            return Err(error);
        }
        Ok(developer)
    }

    /// A developer by e-mail address or id.
    ///
    /// # Errors
    /// `Missing` (organization or developer), or the store's.
    pub async fn developer(
        &self,
        organization: &str,
        email_or_id: &str,
    ) -> Result<Developer, CatalogueError> {
        match self.find_developer(organization, email_or_id).await? {
            Some(developer) if !developer.is_deleted => Ok(developer),
            _ => {
                self.organization(organization).await?;
                Err(missing(organization, email_or_id))
            }
        }
    }

    /// A developer by id.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn developer_by_id(
        &self,
        organization: &str,
        id: DeveloperId,
    ) -> Result<Developer, CatalogueError> {
        let found = self.load::<Developer>(&developer_key(organization, id)).await?;
        let found = found.map(|stored| stored.record).filter(|developer| !developer.is_deleted);
        found.ok_or_else(|| missing(organization, &id.to_string()))
    }

    /// Developers who have an app of this name or id, in order of address, at most
    /// [`WITH_APP_MAX`].
    ///
    /// # Errors
    /// `Missing` (organization), or the store's.
    pub async fn developers_with_app(
        &self,
        organization: &str,
        app: &str,
    ) -> Result<Vec<Developer>, CatalogueError> {
        self.organization(organization).await?;
        let mut owners: Vec<DeveloperId> = Vec::new();
        for (id, place) in self.all::<AppPlace>(APP_ID, organization).await? {
            if (place.app == app || id == app) && !owners.contains(&place.developer) {
                owners.push(place.developer);
            }
            if owners.len() == WITH_APP_MAX {
                break;
            }
        }
        let mut found = Vec::new();
        for owner in owners {
            let owner = self.load::<Developer>(&developer_key(organization, owner)).await?;
            let is_shown = |owner: &Developer| !owner.is_deleted && owner.group.is_none();
            found.extend(owner.map(|stored| stored.record).filter(is_shown));
        }
        found.sort_by(|one, other| one.email.cmp(&other.email));
        Ok(found)
    }

    /// Replaces what people write of a developer. Status, billing type and id stay.
    ///
    /// A new address is claimed before the developer is written and the old one released after
    /// it: a crash in between leaves an address that is taken for nobody.
    ///
    /// # Errors
    /// `Missing`, `Exists` (the new address), `Invalid`, or the store's.
    pub async fn update_developer(
        &self,
        organization: &str,
        email_or_id: &str,
        terms: &DeveloperTerms,
        now: UnixMillis,
    ) -> Result<Developer, CatalogueError> {
        terms.check()?;
        let before = self.developer(organization, email_or_id).await?;
        let owner = owner(organization, before.id);
        let mut claimed = None;
        if before.email != terms.email {
            let email = email_key(organization, &terms.email);
            claimed = Some(self.claim(What::Developer, email, owner.clone(), now).await?);
        }
        let developer = self
            .edit_developer(organization, before.id, now, |developer| {
                developer.email.clone_from(&terms.email);
                developer.first_name.clone_from(&terms.first_name);
                developer.last_name.clone_from(&terms.last_name);
                developer.user_name.clone_from(&terms.user_name);
                developer.attributes.clone_from(&terms.attributes);
                developer.access_type.clone_from(&terms.access_type);
                developer.app_family.clone_from(&terms.app_family);
                developer.companies.clone_from(&terms.companies);
            })
            .await?;
        if let Some(claimed) = claimed {
            self.confirm(claimed, now).await?;
            self.release(&email_key(organization, &before.email), &owner, now).await?;
        }
        Ok(developer)
    }

    /// Makes the developer's keys work, or not.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn set_active(
        &self,
        organization: &str,
        email_or_id: &str,
        is_active: bool,
        now: UnixMillis,
    ) -> Result<Developer, CatalogueError> {
        let developer = self.developer(organization, email_or_id).await?;
        self.edit_developer(organization, developer.id, now, |developer| {
            developer.is_active = is_active;
        })
        .await
    }

    /// Deletes a developer: marks it gone, so that its keys stop working at once; seals its
    /// wallets; removes apps, keys and subscriptions; frees the address. After a crash in between
    /// the developer is gone, and deleting again or creating one under the same address finishes
    /// the work first.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn delete_developer(
        &self,
        organization: &str,
        email_or_id: &str,
        now: UnixMillis,
    ) -> Result<Developer, CatalogueError> {
        let found = self.find_developer(organization, email_or_id).await?;
        let Some(developer) = found else {
            self.organization(organization).await?;
            return Err(missing(organization, email_or_id));
        };
        self.delete_owner(organization, &developer, now).await?;
        if developer.is_deleted {
            return Err(missing(organization, email_or_id));
        }
        Ok(developer)
    }

    /// The same for a record that was found.
    pub(super) async fn delete_owner(
        &self,
        organization: &str,
        developer: &Developer,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        if !developer.is_deleted {
            let key = developer_key(organization, developer.id);
            self.edit(&key, now, |developer: &mut Developer| {
                developer.is_deleted = true;
                developer.modified_at = now;
                Ok(())
            })
            .await?;
        }
        self.clear_developer(organization, developer, now).await
    }

    /// Finishes a deletion under this address that was cut short.
    async fn finish_deletion(
        &self,
        organization: &str,
        email: &str,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        match self.find_developer(organization, email).await? {
            Some(developer) if developer.is_deleted => {
                self.clear_developer(organization, &developer, now).await
            }
            _ => Ok(()),
        }
    }

    /// What a deletion does after the mark; every step may be repeated.
    pub(super) async fn clear_developer(
        &self,
        organization: &str,
        developer: &Developer,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        self.seal_wallets(developer.id).await?;
        for app in self.apps_of(organization, developer.id).await? {
            self.remove_app(organization, &app, now).await?;
        }
        self.remove(&subscriptions_key(organization, developer.id), now).await?;
        self.remove(&wallet_note_key(organization, developer.id), now).await?;
        self.remove(&wallet_policies_key(organization, developer.id), now).await?;
        self.remove(&fees_booked_key(organization, developer.id), now).await?;
        self.remove(&billing_switch_key(developer.id), now).await?;
        self.remove(&developer_key(organization, developer.id), now).await?;
        let owner = owner(organization, developer.id);
        let name = match developer.group {
            Some(_) => app_group_key(organization, &developer.email),
            None => email_key(organization, &developer.email),
        };
        self.release(&name, &owner, now).await
    }

    async fn edit_developer(
        &self,
        organization: &str,
        id: DeveloperId,
        now: UnixMillis,
        mut change: impl FnMut(&mut Developer),
    ) -> Result<Developer, CatalogueError> {
        self.try_edit_developer(organization, id, now, |developer| {
            change(developer);
            Ok(())
        })
        .await
    }

    pub(super) async fn try_edit_developer(
        &self,
        organization: &str,
        id: DeveloperId,
        now: UnixMillis,
        mut change: impl FnMut(&mut Developer) -> Result<(), CatalogueError>,
    ) -> Result<Developer, CatalogueError> {
        let edited = self
            .edit(&developer_key(organization, id), now, |developer: &mut Developer| {
                if developer.is_deleted {
                    return Err(missing(organization, &developer.email));
                }
                change(developer)?;
                developer.modified_at = now;
                Ok(())
            })
            .await?;
        edited
            .map(|(developer, ())| developer)
            .ok_or_else(|| missing(organization, &id.to_string()))
    }

    /// A developer by address or id, also one that is being deleted.
    async fn find_developer(
        &self,
        organization: &str,
        email_or_id: &str,
    ) -> Result<Option<Developer>, CatalogueError> {
        let email = email_or_id.to_ascii_lowercase();
        let id = match email_or_id.parse::<DeveloperId>() {
            Ok(id) => id,
            Err(_) => match self.load::<Claim>(&email_key(organization, &email)).await? {
                Some(Stored {
                    record: Claim { owner: Owner::Developer { developer, .. }, .. },
                    ..
                }) => developer,
                _ => return Ok(None),
            },
        };
        let found = self.load::<Developer>(&developer_key(organization, id)).await?;
        let found = found.map(|stored| stored.record);
        let found = found.filter(|found| found.group.is_none());
        Ok(found.filter(|found| found.email == email || found.id.to_string() == email))
    }
}

pub(super) fn owner(organization: &str, developer: DeveloperId) -> Owner {
    Owner::Developer { organization: organization.to_owned(), developer }
}

pub(super) fn missing(organization: &str, name: &str) -> CatalogueError {
    CatalogueError::missing(What::Developer, name, organization)
}

// === impl DeveloperTerms ===

impl DeveloperTerms {
    fn check(&self) -> Result<(), CatalogueError> {
        check_email(&self.email)?;
        let named = [
            ("firstName", &self.first_name),
            ("lastName", &self.last_name),
            ("userName", &self.user_name),
        ];
        for (field, value) in named {
            if value.trim().is_empty() {
                return Err(CatalogueError::invalid(field, "is required"));
            }
            if value.chars().count() > NAME_CHARS_MAX {
                let reason = format!("at most {NAME_CHARS_MAX} characters");
                return Err(CatalogueError::invalid(field, reason));
            }
        }
        check_attributes(&self.attributes)?;
        overspend::check(&self.attributes)
    }
}

fn check_email(email: &str) -> Result<(), CatalogueError> {
    let invalid = |reason: &str| Err(CatalogueError::invalid("email", reason));
    if email.is_empty() {
        return invalid("is required");
    }
    if email.chars().count() > NAME_CHARS_MAX {
        return invalid("is too long");
    }
    if email.chars().any(char::is_uppercase) {
        return invalid("must be in lower case");
    }
    let is_plain = |char: char| char.is_ascii_graphic() && !"/\\\"<>%:?#".contains(char);
    let has_parts = email
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    if !has_parts || !email.chars().all(is_plain) {
        return invalid("is not an e-mail address");
    }
    Ok(())
}
