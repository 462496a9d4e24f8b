//! How long after an event is searchable the message about its alert arrives: the whole program beside the simulated upstream, with a rule
//! that every entry matches, and a receiver on this machine.
//!
//! `cargo bench --bench delivered -- 500` waits for so many alerts.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails has no result, and its result is what it prints"
)]

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use orgtrail::clock::Clock;
use orgtrail_simulator::{SimConfig, Simulator};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Default number of alerts.
const DEFAULT_ALERTS: usize = 300;

/// How often it is asked what is searchable.
const ASK_EVERY: Duration = Duration::from_millis(5);

const RULE: &str = "
title: Everything
id: everything
logsource: {product: cloudflare, service: audit}
detection: {s: {action.time|exists: true}, condition: s}
level: high
";

/// When events were seen first, by `seq`.
type SeenAt = Arc<Mutex<HashMap<u64, Instant>>>;

/// Kills the service at the end.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}

fn configure(dir: &Path, upstream: &str, organization: &str, port: u16, hook: &str) {
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    std::fs::create_dir(dir.join("rules")).unwrap();
    write("rules/everything.yml", RULE);
    let (url, key) = (
        write("url", hook),
        write("key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    );
    let (token, data) = (write("token", "any-token"), dir.join("data"));
    let text = format!(
        "data_dir = '{}'\n[http]\nlisten = \"127.0.0.1:{port}\"\nauth = \"none\"\n\
         [upstream]\nbase_url = \"{upstream}/client/v4\"\ntoken_file = '{token}'\nmax_requests = 100000\n\
         [poll]\ninterval = \"1s\"\nmax_interval = \"1s\"\nbackfill_since = \"1h\"\n\
         [alerts]\nrules_dir = '{}'\nallow_private_networks = true\ndigest_above = 1000\n\
         [[alerts.destinations]]\nname = \"receiver\"\nkind = \"webhook\"\nurl_file = '{url}'\nsecret_file = '{key}'\nrules = [\"everything\"]\n\
         [[organizations]]\nid = \"{organization}\"\n",
        data.display(),
        dir.join("rules").display(),
    );
    write("orgtrail.toml", &text);
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Notes when the message about each event arrived.
async fn take(State(arrived): State<SeenAt>, body: Bytes) {
    let now = Instant::now();
    let message: Value = serde_json::from_slice(&body).unwrap();
    for seq in message["data"]["events"].as_array().into_iter().flatten() {
        let seq = seq.as_u64().unwrap();
        arrived.lock().unwrap().entry(seq).or_insert(now);
    }
}

/// Notes when each event was searchable.
async fn search(url: String, searchable: SeenAt) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    loop {
        let newest = http.get(format!("{url}/v1/events?limit=100")).send().await;
        if let Ok(answer) = newest
            && let Ok(page) = answer.json::<Value>().await
        {
            let now = Instant::now();
            for event in page["events"].as_array().into_iter().flatten() {
                let seq = event["seq"].as_u64().unwrap();
                searchable.lock().unwrap().entry(seq).or_insert(now);
            }
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().filter_map(|arg| arg.parse().ok());
    let alerts: usize = numbers.next_back().unwrap_or(DEFAULT_ALERTS);
    let config = SimConfig {
        events: 100,
        days: 1,
        live_per_minute: 300.0,
        quota: 1_000_000,
        ..SimConfig::default()
    };
    let simulator = Simulator::new(config, Clock::system().reader());
    let organization = simulator.organization_ids().remove(0);
    let mut tasks = JoinSet::new();
    let (upstream, upstream_port) = listener().await;
    tasks.spawn(async move { drop(simulator.serve(upstream, std::future::pending()).await) });
    let (receiver, hook_port) = listener().await;
    let (searchable, arrived) = (SeenAt::default(), SeenAt::default());
    let app = Router::new()
        .fallback(take)
        .with_state(Arc::clone(&arrived));
    tasks.spawn(async move { axum::serve(receiver, app).await.unwrap() });
    let port = listener().await.1;
    let dir = tempfile::tempdir().unwrap();
    let (base, hook) = (
        format!("http://127.0.0.1:{upstream_port}"),
        format!("http://127.0.0.1:{hook_port}/"),
    );
    configure(dir.path(), &base, &organization, port, &hook);
    let mut serve = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    serve
        .args(["serve", "--config"])
        .arg(dir.path().join("orgtrail.toml"));
    let _service = Service(
        serve
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    tasks.spawn(search(
        format!("http://127.0.0.1:{port}"),
        Arc::clone(&searchable),
    ));
    while arrived.lock().unwrap().len() < alerts {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (searchable, arrived) = (searchable.lock().unwrap(), arrived.lock().unwrap());
    let known = arrived
        .iter()
        .filter_map(|(seq, at)| Some((searchable.get(seq)?, at)));
    let mut took: Vec<f64> = known
        .map(|(searchable, at)| at.saturating_duration_since(*searchable).as_secs_f64() * 1e3)
        .collect();
    took.sort_by(f64::total_cmp);
    let part = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    println!(
        "searchable → delivered, {} alerts, looked at every {ASK_EVERY:?}: p50 {:.0} ms, p95 {:.0} ms, most {:.0} ms",
        took.len(),
        part(0.5),
        part(0.95),
        part(1.0)
    );
}
