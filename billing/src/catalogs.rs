//! Catalogues: where an organization publishes plans, and with which billings.
//!
//! Every organization has one called [`SANDBOX`], which is never of production. A billing is
//! *configured* in a catalogue before plans with a price are published there; one that works in
//! test mode never gets into a catalogue of production.
//! A catalogue is one document with its configured billings, so that marking it as production and
//! attaching test keys to it see each other.
//! Bounds: at most [`CATALOGS_MAX`] of an organization.

use serde::{Deserialize, Serialize};
use tollgate_ledger_store::catalogue::text;
use tollgate_ledger_store::{DocumentKey, Put};
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use crate::Billing;
use crate::error::BillingError;
use crate::integrations::{Integration, check_name, name_of};
use crate::records::key;
use crate::secret::KeyMode;

const CATALOG: &str = "billing.catalog";

/// The catalogue that is always there.
pub const SANDBOX: &str = "sandbox";

/// Most catalogues of an organization.
pub const CATALOGS_MAX: usize = 100;

/// A catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Generated; empty for a sandbox that nobody has touched.
    pub id: Uuid,
    /// Unique in the organization, immutable.
    pub name: String,
    /// For people.
    pub title: String,
    /// For people.
    #[serde(default)]
    pub summary: String,
    /// Whether what is sold there is sold for real.
    pub is_production: bool,
    /// Its billings, oldest first, at most one of each.
    #[serde(default)]
    pub configured: Vec<ConfiguredBilling>,
    /// When it was created.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
    /// When it was last changed.
    #[serde(with = "text::millis")]
    pub modified_at: UnixMillis,
}

/// A billing that is attached to a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredBilling {
    /// Generated.
    pub id: Uuid,
    /// Of the integration: one that is created again under the same name is not attached.
    pub integration: Uuid,
    /// The integration's name, which is its own here.
    pub name: String,
    /// When it was attached.
    #[serde(with = "text::millis")]
    pub created_at: UnixMillis,
}

/// A catalogue to be made.
#[derive(Clone, Debug, Default)]
pub struct CatalogTerms {
    /// Absent: made of the title.
    pub name: Option<String>,
    /// For people.
    pub title: String,
    /// For people.
    pub summary: String,
    /// Whether what is sold there is sold for real.
    pub is_production: bool,
}

/// What is to be changed of a catalogue; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct CatalogChange {
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub summary: Option<String>,
    /// Whether what is sold there is sold for real.
    pub is_production: Option<bool>,
}

fn catalog_key(organization: &str, name: &str) -> DocumentKey {
    key(CATALOG, organization, name)
}

fn missing(organization: &str, name: &str) -> BillingError {
    BillingError::missing("catalog", name, format!("organization {organization}"))
}

// === impl Catalog ===

impl Catalog {
    fn sandbox() -> Catalog {
        Catalog {
            id: Uuid::nil(),
            name: SANDBOX.to_owned(),
            title: "Sandbox".to_owned(),
            summary: String::new(),
            is_production: false,
            configured: Vec::new(),
            created_at: UnixMillis(0),
            modified_at: UnixMillis(0),
        }
    }

    /// The configured billing of this name or id.
    ///
    /// # Errors
    /// `Missing`.
    pub fn billing(&self, named: &str) -> Result<&ConfiguredBilling, BillingError> {
        let is_it = |one: &&ConfiguredBilling| one.name == named || one.id.to_string() == named;
        let found = self.configured.iter().find(is_it);
        found.ok_or_else(|| {
            BillingError::missing("configured billing", named, format!("catalog {}", self.name))
        })
    }

    /// Whether this very integration is attached.
    #[must_use]
    pub fn has(&self, integration: &Integration) -> bool {
        self.configured.iter().any(|one| one.integration == integration.id)
    }

    fn check_mode(&self, integration: &Integration) -> Result<(), BillingError> {
        match (self.is_production, integration.mode) {
            (true, KeyMode::Test) => Err(BillingError::Precondition(format!(
                "billing {} has test keys and catalog {} is of production: nothing would be paid",
                integration.name, self.name
            ))),
            (true | false, KeyMode::Live) | (false, KeyMode::Test) => Ok(()),
        }
    }
}

// === impl Billing ===

