//! The files of rules in a directory, and their texts. Bounded, because a directory can have anything in it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The largest file, in bytes.
const MAX_FILE_LEN: u64 = 256 * 1024;

/// The deepest folder below the directory.
const MAX_FOLDERS: usize = 8;

/// The most files that are read from a directory.
pub(super) const MAX_FILES: usize = 2_000;

/// Adds the rule files of a folder and those below it. A folder is read once, also when links lead to it again. Hidden files and folders are
/// left out: a mounted volume keeps its versions there.
pub(super) fn list(
    dir: &Path,
    depth: usize,
    seen: &mut BTreeSet<PathBuf>,
    files: &mut Vec<PathBuf>,
) -> io::Result<()> {
    if !seen.insert(fs::canonicalize(dir)?) {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let is_folder = fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        if is_folder && depth < MAX_FOLDERS {
            list(&path, depth + 1, seen, files)?;
        } else if !is_folder && is_rule_file(&path) {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Ok(());
        }
    }
    Ok(())
}

fn is_rule_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yml" | "yaml"))
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        // A pipe would never end.
        return Err("is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(MAX_FILE_LEN + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE_LEN {
        return Err(format!("is larger than {} KiB", MAX_FILE_LEN / 1024));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}
