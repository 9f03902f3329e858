//! Monetization packages of Edge: products that are sold together, and the plans they are sold by.
//!
//! A package is a record of names. What a plan of it says stands in each of its products, under one
//! id and name, so that X shows it there, and prices may differ from product to product. The name of
//! a plan is unique in its organization: a claim, then the package's record, then the products. A
//! crash in between leaves a plan that some products do not have yet; writing it again mends that.

use tollgate_metering::{PlanId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::claims::{Claim, Owner};
use super::error::{CatalogueError, What};
use super::organizations::check_name;
use super::plans::PLANS_MAX;
use super::records::{
    Package, PackagePlan, PackageProduct, PackageTerms, PackageText, Plan, PlanTerms, Product,
};
use super::store::{PACKAGE, package_key, plan_name_key};
use crate::documents::Put;

/// Most products of a package.
pub const PRODUCTS_MAX: usize = 100;

/// Marks beside letters and digits that the id of a package or plan may have.
const MARKS: &str = "._-$@ ";

/// A plan of a package, with what it says in each product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagePlanIn {
    /// Id of the package.
    pub package: String,
    /// Its ids.
    pub plan: PackagePlan,
    /// By product, in the package's order; those that do not have it are left out.
    pub products: Vec<(PackageProduct, Plan)>,
}

// === impl Catalogue ===

impl Catalogue {
    /// Creates a package of these products, by name.
    ///
    /// # Errors
    /// `Missing` (organization, product), `Exists`, `Invalid`, or the store's.
    pub async fn create_package(
        &self,
        organization: &str,
        id: &str,
        text: &PackageText,
        products: &[String],
        now: UnixMillis,
    ) -> Result<Package, CatalogueError> {
        check_name("id", id, MARKS)?;
        self.organization(organization).await?;
        let mut package = Package {
            id: id.to_owned(),
            terms: text.clone(),
            products: Vec::new(),
            plans: Vec::new(),
            created_at: now,
            modified_at: now,
        };
        for name in products {
            package.put_in(&self.product(organization, name).await?)?;
        }
        match self.insert(&package_key(organization, id), &package, now).await? {
            Put::Written => Ok(package),
            Put::Conflict => Err(CatalogueError::exists(What::Package, id, organization)),
        }
    }

