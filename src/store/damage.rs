//! Damage that reads meet: remembered until a pass of `scrub` writes it down, and why a damaged event was not repaired.

use std::collections::BTreeMap;
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::error::StoreError;
use super::reading::{Damage, Stored};
use super::scrub::{DamagedEvent, MAX_DAMAGED};
use super::{Store, lock, steps};
use crate::ledger;
use crate::position::Seq;

/// Why a damaged event is not repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRepaired {
    /// Its row does not tell its source or its time, so upstream cannot be asked for it.
    SourceUnknown,
    /// Upstream keeps no entries of its time any more.
    TooOld,
    /// Upstream could not be asked, for this reason.
    NotAsked(String),
    /// What upstream shows of its time could not be read completely.
    Unreadable,
    /// Upstream shows no entry with its SHA-256.
    NotShown,
    /// Upstream shows the entry, and it cannot be written in the place on disk where the event stands.
    PlaceUnusable,
}

impl NotRepaired {
    /// Its name in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::SourceUnknown => "source_unknown",
            Self::TooOld => "too_old",
            Self::NotAsked(_) => "upstream_not_asked",
            Self::Unreadable => "upstream_unreadable",
            Self::NotShown => "not_shown_by_upstream",
            Self::PlaceUnusable => "place_unusable",
        }
    }

    /// The same for people.
    #[must_use]
    pub fn explanation(&self) -> String {
        let text = match self {
            Self::SourceUnknown => {
                "its row does not tell its source or its time, so upstream cannot be asked for it"
            }
            Self::TooOld => "upstream keeps no entries of its time any more",
            Self::NotAsked(why) => return format!("upstream could not be asked: {why}"),
            Self::Unreadable => "what upstream shows of its time could not be read completely",
            Self::NotShown => "upstream shows no entry with the SHA-256 of this event",
            Self::PlaceUnusable => {
                "upstream shows the entry, and the event's place on disk cannot be written"
            }
        };
        text.to_owned()
    }
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

/// Events that reads found damaged and that are not written down as such; at most [`MAX_DAMAGED`].
#[derive(Debug, Default)]
pub(super) struct DamageSeen(Mutex<BTreeMap<Seq, Damage>>);

impl DamageSeen {
    fn add(&self, seq: Seq, damage: Damage) {
        let mut seen = lock(&self.0);
        if seen.len() < MAX_DAMAGED {
            seen.insert(seq, damage);
        }
    }

    fn has(&self, seq: Seq) -> bool {
        lock(&self.0).contains_key(&seq)
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        lock(&self.0).len() as u64
    }

    /// The events from `first` to `last` are whole, or written down.
    pub(super) fn forget(&self, first: Seq, last: Seq) {
        lock(&self.0).retain(|seq, _| *seq < first || *seq > last);
    }
}

impl Store {
    /// Remembers which of the events that were just read are damaged.
    pub(super) fn note_damage(&self, read: &[Stored]) {
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

    /// Writes down the damage that reads have found since the last time.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_damage_seen(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let seen = lock(&self.0.damage_seen.0).clone();
        if seen.is_empty() {
            return Ok(());
        }
        self.change(steps::SAVE_SCRUB, |db| {
            let mut insert = db.prepare_cached(
                "INSERT OR IGNORE INTO damaged (seq, problem, found_us) VALUES (?1, ?2, ?3)",
            )?;
            for (seq, damage) in &seen {
                insert.execute((seq.0, damage.name(), now.timestamp_micros()))?;
            }
            Ok(())
        })?;
        lock(&self.0.damage_seen.0).retain(|seq, _| !seen.contains_key(seq));
        Ok(())
    }
}
