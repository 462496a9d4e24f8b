//! What a sweep showed, beside what was held before it began: an entry that is held and was not shown has disappeared upstream.
//!
//! The identities that a sweep shows are written down with its pages, so that a sweep that goes on after a restart is whole. When it is
//! sealed they are compared, and forgotten. Only entries count that were held when the sweep began: one that came in while it ran may
//! have become visible behind it. Entries from files are left out: upstream need not know them.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::error::StoreError;
use super::handle::{Store, newest_seq};
use super::notices::{NewNotice, save};
use super::open_window::as_window;
use super::reading::is_damage;
use super::window_id::WindowId;
use super::{identity, sources, steps};
use crate::position::{Seq, Source, Window};

/// A sweep that is sealed and was not compared yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepToCompare {
    number: i64,
    /// The source.
    pub source: Source,
    /// What was read.
    pub window: Window,
    /// The last event that was held when it began.
    upto: Seq,
}

/// An entry that is held and that a sweep did not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotShown {
    /// The place of its last revision.
    pub seq: Seq,
    /// What it is known by, as it is stored.
    identity: Vec<u8>,
}

impl NotShown {
    /// What tells its notice from others.
    #[must_use]
    pub fn subject(&self) -> String {
        crate::event::hex(&self.identity)
    }

    /// Its id upstream, where what is stored tells it.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        identity::id(&self.identity)
    }
}

impl Store {
    /// The next sweep that is to be compared with what is held.
    ///
    /// # Errors
    /// What the database says.
    pub fn sweep_to_compare(&self) -> Result<Option<SweepToCompare>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT sweep_scan.since_s, sweep_scan.before_s, sweep_scan.number, source.name, upto_seq
                 FROM sweep_scan JOIN source ON source.id = sweep_scan.source
                 WHERE window IS NULL ORDER BY number LIMIT 1",
            )?;
            let found = ask.query_row([], |row| {
                Ok(SweepToCompare {
                    window: as_window(row, 0)?,
                    number: row.get(2)?,
                    source: sources::parse(&row.get::<_, String>(3)?)?,
                    upto: Seq(row.get(4)?),
                })
            });
            Ok(found.optional()?)
        })
    }

    /// The first `limit` entries that were held before a sweep and that it did not show.
    ///
    /// # Errors
    /// What the database says.
    pub fn not_shown_by(
        &self,
        sweep: &SweepToCompare,
        limit: usize,
    ) -> Result<Vec<NotShown>, StoreError> {
        let source = self.number_of(&sweep.source)?;
        self.ask(|db| {
            let mut ask = db.prepare_cached(NOT_SHOWN)?;
            let mut found = Vec::new();
            let mut after = received_before(db, sweep.window.since, sweep.upto)?;
            while after < sweep.upto && found.len() < limit {
                let mut rows = ask.query(named_params! {
                    ":source": source,
                    ":since": sweep.window.since.timestamp_micros(),
                    ":before": sweep.window.before.timestamp_micros(),
                    ":after": after.0,
                    ":upto": sweep.upto.0,
                    ":sweep": sweep.number,
                })?;
                loop {
                    match rows.next() {
                        Ok(Some(row)) if found.len() < limit => {
                            after = Seq(row.get(0)?);
                            found.push(NotShown {
                                seq: after,
                                identity: row.get(1)?,
                            });
                        }
                        Ok(_) => return Ok(found),
                        // The next place cannot be read: on with the one after it.
                        Err(error) if is_damage(&error) => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                after = after.next();
            }
            Ok(found)
        })
    }

    /// Writes down what the comparison of a sweep found, and that entries which it showed are there again. Then the sweep is forgotten.
    /// Gives how many notices have begun.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_compared(
        &self,
        sweep: &SweepToCompare,
        begun: &[NewNotice],
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        self.change(steps::SAVE_NOTICES, |db| {
            let mut ask = db.prepare_cached(
                "SELECT number FROM notice
                 WHERE kind = 'entry_disappeared' AND source = ?1 AND ended_us IS NULL AND EXISTS (
                     SELECT 1 FROM sweep_shown WHERE sweep = ?2 AND identity = unhex(notice.subject))",
            )?;
            let ended = ask.query_map((sweep.source.to_string(), sweep.number), |row| row.get(0))?;
            let ended: Vec<u64> = ended.collect::<Result<_, _>>()?;
            drop_scan(db, sweep.number)?;
            save(db, begun, &ended, now)
        })
    }
}

