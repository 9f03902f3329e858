//! Follows the log of the catalogue's changes and tells every stream what to forget.
//!
//! Lines may appear late or twice, by as much as writers' clocks differ, so the log is read with
//! an overlap and ids are compared. While a large catalogue is loaded the overlap is long, and to
//! read it all at each change is the square of the work: most looks then read its end alone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tollgate_ledger_store::LedgerError;
use tollgate_ledger_store::catalogue::Forget;
use tollgate_metering::UnixMillis;
use uuid::Uuid;

use crate::changes::Changes;
use crate::node::Node;
use crate::refusal::chain;

/// A line appears at most so late: clocks of nodes that serve differ by up to a minute each.
const OVERLAP: Duration = Duration::from_secs(180);

/// The same between clocks that are kept, and within one process.
const OVERLAP_SHORT: Duration = Duration::from_secs(10);

/// A look at the whole overlap is followed by short ones for so many times as long as it took.
const SHORT_FACTOR: u32 = 9;

/// A log that was not read for this long may show lines no more that are late: everything is
/// forgotten.
const GAP_MAX: Duration = Duration::from_secs(60);

const _: () = assert!(GAP_MAX.as_secs() < OVERLAP.as_secs());
const _: () = assert!(OVERLAP_SHORT.as_secs() < GAP_MAX.as_secs());

/// Most lines that are remembered as told; beyond it, everything is forgotten instead.
const SEEN_MAX: usize = 100_000;

/// What was told of the log.
#[derive(Default)]
struct Log {
    seen: HashMap<Uuid, UnixMillis>,
    order: VecDeque<(UnixMillis, Uuid)>,
    read_at: Option<UnixMillis>,
    /// When the whole overlap was read last, on the monotonic clock, and how long that took.
    whole: Option<(Duration, Duration)>,
}

/// Follows the log until it is dropped.
pub(crate) async fn follow(node: Arc<Node>, changes: Changes) {
    let mut log = Log::default();
    loop {
        if let Err(error) = look(&node, &mut log).await {
            tracing::warn!(error = chain(&error), "log of changes was not read");
        }
        tokio::select! {
            () = tokio::time::sleep(node.settings.catalogue_interval) => {}
            () = changes.catalogue() => {}
        }
    }
}

async fn look(node: &Node, log: &mut Log) -> Result<(), LedgerError> {
    let now = node.now();
    let is_first = log.read_at.is_none();
    let began = node.clock.monotonic();
    let is_whole = log.is_whole_due(began, now);
    let overlap = if is_whole { OVERLAP } else { OVERLAP_SHORT };
    let lines = node.catalogue.changes(now.minus(overlap)).await?;
    if is_whole {
        log.whole = Some((began, node.clock.monotonic().saturating_sub(began)));
    }
    let has_gap = log.read_at.is_some_and(|at| now.since(at) > GAP_MAX);
    log.read_at = Some(now);
    let new: Vec<_> = lines.into_iter().filter(|line| log.note(line.id, line.at)).collect();
    log.drop_old(now);
    // Before the first look no stream was open that could have resolved anything.
    if is_first {
        return Ok(());
    }
    if has_gap || (log.seen.len() > SEEN_MAX && !new.is_empty()) {
        tell(node, Forget::Everything);
        return Ok(());
    }
    for forget in new.iter().filter_map(Forget::of) {
        tell(node, forget);
    }
    Ok(())
}

fn tell(node: &Node, forget: Forget) {
    tracing::debug!(?forget, "catalogue changed");
    // Without streams there is nobody to tell.
    let _ = node.forgets.send(forget);
}

// === impl Log ===

impl Log {
    /// Whether the next look must read the whole overlap: the last one that did is long enough ago,
    /// or the short overlap does not reach back to the last look.
    fn is_whole_due(&self, began: Duration, now: UnixMillis) -> bool {
        let Some((whole_at, took)) = self.whole else { return true };
        let is_rested = began.saturating_sub(whole_at) >= took.saturating_mul(SHORT_FACTOR);
        let is_out_of_reach =
            self.read_at.is_none_or(|read_at| now.since(read_at) > OVERLAP_SHORT / 2);
        is_rested || is_out_of_reach
    }

    /// Whether the line is new.
    fn note(&mut self, id: Uuid, at: UnixMillis) -> bool {
        let is_new = self.seen.insert(id, at).is_none();
        if is_new {
            self.order.push_back((at, id));
        }
        is_new
    }

    /// Forgets lines that no read shows any more.
    fn drop_old(&mut self, now: UnixMillis) {
        let oldest = now.minus(OVERLAP * 2);
        self.order.retain(|(at, id)| {
            let is_kept = *at >= oldest;
            if !is_kept {
                self.seen.remove(id);
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_overlap_is_read_whole_a_tenth_of_the_time() {
        let now = UnixMillis(1_795_348_800_000);
        let (ms, mut log) = (Duration::from_millis, Log::default());
        assert!(log.is_whole_due(ms(0), now));
        (log.read_at, log.whole) = (Some(now), Some((ms(1000), ms(200))));
        assert!(!log.is_whole_due(ms(2799), now));
        assert!(log.is_whole_due(ms(2800), now));
        // A look that failed for a while, or a clock that was set.
        assert!(log.is_whole_due(ms(1001), now.plus(OVERLAP_SHORT)));
        // With a short log every look is a whole one.
        log.whole = Some((ms(1000), Duration::ZERO));
        assert!(log.is_whole_due(ms(1000), now));
    }

    #[test]
    fn a_line_is_told_once_however_often_and_late_it_is_read() {
        let (mut log, now) = (Log::default(), UnixMillis(1_795_348_800_000));
        let (line, late) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(log.note(line, now));
        assert!(!log.note(line, now));
        // Written by a clock that is behind: still within the overlap.
        assert!(log.note(late, now.minus(Duration::from_secs(90))));
        log.drop_old(now.plus(OVERLAP));
        assert!(!log.note(line, now));
        log.drop_old(now.plus(OVERLAP * 2).plus(Duration::from_millis(1)));
        assert!(log.seen.is_empty() && log.order.is_empty());
    }
}