    /// A package.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn package(&self, organization: &str, id: &str) -> Result<Package, CatalogueError> {
        let found = self.load::<Package>(&package_key(organization, id)).await?;
        found.map(|stored| stored.record).ok_or_else(|| missing(organization, id))
    }

    /// All packages of an organization, by id.
    ///
    /// # Errors
    /// `Missing` (organization), or the store's.
    pub async fn packages(&self, organization: &str) -> Result<Vec<Package>, CatalogueError> {
        self.organization(organization).await?;
        let all = self.all::<Package>(PACKAGE, organization).await?;
        Ok(all.into_iter().map(|(_, package)| package).collect())
    }

    /// Replaces what people write of a package; products and plans stay.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn update_package(
        &self,
        organization: &str,
        id: &str,
        text: &PackageText,
        now: UnixMillis,
    ) -> Result<Package, CatalogueError> {
        let (package, ()) = self
            .edit_package(organization, id, now, |package| {
                package.terms = text.clone();
                Ok(())
            })
            .await?;
        Ok(package)
    }

    /// Puts a product into a package, with the plans of the package as its first product has them.
    /// Repeating it changes nothing.
    ///
    /// # Errors
    /// `Missing`, `Precondition` (too many), or the store's.
    pub async fn add_to_package(
        &self,
        organization: &str,
        id: &str,
        product: &str,
        now: UnixMillis,
    ) -> Result<Package, CatalogueError> {
        let product = self.product(organization, product).await?;
        let (package, ()) =
            self.edit_package(organization, id, now, |package| package.put_in(&product)).await?;
        for plan in &package.plans {
            let found = self.plan_in(organization, &package, plan).await?;
            let has_it = found.products.iter().any(|(other, _)| other.id == product.id);
            if let (false, Some((_, first))) = (has_it, found.products.first()) {
                let ids = (plan.id, Some(plan.name.clone()));
                self.add_plan(organization, &product.name, ids, &first.terms, now).await?;
            }
        }
        Ok(package)
    }

    /// Takes a product out of a package; the package's plans leave the product.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn remove_from_package(
        &self,
        organization: &str,
        id: &str,
        product: &str,
        now: UnixMillis,
    ) -> Result<Package, CatalogueError> {
        let (package, removed) = self
            .edit_package(organization, id, now, |package| {
                let at = package.products.iter().position(|other| other.name == product);
                let at = at.ok_or_else(|| CatalogueError::missing(What::Product, product, id))?;
                Ok(package.products.remove(at))
            })
            .await?;
        for plan in &package.plans {
            self.drop_plan(organization, &removed, plan, now).await?;
        }
        Ok(package)
    }

    /// Deletes a package with its plans.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn delete_package(
        &self,
        organization: &str,
        id: &str,
        now: UnixMillis,
    ) -> Result<Package, CatalogueError> {
        let package = self.package(organization, id).await?;
        for plan in &package.plans {
            self.delete_package_plan(organization, &plan.name, now).await?;
        }
        self.remove(&package_key(organization, id), now).await?;
        Ok(package)
    }

    /// Creates a plan of a package, in each product with the terms that `terms_in` gives for its
    /// name; `None`: the product does not get it. What `terms.package` names as the package does not
    /// matter. The name is generated where none is given.
    ///
    /// # Errors
    /// `Missing`, `Exists`, `Invalid`, `Precondition` (no product, too many plans), or the store's.
    pub async fn create_package_plan(
        &self,
        organization: &str,
        id: &str,
        name: Option<&str>,
        terms_in: impl Fn(&str) -> Option<PlanTerms> + Send + Sync,
        now: UnixMillis,
    ) -> Result<PackagePlanIn, CatalogueError> {
        let package = self.package(organization, id).await?;
        let new = PlanId(Uuid::new_v4());
        let name = name.map_or_else(|| new.to_string(), str::to_owned);
        check_name("id", &name, MARKS)?;
        let terms = in_products(&package, &terms_in)?;
        let owner = Owner::Plan { organization: organization.to_owned(), package: id.to_owned() };
        let key = plan_name_key(organization, &name);
        let claimed = self.claim(What::RatePlan, key.clone(), owner.clone(), now).await?;
        let plan = PackagePlan { name, id: new };
        let edited = self
            .edit_package(organization, id, now, |package| {
                if package.plans.len() >= PLANS_MAX {
                    let what = format!("{id} has {PLANS_MAX} rate plans already");
                    return Err(CatalogueError::Precondition(what));
                }
                package.plans.push(plan.clone());
                Ok(())
            })
            .await;
        if let Err(error) = edited {
            self.release(&key, &owner, now).await?;
            return Err(error);
        }
        self.confirm(claimed, now).await?;
        self.write_plan(organization, &package, plan, terms, now).await
    }

    /// A plan of a package by its name, or its generated id.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn package_plan(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<PackagePlanIn, CatalogueError> {
        let (package, plan) = self.named_plan(organization, name).await?;
        self.plan_in(organization, &package, &plan).await
    }

    /// All plans of a package, oldest first.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn package_plans(
        &self,
        organization: &str,
        id: &str,
    ) -> Result<Vec<PackagePlanIn>, CatalogueError> {
        let package = self.package(organization, id).await?;
        let mut plans = Vec::with_capacity(package.plans.len());
        for plan in &package.plans {
            plans.push(self.plan_in(organization, &package, plan).await?);
        }
        Ok(plans)
    }

    /// Replaces what a plan of a package says in each product, as
    /// [`Catalogue::create_package_plan`] has it.
    ///
    /// # Errors
    /// `Missing`, `Invalid`, or the store's.
    pub async fn update_package_plan(
        &self,
        organization: &str,
        name: &str,
        terms_in: impl Fn(&str) -> Option<PlanTerms> + Send + Sync,
        now: UnixMillis,
    ) -> Result<PackagePlanIn, CatalogueError> {
        let (package, plan) = self.named_plan(organization, name).await?;
        let terms = in_products(&package, &terms_in)?;
        self.write_plan(organization, &package, plan, terms, now).await
    }

    /// Deletes a plan of a package; its price revisions stay, and so do subscriptions, which have no
    /// plan then.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn delete_package_plan(
        &self,
        organization: &str,
        name: &str,
        now: UnixMillis,
    ) -> Result<PackagePlanIn, CatalogueError> {
        let found = self.package_plan(organization, name).await?;
        let (plan, id) = (&found.plan, &found.package);
        for (product, _) in &found.products {
            self.drop_plan(organization, product, plan, now).await?;
        }
        self.edit_package(organization, id, now, |package| {
            package.plans.retain(|other| other.id != plan.id);
            Ok(())
        })
        .await?;
        let owner = Owner::Plan { organization: organization.to_owned(), package: id.clone() };
        self.release(&plan_name_key(organization, &plan.name), &owner, now).await?;
        Ok(found)
    }

    /// The package and ids of a plan.
    async fn named_plan(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<(Package, PackagePlan), CatalogueError> {
        let claim = self.load::<Claim>(&plan_name_key(organization, name)).await?;
        if let Some(Owner::Plan { package, .. }) = claim.map(|stored| stored.record.owner) {
            let package = self.package(organization, &package).await?;
            if let Some(plan) = package.plans.iter().find(|plan| plan.name == name).cloned() {
                return Ok((package, plan));
            }
        }
        for package in self.packages(organization).await? {
            let is_it = |plan: &&PackagePlan| plan.id.to_string() == name;
            if let Some(plan) = package.plans.iter().find(is_it).cloned() {
                return Ok((package, plan));
            }
        }
        Err(CatalogueError::missing(What::RatePlan, name, organization))
    }

    async fn plan_in(
        &self,
        organization: &str,
        package: &Package,
        plan: &PackagePlan,
    ) -> Result<PackagePlanIn, CatalogueError> {
        let mut products = Vec::new();
        for within in &package.products {
            let product = self.product_by_id(organization, within.id).await?;
            let found = product
                .and_then(|product| product.plans.into_iter().find(|other| other.id == plan.id));
            products.extend(found.map(|found| (within.clone(), found)));
        }
        Ok(PackagePlanIn { package: package.id.clone(), plan: plan.clone(), products })
    }

    /// Writes a plan to each product that gets it, and takes it from those that do not.
    async fn write_plan(
        &self,
        organization: &str,
        package: &Package,
        plan: PackagePlan,
        terms: Vec<(PackageProduct, Option<PlanTerms>)>,
        now: UnixMillis,
    ) -> Result<PackagePlanIn, CatalogueError> {
        let id = plan.id.to_string();
        for (product, terms) in terms {
            let Some(terms) = terms else {
                self.drop_plan(organization, &product, &plan, now).await?;
                continue;
            };
            let name = &product.name;
            match self.update_plan(organization, name, &id, &terms, now).await {
                Ok(_) => {}
                Err(CatalogueError::Missing { what: What::RatePlan, .. }) => {
                    let ids = (plan.id, Some(plan.name.clone()));
                    self.add_plan(organization, name, ids, &terms, now).await?;
                }
                Err(error) => return Err(error),
            }
        }
        self.plan_in(organization, package, &plan).await
    }

    async fn drop_plan(
        &self,
        organization: &str,
        product: &PackageProduct,
        plan: &PackagePlan,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        let id = plan.id.to_string();
        match self.delete_plan(organization, &product.name, &id, now).await {
            Ok(_) | Err(CatalogueError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn edit_package<R>(
        &self,
        organization: &str,
        id: &str,
        now: UnixMillis,
        mut change: impl FnMut(&mut Package) -> Result<R, CatalogueError>,
    ) -> Result<(Package, R), CatalogueError> {
        let edited = self
            .edit(&package_key(organization, id), now, |package: &mut Package| {
                let result = change(package)?;
                package.modified_at = now;
                Ok(result)
            })
            .await?;
        edited.ok_or_else(|| missing(organization, id))
    }
}

/// The terms of each product, checked before anything is written.
fn in_products(
    package: &Package,
    terms_in: impl Fn(&str) -> Option<PlanTerms>,
) -> Result<Vec<(PackageProduct, Option<PlanTerms>)>, CatalogueError> {
    let mut all = Vec::with_capacity(package.products.len());
    for product in &package.products {
        let terms = terms_in(&product.name).map(|mut terms| {
            let of = terms.package.take().unwrap_or_default();
            terms.package = Some(PackageTerms { package: package.id.clone(), ..of });
            terms
        });
        if let Some(terms) = &terms {
            terms.check()?;
        }
        all.push((product.clone(), terms));
    }
    if all.iter().all(|(_, terms)| terms.is_none()) {
        let what = format!("package {} has no product that the rate plan is for", package.id);
        return Err(CatalogueError::Precondition(what));
    }
    Ok(all)
}

fn missing(organization: &str, id: &str) -> CatalogueError {
    CatalogueError::missing(What::Package, id, organization)
}

// === impl Package ===

impl Package {
    fn put_in(&mut self, product: &Product) -> Result<(), CatalogueError> {
        if self.products.iter().any(|other| other.id == product.id) {
            return Ok(());
        }
        // One that was deleted and created again takes the place of the one before it.
        self.products.retain(|other| other.name != product.name);
        if self.products.len() >= PRODUCTS_MAX {
            let what = format!("{} has {PRODUCTS_MAX} products already", self.id);
            return Err(CatalogueError::Precondition(what));
        }
        self.products.push(PackageProduct { id: product.id, name: product.name.clone() });
        Ok(())
    }
}
