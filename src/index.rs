//! The search index: a Tantivy directory that can be made again from the log at any time.
//!
//! The only user of Tantivy. What it has taken in is said by its own commits: each carries the log's id and the place of
//! the last event in it, so that effect and progress are saved together. Lost, damaged, ahead of the log, or built by
//! another schema, it is emptied, and whoever feeds it starts from zero with the same code.
//!
//! Segments are sorted newest first, so the newest answers are read from the front and nothing else is touched.
//! It does not know where events come from, nor what people may ask.

mod arrivals;
mod automaton;
mod directory;
mod document;
mod facets;
mod faults;
mod gathered;
mod lower;
mod matcher;
mod matches;
mod merged;
mod phrase;
mod places;
mod recent;
mod runs;
mod scan;
mod schema;
mod segment;
mod stopwatch;
mod terms;
mod verify;
mod words;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tantivy::TantivyDocument;
use tokio::sync::watch;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::durable::{Breaker, Broken, Step};
use crate::event::AuditEvent;
use crate::position::Seq;
use crate::query::{Query, QueryError};

use self::directory::Writing;
use self::document::Paths;
pub use self::facets::{Reading, ValueCount};
pub use self::faults::{Faults, Work};
pub use self::matcher::Matcher;
pub use self::matches::Matches;
pub use self::recent::Following;
use self::recent::Recent;
pub use self::scan::{Hit, Order, Range, Snapshot};
use self::schema::Shape;
pub use self::verify::verify_beside;

/// The index's directory in the data directory.
pub const DIR_NAME: &str = "index";

/// What went wrong with the index, by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Rebuild: it cannot be used, for this reason.
    #[error("the index is {0}")]
    Unusable(String),
    /// Reopen, which takes it back to its last commit; later again when that fails too.
    #[error("the index failed: {0}")]
    Engine(#[from] tantivy::TantivyError),
    /// Tell whoever asked: the question would take too much.
    #[error(transparent)]
    Question(#[from] QueryError),
    /// Tell whoever asked: the question took too long.
    #[error(
        "the question was cut off after {seconds} seconds: ask about a shorter time with `since` and `before`, or for something rarer"
    )]
    CutOff {
        /// How long it had.
        seconds: i64,
    },
    /// Stop, or try again later: the directory cannot be used.
    #[error("could not use `{}`: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A test's doing.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// The index. A clone is another handle to the same one and costs a reference count.
#[derive(Clone)]
pub struct Index(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    log_id: Uuid,
    shape: Shape,
    breaker: Breaker,
    writing: Mutex<Option<Writing>>,
    /// The newest events, for those who follow.
    recent: Recent,
    /// What questions are answered from; replaced after each commit.
    snapshot: RwLock<Arc<Snapshot>>,
    /// The last event that can be found, announced after each commit.
    found: watch::Sender<Seq>,
    /// The log's head when a rebuild was begun: until it is reached, answers are not whole.
    rebuild_to: AtomicU64,
}

impl Index {
    /// Opens the index in the data directory `data_dir` for the log `log_id`, whose newest event is at `head`, and says
    /// why it must be filled anew, if it must.
    ///
    /// # Errors
    /// When not even an empty index can be made there.
    pub fn open(
        data_dir: &Path,
        log_id: Uuid,
        head: Seq,
        breaker: Breaker,
    ) -> Result<(Self, Option<String>), IndexError> {
        Self::open_with_faults(data_dir, log_id, head, breaker, Faults::default())
    }

