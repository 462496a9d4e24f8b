//! When pairs occurred first, in event time, and in which events.
//!
//! Only the least time is kept, so it does not matter in which order events come: an event's pair had not occurred before it if that is
//! its own time. When an earlier event comes, those that were the first no longer are: their places are kept, to judge them again.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::matches::GroupHash;
use crate::position::Seq;
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

/// Where a pair occurred first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSeen {
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// The events that have it at that time.
    pub events: Vec<Seq>,
}

/// A pair in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewPair {
    /// The pair.
    pub pair: SeenPair,
    /// The event's time, in microseconds since 1970.
    pub at_us: i64,
    /// The event.
    pub seq: Seq,
}

impl Store {
    /// Where some pairs occurred first. Those that did not occur are left out.
    ///
    /// # Errors
    /// What the database says.
    pub fn first_seen(
        &self,
        pairs: impl IntoIterator<Item = SeenPair>,
    ) -> Result<HashMap<SeenPair, FirstSeen>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT first_us, seq FROM first_seen WHERE pair = ?1 AND pair_hash = ?2",
            )?;
            let mut found: HashMap<SeenPair, FirstSeen> = HashMap::new();
            for pair in pairs {
                if found.contains_key(&pair) {
                    continue;
                }
                let mut rows = ask.query((pair.pair, pair.hash))?;
                while let Some(row) = rows.next()? {
                    let at_us = row.get(0)?;
                    let first = found.entry(pair).or_insert(FirstSeen {
                        at_us,
                        events: Vec::new(),
                    });
                    first.events.push(Seq(row.get(1)?));
                }
            }
            Ok(found)
        })
    }
}

/// An event has a pair.
pub(super) fn note(db: &Connection, new: &NewPair) -> Result<(), StoreError> {
    let NewPair { pair, at_us, seq } = new;
    let mut ask = db.prepare_cached(
        "SELECT first_us FROM first_seen WHERE pair = ?1 AND pair_hash = ?2 LIMIT 1",
    )?;
    let first: Option<i64> = ask
        .query_row((pair.pair, pair.hash), |row| row.get(0))
        .optional()?;
    if first.is_some_and(|first| first < *at_us) {
        return Ok(());
    }
    if first.is_some_and(|first| first > *at_us) {
        let mut delete =
            db.prepare_cached("DELETE FROM first_seen WHERE pair = ?1 AND pair_hash = ?2")?;
        delete.execute((pair.pair, pair.hash))?;
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO first_seen (pair, pair_hash, first_us, seq) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    insert.execute((pair.pair, pair.hash, at_us, seq.0))?;
    Ok(())
}
