//! Watches the ledger's clock and generation, and says whether this node serves.
//!
//! A node whose clock is wrong would give wrong births and write times; one that works on a ledger
//! that was restored would believe things persisted that are not. A ledger that is away changes
//! nothing: the node goes on from memory.

use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::LedgerError;

use crate::node::Node;
use crate::refusal::chain;
use crate::settings::CLOCK_OFFSET_MAX;
use crate::shard::Command;
use crate::standing::Standing;

/// A clock answer that took longer says too little about the clock.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How soon a ledger that was not reached yet is tried again.
const START_RETRY: Duration = Duration::from_millis(250);

/// Watches until it is dropped.
pub(crate) async fn watch(node: Arc<Node>) {
    let mut generation = None;
    loop {
        match look(&node, &mut generation).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(error = chain(&error), "ledger was not reached"),
        }
        let is_starting = node.standing.now() == Standing::Starting;
        let interval = if is_starting { START_RETRY } else { node.settings.ledger_check_interval };
        // A clock that jumped is looked at once, and one that stays wrong not without a pause.
        let pause = START_RETRY.min(interval);
        tokio::time::sleep(pause).await;
        let _ = tokio::time::timeout(interval - pause, node.service_clock.jumped()).await;
    }
}

async fn look(node: &Arc<Node>, known: &mut Option<u32>) -> Result<(), LedgerError> {
    let (began, before) = (node.clock.monotonic(), node.service_clock.unconfirmed());
    let ledger = node.ledger.clock().await?;
    let (ended, after) = (node.clock.monotonic(), node.service_clock.unconfirmed());
    let took = ended.saturating_sub(began);
    let generation = node.ledger.generation().await?;
    if known.is_some_and(|known| known != generation) {
        tracing::warn!(?known, generation, "the ledger is another one: starting over");
        node.incarnations.forget();
        for shard in 0..node.shards.len() {
            // A shard that is gone has nothing to forget.
            let _ = node.to_shard(shard, Command::Forget).await;
        }
        node.end_streams();
    }
    *known = Some(generation);
    let ahead = before.since(ledger);
    let behind = ledger.since(after);
    let offset = ahead.max(behind);
    let sign = if ahead > behind { 1.0 } else { -1.0 };
    node.metrics.clock_offset_seconds.set(offset.as_secs_f64().copysign(sign));
    if took > ANSWER_MAX {
        return Ok(());
    }
    let standing = if offset > CLOCK_OFFSET_MAX {
        tracing::error!(?offset, "this node's clock is wrong: it does not serve");
        // Before the streams end, so that none is opened again.
        node.standing.set(Standing::ClockOff { offset });
        // Every message on them tells the time.
        node.end_streams();
        Standing::ClockOff { offset }
    } else {
        node.service_clock.confirm(after, ended);
        Standing::Serving { generation }
    };
    node.standing.set(standing);
    Ok(())
}
