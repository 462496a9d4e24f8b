//! Open scans: begun, advanced page by page, restarted, sealed, or recorded as a gap.
//!
//! [`crate::ledger`] computes what sealed scans prove.

use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::error::StoreError;
use super::handle::Store;
use super::open_window::{BadAnswers, GapCause, OpenWindow, Then, WindowPiece, as_window};
use super::window_id::WindowId;
use super::{pieces, steps, sweeps};
use crate::event::sha256;
use crate::position::{Cursor, Source, Window, WindowKind};

/// So much of the time between two bad answers counts at most: after a 429, or while the quota is short, no call was made.
const LONGEST_BETWEEN: TimeDelta = TimeDelta::minutes(10);

impl Store {
    /// Opens a window to scan.
    ///
    /// # Errors
    /// What the database says, also when the source has an open window of that kind already.
    pub fn begin_window(
        &self,
        source: &Source,
        kind: WindowKind,
        window: Window,
        now: DateTime<Utc>,
    ) -> Result<OpenWindow, StoreError> {
        let source = self.number_of(source)?;
        self.change_ledger(source, steps::BEGIN_WINDOW, |db| {
            let mut insert = db.prepare_cached(
                "INSERT INTO window (source, kind, since_s, before_s, began_us)
                 VALUES (:source, :kind, :since, :before, :now)",
            )?;
            insert.execute(named_params! {
                ":source": source,
                ":kind": kind.as_str(),
                ":since": window.since.timestamp(),
                ":before": window.before.timestamp(),
                ":now": now.timestamp_micros(),
            })?;
            let id = WindowId {
                number: db.last_insert_rowid(),
                source,
            };
            if kind == WindowKind::Sweep {
                sweeps::begin(db, id)?;
            }
            Ok(OpenWindow {
                id,
                window,
                cursor: None,
                resumed: None,
                limit: None,
                empty_pages: 0,
                has_nameless: false,
                restarts: 0,
            })
        })
    }

    /// Starts a scan over, over the same or another stretch: its cursor leads nowhere. Bad answers are counted anew, and still
    /// from when the first of them came.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the window is not open any more, and what the database says.
    pub fn restart_window(
        &self,
        id: WindowId,
        window: Window,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.restart_with_limit(id, window, None, now)
    }

    /// The same, with pages of at most `limit` entries from then on.
    ///
    /// # Errors
    /// As [`Store::restart_window`].
    pub fn restart_with_limit(
        &self,
        id: WindowId,
        window: Window,
        limit: Option<u32>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.change_ledger(id.source, steps::RESTART_WINDOW, |db| {
            let mut restart = db.prepare_cached(
                "UPDATE window SET since_s = :since, before_s = :before, cursor = NULL, began_us = :now,
                     page_limit = :limit, resumed_s = NULL, empty_pages = 0, bad_answers = 0,
                     restarts = restarts + 1, pages = 0, entries = 0, new = 0, revisions = 0
                 WHERE id = :id AND sealed_us IS NULL",
            )?;
            let changed = restart.execute(named_params! {
                ":id": id.number,
                ":since": window.since.timestamp(),
                ":before": window.before.timestamp(),
                ":limit": limit,
                ":now": now.timestamp_micros(),
            })?;
            forget_scan(db, id)?;
            if changed == 1 { Ok(()) } else { Err(StoreError::Stale(id)) }
        })
    }

    /// Counts an answer about an open window that could not be used; gives how many there have been in a row, and for how long.
    /// `now` is by this process's steady clock. The time between two processes does not count, and a long wait between two calls
    /// counts for a few minutes.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the window is not open any more, and what the database says.
    pub fn count_bad_answer(
        &self,
        id: WindowId,
        now: DateTime<Utc>,
    ) -> Result<BadAnswers, StoreError> {
        let counts_times = &self.0.counts_bad_times;
        let counted = self.change_ledger(id.source, steps::RESTART_WINDOW, |db| {
            if !counts_times.load(Ordering::SeqCst) {
                forget_steady_times(db)?;
            }
            let mut count = db.prepare_cached(
                "UPDATE window SET bad_answers = bad_answers + 1, bad_at_us = :now,
                     bad_for_us = bad_for_us + min(:most, max(0, :now - coalesce(bad_at_us, :now)))
                 WHERE id = :id AND sealed_us IS NULL RETURNING bad_answers, bad_for_us",
            )?;
            let counted = count.query_row(
                named_params! {
                    ":id": id.number,
                    ":now": now.timestamp_micros(),
                    ":most": LONGEST_BETWEEN.num_microseconds(),
                },
                |row| {
                    Ok(BadAnswers {
                        count: row.get(0)?,
                        lasted: TimeDelta::microseconds(row.get(1)?),
                    })
                },
            );
            counted.optional()?.ok_or(StoreError::Stale(id))
        })?;
        counts_times.store(true, Ordering::SeqCst);
        Ok(counted)
    }

