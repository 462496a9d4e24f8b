//! Damage to the bodies of a world's log, what must go on all the same, and the repair.

use fastrand::Rng;
use orgtrail::engine::{Order, Range, Scope};
use orgtrail::follow::index::Indexing;
use orgtrail::poll::Verify;
use orgtrail::position::{Seq, Source};
use orgtrail::query::Query;
use orgtrail::scrub::Scrub;
use orgtrail::search::{Export, Question};
use orgtrail::store::{FILE_NAME, StoreError};
use orgtrail::upstream::Quota;
use rusqlite::Connection;

use super::World;
use crate::engine_queries;

/// The name of the credential that a repair uses.
const REPAIR: &str = "env:REPAIR";

/// A budget that no repair uses up.
const REPAIR_REQUESTS: u32 = 1_000_000;

impl World {
    /// Flips one bit in the stored body of an event, on disk. Gives the event, if the log has any.
    pub(crate) fn damage(&self, rng: &mut Rng) -> Option<Seq> {
        let db = Connection::open(self.dir.path().join(FILE_NAME)).unwrap();
        db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        let head = "SELECT coalesce(max(seq), 0) FROM event";
        let head: u64 = db.query_row(head, [], |row| row.get(0)).unwrap();
        let seq = 1 + (head > 0).then(|| rng.u64(..head))?;
        let body = "SELECT body FROM event WHERE seq = ?1";
        let mut body: Vec<u8> = db.query_row(body, [seq], |row| row.get(0)).unwrap();
        let at = rng.usize(..body.len());
        body[at] ^= 1 << rng.u8(..8);
        db.execute("UPDATE event SET body = ?2 WHERE seq = ?1", (seq, body))
            .unwrap();
        Some(Seq(seq))
    }

    /// A step of the pass that checks the log in the background. One that is broken loses what it has not saved.
    pub(crate) fn scrub(&mut self) {
        let clock = self.local_clock.clone();
        let parts = self.parts();
        match parts.scrub.turn(clock.now()) {
            Ok(_) => {}
            Err(StoreError::InjectedFailure(_)) => {
                parts.scrub = Scrub::new(parts.store.clone(), clock)
            }
            Err(error) => panic!("the log cannot be checked: {error}"),
        }
    }

    /// Folds the ledger of one source before it is long. What is claimed stays true. Gives the source, if there is any.
    pub(crate) fn fold_ledger(&mut self, rng: &mut Rng) -> Option<Source> {
        let (store, sweeps) = (self.store(), self.plan.settings.sweeps.clone());
        let sources = store.sources().unwrap();
        let source = &rng.choice(&sources)?.source;
        match store.fold_ledger(source, &sweeps) {
            Ok(()) | Err(StoreError::InjectedFailure(_)) => Some(source.clone()),
            Err(error) => panic!("the ledger cannot be folded: {error}"),
        }
    }

    /// Every event of the index is listed and exported, the damaged ones as such. Gives how many are damaged.
    pub(crate) fn reads_everything(&mut self) -> usize {
        let (store, now) = (self.store(), self.clock.now());
        let engine_queries::Asked { view, caller } =
            engine_queries::Asked::index(&self.parts().index);
        let question = Question {
            query: Query::All,
            range: Range::default(),
            order: Order::Descending,
        };
        let mut listed = Vec::new();
        let mut cursor = None;
        loop {
            let page = orgtrail::search::page(
                &store,
                &view,
                &caller,
                &question,
                now,
                cursor.as_deref(),
                500,
            );
            let page = page.unwrap();
            listed.extend(page.events.into_iter().map(|event| event.seq));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let mut export = Export::new(store, view.clone(), Scope::everything(), question).unwrap();
        let (mut exported, mut damaged) = (Vec::new(), 0);
        loop {
            let events = export.next_events(None).unwrap();
            if events.is_empty() {
                break;
            }
            damaged += events.iter().filter(|event| event.is_damaged()).count();
            exported.extend(events.into_iter().map(|event| event.seq));
        }
        assert_eq!(listed.len() as u64, view.seq().0);
        assert_eq!(listed, exported);
        damaged
    }

    /// Checks the whole log and repairs it from upstream, as `orgtrail scrub` does. Upstream must answer, and show everything.
    pub(crate) async fn repair(&mut self) {
        let (store, now) = (self.store(), self.local_clock.now());
        let found = store.scrub(Seq::ZERO, usize::MAX >> 1, usize::MAX).unwrap();
        assert_eq!(found.upto, store.head());
        let all = (Seq::ZERO, found.upto);
        store.save_scrub(all, &found.damaged, true, now).unwrap();
        for (source, window) in found.damaged.into_iter().filter_map(|event| event.found_in) {
            let quota = Quota::new(REPAIR_REQUESTS, None, self.clock.steady());
            let verify = Verify::new(
                store.clone(),
                self.upstream(REPAIR, quota),
                REPAIR.to_owned(),
                self.plan.settings.clone(),
                self.local_clock.clone(),
                (source, window),
            );
            verify.repair().await.unwrap();
        }
        let again = store.scrub(Seq::ZERO, usize::MAX >> 1, usize::MAX).unwrap();
        assert_eq!(again.damaged, Vec::new(), "not repaired");
        assert_eq!(store.scrub_state().unwrap().damaged, 0);
        self.search_repaired();
    }

    /// Makes the index again if it was made of damaged events.
    fn search_repaired(&mut self) {
        let clock = self.local_clock.clone();
        let parts = self.parts();
        let damaged = orgtrail::query::parse("problem:damaged", clock.now()).unwrap();
        let asked = engine_queries::Asked::index(&parts.index);
        // Without any problem there is no such field.
        if !matches!(asked.count(&damaged, Range::default()), Ok(1..)) {
            return;
        }
        parts.index.clear(parts.store.head()).unwrap();
        let mut indexing = Indexing::new(parts.store.clone(), parts.index.clone(), clock);
        indexing.catch_up().unwrap();
        let asked = engine_queries::Asked::index(&parts.index);
        let left = asked.count(&damaged, Range::default());
        assert!(!matches!(left, Ok(1..)), "{left:?}");
    }
}
