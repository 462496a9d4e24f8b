//! Moments as people write them in a question: a time, a date, `now` with steps and rounding, or a span before now.
//!
//! Dates, rounding, and steps of days and more follow the calendar of the question's time zone. Other spans are plain
//! lengths of time.

use chrono::{
    DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset,
    TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

use crate::field::instant_us;
use crate::span;

/// The most steps after `now`.
const MAX_STEPS: usize = 8;

/// The years that RFC 3339 can say.
const YEARS: std::ops::RangeInclusive<i32> = 0..=9999;

/// How long before a skipped time the zone's offset is read: longer than any clock was ever put forward by.
const BEFORE_SKIP: TimeDelta = TimeDelta::hours(40);

/// When a question is asked, and in which time zone its dates are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// What `now` is.
    pub now: DateTime<Utc>,
    /// The time zone of dates, of rounding, and of steps of days and more.
    pub zone: Tz,
}

impl From<DateTime<Utc>> for When {
    /// At that time, with dates in UTC.
    fn from(now: DateTime<Utc>) -> Self {
        Self { now, zone: Tz::UTC }
    }
}

/// The time that a text names: RFC 3339, a date, a month or a year (its beginning), `now-7d`, `now/d` (its beginning), or a span before now.
///
/// # Errors
/// A message for a person, when it names none.
pub fn read_time(text: &str, when: impl Into<When>) -> Result<DateTime<Utc>, String> {
    Moment::read(text, when.into())
        .and_then(|moment| DateTime::from_timestamp_micros(moment.since_us))
        .ok_or_else(|| {
            format!(
                "{} is no time: write `2026-08-03`, `2026-08-03T08:00:00Z`, `now-7d`, `now/d`, or a span before now such as `7d`",
                crate::wording::quoted(text)
            )
        })
}

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
enum TimeUnit {
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
    pub(super) fn read(text: &str, when: When) -> Option<Self> {
        if let Some(micros) = instant_us(text) {
            return Some(Self::instant(micros));
        }
        if let Ok(date) = text.parse::<NaiveDate>() {
            let midnight = |date: NaiveDate| resolved(date.and_time(NaiveTime::MIN), when.zone);
            return Self::between(midnight(date)?, midnight(date.succ_opt()?)?);
        }
        if let Some((first, unit)) = month_or_year(text) {
            return Self::whole(
                resolved(first.and_time(NaiveTime::MIN), when.zone)?,
                unit,
                when.zone,
            );
        }
        if let Some(steps) = text.strip_prefix("now") {
            return Self::relative(steps, when);
        }
        let time = when.now.checked_sub_signed(span::parse(text).ok()?)?;
        YEARS
            .contains(&time.year())
            .then(|| Self::instant(time.timestamp_micros()))
    }

    /// Whether a text is `now`, with or without steps.
    pub(super) fn is_relative(text: &str, when: When) -> bool {
        text.strip_prefix("now")
            .is_some_and(|steps| Self::relative(steps, when).is_some())
    }

    fn instant(micros: i64) -> Self {
        Self {
            since_us: micros,
            before_us: micros.saturating_add(1),
            is_instant: true,
        }
    }

    fn between(start: DateTime<Utc>, end: DateTime<Utc>) -> Option<Self> {
        YEARS.contains(&start.year()).then(|| Self {
            since_us: start.timestamp_micros(),
            before_us: end.timestamp_micros(),
            is_instant: false,
        })
    }

    /// The whole unit that begins at `start`. Where its midnight is skipped, it ends at the next one all the same.
    fn whole(start: DateTime<Utc>, unit: TimeUnit, zone: Tz) -> Option<Self> {
        let next = unit.step(start, 1, zone)?;
        let end = match unit {
            TimeUnit::Second | TimeUnit::Minute | TimeUnit::Hour => next,
            TimeUnit::Day | TimeUnit::Week | TimeUnit::Month | TimeUnit::Year => {
                unit.start(next, zone)?
            }
        };
        Self::between(start, end)
    }

    /// Reads what follows `now`: `-1d`, `/d`, one after the other.
    fn relative(mut steps: &str, when: When) -> Option<Self> {
        let When { now, zone } = when;
        let mut time = now;
        let mut rounded = None;
        for _ in 0..MAX_STEPS {
            let Some(sign) = steps.chars().next() else {
                break;
            };
            steps = &steps[sign.len_utf8()..];
            let n_digits = steps.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, rest) = steps.split_at(n_digits);
            let unit = TimeUnit::of(rest.chars().next()?)?;
            steps = &rest[1..];
            match (sign, digits) {
                ('/', "") => {
                    time = unit.start(time, zone)?;
                    rounded = Some(unit);
                }
                ('+', digits) => time = unit.step(time, digits.parse().ok()?, zone)?,
                ('-', digits) => time = unit.step(time, -digits.parse::<i64>().ok()?, zone)?,
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
            Some(unit) => Self::whole(time, unit, zone),
            None => Some(Self::instant(time.timestamp_micros())),
        }
    }
}

