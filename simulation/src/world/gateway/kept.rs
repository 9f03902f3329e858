//! Files of incarnations that count no more: what is not durable of them is reported as recovered.

use std::collections::BTreeSet;
use std::time::Duration;

use tollgate_metering::Money;
use uuid::Uuid;

use super::super::World;
use super::super::place_of;
use super::file::File;
use super::reported;
use crate::fault::Fault;
use crate::trace::note;

/// A file.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: Uuid,
    stage: Stage,
}

/// How far the ledger is said to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Units { is_sent: bool },
    End { is_sent: bool },
    Settled,
}

// === impl Kept ===

impl Kept {
    pub(super) fn found(id: Uuid, file: &File) -> Kept {
        let is_settled = file.settled_at.is_some() && file.is_settled();
        Kept {
            id,
            stage: if is_settled { Stage::Settled } else { Stage::Units { is_sent: false } },
        }
    }

    pub(super) fn ended(id: Uuid) -> Kept {
        Kept { id, stage: Stage::Settled }
    }

    pub(super) fn settle(&mut self) {
        self.stage = Stage::Settled;
    }

    pub(super) fn is_lost(&mut self) {
        match &mut self.stage {
            Stage::Units { is_sent } | Stage::End { is_sent } => *is_sent = false,
            Stage::Settled => {}
        }
    }

    pub(super) fn restart(&mut self) {
        self.stage = Stage::Units { is_sent: false };
    }

    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Units { .. })
    }
}

// === impl World ===

impl World {
    /// Reports what is not durable of kept files, once per stream.
    pub(super) fn report_kept(&mut self, g: usize) {
        let Some(run) = self.process(g) else { return };
        if run.generation.is_none() || !run.nodes.iter().any(|to| to.is_up) {
            return;
        }
        for place in 0..run.kept.len() {
            let Some(run) = self.process(g) else { return };
            let kept = &mut run.kept[place];
            let id = kept.id;
            match kept.stage {
                Stage::Units { is_sent: false } => {
                    kept.stage = Stage::Units { is_sent: true };
                    self.report_file(g, id);
                }
                Stage::End { is_sent: false } => {
                    kept.stage = Stage::End { is_sent: true };
                    let n = run.nodes.iter().position(|to| to.is_up).expect("one is up");
                    self.send_report(g, n, id, Vec::new(), Vec::new(), Vec::new(), true);
                }
                Stage::Units { is_sent: true } | Stage::End { is_sent: true } | Stage::Settled => {}
            }
        }
    }

    fn report_file(&mut self, g: usize, id: Uuid) {
        let is_recovered = !self.is(Fault::RecoveredOverLive);
        let gateway = &self.gateways[g];
        let (Some(run), Some(file)) = (&gateway.run, gateway.files.get(&id)) else { return };
        let mut batches = Vec::new();
        for n in 0..run.nodes.len() {
            let of_node = file
                .slots
                .iter()
                .enumerate()
                .filter(|(_, slot)| run.route(place_of(slot.meter.wallet)) == Some(n));
            let (mut registers, mut slots, mut holds) = (Vec::new(), Vec::new(), Vec::new());
            for (place, slot) in of_node {
                if !slot.is_acknowledged() {
                    registers.push(reported(slot, is_recovered));
                    slots.push((u32::try_from(place).expect("a run is short"), slot.spend));
                }
                // Whoever held it has ended.
                holds.push((slot.meter.wallet, Money::ZERO));
            }
            if !holds.is_empty() {
                batches.push((n, registers, slots, holds));
            }
        }
        for (n, registers, slots, holds) in batches {
            note!(self, "g{} reports the file of {} to n{}", g, id.as_u128(), n);
            self.send_found(g, n, id, registers, slots, holds);
        }
        self.unblock_kept(g);
    }

    /// Admits nothing on wallets of which a kept file has units that are not durable.
    pub(in crate::world) fn block_kept(&mut self, g: usize) {
        let now = self.monotonic(g);
        let is_ignored = self.is(Fault::AdmitBeforeDurable);
        let gateway = &mut self.gateways[g];
        let files = &gateway.files;
        let Some(run) = &mut gateway.run else { return };
        let open = run.kept.iter().filter(|kept| kept.is_open());
        let slots = open.filter_map(|kept| files.get(&kept.id)).flat_map(|file| &file.slots);
        let open = slots.filter(|slot| !slot.is_acknowledged());
        let mut blocked: BTreeSet<usize> = open.map(|slot| place_of(slot.meter.wallet)).collect();
        if is_ignored {
            blocked.clear();
        }
        for w in 0..run.wallets.len() {
            let is_blocked = blocked.contains(&w);
            let entry = &mut run.wallets[w];
            if std::mem::replace(&mut entry.is_blocked, is_blocked) && !is_blocked {
                entry.wallet.forget(&|_| true);
                run.freed.insert(w, now);
                if let Some(node) = run.wallets[w].node {
                    run.nodes[node].subscribe.insert(w);
                }
            }
        }
    }

    /// Whether a snapshot of this age has what became durable of the wallet since the start.
    pub(super) fn has_recovered(&mut self, g: usize, w: usize, as_of: Option<Duration>) -> bool {
        let Some(run) = self.process(g) else { return false };
        let Some(freed) = run.freed.get(&w) else { return true };
        let is_younger = as_of.is_some_and(|as_of| as_of >= *freed);
        if is_younger {
            run.freed.remove(&w);
        }
        is_younger
    }

    /// Lets wallets go whose units became durable.
    pub(super) fn unblock_kept(&mut self, g: usize) {
        let is_reported = Stage::Units { is_sent: true };
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        if !run.kept.iter().any(|kept| kept.stage == is_reported) {
            return;
        }
        for kept in run.kept.iter_mut().filter(|kept| kept.stage == is_reported) {
            if gateway.files.get(&kept.id).is_some_and(File::is_settled) {
                kept.stage = Stage::End { is_sent: false };
            }
        }
        self.block_kept(g);
    }

    /// The first word of the ledger: files that acknowledge another one's are reported whole.
    pub(super) fn match_kept(&mut self, g: usize, generation: u32) {
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        for kept in &mut run.kept {
            if let Some(file) = gateway.files.get_mut(&kept.id)
                && file.generation != generation
            {
                file.restart(generation);
                kept.restart();
            }
        }
        self.block_kept(g);
    }
}
