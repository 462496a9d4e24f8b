//! The log's file in its data directory: whether it is there, the lock of the directory, and connections to it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use uuid::Uuid;

use super::error::{StoreError, unusable};
use super::holder::{self, Holder, LOCK_NAME};
use crate::private;

/// The log's file in the data directory.
pub const FILE_NAME: &str = "orgtrail.db";

/// The folder in a data directory in which a restored log is prepared.
pub const PARTIAL_NAME: &str = "restore.partial";

/// How often, and how long apart, the directory's lock is tried.
const LOCK_TRIES: u32 = 5;
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// SQLite before this had a bug that could corrupt a WAL database with two connections.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Locks the directory for this process. [`Holder::of`] takes the lock for a moment to find out who has it, so a few tries
/// are made.
pub(super) fn take_lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_NAME);
    let file = private::open_file(&path).map_err(unusable(&path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => {
                // Replaces what a crash left there. On a full disk the file stays empty, and other processes cannot name the holder.
                file.set_len(0).map_err(unusable(&path))?;
                if let Err(error) = holder::write_holder(&file, None) {
                    tracing::debug!(error = %error, "Writing the holder into the lock file failed.");
                }
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
            Err(TryLockError::Error(source)) => return Err(StoreError::Io { path, source }),
        }
    }
    Err(StoreError::InUse(Holder::read(dir)))
}

/// Refuses a data directory in which a restore was cut off.
pub(super) fn refuse_half_restored(dir: &Path) -> Result<(), StoreError> {
    let partial = dir.join(PARTIAL_NAME);
    if partial.is_dir() && !has_log(dir)? {
        return Err(StoreError::HalfRestored(dir.to_owned()));
    }
    Ok(())
}

/// Whether a data directory holds a log. An empty file is none: a crash leaves it before the first transaction.
pub(super) fn has_log(dir: &Path) -> Result<bool, StoreError> {
    let path = dir.join(FILE_NAME);
    match fs::metadata(&path) {
        Ok(found) => Ok(found.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unusable(&path)(error)),
    }
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
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
    // What is erased must not stay readable in free pages.
    db.pragma_update(None, "secure_delete", true)?;
    // In KiB when negative.
    db.pragma_update(None, "cache_size", -16 * 1024)?;
    // Without it, many statements are planned anew for each value that is bound to them.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

pub(super) fn log_id(db: &Connection) -> Result<Uuid, StoreError> {
    let found: Option<String> = db
        .query_row("SELECT value FROM meta WHERE name = 'log_id'", [], |row| {
            row.get(0)
        })
        .optional()?;
    found
        .and_then(|id| Uuid::try_parse(&id).ok())
        .ok_or_else(|| StoreError::Damaged("it has no id".into()))
}
