//! What is proven of each source's time, and what is not, with the reason: the ledger's claims as answers.
//!
//! Computed anew for each question, from sealed windows. A claim is never about more than the ledger proves; where
//! nothing could be proven even by an empty answer (upstream keeps no more, kept nothing yet, or the account did not exist),
//! there is a gap whatever was scanned.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::health::{Board, Health, State};
use crate::ledger::{self, Aims, Sealed};
use crate::position::{Source, Window, rfc3339};
use crate::store::{Progress, SourceRow, Store, StoreError};

/// How many missing stretches an answer names; it says how many there are.
const MAX_MISSING: usize = 20;

/// What is asked about. Moments are widened to whole seconds.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// From when on; from each source's beginning if nobody says.
    pub since: Option<DateTime<Utc>>,
    /// Until when; until now if nobody says, and never longer.
    pub before: Option<DateTime<Utc>>,
    /// Which sources; all if none is named.
    pub sources: Vec<Source>,
}

/// What is proven of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCoverage {
    /// `organizations/ID` or `accounts/ID`.
    pub source: String,
    /// What is proven, the earliest first.
    pub intervals: Vec<Interval>,
    /// What is not, the earliest first.
    pub gaps: Vec<Gap>,
}

/// A stretch that is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Its first moment.
    pub since: String,
    /// The first moment after it.
    pub before: String,
    /// Whether its last sweep has been made.
    pub state: Proof,
    /// As of when: what upstream showed then is held.
    pub scanned_at: String,
    /// Entries its scans showed, as often as they did.
    pub entries: u64,
    /// Of those, entries that were not held before.
    pub new: u64,
}

/// How far a stretch is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Scanned, and scanned again after the last of the configured sweeps.
    Complete,
    /// Scanned, and due to be scanned again.
    Settling,
}

/// A stretch of which nothing is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its first moment.
    pub since: String,
    /// The first moment after it.
    pub before: String,
    /// Why.
    pub reason: Reason,
    /// More of the reason, for a person.
    pub detail: Option<String>,
}

/// Why nothing is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It will be scanned.
    NotYet,
    /// It is older than the configuration asks for.
    NotAskedFor,
    /// The source fails.
    Failing,
    /// The credential was refused.
    CredentialRefused,
    /// This machine's clock and upstream's differ, or a clock is behind what was read before.
    Clock,
    /// An entry in it is too large to take.
    EntryTooLarge,
    /// Upstream keeps entries for 18 months, and this is older.
    OlderThanUpstreamKeeps,
    /// Upstream did not keep such logs then.
    BeforeUpstreamKept,
    /// Upstream says that the account was made later.
    BeforeTheAccountExisted,
    /// The account had left its organization.
    Left,
    /// No such source is followed.
    NotFollowed,
    /// It is held, and not in this answer: the index is behind, or it arrived after the answer's first page.
    NotSearchableYet,
}

/// Whether an answer about a stretch of time is made of all there was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The weakest that holds for all of it.
    pub state: VerdictState,
    /// What is not proven, at most 20 stretches.
    pub missing: Vec<Missing>,
    /// How many there are.
    pub missing_total: usize,
}

/// How far an answer's stretch of time is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictState {
    /// Every moment of every source is complete.
    Complete,
    /// Every moment is proven, some not for the last time.
    Settling,
    /// Some moments are not proven.
    Partial,
}

/// A stretch of a source that is missing from an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The source; `null` for all.
    pub source: Option<String>,
    /// Its first moment; `null` when the question has no beginning.
    pub since: Option<String>,
    /// The first moment after it; `null` when the question has no end.
    pub before: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// What is proven of each source that is asked about, in the order of their names. Without a board nobody is polling.
