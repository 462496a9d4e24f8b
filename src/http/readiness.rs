//! What `/readyz` reads of the log: read once a second, however often it is asked, and in no turn of a question.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::problem::Problem;
use crate::clock::Clock;
use crate::store::{ScrubState, Store, StoreError};
use crate::task;

/// How long what was read is used.
const KEPT_FOR: TimeDelta = TimeDelta::seconds(1);

/// What was last read of the log. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Readiness(Arc<Mutex<Option<LogRead>>>);

/// A reading of the log.
#[derive(Clone)]
struct LogRead {
    /// When, by the steady clock.
    at: DateTime<Utc>,
    state: Result<ScrubState, Arc<StoreError>>,
}

impl Readiness {
    /// How far the log is checked; an error when the log cannot be read. One request reads it, and the others wait for that.
    pub(super) async fn read(&self, store: &Store, clock: &Clock) -> Result<ScrubState, Problem> {
        let mut kept = self.0.lock().await;
        let now = clock.steady();
        let read = match kept.as_ref().filter(|read| now - read.at < KEPT_FOR) {
            Some(read) => read.clone(),
            None => {
                let store = store.clone();
                let state = task::caught(move || read_log(&store)).await;
                let state = state.map_err(|_| Problem::internal())?;
                let state = state.map_err(Arc::new);
                kept.insert(LogRead { at: now, state }).clone()
            }
        };
        read.state.map_err(|error| Problem::log_unreadable(&error))
    }
}

/// Reads the row of the newest event, without its body.
fn read_log(store: &Store) -> Result<ScrubState, StoreError> {
    store.hash_at(store.head())?;
    store.scrub_state()
}
