//! The poller, the log and the index on a clock that is moved by hand, one turn at a time, against the real simulator over
//! real sockets. Months pass in seconds, and a crash is a drop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail::coverage::Asked;
use orgtrail::durable::Breaker;
use orgtrail::event::Reading;
use orgtrail::follow::index::{Indexing, IndexingError, Turned};
use orgtrail::health::Board;
use orgtrail::index::{Hit, Index, Order, Range};
use orgtrail::invariant::Invariant;
use orgtrail::poll::{BackfillSince, Following, Next, Outcome, Overlap, Poller, Settings};
use orgtrail::position::{Seq, Source};
use orgtrail::query::Query;
use orgtrail::search::{self, Question};
use orgtrail::store::{SourceSeen, Store, StoreError};
use orgtrail::upstream::{Quota, Saved, Timeouts, Upstream};
use orgtrail_simulator::{SimConfig, Simulator};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Where every clock that is moved by hand begins.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-08-03T08:00:00Z".parse().unwrap()
}

/// How a world is followed.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) max_requests: u32,
    pub(crate) breaker: Breaker,
    /// What is followed besides the organizations and the accounts they list.
    pub(crate) also: Vec<Source>,
    /// The most that is taken of one answer.
    pub(crate) max_page_bytes: usize,
}

impl Default for Plan {
    fn default() -> Self {
        let settings = Settings {
            interval: TimeDelta::seconds(60),
            max_interval: TimeDelta::minutes(10),
            overlap: Overlap::Span(TimeDelta::minutes(2)),
            sweeps: Vec::new(),
            backfill_since: BackfillSince::Span(TimeDelta::days(3)),
            page_size: 100,
        };
        Self {
            settings,
            max_requests: 1_000,
            breaker: Breaker::default(),
            also: Vec::new(),
            max_page_bytes: 64 * 1024 * 1024,
        }
    }
}

/// A simulated upstream, and one installation that follows it.
pub(crate) struct World {
    /// Upstream's clock, and that of waits.
    pub(crate) clock: Clock,
    /// The clock of the machine that follows it.
    pub(crate) local_clock: Clock,
    pub(crate) simulator: Simulator,
    pub(crate) plan: Plan,
    /// What the file with the token holds.
    pub(crate) token: Arc<Mutex<String>>,
    pub(crate) base_url: String,
    dir: tempfile::TempDir,
    parts: Option<Parts>,
    /// Turns whose calls are not answered yet, with the time of their timeout.
    unanswered: Vec<(DateTime<Utc>, Outcome)>,
    _servers: JoinSet<std::io::Result<()>>,
}

struct Parts {
    store: Store,
    index: Index,
    poller: Poller,
    indexing: Indexing,
    board: Board,
}

/// What a turn of the poller came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Called,
    Waited(TimeDelta),
}

/// The name of its credential.
pub(crate) const CREDENTIAL: &str = "env:TEST";

impl World {
    pub(crate) async fn new(config: SimConfig, plan: Plan) -> Self {
        let clock = Clock::manual(start());
        let simulator = Simulator::new(config, clock.reader());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/client/v4", listener.local_addr().unwrap());
        let mut servers = JoinSet::new();
        servers.spawn(simulator.clone().serve(listener, std::future::pending()));
        let dir = tempfile::tempdir().unwrap();
        Self {
            local_clock: clock.beside(),
            clock,
            simulator,
            plan,
            token: Arc::new(Mutex::new("test-token".to_owned())),
            base_url,
            dir,
            parts: None,
            unanswered: Vec::new(),
            _servers: servers,
        }
    }

    /// Opens everything, as often as it takes when steps are broken.
    fn parts(&mut self) -> &mut Parts {
        if self.parts.is_none() {
            let opened = (0..100).find_map(|_| match self.open() {
                Ok(parts) => Some(parts),
                Err(StoreError::Broken(_)) => None,
                Err(error) => panic!("could not open: {error}"),
            });
            self.parts = opened;
        }
        self.parts.as_mut().unwrap()
    }

