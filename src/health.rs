//! How each source is doing now: pollers write it, and status pages and metrics read it.
//!
//! It is kept in memory only. What must survive a restart is in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::position::Source;
use crate::sync::lock;

/// How long all sources of a credential must have been refused before it is reported.
pub const REFUSED_AFTER: TimeDelta = TimeDelta::seconds(30);

/// How long calls for every source must have failed before upstream is reported as unreachable.
pub const UNREACHABLE_AFTER: TimeDelta = TimeDelta::minutes(5);

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SourceState)]
pub enum State {
    /// Not called for yet since the start.
    #[default]
    Starting,
    /// Up to date, as of its last scan.
    Live,
    /// Behind; it is read as fast as the quota allows.
    CatchingUp,
    /// Its last call failed; it is retried.
    Failing,
    /// Its credential was refused: an operator must act.
    Refused,
    /// This machine's clock and upstream's differ, or the clock is behind the source's own log: what is newest cannot be
    /// proven until the clock is right.
    Clock,
    /// Its organization no longer lists it. Its events are kept.
    Left,
    /// No poller runs: this was read from a data directory.
    Stopped,
}

/// An error, and when it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: DateTime<Utc>,
    /// The error message.
    pub message: String,
}

/// How one source is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Its state.
    pub state: State,
    /// When the first of its latest failures was; `None` after a success.
    pub failing_since: Option<DateTime<Utc>>,
    /// The last error, also after later successes.
    pub last_error: Option<LastError>,
    /// How far back its history has been read; `None` before the first day is done.
    pub backfilled_to: Option<DateTime<Utc>>,
    /// Whether its history has been read back to `backfill_since`.
    pub backfill_done: bool,
    /// The current interval between two live windows; `None` when no poller follows the source.
    pub interval: Option<TimeDelta>,
    /// Whether that is less often than the longest interval in the configuration, because the quota is too small for all
    /// sources of its credential.
    pub is_held_back: bool,
    /// How many live windows were read to their end since the start.
    pub live_sealed: u64,
    /// How far each live window currently overlaps the one before it.
    pub overlap: Option<TimeDelta>,
}

/// The board. A clone is another handle to the same one.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    sources: BTreeMap<Source, Health>,
    /// Which credential follows each source.
    owners: BTreeMap<Source, String>,
    /// Credentials of which a source was refused and none answered since, with the time of the first refusal by the steady
    /// clock.
    refused: BTreeMap<String, DateTime<Utc>>,
    /// The first failure to reach upstream since a call for any source was last answered, by the steady clock.
    not_reached_since: Option<DateTime<Utc>>,
    /// How many turns have panicked.
    panics: u64,
    /// When each credential's poller took its last turn, by the steady clock.
    turns: BTreeMap<String, DateTime<Utc>>,
    /// Credentials of which it could not be saved yet what they follow.
    unsaved: BTreeSet<String>,
}

impl Board {
    /// How a source is doing. Without an entry it is starting.
    #[must_use]
    pub fn read(&self, source: &Source) -> Health {
        self.lock().sources.get(source).cloned().unwrap_or_default()
    }

    /// Changes the entry of a source.
    pub fn write(&self, source: &Source, change: impl FnOnce(&mut Health)) {
        change(self.lock().sources.entry(source.clone()).or_default());
    }

    /// Deletes the entry of a source that is no longer followed.
    pub fn forget(&self, source: &Source) {
        self.lock().sources.remove(source);
    }

    /// Makes `credential` the only one that follows a source in this process.
    ///
    /// # Errors
    /// The name of the credential that follows it already.
    pub fn own(&self, source: &Source, credential: &str) -> Result<(), String> {
        let mut board = self.lock();
        let owner = board.owners.entry(source.clone());
        let owner = owner.or_insert_with(|| credential.to_owned());
        if owner == credential {
            Ok(())
        } else {
            Err(owner.clone())
        }
    }

    /// The source is no longer followed; another credential may follow it.
    pub fn disown(&self, source: &Source) {
        self.lock().owners.remove(source);
    }

    /// A source of a credential was refused; the first one was at `since`, by the steady clock.
    pub fn refused(&self, credential: &str, since: DateTime<Utc>) {
        let mut board = self.lock();
        board.refused.entry(credential.to_owned()).or_insert(since);
    }

    /// A source of a credential was answered.
    pub fn answered(&self, credential: &str) {
        let mut board = self.lock();
        board.refused.remove(credential);
        board.not_reached_since = None;
    }

    /// A call for a source failed at `now`, by the steady clock: upstream could not be reached, or its response could not be
    /// read.
    pub fn not_reached(&self, now: DateTime<Utc>) {
        self.lock().not_reached_since.get_or_insert(now);
    }

    /// Upstream responded to a call for a source, perhaps with a refusal.
    pub fn reached(&self) {
        self.lock().not_reached_since = None;
    }

    /// Whether calls for sources have failed for at least [`UNREACHABLE_AFTER`] at `now`, by the steady clock, and none was
    /// answered between, with any credential.
    #[must_use]
    pub fn is_upstream_unreachable(&self, now: DateTime<Utc>) -> bool {
        let since = self.lock().not_reached_since;
        since.is_some_and(|since| now - since >= UNREACHABLE_AFTER)
    }

    /// Whether a credential was first refused at least [`REFUSED_AFTER`] before `now`, by the steady clock, and none of its
    /// sources answered since.
    #[must_use]
    pub fn has_refused_credential(&self, now: DateTime<Utc>) -> bool {
        let board = self.lock();
        let mut refused = board.refused.values();
        refused.any(|since| now - *since >= REFUSED_AFTER)
    }

    /// The poller of a credential looks for its next turn, at `now` by the steady clock. It does so again within a minute.
    pub fn takes_turn(&self, credential: &str, now: DateTime<Utc>) {
        let mut board = self.lock();
        match board.turns.get_mut(credential) {
            Some(last) => *last = now,
            None => {
                board.turns.insert(credential.to_owned(), now);
            }
        }
    }

    /// When each credential's poller looked for its next turn last, by the steady clock.
    #[must_use]
    pub fn next_turns(&self) -> Vec<(String, DateTime<Utc>)> {
        let board = self.lock();
        let turns = board.turns.iter();
        turns.map(|(name, last)| (name.clone(), *last)).collect()
    }

    /// Whether what a credential follows is saved in the log. Until then nothing of it is read.
    pub fn set_saved(&self, credential: &str, is_saved: bool) {
        let mut board = self.lock();
        if is_saved {
            board.unsaved.remove(credential);
        } else {
            board.unsaved.insert(credential.to_owned());
        }
    }

    /// Whether a credential follows something that is not saved in the log.
    #[must_use]
    pub fn has_unsaved(&self) -> bool {
        !self.lock().unsaved.is_empty()
    }

    /// A poller's turn panicked.
    pub fn panicked(&self) {
        self.lock().panics += 1;
    }

    /// How many turns have panicked since the start.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.lock().panics
    }

    /// Every source that a poller follows, and how it is doing.
    #[must_use]
    pub fn followed(&self) -> Vec<(Source, Health)> {
        let board = self.lock();
        let followed = board
            .sources
            .iter()
            .filter(|(_, health)| health.interval.is_some() && health.state != State::Left);
        followed
            .map(|(source, health)| (source.clone(), health.clone()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        lock(&self.0)
    }
}
