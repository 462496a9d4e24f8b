//! The simulator as its callers see it: over real sockets, with a clock that the test moves.

mod calls;
mod faults;
mod forms;
mod histories;
mod organizations;
mod walks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail_cloudflare::request::BASE_PATH;
use orgtrail_cloudflare::source::Source;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::routes::MAX_BODY_LEN;
use super::sync::lock;
use super::*;

/// Where every test's clock starts: a Monday.
const START: &str = "2026-08-03T12:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A clock that a test moves. A clone is the same clock.
#[derive(Clone)]
struct Clock(Arc<Mutex<DateTime<Utc>>>);

impl Clock {
    fn manual(start: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(start)))
    }

    fn now(&self) -> DateTime<Utc> {
        *lock(&self.0)
    }

    fn advance(&self, by: TimeDelta) {
        *lock(&self.0) += by;
    }

    fn reader(&self) -> impl Fn() -> DateTime<Utc> + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }
}

/// A simulator that is served, and a client that asks it.
struct Upstream {
    simulator: Simulator,
    clock: Clock,
    base: String,
    client: reqwest::Client,
    /// Ends the server when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl Upstream {
    async fn start(config: SimConfig) -> Self {
        println!("seed {}", config.seed);
        let clock = Clock::manual(at(START));
        let simulator = Simulator::new(config, clock.reader());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}{BASE_PATH}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = simulator.clone().serve(listener, async {
            drop(stopped.await);
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's server ends with the test"
        )]
        drop(tokio::spawn(server));
        Self {
            simulator,
            clock,
            base,
            client: reqwest::Client::builder()
                .user_agent("curl/8.9.1")
                .build()
                .unwrap(),
            _stop: stop,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.base)))
            .await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.client.post(format!("{}{path}", self.base));
        self.send(request.body(body.to_string())).await
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        let request = self.client.put(format!("{}{path}", self.base));
        self.send(request.body(body.to_string())).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(self.client.delete(format!("{}{path}", self.base)))
            .await
    }

    /// All entries that an organization's own log shows now, oldest first.
    async fn log(&self, organization_id: &str) -> Vec<Value> {
        let question = format!(
            "/organizations/{organization_id}/logs/audit?since=2020-01-01&before=2100-01-01&direction=asc"
        );
        let entries = texts(self.walk(&question, |_| ()).await);
        entries
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect()
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.send_as("a-token", request).await
    }

    async fn send_as(&self, token: &str, request: reqwest::RequestBuilder) -> Answer {
        let response = request.bearer_auth(token).send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            text: response
                .text()
                .await
                .unwrap_or_else(|_| "broken off".to_owned()),
        }
    }

    /// All pages of a question, following `result_info.cursor`; `between` is called after each.
    async fn walk(&self, question: &str, mut between: impl FnMut(usize)) -> Vec<Page> {
        let mut pages: Vec<Page> = Vec::new();
        let mut cursor = None;
        loop {
            let more = cursor.map(|cursor: String| format!("&cursor={}", escaped(&cursor)));
            let answer = self
                .get(&format!("{question}{}", more.unwrap_or_default()))
                .await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let page = answer.page();
            cursor = page.cursor.clone();
            pages.push(page);
            assert!(pages.len() < 10_000, "the walk does not end");
            between(pages.len());
            if cursor.is_none() {
                return pages;
            }
        }
    }
}

/// A page of the audit log, its entries as they were on the wire.
#[derive(Debug)]
struct Page {
    entries: Vec<String>,
    cursor: Option<String>,
}

struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The result of a call that went well.
    fn result(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["result"].clone()
    }

    fn message(&self) -> String {
        self.json()["errors"][0]["message"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn page(&self) -> Page {
        #[derive(serde::Deserialize)]
        struct Envelope {
            result: Vec<Box<RawValue>>,
            result_info: Value,
            success: bool,
        }
        let envelope: Envelope = serde_json::from_str(&self.text).unwrap();
        assert!(envelope.success);
        let count = envelope.result_info["count"].as_str().unwrap();
        assert_eq!(count, envelope.result.len().to_string());
        Page {
            entries: envelope
                .result
                .iter()
                .map(|entry| entry.get().to_owned())
                .collect(),
            cursor: envelope.result_info["cursor"].as_str().map(str::to_owned),
        }
    }
}

fn texts(pages: Vec<Page>) -> Vec<String> {
    pages.into_iter().flat_map(|page| page.entries).collect()
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn small() -> SimConfig {
    SimConfig {
        events: 3_000,
        accounts: 5,
        days: 20,
        ..SimConfig::default()
    }
}
