//! A log that is written by hand, its index, and the routes in front of them: for what needs no upstream.

use std::num::NonZeroU32;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::access::{ApiToken, Auth, Grant, PrincipalLimits};
use orgtrail::attest::{Attest, EvidenceConfig, PublishedLogs};
use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::{Faults, Index};
use orgtrail::engine::{Engine, Memory};
use orgtrail::event::{Arrival, AuditEvent};
use orgtrail::evidence::LogKey;
use orgtrail::follow::Follower as _;
use orgtrail::follow::index::Indexing;
use orgtrail::health::Board;
use orgtrail::http::{self, Access, AccessSettings, AppState, Limits};
use orgtrail::position::{Seq, Source, Window, WindowKind};
use orgtrail::store::{AccessEntry, AccessStore, NewToken, Page, SourceSeen, Store, Then};
use orgtrail::tls::Tls;
use orgtrail_simulator::{SimConfig, Simulator};
use reqwest::StatusCode;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many entries are kept in one transaction.
const PAGE: usize = 1_000;

pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) index: Index,
    pub(crate) url: String,
    dir: tempfile::TempDir,
    clock: Clock,
    indexing: Indexing,
    attest: Attest,
    http: reqwest::Client,
    stop: CancellationToken,
    server: JoinSet<()>,
    /// Answers the same questions from the plain engine.
    other: Option<OtherEngine>,
}

/// The plain engine over the same log, behind the same routes.
struct OtherEngine {
    memory: Memory,
    url: String,
}

/// A transparency log whose key is always the same.
fn evidence(dir: &Path) -> EvidenceConfig {
    let key_file = dir.join("evidence.pem");
    std::fs::write(&key_file, LogKey::from_seed(&[7; 32]).to_pem()).unwrap();
    EvidenceConfig {
        origin: "log.example.com/orgtrail".to_owned(),
        key_file,
        checkpoint_every: TimeDelta::minutes(1),
        public: false,
        witnesses: Vec::new(),
        quorum: 0,
    }
}

