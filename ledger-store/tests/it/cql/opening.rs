//! Opening a keyspace.

use tollgate_ledger_store::{Commit, Ledger, LedgerError};

use super::cluster::{Guard, config, connect, look, new_prefix, session, try_connect};
use crate::fixtures::{opened, read};

/// Two nodes that made the same table at the same time gave it two ids, and rows of one were lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_make_one_schema() {
    let _guard = Guard::shared().await;
    let config = config(&new_prefix());
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let config = config.clone();
        starts.spawn(async move { connect(&config).await });
    }
    let ledgers = starts.join_all().await;
    let account = opened(&ledgers[0]).await;
    for ledger in &ledgers {
        assert_eq!(read(ledger, account.header.wallet).await.account, account);
        assert_eq!(ledger.generation().await.unwrap(), 1);
    }
}

/// A look under a name with a slip in it left an empty ledger of that name behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_makes_no_keyspace_and_finds_the_one_that_is_there() {
    let _guard = Guard::shared().await;
    let mut config = config(&new_prefix());
    let keyspace = config.keyspace();
    for _ in 0..2 {
        let error = look(&config).await.unwrap_err();
        assert!(matches!(error, LedgerError::NotOurs { .. }), "{error:?}");
        assert!(error.to_string().contains(&keyspace), "{error}");
    }
    let ledger = connect(&config).await;
    let account = opened(&ledger).await;
    let seen = look(&config).await.unwrap();
    assert_eq!(read(&seen, account.header.wallet).await.account, account);
    let older = format!("UPDATE {keyspace}.ledger SET generation = 0 WHERE name = 'ledger'");
    session().await.query_unpaged(older, ()).await.unwrap();
    assert!(look(&config).await.unwrap_err().to_string().contains("holds generation 0"));
    config.generation = 2;
    assert!(look(&config).await.is_err(), "the next generation has a keyspace of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_of_a_newer_version_is_refused_by_name() {
    let _guard = Guard::shared().await;
    let config = config(&new_prefix());
    drop(connect(&config).await);
    let keyspace = config.keyspace();
    let newer = format!("INSERT INTO {keyspace}.migration (list, number) VALUES ('applied', 99)");
    session().await.query_unpaged(newer, ()).await.unwrap();
    let error = try_connect(&config).await.unwrap_err();
    assert!(matches!(error, LedgerError::NotOurs { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&keyspace) && text.contains("99"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_that_holds_a_later_generation_is_refused() {
    let _guard = Guard::shared().await;
    let config = config(&new_prefix());
    let ledger = connect(&config).await;
    let keyspace = config.keyspace();
    let later = format!("UPDATE {keyspace}.ledger SET generation = 2 WHERE name = 'ledger'");
    session().await.query_unpaged(later, ()).await.unwrap();
    let error = try_connect(&config).await.unwrap_err();
    assert!(error.to_string().contains("generation 2"), "{error}");
    let mut account = crate::fixtures::unopened(&ledger).await;
    assert_eq!(account.header.generation, 2);
    let refused = ledger.commit(&account.change()).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Generation { expected: 2, found: 1 }), "{refused:?}");
    account.header.generation = 1;
    assert_eq!(ledger.commit(&account.change()).await.unwrap(), Commit::Applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_copies_than_nodes_are_refused() {
    let _guard = Guard::shared().await;
    let mut config = config(&new_prefix());
    config.replication_factor = 4;
    let error = try_connect(&config).await.unwrap_err();
    assert!(error.to_string().contains("replication_factor 4"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datacenter_without_nodes_is_refused_by_name() {
    let _guard = Guard::shared().await;
    let mut config = config(&new_prefix());
    config.datacenter = Some("atlantis".to_owned());
    let error = try_connect(&config).await.unwrap_err();
    assert!(error.to_string().contains("atlantis"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_not_there_is_unavailable_after_the_start_timeout() {
    let mut config = config("tollgate_nowhere");
    // Port 1 of the loopback: nobody listens there.
    config.nodes = vec!["127.0.0.1:1".to_owned()];
    config.start_timeout_ms = 1_000;
    let error = try_connect(&config).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable { .. }), "{error:?}");
}
