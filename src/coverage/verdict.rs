//! Whether an answer is made of all there was: what is missing of the question's own stretch of time, and why.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::Asked;
use super::found::Found;
use super::look::look;
use super::reason::Reason;
use crate::engine::Scope;
use crate::health::Board;
use crate::position::{Source, Window, rfc3339};
use crate::store::{Store, StoreError};

/// How many missing stretches an answer names; it says how many there are.
const MAX_MISSING: usize = 20;

/// How old an organization's list of accounts may be. With an older one, there may be accounts that are not followed yet.
const LIST_GOOD_FOR: TimeDelta = TimeDelta::days(1);

/// A list may be so much younger than a question: a question keeps its present from page to page.
const LIST_AHEAD: TimeDelta = TimeDelta::hours(1);

/// Whether an answer about a stretch of time is made of all there was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CoverageOfAnswer)]
pub struct Verdict {
    /// The weakest that holds for all of it.
    pub state: VerdictState,
    /// What is not proven, at most 20 stretches.
    pub missing: Vec<Missing>,
    /// How many there are.
    pub missing_total: usize,
    /// Totals of all of them by reason: they tell the newest minute from a loss.
    pub missing_by_reason: BTreeMap<Reason, MissingTotal>,
}

/// All that is missing from an answer for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingTotal {
    /// How many stretches.
    pub stretches: usize,
    /// How many sources they are of; 0 when they are of no source in particular.
    pub sources: usize,
    /// How many seconds of the sources' time they are, all together; `null` when that is not known.
    pub seconds: Option<i64>,
    /// The longest of them, in seconds; `null` when that is not known.
    pub longest_seconds: Option<i64>,
    /// Where the earliest begins; `null` when the question has no beginning.
    #[schema(format = DateTime)]
    pub since: Option<String>,
    /// Where the latest ends; `null` when the question has no end.
    #[schema(format = DateTime)]
    pub before: Option<String>,
}

/// How far an answer's stretch of time is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CoverageState)]
pub enum VerdictState {
    /// Every moment of every source is complete.
    Complete,
    /// Every moment is proven, some not for the last time.
    Settling,
    /// Some moments are not proven.
    Partial,
}

/// A stretch of a source that is missing from an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Missing {
    /// The source; `null` for all.
    pub source: Option<String>,
    /// Its first moment; `null` when the question has no beginning.
    #[schema(format = DateTime)]
    pub since: Option<String>,
    /// The first moment after it; `null` when the question has no end.
    #[schema(format = DateTime)]
    pub before: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Whether what is held of the asked stretch is all there was.
