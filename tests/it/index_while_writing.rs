//! The index answers what the reference says at every moment: while events arrive, after kills with and without work that was
//! not committed, and while it is filled anew. It then answers of the events it holds, and of no others.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::clock::{Clock, from_micros};
use orgtrail::durable::{Failpoints, StepFailure};
use orgtrail::engine::tantivy::{self, Index};
use orgtrail::engine::{Hit, Order, Range};
use orgtrail::event::Arrival;
use orgtrail::follow::index::Indexing;
use orgtrail::position::{Seq, Source, Window, WindowKind};
use orgtrail::query::{Query, parse};
use orgtrail::search::{Question, SearchError, page};
use orgtrail::store::{Page, SourceSeen, Store, Then};
use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::engine_queries::Asked;
use crate::engine_vs_reference::{
    EDGES, NAMES, any_entry, any_question, by_value, expected, over_time, walked,
};
use crate::reference::{Entry, now};

/// What happens to a log and its index.
#[derive(Debug, Clone)]
enum Happening {
    /// Entries arrive.
    Arrive(Vec<String>),
    /// The index takes in everything there is.
    Follow,
    /// The index takes in so many events and commits.
    Take(usize),
    /// The process is killed after the index has taken in so many events, which it has not committed.
    KillAfter(usize),
    /// The process is killed in the middle of a commit.
    KillAt(StepFailure),
    /// The index is thrown away, to be filled anew.
    Rebuild,
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => prop::collection::vec(any_entry(), 1..15).prop_map(Happening::Arrive),
        2 => Just(Happening::Follow),
        2 => (1..12_usize).prop_map(Happening::Take),
        1 => (0..12_usize).prop_map(Happening::KillAfter),
        1 => prop::sample::select(vec![StepFailure::Before, StepFailure::After]).prop_map(Happening::KillAt),
        1 => Just(Happening::Rebuild),
    ]
}

/// What breaks the next commit.
type NextBreak = Arc<Mutex<Option<StepFailure>>>;

/// A log and its index, as one process holds them.
struct Process {
    store: Store,
    index: Index,
    follower: Indexing,
}

impl Process {
    fn start(data: &Path, next_break: &NextBreak) -> Self {
        let next_break = Arc::clone(next_break);
        let failpoints = Failpoints::new(move |step| match step {
            tantivy::steps::COMMIT => next_break.lock().unwrap().take(),
            _ => None,
        });
        let store = Store::open(data, Failpoints::default()).unwrap();
        let (index, _) = Index::open(data, store.log_id(), store.head(), failpoints).unwrap();
        let follower = Indexing::new(store.clone(), index.clone(), Clock::manual(received()));
        Self {
            store,
            index,
            follower,
        }
    }

    fn keep(&self, bodies: &[String]) {
        let (source, now) = (Source::account("a").unwrap(), received());
        let seen = SourceSeen {
            source: source.clone(),
            organization: None,
            label: None,
            created_at: None,
        };
        self.store.save_sources(&[seen], now).unwrap();
        let window = Window::new(now - TimeDelta::hours(1), now);
        let window = self
            .store
            .begin_window(&source, WindowKind::Live, window, now);
        let arrivals = bodies
            .iter()
            .map(|body| Arrival::read(RawValue::from_string(body.clone()).unwrap()));
        let page = Page {
            window: window.unwrap().id,
            asked: None,
            resumed: None,
            limit: None,
            claim_since: chrono::DateTime::UNIX_EPOCH,
            arrivals: arrivals.collect(),
            then: Then::Seal,
            claim_before: now,
            received_at: now,
            sealed_at: now,
        };
        self.store.append(&page).unwrap();
    }

    /// Takes the next events into the index, as its follower does, but only so many.
    fn take(&self, n_events: usize) {
        let added = self.index.added();
        let events = self.store.events_after(added, n_events, usize::MAX);
        let events = events.unwrap();
        let later: Vec<Seq> = events
            .iter()
            .filter(|event| event.revision > 0)
            .map(|event| event.seq)
            .collect();
        let replaced = self.store.replaced(&later).unwrap().into_iter();
        let replaced: HashMap<Seq, Hit> = replaced
            .map(|(seq, older, at)| {
                let at_us = at.timestamp_micros();
                (seq, Hit { at_us, seq: older })
            })
            .collect();
        self.index.add_revisions(&events, &replaced).unwrap();
    }
}

