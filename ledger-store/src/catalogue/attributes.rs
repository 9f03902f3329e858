//! Free attributes of developers, apps and API products, changed without the rest of the record.

use tollgate_metering::UnixMillis;

use super::Catalogue;
use super::error::{CatalogueError, What};
use super::organizations::check_attributes;
use super::overspend;
use super::records::{App, Attribute, Developer, Product};

/// What becomes of a list of attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeChange {
    /// All of them are replaced.
    Replace(Vec<Attribute>),
    /// One is added, or has its value replaced.
    Set(Attribute),
    /// The one with this name is removed.
    Remove(String),
}

// === impl Catalogue ===

impl Catalogue {
    /// Changes attributes of a developer.
    ///
    /// # Errors
    /// `Missing` (developer, attribute), `Invalid`, or the store's.
    pub async fn change_developer_attributes(
        &self,
        organization: &str,
        developer: &Developer,
        change: &AttributeChange,
        now: UnixMillis,
    ) -> Result<Developer, CatalogueError> {
        self.try_edit_developer(organization, developer.id, now, |record| {
            change.apply(&mut record.attributes, &developer.email)?;
            overspend::check(&record.attributes)
        })
        .await
    }

    /// Changes attributes of an app.
    ///
    /// # Errors
    /// `Missing` (app, attribute), `Invalid`, or the store's.
    pub async fn change_app_attributes(
        &self,
        organization: &str,
        developer: &Developer,
        app: &str,
        change: &AttributeChange,
        now: UnixMillis,
    ) -> Result<App, CatalogueError> {
        self.edit_app(organization, developer, app, now, |record| {
            change.apply(&mut record.attributes, app)
        })
        .await
    }

    /// Changes attributes of an API product.
    ///
    /// # Errors
    /// `Missing` (product, attribute), `Invalid`, or the store's.
    pub async fn change_product_attributes(
        &self,
        organization: &str,
        product: &str,
        change: &AttributeChange,
        now: UnixMillis,
    ) -> Result<Product, CatalogueError> {
        let (changed, ()) = self
            .edit_product(organization, product, now, |record| {
                change.apply(&mut record.terms.attributes, product)?;
                overspend::check(&record.terms.attributes)
            })
            .await?;
        Ok(changed)
    }

    /// Moves an API product to a space; none by an empty name.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn move_product(
        &self,
        organization: &str,
        product: &str,
        space: &str,
        now: UnixMillis,
    ) -> Result<Product, CatalogueError> {
        let (moved, ()) = self
            .edit_product(organization, product, now, |record| {
                space.clone_into(&mut record.terms.space);
                Ok(())
            })
            .await?;
        Ok(moved)
    }
}

// === impl AttributeChange ===

impl AttributeChange {
    /// A change that fails leaves a list that is not to be stored.
    fn apply(&self, list: &mut Vec<Attribute>, inside: &str) -> Result<(), CatalogueError> {
        match self {
            AttributeChange::Replace(new) => list.clone_from(new),
            AttributeChange::Set(new) => {
                match list.iter_mut().find(|attribute| attribute.name == new.name) {
                    Some(found) => found.value.clone_from(&new.value),
                    None => list.push(new.clone()),
                }
            }
            AttributeChange::Remove(name) => {
                let found = list.iter().position(|attribute| attribute.name == *name);
                let missing = || CatalogueError::missing(What::Attribute, name, inside);
                list.remove(found.ok_or_else(missing)?);
            }
        }
        check_attributes(list)
    }
}
