//! Who uses a data directory: the process that holds the lock, and where its service answers. Both are in the file that it locks.
//!
//! The lock says that a process uses the directory; the address says where it answers. After a crash the address may be stale
//! or belong to another program, so readers compare the log's id before they trust the answers.
//!
//! The first line is the address, or empty; the second is `pid` and the process's number.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SubsecRound as _, Utc};

use crate::position::rfc3339;

/// The file whose lock says that a process uses the data directory.
pub(super) const LOCK_NAME: &str = "orgtrail.lock";

/// The most bytes that are read of the file: it has fewer.
const MAX_LOCK_BYTES: u64 = 128;

/// Who uses a data directory, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    dir: PathBuf,
    pid: Option<u32>,
    /// Where its service answers; `None` of a command.
    address: Option<SocketAddr>,
    /// When it took the directory.
    since: Option<DateTime<Utc>>,
}

impl Holder {
    /// Who uses a data directory now, if anybody does.
    ///
    /// Takes the lock for a moment. A process that starts in this moment tries again: see [`Store::open`](super::Store::open).
    #[must_use]
    pub fn of(dir: &Path) -> Option<Self> {
        let mut options = File::options();
        let file = options.write(true).open(dir.join(LOCK_NAME)).ok()?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Some(Self::read(dir)),
            _ => None,
        }
    }

    /// What the lock file of a directory says that is in use.
    pub(super) fn read(dir: &Path) -> Self {
        let text = read(dir).unwrap_or_default();
        let pid = text.lines().find_map(|line| line.strip_prefix("pid "));
        // It is written at the start, and not again.
        let written = std::fs::metadata(dir.join(LOCK_NAME)).and_then(|file| file.modified());
        Self {
            dir: dir.to_owned(),
            pid: pid.and_then(|pid| pid.parse().ok()),
            address: announced(dir),
            since: written
                .ok()
                .map(|time| DateTime::<Utc>::from(time).trunc_subsecs(0)),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        write!(
            f,
            "another orgtrail already uses the data directory `{dir}`"
        )?;
        if let Some(pid) = self.pid {
            write!(f, ": process {pid}")?;
            if let Some(address) = self.address {
                write!(f, ", which answers on {address}")?;
            }
            if let Some(since) = self.since {
                write!(f, ", since {}", rfc3339(since))?;
            }
        }
        Ok(())
    }
}

/// Where the service said it answers that uses this data directory, or used it last; `None` when none did.
#[must_use]
pub fn announced(dir: &Path) -> Option<SocketAddr> {
    read(dir)?.lines().next()?.trim_end().parse().ok()
}

fn read(dir: &Path) -> Option<String> {
    let file = File::open(dir.join(LOCK_NAME)).ok()?;
    let mut text = String::new();
    file.take(MAX_LOCK_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Writes who holds the lock: this process, and where it answers if it does.
pub(super) fn write_holder(file: &File, address: Option<SocketAddr>) -> std::io::Result<()> {
    let address = address.map_or_else(String::new, |address| address.to_string());
    write(file, &format!("{address}\npid {}\n", std::process::id()))
}

/// Replaces what the file holds.
pub(super) fn write(mut file: &File, text: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}
