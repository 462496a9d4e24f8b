//! Bodies erased, a few in a transaction. What must not remain of them elsewhere in the file goes in the same transaction.
//!
//! It does not know the policies or what a hold's question means: which events are due and which of them holds keep was decided
//! before. A hold that was created or released since then makes the transaction do nothing.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, named_params};

use super::alerts::erased as erased_alerts;
use super::error::StoreError;
use super::handle::Store;
use super::holds::{HoldId, ids_in_force};
use super::reading::is_damage;
use super::{sources, steps};
use crate::position::{Seq, Source};

/// A policy by which bodies are erased, as it was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasurePolicy {
    /// The source that it is for; `None`: every source without one of its own.
    pub source: Option<Source>,
    /// How long bodies are kept: `30d`.
    pub events: String,
}

/// An event whose body is to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueEvent {
    /// Its place.
    pub seq: Seq,
    /// The SHA-256 of its entry's canonical form; `None` when its body is damaged.
    pub canonical: Option<[u8; 32]>,
    /// Which of the policies it is due by.
    pub policy: usize,
}

/// Events to be erased in one transaction.
#[derive(Debug, Clone)]
pub struct ErasureBatch<'a> {
    /// The policies.
    pub policies: &'a [ErasurePolicy],
    /// The events.
    pub events: &'a [DueEvent],
    /// The holds that keep none of them: they must be all that are in force.
    pub holds: &'a [HoldId],
    /// Our present.
    pub at: DateTime<Utc>,
}

/// An event that has its body, and was due before a given time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRow {
    /// Its place.
    pub seq: Seq,
    /// Its source.
    pub source: Source,
    /// The bytes of its body on disk.
    pub bytes: u64,
}

/// What is due among some events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueRows {
    /// Those that are due, in order.
    pub due: Vec<DueRow>,
    /// How long until the next of the others is due.
    pub next_in_us: Option<i64>,
    /// Events whose rows could not be read. They are left as they are.
    pub unreadable: u64,
}

