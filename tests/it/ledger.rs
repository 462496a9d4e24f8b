//! The ledger of a source that shows entries which cannot be read: it stays short, and forgets no gap.

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::durable::Failpoints;
use orgtrail::position::{Source, Window, WindowKind};
use orgtrail::store::{GapCause, Page, SourceSeen, Store, Then};
use rusqlite::Connection;

use crate::manual_clock::start;

struct Log {
    store: Store,
    source: Source,
    dir: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let source = Source::account("a").unwrap();
        let seen = SourceSeen {
            source: source.clone(),
            organization: None,
            label: None,
            created_at: None,
        };
        store.save_sources(&[seen], start()).unwrap();
        Self { store, source, dir }
    }

    fn seal(&self, kind: WindowKind, window: Window, now: DateTime<Utc>) {
        let open = self.store.begin_window(&self.source, kind, window, now);
        let page = Page {
            window: open.unwrap().id,
            asked: None,
            resumed: None,
            limit: None,
            arrivals: Vec::new(),
            then: Then::Seal,
            claim_since: DateTime::UNIX_EPOCH,
            claim_before: now,
            received_at: now,
            sealed_at: now,
        };
        self.store.append(&page).unwrap();
        self.fold();
    }

    fn pass(&self, kind: WindowKind, window: Window, now: DateTime<Utc>) {
        let open = self.store.begin_window(&self.source, kind, window, now);
        let id = open.unwrap().id;
        self.store
            .give_up_window(id, GapCause::TooLarge, now)
            .unwrap();
        self.fold();
    }

    /// As the service does after a scan.
    fn fold(&self) {
        let is_long = self.store.progress(&self.source).unwrap().is_long();
        if is_long {
            let sweeps = [TimeDelta::minutes(15), TimeDelta::days(7)];
            self.store.fold_ledger(&self.source, &sweeps).unwrap();
        }
    }

    fn passed_rows(&self) -> u32 {
        let db = Connection::open(self.dir.path().join("orgtrail.db")).unwrap();
        let count = "SELECT count(*) FROM window WHERE outcome <> 'sealed'";
        db.query_row(count, [], |row| row.get(0)).unwrap()
    }

    fn gaps(&self) -> Vec<Window> {
        let progress = self.store.progress(&self.source).unwrap();
        let mut joined: Vec<Window> = Vec::new();
        for (gap, _) in progress.gaps.iter() {
            match joined.last_mut() {
                Some(last) if last.before == gap.since => last.before = gap.before,
                _ => joined.push(*gap),
            }
        }
        joined
    }
}

fn second(at: DateTime<Utc>) -> Window {
    Window::new(at, at + TimeDelta::seconds(1))
}

#[test]
fn a_ledger_with_an_entry_an_hour_that_cannot_be_read_stays_short() {
    let log = Log::new();
    let hour = |n: i64| start() + TimeDelta::hours(n);
    let mut bad = Vec::new();
    for n in 0..60 {
        // One entry spoils three seconds.
        let spoiled = hour(n) + TimeDelta::minutes(30);
        let after = spoiled + TimeDelta::seconds(3);
        log.seal(WindowKind::Live, Window::new(hour(n), spoiled), hour(n + 1));
        for at in [0, 1, 2].map(|second| spoiled + TimeDelta::seconds(second)) {
            log.pass(WindowKind::Live, second(at), hour(n + 1));
        }
        log.seal(
            WindowKind::Live,
            Window::new(after, hour(n + 1)),
            hour(n + 1),
        );
        bad.push(Window::new(spoiled, after));
    }
    assert_eq!(log.gaps(), bad);
    // Each sweep passes them again.
    for sweep in 1..5 {
        for gap in &bad {
            for at in [0, 1, 2].map(|second| gap.since + TimeDelta::seconds(second)) {
                log.pass(WindowKind::Sweep, second(at), hour(100 * sweep));
            }
        }
    }
    assert_eq!(log.gaps(), bad);
    let rows = log.passed_rows();
    assert!(rows < 120, "{rows} rows for {} entries", bad.len());
    let before = log.store.progress(&log.source).unwrap();
    log.store.fold_ledger(&log.source, &[]).unwrap();
    let after = log.store.progress(&log.source).unwrap();
    assert_eq!(log.gaps(), bad);
    assert_eq!(
        (before.live_since, before.live_before),
        (after.live_since, after.live_before)
    );
    // Read at last.
    let all = Window::new(hour(0), hour(60));
    log.seal(WindowKind::Sweep, all, hour(600));
    log.store.fold_ledger(&log.source, &[]).unwrap();
    assert_eq!(log.gaps(), []);
    // The latest live windows stay as they are.
    let rows = log.passed_rows();
    assert!(rows < 16, "{rows} rows");
}

#[test]
fn scans_around_a_passed_stretch_count_from_when_the_first_of_them_began() {
    let log = Log::new();
    let minute = |n: i64| start() + TimeDelta::minutes(n);
    let live = |since, before, began| {
        log.seal(
            WindowKind::Live,
            Window::new(minute(since), minute(before)),
            began,
        );
        let progress = log.store.progress(&log.source).unwrap();
        progress.last_live.unwrap().began_at
    };
    assert_eq!(live(0, 10, minute(10)), minute(10));
    log.pass(WindowKind::Live, second(minute(10)), minute(11));
    assert_eq!(live(11, 20, minute(20)), minute(20));
    // Before it and after it; the next round begins after that.
    assert_eq!(live(5, 10, minute(21)), minute(21));
    assert_eq!(live(11, 22, minute(22)), minute(21));
    assert_eq!(live(11, 23, minute(23)), minute(23));
}
