//! Reads and writes typed records as documents, and names their keys.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tollgate_metering::{DeveloperId, PlanId, ProductId, UnixMillis};
use uuid::Uuid;

use super::Catalogue;
use super::error::CatalogueError;
use crate::documents::{DocumentKey, Put};
use crate::error::LedgerError;

/// How often a read-change-write is begun again when somebody else was faster.
const ATTEMPTS: usize = 16;

/// How many documents one page of a whole listing asks for.
const PAGE: usize = 500;

pub(super) const ORGANIZATION: &str = "organization";
pub(super) const DEVELOPER: &str = "developer";
pub(super) const DEVELOPER_EMAIL: &str = "developer_email";
pub(super) const APP: &str = "app";
pub(super) const APP_GROUP_NAME: &str = "app_group_name";
pub(super) const APP_ID: &str = "app_id";
pub(super) const AUDIT: &str = "audit";
pub(super) const AUDIT_BUCKET: &str = "audit_bucket";
pub(super) const KEY: &str = "key";
pub(super) const PRODUCT: &str = "product";
pub(super) const PRODUCT_NAME: &str = "product_name";
pub(super) const PLAN_REVISION: &str = "plan_revision";
pub(super) const PACKAGE: &str = "package";
pub(super) const PLAN_NAME: &str = "plan_name";
pub(super) const RETIREMENT: &str = "retirement";
pub(super) const SUBSCRIPTIONS: &str = "subscriptions";
pub(super) const TOKEN: &str = "token";
pub(super) const WALLET_POLICIES: &str = "wallet_policies";
pub(super) const WALLET_NOTE: &str = "wallet_note";
pub(super) const FEES_BOOKED: &str = "fees_booked";
pub(super) const BILLING_SWITCH: &str = "billing_switch";

/// The scope of all organizations.
pub(super) const ALL: &str = "all";

/// A record with the version that a conditional write of it names.
pub(super) struct Stored<T> {
    pub(super) version: u64,
    pub(super) record: T,
}

pub(super) fn organization_key(name: &str) -> DocumentKey {
    key(ORGANIZATION, ALL, name)
}

pub(super) fn developer_key(organization: &str, developer: DeveloperId) -> DocumentKey {
    key(DEVELOPER, organization, developer)
}

pub(super) fn email_key(organization: &str, email: &str) -> DocumentKey {
    key(DEVELOPER_EMAIL, organization, email)
}

pub(super) fn app_group_key(organization: &str, name: &str) -> DocumentKey {
    key(APP_GROUP_NAME, organization, name)
}

/// Apps of one developer share a scope: `organization/developer`. Organizations have no slash.
pub(super) fn app_scope(organization: &str, developer: DeveloperId) -> String {
    format!("{organization}/{developer}")
}

pub(super) fn app_key(organization: &str, developer: DeveloperId, name: &str) -> DocumentKey {
    key(APP, app_scope(organization, developer), name)
}

pub(super) fn app_id_key(organization: &str, app: Uuid) -> DocumentKey {
    key(APP_ID, organization, app)
}

/// Keys are found without knowing an organization, and each is a partition of its own.
pub(super) fn consumer_key_key(sha256_hex: &str) -> DocumentKey {
    key(KEY, sha256_hex, sha256_hex)
}

pub(super) fn product_key(organization: &str, product: ProductId) -> DocumentKey {
    key(PRODUCT, organization, product)
}

pub(super) fn product_name_key(organization: &str, name: &str) -> DocumentKey {
    key(PRODUCT_NAME, organization, name)
}

pub(super) fn revision_key(plan: PlanId, revision: u32) -> DocumentKey {
    key(PLAN_REVISION, plan, format!("{revision:010}"))
}

pub(super) fn package_key(organization: &str, id: &str) -> DocumentKey {
    key(PACKAGE, organization, id)
}

pub(super) fn plan_name_key(organization: &str, name: &str) -> DocumentKey {
    key(PLAN_NAME, organization, name)
}

pub(super) fn retirement_key(incarnation: Uuid) -> DocumentKey {
    key(RETIREMENT, ALL, incarnation)
}

pub(super) fn subscriptions_key(organization: &str, developer: DeveloperId) -> DocumentKey {
    key(SUBSCRIPTIONS, organization, developer)
}

/// One scope of the audit log: organizations have no slash.
pub(super) fn audit_scope(organization: &str, bucket: i64) -> String {
    format!("{organization}/{bucket:010}")
}

pub(super) fn audit_key(organization: &str, bucket: i64, name: &str) -> DocumentKey {
    key(AUDIT, audit_scope(organization, bucket), name)
}

pub(super) fn audit_bucket_key(organization: &str, bucket: i64) -> DocumentKey {
    key(AUDIT_BUCKET, organization, format!("{bucket:010}"))
}

pub(super) fn wallet_note_key(organization: &str, developer: DeveloperId) -> DocumentKey {
    key(WALLET_NOTE, organization, developer)
}

