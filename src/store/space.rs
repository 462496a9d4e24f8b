//! Nothing of what was erased stays in the log's file, and its space goes back to the file system.
//!
//! SQLite overwrites what is deleted (`secure_delete`, for each connection). What is left is in the write-ahead log until that is
//! emptied, and free pages keep the file large until it is shortened.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};

use super::connect::connect;
use super::error::StoreError;
use super::handle::Store;
use super::steps;
use crate::position::Seq;
use crate::sync::lock;

/// The value of `PRAGMA auto_vacuum` with which a file can be shortened in small steps.
const INCREMENTAL: i64 = 2;

/// How many free pages are given back in one transaction: a few milliseconds' work.
const PAGES_AT_ONCE: u32 = 256;

/// How long emptying the write-ahead log waits for readers. Writers wait as long.
const EMPTY_WITHIN: Duration = Duration::from_millis(200);

/// After how many steps of SQLite's machine [`Store::rewrite`] asks whether it is over: about a second's work.
const ASK_EVERY: i32 = 1_000_000;

impl Store {
    /// Whether the file can be shortened in small steps. A file of an earlier version cannot until it was rewritten.
    ///
    /// # Errors
    /// What the database says.
    pub fn can_shrink(&self) -> Result<bool, StoreError> {
        // Only the connection that rewrote the file knows at once that it was rewritten.
        Ok(pragma(&lock(&self.0.writer), "auto_vacuum")? == INCREMENTAL)
    }

    /// Writes the rows from `first` to `last` again, close to each other: erased rows are small, and leave their pages half empty
    /// otherwise. The rows stay the same. Says how many there were.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when not all of them can be read: then nothing was written. Otherwise what the database says.
    pub fn compact(&self, first: Seq, last: Seq) -> Result<usize, StoreError> {
        self.change(steps::COMPACT, |db| {
            let rows = whole_rows(db, first, last)?;
            let mut delete =
                db.prepare_cached("DELETE FROM event WHERE seq >= ?1 AND seq <= ?2")?;
            let deleted = delete.execute((first.0, last.0))?;
            let mut written = 0;
            if let Some(columns) = rows.first().map(Vec::len) {
                let places = vec!["?"; columns].join(", ");
                // In the order of the columns that they were read in.
                let mut insert =
                    db.prepare_cached(&format!("INSERT INTO event VALUES ({places})"))?;
                for row in &rows {
                    written += insert.execute(params_from_iter(row))?;
                }
            }
            if deleted != rows.len() || written != rows.len() {
                return Err(StoreError::Damaged(format!(
                    "of {} events from {first} on, {deleted} were found again",
                    rows.len()
                )));
            }
            Ok(written)
        })
    }

    /// Rewrites the whole file once, so that it can be shortened in small steps from then on, and holds nothing that was deleted
    /// before. No change is made meanwhile; questions are answered. `is_over` is asked again and again: when it says so, the file
    /// stays as it is. Says whether it was rewritten.
    ///
    /// # Errors
    /// What the database says.
    pub fn rewrite(
        &self,
        is_over: impl FnMut() -> bool + Send + 'static,
    ) -> Result<bool, StoreError> {
        let mut writer = lock(&self.0.writer);
        if self.0.is_closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let writer: &mut Connection = &mut writer;
        writer.progress_handler(ASK_EVERY, Some(is_over))?;
        let rewritten = self.0.failpoints.run(steps::REWRITE, || {
            let vacuum = "PRAGMA auto_vacuum = INCREMENTAL; VACUUM";
            match writer.execute_batch(vacuum) {
                Ok(()) => Ok(true),
                Err(error)
                    if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
                {
                    Ok(false)
                }
                Err(error) => Err(StoreError::from(error)),
            }
        });
        writer.progress_handler(0, None::<fn() -> bool>)?;
        rewritten
    }

    /// Gives some free pages back to the file system. Says whether there are more.
    ///
    /// # Errors
    /// What the database says.
    pub fn shrink(&self) -> Result<bool, StoreError> {
        if self.ask(|db| pragma(db, "freelist_count"))? == 0 || !self.can_shrink()? {
            return Ok(false);
        }
        self.change(steps::SHRINK, |db| {
            // Each row that it gives is a page; it must be read to its end.
            let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
            let mut rows = vacuum.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        })?;
        Ok(self.ask(|db| pragma(db, "freelist_count"))? > 0)
    }

    /// Moves all of the write-ahead log into the file, and empties it. Returns false when a reader or a writer was in the way.
    ///
    /// # Errors
    /// What the database says.
    pub fn empty_write_ahead_log(&self) -> Result<bool, StoreError> {
        let db = connect(&self.0.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.busy_timeout(EMPTY_WITHIN)?;
        let was_busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            row.get::<_, i64>(0)
        })?;
        Ok(was_busy == 0)
    }
}

/// All columns of some rows, in the order of `seq`.
fn whole_rows(db: &Connection, first: Seq, last: Seq) -> Result<Vec<Vec<Value>>, StoreError> {
    let mut ask =
        db.prepare_cached("SELECT * FROM event WHERE seq >= ?1 AND seq <= ?2 ORDER BY seq")?;
    let columns = ask.column_count();
    let rows = ask.query_map((first.0, last.0), |row| {
        (0..columns).map(|at| row.get::<_, Value>(at)).collect()
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn pragma(db: &Connection, name: &str) -> Result<i64, StoreError> {
    Ok(db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?)
}
