//! A source's ledger, read as a whole: how far it has come, and what is proven.
//!
//! A ledger is short (see [`crate::ledger`]), asked for often, and changed a page at a time, so it is kept in memory
//! until its source's windows change. Only the process that writes the log may do so; who looks on reads the file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Transaction, named_params};

use super::error::StoreError;
use super::lateness::{self, Visibility};
use super::sources::number;
use super::window_id::WindowId;
use super::windows::{GapCause, OpenWindow, as_window};
use super::{Store, lock, steps};
use crate::clock::from_micros;
use crate::durable::Step;
use crate::invariant;
use crate::ledger::{self, Aims, BackfillSince, Counts, Sealed, profile, to_sweep};
use crate::position::{Cursor, Source, Window, WindowKind};
use crate::span;

/// A ledger with so many sealed scans that are not merged yet is folded.
const FOLD_AT: usize = 32;

/// How many of the latest live scans stay as they are: the next one is chosen by them.
const KEPT_APART: usize = 16;

/// How much of a source's latest time says how busy it is.
const BUSY_SPAN: TimeDelta = TimeDelta::days(1);

/// How far a source has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The scans to go on with, at most one of each kind.
    pub open: Vec<(WindowKind, OpenWindow)>,
    /// Where the first live window began.
    pub live_since: Option<DateTime<Utc>>,
    /// Where the live windows end that are done with.
    pub live_before: Option<DateTime<Utc>>,
    /// The live window that was done with last.
    pub last_live: Option<LastLive>,
    /// Where the latest backfill window ends, open or not.
    pub history_before: Option<DateTime<Utc>>,
    /// Where the earliest backfill window begins that is done with.
    pub backfilled_to: Option<DateTime<Utc>>,
    /// That window.
    pub last_backfill: Option<LastBackfill>,
    /// What is proven: stretches without overlap, the earliest first.
    pub proven: Arc<[Sealed]>,
    /// What is to be swept again: the same, and what was passed.
    pub to_sweep: Arc<[Sealed]>,
    /// Stretches that were passed without a proof and not read since, and why.
    pub gaps: Arc<[(Window, GapCause)]>,
    /// How often the scan of the sweep that was done with last had to start over.
    pub last_sweep_restarts: u32,
    /// New entries a second, over its latest day.
    pub rate: f64,
    /// How many sealed scans could be merged.
    pub unmerged: usize,
    /// How late its entries became visible of late.
    pub visibility: Visibility,
}

/// The live window that was done with last.
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
    /// When its scan began; after halved windows, when the first of those scans did.
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

    fn of(rows: &[LedgerRow]) -> Self {
        let done = || rows.iter().filter(|row| row.sealed.is_some());
        let of = |kind| done().filter(move |row| row.kind == kind);
        let sealed: Vec<Sealed> = rows.iter().filter_map(LedgerRow::as_sealed).collect();
        let passed: Vec<(Window, DateTime<Utc>)> = rows
            .iter()
            .filter_map(|row| Some((row.window, row.sealed.filter(|_| !row.is_proof)?)))
            .collect();
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
                window: row.window,
                restarts: row.restarts,
                entries: row.counts.entries,
            }),
            rate: live_before.map_or(0.0, |end| rate(&proven, end)),
            to_sweep: match passed.is_empty() {
                true => Arc::clone(&proven),
                false => to_sweep(&proven, &passed).into(),
            },
            gaps: gaps(rows, &proven),
            proven,
            last_sweep_restarts: last_sweep.map_or(0, |row| row.restarts),
            unmerged: done()
                .filter(|row| row.is_proof && !row.is_merged)
                .count()
                .saturating_sub(KEPT_APART),
            visibility: Visibility::default(),
        }
    }
}

/// The parts of passed stretches that were not read since.
fn gaps(rows: &[LedgerRow], proven: &[Sealed]) -> Arc<[(Window, GapCause)]> {
    let passed = rows
        .iter()
        .filter_map(|row| Some((row.window, row.sealed?, row.gap?)));
    passed
        .flat_map(|(window, at, cause)| {
            let unread = ledger::unread_parts(proven, window, at);
            unread.into_iter().map(move |part| (part, cause))
        })
        .collect()
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
    for piece in proven {
        let (since, before) = (piece.window.since, piece.window.before);
        let has = |moment| sealed.iter().any(|one| one.window.contains(moment));
        invariant!(
            ClaimsWithinSealedWindows,
            has(since) && has(before - TimeDelta::seconds(1)),
            "{} is claimed, and no sealed window has all of it",
            piece.window
        );
    }
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
    let mut latest_first = rows.into_iter().rev();
    let last = latest_first.next()?;
    let mut found = LastLive {
        since: last.window.since,
        entries: last.counts.entries,
        before: last.window.before,
        restarts: last.restarts,
        sealed_at: last.sealed?,
        began_at: last.began,
    };
    // Back over the halved windows before it.
    for halved in latest_first.take_while(|row| row.restarts > 0) {
        found.began_at = found.began_at.min(halved.began);
    }
    Some(found)
}