impl Billing {
    /// A catalogue.
    ///
    /// # Errors
    /// `Missing`, or the store's.
    pub async fn catalog(&self, organization: &str, name: &str) -> Result<Catalog, BillingError> {
        if let Some(stored) = self.records().load(&catalog_key(organization, name)).await? {
            return Ok(stored.record);
        }
        self.parts().catalogue.organization(organization).await?;
        match name {
            SANDBOX => Ok(Catalog::sandbox()),
            other => Err(missing(organization, other)),
        }
    }

    /// All catalogues of an organization by name.
    ///
    /// # Errors
    /// `Missing` (organization), or the store's.
    pub async fn catalogs(&self, organization: &str) -> Result<Vec<Catalog>, BillingError> {
        self.parts().catalogue.organization(organization).await?;
        let all = self.records().all::<Catalog>(CATALOG, organization).await?;
        let mut all: Vec<Catalog> = all.into_iter().map(|(_, stored)| stored.record).collect();
        if !all.iter().any(|one| one.name == SANDBOX) {
            all.push(Catalog::sandbox());
            all.sort_by(|one, other| one.name.cmp(&other.name));
        }
        Ok(all)
    }

    /// Makes a catalogue.
    ///
    /// # Errors
    /// `Invalid`, `Exists`, `Precondition` (too many), or the store's.
    pub async fn create_catalog(
        &self,
        organization: &str,
        terms: &CatalogTerms,
    ) -> Result<Catalog, BillingError> {
        let name = match &terms.name {
            Some(name) => name.clone(),
            None => name_of(&terms.title)?,
        };
        check_name(&name)?;
        let there = self.catalogs(organization).await?;
        let exists =
            || BillingError::exists("catalog", &name, format!("organization {organization}"));
        if there.iter().any(|one| one.name == name) {
            return Err(exists());
        }
        if there.len() >= CATALOGS_MAX {
            let what = format!("{organization} has {CATALOGS_MAX} catalogs already");
            return Err(BillingError::Precondition(what));
        }
        let now = self.parts().clock.now();
        let catalog = Catalog {
            id: Uuid::new_v4(),
            name: name.clone(),
            title: if terms.title.is_empty() { name.clone() } else { terms.title.clone() },
            summary: terms.summary.clone(),
            is_production: terms.is_production,
            configured: Vec::new(),
            created_at: now,
            modified_at: now,
        };
        match self.records().insert(&catalog_key(organization, &name), &catalog, now).await? {
            Put::Written => Ok(catalog),
            Put::Conflict => Err(exists()),
        }
    }

    /// Changes a catalogue. One with test keys does not become one of production.
    ///
    /// # Errors
    /// `Missing`, `Precondition`, `Contended`, or the store's.
    pub async fn update_catalog(
        &self,
        organization: &str,
        name: &str,
        change: &CatalogChange,
    ) -> Result<Catalog, BillingError> {
        if name == SANDBOX && change.is_production == Some(true) {
            let what = "catalog sandbox is never of production";
            return Err(BillingError::Precondition(what.to_owned()));
        }
        let integrations = self.integrations(organization).await?;
        self.edit_catalog(organization, name, |catalog| {
            catalog.title = change.title.clone().unwrap_or_else(|| catalog.title.clone());
            catalog.summary = change.summary.clone().unwrap_or_else(|| catalog.summary.clone());
            catalog.is_production = change.is_production.unwrap_or(catalog.is_production);
            integrations
                .iter()
                .filter(|one| catalog.has(one))
                .try_for_each(|one| catalog.check_mode(one))
        })
        .await
    }

