//! The rows of new events: which entries are new, which are held, and which are other content under a known id.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Transaction, named_params};

use super::bodies::{Packed, Unpacker};
use super::error::StoreError;
use super::handle::Store;
use super::lateness::{FirstSightings, Late};
use super::reading::{has_form, hash_and_origin};
use super::{identity, sources};
use crate::event::{Arrival, sha256};
use crate::position::{Seq, Window};
use orgtrail_cloudflare::json::canonical;

/// What keeping a page came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// Entries that were not held before.
    pub new: usize,
    /// Of those, entries whose id was held with other content.
    pub revisions: usize,
    /// Entries that were held already.
    pub held: usize,
    /// How long after their time entries became visible, and how many of them, where the scan can tell. Entries that differ by a
    /// tenth are counted together, with the longest of them.
    pub visible_after: Vec<(TimeDelta, u64)>,
    /// Whether the page's next cursor was given before, so that its scan starts over.
    pub leads_in_circle: bool,
}

/// What writing entries came to.
pub(super) struct WriteResult {
    pub(super) appended: Appended,
    /// The newest event's place after it.
    pub(super) head: Seq,
    /// Events known to be damaged whose bytes came in again.
    pub(super) to_put_back: Vec<(Seq, Packed)>,
}

impl WriteResult {
    /// With what came next.
    pub(super) fn add(&mut self, next: Self) {
        self.appended.new += next.appended.new;
        self.appended.revisions += next.appended.revisions;
        self.appended.held += next.appended.held;
        self.head = next.head;
        self.to_put_back.extend(next.to_put_back);
    }
}

/// Entries of one source being written, inside their transaction.
///
/// A transaction in which SQLite met a damaged page can write nothing more. So the rows of events held before are read on another
/// connection; which there are is known from the index of identities.
pub(super) struct EventWriter<'a> {
    store: &'a Store,
    db: &'a Transaction<'a>,
    held: &'a Connection,
    source: i64,
    /// The last event that was held before.
    before: Seq,
    head: Seq,
    received_at: DateTime<Utc>,
    appended: Appended,
    newest_us: Option<i64>,
    /// Whether these entries are history: backfilled or imported.
    pub(super) is_history: bool,
    /// Windows that were sealed before this scan, within its range widened by a second. Empty for an import: imported entries do
    /// not count as late.
    pub(super) sealed: Vec<Window>,
    late: Late,
    /// Measures how late entries become visible; `None` for an import.
    pub(super) shown: Option<FirstSightings>,
    to_put_back: Vec<(Seq, Packed)>,
}

