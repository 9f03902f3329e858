//! Months and years of unix seconds, for billing periods.

/// Seconds of a day.
pub(crate) const DAY_S: i64 = 24 * 3600;
/// Longest period: three years.
const MONTHS_MAX: i64 = 36;

/// A billing period's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interval {
    Days(i64),
    Months(i64),
}

// === impl Interval ===

impl Interval {
    /// `month` and 3; `None` where it is none or too long.
    pub(crate) fn parse(name: &str, count: i64) -> Option<Interval> {
        let interval = match name {
            "day" => Interval::Days(count),
            "week" => Interval::Days(count.checked_mul(7)?),
            "month" => Interval::Months(count),
            "year" => Interval::Months(count.checked_mul(12)?),
            _ => return None,
        };
        let is_possible = match interval {
            Interval::Days(days) => (1..=MONTHS_MAX * 31).contains(&days),
            Interval::Months(months) => (1..=MONTHS_MAX).contains(&months),
        };
        is_possible.then_some(interval)
    }

    /// The end of the `count`th period after an anchor: months end on the anchor's day, or on their last.
    pub(crate) fn after(self, anchor_s: i64, count: i64) -> i64 {
        let (days, second) = (anchor_s.div_euclid(DAY_S), anchor_s.rem_euclid(DAY_S));
        let day = match self {
            Interval::Days(length) => days + length * count,
            Interval::Months(length) => {
                let (year, month, day) = date_of(days);
                let months = year * 12 + (month - 1) + length * count;
                let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
                days_of(year, month, day.min(month_length(year, month)))
            }
        };
        day * DAY_S + second
    }
}

/// The year, month and day of days since 1970, in the Gregorian calendar.
fn date_of(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366);
    while days_of(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days_of(year, month + 1, 1) <= days {
        month += 1;
    }
    (year, month, days - days_of(year, month, 1) + 1)
}

/// Days since 1970 of a date.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leaps = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let years = (year - 1970) * 365 + leaps(before) - leaps(1969);
    let months: i64 = (1..month).map(|month| month_length(year, month)).sum();
    years + months + day - 1
}

fn month_length(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_end_on_the_anchors_day_or_their_last() {
        let check = |from: (i64, i64, i64), months, count, to: (i64, i64, i64)| {
            let anchor = days_of(from.0, from.1, from.2) * DAY_S + 7;
            let end = Interval::Months(months).after(anchor, count);
            assert_eq!(
                (date_of(end / DAY_S), end % DAY_S),
                (to, 7),
                "{from:?} + {count} × {months}"
            );
        };
        check((2026, 1, 31), 1, 1, (2026, 2, 28));
        check((2026, 1, 31), 1, 2, (2026, 3, 31));
        check((2028, 1, 30), 1, 1, (2028, 2, 29));
        check((2026, 11, 15), 1, 2, (2027, 1, 15));
        check((2028, 2, 29), 12, 1, (2029, 2, 28));
        assert_eq!(days_of(2026, 11, 25) * DAY_S, 1_795_564_800);
        assert_eq!(date_of(0), (1970, 1, 1));
    }
}
