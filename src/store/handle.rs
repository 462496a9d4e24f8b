//! A handle to the log: it opens and closes the file, and runs each change and each read in a transaction.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::watch;
use uuid::Uuid;

use super::bodies::Bodies;
use super::connect::{FILE_NAME, connect, log_id, refuse_half_restored, take_lock};
use super::damage::DamageSeen;
use super::error::{DiskProblem, StoreError, unusable};
use super::holder;
use super::ledger::Ledgers;
use super::opening::until_unlocked;
use super::schema::{self, VERSION, migrate, version};
use super::{steps, time_limit};
use crate::durable::{Failpoints, Step};
use crate::position::Seq;
use crate::private;
use crate::sync::lock;

/// How many idle reading connections are kept.
const MAX_IDLE_READERS: usize = 8;

/// The log. A clone is another handle to the same one and costs a reference count.
#[derive(Clone)]
pub struct Store(pub(super) Arc<Inner>);

/// What all handles share.
pub(super) struct Inner {
    pub(super) path: PathBuf,
    pub(super) log_id: Uuid,
    /// This run's id, under which it adds events.
    pub(super) run_id: Uuid,
    pub(super) writer: Mutex<Connection>,
    /// Idle reading connections.
    pub(super) readers: Mutex<Vec<Connection>>,
    pub(super) bodies: Bodies,
    pub(super) damage_seen: DamageSeen,
    pub(super) ledgers: Ledgers,
    /// The newest event's place, announced after each commit.
    pub(super) head: watch::Sender<Seq>,
    /// The newest message of the outbox, announced after each commit.
    pub(super) newest_message: watch::Sender<i64>,
    pub(super) failpoints: Failpoints,
    /// Whether writing has ended. Set and read under the writer's lock.
    pub(super) is_closed: AtomicBool,
    /// Whether a rebuild of the index of identities was tried.
    pub(super) has_rebuilt_identities: AtomicBool,
    /// Whether the times at which bad answers came are by this process's steady clock.
    pub(super) counts_bad_times: AtomicBool,
    /// The step that failed because of the disk, and why. It stays until the same step succeeds: a smaller step may succeed earlier.
    pub(super) disk_problem: Mutex<Option<(Step, DiskProblem)>>,
    /// Held as long as the store is open for writing.
    pub(super) lock: Option<File>,
}

impl Store {
    /// Opens the log in `dir` for the one process that writes it; makes or upgrades it as needed.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process serves the directory, [`StoreError::Newer`] when a later version made
    /// it, [`StoreError::Damaged`] when the file is not a log, and whatever the file system says.
    pub fn open(dir: &Path, failpoints: Failpoints) -> Result<Self, StoreError> {
        private::make_dir(dir).map_err(unusable(dir))?;
        let lock = take_lock(dir)?;
        refuse_half_restored(dir)?;
        let path = dir.join(FILE_NAME);
        // SQLite gives its other files the permissions of this one.
        private::open_file(&path).map_err(unusable(&path))?;
        let mut writer = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // First, so that a file that is not ours stays as it is.
        migrate(&mut writer, &path)?;
        // A command may be reading a log that was just restored, whose journal has the other form.
        until_unlocked(|| Ok(writer.pragma_update(None, "journal_mode", "WAL")?))?;
        if let Err(error) = schema::fill_newest(&writer) {
            tracing::warn!(error = %error, "Computing the newest event of some sources failed; questions limited to them are slower.");
        }
        Self::with_writer(path, writer, Some(lock), failpoints)
    }

    /// Opens the log in `dir` beside a service that may be writing it.
    ///
    /// # Errors
    /// As [`Store::open`], and when there is no log in `dir`.
    pub fn open_beside(dir: &Path) -> Result<Self, StoreError> {
        refuse_half_restored(dir)?;
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
        Self::with_writer(path, writer, None, Failpoints::default())
    }

