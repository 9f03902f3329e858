//! Simulated time as the parts of the fleet read it, each with a clock of its own.
//!
//! Turmoil tells the time by the clock of the runtime that is entered. On a runtime that is not simulated, or on none, that is
//! the machine's: there simulated time stands where it stood last.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tollgate_metering::UnixMillis;

thread_local! {
    static IS_ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// Does work on a runtime that is not simulated.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    let before = IS_ASIDE.replace(true);
    let done = work();
    IS_ASIDE.set(before);
    done
}

/// Time since the simulation began. Threads beside the simulated one see where it stood last.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimTime {
    last_us: Arc<AtomicU64>,
}

/// The clocks of one machine.
#[derive(Debug, Clone)]
pub(crate) struct MachineClock {
    time: SimTime,
    began: UnixMillis,
    skew_ms: i64,
}

// === impl SimTime ===

impl SimTime {
    pub(crate) fn now(&self) -> Duration {
        let is_simulated = !IS_ASIDE.get() && Handle::try_current().is_ok();
        if is_simulated && let Some(now) = turmoil::sim_elapsed() {
            let now_us = u64::try_from(now.as_micros()).expect("a simulation is short");
            self.last_us.fetch_max(now_us, Ordering::Relaxed);
            return now;
        }
        Duration::from_micros(self.last_us.load(Ordering::Relaxed))
    }

    /// Moves on to at least `now`.
    pub(crate) fn reach(&self, now: Duration) {
        let now_us = u64::try_from(now.as_micros()).expect("a simulation is short");
        self.last_us.fetch_max(now_us, Ordering::Relaxed);
    }

    /// A machine's clock, so far off the true time.
    pub(crate) fn clock(&self, began: UnixMillis, skew_ms: i64) -> MachineClock {
        MachineClock { time: self.clone(), began, skew_ms }
    }
}

// === impl MachineClock ===

impl tollgate_gateway::clock::Clock for MachineClock {
    fn monotonic(&self) -> Duration {
        self.time.now()
    }

    fn unix_us(&self) -> i64 {
        let now_us = i64::try_from(self.time.now().as_micros()).expect("a simulation is short");
        (self.began.0 + self.skew_ms) * 1_000 + now_us
    }
}

impl tollgate_ledger_store::Clock for MachineClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.began.0 + self.skew_ms).plus(self.time.now())
    }

    fn monotonic(&self) -> Duration {
        self.time.now()
    }
}
