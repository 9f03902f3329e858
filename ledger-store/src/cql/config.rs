//! Settings of the Cassandra and ScyllaDB backend.

use std::fmt;

use serde::Deserialize;

use crate::error::LedgerError;

/// Longest keyspace name that both databases take.
const KEYSPACE_LENGTH_MAX: usize = 48;

/// Where the ledger is and how it is asked. Plain values; `nodes` is the only one without a
/// default.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CqlConfig {
    /// `host:port` of some nodes; the others are found through them. All nodes of a cluster
    /// listen on the same port.
    pub nodes: Vec<String>,
    /// The keyspace is `<keyspace_prefix>_g<generation>`.
    #[serde(default = "default_keyspace_prefix")]
    pub keyspace_prefix: String,
    /// The ledger's generation, from 1; raised by one when a backup is restored.
    #[serde(default = "default_generation")]
    pub generation: u32,
    /// Copies of each row in the datacenter, for a keyspace that has to be made.
    #[serde(default = "default_replication_factor")]
    pub replication_factor: u32,
    /// The datacenter; by default the one of the node that answers first.
    #[serde(default)]
    pub datacenter: Option<String>,
    /// User name.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<String>,
    /// Most time for a request without a condition, in milliseconds.
    #[serde(default = "default_request_timeout_ms")]
    pub request_timeout_ms: u64,
    /// Most time for a conditional write or a linearizable read, in milliseconds.
    #[serde(default = "default_conditional_timeout_ms")]
    pub conditional_timeout_ms: u64,
    /// How long a start waits for the cluster, in milliseconds.
    #[serde(default = "default_start_timeout_ms")]
    pub start_timeout_ms: u64,
    /// Connections to each node.
    #[serde(default = "default_connections_per_node")]
    pub connections_per_node: usize,
    /// Unconditional writes in flight at once, at most, of one call.
    #[serde(default = "default_writes_in_flight_max")]
    pub writes_in_flight_max: usize,
}

fn default_keyspace_prefix() -> String {
    "tollgate".to_owned()
}

fn default_generation() -> u32 {
    1
}

fn default_replication_factor() -> u32 {
    3
}

fn default_request_timeout_ms() -> u64 {
    1_000
}

fn default_conditional_timeout_ms() -> u64 {
    2_000
}

fn default_start_timeout_ms() -> u64 {
    60_000
}

fn default_connections_per_node() -> usize {
    2
}

fn default_writes_in_flight_max() -> usize {
    64
}

// === impl CqlConfig ===

impl CqlConfig {
    /// The defaults for these nodes.
    #[must_use]
    pub fn new(nodes: Vec<String>) -> CqlConfig {
        CqlConfig {
            nodes,
            keyspace_prefix: default_keyspace_prefix(),
            generation: default_generation(),
            replication_factor: default_replication_factor(),
            datacenter: None,
            user: None,
            password: None,
            request_timeout_ms: default_request_timeout_ms(),
            conditional_timeout_ms: default_conditional_timeout_ms(),
            start_timeout_ms: default_start_timeout_ms(),
            connections_per_node: default_connections_per_node(),
            writes_in_flight_max: default_writes_in_flight_max(),
        }
    }

    /// Name of the keyspace.
    #[must_use]
    pub fn keyspace(&self) -> String {
        format!("{}_g{}", self.keyspace_prefix, self.generation)
    }

    /// Checks what can be checked without the cluster.
    ///
    /// # Errors
    /// [`LedgerError::NotOurs`], naming the key.
    pub fn check(&self) -> Result<(), LedgerError> {
        let refuse = |detail: String| Err(LedgerError::NotOurs { detail });
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if self.nodes.is_empty() {
            return refuse("nodes: name at least one as host:port".to_owned());
        }
        if !self.keyspace_prefix.starts_with(|first: char| first.is_ascii_lowercase())
            || !self.keyspace_prefix.bytes().all(is_word)
            || self.keyspace().len() > KEYSPACE_LENGTH_MAX
        {
            return refuse(format!(
                "keyspace_prefix {:?}: lower-case letters, digits and _, starting with a letter, \
                 and at most {KEYSPACE_LENGTH_MAX} characters with _g{}",
                self.keyspace_prefix, self.generation
            ));
        }
        if self.generation == 0 || i32::try_from(self.generation).is_err() {
            return refuse(format!("generation {}: from 1 to {}", self.generation, i32::MAX));
        }
        if self.user.is_some() != self.password.is_some() {
            return refuse("user and password: give both or neither".to_owned());
        }
        let counts = [
            ("replication_factor", self.replication_factor == 0),
            ("request_timeout_ms", self.request_timeout_ms == 0),
            ("conditional_timeout_ms", self.conditional_timeout_ms == 0),
            ("connections_per_node", self.connections_per_node == 0),
            ("writes_in_flight_max", self.writes_in_flight_max == 0),
        ];
        match counts.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((key, _)) => refuse(format!("{key}: at least 1")),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for CqlConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CqlConfig")
            .field("nodes", &self.nodes)
            .field("keyspace", &self.keyspace())
            .field("replication_factor", &self.replication_factor)
            .field("datacenter", &self.datacenter)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "redacted"))
            .field("request_timeout_ms", &self.request_timeout_ms)
            .field("conditional_timeout_ms", &self.conditional_timeout_ms)
            .field("start_timeout_ms", &self.start_timeout_ms)
            .field("connections_per_node", &self.connections_per_node)
            .field("writes_in_flight_max", &self.writes_in_flight_max)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let mut config = CqlConfig::new(vec!["127.0.0.1:9042".to_owned()]);
        config.user = Some("tollgate".to_owned());
        config.password = Some("hunter2".to_owned());
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        let good = CqlConfig::new(vec!["127.0.0.1:9042".to_owned()]);
        assert!(good.check().is_ok());
        assert_eq!(good.keyspace(), "tollgate_g1");
        let check = |rows: &[(CqlConfig, &str)]| {
            for (config, key) in rows {
                let refusal = config.check().unwrap_err().to_string();
                assert!(refusal.contains(key), "{refusal}");
            }
        };
        check(&[
            (CqlConfig { nodes: vec![], ..good.clone() }, "nodes"),
            (CqlConfig { keyspace_prefix: "Tollgate".to_owned(), ..good.clone() }, "keyspace_p"),
            (CqlConfig { keyspace_prefix: "a; drop".to_owned(), ..good.clone() }, "keyspace_p"),
            (CqlConfig { keyspace_prefix: "a".repeat(46), ..good.clone() }, "keyspace_prefix"),
            (CqlConfig { generation: 0, ..good.clone() }, "generation"),
            (CqlConfig { user: Some("u".to_owned()), ..good.clone() }, "password"),
            (CqlConfig { writes_in_flight_max: 0, ..good.clone() }, "writes_in_flight_max"),
        ]);
        let unknown = serde_json::from_str::<CqlConfig>(r#"{"nodes":["a:1"],"keyspce":"x"}"#);
        assert!(unknown.unwrap_err().to_string().contains("keyspce"));
    }
}
