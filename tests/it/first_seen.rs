//! `first_seen` as a field of questions: what it finds is what a plain computation over the entries sorted by time finds, whatever the
//! order in which they came.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use orgtrail::access::{Grant, Permission};
use orgtrail::clock::Clock;
use orgtrail::detect::Detect;
use orgtrail::engine::{Engine, Order, Range, Scope};
use orgtrail::field::FIRST_SEEN_NAMES;
use orgtrail::follow::Follower as _;
use orgtrail::metrics::Metrics;
use orgtrail::position::{Seq, rfc3339};
use orgtrail::query::parse;
use orgtrail::rules::Rules;
use orgtrail::search::{Question, Tail};
use orgtrail::store::Store;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minute)
}

/// Where each name's value is in an entry.
fn place(name: &str) -> String {
    let path = if name == "actor.user_agent" {
        "raw.user_agent"
    } else {
        name
    };
    format!("/{}", path.replace('.', "/"))
}

/// Any entry: of few actors and values, at few times, so that much is equal.
fn entry(id: usize, rng: &mut Rng) -> Value {
    let mut pick = |values: &[&str]| values[rng.usize(0..values.len())].to_owned();
    let mut entry = json!({
        "id": id.to_string(),
        "actor": {"id": pick(&["x", "y", "Y", ""]), "ip_address": pick(&["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"]), "token_id": pick(&["t1", "t2"])},
        "action": {"type": pick(&["create", "Create", "delete"])},
        "account": {"id": pick(&["a1", "a2", "a3"])},
        "raw": {"user_agent": pick(&["curl/8", "browser"])},
    });
    if rng.u8(0..20) > 0 {
        entry["action"]["time"] = json!(rfc3339(at(rng.i64(0..30))));
    }
    if rng.u8(0..6) == 0 {
        entry["actor"]["id"] = Value::Null;
    }
    entry
}

/// The events of a log that have each thing for the first time, by the definition.
fn expected(store: &Store) -> BTreeMap<&'static str, BTreeSet<u64>> {
    let events = store
        .events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX)
        .unwrap();
    let mut first = BTreeMap::new();
    for name in FIRST_SEEN_NAMES {
        let pairs: Vec<(u64, DateTime<Utc>, String, String)> = events
            .iter()
            .filter_map(|event| {
                let entry: Value = serde_json::from_str(event.entry.get()).unwrap();
                let text = |path: &str| {
                    let text = entry.pointer(path)?.as_str()?.to_lowercase();
                    Some(text.replace("::ffff:", "")).filter(|text| !text.is_empty())
                };
                let pair = (text("/actor/id")?, text(&place(name))?);
                Some((event.seq.0, event.ordered_at(), pair.0, pair.1))
            })
            .collect();
        let is_first = |(_, time, actor, value): &&(u64, DateTime<Utc>, String, String)| {
            let mut others = pairs
                .iter()
                .filter(|other| (&other.2, &other.3) == (actor, value));
            others.all(|other| other.1 >= *time)
        };
        let seqs = pairs.iter().filter(is_first).map(|pair| pair.0);
        first.insert(name, seqs.collect());
    }
    first
}

fn detect(store: &Store) -> Detect {
    let (rules, _) = Rules::parse("none.yml", "");
    Detect::new(store.clone(), rules, Metrics::default(), Clock::system())
}

fn read_all(detect: &mut Detect) {
    while detect.turn_once().unwrap().has_more {}
}

fn seqs(page: &Value) -> BTreeSet<u64> {
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["seq"].as_u64().unwrap()).collect()
}

