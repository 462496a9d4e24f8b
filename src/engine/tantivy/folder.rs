//! The index's directories in the data directory, and how a rebuilt index takes the place of the one before it.
//!
//! An index that is proven to be unusable is emptied, and the new one is built in its place: a small disk has no room for two. A
//! usable one stays in `index` while the new one is built beside it in `index.new`; when that is whole they change places. Where
//! they cannot, because `index` is a mount point for example, the new one stays in `index.new` and is used there. A crash can leave
//! these states, and each start goes on from any of them:
//!
//! | `index` | `index.new` | `index.old` | the next start |
//! | --- | --- | --- | --- |
//! | yes |  |  | opens `index`, and goes on building it if it is marked as unfinished; an unusable one is emptied and built anew |
//! | yes | yes |  | goes on with `index.new`; an unusable one is removed |
//! |  | yes | yes | the swap was half done: renames `index.new` to `index`, removes `index.old` |
//! | yes |  | yes | the swap was done: removes `index.old` |
//! |  | yes |  | `index` was deleted during a rebuild: renames `index.new` to `index` and goes on there |
//! |  |  | yes | `index` was deleted after a swap: removes `index.old`, builds in `index` |
//! |  |  |  | builds in `index` |

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tracing::{debug, warn};

use super::error::IndexError;
use super::proof::is_no_space_io;
use super::steps;
use crate::durable::Failpoints;
use crate::private;

/// The index's directory in the data directory.
pub const DIR_NAME: &str = "index";

/// Where a new index is built beside an unusable one.
pub(super) const NEW_NAME: &str = "index.new";

/// Where the unusable index is for a moment, until it is deleted.
const OLD_NAME: &str = "index.old";

/// The file that says which segments an index has.
const META_NAME: &str = "meta.json";

/// The file that says that an index in `index` is not whole yet.
const UNFINISHED_NAME: &str = "unfinished";

/// The file that is written to see whether the disk is full.
const PROBE_NAME: &str = "probe";

/// How long it is.
const PROBE_BYTES: usize = 1024 * 1024;

/// What is known of an index that is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// Questions can be answered from it.
    Usable,
    /// It is proven that it cannot be used.
    Unusable,
}

/// The index's directories.
pub(super) struct Folder {
    data_dir: PathBuf,
}

