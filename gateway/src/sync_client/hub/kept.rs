//! Files of incarnations that count no more: those of earlier processes, and this one's after their end.
//!
//! What is not durable of them is reported under their old incarnation, as recovered, after the file was synced to disk; until
//! it is durable nothing is admitted on their wallets, whose snapshots would lack it. They are kept as long as backups are,
//! since a restored ledger must hear of them again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::{Money, UnixMillis, WalletId};
use tracing::{error, info};

use super::report::Lines;
use super::{Hub, restart};
use crate::spend_file::SpendFile;
use crate::sync_client::nodes::route;

/// A file.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) file: Arc<SpendFile>,
    stage: Stage,
}

/// How far the ledger is said to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Something of it is not durable.
    Units { is_sent: bool },
    /// Its units are durable, the word that its incarnation has ended is not.
    End { is_sent: bool },
    /// The ledger knows all of it.
    Settled,
}

// === impl Kept ===

impl Kept {
    /// A file that an earlier process left.
    pub(super) fn found(file: SpendFile) -> Self {
        let is_settled = file.settled_at().is_some() && file.is_settled();
        let stage = if is_settled { Stage::Settled } else { Stage::Units { is_sent: false } };
        Self { file: Arc::new(file), stage }
    }

    /// The file of an incarnation of this process whose end is durable.
    pub(super) fn ended(file: Arc<SpendFile>) -> Self {
        Self { file, stage: Stage::Settled }
    }

    pub(super) fn is_of(&self, file: &Arc<SpendFile>) -> bool {
        Arc::ptr_eq(&self.file, file)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.stage == Stage::Settled
    }

    /// A report of it was lost with its stream.
    pub(super) fn is_lost(&mut self) {
        match &mut self.stage {
            Stage::Units { is_sent } | Stage::End { is_sent } => *is_sent = false,
            Stage::Settled => {}
        }
    }

    /// The word that its incarnation has ended is durable.
    pub(super) fn settle(&mut self, at: UnixMillis) {
        self.stage = Stage::Settled;
        if let Err(failure) = self.file.mark_settled(at) {
            error!(error = &failure as &dyn std::error::Error, "spend file is kept longer");
        }
    }

    /// The ledger is another one: nothing of it is durable there.
    pub(super) fn restart(&mut self, generation: u32) {
        restart(&self.file, generation);
        self.stage = Stage::Units { is_sent: false };
    }

    pub(super) fn match_generation(&mut self, generation: u32) {
        if self.file.generation() != generation {
            self.restart(generation);
        }
    }

    /// Wallets with units that are not durable.
    fn wallets(&self) -> impl Iterator<Item = WalletId> {
        let is_open = matches!(self.stage, Stage::Units { .. });
        let meters = is_open.then(|| self.file.meters()).into_iter().flatten();
        meters.filter(|(slot, _)| !self.file.is_acknowledged(*slot)).map(|(_, meter)| meter.wallet)
    }
}

// === impl Hub ===

impl Hub {
    /// Reports what is not durable of kept files, once per stream.
    pub(super) fn report_kept(&mut self, now: Duration) {
        if self.generation.is_none() || !self.nodes.iter().any(|node| node.is_up()) {
            return;
        }
        for place in 0..self.kept.len() {
            match self.kept[place].stage {
                Stage::Units { is_sent: false } => {
                    self.kept[place].stage = Stage::Units { is_sent: true };
                    self.report_file(place, now);
                }
                Stage::End { is_sent: false } => {
                    self.kept[place].stage = Stage::End { is_sent: true };
                    self.report_end(place, now);
                }
                Stage::Units { is_sent: true } | Stage::End { is_sent: true } | Stage::Settled => {}
            }
        }
    }

    fn report_file(&mut self, place: usize, now: Duration) {
        let file = Arc::clone(&self.kept[place].file);
        let mut batches: BTreeMap<usize, Lines> = BTreeMap::new();
        for (slot, meter) in file.meters() {
            let Some(node) = route(&self.nodes, meter.wallet) else { continue };
            let lines = batches.entry(node).or_default();
            if !file.is_acknowledged(slot) {
                lines.add(slot, meter, file.spend(slot), true);
            }
            // Whoever held it has ended.
            lines.holds.push((meter.wallet, Money::ZERO));
            if lines.is_full() {
                let lines = std::mem::take(lines);
                self.send(node, &file, lines, false, now);
            }
        }
        for (node, lines) in batches {
            self.send(node, &file, lines, false, now);
        }
        info!(incarnation = %file.incarnation(), "units of an ended incarnation are reported");
        self.unblock_kept();
    }

    fn report_end(&mut self, place: usize, now: Duration) {
        let file = Arc::clone(&self.kept[place].file);
        if let Some(node) = self.nodes.iter().position(|node| node.is_up()) {
            self.send(node, &file, Lines::default(), true, now);
        }
    }

    /// Admits nothing on wallets of which a kept file has units that are not durable.
    pub(super) fn block_kept(&mut self) {
        let wallets: HashSet<_> = self.kept.iter().flat_map(Kept::wallets).collect();
        let now = self.now();
        for wallet in self.parts.wallets.block(wallets) {
            // Another node may not have read since: a snapshot counts once it is younger than this.
            self.freed.insert(wallet, now);
            if let Some(node) = self.parts.wallets.get(wallet).and_then(|entry| entry.node()) {
                self.nodes[node].subscribe.push(wallet);
            }
        }
    }

    /// Whether a snapshot that answers a report sent at `as_of` has what became durable of the wallet since start.
    pub(super) fn has_recovered(&mut self, wallet: WalletId, as_of: Option<Duration>) -> bool {
        let Some(freed) = self.freed.get(&wallet) else { return true };
        let is_younger = as_of.is_some_and(|as_of| as_of >= *freed);
        if is_younger {
            self.freed.remove(&wallet);
        }
        is_younger
    }

    /// Lets wallets go whose units became durable.
    pub(super) fn unblock_kept(&mut self) {
        let is_reported = Stage::Units { is_sent: true };
        if !self.kept.iter().any(|kept| kept.stage == is_reported) {
            return;
        }
        for kept in self.kept.iter_mut().filter(|kept| kept.stage == is_reported) {
            if kept.file.is_settled() {
                kept.stage = Stage::End { is_sent: false };
                info!(incarnation = %kept.file.incarnation(), "units of an ended incarnation are durable");
            }
        }
        self.block_kept();
    }

    /// Deletes files that backups do not go back to any more.
    pub(super) fn remove_old_files(&mut self) {
        let (now, retention) = (self.unix(), self.parts.retention);
        let folder = &self.parts.folder;
        self.kept.retain(|kept| {
            let is_empty = kept.file.meters().next().is_none();
            let is_old = |at: UnixMillis| now.since(at) >= retention;
            if !kept.is_settled() || !(is_empty || kept.file.settled_at().is_some_and(is_old)) {
                return true;
            }
            match folder.remove(&kept.file) {
                Ok(()) => false,
                Err(failure) => {
                    error!(error = &failure as &dyn std::error::Error, "spend file stays");
                    true
                }
            }
        });
    }
}
