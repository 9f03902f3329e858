//! SQLite: the conformance suite, and what only a file can do wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tempfile::TempDir;
use tollgate_ledger_store::{
    Commit, DocumentStore, Ledger, LedgerError, LedgerMetrics, RegisterCell, SqliteLedger, sqlite,
};

use tollgate_ledger_store::ledger::UsageWrite;
use tollgate_metering::account::MeterTotals;
use tollgate_metering::{Account, BillingType, Meter, Units};

use crate::conformance::{Backend, conformance};
use crate::fixtures::{
    NOON, TestClock, entry, incarnation, meter, money, opened, read, report, units, write,
};

/// A ledger file in a folder of its own.
pub(crate) struct Sqlite {
    folder: Arc<TempDir>,
    path: PathBuf,
    ledger: Arc<SqliteLedger>,
}

// === impl Sqlite ===

pub(crate) fn metrics() -> LedgerMetrics {
    LedgerMetrics::register(&Registry::new()).unwrap()
}

impl Sqlite {
    fn at(folder: Arc<TempDir>, path: PathBuf) -> Sqlite {
        let ledger = Arc::new(SqliteLedger::open(&path, metrics()).unwrap());
        Sqlite { folder, path, ledger }
    }
}

impl Backend for Sqlite {
    type Backup = PathBuf;

    async fn fresh() -> Sqlite {
        let folder = Arc::new(TempDir::new().unwrap());
        let path = sqlite::path_of(folder.path(), 1);
        Sqlite::at(folder, path)
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::clone(&self.ledger) as Arc<dyn Ledger>
    }

    fn documents(&self) -> Arc<dyn DocumentStore> {
        Arc::clone(&self.ledger) as Arc<dyn DocumentStore>
    }

    async fn another(&self) -> Arc<dyn Ledger> {
        Arc::new(SqliteLedger::open(&self.path, metrics()).unwrap())
    }

    async fn backup(&self) -> PathBuf {
        let target = self.folder.path().join(format!("{}.backup", uuid::Uuid::new_v4()));
        self.ledger.back_up(&target).await.unwrap();
        target
    }

    async fn restore(&self, backup: PathBuf) -> Sqlite {
        let path = sqlite::restore(&backup, self.folder.path()).unwrap();
        Sqlite::at(Arc::clone(&self.folder), path)
    }
}

conformance!(conforms, Sqlite);

fn open_error(path: &Path) -> String {
    let error = SqliteLedger::open(path, metrics()).err().expect("the file is refused");
    assert!(matches!(error, LedgerError::NotOurs { .. }), "{error:?}");
    error.to_string()
}

/// A restored ledger was thrown away and the backup restored once more. The new file got the same
/// number, so gateways took what the first had called durable for durable in the second: the units
/// of all calls since the backup were lost.
#[tokio::test]
async fn the_number_of_a_restored_ledger_is_not_given_again() {
    let fresh = Sqlite::fresh().await;
    let backup = fresh.backup().await;
    let folder = fresh.folder.path();
    let second = sqlite::restore(&backup, folder).unwrap();
    assert_eq!(second, sqlite::path_of(folder, 2));
    std::fs::remove_file(second).unwrap();
    assert_eq!(sqlite::newest_generation(folder).unwrap(), 1);
    assert_eq!(sqlite::restore(&backup, folder).unwrap(), sqlite::path_of(folder, 3));
}

#[test]
fn a_file_that_is_not_ours_is_refused_by_name_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("letter.txt");
    std::fs::write(&text, "Dear operator, this is no database at all.\n".repeat(200)).unwrap();
    let other = folder.path().join("other.sqlite");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    drop(connection);
    let nowhere = folder.path().join("no/such/folder/ledger.sqlite");

    for path in [&text, &other] {
        let before = std::fs::read(path).unwrap();
        assert!(open_error(path).contains(path.to_str().unwrap()));
        assert_eq!(std::fs::read(path).unwrap(), before);
    }
    assert!(open_error(&nowhere).contains(nowhere.to_str().unwrap()));
    let read_only = SqliteLedger::open_read_only(&other, metrics()).err().unwrap();
    assert!(matches!(read_only, LedgerError::NotOurs { .. }), "{read_only:?}");
}

#[test]
fn a_file_of_a_newer_version_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let path = sqlite::path_of(folder.path(), 1);
    drop(SqliteLedger::open(&path, metrics()).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 9_999).unwrap();
    drop(connection);
    let error = open_error(&path);
    assert!(error.contains("9999") && error.contains(path.to_str().unwrap()), "{error}");
}

