//! Schedules: `rate(5 minutes)` and AWS's six-field `cron(0 10 * * ? *)`, in UTC.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// When a rule fires by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Schedule {
    Rate(Duration),
    Cron(Box<Cron>),
}

/// A cron expression, each field as the values it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cron {
    minutes: BTreeSet<i16>,
    hours: BTreeSet<i16>,
    days: Days,
    months: BTreeSet<i16>,
    years: BTreeSet<i16>,
}

/// Exactly one of day-of-month and day-of-week may speak; the other is `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    OfMonth(BTreeSet<i16>),
    LastOfMonth,
    LastWeekdayOfMonth,
    NearestWeekday(i16),
    /// 1 is Sunday.
    OfWeek(BTreeSet<i16>),
    LastOfWeek(i16),
    NthOfWeek(i16, i16),
}

const YEARS: (i16, i16) = (1970, 2199);
const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Schedule {
    /// Nothing where AWS would answer `Parameter ScheduleExpression is not valid.`
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(rate) = inside("rate") {
            return parse_rate(rate).map(Self::Rate);
        }
        Cron::parse(inside("cron")?).map(|cron| Self::Cron(Box::new(cron)))
    }

    /// The first time after `after`; nothing where the schedule is over.
    pub(crate) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Rate(every) => after.checked_add(*every).ok(),
            Self::Cron(cron) => cron.next_after(after),
        }
    }
}

fn parse_rate(text: &str) -> Option<Duration> {
    let (count, unit) = text.trim().split_once(' ')?;
    let count: u32 = count.parse().ok().filter(|count| *count > 0)?;
    let seconds = match (count, unit.trim()) {
        (1, "minute") | (2.., "minutes") => 60,
        (1, "hour") | (2.., "hours") => 3_600,
        (1, "day") | (2.., "days") => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(u64::from(count) * seconds))
}

impl Cron {
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, day_of_month, months, day_of_week, years] = fields.as_slice() else {
            return None;
        };
        let days = match (*day_of_month, *day_of_week) {
            ("?", week) if week != "?" => days_of_week(week)?,
            (month, "?") if month != "?" => days_of_month(month)?,
            _ => return None,
        };
        Some(Self {
            minutes: values(minutes, (0, 59), &[])?,
            hours: values(hours, (0, 23), &[])?,
            days,
            months: values(months, (1, 12), &MONTHS)?,
            years: values(years, YEARS, &[])?,
        })
    }

    fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let first = after.to_zoned(TimeZone::UTC).datetime();
        let last_year = *self.years.last()?;
        let mut date = first.date();
        while date.year() <= last_year {
            if self.years.contains(&date.year())
                && self.months.contains(&i16::from(date.month()))
                && self.days.allow(date)?
            {
                for hour in &self.hours {
                    for minute in &self.minutes {
                        let at = date.at(i8::try_from(*hour).ok()?, i8::try_from(*minute).ok()?, 0, 0);
                        let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp();
                        if at > after {
                            return Some(at);
                        }
                    }
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }
}

impl Days {
    fn allow(&self, date: Date) -> Option<bool> {
        let weekday = |date: Date| i16::from(date.weekday().to_sunday_one_offset());
        let day = i16::from(date.day());
        Some(match self {
            Self::OfMonth(days) => days.contains(&day),
            Self::LastOfMonth => date == date.last_of_month(),
            Self::LastWeekdayOfMonth => date == nearest_weekday(date.last_of_month())?,
            Self::NearestWeekday(wanted) => {
                let wanted = i8::try_from(*wanted).ok()?;
                wanted <= date.days_in_month()
                    && date == nearest_weekday(date.with().day(wanted).build().ok()?)?
            }
            Self::OfWeek(days) => days.contains(&weekday(date)),
            Self::LastOfWeek(wanted) => weekday(date) == *wanted && day + 7 > i16::from(date.days_in_month()),
            Self::NthOfWeek(wanted, nth) => weekday(date) == *wanted && (day - 1) / 7 + 1 == *nth,
        })
    }
}

/// Saturday moves to Friday, Sunday to Monday, never out of the month.
fn nearest_weekday(date: Date) -> Option<Date> {
    let shift = match date.weekday().to_sunday_one_offset() {
        7 if date.day() == 1 => 2,
        7 => -1,
        1 if date == date.last_of_month() => -2,
        1 => 1,
        _ => 0,
    };
    date.checked_add(shift.days()).ok()
}

fn days_of_month(text: &str) -> Option<Days> {
    match text {
        "L" => Some(Days::LastOfMonth),
        "LW" => Some(Days::LastWeekdayOfMonth),
        _ => match text.strip_suffix('W') {
            Some(day) => number(day, (1, 31), &[]).map(Days::NearestWeekday),
            None => values(text, (1, 31), &[]).map(Days::OfMonth),
        },
    }
}

fn days_of_week(text: &str) -> Option<Days> {
    if text == "L" {
        return Some(Days::OfWeek(BTreeSet::from([7])));
    }
    if let Some((day, nth)) = text.split_once('#') {
        return Some(Days::NthOfWeek(
            number(day, (1, 7), &WEEKDAYS)?,
            number(nth, (1, 5), &[])?,
        ));
    }
    match text.strip_suffix('L') {
        Some(day) => number(day, (1, 7), &WEEKDAYS).map(Days::LastOfWeek),
        None => values(text, (1, 7), &WEEKDAYS).map(Days::OfWeek),
    }
}

fn number(text: &str, (low, high): (i16, i16), names: &[&str]) -> Option<i16> {
    if let Some(index) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        return i16::try_from(index).ok().map(|index| index + 1);
    }
    text.parse().ok().filter(|value| (low..=high).contains(value))
}

