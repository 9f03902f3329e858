//! Where chance comes from: one seed a process.
//!
//! The code under test asks the system for randomness in places that no parameter reaches: names of incarnations and streams,
//! jitter of waits, the order of hash maps, which ready branch a `select!` takes. All of them end in `getrandom`, so this
//! binary has its own, which counts on from the seed. Threads beside the simulated one (SQLite's writer, blocking work) take
//! from a sequence of their own: what they draw does not shift what the simulation draws.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Mixed into the seed for threads beside the simulated one.
const ASIDE: u64 = 0xa5a5_5a5a_dead_0001;

static SIMULATED: AtomicU64 = AtomicU64::new(0);
static BESIDE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_SIMULATED: Cell<bool> = const { Cell::new(false) };
}

/// Chance of the test itself: splitmix64.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

/// From now on this thread is the simulated one, and all chance follows from the seed.
pub(crate) fn seed(seed: u64) {
    SIMULATED.store(mixed(seed), Ordering::Relaxed);
    BESIDE.store(mixed(seed ^ ASIDE), Ordering::Relaxed);
    IS_SIMULATED.set(true);
}

fn mixed(seed: u64) -> u64 {
    Rng(seed).next()
}

/// Takes the place of libc's: fills `buffer` from the sequence of the thread.
///
/// # Safety
/// As `getrandom(2)`: `buffer` has `length` bytes that may be written.
#[expect(
    unsafe_code,
    reason = "the system's source of randomness can only be replaced by its symbol"
)]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    let sequence = if IS_SIMULATED.get() { &SIMULATED } else { &BESIDE };
    // SAFETY: the caller says so.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for chunk in bytes.chunks_mut(8) {
        let word = Rng(sequence.fetch_add(Rng::STEP, Ordering::Relaxed)).next();
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}

// === impl Rng ===

impl Rng {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// A sequence of its own for one purpose.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(mixed(seed).wrapping_add(mixed(purpose).rotate_left(17)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range, which is not empty.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// True so often in a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.within(0..100) < percent
    }

    /// One of them.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let place = self.within(0..of.len() as u64);
        &of[usize::try_from(place).expect("a place in a slice is a usize")]
    }
}
