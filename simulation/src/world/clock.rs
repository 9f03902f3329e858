//! Clocks: each process has a wall clock that is off and a monotonic clock that drifts.

use std::time::Duration;

use tollgate_metering::UnixMillis;

/// The clocks of one machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: UnixMillis,
    /// How far the wall clock is off.
    pub(crate) off_ms: i64,
    /// How much faster both run, in millionths.
    drift_ppm: i64,
}

// === impl Clock ===

impl Clock {
    pub(crate) fn new(start: UnixMillis, off_ms: i64, drift_ppm: i64) -> Clock {
        Clock { start, off_ms, drift_ppm }
    }

    /// The monotonic clock.
    pub(crate) fn monotonic(&self, now: Duration) -> Duration {
        let us = i128::try_from(now.as_micros()).unwrap_or(i128::MAX);
        let drift = us * i128::from(self.drift_ppm) / 1_000_000;
        // Counted from an hour before the run, so that a slow clock stays above zero.
        Duration::from_micros(u64::try_from(us + drift + 3_600_000_000).unwrap_or(0))
    }

    /// The true time at which the monotonic clock showed this.
    pub(crate) fn true_time(&self, monotonic: Duration) -> Duration {
        let us = i128::try_from(monotonic.as_micros()).unwrap_or(i128::MAX) - 3_600_000_000;
        let parts = 1_000_000 + i128::from(self.drift_ppm);
        // Rounded down: never later than it was.
        Duration::from_micros(u64::try_from((us * 1_000_000).div_euclid(parts)).unwrap_or(0))
    }

    /// The wall clock, in milliseconds.
    pub(crate) fn wall(&self, now: Duration) -> UnixMillis {
        UnixMillis(self.wall_us(now).div_euclid(1_000))
    }

    /// The wall clock, in microseconds.
    pub(crate) fn wall_us(&self, now: Duration) -> i64 {
        let passed = self.monotonic(now).as_micros();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX) - 3_600_000_000;
        (self.start.0 + self.off_ms) * 1_000 + passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn true_time_undoes_drift() {
        for drift_ppm in [-100, -3, 0, 1, 100] {
            let clock = Clock::new(UnixMillis(0), 0, drift_ppm);
            for ms in [0, 1, 1_000, 86_400_000, 1_209_600_000] {
                let now = Duration::from_millis(ms);
                let back = clock.true_time(clock.monotonic(now));
                assert!(back <= now + Duration::from_micros(1), "{drift_ppm} {ms}");
                assert!(now.saturating_sub(back) <= Duration::from_micros(2), "{drift_ppm} {ms}");
            }
        }
    }
}
