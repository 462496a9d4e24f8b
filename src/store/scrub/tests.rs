//! Tests of passes over the log, and of repairs.

use serde_json::value::RawValue;

use super::*;
use crate::durable::Failpoints;
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
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
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
fn an_id_that_the_row_has_wrong_is_read_from_the_body() {
    // `t` and `other`.
    let (_dir, store) = damaged_by("UPDATE event SET identity = x'746f74686572' WHERE seq = 2");
    let events = store.events_after(Seq::ZERO, 3, usize::MAX).unwrap();
    let ids: Vec<_> = events.iter().map(|event| event.id.as_deref()).collect();
    assert_eq!(ids, [Some("e1"), Some("e2"), Some("e3")]);
}

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
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
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
    store.event(Seq(6)).unwrap();
    let other = Connection::open(_dir.path().join(FILE_NAME)).unwrap();
    let hash = |db: &Connection, bytes: &[u8]| {
        db.execute("UPDATE event SET sha256 = ?1 WHERE seq = 6", [bytes])
            .unwrap();
    };
    let right = sha256(body(6).as_bytes());
    hash(&other, &[0; 32]);
    store.event(Seq(6)).unwrap();
    assert_eq!(damaged(&store), 1);
    hash(&other, &right);
    store
        .save_scrub((Seq(5), Seq(6)), &[], false, from_micros(9))
        .unwrap();
    assert_eq!(damaged(&store), 0);
}

#[test]
fn a_pass_saves_the_damage_that_is_there_when_it_saves() {
    let (_dir, store) = damaged_by("UPDATE event SET body = x'00' WHERE seq = 1");
    let damaged = |store: &Store| store.scrub_state().unwrap().damaged;
    let found = store.scrub(Seq::ZERO, 100, usize::MAX).unwrap();
    assert_eq!(found.damaged.len(), 1);
    store.event(Seq(1)).unwrap();
    // Between the step and its save, one event is repaired, and a read finds another one damaged.
    store.begin_import().unwrap();
    let same = [imported(&body(1))];
    assert_eq!(store.import(&same, from_micros(10)).unwrap().held, 1);
    let other = Connection::open(_dir.path().join(FILE_NAME)).unwrap();
    other
        .execute_batch("UPDATE event SET body = x'00' WHERE seq IN (3, 4)")
        .unwrap();
    store.event(Seq(3)).unwrap();
    store.save_damage_seen(from_micros(11)).unwrap();
    store.event(Seq(4)).unwrap();
    let all = (Seq::ZERO, found.upto);
    store
        .save_scrub(all, &found.damaged, true, from_micros(12))
        .unwrap();
    assert_eq!(damaged(&store), 2);
    assert!(!store.is_known_damaged(Seq(1)).unwrap());
    for seq in [Seq(3), Seq(4)] {
        assert!(store.is_known_damaged(seq).unwrap(), "{seq:?}");
    }
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
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
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

    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
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
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
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

    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
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
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
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

    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
    let events = store.events_after(Seq::ZERO, 5_000, usize::MAX).unwrap();
    assert_eq!(events.len(), 2_000);
    assert!(!events[0].is_damaged() && events[1_999].is_damaged());
    store.begin_import().unwrap();
    store.import(&[entry(3_000)], from_micros(8)).unwrap();
    assert!(!store.event(Seq(2_001)).unwrap().unwrap().is_damaged());
}
