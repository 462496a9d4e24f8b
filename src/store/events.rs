//! Pages of events kept, each in one transaction; and the dictionaries trained from the events.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Transaction};

use super::bodies;
use super::error::StoreError;
use super::lateness::Shown;
use super::reading::{head, is_damage};
use super::window_id::WindowId;
use super::windows::{self, Advance, Then};
use super::writing::{Appended, Writing, Written};
use super::{Store, ledger, steps};
use crate::durable::Step;
use crate::event::{Arrival, AuditEvent, Identity, sha256};
use crate::invariant;
use crate::position::{Cursor, Seq};

/// A page of a window's scan, ready to be kept.
#[derive(Debug, Clone)]
pub struct Page {
    /// The window it belongs to.
    pub window: WindowId,
    /// The cursor it was asked with.
    pub asked: Option<Cursor>,
    /// From when on it was asked for, if not from its window's beginning: entries before that were shown by the pages before.
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

/// Of how many of the newest events a dictionary's samples are taken.
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
        // Outside the lock: the other sources go on meanwhile.
        let packed = self
            .0
            .bodies
            .pack(page.arrivals.iter().map(|arrival| arrival.body.get()))?;
        let written = self.write(steps::APPEND_PAGE, page.received_at, |db, held, head| {
            let source = page.window.source;
            let stretch = windows::stretch(db, page.window)?;
            let mut writing = Writing::new(self, (db, held), source, head, page.received_at);
            writing.sealed = ledger::sealed_within(db, source, stretch.widened())?;
            writing.shown = Shown::by(db, page.window)?;
            let (then, leads_in_circle) = match page.leads_in_circle(db)? {
                true => (&Then::StartOver, true),
                false => (&page.then, false),
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
    /// that came in again. `write` is given a connection on which what is held already is read (see [`Writing`]), and the head
    /// before.
    ///
    /// When the file turns out to be damaged, the index of identities is made again from the rows, once, and the change is
    /// tried again.
    pub(super) fn write(
        &self,
        step: Step,
        now: DateTime<Utc>,
        mut write: impl FnMut(&Transaction<'_>, &Connection, Seq) -> Result<Written, StoreError>,
    ) -> Result<Appended, StoreError> {
        let mut try_write = || {
            self.ask(|held| {
                self.change(step, |db| {
                    let before = head(db)?;
                    let written = write(db, held, before)?;
                    let (new, after) = (written.appended.new, written.head);
                    invariant!(
                        SeqHasNoHoles,
                        after.0 == before.0 + new as u64 && head(db)? == after,
                        "{new} new events moved the head from {before} to {after}"
                    );
                    Ok((before, written))
                })
            })
        };
        let kept = match try_write() {
            Err(StoreError::Damaged(_)) if self.rebuild_identities() => try_write(),
            kept => kept,
        };
        // A commit whose answer was lost has moved the head all the same: then the file is asked.
        let head = match &kept {
            Ok((_, written)) => written.head,
            Err(_) => self.ask(head)?,
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

    /// Trains a dictionary from bodies among the newest and takes it into use. Too plain bodies train none, and that is fine.
    fn train_dictionary(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let head = self.head().0;
        let sampled = head.min(SAMPLED);
        let step = usize::try_from(sampled.div_ceil(MAX_SAMPLES)).unwrap_or(usize::MAX);
        let seqs: Vec<Seq> = (head - sampled + 1..=head)
            .step_by(step.max(1))
            .map(Seq)
            .collect();
        let events = self.events(&seqs, bodies::MAX_SAMPLE_BYTES)?;
        let has_body = |event: &&AuditEvent| !event.is_damaged() && !event.is_erased();
        let whole = events.iter().filter(has_body);
        let samples: Vec<&str> = whole.map(|event| event.entry.get()).collect();
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
            Ok(db.last_insert_rowid())
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
    /// Whether its next cursor was given before. An empty page that leads to itself is the end of the log, or a slip: whoever
    /// scans asks again.
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
mod tests {
    use std::sync::Mutex;

    use chrono::TimeDelta;

    use serde_json::value::RawValue;

    use super::*;
    use crate::clock::from_micros;
    use crate::durable::{Break, Breaker};
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
        fn new(breaker: Breaker) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), breaker).unwrap();
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
        let log = Log::new(Breaker::default());
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
        let log = Log::new(Breaker::default());
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
        let log = Log::new(Breaker::default());
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
        let log = Log::new(Breaker::default());
        assert_eq!(log.scan(&[r#"{"id":"1"}"#, r#"{"id":"2"}"#]), (2, 0, 0));
        log.store.close().unwrap();
        damage_identities(log.dir.path());
        let store = Store::open(log.dir.path(), Breaker::default()).unwrap();
        let log = Log { store, ..log };
        let again = [r#"{"id":"1"}"#, r#"{"id":"2"}"#, r#"{"id":"3"}"#];
        assert_eq!(log.scan(&again), (1, 0, 2));
        log.store.check().unwrap();
        assert_eq!(log.bodies().len(), 3);
    }

    #[test]
    fn a_page_counts_once_even_when_its_answer_was_lost() {
        let breaks = Mutex::new(vec![Break::After, Break::Before]);
        let breaker = Breaker::new(move |step| {
            if step == steps::APPEND_PAGE {
                breaks.lock().unwrap().pop()
            } else {
                None
            }
        });
        let log = Log::new(breaker);
        let page = Log::page(log.begin(), &[r#"{"id":"x"}"#], Then::Seal);
        assert!(matches!(
            log.store.append(&page),
            Err(StoreError::Broken(_))
        ));
        assert_eq!(log.bodies().len(), 0);
        assert!(matches!(
            log.store.append(&page),
            Err(StoreError::Broken(_))
        ));
        assert_eq!(log.bodies().len(), 1);
        assert!(matches!(log.store.append(&page), Err(StoreError::Stale(_))));
        assert_eq!(log.scan(&[r#"{"id":"x"}"#, r#"{"id":"y"}"#]), (1, 0, 1));
    }

    #[test]
    fn a_cursor_that_comes_again_is_found_however_long_the_circle() {
        let log = Log::new(Breaker::default());
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
        let log = Log::new(Breaker::default());
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
        let log = Log::new(Breaker::default());
        let window = log.begin();
        let count = |at| log.store.count_bad_answer(window, at).unwrap();
        count(now() + TimeDelta::days(1));
        count(now());
        let later = now() + TimeDelta::minutes(10);
        let counted = count(later);
        assert_eq!(
            (counted.count, later - counted.since),
            (3, TimeDelta::minutes(10))
        );
    }

    #[test]
    fn an_odd_time_on_a_resumed_page_is_kept() {
        let log = Log::new(Breaker::default());
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
        let log = Log::new(Breaker::default());
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
        let log = Log::new(Breaker::default());
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
}
