//! What is noticed, once each, over real files; and the alerts that follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use serde_json::value::RawValue;

use super::facts::hour_of;
use super::silence::silent_since;
use super::*;
use crate::clock::from_micros;
use crate::durable::{Failpoints, StepFailure};
use crate::event::Arrival;
use crate::health::State;
use crate::position::{Cursor, Seq, Source, Window, WindowKind, rfc3339};
use crate::store::steps;
use crate::store::{FILE_NAME, GapCause, Imported, OpenWindow, Page, SourceSeen, Then};

/// 2026-08-03, a Monday.
const MONDAY: i64 = 1_785_715_200;

fn at(hour: i64) -> DateTime<Utc> {
    from_micros((MONDAY + hour * 3_600) * 1_000_000)
}

fn source() -> Source {
    Source::account("a").unwrap()
}

struct NoticeLog {
    dir: tempfile::TempDir,
    store: Store,
    board: Board,
    clock: Clock,
}

impl NoticeLog {
    fn new() -> Self {
        Self::with_failpoints(Failpoints::default())
    }

    fn with_failpoints(failpoints: Failpoints) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), failpoints).unwrap();
        let seen = SourceSeen {
            source: source(),
            organization: None,
            label: None,
            created_at: None,
        };
        store.save_sources(&[seen], at(0)).unwrap();
        Self {
            dir,
            store,
            board: Board::default(),
            clock: Clock::manual(at(0)),
        }
    }

    fn set(&self, hour: i64) {
        self.clock.advance(at(hour) - self.clock.now());
    }

    /// Looks as a program does that has just been started.
    fn look(&self) -> usize {
        let noticing = Noticing::new(self.store.clone(), self.board.clone(), self.clock.clone());
        noticing.look().unwrap()
    }

    fn kinds(&self) -> Vec<String> {
        let notices = self.store.notices_after(0, 1_000).unwrap();
        let kind = |content: &str| {
            let content: Value = serde_json::from_str(content).unwrap();
            content["kind"].as_str().unwrap().to_owned()
        };
        notices.iter().map(|notice| kind(&notice.content)).collect()
    }

    fn lasting(&self, kind: NoticeKind) -> Vec<String> {
        let lasting = self.store.lasting_notices(kind).unwrap();
        lasting.into_iter().map(|notice| notice.subject).collect()
    }

    fn begin(&self, kind: WindowKind, window: Window) -> OpenWindow {
        self.store
            .begin_window(&source(), kind, window, self.clock.now())
            .unwrap()
    }

    fn page(&self, opened: &OpenWindow, asked: Option<&str>, entries: &[String], then: Then) {
        let arrivals = entries
            .iter()
            .map(|entry| Arrival::read(RawValue::from_string(entry.clone()).unwrap()));
        let page = Page {
            window: opened.id,
            asked: asked.map(|text| Cursor(text.to_owned())),
            resumed: None,
            limit: None,
            arrivals: arrivals.collect(),
            then,
            claim_since: DateTime::UNIX_EPOCH,
            claim_before: self.clock.now(),
            received_at: self.clock.now(),
            sealed_at: self.clock.now(),
        };
        self.store.append(&page).unwrap();
    }

    /// A whole scan up to now shows these entries.
    fn scan(&self, kind: WindowKind, since: i64, entries: &[String]) {
        let opened = self.begin(kind, Window::new(at(since), self.clock.now()));
        self.page(&opened, None, entries, Then::Seal);
    }

    fn sql(&self, text: &str) {
        let db = rusqlite::Connection::open(self.dir.path().join(FILE_NAME)).unwrap();
        db.execute_batch(text).unwrap();
    }
}