pub(super) fn token_key(name: &str) -> DocumentKey {
    key(TOKEN, ALL, name)
}

pub(super) fn wallet_policies_key(organization: &str, developer: DeveloperId) -> DocumentKey {
    key(WALLET_POLICIES, organization, developer)
}

pub(super) fn fees_booked_key(organization: &str, developer: DeveloperId) -> DocumentKey {
    key(FEES_BOOKED, organization, developer)
}

/// Developers have ids of their own everywhere, so that one listing finds all.
pub(super) fn billing_switch_key(developer: DeveloperId) -> DocumentKey {
    key(BILLING_SWITCH, ALL, developer)
}

fn key(kind: &'static str, scope: impl ToString, name: impl ToString) -> DocumentKey {
    DocumentKey { kind, scope: scope.to_string(), name: name.to_string() }
}

// === impl Catalogue ===

impl Catalogue {
    pub(super) async fn load<T: DeserializeOwned>(
        &self,
        key: &DocumentKey,
    ) -> Result<Option<Stored<T>>, CatalogueError> {
        let Some(document) = self.documents.get(key).await? else { return Ok(None) };
        let record = read(key.kind, &key.name, &document.body)?;
        Ok(Some(Stored { version: document.version, record }))
    }

    /// Writes a record that is not there yet.
    pub(super) async fn insert<T: Serialize>(
        &self,
        key: &DocumentKey,
        record: &T,
        now: UnixMillis,
    ) -> Result<Put, CatalogueError> {
        Ok(self.documents.put(key, None, &write(key.kind, record)?, now).await?)
    }

    /// Writes a record over the version that it was computed from.
    pub(super) async fn replace<T: Serialize>(
        &self,
        key: &DocumentKey,
        version: u64,
        record: &T,
        now: UnixMillis,
    ) -> Result<Put, CatalogueError> {
        Ok(self.documents.put(key, Some(version), &write(key.kind, record)?, now).await?)
    }

    /// Reads, changes and writes a record, again from the start where somebody else was faster.
    /// `None` if it is not there. A `change` that fails writes nothing.
    pub(super) async fn edit<T, R>(
        &self,
        key: &DocumentKey,
        now: UnixMillis,
        mut change: impl FnMut(&mut T) -> Result<R, CatalogueError>,
    ) -> Result<Option<(T, R)>, CatalogueError>
    where
        T: Serialize + DeserializeOwned,
    {
        for _ in 0..ATTEMPTS {
            let Some(mut stored) = self.load::<T>(key).await? else { return Ok(None) };
            let result = change(&mut stored.record)?;
            match self.replace(key, stored.version, &stored.record, now).await? {
                Put::Written => return Ok(Some((stored.record, result))),
                Put::Conflict => {}
            }
        }
        Err(CatalogueError::Contended { what: key.kind })
    }

    /// Removes a document whatever its version; one that is not there is removed already.
    pub(super) async fn remove(
        &self,
        key: &DocumentKey,
        now: UnixMillis,
    ) -> Result<(), CatalogueError> {
        for _ in 0..ATTEMPTS {
            let Some(document) = self.documents.get(key).await? else { return Ok(()) };
            match self.documents.delete(key, document.version, now).await? {
                Put::Written => return Ok(()),
                Put::Conflict => {}
            }
        }
        Err(CatalogueError::Contended { what: key.kind })
    }

    /// One page of a listing.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        scope: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, T)>, CatalogueError> {
        let mut records = Vec::new();
        for (name, document) in self.documents.list(kind, scope, start, limit).await? {
            let record = read(kind, &name, &document.body)?;
            records.push((name, record));
        }
        Ok(records)
    }

    /// A whole listing, page by page.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        scope: &str,
    ) -> Result<Vec<(String, T)>, CatalogueError> {
        let mut records: Vec<(String, T)> = Vec::new();
        loop {
            let last = records.last().map(|(name, _)| name.clone());
            let mut page = self.page(kind, scope, last.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            // A page begins with the name it starts from, which the page before ended with.
            if last.is_some() && page.first().map(|(name, _)| name) == last.as_ref() {
                page.remove(0);
            }
            records.append(&mut page);
            if is_last {
                return Ok(records);
            }
        }
    }
}

fn write<T: Serialize>(kind: &'static str, record: &T) -> Result<String, CatalogueError> {
    serde_json::to_string(record).map_err(|error| {
        CatalogueError::Ledger(LedgerError::Corrupt { what: kind, detail: error.to_string() })
    })
}

fn read<T: DeserializeOwned>(
    kind: &'static str,
    name: &str,
    body: &str,
) -> Result<T, CatalogueError> {
    serde_json::from_str(body).map_err(|error| {
        let detail = format!("{name}: {error}");
        CatalogueError::Ledger(LedgerError::Corrupt { what: kind, detail })
    })
}
