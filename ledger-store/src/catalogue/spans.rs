//! Spans of calendar time, in UTC.

use std::time::Duration;

use tollgate_metering::{Period, UnixMillis};

use super::records::{Span, SpanUnit};

/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;

// === impl Span ===

impl Span {
    /// When a span ends that begins at `start`. Months end on the same day of the month at the same
    /// time or, where there is no such day, on the last.
    #[must_use]
    pub fn after(self, start: UnixMillis) -> UnixMillis {
        let days = |days: u32| {
            start.plus(Duration::from_secs(u64::from(self.count) * u64::from(days) * 86_400))
        };
        let months = |months: u32| months_after(start, self.count.saturating_mul(months));
        match self.unit {
            SpanUnit::Day => days(1),
            SpanUnit::Week => days(7),
            SpanUnit::Month => months(1),
            SpanUnit::Quarter => months(3),
            SpanUnit::Year => months(12),
        }
    }
}

/// The end of time where that is past the last period.
fn months_after(start: UnixMillis, months: u32) -> UnixMillis {
    let began = Period::of(start);
    let Some(period) = Period::from_number(began.number().saturating_add(months)) else {
        return UnixMillis(i64::MAX);
    };
    let within = start.0 - began.start().0;
    let last_day = (period.end().0 - period.start().0) / DAY_MS - 1;
    let day = (within / DAY_MS).min(last_day);
    UnixMillis(period.start().0 + day * DAY_MS + within % DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_end_on_the_same_day_or_the_last() {
        let check = |rows: &[(i64, u32, SpanUnit, i64)]| {
            for (start_s, count, unit, want_s) in rows {
                let span = Span { count: *count, unit: *unit };
                let end = span.after(UnixMillis(start_s * 1000));
                assert_eq!(end, UnixMillis(want_s * 1000), "{start_s} {span:?}");
            }
        };
        check(&[
            // 2024-01-31 12:00 and a month: 2024-02-29 12:00, the leap day.
            (1_706_702_400, 1, SpanUnit::Month, 1_709_208_000),
            (1_706_702_400, 2, SpanUnit::Month, 1_711_886_400),
            // 2024-02-29 and a year: 2025-02-28.
            (1_709_164_800, 1, SpanUnit::Year, 1_740_700_800),
            (1_709_164_800, 1, SpanUnit::Quarter, 1_716_940_800),
            (1_709_164_800, 30, SpanUnit::Day, 1_711_756_800),
            (1_709_164_800, 2, SpanUnit::Week, 1_710_374_400),
        ]);
    }
}
