//! When each changed wallet is reported: the queue between a change and its report.
//!
//! What is due at once comes out of the wallet itself, by the mark that each call compares with; everything else waits here until
//! its pace says so. Invariants: a wallet that waits has exactly one place in the timeline; one that does not wait and was
//! not reported for long is forgotten, so that only wallets in use take memory.
//! Bounds: a pace for each wallet in memory at most. Not here: the rule itself (`metering::pace`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::node::need::Bounds;
use tollgate_metering::pace::{Pace, Standing, quiet_below};
use tollgate_metering::{Money, WalletId};

use crate::wallet_cache::{Due, Merged, WalletEntry};

/// The paces of the wallets that change.
#[derive(Debug)]
pub(super) struct Paces {
    bounds: Bounds,
    paced: HashMap<WalletId, Paced>,
    /// When those are due that wait.
    timeline: BTreeSet<(Duration, WalletId)>,
}

/// One wallet.
#[derive(Debug)]
struct Paced {
    entry: Arc<WalletEntry>,
    pace: Pace,
    /// Since when it has something to report, and when that is due.
    waits: Option<(Duration, Duration)>,
}

// === impl Paces ===

impl Paces {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, paced: HashMap::new(), timeline: BTreeSet::new() }
    }

    /// Whether reports follow need at all: with one interval, each tick reports everything.
    pub(super) fn is_paced(&self) -> bool {
        !self.bounds.is_fixed()
    }

    /// The wallet has something to report that is not due at once.
    pub(super) fn wait(&mut self, entry: Arc<WalletEntry>, available: Money, now: Duration) {
        let bounds = self.bounds;
        let id = entry.id;
        let paced = self.paced.entry(id).or_insert_with(|| {
            let pace = Pace::new(available, now, bounds);
            Paced { entry, pace, waits: None }
        });
        if paced.waits.is_none() {
            let due = paced.pace.plan(standing(available), bounds).due(now, bounds);
            paced.waits = Some((now, due));
            self.timeline.insert((due, id));
        }
    }

    /// Takes those that are due now, or all that wait.
    pub(super) fn take_due(&mut self, now: Duration, is_all: bool) -> Vec<Arc<WalletEntry>> {
        // Ticks are not exact: what is due within half a tick is due now.
        let soon = now + self.bounds.fastest / 2;
        let mut due = Vec::new();
        while let Some((at, id)) = self.timeline.first().copied()
            && (is_all || at <= soon)
        {
            self.timeline.pop_first();
            let Some(paced) = self.paced.get_mut(&id) else { continue };
            paced.waits = None;
            due.push(Arc::clone(&paced.entry));
        }
        due
    }

    /// The wallet is reported.
    pub(super) fn reported(&mut self, entry: &Arc<WalletEntry>, available: Money, now: Duration) {
        if !self.is_paced() {
            return;
        }
        let bounds = self.bounds;
        let paced = self.paced.entry(entry.id).or_insert_with(|| {
            let pace = Pace::new(available, now, bounds);
            Paced { entry: Arc::clone(entry), pace, waits: None }
        });
        if let Some((_, due)) = paced.waits.take() {
            self.timeline.remove(&(due, entry.id));
        }
        paced.pace.reported(standing(available), now, bounds);
        entry.report_below(paced.pace.plan(standing(available), bounds).below);
    }

    /// A snapshot moved what is available.
    pub(super) fn heard(&mut self, entry: &Arc<WalletEntry>, merged: &Merged, now: Duration) {
        if !self.is_paced() {
            return;
        }
        let (bounds, Merged { before, after, taken: _ }) = (self.bounds, *merged);
        let Some(paced) = self.paced.get_mut(&entry.id) else {
            entry.report_below(quiet_below(after));
            return;
        };
        paced.pace.heard(before, after, now);
        let plan = paced.pace.plan(standing(after), bounds);
        if let Some((since, due)) = paced.waits {
            let sooner = plan.due(since, bounds);
            if sooner != due {
                self.timeline.remove(&(due, entry.id));
                self.timeline.insert((sooner, entry.id));
                paced.waits = Some((since, sooner));
            }
        }
        entry.report_below(plan.below);
    }

    /// Forgets the paces of wallets that nobody uses any more.
    pub(super) fn leave_quiet(&mut self, now: Duration) {
        let bounds = self.bounds;
        self.paced.retain(|_, paced| {
            let is_kept = paced.waits.is_some() || !paced.pace.is_quiet(now, bounds);
            if !is_kept {
                let (due, available) = paced.entry.due();
                // What changed since is in the queue of changes, and begins a new pace.
                if due == Due::Never {
                    paced.entry.report_below(quiet_below(available));
                }
            }
            is_kept
        });
    }
}

/// An optimistic wallet: nothing of it is urgent that its mark does not say.
fn standing(available: Money) -> Standing {
    Standing { available, is_urgent: false }
}