/// `*`, `5`, `1-5`, `0/10`, `1-30/5`, and lists of these.
fn values(text: &str, bounds: (i16, i16), names: &[&str]) -> Option<BTreeSet<i16>> {
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (low, high) = match (range, range.split_once('-')) {
            ("*", _) => bounds,
            (_, Some((low, high))) => (number(low, bounds, names)?, number(high, bounds, names)?),
            (one, None) => {
                let one = number(one, bounds, names)?;
                (one, if step.is_some() { bounds.1 } else { one })
            }
        };
        // A range may go over the week's end, as FRI-MON does.
        let wraps = low > high;
        if wraps && names.is_empty() {
            return None;
        }
        let span: Vec<i16> = if wraps {
            (low..=bounds.1).chain(bounds.0..=high).collect()
        } else {
            (low..=high).collect()
        };
        all.extend(span.into_iter().step_by(step.unwrap_or(1)));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, after: &str) -> String {
        let after: Timestamp = after.parse().unwrap();
        Schedule::parse(expression)
            .unwrap()
            .next_after(after)
            .map_or_else(|| "never".to_owned(), |at| at.to_string())
    }

    #[test]
    fn aws_own_examples() {
        for (expression, after, expected) in [
            ("rate(5 minutes)", "2026-01-01T00:00:30Z", "2026-01-01T00:05:30Z"),
            ("rate(1 day)", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            (
                "cron(0 10 * * ? *)",
                "2026-01-01T10:00:00Z",
                "2026-01-02T10:00:00Z",
            ),
            (
                "cron(15 12 * * ? *)",
                "2026-01-01T12:14:59Z",
                "2026-01-01T12:15:00Z",
            ),
            (
                "cron(0 18 ? * MON-FRI *)",
                "2026-01-02T18:00:00Z",
                "2026-01-05T18:00:00Z",
            ),
            (
                "cron(0 8 1 * ? *)",
                "2026-01-01T08:00:00Z",
                "2026-02-01T08:00:00Z",
            ),
            (
                "cron(0/15 * * * ? *)",
                "2026-01-01T00:15:00Z",
                "2026-01-01T00:30:00Z",
            ),
            (
                "cron(0/5 8-17 ? * MON-FRI *)",
                "2026-01-02T17:55:00Z",
                "2026-01-05T08:00:00Z",
            ),
            (
                "cron(0 9 ? * 2#1 *)",
                "2026-01-01T00:00:00Z",
                "2026-01-05T09:00:00Z",
            ),
            (
                "cron(15 10 ? * 6L 2026-2027)",
                "2026-01-01T00:00:00Z",
                "2026-01-30T10:15:00Z",
            ),
            (
                "cron(0 0 L * ? *)",
                "2028-02-01T00:00:00Z",
                "2028-02-29T00:00:00Z",
            ),
            (
                "cron(0 0 LW * ? *)",
                "2026-02-01T00:00:00Z",
                "2026-02-27T00:00:00Z",
            ),
            (
                "cron(0 0 1W * ? *)",
                "2026-08-01T00:00:00Z",
                "2026-08-03T00:00:00Z",
            ),
            (
                "cron(0 0 15W * ? *)",
                "2026-02-01T00:00:00Z",
                "2026-02-16T00:00:00Z",
            ),
            (
                "cron(0 0 ? * L *)",
                "2026-01-01T00:00:00Z",
                "2026-01-03T00:00:00Z",
            ),
            ("cron(0 0 30 2 ? *)", "2026-01-01T00:00:00Z", "never"),
            ("cron(0 0 1 1 ? 2026)", "2026-01-01T00:00:00Z", "never"),
        ] {
            assert_eq!(next(expression, after), expected, "{expression}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for expression in [
            "",
            "rate(0 minutes)",
            "rate(1 minutes)",
            "rate(2 minute)",
            "rate(5)",
            "every 5 minutes",
            "cron(0 10 * * *)",
            "cron(0 10 * * * *)",
            "cron(0 10 ? * ? *)",
            "cron(60 10 * * ? *)",
            "cron(0 10 32 * ? *)",
            "cron(0 10 ? * 8 *)",
            "cron(0 10 ? * 3#6 *)",
            "cron(*/0 10 * * ? *)",
            "cron(0 10 * FOO ? *)",
            "cron(0 10 * * ? 1969)",
        ] {
            assert_eq!(Schedule::parse(expression), None, "{expression}");
        }
    }
}
