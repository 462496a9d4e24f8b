//! `manifest.json`: what a backup is.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::error::BackupError;
use super::progress::{OnProgress, Stage};
use crate::event::hex;
use crate::private;

/// The manifest's name in a backup.
pub const MANIFEST_NAME: &str = "manifest.json";

/// The version of the manifest that this program writes.
const VERSION: u32 = 1;

/// The most bytes of a manifest that are read: it has fewer.
const MAX_BYTES: u64 = 64 * 1024;

/// How much of a file is hashed at once.
const CHUNK: usize = 1024 * 1024;

/// What a backup is. Members are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this form.
    pub version: u32,
    /// The log that was copied.
    pub log_id: Uuid,
    /// How many events the copy holds.
    pub events: u64,
    /// The place of the newest of them; 0 without events.
    pub last_seq: u64,
    /// The SHA-256 of that event's bytes; null without events, or where its row could not be read.
    pub last_sha256: Option<String>,
    /// How many events were damaged in the log already.
    pub damaged: u64,
    /// What SQLite found wrong with the file; null if nothing.
    pub problem: Option<String>,
    /// The name of the database beside the manifest.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// The program that made the backup.
    pub orgtrail: String,
    /// When the copying began: RFC 3339.
    pub time: String,
}

impl Manifest {
    /// The version that this program writes.
    pub const VERSION: u32 = VERSION;

    /// Reads the manifest of the backup in `dir`.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`] when there is none or it cannot be understood, [`BackupError::Newer`] when a later version
    /// made it.
    pub fn read(dir: &Path) -> Result<Self, BackupError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let path = dir.join(MANIFEST_NAME);
        let refused = |why: String| BackupError::NotABackup {
            path: dir.to_owned(),
            why,
        };
        let mut text = String::new();
        let read =
            File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        read.map_err(|error| refused(format!("could not read `{MANIFEST_NAME}`: {error}")))?;
        let not_understood =
            |error| refused(format!("`{MANIFEST_NAME}` cannot be understood: {error}"));
        let versioned: Versioned = serde_json::from_str(&text).map_err(not_understood)?;
        if versioned.version > VERSION {
            return Err(BackupError::Newer {
                path,
                found: versioned.version,
                known: VERSION,
            });
        }
        let manifest: Self = serde_json::from_str(&text).map_err(not_understood)?;
        // It comes from outside: a path in it would lead elsewhere.
        if manifest.file != crate::store::FILE_NAME {
            return Err(refused(format!(
                "`file` is not `{}`",
                crate::store::FILE_NAME
            )));
        }
        Ok(manifest)
    }

    /// Writes it into `dir`. It is on disk when this returns.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn write(&self, dir: &Path) -> Result<(), BackupError> {
        let path = dir.join(MANIFEST_NAME);
        let write = || {
            let mut text = serde_json::to_string_pretty(self)?;
            text.push('\n');
            let mut file = private::open_file(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(BackupError::of(&path))
    }
}

/// Size and SHA-256 of a file, of which each piece is also handed to `each`.
pub(super) fn hash_file(
    path: &Path,
    progress: OnProgress<'_>,
    mut each: impl FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(u64, String), BackupError> {
    let total = fs::metadata(path).map_err(BackupError::of(path))?.len();
    let mut file = File::open(path).map_err(BackupError::of(path))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut done = 0;
    loop {
        let read = file.read(&mut chunk).map_err(BackupError::of(path))?;
        if read == 0 {
            return Ok((done, hex(&hash.finalize())));
        }
        hash.update(&chunk[..read]);
        each(&chunk[..read])?;
        done += read as u64;
        progress(Stage::Hashing, done, total.max(done));
    }
}
