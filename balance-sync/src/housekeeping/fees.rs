//! What time asks of developers: recurring fees at the start of each month, purchases that were cut
//! short, balances that wait to leave their wallets.
//!
//! A pass begins as housekeeping's do, and as soon as a month begins. Every node makes it; of two
//! that book the same, the second finds it booked.

use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::book::Book;
use tollgate_ledger_store::fees::{Fees, FeesError, Tended};
use tollgate_metering::{Period, UnixMillis};

use super::PAUSE;
use crate::node::Node;
use crate::refusal::chain;
use crate::shard::Command;

/// Between two looks at the clock: machines are set forward and wake up.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Books what is due again and again until it is dropped.
pub(crate) async fn keep(node: Arc<Node>) {
    let ledger = Arc::clone(&node.ledger);
    let rates = Arc::clone(&node.catalogue) as Arc<_>;
    let book = Arc::new(Book::new(Arc::clone(&ledger), rates, Arc::clone(&node.clock)));
    let fees = Fees::new(Arc::clone(&node.catalogue), ledger, book);
    let mut last = None;
    loop {
        tokio::time::sleep(node.settings.housekeeping_interval.min(LOOK_EVERY)).await;
        let (now, elapsed) = (node.now(), node.clock.monotonic());
        if !node.standing.is_serving() || !is_due(last, now, elapsed, &node) {
            continue;
        }
        match go_over(&node, &fees, now).await {
            Ok(()) => last = Some((Period::of(now), elapsed)),
            Err(error) => {
                tracing::warn!(error = chain(&error), "fees were not gone over, it goes on later");
            }
        }
    }
}

fn is_due(
    last: Option<(Period, Duration)>,
    now: UnixMillis,
    elapsed: Duration,
    node: &Node,
) -> bool {
    last.is_none_or(|(period, at)| {
        Period::of(now) != period
            || elapsed.saturating_sub(at) >= node.settings.housekeeping_interval
    })
}

async fn go_over(node: &Node, fees: &Fees, now: UnixMillis) -> Result<(), FeesError> {
    let mut start = None;
    loop {
        let (next, tended) = fees.tend_switches(start, now).await?;
        tell(node, tended, "transfer").await;
        start = next;
        if start.is_none() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let mut place = None;
    loop {
        let mut tended = fees.tend(place, now).await?;
        place = tended.next.take();
        tell(node, tended, "fee").await;
        if place.is_none() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tells shards of wallets that changed, and people of what was not done.
async fn tell(node: &Node, tended: Tended, action: &str) {
    for wallet in tended.changed {
        node.metrics.housekeeping.with_label_values(&[action]).inc();
        // A shard that is gone has nobody to tell.
        let _ = node.to_shard_of(wallet, Command::Changed { wallet }).await;
    }
    for (developer, error) in tended.failed {
        tracing::warn!(%developer, error = chain(&error), "fees or balances wait");
    }
}
