//! What coverage claims of each day of each source, as leaves of the second transparency log.
//!
//! A statement is added again when it changes: for a day that is complete at once, for others after a while, because the claims about
//! the present day change with each scan.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::error::AttestError;
use crate::coverage::{self, Asked, Interval, Proof};
use crate::engine::Scope;
use crate::evidence::StatementLeaf;
use crate::position::{Source, rfc3339};
use crate::store::{Day, StatementRow, Store};

/// How many times longer than between checkpoints a changed statement waits about a day that is not complete.
const RESTATED_AFTER_CHECKPOINTS: i32 = 10;

/// The least time that it waits.
const SHORTEST_RESTATED: TimeDelta = TimeDelta::seconds(10);

const DAY_SECONDS: i64 = 86_400;

const COMPLETE: &str = "complete";
const SETTLING: &str = "settling";
/// There are gaps between what is proven.
const PARTIAL: &str = "partial";

/// Adds the statements about all sources that have changed. Says how many there were.
///
/// # Errors
/// What the log says.
pub(super) fn state(
    store: &Store,
    checkpoint_every: TimeDelta,
    now: DateTime<Utc>,
) -> Result<usize, AttestError> {
    let wait = (checkpoint_every * RESTATED_AFTER_CHECKPOINTS).max(SHORTEST_RESTATED);
    let mut added = 0;
    for row in store.sources()? {
        let changed = changed(store, &row.source, wait, now)?;
        if !changed.is_empty() {
            added += changed.len();
            store.add_statements(&row.source.to_string(), &changed, now)?;
        }
    }
    Ok(added)
}

/// The statements about a source that are to be added.
fn changed(
    store: &Store,
    source: &Source,
    wait: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Vec<(Day, Vec<u8>)>, AttestError> {
    let asked = Asked {
        sources: vec![source.clone()],
        ..Asked::default()
    };
    let name = source.to_string();
    let found = coverage::sources(store, None, &Scope::everything(), &asked, now)?;
    let intervals = found.into_iter().flat_map(|found| found.intervals);
    let claims = claims(intervals);
    let entries = store.signed_days(&name)?;
    let lateness = store.lateness(source)?;
    let lateness = lateness.map(|late| late.max.num_seconds().max(0).unsigned_abs());
    let known = store.newest_statements(&name)?;
    let statements = claims.into_iter().map(|(day, claim)| {
        let entries = entries.get(&day).copied().unwrap_or(0);
        (day, claim.statement(&name, entries, lateness))
    });
    let is_due = |day: &Day, new: &StatementLeaf| match known.get(day) {
        None => true,
        Some(old) => says_more(new, old) && (may_be_last(new, old) || now - old.added_at >= wait),
    };
    let due = statements.filter(|(day, new)| is_due(day, new));
    Ok(due.map(|(day, new)| (day, new.to_bytes())).collect())
}

/// Whether a statement says something that the one before it does not. How late entries of the source came is about all of its days, and
/// is no reason to state all of them again; nor is a claim that became weaker because scans were merged.
fn says_more(new: &StatementLeaf, old: &StatementRow) -> bool {
    let Ok(old) = StatementLeaf::parse(&old.leaf) else {
        return true;
    };
    let is_later = new.scanned_at > old.scanned_at;
    let same = StatementLeaf {
        lateness: old.lateness,
        scanned_at: old.scanned_at.clone(),
        ..new.clone()
    };
    is_later || same != old
}

/// Whether a statement is the first that calls its day complete: it may stay the last one.
fn may_be_last(new: &StatementLeaf, old: &StatementRow) -> bool {
    let was = StatementLeaf::parse(&old.leaf).map(|old| old.state);
    new.state == COMPLETE && was.is_ok_and(|was| was != COMPLETE)
}

/// What is claimed of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DayClaim {
    since: DateTime<Utc>,
    before: DateTime<Utc>,
    /// How much of it is proven.
    proven: TimeDelta,
    is_complete: bool,
    scanned_at: DateTime<Utc>,
}

