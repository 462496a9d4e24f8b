//! A backup, or a database that another tool brought back → the log of a data directory.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::error::BackupError;
use super::manifest::{Manifest, hash_file};
use super::progress::OnProgress;
use super::verify::{Verified, verify};
use crate::position::Seq;
use crate::private;
use crate::store::{FILE_NAME, Holder, RestoreDir, Store};

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The new log's id.
    pub log_id: Uuid,
    /// The id of the log that was copied.
    pub restored_from: Uuid,
    /// How many events it holds.
    pub events: u64,
    /// How many of them are damaged.
    pub damaged: u64,
}

/// Fills `data_dir`, which holds no log, from `from`: a backup, or a database file. `allows_damage` takes one with damaged
/// events. Nothing is changed in `from`.
///
/// # Errors
/// See [`BackupError`]. What was restored halfway is not taken for a log, and is removed by the next restore.
pub fn restore(
    from: &Path,
    data_dir: &Path,
    allows_damage: bool,
    now: DateTime<Utc>,
    progress: OnProgress<'_>,
) -> Result<Restored, BackupError> {
    let origin = RestoreSource::of(from)?;
    let place = RestoreDir::claim(data_dir)?;
    let log = place.log_path();
    let (bytes, sha256) = copy_file(&origin.file, &log, progress)?;
    match &origin.manifest {
        Some(manifest) => manifest.compare_file(from, bytes, &sha256)?,
        None => copy_companions(&origin.file, &log, progress)?,
    }
    let store = place.open(&origin.file)?;
    let verified = verify(&store, progress)?;
    if let Some(manifest) = &origin.manifest {
        manifest.compare_content(from, &store, &verified)?;
    }
    if let Some(what) = verified.damage().filter(|_| !allows_damage) {
        return Err(BackupError::Damaged { what });
    }
    let restored = Restored {
        restored_from: store.log_id(),
        log_id: store.become_another(now)?,
        events: verified.events,
        damaged: verified.damaged_total,
    };
    store.save_scrub((Seq::ZERO, verified.last), &verified.damaged, true, now)?;
    store.close()?;
    drop(store);
    place.finish()?;
    Ok(restored)
}

/// What is restored.
struct RestoreSource {
    file: PathBuf,
    /// Of a backup; another tool's file has none.
    manifest: Option<Manifest>,
}

impl RestoreSource {
    fn of(from: &Path) -> Result<Self, BackupError> {
        let found = std::fs::metadata(from).map_err(BackupError::of(from))?;
        if found.is_dir() {
            return Ok(Self {
                file: from.join(FILE_NAME),
                manifest: Some(Manifest::read(from)?),
            });
        }
        // A file that is being written is not one moment of a log.
        let dir = from.parent().unwrap_or(from);
        let is_a_log = from.file_name().is_some_and(|name| name == FILE_NAME);
        if is_a_log && Holder::of(dir).is_some() {
            return Err(BackupError::InUse(from.to_owned()));
        }
        Ok(Self {
            file: from.to_owned(),
            manifest: None,
        })
    }
}

impl Manifest {
    /// Compares the bytes of the file with what was written.
    fn compare_file(&self, from: &Path, bytes: u64, sha256: &str) -> Result<(), BackupError> {
        let why = if bytes != self.bytes {
            format!("`{}` has {bytes} bytes, and had {}", self.file, self.bytes)
        } else if sha256 != self.sha256 {
            format!("`{}` has another SHA-256", self.file)
        } else {
            return Ok(());
        };
        let path = from.to_owned();
        Err(BackupError::Changed { path, why })
    }

    /// Compares what the log holds with what the manifest says that it holds.
    fn compare_content(
        &self,
        from: &Path,
        store: &Store,
        verified: &Verified,
    ) -> Result<(), BackupError> {
        let held = (
            store.log_id(),
            verified.events,
            verified.last.0,
            &verified.last_sha256,
        );
        let said = (self.log_id, self.events, self.last_seq, &self.last_sha256);
        if held == said {
            return Ok(());
        }
        Err(BackupError::Changed {
            path: from.to_owned(),
            why: format!(
                "it holds {} events up to seq {} of log {}, and the manifest says {} up to {} of log {}",
                held.1, held.2, held.0, said.1, said.2, said.0
            ),
        })
    }
}

/// Copies a file, and returns its size and SHA-256.
fn copy_file(
    from: &Path,
    to: &Path,
    progress: OnProgress<'_>,
) -> Result<(u64, String), BackupError> {
    let mut copy: File = private::open_file(to).map_err(BackupError::of(to))?;
    hash_file(from, progress, |piece| {
        copy.write_all(piece).map_err(BackupError::of(to))
    })
}

/// Copies what SQLite keeps beside a database that was not closed: it belongs to the content.
fn copy_companions(from: &Path, to: &Path, progress: OnProgress<'_>) -> Result<(), BackupError> {
    for suffix in ["-wal", "-journal"] {
        let beside = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        if beside(from).exists() {
            copy_file(&beside(from), &beside(to), progress)?;
        }
    }
    Ok(())
}