///
/// # Errors
/// What the log says.
pub fn sources(
    store: &Store,
    board: Option<&Board>,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Vec<SourceCoverage>, StoreError> {
    let found = look(store, board, asked, now)?;
    Ok(found
        .into_iter()
        .map(|found| SourceCoverage {
            source: found.source.to_string(),
            intervals: intervals(&found),
            gaps: found
                .gaps
                .iter()
                .map(|gap| Gap {
                    since: rfc3339(gap.window.since),
                    before: rfc3339(gap.window.before),
                    reason: gap.reason,
                    detail: gap.detail.clone(),
                })
                .collect(),
        })
        .collect())
}

/// Whether what is held of the asked stretch is all there was.
///
/// # Errors
/// What the log says.
pub fn verdict(
    store: &Store,
    board: Option<&Board>,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Verdict, StoreError> {
    let found = look(store, board, asked, now)?;
    let missing_total = found.iter().map(|found| found.gaps.len()).sum();
    let missing: Vec<Missing> = found
        .iter()
        .flat_map(|found| found.gaps.iter().map(|gap| (&found.source, gap)))
        .take(MAX_MISSING)
        .map(|(source, gap)| Missing {
            source: Some(source.to_string()),
            since: Some(rfc3339(gap.window.since)),
            before: Some(rfc3339(gap.window.before)),
            reason: gap.reason,
        })
        .collect();
    let is_complete = |found: &Found| {
        found
            .proven
            .iter()
            .all(|piece| piece.is_complete(&found.sweeps))
    };
    let state = if missing_total > 0 || found.is_empty() {
        VerdictState::Partial
    } else if found.iter().all(is_complete) {
        VerdictState::Complete
    } else {
        VerdictState::Settling
    };
    Ok(Verdict {
        state,
        missing,
        missing_total,
    })
}

impl Verdict {
    /// The same about an answer from an index that does not have all yet that was held when this was worked out.
    #[must_use]
    pub fn from_an_index_behind(mut self, asked: &Asked) -> Self {
        self.state = VerdictState::Partial;
        self.missing_total += 1;
        self.missing.truncate(MAX_MISSING - 1);
        self.missing.insert(
            0,
            Missing {
                source: None,
                since: asked.since.map(rfc3339),
                before: asked.before.map(rfc3339),
                reason: Reason::NotSearchableYet,
            },
        );
        self
    }
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
    window: Window,
    reason: Reason,
    detail: Option<String>,
}

fn look(
    store: &Store,
    board: Option<&Board>,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Vec<Found>, StoreError> {
    let aims = store.aims()?;
    let mut rows = store.sources()?;
    if !asked.sources.is_empty() {
        rows.retain(|row| asked.sources.contains(&row.source));
    }
    let unknown = asked
        .sources
        .iter()
        .filter(|source| !rows.iter().any(|row| row.source == **source));
    let mut found: Vec<Found> = unknown
        .map(|source| not_followed(source, asked, now))
        .collect();
    for row in &rows {
        let progress = store.progress(&row.source)?;
        let health = board.map(|board| board.read(&row.source));
        let known = Known {
            row,
            progress: &progress,
            health: health.as_ref(),
            aims: aims.as_ref(),
            now,
        };
        found.push(known.look(asked));
    }
    found.sort_by(|a, b| a.source.cmp(&b.source));
    Ok(found)
}

fn not_followed(source: &Source, asked: &Asked, now: DateTime<Utc>) -> Found {
    let since = asked.since.unwrap_or_else(|| ledger::kept_since(now));
    let window = whole_seconds(since, asked.before.map_or(now, |before| before.min(now)));
    Found {
        source: source.clone(),
        proven: Vec::new(),
        gaps: vec![FoundGap {
            window,
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
    fn look(&self, asked: &Asked) -> Found {
        let range = whole_seconds(
            asked.since.unwrap_or_else(|| self.beginning()),
            asked.before.map_or(self.now, |before| before.min(self.now)),
        );
        let provable = Window {
            since: range.since.max(self.first_provable()),
            before: range.before,
        };
        let proven = cut(&self.progress.proven, provable);
        let gaps = if range.is_empty() {
            Vec::new()
        } else {
            ledger::open_parts(&proven, range)
                .into_iter()
                .flat_map(|part| self.explain(part))
                .collect()
        };
        Found {
            source: self.row.source.clone(),
            proven,
            gaps,
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
        let asked = self.backfill_floor().unwrap_or(self.row.first_seen_at);
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
            Some(ledger::kept_since(self.now)),
            self.backfill_floor(),
            self.row.left_at,
        ]
        .into_iter()
        .flatten()
        .map(|cut| Window::new(cut, cut).since)
        .collect();
        let too_large = self.progress.too_large.iter();
        cuts.extend(too_large.flat_map(|window| [window.since, window.before]));
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
                    reason,
                    detail,
                }),
            }
        }
        gaps
    }

    /// Why nothing is proven of a part that has one reason.
    fn reason(&self, part: Window) -> (Reason, Option<String>) {
        let until = |limit: DateTime<Utc>| part.since < Window::new(limit, limit).since;
        let is_in = |window: &Window| window.since <= part.since && part.before <= window.before;
        if self.progress.too_large.iter().any(is_in) {
            return (Reason::EntryTooLarge, None);
        }
        if self.row.created_at.is_some_and(until) {
            return (Reason::BeforeTheAccountExisted, None);
        }
        if until(ledger::began_keeping(self.row.source.kind())) {
            return (Reason::BeforeUpstreamKept, None);
        }
        if until(ledger::kept_since(self.now)) {
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

/// The proven stretches inside a range.
fn cut(proven: &[Sealed], range: Window) -> Vec<Sealed> {
    let first = proven.partition_point(|piece| piece.window.before <= range.since);
    proven[first..]
        .iter()
        .take_while(|piece| piece.window.since < range.before)
        .map(|piece| Sealed {
            window: Window {
                since: piece.window.since.max(range.since),
                before: piece.window.before.min(range.before),
            },
            ..piece.clone()
        })
        .collect()
}

/// Neighbours in the same state as one interval, as long as its `scanned_at`, the earliest of theirs, is after its end:
/// otherwise it would say nothing of that.
fn intervals(found: &Found) -> Vec<Interval> {
    let mut joined: Vec<(Proof, Sealed)> = Vec::new();
    for piece in &found.proven {
        let proof = if piece.is_complete(&found.sweeps) {
            Proof::Complete
        } else {
            Proof::Settling
        };
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
        .into_iter()
        .map(|(state, piece)| Interval {
            since: rfc3339(piece.window.since),
            before: rfc3339(piece.window.before),
            state,
            scanned_at: rfc3339(piece.scanned_at),
            entries: piece.counts.entries,
            new: piece.counts.new,
        })
        .collect()
}

/// The whole seconds that some stretch of time touches.
fn whole_seconds(since: DateTime<Utc>, before: DateTime<Utc>) -> Window {
    let second = TimeDelta::seconds(1);
    let up = before.duration_trunc(second).unwrap_or(before);
    let before = if up < before { up + second } else { before };
    Window::new(since, before)
}
