//! Makes the keyspace and brings its tables to this version.
//!
//! Migrations are numbered and only add, so that nodes of the version before go on working. They
//! run under a lock in the table that lists them: two nodes that start together take turns, and
//! a node that dies with the lock gives it up after a minute. Each can be run again.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::unprepared::Statement;
use scylla::statement::{Consistency, SerialConsistency};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use super::config::CqlConfig;
use super::outcome::{self, chain};
use super::session::node_count;
use super::statements::schema;
use crate::error::LedgerError;

/// What errors call this.
const WHAT: &str = "prepare the keyspace";

/// Most time for one statement that changes the schema.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How often somebody else's lock is looked at.
const LOCK_POLL: Duration = Duration::from_millis(250);

/// How long somebody else's lock is waited for: longer than a lock lives that nobody holds.
const LOCK_WAIT: Duration = Duration::from_secs(150);

/// Makes the keyspace and its tables, as far as they are not there.
pub(super) async fn migrate(
    session: &Session,
    config: &CqlConfig,
    datacenter: &str,
) -> Result<(), LedgerError> {
    let migrations = Migrations { session, keyspace: config.keyspace(), node: Uuid::new_v4() };
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        // Schema changes of two nodes can also get in each other's way outside the lock (making
        // the keyspace), and ScyllaDB then refuses one: all of it is tried again.
        match migrations.advance(config, datacenter).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error @ (LedgerError::NotOurs { .. } | LedgerError::Corrupt { .. })) => {
                return Err(error);
            }
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(error) => tracing::warn!(error = %chain(&error), "schema is tried again"),
        }
        if Instant::now() >= deadline {
            let source = "another node has held the lock on the schema for too long";
            return Err(outcome::unavailable(WHAT, source));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

/// Refuses a keyspace that is not there or not of this version, and changes nothing.
pub(super) async fn expect_current(
    session: &Session,
    config: &CqlConfig,
) -> Result<(), LedgerError> {
    let keyspace = config.keyspace();
    let migrations = Migrations { session, keyspace: keyspace.clone(), node: Uuid::new_v4() };
    if !migrations.has_table().await? {
        let detail = format!("there is no ledger in keyspace {keyspace}");
        return Err(LedgerError::NotOurs { detail });
    }
    let done = migrations.done().await?;
    migrations.refuse_newer(&done)?;
    if let Some(missing) = next_after(&done) {
        let detail = format!(
            "keyspace {keyspace} lacks schema {missing}: start a node of this version first"
        );
        return Err(LedgerError::NotOurs { detail });
    }
    Ok(())
}

/// The last migration that this version knows.
fn known() -> i32 {
    i32::try_from(schema::MIGRATIONS.len()).expect("migrations are few")
}

/// The first migration that has not run.
fn next_after(done: &[i32]) -> Option<i32> {
    (1..=known()).find(|number| !done.contains(number))
}

/// The migrations of one keyspace, run by one node.
struct Migrations<'a> {
    session: &'a Session,
    keyspace: String,
    node: Uuid,
}

// === impl Migrations ===