impl Store {
    /// Which of the events after `after` up to `upto` have a body and are from before the time that `cutoffs` has for their source.
    /// A source that is not named keeps all of its events.
    ///
    /// # Errors
    /// What the database says.
    pub fn due_within(
        &self,
        after: Seq,
        upto: Seq,
        cutoffs: &HashMap<Source, DateTime<Utc>>,
    ) -> Result<DueRows, StoreError> {
        self.ask(|db| {
            let mut by_number = HashMap::new();
            for (source, cutoff) in cutoffs {
                if let Ok(number) = sources::number(db, source) {
                    by_number.insert(number, (source, cutoff.timestamp_micros()));
                }
            }
            let mut found = DueRows::default();
            match read_due(db, after, upto, &by_number, &mut found) {
                Ok(()) => return Ok(found),
                Err(StoreError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
            // Place by place, what can be read is read.
            found = DueRows::default();
            for place in after.0..upto.0 {
                match read_due(db, Seq(place), Seq(place + 1), &by_number, &mut found) {
                    Ok(()) => {}
                    Err(StoreError::Damaged(_)) => found.unreadable += 1,
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        })
    }

    /// Erases the bodies of some events, all or none of them, and says how many had one. Returns `None`, and erases nothing, when
    /// other holds are in force than those the events were judged by.
    ///
    /// # Errors
    /// What the database says.
    pub fn erase(&self, batch: &ErasureBatch<'_>) -> Result<Option<u64>, StoreError> {
        let erased = self.change(steps::ERASE, |db| {
            if ids_in_force(db)? != batch.holds {
                return Ok(None);
            }
            let policies = batch.policies.iter().map(|policy| number_of(db, policy));
            let policies: Vec<i64> = policies.collect::<Result<_, _>>()?;
            let mut erased = Vec::new();
            let mut of_source: BTreeMap<i64, ErasedOfSource> = BTreeMap::new();
            for event in batch.events {
                let Some(policy) = policies.get(event.policy) else {
                    continue;
                };
                if let Some((source, at_us)) = erase_one(db, event, *policy, batch.at)? {
                    erased.push(event.seq);
                    of_source.entry(source).or_default().count(at_us);
                }
            }
            for (source, counted) in &of_source {
                counted.save(db, *source)?;
            }
            erased_alerts::hide_events(db, &erased)?;
            Ok(Some(erased))
        })?;
        Ok(erased.map(|erased| {
            // A body that is no more is not damaged.
            self.0
                .damage_seen
                .forget_all(&erased.iter().copied().collect());
            erased.len() as u64
        }))
    }

    /// Wakes the followers of the log, which wait for new events: the index has documents to delete.
    pub fn wake_followers(&self) {
        self.0.head.send_modify(|_| {});
    }

    /// Up to when a live window of any source reaches: Cloudflare's own time has confirmed it. `None` for a log that was never polled.
    ///
    /// # Errors
    /// What the database says.
    pub fn confirmed_until(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT max(before_s) FROM window WHERE kind = 'live' AND sealed_us IS NOT NULL",
            )?;
            let seconds: Option<i64> = ask.query_row([], |row| row.get(0))?;
            Ok(seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)))
        })
    }

    /// Whether any body was ever erased.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_erased(&self) -> Result<bool, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached("SELECT EXISTS (SELECT 1 FROM erasure_policy)")?;
            Ok(ask.query_row([], |row| row.get(0))?)
        })
    }

    /// Erased events up to `upto` whose documents the index may still have, at most `limit`.
    ///
    /// # Errors
    /// What the database says.
    pub fn erased_documents(&self, upto: Seq, limit: usize) -> Result<Vec<Seq>, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached(
                "SELECT seq FROM erased_document WHERE seq <= ?1 ORDER BY seq LIMIT ?2",
            )?;
            let rows = ask.query_map((upto.0, limit), |row| Ok(Seq(row.get(0)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The index does not have the documents of these events any more, and its commit is on disk.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_erased_documents(&self, seqs: &[Seq]) -> Result<(), StoreError> {
        self.change(steps::FORGET_ERASED, |db| {
            let mut delete = db.prepare_cached("DELETE FROM erased_document WHERE seq = ?1")?;
            for seq in seqs {
                delete.execute([seq.0])?;
            }
            Ok(())
        })
    }
}

/// What was erased of one source.
#[derive(Debug, Default)]
struct ErasedOfSource {
    events: u64,
    first_us: Option<i64>,
    last_us: Option<i64>,
}

impl ErasedOfSource {
    fn count(&mut self, at_us: i64) {
        self.events += 1;
        self.first_us = Some(self.first_us.map_or(at_us, |first| first.min(at_us)));
        self.last_us = self.last_us.max(Some(at_us));
    }

    fn save(&self, db: &Connection, source: i64) -> Result<(), StoreError> {
        let mut update = db.prepare_cached(
            "UPDATE source SET events = max(events - :events, 0),
                 erased_first_us = min(coalesce(erased_first_us, :first), :first),
                 erased_last_us = max(coalesce(erased_last_us, :last), :last)
             WHERE id = :source",
        )?;
        update.execute(named_params! {
            ":events": self.events,
            ":first": self.first_us,
            ":last": self.last_us,
            ":source": source,
        })?;
        Ok(())
    }
}

fn read_due(
    db: &Connection,
    after: Seq,
    upto: Seq,
    cutoffs: &HashMap<i64, (&Source, i64)>,
    found: &mut DueRows,
) -> Result<(), StoreError> {
    let mut ask = db.prepare_cached(
        "SELECT seq, source, coalesce(time_us, received_us), length(body) FROM event
         WHERE seq > ?1 AND seq <= ?2 AND erased_us IS NULL ORDER BY seq",
    )?;
    let mut rows = ask.query((after.0, upto.0))?;
    let mut next = || -> rusqlite::Result<Option<(u64, i64, i64, u64)>> {
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        Ok(Some((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
    };
    loop {
        let (seq, source, at_us, bytes) = match next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(()),
            Err(error) if is_damage(&error) => return Err(StoreError::Damaged(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let Some((source, cutoff_us)) = cutoffs.get(&source) else {
            continue;
        };
        if at_us < *cutoff_us {
            found.due.push(DueRow {
                seq: Seq(seq),
                source: (*source).clone(),
                bytes,
            });
        } else {
            let due_in = at_us.saturating_sub(*cutoff_us);
            found.next_in_us = Some(found.next_in_us.map_or(due_in, |next| next.min(due_in)));
        }
    }
}

/// The number of a policy; it gets one when it is used first.
fn number_of(db: &Connection, policy: &ErasurePolicy) -> Result<i64, StoreError> {
    let source = policy.source.as_ref().map(ToString::to_string);
    let mut ask =
        db.prepare_cached("SELECT id FROM erasure_policy WHERE source IS ?1 AND events = ?2")?;
    let mut rows = ask.query((&source, &policy.events))?;
    if let Some(row) = rows.next()? {
        return Ok(row.get(0)?);
    }
    let mut insert =
        db.prepare_cached("INSERT INTO erasure_policy (source, events) VALUES (?1, ?2)")?;
    insert.execute((&source, &policy.events))?;
    Ok(db.last_insert_rowid())
}

/// Erases the body of an event, and its problem, which may quote it. Returns its source and the time that it is ordered by; `None` when it was erased before.
fn erase_one(
    db: &Connection,
    event: &DueEvent,
    policy: i64,
    at: DateTime<Utc>,
) -> Result<Option<(i64, i64)>, StoreError> {
    let mut update = db.prepare_cached(
        "UPDATE event SET body = x'', dictionary = 0, problem = NULL, erased_us = :at, erased_by = :policy, canonical_sha256 = :canonical
         WHERE seq = :seq AND erased_us IS NULL
         RETURNING source, coalesce(time_us, received_us)",
    )?;
    let mut rows = update.query(named_params! {
        ":at": at.timestamp_micros(),
        ":policy": policy,
        ":canonical": event.canonical,
        ":seq": event.seq.0,
    })?;
    let erased = match rows.next()? {
        None => return Ok(None),
        Some(row) => (row.get(0)?, row.get(1)?),
    };
    // The statement ends with its last row.
    while rows.next()?.is_some() {}
    for sql in [
        "INSERT OR IGNORE INTO erased_document (seq) VALUES (?1)",
        "DELETE FROM damaged WHERE seq = ?1",
        "DELETE FROM repaired WHERE seq = ?1",
        "DELETE FROM alert_skipped WHERE seq = ?1",
    ] {
        db.prepare_cached(sql)?.execute([event.seq.0])?;
    }
    Ok(Some(erased))
}
