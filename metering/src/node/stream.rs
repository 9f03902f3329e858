//! What a node keeps of each stream: the order of its reports, and what it was told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::id::Incarnation;
use crate::protocol::{OwnIncarnations, Snapshot};

/// Most reports of a stream that are remembered one by one until they are durable. Past it, later
/// ones are remembered together, and called durable together.
pub const REPORTS_MAX: usize = 1024;

/// Names a stream within its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// Number of a report on its stream, counted from 1.
pub type Arrival = u64;

/// The newest report of a stream that arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamMark {
    /// Its number on the stream; 0 before the first.
    pub arrival: Arrival,
    /// Its `seq`.
    pub seq: i64,
}

/// Reports of a stream with something that the ledger does not hold yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unsettled {
    /// The first report with a register that no write under way carries.
    pub(super) waiting: Option<Arrival>,
    /// The first report with a register that the write under way carries.
    pub(super) writing: Option<Arrival>,
}

/// A stream that is told of the wallet.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriber {
    pub(super) own: Arc<OwnIncarnations>,
    /// What it was told last.
    pub(super) sent: Option<Snapshot>,
    /// The state of the wallet that `sent` was compared with.
    pub(super) seen_changes: Option<u64>,
    /// The newest report such that it and all before it were persisted, as of the last look.
    pub(super) settled_seq: i64,
    /// The newest report that was already there when the write under way began.
    pub(super) writing_seq: i64,
    /// The newest report that was persisted before the registers were read.
    pub(super) answered: i64,
}

/// The order of a stream's reports, and which of them are not durable yet.
#[derive(Debug, Default)]
pub struct StreamLog {
    next: Arrival,
    newest: BTreeMap<Incarnation, i64>,
    waiting: VecDeque<Taken>,
}

/// A report that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its number on the stream.
    pub arrival: Arrival,
    /// Whose it is.
    pub incarnation: Incarnation,
    /// Its `seq`.
    pub seq: i64,
    /// Whether its units went to suspense.
    pub is_fenced: bool,
    /// Whether it, or one before it that is settled with it, is the incarnation's last.
    pub is_final: bool,
}

/// A report that does not come after the one before it, so that nothing could be called durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("report {seq} of incarnation {incarnation} came after report {newest} on one stream")]
pub struct SeqNotRising {
    /// Whose it is.
    pub incarnation: Incarnation,
    /// Its `seq`.
    pub seq: i64,
    /// The `seq` of the report before it.
    pub newest: i64,
}

// === impl Unsettled ===

impl Unsettled {
    pub(super) fn first(&self) -> Option<Arrival> {
        [self.waiting, self.writing].into_iter().flatten().min()
    }

    pub(super) fn wait(&mut self, arrival: Arrival) {
        self.waiting = Some(self.waiting.map_or(arrival, |first| first.min(arrival)));
    }

    pub(super) fn begin_write(&mut self) {
        self.writing = self.first();
        self.waiting = None;
    }

    pub(super) fn fail_write(&mut self) {
        self.waiting = self.first();
        self.writing = None;
    }
}

// === impl StreamLog ===

impl StreamLog {
    /// Takes a report and numbers it.
    ///
    /// # Errors
    /// [`SeqNotRising`].
    pub fn take(
        &mut self,
        incarnation: Incarnation,
        seq: i64,
        is_fenced: bool,
        is_final: bool,
    ) -> Result<StreamMark, SeqNotRising> {
        if let Some(newest) = self.newest.get(&incarnation).copied()
            && seq <= newest
        {
            return Err(SeqNotRising { incarnation, seq, newest });
        }
        self.newest.insert(incarnation, seq);
        self.next += 1;
        let taken = Taken { arrival: self.next, incarnation, seq, is_fenced, is_final };
        let like = |other: &Taken| {
            other.incarnation == incarnation
                && other.is_fenced == is_fenced
                && other.is_final == is_final
        };
        let is_full = self.waiting.len() >= REPORTS_MAX;
        if is_full && let Some(place) = self.waiting.iter().rposition(like) {
            self.waiting.remove(place);
        }
        self.waiting.push_back(taken);
        Ok(StreamMark { arrival: self.next, seq })
    }

    /// Number of the newest report.
    #[must_use]
    pub fn newest(&self) -> Arrival {
        self.next
    }

    /// Everything up to `through` is durable: the newest such report of each incarnation, in the
    /// order of their arrival.
    pub fn settle(&mut self, through: Arrival) -> Vec<Taken> {
        let mut settled: Vec<Taken> = Vec::new();
        while let Some(taken) = self.waiting.front().copied()
            && taken.arrival <= through
        {
            self.waiting.pop_front();
            let is_same = |before: &Taken| {
                before.incarnation == taken.incarnation && before.is_fenced == taken.is_fenced
            };
            // What follows a final report settles it as well.
            let before = settled.iter().position(is_same).map(|place| settled.remove(place));
            let is_final = taken.is_final || before.is_some_and(|before| before.is_final);
            settled.push(Taken { is_final, ..taken });
        }
        settled
    }

    /// Forgets the order of an incarnation that ended.
    pub fn forget(&mut self, incarnation: Incarnation) {
        self.newest.remove(&incarnation);
    }
}
