//! Consumer keys: part of their app, found by the SHA-256 of the key.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use tollgate_metering::{DeveloperId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::apps::KEYS_MAX;
use super::claims::{Claimed, Owner};
use super::error::{CatalogueError, What};
use super::organizations::check_attributes;
use super::records::{App, Approval, Attribute, Credential, Developer, KeyProduct};
use super::secrets::ConsumerSecret;
use super::store::consumer_key_key;

/// Most bytes of a key or secret.
pub const KEY_BYTES_MAX: usize = 2048;

/// Most products on one key.
pub const PRODUCTS_MAX: usize = 100;

/// A key to be made.
#[derive(Clone)]
pub struct NewKey {
    /// The key as clients will send it.
    pub consumer_key: String,
    /// Its secret.
    pub consumer_secret: String,
    /// From when on it does not work; `None` for never.
    pub expires_at: Option<UnixMillis>,
}

/// What a key is to get besides what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTerms {
    /// Products to put on it.
    pub products: Vec<String>,
    /// Attributes to replace; `None` leaves them.
    pub attributes: Option<Vec<Attribute>>,
    /// Scopes to replace; `None` leaves them.
    pub scopes: Option<Vec<String>>,
}

// === impl NewKey ===

impl NewKey {
    /// A key and secret of 244 random bits each.
    #[must_use]
    pub fn generated(expires_at: Option<UnixMillis>) -> NewKey {
        let random = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        NewKey { consumer_key: random(), consumer_secret: random(), expires_at }
    }

    fn check(&self) -> Result<(), CatalogueError> {
        let parts =
            [("consumerKey", &self.consumer_key), ("consumerSecret", &self.consumer_secret)];
        for (field, value) in parts {
            if value.is_empty() || value.len() > KEY_BYTES_MAX {
                let reason = format!("must have 1 to {KEY_BYTES_MAX} characters");
                return Err(CatalogueError::invalid(field, reason));
            }
            if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
                let reason = "must consist of letters, digits, - and _";
                return Err(CatalogueError::invalid(field, reason));
            }
        }
        Ok(())
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// Puts another key on an app, with products.
    ///
    /// # Errors
    /// `Missing` (app, product), `Exists`, `Invalid`, or the store's.
    pub async fn create_key(
        &self,
        organization: &str,
        developer: &Developer,
        app: &str,
        key: NewKey,
        products: &[String],
        now: UnixMillis,
    ) -> Result<Credential, CatalogueError> {
        key.check()?;
        self.app(organization, developer, app).await?;
        let products = self.key_products(organization, products).await?;
        let credential = credential(key, products, now);
        let claimed =
            self.claim_key(organization, developer.id, app, &credential.consumer_key, now).await?;
        self.edit_app(organization, developer, app, now, |app| {
            if app.credentials.len() >= KEYS_MAX {
                let what = format!("app {} has {KEYS_MAX} keys already", app.name);
                return Err(CatalogueError::Precondition(what));
            }
            app.credentials.push(credential.clone());
            Ok(())
        })
        .await?;
        self.confirm(claimed, now).await?;
        Ok(credential)
    }

