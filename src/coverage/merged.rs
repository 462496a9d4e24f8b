//! What is proven of the time of several sources together: at each moment the weakest that holds for any of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::asked::Asked;
use super::forms::Proof;
use super::found::Found;
use super::look::look;
use super::reason::{Reason, Weight};
use super::verdict::accounts_unknown;
use crate::engine::Scope;
use crate::health::Board;
use crate::position::{Source, rfc3339};
use crate::store::{Store, StoreError};

/// A stretch of time in which the same holds for all sources together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MergedStretch {
    /// Its first moment.
    #[schema(format = DateTime)]
    pub since: String,
    /// The first moment after it; `null` when it has no end: a clock is behind what was read, and the present is not known.
    #[schema(format = DateTime)]
    pub before: Option<String>,
    /// The weakest that holds for any of the sources.
    pub state: MergedState,
    /// Why something is missing: of several reasons, the one that matters most to a reader.
    pub reason: Option<Reason>,
    /// How many sources are in that state, for that reason; 0 when they are not known.
    pub sources: usize,
}

/// How far a stretch of several sources is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergedState {
    /// Every source is complete.
    Complete,
    /// Every source is proven, some not for the last time.
    Settling,
    /// Some source is not proven.
    Missing,
}

/// A source, and what upstream calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NamedSource {
    /// `organizations/ID` or `accounts/ID`.
    pub source: String,
    /// Its name; `null` where upstream gave none.
    pub name: Option<String>,
}

/// What is proven of several sources together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedSources {
    /// The stretches, in order.
    pub stretches: Vec<MergedStretch>,
    /// Where the next ones begin; `None` when these are all.
    pub next: Option<DateTime<Utc>>,
    /// The sources.
    pub sources: Vec<NamedSource>,
}

/// What is proven of all sources that are asked about, together: the first `max` stretches from `from` on.
///
/// # Errors
/// What the log says.
pub fn merged(
    store: &Store,
    board: Option<&Board>,
    scope: &Scope,
    asked: &Asked,
    from: Option<DateTime<Utc>>,
    max: usize,
    now: DateTime<Utc>,
) -> Result<MergedSources, StoreError> {
    let mut labels: BTreeMap<Source, Option<String>> = BTreeMap::new();
    for row in store.sources()? {
        labels.insert(row.source, row.label);
    }
    // Where no beginning is asked for, sources begin at different moments. All of them count from the first of these on: what is
    // not known of one of them is not proven.
    let since = match from.or(asked.since) {
        Some(since) => Some(since),
        None => beginning(store, board, scope, asked, now)?,
    };
    let asked = Asked {
        since,
        ..asked.clone()
    };
    let (mut moments, mut sources) = (Moments::new(max), Vec::new());
    look(store, board, scope, &asked, None, now, |found| {
        // The name of a source outside the scope is not told: it is answered as one that was never followed.
        let label = labels.get(&found.source).cloned().flatten();
        sources.push(NamedSource {
            source: found.source.to_string(),
            name: label.filter(|_| scope.has_source(&found.source)),
        });
        moments.add(&found);
        None::<()>
    })?;
    let beside = beside_all(store, board, scope, &asked, now)?;
    let (stretches, next) = moments.stretches(max, beside);
    Ok(MergedSources {
        stretches,
        next,
        sources,
    })
}

/// Why something may be missing of sources that are not known, and of how many organizations.
type Beside = Option<(Reason, usize)>;

fn beside_all(
    store: &Store,
    board: Option<&Board>,
    scope: &Scope,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Beside, StoreError> {
    if board.is_some_and(Board::has_unsaved) {
        return Ok(Some((Reason::NotFollowed, 0)));
    }
    let unknown = accounts_unknown(store, scope, asked, now)?.len();
    Ok((unknown > 0).then_some((Reason::AccountsUnknown, unknown)))
}

/// The first moment at which any of the sources begins.
fn beginning(
    store: &Store,
    board: Option<&Board>,
    scope: &Scope,
    asked: &Asked,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let mut first: Option<DateTime<Utc>> = None;
    look(store, board, scope, asked, None, now, |found| {
        let proven = found.proven.iter().map(|piece| piece.window);
        let windows = proven.chain(found.gaps.iter().map(|gap| gap.window));
        let begins = windows.map(|window| window.since).min();
        first = first.into_iter().chain(begins).min();
        None::<()>
    })?;
    Ok(first)
}

/// What holds for one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    Proven(bool),
    Missing(Reason),
}