fn entry(id: &str, time: DateTime<Utc>) -> String {
    format!(r#"{{"id":"{id}","action":{{"time":"{}"}}}}"#, rfc3339(time))
}

/// The working hours of some weeks from the Monday on.
fn working_hours(weeks: i64) -> Vec<i64> {
    let hours =
        (0..weeks * 7 * 24).filter(|hour| hour / 24 % 7 < 5 && (9..18).contains(&(hour % 24)));
    hours.map(|hour| hour_of(at(hour))).collect()
}

#[test]
fn a_source_is_silent_when_it_has_no_entry_for_longer_than_in_the_weeks_before() {
    let hours = working_hours(4);
    let friday = 25 * 24 + 17;
    let newest = at(friday) + TimeDelta::minutes(30);
    let silent = |until| silent_since(&hours, newest, at(until));
    // A weekend is usual: 64 hours.
    assert_eq!(silent(friday + 64), None);
    assert_eq!(silent(friday + 66), Some(newest));
    // What is still to come says nothing.
    let found = silent_since(&hours, at(100_000), at(friday + 67));
    assert_eq!(found, Some(at(friday + 1) - TimeDelta::seconds(1)));
    // It is not known yet how long it is silent usually.
    assert_eq!(
        silent_since(&working_hours(2), newest, at(friday + 900)),
        None
    );
    let rare: Vec<i64> = hours.iter().copied().step_by(9).collect();
    assert_eq!(silent_since(&rare, newest, at(friday + 900)), None);
    assert_eq!(silent_since(&[], newest, at(friday)), None);
}

#[test]
fn a_silence_is_noticed_once_until_an_entry_comes() {
    let log = NoticeLog::new();
    for hour in 0..15 * 24 {
        log.set(hour + 1);
        log.scan(
            WindowKind::Live,
            hour,
            &[entry(&hour.to_string(), at(hour))],
        );
    }
    assert_eq!(log.look(), 0);
    let last = 15 * 24 - 1;
    for hour in [last + 3, last + 4, last + 5] {
        log.set(hour);
        log.scan(WindowKind::Live, last, &[]);
        log.look();
    }
    assert_eq!(log.kinds(), ["source_silent"]);
    log.scan(WindowKind::Live, last, &[entry("new", at(last + 4))]);
    assert_eq!(log.look(), 0);
    assert_eq!(log.lasting(NoticeKind::SourceSilent), [""; 0]);
    // Not for longer than the silence before.
    log.set(last + 9);
    log.scan(WindowKind::Live, last + 5, &[]);
    assert_eq!(log.look(), 0);
    log.set(last + 10);
    log.scan(WindowKind::Live, last + 5, &[]);
    assert_eq!((log.look(), log.look()), (1, 0));
}

#[test]
fn a_source_that_cannot_be_read_is_silent_after_an_hour_until_it_is_read() {
    let log = NoticeLog::new();
    let write = |state, failing_since| {
        log.board.write(&source(), |health| {
            health.state = state;
            health.failing_since = failing_since;
        });
    };
    write(State::Refused, Some(at(0)));
    assert_eq!(log.look(), 0);
    log.set(1);
    assert_eq!((log.look(), log.look()), (1, 0));
    // After a restart it is not known how the source is doing.
    write(State::Starting, None);
    assert_eq!(log.look(), 0);
    write(State::Failing, Some(at(1)));
    log.set(9);
    assert_eq!(log.look(), 0);
    write(State::Live, None);
    assert_eq!(log.look(), 0);
    write(State::Refused, Some(at(8)));
    assert_eq!((log.look(), log.kinds().len()), (1, 2));
}

#[test]
fn a_gap_is_noticed_once_while_it_grows_and_ends_when_it_is_read() {
    let log = NoticeLog::new();
    log.set(10);
    let give_up = |since, before| {
        let opened = log.begin(WindowKind::Live, Window::new(at(since), at(before)));
        let cause = GapCause::Unreadable;
        log.store.give_up_window(opened.id, cause, at(10)).unwrap();
    };
    give_up(1, 2);
    assert_eq!((log.look(), log.look()), (1, 0));
    give_up(2, 3);
    assert_eq!(log.look(), 0);
    give_up(5, 6);
    assert_eq!(log.look(), 1);
    // Half of the first one can be read.
    let opened = log.begin(WindowKind::Sweep, Window::new(at(1), at(2)));
    log.page(&opened, None, &[], Then::Seal);
    assert_eq!(log.look(), 0);
    assert_eq!(log.lasting(NoticeKind::CoverageGap).len(), 2);
    let opened = log.begin(WindowKind::Sweep, Window::new(at(2), at(3)));
    log.page(&opened, None, &[], Then::Seal);
    assert_eq!(log.look(), 0);
    assert_eq!(log.lasting(NoticeKind::CoverageGap).len(), 1);
}

#[test]
fn a_list_of_accounts_that_is_not_known_for_long_is_a_gap() {
    let log = NoticeLog::new();
    log.store
        .want_only_account_lists(&["o".to_owned()])
        .unwrap();
    let noticing = Noticing::new(log.store.clone(), log.board.clone(), log.clock.clone());
    assert_eq!(noticing.look().unwrap(), 0);
    log.clock.advance(TimeDelta::hours(1));
    assert_eq!((noticing.look().unwrap(), log.look()), (1, 0));
    let notices = log.store.notices_after(0, 9).unwrap();
    assert_eq!(notices[0].source, "organizations/o");
}

fn damage(log: &NoticeLog, seqs: std::ops::Range<u64>) {
    for seq in seqs {
        log.sql(&format!(
            "INSERT OR REPLACE INTO damaged (seq, problem, found_us, source) VALUES ({seq}, 'hash_mismatch', 0, 1)"
        ));
    }
}

#[test]
fn each_damaged_event_is_noticed_once_and_again_when_it_is_damaged_again() {
    let log = NoticeLog::new();
    damage(&log, 3..5);
    assert_eq!((log.look(), log.look()), (2, 0));
    log.sql("DELETE FROM damaged WHERE seq = 3");
    assert_eq!(log.look(), 0);
    damage(&log, 3..4);
    assert_eq!(log.look(), 1);
    // One of which not even the source is known.
    log.sql("INSERT INTO damaged (seq, problem, found_us) VALUES (9, 'unreadable', 0)");
    assert_eq!((log.look(), log.look()), (1, 0));
    let last = log.store.notices_after(3, 9).unwrap();
    assert_eq!(
        (last[0].source.as_str(), last[0].summary.as_str()),
        ("", "event 9 (unreadable)")
    );
}

#[test]
fn damage_without_end_is_noticed_up_to_a_limit() {
    let log = NoticeLog::new();
    damage(&log, 1..1_000);
    assert_eq!((log.look(), log.look()), (MAX_LASTING + 1, 0));
    // It hides no other source's.
    log.sql("INSERT INTO damaged (seq, problem, found_us) VALUES (5000, 'unreadable', 0)");
    assert_eq!(log.look(), 1);
    log.sql("DELETE FROM damaged");
    assert_eq!(log.look(), 0);
    assert_eq!(log.lasting(NoticeKind::LogDamaged), [""; 0]);
}

/// Entries with these numbers, an hour after each other.
fn numbered(numbers: &[i64]) -> Vec<String> {
    let entries = numbers.iter().map(|n| entry(&n.to_string(), at(*n)));
    entries.collect()
}

#[test]
fn an_entry_that_a_sweep_no_longer_shows_is_noticed_once_until_it_is_shown_again() {
    let log = NoticeLog::new();
    log.set(10);
    log.scan(WindowKind::Live, 0, &numbered(&[1, 2, 3, 4]));
    log.scan(WindowKind::Sweep, 0, &numbered(&[1, 2, 3, 4]));
    assert_eq!(log.look(), 0);
    for expected in [1, 0] {
        log.scan(WindowKind::Sweep, 0, &numbered(&[1, 3, 4]));
        assert_eq!(log.look(), expected);
    }
    let notice = &log.store.notices_after(0, 9).unwrap()[0];
    assert_eq!(notice.summary, "accounts/a no longer shows event 2, id 2");
    log.scan(WindowKind::Sweep, 0, &numbered(&[1, 2, 3, 4]));
    assert_eq!(
        (log.look(), log.lasting(NoticeKind::EntryDisappeared).len()),
        (0, 0)
    );
    log.scan(WindowKind::Sweep, 0, &numbered(&[1, 3, 4]));
    assert_eq!(log.look(), 1);
}

#[test]
fn only_a_whole_sweep_says_what_has_disappeared() {
    let log = NoticeLog::new();
    log.set(10);
    log.scan(WindowKind::Live, 0, &numbered(&[1, 2, 3]));
    // A sweep in two pages, with a restart between; meanwhile an entry comes in that it has passed already.
    let sweep = log.begin(WindowKind::Sweep, Window::new(at(0), at(5)));
    log.page(
        &sweep,
        None,
        &numbered(&[1]),
        Then::GoOn(Cursor("b".to_owned())),
    );
    assert_eq!(log.look(), 0);
    log.scan(
        WindowKind::Live,
        0,
        &[entry("late", at(0) + TimeDelta::minutes(5))],
    );
    log.page(&sweep, Some("b"), &numbered(&[2, 3]), Then::Seal);
    assert_eq!(log.look(), 0);
    // What is outside of its stretch, what came from a file, and what a scan showed that began again, are not missing.
    let imported = Imported {
        source: source(),
        label: None,
        arrival: Arrival::read(RawValue::from_string(entry("file", at(2))).unwrap()),
    };
    log.store.begin_import().unwrap();
    log.store.import(&[imported], at(10)).unwrap();
    let sweep = log.begin(WindowKind::Sweep, Window::new(at(0), at(4)));
    log.page(
        &sweep,
        None,
        &numbered(&[1, 2]),
        Then::GoOn(Cursor("b".to_owned())),
    );
    log.store
        .restart_window(sweep.id, Window::new(at(1), at(3)), at(10))
        .unwrap();
    log.page(&sweep, None, &numbered(&[1]), Then::Seal);
    assert_eq!(log.look(), 1);
    let notice = &log.store.notices_after(0, 9).unwrap()[0];
    assert!(notice.content.contains(r#""id":"2""#), "{}", notice.content);
    // A sweep that is given up says nothing.
    let sweep = log.begin(WindowKind::Sweep, Window::new(at(0), at(4)));
    log.store
        .give_up_window(sweep.id, GapCause::Unreadable, at(10))
        .unwrap();
    assert_eq!(log.store.sweep_to_compare().unwrap(), None);
    assert_eq!(log.store.head(), Seq(5));
}

#[test]
fn a_kill_while_notices_are_saved_neither_loses_nor_repeats_one() {
    for how in [StepFailure::Before, StepFailure::After] {
        let is_armed = Arc::new(AtomicBool::new(false));
        let armed = Arc::clone(&is_armed);
        let log = NoticeLog::with_failpoints(Failpoints::new(move |step| {
            let is_it = step == steps::SAVE_NOTICES && armed.swap(false, Ordering::SeqCst);
            is_it.then_some(how)
        }));
        log.set(1);
        log.board.write(&source(), |health| {
            health.interval = Some(TimeDelta::minutes(1));
            health.state = State::Refused;
            health.failing_since = Some(at(1));
        });
        log.set(3);
        is_armed.store(true, Ordering::SeqCst);
        let noticing = Noticing::new(log.store.clone(), log.board.clone(), log.clock.clone());
        assert!(noticing.look().is_err(), "{how:?}");
        log.look();
        assert_eq!(log.kinds(), ["source_silent"], "{how:?}");
    }
}
