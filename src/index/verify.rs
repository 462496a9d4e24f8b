//! Whether the index's files are what was written: each carries its checksum.

use std::path::Path;

use tantivy::directory::error::OpenReadError;
use uuid::Uuid;

use super::directory::open_existing;
use super::scan::Snapshot;
use super::schema::Shape;
use super::{DIR_NAME, Index, IndexError};
use crate::position::Seq;

/// Reads every file of the index in `data_dir`, beside a service that may be writing it, and compares it with its checksum.
/// Gives the last event that can be found.
///
/// # Errors
/// [`IndexError::Unusable`] with what is wrong.
pub fn verify_beside(data_dir: &Path, log_id: Uuid) -> Result<Seq, IndexError> {
    let snapshot = Index::open_beside(data_dir, log_id)?;
    files(
        &open_existing(&data_dir.join(DIR_NAME), &Shape::new())?,
        &snapshot,
    )?;
    Ok(snapshot.seq())
}

/// Compares the files of a snapshot's segments with their checksums. A file that a merge has done away with meanwhile is no
/// part of the index any more.
pub(super) fn files(index: &tantivy::Index, snapshot: &Snapshot) -> Result<(), IndexError> {
    let segments = snapshot.segment_names();
    let mut damaged = Vec::new();
    for path in index.directory().list_managed_files() {
        let name = path.to_string_lossy();
        if !segments.iter().any(|segment| name.starts_with(segment)) {
            continue;
        }
        match index.directory().validate_checksum(&path) {
            Ok(true) | Err(OpenReadError::FileDoesNotExist(_)) => {}
            Ok(false) | Err(_) => damaged.push(name.into_owned()),
        }
    }
    damaged.sort();
    if damaged.is_empty() {
        Ok(())
    } else {
        Err(IndexError::Unusable(format!(
            "damaged in {}",
            damaged.join(", ")
        )))
    }
}
