//! What is proven of each source's time, and what is not, with the reason: the ledger's claims as answers.
//!
//! Computed anew for each question, from sealed windows. A claim is never about more than the ledger proves; where
//! nothing could be proven even by an empty answer (upstream keeps no more, kept nothing yet, or the account did not exist),
//! there is a gap whatever was scanned.

mod beyond;
mod erased;
mod merged;
mod reason;
mod stretch;
mod verdict;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::merged::{MergedSources, MergedState, MergedStretch, NamedSource, merged};
pub use self::reason::{Reason, Weight};
use self::stretch::{cut, whole_seconds};
pub use self::verdict::{
    Missing, MissingTotal, Verdict, VerdictState, accounts_unknown, stretches, verdict,
};
use crate::engine::Scope;
use crate::health::{Board, Health, State};
use crate::invariant;
use crate::ledger::{self, Aims, Sealed};
use crate::position::{Source, Window, rfc3339};
use crate::store::{GapCause, Progress, SourceRow, Store, StoreError};

/// What is asked about. Moments are widened to whole seconds.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Start of the range; default: the beginning of each source.
    pub since: Option<DateTime<Utc>>,
    /// End of the range; default: now. What comes after now is a gap.
    pub before: Option<DateTime<Utc>>,
    /// Which sources; all if none is named.
    pub sources: Vec<Source>,
}

/// What is proven of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceCoverage {
    /// `organizations/ID` or `accounts/ID`.
    pub source: String,
    /// What is proven, the earliest first.
    pub intervals: Vec<Interval>,
    /// What is not, the earliest first.
    pub gaps: Vec<Gap>,
}

/// A stretch that is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Interval {
    /// Its first moment.
    #[schema(format = DateTime)]
    pub since: String,
    /// The first moment after it.
    #[schema(format = DateTime)]
    pub before: String,
    /// Whether its last sweep has been made.
    pub state: Proof,
    /// As of when: what upstream showed then is held.
    #[schema(format = DateTime)]
    pub scanned_at: String,
    /// Entries its scans showed, as often as they did.
    pub entries: u64,
    /// Of those, entries that were not held before.
    pub new: u64,
}

/// How far a stretch is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Scanned, and scanned again after the last of the configured sweeps.
    Complete,
    /// Scanned, and due to be scanned again.
    Settling,
}

impl Proof {
    /// That of a piece, of a source with these sweeps.
    fn of(piece: &Sealed, sweeps: &[TimeDelta]) -> Self {
        if piece.is_complete(sweeps) {
            Self::Complete
        } else {
            Self::Settling
        }
    }
}

/// A stretch of which nothing is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gap {
    /// Its first moment.
    #[schema(format = DateTime)]
    pub since: String,
    /// The first moment after it; `null` when it has no end: the clock is behind what was read, and the present is not known.
    #[schema(format = DateTime)]
    pub before: Option<String>,
    /// Why.
    pub reason: Reason,
    /// More of the reason, for a person.
    pub detail: Option<String>,
}

/// Where a page of the answer begins: with what this source has from that moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The source.
    pub source: Source,
    /// The moment; `None` for all that was asked about.
    pub since: Option<DateTime<Utc>>,
}

/// A page of what is proven of each source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Sources in the order of their names. One that does not fit on the page goes on on the next.
    pub sources: Vec<SourceCoverage>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Start>,
}

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

/// What was found out about a source's asked stretch.
struct Found {
    source: Source,
    /// Proven stretches, cut to what was asked.
    proven: Vec<Sealed>,
    gaps: Vec<FoundGap>,
    sweeps: Vec<TimeDelta>,
}

struct FoundGap {
    /// Of one without an end: as much of it as is known.
    window: Window,
    has_end: bool,
    reason: Reason,
    detail: Option<String>,
}

impl Gap {
    /// When it is, in words.
    #[must_use]
    pub fn stretch(&self) -> String {
        match &self.before {
            Some(before) => format!("from {} to {before}", self.since),
            None => format!("from {} on", self.since),
        }
    }
}

impl FoundGap {
    fn end(&self) -> Option<String> {
        self.has_end.then(|| rfc3339(self.window.before))
    }
}

impl From<Source> for Start {
    fn from(source: Source) -> Self {
        Self {
            source,
            since: None,
        }
    }
}

impl Found {
    /// Whether the last of the sweeps was made of a proven stretch.
    fn is_complete(&self, piece: &Sealed) -> bool {
        piece.is_complete(&self.sweeps)
    }

