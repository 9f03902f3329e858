//! A page of a listing costs what the page holds, however many records there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::documents::{Document, DocumentChange, DocumentKey, Put};
use tollgate_ledger_store::{DocumentStore, LedgerError};
use tollgate_metering::UnixMillis;

use super::desk::{ACME, Desk};
use crate::fixtures::NOON;

/// A store that counts the documents that it hands out.
struct Counting {
    inner: Arc<dyn DocumentStore>,
    read: Arc<AtomicUsize>,
}

#[async_trait]
impl DocumentStore for Counting {
    async fn get(&self, key: &DocumentKey) -> Result<Option<Document>, LedgerError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.inner.get(key).await
    }

    async fn list(
        &self,
        kind: &'static str,
        scope: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, LedgerError> {
        let found = self.inner.list(kind, scope, start, limit).await?;
        self.read.fetch_add(found.len(), Ordering::Relaxed);
        Ok(found)
    }

    async fn put(
        &self,
        key: &DocumentKey,
        expected: Option<u64>,
        body: &str,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        self.inner.put(key, expected, body, at).await
    }

    async fn delete(
        &self,
        key: &DocumentKey,
        expected: u64,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        self.inner.delete(key, expected, at).await
    }

    async fn changes(&self, since: UnixMillis) -> Result<Vec<DocumentChange>, LedgerError> {
        self.inner.changes(since).await
    }
}

#[tokio::test]
async fn a_page_reads_what_it_shows_and_not_the_rest() {
    const RECORDS: usize = 50;
    const PAGE: usize = 10;
    let desk = Desk::open().await;
    for index in 0..RECORDS {
        desk.developer(&format!("d{index:03}@example.com")).await;
    }
    let owner = desk.catalogue.developer(ACME, "d000@example.com").await.unwrap();
    for index in 0..RECORDS {
        let name = format!("app-{index:03}");
        let terms = AppTerms::default();
        desk.catalogue.create_app(ACME, &owner, &name, &terms, NOON).await.unwrap();
    }
    let read = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&desk.ledger) as Arc<dyn DocumentStore>;
    let counting = Counting { inner, read: Arc::clone(&read) };
    let catalogue = Desk::over(Arc::new(counting), &desk.ledger);

    let page = catalogue.developers(ACME, Some("d025@example.com"), PAGE).await.unwrap();
    assert_eq!(page.len(), PAGE);
    assert_eq!(page[0].email, "d025@example.com");
    // The organization, and an address and a record of each developer.
    assert_eq!(read.swap(0, Ordering::Relaxed), 1 + 2 * PAGE);

    let page = catalogue.apps(ACME, owner.id, Some("app-025"), PAGE).await.unwrap();
    assert_eq!(page.len(), PAGE);
    assert_eq!(page[0].name, "app-025");
    assert!(read.swap(0, Ordering::Relaxed) <= 1 + PAGE);
}