    fn with_writer(
        path: PathBuf,
        writer: Connection,
        lock: Option<File>,
        failpoints: Failpoints,
    ) -> Result<Self, StoreError> {
        let log_id = log_id(&writer)?;
        let store = Self(Arc::new(Inner {
            path,
            log_id,
            run_id: Uuid::new_v4(),
            head: watch::Sender::new(newest_seq(&writer)?),
            newest_message: watch::Sender::new(0),
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            bodies: Bodies::new(),
            damage_seen: DamageSeen::default(),
            ledgers: Ledgers::default(),
            failpoints,
            is_closed: AtomicBool::new(false),
            disk_problem: Mutex::default(),
            has_rebuilt_identities: AtomicBool::new(false),
            counts_bad_times: AtomicBool::new(false),
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
    pub(super) fn is_the_writer(&self) -> bool {
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

    /// Announces new messages of the outbox that this handle's process adds. Those of other processes are found by looking again.
    #[must_use]
    pub fn messages(&self) -> watch::Receiver<i64> {
        self.0.newest_message.subscribe()
    }

    /// Runs SQLite's own check of the file.
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

    /// Ends all writing: waits for the running change, moves the write-ahead log into the database, and unlocks the directory for
    /// other processes, even while another handle to this log exists.
    ///
    /// # Errors
    /// What SQLite or the file system says.
    pub fn close(&self) -> Result<(), StoreError> {
        let writer = lock(&self.0.writer);
        self.0.is_closed.store(true, Ordering::SeqCst);
        let folded = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Some(lock) = &self.0.lock {
            // The service has stopped. An address that stays in the file does no harm: readers compare the id of the log.
            if let Err(error) = holder::write(lock, "") {
                tracing::debug!(error = %error, "Removing the address from the lock file failed.");
            }
            lock.unlock().map_err(unusable(&self.0.path))?;
        }
        Ok(folded?)
    }

    /// One change to the log: all of it, or none.
    pub(super) fn change<T>(
        &self,
        step: Step,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = lock(&self.0.writer);
        if self.0.is_closed.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        let changed = self.0.failpoints.run(step, || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = change(&transaction)?;
            transaction.commit()?;
            self.announce_message(&writer);
            Ok(outcome)
        });
        let mut problem = lock(&self.0.disk_problem);
        match &changed {
            Err(StoreError::Full) => *problem = Some((step, DiskProblem::Full)),
            Err(StoreError::Disk(_)) => *problem = Some((step, DiskProblem::Failing)),
            // Steps are not alike in size, so a small one does not show that there is room again. A page does: it is what fills
            // the log, and the step that failed may not come again for long.
            Ok(_) => {
                problem.take_if(|(failed, _)| *failed == step || step == steps::APPEND_PAGE);
            }
            // It says nothing of the disk.
            Err(_) => {}
        }
        changed
    }

    /// Announces the newest message if there is a new one. After the commit, because reading it may fail and writing has not.
    fn announce_message(&self, writer: &Connection) {
        let newest = writer
            .prepare_cached("SELECT coalesce(max(id), 0) FROM message")
            .and_then(|mut ask| ask.query_row([], |row| row.get(0)));
        if let Ok(newest) = newest {
            let changes = |known: &mut i64| std::mem::replace(known, newest) != newest;
            self.0.newest_message.send_if_modified(changes);
        }
    }

    /// Rebuilds the index of identities from the rows of `event`, in case only the index is damaged. Tried once for each
    /// handle, since damage elsewhere in the file would remain. Returns whether it succeeded.
    pub(super) fn rebuild_identities(&self) -> bool {
        if self.0.has_rebuilt_identities.swap(true, Ordering::SeqCst) {
            return false;
        }
        let mut writer = lock(&self.0.writer);
        let rebuilt = schema::rebuild_identities(&mut writer);
        match rebuilt {
            Ok(()) => {
                tracing::warn!(
                    "The index of identities was damaged and has been rebuilt from the rows."
                );
                true
            }
            Err(error) => {
                tracing::warn!(error = %error, "The log is damaged: rebuilding its index of identities failed.");
                false
            }
        }
    }

    /// Why the disk does not allow writing now; `None` when it does.
    #[must_use]
    pub fn disk_problem(&self) -> Option<DiskProblem> {
        lock(&self.0.disk_problem).map(|(_, problem)| problem)
    }

    /// One question to the log, over one snapshot of it. It ends with the time limit of its thread.
    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = lock(&self.0.readers).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => connect(&self.0.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        };
        time_limit::apply(&mut reader)?;
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
            tracing::debug!(error = %error, "Releasing the lock of the data directory failed.");
        }
    }
}

/// The newest event's place.
pub(super) fn newest_seq(db: &Connection) -> Result<Seq, StoreError> {
    let newest: Option<u64> = db
        .prepare_cached("SELECT max(seq) FROM event")?
        .query_row([], |row| row.get(0))?;
    Ok(Seq(newest.unwrap_or(0)))
}
