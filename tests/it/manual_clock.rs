//! The poller, the log and the index on a clock that is moved by hand, one turn at a time, against the real simulator over
//! real sockets. Months pass in seconds, and a crash is a drop.

mod checks;
mod damage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail::coverage::Asked;
use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::{Index, IndexError};
use orgtrail::engine::{Order, Range};
use orgtrail::follow::index::{Indexing, IndexingError, Turned};
use orgtrail::health::Board;
use orgtrail::poll::{BackfillSince, Following, Next, Outcome, Overlap, Poller, Settings};
use orgtrail::position::{Seq, Source};
use orgtrail::scrub::Scrub;
use orgtrail::search::{self, Question};
use orgtrail::store::{SourceSeen, Store, StoreError};
use orgtrail::upstream::{Quota, Saved, Timeouts, Upstream};
use orgtrail_simulator::{SimConfig, Simulator};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::engine_queries;

/// Where every clock that is moved by hand begins.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-08-03T08:00:00Z".parse().unwrap()
}

/// How a world is followed.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) max_requests: u32,
    pub(crate) failpoints: Failpoints,
    /// What is followed besides the organizations and the accounts they list.
    pub(crate) also: Vec<Source>,
    /// What a second credential follows. The first and the second take turns in being opened first.
    pub(crate) second: Vec<Source>,
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
            failpoints: Failpoints::default(),
            also: Vec::new(),
            second: Vec::new(),
            max_page_bytes: 64 * 1024 * 1024,
        }
    }
}

/// A call whose answer is still to come.
struct Unanswered {
    at: DateTime<Utc>,
    given_up: CancellationToken,
    outcome: Outcome,
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
    /// How often it was opened.
    opened: u32,
    /// Turns whose calls are not answered yet, with the time of their timeout.
    unanswered: Vec<Unanswered>,
    /// How long sources that hang do not answer.
    pub(crate) hang_for: TimeDelta,
    _servers: JoinSet<std::io::Result<()>>,
}

