//! Whether the log still holds what was stored: every place, every row, every body against its SHA-256.
//!
//! A pass goes through the log in steps, and how far it has come is saved with what it found. It reads; a body is only put back
//! when the same bytes come in again.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension};

use super::bodies::Packed;
use super::reading::{Damage, is_damage};
use super::{Store, StoreError, steps};
use crate::clock::from_micros;
use crate::event::{hex, sha256};
use crate::position::{Seq, Source};

/// The most damaged events that are returned at once.
pub const MAX_DAMAGED: usize = 10_000;

/// A damaged event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedEvent {
    /// Its place.
    pub seq: Seq,
    /// What is wrong with it.
    pub damage: Damage,
    /// Its source and its time, where its row tells both.
    pub found_at: Option<(Source, DateTime<Utc>)>,
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
        let damaged = stored.iter().filter_map(|stored| {
            let damage = stored.damage?;
            let event = &stored.event;
            let is_row_known = !matches!(damage, Damage::RowMissing | Damage::RowUnreadable);
            Some(DamagedEvent {
                seq: event.seq,
                damage,
                found_at: is_row_known.then(|| (event.source.clone(), event.ordered_at())),
            })
        });
        Ok(Scrubbed {
            upto: stored.last().map_or(after, |last| last.event.seq),
            events: stored.len() as u64,
            damaged: damaged.collect(),
        })
    }

    /// Saves what a pass found in the events after `after` up to `upto`: these and no others are damaged there. A pass that
    /// `is_full` with them begins again at the first event.
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
        self.change(steps::SAVE_SCRUB, |db| {
            db.prepare_cached("DELETE FROM damaged WHERE seq > ?1 AND seq <= ?2")?
                .execute((after.0, upto.0))?;
            let mut insert = db.prepare_cached(
                "INSERT OR REPLACE INTO damaged (seq, problem, found_us) VALUES (?1, ?2, ?3)",
            )?;
            for event in damaged {
                insert.execute((event.seq.0, event.damage.name(), now.timestamp_micros()))?;
            }
            let position = if is_full { Seq::ZERO } else { upto };
            let full_us = is_full.then(|| now.timestamp_micros());
            db.prepare_cached(
                "INSERT INTO scrub (id, position, full_us) VALUES (1, ?1, ?2)
                 ON CONFLICT (id) DO UPDATE SET position = ?1, full_us = coalesce(?2, full_us)",
            )?
            .execute((position.0, full_us))?;
            Ok(())
        })
    }

    /// How far passes have come, and how many events they found damaged.
    ///
    /// # Errors
    /// What the database says.
    pub fn scrub_state(&self) -> Result<ScrubState, StoreError> {
        self.ask(|db| {
            let damaged = db.query_row("SELECT count(*) FROM damaged", [], |row| row.get(0))?;
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

    /// Whether an event is known to be damaged.
    ///
    /// # Errors
    /// What the database says.
    pub fn is_known_damaged(&self, seq: Seq) -> Result<bool, StoreError> {
        self.ask(|db| {
            let mut ask = db.prepare_cached("SELECT count(*) > 0 FROM damaged WHERE seq = ?1")?;
            Ok(ask.query_row([seq.0], |row| row.get(0))?)
        })
    }

    /// Puts back the bodies of a source's damaged events whose SHA-256 is that of one of these texts. Returns their places.
    ///
    /// # Errors
    /// What the database says.
    pub fn repair(&self, source: &Source, bodies: &[&str]) -> Result<Vec<Seq>, StoreError> {
        let wanted = self.damaged_of(source)?;
        let mut repaired = Vec::new();
        for body in bodies {
            let hash = hex(&sha256(body.as_bytes()));
            for (seq, _) in wanted.iter().filter(|(_, wanted)| *wanted == hash) {
                match self.put_back(*seq, body) {
                    Ok(()) => repaired.push(*seq),
                    // Not even its place on disk can be used.
                    Err(StoreError::Damaged(why)) => {
                        tracing::warn!(seq = seq.0, why, "A damaged event could not be repaired.");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(repaired)
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

    fn put_back(&self, seq: Seq, body: &str) -> Result<(), StoreError> {
        let packed = self.0.bodies.pack(std::iter::once(body))?;
        self.change(steps::REPAIR_BODY, |db| {
            for packed in &packed {
                put_back_if_damaged(db, seq, packed)?;
            }
            Ok(())
        })
    }
}

/// Puts back the body of an event that is known to be damaged, because the same bytes came in again.
pub(super) fn put_back_if_damaged(
    db: &Connection,
    seq: Seq,
    packed: &Packed,
) -> Result<(), StoreError> {
    let mut known = db.prepare_cached("SELECT 1 FROM damaged WHERE seq = ?1")?;
    if !known.exists([seq.0])? {
        return Ok(());
    }
    // Where not even its place on disk can be used, it stays as it is, and the page that it came with is kept.
    db.execute_batch("SAVEPOINT put_back")?;
    let put_back = db
        .prepare_cached(
            "UPDATE event SET dictionary = ?2, body = ?3 WHERE seq = ?1 AND erased_us IS NULL",
        )?
        .execute((seq.0, packed.dictionary, &packed.frame))
        .and_then(|rows| {
            db.execute("DELETE FROM damaged WHERE seq = ?1", [seq.0])?;
            Ok(rows)
        });
    match put_back {
        Ok(0) => {}
        Ok(_) => tracing::info!(
            seq = seq.0,
            "Repaired a damaged event: the same entry came in again."
        ),
        Err(error) if is_damage(&error) => db.execute_batch("ROLLBACK TO put_back")?,
        Err(error) => return Err(error.into()),
    }
    Ok(db.execute_batch("RELEASE put_back")?)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::durable::Breaker;
    use crate::event::{Arrival, DAMAGED};
    use crate::store::{FILE_NAME, Imported};

    fn body(n: u64) -> String {
        format!(r#"{{"id":"e{n}","action":{{"time":"2026-08-03T08:00:0{n}Z"}},"n":{n}}}"#)
    }

    fn imported(text: &str) -> Imported {
        Imported {
            source: Source::account("a").unwrap(),
            label: None,
            arrival: Arrival::read(RawValue::from_string(text.to_owned()).unwrap()),
        }
    }

    /// A log of six entries, damaged by statements of SQL.
    fn damaged_by(sql: &str) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        store.begin_import().unwrap();
        let entries: Vec<Imported> = (1..=6).map(|n| imported(&body(n))).collect();
        store.import(&entries, from_micros(7)).unwrap();
        let other = Connection::open(dir.path().join(FILE_NAME)).unwrap();
        other.execute_batch(sql).unwrap();
        (dir, store)
    }

    const EVERY_KIND: &str = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;
        UPDATE event SET body = x'00' WHERE seq = 1;
        UPDATE event SET body = (SELECT body FROM event WHERE seq = 6) WHERE seq = 2;
        UPDATE event SET dictionary = 99 WHERE seq = 3;
        DELETE FROM event WHERE seq = 4;
        UPDATE event SET source = 77 WHERE seq = 5;";

    #[test]
    fn each_kind_of_damage_is_found_at_its_place() {
        let (_dir, store) = damaged_by(EVERY_KIND);
        let found = store.scrub(Seq::ZERO, 100, usize::MAX).unwrap();
        assert_eq!((found.upto, found.events), (Seq(6), 6));
        let places: Vec<(u64, Damage)> = found
            .damaged
            .iter()
            .map(|event| (event.seq.0, event.damage))
            .collect();
        let expect = [
            (1, Damage::BodyUnreadable),
            (2, Damage::HashMismatch),
            (3, Damage::DictionaryMissing),
            (4, Damage::RowMissing),
            (5, Damage::RowUnreadable),
        ];
        assert_eq!(places, expect);
    }

    #[test]
    fn damaged_events_are_returned_with_what_their_rows_say() {
        let (_dir, store) = damaged_by(EVERY_KIND);
        let events = store.events_after(Seq::ZERO, 100, usize::MAX).unwrap();
        let places: Vec<Seq> = (1..=6).map(Seq).collect();
        let by_place = store.events(&places, usize::MAX).unwrap();
        for (event, one) in events.iter().zip(&by_place) {
            assert_eq!(
                serde_json::to_string(event).unwrap(),
                serde_json::to_string(one).unwrap()
            );
        }
        assert_eq!(by_place.len(), 6);
        for event in &by_place[..3] {
            assert_eq!(event.entry.get(), "null");
            assert_eq!(event.problem.as_deref(), Some(DAMAGED));
            assert_eq!(event.id, Some(format!("e{}", event.seq)));
            let expect = hex(&sha256(body(event.seq.0).as_bytes()));
            assert_eq!(event.sha256, Some(expect));
            assert!(event.time.is_some() && event.source.to_string() == "accounts/a");
        }
        assert_eq!(by_place[5].entry.get(), body(6));
        assert!(!by_place[5].is_damaged());
        assert!(store.event(Seq(7)).unwrap().is_none());
        assert!(store.event(Seq::ZERO).unwrap().is_none());
    }

    #[test]
    fn damaged_event_is_repaired_when_the_same_entry_comes_in_again() {
        let (_dir, store) = damaged_by(EVERY_KIND);
        let found = store.scrub(Seq::ZERO, 100, usize::MAX).unwrap();
        let all = (Seq::ZERO, found.upto);
        store
            .save_scrub(all, &found.damaged, true, from_micros(9))
            .unwrap();
        let state = store.scrub_state().unwrap();
        assert_eq!((state.damaged, state.full_at), (5, Some(from_micros(9))));

        store.begin_import().unwrap();
        let same = [imported(&body(1))];
        assert_eq!(store.import(&same, from_micros(10)).unwrap().held, 1);
        let source = Source::account("a").unwrap();
        let (two, other) = (body(2), body(3).replace(":3}", ":4}"));
        assert_eq!(store.repair(&source, &[&two, &other]).unwrap(), [Seq(2)]);
        for n in 1..=2 {
            let event = store.event(Seq(n)).unwrap().unwrap();
            assert_eq!(event.entry.get(), body(n));
            assert!(!event.is_damaged());
        }
        assert_eq!(store.scrub_state().unwrap().damaged, 3);
        assert!(store.is_known_damaged(Seq(3)).unwrap());
    }

    #[test]
    fn entries_come_in_beside_damaged_ones_with_the_same_id() {
        let (_dir, store) = damaged_by("UPDATE event SET body = x'00'");
        store.begin_import().unwrap();
        let changed = body(1).replace(":1}", ":2}");
        let kept = store
            .import(&[imported(&changed)], from_micros(10))
            .unwrap();
        assert_eq!((kept.new, kept.revisions), (1, 1));
        assert_eq!(store.event(Seq(7)).unwrap().unwrap().entry.get(), changed);
    }

    #[test]
    fn pages_of_the_file_that_cannot_be_read_cost_only_the_events_on_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        store.begin_import().unwrap();
        let noise = |n: u64| -> String {
            let mut rng = fastrand::Rng::with_seed(n);
            (0..3_000).map(|_| rng.alphanumeric()).collect()
        };
        let entry = |n: u64| format!(r#"{{"id":"entry-{n}-","x":"{}"}}"#, noise(n));
        let entries: Vec<Imported> = (1..=60).map(|n| imported(&entry(n))).collect();
        store.import(&entries, from_micros(7)).unwrap();
        store.close().unwrap();
        drop(store);

        let file = dir.path().join(FILE_NAME);
        let mut bytes = std::fs::read(&file).unwrap();
        // The identity is in the table and in its index; rows have the hash beside it.
        let wanted = sha256(entry(30).as_bytes());
        let at = bytes
            .windows(32)
            .position(|window| window == wanted)
            .unwrap();
        let page = at / 4096 * 4096;
        bytes[page..page + 4096].fill(0xff);
        std::fs::write(&file, bytes).unwrap();

        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        let found = store.scrub(Seq::ZERO, 100, usize::MAX).unwrap();
        assert_eq!(found.events, 60);
        let lost: Vec<u64> = found.damaged.iter().map(|event| event.seq.0).collect();
        assert!(lost.contains(&30) && lost.len() < 10, "{lost:?}");
        let events = store.events_after(Seq::ZERO, 100, usize::MAX).unwrap();
        for event in events.iter().filter(|event| !event.is_damaged()) {
            assert_eq!(event.entry.get(), entry(event.seq.0));
        }
        // What comes in again is still known.
        store.begin_import().unwrap();
        let again = store
            .import(&[imported(&entry(59))], from_micros(8))
            .unwrap();
        assert_eq!(again.held, 1);
    }

    #[test]
    fn damaged_dictionary_stops_no_start_and_is_used_for_no_new_body() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        let entry = |n: usize| {
            imported(&format!(
                r#"{{"id":"{n}","actor":{{"email":"user{}@example.com"}},"n":{n}}}"#,
                n % 9
            ))
        };
        for begin in [1, 1_001] {
            store.begin_import().unwrap();
            let entries: Vec<Imported> = (begin..begin + 1_000).map(entry).collect();
            store.import(&entries, from_micros(7)).unwrap();
        }
        store.close().unwrap();
        drop(store);
        let other = Connection::open(dir.path().join(FILE_NAME)).unwrap();
        let trained: i64 = other
            .query_row("SELECT count(*) FROM dictionary", [], |row| row.get(0))
            .unwrap();
        assert_eq!(trained, 1);
        // It begins as a dictionary does, and goes on as none does.
        other
            .execute(
                "UPDATE dictionary SET content = x'37a430ec01000000ffffffff'",
                [],
            )
            .unwrap();
        drop(other);

        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        let events = store.events_after(Seq::ZERO, 5_000, usize::MAX).unwrap();
        assert_eq!(events.len(), 2_000);
        assert!(!events[0].is_damaged() && events[1_999].is_damaged());
        store.begin_import().unwrap();
        store.import(&[entry(3_000)], from_micros(8)).unwrap();
        assert!(!store.event(Seq(2_001)).unwrap().unwrap().is_damaged());
    }
}
