//! Room on the disk that is kept for revoking a token: a file beside `access.db` that is deleted when the disk is full.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::private;
use crate::store::error::StoreError;

/// The file in the data directory.
const RESERVE_FILE_NAME: &str = "access.reserve";

/// How long it is, in bytes: many times what one change of `access.db` writes.
const RESERVE_LEN: usize = 256 * 1024;

/// The room that is kept in a data directory.
#[derive(Debug)]
pub(super) struct Reserve(PathBuf);

impl Reserve {
    pub(super) fn of(dir: &Path) -> Self {
        Self(dir.join(RESERVE_FILE_NAME))
    }

    /// Makes the file unless it is there. Without room for it there is none until the next call.
    pub(super) fn keep(&self) {
        let is_kept = fs::metadata(&self.0).is_ok_and(|file| file.len() >= RESERVE_LEN as u64);
        if !is_kept && self.fill().is_err() {
            // A part of it would only take room.
            drop(fs::remove_file(&self.0));
        }
    }

    fn fill(&self) -> io::Result<()> {
        // A file system that compresses would give zeros no room.
        let mut content = vec![0; RESERVE_LEN];
        getrandom::fill(&mut content).map_err(|error| io::Error::other(error.to_string()))?;
        let mut file = private::open_file(&self.0)?;
        file.write_all(&content)?;
        file.sync_all()
    }

    /// Gives the room back to the disk. Returns false if none was kept.
    fn free(&self) -> bool {
        fs::remove_file(&self.0).is_ok()
    }

    /// Does `work`, and once more with the room if the disk has none.
    pub(super) fn with_room<T>(
        &self,
        work: impl Fn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match work() {
            // SQLite reports some writes beyond the end of a full disk as failed.
            Err(StoreError::Full | StoreError::Disk(_) | StoreError::Io { .. }) if self.free() => {
                work()
            }
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_kept_until_the_disk_is_full_and_again_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RESERVE_FILE_NAME);
        let len = || fs::metadata(&path).map_or(0, |file| file.len());
        let reserve = Reserve::of(dir.path());
        reserve.keep();
        assert_eq!(len(), RESERVE_LEN as u64);
        let until_free = || {
            if path.exists() {
                Err(StoreError::Full)
            } else {
                Ok(())
            }
        };
        reserve.with_room(until_free).unwrap();
        assert_eq!(len(), 0);
        let never = || Err::<(), _>(StoreError::Full);
        assert!(reserve.with_room(never).is_err());
        reserve.keep();
        assert_eq!(len(), RESERVE_LEN as u64);
        assert!(
            reserve
                .with_room(|| Err::<(), _>(StoreError::Busy))
                .is_err()
        );
        assert!(path.exists());
    }
}
