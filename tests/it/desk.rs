//! A log that is written by hand, its index, and the routes in front of them: for what needs no upstream.

use std::num::NonZeroU32;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::access::{ApiToken, Auth, Grant, PrincipalLimits};
use orgtrail::clock::Clock;
use orgtrail::durable::Breaker;
use orgtrail::engine::Engine;
use orgtrail::engine::tantivy::{Faults, Index};
use orgtrail::event::{Arrival, AuditEvent};
use orgtrail::follow::index::Indexing;
use orgtrail::health::Board;
use orgtrail::http::{self, Access, AccessSettings, AppState, Limits};
use orgtrail::position::{Seq, Source, Window, WindowKind};
use orgtrail::store::{AccessStore, NewToken, Page, SourceSeen, Store, Then};
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
    http: reqwest::Client,
    stop: CancellationToken,
    server: JoinSet<()>,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        Self::with(limits, Faults::default(), Auth::None, Clock::system()).await
    }

    /// With entries whose documents cannot be made.
    pub(crate) async fn with_faults(faults: Faults) -> Self {
        Self::with(Limits::default(), faults, Auth::None, Clock::system()).await
    }

    /// That answers those alone who send a token.
    pub(crate) async fn guarded() -> Self {
        Self::guarded_at(Clock::system()).await
    }

    /// The same, with another clock.
    pub(crate) async fn guarded_at(clock: Clock) -> Self {
        Self::with(Limits::default(), Faults::default(), Auth::Tokens, clock).await
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
        access.create_token(&token, self.clock.now()).unwrap();
        secret.reveal().to_owned()
    }

    async fn with(limits: Limits, faults: Faults, auth: Auth, clock: Clock) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = Store::open(&data, Breaker::default()).unwrap();
        let log_id = store.log_id();
        let (index, _) =
            Index::open_with_faults(&data, log_id, store.head(), Breaker::default(), faults)
                .unwrap();
        let app = AppState::new(
            store.clone(),
            Engine::Tantivy(index.clone()),
            Board::default(),
            clock.clone(),
            access(&data, auth),
        )
        .with_limits(limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let mut server = JoinSet::new();
        server.spawn(http::serve(listener, app, stop.clone()));
        Self {
            indexing: Indexing::new(store.clone(), index.clone(), clock.clone()),
            clock,
            store,
            index,
            url,
            dir,
            http: reqwest::Client::new(),
            stop,
            server,
        }
    }

    /// With the whole history of a simulated organization in it.
    pub(crate) async fn of_history(events: u64) -> Self {
        Self::of_history_with(events, Limits::default()).await
    }

    pub(crate) async fn of_history_with(events: u64, limits: Limits) -> Self {
        let config = SimConfig {
            events,
            accounts: 3,
            days: 60,
            ..SimConfig::default()
        };
        let clock = Clock::system();
        let simulator = Simulator::new(config, clock.reader());
        let mut desk = Self::with_limits(limits).await;
        for source in simulator.sources() {
            desk.keep(&source, &simulator.entries(&source, clock.now()));
        }
        desk.search_all();
        desk
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
        (answer.status(), answer.text().await.unwrap())
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
        self.server.join_next().await.unwrap().unwrap();
    }
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
