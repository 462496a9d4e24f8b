//! What a page of entries costs on its way in, beside what reading the same bytes costs who keeps nothing.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has no result")]

mod corpus;
#[path = "corpus/keeper.rs"]
mod keeper;
#[path = "corpus/typed.rs"]
mod typed;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::{DIR_NAME, Index};
use orgtrail::follow::index::Indexing;
use orgtrail::position::Seq;
use tempfile::TempDir;

use self::corpus::{Corpus, PAGE_LEN, RawPage};
use self::keeper::Keeper;

/// Entries that are made; when all are kept, another log begins.
const ENTRIES: u64 = 50_000;

/// Pages, and a log that has not taken them all yet.
struct Supply {
    corpus: Corpus,
    pages: Vec<RawPage>,
    at: usize,
    log: Option<Log>,
    _dir: TempDir,
}

struct Log {
    keeper: Keeper,
    indexing: Indexing,
    index: Index,
    dir: TempDir,
}

impl Log {
    fn new(corpus: &Corpus) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::open(dir.path(), &corpus.sources());
        let store = &keeper.store;
        let (index, _) =
            Index::open(dir.path(), store.log_id(), Seq::ZERO, Failpoints::default()).unwrap();
        Self {
            indexing: Indexing::new(store.clone(), index.clone(), Clock::system()),
            keeper,
            index,
            dir,
        }
    }

    /// Has the index take in all that is kept.
    fn follow(&mut self) {
        self.indexing.catch_up().unwrap();
    }
}

impl Supply {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let corpus = Corpus::write(&dir.path().join("pages"), ENTRIES);
        let pages = corpus
            .pages()
            .filter(|page| page.entries().len() == PAGE_LEN)
            .collect();
        Self {
            corpus,
            pages,
            at: 0,
            log: None,
            _dir: dir,
        }
    }

    fn next_page(&mut self) -> &RawPage {
        self.at = (self.at + 1) % self.pages.len();
        &self.pages[self.at]
    }

    /// The time that `each` takes for so many pages that its log does not hold yet.
    fn time(&mut self, pages: u64, mut each: impl FnMut(&mut Log, &RawPage)) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..pages {
            self.at = (self.at + 1) % self.pages.len();
            if self.at == 0 || self.log.is_none() {
                self.log = Some(Log::new(&self.corpus));
            }
            let (log, page) = (self.log.as_mut().unwrap(), &self.pages[self.at]);
            let begun = Instant::now();
            each(log, page);
            took += begun.elapsed();
        }
        took
    }
}

fn pages(c: &mut Criterion) {
    let mut supply = Supply::new();
    let mut group = c.benchmark_group("a page of 1,000 entries");
    group.throughput(Throughput::Elements(PAGE_LEN as u64));
    group.bench_function("bound: serde_json::Value", |bencher| {
        bencher.iter(|| {
            let page: serde_json::Value = serde_json::from_slice(&supply.next_page().body).unwrap();
            black_box(page)
        });
    });
    group.bench_function("bound: RawValue and typed structs", |bencher| {
        bencher.iter(|| {
            for entry in supply.next_page().entries() {
                black_box(serde_json::from_str::<typed::Entry<'_>>(entry.get()).ok());
            }
        });
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| black_box(supply.next_page().arrivals()));
    });
    group.bench_function("kept in the log", |bencher| {
        bencher.iter_custom(|times| {
            supply.time(times, |log, page| {
                log.keeper.keep(page);
            })
        });
    });
    supply.log = None;
    group.bench_function("kept, indexed and found", |bencher| {
        bencher.iter_custom(|times| {
            supply.time(times, |log, page| {
                log.keeper.keep(page);
                log.follow();
            })
        });
    });
    group.finish();
}

fn rebuild(c: &mut Criterion) {
    let supply = Supply::new();
    let mut log = Log::new(&supply.corpus);
    supply.pages.iter().for_each(|page| {
        log.keeper.keep(page);
    });
    let store = log.keeper.store.clone();
    let mut group = c.benchmark_group("the index again, from the log");
    group.sample_size(10);
    group.throughput(Throughput::Elements(store.head().0));
    group.bench_function("rebuild", |bencher| {
        bencher.iter(|| {
            log.index.clear(store.head()).unwrap();
            log.follow();
            assert_eq!(log.index.checkpoint(), store.head());
        });
    });
    group.finish();
    assert!(log.dir.path().join(DIR_NAME).exists());
}

criterion_group!(benches, pages, rebuild);
criterion_main!(benches);
