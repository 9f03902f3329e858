//! Apps of developers. Their keys live in the app's document; `keys` changes those.

use tollgate_metering::{DeveloperId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::claims::Owner;
use super::error::{CatalogueError, What};
use super::keys::{self, NewKey};
use super::organizations::{check_attributes, check_name};
use super::records::{App, Approval, Attribute, Developer};
use super::store::{APP, app_key, app_scope, consumer_key_key};
use crate::documents::Put;

/// Most keys of one app.
pub const KEYS_MAX: usize = 100;

/// What names of apps may hold besides letters and digits.
const NAME_OTHERS: &str = "-_.$% ";

/// The part of an app that people write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppTerms {
    /// Stored only.
    pub callback_url: String,
    /// Stored only.
    pub scopes: Vec<String>,
    /// Free.
    pub attributes: Vec<Attribute>,
    /// Products for a key that is generated; on an update only those that no key has yet.
    pub products: Vec<String>,
    /// From when on the generated key does not work; `None` for never.
    pub key_expires_at: Option<UnixMillis>,
}

// === impl Catalogue ===

impl Catalogue {
    /// Creates an app with one generated key.
    ///
    /// # Errors
    /// `Missing` (developer, product), `Exists`, `Invalid`, or the store's.
    pub async fn create_app(
        &self,
        organization: &str,
        developer: &Developer,
        name: &str,
        terms: &AppTerms,
        now: UnixMillis,
    ) -> Result<App, CatalogueError> {
        check_name("name", name, NAME_OTHERS)?;
        check_attributes(&terms.attributes)?;
        let key = app_key(organization, developer.id, name);
        if self.load::<App>(&key).await?.is_some() {
            return Err(CatalogueError::exists(What::App, name, &developer.email));
        }
        let products = self.key_products(organization, &terms.products).await?;
        let credential = keys::credential(NewKey::generated(terms.key_expires_at), products, now);
        let claimed =
            self.claim_key(organization, developer.id, name, &credential.consumer_key, now).await?;
        let app = App {
            id: Uuid::new_v4(),
            name: name.to_owned(),
            developer: developer.id,
            status: Approval::Approved,
            callback_url: terms.callback_url.clone(),
            scopes: terms.scopes.clone(),
            attributes: terms.attributes.clone(),
            credentials: vec![credential],
            created_at: now,
            modified_at: now,
        };
        match self.insert(&key, &app, now).await? {
            Put::Written => {}
            Put::Conflict => return Err(CatalogueError::exists(What::App, name, &developer.email)),
        }
        self.confirm(claimed, now).await?;
        Ok(app)
    }

    /// An app.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn app(
        &self,
        organization: &str,
        developer: &Developer,
        name: &str,
    ) -> Result<App, CatalogueError> {
        let found = self.load::<App>(&app_key(organization, developer.id, name)).await?;
        found.map(|stored| stored.record).ok_or_else(|| missing(developer, name))
    }

    /// Apps of a developer in order of name, from `start` (included) on, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub async fn apps(
        &self,
        organization: &str,
        developer: DeveloperId,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<App>, CatalogueError> {
        let scope = app_scope(organization, developer);
        let page = self.page::<App>(APP, &scope, start, limit).await?;
        Ok(page.into_iter().map(|(_, app)| app).collect())
    }

    /// Every app of a developer.
    pub(super) async fn apps_of(
        &self,
        organization: &str,
        developer: DeveloperId,
    ) -> Result<Vec<App>, CatalogueError> {
        let all = self.all::<App>(APP, &app_scope(organization, developer)).await?;
        Ok(all.into_iter().map(|(_, app)| app).collect())
    }

    /// Replaces what people write of an app; products that none of its keys has go on a new key.
    ///
    /// # Errors
    /// `Missing` (app, product), `Invalid`, or the store's.
    pub async fn update_app(
        &self,
        organization: &str,
        developer: &Developer,
        name: &str,
        terms: &AppTerms,
        now: UnixMillis,
    ) -> Result<App, CatalogueError> {
        check_attributes(&terms.attributes)?;
        let before = self.app(organization, developer, name).await?;
        let has = |product: &String| {
            before.credentials.iter().any(|key| key.products.iter().any(|on| on.name == *product))
        };
        let new: Vec<String> =
            terms.products.iter().filter(|product| !has(product)).cloned().collect();
        let mut made = None;
        if !new.is_empty() {
            let key = NewKey::generated(terms.key_expires_at);
            made = Some(self.create_key(organization, developer, name, key, &new, now).await?);
        }
        let mut app = self
            .edit_app(organization, developer, name, now, |app| {
                app.callback_url.clone_from(&terms.callback_url);
                app.scopes.clone_from(&terms.scopes);
                app.attributes.clone_from(&terms.attributes);
                Ok(())
            })
            .await?;
        // The one answer that shows the new key's secret.
        let mut keys = app.credentials.iter_mut();
        if let Some(made) = made
            && let Some(key) = keys.find(|key| key.consumer_key == made.consumer_key)
        {
            key.consumer_secret = made.consumer_secret;
        }
        Ok(app)
    }

    /// Makes all keys of an app work, or none.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn set_app_status(
        &self,
        organization: &str,
        developer: &Developer,
        name: &str,
        status: Approval,
        now: UnixMillis,
    ) -> Result<App, CatalogueError> {
        self.edit_app(organization, developer, name, now, |app| {
            app.status = status;
            Ok(())
        })
        .await
    }

    /// Deletes an app with its keys.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn delete_app(
        &self,
        organization: &str,
        developer: &Developer,
        name: &str,
        now: UnixMillis,
    ) -> Result<App, CatalogueError> {
        let app = self.app(organization, developer, name).await?;
        self.remove_app(organization, &app, now).await?;
        Ok(app)
    }

    /// Removes an app first and then what points to it: a key without its app resolves to nobody.
    pub(super) async fn remove_app(
        &self,
        organization: &str,
        app: &App,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        self.remove(&app_key(organization, app.developer, &app.name), now).await?;
        let owner = Owner::App {
            organization: organization.to_owned(),
            developer: app.developer,
            app: app.name.clone(),
        };
        for credential in &app.credentials {
            let hash = keys::key_hash(&credential.consumer_key);
            self.release(&consumer_key_key(&hash), &owner, now).await?;
        }
        Ok(())
    }

    pub(super) async fn edit_app(
        &self,
        organization: &str,
        developer: &Developer,
        name: &str,
        now: UnixMillis,
        mut change: impl FnMut(&mut App) -> Result<(), CatalogueError>,
    ) -> Result<App, CatalogueError> {
        let edited = self
            .edit(&app_key(organization, developer.id, name), now, |app: &mut App| {
                change(app)?;
                app.modified_at = now;
                Ok(())
            })
            .await?;
        edited.map(|(app, ())| app).ok_or_else(|| missing(developer, name))
    }
}

fn missing(developer: &Developer, name: &str) -> CatalogueError {
    CatalogueError::missing(What::App, name, &developer.email)
}
