//! Where the service answers that uses a data directory, in the file that it locks.

use std::net::SocketAddr;

use super::error::{StoreError, unusable};
use super::handle::Store;
use super::holder::{LOCK_NAME, write_holder};

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
        write_holder(lock, Some(address)).map_err(unusable(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::Failpoints;
    use crate::store::{Holder, announced};

    #[test]
    fn the_address_is_there_while_the_log_is_open() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(announced(dir.path()), None);
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
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
        drop(Store::open(dir.path(), Failpoints::default()).unwrap());
        assert_eq!(announced(dir.path()), None);
        for strange in ["", "\u{0}", "127.0.0.1", &"1".repeat(100_000)] {
            std::fs::write(dir.path().join(LOCK_NAME), strange).unwrap();
            assert_eq!(announced(dir.path()), None);
        }
    }

    #[test]
    fn who_comes_second_is_told_who_was_first() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Holder::of(dir.path()), None);
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let refused = || {
            Store::open(dir.path(), Failpoints::default())
                .err()
                .unwrap()
                .to_string()
        };
        let pid = format!(": process {}", std::process::id());
        assert!(
            refused().contains(&format!("{pid}, since 20")),
            "{}",
            refused()
        );
        store.announce("127.0.0.1:7070".parse().unwrap()).unwrap();
        let answers = format!("{pid}, which answers on 127.0.0.1:7070, since 20");
        assert!(refused().contains(&answers), "{}", refused());
        assert_eq!(Holder::of(dir.path()).unwrap().to_string(), refused());
        // As an earlier version writes it.
        std::fs::write(dir.path().join(LOCK_NAME), "127.0.0.1:7070\n").unwrap();
        assert!(!refused().contains("process"), "{}", refused());
        store.close().unwrap();
        assert_eq!(Holder::of(dir.path()), None);
    }
}
