//! Whatever a file holds, each of its lines is kept or named with the reason.

#![no_main]

use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::import::import;
use orgtrail::position::Source;
use orgtrail::store::Store;

/// After so many events the log is made anew.
const MAX_EVENTS: u64 = 2_000;

static LOG: LazyLock<Mutex<(Store, tempfile::TempDir)>> = LazyLock::new(|| Mutex::new(log()));

fn log() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path(), Failpoints::default()).expect("a log");
    (store, dir)
}

fuzz_target!(|data: &[u8]| {
    let mut guard = LOG.lock().expect("the log");
    if guard.0.head().0 > MAX_EVENTS {
        *guard = log();
    }
    let store = &guard.0;
    let before = store.head();
    let source = Source::account("a").expect("a source");
    let report = import(store, data, Some(&source), &Clock::system(), |_| {}).expect("a report");
    let new = report.new + report.revised;
    assert_eq!(store.head().0 - before.0, new);
    assert!(
        report.broke_off.is_some() || report.lines == new + report.held + report.not_understood
    );
    for event in store
        .events_after(before, 10_000, usize::MAX)
        .expect("the events")
    {
        assert!(!event.entry.get().is_empty());
    }
});
