//! A source's ledger, read as a whole: how far it has come, and what is proven.
//!
//! A ledger is short (see [`crate::ledger`]), asked for often, and changed a page at a time, so it is kept in memory
//! until its source's windows change. Only the process that writes the log may cache it; other processes read the file each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};

use super::open_window::{GapCause, OpenWindow};
use super::visibility::Visibility;
use super::window_id::WindowId;
use crate::invariant;
use crate::ledger::{self, Counts, Passed, Sealed, passed_profile, profile, to_sweep};
use crate::position::{Cursor, Source, Window, WindowKind};

/// A ledger with so many sealed scans that are not merged yet is folded.
const FOLD_AT: usize = 32;

/// How many of the latest live scans stay as they are: the next one is chosen by them.
pub(super) const KEPT_APART: usize = 16;

/// How much of a source's latest time says how busy it is.
const BUSY_SPAN: TimeDelta = TimeDelta::days(1);

/// How far a source has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The open scans, at most one of each kind.
    pub open: Vec<(WindowKind, OpenWindow)>,
    /// Where the first live window began.
    pub live_since: Option<DateTime<Utc>>,
    /// Where the last finished live window ends.
    pub live_before: Option<DateTime<Utc>>,
    /// The last finished live window.
    pub last_live: Option<LastLive>,
    /// Where the latest backfill window ends, open or not.
    pub history_before: Option<DateTime<Utc>>,
    /// Where the earliest finished backfill window begins.
    pub backfilled_to: Option<DateTime<Utc>>,
    /// That window.
    pub last_backfill: Option<LastBackfill>,
    /// What is proven: stretches without overlap, the earliest first.
    pub proven: Arc<[Sealed]>,
    /// What is to be swept again: the same, and what was passed.
    pub to_sweep: Arc<[Sealed]>,
    /// Stretches that were passed without a proof and not read since, and why.
    pub gaps: Arc<[(Window, GapCause)]>,
    /// How often the scan of the last finished sweep had to start over.
    pub last_sweep_restarts: u32,
    /// New entries a second, over its latest day.
    pub rate: f64,
    /// How many sealed scans could be merged.
    pub unmerged: usize,
    /// How late its entries became visible of late.
    pub visibility: Visibility,
}

/// The last finished live window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastLive {
    /// Where it begins.
    pub since: DateTime<Utc>,
    /// How many entries it showed.
    pub entries: u64,
    /// Where it ends.
    pub before: DateTime<Utc>,
    /// How often its scan had to start over, each time with a smaller stretch.
    pub restarts: u32,
    /// When it was sealed.
    pub sealed_at: DateTime<Utc>,
    /// When its scan began; after windows that did not reach the present, when the first of those scans did.
    pub began_at: DateTime<Utc>,
}

/// The backfill window that reaches back farthest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastBackfill {
    /// Its stretch.
    pub window: Window,
    /// How often its scan had to start over, each time with a smaller stretch.
    pub restarts: u32,
    /// How many entries it showed.
    pub entries: u64,
}

impl Default for Progress {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Progress {
    /// The open window of a kind.
    #[must_use]
    pub fn open(&self, kind: WindowKind) -> Option<&OpenWindow> {
        let found = self.open.iter().find(|(open, _)| *open == kind);
        found.map(|(_, window)| window)
    }

    /// Whether the scan of a kind that was done with last had to start over with a smaller stretch, so that what comes next
    /// may be the rest of the same trouble.
    #[must_use]
    pub fn was_halved(&self, kind: WindowKind) -> bool {
        let restarts = match kind {
            WindowKind::Live => self.last_live.map(|last| last.restarts),
            WindowKind::Sweep => Some(self.last_sweep_restarts),
            WindowKind::Backfill => self.last_backfill.map(|last| last.restarts),
        };
        restarts.is_some_and(|restarts| restarts > 0)
    }

    /// Whether the ledger should be folded.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.unmerged >= FOLD_AT
    }

