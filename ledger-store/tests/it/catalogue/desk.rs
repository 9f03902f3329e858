//! A catalogue with one organization, and how tests write to it.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::developers::DeveloperTerms;
use tollgate_ledger_store::catalogue::records::{
    App, Developer, Plan, PlanState, PlanTerms, PriceBand, PricingType, Product, ProductTerms,
};
use tollgate_ledger_store::catalogue::{Caller, Window};
use tollgate_ledger_store::sqlite::SqliteLedger;
use tollgate_ledger_store::{Catalogue, CatalogueError, DocumentStore, Ledger, LedgerMetrics};
use tollgate_metering::UnixMillis;

use crate::fixtures::NOON;

pub(super) const ACME: &str = "acme";

/// A catalogue in a file of its own.
pub(super) struct Desk {
    pub(super) catalogue: Catalogue,
    pub(super) ledger: Arc<SqliteLedger>,
    _directory: TempDir,
}

pub(super) fn later(seconds: i64) -> UnixMillis {
    UnixMillis(NOON.0 + seconds * 1000)
}

pub(super) fn sha256(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

pub(super) fn terms(email: &str) -> DeveloperTerms {
    DeveloperTerms {
        email: email.to_owned(),
        first_name: "Ada".to_owned(),
        last_name: "Lovelace".to_owned(),
        user_name: "ada".to_owned(),
        ..DeveloperTerms::default()
    }
}

/// A published plan in EUR at one price a call.
pub(super) fn published(price: &str, start: i64, end: Option<i64>) -> PlanTerms {
    PlanTerms {
        display_name: "standard".to_owned(),
        is_monthly: true,
        currency: Some("EUR".parse().unwrap()),
        pricing: Some(PricingType::FixedPerUnit),
        bands: vec![PriceBand { start: None, end: None, fee: price.parse().unwrap() }],
        state: PlanState::Published,
        start: Some(later(start)),
        end: end.map(later),
        ..PlanTerms::default()
    }
}

pub(super) fn always() -> Window {
    Window { start: NOON, end: None }
}

// === impl Desk ===

impl Desk {
    pub(super) async fn open() -> Desk {
        let directory = tempfile::tempdir().unwrap();
        let registry = prometheus::Registry::new();
        let metrics = LedgerMetrics::register(&registry).unwrap();
        let path = directory.path().join("ledger.sqlite");
        let ledger = Arc::new(SqliteLedger::open(&path, metrics).unwrap());
        let catalogue = Desk::over(Arc::clone(&ledger) as Arc<dyn DocumentStore>, &ledger);
        catalogue.create_organization(ACME, "Acme", "", Vec::new(), NOON).await.unwrap();
        Desk { catalogue, ledger, _directory: directory }
    }

    /// Another catalogue over other documents and the same ledger.
    pub(super) fn over(documents: Arc<dyn DocumentStore>, ledger: &Arc<SqliteLedger>) -> Catalogue {
        Catalogue::new(documents, Arc::clone(ledger) as Arc<dyn Ledger>)
    }

    pub(super) async fn developer(&self, email: &str) -> Developer {
        self.catalogue.create_developer(ACME, &terms(email), NOON).await.unwrap()
    }

    pub(super) async fn product(&self, name: &str) -> Product {
        let terms = ProductTerms::default();
        self.catalogue.create_product(ACME, name, &terms, NOON).await.unwrap()
    }

    pub(super) async fn plan(
        &self,
        product: &str,
        terms: &PlanTerms,
    ) -> Result<Plan, CatalogueError> {
        self.catalogue.create_plan(ACME, product, terms, NOON).await
    }

    pub(super) async fn app(&self, developer: &Developer, name: &str, products: &[&str]) -> App {
        let products = products.iter().map(|name| (*name).to_owned()).collect();
        let terms = AppTerms { products, ..AppTerms::default() };
        self.catalogue.create_app(ACME, developer, name, &terms, NOON).await.unwrap()
    }

    pub(super) async fn resolve(&self, app: &App) -> Option<Caller> {
        let key = &app.credentials[0].consumer_key;
        self.catalogue.resolve(&sha256(key), NOON).await.unwrap()
    }
}

/// Whether an error is about something that is there already.
pub(super) fn is_exists<T>(result: &Result<T, CatalogueError>) -> bool {
    matches!(result, Err(CatalogueError::Exists { .. }))
}

/// Whether an error is about something that is not there.
pub(super) fn is_missing<T>(result: &Result<T, CatalogueError>) -> bool {
    matches!(result, Err(CatalogueError::Missing { .. }))
}
