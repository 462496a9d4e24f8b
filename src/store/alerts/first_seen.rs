//! When pairs occurred first, in event time.
//!
//! The least time is kept, so it does not matter in which order events come: an event's pair had not occurred before it if that is its
//! own time.

use rusqlite::{Connection, OptionalExtension};

use super::matches::GroupHash;
use crate::store::error::StoreError;
use crate::store::handle::Store;

/// A pair that an event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeenPair {
    /// What the actor is paired with.
    pub pair: u8,
    /// What tells the pair from others: the beginning of a keyed hash.
    pub hash: GroupHash,
}

impl Store {
    /// When a pair occurred first, in microseconds since 1970; `None` when it did not.
    ///
    /// # Errors
    /// What the database says.
    pub fn first_seen(&self, pair: &SeenPair) -> Result<Option<i64>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT first_us FROM first_seen WHERE pair = ?1 AND pair_hash = ?2",
            )?;
            let found = ask.query_row((pair.pair, pair.hash), |row| row.get(0));
            Ok(found.optional()?)
        })
    }
}

/// A pair occurred at a time.
pub(super) fn note(db: &Connection, pair: &SeenPair, at_us: i64) -> Result<(), StoreError> {
    let mut note = db.prepare_cached(
        "INSERT INTO first_seen (pair, pair_hash, first_us) VALUES (?1, ?2, ?3)
         ON CONFLICT (pair, pair_hash) DO UPDATE SET first_us = ?3 WHERE first_us > ?3",
    )?;
    note.execute((pair.pair, pair.hash, at_us))?;
    Ok(())
}
