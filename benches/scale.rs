//! The whole way of many events, end to end, and one table of what it takes.
//!
//! `cargo bench --bench scale -- 1000000 10000000` makes the events once for each size, then measures each part in a process
//! of its own (so that its peak memory is its own), and prints each figure beside its bound, taken in the same run over
//! the same events. `ORGTRAIL_SCALE_DIR` names where the files go: about 2.5 GB for each million events.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement that fails has no result, and its result is what it prints"
)]

#[path = "corpus/mod.rs"]
mod corpus;
#[path = "corpus/keeper.rs"]
mod keeper;
#[path = "scale/questions.rs"]
mod questions;
#[path = "scale/table.rs"]
mod table;
#[path = "corpus/typed.rs"]
mod typed;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::{DIR_NAME, Index};
use orgtrail::event::AuditEvent;
use orgtrail::follow::index::Indexing;
use orgtrail::position::Seq;
use orgtrail::store::Store;

use self::corpus::{Corpus, RawPage};
use self::keeper::Keeper;

/// Figures by name.
type Figures = BTreeMap<String, f64>;

/// What is measured, each in a process of its own, in this order.
const PARTS: [&str; 9] = [
    "corpus",
    "parse",
    "store",
    "index",
    "ingest",
    "start",
    "questions",
    "rebuild",
    "quiet",
];

/// How many events the log may be ahead of the index while both are measured together.
const BACKLOG: u64 = 20_000;

/// Default number of events.
const DEFAULT_SIZE: u64 = 100_000;

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if let [word, part, dir, size] = args.as_slice()
        && word == "part"
    {
        let figures = measure(part, Path::new(dir), size.parse().unwrap());
        println!("{}", serde_json::to_string(&figures).unwrap());
        return;
    }
    let mut sizes: Vec<u64> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    if sizes.is_empty() {
        sizes.push(DEFAULT_SIZE);
    }
    let columns: Vec<(u64, Figures)> = sizes.iter().map(|size| (*size, run(*size))).collect();
    println!("{}", table::render(&columns));
}

/// Measures all parts over so many events.
fn run(size: u64) -> Figures {
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("ORGTRAIL_SCALE_DIR")
        .map_or_else(|| temporary.path().to_owned(), PathBuf::from)
        .join(size.to_string());
    std::fs::create_dir_all(&dir).unwrap();
    let mut all = Figures::new();
    for part in PARTS {
        let begun = Instant::now();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["part", part])
            .arg(&dir)
            .arg(size.to_string())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{part} failed");
        let figures: Figures = serde_json::from_slice(&output.stdout).unwrap();
        eprintln!("{size}: {part} took {:.1} s", begun.elapsed().as_secs_f64());
        all.extend(
            figures
                .into_iter()
                .map(|(name, value)| (format!("{part}.{name}"), value)),
        );
    }
    std::fs::remove_dir_all(&dir).unwrap();
    all
}

