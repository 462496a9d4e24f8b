//! Tests of appending pages.

use std::sync::Mutex;

use chrono::TimeDelta;

use serde_json::value::RawValue;

use super::*;
use crate::clock::from_micros;
use crate::durable::{Failpoints, StepFailure};
use crate::position::{Source, Window, WindowKind};
use crate::store::SourceSeen;

/// A log with one source, and scans of it by hand.
struct Log {
    store: Store,
    source: Source,
    dir: tempfile::TempDir,
}

fn now() -> DateTime<Utc> {
    from_micros(1_785_000_000_000_000)
}

impl Log {
    fn new(failpoints: Failpoints) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), failpoints).unwrap();
        let source = Source::account("a").unwrap();
        let seen = SourceSeen {
            source: source.clone(),
            organization: None,
            label: None,
            created_at: None,
        };
        store.save_sources(&[seen], now()).unwrap();
        Self { store, source, dir }
    }

    fn begin(&self) -> WindowId {
        let window = Window::new(now() - TimeDelta::hours(1), now());
        self.store
            .begin_window(&self.source, WindowKind::Live, window, now())
            .unwrap()
            .id
    }

    fn page(window: WindowId, entries: &[&str], then: Then) -> Page {
        let arrival =
            |text: &&str| Arrival::read(RawValue::from_string((*text).to_owned()).unwrap());
        let arrivals = entries.iter().map(arrival).collect();
        Page {
            window,
            asked: None,
            resumed: None,
            limit: None,
            arrivals,
            then,
            claim_since: DateTime::UNIX_EPOCH,
            claim_before: now(),
            received_at: now(),
            sealed_at: now(),
        }
    }

    /// One whole scan of one page: (new, revisions, held).
    fn scan(&self, entries: &[&str]) -> (usize, usize, usize) {
        let appended = self
            .store
            .append(&Self::page(self.begin(), entries, Then::Seal))
            .unwrap();
        (appended.new, appended.revisions, appended.held)
    }

    fn bodies(&self) -> Vec<(u64, u32, String)> {
        let events = self
            .store
            .events_after(Seq::ZERO, 1_000, usize::MAX)
            .unwrap();
        events
            .into_iter()
            .map(|event| (event.seq.0, event.revision, event.entry.get().to_owned()))
            .collect()
    }
}

#[test]
fn an_id_is_kept_once_and_again_only_with_other_content() {
    let log = Log::new(Failpoints::default());
    let (first, respelled, other) = (
        r#"{"id":"x","a":"é"}"#,
        r#"{ "a":"\u00e9", "id":"x" }"#,
        r#"{"id":"x","a":"e"}"#,
    );
    assert_eq!(log.scan(&[first, first]), (1, 0, 1));
    assert_eq!(log.scan(&[respelled]), (0, 0, 1));
    assert_eq!(log.scan(&[other, first, other]), (1, 1, 2));
    assert_eq!(
        log.bodies(),
        [(1, 0, first.to_owned()), (2, 1, other.to_owned())]
    );
}

