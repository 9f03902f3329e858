//! Every CQL statement of the backend, with how it is sent; tables are made by `0001.cql`.
//!
//! Tables are named with their keyspace: `USE` would leave statements prepared on another
//! connection pointing elsewhere. Columns are named, since prepared metadata do not follow `*`.
//! Invariants: `account`, `registry`, `document`, `suspense_counted` and `ledger` are written by
//! conditional statements only, and the others never, because a condition and a timestamp of
//! one's own do not order against each other.

use std::sync::Arc;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::policies::load_balancing::{DefaultPolicy, LoadBalancingPolicy};
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy, RetryPolicy};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use std::time::Duration;

use super::config::CqlConfig;

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Read or written at LOCAL_QUORUM; can be repeated, so the driver may.
    Plain,
    /// Read at LOCAL_SERIAL: what is in flight is settled first.
    SerialRead,
    /// Written under a condition. Never repeated by the driver, which cannot know whether the
    /// first attempt applied.
    Conditional,
}

/// A prepared statement and the name it has in metrics.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) statement: PreparedStatement,
    pub(super) operation: &'static str,
}

/// How each class is sent.
#[derive(Clone, Debug)]
pub(super) struct Profiles {
    plain: ExecutionProfileHandle,
    serial_read: ExecutionProfileHandle,
    conditional: ExecutionProfileHandle,
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $class:ident = $cql:literal;)*) => {
        /// Every statement, prepared.
        #[derive(Debug)]
        pub(super) struct Statements {
            $($(#[$doc])* pub(super) $name: Prepared,)*
        }

        impl Statements {
            /// Prepares every statement for a keyspace.
            pub(super) async fn prepare(
                session: &Session,
                keyspace: &str,
                profiles: &Profiles,
            ) -> Result<Statements, PrepareError> {
                Ok(Statements {
                    $($name: prepare(
                        session,
                        keyspace,
                        stringify!($name),
                        $cql,
                        profiles,
                        Class::$class,
                    ).await?,)*
                })
            }
        }
    };
}

statements! {
    /// What this keyspace is.
    ledger_read: Plain = "SELECT generation FROM {ks}.ledger WHERE name = 'ledger'";
    ledger_create: Conditional = "INSERT INTO {ks}.ledger (name, generation, created_at) \
        VALUES ('ledger', :generation, toTimestamp(now())) IF NOT EXISTS";
    ledger_adopt: Conditional = "UPDATE {ks}.ledger SET generation = :generation \
        WHERE name = 'ledger' IF generation = :expected_generation";
    clock_read: Plain = "SELECT toUnixTimestamp(now()) FROM system.local";

    wallet_write: Plain = "INSERT INTO {ks}.wallet (wallet, developer) VALUES (:wallet, :developer)";
    wallet_read: Plain = "SELECT developer FROM {ks}.wallet WHERE wallet = :wallet";
    wallet_list: Plain = "SELECT wallet FROM {ks}.wallet LIMIT :count";
    wallet_list_after: Plain = "SELECT wallet FROM {ks}.wallet \
        WHERE token(wallet) > token(:wallet) LIMIT :count";

    /// One account in one statement: its pages would not be of one version.
    account_read: Plain = "SELECT developer, kind, scope, version, generation, organization, \
        currency, opened_at, credited, settled, horizon, last_credit_at, balance_at_last_credit, \
        overdraft_limit, overspend, mode, owner_epoch, owner_node, retirements, is_sealed, \
        is_mode_changing, product, plan, billing, period, revision, settled_units, closed_charge, \
        checkpoints, born, incarnation, folded, cut, grant_counter, draw, most, is_retired, \
        suspense_reason, units \
        FROM {ks}.account WHERE developer = :developer \
        AND kind IN ('header', 'meter', 'cell', 'ceiling', 'resolved') AND scope = :wallet";
    /// Part of an account must not be read with less than SERIAL: the repair of such a read
    /// would spread part of a batch.
    headers_read: SerialRead = "SELECT developer, scope, version, generation, organization, \
        currency, opened_at, credited, settled, horizon, last_credit_at, balance_at_last_credit, \
        overdraft_limit, overspend, mode, owner_epoch, owner_node, retirements, is_sealed, \
        is_mode_changing FROM {ks}.account WHERE developer = :developer AND kind = 'header'";
    header_insert: Conditional = "INSERT INTO {ks}.account (developer, kind, scope, key, version, \
        generation, organization, currency, opened_at, credited, settled, horizon, last_credit_at, \
        balance_at_last_credit, overdraft_limit, overspend, mode, owner_epoch, owner_node, \
        retirements, is_sealed, is_mode_changing) VALUES (:developer, 'header', :wallet, :key, :version, \
        :generation, :organization, :currency, :opened_at, :credited, :settled, :horizon, \
        :last_credit_at, :balance_at_last_credit, :overdraft_limit, :overspend, :mode, \
        :owner_epoch, :owner_node, :retirements, :is_sealed, :is_mode_changing) IF NOT EXISTS";
    header_update: Conditional = "UPDATE {ks}.account SET version = :version, \
        generation = :generation, organization = :organization, currency = :currency, \
        opened_at = :opened_at, credited = :credited, settled = :settled, horizon = :horizon, \
        last_credit_at = :last_credit_at, balance_at_last_credit = :balance_at_last_credit, \
        overdraft_limit = :overdraft_limit, overspend = :overspend, mode = :mode, \
        owner_epoch = :owner_epoch, owner_node = :owner_node, retirements = :retirements, \
        is_sealed = :is_sealed, is_mode_changing = :is_mode_changing \
        WHERE developer = :developer AND kind = 'header' AND scope = :wallet AND key = :key \
        IF version = :expected_version AND generation = :expected_generation";
    /// Changes nothing: it stands in a batch for the header it was computed from.
    header_touch: Conditional = "UPDATE {ks}.account SET generation = :generation \
        WHERE developer = :developer AND kind = 'header' AND scope = :wallet AND key = :key \
        IF version = :expected_version AND generation = :expected_generation";
    header_adopt: Conditional = "UPDATE {ks}.account SET generation = :generation, \
        mode = :mode, is_mode_changing = :is_mode_changing \
        WHERE developer = :developer AND kind = 'header' AND scope = :wallet AND key = :key \
        IF version = :expected_version AND generation = :expected_generation";
    currency_claim: Conditional = "INSERT INTO {ks}.account (developer, kind, scope, key, wallet) \
        VALUES (:developer, 'currency', :scope, :key, :wallet) IF NOT EXISTS";
    meter_write: Conditional = "INSERT INTO {ks}.account (developer, kind, scope, key, product, \
        plan, billing, period, revision, settled_units, closed_charge, checkpoints) \
        VALUES (:developer, 'meter', :wallet, :key, :product, :plan, :billing, :period, \
        :revision, :settled_units, :closed_charge, :checkpoints)";
    cell_write: Conditional = "INSERT INTO {ks}.account (developer, kind, scope, key, product, \
        plan, billing, period, revision, born, incarnation, folded, cut) \
        VALUES (:developer, 'cell', :wallet, :key, :product, :plan, :billing, :period, \
        :revision, :born, :incarnation, :folded, :cut)";
    cell_delete: Conditional = "DELETE FROM {ks}.account \
        WHERE developer = :developer AND kind = 'cell' AND scope = :wallet AND key = :key";
    ceiling_write: Conditional = "INSERT INTO {ks}.account (developer, kind, scope, key, born, \
        incarnation, mode, owner_epoch, grant_counter, draw, most, settled, is_retired) VALUES \
        (:developer, 'ceiling', :wallet, :key, :born, :incarnation, :mode, :owner_epoch, \
        :grant_counter, :draw, :most, :settled, :is_retired)";
    ceiling_delete: Conditional = "DELETE FROM {ks}.account \
        WHERE developer = :developer AND kind = 'ceiling' AND scope = :wallet AND key = :key";
    resolved_write: Conditional = "INSERT INTO {ks}.account (developer, kind, scope, key, product, \
        plan, billing, period, revision, born, incarnation, suspense_reason, units) \
        VALUES (:developer, 'resolved', :wallet, :key, :product, :plan, :billing, :period, \
        :revision, :born, :incarnation, :suspense_reason, :units)";
    entry_insert: Conditional = "INSERT INTO {ks}.account (developer, kind, scope, key, wallet, \
        entry_kind, amount, balance_after, booked_at, booked_by, reason, product, plan, billing, \
        period, revision, units, is_forced) VALUES (:developer, 'entry', :scope, :key, :wallet, \
        :entry_kind, :amount, :balance_after, :booked_at, :booked_by, :reason, :product, :plan, \
        :billing, :period, :revision, :units, :is_forced) IF NOT EXISTS";
    entry_read: SerialRead = "SELECT key, wallet, entry_kind, amount, balance_after, booked_at, \
        booked_by, reason, product, plan, billing, period, revision, units, is_forced \
        FROM {ks}.account \
        WHERE developer = :developer AND kind = 'entry' AND scope = :scope AND key = :key";
    entry_list: Plain = "SELECT key, wallet, entry_kind, amount, balance_after, booked_at, \
        booked_by, reason, product, plan, billing, period, revision, units, is_forced \
        FROM {ks}.account \
        WHERE developer = :developer AND kind = 'entry' AND scope = :scope AND key > :key \
        LIMIT :count";

    live_write: Plain = "UPDATE {ks}.register USING TIMESTAMP :seq SET live = :units \
        WHERE wallet = :wallet AND born = :born AND incarnation = :incarnation \
        AND product = :product AND plan = :plan AND billing = :billing AND period = :period \
        AND revision = :revision";
    recovered_write: Plain = "UPDATE {ks}.register USING TIMESTAMP :seq SET recovered = :units \
        WHERE wallet = :wallet AND born = :born AND incarnation = :incarnation \
        AND product = :product AND plan = :plan AND billing = :billing AND period = :period \
        AND revision = :revision";
    registers_read: Plain = "SELECT product, plan, billing, period, revision, born, incarnation, \
        live, recovered FROM {ks}.register WHERE wallet = :wallet AND born >= :horizon";
    registers_purge: Plain = "DELETE FROM {ks}.register USING TIMESTAMP :seq \
        WHERE wallet = :wallet AND born < :horizon";

    hold_write: Plain = "UPDATE {ks}.hold USING TIMESTAMP :seq SET amount = :amount \
        WHERE wallet = :wallet AND born = :born AND incarnation = :incarnation";
    holds_read: Plain = "SELECT born, incarnation, amount, writetime(amount) AS seq \
        FROM {ks}.hold WHERE wallet = :wallet AND born >= :horizon";
    holds_purge: Plain = "DELETE FROM {ks}.hold USING TIMESTAMP :seq \
        WHERE wallet = :wallet AND born < :horizon";

    usage_write: Plain = "UPDATE {ks}.usage USING TIMESTAMP :seq SET units = :units \
        WHERE wallet = :wallet AND day = :day AND born = :born AND incarnation = :incarnation \
        AND product = :product AND plan = :plan AND billing = :billing AND period = :period \
        AND revision = :revision AND minute = :minute";
    usage_read: Plain = "SELECT product, plan, billing, period, revision, born, incarnation, \
        minute, units, writetime(units) AS seq FROM {ks}.usage \
        WHERE wallet = :wallet AND day = :day";
    usage_purge: Plain = "DELETE FROM {ks}.usage USING TIMESTAMP :seq \
        WHERE wallet = :wallet AND day = :day AND born < :horizon";
    app_usage_write: Plain = "UPDATE {ks}.app_usage USING TIMESTAMP :seq SET units = :units \
        WHERE wallet = :wallet AND day = :day AND born = :born AND incarnation = :incarnation \
        AND product = :product AND plan = :plan AND billing = :billing AND period = :period \
        AND revision = :revision AND app = :app AND minute = :minute";
    app_usage_read: Plain = "SELECT product, plan, billing, period, revision, born, incarnation, \
        app, minute, units, writetime(units) AS seq FROM {ks}.app_usage \
        WHERE wallet = :wallet AND day = :day";
    app_usage_purge: Plain = "DELETE FROM {ks}.app_usage USING TIMESTAMP :seq \
        WHERE wallet = :wallet AND day = :day AND born < :horizon";
    daily_usage_write: Plain = "UPDATE {ks}.daily_usage USING TIMESTAMP :seq \
        SET units = :units, minute = :minute \
        WHERE wallet = :wallet AND block = :block AND day = :day AND born = :born \
        AND incarnation = :incarnation AND product = :product AND plan = :plan \
        AND billing = :billing AND period = :period AND revision = :revision AND app = :app";
    daily_usage_read: Plain = "SELECT product, plan, billing, period, revision, born, \
        incarnation, app, minute, units, writetime(units) AS seq FROM {ks}.daily_usage \
        WHERE wallet = :wallet AND block = :block AND day >= :first AND day < :end";
    usage_day_write: Plain = "INSERT INTO {ks}.usage_day (wallet, day) VALUES (:wallet, :day)";
    usage_days_read: Plain = "SELECT day FROM {ks}.usage_day \
        WHERE wallet = :wallet AND day >= :first AND day <= :last";

    suspense_write: Plain = "UPDATE {ks}.suspense USING TIMESTAMP :seq SET units = :units \
        WHERE wallet = :wallet AND born = :born AND incarnation = :incarnation \
        AND product = :product AND plan = :plan AND billing = :billing AND period = :period \
        AND revision = :revision AND reason = :reason";
    suspense_read: Plain = "SELECT product, plan, billing, period, revision, born, incarnation, \
        reason, units FROM {ks}.suspense WHERE wallet = :wallet";
    counted_insert: Conditional = "INSERT INTO {ks}.suspense_counted (wallet, born, incarnation, \
        product, plan, billing, period, revision, reason, counted) VALUES (:wallet, :born, \
        :incarnation, :product, :plan, :billing, :period, :revision, :reason, :counted) \
        IF NOT EXISTS";
    counted_read: Plain = "SELECT product, plan, billing, period, revision, born, incarnation, \
        reason, counted AS units FROM {ks}.suspense_counted WHERE wallet = :wallet";

    registry_insert: Conditional = "INSERT INTO {ks}.registry (incarnation, gateway, born, \
        ended_at, retired_at) VALUES (:incarnation, :gateway, :born, :ended_at, :retired_at) \
        IF NOT EXISTS";
    registry_read: SerialRead = "SELECT incarnation, gateway, born, ended_at, retired_at \
        FROM {ks}.registry WHERE incarnation = :incarnation";
    registry_list: Plain = "SELECT incarnation, gateway, born, ended_at, retired_at \
        FROM {ks}.registry";
    registry_end: Conditional = "UPDATE {ks}.registry SET ended_at = :ended_at, \
        retired_at = :retired_at WHERE incarnation = :incarnation \
        IF ended_at = :known_ended_at AND retired_at = :known_retired_at";

    document_read: Plain = "SELECT name, version, body FROM {ks}.document \
        WHERE kind = :kind AND scope = :scope AND name = :name";
    /// The same, after a write whose outcome is unknown.
    document_settle: SerialRead = "SELECT name, version, body FROM {ks}.document \
        WHERE kind = :kind AND scope = :scope AND name = :name";
    document_list: Plain = "SELECT name, version, body FROM {ks}.document \
        WHERE kind = :kind AND scope = :scope AND name >= :name LIMIT :count";
    document_insert: Conditional = "INSERT INTO {ks}.document (kind, scope, name, version, body) \
        VALUES (:kind, :scope, :name, 1, :body) IF NOT EXISTS";
    document_update: Conditional = "UPDATE {ks}.document SET version = :version, body = :body \
        WHERE kind = :kind AND scope = :scope AND name = :name IF version = :expected_version";
    document_delete: Conditional = "DELETE FROM {ks}.document \
        WHERE kind = :kind AND scope = :scope AND name = :name IF version = :expected_version";
    change_write: Plain = "INSERT INTO {ks}.document_change (hour, changed_at, id, kind, scope, \
        name) VALUES (:hour, :changed_at, :id, :kind, :scope, :name)";
    changes_read: Plain = "SELECT changed_at, id, kind, scope, name FROM {ks}.document_change \
        WHERE hour = :hour AND changed_at >= :since";
}

/// The statements that make a keyspace and its tables, sent before anything can be prepared.
pub(super) mod schema {
    /// The migrations in order; the first has number 1.
    pub(crate) const MIGRATIONS: [&str; 3] =
        [include_str!("0001.cql"), include_str!("0002.cql"), include_str!("0003.cql")];

    pub(crate) const LOCAL_DATACENTER: &str = "SELECT data_center FROM system.local";
    pub(crate) const FEATURE_COLUMN: &str = "SELECT column_name FROM system_schema.columns \
        WHERE keyspace_name = 'system' AND table_name = 'local' \
        AND column_name = 'supported_features'";
    pub(crate) const FEATURES: &str = "SELECT supported_features FROM system.local";
    pub(crate) const COLUMN: &str = "SELECT column_name FROM system_schema.columns \
        WHERE keyspace_name = ? AND table_name = ? AND column_name = ?";
    pub(crate) const TABLE: &str = "SELECT table_name FROM system_schema.tables \
        WHERE keyspace_name = ? AND table_name = 'migration'";

    pub(crate) const CREATE_KEYSPACE: &str = "CREATE KEYSPACE IF NOT EXISTS {ks} \
        WITH replication = {'class': 'NetworkTopologyStrategy', '{dc}': {rf}}{tablets}";
    pub(crate) const WITHOUT_TABLETS: &str = " AND tablets = {'enabled': false}";
    /// The id is given, because two nodes that make a table at the same time would give it two
    /// ids, and Cassandra would lose the rows of one.
    pub(crate) const CREATE_MIGRATION_TABLE: &str = "CREATE TABLE IF NOT EXISTS {ks}.migration \
        (list text, number int, holder uuid, applied_at timestamp, PRIMARY KEY ((list), number)) \
        WITH id = {id}";
    pub(crate) const MIGRATIONS_READ: &str =
        "SELECT number FROM {ks}.migration WHERE list = 'applied'";
    pub(crate) const MIGRATION_DONE: &str = "INSERT INTO {ks}.migration (list, number, \
        applied_at) VALUES ('applied', ?, toTimestamp(now())) IF NOT EXISTS";
    /// A node that dies with the lock leaves it for this many seconds.
    pub(crate) const LOCK: &str = "INSERT INTO {ks}.migration (list, number, holder) \
        VALUES ('lock', 0, ?) IF NOT EXISTS USING TTL 60";
    pub(crate) const UNLOCK: &str =
        "DELETE FROM {ks}.migration WHERE list = 'lock' AND number = 0 IF holder = ?";
}

async fn prepare(
    session: &Session,
    keyspace: &str,
    operation: &'static str,
    cql: &str,
    profiles: &Profiles,
    class: Class,
) -> Result<Prepared, PrepareError> {
    let mut statement = session.prepare(cql.replace("{ks}", keyspace)).await?;
    statement.set_is_idempotent(class != Class::Conditional);
    statement.set_execution_profile_handle(Some(profiles.of(class).clone()));
    Ok(Prepared { statement, operation })
}

// === impl Profiles ===

impl Profiles {
    /// Profiles that stay in one datacenter: LOCAL_SERIAL is linearizable within one alone.
    pub(super) fn new(config: &CqlConfig, datacenter: &str) -> Profiles {
        let nodes: Arc<dyn LoadBalancingPolicy> = DefaultPolicy::builder()
            .prefer_datacenter(datacenter.to_owned())
            .token_aware(true)
            .permit_dc_failover(false)
            .build();
        let profile = |consistency, timeout_ms, retries: Arc<dyn RetryPolicy>| {
            ExecutionProfile::builder()
                .consistency(consistency)
                .serial_consistency(Some(SerialConsistency::LocalSerial))
                .request_timeout(Some(Duration::from_millis(timeout_ms)))
                .load_balancing_policy(nodes.clone())
                .retry_policy(retries)
                .build()
                .into_handle()
        };
        Profiles {
            plain: profile(
                Consistency::LocalQuorum,
                config.request_timeout_ms,
                Arc::new(DefaultRetryPolicy::new()),
            ),
            serial_read: profile(
                Consistency::LocalSerial,
                config.conditional_timeout_ms,
                Arc::new(FallthroughRetryPolicy::new()),
            ),
            conditional: profile(
                Consistency::LocalQuorum,
                config.conditional_timeout_ms,
                Arc::new(FallthroughRetryPolicy::new()),
            ),
        }
    }

    /// How statements of a class are sent.
    pub(super) fn of(&self, class: Class) -> &ExecutionProfileHandle {
        match class {
            Class::Plain => &self.plain,
            Class::SerialRead => &self.serial_read,
            Class::Conditional => &self.conditional,
        }
    }
}
