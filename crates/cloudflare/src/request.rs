//! The parameters of a request for a page: names, limits, and the spellings of their values.
//!
//! A client writes a [`LogRequest`]; a server reads each value by the functions here. Filters are in [`crate::filter`].

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};

use crate::paging::Cursor;
use crate::parameters::{self, Parameters};

/// Where the API begins on its host.
pub const BASE_PATH: &str = "/client/v4";

/// The begin of the time that is asked for; required.
pub const SINCE: &str = "since";
/// The end of the time that is asked for; required.
pub const BEFORE: &str = "before";
/// The order of entries.
pub const DIRECTION: &str = "direction";
/// The most entries of a page.
pub const LIMIT: &str = "limit";
/// The cursor of the page before.
pub const CURSOR: &str = "cursor";
/// The time of an entry whose history is asked for; required there.
pub const ACTION_TIME: &str = "action_time";
/// The most items of a page of a list.
pub const PAGE_SIZE: &str = "page_size";
/// The token of the page before, in a list.
pub const PAGE_TOKEN: &str = "page_token";

/// The entries on a page when the request has no `limit`.
pub const DEFAULT_LIMIT: usize = 100;
/// The largest `limit`.
pub const MAX_LIMIT: usize = 1_000;
/// The items on a page of a list when the request has no `page_size`.
pub const DEFAULT_PAGE_SIZE: usize = 10;
/// The largest `page_size`.
pub const MAX_PAGE_SIZE: usize = 1_000;

/// The order of entries on pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Ascending,
    /// Newest first.
    #[default]
    Descending,
}

impl Direction {
    /// As the parameter has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }

    /// The direction of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let all = [Self::Ascending, Self::Descending];
        all.into_iter().find(|direction| direction.as_str() == name)
    }
}

/// A request for a page of an audit log, without filters.
#[derive(Clone, Copy, Debug)]
pub struct LogRequest<'a> {
    /// Entries newer than this. Whether one of this very moment is among them is not known.
    pub since: DateTime<Utc>,
    /// Entries older than this; the same holds.
    pub before: DateTime<Utc>,
    /// The order.
    pub direction: Direction,
    /// The most entries.
    pub limit: u32,
    /// Where the page before said that this one begins. The rest of the request must be as it was then.
    pub cursor: Option<&'a Cursor>,
}

impl<'a> LogRequest<'a> {
    /// The names and values of the request's parameters.
    pub fn parameters(self) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
        let cursor = self.cursor.map(|Cursor(text)| (CURSOR, text.into()));
        let rest = [
            (SINCE, moment_text(self.since).into()),
            (BEFORE, moment_text(self.before).into()),
            (DIRECTION, self.direction.as_str().into()),
            (LIMIT, self.limit.to_string().into()),
        ];
        rest.into_iter().chain(cursor)
    }
}

fn moment_text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Reads `since`, `before` or `action_time`: a date, which means its midnight in UTC, or an RFC 3339 time.
#[must_use]
pub fn read_moment(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    let moment = DateTime::parse_from_rfc3339(text).ok()?;
    Some(moment.with_timezone(&Utc))
}

/// Reads `limit`: from 1 to [`MAX_LIMIT`]. Official clients send numbers as they have them, `50.0` among them.
#[must_use]
pub fn read_limit(text: &str) -> Option<usize> {
    let limit = text.parse::<f64>().ok()?;
    let is_allowed = limit.fract() == 0.0 && (1.0..=MAX_LIMIT as f64).contains(&limit);
    is_allowed.then_some(limit as usize)
}

/// A moment that must be given: a date, which means its midnight in UTC, or a time with its offset.
///
/// # Errors
/// Says that it is missing, or what it must be.
pub fn required_moment(
    parameters: &Parameters,
    name: &'static str,
) -> Result<DateTime<Utc>, String> {
    let text = parameters::last(parameters, name).ok_or_else(|| format!("{name} is required"))?;
    read_moment(text)
        .ok_or_else(|| format!("{name} must be a date (yyyy-mm-dd) or an RFC 3339 time"))
}