/// A file from before shadow mode keeps its meters, and takes those of shadow mode from then on.
#[tokio::test]
async fn a_file_from_before_shadow_mode_keeps_its_meters_and_takes_more() {
    let backend = Sqlite::fresh().await;
    let mut account = opened(&*backend.ledger()).await;
    let meters = BillingType::ALL.map(|billing| Meter { billing, ..meter(account.header.wallet) });
    let put = |account: &Account, meters: &[Meter]| {
        let mut change = account.change();
        let totals = MeterTotals { settled_units: units("7"), ..MeterTotals::default() };
        change.meters.extend(meters.iter().map(|meter| (*meter, totals)));
        change
    };
    let Sqlite { folder, path, ledger } = backend;
    let change = put(&account, &meters[..2]);
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);
    drop(ledger);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let old: String = connection
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'meter'", [], |row| row.get(0))
        .unwrap();
    let old = old.replace("\"meter\"", "old").replace(", 'shadow', 'shadow_refused'", "");
    let back = format!(
        "{old}; INSERT INTO old SELECT * FROM meter; DROP TABLE meter; ALTER TABLE old RENAME TO meter; PRAGMA user_version = 3"
    );
    connection.execute_batch(&back).unwrap();
    let shadow = "INSERT INTO meter SELECT wallet, product, plan, 'shadow', period, revision, settled_units, closed_charge, checkpoints FROM meter LIMIT 1";
    assert!(connection.execute_batch(shadow).is_err(), "it is a file from before");
    drop(connection);

    let backend = Sqlite::at(folder, path);
    assert_eq!(read(&*backend.ledger, account.header.wallet).await.account, account);
    let change = put(&account, &meters[2..]);
    assert_eq!(backend.ledger.commit(&change).await.unwrap(), Commit::Applied);
    account.apply(&change);
    assert_eq!(read(&*backend.ledger, account.header.wallet).await.account, account);
}

