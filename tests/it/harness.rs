//! The whole service against an upstream, and what a user can see of it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::time::{Duration, Instant};

use orgtrail::clock::Clock;
use orgtrail::config::Config;
use orgtrail::service;
use orgtrail_simulator::{SimConfig, Simulator};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until `is_so`, looking every few milliseconds.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A simulator that answers on this machine.
pub(crate) struct Upstream {
    pub(crate) simulator: Simulator,
    pub(crate) base_url: String,
    _server: JoinSet<std::io::Result<()>>,
}

impl Upstream {
    pub(crate) async fn new(config: SimConfig) -> Self {
        let simulator = Simulator::new(
            SimConfig {
                quota: 1_000_000,
                ..config
            },
            Clock::system().reader(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/client/v4", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(simulator.clone().serve(listener, std::future::pending()));
        Self {
            simulator,
            base_url,
            _server: server,
        }
    }

    /// The configuration of a service that follows it, keeping its data in `dir`.
    pub(crate) fn configuration(&self, dir: &Path) -> String {
        let organization = self.simulator.organization_id();
        configuration(
            dir,
            &self.base_url,
            &format!("[[organizations]]\nid = \"{organization}\""),
        )
    }
}

/// The configuration of a service that follows `sources` of the upstream at `base_url`, keeping its data in `dir`.
pub(crate) fn configuration(dir: &Path, base_url: &str, sources: &str) -> String {
    let token_file = dir.join("token");
    std::fs::write(&token_file, "any-token").unwrap();
    format!(
        "data_dir = '{}'\n[http]\nauth = \"none\"\n[upstream]\nbase_url = \"{base_url}\"\ntoken_file = '{}'\n\
         max_requests = 100000\n[poll]\ninterval = \"1s\"\nmax_interval = \"1s\"\nbackfill_since = \"40d\"\n{sources}\n",
        dir.join("data").display(),
        token_file.display(),
    )
}

/// Somebody who asks a service.
pub(crate) struct Client {
    pub(crate) url: String,
    http: reqwest::Client,
}

/// A running service, and somebody who asks it.
pub(crate) struct Service {
    client: Client,
    stop: CancellationToken,
    running: JoinSet<anyhow::Result<()>>,
}

impl Deref for Service {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Service {
    pub(crate) async fn start(configuration: &str) -> Self {
        Self::start_at(configuration, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// At an address that another one had before.
    pub(crate) async fn start_at(configuration: &str, address: SocketAddr) -> Self {
        let config = Config::parse(configuration, "test.toml", std::iter::empty()).unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        let told = stop.clone();
        running.spawn(async move {
            let service = service::open(config, Clock::system()).await?;
            service.run(listener, told).await
        });
        Self {
            client: Client::new(url),
            stop,
            running,
        }
    }

    /// Stops in order, and tells how that went.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.join_next().await.unwrap().unwrap()
    }

    /// How the service ends when nobody stops it.
    pub(crate) async fn ends(mut self) -> anyhow::Result<()> {
        self.running.join_next().await.unwrap().unwrap()
    }
}

impl Client {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            http: reqwest::Client::new(),
        }
    }

    /// What is answered to a request, whatever it is.
    pub(crate) async fn ask(&self, path: &str) -> (StatusCode, String) {
        let answer = self
            .http
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// The JSON that is answered to a request that is right.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) async fn count(&self, question: &str) -> u64 {
        self.get(&format!("/v1/count?{question}")).await["count"]
            .as_u64()
            .unwrap()
    }

    /// Waits until the answer to a request is as wanted.
    pub(crate) async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.get(path).await;
            if is_so(&answer) {
                return answer;
            }
            assert!(
                begun.elapsed() < DEADLINE,
                "waited too long at {path}: {answer:#}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all history is read and searchable; gives how many events there are.
    pub(crate) async fn settle(&self, n_sources: usize) -> u64 {
        self.until("/v1/sources", |answer| {
            let sources = answer["sources"].as_array().unwrap();
            sources.len() == n_sources
                && sources.iter().all(|source| source["backfill_done"] == true)
        })
        .await;
        let ready = self
            .until("/readyz", |answer| answer["index"]["state"] == "current")
            .await;
        ready["index"]["held"].as_u64().unwrap()
    }
}

/// The raw text of each entry in an answer to `/v1/events`.
pub(crate) fn raw_entries(body: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        events: Vec<Event<'a>>,
    }
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        entry: &'a serde_json::value::RawValue,
    }
    let page: Page<'_> = serde_json::from_str(body).unwrap();
    page.events
        .iter()
        .map(|event| event.entry.get().to_owned())
        .collect()
}
