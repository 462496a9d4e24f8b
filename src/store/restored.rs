//! A copied log that becomes the log of a data directory.
//!
//! The copy is prepared in the folder `restore.partial/` of the data directory and renamed when it is whole. While that folder
//! is there and the log is not, a restore was cut off: the service does not begin an empty log then.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::OpenFlags;
use uuid::Uuid;

use super::connect::{FILE_NAME, PARTIAL_NAME, connect, has_log, log_id, take_lock};
use super::error::{StoreError, unusable};
use super::handle::Store;
use super::schema::version;
use super::steps;
use crate::durable::Failpoints;
use crate::private;

/// What SQLite keeps beside a database. Left over from another one, they would be read as part of the new one.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// How much of each budget counts as spent after a restore: more than any burst. Calls that were made after the copy are
/// not in it.
const SPENT: TimeDelta = TimeDelta::minutes(5);

/// A data directory that holds no log, locked while one is restored into it.
#[derive(Debug)]
pub struct RestoreDir {
    dir: PathBuf,
    partial: PathBuf,
    lock: File,
}

impl RestoreDir {
    /// Takes the data directory `dir`, which is created as needed. Removes what a restore left there that was cut off.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process uses it, [`StoreError::Occupied`] when it holds a log, and what the file
    /// system says.
    pub fn claim(dir: &Path) -> Result<Self, StoreError> {
        private::make_dir(dir).map_err(unusable(dir))?;
        let lock = take_lock(dir)?;
        if has_log(dir)? {
            return Err(StoreError::Occupied(dir.to_owned()));
        }
        let partial = dir.join(PARTIAL_NAME);
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unusable(&partial)(error));
            }
            _ => {}
        }
        private::make_dir(&partial).map_err(unusable(&partial))?;
        Ok(Self {
            dir: dir.to_owned(),
            partial,
            lock,
        })
    }

    /// Where the copy of the log goes.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.partial.join(FILE_NAME)
    }

    /// Opens the copy that was put at [`RestoreDir::log_path`], and upgrades it to this version. `origin` is where it came
    /// from, for messages.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a later version made it, [`StoreError::Foreign`] or [`StoreError::Damaged`] when it is no
    /// log, and what the database says.
    pub fn open(&self, origin: &Path) -> Result<Store, StoreError> {
        let db = connect(&self.log_path(), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // An empty file is an empty database, of which `Store::open` would make a log.
        if version(&db, origin)? == 0 {
            return Err(StoreError::NoLog(origin.to_owned()));
        }
        drop(db);
        Store::open(&self.partial, Failpoints::default())
    }

    /// Makes the copy, which is closed by now, the log of the data directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(self) -> Result<(), StoreError> {
        let log = self.log_path();
        let left = fs::metadata(self.partial.join(format!("{FILE_NAME}-wal")));
        if left.is_ok_and(|left| left.len() > 0) {
            return Err(StoreError::Busy);
        }
        let file = File::open(&log).map_err(unusable(&log))?;
        file.sync_all().map_err(unusable(&log))?;
        for companion in COMPANIONS {
            remove(&self.dir.join(format!("{FILE_NAME}{companion}")))?;
        }
        let target = self.dir.join(FILE_NAME);
        fs::rename(&log, &target).map_err(unusable(&target))?;
        private::sync_dir(&self.dir).map_err(unusable(&self.dir))?;
        fs::remove_dir_all(&self.partial).map_err(unusable(&self.partial))
    }
}

impl Drop for RestoreDir {
    fn drop(&mut self) {
        // What failed leaves no half; only a process that was killed does.
        match fs::remove_dir_all(&self.partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(error = %error, "What is left of the restore could not be removed.");
            }
            _ => {}
        }
        if let Err(error) = self.lock.unlock() {
            tracing::debug!(error = %error, "The lock of the data directory could not be released.");
        }
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(path)(error)),
        _ => Ok(()),
    }
}

