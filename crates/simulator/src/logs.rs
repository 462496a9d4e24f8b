//! All logs there are: those that are computed, and those of organizations that calls have made.
//!
//! A log stays when its organization goes, because what happened is kept longer than whom it happened to. Who may read
//! a log, and page by page, is not known here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};

use orgtrail_cloudflare::request::Direction;
use orgtrail_cloudflare::source::Source;

use super::chance::Seed;
use super::config::SimConfig;
use super::history::{self, Draft};
use super::lateness::LatenessRules;
use super::log::{self, Computed, EntryOrigin, Key, LogRange, Published};
use super::sync::lock;
use super::timeline::{MAX_HISTORY, Timeline};
use super::world::{LogOwner, World};

/// All logs, in the order in which they came to be.
#[derive(Debug)]
pub(crate) struct Logs(RwLock<LogTable>);

#[derive(Debug, Default)]
struct LogTable {
    logs: Vec<Arc<Log>>,
    places: HashMap<Source, usize>,
}

/// One log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) source: Source,
    /// What is in it without anybody's doing; nothing in the log of an organization that a call has made.
    computed: Option<EntrySource>,
    published: Mutex<Published>,
    /// When its organization went.
    closed: Mutex<Option<DateTime<Utc>>>,
}

/// What the computed entries of a log are made from.
#[derive(Debug)]
struct EntrySource {
    place: LogOwner,
    computed: Computed,
    /// Chance that all entries of the log share.
    log_seed: Seed,
    history_seed: Seed,
    live_seed: Seed,
}

impl Logs {
    /// The logs of a world, with `config.events` entries between `begin` and `end` in all of them together.
    pub(crate) fn new(
        seed: Seed,
        config: &SimConfig,
        world: &World,
        begin: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Self {
        let mut shelf = LogTable::default();
        let shares = world.shares();
        let counts = counts(config.events.min(MAX_HISTORY), &shares);
        for (number, ((place, share), count)) in (0..).zip(world.places().zip(&shares).zip(counts))
        {
            let Some(source) = world.source(place) else {
                continue;
            };
            let own = |name: &str| seed.named(name).child(number);
            let origin = EntrySource {
                place,
                computed: Computed {
                    history: Timeline::history(own("past"), count, begin, end),
                    live: Timeline::live(own("present"), end, config.live_per_minute * share),
                    late_seed: own("late"),
                },
                log_seed: Seed(number),
                history_seed: own("history"),
                live_seed: own("live"),
            };
            shelf.add(Log::new(source, Some(origin)));
        }
        Self(RwLock::new(shelf))
    }

    /// The log of that name, open or closed.
    pub(crate) fn get(&self, source: &Source) -> Option<Arc<Log>> {
        let shelf = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shelf
            .places
            .get(source)
            .map(|&place| Arc::clone(&shelf.logs[place]))
    }

    /// The names of all logs.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let shelf = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shelf.logs.iter().map(|log| log.source.clone()).collect()
    }

    /// Opens an empty log.
    pub(crate) fn open(&self, source: Source) {
        let mut shelf = self.0.write().unwrap_or_else(PoisonError::into_inner);
        shelf.add(Log::new(source, None));
    }
}

impl LogTable {
    fn add(&mut self, log: Log) {
        self.places.insert(log.source.clone(), self.logs.len());
        self.logs.push(Arc::new(log));
    }
}

impl Log {
    fn new(source: Source, computed: Option<EntrySource>) -> Self {
        Self {
            source,
            computed,
            published: Mutex::default(),
            closed: Mutex::default(),
        }
    }

    /// Notes that its organization went.
    pub(crate) fn close(&self, now: DateTime<Utc>) {
        *lock(&self.closed) = Some(now);
    }

    /// Whether anything can be left in it, when entries are kept for so long.
    pub(crate) fn is_kept(&self, now: DateTime<Utc>, retention: TimeDelta) -> bool {
        lock(&self.closed).is_none_or(|closed| now - closed < retention)
    }

    /// Puts a text into the log, verbatim.
    pub(crate) fn publish(
        &self,
        text: &str,
        action_time: DateTime<Utc>,
        visible_at: DateTime<Utc>,
    ) {
        lock(&self.published).insert(text, action_time, visible_at);
    }

    /// The first `max` keys of a stretch that can be seen at `now`.
    pub(crate) fn keys(
        &self,
        stretch: LogRange,
        direction: Direction,
        now: DateTime<Utc>,
        lateness: &LatenessRules,
        max: usize,
    ) -> Vec<Key> {
        let mut keys = lock(&self.published).keys(stretch, direction, now, max);
        if let Some(origin) = &self.computed {
            keys.extend(origin.computed.keys(stretch, direction, now, lateness, max));
        }
        log::merge(keys, direction, max)
    }

    /// The texts of its live entries that could be read at `visible_by`, each with when it could be first.
    pub(crate) fn visible_since(
        &self,
        world: &World,
        lateness: &LatenessRules,
        from: DateTime<Utc>,
        visible_by: DateTime<Utc>,
    ) -> Vec<(String, DateTime<Utc>)> {
        let Some(origin) = &self.computed else {
            return Vec::new();
        };
        let whole = LogRange {
            low: Key::first_at(from),
            high: Key::first_after(visible_by),
        };
        let computed = &origin.computed;
        let keys = computed.keys(
            whole,
            Direction::Ascending,
            visible_by,
            lateness,
            usize::MAX,
        );
        keys.into_iter()
            .filter(|key| key.lane == EntryOrigin::Live)
            .filter_map(|key| {
                let happened = computed.live.moment(key.number);
                let since = lateness.visible_at(computed.late_seed, key.number, happened);
                Some((self.compose(world, key)?, since))
            })
            .collect()
    }

    /// The text of the entry at a key.
    pub(crate) fn text(&self, world: &World, key: Key) -> Arc<str> {
        match self.compose(world, key) {
            Some(text) => text.into(),
            None => lock(&self.published).text(key).unwrap_or_default(),
        }
    }

    /// The text of the computed entry at a key.
    pub(crate) fn compose(&self, world: &World, key: Key) -> Option<String> {
        let origin = self.computed.as_ref()?;
        let (timeline, seed) = match key.lane {
            EntryOrigin::History => (&origin.computed.history, origin.history_seed),
            EntryOrigin::Live => (&origin.computed.live, origin.live_seed),
            EntryOrigin::Published => return None,
        };
        let draft = Draft {
            seed: seed.child(key.number),
            log_seed: origin.log_seed,
            run: timeline.run(key.number),
            place: origin.place,
            time: key.time,
            digits: timeline.digits(key.time),
        };
        Some(history::compose(world, draft))
    }
}

/// How many entries fall into each log. Together they are exactly `events`: a share ends where the sum of all shares up
/// to it ends, rounded.
fn counts(events: u64, shares: &[f64]) -> Vec<u64> {
    let mut passed = 0;
    let mut sum = 0.0;
    shares
        .iter()
        .enumerate()
        .map(|(number, share)| {
            sum += share;
            let is_last = number + 1 == shares.len();
            let until = if is_last {
                events
            } else {
                ((events as f64 * sum).round() as u64).clamp(passed, events)
            };
            let count = until - passed;
            passed = until;
            count
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_exactly() {
        for events in [0, 1, 7, 1_000_003] {
            let counts = counts(events, &[0.2, 0.5, 0.000_001, 0.299_999]);
            assert_eq!(counts.iter().sum::<u64>(), events, "{counts:?}");
        }
    }
}
