//! The newest events as they were indexed, for those who follow: each is held against a question in memory, so that many
//! tails do not each search the index after every commit.
//!
//! Without a follower it keeps nothing. It does not depend on the engine.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::ask::Caller;
use super::error::EngineError;
use super::hit::{Hit, Range};
use crate::position::{Seq, Source};
use crate::query::{Entry, Matcher};
use crate::sync::lock;

/// About the most bytes of events that are kept.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The most events that are kept.
const MAX_EVENTS: usize = 4_000;

/// The newest events. A clone has the same ones.
#[derive(Clone, Default)]
pub struct Recent(Arc<Inner>);

#[derive(Default)]
struct Inner {
    followers: AtomicUsize,
    newest: Mutex<Newest>,
}

/// Events without a hole between them, the oldest first.
#[derive(Default)]
struct Newest {
    events: VecDeque<Arc<RecentEvent>>,
    bytes: usize,
}

/// An event that is kept.
struct RecentEvent {
    hit: Hit,
    source: Source,
    entry: Entry,
}

/// As long as there is one, the newest events are kept in memory.
pub struct Following(Recent);

impl Drop for Following {
    fn drop(&mut self) {
        if self.0.0.followers.fetch_sub(1, Ordering::SeqCst) == 1 {
            *self.0.newest() = Newest::default();
        }
    }
}

impl Recent {
    /// Keeps the newest events from here on.
    #[must_use]
    pub fn follow(&self) -> Following {
        self.0.followers.fetch_add(1, Ordering::SeqCst);
        Following(self.clone())
    }

    /// Takes the next event, if anybody follows: `entry` is only asked for then. After a failure the same events come again.
    pub(super) fn take(&self, hit: Hit, source: &Source, entry: impl FnOnce() -> Entry) {
        if self.0.followers.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Tails search the engine instead, rather than that one event ends the work on all of them.
        let Ok(entry) = catch_unwind(AssertUnwindSafe(entry)) else {
            *self.newest() = Newest::default();
            return;
        };
        let held = RecentEvent {
            hit,
            source: source.clone(),
            entry,
        };
        let mut newest = self.newest();
        while let Some(last) = newest.events.pop_back_if(|last| last.hit.seq >= hit.seq) {
            newest.bytes -= last.entry.bytes();
        }
        let follows = newest.events.back();
        if follows.is_some_and(|last| last.hit.seq.0 + 1 != hit.seq.0) {
            *newest = Newest::default();
        }
        newest.bytes += held.entry.bytes();
        newest.events.push_back(Arc::new(held));
        while newest.bytes > MAX_BYTES || newest.events.len() > MAX_EVENTS {
            let Some(first) = newest.events.pop_front() else {
                break;
            };
            newest.bytes -= first.entry.bytes();
        }
    }

    /// The events after the place `after` up to `upto` that a question means, in the order of arrival: what
    /// [`View::arrivals`](super::View::arrivals) says, found in memory. `None` when not all of them are kept.
    ///
    /// # Errors
    /// [`EngineError::CutOff`] when it takes too long.
    pub fn arrivals(
        &self,
        matcher: &Matcher,
        range: Range,
        caller: &Caller,
        after: Seq,
        upto: Seq,
    ) -> Result<Option<Vec<Seq>>, EngineError> {
        let Some(events) = self.between(after, upto) else {
            return Ok(None);
        };
        let steps = caller.budget.steps();
        let found = events
            .iter()
            .filter(|held| range.contains(held.hit.at_us) && caller.scope.has_source(&held.source))
            .filter(|held| matcher.matches(&held.entry, &|| steps.step()))
            .map(|held| held.hit.seq)
            .collect();
        caller.budget.check()?;
        Ok(Some(found))
    }

    /// The events after one place, up to another; `None` when not all of them are kept.
    fn between(&self, after: Seq, upto: Seq) -> Option<Vec<Arc<RecentEvent>>> {
        let newest = self.newest();
        let first = newest.events.front()?.hit.seq.0;
        let last = newest.events.back()?.hit.seq;
        if first > after.0 + 1 || last < upto {
            return None;
        }
        let skipped = usize::try_from(after.0 + 1 - first).ok()?;
        let wanted = newest.events.iter().skip(skipped);
        Some(
            wanted
                .take_while(|held| held.hit.seq <= upto)
                .cloned()
                .collect(),
        )
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        lock(&self.0.newest)
    }
}