fn measure(part: &str, dir: &Path, size: u64) -> Figures {
    let own_kb: Arc<AtomicU64> = Arc::default();
    let watched = Arc::clone(&own_kb);
    std::thread::spawn(move || {
        loop {
            watched.fetch_max(memory_kb("RssAnon:"), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut figures = match part {
        "corpus" => make(dir, size),
        "parse" => parse(&corpus(dir)),
        "store" => store_alone(&corpus(dir)),
        "index" => index_alone(&corpus(dir)),
        "ingest" => ingest(&corpus(dir), &dir.join("data")),
        "start" => start(&dir.join("data")),
        "questions" => questions::ask(&dir.join("data")),
        "rebuild" => rebuild(&dir.join("data")),
        "quiet" => quiet(&corpus(dir)),
        other => panic!("{other} is no part"),
    };
    let mb = |kb: u64| kb as f64 / 1024.0;
    figures.insert("peak_mb".into(), mb(memory_kb("VmHWM:")));
    figures.insert("own_mb".into(), mb(own_kb.load(Ordering::Relaxed)));
    figures
}

/// What the system says of this process's memory: `VmHWM:` for the most that was resident, mapped files included, and
/// `RssAnon:` for what it has now that is its own.
fn memory_kb(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what));
    let kb = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kb.unwrap_or_default()
}

fn figures<const N: usize>(pairs: [(&str, f64); N]) -> Figures {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

fn make(dir: &Path, size: u64) -> Figures {
    let begun = Instant::now();
    let corpus = Corpus::write(&dir.join("pages"), size);
    std::fs::write(
        dir.join("corpus.json"),
        serde_json::to_vec(&corpus).unwrap(),
    )
    .unwrap();
    figures([
        ("entries", corpus.entries as f64),
        ("raw_bytes", corpus.raw_bytes as f64),
        (
            "per_s",
            corpus.entries as f64 / begun.elapsed().as_secs_f64(),
        ),
    ])
}

fn corpus(dir: &Path) -> Corpus {
    serde_json::from_slice(&std::fs::read(dir.join("corpus.json")).unwrap()).unwrap()
}

/// At most so many entries are taken where a part is measured alone: what many of them do to it shows in the whole.
const ALONE: u64 = 1_000_000;

fn rate(corpus: &Corpus, mut read: impl FnMut(&RawPage) -> usize) -> f64 {
    let (mut entries, mut spent) = (0, Duration::ZERO);
    for page in corpus.pages() {
        let begun = Instant::now();
        entries += read(&page) as u64;
        spent += begun.elapsed();
        if entries >= ALONE {
            break;
        }
    }
    entries as f64 / spent.as_secs_f64()
}

/// The bounds: how fast the same bytes are read by who keeps nothing.
fn parse(corpus: &Corpus) -> Figures {
    let value = rate(corpus, |page| {
        let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
        std::hint::black_box(&page)["result"]
            .as_array()
            .unwrap()
            .len()
    });
    let typed = rate(corpus, |page| {
        let entries = page.entries();
        for entry in &entries {
            // One in thirty is odd, and no such struct.
            std::hint::black_box(serde_json::from_str::<typed::Entry<'_>>(entry.get()).ok());
        }
        entries.len()
    });
    let arrivals = rate(corpus, |page| std::hint::black_box(page.arrivals()).len());
    figures([
        ("value_per_s", value),
        ("typed_per_s", typed),
        ("arrivals_per_s", arrivals),
    ])
}

fn store_alone(corpus: &Corpus) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path(), &corpus.sources());
    let begun = Instant::now();
    for page in corpus.pages() {
        keeper.keep(&page);
        if keeper.store.head().0 >= ALONE {
            break;
        }
    }
    let kept = keeper.store.head().0 as f64;
    figures([("per_s", kept / begun.elapsed().as_secs_f64())])
}

fn index_alone(corpus: &Corpus) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let (index, _) = Index::open(
        dir.path(),
        uuid::Uuid::nil(),
        Seq::ZERO,
        Failpoints::default(),
    )
    .unwrap();
    let received_at = corpus::now();
    let mut seq = Seq::ZERO;
    let mut last_commit = Instant::now();
    let begun = Instant::now();
    for page in corpus.pages() {
        let events: Vec<AuditEvent> = page
            .arrivals()
            .into_iter()
            .map(|arrival| {
                seq = seq.next();
                AuditEvent {
                    seq,
                    source: page.source.clone(),
                    id: None,
                    revision: 0,
                    time: arrival.time,
                    received_at,
                    problem: arrival.problem,
                    entry: arrival.body,
                    sha256: None,
                }
            })
            .collect();
        index.add(&events).unwrap();
        if last_commit.elapsed() >= Duration::from_secs(1) {
            index.commit().unwrap();
            last_commit = Instant::now();
        }
        if seq.0 >= ALONE {
            break;
        }
    }
    index.commit().unwrap();
    figures([("per_s", seq.0 as f64 / begun.elapsed().as_secs_f64())])
}

/// Pages are kept, and followed by the index, at once; the log is never ahead by more than [`BACKLOG`].
fn ingest(corpus: &Corpus, dir: &Path) -> Figures {
    let keeper = Keeper::open(dir, &corpus.sources());
    let store = &keeper.store;
    let (index, _) = Index::open(dir, store.log_id(), store.head(), Failpoints::default()).unwrap();
    let mut indexing = Indexing::new(store.clone(), index.clone(), Clock::system());
    let kept: Mutex<VecDeque<(Seq, Instant)>> = Mutex::default();
    let is_done = AtomicBool::new(false);
    let begun = Instant::now();
    let mut lags = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for page in corpus.pages() {
                while store.head().0 > index.added().0 + BACKLOG {
                    std::thread::sleep(Duration::from_millis(1));
                }
                keeper.keep(&page);
                kept.lock()
                    .unwrap()
                    .push_back((store.head(), Instant::now()));
            }
            is_done.store(true, Ordering::SeqCst);
        });
        loop {
            let was_done = is_done.load(Ordering::SeqCst);
            let turned = indexing.index_once().unwrap();
            let found = index.checkpoint();
            let mut kept = kept.lock().unwrap();
            while let Some((_, since)) = kept.pop_front_if(|(seq, _)| *seq <= found) {
                lags.push(since.elapsed().as_secs_f64());
            }
            drop(kept);
            if !turned.has_more && was_done && index.checkpoint() == store.head() {
                break;
            }
            if turned.added == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let took = begun.elapsed().as_secs_f64();
    index.close().unwrap();
    store.close().unwrap();
    let mut found = figures([
        ("per_s", store.head().0 as f64 / took),
        ("lag_worst_s", lags.iter().copied().fold(0.0, f64::max)),
        ("lag_p50_s", percentile(&mut lags, 0.5)),
        ("events", store.head().0 as f64),
    ]);
    found.extend(sizes(dir));
    found
}

