//! What judging an entry by all built-in rules costs, beside what parsing the same bytes costs alone.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has no result")]

mod corpus;
#[path = "corpus/keeper.rs"]
mod keeper;
#[path = "corpus/typed.rs"]
mod typed;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use orgtrail::clock::Clock;
use orgtrail::detect::Detect;
use orgtrail::durable::Failpoints;
use orgtrail::event::AuditEvent;
use orgtrail::follow::Follower as _;
use orgtrail::metrics::Metrics;
use orgtrail::position::Seq;
use orgtrail::rules::{EntryFacts, RuleMatcher, Rules};
use orgtrail::store::{FILE_NAME, Store};
use tempfile::TempDir;

use self::corpus::Corpus;
use self::keeper::Keeper;

/// Entries that are made.
const ENTRIES: u64 = 50_000;

/// Entries that are judged without a log.
const SAMPLE: usize = 1_000;

/// A log whose entries came after the rules were there, and some of its events.
struct JudgedLog {
    dir: TempDir,
    entries: u64,
    sample: Vec<AuditEvent>,
}

impl JudgedLog {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let corpus = Corpus::write(&dir.path().join("pages"), ENTRIES);
        let keeper = Keeper::open(dir.path(), &corpus.sources());
        follow(&keeper.store);
        for page in corpus.pages() {
            keeper.keep(&page);
        }
        let entries = keeper.store.head().0;
        let middle = Seq(entries / 2);
        let sample = keeper.store.events_after(middle, SAMPLE, usize::MAX);
        keeper.store.close().unwrap();
        Self {
            dir,
            entries,
            sample: sample.unwrap(),
        }
    }

    /// How long a follower takes to judge the whole log, in a copy of it.
    fn judge(&self) -> Duration {
        let copy = tempfile::tempdir_in(self.dir.path()).unwrap();
        std::fs::copy(self.file(), copy.path().join(FILE_NAME)).unwrap();
        let store = Store::open(copy.path(), Failpoints::default()).unwrap();
        let begun = Instant::now();
        follow(&store);
        begun.elapsed()
    }

    /// How long reading the whole log takes, as the follower reads it.
    fn read(&self) -> Duration {
        let store = Store::open(self.dir.path(), Failpoints::default()).unwrap();
        let begun = Instant::now();
        let mut from = Seq::ZERO;
        while let Some(last) = store.events_after(from, 500, usize::MAX).unwrap().last() {
            from = last.seq;
        }
        let took = begun.elapsed();
        store.close().unwrap();
        took
    }

    fn file(&self) -> impl AsRef<Path> {
        self.dir.path().join(FILE_NAME)
    }
}

/// Judges everything that a log holds.
fn follow(store: &Store) {
    let (rules, metrics) = (Rules::built_in(), Metrics::default());
    let mut detect = Detect::new(store.clone(), rules, metrics, Clock::system());
    while detect.turn_once().unwrap().has_more {}
}

fn entries(c: &mut Criterion) {
    let log = JudgedLog::new();
    let matcher = RuleMatcher::new(&Rules::built_in());
    let mut group = c.benchmark_group("an entry");
    group.throughput(Throughput::Elements(SAMPLE as u64));
    group.bench_function("bound: serde_json::Value", |bencher| {
        bencher.iter(|| {
            for event in &log.sample {
                let text = event.entry.get();
                black_box(serde_json::from_str::<serde_json::Value>(text).unwrap());
            }
        });
    });
    group.bench_function("bound: RawValue and typed structs", |bencher| {
        bencher.iter(|| {
            for event in &log.sample {
                black_box(serde_json::from_str::<typed::Entry<'_>>(event.entry.get()).ok());
            }
        });
    });
    group.bench_function("what rules see of it", |bencher| {
        bencher.iter(|| {
            log.sample
                .iter()
                .map(EntryFacts::of)
                .for_each(|facts| drop(black_box(facts)))
        });
    });
    group.bench_function("matched by all rules", |bencher| {
        bencher.iter(|| {
            for event in &log.sample {
                let facts = EntryFacts::of(event);
                black_box(matcher.matches(&facts).count());
            }
        });
    });
    group.finish();
    let mut group = c.benchmark_group("a log of 50,000 entries");
    group.sample_size(10);
    group.throughput(Throughput::Elements(log.entries));
    group.bench_function("bound: read", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| log.read()).sum());
    });
    group.bench_function("judged by all rules", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| log.judge()).sum());
    });
    group.finish();
}

criterion_group!(benches, entries);
criterion_main!(benches);
