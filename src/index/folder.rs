//! The index's directories in the data directory, and how a rebuilt index takes the place of the one before it.
//!
//! A new index is built in `index.new` beside an unusable one in `index`; when it is whole they change places. Where there is no
//! `index`, it is built there at once. A crash can leave these states, and each start goes on from any of them:
//!
//! | `index` | `index.new` | `index.old` | the next start |
//! | --- | --- | --- | --- |
//! | yes |  |  | opens `index` |
//! | yes | yes |  | goes on building `index.new`; an unusable one is removed |
//! |  | yes | yes | the swap was half done: renames `index.new` to `index`, removes `index.old` |
//! | yes |  | yes | the swap was done: removes `index.old` |
//! |  | yes |  | `index` was deleted during a rebuild: renames `index.new` to `index` and goes on there |
//! |  |  | yes | `index` was deleted after a swap: removes `index.old`, builds in `index` |
//! |  |  |  | builds in `index` |

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tracing::debug;

use super::{DIR_NAME, IndexError, steps};
use crate::durable::Breaker;

/// Where a new index is built beside an unusable one.
pub(super) const NEW_NAME: &str = "index.new";

/// Where the unusable index is for a moment, until it is deleted.
const OLD_NAME: &str = "index.old";

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

    /// Finishes a swap that a crash interrupted.
    pub(super) fn recover(&self) -> Result<(), IndexError> {
        if !exists(&self.current())? && exists(&self.new_one())? {
            rename(&self.new_one(), &self.current())?;
            self.sync()?;
        }
        self.remove_old();
        Ok(())
    }

    /// Where the next index is to be built: beside the one that is there, or in its place where there is none. Nothing is left
    /// of an earlier attempt.
    pub(super) fn make_room(&self) -> Result<PathBuf, IndexError> {
        let new = self.new_one();
        remove(&new).map_err(failed(&new))?;
        match exists(&self.current())? {
            true => Ok(new),
            false => Ok(self.current()),
        }
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

    /// Puts the new index in the place of the old one, which is deleted. Neither may be open for writing.
    pub(super) fn swap(&self, breaker: &Breaker) -> Result<(), IndexError> {
        let old = self.data_dir.join(OLD_NAME);
        remove(&old).map_err(failed(&old))?;
        breaker.around(steps::SWAP, || rename(&self.current(), &old))?;
        // At this point, if we crash, there is no `index`, and the next start does the next step.
        breaker.around(steps::SWAP, || rename(&self.new_one(), &self.current()))?;
        self.sync()?;
        self.remove_old();
        Ok(())
    }

    /// What cannot be removed now is removed at the next start.
    fn remove_old(&self) {
        let old = self.data_dir.join(OLD_NAME);
        if let Err(error) = remove(&old) {
            debug!(error = %error, "The replaced index could not be removed.");
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