    fn open(&self) -> Result<Parts, StoreError> {
        let (dir, breaker) = (self.dir.path(), &self.plan.breaker);
        let store = Store::open(dir, breaker.clone())?;
        let (index, _) = Index::open(dir, store.log_id(), store.head(), breaker.clone()).unwrap();
        let saved = store.quota(CREDENTIAL)?;
        let saved = saved.map(|row| {
            let left = row.as_of(self.local_clock.now());
            Saved {
                mark: (row.saved_at, row.wait),
                spent_for: left.spent_for,
                wait: left.wait,
            }
        });
        let quota = Quota::new(self.plan.max_requests, saved, self.clock.steady());
        let file = Arc::clone(&self.token);
        let token: orgtrail::upstream::ReadToken =
            Arc::new(move || Ok(file.lock().unwrap().as_str().into()));
        let base_url = self.base_url.parse().unwrap();
        let upstream = Upstream::new(
            base_url,
            token,
            quota,
            self.local_clock.clone(),
            Timeouts::default(),
        )
        .unwrap()
        .taking_at_most(self.plan.max_page_bytes);
        let organizations = self.simulator.organization_ids();
        let own: Vec<Source> = organizations
            .iter()
            .map(|id| Source::organization(id).unwrap())
            .collect();
        let alone = |source: &Source| SourceSeen {
            source: source.clone(),
            organization: None,
            label: None,
            created_at: None,
        };
        let following = Following {
            sources: own.iter().chain(&self.plan.also).map(alone).collect(),
            listed: organizations.clone(),
            members_of: organizations,
            by_themselves: self.plan.also.iter().cloned().collect(),
        };
        let board = Board::default();
        let poller = Poller::new(
            store.clone(),
            upstream,
            CREDENTIAL.to_owned(),
            following,
            self.plan.settings.clone(),
            board.clone(),
            self.local_clock.clone(),
        )?;
        let indexing = Indexing::new(store.clone(), index.clone(), self.local_clock.clone());
        Ok(Parts {
            store,
            index,
            poller,
            indexing,
            board,
        })
    }

    pub(crate) fn store(&mut self) -> Store {
        self.parts().store.clone()
    }