/// Bytes on disk, by part.
fn sizes(dir: &Path) -> Figures {
    let mut sizes = Figures::new();
    let len = |path: &Path| path.metadata().map_or(0, |meta| meta.len()) as f64;
    sizes.insert(
        "bytes.log".into(),
        len(&dir.join(orgtrail::store::FILE_NAME)),
    );
    for entry in std::fs::read_dir(dir.join(DIR_NAME)).unwrap() {
        let path = entry.unwrap().path();
        let end = path
            .extension()
            .map_or("json".into(), |end| end.to_string_lossy().into_owned());
        *sizes.entry(format!("bytes.index.{end}")).or_default() += len(&path);
        *sizes.entry("bytes.index".into()).or_default() += len(&path);
    }
    sizes
}

/// From a process without anything to one that can answer.
fn start(dir: &Path) -> Figures {
    let begun = Instant::now();
    let store = Store::open(dir, Failpoints::default()).unwrap();
    let (index, why) =
        Index::open(dir, store.log_id(), store.head(), Failpoints::default()).unwrap();
    assert_eq!(why, None);
    std::hint::black_box(index.snapshot());
    figures([("seconds", begun.elapsed().as_secs_f64())])
}

/// The index again, from the log.
fn rebuild(dir: &Path) -> Figures {
    std::fs::remove_dir_all(dir.join(DIR_NAME)).unwrap();
    let store = Store::open(dir, Failpoints::default()).unwrap();
    let begun = Instant::now();
    let (index, _) = Index::open(dir, store.log_id(), store.head(), Failpoints::default()).unwrap();
    let mut indexing = Indexing::new(store.clone(), index.clone(), Clock::system());
    indexing.catch_up().unwrap();
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(index.checkpoint(), store.head());
    figures([("per_s", store.head().0 as f64 / took)])
}

/// A few entries at a time while nothing else happens: how long until each can be found.
fn quiet(corpus: &Corpus) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path(), &corpus.sources());
    let store = &keeper.store;
    let (index, _) = Index::open(
        dir.path(),
        store.log_id(),
        store.head(),
        Failpoints::default(),
    )
    .unwrap();
    let mut indexing = Indexing::new(store.clone(), index.clone(), Clock::system());
    let mut lags = Vec::new();
    for (i, page) in corpus.pages().take(100).enumerate() {
        // From one entry to a hundred.
        let mut arrivals = page.arrivals();
        arrivals.truncate(i + 1);
        keeper.keep_entries(&page.source, arrivals);
        let kept = Instant::now();
        // At once, as when nothing was committed for a while.
        indexing.catch_up().unwrap();
        lags.push(kept.elapsed().as_secs_f64() * 1_000.0);
    }
    figures([("p95_ms", percentile(&mut lags, 0.95))])
}

/// The value below which that share of the values lies.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = (values.len() as f64 * share).ceil() as usize;
    values
        .get(at.clamp(1, values.len().max(1)) - 1)
        .copied()
        .unwrap_or_default()
}

/// Kept for the questions: a time of the corpus, this many days before its end.
fn days_before_end(days: i64) -> DateTime<Utc> {
    corpus::now() - TimeDelta::days(days)
}