/// What is remembered of the ledgers, by the numbers of their sources.
#[derive(Default)]
pub(super) struct Ledgers(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    numbers: HashMap<Source, i64>,
    progress: HashMap<i64, Progress>,
    /// Counts changes, so that what was read before one is not remembered after it.
    changes: u64,
}

impl Store {
    /// How far a source has come.
    ///
    /// # Errors
    /// What the database says, also when the source was never written down.
    pub fn progress(&self, source: &Source) -> Result<Progress, StoreError> {
        let source = self.number_of(source)?;
        let changes = {
            let remembered = lock(&self.0.ledgers.0);
            if let Some(progress) = remembered.progress.get(&source) {
                return Ok(progress.clone());
            }
            remembered.changes
        };
        let progress = self.ask(|db| {
            Ok(Progress {
                visibility: lateness::visibility(db, source)?,
                ..Progress::of(&rows(db, source)?)
            })
        })?;
        let mut remembered = lock(&self.0.ledgers.0);
        if self.is_the_writer() && remembered.changes == changes {
            remembered.progress.insert(source, progress.clone());
        }
        Ok(progress)
    }

    /// Merges old sealed windows of a source. What they prove stays the same, or becomes weaker.
    ///
    /// # Errors
    /// What the database says.
    pub fn fold_ledger(&self, source: &Source, sweeps: &[TimeDelta]) -> Result<(), StoreError> {
        let source = self.number_of(source)?;
        self.change_ledger(source, steps::FOLD_LEDGER, |db| fold(db, source, sweeps))
    }

    /// Writes down what the service means to do, which says what is complete.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_aims(&self, aims: &Aims) -> Result<(), StoreError> {
        let sweeps: Vec<String> = aims
            .sweeps
            .iter()
            .map(|sweep| span::format(*sweep))
            .collect();
        let backfill_since = match aims.backfill_since {
            BackfillSince::Span(span) => span::format(span),
            BackfillSince::Date(date) => date.to_string(),
        };
        self.change(steps::SAVE_SOURCES, |db| {
            let mut save = db.prepare_cached(
                "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
            )?;
            save.execute(("sweeps", sweeps.join(" ")))?;
            save.execute(("backfill_since", backfill_since))?;
            Ok(())
        })
    }

    /// What the service last meant to do; `None` when none has run yet.
    ///
    /// # Errors
    /// What the database says, also when what it holds is not what was written.
    pub fn aims(&self) -> Result<Option<Aims>, StoreError> {
        let read = |db: &Connection, name: &str| -> Result<Option<String>, StoreError> {
            let mut ask = db.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
            let mut rows = ask.query([name])?;
            Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
        };
        let found = self.ask(|db| Ok((read(db, "sweeps")?, read(db, "backfill_since")?)))?;
        let (Some(sweeps), Some(since)) = found else {
            return Ok(None);
        };
        let damaged = || StoreError::Damaged("its aims cannot be read".into());
        let sweeps: Result<Vec<TimeDelta>, _> =
            sweeps.split_whitespace().map(span::parse).collect();
        let since = match (span::parse(&since), since.parse()) {
            (Ok(span), _) => BackfillSince::Span(span),
            (_, Ok(date)) => BackfillSince::Date(date),
            _ => return Err(damaged()),
        };
        Ok(Some(Aims {
            sweeps: sweeps.map_err(|_| damaged())?,
            backfill_since: since,
        }))
    }

    /// The number of a source that was written down.
    pub(super) fn number_of(&self, source: &Source) -> Result<i64, StoreError> {
        if let Some(found) = lock(&self.0.ledgers.0).numbers.get(source) {
            return Ok(*found);
        }
        let found = self.ask(|db| number(db, source))?;
        lock(&self.0.ledgers.0)
            .numbers
            .insert(source.clone(), found);
        Ok(found)
    }

    /// A change to the windows of a source.
    pub(super) fn change_ledger<T>(
        &self,
        source: i64,
        step: Step,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let outcome = self.change(step, change);
        // Also when it failed: it may have taken effect all the same.
        self.forget_ledger(source);
        outcome
    }

    /// The windows of a source have changed.
    pub(super) fn forget_ledger(&self, source: i64) {
        let mut remembered = lock(&self.0.ledgers.0);
        remembered.progress.remove(&source);
        remembered.changes += 1;
    }
}

/// The sealed stretches of a source that overlap `window`, those that overlap each other as one, in order.
pub(super) fn sealed_within(
    db: &Connection,
    source: i64,
    window: Window,
) -> Result<Vec<Window>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT since_s, before_s FROM window
         WHERE source = :source AND outcome = 'sealed' AND since_s < :before AND before_s > :since ORDER BY since_s",
    )?;
    let found = ask.query_map(
        named_params! {
            ":source": source,
            ":since": window.since.timestamp(),
            ":before": window.before.timestamp(),
        },
        |row| as_window(row, 0),
    )?;
    let mut stretches: Vec<Window> = Vec::new();
    for window in found {
        let window = window?;
        match stretches.last_mut() {
            Some(last) if window.since <= last.before => {
                last.before = last.before.max(window.before)
            }
            _ => stretches.push(window),
        }
    }
    Ok(stretches)
}

