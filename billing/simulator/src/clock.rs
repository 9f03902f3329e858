//! The simulator's time: the machine's plus an offset, or standing still until it is moved.

use std::time::SystemTime;

/// Wall time in milliseconds since 1970, as the simulator sees it.
#[derive(Debug)]
pub(crate) enum Clock {
    /// Runs with the machine's clock, `offset_ms` ahead of it.
    Running {
        /// What is added to the machine's clock.
        offset_ms: i64,
    },
    /// Stands at `at_ms`.
    Frozen {
        /// The time that it is.
        at_ms: i64,
    },
}

// === impl Clock ===

impl Clock {
    pub(crate) fn new(frozen_at_s: Option<i64>) -> Clock {
        match frozen_at_s {
            Some(at_s) => Clock::Frozen { at_ms: at_s.saturating_mul(1000) },
            None => Clock::Running { offset_ms: 0 },
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        match self {
            Clock::Running { offset_ms } => machine_ms().saturating_add(*offset_ms),
            Clock::Frozen { at_ms } => *at_ms,
        }
    }

    /// Moves the clock on; a running one goes on running.
    pub(crate) fn advance_ms(&mut self, by_ms: i64) {
        match self {
            Clock::Running { offset_ms } => *offset_ms = offset_ms.saturating_add(by_ms),
            Clock::Frozen { at_ms } => *at_ms = at_ms.saturating_add(by_ms),
        }
    }

    /// Stops the clock at a time.
    pub(crate) fn freeze_ms(&mut self, at_ms: i64) {
        *self = Clock::Frozen { at_ms };
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
fn machine_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