impl Store {
    /// Makes this copy a log of its own, under a new id, which is returned. This handle still has the old one.
    ///
    /// What sealed windows prove stays true of the copy: the events that they showed are in it. Open scans are dropped: their
    /// cursors are as old as the copy, and what they had not sealed is scanned again. Budgets count as spent.
    ///
    /// # Errors
    /// What the database says.
    pub fn become_another(&self, now: DateTime<Utc>) -> Result<Uuid, StoreError> {
        let new = Uuid::new_v4();
        self.change(steps::RENAME_LOG, |db| {
            let old = log_id(db)?;
            let mut save =
                db.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?;
            save.execute(("restored_from", old.to_string()))?;
            save.execute(("restored_us", now.timestamp_micros().to_string()))?;
            save.execute(("log_id", new.to_string()))?;
            db.execute_batch(
                "DELETE FROM scan_twin; DELETE FROM scan_cursor; DELETE FROM sweep_shown; DELETE FROM sweep_scan;
                 DELETE FROM window WHERE sealed_us IS NULL;",
            )?;
            db.execute(
                "UPDATE quota SET wait_us = max(0, wait_us - max(0, ?1 - saved_us)), spent_us = ?2, saved_us = ?1",
                (now.timestamp_micros(), SPENT.num_microseconds()),
            )?;
            Ok(())
        })?;
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_micros;
    use crate::position::{Source, Window, WindowKind};
    use crate::store::{QuotaRow, SourceSeen};

    #[test]
    fn a_copied_log_gets_an_id_of_its_own_and_begins_no_scan_in_the_middle() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let source = Source::account("a").unwrap();
        let seen = SourceSeen {
            source: source.clone(),
            organization: None,
            label: None,
            created_at: None,
        };
        let then = from_micros(1_785_000_000_000_000);
        store.save_sources(&[seen], then).unwrap();
        let window = Window::new(then - TimeDelta::hours(1), then);
        store
            .begin_window(&source, WindowKind::Live, window, then)
            .unwrap();
        let quota = QuotaRow {
            saved_at: then,
            spent_for: TimeDelta::zero(),
            wait: TimeDelta::minutes(5),
        };
        store.save_quota("`A`", quota).unwrap();

        let now = then + TimeDelta::minutes(2);
        let old = store.log_id();
        let new = store.become_another(now).unwrap();
        store.close().unwrap();
        drop(store);
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        assert_eq!(store.log_id(), new);
        assert_ne!(new, old);
        let left: (i64, String) = store
            .ask(|db| {
                let windows = db.query_row("SELECT count(*) FROM window", [], |row| row.get(0))?;
                let from = "SELECT value FROM meta WHERE name = 'restored_from'";
                Ok((windows, db.query_row(from, [], |row| row.get(0))?))
            })
            .unwrap();
        assert_eq!(left, (0, old.to_string()));
        // Upstream's wait holds, and no burst of calls follows.
        let quota = store.quota("`A`").unwrap().unwrap();
        assert_eq!(quota.wait, TimeDelta::minutes(3));
        assert_eq!((quota.saved_at, quota.spent_for), (now, SPENT));
    }

    #[test]
    fn a_data_directory_in_which_a_restore_was_cut_off_is_not_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        // As a kill leaves it.
        fs::create_dir(dir.path().join(PARTIAL_NAME)).unwrap();
        fs::write(dir.path().join(PARTIAL_NAME).join(FILE_NAME), "half").unwrap();
        for refused in [
            Store::open(dir.path(), Failpoints::default()),
            Store::open_beside(dir.path()),
        ] {
            let refused = refused.err().unwrap();
            assert!(matches!(refused, StoreError::HalfRestored(_)), "{refused}");
        }
        let again = RestoreDir::claim(dir.path()).unwrap();
        assert!(!again.log_path().exists());
        drop(again);
        Store::open(dir.path(), Failpoints::default()).unwrap();
    }

    #[test]
    fn a_data_directory_that_holds_a_log_or_is_in_use_is_not_restored_into() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let refused = RestoreDir::claim(dir.path()).unwrap_err();
        assert!(matches!(refused, StoreError::InUse(_)), "{refused}");
        drop(store);
        let refused = RestoreDir::claim(dir.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Occupied(_)), "{refused}");
    }

    #[test]
    fn a_write_ahead_log_of_another_database_is_not_read_as_part_of_the_restored_one() {
        let copied = tempfile::tempdir().unwrap();
        drop(Store::open(copied.path(), Failpoints::default()).unwrap());
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("orgtrail.db-wal"), "left over").unwrap();
        let place = RestoreDir::claim(dir.path()).unwrap();
        fs::copy(copied.path().join(FILE_NAME), place.log_path()).unwrap();
        place.finish().unwrap();
        assert!(!dir.path().join("orgtrail.db-wal").exists());
        assert!(!dir.path().join(PARTIAL_NAME).exists());
        Store::open(dir.path(), Failpoints::default()).unwrap();
    }
}
