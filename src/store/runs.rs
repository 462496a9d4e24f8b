//! Which run of the program has added which events.
//!
//! Each run of the program that adds events is saved with the `seq` of its first one. An older copy of a log that has grown since
//! has the same events up to some `seq`, and other runs after it. So the `seq` of an event and its run show whether the event is
//! of this state of the log.

use rusqlite::{Connection, OptionalExtension as _};
use uuid::Uuid;

use super::error::StoreError;
use super::handle::Store;
use super::reading::is_damage;
use crate::position::Seq;

impl Store {
    /// The run that added the event at a place; `None` when that was before runs were noted, or cannot be read.
    ///
    /// # Errors
    /// What the database says.
    pub fn run_at(&self, seq: Seq) -> Result<Option<String>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT id FROM run WHERE first_seq <= ?1 ORDER BY first_seq DESC LIMIT 1",
            )?;
            match ask.query_row([seq.0], |row| row.get(0)).optional() {
                Err(error) if is_damage(&error) => Ok(None),
                found => Ok(found?),
            }
        })
    }
}

/// A run adds events from `first` on.
pub(super) fn note(db: &Connection, first: Seq, run: Uuid) -> Result<(), StoreError> {
    let mut note = db.prepare_cached(
        "INSERT INTO run (first_seq, id)
         SELECT ?1, ?2 WHERE ?2 IS NOT (SELECT id FROM run ORDER BY first_seq DESC LIMIT 1)",
    )?;
    note.execute((first.0, run.to_string()))?;
    Ok(())
}
