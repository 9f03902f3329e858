//! The cluster under test: where it is, who may kill its nodes, which keyspaces are in it.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use prometheus::Registry;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tollgate_ledger_store::cql::NodeMetrics;
use tollgate_ledger_store::{CqlConfig, CqlLedger, LedgerMetrics};
use uuid::Uuid;

/// Start of every keyspace of these tests.
const PREFIX: &str = "tollgate_it";

/// Holds off everybody who would kill a node, or everybody who needs all nodes: also in other
/// processes that test against the same cluster.
pub(crate) struct Guard(#[allow(dead_code, reason = "its lock is what counts")] File);

// === impl Guard ===

impl Guard {
    /// All nodes stay up while it lives.
    pub(crate) async fn shared() -> Guard {
        Guard::take(File::lock_shared).await
    }

    /// Nodes may be killed while it lives; they must be up again before it goes.
    pub(crate) async fn exclusive() -> Guard {
        Guard::take(File::lock).await
    }

    async fn take(lock: fn(&File) -> std::io::Result<()>) -> Guard {
        let path = std::env::temp_dir().join("tollgate-cassandra.lock");
        let taken = tokio::task::spawn_blocking(move || {
            let file = File::create(&path).unwrap();
            lock(&file).unwrap();
            file
        });
        Guard(taken.await.unwrap())
    }
}

fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs the cluster that `make test` starts")
    })
}

pub(crate) fn nodes() -> Vec<String> {
    environment("TOLLGATE_CASSANDRA").split(',').map(str::to_owned).collect()
}

/// A keyspace prefix that no other test has.
pub(crate) fn new_prefix() -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{PREFIX}_{}_{}", std::process::id(), &random[..8])
}

/// The prefix that the properties of this process share.
pub(crate) async fn shared_prefix() -> &'static str {
    static SHARED: OnceCell<String> = OnceCell::const_new();
    let prepared = SHARED.get_or_init(|| async {
        all_nodes_are_known().await;
        drop_keyspaces_of_the_dead(&session().await).await;
        new_prefix()
    });
    prepared.await
}

/// A node that has just started is known to some of the others first, and a keyspace with a copy on
/// each of three nodes is refused where two are known.
async fn all_nodes_are_known() {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut in_a_row = 0;
    while in_a_row < 6 {
        let state = session().await.get_cluster_state();
        in_a_row = if state.get_nodes_info().len() == nodes().len() { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < deadline, "the nodes of the cluster do not know each other");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Settings with timeouts for a machine that compiles beside three database nodes.
pub(crate) fn config(prefix: &str) -> CqlConfig {
    let mut config = CqlConfig::new(nodes());
    config.keyspace_prefix = prefix.to_owned();
    config.request_timeout_ms = 10_000;
    config.conditional_timeout_ms = 10_000;
    config
}

pub(crate) async fn connect(config: &CqlConfig) -> CqlLedger {
    try_connect(config).await.unwrap()
}

pub(crate) async fn try_connect(
    config: &CqlConfig,
) -> Result<CqlLedger, tollgate_ledger_store::LedgerError> {
    let registry = Registry::new();
    connect_counted(config, &registry).await
}

/// Connects to a keyspace that is there already.
pub(crate) async fn look(
    config: &CqlConfig,
) -> Result<CqlLedger, tollgate_ledger_store::LedgerError> {
    let registry = Registry::new();
    let metrics = LedgerMetrics::register(&registry).unwrap();
    let nodes = NodeMetrics::register(&registry).unwrap();
    CqlLedger::connect_existing(config, metrics, nodes).await
}

/// Connects and counts into `registry`.
pub(crate) async fn connect_counted(
    config: &CqlConfig,
    registry: &Registry,
) -> Result<CqlLedger, tollgate_ledger_store::LedgerError> {
    let metrics = LedgerMetrics::register(registry).unwrap();
    CqlLedger::connect(config, metrics, NodeMetrics::register(registry).unwrap()).await
}

/// A session beside the ledger's, to look at and into the tables.
pub(crate) async fn session() -> Session {
    SessionBuilder::new().known_nodes(nodes()).build().await.unwrap()
}

/// Runs the script that knows the nodes' processes.
pub(crate) async fn node(command: &'static str, number: u32) {
    let script = environment("TOLLGATE_CASSANDRA_SCRIPT");
    let run = move || Command::new(script).arg(command).arg(number.to_string()).status();
    let status = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    assert!(status.success(), "{command} {number}: {status}");
}

/// A keyspace is not dropped by the test that made it: Cassandra 5.0 drops one that a late write
/// or a hint is still coming in for by half, and that node follows no change of the schema until
/// it is restarted.
async fn drop_keyspaces_of_the_dead(session: &Session) {
    let keyspaces = "SELECT keyspace_name FROM system_schema.keyspaces";
    let rows = session.query_unpaged(keyspaces, ()).await.unwrap().into_rows_result().unwrap();
    for row in rows.rows::<(String,)>().unwrap() {
        let (keyspace,) = row.unwrap();
        let Some(rest) = keyspace.strip_prefix(&format!("{PREFIX}_")) else { continue };
        let pid = rest.split('_').next().unwrap_or_default();
        if !Path::new("/proc").join(pid).exists() {
            let statement = format!("DROP KEYSPACE IF EXISTS {keyspace}");
            session.query_unpaged(statement, ()).await.unwrap();
        }
    }
}
