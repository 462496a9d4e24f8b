//! Sources that fell silent: they have no entries although they had them regularly, or cannot be read.
//!
//! How long a source is silent usually is learned from the hours of the last four weeks in which it had entries. Before it is known
//! for two weeks, and of a source that is rarely busy, nothing is said. Silence is counted up to where the source was read: what was not
//! read is a gap, not silence.

use chrono::{DateTime, TimeDelta, Utc};

use super::Noticing;
use super::facts::{facts, has_lasted, hour_of, since_of};
use super::gaps::gap_changes;
use crate::health::{Health, State};
use crate::position::rfc3339;
use crate::store::{LastingNotice, NewNotice, NoticeKind, SourceRow, StoreError};

/// From how many hours it is learned how long a source is silent usually: four weeks.
const LEARNED_FROM: i64 = 28 * 24;

/// A source must be known for so many hours, so that two weekends are in them.
const KNOWN_FOR: i64 = 14 * 24;

/// In so many hours of these it must have had entries.
const MIN_BUSY_HOURS: usize = 48;

/// A shorter silence than so many hours is none.
const MIN_SILENCE: i64 = 3;

/// How long a source must fail before it counts as one that cannot be read.
const FAILS_FOR: TimeDelta = TimeDelta::hours(1);

/// What tells the two kinds of silence apart.
const NO_ENTRIES: &str = "no_entries";
const UNREADABLE: &str = "not_read";

/// Since when a source is silent, if it is for longer than ever in the weeks before its last entry. `hours` are those in which it had entries, in order.
pub(super) fn silent_since(
    hours: &[i64],
    newest: DateTime<Utc>,
    read_until: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let last = *hours.iter().rfind(|hour| **hour <= hour_of(read_until))?;
    // An entry with a time that is still to come says nothing.
    let newest = if newest <= read_until {
        newest
    } else {
        DateTime::from_timestamp((last + 1) * 3_600 - 1, 0)?
    };
    let learned: Vec<i64> = hours
        .iter()
        .copied()
        .filter(|hour| *hour <= last && *hour > last - LEARNED_FROM)
        .collect();
    let first = *learned.first()?;
    if learned.len() < MIN_BUSY_HOURS || last - first < KNOWN_FOR {
        return None;
    }
    let pauses = learned.windows(2).map(|pair| pair[1] - pair[0]);
    // An hour in which entries were is silent for a part of it.
    let usual = pauses.max().unwrap_or(0) + 1;
    let limit = TimeDelta::hours(usual.max(MIN_SILENCE));
    (read_until - newest > limit).then_some(newest)
}

/// Since when a source cannot be read, and why.
fn unreadable(health: &Health, now: DateTime<Utc>) -> Option<(DateTime<Utc>, &'static str)> {
    let reason = match health.state {
        State::Refused => "credential_refused",
        State::Failing => "failing",
        State::Clock => "clock",
        _ => return None,
    };
    let since = health.failing_since?;
    has_lasted(since, now, FAILS_FOR).then_some((since, reason))
}

impl Noticing {
    /// Looks at each source: whether it is silent, and what was passed of it.
    pub(super) fn look_at_sources(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let silent = self.store.lasting_notices(NoticeKind::SourceSilent)?;
        let gaps = self.store.lasting_notices(NoticeKind::CoverageGap)?;
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for row in self.store.sources()? {
            let name = row.source.to_string();
            let of_source = |notice: &&LastingNotice| notice.source == name;
            let progress = self.store.progress(&row.source)?;
            let lasting: Vec<&LastingNotice> = gaps.iter().filter(of_source).collect();
            let changes = gap_changes(&name, &progress.gaps, &lasting);
            begun.extend(changes.begun);
            ended.extend(changes.ended);
            for notice in silent.iter().filter(of_source) {
                if self.has_ended(&row, notice, progress.live_before)? {
                    ended.push(notice.number);
                }
            }
            if let Some(until) = progress.live_before {
                begun.extend(self.silence(&row, &name, until)?);
            }
            let health = self.board.read(&row.source);
            begun.extend(unreadable(&health, now).map(|why| not_read(&name, why)));
        }
        self.store.save_notices(&begun, &ended, now)
    }

    fn silence(
        &self,
        row: &SourceRow,
        name: &str,
        until: DateTime<Utc>,
    ) -> Result<Option<NewNotice>, StoreError> {
        // Of one that was left or is not followed any more nothing is read.
        let Some(newest) = row.newest_event.filter(|_| row.left_at.is_none()) else {
            return Ok(None);
        };
        // Cheaper than its hours, which are asked for of silent sources alone.
        if until - newest < TimeDelta::hours(MIN_SILENCE) && newest <= until {
            return Ok(None);
        }
        let from = hour_of(newest.min(until)) - 2 * LEARNED_FROM;
        let hours = self.store.busy_hours(name, from)?;
        let Some(since) = silent_since(&hours, newest, until) else {
            return Ok(None);
        };
        let since = rfc3339(since);
        Ok(Some(NewNotice {
            kind: NoticeKind::SourceSilent,
            source: name.to_owned(),
            subject: NO_ENTRIES.to_owned(),
            summary: format!("{name} has had no entry since {since}"),
            facts: facts([("since", since.into()), ("reason", NO_ENTRIES.into())]),
        }))
    }

    /// Whether a silence has ended: an entry came, or the source was read.
    fn has_ended(
        &self,
        row: &SourceRow,
        notice: &LastingNotice,
        until: Option<DateTime<Utc>>,
    ) -> Result<bool, StoreError> {
        if notice.subject == NO_ENTRIES {
            let (Some(since), Some(until)) = (since_of(&notice.facts), until) else {
                return Ok(false);
            };
            if row
                .newest_event
                .is_some_and(|newest| since < newest && newest <= until)
            {
                return Ok(true);
            }
            // An entry with a time that is still to come hides when the others were.
            let hours = self
                .store
                .busy_hours(&row.source.to_string(), hour_of(since))?;
            let is_later = |hour: &i64| hour * 3_600 > since.timestamp() && *hour <= hour_of(until);
            return Ok(hours.iter().any(is_later));
        }
        let health = self.board.read(&row.source);
        let is_read = matches!(health.state, State::Live | State::CatchingUp);
        Ok(is_read && health.failing_since.is_none())
    }
}

fn not_read(name: &str, (since, reason): (DateTime<Utc>, &str)) -> NewNotice {
    let since = rfc3339(since);
    NewNotice {
        kind: NoticeKind::SourceSilent,
        source: name.to_owned(),
        subject: UNREADABLE.to_owned(),
        summary: format!("{name} cannot be read since {since} ({reason})"),
        facts: facts([("since", since.into()), ("reason", reason.into())]),
    }
}
