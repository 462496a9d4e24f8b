//! Each kind of question, beside what the bare engine takes to read the same postings of the same index.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has no result")]

#[path = "questions/bound.rs"]
mod bound;
mod corpus;
#[path = "corpus/keeper.rs"]
mod keeper;
#[path = "corpus/kinds.rs"]
mod kinds;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::Index;
use orgtrail::engine::{Ask, Caller, Hit, Order, Range, Scope, View};
use orgtrail::follow::index::Indexing;
use orgtrail::position::Seq;
use orgtrail::query::Query;
use orgtrail::search::{self, Question, Tally};
use orgtrail::store::Store;
use tempfile::TempDir;

use self::bound::{Bare, Reading};
use self::corpus::Corpus;
use self::keeper::Keeper;
use self::kinds::{Kind, LIMIT, Wanted, kinds, now};

/// Entries that are asked about.
const ENTRIES: u64 = 100_000;

/// A log and its index, and the index as the engine alone sees it.
struct Held {
    store: Store,
    view: View,
    caller: Caller,
    bare: Bare,
    _dir: TempDir,
}

impl Held {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let corpus = Corpus::write(&dir.path().join("pages"), ENTRIES);
        let keeper = Keeper::open(dir.path(), &corpus.sources());
        for page in corpus.pages() {
            keeper.keep(&page);
        }
        let store = keeper.store;
        let (index, _) =
            Index::open(dir.path(), store.log_id(), Seq::ZERO, Failpoints::default()).unwrap();
        Indexing::new(store.clone(), index.clone(), Clock::system())
            .catch_up()
            .unwrap();
        index.close().unwrap();
        let view = View::from(index.snapshot());
        Self {
            caller: view.caller(Scope::everything(), None),
            view,
            bare: Bare::open(dir.path()),
            store,
            _dir: dir,
        }
    }
}

fn questions(c: &mut Criterion) {
    let held = Held::new();
    for kind in &kinds(&held.store, corpus::now()) {
        let mut group = c.benchmark_group(kind.name);
        match &kind.wanted {
            Wanted::Newest => newest(&mut group, &held, kind),
            Wanted::Count => count(&mut group, &held, kind),
            Wanted::Tally(tally) => tallied(&mut group, &held, kind, tally),
        }
        group.finish();
    }
    let mut group = c.benchmark_group("everything, deep cursor");
    deep(&mut group, &held);
    group.finish();
}

fn newest(group: &mut BenchmarkGroup<'_, WallTime>, held: &Held, kind: &Kind) {
    let Held {
        store,
        view,
        caller,
        ..
    } = held;
    bound(group, held, kind, |question| {
        held.bare.front(&question.query, question.range, LIMIT + 1)
    });
    each(group, "searched", kind, |question| {
        hits(held, &question.query, question.range, None)
    });
    each(group, "with its events", kind, |question| {
        search::page(store, view, caller, question, now(), None, LIMIT).unwrap()
    });
}

fn count(group: &mut BenchmarkGroup<'_, WallTime>, held: &Held, kind: &Kind) {
    bound(group, held, kind, |question| {
        held.bare.whole(&question.query, question.range)
    });
    each(group, "counted", kind, |question| {
        let prepared = question.prepare(&held.store, &held.view, &held.caller);
        search::count(&held.view, &held.caller, &prepared.unwrap()).unwrap()
    });
}

fn tallied(group: &mut BenchmarkGroup<'_, WallTime>, held: &Held, kind: &Kind, wanted: &Tally) {
    let Held {
        store,
        view,
        caller,
        ..
    } = held;
    bound(
        group,
        held,
        kind,
        |Question { query, range, .. }| match &wanted.facets {
            Some(facets) => held.bare.values(query, *range, &facets.fields),
            None => held.bare.times(query, *range),
        },
    );
    each(group, "counted", kind, |question| {
        let question = question.prepare(store, view, caller).unwrap();
        search::tally(store, view, caller, &question, view.seq(), wanted).unwrap()
    });
}

/// The page of everything that begins in the middle.
fn deep(group: &mut BenchmarkGroup<'_, WallTime>, held: &Held) {
    let middle = held.store.events(&[Seq(ENTRIES / 2)], usize::MAX).unwrap();
    let after = Hit {
        at_us: middle[0].ordered_at().timestamp_micros(),
        seq: middle[0].seq,
    };
    let older = Range {
        before_us: Some(after.at_us),
        ..Range::default()
    };
    let reading = held.bare.front(&Query::All, older, LIMIT + 1);
    group.bench_function("bound", |bencher| bencher.iter(|| held.bare.read(&reading)));
    group.bench_function("searched", |bencher| {
        bencher.iter(|| hits(held, &Query::All, Range::default(), Some(after)));
    });
}

fn hits(held: &Held, query: &Query, range: Range, after: Option<Hit>) -> Vec<Hit> {
    let Held { view, caller, .. } = held;
    let ask = Ask {
        query,
        range,
        caller,
    };
    let (order, upto) = (Order::Descending, view.seq());
    view.hits(&ask, order, after, upto, LIMIT + 1).unwrap()
}

/// What the engine alone takes, once it has been seen to find as many events.
fn bound(
    group: &mut BenchmarkGroup<'_, WallTime>,
    held: &Held,
    kind: &Kind,
    reading: impl Fn(&Question) -> Reading,
) {
    let Held {
        store,
        view,
        caller,
        bare,
        ..
    } = held;
    for question in &kind.questions {
        let whole = bare.whole(&question.query, question.range);
        let prepared = question.prepare(store, view, caller).unwrap();
        let count = search::count(view, caller, &prepared).unwrap();
        assert_eq!(bare.read(&whole), count, "{}", question.query);
    }
    let readings: Vec<Reading> = kind.questions.iter().map(reading).collect();
    let mut readings = readings.iter().cycle();
    group.bench_function("bound", |bencher| {
        bencher.iter(|| bare.read(readings.next().unwrap()));
    });
}

/// What a question takes, the next one each time.
fn each<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    kind: &Kind,
    ask: impl Fn(&Question) -> T,
) {
    let mut questions = kind.questions.iter().cycle();
    group.bench_function(name, |bencher| {
        bencher.iter(|| black_box(ask(questions.next().unwrap())));
    });
}

fn few_seconds() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group!(name = benches; config = few_seconds(); targets = questions);
criterion_main!(benches);
