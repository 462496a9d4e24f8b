//! What sealed windows prove of each moment that they cover.

use std::cmp::Ordering;

use chrono::{DateTime, TimeDelta, Utc};

use crate::position::{Window, WindowKind};

/// A sweep starts late by at most this part of its span, so that neighbours gather and are scanned together.
const SLACK_PART: i32 = 8;

/// The longest that a sweep waits for neighbours.
const LONGEST_SLACK: TimeDelta = TimeDelta::hours(6);

/// A seal that is later than the present by more than this was made while a clock was wrong.
const LONGEST_AHEAD: TimeDelta = TimeDelta::days(1);

/// After the last sweep, what another orgtrail has still to read is asked for each time its age has grown by this part.
const AGAIN_PART: i32 = 4;

/// The shortest wait of that kind.
const SHORTEST_AGAIN: TimeDelta = TimeDelta::hours(1);

/// A sealed window, or what several of them prove about a range. Each bound holds for every moment of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// How it was first sealed; [`WindowKind::Sweep`] only for a scan by itself.
    pub kind: WindowKind,
    /// The range.
    pub window: Window,
    /// It was first sealed no later than this.
    pub first_sealed: DateTime<Utc>,
    /// Its last scan began no earlier than this.
    pub scanned_at: DateTime<Utc>,
    /// Its last scan began at least so long after its first seal.
    pub waited: TimeDelta,
    /// Whether upstream was to read a moment of it again when it was scanned last: upstream is another orgtrail.
    pub settles: bool,
    /// The sum over its scans.
    pub counts: Counts,
}

/// The numbers of scans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pages.
    pub pages: u64,
    /// Entries, as often as they were shown.
    pub entries: u64,
    /// Of those, entries that were not stored before.
    pub new: u64,
    /// Of those, other content under an id that was stored.
    pub revisions: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.pages += other.pages;
        self.entries += other.entries;
        self.new += other.new;
        self.revisions += other.revisions;
    }
}

impl Sealed {
    /// What one scan proves that began at `began` and was sealed at `sealed`.
    #[must_use]
    pub fn scan(
        kind: WindowKind,
        window: Window,
        began: DateTime<Utc>,
        sealed: DateTime<Utc>,
    ) -> Self {
        Self {
            kind,
            window,
            first_sealed: sealed,
            scanned_at: began,
            waited: TimeDelta::zero(),
            settles: false,
            counts: Counts::default(),
        }
    }

    /// Whether its last sweep has been made, and upstream had made its own then.
    #[must_use]
    pub fn is_complete(&self, sweeps: &[TimeDelta]) -> bool {
        !self.settles && sweeps.last().is_none_or(|last| self.waited >= *last)
    }

    /// The sweep it waits for. What no live scan and no history has proven was passed at first: it is asked for at every age,
    /// however old it was then.
    pub(super) fn next_sweep(&self, sweeps: &[TimeDelta]) -> Option<TimeDelta> {
        let last = sweeps.last()?;
        let age_then = match self.kind {
            WindowKind::Sweep => TimeDelta::zero(),
            WindowKind::Live | WindowKind::Backfill => self.first_sealed - self.window.before,
        };
        sweeps
            .iter()
            .copied()
            .find(|sweep| self.waited < *sweep && (sweep == last || age_then < *sweep))
    }

    /// When its next sweep is due, and until when that waits for neighbours. What was sealed in the future is due now: the
    /// seal of that sweep is the earlier one then, and later sweeps count from it. After its last sweep, what upstream has
    /// still to read is due each time it is older by a part.
    pub(super) fn due(&self, sweeps: &[TimeDelta], now: DateTime<Utc>) -> Option<Due> {
        let Some(sweep) = self.next_sweep(sweeps) else {
            let wait = ((self.scanned_at - self.first_sealed) / AGAIN_PART).max(SHORTEST_AGAIN);
            let at = self.scanned_at + wait;
            return self.settles.then(|| Due {
                at,
                by: at + slack(wait),
            });
        };
        if self.first_sealed - now > LONGEST_AHEAD {
            return Some(Due { at: now, by: now });
        }
        let at = self.first_sealed + sweep;
        Some(Due {
            at,
            by: at + slack(sweep),
        })
    }

