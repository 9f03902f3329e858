//! The three-node Cassandra that `make test` starts, and its nodes' end and return.

use std::process::Command;

/// The contact points; a test that cannot run says how it can.
pub(crate) fn nodes() -> String {
    std::env::var("TOLLGATE_CASSANDRA").expect(
        "TOLLGATE_CASSANDRA names no cluster: run `make test`, which starts one, or `make cassandra` and \
         TOLLGATE_CASSANDRA=127.0.0.1:9042,127.0.0.2:9042,127.0.0.3:9042 \
         TOLLGATE_CASSANDRA_SCRIPT=$PWD/deploy/cassandra/cassandra.sh cargo test",
    )
}

/// Cassandra node 3, killed; whatever becomes of the test, it is started again.
pub(crate) struct KilledNode {
    is_back: bool,
}

fn script(words: &[&str]) {
    let script = std::env::var("TOLLGATE_CASSANDRA_SCRIPT")
        .expect("TOLLGATE_CASSANDRA_SCRIPT is set beside TOLLGATE_CASSANDRA");
    let output = Command::new(&script).args(words).output().expect("the script starts");
    assert!(
        output.status.success(),
        "{script} {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

// === impl KilledNode ===

impl KilledNode {
    /// `kill -9` of node 3.
    pub(crate) fn kill() -> Self {
        script(&["kill", "3"]);
        Self { is_back: false }
    }

    /// Starts it again and waits until it serves.
    pub(crate) fn start(mut self) {
        self.is_back = true;
        script(&["start-node", "3"]);
    }
}

impl Drop for KilledNode {
    fn drop(&mut self) {
        if !self.is_back {
            script(&["start-node", "3"]);
        }
    }
}
