//! A copy of the log as it is at one moment, made while others write.
//!
//! The copy is read from one snapshot, page by page. Writers do not wait for it: what they commit meanwhile goes to the
//! write-ahead log, which is folded into the database when the copy is finished. Damaged pages are copied as they are.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::error::{StoreError, unusable};
use super::handle::{Store, newest_seq};
use crate::position::Seq;
use crate::private;

/// How many pages are copied in one step: 1 MiB.
const STEP_PAGES: i32 = 256;

/// After each step, rest for this part of its time, so that the disk serves others too.
const REST: u32 = 4;

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyProgress {
    /// How many pages are copied.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

impl Store {
    /// Copies the log as it is now into the new file `path`. The copy is one file, on disk when this returns. Returns the
    /// newest event's place in it.
    ///
    /// # Errors
    /// What the database says of either file.
    pub fn copy_to(
        &self,
        path: &Path,
        mut progress: impl FnMut(CopyProgress),
    ) -> Result<Seq, StoreError> {
        let file = private::open_file(path).map_err(unusable(path))?;
        let head = self.ask(|db| {
            // The first read begins the snapshot, which lasts until the copy is whole.
            let head = newest_seq(db)?;
            let mut copy = open_copy(path)?;
            copy_pages(db, &mut copy, &mut progress)?;
            // The copied header says that the file has a write-ahead log.
            copy.pragma_update(None, "journal_mode", "DELETE")?;
            copy.close().map_err(|(_, error)| error)?;
            Ok(head)
        })?;
        sync(&file, path)?;
        Ok(head)
    }
}

/// The file that is written. It is worth nothing until it is whole, so it needs no journal.
fn open_copy(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(path, flags)?;
    copy.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    copy.pragma_update(None, "journal_mode", "OFF")?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    Ok(copy)
}

fn copy_pages(
    from: &Connection,
    to: &mut Connection,
    progress: &mut impl FnMut(CopyProgress),
) -> Result<(), StoreError> {
    let backup = Backup::new(from, to)?;
    loop {
        let begun = Instant::now();
        let step = backup.step(STEP_PAGES)?;
        let pages = |count: i32| u64::try_from(count).unwrap_or(0);
        let state = backup.progress();
        progress(CopyProgress {
            done: pages(state.pagecount - state.remaining),
            total: pages(state.pagecount),
        });
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => std::thread::sleep(begun.elapsed() / REST),
            // Nothing else has the new file, and nothing waits for a snapshot.
            _ => return Err(StoreError::Busy),
        }
    }
}

fn sync(file: &File, path: &Path) -> Result<(), StoreError> {
    file.sync_all().map_err(unusable(path))
}
