//! The generation of the ledger in a keyspace.
//!
//! A keyspace is named by its generation. Where it holds a lower one, a backup was restored into
//! it: every account is then moved to the new generation, so that a change that was computed from
//! the old ledger applies to none of them. The keyspace takes the generation last; whoever starts
//! meanwhile moves accounts as well, which does no harm.

use tollgate_metering::WalletId;

use super::cluster::{Cluster, Step};
use super::header::HeaderAdopt;
use super::values::{int, required, small_count};
use super::wallets::{self, DevelopersKnown};
use crate::error::LedgerError;

/// What errors call this.
const WHAT: &str = "the ledger's generation";

/// Wallets that are listed at a time.
const WALLETS_PER_LIST: usize = 1_000;

/// How often one account is tried against others that move it.
const ATTEMPTS: usize = 5;

#[derive(Debug, scylla::SerializeRow)]
struct AdoptValues {
    generation: i32,
    expected_generation: i32,
}

/// The generation that the keyspace holds, if it holds one yet.
pub(super) async fn read(cluster: &Cluster) -> Result<Option<u32>, LedgerError> {
    let rows: Vec<(Option<i32>,)> = cluster.rows(&cluster.statements.ledger_read, ()).await?;
    let Some((generation,)) = rows.into_iter().next() else { return Ok(None) };
    small_count(WHAT, required(WHAT, "generation", generation)?).map(Some)
}

/// Refuses a keyspace of another generation, and changes nothing.
pub(super) async fn expect(cluster: &Cluster, generation: u32) -> Result<(), LedgerError> {
    let detail = match read(cluster).await? {
        Some(found) if found == generation => return Ok(()),
        Some(found) => format!("keyspace of generation {generation} holds generation {found}"),
        None => format!("keyspace of generation {generation} was never opened by a node"),
    };
    Err(LedgerError::NotOurs { detail })
}

/// Makes the keyspace one of `generation`.
pub(super) async fn adopt(cluster: &Cluster, generation: u32) -> Result<(), LedgerError> {
    let statements = &cluster.statements;
    let column = int(WHAT, generation)?;
    if read(cluster).await?.is_none() {
        cluster.write_if(&statements.ledger_create, (column,)).await?;
    }
    let Some(found) = read(cluster).await? else {
        return Err(super::values::corrupt(WHAT, "it was written and cannot be read"));
    };
    if found == generation {
        return Ok(());
    }
    if found > generation {
        let detail = format!("keyspace of generation {generation} holds generation {found}");
        return Err(LedgerError::NotOurs { detail });
    }
    tracing::warn!(found, generation, "backup is adopted as a new generation");
    let mut after = None;
    loop {
        let wallets = wallets::list(cluster, after, WALLETS_PER_LIST).await?;
        for wallet in &wallets {
            adopt_wallet(cluster, *wallet, generation).await?;
        }
        match wallets.last() {
            Some(last) => after = Some(*last),
            None => break,
        }
    }
    let values = AdoptValues { generation: column, expected_generation: int(WHAT, found)? };
    cluster.write_if(&statements.ledger_adopt, values).await?;
    Ok(())
}

async fn adopt_wallet(
    cluster: &Cluster,
    wallet: WalletId,
    generation: u32,
) -> Result<(), LedgerError> {
    for _ in 0..ATTEMPTS {
        let known = DevelopersKnown::default();
        let Some(account) = wallets::read(cluster, &known, wallet).await? else { return Ok(()) };
        if account.header.generation >= generation {
            return Ok(());
        }
        let adopt = HeaderAdopt::of(&account, generation)?;
        let step = Step::new(&cluster.statements.header_adopt, adopt);
        if cluster.write_batch_if("adopt_wallet", vec![step]).await? {
            return Ok(());
        }
    }
    Err(super::outcome::unavailable("adopt a wallet", "it was changed by others each time"))
}
