//! Dates as Edge writes them: `YYYY-MM-DD HH:mm:ss`, in UTC; a day alone is its first second.

use std::time::Duration;

use tollgate_metering::{Period, UnixMillis};

use crate::error::ApiError;

const DAY_MS: i64 = 86_400_000;

/// The months as `billingMonth` names them.
const MONTHS: [&str; 12] = [
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
];

/// Reads a date.
pub(crate) fn read(field: &str, text: &str) -> Result<UnixMillis, ApiError> {
    let malformed = || {
        let reason = format!("{text:?} is not a date like 2026-11-25 or 2026-11-25 12:30:00");
        ApiError::invalid(field, reason)
    };
    let (day, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let time = time.trim_end_matches('Z');
    let [year, month, day] = numbers(day, '-').ok_or_else(malformed)?;
    let [hour, minute, second] = numbers(time, ':').ok_or_else(malformed)?;
    if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 || day == 0 {
        return Err(malformed());
    }
    let period = year.checked_mul(12).and_then(|months| Period::from_number(months + month - 1));
    let period = period.ok_or_else(malformed)?;
    let time = period.start().plus(Duration::from_secs(
        u64::from(day - 1) * 86_400
            + u64::from(hour) * 3_600
            + u64::from(minute) * 60
            + u64::from(second),
    ));
    if time < period.end() { Ok(time) } else { Err(malformed()) }
}

/// The end of the day that a date names: `endDate` includes the whole of its day. Plans of Apigee X
/// may end at the end of time, which is the end of its day too.
pub(crate) fn end_of_day(time: UnixMillis) -> UnixMillis {
    UnixMillis((time.0.div_euclid(DAY_MS) + 1).saturating_mul(DAY_MS))
}

/// A date as an `endDate` is shown: the last second before `end`.
pub(crate) fn last_second(end: UnixMillis) -> String {
    write(end.minus(Duration::from_secs(1)))
}

/// Writes a date.
pub(crate) fn write(time: UnixMillis) -> String {
    let period = Period::of(time);
    let second = (time.0 - period.start().0) / 1_000;
    let (day, second) = (second / 86_400 + 1, second % 86_400);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{period}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// The month of `billingMonth` and `billingYear`.
pub(crate) fn month(name: &str, year: &str) -> Result<Period, ApiError> {
    let number = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name));
    let number = number.ok_or_else(|| ApiError::invalid("billingMonth", "is no month"))?;
    let year: u32 = year.parse().map_err(|_| ApiError::invalid("billingYear", "is not a year"))?;
    let number = u32::try_from(number).expect("there are twelve months");
    let period = year.checked_mul(12).and_then(|months| Period::from_number(months + number));
    period.ok_or_else(|| ApiError::invalid("billingYear", "is out of range"))
}

/// Name and year of a month.
pub(crate) fn month_name(period: Period) -> (&'static str, u32) {
    let number = period.number();
    (MONTHS[(number % 12) as usize], number / 12)
}

fn numbers(text: &str, between: char) -> Option<[u32; 3]> {
    let mut parts = text.split(between).map(str::parse::<u32>);
    let numbers = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        let check = |rows: &[(&str, Option<&str>)]| {
            for (given, want) in rows {
                let read = read("startDate", given).ok().map(write);
                assert_eq!(read.as_deref(), *want, "{given}");
            }
        };
        check(&[
            ("2026-11-25 12:30:01", Some("2026-11-25 12:30:01")),
            ("2024-02-29", Some("2024-02-29 00:00:00")),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("2026-12-00", None),
            ("2026-12-31 24:00:00", None),
            ("25.11.2026", None),
            ("", None),
        ]);
        let end = end_of_day(read("", "2026-12-31 11:00:00").unwrap());
        assert_eq!(write(end), "2027-01-01 00:00:00");
        assert_eq!(last_second(end), "2026-12-31 23:59:59");
        assert_eq!(end_of_day(UnixMillis(i64::MAX)), UnixMillis(i64::MAX));
        assert_eq!(month("october", "2018").unwrap().to_string(), "2018-10");
        assert!(month("OKTOBER", "2018").is_err());
    }
}
