//! Documents: written only at their version, listed by name, logged.

use std::time::Duration;

use tollgate_ledger_store::{Clock, Document, DocumentKey, Put, SystemClock};
use uuid::Uuid;

use super::Backend;

fn key(scope: &str, name: &str) -> DocumentKey {
    DocumentKey { kind: "developer", scope: scope.to_owned(), name: name.to_owned() }
}

pub(crate) async fn a_document_is_written_only_at_its_version<B: Backend>() {
    let backend = B::fresh().await;
    let store = backend.documents();
    let now = SystemClock::start().now();
    let key = key(&Uuid::new_v4().to_string(), "ada@example.org");
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert_eq!(store.put(&key, Some(1), "{}", now).await.unwrap(), Put::Conflict);
    assert_eq!(store.put(&key, None, "{\"a\":1}", now).await.unwrap(), Put::Written);
    assert_eq!(store.put(&key, None, "{\"a\":2}", now).await.unwrap(), Put::Conflict);
    assert_eq!(store.put(&key, Some(1), "{\"a\":3}", now).await.unwrap(), Put::Written);
    assert_eq!(store.put(&key, Some(1), "{\"a\":4}", now).await.unwrap(), Put::Conflict);
    let found = store.get(&key).await.unwrap();
    assert_eq!(found, Some(Document { version: 2, body: "{\"a\":3}".to_owned() }));
    assert_eq!(store.delete(&key, 1, now).await.unwrap(), Put::Conflict);
    assert_eq!(store.delete(&key, 2, now).await.unwrap(), Put::Written);
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert_eq!(store.delete(&key, 2, now).await.unwrap(), Put::Conflict);
}

pub(crate) async fn of_puts_at_one_version_exactly_one_is_written<B: Backend>() {
    let backend = B::fresh().await;
    let now = SystemClock::start().now();
    let key = key(&Uuid::new_v4().to_string(), "ada@example.org");
    for expected in [None, Some(1)] {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..8 {
            let (store, key) = (backend.documents(), key.clone());
            let body = number.to_string();
            tasks.spawn(async move { store.put(&key, expected, &body, now).await.unwrap() });
        }
        let outcomes = tasks.join_all().await;
        assert_eq!(outcomes.iter().filter(|put| **put == Put::Written).count(), 1);
    }
}

pub(crate) async fn documents_are_listed_by_name_within_kind_and_scope<B: Backend>() {
    let backend = B::fresh().await;
    let store = backend.documents();
    let now = SystemClock::start().now();
    let (scope, elsewhere) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    for (scope, name) in [(&scope, "c"), (&scope, "a"), (&elsewhere, "b"), (&scope, "b")] {
        store.put(&key(scope, name), None, name, now).await.unwrap();
    }
    store.put(&DocumentKey { kind: "app", ..key(&scope, "d") }, None, "d", now).await.unwrap();
    let list = |start: Option<&'static str>, limit| {
        let (store, scope) = (&store, &scope);
        async move {
            let found = store.list("developer", scope, start, limit).await.unwrap();
            found.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(None, 10).await, ["a", "b", "c"]);
    assert_eq!(list(Some("b"), 10).await, ["b", "c"]);
    assert_eq!(list(Some("aa"), 1).await, ["b"]);
}

pub(crate) async fn every_written_document_is_in_the_log_of_changes<B: Backend>() {
    let backend = B::fresh().await;
    let store = backend.documents();
    let now = SystemClock::start().now();
    let later = now.plus(Duration::from_millis(1));
    let key = key(&Uuid::new_v4().to_string(), "ada@example.org");
    store.put(&key, None, "1", now).await.unwrap();
    store.put(&key, None, "2", now).await.unwrap();
    store.put(&key, Some(1), "3", later).await.unwrap();
    store.delete(&key, 2, later).await.unwrap();
    let ours = |since| {
        let (store, key) = (&store, &key);
        async move {
            let changes = store.changes(since).await.unwrap().into_iter();
            let ours = changes.filter(|change| change.scope == key.scope);
            let named = |change: &tollgate_ledger_store::documents::DocumentChange| {
                assert_eq!((change.kind.as_str(), &change.name), (key.kind, &key.name));
            };
            let mut ids: Vec<_> = ours.inspect(named).map(|change| change.id).collect();
            ids.sort();
            ids.dedup();
            ids.len()
        }
    };
    assert_eq!(ours(now).await, 3);
    assert_eq!(ours(later).await, 2);
}