    /// Its first `max` intervals and gaps, and from where on the others are.
    fn coverage(&self, max: usize) -> (SourceCoverage, Option<DateTime<Utc>>) {
        let mut intervals = intervals(self);
        let mut gaps: &[FoundGap] = &self.gaps;
        let mut rest = None;
        if intervals.len() + gaps.len() > max {
            // Together they are the whole stretch, piece after piece: what begins first is on this page.
            let mut begins: Vec<DateTime<Utc>> = (intervals.iter().map(|(_, piece)| piece.window))
                .chain(gaps.iter().map(|gap| gap.window))
                .map(|window| window.since)
                .collect();
            begins.sort_unstable();
            let cut = begins[max];
            intervals.retain(|(_, piece)| piece.window.since < cut);
            gaps = &gaps[..gaps.partition_point(|gap| gap.window.since < cut)];
            rest = Some(cut);
        }
        let gap = |gap: &FoundGap| Gap {
            since: rfc3339(gap.window.since),
            before: gap.end(),
            reason: gap.reason,
            detail: gap.detail.clone(),
        };
        let coverage = SourceCoverage {
            source: self.source.to_string(),
            intervals: intervals.into_iter().map(as_interval).collect(),
            gaps: gaps.iter().map(gap).collect(),
        };
        (coverage, rest)
    }
}

/// Looks at one source after the other, in the order of their names, until `take` gives something.
fn look<T>(
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

/// What is known of a source.
struct Known<'a> {
    row: &'a SourceRow,
    progress: &'a Progress,
    health: Option<&'a Health>,
    aims: Option<&'a Aims>,
    now: DateTime<Utc>,
}

