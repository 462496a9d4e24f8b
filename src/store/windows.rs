//! The ledger of windows: which stretch is being scanned, which are sealed, and how far those reach.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::sources::number;
use super::{Store, StoreError};
use crate::clock::from_micros;
use crate::durable::Step;
use crate::event::sha256;
use crate::position::{Cursor, Source, Window, WindowKind};

/// A window's number in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowId(pub(super) i64);

impl fmt::Display for WindowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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

/// How far a source has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The live scan to go on with.
    pub live: Option<OpenWindow>,
    /// The backfill scan to go on with.
    pub backfill: Option<OpenWindow>,
    /// Where the first live window began.
    pub live_since: Option<DateTime<Utc>>,
    /// Where the sealed live windows end.
    pub live_before: Option<DateTime<Utc>>,
    /// The live window that was sealed last.
    pub last_live: Option<LastLive>,
    /// Where the earliest sealed backfill window begins.
    pub backfilled_to: Option<DateTime<Utc>>,
}

/// The live window that was sealed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastLive {
    /// Where it ends.
    pub before: DateTime<Utc>,
    /// How often its scan had to start over, each time with a smaller stretch.
    pub restarts: u32,
    /// When it was sealed.
    pub sealed_at: DateTime<Utc>,
    /// When its scan began; after halved windows, when the first of those scans did.
    pub began_at: DateTime<Utc>,
}

impl Progress {
    /// The open window of a kind.
    #[must_use]
    pub fn open(&self, kind: WindowKind) -> Option<&OpenWindow> {
        match kind {
            WindowKind::Live => self.live.as_ref(),
            WindowKind::Backfill => self.backfill.as_ref(),
        }
    }
}

