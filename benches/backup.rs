//! How long a backup and a restore take, and how much longer the poller waits for the log meanwhile.
//!
//! `cargo bench --bench backup -- 1000000` makes so many events, then keeps a page of ten new ones every 50 ms: first alone, then
//! beside `orgtrail backup` in a process of its own. `ORGTRAIL_SCALE_DIR` names where the files go: about 2.5 GB for each million.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails has no result, and its result is what it prints"
)]

#[path = "corpus/mod.rs"]
mod corpus;
#[path = "corpus/keeper.rs"]
mod keeper;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use orgtrail::event::Arrival;
use orgtrail::position::Source;
use serde_json::value::RawValue;

use self::corpus::Corpus;
use self::keeper::Keeper;

/// Default number of events.
const DEFAULT_SIZE: u64 = 100_000;

/// How many entries come at once, and how often.
const PAGE: u64 = 10;
const EVERY: Duration = Duration::from_millis(50);

/// How many pages are kept before the backup.
const QUIET_PAGES: usize = 200;

fn main() {
    let size = std::env::args().filter_map(|arg| arg.parse().ok()).next();
    let size: u64 = size.unwrap_or(DEFAULT_SIZE);
    let place = match std::env::var_os("ORGTRAIL_SCALE_DIR") {
        Some(place) => tempfile::tempdir_in(place),
        None => tempfile::tempdir(),
    };
    let place = place.unwrap();
    let data = place.path().join("data");
    let corpus = Corpus::write(&place.path().join("corpus"), size);
    let keeper = Keeper::open(&data, &corpus.sources());
    for page in corpus.pages() {
        keeper.keep(&page);
    }
    println!(
        "{} events, {} MB of JSON",
        corpus.entries,
        corpus.raw_bytes / 1_000_000
    );
    let mut poller = Poller {
        keeper: &keeper,
        source: corpus.sources().remove(0),
        next: 0,
    };

    let mut left = QUIET_PAGES;
    poller.report("kept a page, alone", || {
        left -= 1;
        left > 0
    });
    let to = place.path().join("backup");
    let begun = Instant::now();
    let mut backup = start(&["backup", "--data-dir"], &data, &to);
    poller.report("kept a page, beside the backup", || {
        backup.try_wait().unwrap().is_none()
    });
    let took = begun.elapsed();
    assert!(backup.wait().unwrap().success());
    let bytes = std::fs::metadata(to.join("orgtrail.db")).unwrap().len();
    println!(
        "backup: {:.1} s, {} MB",
        took.as_secs_f64(),
        bytes / 1_000_000
    );

    let begun = Instant::now();
    let mut restore = start(
        &["restore", "--data-dir"],
        &place.path().join("restored"),
        &to,
    );
    assert!(restore.wait().unwrap().success());
    println!("restore: {:.1} s", begun.elapsed().as_secs_f64());
}

fn start(args: &[&str], data: &Path, path: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    command.args(args).arg(data).arg(path);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Keeps new entries as a poller does.
struct Poller<'a> {
    keeper: &'a Keeper,
    source: Source,
    next: u64,
}

impl Poller<'_> {
    /// Keeps a page now and then while `goes_on`, and prints how long that took each time.
    fn report(&mut self, what: &str, mut goes_on: impl FnMut() -> bool) {
        let mut took = Vec::new();
        while goes_on() {
            let arrivals = (0..PAGE).map(|_| self.arrival()).collect();
            let begun = Instant::now();
            let new = self.keeper.keep_entries(&self.source, arrivals);
            took.push(begun.elapsed());
            assert_eq!(new as u64, PAGE);
            std::thread::sleep(EVERY);
        }
        took.sort();
        let at = |part: f64| took[(part * (took.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
        println!(
            "{what}: {} times, p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms",
            took.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }

    fn arrival(&mut self) -> Arrival {
        self.next += 1;
        let text = format!(
            r#"{{"id":"new-{}","action":{{"time":"2026-08-03T08:00:00Z","type":"create"}}}}"#,
            self.next
        );
        Arrival::read(RawValue::from_string(text).unwrap())
    }
}