/// Two balance-sync nodes of one machine that were started at once on a new file: one of them ended with "database is locked".
#[test]
fn a_new_file_that_many_open_at_once_is_opened_by_all() {
    for _ in 0..20 {
        let folder = TempDir::new().unwrap();
        let path = sqlite::path_of(folder.path(), 1);
        let gate = std::sync::Barrier::new(4);
        let open = || {
            gate.wait();
            SqliteLedger::open(&path, metrics()).map(drop)
        };
        std::thread::scope(|scope| {
            let opening: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            for opened in opening {
                opened.join().unwrap().unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_file_opened_to_read_only_shows_everything_and_takes_nothing() {
    let backend = Sqlite::fresh().await;
    let account = opened(&*backend.ledger()).await;
    let tool = SqliteLedger::open_read_only(&backend.path, metrics()).unwrap();
    assert_eq!(read(&tool, account.header.wallet).await.account, account);
    let error = tool.commit(&account.change()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable { .. }), "{error:?}");
}

/// A full disk: the requests that met it fail and nothing of them is there; what was answered
/// before stays, and what comes after room was made is taken, without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_fails_requests_whole_and_recovers_without_restart() {
    let backend = Sqlite::fresh().await;
    let ledger = Arc::clone(&backend.ledger);
    let mut account = opened(&*ledger).await;
    ledger.limit_pages(60).await.unwrap();
    let mut booked = 0;
    let error = loop {
        let mut change = account.change();
        change.header.credited = change.header.credited.plus(money("1")).unwrap();
        change.entries.push(entry(&account, &format!("credit-{booked}"), "1"));
        change.entries[0].reason = "x".repeat(2_000);
        match ledger.commit(&change).await {
            Ok(outcome) => assert_eq!(outcome, Commit::Applied),
            Err(error) => break error,
        }
        account.apply(&change);
        booked += 1;
        assert!(booked < 1_000, "sixty pages were never full");
    };
    assert!(matches!(error, LedgerError::Unavailable { .. }), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("full"), "{source}");

    let found = read(&*backend.another().await, account.header.wallet).await.account;
    assert_eq!(found, account);
    let entries = ledger.entries(account.header.developer, None, 1_000).await.unwrap();
    assert_eq!(entries.len(), booked);

    ledger.limit_pages(1_000_000).await.unwrap();
    let mut change = account.change();
    change.entries.push(entry(&account, "after", "1"));
    assert_eq!(ledger.commit(&change).await.unwrap(), Commit::Applied);
}

/// On a full disk each request of a group gets its own outcome: what needs no room is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_group_on_a_full_disk_only_what_needs_room_fails() {
    let backend = Sqlite::fresh().await;
    let ledger = Arc::clone(&backend.ledger);
    let account = opened(&*ledger).await;
    let (meter, incarnation) = (meter(account.header.wallet), incarnation(NOON));
    report(&*ledger, &[write(meter, incarnation, RegisterCell::Live, "1", 1)]).await;
    ledger.limit_pages(1).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40_i64 {
        let ledger = Arc::clone(&ledger);
        let account = account.clone();
        tasks.spawn(async move {
            if number % 2 == 0 {
                let total = (number + 2).to_string();
                let row = write(meter, incarnation, RegisterCell::Live, &total, number + 2);
                return (true, ledger.write_registers(&[row]).await.remove(0).is_ok());
            }
            let mut change = account.change();
            change.entries.push(entry(&account, &number.to_string(), "1"));
            change.entries[0].reason = "x".repeat(100_000);
            (false, ledger.commit(&change).await.is_ok())
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        let (needs_no_room, is_ok) = outcome.unwrap();
        assert_eq!(needs_no_room, is_ok);
    }
    let found = read(&*ledger, account.header.wallet).await;
    assert_eq!(found.registers[&(meter, incarnation)].units(), units("40"));
    assert_eq!(found.account, account);
}

/// Requests share transactions, but not their failures: one that fails after it has written
/// something leaves nothing, and the others are taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_fails_half_way_leaves_nothing_and_undoes_nobody() {
    let backend = Sqlite::fresh().await;
    let ledger = backend.ledger();
    let (wallet, by) = (opened(&*ledger).await.header.wallet, incarnation(NOON));
    let meter = meter(wallet);
    let row =
        |minute, units| UsageWrite { meter, incarnation: by, app: None, minute, units, seq: 1_000 };
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40_i64 {
        let ledger = backend.ledger();
        let last = if number % 2 == 0 { units("2") } else { Units::MAX };
        let rows = [row(2 * number, units("1")), row(2 * number + 1, last)];
        tasks.spawn(async move { (number, ledger.write_usage(&rows).await) });
    }
    for (number, outcome) in tasks.join_all().await {
        assert_eq!(outcome.is_ok(), number % 2 == 0, "{outcome:?}");
    }
    let minutes: Vec<i64> =
        ledger.usage(wallet, 0, 80).await.unwrap().iter().map(|row| row.minute).collect();
    assert_eq!(minutes, (0..80).filter(|minute| minute % 4 < 2).collect::<Vec<_>>());
}

/// A purge that is asked for too much removes nothing that counts.
#[tokio::test]
async fn a_purge_past_the_horizon_removes_nothing_that_counts() {
    let backend = Sqlite::fresh().await;
    let ledger = backend.ledger();
    let wallet = opened(&*ledger).await.header.wallet;
    let (meter, by) = (meter(wallet), incarnation(NOON));
    report(&*ledger, &[write(meter, by, RegisterCell::Live, "5", 1_000)]).await;
    ledger.purge(wallet, NOON.plus(Duration::from_secs(1))).await.unwrap();
    assert_eq!(read(&*ledger, wallet).await.registers[&(meter, by)].units(), units("5"));
}

/// Another process that holds the write lock for long: a clear error, then all is well again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_file_is_unavailable_to_writers_and_readable_meanwhile() {
    let backend = Sqlite::fresh().await;
    let ledger = backend.ledger();
    let account = opened(&*ledger).await;
    let other = rusqlite::Connection::open(&backend.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = ledger.commit(&account.change()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable { .. }), "{error:?}");
    assert_eq!(read(&*ledger, account.header.wallet).await.account, account);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(ledger.commit(&account.change()).await.unwrap(), Commit::Applied);
}

/// Rule 7: after the system's clock was set back, the ledger's clock stands where it was, so
/// that a node that reads the system's clock sees that it is off, after a restart as well.
#[tokio::test]
async fn a_clock_that_jumped_back_is_noticed() {
    let folder = TempDir::new().unwrap();
    let path = sqlite::path_of(folder.path(), 1);
    let clock = Arc::new(TestClock::at(NOON));
    let open = || SqliteLedger::open_with_clock(&path, metrics(), clock.clone()).unwrap();
    let ledger = open();
    opened(&ledger).await;
    assert_eq!(ledger.clock().await.unwrap(), NOON);
    let later = NOON.plus(Duration::from_secs(10));
    clock.set(later);
    opened(&ledger).await;
    clock.set(NOON.minus(Duration::from_secs(3_600)));
    assert_eq!(ledger.clock().await.unwrap(), later);
    drop(ledger);
    let ledger = open();
    opened(&ledger).await;
    assert_eq!(ledger.clock().await.unwrap(), later);
}

#[tokio::test]
async fn operations_and_errors_are_counted() {
    let registry = Registry::new();
    let folder = TempDir::new().unwrap();
    let path = sqlite::path_of(folder.path(), 1);
    let counted = LedgerMetrics::register(&registry).unwrap();
    let ledger = SqliteLedger::open(&path, counted).unwrap();
    let mut account = opened(&ledger).await;
    account.header.generation = 7;
    ledger.commit(&account.change()).await.unwrap_err();
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for line in [
        "tollgate_ledger_operation_duration_seconds_count{operation=\"commit\"} 2",
        "tollgate_ledger_errors_total{operation=\"commit\"} 1",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
