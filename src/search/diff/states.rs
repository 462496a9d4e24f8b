//! The states of a resource, event by event, also when a late revision of a recent event comes in.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::form::Diff;
use super::leaves::TimeCheck;
use super::state::State;
use super::told::{Basis, ToldChange};
use crate::event::AuditEvent;
use crate::search::error::SearchError;

/// The most events of one time among which an earlier revision is recognised.
const MAX_RECENT: usize = 32;

/// About the most bytes of states that these may tell of.
pub(super) const MAX_RECENT_BYTES: usize = 8 * 1024 * 1024;

/// What is known of a resource after some of its events.
#[derive(Debug, Clone, Default)]
pub(in crate::search) struct States {
    pub(super) now: State,
    /// The last events, all of one time, and their ids: another revision of one of them tells of the same change. Events of
    /// one time are in the order of the log, so a late revision comes after the changes that followed its first one.
    pub(super) recent: VecDeque<(Option<String>, ToldChange)>,
    /// What was known before these.
    before: State,
    /// The time of the recent events.
    time: Option<DateTime<Utc>>,
}

impl States {
    /// Takes the next event of the resource, and tells what it changed.
    ///
    /// # Errors
    /// When `clock` says that the time is up: what is known is then not whole.
    pub(in crate::search) fn take(
        &mut self,
        event: &AuditEvent,
        clock: TimeCheck<'_>,
    ) -> Result<Diff, SearchError> {
        let told = ToldChange::read(event, clock)?;
        let is_same = |(id, _): &(Option<String>, ToldChange)| id.is_some() && *id == event.id;
        if let Some(at) = self.recent.iter().position(is_same) {
            self.recent[at].1 = told;
            return self.replay(at, clock);
        }
        let time = Some(event.ordered_at());
        if time != self.time {
            self.recent.clear();
            self.before = self.now.clone();
            self.time = time;
        }
        let after = self.now.after(&told, clock)?;
        let diff = self.now.diff(&told, &after, clock)?;
        self.now = after;
        self.recent.push_back((event.id.clone(), told));
        self.forget(clock)?;
        Ok(diff)
    }

    /// Goes through the recent events again, and tells what the one at that place changed.
    fn replay(&mut self, place: usize, clock: TimeCheck<'_>) -> Result<Diff, SearchError> {
        let mut diff = Diff::empty(Basis::Request);
        let mut now = self.before.clone();
        for (at, (_, told)) in self.recent.iter().enumerate() {
            let after = now.after(told, clock)?;
            if at == place {
                diff = now.diff(told, &after, clock)?;
            }
            now = after;
        }
        self.now = now;
        self.forget(clock)?;
        Ok(diff)
    }

    /// Keeps no more recent events than may be kept, and the last one in any case.
    fn forget(&mut self, clock: TimeCheck<'_>) -> Result<(), SearchError> {
        let mut n_bytes: usize = self.recent.iter().map(|(_, told)| told.bytes()).sum();
        while self.recent.len() > 1
            && (self.recent.len() > MAX_RECENT || n_bytes > MAX_RECENT_BYTES)
        {
            let Some((_, first)) = self.recent.pop_front() else {
                break;
            };
            n_bytes -= first.bytes();
            self.before = self.before.after(&first, clock)?;
        }
        Ok(())
    }
}
