//! Pages of events kept, each in one transaction; and the dictionaries trained from the events.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Transaction};

use super::bodies;
use super::error::StoreError;
use super::handle::{Store, newest_seq};
use super::lateness::FirstSightings;
use super::open_window::Then;
use super::reading::is_damage;
use super::window_id::WindowId;
use super::windows::{self, Advance};
use super::writing::{Appended, EventWriter, WriteResult};
use super::{ledger_rows, runs, steps};
use crate::durable::Step;
use crate::event::{Arrival, AuditEvent, Identity, sha256};
use crate::invariant;
use crate::position::{Cursor, Seq, Source, WindowKind};

/// A page of a window's scan, ready to be kept.
#[derive(Debug, Clone)]
pub struct Page {
    /// The window it belongs to.
    pub window: WindowId,
    /// The cursor it was asked with.
    pub asked: Option<Cursor>,
    /// Start of the request, if later than the window's start. Earlier pages had the entries before it.
    pub resumed: Option<DateTime<Utc>>,
    /// The `limit` it was asked with; `None` leaves it open.
    pub limit: Option<u32>,
    /// Its entries, in upstream's order.
    pub arrivals: Vec<Arrival>,
    /// What comes after it.
    pub then: Then,
    /// The earliest moment of which upstream still kept entries when it answered: nothing before it can be claimed. It must be
    /// before the window's end, unless the window is left or given up.
    pub claim_since: DateTime<Utc>,
    /// Upstream's present when it was asked: nothing after it can be claimed, and no scan began later.
    pub claim_before: DateTime<Utc>,
    /// Our present.
    pub received_at: DateTime<Utc>,
    /// The present that sweeps count from, if the window is sealed by this page: never earlier than it really was.
    pub sealed_at: DateTime<Utc>,
}

/// When, in events, the first dictionaries are trained: soon, and again when there is more to choose from.
const TRAIN_AT: [u64; 2] = [1_000, 20_000];

/// Number of newest events from which a dictionary's samples are taken.
const SAMPLED: u64 = 20_000;

/// How many samples it is trained from at most. They are spread evenly: neighbours are of one source and one day, and a
/// dictionary of those does a tenth worse.
const MAX_SAMPLES: u64 = 6_000;

impl Store {
    /// Keeps a page: its new events with their places, its window's cursor and counts, all or nothing; then announces the
    /// new head. When the page's next cursor was given before, its entries are kept all the same, and its scan starts over.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the page was kept already or its scan started over; otherwise what the database says.
    pub fn append(&self, page: &Page) -> Result<Appended, StoreError> {
        let _packing = self.0.bodies.packing();
        // Outside the lock: the other sources go on meanwhile.
        let packed = self
            .0
            .bodies
            .pack(page.arrivals.iter().map(|arrival| arrival.body.get()))?;
        let written = self.write(steps::APPEND_PAGE, page.received_at, |db, held, head| {
            let source = page.window.source;
            let stretch = windows::stretch(db, page.window)?;
            let mut writing = EventWriter::new(self, (db, held), source, head, page.received_at);
            writing.sealed = ledger_rows::sealed_within(db, source, stretch.widened())?;
            writing.shown = FirstSightings::by(db, page.window)?;
            writing.is_history = windows::kind(db, page.window)? == Some(WindowKind::Backfill);
            let (then, leads_in_circle) = if page.leads_in_circle(db)? {
                (&Then::StartOver, true)
            } else {
                (&page.then, false)
            };
            if *then == Then::StartOver {
                // It may repeat an earlier page, so that equal entries without an id are counted in this page alone.
                windows::forget_scan(db, page.window)?;
            }
            for (arrival, packed) in page.arrivals.iter().zip(&packed) {
                let twin = match &arrival.identity {
                    Identity::Id(_) => 1,
                    // Counted by the page before, and asked for again only because bounds may exclude.
                    Identity::Content(_) if arrival.was_shown_before(page.resumed) => continue,
                    Identity::Content(hash) => {
                        windows::count_twin(db, page.window, hash, arrival.time)?
                    }
                };
                writing.keep(arrival, packed, twin)?;
            }
            let mut written = writing.finish()?;
            written.appended.leads_in_circle = leads_in_circle;
            page.advance(db, then, &written.appended)?;
            Ok(written)
        });
        self.forget_ledger(page.window.source);
        written
    }

