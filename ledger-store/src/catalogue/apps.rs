//! Apps of developers. Their keys live in the app's document; `keys` changes those.

use tollgate_metering::{DeveloperId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::claims::Owner;
use super::error::{CatalogueError, What};
use super::keys::{self, NewKey};
use super::organizations::{check_attributes, check_name};
use super::records::{App, AppPlace, Approval, Attribute, Credential, Developer};
use super::store::{APP, APP_ID, app_id_key, app_key, app_scope, consumer_key_key, developer_key};
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
    /// How long the generated key works, in milliseconds; `None` for ever.
    pub key_lifetime_ms: Option<i64>,
    /// Stored only.
    pub app_family: String,
    /// The id of a new app, as another system had it; `None`: a generated one.
    pub id: Option<Uuid>,
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
        let credential =
            keys::credential(NewKey::generated(terms.key_expires_at(now)?), products, now);
        let claimed =
            self.claim_key(organization, developer.id, name, &credential.consumer_key, now).await?;
        let app = App {
            id: terms.id.unwrap_or_else(Uuid::new_v4),
            name: name.to_owned(),
            developer: developer.id,
            status: Approval::Approved,
            callback_url: terms.callback_url.clone(),
            scopes: terms.scopes.clone(),
            attributes: terms.attributes.clone(),
            app_family: terms.app_family.clone(),
            key_lifetime_ms: terms.key_lifetime_ms,
            credentials: vec![credential],
            created_at: now,
            modified_at: now,
        };
        // Before the app: an id that leads nowhere is skipped, an app without one is never listed.
        let place = AppPlace { developer: developer.id, app: name.to_owned() };
        let id_key = app_id_key(organization, app.id);
        if self.insert(&id_key, &place, now).await? == Put::Conflict {
            // Of an app that is no more, or was never written.
            if self.app_by_id(organization, &app.id.to_string()).await.is_ok() {
                return Err(CatalogueError::exists(What::App, app.id, organization));
            }
            let take = |before: &mut AppPlace| {
                *before = place.clone();
                Ok(())
            };
            self.edit(&id_key, now, take).await?;
        }
        match self.insert(&key, &app, now).await? {
            Put::Written => {}
            Put::Conflict => {
                self.remove(&id_key, now).await?;
                return Err(CatalogueError::exists(What::App, name, &developer.email));
            }
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
            let key = NewKey::generated(terms.key_expires_at(now)?);
            made = Some(self.create_key(organization, developer, name, key, &new, now).await?);
        }
        let app = self
            .edit_app(organization, developer, name, now, |app| {
                app.callback_url.clone_from(&terms.callback_url);
                app.attributes.clone_from(&terms.attributes);
                app.app_family.clone_from(&terms.app_family);
                Ok(())
            })
            .await?;
        Ok(app.showing(made))
    }

    /// Puts another generated key on an app, with the products that are given or else those that
    /// its keys have already, and replaces what people write of the app.
    ///
    /// # Errors
    /// `Missing` (app, product), `Invalid`, `Precondition` (too many keys), or the store's.
    pub async fn add_generated_key(
        &self,
        organization: &str,
        developer: &Developer,
        name: &str,
        terms: &AppTerms,
        now: UnixMillis,
    ) -> Result<App, CatalogueError> {
        check_attributes(&terms.attributes)?;
        let mut products = terms.products.clone();
        if products.is_empty() {
            products = self.app(organization, developer, name).await?.product_names();
        }
        let key = NewKey::generated(terms.key_expires_at(now)?);
        let made = self.create_key(organization, developer, name, key, &products, now).await?;
        let app = self
            .edit_app(organization, developer, name, now, |app| {
                app.callback_url.clone_from(&terms.callback_url);
                app.attributes.clone_from(&terms.attributes);
                Ok(())
            })
            .await?;
        Ok(app.showing(Some(made)))
    }

    /// Apps of an organization in order of id, from `start` (included) on, at most `limit`, each
    /// with its owner.
    ///
    /// # Errors
    /// `Missing` (organization), or the store's.
    pub async fn apps_by_id(
        &self,
        organization: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(App, Developer)>, CatalogueError> {
        self.organization(organization).await?;
        let mut apps = Vec::new();
        let mut from = start.map(str::to_owned);
        let mut is_first = true;
        // Ids without an app are skipped, so a page may need several reads.
        while apps.len() < limit {
            let want = limit - apps.len() + usize::from(!is_first);
            let places = self.page::<AppPlace>(APP_ID, organization, from.as_deref(), want).await?;
            let count = places.len();
            for (id, place) in places {
                if !is_first && Some(&id) == from.as_ref() {
                    continue;
                }
                from = Some(id.clone());
                apps.extend(self.app_at(organization, &id, &place).await?);
            }
            is_first = false;
            if count < want {
                break;
            }
        }
        Ok(apps)
    }

    /// An app by id, with its owner.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn app_by_id(
        &self,
        organization: &str,
        id: &str,
    ) -> Result<(App, Developer), CatalogueError> {
        if let Ok(parsed) = id.parse::<Uuid>()
            && let Some(place) = self.load::<AppPlace>(&app_id_key(organization, parsed)).await?
            && let Some(found) =
                self.app_at(organization, &parsed.to_string(), &place.record).await?
        {
            return Ok(found);
        }
        self.organization(organization).await?;
        Err(CatalogueError::missing(What::App, id, organization))
    }

    async fn app_at(
        &self,
        organization: &str,
        id: &str,
        place: &AppPlace,
    ) -> Result<Option<(App, Developer)>, CatalogueError> {
        let app = self.load::<App>(&app_key(organization, place.developer, &place.app)).await?;
        let Some(app) = app.map(|stored| stored.record) else { return Ok(None) };
        let owner = self.load::<Developer>(&developer_key(organization, place.developer)).await?;
        let owner = owner.map(|stored| stored.record).filter(|owner| !owner.is_deleted);
        Ok(owner.filter(|_| app.id.to_string() == id).map(|owner| (app, owner)))
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
        self.remove(&app_id_key(organization, app.id), now).await
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

// === impl AppTerms ===

impl AppTerms {
    /// From when on a key that is made now does not work.
    fn key_expires_at(&self, now: UnixMillis) -> Result<Option<UnixMillis>, CatalogueError> {
        let Some(lifetime) = self.key_lifetime_ms else { return Ok(None) };
        match now.0.checked_add(lifetime).filter(|_| lifetime > 0) {
            Some(end) => Ok(Some(UnixMillis(end))),
            None => Err(CatalogueError::invalid("keyExpiresIn", "is out of range; -1 is never")),
        }
    }
}

// === impl App ===

impl App {
    /// For the one answer that shows a new key's secret.
    fn showing(mut self, made: Option<Credential>) -> App {
        let mut keys = self.credentials.iter_mut();
        if let Some(made) = made
            && let Some(key) = keys.find(|key| key.consumer_key == made.consumer_key)
        {
            key.consumer_secret = made.consumer_secret;
        }
        self
    }

    /// The products that its keys have, each once.
    #[must_use]
    pub fn product_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for on in self.credentials.iter().flat_map(|key| &key.products) {
            if !names.contains(&on.name) {
                names.push(on.name.clone());
            }
        }
        names
    }
}
