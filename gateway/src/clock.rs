//! The machine's clocks as the wallet half reads them; everything else is told the time, so that a test sets it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Time since some fixed moment of this process: never falls, not changed by setting the clock.
    fn monotonic(&self) -> Duration;

    /// Microseconds since 1970 by the machine's wall clock; may jump.
    fn unix_us(&self) -> i64;
}

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

// === impl SystemClock ===

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
impl SystemClock {
    /// Starts the monotonic clock at zero.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn unix_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}
