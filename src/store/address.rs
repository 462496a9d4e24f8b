//! Where the service answers that uses a data directory: its address, in the file that it locks.
//!
//! The lock says that somebody uses the directory; the address says where to ask. An address that a crash left behind leads
//! nowhere, or to another program, so whoever reads it compares the log's id before believing the answers.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use super::error::{StoreError, unusable};
use super::{LOCK_NAME, Store};

/// The most bytes that are read of the file: an address has fewer.
const MAX_ADDRESS_BYTES: u64 = 128;

impl Store {
    /// Saves where the service answers that opened this log for writing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn announce(&self, address: SocketAddr) -> Result<(), StoreError> {
        let Some(lock) = &self.0.lock else {
            return Ok(());
        };
        let path = self.0.path.with_file_name(LOCK_NAME);
        write(lock, &format!("{address}\n")).map_err(unusable(&path))
    }
}

/// Where the service said it answers that uses this data directory, or used it last; `None` when none did.
#[must_use]
pub fn announced(dir: &Path) -> Option<SocketAddr> {
    let file = File::open(dir.join(LOCK_NAME)).ok()?;
    let mut text = String::new();
    file.take(MAX_ADDRESS_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    text.trim_end().parse().ok()
}

/// Replaces what the file holds.
pub(super) fn write(mut file: &File, text: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Breaker;

    #[test]
    fn the_address_is_there_while_the_log_is_open() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(announced(dir.path()), None);
        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        assert_eq!(announced(dir.path()), None);
        for address in ["127.0.0.1:7070", "[::1]:80"] {
            let address: SocketAddr = address.parse().unwrap();
            store.announce(address).unwrap();
            assert_eq!(announced(dir.path()), Some(address));
        }
        store.close().unwrap();
        assert_eq!(announced(dir.path()), None);
        // What a crash or anybody else leaves there is not believed longer than until the next start.
        std::fs::write(dir.path().join(LOCK_NAME), "127.0.0.1:1").unwrap();
        drop(Store::open(dir.path(), Breaker::default()).unwrap());
        assert_eq!(announced(dir.path()), None);
        for strange in ["", "\u{0}", "127.0.0.1", &"1".repeat(100_000)] {
            std::fs::write(dir.path().join(LOCK_NAME), strange).unwrap();
            assert_eq!(announced(dir.path()), None);
        }
    }
}