    /// Removes a catalogue to which nothing is published.
    ///
    /// # Errors
    /// `Missing`, `Precondition`, or the store's.
    pub async fn delete_catalog(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Catalog, BillingError> {
        let catalog = self.catalog(organization, name).await?;
        if name == SANDBOX {
            let what = "catalog sandbox is always there";
            return Err(BillingError::Precondition(what.to_owned()));
        }
        self.refuse_published(organization, name, None).await?;
        let now = self.parts().clock.now();
        self.records().remove(&catalog_key(organization, name), now).await?;
        Ok(catalog)
    }

    /// Attaches a billing to a catalogue.
    ///
    /// # Errors
    /// `Missing`, `Exists`, `Precondition` (test keys, production), or the store's.
    pub async fn configure_billing(
        &self,
        organization: &str,
        catalog: &str,
        billing: &str,
    ) -> Result<(Catalog, ConfiguredBilling), BillingError> {
        let integration = self.integration(organization, billing).await?.record;
        let now = self.parts().clock.now();
        let new = ConfiguredBilling {
            id: Uuid::new_v4(),
            integration: integration.id,
            name: integration.name.clone(),
            created_at: now,
        };
        let catalog = self.edit_catalog(organization, catalog, |catalog| {
            catalog.check_mode(&integration)?;
            if catalog.has(&integration) {
                let inside = format!("catalog {}", catalog.name);
                return Err(BillingError::exists("configured billing", billing, inside));
            }
            // One of an integration that was deleted and has the same name.
            catalog.configured.retain(|one| one.name != integration.name);
            catalog.configured.push(new.clone());
            Ok(())
        });
        Ok((catalog.await?, new))
    }

    /// Detaches a billing from a catalogue that has no plan billed with it.
    ///
    /// # Errors
    /// `Missing`, `Precondition`, or the store's.
    pub async fn detach_billing(
        &self,
        organization: &str,
        catalog: &str,
        billing: &str,
    ) -> Result<(Catalog, ConfiguredBilling), BillingError> {
        let before = self.catalog(organization, catalog).await?;
        let detached = before.billing(billing)?.clone();
        self.refuse_published(organization, catalog, Some(&detached.name)).await?;
        let after = self.edit_catalog(organization, catalog, |catalog| {
            catalog.configured.retain(|one| one.id != detached.id);
            Ok(())
        });
        Ok((after.await?, detached))
    }

    /// Removes an integration that no catalogue has and no subscription is billed with.
    ///
    /// # Errors
    /// `Missing`, `Precondition`, `Contended`, or the store's.
    pub async fn delete_integration(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Integration, BillingError> {
        let stored = self.integration(organization, name).await?;
        let integration = stored.record;
        for catalog in self.catalogs(organization).await? {
            if catalog.has(&integration) {
                return Err(BillingError::Precondition(format!(
                    "billing {name} is configured in catalog {}: delete it there first",
                    catalog.name
                )));
            }
        }
        if let Some(id) = self.billed_with(&integration).await? {
            let what = format!("subscription {id} is billed with {name}: end it first");
            return Err(BillingError::Precondition(what));
        }
        if self.queue_of(&integration).await?.length > 0 {
            let what = format!("billing {name} has jobs that are not done: wait, or clear them");
            return Err(BillingError::Precondition(what));
        }
        let (key, now) =
            (key(crate::integrations::INTEGRATION, organization, name), self.parts().clock.now());
        match self.records().delete(&key, stored.version, now).await? {
            Put::Written => Ok(integration),
            Put::Conflict => Err(BillingError::Contended { what: "billing" }),
        }
    }

    async fn edit_catalog(
        &self,
        organization: &str,
        name: &str,
        change: impl FnMut(&mut Catalog) -> Result<(), BillingError>,
    ) -> Result<Catalog, BillingError> {
        let (key, now) = (catalog_key(organization, name), self.parts().clock.now());
        if name == SANDBOX {
            self.parts().catalogue.organization(organization).await?;
            let fresh = Catalog {
                id: Uuid::new_v4(),
                created_at: now,
                modified_at: now,
                ..Catalog::sandbox()
            };
            self.records().insert(&key, &fresh, now).await?;
        }
        let mut change = change;
        let edited = self.records().edit(&key, now, |catalog: &mut Catalog| {
            change(catalog)?;
            catalog.modified_at = now;
            Ok(())
        });
        edited.await?.map(|(catalog, ())| catalog).ok_or_else(|| missing(organization, name))
    }

    /// Refuses where a plan is published to a catalogue, or one that this billing collects.
    async fn refuse_published(
        &self,
        organization: &str,
        catalog: &str,
        billing: Option<&str>,
    ) -> Result<(), BillingError> {
        let published = self.published_plans(organization, catalog).await?;
        let found = published.iter().find(|(_, plan)| {
            let collects = plan.terms.flat.as_ref().and_then(|flat| flat.billing.as_deref());
            billing.is_none() || collects == billing
        });
        match found {
            Some((product, plan)) => Err(BillingError::Precondition(format!(
                "plan {} of {} is published to catalog {catalog}: withdraw it first",
                plan.public_id(),
                product.name
            ))),
            None => Ok(()),
        }
    }
}
