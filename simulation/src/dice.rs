//! Randomness out of a seed: each part of the world throws dice of its own.
//!
//! A part's dice do not depend on how often others threw theirs, so a schedule with one event less
//! runs mostly as before: that is what makes shrinking work.

use std::time::Duration;

/// Dice of one part.
#[derive(Clone, Debug)]
pub(crate) struct Dice(fastrand::Rng);

// === impl Dice ===

impl Dice {
    /// The dice of the part with this name and number.
    pub(crate) fn new(seed: u64, part: &str, number: u64) -> Dice {
        let named = part.bytes().fold(seed ^ 0x9e37_79b9_7f4a_7c15, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mixed = (named ^ number.wrapping_mul(0xff51_afd7_ed55_8ccd))
            .wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        Dice(fastrand::Rng::with_seed(mixed ^ (mixed >> 29)))
    }

    /// A number from `from` to `to`, both included.
    pub(crate) fn number(&mut self, from: u64, to: u64) -> u64 {
        self.0.u64(from..=to.max(from))
    }

    /// A place among so many.
    pub(crate) fn place(&mut self, count: usize) -> usize {
        self.0.usize(0..count.max(1))
    }

    /// Happens so many times in a thousand.
    pub(crate) fn happens(&mut self, of_thousand: u64) -> bool {
        self.0.u64(0..1_000) < of_thousand
    }

    /// One of these.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.place(of.len())]
    }

    /// A span between two, both included.
    pub(crate) fn span(&mut self, (from, to): (Duration, Duration)) -> Duration {
        let us = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.number(us(from), us(to)))
    }

    /// A span whose magnitude is drawn first: short ones are as likely as long ones.
    pub(crate) fn scale(&mut self, (from, to): (Duration, Duration)) -> Duration {
        let us = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
        let bits = self.number(u64::from(us(from).ilog2()), u64::from(us(to).ilog2()));
        Duration::from_micros(self.number(1 << bits, (2 << bits) - 1)).clamp(from, to)
    }
}
