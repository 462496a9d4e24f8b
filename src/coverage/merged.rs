//! What is proven of the time of several sources together: at each moment the weakest that holds for any of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Asked, Found, Proof, Reason, Weight, look};
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
    /// The first moment after it.
    #[schema(format = DateTime)]
    pub before: String,
    /// The weakest that holds for any of the sources.
    pub state: MergedState,
    /// Why something is missing: of several reasons, the one that matters most to a reader.
    pub reason: Option<Reason>,
    /// How many sources are in that state, for that reason.
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
    let (mut changes, mut sources) = (Vec::new(), Vec::new());
    look(store, board, scope, &asked, None, now, |found| {
        // The name of a source outside the scope is not told: it is answered as one that was never followed.
        let label = labels.get(&found.source).cloned().flatten();
        sources.push(NamedSource {
            source: found.source.to_string(),
            name: label.filter(|_| scope.has_source(&found.source)),
        });
        changes.extend(changes_of(&found));
        None::<()>
    })?;
    changes.sort_unstable_by_key(|change| change.at);
    let (stretches, next) = stretches(&changes, max);
    Ok(MergedSources {
        stretches,
        next,
        sources,
    })
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

/// That something begins or ends to hold for one more source.
struct CoverageChange {
    at: DateTime<Utc>,
    begins: bool,
    holds: Holds,
}

fn changes_of(found: &Found) -> Vec<CoverageChange> {
    let proven = found.proven.iter().map(|piece| {
        let is_complete = Proof::of(piece, &found.sweeps) == Proof::Complete;
        (piece.window, Holds::Proven(is_complete))
    });
    let gaps = found
        .gaps
        .iter()
        .map(|gap| (gap.window, Holds::Missing(gap.reason)));
    let change = |at, begins, holds| CoverageChange { at, begins, holds };
    proven
        .chain(gaps)
        .filter(|(window, _)| window.since < window.before)
        .flat_map(|(window, holds)| {
            [
                change(window.since, true, holds),
                change(window.before, false, holds),
            ]
        })
        .collect()
}

/// The first `max` stretches between changes, which are in order, and where the next one begins.
fn stretches(
    changes: &[CoverageChange],
    max: usize,
) -> (Vec<MergedStretch>, Option<DateTime<Utc>>) {
    let mut stretches: Vec<MergedStretch> = Vec::new();
    let mut holding: BTreeMap<Holds, usize> = BTreeMap::new();
    let at_once = changes.chunk_by(|a, b| a.at == b.at);
    let mut at_once = at_once.peekable();
    while let Some(now) = at_once.next() {
        for CoverageChange { begins, holds, .. } in now {
            let n = holding.entry(*holds).or_default();
            *n = if *begins { *n + 1 } else { n.saturating_sub(1) };
        }
        holding.retain(|_, n| *n > 0);
        let (Some(next), Some((state, reason, sources))) = (at_once.peek(), weakest(&holding))
        else {
            continue;
        };
        let since = rfc3339(now[0].at);
        let before = rfc3339(next[0].at);
        let is_full = stretches.len() >= max;
        match stretches.last_mut() {
            Some(last)
                if (last.state, last.reason, last.sources) == (state, reason, sources)
                    && last.before == since =>
            {
                last.before = before;
            }
            _ if is_full => return (stretches, Some(now[0].at)),
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

/// The weakest of what holds, and for how many sources; `None` when nothing does.
fn weakest(holding: &BTreeMap<Holds, usize>) -> Option<(MergedState, Option<Reason>, usize)> {
    let missing = holding.iter().filter_map(|(holds, n)| match holds {
        Holds::Missing(reason) => Some((*reason, *n)),
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
    let proven = |is_complete| holding.get(&Holds::Proven(is_complete)).copied();
    heaviest
        .map(|(reason, n)| (MergedState::Missing, Some(reason), n))
        .or_else(|| proven(false).map(|n| (MergedState::Settling, None, n)))
        .or_else(|| proven(true).map(|n| (MergedState::Complete, None, n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_each_moment_the_weakest_counts() {
        let change = |at, begins, holds| CoverageChange {
            at: DateTime::from_timestamp(at, 0).unwrap_or_default(),
            begins,
            holds,
        };
        let complete = Holds::Proven(true);
        let mut changes = Vec::new();
        let mut add = |since, before, holds| {
            changes.push(change(since, true, holds));
            changes.push(change(before, false, holds));
        };
        // One source.
        add(0, 10, complete);
        add(10, 20, Holds::Proven(false));
        add(20, 30, Holds::Missing(Reason::NotYet));
        // Another one.
        add(0, 5, Holds::Missing(Reason::BeforeTheAccountExisted));
        add(5, 22, complete);
        add(22, 30, Holds::Missing(Reason::Failing));
        changes.sort_by_key(|change| change.at);
        let told = |max| {
            let (stretches, next) = stretches(&changes, max);
            let told = stretches.iter().map(|one| {
                let reason = one.reason.map_or("", Reason::words);
                let second = |text: &str| text[17..19].to_owned();
                format!(
                    "{}-{} {:?} {reason} {}",
                    second(&one.since),
                    second(&one.before),
                    one.state,
                    one.sources
                )
            });
            (told.collect::<Vec<_>>(), next.map(|next| next.timestamp()))
        };
        let all = [
            "00-05 Missing before the account existed 1",
            "05-10 Complete  2",
            "10-20 Settling  1",
            "20-22 Missing not scanned yet 1",
            "22-30 Missing failing 1",
        ];
        assert_eq!(told(10), (all.map(String::from).to_vec(), None));
        assert_eq!(
            told(2),
            (
                all[..2].iter().map(|one| (*one).to_owned()).collect(),
                Some(10)
            )
        );
    }
}
