//! The log → a backup.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::error::BackupError;
use super::manifest::{Manifest, hash_file};
use super::progress::{OnProgress, Stage};
use super::verify::verify;
use crate::position::rfc3339;
use crate::private;
use crate::store::{FILE_NAME, Store};

/// What is added to the name of a backup that is being written.
const PARTIAL_SUFFIX: &str = ".partial";

/// Writes a backup of `store` to the new directory `dir`. `program` is the version of this program.
///
/// # Errors
/// See [`BackupError`]. A backup that was cut off is under another name, and is removed by the next one to the same `dir`.
pub fn back_up(
    store: &Store,
    dir: &Path,
    program: &str,
    now: DateTime<Utc>,
    progress: OnProgress<'_>,
) -> Result<Manifest, BackupError> {
    let partial = Partial::begin(dir)?;
    let file = partial.dir.join(FILE_NAME);
    store
        .copy_to(&file, |at| progress(Stage::Copying, at.done, at.total))
        .map_err(BackupError::copying(&file))?;
    let copy = Store::open_beside(&partial.dir)?;
    let verified = verify(&copy, progress)?;
    // Its connections may leave files beside the database until they are closed.
    let log_id = copy.log_id();
    drop(copy);
    let (bytes, sha256) = hash_file(&file, progress, |_| Ok(()))?;
    let manifest = Manifest {
        version: Manifest::VERSION,
        log_id,
        events: verified.events,
        last_seq: verified.last.0,
        last_sha256: verified.last_sha256,
        damaged: verified.damaged_total,
        problem: verified.problem,
        file: FILE_NAME.to_owned(),
        bytes,
        sha256,
        orgtrail: program.to_owned(),
        time: rfc3339(now),
    };
    manifest.write(&partial.dir)?;
    partial.finish()?;
    Ok(manifest)
}

/// A backup that is being written, under another name.
struct Partial {
    dir: PathBuf,
    target: PathBuf,
    /// Locked as long as it is written. Beside the folder, because it is no part of the backup.
    lock: File,
    lock_path: PathBuf,
    is_finished: bool,
}

impl Partial {
    /// Begins a backup that will be `target`. Removes one that was cut off.
    fn begin(target: &Path) -> Result<Self, BackupError> {
        let parent = parent_of(target);
        refuse_existing(target)?;
        private::make_dir(&parent).map_err(BackupError::of(&parent))?;
        let lock_path = with_suffix(target, ".lock")?;
        let lock = private::open_file(&lock_path).map_err(BackupError::of(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy(target.to_owned())),
            Err(TryLockError::Error(error)) => return Err(BackupError::of(&lock_path)(error)),
        }
        // Again: the process that had the lock may have finished its backup.
        refuse_existing(target)?;
        let dir = with_suffix(target, PARTIAL_SUFFIX)?;
        remove_dir(&dir)?;
        private::make_dir(&dir).map_err(BackupError::of(&dir))?;
        Ok(Self {
            dir,
            target: target.to_owned(),
            lock,
            lock_path,
            is_finished: false,
        })
    }

    /// Gives the backup its name.
    fn finish(mut self) -> Result<(), BackupError> {
        let failed = BackupError::of(&self.target);
        let parent = parent_of(&self.target);
        let renamed = private::sync_dir(&self.dir)
            .and_then(|()| fs::rename(&self.dir, &self.target))
            .and_then(|()| private::sync_dir(&parent));
        renamed.map_err(failed)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = remove_dir(&self.dir)
        {
            tracing::warn!(error = %error, "What is left of the backup could not be removed.");
        }
        // While it is locked: another process that opens it now finds that it exists no more, and locks a file of its own.
        if let Err(error) = fs::remove_file(&self.lock_path).and_then(|()| self.lock.unlock()) {
            tracing::debug!(error = %error, "The lock file of the backup could not be removed.");
        }
    }
}

/// Refuses a target that is there, unless it is an empty directory, in whose place the backup is put.
fn refuse_existing(target: &Path) -> Result<(), BackupError> {
    match fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(false) => Err(BackupError::Exists(target.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(BackupError::Exists(target.to_owned()))
        }
        Err(error) => Err(BackupError::of(target)(error)),
    }
}

fn parent_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A name beside the target.
fn with_suffix(target: &Path, suffix: &str) -> Result<PathBuf, BackupError> {
    let Some(name) = target.file_name() else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it does not end with a name");
        return Err(BackupError::of(target)(source));
    };
    let mut beside = OsString::from(name);
    beside.push(suffix);
    Ok(parent_of(target).join(beside))
}

fn remove_dir(dir: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::of(dir)(error)),
        _ => Ok(()),
    }
}
