//! Every SQL string.
//!
//! Money and sums of units are TEXT decimals, so that a person reads them as they are; registers
//! are INTEGER nano-units, so that merging is SQL's own `max()`. Times are milliseconds since
//! 1970 (`_ms`), sequence numbers microseconds.

/// `application_id` of a ledger file: `TOLL`.
pub(super) const APPLICATION_ID: i32 = 0x544f_4c4c;

/// Steps of the schema; step n takes `user_version` n − 1 to n. Steps only add: a file of any
/// older version opens, and no step is ever edited once released.
pub(super) const MIGRATIONS: &[&str] = &[MIGRATION_1, MIGRATION_2, MIGRATION_3, MIGRATION_4];

const MIGRATION_1: &str = "
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('generation', 1), ('clock_high_ms', 0);

CREATE TABLE wallet (
    wallet TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    organization TEXT NOT NULL,
    developer TEXT NOT NULL,
    currency TEXT NOT NULL,
    opened_at_ms INTEGER NOT NULL,
    credited TEXT NOT NULL,
    settled TEXT NOT NULL,
    horizon_ms INTEGER NOT NULL,
    last_credit_at_ms INTEGER,
    balance_at_last_credit TEXT NOT NULL,
    overdraft_limit TEXT NOT NULL,
    overspend TEXT NOT NULL CHECK (overspend IN ('optimistic', 'strict')),
    mode_counter INTEGER NOT NULL,
    owner_epoch INTEGER NOT NULL,
    owner_node TEXT,
    retirements INTEGER NOT NULL,
    is_sealed INTEGER NOT NULL CHECK (is_sealed IN (0, 1)),
    UNIQUE (developer, currency)
) STRICT, WITHOUT ROWID;

