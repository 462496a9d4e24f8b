//! The pieces of a window that was read from another orgtrail: what that one has proven is sealed, what it has not is passed.

use rusqlite::{Connection, named_params};

use super::error::StoreError;
use super::ledger::joined;
use super::open_window::{GapCause, WindowPiece, as_window};
use super::window_id::WindowId;
use crate::ledger::parts_between;
use crate::position::{Window, WindowKind};

/// The name in the ledger of what becomes of a piece.
pub(super) fn outcome(piece: WindowPiece) -> &'static str {
    if piece.is_proven {
        "sealed"
    } else {
        GapCause::Unproven.as_str()
    }
}

/// Those pieces of an open window that are to be written down. Live scans read the same stretch again and again: they pass none
/// that was sealed or passed before. If there is no other piece, the last one is written down all the same: the next window
/// begins after it.
pub(super) fn to_note(
    db: &Connection,
    id: WindowId,
    pieces: &[WindowPiece],
) -> Result<Vec<WindowPiece>, StoreError> {
    let mut ask = db.prepare_cached("SELECT kind FROM window WHERE id = ?1")?;
    let kind: String = ask.query_row([id.number], |row| row.get(0))?;
    if WindowKind::by_name(&kind) != Some(WindowKind::Live) {
        return Ok(pieces.to_vec());
    }
    let mut left = Vec::new();
    for piece in pieces {
        if piece.is_proven {
            left.push(*piece);
            continue;
        }
        let known = known_within(db, id.source, piece.window)?;
        let parts = parts_between(known.into_iter(), piece.window).into_iter();
        left.extend(parts.map(|window| WindowPiece { window, ..*piece }));
    }
    if left.is_empty() {
        left.extend(pieces.last());
    }
    Ok(left)
}

/// The stretches that overlap `window` and were sealed or passed, those that overlap each other as one, in order.
fn known_within(db: &Connection, source: i64, window: Window) -> Result<Vec<Window>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT since_s, before_s FROM window
         WHERE source = :source AND sealed_us IS NOT NULL AND since_s < :before AND before_s > :since ORDER BY since_s",
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

/// Writes down the pieces after the first one, which the window itself became. The next live window is chosen by the last of
/// them, so that one gets the counts of a live scan.
pub(super) fn note(
    db: &Connection,
    id: WindowId,
    others: &[WindowPiece],
) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO window (source, kind, since_s, before_s, began_us, sealed_us, restarts, settles, outcome)
         SELECT source, kind, :since, :before, began_us, sealed_us, restarts, settles, :outcome FROM window WHERE id = :id",
    )?;
    for piece in others {
        insert.execute(named_params! {
            ":id": id.number,
            ":since": piece.window.since.timestamp(),
            ":before": piece.window.before.timestamp(),
            ":outcome": outcome(*piece),
        })?;
    }
    if others.is_empty() {
        return Ok(());
    }
    let last = db.last_insert_rowid();
    let moved = db
        .prepare_cached(
            "UPDATE window SET pages = first.pages, entries = first.entries, new = first.new, revisions = first.revisions
             FROM window AS first WHERE window.id = ?2 AND first.id = ?1 AND first.kind = 'live'",
        )?
        .execute((id.number, last))?;
    if moved > 0 {
        db.prepare_cached(
            "UPDATE window SET pages = 0, entries = 0, new = 0, revisions = 0 WHERE id = ?1",
        )?
        .execute([id.number])?;
    }
    Ok(())
}