    pub(super) fn of(rows: &[LedgerRow]) -> Self {
        let done = || rows.iter().filter(|row| row.sealed.is_some());
        let of = |kind| done().filter(move |row| row.kind == kind);
        let sealed: Vec<Sealed> = rows.iter().filter_map(LedgerRow::as_sealed).collect();
        let passed: Vec<Passed<GapCause>> = rows.iter().filter_map(LedgerRow::as_passed).collect();
        let passed = passed_profile(&passed);
        let proven: Arc<[Sealed]> = profile(&sealed).into();
        check(rows, &sealed, &proven);
        let last_sweep = of(WindowKind::Sweep).max_by_key(|row| row.number);
        let live_before = of(WindowKind::Live).map(|row| row.window.before).max();
        let earliest = of(WindowKind::Backfill).min_by_key(|row| row.window.since);
        Self {
            open: rows.iter().filter_map(LedgerRow::as_open).collect(),
            live_since: rows
                .iter()
                .filter(|row| row.kind == WindowKind::Live)
                .map(|row| row.window.since)
                .min(),
            live_before,
            last_live: last_live(of(WindowKind::Live).collect()),
            history_before: rows
                .iter()
                .filter(|row| row.kind == WindowKind::Backfill)
                .map(|row| row.window.before)
                .max(),
            backfilled_to: earliest.map(|row| row.window.since),
            last_backfill: earliest.map(|row| LastBackfill {
                window: scanned_with(row, of(WindowKind::Backfill)),
                restarts: row.restarts,
                entries: row.counts.entries,
            }),
            rate: live_before.map_or(0.0, |end| rate(&proven, end)),
            to_sweep: if passed.is_empty() {
                Arc::clone(&proven)
            } else {
                to_sweep(&proven, &passed, |cause| cause == GapCause::Unproven).into()
            },
            gaps: ledger::gaps(&proven, &passed).into(),
            proven,
            last_sweep_restarts: last_sweep.map_or(0, |row| row.restarts),
            unmerged: done()
                .filter(|row| !row.is_merged)
                .count()
                .saturating_sub(KEPT_APART),
            visibility: Visibility::default(),
        }
    }
}

/// The stretch of the scan that a row is a piece of.
fn scanned_with<'a>(piece: &LedgerRow, rows: impl Iterator<Item = &'a LedgerRow>) -> Window {
    let is_beside = |row: &&LedgerRow| !row.is_merged && row.began == piece.began;
    let ends = rows.filter(is_beside).map(|row| row.window.before);
    Window {
        since: piece.window.since,
        before: ends.fold(piece.window.before, DateTime::max),
    }
}

/// Checks what must hold of a source's windows, and of what they prove.
fn check(rows: &[LedgerRow], sealed: &[Sealed], proven: &[Sealed]) {
    for row in rows.iter().filter(|row| row.is_proof && !row.is_merged) {
        invariant!(
            ScannedBeforeSealed,
            row.sealed.is_none_or(|sealed| row.began <= sealed),
            "window {} of source {} began at {} and was sealed at {:?}",
            row.number,
            row.source,
            row.began,
            row.sealed
        );
    }
    let open = |kind| {
        let rows = rows.iter();
        rows.filter(|row| row.sealed.is_none() && row.kind == kind)
            .count()
    };
    for kind in WindowKind::ALL {
        let open = open(kind);
        invariant!(
            OneOpenWindowOfAKind,
            open <= 1,
            "{open} open {} windows",
            kind.as_str()
        );
    }
    let sealed = joined(sealed.iter().map(|one| one.window));
    for piece in proven {
        let (since, before) = (piece.window.since, piece.window.before);
        let has = |moment| {
            let at = sealed.partition_point(|one| one.before <= moment);
            sealed.get(at).is_some_and(|one| one.contains(moment))
        };
        invariant!(
            ClaimsWithinSealedWindows,
            has(since) && has(before - TimeDelta::seconds(1)),
            "{} is claimed, and no sealed window has all of it",
            piece.window
        );
    }
}

/// Windows that overlap or touch each other as one. The earliest comes first.
pub(super) fn joined(windows: impl Iterator<Item = Window>) -> Vec<Window> {
    let mut joined: Vec<Window> = Vec::new();
    for window in windows {
        match joined.last_mut() {
            Some(last) if window.since <= last.before => {
                last.before = last.before.max(window.before)
            }
            _ => joined.push(window),
        }
    }
    joined
}

