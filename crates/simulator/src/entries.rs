//! A log's entries without HTTP, for benchmarks and for tests that compare a reader's copy with the original.
//!
//! Each entry is made when it is asked for, and kept nowhere. How entries are made is the log's business.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use orgtrail_cloudflare::request::Direction;
use orgtrail_cloudflare::source::Source;

use super::log::{EntryOrigin, Key, LogRange};
use super::logs::Log;
use super::simulator::Simulator;

/// Keys that are computed at a time.
const PIECE: usize = 1_024;

/// The exact texts of a log's entries, oldest first; see [`Simulator::walk`].
#[derive(Debug)]
pub struct Entries {
    simulator: Simulator,
    /// Nothing when there is no such log.
    log: Option<Arc<Log>>,
    rest: LogRange,
    visible_by: DateTime<Utc>,
    keys: VecDeque<Key>,
}

impl Entries {
    fn new(
        simulator: Simulator,
        log: Option<Arc<Log>>,
        from: DateTime<Utc>,
        visible_by: DateTime<Utc>,
    ) -> Self {
        Self {
            simulator,
            log,
            rest: LogRange {
                low: Key::first_at(from),
                high: Key::first_at(DateTime::<Utc>::MAX_UTC),
            },
            visible_by,
            keys: VecDeque::new(),
        }
    }
}

impl Simulator {
    /// The exact text of every entry of a log that could be read at some moment up to `visible_by`, oldest first: what
    /// a perfect collector would hold.
    #[must_use]
    pub fn entries(&self, source: &Source, visible_by: DateTime<Utc>) -> Vec<String> {
        self.walk(source, visible_by).collect()
    }

    /// The same, one by one: each entry is made when it is asked for, so that ten million of them need no room.
    /// A source that is not one of [`Simulator::sources`] has none.
    #[must_use]
    pub fn walk(&self, source: &Source, visible_by: DateTime<Utc>) -> Entries {
        let kept_since = self.started() - self.retention();
        let log = self.logs().get(source);
        Entries::new(self.clone(), log, kept_since, visible_by)
    }
}

impl Iterator for Entries {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let log = self.log.as_ref()?;
        if self.keys.is_empty() {
            let (rest, by) = (self.rest, self.visible_by);
            self.keys = self
                .simulator
                .keys(log, rest, Direction::Ascending, by, PIECE)
                .into();
            self.rest.low = self.keys.back()?.next();
        }
        let key = self.keys.pop_front()?;
        let world = self.simulator.world();
        match key.lane {
            EntryOrigin::Published => Some(log.text(world, key).as_ref().to_owned()),
            EntryOrigin::History | EntryOrigin::Live => log.compose(world, key),
        }
    }
}