    /// Changes the log by new events, all or nothing; then announces the new head, and puts back the bodies of damaged events
    /// that came in again. `write` is given a connection on which what is held already is read (see [`EventWriter`]), and the head
    /// before.
    ///
    /// When the file turns out to be damaged, the index of identities is made again from the rows, once, and the change is
    /// tried again.
    pub(super) fn write(
        &self,
        step: Step,
        now: DateTime<Utc>,
        mut write: impl FnMut(&Transaction<'_>, &Connection, Seq) -> Result<WriteResult, StoreError>,
    ) -> Result<Appended, StoreError> {
        let mut try_write = || {
            self.ask(|held| {
                self.change(step, |db| {
                    let before = newest_seq(db)?;
                    let written = write(db, held, before)?;
                    let (new, after) = (written.appended.new, written.head);
                    invariant!(
                        SeqHasNoHoles,
                        after.0 == before.0 + new as u64 && newest_seq(db)? == after,
                        "{new} new events moved the head from {before} to {after}"
                    );
                    if new > 0 {
                        runs::note(db, before.next(), self.0.run_id)?;
                    }
                    Ok((before, written))
                })
            })
        };
        let kept = match try_write() {
            Err(StoreError::Damaged(_)) if self.rebuild_identities() => try_write(),
            kept => kept,
        };
        // A commit that reported an error may have succeeded. Read the head from the file.
        let head = match &kept {
            Ok((_, written)) => written.head,
            Err(_) => self.ask(newest_seq)?,
        };
        // Another one's commit, later, may have been announced before this one.
        self.0.head.send_if_modified(|newest| {
            let is_newer = head > *newest;
            *newest = head.max(*newest);
            is_newer
        });
        let (before, written) = kept?;
        self.put_back_all(written.to_put_back);
        if self.should_train(before, head) {
            self.train_dictionary(now)?;
        }
        Ok(written.appended)
    }

    /// Takes the dictionaries into use that are not known here yet. One that cannot be read is left out: the bodies that need
    /// it are damaged.
    pub(super) fn learn_dictionaries(&self) -> Result<(), StoreError> {
        self.ask(|db| {
            let mut ids = db.prepare("SELECT id FROM dictionary ORDER BY id")?;
            let mut one =
                db.prepare("SELECT sample_ratio, content, sha256 FROM dictionary WHERE id = ?1")?;
            for id in ids.query_map([], |row| row.get::<_, i64>(0))? {
                let id = match id {
                    Ok(id) if self.0.bodies.knows(id) => continue,
                    Ok(id) => id,
                    Err(error) if is_damage(&error) => break,
                    Err(error) => return Err(error.into()),
                };
                let read = one.query_row([id], |row| {
                    let content: Vec<u8> = row.get(1)?;
                    let hash: Option<Vec<u8>> = row.get(2)?;
                    Ok((row.get(0)?, content, hash))
                });
                match read {
                    Ok((ratio, content, hash)) => {
                        let is_whole = hash.is_none_or(|hash| hash == sha256(&content));
                        self.0.bodies.learn(id, ratio, &content, is_whole);
                    }
                    Err(error) if is_damage(&error) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        })
    }

    fn should_train(&self, before: Seq, head: Seq) -> bool {
        TRAIN_AT.iter().any(|at| before.0 < *at && head.0 >= *at) || self.0.bodies.falls_short()
    }

    fn train_dictionary(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.train_dictionary_from(&HashMap::new(), now)
    }

    /// Trains a dictionary from bodies among the newest and takes it into use; those before the time that `cutoffs` has for their
    /// source are left out. Too plain bodies train none, and that is fine.
    pub(super) fn train_dictionary_from(
        &self,
        cutoffs: &HashMap<Source, DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let head = self.head().0;
        let sampled = head.min(SAMPLED);
        let step = usize::try_from(sampled.div_ceil(MAX_SAMPLES)).unwrap_or(usize::MAX);
        let seqs: Vec<Seq> = (head - sampled + 1..=head)
            .step_by(step.max(1))
            .map(Seq)
            .collect();
        let events = self.events(&seqs, bodies::MAX_SAMPLE_BYTES)?;
        let has_body = |event: &&AuditEvent| !event.is_damaged() && !event.is_erased();
        let remains = |event: &&AuditEvent| {
            let cutoff = cutoffs.get(&event.source);
            cutoff.is_none_or(|cutoff| event.ordered_at() >= *cutoff)
        };
        let sampled: Vec<&AuditEvent> = events.iter().filter(has_body).filter(remains).collect();
        let samples: Vec<&str> = sampled.iter().map(|event| event.entry.get()).collect();
        let Some((content, ratio)) = bodies::train(&samples) else {
            // Not again for each page.
            self.0.bodies.judge_anew();
            return Ok(());
        };
        let id = self.change(steps::SAVE_DICTIONARY, |db| {
            let mut insert = db.prepare_cached(
                "INSERT INTO dictionary (trained_us, sample_ratio, content, sha256) VALUES (?1, ?2, ?3, ?4)",
            )?;
            insert.execute((now.timestamp_micros(), ratio, &content, sha256(&content)))?;
            let id = db.last_insert_rowid();
            let mut note = db.prepare_cached(
                "INSERT INTO dictionary_sample (dictionary, seq) VALUES (?1, ?2)",
            )?;
            for event in &sampled {
                note.execute((id, event.seq.0))?;
            }
            Ok(id)
        })?;
        self.0.bodies.learn(id, ratio, &content, true);
        tracing::debug!(
            dictionary = id,
            samples = samples.len(),
            ratio,
            "Trained a dictionary."
        );
        Ok(())
    }
}

impl Page {
    /// Whether its next cursor was given before. An empty page with its own cursor is the end of the log or an upstream mistake;
    /// the poller requests it again.
    fn leads_in_circle(&self, db: &Connection) -> Result<bool, StoreError> {
        match &self.then {
            Then::GoOn(next) if self.arrivals.is_empty() && self.asked.as_ref() == Some(next) => {
                Ok(false)
            }
            Then::GoOn(next) => windows::was_given(db, self.window, next),
            _ => Ok(false),
        }
    }

    /// Moves its window on, or ends it.
    fn advance(&self, db: &Connection, then: &Then, appended: &Appended) -> Result<(), StoreError> {
        let advance = Advance {
            id: self.window,
            asked: self.asked.as_ref(),
            resumed: self.resumed,
            limit: self.limit,
            then,
            claim_since: self.claim_since,
            claim_before: self.claim_before,
            entries: self.arrivals.len(),
            new: appended.new,
            revisions: appended.revisions,
            sealed_at: self.sealed_at,
        };
        windows::advance(db, &advance)
    }
}

#[cfg(test)]
mod tests;
