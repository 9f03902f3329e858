//! The one clock of a run: time since it began, on which due times, samples and events agree.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Time since a run began.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

// === impl Clock ===

impl Clock {
    /// Begins at zero.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// How long ago that was.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits until `due`; at once where that is past.
    pub async fn until(&self, due: Duration) {
        let at = self.started + due;
        if at > Instant::now() {
            tokio::time::sleep_until(at).await;
        }
    }
}

/// Milliseconds since 1970 by the machine's wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
#[must_use]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
