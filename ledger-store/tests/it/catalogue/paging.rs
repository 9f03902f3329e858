//! A page of a listing costs what the page holds, however many records there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::claims::LOADS_AT_ONCE;
use tollgate_ledger_store::catalogue::owners::OwnerKind;
use tollgate_ledger_store::documents::{Document, DocumentChange, DocumentKey, Put};
use tollgate_ledger_store::{DocumentStore, LedgerError};
use tollgate_metering::UnixMillis;

use super::desk::{ACME, Desk};
use crate::fixtures::NOON;

/// A store that counts the documents that it hands out, and how many it is asked for at a time.
struct Counting {
    inner: Arc<dyn DocumentStore>,
    read: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
}

#[async_trait]
impl DocumentStore for Counting {
    async fn get(&self, key: &DocumentKey) -> Result<Option<Document>, LedgerError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_open.fetch_max(open, Ordering::Relaxed);
        // Every other one that is asked for at the same time is asked for now.
        tokio::task::yield_now().await;
        let found = self.inner.get(key).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        found
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
    let (open, most_open) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let most = Arc::clone(&most_open);
    let counting = Counting { inner, read: Arc::clone(&read), open, most_open };
    let catalogue = Desk::over(Arc::new(counting), &desk.ledger);

    let page = catalogue.developers(ACME, Some("d025@example.com"), PAGE).await.unwrap();
    assert_eq!(page.len(), PAGE);
    assert_eq!(page[0].email, "d025@example.com");
    // The organization, and an address and a record of each developer.
    assert_eq!(read.swap(0, Ordering::Relaxed), 1 + 2 * PAGE);

    // As Edge pages: all addresses are counted.
    let kind = OwnerKind::Developers;
    let page = catalogue.owners_at(kind, ACME, 20, PAGE).await.unwrap();
    let first = page.owners.first().map(|owner| owner.email.as_str());
    assert_eq!((page.total, page.owners.len(), first), (RECORDS, PAGE, Some("d020@example.com")));
    assert_eq!(read.swap(0, Ordering::Relaxed), 1 + RECORDS + PAGE);
    let beyond = catalogue.owners_at(kind, ACME, RECORDS, PAGE).await.unwrap();
    assert_eq!((beyond.total, beyond.owners.len()), (RECORDS, 0));
    let all = catalogue.developers(ACME, None, usize::MAX).await.unwrap();
    assert_eq!(all.len(), RECORDS);
    assert!(all.is_sorted_by_key(|owner| &owner.email));
    assert_eq!(most.load(Ordering::Relaxed), LOADS_AT_ONCE, "records are read beside each other");
    read.store(0, Ordering::Relaxed);

    let page = catalogue.apps(ACME, owner.id, Some("app-025"), PAGE).await.unwrap();
    assert_eq!(page.len(), PAGE);
    assert_eq!(page[0].name, "app-025");
    assert!(read.swap(0, Ordering::Relaxed) <= 1 + PAGE);
}
