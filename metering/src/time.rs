//! Points in time and billing periods. There is no clock here: times are passed in.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

/// A calendar month in UTC: the billing period.
///
/// Counted in months since January of year 0; range: the years 1970 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u32);

/// Text that is not a month as [`Period`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a month as in 2026-11")]
pub struct PeriodError;

// === impl UnixMillis ===

impl UnixMillis {
    /// The time `span` later; the end of time where that is past it.
    #[must_use]
    pub fn plus(self, span: Duration) -> UnixMillis {
        let span_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        UnixMillis(self.0.saturating_add(span_ms))
    }

    /// The time `span` earlier.
    #[must_use]
    pub fn minus(self, span: Duration) -> UnixMillis {
        let span_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        UnixMillis(self.0.saturating_sub(span_ms))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    #[must_use]
    pub fn since(self, earlier: UnixMillis) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Period ===

impl Period {
    /// The period of `time`; times before 1970 belong to the first, after 9999 to the last.
    #[must_use]
    pub fn of(time: UnixMillis) -> Period {
        let (year, month) = year_month(time.0.div_euclid(DAY_MS).clamp(0, 2_932_896));
        Period(year * 12 + month - 1)
    }

    /// The period with this number of months since January of year 0, as stored.
    ///
    /// Returns `None` outside 1970 to 9999.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Period> {
        (1970 * 12..10_000 * 12).contains(&number).then_some(Period(number))
    }

    /// Months since January of year 0.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// The period so many months later; the last one where there is none.
    #[must_use]
    pub fn later(self, months: u32) -> Period {
        Period(self.0.saturating_add(months).min(10_000 * 12 - 1))
    }

    /// Whole days from the day of `time`, that day included, to the end of `months` periods from
    /// this one on, and the days of all of them: what share of an interval is left.
    #[must_use]
    pub fn days_left(self, months: u32, time: UnixMillis) -> (u32, u32) {
        let last = self.later(months.max(1) - 1);
        let (start, end) = (self.start().0 / DAY_MS, last.end().0 / DAY_MS);
        let day = time.0.div_euclid(DAY_MS).clamp(start, end - 1);
        let days = |from: i64| u32::try_from(end - from).expect("years up to 9999 have few days");
        (days(day), days(start))
    }

    /// The first millisecond of the period.
    #[must_use]
    pub fn start(self) -> UnixMillis {
        UnixMillis(days_before(self.0 / 12, self.0 % 12 + 1) * DAY_MS)
    }

    /// The first millisecond after the period.
    #[must_use]
    pub fn end(self) -> UnixMillis {
        let next = self.0 + 1;
        UnixMillis(days_before(next / 12, next % 12 + 1) * DAY_MS)
    }
}

impl fmt::Display for Period {
    /// `2026-11`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    /// Reads `2026-11`.
    fn from_str(text: &str) -> Result<Period, PeriodError> {
        let digits = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<u32>().ok()).flatten()
        };
        let (year, month) = text.split_once('-').ok_or(PeriodError)?;
        let (is_shaped, year) = (year.len() == 4 && month.len() == 2, digits(year));
        match (year, digits(month)) {
            (Some(year), Some(month @ 1..=12)) if is_shaped => {
                Period::from_number(year * 12 + month - 1).ok_or(PeriodError)
            }
            _ => Err(PeriodError),
        }
    }
}

/// Days from 1970-01-01 to the first of `month` (1 to 12) of `year`, proleptic Gregorian.
///
/// Years are counted from March, so that the leap day is the last of its year.
fn days_before(year: u32, month: u32) -> i64 {
    let (year, month) = (i64::from(year), i64::from(month));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_of_months = (153 * month + 2) / 5;
    let days_of_years = 365 * year + year / 4 - year / 100 + year / 400;
    days_of_years + days_of_months - 719_468
}

/// The year and month (1 to 12) of a day counted from 1970-01-01.
fn year_month(day: i64) -> (u32, u32) {
    // The mean month has 30.44 days: an estimate that is never more than one month late.
    let estimate = 1970 * 12 + day * 100 / 3_044;
    let mut number = u32::try_from(estimate.max(1970 * 12)).expect("days are clamped to year 9999");
    while days_before(number / 12, number % 12 + 1) > day {
        number -= 1;
    }
    while days_before((number + 1) / 12, (number + 1) % 12 + 1) <= day {
        number += 1;
    }
    (number / 12, number % 12 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_calendar_month_in_utc() {
        let check = |rows: &[(i64, &str)]| {
            for (ms, want) in rows {
                assert_eq!(Period::of(UnixMillis(*ms)).to_string(), *want, "{ms}");
            }
        };
        check(&[
            (0, "1970-01"),
            (-1, "1970-01"),
            (951_782_399_999, "2000-02"),
            (951_868_799_999, "2000-02"),
            (951_868_800_000, "2000-03"),
            (1_709_251_199_999, "2024-02"),
            (1_709_251_200_000, "2024-03"),
            (1_795_305_600_000, "2026-11"),
            (i64::MAX, "9999-12"),
        ]);
    }

    #[test]
    fn the_days_that_are_left_include_today() {
        let check = |rows: &[(&str, u32, i64, (u32, u32))]| {
            for (name, months, ms, want) in rows {
                let time = UnixMillis(*ms);
                let period = Period::of(time);
                assert_eq!(
                    (period.to_string().as_str(), period.days_left(*months, time)),
                    (*name, *want)
                );
            }
        };
        check(&[
            ("2024-02", 1, 1_706_745_600_000, (29, 29)),
            ("2024-02", 1, 1_709_251_199_999, (1, 29)),
            ("2024-02", 1, 1_709_164_800_000, (1, 29)),
            ("2023-02", 1, 1_677_628_799_999, (1, 28)),
            ("2024-12", 1, 1_735_603_200_000, (1, 31)),
            ("2024-12", 2, 1_735_603_200_000, (32, 62)),
            ("2026-11", 1, 1_795_348_800_000, (9, 30)),
            ("2026-11", 12, 1_795_348_800_000, (344, 365)),
        ]);
        let last = Period::of(UnixMillis(i64::MAX));
        assert_eq!(last.later(1), last);
    }

    proptest::proptest! {
        #[test]
        fn a_period_contains_its_times(ms in 0..253_402_300_799_999i64) {
            let period = Period::of(UnixMillis(ms));
            proptest::prop_assert!(period.start().0 <= ms && ms < period.end().0);
            proptest::prop_assert_eq!(Period::from_number(period.number()), Some(period));
            proptest::prop_assert_eq!(Period::of(period.end()).number(), period.number() + 1);
            proptest::prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
    }
}
