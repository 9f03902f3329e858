//! Reports what changed, as it is due, to the nodes of the wallets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tollgate_metering::protocol::{Report, ReportedApp, ReportedDraw, ReportedRegister};
use tollgate_metering::wallet::Life;
use tollgate_metering::{Meter, Money, Units, WalletId};
use tollgate_proto::v1::gateway_message::Message as ToNode;
use tollgate_proto::{report_to_wire, v1};

use super::Hub;
use crate::spend_file::{Spend, SpendFile};
use crate::sync_client::nodes::{Node, Pending, route};
use crate::wallet_cache::{Changed, Due, WalletEntry};

/// Registers, apps and holds in one report, but for the rest of the last wallet.
pub(super) const LINES_MAX: usize = 4_000;

/// What one report will carry.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) registers: Vec<ReportedRegister>,
    pub(super) apps: Vec<ReportedApp>,
    pub(super) slots: Vec<(u32, Spend)>,
    pub(super) holds: Vec<(WalletId, Money)>,
    pub(super) draws: Vec<ReportedDraw>,
    pub(super) wallets: Vec<Arc<WalletEntry>>,
}

// === impl Hub ===

impl Hub {
    /// Reports what changed, and says that the gateway lives.
    pub(super) fn tick(&mut self) {
        let now = self.now();
        self.parts.status.tick(now);
        if self.nodes.iter().any(Node::is_up) {
            self.report_due(now);
        }
        self.beat(now);
        self.report_kept(now);
        self.answer_modes(now);
        if self.drain.is_some() {
            self.end_lives();
            self.flush();
        }
    }

    /// Asks nodes for what waits for them, as long as something does.
    fn flush(&mut self) {
        for node in self.nodes.iter().filter(|node| node.has_pending()) {
            // A stream that takes no more is asked at the next tick.
            node.send(ToNode::Flush(v1::Flush {}));
        }
    }

    /// Reports the wallets that are due.
    fn report_due(&mut self, now: Duration) {
        let mut due = Vec::new();
        for entry in self.parts.wallets.take_changed() {
            match entry.due() {
                (Due::Never, _) => {}
                (Due::Later, available) if self.drain.is_none() && self.paces.is_paced() => {
                    self.paces.wait(entry, available, now);
                }
                (Due::Later | Due::Now, _) => due.push(entry),
            }
        }
        due.extend(self.paces.take_due(now, self.drain.is_some()));
        let mut batches: BTreeMap<(usize, Life), Lines> = BTreeMap::new();
        let mut homeless = Vec::new();
        for entry in due {
            // What came twice was reported the first time.
            if entry.due().0 == Due::Never {
                continue;
            }
            match entry.node().or_else(|| route(&self.nodes, entry.id)) {
                Some(node) if self.nodes[node].is_up() => {
                    let available = self.collect(node, &entry, &mut batches);
                    self.paces.reported(&entry, available, now);
                }
                _ => homeless.push(entry),
            }
        }
        for ((node, life), lines) in batches {
            let file = Arc::clone(&self.parts.wallets.books.lives.get(life).file);
            self.send(node, &file, lines, false, now);
        }
        homeless.into_iter().for_each(|entry| entry.requeue());
    }

    fn collect(
        &mut self,
        node: usize,
        entry: &Arc<WalletEntry>,
        batches: &mut BTreeMap<(usize, Life), Lines>,
    ) -> Money {
        let mut touched: Vec<Life> = Vec::new();
        let available = entry.take_changes(&mut |changed| match changed {
            Changed::Register { life, slot, meter, spend } => {
                let lines = batches.entry((node, life)).or_default();
                lines.add(slot, meter, spend, false);
                touched.push(life);
            }
            Changed::App { life, meter, app, units } => {
                let lines = batches.entry((node, life)).or_default();
                lines.apps.push(ReportedApp { meter, app, units });
            }
            Changed::Held { life, amount } => {
                batches.entry((node, life)).or_default().holds.push((entry.id, amount));
                touched.push(life);
            }
            Changed::Drawn { life, draw } => {
                batches.entry((node, life)).or_default().draws.push(draw);
                touched.push(life);
            }
        });
        touched.sort_unstable();
        touched.dedup();
        for life in touched {
            let Some(lines) = batches.get_mut(&(node, life)) else { continue };
            lines.wallets.push(Arc::clone(entry));
            if lines.is_full() {
                let lines = std::mem::take(lines);
                let file = Arc::clone(&self.parts.wallets.books.lives.get(life).file);
                self.send(node, &file, lines, false, self.now());
            }
        }
        available
    }

    /// A report without content to each node that was sent none for a while, under the newest incarnation: its answer tells
    /// the age of what nodes say. Wallets of which a snapshot was too old are asked for again behind it.
    fn beat(&mut self, now: Duration) {
        let Some(life) = self.own.listed.last() else { return };
        let file = Arc::clone(&self.parts.wallets.books.lives.get(*life).file);
        // Ticks are not exact: what is due within half a tick is due now.
        let soon = now + self.parts.bounds.fastest / 2;
        for node in 0..self.nodes.len() {
            let asks_again = self.nodes[node].asks_again(now);
            if self.nodes[node].is_up()
                && (asks_again || self.nodes[node].is_silent(soon, self.beat_interval))
            {
                self.send(node, &file, Lines::default(), false, now);
                if asks_again {
                    self.nodes[node].ask_again(now);
                }
            }
        }
    }

    /// Sends one report; what the stream does not take is reported again.
    pub(super) fn send(
        &mut self,
        node: usize,
        file: &Arc<SpendFile>,
        lines: Lines,
        is_final: bool,
        now: Duration,
    ) {
        let seq = self.sequence.next(self.parts.clock.unix_us(), now);
        let Lines { registers, apps, slots, holds, draws, wallets } = lines;
        let incarnation = file.incarnation();
        let report = Report { incarnation, seq, registers, apps, holds, draws, is_final };
        let is_sent = self.nodes[node].send(ToNode::Report(report_to_wire(&report)));
        let file = Arc::clone(file);
        let pending = Pending { file, seq, registers: slots, wallets, is_final };
        if is_sent {
            self.nodes[node].note(pending, now);
        } else {
            self.report_again([pending]);
        }
    }
}

// === impl Lines ===

impl Lines {
    pub(super) fn add(&mut self, slot: u32, meter: Meter, spend: Spend, is_recovered: bool) {
        let Spend { units, excess } = spend;
        self.registers.push(ReportedRegister {
            meter,
            units: Units::from_register(units),
            is_recovered,
            excess: Units::from_register(excess),
        });
        self.slots.push((slot, spend));
    }

    pub(super) fn is_full(&self) -> bool {
        let lines = self.registers.len() + self.holds.len() + self.draws.len();
        lines + self.apps.len() >= LINES_MAX
    }
}
