//! Damage that reads find: remembered in memory until a pass of `scrub` writes it to the log. And the events that were repaired
//! since the index read them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::error::StoreError;
use super::handle::Store;
use super::reading::StoredEvent;
use super::steps;
use crate::position::Seq;

/// So many damaged events are written down in one transaction.
const SAVED_AT_ONCE: usize = 100;

impl Store {
    /// Remembers which of the events that were just read are damaged.
    pub(super) fn note_damage(&self, read: &[StoredEvent]) {
        for stored in read {
            let (Some(damage), seq) = (stored.damage, stored.event.seq) else {
                continue;
            };
            if matches!(self.is_known_damaged(seq), Ok(false)) {
                tracing::warn!(
                    seq = seq.0,
                    problem = damage.name(),
                    "An event that was read is damaged in the log; `orgtrail scrub` lists what is damaged and repairs what upstream still has."
                );
                self.0.damage_seen.add(seq, damage);
            }
        }
    }

    /// Whether an event is known to be damaged: written down, or seen by a read.
    ///
    /// # Errors
    /// What the database says.
    pub fn is_known_damaged(&self, seq: Seq) -> Result<bool, StoreError> {
        self.ask(|db| self.is_damage_known(db, seq))
    }

    pub(super) fn is_damage_known(&self, db: &Connection, seq: Seq) -> Result<bool, StoreError> {
        let mut ask = db.prepare_cached("SELECT 1 FROM damaged WHERE seq = ?1")?;
        Ok(self.0.damage_seen.has(seq) || ask.exists([seq.0])?)
    }

    /// Writes down the damage that reads have found since the last time, as far as it is still there.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_damage_seen(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        // Each is read again while nothing else is written: a few at once.
        for seen in self.0.damage_seen.places().chunks(SAVED_AT_ONCE) {
            let seen: BTreeSet<Seq> = seen.iter().copied().collect();
            self.change(steps::SAVE_SCRUB, |db| self.write_down(db, &seen, now))?;
            self.0.damage_seen.forget_all(&seen);
        }
        Ok(())
    }

    /// The first `limit` events up to `upto` whose body was put back since the index took them in.
    ///
    /// # Errors
    /// What the database says.
    pub fn repaired(&self, upto: Seq, limit: usize) -> Result<Vec<Seq>, StoreError> {
        self.ask(|db| {
            let mut ask = db
                .prepare_cached("SELECT seq FROM repaired WHERE seq <= ?1 ORDER BY seq LIMIT ?2")?;
            let seqs = ask.query_map((upto.0, limit), |row| row.get(0).map(Seq))?;
            seqs.map(|seq| Ok(seq?)).collect()
        })
    }

    /// The index has made the documents of these events again.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_repaired(&self, seqs: &[Seq]) -> Result<(), StoreError> {
        self.change(steps::REPAIR_BODY, |db| {
            let mut delete = db.prepare_cached("DELETE FROM repaired WHERE seq = ?1")?;
            for seq in seqs {
                delete.execute([seq.0])?;
            }
            Ok(())
        })
    }
}
