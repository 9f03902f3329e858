//! Acknowledges changed modes of wallets.
//!
//! A node that changes a wallet's overspend policy asks every gateway, whether it uses the wallet or
//! not. From the question on nothing is admitted under an older mode; it is answered, on the stream
//! that asked, once no call of an older mode is open and everything that was counted is durable.
//! A wallet that is not in memory is answered for at once: what is fetched from now on was read
//! after the question.
//! Bounds: `MODES_MAX` questions wait; one beyond it is asked again.

use std::time::Duration;

use tollgate_metering::account::Stamp;
use tollgate_metering::protocol::ReportedDraw;
use tollgate_metering::wallet::Life;
use tollgate_metering::{Money, WalletId};
use tollgate_proto::{WireError, v1};

use super::Hub;
use super::report::Lines;

/// Questions that wait at once.
const MODES_MAX: usize = 100_000;

// === impl Hub ===

impl Hub {
    pub(super) fn mode(&mut self, node: usize, asked: &v1::ModeQuestion) -> Result<(), WireError> {
        let wallet = tollgate_proto::wallet("wallet", &asked.wallet)?;
        if let Some(entry) = self.parts.wallets.get(wallet) {
            entry.require_mode(asked.mode);
        }
        if self.modes.len() < MODES_MAX {
            let waiting = self.modes.entry((node, wallet)).or_default();
            *waiting = (*waiting).max(asked.mode);
        }
        Ok(())
    }

    /// Answers what can be answered now.
    pub(super) fn answer_modes(&mut self, now: Duration) {
        for ((node, wallet), mode) in std::mem::take(&mut self.modes) {
            if !self.nodes[node].is_up() {
                // The stream that asked is gone; who wants to know asks again.
                continue;
            }
            let entry = self.parts.wallets.get(wallet);
            match entry.map_or(Some(Vec::new()), |entry| entry.acknowledged_draws()) {
                Some(draws) => self.acknowledge_mode(node, wallet, mode, &draws, now),
                None => {
                    self.modes.insert((node, wallet), mode);
                }
            }
        }
    }

    fn acknowledge_mode(
        &mut self,
        node: usize,
        wallet: WalletId,
        mode: u64,
        known: &[(Life, ReportedDraw)],
        now: Duration,
    ) {
        for life in self.own.listed.clone() {
            let draw = known.iter().find(|(own, draw)| *own == life && draw.mode >= mode);
            let nothing = ReportedDraw {
                wallet,
                mode,
                settled: Money::ZERO,
                held: Money::ZERO,
                stamp: Stamp::default(),
                limit: Money::ZERO,
                wanted: Money::ZERO,
            };
            let draws = vec![draw.map_or(nothing, |(_, draw)| *draw)];
            let file = std::sync::Arc::clone(&self.parts.wallets.books.lives.get(life).file);
            self.send(node, &file, Lines { draws, ..Lines::default() }, false, now);
        }
    }
}
