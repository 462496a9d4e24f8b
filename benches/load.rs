//! What a crowd does to one analyst and to the poller: the analyst's questions and how far collecting is behind, first alone, then
//! beside idle connections, clients that read a byte a second, concurrent searches and a principal over its limit.
//!
//! `cargo bench --bench load -- 200000` collects so many events from the simulated upstream first. It needs 11,000 open files.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails has no result, and its result is what it prints"
)]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Default number of events.
const DEFAULT_SIZE: u64 = 100_000;

/// How long each part lasts.
const PART: Duration = Duration::from_secs(30);

/// The crowd.
const IDLE: usize = 10_000;
const SLOW_READERS: usize = 50;
const SEARCHES: usize = 64;
const SEARCHERS: usize = 8;

/// How often the analyst asks.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What the analyst asks, in turn; each is asked about another hour, so that nothing is answered twice.
const QUESTIONS: [&str; 4] = [
    "/v1/events?q=action.type:delete&limit=50",
    "/v1/count?q=dns",
    "/v1/facets?field=actor.email",
    "/v1/histogram?q=-action.type:create",
];

/// What the crowd searches.
const COSTLY: [&str; 2] = [
    "/v1/facets?field=resource.id&field=actor.ip_address&q=*e*",
    "/v1/events?q=*exam*%20-*xyz*&count=true&histogram=auto",
];

struct Service {
    url: String,
    address: String,
    config: String,
    process: Child,
    http: reqwest::Client,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _waited = self.process.wait();
    }
}

fn orgtrail(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    command.args(args).stderr(Stdio::null());
    command
}

/// A port that was free a moment ago.
async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

impl Service {
    async fn start(dir: &Path, upstream: u16) -> Self {
        let port = free_port().await;
        let token = dir.join("token");
        std::fs::write(&token, "any-token").unwrap();
        let config = dir.join("orgtrail.toml");
        let text = format!(
            "data_dir = '{}'\n[http]\nlisten = \"127.0.0.1:{port}\"\nauth = \"tokens\"\n\
             [upstream]\nbase_url = \"http://127.0.0.1:{upstream}/client/v4\"\ntoken_file = '{}'\nmax_requests = 100000\n\
             [poll]\ninterval = \"5s\"\nmax_interval = \"5s\"\n[[organizations]]\nid = \"{}\"\n",
            dir.join("data").display(),
            token.display(),
            organization(upstream).await,
        );
        std::fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap().to_owned();
        let mut process = orgtrail(&["serve", "--config", &config]);
        let process = process.stdout(Stdio::null()).spawn().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let service = Self {
            url: format!("http://127.0.0.1:{port}"),
            address: format!("127.0.0.1:{port}"),
            config,
            process,
            http,
        };
        while service
            .http
            .get(format!("{}/readyz", service.url))
            .send()
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        service
    }

    fn token(&self, name: &str, scopes: &str) -> String {
        let args = [
            "token",
            "create",
            name,
            "--scope",
            scopes,
            "--json",
            "--config",
            &self.config,
        ];
        let Output { stdout, .. } = orgtrail(&args).output().unwrap();
        let created: Value = serde_json::from_slice(&stdout).unwrap();
        created["token"].as_str().unwrap().to_owned()
    }

