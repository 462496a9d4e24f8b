//! The file `access.db`: opened by the service, and by commands beside it.
//!
//! A commit survives the end of the process; a few seconds of it may be lost when the machine loses power
//! (`synchronous = NORMAL`), because a question waits for its record.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::reserve::Reserve;
use crate::private;
use crate::store::error::{StoreError, unusable};
use crate::store::opening::until_unlocked;
use crate::sync::lock;

/// The file in the data directory.
pub const ACCESS_FILE_NAME: &str = "access.db";

/// Marks our files (`PRAGMA application_id`): "`OrgA`".
const APPLICATION_ID: i64 = 0x4f72_6741;

/// The schema of a new file.
const SCHEMA: &str = include_str!("schema.sql");

/// What version 2 added.
const SEARCHES: &str = include_str!("searches.sql");

/// What version 3 added.
const FEEDS: &str = include_str!("feeds.sql");

/// The version of the file that this program reads and writes.
const VERSION: i64 = 3;

/// How long a statement waits for another process's lock. After that a question is refused, because it cannot be recorded.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many idle connections are kept.
const MAX_IDLE: usize = 8;

/// Tokens, sessions and the access log. A clone is another handle to the same file and costs a reference count.
#[derive(Clone)]
pub struct AccessStore(Arc<Inner>);

struct Inner {
    path: PathBuf,
    reserve: Reserve,
    idle: Mutex<Vec<Connection>>,
}

impl AccessStore {
    /// Opens the file in `dir`; creates it as needed. Other processes may have it open.
    ///
    /// # Errors
    /// [`StoreError::Newer`] if a later version created it, [`StoreError::Foreign`] if it is another program's, and what
    /// the file system says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let store = Self::open_without_reserve(dir)?;
        store.0.reserve.keep();
        Ok(store)
    }

    /// The same without the room for a revocation, which has just been used.
    pub(super) fn open_without_reserve(dir: &Path) -> Result<Self, StoreError> {
        private::make_dir(dir).map_err(unusable(dir))?;
        let path = dir.join(ACCESS_FILE_NAME);
        // SQLite gives its other files the permissions of this one.
        private::open_file(&path).map_err(unusable(&path))?;
        let db = until_unlocked(|| {
            let mut db = connect(&path)?;
            create(&mut db, &path)?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            Ok(db)
        })?;
        Ok(Self(Arc::new(Inner {
            path,
            reserve: Reserve::of(dir),
            idle: Mutex::new(vec![db]),
        })))
    }

    /// [`AccessStore::open`] for a revocation: on a full disk it uses the room that is kept for it.
    ///
    /// # Errors
    /// As [`AccessStore::open`].
    pub fn open_with_reserve(dir: &Path) -> Result<Self, StoreError> {
        Reserve::of(dir).with_room(|| Self::open_without_reserve(dir))
    }

    /// The room that is kept for a revocation.
    pub(super) fn reserve(&self) -> &Reserve {
        &self.0.reserve
    }

    /// Runs `work` in one transaction that writes.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_connection(TransactionBehavior::Immediate, work)
    }

    /// Runs `work` on one snapshot.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with_connection(TransactionBehavior::Deferred, work)
    }

    fn with_connection<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = lock(&self.0.idle).pop();
        let mut db = match idle {
            Some(db) => db,
            None => connect(&self.0.path)?,
        };
        let transaction = db.transaction_with_behavior(behavior)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        let mut idle = lock(&self.0.idle);
        if idle.len() < MAX_IDLE {
            idle.push(db);
        }
        Ok(done)
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    // What is deleted by retention must not stay readable in free pages.
    db.pragma_update(None, "secure_delete", true)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Gives an empty file its tables, and refuses what this program cannot read.
