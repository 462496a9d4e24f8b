//! A log that takes pages as a backfill does.

use std::path::Path;

use chrono::TimeDelta;
use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::event::Arrival;
use orgtrail::position::{Source, Window, WindowKind};
use orgtrail::store::{Page, SourceSeen, Store, Then};

use crate::corpus::{self, RawPage};

/// A log to which pages are kept as a backfill keeps them.
pub(crate) struct Keeper {
    pub(crate) store: Store,
    clock: Clock,
}

impl Keeper {
    /// A log in `dir` that knows the sources.
    pub(crate) fn open(dir: &Path, sources: &[Source]) -> Self {
        let store = Store::open(dir, Failpoints::default()).unwrap();
        let seen = |source: &Source| SourceSeen {
            source: source.clone(),
            organization: None,
            label: None,
            created_at: None,
        };
        let clock = Clock::system();
        let seen: Vec<SourceSeen> = sources.iter().map(seen).collect();
        store.save_sources(&seen, clock.now()).unwrap();
        Self { store, clock }
    }

    /// Keeps a page as a window of its own; says how many of its entries are new.
    pub(crate) fn keep(&self, page: &RawPage) -> usize {
        self.keep_entries(&page.source, page.arrivals())
    }

    /// The same for some entries of a source.
    pub(crate) fn keep_entries(&self, source: &Source, arrivals: Vec<Arrival>) -> usize {
        let window = Window::new(corpus::now() - TimeDelta::days(1), corpus::now());
        let now = self.clock.now();
        let opened = self
            .store
            .begin_window(source, WindowKind::Backfill, window, now)
            .unwrap();
        let page = Page {
            window: opened.id,
            asked: None,
            resumed: None,
            limit: None,
            claim_since: chrono::DateTime::UNIX_EPOCH,
            arrivals,
            then: Then::Seal,
            claim_before: now,
            received_at: now,
            sealed_at: now,
        };
        self.store.append(&page).unwrap().new
    }
}
