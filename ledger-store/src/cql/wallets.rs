//! Wallets: finding, reading and changing their accounts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tollgate_metering::{
    Account, Change, DeveloperId, Entry, Header, Incarnation, Meter, UnixMillis, WalletId,
};
use uuid::Uuid;

use super::account::{self, AccountRow};
use super::cluster::Cluster;
use super::contention::{Attempt, Settled, write_settled};
use super::entries::{EntryKey, EntryRow};
use super::header::HeaderRow;
use super::outcome;
use crate::error::LedgerError;
use crate::ledger::Commit;

/// Most wallets whose developer is remembered.
const DEVELOPERS_KNOWN_MAX: usize = 65_536;

/// Cells removed by one batch: well below the 50 KiB at which Cassandra refuses one.
const CELLS_REMOVED_MAX: usize = 100;

/// How often a removal of cells is tried against changes of the account.
const REMOVAL_ATTEMPTS: usize = 5;

/// Whose wallets are: that never changes, and every read of a wallet needs it.
#[derive(Debug, Default)]
pub(super) struct DevelopersKnown(Mutex<HashMap<WalletId, DeveloperId>>);

/// A change that is being written.
struct ChangeAttempt<'a> {
    cluster: &'a Cluster,
    change: &'a Change,
}

/// Reads an account, if the wallet was opened.
pub(super) async fn read(
    cluster: &Cluster,
    known: &DevelopersKnown,
    wallet: WalletId,
) -> Result<Option<Account>, LedgerError> {
    let developer = match known.get(wallet) {
        Some(developer) => developer,
        None => {
            let rows: Vec<(Option<Uuid>,)> =
                cluster.rows(&cluster.statements.wallet_read, (wallet.0,)).await?;
            let Some((Some(developer),)) = rows.into_iter().next() else { return Ok(None) };
            DeveloperId(developer)
        }
    };
    let values = (developer.0, wallet.0);
    let rows: Vec<AccountRow> = cluster.rows(&cluster.statements.account_read, values).await?;
    let account = account::account(rows)?;
    if account.is_some() {
        known.insert(wallet, developer);
    }
    Ok(account)
}

/// The headers of a developer's wallets in the order of their currencies.
pub(super) async fn headers(
    cluster: &Cluster,
    developer: DeveloperId,
) -> Result<Vec<Header>, LedgerError> {
    let rows: Vec<HeaderRow> =
        cluster.serial_rows(&cluster.statements.headers_read, (developer.0,)).await?;
    let mut headers =
        rows.into_iter().map(HeaderRow::header).collect::<Result<Vec<_>, LedgerError>>()?;
    headers.sort_by_key(|header| header.currency);
    Ok(headers)
}

/// Wallets in the order of their tokens.
pub(super) async fn list(
    cluster: &Cluster,
    after: Option<WalletId>,
    limit: usize,
) -> Result<Vec<WalletId>, LedgerError> {
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let statements = &cluster.statements;
    let rows: Vec<(Uuid,)> = match after {
        None => cluster.paged_rows(&statements.wallet_list, (limit,)).await?,
        Some(after) => cluster.paged_rows(&statements.wallet_list_after, (after.0, limit)).await?,
    };
    Ok(rows.into_iter().map(|(wallet,)| WalletId(wallet)).collect())
}

/// Applies a change, all of it or nothing.
pub(super) async fn commit(cluster: &Cluster, change: &Change) -> Result<Commit, LedgerError> {
    let statements = &cluster.statements;
    let header = &change.header;
    if header.version == 1 {
        // Before the wallet is there, so that whoever learns of it finds it. Nothing was applied
        // where this fails, whatever became of the line.
        let line = (header.wallet.0, header.developer.0);
        let written = cluster.write(&statements.wallet_write, line).await;
        written.map_err(|error| outcome::unavailable("open a wallet", error))?;
    }
    let is_applied = write_settled(&ChangeAttempt { cluster, change }).await?;
    Ok(if is_applied { Commit::Applied } else { Commit::Conflict })
}

