//! The log: one SQLite file that holds every entry, how far each source is proven complete, and what has been spent.
//!
//! Plain synchronous Rust. One connection writes, inside immediate transactions; others read, each question a snapshot
//! (WAL). A commit is on disk before it returns (`synchronous = FULL`). Every change goes through `Store::change` as
//! a named [`Step`], so that what must happen together does, and a test can break it. All SQL of the project lives in
//! this module and below it.
//!
//! It does not know of HTTP, of the search index, or of the clock: times are handed in.

mod access;
mod address;
mod bodies;
mod copy;
mod damage;
mod erased;
mod error;
mod events;
mod followers;
mod holder;
mod holdings;
mod identity;
mod imports;
mod lateness;
mod ledger;
mod people;
mod quotas;
mod reading;
mod restored;
mod schema;
mod scrub;
mod shown;
mod size;
mod sources;
pub mod steps;
mod window_id;
mod windows;
mod writing;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use tokio::sync::watch;
use uuid::Uuid;

use crate::durable::{Breaker, Step};
use crate::position::Seq;
use crate::private;
use crate::sync::lock;

pub use self::access::{
    ACCESS_FILE_NAME, AccessChange, AccessEntry, AccessLine, AccessPage, AccessStore,
    MAX_PARAMETERS_LEN, NewToken, SESSION_HOURS, TokenRow,
};
use self::bodies::Bodies;
pub use self::copy::CopyProgress;
use self::damage::DamageSeen;
pub use self::damage::NotRepaired;
pub use self::erased::Erased;
use self::error::unusable;
pub use self::error::{DiskProblem, StoreError};
pub use self::events::Page;
pub use self::followers::Checkpoint;
use self::holder::LOCK_NAME;
pub use self::holder::{Holder, announced};
pub use self::holdings::{EntryKey, Held, Holding};
pub use self::imports::Imported;
pub use self::lateness::{Lateness, Visibility};
use self::ledger::Ledgers;
pub use self::ledger::{LastBackfill, LastLive, Progress};
pub use self::people::{Known, MemberRow, NameRow, Who};
pub use self::quotas::QuotaRow;
pub use self::reading::Damage;
pub use self::restored::{PARTIAL_NAME, RestoreDir};
use self::schema::{VERSION, migrate, version};
pub use self::scrub::{DamagedEvent, MAX_DAMAGED, PutBack, ScrubState, Scrubbed};
pub use self::sources::{AccountList, AccountListRead, SourceRow, SourceSeen};
pub use self::window_id::WindowId;
pub use self::windows::{BadAnswers, GapCause, OpenWindow, Then};
pub use self::writing::Appended;

/// The log's file in the data directory.
pub const FILE_NAME: &str = "orgtrail.db";

/// How often, and how long apart, the directory's lock is tried.
const LOCK_TRIES: u32 = 5;
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// SQLite before this had a bug that could corrupt a WAL database with two connections.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many idle reading connections are kept.
const MAX_IDLE_READERS: usize = 8;

/// The log. A clone is another handle to the same one and costs a reference count.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    log_id: Uuid,
    writer: Mutex<Connection>,
    /// Idle reading connections.
    readers: Mutex<Vec<Connection>>,
    bodies: Bodies,
    damage_seen: DamageSeen,
    ledgers: Ledgers,
    /// The newest event's place, announced after each commit.
    head: watch::Sender<Seq>,
    breaker: Breaker,
    /// Nothing is written any more. Set and read under the writer's lock.
    is_closed: AtomicBool,
    /// Whether the index of identities was made again, or that was tried.
    has_rebuilt_identities: AtomicBool,
    /// Which step the disk did not take, and why, until that step succeeds: a smaller one may succeed before.
    disk_problem: Mutex<Option<(Step, DiskProblem)>>,
    /// Held as long as the store is open for writing.
    lock: Option<File>,
}

