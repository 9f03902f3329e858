//! API products: unique by name, known by a generated id.

use tollgate_metering::{ProductId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::claims::{Claim, Owner};
use super::error::{CatalogueError, What};
use super::organizations::{check_attributes, check_name};
use super::overspend;
use super::records::{Product, ProductTerms};
use super::store::{PRODUCT_NAME, product_key, product_name_key};
use crate::documents::Put;

/// Most paths, operations, proxies or environments of a product.
pub const ENTRIES_MAX: usize = 1000;

// === impl Catalogue ===

impl Catalogue {
    /// Creates a product.
    ///
    /// # Errors
    /// `Missing` (organization), `Exists`, `Invalid`, or the store's.
    pub async fn create_product(
        &self,
        organization: &str,
        name: &str,
        terms: &ProductTerms,
        now: UnixMillis,
    ) -> Result<Product, CatalogueError> {
        check_name("name", name, "._-$ %")?;
        terms.check()?;
        self.organization(organization).await?;
        let product = Product {
            id: ProductId(Uuid::new_v4()),
            name: name.to_owned(),
            terms: terms.clone(),
            plans: Vec::new(),
            fee_log: Vec::new(),
            created_at: now,
            modified_at: now,
        };
        let owner = owner(organization, product.id);
        let claimed =
            self.claim(What::Product, product_name_key(organization, name), owner, now).await?;
        let key = product_key(organization, product.id);
        if self.insert(&key, &product, now).await? == Put::Conflict {
            return Err(CatalogueError::Contended { what: "product" });
        }
        if let Err(error) = self.confirm(claimed, now).await {
            self.remove(&key, now).await?;
            return Err(error);
        }
        Ok(product)
    }

    /// A product by name.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn product(&self, organization: &str, name: &str) -> Result<Product, CatalogueError> {
        let claim = self.load::<Claim>(&product_name_key(organization, name)).await?;
        if let Some(Owner::Product { product, .. }) = claim.map(|stored| stored.record.owner)
            && let Some(found) = self.load::<Product>(&product_key(organization, product)).await?
        {
            return Ok(found.record);
        }
        self.organization(organization).await?;
        Err(missing(organization, name))
    }

    /// A product by id, if it is there.
    ///
    /// # Errors
    /// The store's.
    pub async fn product_by_id(
        &self,
        organization: &str,
        id: ProductId,
    ) -> Result<Option<Product>, CatalogueError> {
        let found = self.load::<Product>(&product_key(organization, id)).await?;
        Ok(found.map(|stored| stored.record))
    }

    /// Products in order of name, from `start` (included) on, at most `limit`.
    ///
    /// # Errors
    /// `Missing` (organization), or the store's.
    pub async fn products(
        &self,
        organization: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Product>, CatalogueError> {
        self.organization(organization).await?;
        let load = |_, claim: Claim| async move {
            match claim.owner {
                Owner::Product { product, .. } => self.product_by_id(organization, product).await,
                Owner::Developer { .. } | Owner::App { .. } | Owner::Plan { .. } => Ok(None),
            }
        };
        self.claimed(PRODUCT_NAME, organization, start, limit, load).await
    }

    /// Replaces what people write of a product. Id, name and plans stay.
    ///
    /// # Errors
    /// `Missing`, `Invalid`, or the store's.
    pub async fn update_product(
        &self,
        organization: &str,
        name: &str,
        terms: &ProductTerms,
        now: UnixMillis,
    ) -> Result<Product, CatalogueError> {
        terms.check()?;
        let (product, ()) = self
            .edit_product(organization, name, now, |product| {
                product.terms = terms.clone();
                Ok(())
            })
            .await?;
        Ok(product)
    }

    /// Deletes a product with its plans: the record first, then its name. Keys and subscriptions
    /// keep its id, which nothing has any more, and the price revisions stay for the meters.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn delete_product(
        &self,
        organization: &str,
        name: &str,
        now: UnixMillis,
    ) -> Result<Product, CatalogueError> {
        let product = self.product(organization, name).await?;
        self.remove(&product_key(organization, product.id), now).await?;
        let owner = owner(organization, product.id);
        self.release(&product_name_key(organization, name), &owner, now).await?;
        Ok(product)
    }

    pub(super) async fn edit_product<R>(
        &self,
        organization: &str,
        name: &str,
        now: UnixMillis,
        mut change: impl FnMut(&mut Product) -> Result<R, CatalogueError>,
    ) -> Result<(Product, R), CatalogueError> {
        let id = self.product(organization, name).await?.id;
        let edited = self
            .edit(&product_key(organization, id), now, |product: &mut Product| {
                let result = change(product)?;
                product.modified_at = now;
                Ok(result)
            })
            .await?;
        edited.ok_or_else(|| missing(organization, name))
    }
}

fn owner(organization: &str, product: ProductId) -> Owner {
    Owner::Product { organization: organization.to_owned(), product }
}

fn missing(organization: &str, name: &str) -> CatalogueError {
    CatalogueError::missing(What::Product, name, organization)
}

// === impl ProductTerms ===

impl ProductTerms {
    fn check(&self) -> Result<(), CatalogueError> {
        check_attributes(&self.attributes)?;
        overspend::check(&self.attributes)?;
        let counts = [
            ("apiResources", self.api_resources.len()),
            ("environments", self.environments.len()),
            ("proxies", self.proxies.len()),
            ("scopes", self.scopes.len()),
            ("operationGroup.operationConfigs", self.operations.len()),
            ("operationConfigs", self.other_operations.len()),
        ];
        for (field, count) in counts {
            if count > ENTRIES_MAX {
                return Err(CatalogueError::invalid(field, format!("at most {ENTRIES_MAX}")));
            }
        }
        let has_operations = !self.operations.is_empty() || !self.other_operations.is_empty();
        if has_operations && !self.api_resources.is_empty() {
            let reason = "excludes apiResources: a product has one or the other";
            return Err(CatalogueError::invalid("operationGroup", reason));
        }
        if has_operations && !self.proxies.is_empty() {
            let reason = "names its proxies by apiSource: proxies must be empty";
            return Err(CatalogueError::invalid("operationGroup", reason));
        }
        for resource in &self.api_resources {
            check_resource("apiResources", resource)?;
        }
        for config in self.operations.iter().chain(&self.other_operations) {
            check_attributes(&config.attributes)?;
            if config.proxy.is_empty() {
                let reason = "is required";
                return Err(CatalogueError::invalid("operationGroup.apiSource", reason));
            }
            if config.operations.is_empty() {
                let reason = "needs at least one operation in each operationConfig";
                return Err(CatalogueError::invalid("operationGroup.operations", reason));
            }
            for operation in &config.operations {
                check_resource("operationGroup.resource", &operation.resource)?;
                for method in &operation.methods {
                    check_method(method)?;
                }
            }
        }
        Ok(())
    }
}

fn check_resource(field: &str, resource: &str) -> Result<(), CatalogueError> {
    let is_printable = |char: char| char.is_ascii_graphic() && !"?#".contains(char);
    if !resource.starts_with('/') || !resource.chars().all(is_printable) {
        let reason = format!("{resource:?} is not a path pattern that begins with a slash");
        return Err(CatalogueError::invalid(field, reason));
    }
    Ok(())
}

fn check_method(method: &str) -> Result<(), CatalogueError> {
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let reason = format!("{method:?} is not an HTTP method in capital letters");
        return Err(CatalogueError::invalid("operationGroup.methods", reason));
    }
    Ok(())
}
