//! Stretches that were passed without a proof: what several passes say of each moment, and what is left of them.
//!
//! A stretch is passed again at each sweep, once for each of the few seconds that one bad entry spoils. Folded, there is one
//! row for each stretch that is still unread. Proven and passed stretches are both in order and without overlap, so they
//! are walked together.

use chrono::{DateTime, TimeDelta, Utc};

use super::parts::{open_parts, overlapping, unread_parts};
use super::sealed::{Sealed, each_stretch};
use crate::position::{Window, WindowKind};

/// Neighbours are merged when they were first passed, and last passed, within so much time: what one entry spoils is passed
/// within minutes.
const TOGETHER: TimeDelta = TimeDelta::minutes(5);

/// A passed stretch, or what several passes say of it. Its `Sealed` has when it was first passed and when last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed<C> {
    /// Its stretch and times.
    pub times: Sealed,
    /// Why it was passed last.
    pub cause: C,
}

/// What passes, in any order, say: stretches without overlap, the earliest first.
#[must_use]
pub fn passed_profile<C: Copy>(passed: &[Passed<C>]) -> Vec<Passed<C>> {
    let windows: Vec<Window> = passed.iter().map(|one| one.times.window).collect();
    let mut found = Vec::new();
    each_stretch(&windows, |window, covering, _| {
        let passes = covering.iter().map(|at| &passed[*at]);
        let Some(last) = passes.clone().max_by_key(|one| one.times.scanned_at) else {
            return;
        };
        let together = passes.map(|one| one.times.clone());
        let together = together.reduce(|all, one| all.both(&one));
        found.extend(together.map(|times| Passed {
            times: Sealed { window, ..times },
            cause: last.cause,
        }));
    });
    found
}

/// The parts of passed stretches that no scan has read since, each with its cause: without overlap, the earliest first. Both
/// arguments are profiles.
#[must_use]
pub fn gaps<C: Copy>(proven: &[Sealed], passed: &[Passed<C>]) -> Vec<(Window, C)> {
    let unread = |one: &Passed<C>| {
        let cause = one.cause;
        let parts = unread_parts(proven, one.times.window, one.times.scanned_at);
        parts.into_iter().map(move |part| (part, cause))
    };
    passed.iter().flat_map(unread).collect()
}

/// The same passes in fewer rows: what was read since is left out, unless `is_kept` says so of its stretch, and neighbours are
/// merged. Both arguments are profiles.
#[must_use]
pub fn fold_passed<C: Copy + PartialEq>(
    proven: &[Sealed],
    passed: &[Passed<C>],
    is_kept: impl Fn(WindowKind, Window) -> bool,
) -> Vec<Passed<C>> {
    let mut folded: Vec<Passed<C>> = Vec::new();
    for one in passed {
        let whole = one.times.window;
        let parts = match is_kept(one.times.kind, whole) {
            true => vec![whole],
            false => unread_parts(proven, whole, one.times.scanned_at),
        };
        for window in parts {
            let part = Passed {
                times: Sealed {
                    window,
                    ..one.times.clone()
                },
                cause: one.cause,
            };
            match folded.last_mut() {
                Some(last) if are_together(last, &part) => {
                    last.times = merged(&last.times, &part.times)
                }
                _ => folded.push(part),
            }
        }
    }
    folded
}

/// Whether two neighbours can be merged.
fn are_together<C: PartialEq>(left: &Passed<C>, right: &Passed<C>) -> bool {
    let minutes = |time: DateTime<Utc>| time.timestamp().div_euclid(TOGETHER.num_seconds());
    let (first, last) = (&left.times, &right.times);
    first.window.before == last.window.since
        && first.kind == last.kind
        && left.cause == right.cause
        && minutes(first.first_sealed) == minutes(last.first_sealed)
        && minutes(first.scanned_at) == minutes(last.scanned_at)
}

/// Both neighbours as one: passed last when the later one was, so that no earlier scan counts as having read it since.
fn merged(left: &Sealed, right: &Sealed) -> Sealed {
    Sealed {
        scanned_at: left.scanned_at.max(right.scanned_at),
        ..left.followed_by(right)
    }
}

/// What is to be swept again: what is proven, and what was passed, each as of when it was asked for last. Both arguments are
/// profiles.
///
/// Passing a stretch takes nothing from what is proven, and proves nothing. It counts as a sweep all the same, so that a
/// stretch that stays unreadable is asked for at the ages of the sweeps only.
pub(super) fn tried<C: Copy>(
    proven: &[Sealed],
    passed: &[Passed<C>],
    settles: impl Fn(C) -> bool,
) -> Vec<Sealed> {
    let mut tried = proven.to_vec();
    for Passed { times, cause } in passed {
        let again = |window| Sealed {
            kind: WindowKind::Sweep,
            window,
            settles: settles(*cause),
            ..times.clone()
        };
        let open = open_parts(proven, times.window);
        tried.extend(open.into_iter().map(again));
        for piece in overlapping(proven, times.window) {
            // What was proven only later has its own sweeps.
            if piece.first_sealed > times.scanned_at {
                continue;
            }
            let both = again(Window {
                since: piece.window.since.max(times.window.since),
                before: piece.window.before.min(times.window.before),
            });
            // What was passed before it was proven does not count.
            tried.push(match times.first_sealed < piece.first_sealed {
                true => Sealed {
                    first_sealed: piece.first_sealed,
                    waited: TimeDelta::zero(),
                    ..both
                },
                false => both,
            });
        }
    }
    tried
}