fn fold(db: &Connection, source: i64, sweeps: &[TimeDelta]) -> Result<(), StoreError> {
    let mut rows = rows(db, source)?;
    rows.retain(|row| row.is_proof);
    rows.sort_by_key(|row| (row.kind == WindowKind::Live && !row.is_merged, row.number));
    let apart = rows
        .iter()
        .rev()
        .take(KEPT_APART)
        .take_while(|row| row.kind == WindowKind::Live && !row.is_merged)
        .count();
    rows.truncate(rows.len() - apart);
    let sealed: Vec<Sealed> = rows.iter().filter_map(LedgerRow::as_sealed).collect();
    let mut delete = db.prepare_cached("DELETE FROM window WHERE id = ?1")?;
    for row in &rows {
        delete.execute([row.number])?;
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO window (source, kind, since_s, before_s, began_us, sealed_us, waited_us, outcome, merged,
             pages, entries, new, revisions)
         VALUES (:source, :kind, :since, :before, :began, :sealed, :waited, 'sealed', 1,
             :pages, :entries, :new, :revisions)",
    )?;
    for piece in ledger::fold(&sealed, sweeps) {
        insert.execute(named_params! {
            ":source": source,
            ":kind": piece.kind.as_str(),
            ":since": piece.window.since.timestamp(),
            ":before": piece.window.before.timestamp(),
            ":began": piece.scanned_at.timestamp_micros(),
            ":sealed": piece.first_sealed.timestamp_micros(),
            ":waited": piece.waited.num_microseconds().unwrap_or(i64::MAX),
            ":pages": piece.counts.pages,
            ":entries": piece.counts.entries,
            ":new": piece.counts.new,
            ":revisions": piece.counts.revisions,
        })?;
    }
    Ok(())
}

/// A window as it is written down.
#[derive(Debug)]
struct LedgerRow {
    number: i64,
    source: i64,
    kind: WindowKind,
    window: Window,
    cursor: Option<Cursor>,
    began: DateTime<Utc>,
    sealed: Option<DateTime<Utc>>,
    waited: TimeDelta,
    is_proof: bool,
    /// Why it proves nothing, if it is done with and does not.
    gap: Option<GapCause>,
    limit: Option<u32>,
    resumed: Option<DateTime<Utc>>,
    empty_pages: u32,
    has_nameless: bool,
    is_merged: bool,
    restarts: u32,
    counts: Counts,
}

fn rows(db: &Connection, source: i64) -> Result<Vec<LedgerRow>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT id, kind, since_s, before_s, cursor, began_us, sealed_us, waited_us, outcome, merged, restarts,
             pages, entries, new, revisions, page_limit, resumed_s, empty_pages,
             sealed_us IS NULL AND EXISTS (SELECT 1 FROM scan_twin WHERE scan_twin.window = window.id AND time_s IS NULL)
         FROM window WHERE source = ?1 ORDER BY since_s, id",
    )?;
    let found = ask.query_map([source], |row| {
        let kind: String = row.get(1)?;
        let outcome: Option<String> = row.get(8)?;
        let resumed: Option<i64> = row.get(16)?;
        Ok(LedgerRow {
            number: row.get(0)?,
            source,
            // The table's own check allows no other name.
            kind: WindowKind::by_name(&kind).unwrap_or(WindowKind::Sweep),
            window: as_window(row, 2)?,
            cursor: row.get::<_, Option<String>>(4)?.map(Cursor),
            began: from_micros(row.get(5)?),
            sealed: row.get::<_, Option<i64>>(6)?.map(from_micros),
            waited: TimeDelta::microseconds(row.get(7)?),
            is_proof: outcome.as_deref() == Some("sealed"),
            gap: outcome.as_deref().and_then(GapCause::by_name),
            limit: row.get(15)?,
            resumed: resumed.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
            empty_pages: row.get(17)?,
            has_nameless: row.get(18)?,
            is_merged: row.get(9)?,
            restarts: row.get(10)?,
            counts: Counts {
                pages: row.get(11)?,
                entries: row.get(12)?,
                new: row.get(13)?,
                revisions: row.get(14)?,
            },
        })
    })?;
    found.map(|row| Ok(row?)).collect()
}

impl LedgerRow {
    fn as_sealed(&self) -> Option<Sealed> {
        let sealed = self.sealed.filter(|_| self.is_proof)?;
        Some(Sealed {
            waited: self.waited,
            counts: self.counts,
            ..Sealed::scan(self.kind, self.window, self.began, sealed)
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
