//! Copies a keyspace, as a backup does: rows with the times of their writes.

use std::collections::BTreeMap;

use scylla::client::session::Session;

use super::cluster::session;

/// Tables whose rows are written at times of their own, with the columns that have them.
const TIMED: [(&str, &str, &[&str]); 6] = [
    (
        "register",
        "wallet, born, incarnation, product, plan, billing, period, revision",
        &["live", "recovered"],
    ),
    ("hold", "wallet, born, incarnation", &["amount"]),
    (
        "usage",
        "wallet, day, born, incarnation, product, plan, billing, period, revision, minute",
        &["units"],
    ),
    (
        "app_usage",
        "wallet, day, born, incarnation, product, plan, billing, period, revision, app, minute",
        &["units"],
    ),
    (
        "daily_usage",
        "wallet, block, day, born, incarnation, product, plan, billing, period, revision, app",
        &["minute", "units"],
    ),
    (
        "suspense",
        "wallet, born, incarnation, product, plan, billing, period, revision, reason",
        &["units"],
    ),
];

/// All other tables.
const PLAIN: [&str; 8] = [
    "ledger",
    "account",
    "wallet",
    "usage_day",
    "suspense_counted",
    "registry",
    "document",
    "document_change",
];

/// The end of a row that names when it was written.
const WRITTEN: &str = ", \"written\": ";

/// The rows of a keyspace as JSON, by table, with the time of their write where it matters.
pub(crate) struct Copied(BTreeMap<&'static str, Vec<(String, Option<i64>)>>);

// === impl Copied ===

impl Copied {
    /// Copies every table.
    pub(crate) async fn of(keyspace: &str) -> Copied {
        let session = session().await;
        let mut tables = BTreeMap::new();
        for table in PLAIN {
            let rows = select(&session, &format!("SELECT JSON * FROM {keyspace}.{table}")).await;
            tables.insert(table, rows.into_iter().map(|row| (row, None)).collect::<Vec<_>>());
        }
        for (table, key, columns) in TIMED {
            let rows = tables.entry(table).or_default();
            for column in columns {
                let statement = format!(
                    "SELECT JSON {key}, {column}, writetime({column}) AS written \
                     FROM {keyspace}.{table}"
                );
                for row in select(&session, &statement).await {
                    // As text, because reading the decimals of a row would round them.
                    let (row, written) = row.rsplit_once(WRITTEN).unwrap();
                    if let Ok(written) = written.trim_end_matches('}').parse() {
                        rows.push((format!("{row}}}"), Some(written)));
                    }
                }
            }
        }
        Copied(tables)
    }

    /// Fills the tables of a keyspace that has none of these rows.
    pub(crate) async fn restore_to(&self, keyspace: &str) {
        let session = session().await;
        let truncate = format!("TRUNCATE {keyspace}.ledger");
        session.query_unpaged(truncate, ()).await.unwrap();
        for (table, rows) in &self.0 {
            for (row, written) in rows {
                let at = written.map_or(String::new(), |at| format!(" USING TIMESTAMP {at}"));
                let insert = format!("INSERT INTO {keyspace}.{table} JSON ? DEFAULT UNSET{at}");
                session.query_unpaged(insert, (row,)).await.unwrap();
            }
        }
    }
}

async fn select(session: &Session, statement: &str) -> Vec<String> {
    let result = session.query_unpaged(statement, ()).await.unwrap();
    let rows = result.into_rows_result().unwrap();
    rows.rows::<(String,)>().unwrap().map(|row| row.unwrap().0).collect()
}
