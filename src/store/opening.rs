//! Opening a database that other processes may open, create or lock at the same moment.

use std::thread;
use std::time::{Duration, Instant};

use super::error::StoreError;

/// How long a database that is locked is tried again.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// How soon it is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Does `work` until no other process is in its way. SQLite does not wait by itself for some locks, such as that of a change of
/// the journal's form.
///
/// # Errors
/// What `work` says; [`StoreError::Busy`] if the database stays locked.
pub(super) fn until_unlocked<T>(
    mut work: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let give_up_at = Instant::now() + GIVE_UP_AFTER;
    loop {
        match work() {
            Err(StoreError::Busy) if Instant::now() < give_up_at => thread::sleep(AGAIN_AFTER),
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_locked_is_tried_again_and_nothing_else_is() {
        let mut tries = 0;
        let opened = until_unlocked(|| {
            tries += 1;
            if tries < 4 {
                Err(StoreError::Busy)
            } else {
                Ok(tries)
            }
        });
        assert_eq!(opened.unwrap(), 4);
        let full = until_unlocked(|| Err::<(), _>(StoreError::Full));
        assert!(matches!(full, Err(StoreError::Full)));
    }
}
