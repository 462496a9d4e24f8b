//! The stream of alerts: every change once, from any place on, and only what a principal may see.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::access::{Grant, Permission};
use orgtrail::clock::Clock;
use orgtrail::detect::Detect;
use orgtrail::event::Arrival;
use orgtrail::follow::Follower as _;
use orgtrail::metrics::Metrics;
use orgtrail::position::{Source, rfc3339};
use orgtrail::rules::Rules;
use orgtrail::store::{Imported, Store};
use reqwest::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const RULE: &str = "
title: Deleted
id: deleted
logsource: {product: cloudflare, service: audit}
detection: {s: {action.type: alert-test}, condition: s}
level: high
";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

/// Stores entries that the rule matches.
pub(crate) fn store_entries(store: &Store, source: &Source, ids: &[&str], now: i64) {
    let entries = ids.iter().map(|id| {
        json!({"id": id, "action": {"time": rfc3339(at(10)), "type": "alert-test"}}).to_string()
    });
    let imported: Vec<Imported> = entries
        .map(|entry| Imported {
            source: source.clone(),
            label: None,
            arrival: Arrival::read(RawValue::from_string(entry).unwrap()),
        })
        .collect();
    store.begin_import().unwrap();
    store.import(&imported, at(now)).unwrap();
}

/// Stores entries that the rule matches, and judges them.
pub(crate) fn raise_at(store: &Store, source: &Source, ids: &[&str], now: i64) {
    store_entries(store, source, ids, now);
    judge_at(store, RULE, now);
}

/// Judges what is stored by these rules.
pub(crate) fn judge_at(store: &Store, text: &str, now: i64) {
    let (rules, errors) = Rules::parse("test.yml", text);
    assert!(errors.is_empty(), "{errors:?}");
    let clock = Clock::manual(at(now));
    let mut detect = Detect::new(store.clone(), rules, Metrics::default(), clock);
    while detect.turn_once().unwrap().has_more {}
}

/// Raises alerts by a clock that does not go on: their moments advance all the same.
fn raise(store: &Store, source: &Source, ids: &[&str]) {
    raise_at(store, source, ids, 100_000);
}

/// A message: its id, and its data if it has any.
type Message = (String, Option<Value>);

/// A client of the stream.
pub(crate) struct Client {
    answer: reqwest::Response,
    held: String,
}

impl Client {
    pub(crate) async fn open(desk: &Desk, token: &str, query: &str, last: Option<&str>) -> Self {
        let url = format!("{}/v1/alerts/stream{query}", desk.url);
        let mut request = reqwest::Client::new().get(url).bearer_auth(token);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            held: String::new(),
        }
    }

    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some((message, rest)) = self.held.split_once("\n\n") {
                let value = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
                let id = value("id: ").unwrap().to_owned();
                let data = value("data: ").map(|data| serde_json::from_str(data).unwrap());
                self.held = rest.to_owned();
                return Some((id, data));
            }
            let chunk = tokio::time::timeout(DEADLINE, self.answer.chunk()).await;
            let chunk = chunk.unwrap().unwrap()?;
            self.held.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next so many changes, with their ids.
    pub(crate) async fn take(&mut self, n: usize) -> Vec<(String, Value)> {
        let mut taken = Vec::new();
        while taken.len() < n {
            let (id, data) = self.next().await.unwrap();
            taken.extend(data.map(|data| (id, data)));
        }
        taken
    }
}

fn token(desk: &Desk, sources: &[Source]) -> String {
    desk.token(Grant {
        permissions: [Permission::Search, Permission::Alerts]
            .into_iter()
            .collect(),
        sources: sources.to_vec(),
        bodies: true,
    })
}

