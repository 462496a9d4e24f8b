//! Scans on their way: opened, moved on page by page, started over, sealed or given up.
//!
//! What the sealed ones prove is not known here: see [`crate::ledger`].

use std::fmt;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::ledger::as_window;
use super::{Store, StoreError};
use crate::durable::Step;
use crate::event::sha256;
use crate::position::{Cursor, Source, Window, WindowKind};

/// A window's number in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowId {
    pub(super) number: i64,
    /// The number of its source.
    pub(super) source: i64,
}

impl fmt::Display for WindowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

/// A scan to go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWindow {
    /// Its number.
    pub id: WindowId,
    /// The stretch that will be proven.
    pub window: Window,
    /// Where the scan goes on; `None` at its start.
    pub cursor: Option<Cursor>,
    /// How often the scan had to start over.
    pub restarts: u32,
}

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
        self.change_ledger(source, Step::BeginWindow, |db| {
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
            Ok(OpenWindow {
                id: WindowId {
                    number: db.last_insert_rowid(),
                    source,
                },
                window,
                cursor: None,
                restarts: 0,
            })
        })
    }

    /// Starts a scan over, over the same or another stretch: its cursor leads nowhere.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the window is not open any more, and what the database says.
    pub fn restart_window(
        &self,
        id: WindowId,
        window: Window,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.change_ledger(id.source, Step::RestartWindow, |db| {
            let mut restart = db.prepare_cached(
                "UPDATE window SET since_s = :since, before_s = :before, cursor = NULL, began_us = :now,
                     restarts = restarts + 1, pages = 0, entries = 0, new = 0, revisions = 0
                 WHERE id = :id AND sealed_us IS NULL",
            )?;
            let changed = restart.execute(named_params! {
                ":id": id.number,
                ":since": window.since.timestamp(),
                ":before": window.before.timestamp(),
                ":now": now.timestamp_micros(),
            })?;
            forget_scan(db, id)?;
            if changed == 1 { Ok(()) } else { Err(StoreError::Stale(id)) }
        })
    }

    /// Gives a scan up that proved nothing yet.
    ///
    /// # Errors
    /// What the database says.
    pub fn abandon_window(&self, id: WindowId) -> Result<(), StoreError> {
        self.change_ledger(id.source, Step::RestartWindow, |db| {
            forget_scan(db, id)?;
            db.execute(
                "DELETE FROM window WHERE id = ?1 AND sealed_us IS NULL",
                [id.number],
            )?;
            Ok(())
        })
    }

    /// Goes on past a stretch that holds an entry too large to take: what was kept of it stays, and it is proven by nothing.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the window is not open any more, and what the database says.
    pub fn give_up_window(&self, id: WindowId, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.change_ledger(id.source, Step::RestartWindow, |db| {
            let mut give_up = db.prepare_cached(
                "UPDATE window SET sealed_us = :now, outcome = 'too_large', cursor = NULL
                 WHERE id = :id AND sealed_us IS NULL",
            )?;
            let changed = give_up
                .execute(named_params! { ":id": id.number, ":now": now.timestamp_micros() })?;
            forget_scan(db, id)?;
            if changed == 1 {
                Ok(())
            } else {
                Err(StoreError::Stale(id))
            }
        })
    }
}

/// What a page changes in its window.
pub(super) struct Advance<'a> {
    pub(super) id: WindowId,
    /// The cursor the page was asked with.
    pub(super) asked: Option<&'a Cursor>,
    /// The next one; `None` seals the window.
    pub(super) next: Option<&'a Cursor>,
    /// Where the claim must end, if earlier than the window does, and before when the scan began, whatever our clock said.
    /// Until it is sealed the window stays as it is: it is what upstream is asked for, and a cursor is good for its own
    /// question only.
    pub(super) claim_before: DateTime<Utc>,
    pub(super) entries: usize,
    pub(super) new: usize,
    pub(super) revisions: usize,
    pub(super) now: DateTime<Utc>,
}

/// Moves a window on by one page, or seals it.
pub(super) fn advance(db: &Connection, by: &Advance<'_>) -> Result<(), StoreError> {
    let mut update = db.prepare_cached(
        "UPDATE window SET cursor = :next, sealed_us = :sealed, pages = pages + 1,
             outcome = iif(:next IS NULL, 'sealed', NULL),
             before_s = iif(:next IS NULL, min(before_s, :claim), before_s),
             began_us = min(began_us, :claim_us),
             entries = entries + :entries, new = new + :new, revisions = revisions + :revisions
         WHERE id = :id AND sealed_us IS NULL AND cursor IS :asked",
    )?;
    let changed = update.execute(named_params! {
        ":id": by.id.number,
        ":asked": by.asked.map(|cursor| &cursor.0),
        ":next": by.next.map(|cursor| &cursor.0),
        ":claim": by.claim_before.timestamp(),
        ":claim_us": by.claim_before.timestamp_micros(),
        // By the later of the two clocks: what is waited for after it is never too short.
        ":sealed": by.next.is_none().then(|| by.now.max(by.claim_before).timestamp_micros()),
        ":entries": by.entries,
        ":new": by.new,
        ":revisions": by.revisions,
    })?;
    if changed != 1 {
        return Err(StoreError::Stale(by.id));
    }
    match by.next {
        Some(cursor) => note_cursor(db, by.id, cursor),
        None => forget_scan(db, by.id),
    }
}

/// Counts an entry without an id that the scan shows; says how many equal ones it has shown with this.
pub(super) fn count_twin(
    db: &Connection,
    id: WindowId,
    identity: &[u8],
) -> Result<u32, StoreError> {
    let mut count = db.prepare_cached(
        "INSERT INTO scan_twin (window, identity, shown) VALUES (?1, ?2, 1)
         ON CONFLICT (window, identity) DO UPDATE SET shown = shown + 1 RETURNING shown",
    )?;
    Ok(count.query_row((id.number, identity), |row| row.get(0))?)
}

/// Forgets what a scan has shown so far: it is over, or starts over.
fn forget_scan(db: &Connection, id: WindowId) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM scan_twin WHERE window = ?1")?
        .execute([id.number])?;
    db.prepare_cached("DELETE FROM scan_cursor WHERE window = ?1")?
        .execute([id.number])?;
    Ok(())
}

/// Notes the cursor that a scan goes on with; one that was noted before is an error.
fn note_cursor(db: &Connection, id: WindowId, cursor: &Cursor) -> Result<(), StoreError> {
    let mut note = db.prepare_cached(
        "INSERT INTO scan_cursor (window, cursor) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    match note.execute((id.number, &sha256(cursor.0.as_bytes())[..16]))? {
        1 => Ok(()),
        _ => Err(StoreError::Circle(id)),
    }
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