impl Migrations<'_> {
    /// Does one step; says whether all are done.
    async fn advance(&self, config: &CqlConfig, datacenter: &str) -> Result<bool, LedgerError> {
        if !self.has_table().await? {
            self.create_keyspace(config, datacenter).await?;
            let table = schema::CREATE_MIGRATION_TABLE.replace("{id}", &self.table_id());
            self.run(&table, ()).await?;
        }
        let done = self.done().await?;
        self.refuse_newer(&done)?;
        let Some(next) = next_after(&done) else { return Ok(true) };
        if !self.run_if(schema::LOCK, (self.node,)).await? {
            return Ok(false);
        }
        let outcome = self.run_migration(next).await;
        // Left where this fails; it goes by itself.
        let unlocked = self.run_if(schema::UNLOCK, (self.node,)).await;
        outcome.and(unlocked).map(|_| false)
    }

    fn refuse_newer(&self, done: &[i32]) -> Result<(), LedgerError> {
        let (keyspace, known) = (&self.keyspace, known());
        let Some(newer) = done.iter().find(|number| **number > known) else { return Ok(()) };
        let detail =
            format!("keyspace {keyspace} has schema {newer}, this version knows up to {known}");
        Err(LedgerError::NotOurs { detail })
    }

    async fn run_migration(&self, number: i32) -> Result<(), LedgerError> {
        // Whoever had the lock before may have run it.
        if self.done().await?.contains(&number) {
            return Ok(());
        }
        let index = usize::try_from(number - 1).expect("numbers start at 1");
        let text = schema::MIGRATIONS[index];
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
        let text = lines.collect::<Vec<_>>().join("\n");
        for statement in text.split(';').map(str::trim).filter(|text| !text.is_empty()) {
            if !self.has_column(statement).await? {
                self.run(statement, ()).await?;
            }
        }
        self.run_if(schema::MIGRATION_DONE, (number,)).await?;
        tracing::info!(keyspace = self.keyspace, number, "schema migrated");
        Ok(())
    }

    async fn create_keyspace(
        &self,
        config: &CqlConfig,
        datacenter: &str,
    ) -> Result<(), LedgerError> {
        let factor = config.replication_factor;
        let nodes = node_count(self.session, datacenter);
        if usize::try_from(factor).is_ok_and(|factor| factor > nodes) {
            return Err(LedgerError::NotOurs {
                detail: format!(
                    "replication_factor {factor} needs as many nodes, datacenter {datacenter} \
                     has {nodes}"
                ),
            });
        }
        let tablets = if self.needs_vnodes().await? { schema::WITHOUT_TABLETS } else { "" };
        let keyspace = schema::CREATE_KEYSPACE
            .replace("{dc}", &datacenter.replace('\'', "''"))
            .replace("{rf}", &factor.to_string())
            .replace("{tablets}", tablets);
        self.run(&keyspace, ()).await.map(|_| ())
    }

    /// Whether the cluster would use tablets and has no conditional writes on them (ScyllaDB
    /// before 2025.4). Cassandra has no such column and refuses the option.
    async fn needs_vnodes(&self) -> Result<bool, LedgerError> {
        let columns: Vec<(String,)> = self.rows(schema::FEATURE_COLUMN, ()).await?;
        if columns.is_empty() {
            return Ok(false);
        }
        let rows: Vec<(Option<String>,)> = self.rows(schema::FEATURES, ()).await?;
        let features = rows.into_iter().find_map(|(features,)| features).unwrap_or_default();
        Ok(lacks_conditions_on_tablets(&features))
    }

    async fn has_table(&self) -> Result<bool, LedgerError> {
        let tables: Vec<(String,)> = self.rows(schema::TABLE, (self.keyspace.as_str(),)).await?;
        Ok(!tables.is_empty())
    }

    /// Whether a statement adds a column that is there: a run before this one died behind it.
    async fn has_column(&self, statement: &str) -> Result<bool, LedgerError> {
        let Some((table, column)) = added_column(statement) else { return Ok(false) };
        let named = (self.keyspace.as_str(), table, column);
        let found: Vec<(String,)> = self.rows(schema::COLUMN, named).await?;
        Ok(!found.is_empty())
    }

    async fn done(&self) -> Result<Vec<i32>, LedgerError> {
        let mut statement = self.statement(schema::MIGRATIONS_READ);
        statement.set_consistency(Consistency::LocalSerial);
        let result = self.session.query_unpaged(statement, ()).await;
        let rows: Vec<(i32,)> = rows(result.map_err(|error| outcome::unavailable(WHAT, error))?)?;
        Ok(rows.into_iter().map(|(number,)| number).collect())
    }

    async fn rows<R>(&self, cql: &str, values: impl SerializeRow) -> Result<Vec<R>, LedgerError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        rows(self.run(cql, values).await?)
    }

    async fn run_if(&self, cql: &str, values: impl SerializeRow) -> Result<bool, LedgerError> {
        outcome::is_applied(WHAT, self.run(cql, values).await?)
    }

    async fn run(&self, cql: &str, values: impl SerializeRow) -> Result<QueryResult, LedgerError> {
        let result = self.session.query_unpaged(self.statement(cql), values).await;
        result.map_err(|error| outcome::unavailable(WHAT, error))
    }

    fn statement(&self, cql: &str) -> Statement {
        let mut statement = Statement::new(cql.replace("{ks}", &self.keyspace));
        statement.set_consistency(Consistency::LocalQuorum);
        statement.set_serial_consistency(Some(SerialConsistency::LocalSerial));
        statement.set_request_timeout(Some(STATEMENT_TIMEOUT));
        statement
    }

    /// The same for everybody who makes the table of migrations in this keyspace.
    fn table_id(&self) -> String {
        let digest = Sha256::digest(format!("{}.migration", self.keyspace));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }
}

/// The table and column of `ALTER TABLE {ks}.TABLE ADD COLUMN TYPE`, which has no `IF NOT EXISTS` on
/// every cluster.
fn added_column(statement: &str) -> Option<(&str, &str)> {
    let rest = statement.strip_prefix("ALTER TABLE {ks}.")?;
    let (table, rest) = rest.split_once(" ADD ")?;
    Some((table, rest.split_whitespace().next()?))
}

fn lacks_conditions_on_tablets(features: &str) -> bool {
    let has = |name: &str| features.split(',').any(|feature| feature.trim() == name);
    has("TABLETS") && !has("LWT_WITH_TABLETS")
}

fn rows<R>(result: QueryResult) -> Result<Vec<R>, LedgerError>
where
    R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
{
    let rows = result.into_rows_result().map_err(|error| outcome::misread(WHAT, error))?;
    let rows = rows.rows::<R>().map_err(|error| outcome::misread(WHAT, error))?;
    rows.map(|row| row.map_err(|error| outcome::misread(WHAT, error))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_that_a_migration_adds_is_looked_for_first() {
        let texts = schema::MIGRATIONS.iter().flat_map(|text| text.split(';'));
        let altering = texts.filter(|text| text.contains("ALTER TABLE"));
        let found: Vec<_> = altering
            .map(|text| {
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
                let text = lines.collect::<Vec<_>>().join("\n");
                let (table, column) = added_column(text.trim()).unwrap();
                format!("{table}.{column}")
            })
            .collect();
        let want =
            ["account.is_mode_changing", "account.most", "account.is_retired", "account.is_forced"];
        assert_eq!(found, want);
    }

    #[test]
    fn tablets_are_left_only_where_conditions_do_not_work_on_them() {
        let check = |rows: &[(&str, bool)]| {
            for (features, want) in rows {
                assert_eq!(lacks_conditions_on_tablets(features), *want, "{features:?}");
            }
        };
        check(&[
            ("", false),
            ("CDC,LWT_WITH_TABLETS", false),
            ("AGGREGATE_STORAGE_OPTIONS,TABLETS,VIEWS_WITH_TABLETS", true),
            ("TABLETS,LWT_WITH_TABLETS", false),
            ("VIEWS_WITH_TABLETS", false),
        ]);
    }
}
