//! How every source is doing: what the log proves, and what the pollers last said.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::Scope;
use crate::health::{Board, State};
use crate::position::{Source, rfc3339};
use crate::store::{Lateness, SourceRow, Store, StoreError};

/// How one source is doing. Times are RFC 3339.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
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
    #[schema(format = DateTime)]
    pub newest_event: Option<String>,
    /// When it was first seen.
    #[schema(format = DateTime)]
    pub first_seen_at: String,
    /// When its last live window was sealed.
    #[schema(format = DateTime)]
    pub last_sealed_at: Option<String>,
    /// Where its sealed live windows end.
    #[schema(format = DateTime)]
    pub sealed_before: Option<String>,
    /// How long ago that is: our part of the delay. What is visible upstream is stored within so long, and searchable a moment
    /// later.
    pub lag_seconds: Option<i64>,
    /// Upstream's part of the delay, of late: from an entry's time to the live scan that first showed it, which is at most one
    /// interval after it became visible.
    pub upstream_lag: Option<LatenessStatus>,
    /// How far each live window reaches back over the one before it, in seconds.
    pub overlap_seconds: Option<i64>,
    /// How often it is asked for what is new at present.
    pub interval_seconds: Option<i64>,
    /// Whether that is less often than the configuration's longest interval, because the quota is too small.
    pub held_back_by_quota: bool,
    /// How late entries were that came after their stretch was first sealed.
    pub lateness: Option<LatenessStatus>,
    /// How far back its history has been read.
    #[schema(format = DateTime)]
    pub backfilled_to: Option<String>,
    /// Whether that is as far as was asked for.
    pub backfill_done: bool,
    /// Since when it has failed without a success between.
    #[schema(format = DateTime)]
    pub failing_since: Option<String>,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// When its organization no longer listed it, as two complete lists in a row say.
    #[schema(format = DateTime)]
    pub left_at: Option<String>,
    /// Of an organization whose accounts are all followed: when the last complete reading of their list began.
    #[schema(format = DateTime)]
    pub accounts_read_at: Option<String>,
}

/// How late entries were, in seconds: from their time to their arrival. The first three are at most a tenth too long.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LatenessStatus {
    /// How many there were.
    pub entries: u64,
    /// Half of them were at most so late.
    pub p50_seconds: f64,
    /// 95 in 100 were at most so late.
    pub p95_seconds: f64,
    /// 99 in 100 were at most so late.
    pub p99_seconds: f64,
    /// The latest.
    pub max_seconds: f64,
}

impl From<Lateness> for LatenessStatus {
    fn from(lateness: Lateness) -> Self {
        let seconds = |span: TimeDelta| span.num_milliseconds() as f64 / 1_000.0;
        Self {
            entries: lateness.entries,
            p50_seconds: seconds(lateness.p50),
            p95_seconds: seconds(lateness.p95),
            p99_seconds: seconds(lateness.p99),
            max_seconds: seconds(lateness.max),
        }
    }
}

/// The last thing that went wrong.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LastError {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What, for a person.
    pub message: String,
}

/// The status of every source of the scope, by name. `board` is `None` when no service polls.
///
/// # Errors
/// What the log says.
pub fn sources(
    store: &Store,
    board: Option<&Board>,
    scope: &Scope,
    now: DateTime<Utc>,
) -> Result<Vec<SourceStatus>, StoreError> {
    let lists = store.account_lists()?;
    let sources = store.sources()?.into_iter();
    let sources = sources.filter(|row| scope.has_source(&row.source));
    let sources = sources.map(|mut row| {
        let organization = row.organization.as_deref().map(Source::organization);
        if organization.is_some_and(|source| !source.is_ok_and(|source| scope.has_source(&source)))
        {
            row.organization = None;
        }
        let list = lists.iter().find(|(source, _)| *source == row.source);
        let accounts_read_at = list.and_then(|(_, read_at)| *read_at).map(rfc3339);
        let status = source(store, board, row, now)?;
        Ok(SourceStatus {
            accounts_read_at,
            ..status
        })
    });
    sources.collect()
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
        upstream_lag: progress.visibility.live.map(Into::into),
        overlap_seconds: health.overlap.map(|overlap| overlap.num_seconds()),
        interval_seconds: health.interval.map(|interval| interval.num_seconds()),
        held_back_by_quota: health.is_held_back,
        lateness: store.lateness(&row.source)?.map(Into::into),
        backfilled_to: progress.backfilled_to.map(rfc3339),
        backfill_done: health.backfill_done,
        failing_since: health.failing_since.map(rfc3339),
        last_error: health.last_error.map(|error| LastError {
            at: rfc3339(error.at),
            message: error.message,
        }),
        left_at: row.left_at.map(rfc3339),
        accounts_read_at: None,
    })
}