/// Everything that can be asked of `first_seen` is what is expected of the log now.
async fn check(desk: &Desk) {
    let expected = expected(&desk.store);
    let found =
        async |query: &str| seqs(&desk.get(&format!("/v1/events?limit=1000&q={query}")).await);
    let all: BTreeSet<u64> = found("").await;
    let any: BTreeSet<u64> = expected.values().flatten().copied().collect();
    for (name, seqs) in &expected {
        let query = format!("first_seen:{name}");
        assert_eq!(found(&query).await, *seqs, "{name}");
        assert_eq!(
            desk.count(&format!("q=FIRST_SEEN:{}", name.to_uppercase()))
                .await,
            seqs.len() as u64
        );
        let without = found(&format!("-{query}")).await;
        assert_eq!(without, all.difference(seqs).copied().collect(), "-{name}");
        let deleted = found("action.type:delete").await;
        let both = found(&format!("{query} action.type:delete")).await;
        assert_eq!(
            both,
            seqs.intersection(&deleted).copied().collect(),
            "{name}"
        );
        let histogram = desk.get(&format!("/v1/histogram?q={query}")).await;
        let buckets = histogram["buckets"].as_array().unwrap().iter();
        let sum: u64 = buckets
            .map(|bucket| bucket["count"].as_u64().unwrap())
            .sum();
        assert_eq!(sum, seqs.len() as u64, "{name}");
        for (format, header) in [("ndjson", 0), ("csv", 1)] {
            let (status, lines) = desk
                .ask(&format!("/v1/export?format={format}&q={query}"))
                .await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(
                lines.lines().count(),
                seqs.len() + header,
                "{name} {format}"
            );
        }
    }
    assert_eq!(found("first_seen:*").await, any);
    assert_eq!(
        found("first_seen:a*.id OR first_seen:/acc.*/").await,
        expected["account.id"]
    );
    let range = format!("since={}&before={}", rfc3339(at(5)), rfc3339(at(9)));
    let within = seqs(
        &desk
            .get(&format!("/v1/events?limit=1000&q=first_seen:*&{range}"))
            .await,
    );
    let in_range = seqs(&desk.get(&format!("/v1/events?limit=1000&{range}")).await);
    assert_eq!(within, any.intersection(&in_range).copied().collect());
    let answer = desk.get("/v1/facets?field=first_seen&size=3").await;
    let facet = &answer["facets"]["first_seen"];
    let mut counts: Vec<u64> = expected
        .values()
        .map(|seqs| seqs.len() as u64)
        .filter(|count| *count > 0)
        .collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let listed = facet["values"].as_array().unwrap();
    let listed_counts: Vec<u64> = listed
        .iter()
        .map(|value| value["count"].as_u64().unwrap())
        .collect();
    assert_eq!(
        listed_counts,
        counts.iter().copied().take(3).collect::<Vec<_>>()
    );
    for value in listed {
        let name = value["value"].as_str().unwrap();
        assert_eq!(value["count"], expected[name].len(), "{name}");
    }
    assert_eq!(facet["distinct"], counts.len());
    assert_eq!(facet["missing"], all.len() - any.len());
    let split = desk.get("/v1/histogram?by=first_seen").await;
    let sums = split["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .fold([0; 10], |mut sums, bucket| {
            for (sum, count) in sums.iter_mut().zip(bucket["split"].as_array().unwrap()) {
                *sum += count.as_u64().unwrap();
            }
            sums
        });
    assert_eq!(sums[..counts.len()], counts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_first_seen_does_not_depend_on_the_order_of_arrival() {
    let seed = Rng::new().u64(..);
    let mut rng = Rng::with_seed(seed);
    for _ in 0..3 {
        let mut desk = Desk::on_both_engines().await;
        let mut detect = detect(&desk.store);
        let mut entries: Vec<String> = (0..40).map(|id| entry(id, &mut rng).to_string()).collect();
        rng.shuffle(&mut entries);
        while !entries.is_empty() {
            let some: Vec<String> = entries
                .drain(..rng.usize(1..=entries.len().min(20)))
                .collect();
            desk.keep(&account(), &some);
            desk.search_all();
            read_all(&mut detect);
            check(&desk).await;
        }
    }
}

fn plain(id: &str, minute: i64) -> String {
    json!({"id": id, "action": {"time": rfc3339(at(minute)), "type": "create"}, "actor": {"id": "x"}}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_one_answer_are_as_of_the_first_while_older_history_arrives() {
    let mut desk = Desk::new().await;
    let mut detect = detect(&desk.store);
    let kept = ["1", "2", "3"].map(|id| plain(id, 9));
    desk.keep(&account(), &kept);
    desk.search_all();
    read_all(&mut detect);
    let first = desk
        .get("/v1/events?q=first_seen:action.type&limit=1")
        .await;
    desk.keep(&account(), &[plain("older", 3)]);
    desk.search_all();
    read_all(&mut detect);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = desk
        .get(&format!(
            "/v1/events?q=first_seen:action.type&limit=9&cursor={cursor}"
        ))
        .await;
    assert_eq!(
        (seqs(&first), seqs(&rest)),
        (BTreeSet::from([3]), BTreeSet::from([1, 2]))
    );
    let now = desk.get("/v1/events?q=first_seen:action.type").await;
    assert_eq!(seqs(&now), BTreeSet::from([4]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_yet_is_not_answered() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &[plain("1", 9)]);
    desk.search_all();
    for path in [
        "/v1/count?q=first_seen:action.type",
        "/v1/facets?field=first_seen",
    ] {
        let answer = desk.open(path).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.headers().contains_key("retry-after"), "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["type"], "urn:orgtrail:problem:detection-behind");
    }
    // Questions without it do not wait.
    assert_eq!(desk.count("q=action.type:create").await, 1);
    read_all(&mut detect(&desk.store));
    assert_eq!(desk.count("q=first_seen:action.type").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_gives_an_event_when_it_is_known_whether_it_is_the_first() {
    let mut desk = Desk::new().await;
    let mut detect = detect(&desk.store);
    read_all(&mut detect);
    let question = Question {
        query: parse("first_seen:action.type", at(0)).unwrap(),
        range: Range::default(),
        order: Order::Ascending,
    };
    let mut tail = Tail::new(desk.store.clone(), question, Seq::ZERO);
    let engine = Engine::Tantivy(desk.index.clone());
    let mut next = || -> Vec<u64> {
        let view = engine.view();
        let caller = view.caller(Scope::everything(), None);
        let events = tail.next_events(&view, &caller).unwrap();
        events.iter().map(|event| event.seq.0).collect()
    };
    desk.keep(&account(), &[plain("1", 9), plain("2", 10)]);
    desk.search_all();
    assert_eq!(next(), [0; 0]);
    read_all(&mut detect);
    assert_eq!(next(), [1]);
    desk.keep(&account(), &[plain("3", 8)]);
    desk.search_all();
    assert_eq!(next(), [0; 0]);
    read_all(&mut detect);
    assert_eq!((next(), next()), (vec![3], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_not_noted_is_a_mistake_with_its_place() {
    let desk = Desk::new().await;
    for (query, place) in [
        ("x first_seen:actor.email", 13),
        ("first_seen:%22actor.email%22", 11),
        ("first_seen:actor.em*", 0),
        ("first_seen:/zone.*/", 0),
    ] {
        let (status, body) = desk.ask(&format!("/v1/events?q={query}")).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(problem["at"], place, "{query}: {body}");
        assert!(body.contains("actor.ip_address"), "{body}");
    }
    let parsed = desk.get("/v1/parse?q=first_seen:account.id").await;
    assert_eq!(parsed["tree"]["field"], "first_seen");
    let fields = desk.get("/v1/fields?prefix=first").await;
    assert_eq!(fields["fields"][0]["origin"], "log", "{fields}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_those_that_see_some_sources_it_is_an_unknown_field() {
    let mut desk = Desk::guarded().await;
    let own = json!({"id": "1", "first_seen": "theirs", "action": {"time": rfc3339(at(1)), "type": "create"}, "actor": {"id": "x"}});
    desk.keep(&account(), &[own.to_string()]);
    desk.search_all();
    read_all(&mut detect(&desk.store));
    let token = |sources| {
        desk.token(Grant {
            permissions: [Permission::Search, Permission::Export]
                .into_iter()
                .collect(),
            sources,
            bodies: true,
        })
    };
    let (all, limited) = (token(Vec::new()), token(vec![account()]));
    let ask = async |token: &str, path: &str| {
        let url = format!("{}{path}", desk.url);
        let answer = reqwest::Client::new()
            .get(url)
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let values = "/v1/fields/first_seen/values";
    for path in [
        "/v1/events?q=first_seen:action.type",
        "/v1/count?q=-first_seen:*",
        "/v1/facets?field=first_seen",
        "/v1/histogram?by=first_seen",
        "/v1/parse?q=first_seen:action.type",
        "/v1/export?format=ndjson&q=first_seen:action.type",
        values,
    ] {
        let (status, body) = ask(&all, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        let expect = if path == values {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::BAD_REQUEST
        };
        let (status, refused) = ask(&limited, path).await;
        assert_eq!(status, expect, "{path}: {refused}");
        assert!(refused.contains("unknown field"), "{path}: {refused}");
        assert!(!refused.contains("mean `first_seen`"), "{refused}");
    }
    let (_, fields) = ask(&limited, "/v1/fields?prefix=first").await;
    assert!(!fields.contains("first_seen"), "{fields}");
    let (_, listed) = ask(&all, values).await;
    assert!(listed.contains("action.type"), "{listed}");
}