/// New entries a second in the latest day of what is proven.
fn rate(proven: &[Sealed], end: DateTime<Utc>) -> f64 {
    let latest = proven
        .iter()
        .rev()
        .take_while(|piece| piece.window.since >= end - BUSY_SPAN);
    let (span, new) = latest.fold((0, 0), |(span, new), piece| {
        (
            span + piece.window.span().num_seconds(),
            new + piece.counts.new,
        )
    });
    new as f64 / span.max(60) as f64
}

fn last_live(mut rows: Vec<&LedgerRow>) -> Option<LastLive> {
    // By their numbers: the clock may have been set since. Merged ones are older than all others.
    rows.sort_by_key(|row| (!row.is_merged, row.number));
    let last = rows.last()?;
    // A round of them reaches the present; halved ones, and those that end where a passed stretch begins, do not.
    let (mut began_at, mut reached, mut is_over) = (last.began, DateTime::<Utc>::MIN_UTC, true);
    for row in &rows {
        began_at = match is_over {
            true => row.began,
            false => began_at.min(row.began),
        };
        reached = reached.max(row.window.before);
        is_over = row.restarts == 0 && row.window.before >= reached;
    }
    Some(LastLive {
        since: last.window.since,
        entries: last.counts.entries,
        before: last.window.before,
        restarts: last.restarts,
        sealed_at: last.sealed?,
        began_at,
    })
}

/// What is remembered of the ledgers, by the numbers of their sources.
#[derive(Default)]
pub(super) struct Ledgers(pub(super) Mutex<CachedLedgers>);

/// The remembered ledgers.
#[derive(Default)]
pub(super) struct CachedLedgers {
    pub(super) numbers: HashMap<Source, i64>,
    pub(super) progress: HashMap<i64, Progress>,
    /// Counts changes, so that what was read before one is not remembered after it.
    pub(super) changes: u64,
}

/// A window as it is written down.
#[derive(Debug)]
pub(super) struct LedgerRow {
    pub(super) number: i64,
    pub(super) source: i64,
    pub(super) kind: WindowKind,
    pub(super) window: Window,
    pub(super) cursor: Option<Cursor>,
    pub(super) began: DateTime<Utc>,
    pub(super) sealed: Option<DateTime<Utc>>,
    pub(super) waited: TimeDelta,
    pub(super) settles: bool,
    pub(super) is_proof: bool,
    /// Why it proves nothing, if it is done with and does not.
    pub(super) gap: Option<GapCause>,
    pub(super) limit: Option<u32>,
    pub(super) resumed: Option<DateTime<Utc>>,
    pub(super) empty_pages: u32,
    pub(super) has_nameless: bool,
    pub(super) is_merged: bool,
    pub(super) restarts: u32,
    pub(super) counts: Counts,
}

impl LedgerRow {
    pub(super) fn as_sealed(&self) -> Option<Sealed> {
        let sealed = self.sealed.filter(|_| self.is_proof)?;
        Some(Sealed {
            waited: self.waited,
            settles: self.settles,
            counts: self.counts,
            ..Sealed::scan(self.kind, self.window, self.began, sealed)
        })
    }

    pub(super) fn as_passed(&self) -> Option<Passed<GapCause>> {
        let (at, cause) = (self.sealed?, self.gap?);
        let once = Sealed::scan(self.kind, self.window, at, at);
        Some(Passed {
            times: match self.is_merged {
                // It was passed last when the last of those scans began.
                true => Sealed {
                    scanned_at: self.began,
                    waited: self.waited,
                    ..once
                },
                false => once,
            },
            cause,
        })
    }

    fn as_open(&self) -> Option<(WindowKind, OpenWindow)> {
        if self.sealed.is_some() {
            return None;
        }
        let open = OpenWindow {
            id: WindowId {
                number: self.number,
                source: self.source,
            },
            window: self.window,
            cursor: self.cursor.clone(),
            resumed: self.resumed,
            limit: self.limit,
            empty_pages: self.empty_pages,
            has_nameless: self.has_nameless,
            restarts: self.restarts,
        };
        Some((self.kind, open))
    }
}
