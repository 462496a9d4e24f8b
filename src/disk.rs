//! How much space files take, and how much is left.
//!
//! The figures are for people and monitoring: a file that cannot be read counts as nothing, because files come and go.

use std::fs;
use std::path::Path;

/// The bytes that are left for the owner of `dir` on its file system; `None` where that is not known.
#[must_use]
pub fn free_bytes(dir: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let found = nix::sys::statvfs::statvfs(dir).ok()?;
        // Their types differ from system to system.
        let (blocks, size): (u128, u128) = (
            found.blocks_available().into(),
            found.fragment_size().into(),
        );
        u64::try_from(blocks * size).ok()
    }
    #[cfg(not(unix))]
    {
        let _unknown = dir;
        None
    }
}

/// The bytes of some files; those that do not exist have none.
#[must_use]
pub fn bytes_of<'a>(files: impl IntoIterator<Item = &'a Path>) -> u64 {
    let sizes = files.into_iter().filter_map(|file| fs::metadata(file).ok());
    sizes.map(|found| found.len()).sum()
}

/// The bytes of the files in a directory, without those in directories below it.
#[must_use]
pub fn bytes_in(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let found = entries.filter_map(|entry| entry.ok()?.metadata().ok());
    found
        .filter(fs::Metadata::is_file)
        .map(|one| one.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_added_up_and_missing_ones_count_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::write(&one, [0; 10]).unwrap();
        fs::write(&two, [0; 5]).unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        assert_eq!(bytes_in(dir.path()), 15);
        assert_eq!(bytes_of([one.as_path(), &dir.path().join("none")]), 10);
        assert_eq!(bytes_in(&dir.path().join("none")), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_has_space_left_and_one_that_does_not_exist_has_no_figure() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).is_some_and(|bytes| bytes > 0));
        assert_eq!(free_bytes(&dir.path().join("none")), None);
    }
}
