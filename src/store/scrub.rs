//! Whether the log still holds what was stored: every place, every row, every body against its SHA-256.
//!
//! A pass goes through the log in steps, and how far it has come is saved with what it found. It reads; a body is only put back
//! when the same bytes come in again.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension};

use super::bodies::Packed;
use super::error::StoreError;
use super::reading::{Damage, Stored, is_damage};
use super::{Store, steps};
use crate::clock::from_micros;
use crate::event::{hex, sha256};
use crate::position::{Seq, Source, Window};

/// The most damaged events that are returned at once.
pub const MAX_DAMAGED: usize = 10_000;

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
            let is_row_known = !matches!(damage, Damage::RowMissing | Damage::RowUnreadable);
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
        })?;
        self.0.damage_seen.forget(after.next(), upto);
        Ok(())
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
                tracing::warn!(seq = seq.0, error = %error, "A damaged event could not be repaired.");
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
fn stretch_of(stored: &[Stored], at: usize) -> Window {
    let event = &stored[at].event;
    let second = TimeDelta::seconds(1);
    if let Some(time) = event.time {
        return Window::new(time, time + second);
    }
    let is_of_its_page = |other: &&Stored| {
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
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::durable::Breaker;
    use crate::event::{Arrival, DAMAGED};
    use crate::store::{FILE_NAME, Holding, Imported};

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
    fn damaged_entry_without_a_time_is_looked_for_between_its_neighbours_or_about_when_it_was_received()
     {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        store.begin_import().unwrap();
        let received = from_micros(1_785_000_000_000_000);
        let timeless = |id: &str| imported(&format!(r#"{{"id":"{id}"}}"#));
        let page = [imported(&body(1)), timeless("x"), imported(&body(3))];
        store.import(&page, received).unwrap();
        store.import(&[timeless("y")], from_micros(7)).unwrap();
        let other = Connection::open(dir.path().join(FILE_NAME)).unwrap();
        other
            .execute_batch("UPDATE event SET body = x'00'")
            .unwrap();
        let found = store.scrub(Seq::ZERO, 100, usize::MAX).unwrap();
        let stretch = |event: &DamagedEvent| event.found_in.clone().unwrap().1;
        let found: Vec<Window> = found.damaged.iter().map(stretch).collect();
        let at = |second| format!("2026-08-03T08:00:0{second}Z").parse().unwrap();
        let window = |since, before| Window::new(at(since), at(before));
        let alone = Window::new(
            from_micros(7) - ABOUT,
            from_micros(7) + ABOUT + TimeDelta::seconds(1),
        );
        assert_eq!(found, [window(1, 2), window(1, 4), window(3, 4), alone]);
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
        let put_back = store.repair(&source, &[&two, &other]).unwrap();
        assert_eq!(put_back.repaired, [Seq(2)]);
        for n in 1..=2 {
            let event = store.event(Seq(n)).unwrap().unwrap();
            assert_eq!(event.entry.get(), body(n));
            assert!(!event.is_damaged());
        }
        assert_eq!(store.scrub_state().unwrap().damaged, 3);
        assert!(store.is_known_damaged(Seq(3)).unwrap());
    }

    #[test]
    fn damage_that_a_read_meets_counts_at_once_and_is_written_down_by_the_next_turn() {
        let (dir, store) = damaged_by(EVERY_KIND);
        let damaged = |store: &Store| store.scrub_state().unwrap().damaged;
        assert_eq!(damaged(&store), 0);
        for _ in 0..2 {
            store.events(&[Seq(2), Seq(6)], usize::MAX).unwrap();
            assert_eq!(damaged(&store), 1);
        }
        store.events_after(Seq::ZERO, 100, usize::MAX).unwrap();
        assert_eq!(damaged(&store), 5);
        store.save_damage_seen(from_micros(8)).unwrap();
        assert_eq!(damaged(&store), 5);
        let beside = Store::open_beside(dir.path()).unwrap();
        assert_eq!(damaged(&beside), 5);
        // The same bytes repair what only a read has found, and a pass that finds an event whole ends it.
        let (_dir, store) = damaged_by(EVERY_KIND);
        store.event(Seq(1)).unwrap();
        store.begin_import().unwrap();
        let same = [imported(&body(1))];
        assert_eq!(store.import(&same, from_micros(10)).unwrap().held, 1);
        assert_eq!(damaged(&store), 0);
        assert!(!store.event(Seq(1)).unwrap().unwrap().is_damaged());
        store.event(Seq(2)).unwrap();
        store
            .save_scrub((Seq(1), Seq(2)), &[], false, from_micros(9))
            .unwrap();
        assert_eq!(damaged(&store), 0);
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
        // What came to a page that cannot be read is kept again, once, with what came beside it.
        let beside = entry(61);
        let both = [imported(&entry(30)), imported(&beside)];
        store.begin_import().unwrap();
        let kept = store.import(&both, from_micros(9)).unwrap();
        assert_eq!((kept.new, kept.revisions, kept.held), (2, 1, 0));
        assert_eq!(
            store.event(Seq(61)).unwrap().unwrap().entry.get(),
            entry(30)
        );
        store.begin_import().unwrap();
        let kept = store.import(&both, from_micros(10)).unwrap();
        assert_eq!((kept.new, kept.held), (0, 2));
        let shown: Vec<Arrival> = both.map(|imported| imported.arrival).into();
        let shown: Vec<(&Arrival, u32)> = shown.iter().map(|arrival| (arrival, 1)).collect();
        let source = Source::account("a").unwrap();
        let held = store.holdings(&source, &shown).unwrap();
        assert_eq!(held, [Holding::Same, Holding::Same]);
    }

    #[test]
    fn entries_are_kept_beside_one_that_can_neither_be_read_nor_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        store.begin_import().unwrap();
        // Long enough for pages of its own.
        let mut rng = fastrand::Rng::with_seed(1);
        let noise: String = (0..40_000).map(|_| rng.alphanumeric()).collect();
        let long = format!(r#"{{"id":"e1","x":"{noise}"}}"#);
        let entries = [imported(&long), imported(&body(2))];
        store.import(&entries, from_micros(7)).unwrap();
        store.close().unwrap();
        drop(store);
        let file = dir.path().join(FILE_NAME);
        let db = Connection::open(&file).unwrap();
        let frame: Vec<u8> = db
            .query_row("SELECT body FROM event WHERE seq = 1", [], |row| row.get(0))
            .unwrap();
        drop(db);
        let mut bytes = std::fs::read(&file).unwrap();
        let inside = &frame[12_000..12_032];
        let at = bytes.windows(32).position(|window| window == inside);
        let page = at.unwrap() / 4096 * 4096;
        bytes[page..page + 4096].fill(0xff);
        std::fs::write(&file, bytes).unwrap();

        let store = Store::open(dir.path(), Breaker::default()).unwrap();
        let found = store.scrub(Seq::ZERO, 100, usize::MAX).unwrap();
        assert_eq!(found.damaged.len(), 1);
        let all = (Seq::ZERO, found.upto);
        store
            .save_scrub(all, &found.damaged, true, from_micros(8))
            .unwrap();
        let other = long.replace("e1\",", "e1\",\"new\":1,");
        let page = [imported(&long), imported(&other), imported(&body(3))];
        store.begin_import().unwrap();
        let kept = store.import(&page, from_micros(9)).unwrap();
        assert_eq!((kept.new, kept.revisions, kept.held), (2, 1, 1));
        assert_eq!(store.scrub_state().unwrap().damaged, 1);
        let source = Source::account("a").unwrap();
        let put_back = store.repair(&source, &[&long]).unwrap();
        assert_eq!(put_back.unusable, [Seq(1)]);
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
