//! Whether the index's files are what was written: each carries its checksum.
//!
//! When the index is closed in order, its files are listed. At the next start only files that are not in that list are urgent: a
//! crash may have left them unfinished.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tantivy::directory::error::OpenReadError;
use tracing::debug;
use uuid::Uuid;

use super::directory::{find_beside, open_existing};
use super::error::IndexError;
use super::proof::is_proof_read;
use super::schema::IndexSchema;
use super::snapshot::Snapshot;
use crate::position::Seq;
use crate::private;

/// The list of the files that were there when the index was last closed in order, as JSON.
const CLOSED_NAME: &str = "closed.json";

/// The files of an index that are still to be compared with their checksums.
#[derive(Debug, Clone, Default)]
pub struct Unverified {
    /// Those written since the index was last closed in order.
    pub new: Vec<PathBuf>,
    /// All others.
    pub rest: Vec<PathBuf>,
}

impl Unverified {
    /// The files of a snapshot's segments.
    pub(super) fn of(index: &tantivy::Index, dir: &Path, snapshot: &Snapshot) -> Self {
        let closed = closed(dir);
        let files = files_of(index, &snapshot.segment_names()).into_iter();
        let (rest, new) = files.partition(|path| closed.contains(&*path.to_string_lossy()));
        Self { new, rest }
    }
}

/// Reads every file of the index in `data_dir`, beside a service that may be writing it, and compares it with its checksum.
/// Gives the last event that can be found.
///
/// # Errors
/// [`IndexError::Unusable`] with what is wrong.
pub fn verify_beside(data_dir: &Path, log_id: Uuid) -> Result<Seq, IndexError> {
    let (dir, snapshot) = find_beside(data_dir, log_id)?;
    let index = open_existing(&dir, &IndexSchema::new())?;
    let files = files_of(&index, &snapshot.segment_names());
    whole(damaged_of(&index, &files)?, Vec::new())?;
    Ok(snapshot.seq())
}

/// That no files are damaged.
pub(super) fn whole(mut damaged: Vec<String>, more: Vec<String>) -> Result<(), IndexError> {
    damaged.extend(more);
    damaged.sort();
    if damaged.is_empty() {
        return Ok(());
    }
    Err(IndexError::Unusable(format!(
        "damaged in {}",
        damaged.join(", ")
    )))
}

/// The names of those files that are not what was written. One that a merge has done away with meanwhile is no part of the
/// index any more.
pub(super) fn damaged_of(
    index: &tantivy::Index,
    files: &[PathBuf],
) -> Result<Vec<String>, IndexError> {
    let mut damaged = Vec::new();
    for path in files {
        match index.directory().validate_checksum(path) {
            Ok(true) | Err(OpenReadError::FileDoesNotExist(_)) => {}
            Ok(false) => damaged.push(path.to_string_lossy().into_owned()),
            Err(error) if is_proof_read(&error) => {
                damaged.push(path.to_string_lossy().into_owned());
            }
            Err(error) => return Err(tantivy::TantivyError::from(error).into()),
        }
    }
    Ok(damaged)
}

/// The files of some segments, in order.
fn files_of(index: &tantivy::Index, segments: &[String]) -> Vec<PathBuf> {
    let all = index.directory().list_managed_files().into_iter();
    let mut files: Vec<PathBuf> = all
        .filter(|path| {
            let name = path.to_string_lossy();
            segments.iter().any(|segment| name.starts_with(segment))
        })
        .collect();
    files.sort();
    files
}

/// The files that were there when the index was last closed in order. An unreadable list costs a verification, nothing else.
fn closed(dir: &Path) -> BTreeSet<String> {
    let list = fs::read(dir.join(CLOSED_NAME)).unwrap_or_default();
    serde_json::from_slice(&list).unwrap_or_default()
}

/// Lists the files of an index that was just closed.
pub(super) fn save_closed(dir: &Path, shape: &IndexSchema) {
    let save = || -> Result<(), IndexError> {
        let index = open_existing(dir, shape)?;
        let files: Vec<String> = index
            .directory()
            .list_managed_files()
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        let list = serde_json::to_vec(&files).unwrap_or_default();
        let path = dir.join(CLOSED_NAME);
        let failed = super::folder::failed(&path);
        let written = private::open_file(&path)
            .and_then(|file| file.set_len(0))
            .and_then(|()| fs::write(&path, list));
        written.map_err(failed)
    };
    if let Err(error) = save() {
        debug!(error = %error, "Listing the files of the index failed; the next start verifies all of them.");
    }
}
