//! When pairs occurred first, in event time, and in which events.
//!
//! An event's pair had not occurred before it if no other event that has it is earlier. When an earlier event comes, those that were the
//! first no longer are: they are judged again. Their rows stay, with the event that ended that, so that it is known as of each event of
//! the log which were the first then. The rows of a pair are a stair: the later an event came, the earlier its time.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::known::{DETECT, PAIRS_ID};
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
                "SELECT first_us, seq FROM first_seen WHERE pair = ?1 AND pair_hash = ?2 ORDER BY seq DESC",
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
                    // Those before were the first once.
                    if at_us != first.at_us {
                        break;
                    }
                    first.events.push(Seq(row.get(1)?));
                }
            }
            Ok(found)
        })
    }

    /// Calls `each` with the events in a range of time, from `since_us` until just before `before_us`, that had a pair of this kind for
    /// the first time, as of the event `upto`.
    ///
    /// # Errors
    /// What the database says.
    pub fn first_in(
        &self,
        pair: u8,
        upto: Seq,
        (since_us, before_us): (Option<i64>, Option<i64>),
        mut each: impl FnMut(Seq),
    ) -> Result<(), StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT seq FROM first_seen
                 WHERE pair = ?1 AND first_us >= ?3 AND first_us < ?4 AND seq <= ?2
                     AND (until_seq IS NULL OR until_seq > ?2)",
            )?;
            let (since_us, before_us) =
                (since_us.unwrap_or(i64::MIN), before_us.unwrap_or(i64::MAX));
            let mut rows = ask.query((pair, upto.0, since_us, before_us))?;
            while let Some(row) = rows.next()? {
                each(Seq(row.get(0)?));
            }
            Ok(())
        })
    }

    /// The last event up to which it is known what events had for the first time.
    ///
    /// # Errors
    /// What the database says.
    pub fn pairs_known_upto(&self) -> Result<Seq, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT iif(judged < live_from, judged, (SELECT seq FROM follower WHERE name = ?2))
                 FROM alert_rule WHERE id = ?1 AND left_at IS NULL ORDER BY number DESC LIMIT 1",
            )?;
            let found = ask.query_row((PAIRS_ID, DETECT), |row| row.get::<_, Option<u64>>(0));
            Ok(Seq(found.optional()?.flatten().unwrap_or(0)))
        })
    }
}

/// An event has a pair.
pub(super) fn note(db: &Connection, new: &NewPair) -> Result<(), StoreError> {
    let NewPair { pair, at_us, seq } = new;
    let mut ask = db.prepare_cached(
        "SELECT first_us < ?3 AND seq < ?4 FROM first_seen
         WHERE pair = ?1 AND pair_hash = ?2 ORDER BY seq DESC LIMIT 1",
    )?;
    let is_later = ask.query_row((pair.pair, pair.hash, at_us, seq.0), |row| row.get(0));
    // As nearly always.
    if is_later.optional()? == Some(true) {
        return Ok(());
    }
    let mut ask = db.prepare_cached(
        "SELECT min(seq) FROM first_seen WHERE pair = ?1 AND pair_hash = ?2 AND first_us < ?3",
    )?;
    // An event that was damaged is noted after later ones.
    let until: Option<u64> = ask.query_row((pair.pair, pair.hash, at_us), |row| row.get(0))?;
    if until.is_some_and(|until| until < seq.0) {
        return Ok(());
    }
    let mut delete = db.prepare_cached(
        "DELETE FROM first_seen WHERE pair = ?1 AND pair_hash = ?2 AND first_us > ?3 AND seq > ?4",
    )?;
    delete.execute((pair.pair, pair.hash, at_us, seq.0))?;
    let mut end = db.prepare_cached(
        "UPDATE first_seen SET until_seq = ?4
         WHERE pair = ?1 AND pair_hash = ?2 AND first_us > ?3 AND (until_seq IS NULL OR until_seq > ?4)",
    )?;
    end.execute((pair.pair, pair.hash, at_us, seq.0))?;
    let mut insert = db.prepare_cached(
        "INSERT INTO first_seen (pair, pair_hash, first_us, seq, until_seq) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
    )?;
    insert.execute((pair.pair, pair.hash, at_us, seq.0, until))?;
    Ok(())
}