    /// What both say of the moments that both cover.
    pub(super) fn both(&self, other: &Self) -> Self {
        let earlier = if self.first_sealed <= other.first_sealed {
            self
        } else {
            other
        };
        let (first_sealed, scanned_at) =
            (earlier.first_sealed, self.scanned_at.max(other.scanned_at));
        // A sweep is the earlier one only if the clock was wrong at the first seal, or after a gap.
        let kind = match (earlier.kind, self.kind) {
            (WindowKind::Sweep, WindowKind::Sweep) => other.kind,
            (WindowKind::Sweep, kind) | (kind, _) => kind,
        };
        Self {
            kind,
            window: self.window,
            first_sealed,
            scanned_at,
            waited: self.waited.max(other.waited).max(scanned_at - first_sealed),
            settles: match self.scanned_at.cmp(&other.scanned_at) {
                Ordering::Less => other.settles,
                Ordering::Equal => self.settles || other.settles,
                Ordering::Greater => self.settles,
            },
            counts: Counts::default(),
        }
    }

    /// What holds for the moments of both, the other one coming next.
    #[must_use]
    pub fn followed_by(&self, next: &Self) -> Self {
        let mut counts = self.counts;
        counts.add(next.counts);
        Self {
            kind: self.kind,
            window: Window {
                since: self.window.since,
                before: next.window.before,
            },
            first_sealed: self.first_sealed.max(next.first_sealed),
            scanned_at: self.scanned_at.min(next.scanned_at),
            waited: self.waited.min(next.waited),
            settles: self.settles || next.settles,
            counts,
        }
    }
}

/// When a sweep is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// The earliest time to begin.
    pub(super) at: DateTime<Utc>,
    /// The time until which it waits for neighbours.
    pub(super) by: DateTime<Utc>,
}

/// How late a sweep may start, so that its neighbours gather.
#[must_use]
pub fn slack(sweep: TimeDelta) -> TimeDelta {
    (sweep / SLACK_PART).min(LONGEST_SLACK)
}

/// What sealed windows, in any order, prove: stretches without overlap, the earliest first.
#[must_use]
pub fn profile(sealed: &[Sealed]) -> Vec<Sealed> {
    let windows: Vec<Window> = sealed.iter().map(|one| one.window).collect();
    let mut found: Vec<Sealed> = Vec::new();
    each_stretch(&windows, |window, covering, begun| {
        let mut counts = Counts::default();
        // The counts of a scan are added once, where it begins.
        for at in begun {
            counts.add(sealed[*at].counts);
        }
        let all = covering.iter().map(|at| sealed[*at].clone());
        let together = all.reduce(|all, one| all.both(&one));
        if let Some(piece) = together {
            let piece = Sealed {
                window,
                counts,
                ..piece
            };
            push(&mut found, piece);
        }
    });
    found
}

/// Cuts windows where they overlap, and walks over the stretches, the earliest first: each with the windows that cover all of
/// it, and those of them that begin with it, by their places.
pub(super) fn each_stretch(windows: &[Window], mut visit: impl FnMut(Window, &[usize], &[usize])) {
    let mut order: Vec<usize> = (0..windows.len()).collect();
    order.sort_by_key(|at| windows[*at].since);
    let mut bounds: Vec<DateTime<Utc>> = windows
        .iter()
        .flat_map(|one| [one.since, one.before])
        .collect();
    bounds.sort_unstable();
    bounds.dedup();
    let mut covering: Vec<usize> = Vec::new();
    let mut waiting = order.into_iter().peekable();
    for bound in bounds.windows(2) {
        let window = Window {
            since: bound[0],
            before: bound[1],
        };
        covering.retain(|at| windows[*at].before > window.since);
        let earlier = covering.len();
        while let Some(at) = waiting.next_if(|at| windows[*at].since <= window.since) {
            covering.push(at);
        }
        visit(window, &covering, &covering[earlier..]);
    }
}

/// Puts a piece behind those found; one that says the same as the piece it touches makes that longer.
fn push(found: &mut Vec<Sealed>, piece: Sealed) {
    if let Some(last) = found.last_mut()
        && last.window.before == piece.window.since
        && last.settles == piece.settles
        && (last.kind, last.first_sealed, last.scanned_at, last.waited)
            == (
                piece.kind,
                piece.first_sealed,
                piece.scanned_at,
                piece.waited,
            )
    {
        *last = last.followed_by(&piece);
        return;
    }
    found.push(piece);
}