    /// Where it keeps its data.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) fn board(&mut self) -> Board {
        self.parts().board.clone()
    }

    /// The process is gone, without a word. The next step is another one's.
    pub(crate) fn crash(&mut self) {
        self.parts = None;
    }

    /// One turn of the poller: a call, or the clock moved on to where it wants to be asked again.
    pub(crate) async fn poll(&mut self) -> Turn {
        let now = self.clock.now();
        match self.parts().poller.next_turn(now) {
            Next::Turn(turn) => {
                let outcome = turn.perform().await;
                self.parts().poller.settle(outcome).unwrap();
                Turn::Called
            }
            Next::Wait(until) => {
                let wait = (until - now).max(TimeDelta::milliseconds(1));
                self.clock.advance(wait);
                Turn::Waited(wait)
            }
        }
    }

    /// As [`World::poll`], with many calls under way at once: those of sources that hang end 30 seconds later. The clock
    /// does not move further than to `end`.
    pub(crate) async fn poll_beside(&mut self, hanging: &[Source], end: DateTime<Utc>) {
        let now = self.clock.now();
        let due = self.unanswered.iter().position(|(at, _)| *at <= now);
        if let Some(due) = due {
            let (_, outcome) = self.unanswered.remove(due);
            self.parts().poller.settle(outcome).unwrap();
            return;
        }
        match self.parts().poller.next_turn(now) {
            Next::Turn(turn) => {
                let outcome = turn.perform().await;
                let call = self.simulator.requests().pop().unwrap();
                let is_unanswered = hanging
                    .iter()
                    .any(|source| call.path_and_query.contains(&format!("/{}/", source.id())));
                if is_unanswered {
                    self.unanswered
                        .push((now + TimeDelta::seconds(30), outcome));
                } else {
                    self.parts().poller.settle(outcome).unwrap();
                }
            }
            Next::Wait(until) => {
                let timeouts = self.unanswered.iter().map(|(at, _)| *at);
                let until = timeouts.chain([until, end]).min().unwrap();
                self.clock
                    .advance((until - now).max(TimeDelta::milliseconds(1)));
            }
        }
    }

    /// A poller with another credential on the same log, which follows `sources`.
    pub(crate) fn another_poller(&mut self, credential: &str, sources: &[Source]) -> Poller {
        let quota = Quota::new(self.plan.max_requests, None, self.clock.steady());
        let token: orgtrail::upstream::ReadToken = Arc::new(|| Ok("other-token".into()));
        let upstream = Upstream::new(
            self.base_url.parse().unwrap(),
            token,
            quota,
            self.local_clock.clone(),
            Timeouts::default(),
        );
        let seen = sources.iter().map(|source| SourceSeen {
            source: source.clone(),
            organization: None,
            label: None,
            created_at: None,
        });
        let following = Following {
            sources: seen.collect(),
            ..Following::default()
        };
        let (store, board) = (self.store(), self.board());
        Poller::new(
            store,
            upstream.unwrap(),
            credential.to_owned(),
            following,
            self.plan.settings.clone(),
            board,
            self.local_clock.clone(),
        )
        .unwrap()
    }

    /// One turn of the index, and its recovery when it breaks.
    pub(crate) fn follow(&mut self) -> bool {
        let parts = self.parts();
        match parts.indexing.index_once() {
            Ok(Turned { has_more, .. }) => has_more,
            Err(IndexingError::Store(StoreError::Broken(_))) => true,
            Err(IndexingError::Index(_)) => {
                let why = parts.index.reopen(parts.store.head()).unwrap();
                assert_eq!(why, None, "the index was not usable after a broken step");
                true
            }
            Err(error) => panic!("the index cannot follow: {error}"),
        }
    }

    /// Goes on until every source has read its history and sealed what came before now, and a moment comes at which as
    /// much is held as upstream has shown.
    pub(crate) async fn settle(&mut self) {
        let begun = self.clock.now();
        let mut looked = begun - TimeDelta::days(1);
        for _ in 0..20_000 {
            let turn = self.poll().await;
            // To look costs much, and what is late is found by sweeps, minutes apart.
            if turn == Turn::Called || self.clock.now() - looked < TimeDelta::minutes(6) {
                continue;
            }
            looked = self.clock.now();
            while self.follow() {}
            let sources = self.simulator.sources();
            let (board, store, now) = (self.board(), self.store(), self.clock.now());
            let is_done = |source: &Source| {
                let before = store
                    .progress(source)
                    .ok()
                    .and_then(|progress| progress.live_before);
                board.read(source).backfill_done && before.is_some_and(|before| before > begun)
            };
            if !sources.iter().all(is_done) {
                continue;
            }
            // What is lost or held twice ends here as well, for the invariants to name.
            if self.balance().is_empty() || now - begun > TimeDelta::hours(12) {
                return;
            }
        }
        let state = orgtrail::status::sources(&self.store(), None, self.clock.now());
        panic!("not settled after 20,000 turns: {state:#?}");
    }

    /// How often each text of each source was shown by now, less how often it is held; what is even is left out.
    fn balance(&mut self) -> BTreeMap<(String, String), i32> {
        let (store, now) = (self.store(), self.clock.now());
        let mut balance: BTreeMap<(String, String), i32> = BTreeMap::new();
        for source in self.simulator.sources() {
            for text in self.simulator.entries(&source, now) {
                *balance.entry((source.to_string(), text)).or_default() += 1;
            }
        }
        for event in store
            .events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX)
            .unwrap()
        {
            *balance
                .entry((event.source.to_string(), event.entry.get().to_owned()))
                .or_default() -= 1;
        }
        balance.retain(|_, left| *left != 0);
        balance
    }

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
        let snapshot = self.parts().index.snapshot();
        assert_eq!(snapshot.seq(), store.head(), "the index is behind");
        assert_eq!(
            snapshot.count(&Query::All, Range::default()).unwrap(),
            store.head().0
        );
        let hits = snapshot.hits(
            &Query::All,
            Range::default(),
            Order::Ascending,
            None,
            snapshot.seq(),
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

    /// The newest event that is held, and the newest that can be found.
    pub(crate) fn reached(&mut self) -> (Seq, Seq) {
        let parts = self.parts();
        (parts.store.head(), parts.index.checkpoint())
    }

    /// Everything that came of it, as text: what upstream saw, the log's rows, the ledger, and some answers. The log's own id,
    /// which is drawn anew each time, is in none of it.
    pub(crate) fn history(&mut self) -> String {
        let mut lines = Vec::new();
        for request in self.simulator.requests() {
            lines.push(format!("{request:?}"));
        }
        let (store, now) = (self.store(), self.clock.now());
        let all = store.events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX);
        for event in all.unwrap() {
            lines.push(format!("{event:?}"));
        }
        for row in store.sources().unwrap() {
            lines.push(format!("{:?}", store.progress(&row.source).unwrap()));
            lines.push(format!("{row:?}"));
        }
        lines.push(format!("{:?}", store.quota(CREDENTIAL).unwrap()));
        let board = self.board();
        let status = orgtrail::status::sources(&store, Some(&board), now).unwrap();
        lines.push(serde_json::to_string(&status).unwrap());
        let coverage = orgtrail::coverage::sources(&store, Some(&board), &Asked::default(), now);
        lines.push(serde_json::to_string(&coverage.unwrap()).unwrap());
        let snapshot = self.parts().index.snapshot();
        for query in [
            "",
            "action.type:create",
            "-action.type:create é*",
            "problem:* OR deep:*",
        ] {
            let question = Question {
                query: orgtrail::query::parse(query, now).unwrap(),
                range: Range::default(),
                order: Order::Descending,
            };
            // A field may not occur in this history: then that is the answer.
            match search::page(&store, &snapshot, &question, now, None, 200) {
                Ok(page) => lines.push(serde_json::to_string(&page.events).unwrap()),
                Err(error) => lines.push(error.to_string()),
            }
        }
        lines.join("\n")
    }

    /// No claim is stronger than what is held: of some proven stretches, everything that upstream could show when they were
    /// last scanned.
    pub(crate) fn claims_hold(&mut self, rng: &mut fastrand::Rng) {
        let store = self.store();
        let held: BTreeSet<(String, String)> = store
            .events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX)
            .unwrap()
            .into_iter()
            .map(|event| (event.source.to_string(), event.entry.get().to_owned()))
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
                        !is_claimed || held.contains(&(source.to_string(), text.clone())),
                        "{source} claims {piece:?} and lacks {text}"
                    );
                }
            }
        }
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
            let made = span.count();
            assert!(
                made <= self.plan.max_requests as usize,
                "{made} calls in the five minutes from {}",
                first.at
            );
        }
    }
}
