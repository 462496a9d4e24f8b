//! The time limit of the reads of one question: SQLite looks at no clock by itself.
//!
//! The limit belongs to the thread that works the question out, so that every read of the question has it, by whichever handle
//! to the log it is made.

use std::cell::RefCell;
use std::ffi::c_int;

use rusqlite::Connection;

use super::error::StoreError;
use crate::clock::Deadline;

/// How many instructions of SQLite's virtual machine pass between two looks at the clock: well below a millisecond.
const STEPS_BETWEEN_LOOKS: c_int = 1_000;

thread_local! {
    static LIMIT: RefCell<Option<Deadline>> = const { RefCell::new(None) };
}

/// Runs `work`, whose reads of the log on this thread end with [`StoreError::CutOff`] when the deadline passes.
pub fn within<T>(deadline: Deadline, work: impl FnOnce() -> T) -> T {
    let _previous = PreviousLimit(LIMIT.replace(Some(deadline)));
    work()
}

/// Restores the limit before, also after a panic.
struct PreviousLimit(Option<Deadline>);

impl Drop for PreviousLimit {
    fn drop(&mut self) {
        LIMIT.replace(self.0.take());
    }
}

/// Gives a connection the limit of this thread, or none.
pub(super) fn apply(db: &mut Connection) -> Result<(), StoreError> {
    let limit = LIMIT.with_borrow(Option::clone);
    // A short statement ends before SQLite looks at the clock.
    if limit.as_ref().is_some_and(Deadline::has_passed) {
        return Err(StoreError::CutOff);
    }
    let handler = limit.map(|limit| move || limit.has_passed());
    Ok(db.progress_handler(STEPS_BETWEEN_LOOKS, handler)?)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use chrono::TimeDelta;

    use super::*;
    use crate::clock::{Cancel, Clock, from_micros};
    use crate::durable::Failpoints;
    use crate::store::Store;

    /// A statement that never ends by itself.
    const ENDLESS: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

    fn ask(store: &Store, sql: &str) -> Result<u64, StoreError> {
        store.ask(|db| Ok(db.query_row(sql, [], |row| row.get(0))?))
    }

    #[test]
    fn a_read_of_a_question_ends_with_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let deadline = Deadline::after(&Clock::system(), TimeDelta::milliseconds(50));
        let (endless, short) = within(deadline, || (ask(&store, ENDLESS), ask(&store, "SELECT 1")));
        assert!(matches!(endless, Err(StoreError::CutOff)), "{endless:?}");
        assert!(matches!(short, Err(StoreError::CutOff)), "{short:?}");
        // The limit is of that question alone.
        assert_eq!(ask(&store, "SELECT 1").unwrap(), 1);
    }

    #[test]
    fn a_read_ends_when_its_question_is_cancelled() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let cancel = Cancel::default();
        let deadline = Deadline::after(&Clock::manual(from_micros(0)), TimeDelta::days(1));
        let deadline = deadline.or(cancel.clone());
        let endless = thread::scope(|threads| {
            let asking = threads.spawn(|| within(deadline, || ask(&store, ENDLESS)));
            cancel.cancel();
            asking.join().unwrap()
        });
        assert!(matches!(endless, Err(StoreError::CutOff)), "{endless:?}");
    }
}