/// Held entries of a sweep's stretch that it did not show. `+` keeps the index out of it, which would fetch the rows from all over the
/// file.
const NOT_SHOWN: &str = "SELECT seq, identity FROM event
    WHERE +source = :source AND time_us >= :since AND time_us < :before AND seq > :after AND seq <= :upto AND from_logpush = 0
        AND NOT EXISTS (SELECT 1 FROM sweep_shown WHERE sweep = :sweep AND sweep_shown.identity = event.identity)
        AND NOT EXISTS (
            SELECT 1 FROM event AS later WHERE later.source = event.source
                AND later.identity = event.identity AND later.revision > event.revision AND later.seq <= :upto)
        AND NOT EXISTS (SELECT 1 FROM imported WHERE first_seq <= event.seq AND last_seq >= event.seq)
    ORDER BY seq";

/// An event before all that were received at a time or later: no entry is received before it happened. Where rows cannot be read, the
/// beginning of the log.
fn received_before(db: &Connection, time: DateTime<Utc>, upto: Seq) -> Result<Seq, StoreError> {
    // Clocks may differ a little.
    let time_us = (time - TimeDelta::hours(1)).timestamp_micros();
    let mut ask = db.prepare_cached("SELECT received_us FROM event WHERE seq = ?1")?;
    let (mut low, mut high) = (0, upto.0);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let received: i64 = match ask.query_row([middle], |row| row.get(0)) {
            Ok(received) => received,
            Err(error) if is_damage(&error) => return Ok(Seq::ZERO),
            Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(Seq::ZERO),
            Err(error) => return Err(error.into()),
        };
        if received < time_us {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(Seq(low))
}

/// A sweep begins: what is held now is what it should show.
pub(super) fn begin(db: &Connection, window: WindowId) -> Result<(), StoreError> {
    let head = newest_seq(db)?;
    db.prepare_cached("INSERT INTO sweep_scan (window, source, upto_seq) VALUES (?1, ?2, ?3)")?
        .execute((window.number, window.source, head.0))?;
    Ok(())
}

/// The number of the sweep of a window; `None` when the window is no sweep.
pub(super) fn scan_of(db: &Connection, window: WindowId) -> Result<Option<i64>, StoreError> {
    let mut ask = db.prepare_cached("SELECT number FROM sweep_scan WHERE window = ?1")?;
    Ok(ask
        .query_row([window.number], |row| row.get(0))
        .optional()?)
}

/// A sweep shows an entry.
pub(super) fn show(db: &Connection, sweep: i64, identity: &[u8]) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO sweep_shown (sweep, identity) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?
    .execute((sweep, identity))?;
    Ok(())
}

/// The scan of a window starts over.
pub(super) fn forget_shown(db: &Connection, window: WindowId) -> Result<(), StoreError> {
    db.prepare_cached(
        "DELETE FROM sweep_shown WHERE sweep = (SELECT number FROM sweep_scan WHERE window = ?1)",
    )?
    .execute([window.number])?;
    Ok(())
}

/// A window is sealed: what was shown is all of its stretch. It is compared later, whatever becomes of the window.
pub(super) fn end_scan(db: &Connection, window: WindowId) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE sweep_scan SET window = NULL,
             since_s = (SELECT since_s FROM window WHERE id = ?1), before_s = (SELECT before_s FROM window WHERE id = ?1)
         WHERE window = ?1",
    )?
    .execute([window.number])?;
    Ok(())
}

/// A window is not sealed as a whole: nothing can be said of what it did not show.
pub(super) fn abandon(db: &Connection, window: WindowId) -> Result<(), StoreError> {
    match scan_of(db, window)? {
        Some(sweep) => drop_scan(db, sweep),
        None => Ok(()),
    }
}

fn drop_scan(db: &Connection, sweep: i64) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM sweep_shown WHERE sweep = ?1")?
        .execute([sweep])?;
    db.prepare_cached("DELETE FROM sweep_scan WHERE number = ?1")?
        .execute([sweep])?;
    Ok(())
}