impl Known<'_> {
    /// What is to be said of what is asked about, from a moment on if one is given.
    fn look(&self, asked: &Asked, from: Option<DateTime<Utc>>) -> Found {
        // What was read is in the past, whatever our clock says.
        let present = self.read_beyond_our_clock().unwrap_or(self.now);
        let range = whole_seconds(
            from.or(asked.since).unwrap_or_else(|| self.beginning()),
            asked.before.map_or(present, |before| before.min(present)),
        );
        let provable = Window {
            since: range.since.max(self.first_provable()),
            before: range.before,
        };
        let proven = erased::without(cut(&self.progress.proven, provable), self.row);
        let mut gaps: Vec<FoundGap> = ledger::open_parts(&proven, range)
            .into_iter()
            .flat_map(|part| self.explain(part))
            .collect();
        gaps.extend(self.beyond_the_present(asked, range, &gaps));
        for gap in &gaps {
            // They do not overlap and have the earliest first: the first that ends in the gap or after it tells.
            let at = proven.partition_point(|piece| piece.window.before <= gap.window.since);
            let is_apart = |piece: &Sealed| gap.window.before <= piece.window.since;
            invariant!(
                GapsAreNotProven,
                proven.get(at).is_none_or(is_apart),
                "{} of {} is a gap, and a part of it is proven",
                gap.window,
                self.row.source
            );
        }
        Found {
            source: self.row.source.clone(),
            proven,
            gaps,
            // No stretch is read before the sweeps are saved.
            sweeps: self
                .aims
                .map(|aims| aims.sweeps.clone())
                .unwrap_or_default(),
        }
    }

    /// Where nothing could be missing before.
    fn first_provable(&self) -> DateTime<Utc> {
        let began = ledger::began_keeping(self.row.source.kind());
        self.row
            .created_at
            .map_or(began, |created| began.max(created))
    }

    /// Where a question begins that does not say: where history was asked for from, or earlier where more is held.
    fn beginning(&self) -> DateTime<Utc> {
        let asked = self.backfill_floor();
        // Without a configured `backfill_since`, the question is about all that can be proven.
        let asked = asked.unwrap_or_else(|| self.first_provable());
        let held = self.progress.proven.first().map(|piece| piece.window.since);
        held.map_or(asked, |held| held.min(asked))
            .max(self.first_provable())
    }

    fn backfill_floor(&self) -> Option<DateTime<Utc>> {
        let start = self.progress.live_since.unwrap_or(self.row.first_seen_at);
        Some(self.aims?.backfill_since.resolve(start))
    }

    /// A part that is not proven, cut where the reason changes.
    fn explain(&self, part: Window) -> Vec<FoundGap> {
        let mut cuts: Vec<DateTime<Utc>> = [
            Some(ledger::began_keeping(self.row.source.kind())),
            self.row.created_at,
            Some(ledger::claimable_since(self.now)),
            self.backfill_floor(),
            self.row.left_at,
            erased::stretch(self.row).map(|erased| erased.since),
            erased::stretch(self.row).map(|erased| erased.before),
        ]
        .into_iter()
        .flatten()
        .map(|cut| Window::new(cut, cut).since)
        .collect();
        let passed = self.passed_within(part).iter();
        cuts.extend(passed.flat_map(|(window, _)| [window.since, window.before]));
        cuts.retain(|cut| *cut > part.since && *cut < part.before);
        cuts.extend([part.since, part.before]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut gaps: Vec<FoundGap> = Vec::new();
        for bound in cuts.windows(2) {
            let window = Window {
                since: bound[0],
                before: bound[1],
            };
            let (reason, detail) = self.reason(window);
            match gaps.last_mut() {
                Some(last) if last.reason == reason => last.window.before = window.before,
                _ => gaps.push(FoundGap {
                    window,
                    has_end: true,
                    reason,
                    detail,
                }),
            }
        }
        gaps
    }

    /// The passed stretches that overlap a part. They are in order, and do not overlap each other.
    fn passed_within(&self, part: Window) -> &[(Window, GapCause)] {
        let gaps = &self.progress.gaps;
        let rest = &gaps[gaps.partition_point(|(gap, _)| gap.before <= part.since)..];
        &rest[..rest.partition_point(|(gap, _)| gap.since < part.before)]
    }

    /// Why nothing is proven of a part that has one reason.
    fn reason(&self, part: Window) -> (Reason, Option<String>) {
        let until = |limit: DateTime<Utc>| part.since < Window::new(limit, limit).since;
        let is_in = |window: &Window| window.since <= part.since && part.before <= window.before;
        if erased::stretch(self.row).is_some_and(|erased| is_in(&erased)) {
            return (Reason::Erased, None);
        }
        let mut passed = self.passed_within(part).iter();
        if let Some((_, cause)) = passed.find(|(window, _)| is_in(window)) {
            return (Reason::from(*cause), None);
        }
        if self.row.created_at.is_some_and(until) {
            return (Reason::BeforeTheAccountExisted, None);
        }
        if until(ledger::began_keeping(self.row.source.kind())) {
            return (Reason::BeforeUpstreamKept, None);
        }
        if until(ledger::claimable_since(self.now)) {
            return (Reason::OlderThanUpstreamKeeps, None);
        }
        if self.backfill_floor().is_some_and(until) {
            return (Reason::NotAskedFor, None);
        }
        if self.row.left_at.is_some_and(|left| !until(left)) {
            return (Reason::Left, None);
        }
        self.trouble().unwrap_or((Reason::NotYet, None))
    }

    /// What keeps the source from going on.
    fn trouble(&self) -> Option<(Reason, Option<String>)> {
        let health = self.health?;
        // A source that was only heard of, or is not configured any more, has no poller that writes its interval down.
        if health.interval.is_none() {
            return Some((Reason::NotFollowed, None));
        }
        let reason = match health.state {
            State::Refused => Reason::CredentialRefused,
            State::Clock => Reason::Clock,
            State::Failing => Reason::Failing,
            _ => return None,
        };
        let since = health.failing_since.map(rfc3339).unwrap_or_default();
        let said = health
            .last_error
            .as_ref()
            .map(|error| error.message.as_str());
        Some((
            reason,
            Some(format!("since {since}: {}", said.unwrap_or_default())),
        ))
    }
}

/// Neighbours in the same state as one interval, as long as its `scanned_at`, the earliest of theirs, is after its end:
/// otherwise it would say nothing of that.
fn intervals(found: &Found) -> Vec<(Proof, Sealed)> {
    let mut joined: Vec<(Proof, Sealed)> = Vec::new();
    for piece in &found.proven {
        let proof = Proof::of(piece, &found.sweeps);
        if let Some((last_proof, last)) = joined.last_mut()
            && *last_proof == proof
            && last.window.before == piece.window.since
            && last.scanned_at.min(piece.scanned_at) >= piece.window.before
        {
            *last = last.followed_by(piece);
            continue;
        }
        joined.push((proof, piece.clone()));
    }
    joined
}

fn as_interval((state, piece): (Proof, Sealed)) -> Interval {
    Interval {
        since: rfc3339(piece.window.since),
        before: rfc3339(piece.window.before),
        state,
        scanned_at: rfc3339(piece.scanned_at),
        entries: piece.counts.entries,
        new: piece.counts.new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_one_name_in_answers_and_metrics() {
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at, "{reason:?}");
            let in_answers = serde_json::to_value(reason).unwrap();
            assert_eq!(in_answers, reason.as_str());
        }
    }
}
