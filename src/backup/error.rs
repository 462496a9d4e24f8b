//! Why there is no backup, or no restored log.

use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Why there is no backup, or no restored log. In each case nothing is left that looks like one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Name another folder: backups are not overwritten.
    #[error("`{}` already exists, and backups are not overwritten: name a new directory", .0.display())]
    Exists(PathBuf),
    /// Wait for the other process.
    #[error("another process is writing a backup to `{}`", .0.display())]
    Busy(PathBuf),
    /// Make room: nothing was kept.
    #[error("the disk that holds `{}` is full", .0.display())]
    Full(PathBuf),
    /// It is not a backup.
    #[error("`{}` is not a backup: {why}", path.display())]
    NotABackup {
        /// What was named.
        path: PathBuf,
        /// What is missing or wrong.
        why: String,
    },
    /// It was changed since it was made.
    #[error("the backup `{}` is not what was written: {why}", path.display())]
    Changed {
        /// What was named.
        path: PathBuf,
        /// What differs.
        why: String,
    },
    /// A later version made it.
    #[error("`{}` has manifest version {found}, this program knows up to {known}: use a newer orgtrail", path.display())]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The last version that this program knows.
        known: u32,
    },
    /// It holds damaged events, and that was not allowed.
    #[error("{what}; `--damaged` restores it all the same")]
    Damaged {
        /// What is damaged.
        what: String,
    },
    /// A service uses the file.
    #[error("a running orgtrail uses `{}`: make a backup of it with `orgtrail backup`", .0.display())]
    InUse(PathBuf),
    /// A file or directory could not be used.
    #[error("could not use `{}`: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What the log says.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    /// A file or directory could not be used.
    pub(super) fn of(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::Io { path, source },
        }
    }

    /// The log could not be copied to `path`.
    pub(super) fn copying(path: &Path) -> impl FnOnce(StoreError) -> Self {
        let path = path.to_owned();
        move |error| match error {
            // Nothing is written to the log that is copied.
            StoreError::Full => Self::Full(path),
            StoreError::Disk(error) => Self::Io {
                path,
                source: std::io::Error::other(error.to_string()),
            },
            StoreError::Io { path, source } => Self::of(&path)(source),
            other => Self::Store(other),
        }
    }
}