///
/// # Errors
/// What the log says.
pub fn verdict(
    store: &Store,
    board: Option<&Board>,
    scope: &Scope,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Verdict, StoreError> {
    let mut verdict = Verdict {
        state: VerdictState::Partial,
        missing: Vec::new(),
        missing_total: 0,
        missing_by_reason: BTreeMap::new(),
    };
    let (mut is_any, mut is_complete) = (false, true);
    look(store, board, scope, asked, None, now, |found| {
        is_any = true;
        is_complete &= found.proven.iter().all(|piece| found.is_complete(piece));
        verdict.count(&found);
        None::<()>
    })?;
    verdict.state = match (verdict.missing_total, is_any, is_complete) {
        (1.., ..) | (_, false, _) => VerdictState::Partial,
        (_, _, true) => VerdictState::Complete,
        _ => VerdictState::Settling,
    };
    // What is followed and how is not saved: sources may be missing from the log, and its sweeps may be old ones.
    if board.is_some_and(Board::has_unsaved) {
        verdict.add(None, asked, Reason::NotFollowed);
    }
    for organization in accounts_unknown(store, scope, asked, now)? {
        verdict.add(Some(&organization), asked, Reason::AccountsUnknown);
    }
    Ok(verdict)
}

/// For a question over all sources: the organizations whose list of accounts was never read completely, or too long ago.
/// They may have accounts that are not followed.
///
/// # Errors
/// What the log says.
pub fn accounts_unknown(
    store: &Store,
    scope: &Scope,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Vec<Source>, StoreError> {
    if !asked.sources.is_empty() {
        return Ok(Vec::new());
    }
    let mut lists = store.account_lists()?;
    lists.retain(|(organization, _)| scope.has_source(organization));
    // A list that was read later than now was read while the clock was ahead: how old it is is not known.
    lists.retain(|(_, read_at)| {
        read_at.is_none_or(|read_at| now - read_at > LIST_GOOD_FOR || read_at - now > LIST_AHEAD)
    });
    Ok(lists.into_iter().map(|(source, _)| source).collect())
}

/// The unbroken ranges of time, of those asked about, that are proven, the earliest first, and whether some of it will be read
/// again; the question names one source.
///
/// # Errors
/// What the log says.
pub fn stretches(
    store: &Store,
    board: Option<&Board>,
    scope: &Scope,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<(Vec<Window>, bool), StoreError> {
    let (mut joined, mut is_settling): (Vec<Window>, bool) = (Vec::new(), false);
    look(store, board, scope, asked, None, now, |found| {
        for piece in &found.proven {
            is_settling |= !found.is_complete(piece);
            match joined.last_mut() {
                Some(last) if last.before >= piece.window.since => {
                    last.before = last.before.max(piece.window.before);
                }
                _ => joined.push(piece.window),
            }
        }
        None::<()>
    })?;
    Ok((joined, is_settling))
}

impl Verdict {
    /// The same about an answer from an index that does not have all yet that was held when this was worked out.
    #[must_use]
    pub fn from_an_index_behind(mut self, asked: &Asked) -> Self {
        self.add(None, asked, Reason::NotSearchableYet);
        self
    }

    /// Counts what is missing of a source.
    fn count(&mut self, found: &Found) {
        self.missing_total += found.gaps.len();
        let mut reasons = BTreeSet::new();
        for gap in &found.gaps {
            let (since, before) = (rfc3339(gap.window.since), gap.end());
            let total = self.missing_by_reason.entry(gap.reason).or_default();
            total.stretches += 1;
            total.sources += usize::from(reasons.insert(gap.reason));
            let seconds = gap.window.span().num_seconds();
            total.seconds = Some(total.seconds.unwrap_or_default().saturating_add(seconds));
            total.longest_seconds = total.longest_seconds.max(Some(seconds));
            // Whole seconds in UTC: their texts have the order of the times.
            let earliest = total
                .since
                .take()
                .map_or_else(|| since.clone(), |one| one.min(since.clone()));
            // The one without an end is the latest.
            let is_first = total.stretches == 1;
            let latest = match (total.before.take(), &before) {
                (Some(one), Some(other)) => Some(one.max(other.clone())),
                (None, other) if is_first => other.clone(),
                _ => None,
            };
            (total.since, total.before) = (Some(earliest), latest);
            if self.missing.len() < MAX_MISSING {
                self.missing.push(Missing {
                    source: Some(found.source.to_string()),
                    since: Some(since),
                    before,
                    reason: gap.reason,
                });
            }
        }
    }

    /// Adds that something of the whole question is missing.
    fn add(&mut self, source: Option<&Source>, asked: &Asked, reason: Reason) {
        let (since, before) = (asked.since.map(rfc3339), asked.before.map(rfc3339));
        self.state = VerdictState::Partial;
        self.missing_total += 1;
        let total = self.missing_by_reason.entry(reason).or_default();
        total.stretches += 1;
        total.sources += usize::from(source.is_some());
        (total.since, total.before) = (since.clone(), before.clone());
        self.missing.truncate(MAX_MISSING - 1);
        let missing = Missing {
            source: source.map(ToString::to_string),
            since,
            before,
            reason,
        };
        self.missing.insert(0, missing);
    }
}
