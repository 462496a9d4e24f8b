//! What finds events: the engine that holds the terms of all events of the log and answers questions with their places.

mod tantivy;

pub use self::tantivy::{
    DIR_NAME, Faults, Following, Hit, Index, IndexError, Matcher, Matches, Order, Range, Reading,
    Snapshot, Unverified, ValueCount, ValueTester, Work, verify_beside,
};