/// A request for a page of an audit log as a server reads it, without filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogQuery<'a> {
    /// The begin of the time that is asked for.
    pub since: DateTime<Utc>,
    /// Its end, which is later.
    pub before: DateTime<Utc>,
    /// The order.
    pub direction: Direction,
    /// The most entries.
    pub limit: usize,
    /// The text that came with the page before.
    pub cursor: Option<&'a str>,
}

impl<'a> LogQuery<'a> {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Says which one is missing or wrong.
    pub fn read(parameters: &'a Parameters) -> Result<Self, String> {
        let given = |name: &str| parameters::last(parameters, name);
        let since = required_moment(parameters, SINCE)?;
        let before = required_moment(parameters, BEFORE)?;
        if since >= before {
            return Err("since must be earlier than before".to_owned());
        }
        let direction = given(DIRECTION).map_or(Some(Direction::default()), Direction::by_name);
        let limit = given(LIMIT).map_or(Some(DEFAULT_LIMIT), read_limit);
        Ok(Self {
            since,
            before,
            direction: direction.ok_or("direction must be one of: desc, asc")?,
            limit: limit.ok_or_else(|| format!("limit must be a number from 1 to {MAX_LIMIT}"))?,
            cursor: given(CURSOR),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let cursor = Cursor("a=".to_owned());
        let request = LogRequest {
            since: "2026-08-03T08:00:00Z".parse().unwrap(),
            before: "2026-08-03T09:00:00.25Z".parse().unwrap(),
            direction: Direction::Ascending,
            limit: 1_000,
            cursor: Some(&cursor),
        };
        let written: Vec<_> = request.parameters().collect();
        let of = |name: &str| {
            let found = written.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| &**value).unwrap()
        };
        assert_eq!(of(SINCE), "2026-08-03T08:00:00Z");
        assert_eq!(read_moment(of(SINCE)), Some(request.since));
        assert_eq!(read_moment(of(BEFORE)), Some(request.before));
        assert_eq!(Direction::by_name(of(DIRECTION)), Some(request.direction));
        assert_eq!(read_limit(of(LIMIT)), Some(1_000));
        assert_eq!(of(CURSOR), "a=");
        let written: Vec<(String, String)> = written
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_string()))
            .collect();
        let read = LogQuery::read(&written).unwrap();
        assert_eq!((read.since, read.before), (request.since, request.before));
        assert_eq!((read.limit, read.cursor), (1_000, Some("a=")));
    }

    #[test]
    fn a_request_that_makes_no_sense_is_refused_with_the_parameter() {
        for (query, wanted) in [
            ("before=2026-08-04", "since is required"),
            ("since=2026-08-03", "before is required"),
            ("since=x&before=2026-08-04", "since must be a date"),
            (
                "since=2026-08-04&before=2026-08-04",
                "since must be earlier",
            ),
            (
                "since=2026-08-03&before=2026-08-04&direction=up",
                "direction",
            ),
            ("since=2026-08-03&before=2026-08-04&limit=0", "limit"),
        ] {
            let parameters = parameters::parse(Some(query)).unwrap();
            let error = LogQuery::read(&parameters).unwrap_err();
            assert!(error.starts_with(wanted), "{query}: {error}");
        }
    }

    #[test]
    fn values_have_several_spellings_and_limits() {
        let midnight = "2026-08-03T00:00:00Z".parse().ok();
        assert_eq!(read_moment("2026-08-03"), midnight);
        assert_eq!(read_moment("2026-08-03T02:00:00+02:00"), midnight);
        assert_eq!(read_moment("yesterday"), None);
        assert_eq!(read_limit("50.0"), Some(50));
        for text in ["0", "1001", "1.5", "x", "", "NaN", "inf"] {
            assert_eq!(read_limit(text), None, "{text}");
        }
        assert_eq!(Direction::by_name("down"), None);
    }
}
