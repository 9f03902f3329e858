//! The registry of incarnations.

use scylla::value::CqlTimestamp;
use tollgate_metering::{Incarnation, UnixMillis};
use uuid::Uuid;

use super::cluster::Cluster;
use super::outcome;
use super::values::{incarnation, time, timestamp};
use crate::error::LedgerError;
use crate::ledger::Registration;

/// How often a condition on a line of the registry is tried against what somebody else wrote.
const ATTEMPTS: usize = 4;

#[derive(Debug, scylla::DeserializeRow)]
struct RegistryRow {
    incarnation: Uuid,
    gateway: Option<String>,
    born: Option<CqlTimestamp>,
    ended_at: Option<CqlTimestamp>,
    retired_at: Option<CqlTimestamp>,
}

#[derive(Debug, scylla::SerializeRow)]
struct InsertValues<'a> {
    incarnation: Uuid,
    gateway: &'a str,
    born: CqlTimestamp,
    ended_at: Option<CqlTimestamp>,
    retired_at: Option<CqlTimestamp>,
}

#[derive(Debug, scylla::SerializeRow)]
struct EndValues {
    incarnation: Uuid,
    ended_at: Option<CqlTimestamp>,
    retired_at: Option<CqlTimestamp>,
    known_ended_at: Option<CqlTimestamp>,
    known_retired_at: Option<CqlTimestamp>,
}

/// Enters an incarnation; the first birth stays.
pub(super) async fn register(
    cluster: &Cluster,
    id: Uuid,
    gateway: &str,
    born: UnixMillis,
) -> Result<Incarnation, LedgerError> {
    let born = timestamp(born);
    let values = InsertValues { incarnation: id, gateway, born, ended_at: None, retired_at: None };
    // Whatever became of it: the birth that is there is the one that counts.
    let unknown = match cluster.write_if(&cluster.statements.registry_insert, values).await {
        Ok(true) => return Ok(incarnation(born, id)),
        Ok(false) => None,
        Err(error @ LedgerError::Unknown { .. }) => Some(error),
        Err(error) => return Err(error),
    };
    match read(cluster, id).await?.and_then(|row| row.born) {
        Some(born) => Ok(incarnation(born, id)),
        None => Err(unknown.unwrap_or_else(|| changed_meanwhile("register an incarnation"))),
    }
}

/// Every incarnation in the order of birth.
pub(super) async fn list(cluster: &Cluster) -> Result<Vec<Registration>, LedgerError> {
    let rows: Vec<RegistryRow> = cluster.paged_rows(&cluster.statements.registry_list, ()).await?;
    let mut registrations: Vec<_> =
        rows.into_iter().filter_map(RegistryRow::registration).collect();
    registrations.sort_by_key(|registration| registration.incarnation);
    Ok(registrations)
}

/// Notes an end or a retirement; what was noted first stays.
pub(super) async fn end(cluster: &Cluster, registration: &Registration) -> Result<(), LedgerError> {
    let id = registration.incarnation.id;
    let (ended_at, retired_at) =
        (registration.ended_at.map(timestamp), registration.retired_at.map(timestamp));
    for _ in 0..ATTEMPTS {
        let is_applied = match read(cluster, id).await? {
            None => {
                let values = InsertValues {
                    incarnation: id,
                    gateway: &registration.gateway,
                    born: timestamp(registration.incarnation.born),
                    ended_at,
                    retired_at,
                };
                cluster.write_if(&cluster.statements.registry_insert, values).await?
            }
            Some(row) => {
                let values = EndValues {
                    incarnation: id,
                    ended_at: row.ended_at.or(ended_at),
                    retired_at: row.retired_at.or(retired_at),
                    known_ended_at: row.ended_at,
                    known_retired_at: row.retired_at,
                };
                cluster.write_if(&cluster.statements.registry_end, values).await?
            }
        };
        if is_applied {
            return Ok(());
        }
    }
    Err(changed_meanwhile("end an incarnation"))
}

async fn read(cluster: &Cluster, id: Uuid) -> Result<Option<RegistryRow>, LedgerError> {
    let rows = cluster.serial_rows(&cluster.statements.registry_read, (id,)).await?;
    Ok(rows.into_iter().next())
}

fn changed_meanwhile(what: &'static str) -> LedgerError {
    outcome::unavailable(what, "the registry was changed by others at the same time")
}

// === impl RegistryRow ===

impl RegistryRow {
    fn registration(self) -> Option<Registration> {
        Some(Registration {
            incarnation: incarnation(self.born?, self.incarnation),
            gateway: self.gateway.unwrap_or_default(),
            ended_at: self.ended_at.map(time),
            retired_at: self.retired_at.map(time),
        })
    }
}