impl Store {
    /// Opens the log in `dir` for the one process that writes it; makes or upgrades it as needed.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process serves the directory, [`StoreError::Newer`] when a later version made
    /// it, [`StoreError::Damaged`] when the file is not a log, and whatever the file system says.
    pub fn open(dir: &Path, breaker: Breaker) -> Result<Self, StoreError> {
        private::make_dir(dir).map_err(unusable(dir))?;
        let lock = take_lock(dir)?;
        restored::refuse_half_restored(dir)?;
        let path = dir.join(FILE_NAME);
        // SQLite gives its other files the permissions of this one.
        private::open_file(&path).map_err(unusable(&path))?;
        let mut writer = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // First, so that a file that is not ours stays as it is.
        migrate(&mut writer, &path)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        Self::with_writer(path, writer, Some(lock), breaker)
    }

    /// Opens the log in `dir` beside a service that may be writing it.
    ///
    /// # Errors
    /// As [`Store::open`], and when there is no log in `dir`.
    pub fn open_beside(dir: &Path) -> Result<Self, StoreError> {
        restored::refuse_half_restored(dir)?;
        let path = dir.join(FILE_NAME);
        fs::metadata(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StoreError::Missing(dir.to_owned()),
            _ => StoreError::Io {
                path: path.clone(),
                source,
            },
        })?;
        let writer = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let found = version(&writer, &path)?;
        if found != VERSION {
            return Err(StoreError::Older { path, found });
        }
        Self::with_writer(path, writer, None, Breaker::default())
    }

    fn with_writer(
        path: PathBuf,
        writer: Connection,
        lock: Option<File>,
        breaker: Breaker,
    ) -> Result<Self, StoreError> {
        let log_id = log_id(&writer)?;
        let store = Self(Arc::new(Inner {
            path,
            log_id,
            head: watch::Sender::new(reading::head(&writer)?),
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            bodies: Bodies::new(),
            damage_seen: DamageSeen::default(),
            ledgers: Ledgers::default(),
            breaker,
            is_closed: AtomicBool::new(false),
            disk_problem: Mutex::default(),
            has_rebuilt_identities: AtomicBool::new(false),
            lock,
        }));
        store.learn_dictionaries()?;
        Ok(store)
    }

    /// The log's own id.
    #[must_use]
    pub fn log_id(&self) -> Uuid {
        self.0.log_id
    }

    /// Whether no other process changes the log.
    fn is_the_writer(&self) -> bool {
        self.0.lock.is_some()
    }

    /// The newest event's place, as of the last commit that this handle announced.
    #[must_use]
    pub fn head(&self) -> Seq {
        *self.0.head.borrow()
    }

    /// Announces each new head. A missed announcement is found by looking again.
    #[must_use]
    pub fn heads(&self) -> watch::Receiver<Seq> {
        self.0.head.subscribe()
    }

    /// Has SQLite look at its own file.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what it found.
    pub fn check(&self) -> Result<(), StoreError> {
        let found = self.ask(|db| {
            let mut check = db.prepare("PRAGMA quick_check(100)")?;
            let rows = check.query_map([], |row| row.get::<_, String>(0))?;
            Ok(rows.collect::<Result<Vec<String>, _>>()?)
        })?;
        // Pages that nothing uses are left where an index was made again; they are not damage.
        let mut lines = found.iter().flat_map(|found| found.lines());
        let is_damage = |line: &&str| {
            *line != "ok" && !line.starts_with("***") && !line.ends_with("never used")
        };
        match lines.find(is_damage) {
            None => Ok(()),
            Some(line) => Err(StoreError::Damaged(line.to_owned())),
        }
    }

    /// Ends all writing: whoever writes now is waited for, the write-ahead log is folded into the database, and the directory
    /// is free for another process, even while a handle to this log is left somewhere.
    ///
    /// # Errors
    /// What SQLite or the file system says.
    pub fn close(&self) -> Result<(), StoreError> {
        let writer = lock(&self.0.writer);
        self.0.is_closed.store(true, Ordering::SeqCst);
        let folded = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Some(lock) = &self.0.lock {
            // Nobody answers there any more. An address that stays leads nowhere, which harms nothing.
            if let Err(error) = holder::write(lock, "") {
                tracing::debug!(error = %error, "The address in the lock file could not be removed.");
            }
            lock.unlock().map_err(unusable(&self.0.path))?;
        }
        Ok(folded?)
    }

    /// One change to the log: all of it, or none.
    fn change<T>(
        &self,
        step: Step,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = lock(&self.0.writer);
        if self.0.is_closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let changed = self.0.breaker.around(step, || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = change(&transaction)?;
            transaction.commit()?;
            Ok(outcome)
        });
        let mut problem = lock(&self.0.disk_problem);
        match &changed {
            Err(StoreError::Full) => *problem = Some((step, DiskProblem::Full)),
            Err(StoreError::Disk(_)) => *problem = Some((step, DiskProblem::Failing)),
            _ => {
                problem.take_if(|(failed, _)| *failed == step);
            }
        }
        changed
    }

    /// Makes the index of identities again from the rows of `event`: nothing but it may be damaged. Once in the life of this
    /// handle, because a file that is damaged elsewhere stays so; returns whether it was done.
    fn rebuild_identities(&self) -> bool {
        if self.0.has_rebuilt_identities.swap(true, Ordering::SeqCst) {
            return false;
        }
        let mut writer = lock(&self.0.writer);
        let rebuilt = schema::rebuild_identities(&mut writer);
        match rebuilt {
            Ok(()) => {
                tracing::warn!(
                    "The index of identities was damaged. It was made again from the rows."
                );
                true
            }
            Err(error) => {
                tracing::warn!(error = %error, "The log is damaged, and its index of identities could not be made again.");
                false
            }
        }
    }

    /// Why the log cannot be written at present, when the disk is the cause.
    #[must_use]
    pub fn disk_problem(&self) -> Option<DiskProblem> {
        lock(&self.0.disk_problem).map(|(_, problem)| problem)
    }

    /// One question to the log, over one snapshot of it.
    fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = lock(&self.0.readers).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => connect(&self.0.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        };
        let answer = {
            let snapshot = reader.transaction()?;
            question(&snapshot)?
        };
        let mut readers = lock(&self.0.readers);
        if readers.len() < MAX_IDLE_READERS {
            readers.push(reader);
        }
        Ok(answer)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that is being started holds it open a moment longer.
        if let Some(Err(error)) = self.lock.as_ref().map(File::unlock) {
            tracing::debug!(error = %error, "The lock of the data directory could not be let go.");
        }
    }
}

