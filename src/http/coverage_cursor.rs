//! Where a page of `/v1/coverage` begins.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike as _, Utc};
use uuid::Uuid;

use super::problem::Problem;
use crate::coverage::{Asked, Start};
use crate::search::Fingerprint;

/// The years that RFC 3339 can write.
const YEARS: RangeInclusive<i32> = 0..=9999;

/// Where the next page begins. It is good for the same parameters and the same log.
pub(super) struct PageCursor {
    pub(super) start: Start,
    /// When the first page was requested.
    pub(super) now: DateTime<Utc>,
}

/// The parts of a cursor: the log, the parameters' fingerprint, when the first page was requested, the source, the moment.
type CursorParts = (Uuid, String, i64, String, Option<i64>);

impl PageCursor {
    pub(super) fn write(&self, asked: &Asked, log_id: Uuid) -> Result<String, serde_json::Error> {
        let parts: CursorParts = (
            log_id,
            fingerprint(asked),
            self.now.timestamp_micros(),
            self.start.source.to_string(),
            self.start.since.map(|since| since.timestamp_micros()),
        );
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&parts)?))
    }

    pub(super) fn read(cursor: &str, asked: &Asked, log_id: Uuid) -> Result<Self, Problem> {
        let (now_us, source, since_us) = read_cursor(cursor, asked, log_id)?;
        let moment = |micros| moment(micros).ok_or_else(unreadable);
        Ok(Self {
            now: moment(now_us)?,
            start: Start {
                source: source.parse().map_err(|_| unreadable())?,
                since: since_us.map(moment).transpose()?,
            },
        })
    }
}

/// Where the next page of what is proven of all sources together begins.
pub(super) struct MergedCursor {
    pub(super) since: DateTime<Utc>,
    /// When the first page was requested.
    pub(super) now: DateTime<Utc>,
}

impl MergedCursor {
    /// What stands in the place of a source.
    const ALL: &str = "merged";

    pub(super) fn write(&self, asked: &Asked, log_id: Uuid) -> Result<String, serde_json::Error> {
        let parts: CursorParts = (
            log_id,
            fingerprint(asked),
            self.now.timestamp_micros(),
            Self::ALL.to_owned(),
            Some(self.since.timestamp_micros()),
        );
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&parts)?))
    }

    /// The moment that a cursor says.
    pub(super) fn read(
        cursor: &str,
        asked: &Asked,
        log_id: Uuid,
    ) -> Result<DateTime<Utc>, Problem> {
        let (_, all, since_us) = read_cursor(cursor, asked, log_id)?;
        let since = since_us.and_then(moment);
        since.filter(|_| all == Self::ALL).ok_or_else(unreadable)
    }
}

fn bad_cursor(message: &str) -> Problem {
    Problem::parameter("cursor", message)
}

fn unreadable() -> Problem {
    bad_cursor("this is no cursor of `/v1/coverage`: take `next_cursor` as it is, or leave it out")
}

/// The last three parts of a cursor for the same parameters and the same log.
fn read_cursor(
    cursor: &str,
    asked: &Asked,
    log_id: Uuid,
) -> Result<(i64, String, Option<i64>), Problem> {
    let parts = URL_SAFE_NO_PAD.decode(cursor).ok();
    let parts: Option<CursorParts> = parts.and_then(|parts| serde_json::from_slice(&parts).ok());
    let parts = parts.filter(|(_, _, now_us, ..)| moment(*now_us).is_some());
    let (id, print, now_us, source, since_us) = parts.ok_or_else(unreadable)?;
    if id != log_id {
        return Err(bad_cursor(
            "this cursor is of another log: start from the first page",
        ));
    }
    if print != fingerprint(asked) {
        return Err(bad_cursor(
            "this cursor belongs to other parameters: repeat them as they were",
        ));
    }
    Ok((now_us, source, since_us))
}

/// Tells the parameters of one request from those of another.
fn fingerprint(asked: &Asked) -> String {
    let moment = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros());
    let print = Fingerprint::default()
        .number(moment(asked.since))
        .number(moment(asked.before))
        .texts(asked.sources.iter())
        .finish();
    URL_SAFE_NO_PAD.encode(print)
}

/// When the first page was requested, as a cursor says; `None` for what is no cursor.
pub(super) fn asked_at(cursor: &str) -> Option<DateTime<Utc>> {
    let parts = URL_SAFE_NO_PAD.decode(cursor.as_bytes()).ok()?;
    let (_, _, now_us, ..): CursorParts = serde_json::from_slice(&parts).ok()?;
    moment(now_us)
}

/// A moment of the years in which windows are. A cursor can be forged: with others, sums would overflow.
fn moment(micros: i64) -> Option<DateTime<Utc>> {
    let moment = DateTime::from_timestamp_micros(micros)?;
    YEARS.contains(&moment.year()).then_some(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_with_an_impossible_moment_is_refused() {
        let asked = Asked::default();
        let cursor = |now_us: i64, since_us: i64| {
            let parts: CursorParts = (
                Uuid::nil(),
                fingerprint(&asked),
                now_us,
                MergedCursor::ALL.to_owned(),
                Some(since_us),
            );
            URL_SAFE_NO_PAD.encode(serde_json::to_vec(&parts).unwrap())
        };
        let read = |now_us, since_us| {
            let cursor = cursor(now_us, since_us);
            MergedCursor::read(&cursor, &asked, Uuid::nil()).is_ok()
        };
        assert!(read(1, 2));
        for wrong in [
            i64::MIN,
            i64::MAX,
            DateTime::<Utc>::MAX_UTC.timestamp_micros(),
            -62_167_219_200_000_001,
        ] {
            assert!(!read(1, wrong), "{wrong}");
            assert!(!read(wrong, 1), "{wrong}");
            assert_eq!(asked_at(&cursor(wrong, 1)), None, "{wrong}");
        }
    }
}
