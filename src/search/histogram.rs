//! How a question's events are spread over time: equal stretches, aligned to the clocks of a time zone.
//!
//! An edge is a moment at which those clocks show a whole multiple of the interval, counted from a Monday's midnight. Where
//! clocks are put forward or back, the stretch between two edges is shorter or longer than the interval: a day in spring has
//! 23 hours. It does not know where the counts come from.

use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::counting::LabelledValue;
use super::error::SearchError;
use super::main_part::main_part;
use crate::clock::from_micros;
use crate::engine::{Matches, Range};
use crate::position::rfc3339;
use crate::span;
use crate::wording::quoted;

/// The most buckets of one histogram.
pub const MAX_BUCKETS: usize = 10_000;

/// About the most stretches when the interval is chosen here: those at both ends may reach beyond what is asked.
const MAX_AUTO_BUCKETS: i64 = 100;

/// What is chosen from, in seconds: what people read off a clock or a calendar.
const AUTO_SECONDS: [i64; 19] = [
    1,
    5,
    15,
    30,
    60,
    5 * 60,
    15 * 60,
    30 * 60,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    7 * DAY,
    28 * DAY,
    364 * DAY,
    3_640 * DAY,
    18_200 * DAY,
    36_400 * DAY,
];

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// A Monday's midnight, in seconds since 1970.
const MONDAY: i64 = 4 * DAY;

/// The ends of the years that RFC 3339 can write, in microseconds since 1970.
const FIRST_YEAR_US: i64 = -62_167_219_200_000_000;
const LAST_YEAR_US: i64 = 253_402_300_799_999_999;

/// Into which stretches time is cut.
#[derive(Debug, Clone)]
pub struct Scale {
    /// How long a stretch is; `None` to choose.
    interval: Option<TimeDelta>,
    zone: Tz,
    /// The parameter that asked for it, for errors.
    parameter: &'static str,
}

/// How events are spread over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct Histogram {
    /// How long a stretch is: `1h`.
    pub interval: String,
    /// Whose clocks it is aligned to.
    pub tz: String,
    /// By whose values each stretch is split.
    pub by: Option<String>,
    /// These values, in the order of each stretch's `split`.
    pub values: Option<Vec<LabelledValue>>,
    /// The stretches, in order, without a hole.
    pub buckets: Vec<Bucket>,
}

impl Histogram {
    /// One that is not split.
    pub(super) fn new(interval: TimeDelta, scale: &Scale, buckets: Vec<Bucket>) -> Self {
        Self {
            interval: span::format(interval),
            tz: scale.zone.name().to_owned(),
            by: None,
            values: None,
            buckets,
        }
    }
}

/// One stretch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Bucket {
    /// When it begins.
    #[serde(serialize_with = "as_time")]
    #[schema(value_type = String, format = DateTime)]
    pub time: DateTime<Utc>,
    /// The first moment after it; `null` where that is beyond the years that can be written.
    #[serde(serialize_with = "as_optional_time")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub end: Option<DateTime<Utc>>,
    /// How many events are in it.
    pub count: u64,
    /// How many of them have each of the values by which it is split; left out where it is not split.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<u64>, required = false)]
    pub split: Option<Vec<u64>>,
}

impl Bucket {
    /// The stretches between some edges, with as many events as were counted.
    pub(super) fn between(edges: &[i64], counts: &[u64]) -> Vec<Self> {
        let stretches = edges.windows(2).zip(counts);
        let buckets = stretches.map(|(edge, count)| Self {
            time: from_micros(edge[0]),
            end: (edge[1] <= LAST_YEAR_US).then(|| from_micros(edge[1])),
            count: *count,
            split: None,
        });
        buckets.collect()
    }
}

fn as_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

fn as_optional_time<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

/// The time zone of that IANA name: `Europe/Berlin`.
///
/// # Errors
/// A message for a person.
pub fn parse_zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| {
        format!(
            "{} is no time zone: write its IANA name, such as `Europe/Berlin`",
            quoted(name)
        )
    })
}

impl Scale {
    /// Stretches of `interval`, which is `auto` or a span, aligned to the clocks of `zone`; `parameter` is what asked for
    /// them.
    ///
    /// # Errors
    /// A message for a person, when there are no such stretches.
    pub fn parse(interval: &str, zone: Tz, parameter: &'static str) -> Result<Self, String> {
        let interval = match interval {
            "auto" => None,
            text => Some(parse_interval(text)?),
        };
        Ok(Self {
            interval,
            zone,
            parameter,
        })
    }

