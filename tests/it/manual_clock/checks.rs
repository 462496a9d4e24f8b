//! What must hold of a world, during a run and at its end.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use orgtrail::engine::{Hit, Order, Range};
use orgtrail::event::{Reading, hex, sha256};
use orgtrail::invariant::Invariant;
use orgtrail::position::{Seq, Source};
use orgtrail::query::Query;
use orgtrail_simulator::SeenRequest;

use super::World;

/// The hash that an event has whose entry is this text.
fn hash(text: &str) -> Option<String> {
    Some(hex(&sha256(text.as_bytes())))
}

impl World {
    /// What must hold whatever has happened, once it has settled: every entry that upstream showed is held exactly once,
    /// byte for byte, and found; and no call was made that should not have been.
    pub(crate) fn invariants(&mut self) {
        let store = self.store();
        store.check().unwrap();
        let events = store
            .events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX)
            .unwrap();
        let seqs: Vec<u64> = events.iter().map(|event| event.seq.0).collect();
        assert_eq!(
            seqs,
            (1..=store.head().0).collect::<Vec<_>>(),
            "places have holes"
        );
        let balance = self.balance();
        assert!(
            balance.is_empty(),
            "missing (more than 0) or held too often (less) are {balance:#?}"
        );
        let asked = crate::engine_queries::Asked::index(&self.parts().index);
        assert_eq!(asked.view.seq(), store.head(), "the index is behind");
        assert_eq!(
            asked.count(&Query::All, Range::default()).unwrap(),
            store.head().0
        );
        let hits = asked.hits(
            &Query::All,
            Range::default(),
            Order::Ascending,
            None,
            asked.view.seq(),
            usize::MAX >> 1,
        );
        let mut expect: Vec<Hit> = events
            .iter()
            .map(|event| Hit {
                at_us: event.ordered_at().timestamp_micros(),
                seq: event.seq,
            })
            .collect();
        expect.sort_by_key(|hit| (hit.at_us, hit.seq));
        assert_eq!(
            hits.unwrap(),
            expect,
            "the index does not hold what the log holds"
        );
        self.no_call_that_should_not_have_been();
        for invariant in Invariant::ALL {
            assert_eq!(invariant.violations(), 0, "{}", invariant.id());
        }
    }

    /// No claim is stronger than what is held: of some proven stretches, everything that upstream could show when they were
    /// last scanned.
    pub(crate) fn claims_hold(&mut self, rng: &mut fastrand::Rng) {
        let store = self.store();
        // A body may be damaged: its event is held all the same, and says which hash it had.
        let held: BTreeSet<(String, Option<String>)> = store
            .events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX)
            .unwrap()
            .into_iter()
            .map(|event| (event.source.to_string(), event.sha256))
            .collect();
        for source in self.simulator.sources() {
            let Ok(progress) = store.progress(&source) else {
                continue;
            };
            let pieces = &progress.proven;
            for n in 0..pieces.len().min(4) {
                // One of any, and some of the latest.
                let latest = pieces
                    .len()
                    .saturating_sub(if n == 0 { pieces.len() } else { 8 });
                let piece = &pieces[rng.usize(latest..pieces.len())];
                for text in self.simulator.entries(&source, piece.scanned_at) {
                    let is_claimed = Reading::of(&text)
                        .time
                        .is_some_and(|at| piece.window.since <= at && at < piece.window.before);
                    assert!(
                        !is_claimed || held.contains(&(source.to_string(), hash(&text))),
                        "{source} claims {piece:?} and lacks {text}"
                    );
                }
            }
        }
    }

    /// While the log of `failing` cannot be read, the logs of the other sources are called as often as ever.
    pub(crate) async fn others_are_called(&mut self, failing: &Source) {
        let begun = self.clock.now();
        let end = begun + TimeDelta::minutes(30);
        while self.clock.now() < end {
            self.poll().await;
        }
        let longest = self.plan.settings.max_interval + TimeDelta::minutes(1);
        for source in self.simulator.sources() {
            let calls = self.log_calls(&source);
            let mut at: Vec<_> = calls.map(|call| call.at).filter(|at| *at > begun).collect();
            if source == *failing {
                assert!(at.len() <= 40, "{source} fails and was called {at:?}");
                continue;
            }
            at.insert(0, begun);
            at.push(end);
            let wait = at.windows(2).map(|two| two[1] - two[0]).max().unwrap();
            assert!(wait <= longest, "{source} waited for {wait}: {at:?}");
        }
    }

    /// The calls of a source's log, oldest first.
    fn log_calls(&self, source: &Source) -> impl Iterator<Item = SeenRequest> + use<> {
        let path = format!("/{source}/logs/");
        let calls = self.simulator.requests().into_iter();
        calls.filter(move |call| call.path_and_query.contains(&path))
    }

    /// Of several credentials, one reads the log of `source` until the next start.
    pub(crate) fn one_credential_reads(&self, source: &Source) {
        let readers: Vec<String> = self.log_calls(source).map(|call| call.credential).collect();
        let changes = readers.windows(2).filter(|two| two[0] != two[1]).count();
        assert!(
            changes < self.opened as usize,
            "{source} was read by another credential {changes} times in {} starts",
            self.opened
        );
    }

    pub(crate) fn no_call_that_should_not_have_been(&self) {
        let requests = self.simulator.requests();
        if let Some(early) = requests.iter().find(|request| request.while_told_to_wait) {
            panic!("a call was begun while told to wait: {early:?}");
        }
        for (i, first) in requests.iter().enumerate() {
            let span = requests[i..]
                .iter()
                .take_while(|request| request.at < first.at + TimeDelta::seconds(300));
            let made = span
                .filter(|request| request.credential == first.credential)
                .count();
            assert!(
                made <= self.plan.max_requests as usize,
                "{made} calls in the five minutes from {}",
                first.at
            );
        }
    }
}
