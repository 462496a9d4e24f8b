//! What can go wrong with the log.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::holder::Holder;
use super::window_id::WindowId;
use crate::durable::InjectedFailure;

/// What went wrong with the log, by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try again: another process holds the database.
    #[error("the database is locked by another process")]
    Busy,
    /// Wait for room: nothing was written.
    #[error("the disk that holds the log is full")]
    Full,
    /// Try again later: the disk did not do what it was told.
    #[error("the disk failed: {0}")]
    Disk(rusqlite::Error),
    /// Reload and look again: the window is not where the caller thought it was.
    #[error("window {0} was changed by another task")]
    Stale(WindowId),
    /// Reload and look again: a row contradicts another one, which something else has written.
    #[error("the database refused a row that contradicts another one: {0}")]
    Conflict(rusqlite::Error),
    /// Read the checkpoint again: the follower is not where the caller thought it was.
    #[error("the follower `{0}` was advanced by another task")]
    Overtaken(String),
    /// Stop: another process uses this directory.
    #[error("{0}")]
    InUse(Holder),
    /// Stop: made by a later version.
    #[error("`{}` has schema version {found}, this program knows up to {known}: use a newer orgtrail", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The last version that this program knows.
        known: i64,
    },
    /// Stop: made by an earlier version, and only looked at here.
    #[error("`{}` has schema version {found}, an older version: run `orgtrail serve`, `backfill` or `import` to upgrade it", path.display())]
    Older {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// Stop: there is nothing to look at.
    #[error("there is no log in `{}`; `orgtrail serve` and `orgtrail import` begin one", .0.display())]
    Missing(PathBuf),
    /// Stop: a log is restored only where there is none.
    #[error(
        "`{}` already holds a log, which is not replaced: move its `orgtrail.db` away first, or name another data directory",
        .0.display()
    )]
    Occupied(PathBuf),
    /// Stop: what is there is not whole.
    #[error(
        "a restore into `{}` did not finish: run `orgtrail restore` again, or delete `restore.partial` there to begin an empty log",
        .0.display()
    )]
    HalfRestored(PathBuf),
    /// Stop: the file is empty.
    #[error("`{}` is empty: it holds no log", .0.display())]
    NoLog(PathBuf),
    /// Stop: it is no log of ours, and stays as it is.
    #[error("`{}` is another program's database", .0.display())]
    Foreign(PathBuf),
    /// Stop and restore a backup: what was read is not what was written.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// Stop: the directory or a file cannot be used.
    #[error("could not use `{}`: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Record and go on: compression failed.
    #[error("could not compress a body: {0}")]
    Zstd(#[from] std::io::Error),
    /// Stop: anything else SQLite says.
    #[error("database: {0}")]
    Sqlite(rusqlite::Error),
    /// Report to the caller: the question has no time left.
    #[error(
        "the question was cut off while it read the log: ask about a shorter time with `since` and `before`"
    )]
    CutOff,
    /// Stop: the service has.
    #[error("the log is closed")]
    Closed,
    /// A test's doing.
    #[error(transparent)]
    InjectedFailure(#[from] InjectedFailure),
}

impl StoreError {
    /// Whether it may pass by itself, so that trying again is of use.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Busy | Self::InjectedFailure(_)) || self.is_of_the_disk()
    }

    /// Whether the disk is full or fails. Questions are answered all the same: a line of the access log that does not fit waits in
    /// memory, or is missing with a warning.
    #[must_use]
    pub fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Full | Self::Disk(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                // Other processes took its locks faster again and again.
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::OperationInterrupted) => Self::CutOff,
            Some(ErrorCode::ConstraintViolation) => Self::Conflict(error),
            // A quota or a limit of the process looks so too.
            Some(
                ErrorCode::SystemIoFailure
                // The file system became read-only, or its permissions changed.
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied,
            ) => Self::Disk(error),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Sqlite(error),
        }
    }
}

/// Why the log cannot be written at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskProblem {
    /// The disk has no room.
    Full,
    /// The disk fails in another way.
    Failing,
}

impl DiskProblem {
    /// As `/readyz` names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "disk full",
            Self::Failing => "disk failing",
        }
    }
}

/// A file or directory could not be used.
pub(super) fn unusable(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}