impl DayClaim {
    fn statement(&self, source: &str, entries: u64, lateness: Option<u64>) -> StatementLeaf {
        let state = match (self.proven == self.before - self.since, self.is_complete) {
            (false, _) => PARTIAL,
            (true, true) => COMPLETE,
            (true, false) => SETTLING,
        };
        StatementLeaf {
            before: rfc3339(self.before),
            entries,
            lateness,
            scanned_at: Some(rfc3339(self.scanned_at)),
            since: rfc3339(self.since),
            source: source.to_owned(),
            state: state.to_owned(),
        }
    }

    /// With another proven piece of the same day.
    fn with(self, piece: &Self) -> Self {
        Self {
            since: self.since.min(piece.since),
            before: self.before.max(piece.before),
            proven: self.proven + piece.proven,
            is_complete: self.is_complete && piece.is_complete,
            scanned_at: self.scanned_at.min(piece.scanned_at),
        }
    }
}

/// What is claimed of each day.
fn claims(intervals: impl Iterator<Item = Interval>) -> BTreeMap<Day, DayClaim> {
    let mut claims: BTreeMap<Day, DayClaim> = BTreeMap::new();
    for interval in intervals {
        let times = [&interval.since, &interval.before, &interval.scanned_at];
        let [Some(since), Some(before), Some(scanned_at)] = times.map(|text| time(text)) else {
            continue;
        };
        for day in day_of(since)..=day_of(before - TimeDelta::microseconds(1)) {
            let Some(begins) = DateTime::from_timestamp(day * DAY_SECONDS, 0) else {
                continue;
            };
            let (since, before) = (since.max(begins), before.min(begins + TimeDelta::days(1)));
            let piece = DayClaim {
                since,
                before,
                proven: before - since,
                is_complete: interval.state == Proof::Complete,
                scanned_at,
            };
            let claim = match claims.remove(&day) {
                None => piece,
                Some(claim) => claim.with(&piece),
            };
            claims.insert(day, claim);
        }
    }
    claims
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(time.with_timezone(&Utc))
}

/// The day of a time.
pub(super) fn day_of(time: DateTime<Utc>) -> Day {
    time.timestamp().div_euclid(DAY_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(since: &str, before: &str, state: Proof, scanned_at: &str) -> Interval {
        Interval {
            since: since.to_owned(),
            before: before.to_owned(),
            state,
            scanned_at: scanned_at.to_owned(),
            entries: 3,
            new: 2,
        }
    }

    #[test]
    fn a_day_is_claimed_as_its_weakest_part_is() {
        let all = [
            interval(
                "2026-07-01T12:00:00Z",
                "2026-07-03T06:00:00Z",
                Proof::Complete,
                "2026-07-09T00:00:00Z",
            ),
            interval(
                "2026-07-03T06:00:00Z",
                "2026-07-04T06:00:00Z",
                Proof::Settling,
                "2026-07-08T00:00:00Z",
            ),
            interval(
                "2026-07-04T08:00:00Z",
                "2026-07-05T00:00:00Z",
                Proof::Complete,
                "2026-07-09T00:00:00Z",
            ),
        ];
        let claims = claims(all.into_iter());
        let told: Vec<_> = claims
            .values()
            .map(|claim| claim.statement("accounts/a", 1, None))
            .map(|leaf| {
                (
                    leaf.since,
                    leaf.before,
                    leaf.state,
                    leaf.scanned_at.unwrap(),
                )
            })
            .collect();
        let day = |since: &str, before: &str, state: &str, at: &str| {
            (
                format!("2026-07-{since}:00:00Z"),
                format!("2026-07-{before}:00:00Z"),
                state.to_owned(),
                format!("2026-07-{at}T00:00:00Z"),
            )
        };
        let expected = [
            day("01T12", "02T00", COMPLETE, "09"),
            day("02T00", "03T00", COMPLETE, "09"),
            day("03T00", "04T00", SETTLING, "08"),
            day("04T00", "05T00", PARTIAL, "08"),
        ];
        assert_eq!(told, expected);
    }
}