impl Desk {
    pub(crate) async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        Self::with(limits, Faults::default(), Auth::None).await
    }

    /// Whose every answer is checked to be the same from both engines, Tantivy and the one in memory.
    pub(crate) async fn on_both_engines() -> Self {
        let mut desk = Self::new().await;
        let memory = Memory::default();
        let app = AppState::new(
            desk.store.clone(),
            Engine::Memory(memory.clone()),
            Board::default(),
            Clock::system(),
            access(&desk.data_dir(), Auth::None),
        );
        let (url, listener) = listener().await;
        desk.server
            .spawn(http::serve(listener, app, desk.stop.clone()));
        desk.other = Some(OtherEngine { memory, url });
        desk
    }

    /// With entries whose documents cannot be made.
    pub(crate) async fn with_faults(faults: Faults) -> Self {
        Self::with(Limits::default(), faults, Auth::None).await
    }

    /// That answers those alone who send a token.
    pub(crate) async fn guarded() -> Self {
        Self::guarded_with(Limits::default()).await
    }

    /// The same with other limits.
    pub(crate) async fn guarded_with(limits: Limits) -> Self {
        Self::with(limits, Faults::default(), Auth::Tokens).await
    }

    /// The same with another clock.
    pub(crate) async fn guarded_at(clock: Clock) -> Self {
        let (limits, faults) = (Limits::default(), Faults::default());
        Self::of(limits, faults, Auth::Tokens, None, clock).await
    }

    /// That answers those alone who send a token, over TLS.
    pub(crate) async fn over_tls(limits: Limits, tls: Tls) -> Self {
        let (faults, clock) = (Faults::default(), Clock::system());
        Self::of(limits, faults, Auth::Tokens, Some(tls), clock).await
    }

    /// A new token.
    pub(crate) fn token(&self, grant: Grant) -> String {
        let secret = ApiToken::generate().unwrap();
        let token = NewToken {
            name: "test".to_owned(),
            hash: secret.hash(),
            grant,
            expires_at: None,
        };
        let access = AccessStore::open(&self.data_dir()).unwrap();
        let line = AccessEntry {
            time: self.clock.now(),
            principal: "test".to_owned(),
            address: None,
            action: "token.create".to_owned(),
            route: "test".to_owned(),
            parameters: String::new(),
            results: None,
            duration_ms: None,
            status: None,
        };
        let created = access.create_token(&token, self.clock.now(), |_| line);
        created.unwrap();
        secret.reveal().to_owned()
    }

    async fn with(limits: Limits, faults: Faults, auth: Auth) -> Self {
        Self::of(limits, faults, auth, None, Clock::system()).await
    }

    async fn of(
        limits: Limits,
        faults: Faults,
        auth: Auth,
        tls: Option<Tls>,
        clock: Clock,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = Store::open(&data, Failpoints::default()).unwrap();
        let log_id = store.log_id();
        let (index, _) =
            Index::open_with_faults(&data, log_id, store.head(), Failpoints::default(), faults)
                .unwrap();
        let app = AppState::new(
            store.clone(),
            Engine::Tantivy(index.clone()),
            Board::default(),
            clock.clone(),
            access(&data, auth),
        )
        .with_limits(limits)
        .with_tls(tls.clone());
        let evidence = evidence(dir.path());
        let published = PublishedLogs::open(&evidence, &store, &Failpoints::default()).unwrap();
        let app = app.with_evidence(Some(published.clone()));
        let (mut url, listener) = listener().await;
        if tls.is_some() {
            url = url.replace("http://", "https://");
        }
        let stop = CancellationToken::new();
        let mut server = JoinSet::new();
        server.spawn(http::serve(listener, app, stop.clone()));
        Self {
            indexing: Indexing::new(store.clone(), index.clone(), clock.clone()),
            attest: Attest::new(store.clone(), evidence, published, clock.clone()),
            clock,
            store,
            index,
            url,
            dir,
            // Answers are as large as they are.
            http: reqwest::Client::builder().no_gzip().build().unwrap(),
            stop,
            server,
            other: None,
        }
    }

    /// With the whole history of a simulated organization in it.
    pub(crate) async fn of_history(events: u64) -> Self {
        Self::of_history_with(events, Limits::default()).await
    }

    /// The same history on both engines.
    pub(crate) async fn of_history_on_both_engines(events: u64) -> Self {
        let mut desk = Self::on_both_engines().await;
        desk.keep_history(events);
        desk
    }

    pub(crate) async fn of_history_with(events: u64, limits: Limits) -> Self {
        let mut desk = Self::with_limits(limits).await;
        desk.keep_history(events);
        desk
    }

    fn keep_history(&mut self, events: u64) {
        let config = SimConfig {
            events,
            accounts: 3,
            days: 60,
            ..SimConfig::default()
        };
        let clock = Clock::system();
        let simulator = Simulator::new(config, clock.reader());
        for source in simulator.sources() {
            self.keep(&source, &simulator.entries(&source, clock.now()));
        }
        self.search_all();
    }

    /// Signs everything that is there.
    pub(crate) fn sign(&mut self) {
        while self.attest.turn_once().unwrap().has_more {}
    }

    /// Keeps entries, in this order.
    pub(crate) fn keep(&self, source: &Source, entries: &[String]) {
        let now = self.clock.now();
        let seen = SourceSeen {
            source: source.clone(),
            organization: None,
            label: None,
            created_at: None,
        };
        self.store.save_sources(&[seen], now).unwrap();
        for entries in entries.chunks(PAGE) {
            self.keep_page(source, entries, now);
        }
    }

    fn keep_page(&self, source: &Source, entries: &[String], now: DateTime<Utc>) {
        let window = Window::new(now - TimeDelta::hours(1), now);
        let kind = WindowKind::Live;
        let window = self.store.begin_window(source, kind, window, now).unwrap();
        let entries = entries.iter();
        let page = Page {
            window: window.id,
            asked: None,
            resumed: None,
            limit: None,
            claim_since: chrono::DateTime::UNIX_EPOCH,
            arrivals: entries
                .map(|text| Arrival::read(RawValue::from_string(text.clone()).unwrap()))
                .collect(),
            then: Then::Seal,
            claim_before: now,
            received_at: now,
            sealed_at: now,
        };
        self.store.append(&page).unwrap();
    }

    /// Makes everything that is kept searchable.
    pub(crate) fn search_all(&mut self) {
        self.indexing.catch_up().unwrap();
        assert_eq!(self.index.checkpoint(), self.store.head());
        if let Some(other) = &self.other {
            other.add_new(&self.events());
        }
    }

    /// Every event, in the order of arrival.
    pub(crate) fn events(&self) -> Vec<AuditEvent> {
        let limit = usize::MAX >> 1;
        self.store
            .events_after(Seq::ZERO, limit, usize::MAX)
            .unwrap()
    }

    pub(crate) async fn ask(&self, path: &str) -> (StatusCode, String) {
        let answer = self.open(path).await;
        let answer = (answer.status(), answer.text().await.unwrap());
        if let Some(other) = &self.other {
            let url = format!("{}{path}", other.url);
            let second = self.http.get(url).send().await.unwrap();
            let second = (second.status(), second.text().await.unwrap());
            assert_eq!(comparable(&second), comparable(&answer), "{path}");
        }
        answer
    }

    /// An answer whose body is still to be read.
    pub(crate) async fn open(&self, path: &str) -> reqwest::Response {
        let url = format!("{}{path}", self.url);
        self.http.get(url).send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) async fn count(&self, question: &str) -> u64 {
        let answer = self.get(&format!("/v1/count?{question}")).await;
        answer["count"].as_u64().unwrap()
    }

    /// Where everything is kept.
    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Lets go of everything but the directory, so that another process can use it.
    pub(crate) async fn close(mut self) -> tempfile::TempDir {
        self.stop().await;
        self.index.close().unwrap();
        self.dir
    }

    /// Stops answering, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.server.join_next().await {
            ended.unwrap();
        }
    }
}

