//! Whether the log still holds what was stored: every place, every row, every body against its SHA-256.
//!
//! A pass goes through the log in steps, and how far it has come is saved with what it found. It reads; a body is only put back
//! when the same bytes come in again.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension};

use super::bodies::Packed;
use super::damage::{Damage, MAX_DAMAGED, NotRepaired};
use super::error::StoreError;
use super::handle::Store;
use super::reading::{StoredEvent, is_damage};
use super::steps;
use crate::clock::from_micros;
use crate::event::{AuditEvent, hex, sha256};
use crate::ledger;
use crate::position::{Seq, Source, Window};

/// How far from the moment at which it was received an entry without a time is looked for.
const ABOUT: TimeDelta = TimeDelta::days(1);

/// A damaged event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedEvent {
    /// Its place.
    pub seq: Seq,
    /// What is wrong with it.
    pub damage: Damage,
    /// Its source and the stretch in which upstream may show it, where its row can be read.
    pub found_in: Option<(Source, Window)>,
}

impl DamagedEvent {
    /// Why upstream need not be asked for it, if that is known at `now`.
    #[must_use]
    pub fn beyond_repair(&self, now: DateTime<Utc>) -> Option<NotRepaired> {
        match &self.found_in {
            None => Some(NotRepaired::SourceUnknown),
            Some((_, stretch)) if stretch.before <= ledger::kept_since(now) => {
                Some(NotRepaired::TooOld)
            }
            Some(_) => None,
        }
    }
}

/// What a step of a pass found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrubbed {
    /// The last event that was checked.
    pub upto: Seq,
    /// How many were checked.
    pub events: u64,
    /// The damaged ones.
    pub damaged: Vec<DamagedEvent>,
}

/// How far passes have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrubState {
    /// The last event that the present pass has checked.
    pub position: Seq,
    /// When the last full pass ended; `None` when there was none.
    pub full_at: Option<DateTime<Utc>>,
    /// How many events are known to be damaged.
    pub damaged: u64,
}

/// What putting bodies back came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutBack {
    /// The places of the events that are whole again.
    pub repaired: Vec<Seq>,
    /// The places that cannot be written.
    pub unusable: Vec<Seq>,
}

impl Store {
    /// Checks at most `limit` events after a place, and about `max_bytes` of them (but at least one, if there is one).
    ///
    /// # Errors
    /// What the database says, if it is not damage of single events.
    pub fn scrub(
        &self,
        after: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Scrubbed, StoreError> {
        let stored = self.ask(|db| self.stored_after(db, after, limit, max_bytes))?;
        let damaged = stored.iter().enumerate().filter_map(|(at, one)| {
            let damage = one.damage?;
            let event = &one.event;
            let is_row_known = damage.leaves_the_row();
            Some(DamagedEvent {
                seq: event.seq,
                damage,
                found_in: is_row_known.then(|| (event.source.clone(), stretch_of(&stored, at))),
            })
        });
        Ok(Scrubbed {
            upto: stored.last().map_or(after, |last| last.event.seq),
            events: stored.len() as u64,
            damaged: damaged.collect(),
        })
    }

    /// Saves what a pass found in the events after `after` up to `upto`. Each that it found there, or that is known as damaged, is
    /// read again while nothing else is written: it may have been repaired or damaged since. A pass that `is_full` with them
    /// begins again at the first event.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_scrub(
        &self,
        (after, upto): (Seq, Seq),
        damaged: &[DamagedEvent],
        is_full: bool,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let read_again = self.change(steps::SAVE_SCRUB, |db| {
            let mut doubtful: BTreeSet<Seq> = damaged.iter().map(|event| event.seq).collect();
            let mut known =
                db.prepare_cached("SELECT seq FROM damaged WHERE seq > ?1 AND seq <= ?2")?;
            for seq in known.query_map((after.0, upto.0), |row| row.get(0).map(Seq))? {
                doubtful.insert(seq?);
            }
            let seen = self.0.damage_seen.places().into_iter();
            doubtful.extend(seen.filter(|seq| *seq > after && *seq <= upto));
            self.write_down(db, &doubtful, now)?;
            let position = if is_full { Seq::ZERO } else { upto };
            let full_us = is_full.then(|| now.timestamp_micros());
            db.prepare_cached(
                "INSERT INTO scrub (id, position, full_us) VALUES (1, ?1, ?2)
                 ON CONFLICT (id) DO UPDATE SET position = ?1, full_us = coalesce(?2, full_us)",
            )?
            .execute((position.0, full_us))?;
            Ok(doubtful)
        })?;
        self.0.damage_seen.forget_all(&read_again);
        Ok(())
    }

