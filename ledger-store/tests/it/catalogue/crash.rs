//! A process that dies between two writes: for each write of an operation, the operation is cut
//! there and repeated past the grace of claims. Afterwards everything is as if it had been done
//! once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use tollgate_ledger_store::catalogue::apps::AppTerms;
use tollgate_ledger_store::catalogue::claims::GRACE;
use tollgate_ledger_store::catalogue::keys::NewKey;
use tollgate_ledger_store::{
    Catalogue, CatalogueError, Document, DocumentChange, DocumentKey, DocumentStore, LedgerError,
    Put,
};
use tollgate_metering::UnixMillis;

use super::desk::{ACME, Desk, is_exists, is_missing, later, published, sha256, terms};
use crate::fixtures::NOON;

/// More writes than any operation has.
const WRITES_MAX: i64 = 20;

/// Documents that fail for good after a number of writes.
struct Dying {
    inner: Arc<dyn DocumentStore>,
    writes_left: AtomicI64,
}

impl Dying {
    fn write(&self) -> Result<(), LedgerError> {
        if self.writes_left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        Err(LedgerError::Unavailable { what: "write", source: "the process died".into() })
    }
}

#[async_trait]
impl DocumentStore for Dying {
    async fn get(&self, key: &DocumentKey) -> Result<Option<Document>, LedgerError> {
        self.inner.get(key).await
    }

    async fn list(
        &self,
        kind: &'static str,
        scope: &str,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, LedgerError> {
        self.inner.list(kind, scope, start, limit).await
    }

    async fn put(
        &self,
        key: &DocumentKey,
        expected: Option<u64>,
        body: &str,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        self.write()?;
        self.inner.put(key, expected, body, at).await
    }

    async fn delete(
        &self,
        key: &DocumentKey,
        expected: u64,
        at: UnixMillis,
    ) -> Result<Put, LedgerError> {
        self.write()?;
        self.inner.delete(key, expected, at).await
    }

    async fn changes(&self, since: UnixMillis) -> Result<Vec<DocumentChange>, LedgerError> {
        self.inner.changes(since).await
    }
}

impl Desk {
    /// A catalogue over the same files whose process dies after `writes` writes.
    pub(super) fn dying(&self, writes: i64) -> Catalogue {
        let inner = Arc::clone(&self.ledger) as Arc<dyn DocumentStore>;
        let dying = Dying { inner, writes_left: AtomicI64::new(writes) };
        Desk::over(Arc::new(dying), &self.ledger)
    }
}

fn after_grace() -> UnixMillis {
    NOON.plus(GRACE).plus(GRACE)
}

fn key() -> NewKey {
    NewKey { consumer_key: "k-1".to_owned(), consumer_secret: "s".to_owned(), expires_at: None }
}

/// A cut that came after the last write that matters: the repetition finds the work done.
fn is_done<T>(result: Result<T, CatalogueError>) -> bool {
    assert!(result.is_ok() || is_exists(&result), "{:?}", result.err());
    is_exists(&result)
}

#[tokio::test]
async fn a_developer_is_created_whole_or_again() {
    for writes in 0..WRITES_MAX {
        let desk = Desk::open().await;
        let dying = desk.dying(writes);
        let cut = dying.create_developer(ACME, &terms("ada@example.com"), NOON).await;
        let again =
            desk.catalogue.create_developer(ACME, &terms("ada@example.com"), after_grace()).await;
        is_done(again);
        let all = desk.catalogue.developers(ACME, None, 10).await.unwrap();
        assert_eq!(all.len(), 1, "cut after {writes} writes");
        if cut.is_ok() {
            return;
        }
    }
    panic!("the operation never ended");
}

#[tokio::test]
async fn a_key_is_created_whole_or_again() {
    for writes in 0..WRITES_MAX {
        let desk = Desk::open().await;
        let developer = desk.developer("ada@example.com").await;
        let app = AppTerms::default();
        let dying = desk.dying(writes);
        let cut = match dying.create_app(ACME, &developer, "shop", &app, NOON).await {
            Ok(_) => dying.create_key(ACME, &developer, "shop", key(), &[], NOON).await.map(drop),
            Err(error) => Err(error),
        };
        let now = after_grace();
        is_done(desk.catalogue.create_app(ACME, &developer, "shop", &app, now).await);
        let again = desk.catalogue.create_key(ACME, &developer, "shop", key(), &[], now).await;
        is_done(again);
        let caller = desk.catalogue.resolve(&sha256("k-1"), now).await.unwrap();
        assert_eq!(caller.unwrap().app_name, "shop", "cut after {writes} writes");
        let app = desk.catalogue.app(ACME, &developer, "shop").await.unwrap();
        assert_eq!(app.credentials.len(), 2, "cut after {writes} writes");
        if cut.is_ok() {
            return;
        }
    }
    panic!("the operation never ended");
}

#[tokio::test]
async fn a_claim_of_a_writer_at_work_is_left_alone() {
    let desk = Desk::open().await;
    let cut = desk.dying(1).create_developer(ACME, &terms("ada@example.com"), NOON).await;
    assert!(cut.is_err());
    let early = desk.catalogue.create_developer(ACME, &terms("ada@example.com"), later(30)).await;
    assert!(is_exists(&early));
    assert!(is_missing(&desk.catalogue.developer(ACME, "ada@example.com").await));
    desk.catalogue.create_developer(ACME, &terms("ada@example.com"), after_grace()).await.unwrap();
}

#[tokio::test]
async fn a_deletion_that_was_cut_is_finished() {
    for writes in 0..WRITES_MAX {
        let desk = Desk::open().await;
        let first = desk.developer("ada@example.com").await;
        let app = desk.app(&first, "shop", &[]).await;
        let cut = desk.dying(writes).delete_developer(ACME, "ada@example.com", NOON).await;
        if writes > 0 {
            assert!(desk.resolve(&app).await.is_none(), "cut after {writes} writes");
            assert!(is_missing(&desk.catalogue.developer(ACME, "ada@example.com").await));
            let second = desk.developer("ada@example.com").await;
            assert_ne!(second.id, first.id);
        }
        if cut.is_ok() {
            let left = desk.catalogue.apps(ACME, first.id, None, 10).await.unwrap();
            assert!(left.is_empty());
            return;
        }
    }
    panic!("the operation never ended");
}

#[tokio::test]
async fn a_price_edit_is_whole_or_not_there() {
    for writes in 0..WRITES_MAX {
        let desk = Desk::open().await;
        desk.product("weather").await;
        let plan = desk.plan("weather", &published("1", 0, None)).await.unwrap();
        let id = plan.id.to_string();
        let edit = published("2", 0, None);
        let cut = desk.dying(writes).update_plan(ACME, "weather", &id, &edit, NOON).await;
        let found = desk.catalogue.plan(ACME, "weather", &id).await.unwrap();
        assert_eq!(found.revision, if cut.is_ok() { 2 } else { 1 });
        let again = desk.catalogue.update_plan(ACME, "weather", &id, &edit, NOON).await.unwrap();
        assert_eq!(again.revision, 2, "cut after {writes} writes");
        if cut.is_ok() {
            return;
        }
    }
    panic!("the operation never ended");
}