impl Store {
    /// How far a source has come.
    ///
    /// # Errors
    /// What the database says, also when the source was never written down.
    pub fn progress(&self, source: &Source) -> Result<Progress, StoreError> {
        self.ask(|db| {
            let source = number(db, source)?;
            Ok(Progress {
                live: open_window(db, source, WindowKind::Live)?,
                backfill: open_window(db, source, WindowKind::Backfill)?,
                live_since: bound(db, "SELECT min(since_s) FROM window WHERE source = ?1 AND kind = 'live'", source)?,
                live_before: bound(
                    db,
                    "SELECT max(before_s) FROM window WHERE source = ?1 AND kind = 'live' AND sealed_us IS NOT NULL",
                    source,
                )?,
                last_live: last_live(db, source)?,
                backfilled_to: bound(
                    db,
                    "SELECT min(since_s) FROM window WHERE source = ?1 AND kind = 'backfill' AND sealed_us IS NOT NULL",
                    source,
                )?,
            })
        })
    }

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
        self.change(Step::BeginWindow, |db| {
            let mut insert = db.prepare_cached(
                "INSERT INTO window (source, kind, since_s, before_s, began_us)
                 VALUES (:source, :kind, :since, :before, :now)",
            )?;
            insert.execute(named_params! {
                ":source": number(db, source)?,
                ":kind": kind.as_str(),
                ":since": window.since.timestamp(),
                ":before": window.before.timestamp(),
                ":now": now.timestamp_micros(),
            })?;
            Ok(OpenWindow {
                id: WindowId(db.last_insert_rowid()),
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
        self.change(Step::RestartWindow, |db| {
            let mut restart = db.prepare_cached(
                "UPDATE window SET since_s = :since, before_s = :before, cursor = NULL, began_us = :now,
                     restarts = restarts + 1, pages = 0, entries = 0, new = 0, revisions = 0
                 WHERE id = :id AND sealed_us IS NULL",
            )?;
            let changed = restart.execute(named_params! {
                ":id": id.0,
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
        self.change(Step::RestartWindow, |db| {
            forget_scan(db, id)?;
            db.execute(
                "DELETE FROM window WHERE id = ?1 AND sealed_us IS NULL",
                [id.0],
            )?;
            Ok(())
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
    /// Where the claim must end, if earlier than the window does. Until it is sealed the window stays as it is: it is what
    /// upstream is asked for, and a cursor is good for its own question only.
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
             before_s = iif(:next IS NULL, min(before_s, :claim), before_s),
             entries = entries + :entries, new = new + :new, revisions = revisions + :revisions
         WHERE id = :id AND sealed_us IS NULL AND cursor IS :asked",
    )?;
    let changed = update.execute(named_params! {
        ":id": by.id.0,
        ":asked": by.asked.map(|cursor| &cursor.0),
        ":next": by.next.map(|cursor| &cursor.0),
        ":claim": by.claim_before.timestamp(),
        ":sealed": by.next.is_none().then(|| by.now.timestamp_micros()),
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
    Ok(count.query_row((id.0, identity), |row| row.get(0))?)
}

/// Forgets what a scan has shown so far: it is over, or starts over.
fn forget_scan(db: &Connection, id: WindowId) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM scan_twin WHERE window = ?1")?
        .execute([id.0])?;
    db.prepare_cached("DELETE FROM scan_cursor WHERE window = ?1")?
        .execute([id.0])?;
    Ok(())
}

/// Notes the cursor that a scan goes on with; one that was noted before is an error.
fn note_cursor(db: &Connection, id: WindowId, cursor: &Cursor) -> Result<(), StoreError> {
    let mut note = db.prepare_cached(
        "INSERT INTO scan_cursor (window, cursor) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    match note.execute((id.0, &sha256(cursor.0.as_bytes())[..16]))? {
        1 => Ok(()),
        _ => Err(StoreError::Circle(id)),
    }
}

/// The number of an open window's source.
pub(super) fn source_of(db: &Connection, id: WindowId) -> Result<i64, StoreError> {
    let mut ask =
        db.prepare_cached("SELECT source FROM window WHERE id = ?1 AND sealed_us IS NULL")?;
    ask.query_row([id.0], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::Stale(id))
}

fn open_window(
    db: &Connection,
    source: i64,
    kind: WindowKind,
) -> Result<Option<OpenWindow>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT id, since_s, before_s, cursor, restarts FROM window
         WHERE source = ?1 AND kind = ?2 AND sealed_us IS NULL",
    )?;
    Ok(ask
        .query_row((source, kind.as_str()), as_open_window)
        .optional()?)
}

fn as_open_window(row: &Row<'_>) -> rusqlite::Result<OpenWindow> {
    Ok(OpenWindow {
        id: WindowId(row.get(0)?),
        window: Window {
            since: from_seconds(row.get(1)?),
            before: from_seconds(row.get(2)?),
        },
        cursor: row.get::<_, Option<String>>(3)?.map(Cursor),
        restarts: row.get(4)?,
    })
}

fn bound(db: &Connection, sql: &str, source: i64) -> Result<Option<DateTime<Utc>>, StoreError> {
    let seconds: Option<i64> = db
        .prepare_cached(sql)?
        .query_row([source], |row| row.get(0))?;
    Ok(seconds.map(from_seconds))
}

fn last_live(db: &Connection, source: i64) -> Result<Option<LastLive>, StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT before_s, restarts, sealed_us, began_us FROM window
         WHERE source = ?1 AND kind = 'live' AND sealed_us IS NOT NULL ORDER BY sealed_us DESC, id DESC",
    )?;
    let mut rows = ask.query([source])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let mut last = LastLive {
        before: from_seconds(row.get(0)?),
        restarts: row.get(1)?,
        sealed_at: from_micros(row.get(2)?),
        began_at: from_micros(row.get(3)?),
    };
    // Back over the halved windows before it.
    while let Some(row) = rows.next()?
        && row.get::<_, u32>(1)? > 0
    {
        last.began_at = last.began_at.min(from_micros(row.get(3)?));
    }
    Ok(Some(last))
}

fn from_seconds(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::try_seconds(seconds).unwrap_or_default()
}
