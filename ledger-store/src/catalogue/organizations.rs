//! Organizations.

use tollgate_metering::UnixMillis;

use super::Catalogue;
use super::audit::NO_ORGANIZATION;
use super::error::{CatalogueError, What};
use super::overspend;
use super::records::{Attribute, Organization};
use super::store::{ALL, ORGANIZATION, organization_key};
use crate::documents::Put;

/// Most characters of any name.
pub const NAME_CHARS_MAX: usize = 255;

/// Most custom attributes of a record.
pub const ATTRIBUTES_MAX: usize = 18;

/// Attribute of an organization that caps adjustments when it is `true`.
pub const ADJUSTMENT_CAP_ATTRIBUTE: &str = "tollgate.adjustment_cap";

// === impl Catalogue ===

impl Catalogue {
    /// Creates an organization, with monetization off.
    ///
    /// # Errors
    /// `Exists`, `Invalid`, or the store's.
    pub async fn create_organization(
        &self,
        name: &str,
        display_name: &str,
        description: &str,
        attributes: Vec<Attribute>,
        now: UnixMillis,
    ) -> Result<Organization, CatalogueError> {
        check_name("name", name, "-_.")?;
        if name == NO_ORGANIZATION {
            return Err(CatalogueError::invalid("name", "must not be \"-\" alone"));
        }
        check_attributes(&attributes)?;
        overspend::check(&attributes)?;
        let organization = Organization {
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            description: description.to_owned(),
            is_adjustment_capped: is_capped(&attributes),
            attributes,
            is_monetized: false,
            created_at: now,
            modified_at: now,
        };
        match self.insert(&organization_key(name), &organization, now).await? {
            Put::Written => Ok(organization),
            Put::Conflict => Err(CatalogueError::exists(What::Organization, name, "this ledger")),
        }
    }

    /// An organization.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn organization(&self, name: &str) -> Result<Organization, CatalogueError> {
        let found = self.load::<Organization>(&organization_key(name)).await?;
        found.map(|stored| stored.record).ok_or_else(|| missing(name))
    }

    /// All organizations by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn organizations(&self) -> Result<Vec<Organization>, CatalogueError> {
        let all = self.all::<Organization>(ORGANIZATION, ALL).await?;
        Ok(all.into_iter().map(|(_, organization)| organization).collect())
    }

    /// Replaces what people write of an organization.
    ///
    /// # Errors
    /// `Missing`, `Invalid`, or the store's.
    pub async fn update_organization(
        &self,
        name: &str,
        display_name: &str,
        description: &str,
        attributes: &[Attribute],
        now: UnixMillis,
    ) -> Result<Organization, CatalogueError> {
        check_attributes(attributes)?;
        overspend::check(attributes)?;
        let edited = self
            .edit(&organization_key(name), now, |organization: &mut Organization| {
                organization.display_name = display_name.to_owned();
                organization.description = description.to_owned();
                organization.attributes = attributes.to_vec();
                organization.is_adjustment_capped = is_capped(attributes);
                organization.modified_at = now;
                Ok(())
            })
            .await?;
        edited.map(|(organization, ())| organization).ok_or_else(|| missing(name))
    }

    /// Turns the monetization add-on on or off.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn set_monetized(
        &self,
        name: &str,
        is_monetized: bool,
        now: UnixMillis,
    ) -> Result<Organization, CatalogueError> {
        let edited = self
            .edit(&organization_key(name), now, |organization: &mut Organization| {
                organization.is_monetized = is_monetized;
                organization.modified_at = now;
                Ok(())
            })
            .await?;
        edited.map(|(organization, ())| organization).ok_or_else(|| missing(name))
    }
}

fn missing(name: &str) -> CatalogueError {
    CatalogueError::missing(What::Organization, name, "this ledger")
}

fn is_capped(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|entry| entry.name == ADJUSTMENT_CAP_ATTRIBUTE && entry.value == "true")
}

/// Checks a name: letters, digits and `others`.
pub(super) fn check_name(field: &str, name: &str, others: &str) -> Result<(), CatalogueError> {
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        let reason = format!("must have 1 to {NAME_CHARS_MAX} characters");
        return Err(CatalogueError::invalid(field, reason));
    }
    match name.chars().find(|char| !char.is_ascii_alphanumeric() && !others.contains(*char)) {
        Some(char) => {
            let reason = format!("must consist of letters, digits and \"{others}\", has {char:?}");
            Err(CatalogueError::invalid(field, reason))
        }
        None => Ok(()),
    }
}

pub(super) fn check_attributes(attributes: &[Attribute]) -> Result<(), CatalogueError> {
    if attributes.len() > ATTRIBUTES_MAX {
        let reason = format!("at most {ATTRIBUTES_MAX}, got {}", attributes.len());
        return Err(CatalogueError::invalid("attributes", reason));
    }
    for (index, attribute) in attributes.iter().enumerate() {
        if attribute.name.is_empty() {
            let reason = format!("name of attribute {} is empty", index + 1);
            return Err(CatalogueError::invalid("attributes", reason));
        }
        if attributes[..index].iter().any(|other| other.name == attribute.name) {
            let reason = format!("{} is given twice", attribute.name);
            return Err(CatalogueError::invalid("attributes", reason));
        }
    }
    Ok(())
}