async fn patch(desk: &Desk, token: &str, id: &str, body: &str) {
    let url = format!("{}/v1/alerts/{id}", desk.url);
    let request = reqwest::Client::new().patch(url).bearer_auth(token);
    let request = request.header("Content-Type", "application/json");
    let answer = request.body(body.to_owned()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

/// What happened to which alert, and where. What an alert is depends on when it is read.
fn told(taken: &[(String, Value)]) -> Vec<(&str, &Value, &Value)> {
    let taken = taken.iter();
    taken
        .map(|(place, data)| (place.as_str(), &data["id"], &data["change"]))
        .collect()
}

fn changes(taken: &[(String, Value)]) -> Vec<&str> {
    let changes = taken.iter().map(|(_, data)| data["change"].as_str());
    changes.map(Option::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_alerts_gives_each_change_once_and_goes_on_from_any_place() {
    let mut desk = Desk::guarded().await;
    let ann = token(&desk, &[]);
    raise(&desk.store, &account(), &["alert-1", "alert-2", "alert-3"]);
    // What was there before is not sent, unless it is asked for.
    let mut newest = Client::open(&desk, &ann, "", None).await;
    let mut whole = Client::open(&desk, &ann, "?last_event_id=0", None).await;
    let (first_place, _) = newest.next().await.unwrap();
    let mut taken = whole.take(3).await;
    assert_eq!(changes(&taken), ["raised"; 3]);
    assert_eq!(taken[2].0, first_place);

    let id = taken[0].1["id"].as_str().unwrap().to_owned();
    patch(&desk, &ann, &id, r#"{"state": "acknowledged"}"#).await;
    patch(&desk, &ann, &id, r#"{"assignee": "ann"}"#).await;
    raise(&desk.store, &account(), &["alert-4"]);
    judge_at(&desk.store, &RULE.replace("alert-test", "other"), 100_000);
    taken.extend(whole.take(7).await);
    let kinds = changes(&taken);
    assert_eq!(kinds[3..6], ["updated", "updated", "raised"], "{kinds:?}");
    assert_eq!(kinds[6..], ["retracted"; 4]);
    assert_eq!(taken[9].1["state"], "retracted");
    let places: Vec<&str> = taken.iter().map(|(place, _)| place.as_str()).collect();
    assert!(places.is_sorted(), "{places:?}");

    // From each place on, what comes after it and nothing else; also from that of a message without data.
    assert_eq!(told(&newest.take(7).await), told(&taken[3..]));
    for from in 0..places.len() - 1 {
        let mut client = Client::open(&desk, &ann, "", Some(places[from])).await;
        let rest = client.take(taken.len() - from - 1).await;
        assert_eq!(told(&rest), told(&taken[from + 1..]), "from {from}");
    }
    let mut client = Client::open(&desk, &ann, "", Some(&first_place)).await;
    assert_eq!(told(&client.take(7).await), told(&taken[3..]));
    // A filter leaves out the others, and the place goes on.
    let mut none = Client::open(&desk, &ann, "?level=low&last_event_id=0", None).await;
    none.next().await.unwrap();
    desk.stop().await;
    assert!(none.next().await.is_none(), "it ends at a stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_principal_receives_its_own_alerts_and_its_places_tell_nothing_of_others() {
    let desk = Desk::guarded().await;
    let elsewhere = Source::account("f00df00d").unwrap();
    let limited = token(&desk, &[account()]);
    raise(&desk.store, &account(), &["alert-1"]);
    raise(&desk.store, &elsewhere, &["alert-2", "alert-3"]);
    // It begins now; the place that it is given is that of the last change that it may see.
    let mut client = Client::open(&desk, &limited, "", None).await;
    let mut whole = Client::open(&desk, &limited, "?last_event_id=0", None).await;
    let own = whole.take(1).await;
    assert_eq!(client.next().await.unwrap(), (own[0].0.clone(), None));
    raise(&desk.store, &elsewhere, &["alert-4"]);
    raise(&desk.store, &account(), &["alert-5"]);
    let next = whole.take(1).await;
    assert_eq!(client.take(1).await, next);
    assert_ne!(next[0].1["id"], own[0].1["id"]);
    let mut again = Client::open(&desk, &limited, "", Some(&own[0].0)).await;
    assert_eq!(again.take(1).await, next);

    for wrong in [
        "x",
        "-1_",
        "9223372036854775808_",
        "1_xyz",
        "9000000000000000_",
        "",
    ] {
        let url = format!("{}/v1/alerts/stream?last_event_id={wrong}", desk.url);
        let answer = reqwest::Client::new().get(url).bearer_auth(&limited);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_alerts_count_among_the_streams_of_a_principal() {
    let desk = Desk::guarded().await;
    let ann = token(&desk, &[]);
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(Client::open(&desk, &ann, "", None).await);
    }
    let url = format!("{}/v1/alerts/stream", desk.url);
    let ask = async || {
        let request = reqwest::Client::new().get(&url).bearer_auth(&ann);
        request.send().await.unwrap().status()
    };
    assert_eq!(ask().await, StatusCode::TOO_MANY_REQUESTS);
}