    /// A key of an app.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn key(
        &self,
        organization: &str,
        developer: &Developer,
        app: &str,
        consumer_key: &str,
    ) -> Result<Credential, CatalogueError> {
        let mut app = self.app(organization, developer, app).await?;
        find(&mut app, consumer_key).cloned()
    }

    /// Puts products, attributes or scopes on a key.
    ///
    /// # Errors
    /// `Missing`, `Invalid`, or the store's.
    pub async fn update_key(
        &self,
        organization: &str,
        developer: &Developer,
        app: &str,
        consumer_key: &str,
        terms: &KeyTerms,
        now: UnixMillis,
    ) -> Result<Credential, CatalogueError> {
        check_attributes(terms.attributes.as_deref().unwrap_or_default())?;
        let products = self.key_products(organization, &terms.products).await?;
        self.edit_key(organization, developer, app, consumer_key, now, |key| {
            for product in &products {
                // A product deleted and created again is another: the new one takes its place.
                key.products.retain(|on| on.name != product.name || on.product == product.product);
                if !key.products.iter().any(|on| on.product == product.product) {
                    key.products.push(product.clone());
                }
            }
            if let Some(attributes) = &terms.attributes {
                key.attributes.clone_from(attributes);
            }
            if let Some(scopes) = &terms.scopes {
                key.scopes.clone_from(scopes);
            }
            check_count(key.products.len())
        })
        .await
    }

    /// Makes a key work, or not.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn set_key_status(
        &self,
        organization: &str,
        developer: &Developer,
        app: &str,
        consumer_key: &str,
        status: Approval,
        now: UnixMillis,
    ) -> Result<Credential, CatalogueError> {
        self.edit_key(organization, developer, app, consumer_key, now, |key| {
            key.status = status;
            Ok(())
        })
        .await
    }

    /// Approves or revokes a product on a key; `None` takes it off the key.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn set_key_product(
        &self,
        organization: &str,
        developer: &Developer,
        path: (&str, &str, &str),
        status: Option<Approval>,
        now: UnixMillis,
    ) -> Result<Credential, CatalogueError> {
        let (app, consumer_key, product) = path;
        self.edit_key(organization, developer, app, consumer_key, now, |key| {
            let on = key.products.iter().position(|on| on.name == product);
            let on = on.ok_or_else(|| {
                CatalogueError::missing(What::Product, product, "the consumer key")
            })?;
            match status {
                Some(status) => key.products[on].status = status,
                None => drop(key.products.remove(on)),
            }
            Ok(())
        })
        .await
    }

    /// Deletes a key: first from its app, then what finds it.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn delete_key(
        &self,
        organization: &str,
        developer: &Developer,
        app: &str,
        consumer_key: &str,
        now: UnixMillis,
    ) -> Result<Credential, CatalogueError> {
        let mut deleted = None;
        self.edit_app(organization, developer, app, now, |app| {
            deleted = Some(find(app, consumer_key)?.clone());
            app.credentials.retain(|key| key.consumer_key != consumer_key);
            Ok(())
        })
        .await?;
        let owner = owner(organization, developer.id, app);
        self.release(&consumer_key_key(&key_hash(consumer_key)), &owner, now).await?;
        deleted.ok_or(CatalogueError::Contended { what: "app" })
    }

    pub(super) async fn claim_key(
        &self,
        organization: &str,
        developer: DeveloperId,
        app: &str,
        consumer_key: &str,
        now: UnixMillis,
    ) -> Result<Claimed, CatalogueError> {
        let key = consumer_key_key(&key_hash(consumer_key));
        self.claim(What::Key, key, owner(organization, developer, app), now).await
    }

    /// The products with these names, as they go on a key.
    pub(super) async fn key_products(
        &self,
        organization: &str,
        names: &[String],
    ) -> Result<Vec<KeyProduct>, CatalogueError> {
        check_count(names.len())?;
        let mut products: Vec<KeyProduct> = Vec::new();
        for name in names {
            let product = self.product(organization, name).await?;
            if products.iter().any(|on| on.product == product.id) {
                continue;
            }
            let status = match product.terms.is_manual_approval {
                true => Approval::Pending,
                false => Approval::Approved,
            };
            products.push(KeyProduct { product: product.id, name: product.name, status });
        }
        Ok(products)
    }

    async fn edit_key(
        &self,
        organization: &str,
        developer: &Developer,
        app: &str,
        consumer_key: &str,
        now: UnixMillis,
        mut change: impl FnMut(&mut Credential) -> Result<(), CatalogueError>,
    ) -> Result<Credential, CatalogueError> {
        let mut app = self
            .edit_app(organization, developer, app, now, |app| change(find(app, consumer_key)?))
            .await?;
        find(&mut app, consumer_key).cloned()
    }
}

/// A credential that was not stored yet.
pub(super) fn credential(key: NewKey, products: Vec<KeyProduct>, now: UnixMillis) -> Credential {
    Credential {
        consumer_key: key.consumer_key,
        consumer_secret: ConsumerSecret::new(key.consumer_secret),
        status: Approval::Approved,
        issued_at: now,
        expires_at: key.expires_at,
        products,
        scopes: Vec::new(),
        attributes: Vec::new(),
    }
}

/// SHA-256 of a consumer key in hexadecimal: what finds it.
#[must_use]
pub fn key_hash(consumer_key: &str) -> String {
    hex(&Sha256::digest(consumer_key.as_bytes()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

fn owner(organization: &str, developer: DeveloperId, app: &str) -> Owner {
    Owner::App { organization: organization.to_owned(), developer, app: app.to_owned() }
}

fn find<'a>(app: &'a mut App, consumer_key: &str) -> Result<&'a mut Credential, CatalogueError> {
    let App { name, credentials, .. } = app;
    credentials
        .iter_mut()
        .find(|key| key.consumer_key == consumer_key)
        .ok_or_else(|| CatalogueError::missing(What::Key, "given", format!("app {name}")))
}

fn check_count(products: usize) -> Result<(), CatalogueError> {
    if products > PRODUCTS_MAX {
        let reason = format!("at most {PRODUCTS_MAX} on one key");
        return Err(CatalogueError::invalid("apiProducts", reason));
    }
    Ok(())
}

// === impl App ===

impl App {
    /// Whether one of its keys has this SHA-256, in hexadecimal.
    pub(super) fn has_key_hash(&self, hash: &str) -> bool {
        self.credentials.iter().any(|key| key_hash(&key.consumer_key) == hash)
    }
}
