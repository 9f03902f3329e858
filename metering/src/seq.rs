//! Numbers reports and keeps the service's time.
//!
//! The `seq` of a report becomes the write timestamp of its registers, so it must grow with the
//! totals that it carries, whatever the clocks do: `seq = max(previous + 1, min(unix µs, service
//! time last heard + elapsed))`. The service's clock bounds it, because a gateway whose clock runs
//! ahead would be refused; its own previous value bounds it, because a clock that is set back must
//! not let an older total win.
//! One value serves all incarnations of a gateway, so that a `seq` names one report of it.
//! Invariants: `seq` rises strictly. Not here: any clock; both clocks are passed in.

use std::time::Duration;

use crate::time::UnixMillis;

/// Numbers the reports of one gateway.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    previous: i64,
    /// The service's time and the monotonic time at which it was heard.
    heard: Option<(UnixMillis, Duration)>,
    /// Since when the service's time is said to be much earlier than that.
    doubted_since: Option<Duration>,
}

/// How far two nodes that serve may disagree about the time: each by as much as a clock that serves
/// may be off the ledger's.
const DISAGREEMENT_MAX: Duration = Duration::from_secs(120);

/// How long an answer that tells the time may take. Whoever was stopped between question and answer
/// cannot tell how old the answer is, and the first time that is heard has nothing to be held against.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(10);

/// For how long a much earlier time is taken for a late message. What lay in a socket while the
/// process or its machine was stopped is read in a moment.
const DOUBT: Duration = Duration::from_secs(10);

// === impl Sequence ===

impl Sequence {
    /// Takes the service's time, heard at the monotonic time `now`; the newest counts, unless it is
    /// so much earlier than what was heard before that its message must have been on its way for
    /// long: a call would be counted on the month in which it was sent.
    pub fn hear(&mut self, service_time: UnixMillis, now: Duration) {
        let known = self.service_time(now);
        if known.is_none_or(|known| known.since(service_time) <= DISAGREEMENT_MAX) {
            self.doubted_since = None;
        } else if now.saturating_sub(*self.doubted_since.get_or_insert(now)) < DOUBT {
            return;
        }
        self.heard = Some((service_time, now));
    }

    /// Takes the service's time out of the answer to a question that was asked at the monotonic time
    /// `asked`, and says whether it did: of an answer that took too long nothing is to be believed
    /// but that the question has to be asked again.
    #[must_use]
    pub fn hear_answer(
        &mut self,
        service_time: UnixMillis,
        asked: Duration,
        now: Duration,
    ) -> bool {
        if now.saturating_sub(asked) > ANSWER_AGE_MAX {
            return false;
        }
        self.hear(service_time, now);
        true
    }

    /// The service's time at the monotonic time `now`; `None` until it was heard.
    #[must_use]
    pub fn service_time(&self, now: Duration) -> Option<UnixMillis> {
        self.heard.map(|(time, at)| time.plus(now.saturating_sub(at)))
    }

    /// The next `seq`, given the own wall clock in microseconds since 1970.
    pub fn next(&mut self, unix_us: i64, now: Duration) -> i64 {
        let clock = match self.service_time(now) {
            Some(service) => unix_us.min(service.0.saturating_mul(1_000)),
            None => unix_us,
        };
        self.previous = clock.max(self.previous.saturating_add(1));
        self.previous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_clock_that_is_set_back_does_not_lower_seq() {
        let mut sequence = Sequence::default();
        let first = sequence.next(5_000_000, SECOND);
        assert_eq!(first, 5_000_000);
        assert_eq!(sequence.next(1_000_000, 2 * SECOND), first + 1);
        assert_eq!(sequence.next(i64::MIN, 2 * SECOND), first + 2);
    }

    #[test]
    fn a_clock_that_runs_ahead_is_held_to_the_services_time() {
        let mut sequence = Sequence::default();
        sequence.hear(UnixMillis(10_000), SECOND);
        assert_eq!(sequence.next(99_000_000, 2 * SECOND), 11_000_000);
        assert_eq!(sequence.next(10_500_000, 3 * SECOND), 11_000_001);
        assert_eq!(sequence.service_time(4 * SECOND), Some(UnixMillis(13_000)));
    }

    /// A gateway that was stopped for days first read what had been sent before, took it for the
    /// time, and counted calls on the month before.
    #[test]
    fn a_time_that_lay_in_a_socket_is_not_the_services() {
        let mut sequence = Sequence::default();
        let told = UnixMillis(1_000_000);
        sequence.hear(told, SECOND);
        let late = 100_000 * SECOND;
        let known = sequence.service_time(late);
        sequence.hear(told.plus(SECOND), late);
        assert_eq!(sequence.service_time(late), known);
        sequence.hear(told.plus(late), late + SECOND);
        assert_eq!(sequence.service_time(late + SECOND), Some(told.plus(late)));
    }

    /// A gateway that was stopped for days in its first moment read when it went on what it had
    /// asked for before: its first word of the time, and days old.
    #[test]
    fn an_answer_that_took_too_long_is_not_believed_even_where_nothing_else_is_known() {
        let mut sequence = Sequence::default();
        let told = UnixMillis(1_000_000);
        assert!(!sequence.hear_answer(told, SECOND, 1_123_200 * SECOND));
        assert_eq!(sequence.service_time(1_123_200 * SECOND), None);
        assert!(sequence.hear_answer(told, SECOND, SECOND + ANSWER_AGE_MAX));
        assert_eq!(sequence.service_time(SECOND + ANSWER_AGE_MAX), Some(told));
    }

    #[test]
    fn a_service_that_was_ahead_is_followed_back_in_a_while() {
        let mut sequence = Sequence::default();
        sequence.hear(UnixMillis(900_000_000), SECOND);
        for second in 2..=20 {
            sequence.hear(UnixMillis(i64::from(second) * 1_000), second * SECOND);
        }
        assert_eq!(sequence.service_time(20 * SECOND), Some(UnixMillis(20_000)));
        // A node that is a little behind is followed at once.
        sequence.hear(UnixMillis(5_000), 21 * SECOND);
        assert_eq!(sequence.service_time(21 * SECOND), Some(UnixMillis(5_000)));
    }

    proptest::proptest! {
        #[test]
        fn seq_always_rises(steps in proptest::collection::vec((0..100i64, -50..50i64, 0..3u64), 1..50)) {
            let mut sequence = Sequence::default();
            let mut before = 0;
            for (unix, service, at) in steps {
                let now = Duration::from_millis(at);
                sequence.hear(UnixMillis(service), now);
                let seq = sequence.next(unix, now);
                proptest::prop_assert!(seq > before);
                before = seq;
            }
        }
    }
}
