//! How every source is doing: what the log proves, and what the pollers last said.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::health::{Board, State};
use crate::position::rfc3339;
use crate::store::{SourceRow, Store, StoreError};

/// How one source is doing. Times are RFC 3339.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SourceStatus {
    /// `organizations/ID` or `accounts/ID`.
    pub source: String,
    /// What upstream calls it.
    pub name: Option<String>,
    /// The id of the organization that lists it.
    pub organization: Option<String>,
    /// What it is doing.
    pub state: State,
    /// How many of its events are held, revisions included.
    pub events: u64,
    /// When the latest of them happened.
    pub newest_event: Option<String>,
    /// When it was first seen.
    pub first_seen_at: String,
    /// When its last live window was sealed.
    pub last_sealed_at: Option<String>,
    /// Where its sealed live windows end.
    pub sealed_before: Option<String>,
    /// How long ago that is.
    pub lag_seconds: Option<i64>,
    /// How far back its history has been read.
    pub backfilled_to: Option<String>,
    /// Whether that is as far as was asked for.
    pub backfill_done: bool,
    /// Since when it has failed without a success between.
    pub failing_since: Option<String>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// When its organization no longer listed it.
    pub left_at: Option<String>,
}

/// The last thing that went wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub at: String,
    /// What, for a person.
    pub message: String,
}

/// How every source is doing, in the order of their names. Without a board nobody is polling.
///
/// # Errors
/// What the log says.
pub fn sources(
    store: &Store,
    board: Option<&Board>,
    now: DateTime<Utc>,
) -> Result<Vec<SourceStatus>, StoreError> {
    store
        .sources()?
        .into_iter()
        .map(|row| source(store, board, row, now))
        .collect()
}

fn source(
    store: &Store,
    board: Option<&Board>,
    row: SourceRow,
    now: DateTime<Utc>,
) -> Result<SourceStatus, StoreError> {
    let progress = store.progress(&row.source)?;
    let health = board.map(|board| board.read(&row.source));
    let state = match (&health, row.left_at) {
        (_, Some(_)) => State::Left,
        (None, None) => State::Stopped,
        (Some(health), None) => health.state,
    };
    let health = health.unwrap_or_default();
    Ok(SourceStatus {
        source: row.source.to_string(),
        name: row.label,
        organization: row.organization,
        state,
        events: row.events,
        newest_event: row.newest_event.map(rfc3339),
        first_seen_at: rfc3339(row.first_seen_at),
        last_sealed_at: progress.last_live.map(|last| rfc3339(last.sealed_at)),
        sealed_before: progress.live_before.map(rfc3339),
        lag_seconds: progress
            .live_before
            .map(|before| (now - before).num_seconds().max(0)),
        backfilled_to: progress.backfilled_to.map(rfc3339),
        backfill_done: health.backfill_done,
        failing_since: health.failing_since.map(rfc3339),
        last_error: health.last_error.map(|error| LastError {
            at: rfc3339(error.at),
            message: error.message,
        }),
        left_at: row.left_at.map(rfc3339),
    })
}
