//! The rows of a source's ledger: read, merged, and remembered until they change.

use chrono::{DateTime, TimeDelta};
use rusqlite::{Connection, Transaction, named_params};

use super::error::StoreError;
use super::handle::Store;
use super::ledger::{KEPT_APART, LedgerRow, Progress};
use super::open_window::GapCause;
use super::sources::number;
use super::windows::as_window;
use super::{lateness, steps};
use crate::clock::from_micros;
use crate::durable::Step;
use crate::ledger::{self, Aims, BackfillSince, Counts, Sealed};
use crate::position::{Cursor, Source, Window, WindowKind};
use crate::span;
use crate::sync::lock;

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

    /// Saves the configured sweeps and backfill, which define when a range is complete.
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

    /// The saved sweeps and backfill; `None` when no service has run yet.
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