/// The entry with this id.
pub(super) async fn entry(
    cluster: &Cluster,
    developer: DeveloperId,
    id: &str,
) -> Result<Option<Entry>, LedgerError> {
    let key = EntryKey { developer: developer.0, scope: developer.0, key: id };
    let rows: Vec<EntryRow> = cluster.serial_rows(&cluster.statements.entry_read, &key).await?;
    rows.into_iter().next().map(EntryRow::entry).transpose()
}

/// Entries in order of id.
pub(super) async fn entries(
    cluster: &Cluster,
    developer: DeveloperId,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Entry>, LedgerError> {
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let values = (developer.0, developer.0, after.unwrap_or(""), limit);
    let rows: Vec<EntryRow> = cluster.paged_rows(&cluster.statements.entry_list, values).await?;
    rows.into_iter().map(EntryRow::entry).collect()
}

/// Removes the cells of an account that were born before `horizon`, if its own is not before
/// that.
pub(super) async fn remove_cells(
    cluster: &Cluster,
    known: &DevelopersKnown,
    wallet: WalletId,
    horizon: UnixMillis,
) -> Result<(), LedgerError> {
    for _ in 0..REMOVAL_ATTEMPTS {
        let Some(account) = read(cluster, known, wallet).await? else { return Ok(()) };
        let horizon = horizon.min(account.header.horizon);
        let is_passed = |(_, incarnation): &&(Meter, Incarnation)| incarnation.born < horizon;
        let passed: Vec<_> = account.cells.keys().filter(is_passed).copied().collect();
        let mut is_applied = true;
        for cells in passed.chunks(CELLS_REMOVED_MAX) {
            let steps = account::removal(&cluster.statements, &account, cells)?;
            is_applied = cluster.write_batch_if("remove_cells", steps).await?;
            if !is_applied {
                break;
            }
        }
        if is_applied {
            return Ok(());
        }
    }
    Err(outcome::unavailable("remove cells", "the account was changed by others each time"))
}

// === impl ChangeAttempt ===

impl Attempt for ChangeAttempt<'_> {
    async fn write(&self) -> Result<bool, LedgerError> {
        let steps = account::steps(&self.cluster.statements, self.change)?;
        self.cluster.write_batch_if("commit", steps).await
    }

    /// A version is written by one change alone, and an entry's id as well.
    async fn look(&self) -> Result<Settled, LedgerError> {
        let ours = &self.change.header;
        let headers = headers(self.cluster, ours.developer).await?;
        let is_rival =
            |header: &Header| header.currency == ours.currency && header.wallet != ours.wallet;
        if headers.iter().any(is_rival) {
            return Ok(Settled::Refused);
        }
        let found = headers.iter().find(|header| header.wallet == ours.wallet);
        let version = found.map_or(0, |header| header.version);
        if version < ours.version {
            return Ok(Settled::Open);
        }
        if version == ours.version && found != Some(ours) {
            return Ok(Settled::Refused);
        }
        // The account has gone on, or stands where two nodes that changed it alike put it.
        let Some(entry) = self.change.entries.first() else { return Ok(Settled::Unclear) };
        let found = self::entry(self.cluster, ours.developer, &entry.id).await?;
        let is_ours = found.as_ref() == Some(entry);
        Ok(if is_ours { Settled::Applied } else { Settled::Refused })
    }
}

// === impl DevelopersKnown ===

impl DevelopersKnown {
    fn get(&self, wallet: WalletId) -> Option<DeveloperId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&wallet).copied()
    }

    fn insert(&self, wallet: WalletId, developer: DeveloperId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DEVELOPERS_KNOWN_MAX {
            // Forgetting costs a read each.
            known.clear();
        }
        known.insert(wallet, developer);
    }
}