/// The earliest moments at which something begins or ends to hold for some of the sources, as many as a page may need. Sources
/// are added one after the other, so that memory does not grow with their number.
struct Moments {
    /// By how many sources more each holds from there on.
    changes: BTreeMap<DateTime<Utc>, Vec<(Holds, i64)>>,
    most: usize,
    /// Moments from here on were left out.
    left_out: Option<DateTime<Utc>>,
}

impl Moments {
    /// For a page of `max` stretches. Many moments change nothing for all sources together, so there is room for more.
    fn new(max: usize) -> Self {
        Self {
            changes: BTreeMap::new(),
            most: max.saturating_mul(2).max(2),
            left_out: None,
        }
    }

    fn add(&mut self, found: &Found) {
        for piece in &found.proven {
            let is_complete = Proof::of(piece, &found.sweeps) == Proof::Complete;
            let before = Some(piece.window.before);
            self.add_stretch(piece.window.since, before, Holds::Proven(is_complete));
        }
        for gap in &found.gaps {
            let before = gap.has_end.then_some(gap.window.before);
            self.add_stretch(gap.window.since, before, Holds::Missing(gap.reason));
        }
    }

    /// Adds what holds for one source, to the end of the question where it has no end itself.
    fn add_stretch(&mut self, since: DateTime<Utc>, before: Option<DateTime<Utc>>, holds: Holds) {
        if before.is_none_or(|before| since < before) {
            self.change(since, holds, 1);
            if let Some(before) = before {
                self.change(before, holds, -1);
            }
        }
    }

    fn change(&mut self, at: DateTime<Utc>, holds: Holds, by: i64) {
        if self.left_out.is_some_and(|left_out| at >= left_out) {
            return;
        }
        let changes = self.changes.entry(at).or_default();
        match changes.iter_mut().find(|(other, _)| *other == holds) {
            Some((_, n)) => *n += by,
            None => changes.push((holds, by)),
        }
        if self.changes.len() > self.most {
            self.left_out = self.changes.pop_last().map(|(at, _)| at);
        }
    }

    /// The first `max` stretches between the moments, and where the next one begins.
    fn stretches(self, max: usize, beside: Beside) -> (Vec<MergedStretch>, Option<DateTime<Utc>>) {
        let mut stretches: Vec<MergedStretch> = Vec::new();
        let mut holding: BTreeMap<Holds, i64> = BTreeMap::new();
        let mut moments = self.changes.into_iter().peekable();
        while let Some((at, changes)) = moments.next() {
            for (holds, by) in changes {
                *holding.entry(holds).or_default() += by;
            }
            holding.retain(|_, n| *n > 0);
            let next = moments.peek().map(|(next, _)| *next);
            if next.is_none() && self.left_out.is_some() {
                return (stretches, Some(at));
            }
            let Some((state, reason, sources)) = weakest(&holding, beside) else {
                continue;
            };
            let (since, before) = (rfc3339(at), next.map(rfc3339));
            let is_full = stretches.len() >= max;
            match stretches.last_mut() {
                Some(last)
                    if (last.state, last.reason, last.sources) == (state, reason, sources)
                        && last.before.as_ref() == Some(&since) =>
                {
                    last.before = before;
                }
                _ if is_full => return (stretches, Some(at)),
                _ => stretches.push(MergedStretch {
                    since,
                    before,
                    state,
                    reason,
                    sources,
                }),
            }
        }
        (stretches, None)
    }
}

/// The weakest of what holds, and for how many sources; `None` when nothing does. Where sources may be missing, nothing is proven
/// of all of them.
fn weakest(
    holding: &BTreeMap<Holds, i64>,
    beside: Beside,
) -> Option<(MergedState, Option<Reason>, usize)> {
    let count = |n: i64| usize::try_from(n).unwrap_or_default();
    let missing = holding.iter().filter_map(|(holds, n)| match holds {
        Holds::Missing(reason) => Some((*reason, count(*n))),
        Holds::Proven(_) => None,
    });
    let heaviest = missing.max_by_key(|(reason, n)| {
        let weight = match reason.weight() {
            Weight::ByDesign => 0,
            Weight::Held => 1,
            Weight::OnItsWay => 2,
            Weight::Loss => 3,
        };
        (weight, *n)
    });
    let proven = |is_complete| holding.get(&Holds::Proven(is_complete)).copied().map(count);
    let weakest = heaviest
        .map(|(reason, n)| (MergedState::Missing, Some(reason), n))
        .or_else(|| proven(false).map(|n| (MergedState::Settling, None, n)))
        .or_else(|| proven(true).map(|n| (MergedState::Complete, None, n)))?;
    Some(match (weakest, beside) {
        ((MergedState::Complete | MergedState::Settling, ..), Some((reason, n))) => {
            (MergedState::Missing, Some(reason), n)
        }
        (weakest, _) => weakest,
    })
}