    /// Reads events again, and writes down which of them are damaged; the others are damaged no more. `db` is the transaction of
    /// the one writer, so that none changes meanwhile. They are read by another connection: a page that cannot be read could end
    /// the transaction.
    pub(super) fn write_down(
        &self,
        db: &Connection,
        doubtful: &BTreeSet<Seq>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut insert = db.prepare_cached(
            "INSERT OR REPLACE INTO damaged (seq, problem, found_us, source, at_us)
             VALUES (?1, ?2, ?3, (SELECT id FROM source WHERE name = ?4), ?5)",
        )?;
        let mut delete = db.prepare_cached("DELETE FROM damaged WHERE seq = ?1")?;
        for seq in doubtful {
            match self.damage_of(*seq)? {
                Some((damage, event)) => {
                    let found_us = now.timestamp_micros();
                    let stands = damage.leaves_the_row().then(|| {
                        let at = event.ordered_at().timestamp_micros();
                        (event.source.to_string(), at)
                    });
                    let (source, at) = stands.unzip();
                    insert.execute((seq.0, damage.name(), found_us, source, at))?;
                }
                None => {
                    delete.execute([seq.0])?;
                }
            }
        }
        Ok(())
    }

    /// What is wrong with an event now, and what is left of it; `None` when it is whole.
    fn damage_of(&self, seq: Seq) -> Result<Option<(Damage, AuditEvent)>, StoreError> {
        let before = Seq(seq.0.saturating_sub(1));
        let stored = self.ask(|db| self.stored_after(db, before, 1, usize::MAX))?;
        let found = stored.into_iter().find(|one| one.event.seq == seq);
        Ok(found.and_then(|one| Some((one.damage?, one.event))))
    }

    /// How far passes have come, and how many events they and other reads found damaged.
    ///
    /// # Errors
    /// What the database says.
    pub fn scrub_state(&self) -> Result<ScrubState, StoreError> {
        self.ask(|db| {
            let written: u64 =
                db.query_row("SELECT count(*) FROM damaged", [], |row| row.get(0))?;
            let damaged = written + self.0.damage_seen.len();
            let mut ask = db.prepare_cached("SELECT position, full_us FROM scrub")?;
            let saved = ask.query_row([], |row| {
                Ok(ScrubState {
                    position: Seq(row.get(0)?),
                    full_at: row.get::<_, Option<i64>>(1)?.map(from_micros),
                    damaged,
                })
            });
            Ok(saved.optional()?.unwrap_or(ScrubState {
                damaged,
                ..ScrubState::default()
            }))
        })
    }

