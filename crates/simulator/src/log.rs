//! One log as upstream would hold it: computed history, the computed live entries after it, and what was published
//! by hand, merged in one order.
//!
//! The order is by time, then lane, then number, and never changes, so a key is a place that stays good while entries
//! arrive. Parameters, pages and cursors are not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail_cloudflare::request::Direction;

use super::chance::Seed;
use super::lateness::LatenessRules;
use super::timeline::Timeline;

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EntryOrigin {
    /// There since the beginning.
    History,
    /// Appears as time goes by.
    Live,
    /// Put there by a test or by a call.
    Published,
}

/// An entry's place in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) time: DateTime<Utc>,
    pub(crate) lane: EntryOrigin,
    pub(crate) number: u64,
}

impl Key {
    /// The least key of all at `time`.
    pub(crate) fn first_at(time: DateTime<Utc>) -> Self {
        Self {
            time,
            lane: EntryOrigin::History,
            number: 0,
        }
    }

    /// The least key of all after `time`.
    pub(crate) fn first_after(time: DateTime<Utc>) -> Self {
        let next = time.checked_add_signed(TimeDelta::nanoseconds(1));
        Self::first_at(next.unwrap_or(time))
    }

    /// The least key after this one.
    pub(crate) fn next(self) -> Self {
        Self {
            number: self.number.saturating_add(1),
            ..self
        }
    }
}

/// A stretch of a log, `[low, high)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogRange {
    pub(crate) low: Key,
    pub(crate) high: Key,
}

/// The computed part of a log: two timelines, one after the other.
#[derive(Debug)]
pub(crate) struct Computed {
    pub(crate) history: Timeline,
    pub(crate) live: Timeline,
    /// Draws which live entries are late.
    pub(crate) late_seed: Seed,
}

/// Entries put in by hand, with the moment from which each can be seen.
#[derive(Debug, Default)]
pub(crate) struct Published {
    entries: BTreeMap<Key, (Arc<str>, DateTime<Utc>)>,
}

impl Published {
    /// Puts a text into the log, verbatim. Later ones come after earlier ones of the same time.
    pub(crate) fn insert(&mut self, text: &str, time: DateTime<Utc>, visible_at: DateTime<Utc>) {
        let key = Key {
            time,
            lane: EntryOrigin::Published,
            number: self.entries.len() as u64,
        };
        self.entries.insert(key, (Arc::from(text), visible_at));
    }

    /// The text at `key`.
    pub(crate) fn text(&self, key: Key) -> Option<Arc<str>> {
        self.entries.get(&key).map(|(text, _)| Arc::clone(text))
    }

    /// The first `max` keys in a stretch that can be seen at `now`.
    pub(crate) fn keys(
        &self,
        stretch: LogRange,
        direction: Direction,
        now: DateTime<Utc>,
        max: usize,
    ) -> Vec<Key> {
        if stretch.low >= stretch.high {
            return Vec::new();
        }
        let seen = self
            .entries
            .range(stretch.low..stretch.high)
            .filter(|(_, (_, visible_at))| *visible_at <= now)
            .map(|(key, _)| *key);
        first(seen, direction, max)
    }
}

impl Computed {
    /// The first `max` computed keys in a stretch that can be seen at `now`.
    pub(crate) fn keys(
        &self,
        stretch: LogRange,
        direction: Direction,
        now: DateTime<Utc>,
        lateness: &LatenessRules,
        max: usize,
    ) -> Vec<Key> {
        // Nothing computed is seen before it happens, and live entries never end.
        let seen = LogRange {
            low: stretch.low,
            high: stretch.high.min(Key::first_after(now)),
        };
        let mut keys = first(self.numbers(EntryOrigin::History, seen), direction, max);
        let live = self.numbers(EntryOrigin::Live, seen).filter(|key| {
            let happened = self.live.moment(key.number);
            lateness.visible_at(self.late_seed, key.number, happened) <= now
        });
        keys.extend(first(live, direction, max));
        keys
    }

    fn numbers(
        &self,
        lane: EntryOrigin,
        stretch: LogRange,
    ) -> impl DoubleEndedIterator<Item = Key> + use<'_> {
        let timeline = match lane {
            EntryOrigin::History => &self.history,
            EntryOrigin::Live | EntryOrigin::Published => &self.live,
        };
        let key = move |number| Key {
            time: timeline.time(number),
            lane,
            number,
        };
        let latest = stretch.high.time;
        let from = timeline.first(latest, |number| key(number) >= stretch.low);
        let to = timeline.first(latest, |number| key(number) >= stretch.high);
        (from..to).map(key)
    }
}

/// The first `max` of several lanes' first `max` keys each.
pub(crate) fn merge(mut keys: Vec<Key>, direction: Direction, max: usize) -> Vec<Key> {
    keys.sort_unstable();
    if direction == Direction::Descending {
        keys.reverse();
    }
    keys.truncate(max);
    keys
}

fn first(keys: impl DoubleEndedIterator<Item = Key>, direction: Direction, max: usize) -> Vec<Key> {
    match direction {
        Direction::Ascending => keys.take(max).collect(),
        Direction::Descending => keys.rev().take(max).collect(),
    }
}
