//! The time that a node works with and tells: its own clock, as long as that runs evenly.
//!
//! The guard compares the clock with the ledger's every few seconds. A clock that is set wrong in
//! between would let gateways count calls on another month and housekeeping take living rows for
//! old ones until it is found out. So between two confirmations wall time goes on as monotonic
//! time does; where the wall clock says something else, it is not believed and the guard looks at
//! once. A machine that was suspended is told apart by that look, since monotonic time stood still.
//! Not here: what is done about a clock that is wrong (`guard`).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tollgate_ledger_store::clock::Clock;
use tollgate_metering::UnixMillis;

use crate::settings::CLOCK_OFFSET_MAX;

/// A clock that does not jump.
pub(crate) struct ServiceClock {
    clock: Arc<dyn Clock>,
    confirmed: Mutex<Option<Confirmed>>,
    jumped: Notify,
}

/// Wall time that agreed with the ledger's, at a monotonic time.
#[derive(Clone, Copy)]
struct Confirmed {
    wall: UnixMillis,
    monotonic: Duration,
}

// === impl ServiceClock ===

impl ServiceClock {
    /// Believes `clock` until it is confirmed for the first time.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> ServiceClock {
        ServiceClock { clock, confirmed: Mutex::default(), jumped: Notify::new() }
    }

    /// What the clock says, believed or not.
    pub(crate) fn unconfirmed(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The ledger's clock agreed with `wall` at `monotonic`.
    pub(crate) fn confirm(&self, wall: UnixMillis, monotonic: Duration) {
        *self.confirmed.lock() = Some(Confirmed { wall, monotonic });
    }

    /// Returns when the clock has jumped.
    pub(crate) async fn jumped(&self) {
        self.jumped.notified().await;
    }
}

impl Clock for ServiceClock {
    fn now(&self) -> UnixMillis {
        let (wall, monotonic) = (self.clock.now(), self.clock.monotonic());
        let Some(confirmed) = *self.confirmed.lock() else { return wall };
        let even = confirmed.wall.plus(monotonic.saturating_sub(confirmed.monotonic));
        if wall.since(even).max(even.since(wall)) <= CLOCK_OFFSET_MAX {
            return wall;
        }
        self.jumped.notify_one();
        even
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that stands where it is put.
    struct Put(Mutex<(UnixMillis, Duration)>);

    impl Clock for Put {
        fn now(&self) -> UnixMillis {
            self.0.lock().0
        }

        fn monotonic(&self) -> Duration {
            self.0.lock().1
        }
    }

    #[tokio::test]
    async fn between_two_looks_wall_time_goes_on_as_monotonic_time_does() {
        let second = Duration::from_secs(1);
        let day = Duration::from_secs(86_400);
        let start = UnixMillis(1_795_348_800_000);
        let put = Arc::new(Put(Mutex::new((start, second))));
        let clock = ServiceClock::new(Arc::clone(&put) as Arc<_>);
        clock.confirm(start, second);
        // A clock that is a little off is believed, and so is every clock at first.
        *put.0.lock() = (start.plus(CLOCK_OFFSET_MAX), second);
        assert_eq!(clock.now(), start.plus(CLOCK_OFFSET_MAX));
        for wrong in [start.plus(day), start.minus(day)] {
            *put.0.lock() = (wrong, 3 * second);
            assert_eq!(clock.now(), start.plus(2 * second));
            assert_eq!(clock.unconfirmed(), wrong);
            clock.jumped().await;
        }
        clock.confirm(start.plus(day), 3 * second);
        *put.0.lock() = (start.plus(day).plus(second), 4 * second);
        assert_eq!(clock.now(), start.plus(day).plus(second));
    }
}