    /// The interval and the edges for `matches`, which were looked for in `range`: from the range's ends, or from the first and
    /// last of them where it has none. When the interval is chosen here and a few events are very far from all others, it is chosen
    /// for those others, and one stretch reaches to the events far away.
    ///
    /// # Errors
    /// [`SearchError::Counting`] when there would be more than [`MAX_BUCKETS`].
    pub(super) fn fitting(
        &self,
        matches: &Matches,
        range: Range,
    ) -> Result<(TimeDelta, Vec<i64>), SearchError> {
        let extent = matches.extent();
        let part = match (self.interval, extent) {
            (None, Some(extent)) => Some(main_part(matches, extent)),
            (_, extent) => extent,
        };
        let last_in_range = range.before_us.map(|before| before - 1);
        let ends = |extent: Option<(i64, i64)>| {
            let since = range.since_us.or(extent.map(|(oldest, _)| oldest));
            let last = last_in_range.or(extent.map(|(_, newest)| newest));
            since.zip(last).filter(|(since, last)| since <= last)
        };
        let Some((since, last)) = ends(part) else {
            return Ok((self.interval.unwrap_or(TimeDelta::days(1)), Vec::new()));
        };
        let (interval, mut edges) = self.edges(since, last)?;
        let (oldest, newest) = ends(extent).unwrap_or((since, last));
        let reaching_to = |time| -> Result<Vec<i64>, SearchError> {
            let scale = Self {
                interval: Some(interval),
                ..self.clone()
            };
            Ok(scale.edges(time, time)?.1)
        };
        if oldest < since {
            let begin = reaching_to(oldest)?.first().copied();
            edges.splice(..0, begin.filter(|begin| *begin < edges[0]));
        }
        if newest > last {
            let end = reaching_to(newest)?.last().copied();
            edges.extend(end.filter(|end| edges.last().is_some_and(|last| end > last)));
        }
        Ok((interval, edges))
    }

    /// The interval, and the edges of stretches that hold all from `since` to `last`, in microseconds: one more than there
    /// are stretches.
    fn edges(&self, since: i64, last: i64) -> Result<(TimeDelta, Vec<i64>), SearchError> {
        let (since, last) = (within_calendar(since), within_calendar(last));
        let interval = self.interval.unwrap_or_else(|| chosen(last - since));
        let at_most = i64::try_from(MAX_BUCKETS).unwrap_or(i64::MAX);
        if (last - since).num_seconds() / interval.num_seconds() >= at_most {
            return Err(SearchError::Counting {
                parameter: self.parameter,
                message: format!(
                    "from {} to {} there are more than {MAX_BUCKETS} buckets of {}: write a longer one, or `auto`",
                    rfc3339(since),
                    rfc3339(last),
                    span::format(interval)
                ),
            });
        }
        // From before the beginning, so that the first edge that counts is found as every other is.
        let mut edge = since - interval * 2;
        let mut edges = Vec::new();
        while edge <= last {
            edge = next_edge(edge, interval, self.zone);
            if edge <= since {
                edges.clear();
            }
            edges.push(edge.timestamp_micros());
        }
        if let Some(first) = edges.first_mut() {
            // The stretch of the first moments begins before the years that can be written.
            *first = FIRST_YEAR_US.max(*first);
        }
        Ok((interval, edges))
    }
}

/// The moment, or the nearest one that an entry can tell of: adding to it is then safe.
fn within_calendar(micros: i64) -> DateTime<Utc> {
    from_micros(micros.clamp(FIRST_YEAR_US, LAST_YEAR_US))
}

fn parse_interval(text: &str) -> Result<TimeDelta, String> {
    let interval = span::parse(text).map_err(|error| format!("{}: {error}", quoted(text)))?;
    let seconds = interval.num_seconds();
    let is_whole = seconds > 0 && interval == TimeDelta::seconds(seconds);
    if is_whole && (DAY % seconds == 0 || seconds % DAY == 0) {
        Ok(interval)
    } else {
        Err(format!(
            "{} neither divides a day nor is made of whole days: write `auto`, or such as `1m`, `1h`, `6h`, `1d` or `7d`",
            quoted(text)
        ))
    }
}

/// The shortest interval that cuts a stretch of time into few enough.
fn chosen(stretch: TimeDelta) -> TimeDelta {
    let fits = |seconds: &i64| stretch.num_seconds() / seconds < MAX_AUTO_BUCKETS;
    let longest = AUTO_SECONDS[AUTO_SECONDS.len() - 1];
    TimeDelta::seconds(AUTO_SECONDS.into_iter().find(fits).unwrap_or(longest))
}

/// The first moment after `time` at which the zone's clocks show a multiple of the interval.
fn next_edge(time: DateTime<Utc>, interval: TimeDelta, zone: Tz) -> DateTime<Utc> {
    let step = interval.num_seconds();
    let over =
        |time: DateTime<Utc>| (time.timestamp() + offset_at(time, zone) - MONDAY).rem_euclid(step);
    let whole = from_micros(time.timestamp() * 1_000_000);
    let next = whole + TimeDelta::seconds(step - over(whole));
    // Where clocks were changed on the way, they show something else by then: as much more or less as they were changed by.
    let changed = offset_at(time, zone) - offset_at(next, zone);
    let corrected = next + TimeDelta::seconds(changed);
    if over(next) != 0 && over(corrected) == 0 && corrected > time {
        corrected
    } else {
        // Either they do show a multiple, or they skip it, and this is the moment they skip it at.
        next
    }
}