    /// Asks until there is an answer that is not a refusal; how often it was refused.
    async fn ask(&self, token: &str, path: &str) -> (u64, Value) {
        let mut refused = 0;
        loop {
            let request = self
                .http
                .get(format!("{}{path}", self.url))
                .bearer_auth(token);
            if let Ok(answer) = request.send().await
                && answer.status() == StatusCode::OK
                && let Ok(value) = answer.json().await
            {
                return (refused, value);
            }
            refused += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How far the source that is furthest behind is collected, in seconds.
    async fn lag(&self, token: &str) -> f64 {
        let request = self
            .http
            .get(format!("{}/metrics", self.url))
            .bearer_auth(token);
        let Ok(answer) = request.send().await else {
            return f64::NAN;
        };
        let text = answer.text().await.unwrap_or_default();
        let lags = text
            .lines()
            .filter(|line| line.starts_with("orgtrail_source_lag_seconds"));
        let lags = lags.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        lags.fold(f64::NAN, f64::max)
    }
}

/// The organization of the simulated upstream, when it answers.
async fn organization(upstream: u16) -> String {
    let url = format!("http://127.0.0.1:{upstream}/client/v4/organizations");
    loop {
        let request = reqwest::Client::new().get(&url).bearer_auth("any-token");
        if let Ok(answer) = request.send().await
            && let Ok(list) = answer.json::<Value>().await
            && let Some(id) = list["result"][0]["id"].as_str()
        {
            return id.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks as the analyst for a while, and prints how that went.
async fn measure(what: &str, service: &Service, analyst: &str, metrics: &str) {
    let begun = Instant::now();
    let (mut took, mut refused, mut lag) = (Vec::new(), 0, f64::NAN);
    let mut hour = 0_u64;
    while begun.elapsed() < PART {
        for question in QUESTIONS {
            hour += 1;
            let path = format!("{question}&since=now-{}h", 24 * 500 - hour % 2_000);
            let asked = Instant::now();
            refused += service.ask(analyst, &path).await.0;
            took.push(asked.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(ASK_EVERY).await;
        }
        lag = lag.max(service.lag(metrics).await);
    }
    took.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| took[(part * (took.len() - 1) as f64) as usize];
    println!(
        "{what}: {} questions of the analyst, {refused} refused, p50 {:.1} ms, p99 {:.1} ms; collecting is at most {lag:.1} s behind",
        took.len(),
        at(0.5),
        at(0.99),
    );
}

/// What the crowd met.
#[derive(Default)]
struct Met {
    opened: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    over_limit: AtomicU64,
}

/// The crowd, until it is dropped.
fn crowd(service: &Arc<Service>, met: &Arc<Met>) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    let address = service.address.clone();
    let of_idle = Arc::clone(met);
    crowd.spawn(async move {
        let mut open = Vec::new();
        for _ in 0..IDLE {
            if let Ok(connection) = TcpStream::connect(&address).await {
                of_idle.opened.fetch_add(1, Ordering::Relaxed);
                open.push(connection);
            }
        }
        std::future::pending::<()>().await;
    });
    let reader = service.token("reader", "search,export");
    for _ in 0..SLOW_READERS {
        crowd.spawn(read_slowly(service.address.clone(), reader.clone()));
    }
    let tokens: Vec<String> = (0..SEARCHERS)
        .map(|n| service.token(&format!("searcher-{n}"), "search"))
        .collect();
    for n in 0..SEARCHES {
        let (service, token, met) = (
            Arc::clone(service),
            tokens[n % SEARCHERS].clone(),
            Arc::clone(met),
        );
        crowd.spawn(async move {
            loop {
                let (refused, _) = service.ask(&token, COSTLY[n % COSTLY.len()]).await;
                met.answered.fetch_add(1, Ordering::Relaxed);
                met.refused.fetch_add(refused, Ordering::Relaxed);
            }
        });
    }
    let greedy = service.token("greedy", "search");
    let (service, met) = (Arc::clone(service), Arc::clone(met));
    crowd.spawn(async move {
        loop {
            let request = service
                .http
                .get(format!("{}/v1/me", service.url))
                .bearer_auth(&greedy);
            match request.send().await {
                Ok(answer) if answer.status() == StatusCode::TOO_MANY_REQUESTS => {
                    met.over_limit.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
    });
    crowd
}

/// Requests everything, and reads a byte a second; begins again when the connection ends.
async fn read_slowly(address: String, token: String) {
    let request = format!(
        "GET /v1/export HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    loop {
        if let Ok(mut connection) = TcpStream::connect(&address).await
            && connection.write_all(request.as_bytes()).await.is_ok()
        {
            while connection.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::main]
async fn main() {
    let size = std::env::args().filter_map(|arg| arg.parse().ok()).next();
    let size: u64 = size.unwrap_or(DEFAULT_SIZE);
    let dir = tempfile::tempdir().unwrap();
    let upstream = free_port().await;
    let mut simulator = orgtrail(&[
        "simulate",
        "--events",
        &size.to_string(),
        "--accounts",
        "20",
        "--lag",
        "0s",
        "--live-per-minute",
        "600",
        "--listen",
        &format!("127.0.0.1:{upstream}"),
    ]);
    let mut simulator = simulator.stdout(Stdio::null()).spawn().unwrap();
    let service = Arc::new(Service::start(dir.path(), upstream).await);
    let (analyst, metrics) = (
        service.token("analyst", "search"),
        service.token("monitor", "metrics"),
    );
    let begun = Instant::now();
    loop {
        let (_, count) = service.ask(&analyst, "/v1/count").await;
        if count["count"].as_u64().is_some_and(|count| count >= size) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!(
        "{size} events collected in {:.0} s",
        begun.elapsed().as_secs_f64()
    );

    measure("alone", &service, &analyst, &metrics).await;
    let met = Arc::new(Met::default());
    let crowd = crowd(&service, &met);
    measure("in the crowd", &service, &analyst, &metrics).await;
    drop(crowd);
    let seen = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "the crowd: {} idle connections opened, {SLOW_READERS} slow readers, {SEARCHES} searches at once ({} answered, {} refused), {} requests over the limit refused",
        seen(&met.opened),
        seen(&met.answered),
        seen(&met.refused),
        seen(&met.over_limit),
    );
    simulator.kill().unwrap();
    simulator.wait().unwrap();
}
