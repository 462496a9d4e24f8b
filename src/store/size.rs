//! How much space the log takes, and how much is left for it.

use std::path::{Path, PathBuf};

use super::Store;
use crate::disk;

impl Store {
    /// The bytes of the log's file and of its write-ahead log.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let path = &self.0.path;
        let mut ahead = path.clone().into_os_string();
        ahead.push("-wal");
        disk::bytes_of([path.as_path(), PathBuf::from(ahead).as_path()])
    }

    /// The bytes that are left on the file system of the data directory; `None` where that is not known.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        let dir = self.0.path.parent();
        disk::free_bytes(dir.unwrap_or(Path::new(".")))
    }
}
