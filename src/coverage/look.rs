//! Looks at the sources that a question is about, one after the other.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::asked::{Asked, whole_seconds};
use super::forms::{Page, SourceCoverage, Start};
use super::found::{Found, FoundGap};
use super::known::Known;
use super::reason::Reason;
use crate::engine::Scope;
use crate::health::Board;
use crate::ledger;
use crate::position::Source;
use crate::store::{SourceRow, Store, StoreError};

/// What is proven of each source that is asked about, in the order of their names. Without a board no poller is running.
///
/// # Errors
/// What the log says.
pub fn sources(
    store: &Store,
    board: Option<&Board>,
    scope: &Scope,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Vec<SourceCoverage>, StoreError> {
    Ok(page(store, board, scope, asked, None, usize::MAX, now)?.sources)
}

/// A page of the same: at most `max` intervals and gaps, from `from` on. One source at a time is looked at.
///
/// # Errors
/// What the log says.
pub fn page(
    store: &Store,
    board: Option<&Board>,
    scope: &Scope,
    asked: &Asked,
    from: Option<&Start>,
    max: usize,
    now: DateTime<Utc>,
) -> Result<Page, StoreError> {
    let mut left = max;
    let mut sources = Vec::new();
    let next = look(store, board, scope, asked, from, now, |found| {
        if left == 0 {
            return Some(found.source.clone().into());
        }
        let (coverage, rest) = found.coverage(left);
        left -= coverage.intervals.len() + coverage.gaps.len();
        sources.push(coverage);
        rest.map(|since| Start {
            source: found.source.clone(),
            since: Some(since),
        })
    })?;
    Ok(Page { sources, next })
}

/// Looks at one source after the other, in the order of their names, until `take` gives something.
pub(super) fn look<T>(
    store: &Store,
    board: Option<&Board>,
    scope: &Scope,
    asked: &Asked,
    from: Option<&Start>,
    now: DateTime<Utc>,
    mut take: impl FnMut(Found) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let aims = store.aims()?;
    let mut rows: BTreeMap<Source, Option<SourceRow>> = asked
        .sources
        .iter()
        .map(|source| (source.clone(), None))
        .collect();
    // A source outside the scope is answered as one that was never followed.
    let followed = store.sources()?.into_iter();
    for row in followed.filter(|row| scope.has_source(&row.source)) {
        if asked.sources.is_empty() || rows.contains_key(&row.source) {
            rows.insert(row.source.clone(), Some(row));
        }
    }
    let is_before = |source: &Source| from.is_some_and(|from| *source < from.source);
    for (source, row) in rows.into_iter().filter(|(source, _)| !is_before(source)) {
        let since = from.filter(|from| from.source == source);
        let since = since.and_then(|from| from.since);
        let Some(row) = row else {
            if let Some(taken) = take(not_followed(&source, asked, since, now)) {
                return Ok(Some(taken));
            }
            continue;
        };
        let progress = store.progress(&source)?;
        let health = board.map(|board| board.read(&source));
        let known = Known {
            row: &row,
            progress: &progress,
            health: health.as_ref(),
            aims: aims.as_ref(),
            now,
        };
        if let Some(taken) = take(known.look(asked, since)) {
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

fn not_followed(
    source: &Source,
    asked: &Asked,
    from: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Found {
    let since = from
        .or(asked.since)
        .unwrap_or_else(|| ledger::kept_since(now));
    let window = whole_seconds(since, asked.before.map_or(now, |before| before.min(now)));
    Found {
        source: source.clone(),
        proven: Vec::new(),
        gaps: vec![FoundGap {
            window,
            has_end: true,
            reason: Reason::NotFollowed,
            detail: None,
        }],
        sweeps: Vec::new(),
    }
}