/// The first day of `2026-08` or `2026`, and which of the two it is.
fn month_or_year(text: &str) -> Option<(NaiveDate, TimeUnit)> {
    let is_number = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    let (year, month, unit) = match text.split_once('-') {
        Some((year, month)) if is_number(month, 2) => (year, month.parse().ok()?, TimeUnit::Month),
        Some(_) => return None,
        None => (text, 1, TimeUnit::Year),
    };
    let year = is_number(year, 4).then(|| year.parse().ok())??;
    Some((NaiveDate::from_ymd_opt(year, month, 1)?, unit))
}

impl TimeUnit {
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
    fn step(self, time: DateTime<Utc>, n: i64, zone: Tz) -> Option<DateTime<Utc>> {
        let local = local(time, zone)?;
        let months = |n: i64| {
            let months = Months::new(u32::try_from(n.unsigned_abs()).ok()?);
            let there = if n < 0 {
                local.checked_sub_months(months)
            } else {
                local.checked_add_months(months)
            };
            resolved(there?, zone)
        };
        let days = |n: i64| {
            let there = if n < 0 {
                local.checked_sub_days(Days::new(n.unsigned_abs()))
            } else {
                local.checked_add_days(Days::new(n.unsigned_abs()))
            };
            resolved(there?, zone)
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
    fn start(self, time: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let local = local(time, zone)?;
        let date = local.date();
        // Within a day the time goes back by what the clock shows, so that an hour that is shown twice stays itself.
        let back = |nanoseconds: u32, seconds: u32| {
            let over =
                TimeDelta::seconds(seconds.into()) + TimeDelta::nanoseconds(nanoseconds.into());
            time.checked_sub_signed(over)
        };
        let (nanosecond, second) = (local.nanosecond() % 1_000_000_000, local.second());
        let midnight = |date: NaiveDate| resolved(date.and_time(NaiveTime::MIN), zone);
        match self {
            Self::Second => back(nanosecond, 0),
            Self::Minute => back(nanosecond, second),
            Self::Hour => back(nanosecond, local.minute() * 60 + second),
            Self::Day => midnight(date),
            Self::Week => {
                let since_monday = u64::from(date.weekday().num_days_from_monday());
                midnight(date.checked_sub_days(Days::new(since_monday))?)
            }
            Self::Month => midnight(date.with_day(1)?),
            Self::Year => midnight(date.with_day(1)?.with_month(1)?),
        }
    }
}

/// What the zone's clocks show at a time.
fn local(time: DateTime<Utc>, zone: Tz) -> Option<NaiveDateTime> {
    let offset = zone.offset_from_utc_datetime(&time.naive_utc()).fix();
    time.naive_utc().checked_add_offset(offset)
}

/// The time at which the zone's clocks show this: the first, if they show it twice; if they skip it, the time that it would
/// have been, which for the first moment skipped is the moment of the skip.
fn resolved(shown: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&shown) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.to_utc()),
        LocalResult::None => {
            let before = shown.checked_sub_signed(BEFORE_SKIP)?;
            let offset = zone.offset_from_utc_datetime(&before).fix();
            Some(shown.checked_sub_offset(offset)?.and_utc())
        }
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
            let found = Moment::read(text, now.into()).map(|moment| {
                let since = rfc3339(from_micros(moment.since_us));
                if moment.is_instant {
                    since
                } else {
                    format!("{since} to {}", rfc3339(from_micros(moment.before_us)))
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
        check("7d", Some("2026-07-30T15:30:45.500Z"));
        check("90s", Some("2026-08-06T15:29:15.500Z"));
        check("-7d", None);
        check("7w", None);
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

    #[test]
    fn dates_and_rounding_are_of_the_zone() {
        let check = |zone: &str, now: &str, text: &str, expect: &str| {
            let when = When {
                now: from_micros(instant_us(now).unwrap()),
                zone: zone.parse().unwrap(),
            };
            let moment = Moment::read(text, when).unwrap();
            let time = |micros| rfc3339(from_micros(micros));
            let found = format!("{} to {}", time(moment.since_us), time(moment.before_us));
            assert_eq!(found, expect, "{text} in {zone}");
        };
        let berlin = "Europe/Berlin";
        let spring = "2026-03-29T10:15:00Z";
        let day = "2026-03-28T23:00:00Z to 2026-03-29T22:00:00Z";
        check(berlin, spring, "2026-03-29", day);
        check(berlin, spring, "now/d", day);
        check(
            berlin,
            spring,
            "now-1d/d",
            "2026-03-27T23:00:00Z to 2026-03-28T23:00:00Z",
        );
        // The hour that is shown twice in autumn: the second of the two.
        check(
            berlin,
            "2026-10-25T01:30:00Z",
            "now/h",
            "2026-10-25T01:00:00Z to 2026-10-25T02:00:00Z",
        );
        // Midnight does not exist on that day.
        check(
            "America/Sao_Paulo",
            spring,
            "2018-11-04",
            "2018-11-04T03:00:00Z to 2018-11-05T02:00:00Z",
        );
        // The whole day does not exist.
        check(
            "Pacific/Apia",
            spring,
            "2011-12-30",
            "2011-12-30T10:00:00Z to 2011-12-30T10:00:00Z",
        );
        check(
            "Asia/Kathmandu",
            spring,
            "now/h",
            "2026-03-29T10:15:00Z to 2026-03-29T11:15:00Z",
        );
    }
}