/// When everything is received.
fn received() -> DateTime<Utc> {
    from_micros(1_785_744_000_000_000)
}

/// A walk through the pages of an answer, a page at a time.
struct Walk {
    question: Question,
    cursor: Option<String>,
    upto: Seq,
    expect: Vec<Seq>,
    found: Vec<Seq>,
}

/// How many events are on a walk's page.
const PAGE: usize = 3;

impl Walk {
    /// Takes the first page; `None` for what no entry can have yet.
    fn begin(process: &Process, entries: &[Entry], query: &Query, order: Order) -> Option<Self> {
        let question = Question {
            query: query.clone(),
            range: Range::default(),
            order,
        };
        let Asked { view, caller } = Asked::index(&process.index);
        let store = &process.store;
        let answer = match page(store, &view, &caller, &question, now(), None, PAGE) {
            Err(SearchError::UnknownField { .. }) => return None,
            answer => answer.unwrap(),
        };
        let held = &entries[..view.seq().0 as usize];
        let expect = expected(query, held, question.range, order);
        Some(Self {
            question,
            cursor: answer.next_cursor,
            upto: answer.upto,
            expect: expect.iter().map(|hit| hit.seq).collect(),
            found: answer.events.iter().map(|event| event.seq).collect(),
        })
    }

    /// Takes the next page, if the index has come so far again; says whether there is another.
    fn go_on(&mut self, process: &Process) -> bool {
        let Some(cursor) = &self.cursor else {
            return false;
        };
        let Asked { view, caller } = Asked::index(&process.index);
        let cursor = Some(cursor.as_str());
        match page(
            &process.store,
            &view,
            &caller,
            &self.question,
            now(),
            cursor,
            PAGE,
        ) {
            Err(SearchError::Behind { .. }) => assert!(view.seq() < self.upto),
            answer => {
                let answer = answer.unwrap();
                self.found
                    .extend(answer.events.iter().map(|event| event.seq));
                self.cursor = answer.next_cursor;
            }
        }
        true
    }
}

/// Marks the entries of which a later revision is among them.
fn mark_replaced(entries: &mut [Entry]) {
    let replaced: Vec<bool> = entries
        .iter()
        .map(|entry| {
            let next = entry.event.revision + 1;
            entries.iter().any(|later| {
                entry.event.id.is_some()
                    && later.event.id == entry.event.id
                    && later.event.revision == next
            })
        })
        .collect();
    for (entry, is_replaced) in entries.iter_mut().zip(replaced) {
        entry.is_replaced = is_replaced;
    }
}

/// Holds what the index answers now to the reference.
fn check(
    process: &Process,
    entries: &mut [Entry],
    queries: &[Query],
    field: &str,
) -> Result<(), TestCaseError> {
    let asked = Asked::index(&process.index);
    let upto = asked.view.seq();
    let held = &mut entries[..upto.0 as usize];
    mark_replaced(held);
    let range = Range::default();
    for query in queries {
        for order in [Order::Descending, Order::Ascending] {
            let found = walked(&asked, query, range, order, 5);
            prop_assert_eq!(found, expected(query, held, range, order), "{:?}", query);
        }
        let matches = asked.matches(query, range, upto).unwrap();
        prop_assert_eq!(matches.histogram(&EDGES), over_time(query, held, range));
        let values = matches.values(field, "", 5, None).unwrap().unwrap();
        prop_assert_eq!(
            values,
            by_value(query, held, range, field, 5),
            "{:?} by {}",
            query,
            field
        );
        let count = expected(query, held, range, Order::Descending).len() as u64;
        prop_assert_eq!(asked.count(query, range).unwrap(), count, "{:?}", query);
    }
    Ok(())
}

