//! The days that a report is about: from one (included) to another (not included), in UTC.

use tollgate_metering::lines::Day;
use tollgate_metering::{Period, UnixMillis};

use crate::error::ApiError;
use crate::extract::Parameters;

/// Query parameters that name a span.
pub(crate) const PARAMETERS: [&str; 3] = ["from", "to", "month"];

/// Days of the longest span.
const DAYS_MAX: i64 = 366;

/// Some days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first.
    pub(crate) from: Day,
    /// The first after it.
    pub(crate) to: Day,
}

// === impl Span ===

impl Span {
    /// What `from` and `to` (`YYYY-MM-DD`) or `month` (`YYYY-MM`) ask for; the current month where
    /// nothing is named, and today where only `from` is.
    pub(crate) fn of(query: &Parameters, now: UnixMillis) -> Result<Span, ApiError> {
        let day = |name: &str| {
            let read = |text| date(text).ok_or_else(|| invalid(name, "must be YYYY-MM-DD"));
            query.get(name).map(read).transpose()
        };
        let month = query.get("month");
        let (from, to) = (day("from")?, day("to")?);
        let span = match (month, from, to) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                return Err(invalid("month", "excludes from and to"));
            }
            (None, None, Some(_)) => return Err(invalid("from", "is required where to is given")),
            (Some(month), None, None) => {
                Span::month(period(month).ok_or_else(|| invalid("month", "must be YYYY-MM"))?)
            }
            (None, None, None) => Span::month(Period::of(now)),
            (None, Some(from), to) => Span { from, to: to.unwrap_or(Day(Day::of(now).0 + 1)) },
        };
        match span.to.0 - span.from.0 {
            days if days <= 0 => Err(invalid("to", "must lie after from")),
            days if days > DAYS_MAX => Err(invalid("to", "must lie within 366 days of from")),
            _ => Ok(span),
        }
    }

    /// A month.
    pub(crate) fn month(period: Period) -> Span {
        Span { from: Day::of(period.start()), to: Day::of(period.end()) }
    }

    /// Whether a day lies in it.
    pub(crate) fn has(self, day: Day) -> bool {
        self.from <= day && day < self.to
    }
}

/// `YYYY-MM-DD`.
pub(crate) fn text(day: Day) -> String {
    let period = Period::of(day.start());
    format!("{period}-{:02}", day.0 - Day::of(period.start()).0 + 1)
}

/// The period that `YYYY-MM` names.
fn period(text: &str) -> Option<Period> {
    text.parse().ok()
}

fn date(text: &str) -> Option<Day> {
    let (period, day) = (period(text.get(..7)?)?, digits(text.get(8..)?)?);
    let date = Day(Day::of(period.start()).0 + i64::from(day) - 1);
    let is_shaped = text.len() == 10 && text.as_bytes()[7] == b'-' && day > 0;
    (is_shaped && date < Day::of(period.end())).then_some(date)
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn invalid(name: &str, reason: &str) -> ApiError {
    ApiError::Query { name: name.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written_or_not_at_all() {
        for written in ["1970-01-01", "2024-02-29", "2026-11-30", "9999-12-31"] {
            assert_eq!(text(date(written).unwrap()), written);
        }
        let wrong = ["", "2023-02-29", "2026-00-01", "2026-13-01", "2026-11-00", "2026-11-31"];
        let shapes =
            ["2026-11-1", "2026/11/01", "2026-11-01Z", "+026-11-01", "2026-11", "äöü-11-01"];
        for written in [&wrong[..], &shapes].concat() {
            assert_eq!(date(written), None, "{written}");
        }
        assert_eq!(period("2026-1"), None);
        assert_eq!(period("2026-011"), None);
    }
}
