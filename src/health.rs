//! How each source is doing right now: what the pollers write on the board, and the status pages read off it.
//!
//! It lives in memory only; what must outlive a restart is in the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::position::Source;

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not asked yet since the start.
    #[default]
    Starting,
    /// Up to date, as of its last scan.
    Live,
    /// Behind, and being read as fast as the quota allows.
    CatchingUp,
    /// Its last call failed; it is tried again.
    Failing,
    /// Its credential was refused: somebody must act.
    Refused,
    /// Its organization no longer lists it; what was kept stays.
    Left,
    /// Nobody is polling: this was read from a data directory.
    Stopped,
}

/// An error, and when it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: DateTime<Utc>,
    /// What, for a person.
    pub message: String,
}

/// How one source is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// What it is doing.
    pub state: State,
    /// Since when it has failed without a success between.
    pub failing_since: Option<DateTime<Utc>>,
    /// The last thing that went wrong, even if all is well again.
    pub last_error: Option<LastError>,
    /// How far back its history has been read; `None` before the first day is done.
    pub backfilled_to: Option<DateTime<Utc>>,
    /// Whether its history has been read as far as it was asked for.
    pub backfill_done: bool,
    /// How often it is asked for what is new at present.
    pub interval: Option<TimeDelta>,
    /// Whether that is less often than the longest interval in the configuration, because the quota is too small for all
    /// sources of its credential.
    pub is_held_back: bool,
    /// How far each live window reaches back over the one before it at present.
    pub overlap: Option<TimeDelta>,
}

/// The board. A clone is the same board.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<BTreeMap<Source, Health>>>);

impl Board {
    /// How a source is doing; a source nobody wrote about is starting.
    #[must_use]
    pub fn read(&self, source: &Source) -> Health {
        self.lock().get(source).cloned().unwrap_or_default()
    }

    /// Changes what is written about a source.
    pub fn write(&self, source: &Source, change: impl FnOnce(&mut Health)) {
        change(self.lock().entry(source.clone()).or_default());
    }

    /// Forgets a source: nobody follows it.
    pub fn forget(&self, source: &Source) {
        self.lock().remove(source);
    }

    /// Every source that somebody follows, and how it is doing.
    #[must_use]
    pub fn followed(&self) -> Vec<(Source, Health)> {
        let board = self.lock();
        let followed = board
            .iter()
            .filter(|(_, health)| health.interval.is_some() && health.state != State::Left);
        followed
            .map(|(source, health)| (source.clone(), health.clone()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Source, Health>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