impl Folder {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
        }
    }

    /// The index that questions are answered from.
    pub(super) fn current(&self) -> PathBuf {
        self.data_dir.join(DIR_NAME)
    }

    /// The index that is being built to replace it.
    pub(super) fn new_one(&self) -> PathBuf {
        self.data_dir.join(NEW_NAME)
    }

    /// Finishes a swap that a crash interrupted. Where that is not possible, the new index stays where it is.
    pub(super) fn recover(&self) -> Result<(), IndexError> {
        if !exists(&self.current())? && exists(&self.new_one())? {
            match rename(&self.new_one(), &self.current()) {
                Ok(()) => self.sync()?,
                Err(error) => debug!(error = %error, "Renaming the new index failed."),
            }
        }
        self.remove_old();
        Ok(())
    }

    /// Where the next index is to be built: in the place of one that is proven to be unusable, which is emptied, or of none; beside
    /// a usable one. Nothing is left of an earlier attempt.
    pub(super) fn make_room(&self, old: Old) -> Result<PathBuf, IndexError> {
        let (current, new) = (self.current(), self.new_one());
        remove(&new).map_err(failed(&new))?;
        match (exists(&current)?, old) {
            (false, _) => Ok(current),
            (true, Old::Usable) => Ok(new),
            (true, Old::Unusable) => match self.empty_current() {
                Ok(()) => Ok(current),
                Err(error) => {
                    warn!(error = %error, "Removing the unusable index failed; building a new one beside it.");
                    Ok(new)
                }
            },
        }
    }

    /// Notes in `index` that the index there is being built. The note outlives a crash.
    pub(super) fn mark_unfinished(&self) -> Result<(), IndexError> {
        let current = self.current();
        private::make_dir(&current).map_err(failed(&current))?;
        let mark = current.join(UNFINISHED_NAME);
        private::open_file(&mark).map_err(failed(&mark))?;
        private::sync_dir(&current).map_err(failed(&current))
    }

    /// Whether the index in `index` is still being built.
    pub(super) fn is_unfinished(&self) -> Result<bool, IndexError> {
        exists(&self.current().join(UNFINISHED_NAME))
    }

    /// The index in `index` is whole.
    pub(super) fn mark_finished(&self) -> Result<(), IndexError> {
        let mark = self.current().join(UNFINISHED_NAME);
        remove(&mark).map_err(failed(&mark))
    }

    /// Removes the files of the index in `index`. The directory stays, and what else is in it: it may be a mount point.
    pub(super) fn empty_current(&self) -> Result<(), IndexError> {
        let current = self.current();
        empty(&current).map_err(failed(&current))
    }

    /// Whether an index is being built beside another one.
    pub(super) fn is_building_beside(&self) -> Result<bool, IndexError> {
        exists(&self.new_one())
    }

    /// Removes an unfinished index that cannot be used.
    pub(super) fn remove_new(&self) -> Result<(), IndexError> {
        let new = self.new_one();
        remove(&new).map_err(failed(&new))
    }

    /// Puts the new index in the place of the old one, which is deleted. Neither may be open for writing. After an error both are
    /// where they were, as far as possible.
    pub(super) fn swap(&self, failpoints: &Failpoints) -> Result<(), IndexError> {
        let old = self.data_dir.join(OLD_NAME);
        remove(&old).map_err(failed(&old))?;
        failpoints.run(steps::SWAP, || rename(&self.current(), &old))?;
        // At this point, if we crash, there is no `index`, and the next start does the next step.
        let swapped = failpoints.run(steps::SWAP, || rename(&self.new_one(), &self.current()));
        if let Err(error @ IndexError::Io { .. }) = swapped {
            rename(&old, &self.current())?;
            return Err(error);
        }
        swapped?;
        self.sync()?;
        self.remove_old();
        Ok(())
    }

    /// What cannot be removed now is removed at the next start.
    fn remove_old(&self) {
        let old = self.data_dir.join(OLD_NAME);
        if let Err(error) = remove(&old) {
            debug!(error = %error, "Removing the replaced index failed.");
        }
    }

    /// Makes renamed directories durable.
    fn sync(&self) -> Result<(), IndexError> {
        if cfg!(unix) {
            let synced = fs::File::open(&self.data_dir).and_then(|dir| dir.sync_all());
            synced.map_err(failed(&self.data_dir))?;
        }
        Ok(())
    }
}

fn exists(path: &Path) -> Result<bool, IndexError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(path)(error)),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), IndexError> {
    fs::rename(from, to).map_err(failed(from))
}

/// Removes the files of an index from its directory. The first to go is the one without which no other counts.
fn empty(dir: &Path) -> io::Result<()> {
    remove(&dir.join(META_NAME))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if is_of_an_index(&entry.file_name().to_string_lossy()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Whether not even a small file has room beside those of an index.
pub(super) fn is_disk_full(dir: &Path) -> bool {
    let path = dir.join(PROBE_NAME);
    let written = fs::write(&path, vec![1; PROBE_BYTES]);
    if let Err(error) = fs::remove_file(&path) {
        debug!(error = %error, "Removing the test file failed.");
    }
    written.is_err_and(|error| is_no_space_io(&error))
}

/// Whether a file of that name belongs to an index: a segment's, the engine's own, or the list of files that were verified.
fn is_of_an_index(name: &str) -> bool {
    let segment = name.split('.').next().unwrap_or_default();
    let is_segment = segment.len() == 32 && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    let others = [".managed.json", "closed.json", UNFINISHED_NAME, PROBE_NAME];
    is_segment || others.contains(&name) || name.starts_with(".tantivy")
}

/// Removes a directory, or a link to one, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if found.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> IndexError {
    let path = path.to_owned();
    move |source| IndexError::Io { path, source }
}