    /// Deletes an open window.
    ///
    /// # Errors
    /// What the database says.
    pub fn abandon_window(&self, id: WindowId) -> Result<(), StoreError> {
        self.change_ledger(id.source, steps::RESTART_WINDOW, |db| delete_window(db, id))
    }

    /// Records a window that cannot be read as a gap. Entries that were stored from it stay.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the window is not open any more, and what the database says.
    pub fn give_up_window(
        &self,
        id: WindowId,
        cause: GapCause,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.change_ledger(id.source, steps::RESTART_WINDOW, |db| {
            let mut give_up = db.prepare_cached(
                "UPDATE window SET sealed_us = :now, outcome = :outcome, cursor = NULL
                 WHERE id = :id AND sealed_us IS NULL",
            )?;
            let changed = give_up.execute(named_params! {
                ":id": id.number,
                ":outcome": cause.as_str(),
                ":now": now.timestamp_micros(),
            })?;
            sweeps::abandon(db, id)?;
            forget_scan(db, id)?;
            if changed == 1 {
                Ok(())
            } else {
                Err(StoreError::Stale(id))
            }
        })
    }
}

/// Forgets when bad answers came: another process saw them, by a steady clock of its own.
fn forget_steady_times(db: &Connection) -> Result<(), StoreError> {
    db.execute(
        "UPDATE window SET bad_at_us = NULL WHERE sealed_us IS NULL AND bad_at_us IS NOT NULL",
        [],
    )?;
    Ok(())
}

/// What a page changes in its window.
pub(super) struct Advance<'a> {
    pub(super) id: WindowId,
    /// The cursor the page was asked with.
    pub(super) asked: Option<&'a Cursor>,
    /// From when on it was asked for, if not from the window's beginning.
    pub(super) resumed: Option<DateTime<Utc>>,
    /// The `limit` it was asked with.
    pub(super) limit: Option<u32>,
    pub(super) then: &'a Then,
    /// Where the claim must begin, if later than the window does: upstream keeps nothing older.
    pub(super) claim_since: DateTime<Utc>,
    /// Where the claim must end, if earlier than the window does, and before when the scan began, whatever our clock said.
    /// Until it is sealed the window stays as it is: it is what upstream is asked for, and a cursor is good for its own
    /// question only.
    pub(super) claim_before: DateTime<Utc>,
    pub(super) entries: usize,
    pub(super) new: usize,
    pub(super) revisions: usize,
    /// The present that sweeps count from.
    pub(super) sealed_at: DateTime<Utc>,
}

/// Advances a window by one page, or ends it.
pub(super) fn advance(db: &Connection, by: &Advance<'_>) -> Result<(), StoreError> {
    let Then::SealPieces {
        pieces,
        is_settling,
    } = by.then
    else {
        return advance_whole(db, by, None);
    };
    let pieces = pieces::to_note(db, by.id, pieces)?;
    let Some((first, others)) = pieces.split_first() else {
        return delete_window(db, by.id);
    };
    advance_whole(db, by, Some((*first, *is_settling)))?;
    pieces::note(db, by.id, others)
}

/// The same for a window, or for the first piece of one and whether upstream will read it again.
fn advance_whole(
    db: &Connection,
    by: &Advance<'_>,
    piece: Option<(WindowPiece, bool)>,
) -> Result<(), StoreError> {
    let mut update = db.prepare_cached(
        "UPDATE window SET cursor = :next, sealed_us = max(:sealed, min(began_us, :claim_us)), pages = pages + 1,
             outcome = :outcome, page_limit = :limit, resumed_s = :resume,
             empty_pages = iif(:entries = 0 AND :next IS NOT NULL, empty_pages + 1, 0), bad_answers = 0, bad_for_us = 0, bad_at_us = NULL,
             since_s = iif(:is_cut, max(since_s, :claim_since), since_s), before_s = iif(:is_cut, min(before_s, :claim), before_s),
             settles = :settles,
             began_us = min(began_us, :claim_us),
             entries = entries + :entries, new = new + :new, revisions = revisions + :revisions
         WHERE id = :id AND sealed_us IS NULL AND cursor IS :asked AND resumed_s IS :resumed",
    )?;
    let (next, resume, outcome) = match by.then {
        Then::GoOn(cursor) => (Some(cursor), by.resumed, None),
        Then::GoOnFrom(time) => (None, Some(*time), None),
        Then::StartOver => (None, None, None),
        Then::Leave => (None, by.resumed, None),
        Then::Seal => (None, by.resumed, Some("sealed")),
        Then::SealPieces { .. } => {
            let outcome = piece.map_or("sealed", |(piece, _)| pieces::outcome(piece));
            (None, by.resumed, Some(outcome))
        }
        Then::GiveUp(cause) => (None, by.resumed, Some(cause.as_str())),
    };
    let (claim_since, claim_before) = piece
        .map_or((by.claim_since, by.claim_before), |(piece, _)| {
            (piece.window.since, piece.window.before)
        });
    let changed = update.execute(named_params! {
        ":id": by.id.number,
        ":asked": by.asked.map(|cursor| &cursor.0),
        ":resumed": by.resumed.map(|time| time.timestamp()),
        ":next": next.map(|cursor| &cursor.0),
        ":resume": resume.map(|time| time.timestamp()),
        ":outcome": outcome,
        ":limit": by.limit,
        ":is_cut": by.then.seals(),
        ":settles": piece.is_some_and(|(_, is_settling)| is_settling),
        ":claim_since": claim_since.timestamp(),
        ":claim": claim_before.timestamp(),
        ":claim_us": by.claim_before.timestamp_micros(),
        ":sealed": outcome.map(|_| by.sealed_at.timestamp_micros()),
        ":entries": by.entries,
        ":new": by.new,
        ":revisions": by.revisions,
    })?;
    if changed != 1 {
        return Err(StoreError::Stale(by.id));
    }
    match by.then {
        Then::GoOn(cursor) if by.entries == 0 && by.asked == Some(cursor) => Ok(()),
        Then::GoOn(cursor) => note_cursor(db, by.id, cursor),
        Then::GoOnFrom(time) => forget_from(db, by.id, *time),
        Then::Seal => {
            sweeps::end_scan(db, by.id)?;
            forget_scan(db, by.id)
        }
        Then::StartOver => forget_scan(db, by.id),
        Then::SealPieces { .. } | Then::GiveUp(_) => {
            sweeps::abandon(db, by.id)?;
            forget_scan(db, by.id)
        }
        Then::Leave => delete_window(db, by.id),
    }
}

