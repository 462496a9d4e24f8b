//! The rows of a source's ledger: read, merged, and remembered until they change.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta};
use rusqlite::{Connection, Transaction, named_params};

use super::error::StoreError;
use super::handle::Store;
use super::ledger::{KEPT_APART, LedgerRow, Progress, joined};
use super::open_window::{GapCause, as_window};
use super::sources::number;
use super::{lateness, steps};
use crate::clock::from_micros;
use crate::durable::Step;
use crate::ledger::{self, Counts, Passed, Sealed};
use crate::position::{Cursor, Source, Window, WindowKind};
use crate::sync::lock;

/// The outcome of a window that is proven.
const SEALED: &str = "sealed";

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
    let found: Vec<Window> = found.collect::<Result<_, _>>()?;
    Ok(joined(found.into_iter()))
}

fn fold(db: &Connection, source: i64, sweeps: &[TimeDelta]) -> Result<(), StoreError> {
    let mut rows = rows(db, source)?;
    rows.retain(|row| row.sealed.is_some());
    let all = ledger::profile(&proofs(&rows));
    let ends = Ends::of(&rows);
    rows.sort_by_key(|row| (row.kind == WindowKind::Live && !row.is_merged, row.number));
    let apart = rows
        .iter()
        .rev()
        .take(KEPT_APART)
        .take_while(|row| row.kind == WindowKind::Live && !row.is_merged)
        .count();
    rows.truncate(rows.len() - apart);
    let passed: Vec<Passed<GapCause>> = rows.iter().filter_map(LedgerRow::as_passed).collect();
    let passed = ledger::passed_profile(&passed);
    let passed = ledger::fold_passed(&all, &passed, |kind, window| ends.has(kind, window));
    let sealed = ledger::fold(&proofs(&rows), sweeps).into_iter();
    let mut merged: Vec<(&str, Sealed)> = sealed.map(|piece| (SEALED, piece)).collect();
    merged.extend(
        passed
            .into_iter()
            .map(|one| (one.cause.as_str(), one.times)),
    );
    replace(db, source, &rows, merged)
}

fn proofs(rows: &[LedgerRow]) -> Vec<Sealed> {
    rows.iter().filter_map(LedgerRow::as_sealed).collect()
}

/// Where the windows of each kind begin and end: the next ones are chosen by that, so a passed stretch there is kept.
struct Ends(Vec<(WindowKind, Window)>);

impl Ends {
    fn of(rows: &[LedgerRow]) -> Self {
        let all = |kind| {
            let windows = rows.iter().filter(move |row| row.kind == kind);
            let windows = windows.map(|row| row.window);
            windows.reduce(|all, window| Window {
                since: all.since.min(window.since),
                before: all.before.max(window.before),
            })
        };
        let kinds = [WindowKind::Live, WindowKind::Backfill];
        Self(
            kinds
                .into_iter()
                .filter_map(|kind| Some((kind, all(kind)?)))
                .collect(),
        )
    }

    /// Whether a window is at one of them.
    fn has(&self, kind: WindowKind, window: Window) -> bool {
        let is_at = |all: &Window| all.since == window.since || all.before == window.before;
        self.0.iter().any(|(of, all)| *of == kind && is_at(all))
    }
}

/// Replaces rows by merged ones. A row that is among those already stays.
fn replace(
    db: &Connection,
    source: i64,
    rows: &[LedgerRow],
    mut merged: Vec<(&str, Sealed)>,
) -> Result<(), StoreError> {
    let mut old: HashMap<(&str, i64), (i64, Sealed)> = rows
        .iter()
        .filter_map(|row| {
            let outcome = row.gap.map_or(SEALED, GapCause::as_str);
            let passed = row.as_passed().map(|passed| passed.times);
            let was = row.is_merged.then(|| passed.or(row.as_sealed()))??;
            Some(((outcome, row.window.since.timestamp()), (row.number, was)))
        })
        .collect();
    let mut kept: HashSet<i64> = HashSet::new();
    merged.retain(|(outcome, piece)| {
        let same = old.remove(&(*outcome, piece.window.since.timestamp()));
        match same.filter(|(_, was)| was == piece) {
            Some((number, _)) => !kept.insert(number),
            None => true,
        }
    });
    let mut delete = db.prepare_cached("DELETE FROM window WHERE id = ?1")?;
    for row in rows.iter().filter(|row| !kept.contains(&row.number)) {
        delete.execute([row.number])?;
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO window (source, kind, since_s, before_s, began_us, sealed_us, waited_us, settles, outcome, merged,
             pages, entries, new, revisions)
         VALUES (:source, :kind, :since, :before, :began, :sealed, :waited, :settles, :outcome, 1,
             :pages, :entries, :new, :revisions)",
    )?;
    for (outcome, piece) in merged {
        insert.execute(named_params! {
            ":source": source,
            ":kind": piece.kind.as_str(),
            ":since": piece.window.since.timestamp(),
            ":before": piece.window.before.timestamp(),
            ":began": piece.scanned_at.timestamp_micros(),
            ":sealed": piece.first_sealed.timestamp_micros(),
            ":waited": piece.waited.num_microseconds().unwrap_or(i64::MAX),
            ":settles": piece.settles,
            ":outcome": outcome,
            ":pages": piece.counts.pages,
            ":entries": piece.counts.entries,
            ":new": piece.counts.new,
            ":revisions": piece.counts.revisions,
        })?;
    }
    Ok(())
}

fn rows(db: &Connection, source: i64) -> Result<Vec<LedgerRow>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT id, kind, since_s, before_s, cursor, began_us, sealed_us, waited_us, outcome, merged, restarts,
             pages, entries, new, revisions, page_limit, resumed_s, empty_pages,
             sealed_us IS NULL AND EXISTS (SELECT 1 FROM scan_twin WHERE scan_twin.window = window.id AND time_s IS NULL), settles
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
            settles: row.get(19)?,
            is_proof: outcome.as_deref() == Some(SEALED),
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
