//! Acknowledges changed modes of wallets, on the stream that asked.

use tollgate_metering::Money;
use tollgate_metering::account::Stamp;
use tollgate_metering::protocol::ReportedDraw;

use super::super::{World, wallet_id};
use super::Pending;
use crate::trace::note;

// === impl World ===

impl World {
    /// A node asks for the acknowledgement of a mode: nothing older is admitted from now on.
    pub(super) fn mode_asked(&mut self, g: usize, n: usize, w: usize, mode: u64) {
        let Some(run) = self.process(g) else { return };
        run.wallets[w].wallet.require_mode(mode);
        let waiting = run.modes.entry((n, w)).or_default();
        *waiting = (*waiting).max(mode);
    }

    /// Answers what can be answered now.
    pub(super) fn answer_modes(&mut self, g: usize) {
        let Some(run) = self.process(g) else { return };
        for ((n, w), mode) in std::mem::take(&mut run.modes) {
            let gateway = &mut self.gateways[g];
            let Some(run) = &mut gateway.run else { return };
            if !run.nodes[n].is_up {
                continue;
            }
            let entry = &run.wallets[w];
            let is_settled = entry.wallet.open_prepaid() == 0
                && !entry.is_blocked
                && entry.wallet.registers().all(|(_, register)| {
                    let file = gateway.files.get(&run.lives[register.life.0 as usize]);
                    file.is_none_or(|file| file.slot(register.slot).is_acknowledged())
                });
            if !is_settled {
                run.modes.insert((n, w), mode);
                continue;
            }
            self.acknowledge_mode(g, n, w, mode);
        }
    }

    fn acknowledge_mode(&mut self, g: usize, n: usize, w: usize, mode: u64) {
        let wallet = wallet_id(w);
        let Some(run) = self.process(g) else { return };
        let known = run.wallets[w].wallet.draws(wallet);
        let nothing = ReportedDraw {
            wallet,
            mode,
            settled: Money::ZERO,
            held: Money::ZERO,
            stamp: Stamp::default(),
            limit: Money::ZERO,
            wanted: Money::ZERO,
        };
        let lives: Vec<_> = run.own.listed.iter().map(|life| (*life, run.life(*life))).collect();
        note!(self, "g{} acknowledges mode {} of wallet {} to n{}", g, mode, w, n);
        for (life, id) in lives {
            let draw = known.iter().find(|(own, draw)| *own == life && draw.mode >= mode);
            let draw = draw.map_or(nothing, |(_, draw)| *draw);
            let pending =
                Pending { id, seq: 0, registers: Vec::new(), wallets: Vec::new(), is_final: false };
            self.send(g, n, pending, Vec::new(), Vec::new(), vec![draw]);
        }
    }
}
