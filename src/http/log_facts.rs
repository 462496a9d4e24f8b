//! The figures of `/metrics` that are read from the log and the disk, kept for some seconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use super::problem::Problem;
use crate::clock::Clock;
use crate::coverage::{self, Asked, Reason};
use crate::engine::{Engine, Scope};
use crate::health::Board;
use crate::position::Source;
use crate::store::{Store, StoreError};
use crate::task;

/// How long what was read from the log and the disk is used.
const FACTS_FOR: TimeDelta = TimeDelta::seconds(10);

/// How many scrapes may have an answer that is not read yet.
pub(super) const MAX_SCRAPES: usize = 16;

/// What scrapes share. A clone is the same.
#[derive(Clone)]
pub(super) struct Scrapes {
    facts: Arc<Mutex<Option<Arc<LogFacts>>>>,
    places: Arc<Semaphore>,
}

impl Default for Scrapes {
    fn default() -> Self {
        Self {
            facts: Arc::default(),
            places: Arc::new(Semaphore::new(MAX_SCRAPES)),
        }
    }
}

/// What was read from the log and the disk.
pub(super) struct LogFacts {
    /// When, by the steady clock.
    read_at: DateTime<Utc>,
    /// Up to when each source that is followed is collected without a break.
    pub(super) collected_to: Vec<(String, DateTime<Utc>)>,
    pub(super) gaps: Vec<(&'static str, i64)>,
    pub(super) log_bytes: u64,
    pub(super) index_bytes: Option<u64>,
    pub(super) disk_free_bytes: Option<u64>,
    pub(super) damaged_events: u64,
    /// Since when the message waits that has waited longest for its destination.
    pub(super) delivering_since: Option<DateTime<Utc>>,
}

/// Where the figures are read.
pub(super) struct FactSources {
    pub(super) store: Store,
    pub(super) engine: Engine,
    pub(super) board: Board,
}

impl Scrapes {
    /// A place for one more scrape, held until its answer is read.
    pub(super) fn begin(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Problem::too_many("scrapes", MAX_SCRAPES))
    }

    /// What is known of the log and the disk; `None` when they cannot be read.
    pub(super) async fn facts(&self, sources: FactSources, clock: &Clock) -> Option<Arc<LogFacts>> {
        let mut kept = self.facts.lock().await;
        let (steady, now) = (clock.steady(), clock.now());
        if let Some(facts) = kept.as_ref().filter(|one| steady - one.read_at < FACTS_FOR) {
            return Some(Arc::clone(facts));
        }
        *kept = match task::caught(move || sources.read(steady, now)).await {
            Ok(Ok(facts)) => Some(Arc::new(facts)),
            Ok(Err(error)) => {
                warn!(error = %error, "Some metrics could not be read from the log; they are left out.");
                None
            }
            Err(_) => None,
        };
        kept.clone()
    }
}

impl FactSources {
    fn read(&self, read_at: DateTime<Utc>, now: DateTime<Utc>) -> Result<LogFacts, StoreError> {
        Ok(LogFacts {
            read_at,
            collected_to: collected_to(&self.store, &self.board)?,
            gaps: gaps(&self.store, &self.board, now)?,
            log_bytes: self.store.file_bytes(),
            index_bytes: self.engine.file_bytes(),
            disk_free_bytes: self.store.free_bytes(),
            damaged_events: self.store.scrub_state()?.damaged,
            delivering_since: self.store.waiting_since()?,
        })
    }
}

/// Up to when each source that is followed is collected without a break. A source of which nothing is collected yet is behind
/// since it was first seen.
fn collected_to(store: &Store, board: &Board) -> Result<Vec<(String, DateTime<Utc>)>, StoreError> {
    let rows = store.sources()?;
    let first_seen: BTreeMap<Source, DateTime<Utc>> = rows
        .into_iter()
        .map(|row| (row.source, row.first_seen_at))
        .collect();
    let mut ends = Vec::new();
    for (source, _) in board.followed() {
        let end = store.progress(&source)?.live_before;
        if let Some(end) = end.or_else(|| first_seen.get(&source).copied()) {
            ends.push((source.to_string(), end));
        }
    }
    Ok(ends)
}

/// Seconds of the sources' time that are not proven, for each reason that speaks of time. Of an organization whose list of
/// accounts is not known: the time since the list was last read.
fn gaps(
    store: &Store,
    board: &Board,
    now: DateTime<Utc>,
) -> Result<Vec<(&'static str, i64)>, StoreError> {
    // Only principals who may see every source get a scrape: see `Principal::require`.
    let (scope, asked) = (Scope::everything(), Asked::default());
    let verdict = coverage::verdict(store, Some(board), &scope, &asked, now)?;
    let unlisted = coverage::accounts_unknown(store, &scope, &asked, now)?;
    let mut unlisted_for = TimeDelta::zero();
    if !unlisted.is_empty() {
        let lists = store.account_lists()?;
        let rows = store.sources()?;
        for organization in unlisted {
            let read_at = lists.iter().find(|(source, _)| *source == organization);
            let since = read_at.and_then(|(_, at)| *at);
            let seen = rows.iter().find(|row| row.source == organization);
            let since = since.or(seen.map(|row| row.first_seen_at));
            unlisted_for += since.map_or(TimeDelta::zero(), |since| (now - since).abs());
        }
    }
    let reasons = Reason::ALL
        .into_iter()
        .filter(|reason| *reason != Reason::NotSearchableYet);
    Ok(reasons
        .map(|reason| {
            let total = verdict.missing_by_reason.get(&reason);
            let seconds = match reason {
                Reason::AccountsUnknown => unlisted_for.num_seconds(),
                _ => total.and_then(|total| total.seconds).unwrap_or_default(),
            };
            (reason.as_str(), seconds)
        })
        .collect())
}
