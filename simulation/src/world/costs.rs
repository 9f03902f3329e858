//! What a run costs: rows that the ledger wrote and read, messages that were sent.

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Rows that were written: registers, holds, suspense.
    pub rows: u64,
    /// Wallets that were read.
    pub reads: u64,
    /// Conditional batches.
    pub batches: u64,
    /// Messages from gateways.
    pub up: u64,
    /// Messages to gateways.
    pub down: u64,
    /// Calls that were answered.
    pub calls: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// The most that a wallet was overspent, in nanos.
    pub overspent: i128,
}

// === impl Costs ===

impl Costs {
    /// Adds what another run cost.
    pub fn add(&mut self, other: &Costs) {
        self.rows += other.rows;
        self.reads += other.reads;
        self.batches += other.batches;
        self.up += other.up;
        self.down += other.down;
        self.calls += other.calls;
        self.refused += other.refused;
        self.overspent = self.overspent.max(other.overspent);
    }
}