CREATE TABLE meter (
    wallet TEXT NOT NULL,
    product TEXT NOT NULL,
    plan TEXT NOT NULL,
    billing TEXT NOT NULL CHECK (billing IN ('prepaid', 'postpaid')),
    period TEXT NOT NULL,
    revision INTEGER NOT NULL,
    settled_units TEXT NOT NULL,
    closed_charge TEXT NOT NULL,
    checkpoints INTEGER NOT NULL,
    PRIMARY KEY (wallet, product, plan, billing, period, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE cell (
    wallet TEXT NOT NULL,
    born_ms INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    product TEXT NOT NULL,
    plan TEXT NOT NULL,
    billing TEXT NOT NULL,
    period TEXT NOT NULL,
    revision INTEGER NOT NULL,
    folded_nanos INTEGER NOT NULL,
    cut_nanos INTEGER,
    PRIMARY KEY (wallet, born_ms, incarnation, product, plan, billing, period, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE ceiling (
    wallet TEXT NOT NULL,
    born_ms INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    mode INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    draw TEXT NOT NULL,
    PRIMARY KEY (wallet, born_ms, incarnation)
) STRICT, WITHOUT ROWID;

CREATE TABLE entry (
    developer TEXT NOT NULL,
    id TEXT NOT NULL,
    wallet TEXT NOT NULL,
    kind TEXT NOT NULL,
    amount TEXT NOT NULL,
    balance_after TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    product TEXT,
    plan TEXT,
    billing TEXT,
    period TEXT,
    revision INTEGER,
    units TEXT NOT NULL,
    PRIMARY KEY (developer, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE register (
    wallet TEXT NOT NULL,
    born_ms INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    product TEXT NOT NULL,
    plan TEXT NOT NULL,
    billing TEXT NOT NULL,
    period TEXT NOT NULL,
    revision INTEGER NOT NULL,
    live_nanos INTEGER NOT NULL,
    recovered_nanos INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (wallet, born_ms, incarnation, product, plan, billing, period, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE hold (
    wallet TEXT NOT NULL,
    born_ms INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    amount TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (wallet, born_ms, incarnation)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    wallet TEXT NOT NULL,
    minute INTEGER NOT NULL,
    born_ms INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    product TEXT NOT NULL,
    plan TEXT NOT NULL,
    billing TEXT NOT NULL,
    period TEXT NOT NULL,
    revision INTEGER NOT NULL,
    units_nanos INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (wallet, minute, born_ms, incarnation, product, plan, billing, period, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE suspense (
    wallet TEXT NOT NULL,
    born_ms INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    product TEXT NOT NULL,
    plan TEXT NOT NULL,
    billing TEXT NOT NULL,
    period TEXT NOT NULL,
    revision INTEGER NOT NULL,
    reason TEXT NOT NULL,
    units_nanos INTEGER NOT NULL,
    counted_nanos INTEGER NOT NULL,
    PRIMARY KEY (wallet, born_ms, incarnation, product, plan, billing, period, revision, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE resolved (
    wallet TEXT NOT NULL,
    born_ms INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    product TEXT NOT NULL,
    plan TEXT NOT NULL,
    billing TEXT NOT NULL,
    period TEXT NOT NULL,
    revision INTEGER NOT NULL,
    reason TEXT NOT NULL,
    units TEXT NOT NULL,
    PRIMARY KEY (wallet, born_ms, incarnation, product, plan, billing, period, revision, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE incarnation (
    incarnation TEXT NOT NULL PRIMARY KEY,
    gateway TEXT NOT NULL,
    born_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,
    retired_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE document (
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, scope, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE document_change (
    at_ms INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (at_ms, id)
) STRICT, WITHOUT ROWID;
";

/// Strict wallets.
const MIGRATION_2: &str = "
ALTER TABLE wallet ADD COLUMN is_mode_changing INTEGER NOT NULL DEFAULT 0
    CHECK (is_mode_changing IN (0, 1));
ALTER TABLE ceiling ADD COLUMN most TEXT NOT NULL DEFAULT '0';
ALTER TABLE ceiling ADD COLUMN settled TEXT NOT NULL DEFAULT '0';
ALTER TABLE ceiling ADD COLUMN is_retired INTEGER NOT NULL DEFAULT 0 CHECK (is_retired IN (0, 1));
ALTER TABLE entry ADD COLUMN is_forced INTEGER NOT NULL DEFAULT 0 CHECK (is_forced IN (0, 1));
";

/// Usage by app, and what is kept of usage below the horizon. No app is the register itself.
const MIGRATION_3: &str = "
CREATE TABLE app_usage (
    wallet TEXT NOT NULL,
    minute INTEGER NOT NULL,
    born_ms INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    product TEXT NOT NULL,
    plan TEXT NOT NULL,
    billing TEXT NOT NULL,
    period TEXT NOT NULL,
    revision INTEGER NOT NULL,
    app TEXT NOT NULL,
    units_nanos INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (wallet, minute, born_ms, incarnation, product, plan, billing, period, revision, app)
) STRICT, WITHOUT ROWID;

CREATE TABLE daily_usage (
    wallet TEXT NOT NULL,
    day INTEGER NOT NULL,
    born_ms INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    product TEXT NOT NULL,
    plan TEXT NOT NULL,
    billing TEXT NOT NULL,
    period TEXT NOT NULL,
    revision INTEGER NOT NULL,
    app TEXT NOT NULL,
    minute INTEGER NOT NULL,
    units_nanos INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (wallet, day, born_ms, incarnation, product, plan, billing, period, revision, app)
) STRICT, WITHOUT ROWID;
";

/// Shadow mode: two billing types more. A CHECK cannot be changed, so the table is made again.
const MIGRATION_4: &str = "
CREATE TABLE meter_of_4 (
    wallet TEXT NOT NULL,
    product TEXT NOT NULL,
    plan TEXT NOT NULL,
    billing TEXT NOT NULL
        CHECK (billing IN ('prepaid', 'postpaid', 'shadow', 'shadow_refused')),
    period TEXT NOT NULL,
    revision INTEGER NOT NULL,
    settled_units TEXT NOT NULL,
    closed_charge TEXT NOT NULL,
    checkpoints INTEGER NOT NULL,
    PRIMARY KEY (wallet, product, plan, billing, period, revision)
) STRICT, WITHOUT ROWID;
INSERT INTO meter_of_4 (wallet, product, plan, billing, period, revision, settled_units,
    closed_charge, checkpoints)
SELECT wallet, product, plan, billing, period, revision, settled_units, closed_charge, checkpoints
FROM meter;
DROP TABLE meter;
ALTER TABLE meter_of_4 RENAME TO meter;
";

pub(super) const META: &str = "SELECT value FROM meta WHERE name = ?1";
pub(super) const RAISE_META: &str = "UPDATE meta SET value = max(value, ?2) WHERE name = ?1";
/// See `Account::restored_mode`.
pub(super) const RESTORE_MODES: &str = "
UPDATE wallet SET mode_counter = mode_counter + ?1, is_mode_changing = 1 WHERE mode_counter > 0";
pub(super) const SET_META: &str = "UPDATE meta SET value = ?2 WHERE name = ?1";

pub(super) const WALLET: &str = "
SELECT wallet, version, organization, developer, currency, opened_at_ms, credited, settled,
       horizon_ms, last_credit_at_ms, balance_at_last_credit, overdraft_limit, overspend,
       mode_counter, owner_epoch, owner_node, retirements, is_sealed, is_mode_changing
FROM wallet WHERE wallet = ?1";
pub(super) const WALLETS_OF: &str = "
SELECT wallet, version, organization, developer, currency, opened_at_ms, credited, settled,
       horizon_ms, last_credit_at_ms, balance_at_last_credit, overdraft_limit, overspend,
       mode_counter, owner_epoch, owner_node, retirements, is_sealed, is_mode_changing
FROM wallet WHERE developer = ?1 ORDER BY currency";
pub(super) const WALLETS: &str =
    "SELECT wallet FROM wallet WHERE wallet > ?1 ORDER BY wallet LIMIT ?2";
pub(super) const WALLET_VERSION: &str = "SELECT version FROM wallet WHERE wallet = ?1";
pub(super) const WALLET_IS_THERE: &str = "
SELECT EXISTS (
    SELECT 1 FROM wallet WHERE wallet = ?1 OR (developer = ?2 AND currency = ?3))";
pub(super) const INSERT_WALLET: &str = "
INSERT INTO wallet (wallet, version, credited, settled, horizon_ms, last_credit_at_ms,
    balance_at_last_credit, overdraft_limit, overspend, mode_counter, owner_epoch, owner_node,
    retirements, is_sealed, is_mode_changing, organization, developer, currency, opened_at_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
pub(super) const UPDATE_WALLET: &str = "
UPDATE wallet SET version = ?2, credited = ?3, settled = ?4, horizon_ms = ?5,
    last_credit_at_ms = ?6, balance_at_last_credit = ?7, overdraft_limit = ?8, overspend = ?9,
    mode_counter = ?10, owner_epoch = ?11, owner_node = ?12, retirements = ?13, is_sealed = ?14,
    is_mode_changing = ?15
WHERE wallet = ?1 AND version = ?2 - 1";

pub(super) const METERS: &str = "
SELECT product, plan, billing, period, revision, settled_units, closed_charge, checkpoints
FROM meter WHERE wallet = ?1";
pub(super) const PUT_METER: &str = "
INSERT OR REPLACE INTO meter (wallet, product, plan, billing, period, revision, settled_units,
    closed_charge, checkpoints)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
pub(super) const CELLS: &str = "
SELECT product, plan, billing, period, revision, born_ms, incarnation, folded_nanos, cut_nanos
FROM cell WHERE wallet = ?1";
pub(super) const PUT_CELL: &str = "
INSERT OR REPLACE INTO cell (wallet, product, plan, billing, period, revision, born_ms,
    incarnation, folded_nanos, cut_nanos)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
pub(super) const CEILINGS: &str = "
SELECT born_ms, incarnation, mode, epoch, counter, draw, most, settled, is_retired
FROM ceiling WHERE wallet = ?1";
pub(super) const PUT_CEILING: &str = "
INSERT OR REPLACE INTO ceiling (wallet, born_ms, incarnation, mode, epoch, counter, draw, most,
    settled, is_retired)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
pub(super) const DELETE_CEILING: &str =
    "DELETE FROM ceiling WHERE wallet = ?1 AND born_ms = ?2 AND incarnation = ?3";
pub(super) const RESOLVED: &str = "
SELECT product, plan, billing, period, revision, born_ms, incarnation, reason, units
FROM resolved WHERE wallet = ?1";
pub(super) const PUT_RESOLVED: &str = "
INSERT OR REPLACE INTO resolved (wallet, product, plan, billing, period, revision, born_ms,
    incarnation, reason, units)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

pub(super) const ENTRY_IS_THERE: &str =
    "SELECT EXISTS (SELECT 1 FROM entry WHERE developer = ?1 AND id = ?2)";
pub(super) const INSERT_ENTRY: &str = "
INSERT INTO entry (developer, id, wallet, kind, amount, balance_after, at_ms, by, reason,
    product, plan, billing, period, revision, units, is_forced)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
pub(super) const ENTRY: &str = "
SELECT id, wallet, kind, amount, balance_after, at_ms, by, reason, product, plan, billing, period,
       revision, units, is_forced
FROM entry WHERE developer = ?1 AND id = ?2";
pub(super) const ENTRIES: &str = "
SELECT id, wallet, kind, amount, balance_after, at_ms, by, reason, product, plan, billing, period,
       revision, units, is_forced
FROM entry WHERE developer = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

pub(super) const REGISTERS: &str = "
SELECT product, plan, billing, period, revision, born_ms, incarnation, live_nanos, recovered_nanos
FROM register WHERE wallet = ?1 AND born_ms >= ?2";
pub(super) const MERGE_REGISTER: &str = "
INSERT INTO register (wallet, product, plan, billing, period, revision, born_ms, incarnation,
    live_nanos, recovered_nanos, seq)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT DO UPDATE SET
    live_nanos = max(live_nanos, excluded.live_nanos),
    recovered_nanos = max(recovered_nanos, excluded.recovered_nanos),
    seq = max(seq, excluded.seq)";
pub(super) const HOLDS: &str =
    "SELECT born_ms, incarnation, amount, seq FROM hold WHERE wallet = ?1 AND born_ms >= ?2";
pub(super) const PUT_HOLD: &str = "
INSERT INTO hold (wallet, born_ms, incarnation, amount, seq) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT DO UPDATE SET amount = excluded.amount, seq = excluded.seq
WHERE excluded.seq > seq";
pub(super) const USAGE: &str = "
SELECT product, plan, billing, period, revision, born_ms, incarnation, minute, units_nanos, seq,
       '' AS app
FROM usage WHERE wallet = ?1 AND minute >= ?2 AND minute < ?3
UNION ALL
SELECT product, plan, billing, period, revision, born_ms, incarnation, minute, units_nanos, seq,
       app
FROM app_usage WHERE wallet = ?1 AND minute >= ?2 AND minute < ?3
ORDER BY minute";
/// A bare column beside `max()` is of the row that has it.
pub(super) const DAILY_USAGE: &str = "
SELECT product, plan, billing, period, revision, born_ms, incarnation, max(minute), units_nanos,
       seq, '' AS app
FROM usage WHERE wallet = ?1 AND minute >= ?2 * 1440 AND minute < ?3 * 1440
GROUP BY minute / 1440, born_ms, incarnation, product, plan, billing, period, revision
UNION ALL
SELECT product, plan, billing, period, revision, born_ms, incarnation, max(minute), units_nanos,
       seq, app
FROM app_usage WHERE wallet = ?1 AND minute >= ?2 * 1440 AND minute < ?3 * 1440
GROUP BY minute / 1440, born_ms, incarnation, product, plan, billing, period, revision, app
UNION ALL
SELECT product, plan, billing, period, revision, born_ms, incarnation, minute, units_nanos, seq,
       app
FROM daily_usage WHERE wallet = ?1 AND day >= ?2 AND day < ?3";
pub(super) const PUT_APP_USAGE: &str = "
INSERT INTO app_usage (wallet, product, plan, billing, period, revision, born_ms, incarnation,
    minute, units_nanos, seq, app)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
ON CONFLICT DO UPDATE SET units_nanos = excluded.units_nanos, seq = excluded.seq
WHERE excluded.seq > seq";
pub(super) const PUT_USAGE: &str = "
INSERT INTO usage (wallet, product, plan, billing, period, revision, born_ms, incarnation, minute,
    units_nanos, seq)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT DO UPDATE SET units_nanos = excluded.units_nanos, seq = excluded.seq
WHERE excluded.seq > seq";
/// What lies below a horizon, one statement a table; never what the account still counts. The last
/// row of each day of usage is kept before the minutes go.
pub(super) const PURGE: [&str; 7] = [
    "INSERT INTO daily_usage (wallet, day, born_ms, incarnation, product, plan, billing, period,
        revision, app, minute, units_nanos, seq)
     SELECT wallet, minute / 1440, born_ms, incarnation, product, plan, billing, period, revision,
        '', max(minute), units_nanos, seq
     FROM usage WHERE wallet = ?1
     AND born_ms < min(?2, (SELECT horizon_ms FROM wallet WHERE wallet = ?1))
     GROUP BY minute / 1440, born_ms, incarnation, product, plan, billing, period, revision
     ON CONFLICT DO UPDATE SET minute = excluded.minute, units_nanos = excluded.units_nanos,
        seq = excluded.seq WHERE excluded.seq > seq",
    "INSERT INTO daily_usage (wallet, day, born_ms, incarnation, product, plan, billing, period,
        revision, app, minute, units_nanos, seq)
     SELECT wallet, minute / 1440, born_ms, incarnation, product, plan, billing, period, revision,
        app, max(minute), units_nanos, seq
     FROM app_usage WHERE wallet = ?1
     AND born_ms < min(?2, (SELECT horizon_ms FROM wallet WHERE wallet = ?1))
     GROUP BY minute / 1440, born_ms, incarnation, product, plan, billing, period, revision, app
     ON CONFLICT DO UPDATE SET minute = excluded.minute, units_nanos = excluded.units_nanos,
        seq = excluded.seq WHERE excluded.seq > seq",
    "DELETE FROM app_usage WHERE wallet = ?1
     AND born_ms < min(?2, (SELECT horizon_ms FROM wallet WHERE wallet = ?1))",
    "DELETE FROM register WHERE wallet = ?1
     AND born_ms < min(?2, (SELECT horizon_ms FROM wallet WHERE wallet = ?1))",
    "DELETE FROM hold WHERE wallet = ?1
     AND born_ms < min(?2, (SELECT horizon_ms FROM wallet WHERE wallet = ?1))",
    "DELETE FROM usage WHERE wallet = ?1
     AND born_ms < min(?2, (SELECT horizon_ms FROM wallet WHERE wallet = ?1))",
    "DELETE FROM cell WHERE wallet = ?1
     AND born_ms < min(?2, (SELECT horizon_ms FROM wallet WHERE wallet = ?1))",
];

pub(super) const SUSPENSE: &str = "
SELECT product, plan, billing, period, revision, born_ms, incarnation, reason, units_nanos,
       counted_nanos
FROM suspense WHERE wallet = ?1";
pub(super) const MERGE_SUSPENSE: &str = "
INSERT INTO suspense (wallet, product, plan, billing, period, revision, born_ms, incarnation,
    reason, units_nanos, counted_nanos)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT DO UPDATE SET units_nanos = max(units_nanos, excluded.units_nanos)";

pub(super) const INSERT_INCARNATION: &str = "
INSERT INTO incarnation (incarnation, gateway, born_ms) VALUES (?1, ?2, ?3)
ON CONFLICT DO NOTHING";
pub(super) const INCARNATION_BIRTH: &str = "SELECT born_ms FROM incarnation WHERE incarnation = ?1";
pub(super) const END_INCARNATION: &str = "
INSERT INTO incarnation (incarnation, gateway, born_ms, ended_at_ms, retired_at_ms)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT DO UPDATE SET
    ended_at_ms = coalesce(ended_at_ms, excluded.ended_at_ms),
    retired_at_ms = coalesce(retired_at_ms, excluded.retired_at_ms)";
pub(super) const INCARNATIONS: &str = "
SELECT born_ms, incarnation, gateway, ended_at_ms, retired_at_ms FROM incarnation
ORDER BY born_ms, incarnation";

pub(super) const DOCUMENT: &str =
    "SELECT version, body FROM document WHERE kind = ?1 AND scope = ?2 AND name = ?3";
pub(super) const DOCUMENTS: &str = "
SELECT name, version, body FROM document
WHERE kind = ?1 AND scope = ?2 AND name >= ?3 ORDER BY name LIMIT ?4";
pub(super) const INSERT_DOCUMENT: &str = "
INSERT INTO document (kind, scope, name, version, body) VALUES (?1, ?2, ?3, 1, ?4)
ON CONFLICT DO NOTHING";
pub(super) const UPDATE_DOCUMENT: &str = "
UPDATE document SET version = version + 1, body = ?4
WHERE kind = ?1 AND scope = ?2 AND name = ?3 AND version = ?5";
pub(super) const DELETE_DOCUMENT: &str =
    "DELETE FROM document WHERE kind = ?1 AND scope = ?2 AND name = ?3 AND version = ?4";
pub(super) const INSERT_CHANGE: &str =
    "INSERT INTO document_change (at_ms, id, kind, scope, name) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(super) const FORGET_CHANGES: &str = "DELETE FROM document_change WHERE at_ms < ?1";
pub(super) const CHANGES: &str = "
SELECT at_ms, id, kind, scope, name FROM document_change WHERE at_ms >= ?1 ORDER BY at_ms, id";
