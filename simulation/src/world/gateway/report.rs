//! Reports what changed, each interval, to the nodes of the wallets.

use std::collections::BTreeMap;

use tollgate_metering::protocol::{Report, ReportedDraw, ReportedRegister};
use tollgate_metering::wallet::Life;
use tollgate_metering::{Money, WalletId};
use uuid::Uuid;

use super::super::network::Up;
use super::super::{World, wallet_id};
use super::{Pending, Spend, reported};
use crate::fault::Fault;
use crate::trace::note;

/// Reports of a stream whose sending time is remembered.
const SENT_MAX: usize = 8_192;

/// What one report will carry.
#[derive(Debug, Default)]
struct Lines {
    registers: Vec<ReportedRegister>,
    slots: Vec<(u32, Spend)>,
    holds: Vec<(WalletId, Money)>,
    draws: Vec<ReportedDraw>,
    wallets: Vec<usize>,
}

// === impl World ===

impl World {
    /// Reports what changed, and says that the gateway lives.
    pub(super) fn report_changes(&mut self, g: usize) {
        let has_holds = !self.is(Fault::HoldsUnreported);
        let is_freed = self.is(Fault::HeldFreed);
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        let mut batches: BTreeMap<(usize, Life), Lines> = BTreeMap::new();
        for w in 0..run.wallets.len() {
            let node = run.wallets[w].node.or_else(|| run.route(w));
            let Some(n) = node.filter(|n| run.nodes[*n].is_up) else { continue };
            let entry = &mut run.wallets[w];
            if !std::mem::take(&mut entry.is_changed) {
                continue;
            }
            let mut told: Option<Life> = None;
            for (_, register) in entry.wallet.registers() {
                let life = register.life;
                let lines = batches.entry((n, life)).or_default();
                let file = gateway.files.get(&run.lives[life.0 as usize]);
                let slot = file.map(|file| file.slot(register.slot));
                if let Some(slot) = slot.filter(|slot| !slot.is_acknowledged()) {
                    lines.registers.push(reported(slot, false));
                    lines.slots.push((register.slot, slot.spend));
                }
                if told != Some(life) {
                    told = Some(life);
                    if has_holds {
                        lines.holds.push((wallet_id(w), entry.wallet.held(life)));
                    }
                }
                if lines.wallets.last() != Some(&w) {
                    lines.wallets.push(w);
                }
            }
            for (life, draw) in entry.wallet.draws(wallet_id(w)) {
                let lines = batches.entry((n, life)).or_default();
                lines.draws.push(if is_freed { freed(draw) } else { draw });
                if lines.wallets.last() != Some(&w) {
                    lines.wallets.push(w);
                }
            }
        }
        let lives = run.lives.clone();
        for ((n, life), lines) in batches {
            let Lines { registers, slots, holds, draws, wallets } = lines;
            let id = lives[life.0 as usize];
            let pending = Pending { id, seq: 0, registers: slots, wallets, is_final: false };
            self.send(g, n, pending, registers, holds, draws);
        }
        self.beat(g);
        self.report_kept(g);
    }

    /// A report without content to each node: its answer tells the age of what nodes say.
    fn beat(&mut self, g: usize) {
        let Some(run) = self.process(g) else { return };
        let Some(life) = run.own.listed.last() else { return };
        let id = run.life(*life);
        let up: Vec<usize> = (0..run.nodes.len()).filter(|n| run.nodes[*n].is_up).collect();
        for n in up {
            self.send_report(g, n, id, Vec::new(), Vec::new(), Vec::new(), false);
        }
    }

    /// Reports units of a found file.
    pub(super) fn send_found(
        &mut self,
        g: usize,
        n: usize,
        id: Uuid,
        registers: Vec<ReportedRegister>,
        slots: Vec<(u32, Spend)>,
        holds: Vec<(WalletId, Money)>,
    ) {
        for register in &registers {
            let reported = self.truth.found.entry((id, register.meter)).or_default();
            *reported = (*reported).max(register.units.register().unwrap_or(u64::MAX));
        }
        self.send_report(g, n, id, registers, slots, holds, false);
    }

    /// Sends a report of an incarnation that is about no wallet in memory.
    #[expect(clippy::too_many_arguments, reason = "they are the parts of a report")]
    pub(super) fn send_report(
        &mut self,
        g: usize,
        n: usize,
        id: Uuid,
        registers: Vec<ReportedRegister>,
        slots: Vec<(u32, Spend)>,
        holds: Vec<(WalletId, Money)>,
        is_final: bool,
    ) {
        let pending = Pending { id, seq: 0, registers: slots, wallets: Vec::new(), is_final };
        self.send(g, n, pending, registers, holds, Vec::new());
    }

    pub(super) fn send(
        &mut self,
        g: usize,
        n: usize,
        mut pending: Pending,
        registers: Vec<ReportedRegister>,
        holds: Vec<(WalletId, Money)>,
        draws: Vec<ReportedDraw>,
    ) {
        let (now, is_final) = (self.monotonic(g), pending.is_final);
        let unix_us = self.gateways[g].clock.wall_us(self.now);
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        let Some(file) = gateway.files.get(&pending.id) else { return };
        let seq = run.sequence.next(unix_us, now);
        pending.seq = seq;
        let to = &mut run.nodes[n];
        let Some(stream) = to.stream else { return };
        if to.sent.len() >= SENT_MAX {
            to.sent.pop_front();
        }
        to.sent.push_back((seq, now));
        let has_content = !registers.is_empty() || !holds.is_empty() || !draws.is_empty();
        if has_content || is_final || !pending.wallets.is_empty() {
            to.pending.push_back(pending);
        }
        let incarnation = file.incarnation;
        let report =
            Report { incarnation, seq, registers, apps: Vec::new(), holds, draws, is_final };
        if has_content || is_final {
            note!(
                self,
                "g{} reports to n{}: {} registers of {}, {}",
                g,
                n,
                report.registers.len(),
                report.incarnation,
                seq
            );
        }
        self.send_up(stream, Up::Report(report));
    }

    /// What a stream did not call durable is reported again.
    pub(super) fn report_again(&mut self, g: usize, lost: impl IntoIterator<Item = Pending>) {
        let is_twice = self.is(Fault::SettleTwice);
        let gateway = &mut self.gateways[g];
        let Some(run) = &mut gateway.run else { return };
        for pending in lost {
            if is_twice && let Some(file) = gateway.files.get_mut(&pending.id) {
                for (slot, spend) in &pending.registers {
                    file.count_again(*slot, *spend);
                }
            }
            for w in &pending.wallets {
                run.wallets[*w].is_changed = true;
            }
            if let Some(kept) = run.kept.iter_mut().find(|kept| kept.id == pending.id) {
                kept.is_lost();
            }
            if pending.is_final
                && let Some(place) = run.lives.iter().position(|id| *id == pending.id)
            {
                run.finals.remove(&Life(u32::try_from(place).expect("a run is short")));
            }
        }
    }
}

/// A draw that calls held money settled, as nothing may.
fn freed(draw: ReportedDraw) -> ReportedDraw {
    let settled = draw.settled.plus(draw.held).unwrap_or(draw.settled);
    ReportedDraw { settled, held: Money::ZERO, ..draw }
}
