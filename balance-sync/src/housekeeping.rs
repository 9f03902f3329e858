//! What time asks of wallets: folds of dead incarnations, checkpoints after a month's end, the
//! horizon, removal; and overspend policies that moved many wallets at once, or by time alone.
//!
//! Any node does it, also several at once: every change is conditional, so of two the second finds
//! nothing left to do. Nothing waits for it; a node that never came to it would only read more
//! rows. One read a wallet decides whether there is anything to do.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::book::{Book, BookError, HORIZON_AGE, may_purge};
use tollgate_ledger_store::catalogue::overspend::SeenPolicies;
use tollgate_ledger_store::{CatalogueError, LedgerError, WalletRead};
use tollgate_metering::balance::PERIOD_GRACE;
use tollgate_metering::node::FENCE;
use tollgate_metering::{Header, Incarnation, Period, UnixMillis, WalletId};
use uuid::Uuid;

pub(crate) mod fees;
mod policies;

use crate::node::Node;
use crate::refusal::chain;
use crate::shard::Command;

/// Wallets of one page of the ledger's list.
const PAGE: usize = 200;

/// A pause between pages, so that calls come first.
const PAUSE: Duration = Duration::from_millis(20);

/// An incarnation of this age is folded, and retired where it has not ended: reports that were
/// taken just before the fence have been written by then, and no other is.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(FENCE.as_secs() + 3_600);

/// Who books checkpoints.
const BY: &str = "housekeeping";

/// Why a wallet was not tended to its end; the next time goes on.
#[derive(Debug, thiserror::Error)]
enum TendError {
    #[error(transparent)]
    Book(#[from] BookError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Goes over all wallets again and again until it is dropped.
pub(crate) async fn keep(node: Arc<Node>) {
    let ledger = Arc::clone(&node.ledger);
    let book = Book::new(ledger, Arc::clone(&node.catalogue) as Arc<_>, Arc::clone(&node.clock));
    loop {
        tokio::time::sleep(node.settings.housekeeping_interval).await;
        if node.standing.is_serving()
            && let Err(error) = go_over(&node, &book).await
        {
            tracing::warn!(error = chain(&error), "housekeeping stopped, it goes on later");
        }
    }
}

async fn go_over(node: &Node, book: &Book) -> Result<(), LedgerError> {
    let registrations = node.ledger.registrations().await?;
    let ended = registrations.into_iter().filter(|each| each.ended_at.is_some());
    let ended: HashSet<Uuid> = ended.map(|each| each.incarnation.id).collect();
    let mut after = None;
    let mut seen = SeenPolicies::default();
    loop {
        let wallets = node.ledger.list(after, PAGE).await?;
        let Some(last) = wallets.last() else { return Ok(()) };
        after = Some(*last);
        for wallet in wallets {
            if let Err(error) = tend(node, book, wallet, &ended, &mut seen).await {
                tracing::warn!(%wallet, error = chain(&error), "wallet was not tended");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Does what is due on one wallet.
async fn tend(
    node: &Node,
    book: &Book,
    wallet: WalletId,
    ended: &HashSet<Uuid>,
    seen: &mut SeenPolicies,
) -> Result<(), TendError> {
    let Some(read) = node.ledger.read(wallet).await? else { return Ok(()) };
    let now = node.now();
    let is_dead = |incarnation: Incarnation| {
        ended.contains(&incarnation.id) || now.since(incarnation.born) > DEAD_AFTER
    };
    let version = read.account.header.version;
    if policies::follow(node, &read, seen).await? {
        node.metrics.housekeeping.with_label_values(&["policy"]).inc();
    }
    if policies::retire_fenced(book, &read, ended, now).await? {
        node.metrics.housekeeping.with_label_values(&["retire"]).inc();
    }
    if has_unfolded(&read, is_dead) {
        book.fold_dead(wallet, is_dead).await?;
        node.metrics.housekeeping.with_label_values(&["fold"]).inc();
    }
    if let Some(ended) = ended_period(now)
        && has_open_period(&read, ended)
    {
        book.close_period(wallet, ended, BY).await?;
        node.metrics.housekeeping.with_label_values(&["close"]).inc();
    }
    if is_behind(&read, now) {
        book.advance_horizon(wallet, BY).await?;
        node.metrics.housekeeping.with_label_values(&["horizon"]).inc();
    }
    if may_purge(&read.account, now) {
        book.purge(wallet).await?;
        node.metrics.housekeeping.with_label_values(&["purge"]).inc();
    }
    let changed = node.ledger.read(wallet).await?;
    // A change of the policy goes on where the wallet is in a node's memory: also where nobody
    // uses it, and after the node that began it has died.
    let is_due = |header: &Header| header.version != version || header.mode.is_changing;
    if changed.is_some_and(|read| is_due(&read.account.header)) {
        // A shard that is gone has nobody to tell.
        let _ = node.to_shard_of(wallet, Command::Changed { wallet }).await;
    }
    Ok(())
}

fn has_unfolded(read: &WalletRead, is_dead: impl Fn(Incarnation) -> bool) -> bool {
    read.registers.iter().any(|((meter, incarnation), register)| {
        let unfolded = read.account.unfolded(meter, *incarnation, *register);
        is_dead(*incarnation) && !unfolded.is_zero()
    })
}

/// The newest period that has ended for every node.
fn ended_period(now: UnixMillis) -> Option<Period> {
    let running = Period::of(now.minus(PERIOD_GRACE * 2));
    Period::from_number(running.number().checked_sub(1)?)
}

/// Whether a meter of an ended period has units since its last checkpoint, as far as one can tell
/// without prices.
fn has_open_period(read: &WalletRead, ended: Period) -> bool {
    let is_open = |meter: &tollgate_metering::Meter| {
        meter.period <= ended && read.account.header.counts_meter(meter)
    };
    read.meters().any(|meter| is_open(&meter))
}

fn is_behind(read: &WalletRead, now: UnixMillis) -> bool {
    let horizon = now.minus(HORIZON_AGE);
    let registers = read.registers.keys().map(|(_, incarnation)| incarnation);
    let is_due = registers.chain(read.holds.keys()).any(|each| each.born < horizon);
    is_due && !read.account.has_rows_behind_horizon()
}
