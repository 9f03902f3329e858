//! The machine's clocks; everything else in this crate is told the time, so that a test sets it.

use std::time::{Duration, Instant, SystemTime};

use tollgate_metering::UnixMillis;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Wall time.
    fn now(&self) -> UnixMillis;

    /// Time since some fixed point, never set back: for ages.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

// === impl SystemClock ===

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
impl SystemClock {
    /// Starts the monotonic clock at zero.
    #[must_use]
    pub fn start() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since_epoch =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
