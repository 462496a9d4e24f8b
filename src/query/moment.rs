//! Moments as people write them in a question: a time, a date, or `now` with steps and rounding.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};

use crate::field::instant_us;

/// The most steps after `now`.
const MAX_STEPS: usize = 8;

/// The years that RFC 3339 can say.
const YEARS: std::ops::RangeInclusive<i32> = 0..=9999;

/// A moment, which may be as long as a day or a month: from `since_us` on, before `before_us`, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) since_us: i64,
    pub(super) before_us: i64,
    /// Whether it is an instant as it was written.
    pub(super) is_instant: bool,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Moment {
    /// Reads a moment.
    pub(super) fn read(text: &str, now: DateTime<Utc>) -> Option<Self> {
        if let Some(micros) = instant_us(text) {
            return Some(Self::instant(micros));
        }
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Self::whole(date.and_time(NaiveTime::MIN).and_utc(), Unit::Day);
        }
        Self::relative(text.strip_prefix("now")?, now)
    }

    /// Whether a text is `now`, with or without steps.
    pub(super) fn is_relative(text: &str, now: DateTime<Utc>) -> bool {
        text.strip_prefix("now")
            .is_some_and(|steps| Self::relative(steps, now).is_some())
    }

    fn instant(micros: i64) -> Self {
        Self {
            since_us: micros,
            before_us: micros.saturating_add(1),
            is_instant: true,
        }
    }

    fn whole(start: DateTime<Utc>, unit: Unit) -> Option<Self> {
        if !YEARS.contains(&start.year()) {
            return None;
        }
        Some(Self {
            since_us: start.timestamp_micros(),
            before_us: unit.step(start, 1)?.timestamp_micros(),
            is_instant: false,
        })
    }

    /// Reads what follows `now`: `-1d`, `/d`, one after the other.
    fn relative(mut steps: &str, now: DateTime<Utc>) -> Option<Self> {
        let mut time = now;
        let mut rounded = None;
        for _ in 0..MAX_STEPS {
            let Some(sign) = steps.chars().next() else {
                break;
            };
            steps = &steps[sign.len_utf8()..];
            let n_digits = steps.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, rest) = steps.split_at(n_digits);
            let unit = Unit::of(rest.chars().next()?)?;
            steps = &rest[1..];
            match (sign, digits) {
                ('/', "") => {
                    time = unit.start(time)?;
                    rounded = Some(unit);
                }
                ('+', digits) => time = unit.step(time, digits.parse().ok()?)?,
                ('-', digits) => time = unit.step(time, -digits.parse::<i64>().ok()?)?,
                _ => return None,
            }
            if sign != '/' {
                rounded = None;
            }
        }
        if !steps.is_empty() || !YEARS.contains(&time.year()) {
            return None;
        }
        match rounded {
            Some(unit) => Self::whole(time, unit),
            None => Some(Self::instant(time.timestamp_micros())),
        }
    }
}

impl Unit {
    fn of(letter: char) -> Option<Self> {
        Some(match letter {
            's' => Self::Second,
            'm' => Self::Minute,
            'h' | 'H' => Self::Hour,
            'd' => Self::Day,
            'w' => Self::Week,
            'M' => Self::Month,
            'y' => Self::Year,
            _ => return None,
        })
    }

    /// The time that is `n` units later.
    fn step(self, time: DateTime<Utc>, n: i64) -> Option<DateTime<Utc>> {
        let months = |n: i64| {
            let months = Months::new(u32::try_from(n.unsigned_abs()).ok()?);
            match n < 0 {
                true => time.checked_sub_months(months),
                false => time.checked_add_months(months),
            }
        };
        let days = |n: i64| match n < 0 {
            true => time.checked_sub_days(Days::new(n.unsigned_abs())),
            false => time.checked_add_days(Days::new(n.unsigned_abs())),
        };
        let seconds = |n: i64| time.checked_add_signed(TimeDelta::try_seconds(n)?);
        match self {
            Self::Second => seconds(n),
            Self::Minute => seconds(n.checked_mul(60)?),
            Self::Hour => seconds(n.checked_mul(3_600)?),
            Self::Day => days(n),
            Self::Week => days(n.checked_mul(7)?),
            Self::Month => months(n),
            Self::Year => months(n.checked_mul(12)?),
        }
    }

    /// The beginning of the unit that a time is in. Weeks begin on Monday.
    fn start(self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let second = time.with_nanosecond(0)?;
        let date = time.date_naive();
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc();
        Some(match self {
            Self::Second => second,
            Self::Minute => second.with_second(0)?,
            Self::Hour => second.with_second(0)?.with_minute(0)?,
            Self::Day => midnight(date),
            Self::Week => {
                let since_monday = u64::from(date.weekday().num_days_from_monday());
                midnight(date.checked_sub_days(Days::new(since_monday))?)
            }
            Self::Month => midnight(date.with_day(1)?),
            Self::Year => midnight(date.with_day(1)?.with_month(1)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;
    use crate::position::rfc3339;

    #[test]
    fn moments_are_times_dates_and_steps_from_now() {
        // A Thursday.
        let now = from_micros(instant_us("2026-08-06T15:30:45.5Z").unwrap());
        let check = |text, expect: Option<&str>| {
            let found = Moment::read(text, now).map(|moment| {
                let since = rfc3339(from_micros(moment.since_us));
                match moment.is_instant {
                    true => since,
                    false => format!("{since} to {}", rfc3339(from_micros(moment.before_us))),
                }
            });
            assert_eq!(found.as_deref(), expect, "{text}");
        };
        check("2026-08-03T10:00:00+02:00", Some("2026-08-03T08:00:00Z"));
        check(
            "2026-08-03",
            Some("2026-08-03T00:00:00Z to 2026-08-04T00:00:00Z"),
        );
        check("now", Some("2026-08-06T15:30:45.500Z"));
        check("now-7d", Some("2026-07-30T15:30:45.500Z"));
        check("now+90m", Some("2026-08-06T17:00:45.500Z"));
        check(
            "now/d",
            Some("2026-08-06T00:00:00Z to 2026-08-07T00:00:00Z"),
        );
        check(
            "now-1d/d",
            Some("2026-08-05T00:00:00Z to 2026-08-06T00:00:00Z"),
        );
        check(
            "now/w",
            Some("2026-08-03T00:00:00Z to 2026-08-10T00:00:00Z"),
        );
        check(
            "now/M",
            Some("2026-08-01T00:00:00Z to 2026-09-01T00:00:00Z"),
        );
        check(
            "now-1y/y",
            Some("2025-01-01T00:00:00Z to 2026-01-01T00:00:00Z"),
        );
        check(
            "now/h",
            Some("2026-08-06T15:00:00Z to 2026-08-06T16:00:00Z"),
        );
        check("now/d+6h", Some("2026-08-06T06:00:00Z"));
        check("now-", None);
        check("now-d", None);
        check("now-1", None);
        check("now-1x", None);
        check("now-99999999999999999999d", None);
        check("now-9999999999y", None);
        check("now-9999y", None);
        check("now*1d", None);
        check("nowé", None);
        check("now-1é", None);
        check("yesterday", None);
        check("2026-13-01", None);
        check("", None);
    }
}