    /// Puts back the bodies of a source's damaged events whose SHA-256 is that of one of these texts.
    ///
    /// # Errors
    /// What the database says.
    pub fn repair(&self, source: &Source, bodies: &[&str]) -> Result<PutBack, StoreError> {
        let _packing = self.0.bodies.packing();
        let wanted = self.damaged_of(source)?;
        let mut outcome = PutBack::default();
        for body in bodies {
            let hash = hex(&sha256(body.as_bytes()));
            for (seq, _) in wanted.iter().filter(|(_, wanted)| *wanted == hash) {
                let packed = self.0.bodies.pack(std::iter::once(*body))?;
                match packed
                    .iter()
                    .try_for_each(|packed| self.put_back(*seq, packed))
                {
                    Ok(()) => outcome.repaired.push(*seq),
                    // Not even its place on disk can be used.
                    Err(StoreError::Damaged(_)) => outcome.unusable.push(*seq),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(outcome)
    }

    /// The damaged events of a source, each with the SHA-256 that it should have.
    fn damaged_of(&self, source: &Source) -> Result<Vec<(Seq, String)>, StoreError> {
        self.ask(|db| {
            let mut seqs = db.prepare_cached("SELECT seq FROM damaged ORDER BY seq LIMIT ?1")?;
            let mut of_source = db.prepare_cached(
                "SELECT event.sha256 FROM event JOIN source ON source.id = event.source
                 WHERE event.seq = ?1 AND source.name = ?2 AND event.erased_us IS NULL",
            )?;
            let mut found = Vec::new();
            for seq in seqs.query_map([MAX_DAMAGED], |row| row.get::<_, u64>(0))? {
                let seq = seq?;
                let hash =
                    of_source.query_row((seq, source.to_string()), |row| row.get::<_, [u8; 32]>(0));
                match hash.optional() {
                    Ok(hash) => found.extend(hash.map(|hash| (Seq(seq), hex(&hash)))),
                    Err(error) if is_damage(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(found)
        })
    }

    /// Puts back the bodies of damaged events, because the same bytes came in again. One that cannot be put back stays as it is.
    pub(super) fn put_back_all(&self, bodies: Vec<(Seq, Packed)>) {
        for (seq, packed) in bodies {
            if let Err(error) = self.put_back(seq, &packed) {
                tracing::warn!(seq = seq.0, error = %error, "Repairing a damaged event failed.");
            }
        }
    }

    fn put_back(&self, seq: Seq, packed: &Packed) -> Result<(), StoreError> {
        // Where the old body's pages cannot be followed they cannot be freed, which looks like a full disk.
        if !self.ask(|db| can_follow(db, seq))? {
            return Err(StoreError::Damaged(format!("the place of event {seq}")));
        }
        // By itself: where not even its place on disk can be used, nothing else can be written in this transaction.
        let repaired = self.change(steps::REPAIR_BODY, |db| {
            let repaired = db
                .prepare_cached(
                    "UPDATE event SET dictionary = ?2, body = ?3 WHERE seq = ?1 AND erased_us IS NULL",
                )?
                .execute((seq.0, packed.dictionary, &packed.frame))?;
            db.execute("DELETE FROM damaged WHERE seq = ?1", [seq.0])?;
            db.execute("INSERT OR IGNORE INTO repaired (seq) VALUES (?1)", [seq.0])?;
            Ok(repaired)
        })?;
        self.0.damage_seen.forget(seq, seq);
        // What was erased meanwhile stays so.
        if repaired == 0 {
            return Ok(());
        }
        tracing::info!(
            seq = seq.0,
            "Repaired a damaged event: the same entry came in again."
        );
        Ok(())
    }
}

/// The stretch in which upstream may show an event: the second of its time. One without a readable time stands between its
/// neighbours on the page that it came with, oldest first; without them, upstream has shown it about when it was received.
fn stretch_of(stored: &[StoredEvent], at: usize) -> Window {
    let event = &stored[at].event;
    let second = TimeDelta::seconds(1);
    if let Some(time) = event.time {
        return Window::new(time, time + second);
    }
    let is_of_its_page = |other: &&StoredEvent| {
        other.event.source == event.source && other.event.received_at == event.received_at
    };
    let (earlier, later) = (&stored[..at], &stored[at + 1..]);
    let earlier = earlier.iter().rev().take_while(is_of_its_page);
    let later = later.iter().take_while(is_of_its_page);
    let since = earlier.filter_map(|other| other.event.time).next();
    let before = later.filter_map(|other| other.event.time).next();
    let since = since.unwrap_or(event.received_at - ABOUT);
    let before = before.unwrap_or(event.received_at + ABOUT);
    Window::new(since.min(before), since.max(before) + second)
}

/// Whether the bytes of an event's body can be read from the disk, whatever they are.
fn can_follow(db: &Connection, seq: Seq) -> Result<bool, StoreError> {
    let mut ask = db.prepare_cached("SELECT body FROM event WHERE seq = ?1")?;
    match ask.query_row([seq.0], |row| row.get_ref(0).map(|_| ())) {
        Ok(()) => Ok(true),
        Err(error) if is_damage(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
