//! How much space the log takes, and how much is left for it.

use std::path::{Path, PathBuf};

use super::{Store, StoreError};
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

    /// The bytes of each table and index, and of the columns of `event`, the largest first: for measuring.
    ///
    /// # Errors
    /// What the database says.
    pub fn sizes(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.ask(|db| {
            let mut sizes = Vec::new();
            let mut tables = db.prepare("SELECT name, sum(pgsize) FROM dbstat GROUP BY name")?;
            for table in tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
                sizes.push(table?);
            }
            let columns = ["identity", "sha256", "body", "problem", "canonical_sha256"];
            for column in columns {
                let sum = format!("SELECT coalesce(sum(length({column})), 0) FROM event");
                let bytes: u64 = db.query_row(&sum, [], |row| row.get(0))?;
                sizes.push((format!("  of event: {column}"), bytes));
            }
            sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            Ok(sizes)
        })
    }

    /// The bytes that are left on the file system of the data directory; `None` where that is not known.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        let dir = self.0.path.parent();
        disk::free_bytes(dir.unwrap_or(Path::new(".")))
    }
}

#[cfg(test)]
mod tests {
    use crate::durable::Failpoints;

    use super::*;

    #[test]
    fn every_table_has_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let sizes = store.sizes().unwrap();
        for name in ["event", "event_identity", "  of event: body"] {
            assert!(sizes.iter().any(|(at, _)| at == name), "{name}");
        }
        let pages: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
        assert!(pages > 0 && pages <= store.file_bytes(), "{pages}");
    }
}