#[test]
fn of_equal_entries_without_an_id_as_many_are_kept_as_one_scan_showed() {
    let log = Log::new(Failpoints::default());
    let entry = r#"{"a":1}"#;
    assert_eq!(log.scan(&[entry, entry]), (2, 0, 0));
    assert_eq!(log.scan(&[entry]), (0, 0, 1));
    assert_eq!(log.scan(&[entry, r#"{ "a": 1 }"#, entry]), (1, 0, 2));

    // A scan that starts over counts from nothing.
    let window = log.begin();
    log.store
        .append(&Log::page(
            window,
            &[entry, entry],
            Then::GoOn(Cursor("c".into())),
        ))
        .unwrap();
    let stretch = Window::new(now() - TimeDelta::minutes(1), now());
    log.store.restart_window(window, stretch, now()).unwrap();
    let appended = log
        .store
        .append(&Log::page(window, &[entry, entry], Then::Seal))
        .unwrap();
    assert_eq!((appended.new, appended.held), (0, 2));
}

#[test]
fn a_scan_knows_that_it_has_shown_an_entry_with_neither_id_nor_time() {
    let log = Log::new(Failpoints::default());
    let has_nameless = || {
        let progress = log.store.progress(&log.source).unwrap();
        let open = progress.open(WindowKind::Live).cloned();
        open.map(|open| open.has_nameless)
    };
    let window = log.begin();
    let timed = r#"{"a":1,"action":{"time":"2026-07-25T17:00:00Z"}}"#;
    let mut page = Log::page(window, &[timed], Then::GoOn(Cursor("1".into())));
    log.store.append(&page).unwrap();
    assert_eq!(has_nameless(), Some(false));
    page = Log::page(window, &[r#"{"a":1}"#], Then::GoOn(Cursor("2".into())));
    page.asked = Some(Cursor("1".into()));
    log.store.append(&page).unwrap();
    assert_eq!(has_nameless(), Some(true));
    let stretch = Window::new(now() - TimeDelta::minutes(1), now());
    log.store.restart_window(window, stretch, now()).unwrap();
    assert_eq!(has_nameless(), Some(false));
}

/// Damages the pages of the index of identities in the file of a log that is closed.
fn damage_identities(dir: &std::path::Path) {
    let path = dir.join(crate::store::FILE_NAME);
    let db = Connection::open(&path).unwrap();
    let root: usize = db
        .query_row(
            "SELECT rootpage FROM sqlite_master WHERE name = 'event_identity'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(db);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(root - 1) * 4_096] = 0x33;
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn a_damaged_index_of_identities_is_made_again_and_nothing_is_kept_twice() {
    let log = Log::new(Failpoints::default());
    assert_eq!(log.scan(&[r#"{"id":"1"}"#, r#"{"id":"2"}"#]), (2, 0, 0));
    log.store.close().unwrap();
    damage_identities(log.dir.path());
    let store = Store::open(log.dir.path(), Failpoints::default()).unwrap();
    let log = Log { store, ..log };
    let again = [r#"{"id":"1"}"#, r#"{"id":"2"}"#, r#"{"id":"3"}"#];
    assert_eq!(log.scan(&again), (1, 0, 2));
    log.store.check().unwrap();
    assert_eq!(log.bodies().len(), 3);
}

#[test]
fn a_page_counts_once_even_when_its_answer_was_lost() {
    let breaks = Mutex::new(vec![StepFailure::After, StepFailure::Before]);
    let failpoints = Failpoints::new(move |step| {
        if step == steps::APPEND_PAGE {
            breaks.lock().unwrap().pop()
        } else {
            None
        }
    });
    let log = Log::new(failpoints);
    let page = Log::page(log.begin(), &[r#"{"id":"x"}"#], Then::Seal);
    assert!(matches!(
        log.store.append(&page),
        Err(StoreError::InjectedFailure(_))
    ));
    assert_eq!(log.bodies().len(), 0);
    assert!(matches!(
        log.store.append(&page),
        Err(StoreError::InjectedFailure(_))
    ));
    assert_eq!(log.bodies().len(), 1);
    assert!(matches!(log.store.append(&page), Err(StoreError::Stale(_))));
    assert_eq!(log.scan(&[r#"{"id":"x"}"#, r#"{"id":"y"}"#]), (1, 0, 1));
}

#[test]
fn a_cursor_that_comes_again_is_found_however_long_the_circle() {
    let log = Log::new(Failpoints::default());
    let mut page = Log::page(log.begin(), &[r#"{"a":1}"#], Then::GoOn(Cursor("0".into())));
    log.store.append(&page).unwrap();
    for n in 1..50 {
        page.asked = Some(Cursor((n - 1).to_string()));
        page.then = Then::GoOn(Cursor(n.to_string()));
        log.store.append(&page).unwrap();
    }
    page.asked = Some(Cursor("49".into()));
    page.then = Then::GoOn(Cursor("7".into()));
    assert!(log.store.append(&page).unwrap().leads_in_circle);
    assert!(matches!(log.store.append(&page), Err(StoreError::Stale(_))));
}

#[test]
fn what_a_page_shows_is_kept_although_its_cursor_comes_again() {
    let log = Log::new(Failpoints::default());
    let window = log.begin();
    let cursor = |text: &str| Some(Cursor(text.to_owned()));
    for (asked, entries, next) in [
        (None, ["1", "2"], "a"),
        (cursor("a"), ["3", "4"], "b"),
        (cursor("b"), ["5", "1"], "a"),
    ] {
        // Without ids: an entry that an earlier page has shown is no second one.
        let entries = entries.map(|n| format!(r#"{{"n":{n}}}"#));
        let entries = [entries[0].as_str(), entries[1].as_str()];
        let mut page = Log::page(window, &entries, Then::GoOn(Cursor(next.to_owned())));
        page.asked = asked;
        log.store.append(&page).unwrap();
    }
    assert_eq!(log.bodies().len(), 5);
    let progress = log.store.progress(&log.source).unwrap();
    let open = progress.open(WindowKind::Live).unwrap();
    assert_eq!((&open.cursor, open.resumed), (&None, None));
}

#[test]
fn a_bad_answer_counted_while_the_clock_was_ahead_holds_nothing_back() {
    let log = Log::new(Failpoints::default());
    let window = log.begin();
    let count = |at| log.store.count_bad_answer(window, at).unwrap();
    count(now() + TimeDelta::days(1));
    count(now());
    let counted = count(now() + TimeDelta::minutes(10));
    assert_eq!((counted.count, counted.lasted), (3, TimeDelta::minutes(10)));
}

#[test]
fn bad_answers_last_as_long_as_they_were_seen_and_not_while_the_program_was_stopped() {
    let log = Log::new(Failpoints::default());
    let window = log.begin();
    let count = |store: &Store, minute| {
        let at = now() + TimeDelta::minutes(minute);
        let counted = store.count_bad_answer(window, at).unwrap();
        (counted.count, counted.lasted.num_minutes())
    };
    assert_eq!(count(&log.store, 0), (1, 0));
    assert_eq!(count(&log.store, 10), (2, 10));
    log.store.close().unwrap();
    // Stopped for two hours.
    let store = Store::open(log.dir.path(), Failpoints::default()).unwrap();
    assert_eq!(count(&store, 130), (3, 10));
    assert_eq!(count(&store, 135), (4, 15));
    // A scan that starts over is the same trouble; a page that can be used ends it.
    let whole = Window::new(now() - TimeDelta::hours(1), now());
    store.restart_window(window, whole, now()).unwrap();
    assert_eq!(count(&store, 140), (1, 20));
    let page = Log::page(window, &[], Then::GoOn(Cursor("1".into())));
    store.append(&page).unwrap();
    assert_eq!(count(&store, 145), (1, 0));
    // A process that was started while the clock was decades behind.
    store.close().unwrap();
    let store = Store::open(log.dir.path(), Failpoints::default()).unwrap();
    assert_eq!(count(&store, -20_000_000), (2, 0));
    store.close().unwrap();
    let store = Store::open(log.dir.path(), Failpoints::default()).unwrap();
    assert_eq!(count(&store, 150), (3, 0));
}

#[test]
fn an_odd_time_on_a_resumed_page_is_kept() {
    let log = Log::new(Failpoints::default());
    let window = log.begin();
    let at = |second: i64| {
        let time = match second {
            0 => DateTime::UNIX_EPOCH,
            second => now() - TimeDelta::minutes(30) + TimeDelta::seconds(second),
        };
        format!(r#"{{"action":{{"time":"{}"}}}}"#, time.to_rfc3339())
    };
    let resumed = now() - TimeDelta::minutes(30) + TimeDelta::seconds(20);
    let keep = |seconds: &[i64], resumed, then| {
        let entries: Vec<String> = seconds.iter().map(|second| at(*second)).collect();
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        let page = Log::page(window, &entries, then);
        log.store.append(&Page { resumed, ..page }).unwrap().new
    };
    assert_eq!(keep(&[18, 19, 20], None, Then::GoOnFrom(resumed)), 3);
    assert_eq!(keep(&[19, 20, 21, 0, 22], Some(resumed), Then::Seal), 3);
}

#[test]
fn a_sealed_window_claims_nothing_after_upstreams_present() {
    let log = Log::new(Failpoints::default());
    let mut page = Log::page(log.begin(), &[], Then::GoOn(Cursor("1".into())));
    page.claim_before = now() - TimeDelta::minutes(5);
    log.store.append(&page).unwrap();
    let progress = log.store.progress(&log.source).unwrap();
    assert_eq!(
        progress
            .open(WindowKind::Live)
            .and_then(|open| open.cursor.clone()),
        Some(Cursor("1".into()))
    );
    assert_eq!(progress.live_before, None);

    page.asked = Some(Cursor("1".into()));
    page.then = Then::Seal;
    log.store.append(&page).unwrap();
    let progress = log.store.progress(&log.source).unwrap();
    assert_eq!(
        (progress.open(WindowKind::Live), progress.live_before),
        (None, Some(page.claim_before))
    );
}

#[test]
fn bodies_are_read_back_byte_for_byte_through_every_dictionary() {
    let log = Log::new(Failpoints::default());
    let entries: Vec<String> = (0..3_000)
        .map(|i| {
            format!(
                r#"{{"id":"{i}","actor":{{"email":"user{}@example.com"}},"n": {i}.0}}"#,
                i % 9
            )
        })
        .collect();
    for chunk in entries.chunks(500) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        assert_eq!(log.scan(&chunk), (500, 0, 0));
    }
    let found: Vec<String> = log
        .store
        .events_after(Seq::ZERO, 5_000, usize::MAX)
        .unwrap()
        .into_iter()
        .map(|event| event.entry.get().to_owned())
        .collect();
    assert_eq!(found, entries);
    assert_eq!(log.store.sources().unwrap()[0].events, 3_000);
    let trained: i64 = log
        .store
        .ask(|db| Ok(db.query_row("SELECT count(*) FROM dictionary", [], |row| row.get(0))?))
        .unwrap();
    assert_eq!(trained, 1);
}