/// More cases when there is time for them.
fn cases() -> u32 {
    if crate::skip_slow_tests() { 8 } else { 200 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn at_every_moment_the_index_answers_what_the_reference_says_of_the_events_it_holds(
        happenings in prop::collection::vec(any_happening(), 4..14),
        questions in prop::collection::vec(any_question(), 8),
        field in prop::sample::select(NAMES.to_vec()).prop_map(|name| name.replace('\\', "")),
    ) {
        let mut queries: Vec<Query> = questions.iter().filter_map(|text| parse(text, now()).ok()).collect();
        queries.extend([Query::All, Query::Latest]);
        let dir = tempfile::tempdir().unwrap();
        let next_break = NextBreak::default();
        let mut process = Process::start(dir.path(), &next_break);
        let mut entries: Vec<Entry> = Vec::new();
        let mut walks: Vec<Walk> = Vec::new();
        // The last two, so that it ends with everything searchable.
        for happening in happenings.into_iter().chain([Happening::KillAfter(3), Happening::Follow]) {
            match &happening {
                Happening::Arrive(bodies) => {
                    process.keep(bodies);
                    let last = Seq(entries.len() as u64);
                    let new = process.store.events_after(last, usize::MAX >> 1, usize::MAX).unwrap();
                    entries.extend(new.into_iter().map(Entry::of));
                }
                Happening::Follow => process.follower.catch_up().unwrap(),
                Happening::Take(n_events) => {
                    process.take(*n_events);
                    process.index.commit().unwrap();
                }
                Happening::KillAfter(n_events) => {
                    process.take(*n_events);
                    drop(process);
                    process = Process::start(dir.path(), &next_break);
                }
                Happening::KillAt(how) => {
                    *next_break.lock().unwrap() = Some(*how);
                    process.take(5);
                    prop_assert!(process.index.commit().is_err());
                    drop(process);
                    process = Process::start(dir.path(), &next_break);
                }
                Happening::Rebuild => process.index.clear(process.store.head()).unwrap(),
            }
            check(&process, &mut entries, &queries, &field)?;
            for walk in &mut walks {
                walk.go_on(&process);
            }
            for (i, query) in queries.iter().enumerate() {
                let order = if i % 2 == 0 { Order::Descending } else { Order::Ascending };
                walks.extend(Walk::begin(&process, &entries, query, order));
            }
        }
        for mut walk in walks {
            while walk.go_on(&process) {}
            prop_assert_eq!(&walk.found, &walk.expect, "{:?}", walk.question.query);
        }
    }
}

#[test]
fn a_commit_is_followed_by_a_rest_in_proportion_to_what_it_took() {
    let ms = TimeDelta::milliseconds;
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(received());
    let (time, takes) = (clock.clone(), Arc::new(Mutex::new(ms(20))));
    let takes_now = Arc::clone(&takes);
    let failpoints = Failpoints::new(move |_| {
        time.advance(*takes_now.lock().unwrap());
        None
    });
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
    let (index, _) = Index::open(dir.path(), store.log_id(), Seq::ZERO, failpoints).unwrap();
    let mut process = Process {
        follower: Indexing::new(store.clone(), index.clone(), clock.clone()),
        store,
        index,
    };
    let turn = |process: &mut Process, n_events| {
        let bodies = (0..n_events).map(|i| format!(r#"{{"at":"{}","n":{i}}}"#, clock.steady()));
        process.keep(&bodies.collect::<Vec<_>>());
        let turned = process.follower.index_once().unwrap();
        (process.index.checkpoint(), turned.commit_in)
    };
    assert_eq!(turn(&mut process, 1), (Seq(1), None), "at once when idle");
    assert_eq!(turn(&mut process, 1), (Seq(1), Some(ms(100))));
    clock.advance(ms(60));
    assert_eq!(turn(&mut process, 0), (Seq(1), Some(ms(40))));
    clock.advance(ms(40));
    *takes.lock().unwrap() = ms(900);
    assert_eq!(turn(&mut process, 1), (Seq(3), None), "both in one");
    assert_eq!(
        turn(&mut process, 1),
        (Seq(3), Some(ms(1_000))),
        "no more than a second"
    );
    process.follower.catch_up().unwrap();
    assert_eq!(process.index.checkpoint(), process.store.head());
}