fn create(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    // Mostly there is nothing to do, and no need to wait for a process that writes.
    if application_and_version(db)? == (APPLICATION_ID, VERSION) {
        return Ok(());
    }
    // Immediate: of two processes that find an empty file, one creates the tables.
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (application, found) = application_and_version(&transaction)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    match (application, found) {
        (APPLICATION_ID, VERSION) => return Ok(()),
        (APPLICATION_ID, version @ 1..VERSION) => {
            if version == 1 {
                transaction.execute_batch(SEARCHES)?;
            }
            transaction.execute_batch(FEEDS)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            return Ok(transaction.commit()?);
        }
        (APPLICATION_ID, _) => {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                found,
                known: VERSION,
            });
        }
        (0, 0) if tables == 0 => {}
        _ => return Err(StoreError::Foreign(path.to_owned())),
    }
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(SEARCHES)?;
    transaction.execute_batch(FEEDS)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

/// What the file says of itself; zeros for an empty one.
fn application_and_version(db: &Connection) -> Result<(i64, i64), StoreError> {
    let number = |pragma: &str| db.query_row(pragma, [], |row| row.get(0));
    Ok((
        number("PRAGMA application_id")?,
        number("PRAGMA user_version")?,
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::store::AccessEntry;

    #[test]
    fn two_processes_open_one_file_and_a_foreign_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = AccessStore::open(dir.path()).unwrap();
        let second = AccessStore::open(dir.path()).unwrap();
        drop((first, second));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ACCESS_FILE_NAME);
        let db = Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE theirs (x)").unwrap();
        drop(db);
        let refused = AccessStore::open(dir.path()).err().unwrap();
        assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
    }

    #[test]
    fn processes_that_open_a_new_file_at_once_all_succeed() {
        for _ in 0..30 {
            let dir = tempfile::tempdir().unwrap();
            let start = Barrier::new(6);
            thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        start.wait();
                        let store = AccessStore::open(dir.path()).unwrap();
                        store.record(&AccessEntry::any()).unwrap();
                    });
                }
            });
            let store = AccessStore::open(dir.path()).unwrap();
            assert_eq!(store.access_entries(None, 10).unwrap().entries.len(), 6);
        }
    }

    #[test]
    fn opening_waits_for_another_process_that_looks_at_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ACCESS_FILE_NAME);
        private::open_file(&path).unwrap();
        // It has its tables; its journal has not been changed yet.
        let mut other = connect(&path).unwrap();
        create(&mut other, &path).unwrap();
        other
            .execute_batch("BEGIN; SELECT count(*) FROM sqlite_master;")
            .unwrap();
        thread::scope(|scope| {
            let opening = scope.spawn(|| AccessStore::open(dir.path()));
            // It can only be opened after this.
            thread::sleep(Duration::from_millis(300));
            other.execute_batch("COMMIT").unwrap();
            opening.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_file_that_stays_locked_is_refused_as_busy() {
        let dir = tempfile::tempdir().unwrap();
        drop(AccessStore::open(dir.path()).unwrap());
        let other = Connection::open(dir.path().join(ACCESS_FILE_NAME)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        let refused = store.record(&AccessEntry::any()).unwrap_err();
        assert!(matches!(refused, StoreError::Busy), "{refused}");
        other.execute_batch("ROLLBACK").unwrap();
        store.record(&AccessEntry::any()).unwrap();
    }

    #[test]
    fn a_newer_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        drop(AccessStore::open(dir.path()).unwrap());
        let db = Connection::open(dir.path().join(ACCESS_FILE_NAME)).unwrap();
        db.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(db);
        let refused = AccessStore::open(dir.path()).err().unwrap();
        assert!(refused.to_string().contains("newer"), "{refused}");
    }

    #[test]
    fn an_older_file_is_upgraded() {
        for (version, tables) in [(1, &[SCHEMA][..]), (2, &[SCHEMA, SEARCHES])] {
            let dir = tempfile::tempdir().unwrap();
            let db = Connection::open(dir.path().join(ACCESS_FILE_NAME)).unwrap();
            for table in tables {
                db.execute_batch(table).unwrap();
            }
            db.pragma_update(None, "application_id", APPLICATION_ID)
                .unwrap();
            db.pragma_update(None, "user_version", version).unwrap();
            drop(db);
            for _ in 0..2 {
                let store = AccessStore::open(dir.path()).unwrap();
                assert_eq!(store.search("x").unwrap(), None);
                assert_eq!(store.feeds().unwrap(), []);
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let store = AccessStore::open(dir.path()).unwrap();
        store.read(|_| Ok(())).unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