#[cfg(test)]
mod tests {
    use super::super::found::FoundGap;
    use super::*;
    use crate::position::Window;

    const COMPLETE: Holds = Holds::Proven(true);

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap_or_default()
    }

    /// The merged stretches of a page of at most `max`, given as pairs of seconds, and where the next page begins.
    fn told(
        given: &[(i64, Option<i64>, Holds)],
        max: usize,
        beside: Beside,
    ) -> (Vec<String>, Option<i64>) {
        let mut moments = Moments::new(max);
        for (since, before, holds) in given {
            moments.add_stretch(at(*since), before.map(at), *holds);
        }
        assert!(moments.changes.len() <= 2 * max);
        let (stretches, next) = moments.stretches(max, beside);
        let second = |text: &str| text[17..19].to_owned();
        let told = stretches.iter().map(|one| {
            let reason = one.reason.map_or("", Reason::words);
            let before = one.before.as_deref().map(second).unwrap_or_default();
            let since = second(&one.since);
            format!("{since}-{before} {:?} {reason} {}", one.state, one.sources)
        });
        (told.collect(), next.map(|next| next.timestamp()))
    }

    /// Those of two sources.
    fn two_sources() -> Vec<(i64, Option<i64>, Holds)> {
        vec![
            (0, Some(10), COMPLETE),
            (10, Some(20), Holds::Proven(false)),
            (20, Some(30), Holds::Missing(Reason::NotYet)),
            (0, Some(5), Holds::Missing(Reason::BeforeTheAccountExisted)),
            (5, Some(22), COMPLETE),
            (22, Some(30), Holds::Missing(Reason::Failing)),
        ]
    }

    #[test]
    fn at_each_moment_the_weakest_counts() {
        let all = [
            "00-05 Missing before the account existed 1",
            "05-10 Complete  2",
            "10-20 Settling  1",
            "20-22 Missing not scanned yet 1",
            "22-30 Missing failing 1",
        ];
        assert_eq!(
            told(&two_sources(), 10, None),
            (all.map(String::from).to_vec(), None)
        );
        let first = all[..2].iter().map(|one| (*one).to_owned()).collect();
        assert_eq!(told(&two_sources(), 2, None), (first, Some(10)));
    }

    #[test]
    fn a_page_keeps_no_more_moments_than_it_needs_and_the_next_one_goes_on() {
        let many = (0..20).map(|n| (n, Some(n + 1), Holds::Proven(n % 2 == 0)));
        let mut many: Vec<_> = many.collect();
        // Their order is that of the sources, not that of time.
        many.reverse();
        let (mut stretches, mut from) = (Vec::new(), 0);
        for _ in 0..20 {
            let rest: Vec<_> = many.iter().copied().filter(|one| one.0 >= from).collect();
            let (page, next) = told(&rest, 3, None);
            stretches.extend(page);
            let Some(next) = next else { break };
            assert!(next > from);
            from = next;
        }
        assert_eq!(stretches.len(), 20);
        assert_eq!(stretches.last().unwrap(), "19-20 Settling  1");
    }

    #[test]
    fn a_gap_without_an_end_has_none_in_the_coverage_of_all_sources() {
        let window = |since, before| Window {
            since: at(since),
            before: at(before),
        };
        let found = Found {
            source: Source::account("a").unwrap(),
            proven: Vec::new(),
            gaps: vec![FoundGap {
                window: window(10, 15),
                has_end: false,
                reason: Reason::Clock,
                detail: None,
            }],
            sweeps: Vec::new(),
        };
        let mut moments = Moments::new(10);
        moments.add(&found);
        moments.add_stretch(at(0), Some(at(30)), COMPLETE);
        let (stretches, next) = moments.stretches(10, None);
        let told = stretches
            .iter()
            .map(|one| (one.state, one.before.is_some()));
        let (complete, missing) = (MergedState::Complete, MergedState::Missing);
        assert_eq!(
            told.collect::<Vec<_>>(),
            [(complete, true), (missing, false)]
        );
        assert_eq!(next, None);
    }

    #[test]
    fn where_sources_may_be_missing_nothing_is_complete_of_all() {
        let beside = Some((Reason::AccountsUnknown, 1));
        let (stretches, _) = told(&two_sources(), 10, beside);
        let unknown = Reason::AccountsUnknown.words();
        let expected = [
            "00-05 Missing before the account existed 1".to_owned(),
            format!("05-20 Missing {unknown} 1"),
            "20-22 Missing not scanned yet 1".to_owned(),
            "22-30 Missing failing 1".to_owned(),
        ];
        assert_eq!(stretches, expected);
    }
}
