//! History alone, in the foreground: the same turns as in service, until all of it is read.
//!
//! Of what is new, only the window is read that history begins at. Somebody waits in front of it: what cannot be read is
//! left out after a while and told, where a service would go on trying.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::error::TurnError;
use super::list_schedule::{ListSchedule, Listing};
use super::next_window;
use super::poller::Poller;
use super::schedule::{SourceSchedule, Wants};
use super::settings::{BackfillOnly, Settings};
use super::skew;
use crate::ledger::BackfillSince;
use crate::position::{Source, Window};
use crate::store::{Progress, StoreError};

/// An organization whose accounts could not be listed so often in a row is left out: after three minutes.
const MAX_LIST_FAILURES: u32 = 3;

/// How reading history alone ended.
#[derive(Debug, Default)]
pub struct HistoryEnd {
    /// Credentials that were refused.
    pub refused: Vec<String>,
    /// Organizations whose accounts could not be listed.
    pub unlisted: Vec<String>,
}

/// How far back a source's history has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// What is asked for: up to where the first live window begins.
    pub wanted: Window,
    /// From here on it is read.
    pub since: DateTime<Utc>,
    /// Whether that is all.
    pub is_all: bool,
}

impl Reached {
    /// How far the source has come whose progress this is; `None` when its first live window has not begun.
    #[must_use]
    pub fn of(progress: &Progress, settings: &Settings, now: DateTime<Utc>) -> Option<Self> {
        let before = progress.live_since?;
        let since = next_window::backfill_floor(before, settings, now).min(before);
        Some(Self {
            wanted: Window { since, before },
            since: progress.backfilled_to.unwrap_or(before).max(since),
            is_all: progress.last_live.is_some()
                && next_window::is_backfilled(progress, settings, now),
        })
    }
}

impl Poller {
    /// Reads history and nothing else: back to `since`, if that is another than the settings say, and of some sources
    /// only, if they are named. Organizations' members are not listed.
    ///
    /// # Errors
    /// What the log says.
    pub fn for_history(
        mut self,
        since: Option<BackfillSince>,
        only: Option<HashSet<Source>>,
    ) -> Result<Self, StoreError> {
        self.context.settings.backfill_since =
            since.unwrap_or(self.context.settings.backfill_since);
        self.backfill_only = Some(BackfillOnly { only });
        self.lists
            .retain(|schedule| schedule.listing == Listing::Accounts);
        let followed: Vec<Source> = self.schedules.keys().cloned().collect();
        for source in followed {
            if !self.is_asked_for(&source) {
                self.schedules.remove(&source);
                self.context.board.disown(&source);
                self.context.board.forget(&source);
            }
        }
        let now = skew::Now {
            wall: self.context.clock.now(),
            steady: self.context.clock.steady(),
        };
        for schedule in self.schedules.values_mut() {
            let progress = self.context.store.progress(&schedule.source)?;
            schedule.set_progress(progress, &self.context.settings, now);
        }
        Ok(self)
    }

    /// Lists no accounts: all sources that matter are known.
    #[must_use]
    pub fn without_lists(mut self) -> Self {
        self.lists.clear();
        self
    }

    /// Whether it lists accounts, and so may find sources that are not known yet.
    #[must_use]
    pub fn has_lists(&self) -> bool {
        !self.lists.is_empty()
    }

    /// Reads until all is read that can be, or until told to stop. Calls under way are then given up, and come again with the
    /// next run. How each source fared is on the board.
    ///
    /// # Errors
    /// When the log cannot be written for a reason that does not pass by itself.
    pub async fn read_history(mut self, stop: CancellationToken) -> Result<HistoryEnd, TurnError> {
        self.take_turns(&stop).await?;
        let refused = self.refused.map(|_| self.context.credential);
        let refused = refused.into_iter().collect();
        let unlisted = self.lists.into_iter().filter(|schedule| !schedule.was_read);
        let unlisted = unlisted.map(|schedule| schedule.organization).collect();
        Ok(HistoryEnd { refused, unlisted })
    }

    /// Whether there is nothing more to do, which a service never comes to.
    pub(super) fn is_over(&self) -> bool {
        let is_settled =
            |schedule: &ListSchedule| schedule.was_read || schedule.failures >= MAX_LIST_FAILURES;
        let is_done = || {
            self.lists.iter().all(is_settled)
                && self
                    .schedules
                    .values()
                    .all(SourceSchedule::is_done_with_history)
        };
        self.backfill_only.is_some() && (self.refused.is_some() || is_done())
    }

    pub(super) fn wants_of(&self, schedule: &SourceSchedule, now: DateTime<Utc>) -> Wants {
        match self.backfill_only {
            None => schedule.wants(now),
            Some(_) => schedule.wants_for_history(now),
        }
    }

    /// Whether a source is among those that were named, if any were.
    pub(super) fn is_asked_for(&self, source: &Source) -> bool {
        let only = self
            .backfill_only
            .as_ref()
            .and_then(|alone| alone.only.as_ref());
        only.is_none_or(|only| only.contains(source))
    }
}