impl OtherEngine {
    /// Adds the events that it does not have yet, each with the revision that it replaces.
    fn add_new(&self, events: &[AuditEvent]) {
        let known = Engine::Memory(self.memory.clone()).view().seq();
        let added = events.iter().enumerate();
        let added = added.filter(|(_, event)| event.seq > known);
        self.memory.add_all(added.map(|(at, event)| {
            let is_same = |other: &&AuditEvent| {
                event.revision > 0 && other.source == event.source && other.id == event.id
            };
            let replaced = events[..at].iter().rfind(is_same);
            (event, replaced.map(|event| event.seq))
        }));
    }
}

/// An address, and who listens there.
async fn listener() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (url, listener)
}

/// What two engines must answer alike: all but the time of the answer, which is also in cursors and in what is proven as of then.
fn comparable((status, body): &(StatusCode, String)) -> (StatusCode, Value) {
    let mut body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body.as_str()));
    if let Value::Object(members) = &mut body {
        members.remove("coverage");
        // `now-2d` begins at another moment in each.
        members.remove("range");
        for cursor in ["next_cursor", "previous_cursor"] {
            if let Some(cursor) = members.get_mut(cursor) {
                *cursor = Value::Bool(cursor.is_string());
            }
        }
    }
    (*status, body)
}

/// Access with no limits that a test could meet.
fn access(data: &Path, auth: Auth) -> Access {
    let limits = PrincipalLimits {
        requests_per_minute: NonZeroU32::MAX,
        ..PrincipalLimits::default()
    };
    let settings = AccessSettings {
        auth,
        public_url: None,
        cors_origins: Vec::new(),
        trusted_proxies: Vec::new(),
        forwarded_header: orgtrail::access::ForwardedHeader::default(),
        cloudflare: None,
        limits,
    };
    Access::new(AccessStore::open(data).unwrap(), settings, None)
}

/// Where entries that are made up here belong.
pub(crate) fn account() -> Source {
    Source::account("f00d").unwrap()
}