fn offset_at(time: DateTime<Utc>, zone: Tz) -> i64 {
    let offset = zone.offset_from_utc_datetime(&time.naive_utc());
    offset.fix().local_minus_utc().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::query::read_time;

    fn edges(interval: &str, zone: &str, since: &str, last: &str) -> Vec<String> {
        let zone = parse_zone(zone).unwrap();
        let scale = Scale::parse(interval, zone, "interval").unwrap();
        let micros = |text| {
            let time = read_time(text, DateTime::UNIX_EPOCH).unwrap();
            time.timestamp_micros()
        };
        let (_, edges) = scale.edges(micros(since), micros(last)).unwrap();
        edges
            .into_iter()
            .map(|edge| from_micros(edge).with_timezone(&zone).to_rfc3339())
            .collect()
    }

    #[test]
    fn days_begin_at_local_midnights_whatever_the_clocks_do() {
        insta::assert_debug_snapshot!([
            edges("1d", "UTC", "2026-03-28T05:00:00Z", "2026-03-29T05:00:00Z"),
            // Put forward on the 29th.
            edges(
                "1d",
                "Europe/Berlin",
                "2026-03-28T05:00:00Z",
                "2026-03-30T05:00:00Z"
            ),
            edges(
                "6h",
                "Europe/Berlin",
                "2026-03-28T23:00:00Z",
                "2026-03-29T10:00:00Z"
            ),
            // Put back on the 25th: one hour twice.
            edges(
                "1d",
                "Europe/Berlin",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z"
            ),
            edges(
                "1h",
                "Europe/Berlin",
                "2026-10-25T00:00:00Z",
                "2026-10-25T01:30:00Z"
            ),
            // Midnight did not exist.
            edges(
                "1d",
                "America/Sao_Paulo",
                "2018-11-03T12:00:00Z",
                "2018-11-05T12:00:00Z"
            ),
            // A whole day did not exist.
            edges(
                "1d",
                "Pacific/Apia",
                "2011-12-29T12:00:00Z",
                "2011-12-31T12:00:00Z"
            ),
            // Half an hour.
            edges(
                "1h",
                "Australia/Lord_Howe",
                "2026-10-03T14:30:00Z",
                "2026-10-03T17:00:00Z"
            ),
            edges(
                "7d",
                "Asia/Kathmandu",
                "2026-11-25T00:00:00Z",
                "2026-11-25T00:00:00Z"
            ),
        ]);
    }

    #[test]
    fn intervals_that_do_not_fit_a_day_are_refused() {
        for text in ["0s", "7h", "36h", "500ms", "1500ms", "25m", "1w", ""] {
            assert!(Scale::parse(text, Tz::UTC, "interval").is_err(), "{text}");
        }
        for text in ["auto", "1s", "90m", "8h", "1d", "30d", "24h"] {
            assert!(Scale::parse(text, Tz::UTC, "interval").is_ok(), "{text}");
        }
    }

    #[test]
    fn no_bucket_begins_before_the_years_that_can_be_written() {
        for interval in ["auto", "1h", "1d", "30d"] {
            let scale = Scale::parse(interval, Tz::UTC, "interval").unwrap();
            for since in [FIRST_YEAR_US, FIRST_YEAR_US + 1, i64::MIN] {
                let last = match interval {
                    "auto" => LAST_YEAR_US,
                    _ => FIRST_YEAR_US + 1_000_000,
                };
                let (_, edges) = scale.edges(since, last).unwrap();
                assert_eq!(edges[0], FIRST_YEAR_US, "{interval} since {since}");
                assert!(edges[1] > FIRST_YEAR_US, "{interval} since {since}");
            }
        }
    }

    proptest! {
        #[test]
        fn edges_go_up_and_hold_everything(
            since in -62_167_219_200_i64..253_402_300_799,
            span in 0..40_000_000_000_i64,
            interval in prop::sample::select(vec!["auto", "1m", "1h", "12h", "1d", "7d"]),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "Africa/Casablanca", "Pacific/Apia"]),
        ) {
            let scale = Scale::parse(interval, zone.parse().unwrap(), "interval").unwrap();
            let last = (since + span).min(253_402_300_799);
            if let Ok((_, edges)) = scale.edges(since * 1_000_000, last * 1_000_000 + 999_999) {
                prop_assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(edges[0] <= since * 1_000_000 && edges[1] > since * 1_000_000);
                let end = edges[edges.len() - 1];
                prop_assert!(end > last * 1_000_000 + 999_999);
                prop_assert!(edges[edges.len() - 2] <= last * 1_000_000 + 999_999);
                prop_assert!(edges.len() <= MAX_BUCKETS + 4, "{}", edges.len());
            } else {
                prop_assert_ne!(interval, "auto");
            }
        }
    }
}