impl<'a> EventWriter<'a> {
    /// A writer for entries of one source. Inserts after `head` on the first connection; reads stored events on the second.
    pub(super) fn new(
        store: &'a Store,
        (db, held): (&'a Transaction<'a>, &'a Connection),
        source: i64,
        head: Seq,
        received_at: DateTime<Utc>,
    ) -> Self {
        Self {
            store,
            db,
            held,
            source,
            before: head,
            head,
            received_at,
            appended: Appended::default(),
            newest_us: None,
            is_history: false,
            sealed: Vec::new(),
            late: Late::default(),
            shown: None,
            to_put_back: Vec::new(),
        }
    }

    /// Stores an entry unless it is stored already. `twin` numbers equal entries without an id in one scan, from 1.
    pub(super) fn keep(
        &mut self,
        arrival: &Arrival,
        packed: &Packed,
        twin: u32,
    ) -> Result<(), StoreError> {
        let key = identity::key(&arrival.identity, twin);
        let hash = sha256(arrival.body.get().as_bytes());
        if self.insert(arrival, packed, &key, &hash, 0)? {
            self.appended.new += 1;
            self.note_lateness(arrival);
            return Ok(());
        }
        match self.next_revision(&key, &hash, arrival, packed)? {
            None => self.appended.held += 1,
            Some(revision) => {
                self.insert(arrival, packed, &key, &hash, revision)?;
                self.appended.new += 1;
                self.appended.revisions += 1;
            }
        }
        Ok(())
    }

    /// Counts an entry whose moment was sealed without it.
    fn note_lateness(&mut self, arrival: &Arrival) {
        let Some(time) = arrival.time else { return };
        let begun = self.sealed.partition_point(|window| window.since <= time);
        let last = self.sealed[..begun].last();
        let was_sealed = last.is_some_and(|window| time < window.before);
        let lateness = self.received_at - time;
        if was_sealed {
            self.late.count(lateness);
        }
        if let Some(shown) = &mut self.shown {
            shown.count(time, was_sealed, lateness);
        }
    }

    /// Counts the source's new events; gives what it came to.
    pub(super) fn finish(mut self) -> Result<WriteResult, StoreError> {
        self.late.save(self.db, self.source)?;
        if let Some(shown) = &self.shown {
            shown.save(self.db, self.source)?;
            self.appended.visible_after = shown.lags();
        }
        let new = (self.appended.new, self.head);
        sources::count_events(self.db, self.source, new, self.newest_us)?;
        Ok(WriteResult {
            appended: self.appended,
            head: self.head,
            to_put_back: self.to_put_back,
        })
    }

    /// Inserts the entry with the next `seq`, unless this revision is stored. Returns whether it was inserted.
    fn insert(
        &mut self,
        arrival: &Arrival,
        packed: &Packed,
        key: &[u8],
        hash: &[u8; 32],
        revision: u32,
    ) -> Result<bool, StoreError> {
        let seq = self.head.next();
        let mut insert = self.db.prepare_cached(
            "INSERT INTO event (seq, source, identity, revision, time_us, received_us, problem, from_logpush, sha256, dictionary, body, is_history)
             VALUES (:seq, :source, :identity, :revision, :time, :received, :problem, :from_logpush, :sha256, :dictionary, :body, :is_history)
             ON CONFLICT (source, identity, revision) DO NOTHING",
        )?;
        let inserted = insert.execute(named_params! {
            ":seq": seq.0,
            ":source": self.source,
            ":identity": key,
            ":revision": revision,
            ":time": arrival.time.map(|time| time.timestamp_micros()),
            ":received": self.received_at.timestamp_micros(),
            ":problem": arrival.problem,
            ":from_logpush": arrival.from_logpush,
            ":sha256": hash,
            ":dictionary": packed.dictionary,
            ":body": packed.frame,
            ":is_history": self.is_history,
        })? == 1;
        if inserted {
            self.head = seq;
            self.newest_us = self
                .newest_us
                .max(arrival.time.map(|time| time.timestamp_micros()));
        }
        Ok(inserted)
    }

    /// The revision that content new under its id gets; `None` when the content is held, or when an entry made from a
    /// Logpush line can add nothing to what the API sent.
    fn next_revision(
        &mut self,
        key: &[u8],
        hash: &[u8; 32],
        arrival: &Arrival,
        packed: &Packed,
    ) -> Result<Option<u32>, StoreError> {
        let decoders = self.store.0.bodies.decoders();
        let mut unpacker = Unpacker::new(&decoders);
        let mut form = None;
        let mut next = 0;
        for (seq, revision) in self.revisions(key)? {
            next = revision + 1;
            let rows: &Connection = if seq > self.before {
                self.db
            } else {
                self.held
            };
            // A damaged row or body does not tell, and the entry is kept rather than lost.
            let Some((held_hash, held_from_logpush)) = hash_and_origin(rows, seq)? else {
                continue;
            };
            if held_hash == *hash {
                if self.store.is_damage_known(self.db, seq)? {
                    self.to_put_back.push((seq, packed.clone()));
                }
                return Ok(None);
            }
            if arrival.from_logpush && !held_from_logpush {
                return Ok(None);
            }
            // Other bytes may say the same: only the content counts.
            let form = form.get_or_insert_with(|| canonical(arrival.body.get()));
            if has_form(rows, &mut unpacker, seq, form)? {
                return Ok(None);
            }
        }
        Ok(Some(next))
    }

    /// The places and numbers of the revisions under a key, from the index alone, because a row may be damaged.
    fn revisions(&self, key: &[u8]) -> Result<Vec<(Seq, u32)>, StoreError> {
        let mut ask = self.db.prepare_cached(
            "SELECT seq, revision FROM event WHERE source = ?1 AND identity = ?2 ORDER BY revision",
        )?;
        let rows = ask.query_map((self.source, key), |row| {
            Ok((Seq(row.get(0)?), row.get(1)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