/// Counts an entry without an id that the scan shows; says how many equal ones it has shown with this.
pub(super) fn count_twin(
    db: &Connection,
    id: WindowId,
    identity: &[u8],
    time: Option<DateTime<Utc>>,
) -> Result<u32, StoreError> {
    let mut count = db.prepare_cached(
        "INSERT INTO scan_twin (window, identity, shown, time_s) VALUES (?1, ?2, 1, ?3)
         ON CONFLICT (window, identity) DO UPDATE SET shown = shown + 1 RETURNING shown",
    )?;
    let time = time.map(|time| time.timestamp());
    Ok(count.query_row((id.number, identity, time), |row| row.get(0))?)
}

/// Forgets what a scan has shown from `time` on, which it is shown again, and its cursors: they belong to another question.
fn forget_from(db: &Connection, id: WindowId, time: DateTime<Utc>) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM scan_twin WHERE window = ?1 AND time_s >= ?2")?
        .execute((id.number, time.timestamp()))?;
    db.prepare_cached("DELETE FROM scan_cursor WHERE window = ?1")?
        .execute([id.number])?;
    Ok(())
}

fn delete_window(db: &Connection, id: WindowId) -> Result<(), StoreError> {
    sweeps::abandon(db, id)?;
    forget_scan(db, id)?;
    db.prepare_cached("DELETE FROM window WHERE id = ?1 AND sealed_us IS NULL")?
        .execute([id.number])?;
    Ok(())
}

/// Forgets what a scan has shown so far: it is over, or starts over.
pub(super) fn forget_scan(db: &Connection, id: WindowId) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM scan_twin WHERE window = ?1")?
        .execute([id.number])?;
    db.prepare_cached("DELETE FROM scan_cursor WHERE window = ?1")?
        .execute([id.number])?;
    sweeps::forget_shown(db, id)
}

/// Notes the cursor that a scan goes on with.
fn note_cursor(db: &Connection, id: WindowId, cursor: &Cursor) -> Result<(), StoreError> {
    db.prepare_cached("INSERT INTO scan_cursor (window, cursor) VALUES (?1, ?2)")?
        .execute((id.number, &sha256(cursor.0.as_bytes())[..16]))?;
    Ok(())
}

/// Whether a scan has noted that cursor before.
pub(super) fn was_given(
    db: &Connection,
    id: WindowId,
    cursor: &Cursor,
) -> Result<bool, StoreError> {
    let mut ask =
        db.prepare_cached("SELECT 1 FROM scan_cursor WHERE window = ?1 AND cursor = ?2")?;
    Ok(ask.exists((id.number, &sha256(cursor.0.as_bytes())[..16]))?)
}

/// The stretch of an open window.
pub(super) fn stretch(db: &Connection, id: WindowId) -> Result<Window, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT since_s, before_s FROM window WHERE id = ?1 AND sealed_us IS NULL",
    )?;
    ask.query_row([id.number], |row| as_window(row, 0))
        .optional()?
        .ok_or(StoreError::Stale(id))
}

/// Why a window is scanned.
pub(super) fn kind(db: &Connection, id: WindowId) -> Result<Option<WindowKind>, StoreError> {
    let mut ask = db.prepare_cached("SELECT kind FROM window WHERE id = ?1")?;
    let kind: Option<String> = ask.query_row([id.number], |row| row.get(0)).optional()?;
    Ok(kind.as_deref().and_then(WindowKind::by_name))
}