/// Locks the directory for this process. A command that only looks who holds it ([`Holder::of`]) holds it for a moment, so
/// a few tries are made.
fn take_lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_NAME);
    let file = private::open_file(&path).map_err(unusable(&path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => {
                // In place of what a crash left there. On a full disk nobody learns who it is.
                file.set_len(0).map_err(unusable(&path))?;
                if let Err(error) = holder::write_holder(&file, None) {
                    tracing::debug!(error = %error, "The lock file does not say who holds it.");
                }
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
            Err(TryLockError::Error(source)) => return Err(StoreError::Io { path, source }),
        }
    }
    Err(StoreError::InUse(Holder::read(dir)))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(StoreError::Damaged(format!(
            "SQLite {} is too old to be trusted with it",
            rusqlite::version()
        )));
    }
    let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    db.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    // In KiB when negative.
    db.pragma_update(None, "cache_size", -16 * 1024)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

fn log_id(db: &Connection) -> Result<Uuid, StoreError> {
    let found: Option<String> = db
        .query_row("SELECT value FROM meta WHERE name = 'log_id'", [], |row| {
            row.get(0)
        })
        .optional()?;
    found
        .and_then(|id| Uuid::try_parse(&id).ok())
        .ok_or_else(|| StoreError::Damaged("it has no id".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Source;

    #[test]
    fn a_log_keeps_its_id_and_is_opened_by_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::open(dir.path(), Breaker::default()).unwrap();
        let id = first.log_id();
        assert!(matches!(
            Store::open(dir.path(), Breaker::default()),
            Err(StoreError::InUse(_))
        ));
        assert_eq!(Store::open_beside(dir.path()).unwrap().log_id(), id);
        // A handle that somebody still reads with keeps nobody else out.
        first.close().unwrap();
        assert!(matches!(
            first.save_sources(&[], crate::clock::from_micros(0)),
            Err(StoreError::Closed)
        ));
        let again = Store::open(dir.path(), Breaker::default()).unwrap();
        assert_eq!(again.log_id(), id);
        again.check().unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn what_is_kept_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        store
            .save_sources(&[], crate::clock::from_micros(0))
            .unwrap();
        let mut files = 0;
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
            files += 1;
        }
        assert!(files >= 4, "the log, its two companions and the lock");
    }

    #[test]
    fn a_log_that_needs_no_upgrade_is_opened_without_writing() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Breaker::default()).unwrap());
        let other = Connection::open(dir.path().join(FILE_NAME)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let store = Store::open(dir.path(), Breaker::default());
        assert_eq!(store.unwrap().head(), Seq::ZERO);
    }

    #[test]
    fn a_full_disk_is_known_as_one_and_leaves_the_log_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        let room = |pages: i64| {
            let writer = lock(&store.0.writer);
            writer
                .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
                .unwrap();
        };
        let seen: Vec<_> = (0..500)
            .map(|n| SourceSeen {
                source: Source::account(&format!("account-{n}")).unwrap(),
                organization: None,
                label: Some("a name".repeat(20)),
                created_at: None,
            })
            .collect();
        let save = || store.save_sources(&seen, crate::clock::from_micros(0));
        // As many pages as there are: SQLite then says what it says of a full disk.
        room(1);
        let full = save().unwrap_err();
        assert!(
            matches!(full, StoreError::Full) && full.may_pass(),
            "{full}"
        );
        assert_eq!(store.disk_problem(), Some(DiskProblem::Full));
        assert!(store.sources().unwrap().is_empty());
        store.check().unwrap();
        room(1_000_000);
        save().unwrap();
        assert_eq!(store.sources().unwrap().len(), seen.len());
        assert_eq!(store.disk_problem(), None);
    }

    #[test]
    fn a_database_that_is_not_ours_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let db = Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE theirs (x)").unwrap();
        drop(db);
        let before = fs::read(&path).unwrap();
        let refused = Store::open(dir.path(), Breaker::default()).err().unwrap();
        assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn where_there_is_no_log_or_an_older_one_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |dir: &Path| Store::open_beside(dir).err().unwrap();
        assert!(matches!(refused(dir.path()), StoreError::Missing(_)));
        // As a crash leaves it that comes before the first transaction.
        private::open_file(&dir.path().join(FILE_NAME)).unwrap();
        assert!(matches!(refused(dir.path()), StoreError::Older { .. }));
        drop(Store::open(dir.path(), Breaker::default()).unwrap());
        assert!(Store::open_beside(dir.path()).is_ok());
    }

    #[test]
    fn a_newer_log_or_a_foreign_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Breaker::default()).unwrap());
        let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
        db.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(db);
        let refused = Store::open(dir.path(), Breaker::default())
            .err()
            .unwrap()
            .to_string();
        assert!(refused.contains("use a newer orgtrail"), "{refused}");

        fs::write(
            dir.path().join(FILE_NAME),
            "this is not a database, but long enough to be looked at",
        )
        .unwrap();
        assert!(matches!(
            Store::open(dir.path(), Breaker::default()),
            Err(StoreError::Damaged(_))
        ));
    }
}