    /// As [`Index::open`], with the work on entries that a test makes fail.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open_with_faults(
        data_dir: &Path,
        log_id: Uuid,
        head: Seq,
        breaker: Breaker,
        faults: Faults,
    ) -> Result<(Self, Option<String>), IndexError> {
        let dir = data_dir.join(DIR_NAME);
        let mut shape = Shape::new();
        shape.faults = faults;
        let ((writing, snapshot), why_anew) =
            match directory::open_whole(&dir, &shape, log_id, head) {
                Ok(opened) => (opened, None),
                Err(error) => {
                    let why = if head == Seq::ZERO {
                        None
                    } else {
                        Some(error.to_string())
                    };
                    let writing = directory::make_anew(&dir, &shape, log_id)?;
                    let snapshot = Snapshot::take(&writing.reader, &shape, writing.added)?;
                    ((writing, snapshot), why)
                }
            };
        let found = watch::Sender::new(snapshot.seq());
        let snapshot = RwLock::new(Arc::new(snapshot));
        let rebuild_to = AtomicU64::new(if why_anew.is_some() { head.0 } else { 0 });
        let writing = Mutex::new(Some(writing));
        let inner = Inner {
            dir,
            log_id,
            shape,
            breaker,
            writing,
            recent: Recent::default(),
            snapshot,
            found,
            rebuild_to,
        };
        Ok((Self(Arc::new(inner)), why_anew))
    }

    /// What can be asked now, beside a service that may be writing the index.
    ///
    /// # Errors
    /// [`IndexError::Unusable`] when there is no index of this log.
    pub fn open_beside(data_dir: &Path, log_id: Uuid) -> Result<Snapshot, IndexError> {
        directory::open_beside(&data_dir.join(DIR_NAME), &Shape::new(), log_id)
    }

    /// The last event that can be found.
    #[must_use]
    pub fn checkpoint(&self) -> Seq {
        self.snapshot().seq()
    }

    /// Whether the index is being filled anew and has not caught up with what the log held then.
    #[must_use]
    pub fn is_rebuilding(&self) -> bool {
        self.checkpoint().0 < self.0.rebuild_to.load(Ordering::SeqCst)
    }

    /// What can be asked now. It stays the same while events arrive.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(
            &self
                .0
                .snapshot
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Announces the last event that can be found, after each commit. A missed announcement is found by looking again.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<Seq> {
        self.0.found.subscribe()
    }

    /// Keeps the newest events in memory from here on, for [`Index::recent_arrivals`].
    #[must_use]
    pub fn follow(&self) -> Following {
        self.0.recent.follow()
    }

    /// A question as it is held against single events; `None` when it cannot be.
    #[must_use]
    pub fn matcher(&self, query: &Query) -> Option<Matcher> {
        Matcher::of(query, &self.0.shape)
    }

    /// The events of `snapshot` after the place `after` that a question means, in the order of arrival: what
    /// [`Snapshot::arrivals`] says, found in memory. `None` when not all of them are kept there.
    ///
    /// # Errors
    /// [`IndexError::CutOff`] when it takes too long.
    pub fn recent_arrivals(
        &self,
        matcher: &Matcher,
        range: Range,
        after: Seq,
        snapshot: &Snapshot,
    ) -> Result<Option<Vec<Seq>>, IndexError> {
        let Some(events) = self.0.recent.between(after, snapshot.seq()) else {
            return Ok(None);
        };
        let steps = snapshot.watch().steps();
        let is_within = |at_us: i64| {
            range.since_us.is_none_or(|since| at_us >= since)
                && range.before_us.is_none_or(|before| at_us < before)
        };
        let found = events
            .iter()
            .filter(|event| is_within(event.at_us) && matcher.matches(event, &steps))
            .map(|event| event.seq)
            .collect();
        snapshot.watch().check()?;
        Ok(Some(found))
    }

    /// The last event added, committed or not: whoever feeds the index goes on after it.
    #[must_use]
    pub fn added(&self) -> Seq {
        lock(&self.0.writing)
            .as_ref()
            .map_or(Seq::ZERO, |writing| writing.added)
    }

    /// Whether one of the next events may be what made the index fail before: each is then tried by itself.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        lock(&self.0.writing)
            .as_ref()
            .is_some_and(|writing| writing.added < writing.suspected_to)
    }

    /// Adds events, the next ones in the log's order. They are found after [`Index::commit`].
    ///
    /// # Errors
    /// [`IndexError::Engine`]: what was added since the last commit is then lost.
    pub fn add(&self, events: &[AuditEvent]) -> Result<(), IndexError> {
        self.add_revisions(events, &HashMap::new())
    }

    /// As [`Index::add`]; `replaced` has, for each event that is a later revision, the one before it.
    ///
    /// # Errors
    /// As [`Index::add`].
    pub fn add_revisions(
        &self,
        events: &[AuditEvent],
        replaced: &HashMap<Seq, Hit>,
    ) -> Result<(), IndexError> {
        let mut writing = lock(&self.0.writing);
        let writing = open(&mut writing)?;
        for event in events {
            let replaced = replaced.get(&event.seq).copied();
            let document = self.document(event, replaced, writing);
            let at_us = event.ordered_at().timestamp_micros();
            let recent = &self.0.recent;
            recent.take(event.seq, at_us, &document, &self.0.shape);
            writing.writer.add_document(document)?;
            writing.added = event.seq;
        }
        Ok(())
    }

    /// The document of an event; that of its row, when its entry makes none that the engine can take in.
    fn document(
        &self,
        event: &AuditEvent,
        replaced: Option<Hit>,
        writing: &mut Writing,
    ) -> TantivyDocument {
        let shape = &self.0.shape;
        let paths = &mut writing.paths;
        // What a panic leaves half done is the paths, which are made again.
        let make = AssertUnwindSafe(|| shape.document(event, replaced, paths).ok());
        let made = catch_unwind(make).unwrap_or(None).filter(|document| {
            event.seq > writing.suspected_to || directory::can_take(shape, document)
        });
        made.unwrap_or_else(|| {
            warn!(
                event.seq = event.seq.0,
                "The document of an event could not be made; the event is indexed by its source, id and time only."
            );
            writing.paths = Paths::default();
            shape.document_of_row(event, replaced)
        })
    }

    /// Makes everything added durable and searchable.
    ///
    /// # Errors
    /// As [`Index::add`].
    pub fn commit(&self) -> Result<(), IndexError> {
        let mut writing = lock(&self.0.writing);
        let writing = open(&mut writing)?;
        let seq = writing.added;
        let said = directory::said(self.0.log_id, seq)?;
        self.0
            .breaker
            .around(Step::CommitIndex, || -> Result<(), IndexError> {
                let mut commit = writing.writer.prepare_commit()?;
                commit.set_payload(&said);
                // At this point, if we crash, the index is as it was after the last commit, and the same events come again.
                commit.commit()?;
                Ok(())
            })?;
        self.publish(writing)
    }

    /// Goes back to the last commit, after an error; empties the index when that cannot be read. Says why, if so.
    ///
    /// # Errors
    /// When not even an empty index can be made.
    pub fn reopen(&self, head: Seq) -> Result<Option<String>, IndexError> {
        let mut slot = lock(&self.0.writing);
        let suspected_to = slot.as_ref().map_or(Seq::ZERO, |writing| {
            writing.added.next().max(writing.suspected_to)
        });
        let_go(&mut slot);
        let opened = directory::open_whole(&self.0.dir, &self.0.shape, self.0.log_id, head);
        let (mut writing, why_anew) = match opened {
            Ok((writing, snapshot)) => {
                self.show(snapshot);
                (writing, None)
            }
            Err(error) => {
                let mut writing = self.make_anew(head)?;
                self.publish(&mut writing)?;
                (writing, Some(error.to_string()))
            }
        };
        writing.suspected_to = suspected_to;
        *slot = Some(writing);
        Ok(why_anew)
    }

    /// Empties the index, to be filled anew up to `head` and beyond.
    ///
    /// # Errors
    /// When not even an empty index can be made.
    pub fn clear(&self, head: Seq) -> Result<(), IndexError> {
        let mut slot = lock(&self.0.writing);
        let_go(&mut slot);
        let mut writing = self.make_anew(head)?;
        self.publish(&mut writing)?;
        *slot = Some(writing);
        Ok(())
    }

    /// Reads every file of the index and compares it with its checksum.
    ///
    /// # Errors
    /// [`IndexError::Unusable`] with the files that are not what was written.
    pub fn verify(&self) -> Result<(), IndexError> {
        // On an index of its own: the checksums are then read without holding up the writer.
        verify::files(
            &directory::open_existing(&self.0.dir, &self.0.shape)?,
            &self.snapshot(),
        )
    }

    /// Waits for merges under way, and lets go of the directory.
    ///
    /// # Errors
    /// When a merge failed; nothing that was committed is lost.
    pub fn close(&self) -> Result<(), IndexError> {
        if let Some(writing) = lock(&self.0.writing).take() {
            writing.writer.wait_merging_threads()?;
        }
        Ok(())
    }

    fn make_anew(&self, head: Seq) -> Result<Writing, IndexError> {
        let writing = directory::make_anew(&self.0.dir, &self.0.shape, self.0.log_id)?;
        self.0.rebuild_to.store(head.0, Ordering::SeqCst);
        Ok(writing)
    }

    fn publish(&self, writing: &mut Writing) -> Result<(), IndexError> {
        let snapshot = Snapshot::take(&writing.reader, &self.0.shape, writing.added)?;
        self.show(snapshot);
        Ok(())
    }

    fn show(&self, snapshot: Snapshot) {
        let seq = snapshot.seq();
        *self
            .0
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        self.0.found.send_replace(seq);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let_go(
            self.writing
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // After a panic in here the writer's own state decides: an error from it leads to a reopening.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets go of the directory, so that it can be opened again. A merge still under way would take files away from under whoever
/// opens it next, so merges are waited for; that one of them failed is no news, since nothing that was committed is lost.
fn let_go(slot: &mut Option<Writing>) {
    if let Some(Err(error)) = slot
        .take()
        .map(|writing| writing.writer.wait_merging_threads())
    {
        debug!(error = %error, "A merge of the index failed.");
    }
}

fn open(writing: &mut Option<Writing>) -> Result<&mut Writing, IndexError> {
    writing
        .as_mut()
        .ok_or_else(|| IndexError::Unusable("closed".into()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use tantivy::query::{EnableScoring, Query as _};

    use super::automaton::Automaton;
    use super::runs::WordRun;
    use super::stopwatch::Watch;
    use super::terms::{Terms, ValueTest};
    use super::*;
    use crate::clock::from_micros;
    use crate::event::Reading;
    use crate::field::Part;
    use crate::position::Source;

    fn parse(text: &str) -> Result<Query, QueryError> {
        crate::query::parse(text, from_micros(0))
    }

    fn event(seq: u64, at_us: i64, body: &str) -> AuditEvent {
        AuditEvent {
            seq: Seq(seq),
            source: Source::account("a").unwrap(),
            id: Reading::of(body).id,
            revision: 0,
            time: Some(from_micros(at_us)),
            received_at: from_micros(0),
            problem: None,
            entry: RawValue::from_string(body.to_owned()).unwrap(),
        }
    }

    fn filled(dir: &Path, commits: &[Vec<AuditEvent>]) -> Index {
        let (index, _) = Index::open(dir, Uuid::nil(), Seq::ZERO, Breaker::default()).unwrap();
        for events in commits {
            index.add(events).unwrap();
            index.commit().unwrap();
        }
        index
    }

    #[test]
    fn entries_are_found_by_their_words_values_and_ids() {
        let dir = tempfile::tempdir().unwrap();
        let body = r#"{"id":"2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103",
            "action":{"description":"Add Member","type":"create","time":"2026-08-03T08:00:00+00:00"},
            "actor":{"email":"José@Bücher.example","ip_address":"2001:DB8::1","token_name":"terraform-prod"},
            "raw":{"status_code":200,"uri":"/zones/9b2e4d6f8a0c1e3f5a7b9c1d3e5f7a90/dns_records"},
            "resource":{"id":"7fdbafab9bbb2e9f9f94738212edfd85","scope":"zones","request":{"list":[{"Name":"www"},17]},
                "response":"{\"token\":true}"}}"#;
        let index = filled(dir.path(), &[vec![event(1, 5, body)]]);
        let snapshot = index.snapshot();
        let check = |question: &str, expect: u64| {
            let query = parse(question).unwrap();
            assert_eq!(
                snapshot.count(&query, Range::default()).unwrap(),
                expect,
                "{question}"
            );
        };
        for found in [
            "",
            "member",
            "\"add member\"",
            "josé@bücher.example",
            "BÜCHER",
            "www",
            "17",
            "token",
            "dns_records",
            "terraform",
            "2dc5cb28-f5e7-4c0c-ade0-bf58fbc3c103",
            "7FDBAFAB9BBB2E9F9F94738212EDFD85",
            "9b2e4d6f8a0c1e3f5a7b9c1d3e5f7a90",
            "actor.email:JOSÉ@bücher.example",
            "actor.ip_address:2001:db8:0::1",
            "raw.status_code:200",
            "action.time:2026-08-03T08:00:00Z",
            "resource.request.list.name:www",
            "resource.request.list:17",
            "resource.scope:zones",
            "source:accounts/a",
            "www member",
        ] {
            check(found, 1);
        }
        for missed in [
            "membe",
            "\"member add\"",
            "\"example terraform\"",
            "actor.email:josé",
            "zones.name:www",
            "2dc5cb28",
            "08",
            "www nothing",
        ] {
            check(missed, 0);
        }
        assert!(snapshot.knows_path("Resource.Request.List.name").unwrap());
        assert!(!snapshot.knows_path("resource.request.lis").unwrap());
    }

    #[test]
    fn words_by_their_looks_are_found_side_by_side_however_few_documents_are_looked_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "evil corp",
            "corp evil",
            "evils corps evil corp",
            "evil",
            "x evil-corporation",
        ];
        let events: Vec<AuditEvent> = (1..=40)
            .map(|seq| {
                let name = names[seq as usize % names.len()];
                event(seq, 0, &format!(r#"{{"actor":{{"token_name":"{name}"}}}}"#))
            })
            .collect();
        let snapshot = filled(dir.path(), &[events]).snapshot();
        let reader = snapshot.searcher.segment_reader(0);
        let word = |looks: &str| Terms {
            field: snapshot.shape.words_of(Part::Actor),
            prefix: String::new(),
            kept_len: super::words::MAX_TERM_LEN,
            automata: vec![Automaton::of_regex(looks, usize::MAX).unwrap()].into(),
            test: ValueTest::Any,
            watch: Watch::default(),
        };
        let found = |at_once| {
            let run = WordRun {
                words: vec![word(".*vil"), word("corp.*")],
                at_once,
                watch: Watch::default(),
            };
            let docs = EnableScoring::disabled_from_searcher(&snapshot.searcher);
            let weight = run.weight(docs).unwrap();
            weight.count(reader).unwrap()
        };
        assert_eq!([1, 2, 3, 7, 1_000].map(found), [24; 5]);
    }

    #[test]
    fn what_cannot_be_used_is_emptied_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let events: Vec<AuditEvent> = (1..=9).map(|seq| event(seq, 7, r#"{"a":"b"}"#)).collect();
        drop(filled(dir.path(), &[events]));
        let reopen = |log_id, head| {
            let (index, why) =
                Index::open(dir.path(), log_id, Seq(head), Breaker::default()).unwrap();
            (
                index.checkpoint().0,
                index.is_rebuilding(),
                why.unwrap_or_default(),
            )
        };
        assert_eq!(reopen(Uuid::nil(), 9), (9, false, String::new()));
        assert_eq!(reopen(Uuid::nil(), 12), (9, false, String::new()));
        assert_eq!(
            reopen(Uuid::nil(), 8),
            (
                0,
                true,
                "the index is ahead of the log: it holds 9 events, the log 8".into()
            )
        );
        assert_eq!(
            reopen(Uuid::max(), 8),
            (
                0,
                true,
                "the index is of another log, 00000000-0000-0000-0000-000000000000".into()
            )
        );
        fs::write(dir.path().join(DIR_NAME).join("meta.json"), "{").unwrap();
        assert!(
            reopen(Uuid::max(), 8)
                .2
                .starts_with("the index is damaged: ")
        );
        fs::remove_dir_all(dir.path().join(DIR_NAME)).unwrap();
        assert_eq!(
            reopen(Uuid::max(), 8),
            (0, true, "the index is missing".into())
        );
    }

    #[test]
    fn a_flipped_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let index = filled(dir.path(), &[vec![event(1, 7, r#"{"a":"b"}"#)]]);
        index.verify().unwrap();
        let postings = fs::read_dir(dir.path().join(DIR_NAME))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let file = postings
            .into_iter()
            .find(|path| path.extension().is_some_and(|end| end == "term"))
            .unwrap();
        let mut bytes = fs::read(&file).unwrap();
        bytes[3] ^= 1;
        // The file is mapped, so it is replaced, not written over.
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
        assert!(matches!(index.verify(), Err(IndexError::Unusable(_))));
    }

    /// Pages of a question, as a client walks them.
    fn pages(
        snapshot: &Snapshot,
        query: &Query,
        range: Range,
        order: Order,
        size: usize,
    ) -> Vec<Hit> {
        let mut found: Vec<Hit> = Vec::new();
        loop {
            let page = snapshot
                .hits(
                    query,
                    range,
                    order,
                    found.last().copied(),
                    Seq(u64::MAX),
                    size,
                )
                .unwrap();
            if page.is_empty() {
                return found;
            }
            found.extend(page);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn pages_in_both_orders_are_the_sorted_matches(
            times in prop::collection::vec((0..12_i64, 0..3_u8), 1..60),
            cuts in prop::collection::vec(1..20_usize, 1..6),
            (since, span, size) in (0..12_i64, 0..12_i64, 1..9_usize),
        ) {
            let words = ["red", "green", "blue"];
            let events: Vec<AuditEvent> = times.iter().enumerate().map(|(i, (at, word))| {
                event(i as u64 + 1, *at, &format!(r#"{{"actor":{{"x":"{}"}}}}"#, words[usize::from(*word)]))
            }).collect();
            let mut rest = events.as_slice();
            let mut commits = Vec::new();
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                commits.push(now.to_vec());
                rest = later;
            }
            commits.push(rest.to_vec());
            let dir = tempfile::tempdir().unwrap();
            let snapshot = filled(dir.path(), &commits).snapshot();

            let range = Range { since_us: Some(since), before_us: Some(since + span) };
            for (query, word) in [(Query::All, None), (parse("green").unwrap(), Some(1)), (parse("red").unwrap(), Some(0))] {
                let matches = |(at, found): &(i64, u8)| {
                    (since..since + span).contains(at) && word.is_none_or(|word| word == *found)
                };
                let mut expect: Vec<Hit> = times.iter().enumerate().filter(|(_, event)| matches(event))
                    .map(|(i, (at, _))| Hit { at_us: *at, seq: Seq(i as u64 + 1) }).collect();
                expect.sort_by_key(|hit| (hit.at_us, hit.seq));
                prop_assert_eq!(&pages(&snapshot, &query, range, Order::Ascending, size), &expect);
                prop_assert_eq!(snapshot.count(&query, range).unwrap(), expect.len() as u64);
                expect.reverse();
                prop_assert_eq!(&pages(&snapshot, &query, range, Order::Descending, size), &expect);
            }
        }
    }
}