struct Parts {
    store: Store,
    index: Index,
    /// One for each credential.
    pollers: Vec<Poller>,
    scrub: Scrub,
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

/// The name of the second credential.
const SECOND: &str = "env:SECOND";

fn alone(source: &Source) -> SourceSeen {
    SourceSeen {
        source: source.clone(),
        organization: None,
        label: None,
        created_at: None,
    }
}

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
            opened: 0,
            unanswered: Vec::new(),
            hang_for: TimeDelta::seconds(30),
            _servers: servers,
        }
    }

    /// Opens everything, as often as it takes when steps are broken.
    fn parts(&mut self) -> &mut Parts {
        if self.parts.is_none() {
            self.opened += 1;
            let opened = (0..100).find_map(|_| match self.open() {
                Ok(parts) => Some(parts),
                Err(StoreError::InjectedFailure(_)) => None,
                Err(error) => panic!("could not open: {error}"),
            });
            self.parts = opened;
        }
        self.parts.as_mut().unwrap()
    }

    fn open(&self) -> Result<Parts, StoreError> {
        let (dir, failpoints) = (self.dir.path(), &self.plan.failpoints);
        let store = Store::open(dir, failpoints.clone())?;
        let (index, _) = match Index::open(dir, store.log_id(), store.head(), failpoints.clone()) {
            Err(IndexError::InjectedFailure(broken)) => return Err(broken.into()),
            opened => opened.unwrap(),
        };
        let board = Board::default();
        let mut pollers = Vec::new();
        let mut credentials = vec![CREDENTIAL];
        if !self.plan.second.is_empty() {
            credentials.push(SECOND);
        }
        // Whichever is opened first follows what both have.
        if self.opened.is_multiple_of(2) {
            credentials.reverse();
        }
        for credential in credentials {
            pollers.push(self.open_poller(&store, &board, credential)?);
        }
        let indexing = Indexing::new(store.clone(), index.clone(), self.local_clock.clone());
        let scrub = Scrub::new(store.clone(), self.local_clock.clone());
        Ok(Parts {
            store,
            index,
            pollers,
            scrub,
            indexing,
            board,
        })
    }

    fn open_poller(
        &self,
        store: &Store,
        board: &Board,
        credential: &str,
    ) -> Result<Poller, StoreError> {
        let saved = store.quota(credential)?;
        let saved = saved.map(|row| {
            let left = row.as_of(self.local_clock.now());
            Saved {
                mark: (row.saved_at, row.wait),
                spent_for: left.spent_for,
                wait: left.wait,
            }
        });
        let quota = Quota::new(self.plan.max_requests, saved, self.clock.steady());
        let following = match credential {
            SECOND => Following {
                sources: self.plan.second.iter().map(alone).collect(),
                ..Following::default()
            },
            _ => self.first_follows(),
        };
        let by_themselves = self.plan.also.iter().chain(&self.plan.second);
        Poller::new(
            store.clone(),
            self.upstream(credential, quota),
            credential.to_owned(),
            Following {
                by_themselves: by_themselves.cloned().collect(),
                ..following
            },
            self.plan.settings.clone(),
            board.clone(),
            self.local_clock.clone(),
        )
    }

    fn first_follows(&self) -> Following {
        let organizations = self.simulator.organization_ids();
        let own: Vec<Source> = organizations
            .iter()
            .map(|id| Source::organization(id).unwrap())
            .collect();
        Following {
            sources: own.iter().chain(&self.plan.also).map(alone).collect(),
            listed: organizations.clone(),
            listed_by_all: Some(organizations.clone()),
            members_of: organizations,
            ..Following::default()
        }
    }

    /// Upstream as a credential sees it.
    fn upstream(&self, credential: &str, quota: Quota) -> Upstream {
        let token: orgtrail::upstream::ReadToken = if credential == CREDENTIAL {
            let file = Arc::clone(&self.token);
            Arc::new(move || Ok(file.lock().unwrap().as_str().into()))
        } else {
            let token = format!("token-of-{}", credential.replace(':', "-"));
            Arc::new(move || Ok(token.as_str().into()))
        };
        Upstream::new(
            self.base_url.parse().unwrap(),
            token,
            quota,
            self.local_clock.clone(),
            Timeouts::default(),
        )
        .unwrap()
        .taking_at_most(self.plan.max_page_bytes)
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

    /// One turn of a poller: a call, or the clock moved on to where one wants to be asked again.
    pub(crate) async fn poll(&mut self) -> Turn {
        let now = self.clock.now();
        let mut wake_at = DateTime::<Utc>::MAX_UTC;
        for at in 0..self.parts().pollers.len() {
            match self.parts().pollers[at].next_turn(now) {
                Next::Turn(turn) => {
                    let outcome = turn.perform().await;
                    self.parts().pollers[at].record_outcome(outcome).unwrap();
                    return Turn::Called;
                }
                Next::Wait(until) => wake_at = wake_at.min(until),
            }
        }
        let wait = (wake_at - now).max(TimeDelta::milliseconds(1));
        self.clock.advance(wait);
        Turn::Waited(wait)
    }

    /// Whether every poller waits now. No time passes.
    pub(crate) fn all_wait(&mut self) -> bool {
        let now = self.clock.now();
        let mut pollers = self.parts().pollers.iter_mut();
        pollers.all(|poller| matches!(poller.next_turn(now), Next::Wait(_)))
    }

    /// As [`World::poll`], with many calls under way at once: those of sources that hang end 30 seconds later, or as long
    /// as is set, unless they are given up. The clock does not move further than to `end`.
    pub(crate) async fn poll_beside(&mut self, hanging: &[Source], end: DateTime<Utc>) {
        let now = self.clock.now();
        let is_due = |one: &Unanswered| one.at <= now || one.given_up.is_cancelled();
        let due = self.unanswered.iter().position(is_due);
        if let Some(due) = due {
            let outcome = self.unanswered.remove(due).outcome;
            self.parts().pollers[0].record_outcome(outcome).unwrap();
            return;
        }
        match self.parts().pollers[0].next_turn(now) {
            Next::Turn(turn) => {
                let given_up = turn.given_up();
                let outcome = turn.perform().await;
                let call = self.simulator.requests().pop().unwrap();
                let is_unanswered = hanging
                    .iter()
                    .any(|source| call.path_and_query.contains(&format!("/{}/", source.id())));
                if is_unanswered {
                    self.unanswered.push(Unanswered {
                        at: now + self.hang_for,
                        given_up,
                        outcome,
                    });
                } else {
                    self.parts().pollers[0].record_outcome(outcome).unwrap();
                }
            }
            Next::Wait(until) => {
                let timeouts = self.unanswered.iter().map(|one| one.at);
                let until = timeouts.chain([until, end]).min().unwrap();
                self.clock
                    .advance((until - now).max(TimeDelta::milliseconds(1)));
            }
        }
    }

    /// A poller with another credential on the same log, which follows `sources`.
    pub(crate) fn another_poller(&mut self, credential: &str, sources: &[Source]) -> Poller {
        let quota = Quota::new(self.plan.max_requests, None, self.clock.steady());
        let upstream = self.upstream(credential, quota);
        let following = Following {
            sources: sources.iter().map(alone).collect(),
            ..Following::default()
        };
        let (store, board) = (self.store(), self.board());
        Poller::new(
            store,
            upstream,
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
            Err(IndexingError::Store(StoreError::InjectedFailure(_))) => true,
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
        let state = orgtrail::status::sources(
            &self.store(),
            None,
            &orgtrail::engine::Scope::everything(),
            self.clock.now(),
        );
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
        for credential in [CREDENTIAL, SECOND] {
            lines.push(format!("{:?}", store.quota(credential).unwrap()));
        }
        let board = self.board();
        let status = orgtrail::status::sources(
            &store,
            Some(&board),
            &orgtrail::engine::Scope::everything(),
            now,
        )
        .unwrap();
        lines.push(serde_json::to_string(&status).unwrap());
        let coverage = orgtrail::coverage::sources(
            &store,
            Some(&board),
            &orgtrail::engine::Scope::everything(),
            &Asked::default(),
            now,
        );
        lines.push(serde_json::to_string(&coverage.unwrap()).unwrap());
        let engine_queries::Asked { view, caller } =
            engine_queries::Asked::index(&self.parts().index);
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
            match search::page(&store, &view, &caller, &question, now, None, 200) {
                Ok(page) => lines.push(serde_json::to_string(&page.events).unwrap()),
                Err(error) => lines.push(error.to_string()),
            }
        }
        lines.join("\n")
    }
}
