//! Alerts over HTTP, and the correlations compared with another engine's.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use orgtrail::access::{Grant, Permission};
use orgtrail::clock::Clock;
use orgtrail::detect::Detect;
use orgtrail::durable::Failpoints;
use orgtrail::event::Arrival;
use orgtrail::follow::Follower as _;
use orgtrail::metrics::Metrics;
use orgtrail::position::{Source, rfc3339};
use orgtrail::rules::Rules;
use orgtrail::store::alerts::{AlertFilter, AlertReader};
use orgtrail::store::{Imported, Store};
use reqwest::{Method, StatusCode};
use rsigma_eval::event::JsonEvent;
use rsigma_eval::{CorrelationConfig, CorrelationEngine};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};
use crate::tell;

fn rules(text: &str) -> Rules {
    let (rules, errors) = Rules::parse("test.yml", text);
    assert!(errors.is_empty(), "{errors:?}");
    rules
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn store_all(store: &Store, source: &Source, entries: &[Value]) {
    let imported: Vec<Imported> = entries
        .iter()
        .map(|entry| Imported {
            source: source.clone(),
            label: None,
            arrival: Arrival::read(RawValue::from_string(entry.to_string()).unwrap()),
        })
        .collect();
    store.begin_import().unwrap();
    store.import(&imported, at(100_000)).unwrap();
}

fn judge_all(store: &Store, text: &str) {
    let clock = Clock::manual(at(100_000));
    let mut detect = Detect::new(store.clone(), rules(text), Metrics::default(), clock);
    while detect.turn_once().unwrap().has_more {}
}

/// Correlations; `SPAN` is their timespan in seconds.
const CORRELATIONS: &str = "
title: A
id: a
name: a
logsource: {product: cloudflare, service: audit}
detection: {s: {action.type: a}, condition: s}
---
title: B
id: b
name: b
logsource: {product: cloudflare, service: audit}
detection: {s: {action.type: b}, condition: s}
---
title: Count
id: count
correlation: {type: event_count, rules: [b], group-by: [actor.id], timespan: SPANs, condition: {gte: 3}}
---
title: Exactly two
id: two
correlation: {type: event_count, rules: [b], group-by: [actor.id], timespan: SPANs, condition: {eq: 2}}
---
title: Addresses
id: addresses
correlation: {type: value_count, rules: [b], group-by: [actor.id], timespan: SPANs, condition: {field: actor.ip_address, gte: 2}}
---
title: Together
id: together
correlation: {type: temporal, rules: [a, b], group-by: [actor.id], timespan: SPANs}
---
title: In order
id: ordered
correlation: {type: temporal_ordered, rules: [a, b], group-by: [actor.id], timespan: SPANs}
";

/// A correlation's alerts, by the rule, the actor and the bucket.
type Fired = BTreeSet<(String, String, i64)>;

const SPAN: i64 = 10;

/// What rsigma's correlations find in the entries in order. It looks back to `t − timespan` and includes that moment, so its timespan
/// is a second shorter; its resolution is a second.
fn fired_by_rsigma(sorted: &[(i64, Value)]) -> Fired {
    let text = CORRELATIONS.replace("SPAN", &(SPAN - 1).to_string());
    // Without a condition it fires as soon as one of the rules has matched.
    let text = text.replace("type: temporal,", "type: temporal, condition: {gte: 2},");
    let collection = rsigma_parser::parse_sigma_yaml(&text).unwrap();
    assert!(collection.errors.is_empty(), "{:?}", collection.errors);
    let mut engine = CorrelationEngine::new(CorrelationConfig {
        emit_detections: false,
        ..CorrelationConfig::default()
    });
    engine.add_collection(&collection).unwrap();
    let mut fired = Fired::new();
    for (time, entry) in sorted {
        let event = JsonEvent::borrow(entry);
        for result in engine.process_event_at(&event, *time) {
            let Some(found) = result.as_correlation() else {
                continue;
            };
            let actor = found.group_key.first().map(|(_, value)| value.clone());
            let rule = result.header.rule_id.clone().unwrap();
            fired.insert((rule, actor.unwrap(), time.div_euclid(SPAN)));
        }
    }
    fired
}

#[test]
fn correlations_fire_where_another_engine_fires_over_the_sorted_list() {
    let seed = std::env::var("ORGTRAIL_DETECT_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| Rng::new().u64(..1 << 32));
    tell(format!("ORGTRAIL_DETECT_SEED={seed}"));
    let mut rng = Rng::with_seed(seed);
    for _ in 0..8 {
        // The order of ties is that of ids.
        let mut entries: Vec<(i64, Value)> = (0..rng.u32(20..80))
            .map(|n| {
                let time = rng.i64(0..200);
                let (kind, actor) = (
                    ["a", "b", "c"][rng.usize(0..3)],
                    ["x", "y"][rng.usize(0..2)],
                );
                let address = format!("192.0.2.{}", rng.u8(0..3));
                let entry = json!({
                    "id": format!("{n:04}"),
                    "action": {"time": rfc3339(at(time)), "type": kind},
                    "actor": {"id": actor, "ip_address": address},
                });
                (time, entry)
            })
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let bodies: Vec<Value> = entries.iter().map(|(_, entry)| entry.clone()).collect();
        store_all(&store, &Source::account("a").unwrap(), &bodies);
        judge_all(&store, &CORRELATIONS.replace("SPAN", &SPAN.to_string()));
        let (filter, reader) = (AlertFilter::default(), AlertReader::of_everything());
        let alerts = store.alerts(&filter, &reader, None, 10_000).unwrap();
        let ours: Fired = alerts
            .iter()
            .map(|alert| {
                let actor = alert.group["actor.id"].clone().unwrap();
                let bucket = alert.last_time.timestamp().div_euclid(SPAN);
                (alert.rule.id.clone(), actor, bucket)
            })
            .collect();
        entries.sort_by_key(|(time, entry)| (*time, entry["id"].to_string()));
        assert_eq!(ours, fired_by_rsigma(&entries), "seed {seed}");
    }
}

const ACTED: &str = "
title: Deleted
id: deleted
logsource: {product: cloudflare, service: audit}
detection: {s: {action.type: alert-test}, condition: s}
level: high
---
title: Reads a body
id: body
logsource: {product: cloudflare, service: audit}
detection: {s: {resource.request.x: alert-test}, condition: s}
level: low
";

#[test]
fn alerts_are_listed_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
    let entry = json!({"id": "1", "action": {"time": rfc3339(at(50)), "type": "alert-test"}});
    store_all(&store, &Source::account("a").unwrap(), &[entry]);
    judge_all(&store, ACTED);
    store.close().unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_orgtrail"));
        let output = command
            .args(["alerts", "--data-dir"])
            .arg(dir.path())
            .args(args)
            .output();
        let output = output.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (code, table) = run(&[]);
    assert_eq!(code, Some(0));
    assert!(
        table.contains("high") && table.contains("Deleted"),
        "{table}"
    );
    let (_, list) = run(&["--json", "--level", "high", "--since", "1970-01-01"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["alerts"][0]["rule"]["id"], "deleted");
    assert_eq!(list["next_cursor"], Value::Null);
    let (code, none) = run(&["--state", "closed"]);
    assert_eq!((code, none.trim()), (Some(0), "There is no such alert."));
    assert_eq!(run(&["--level", "loud"]).0, Some(2));
}

async fn send(
    desk: &Desk,
    token: &str,
    method: Method,
    path: &str,
    body: &str,
) -> (StatusCode, Value) {
    let request = reqwest::Client::new().request(method, format!("{}{path}", desk.url));
    let request = request
        .bearer_auth(token)
        .header("Content-Type", "application/json");
    let answer = request.body(body.to_owned()).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn ids(page: &Value) -> Vec<String> {
    let alerts = page["alerts"].as_array().unwrap().iter();
    alerts
        .map(|alert| alert["id"].as_str().unwrap().to_owned())
        .collect()
}

fn acted(id: &str, second: i64) -> Value {
    json!({"id": id, "action": {"time": rfc3339(at(second)), "type": "alert-test"}, "actor": {"id": "x"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_listed_in_pages_and_exist_only_for_those_who_may_see_their_events() {
    let desk = Desk::guarded().await;
    let elsewhere = Source::account("f00df00d").unwrap();
    store_all(
        &desk.store,
        &account(),
        &[acted("alert-1", 10), acted("alert-2", 20)],
    );
    store_all(&desk.store, &elsewhere, &[acted("alert-3", 30)]);
    let with_body = json!({"id": "alert-4", "action": {"time": rfc3339(at(40))}, "resource": {"request": {"x": "alert-test"}}});
    store_all(&desk.store, &account(), &[with_body]);
    judge_all(&desk.store, ACTED);
    let token = |sources: &[Source], bodies| {
        desk.token(Grant {
            permissions: [Permission::Search].into_iter().collect(),
            sources: sources.to_vec(),
            bodies,
        })
    };
    let (all, limited, without) = (
        token(&[], true),
        token(&[account()], true),
        token(&[], false),
    );
    let list = async |token: &str, query: &str| {
        let path = format!("/v1/alerts{query}");
        let (status, page) = send(&desk, token, Method::GET, &path, "").await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page
    };
    let everything = ids(&list(&all, "").await);
    assert_eq!(everything.len(), 4);
    assert_eq!(ids(&list(&limited, "").await).len(), 3);
    assert_eq!(ids(&list(&without, "").await).len(), 3);
    assert_eq!(ids(&list(&all, "?level=low").await).len(), 1);
    assert_eq!(ids(&list(&all, "?rule=deleted&state=open").await).len(), 3);
    assert_eq!(ids(&list(&all, "?state=closed").await).len(), 0);
    assert_eq!(
        ids(&list(
            &all,
            "?since=1970-01-01T00:00:20Z&before=1970-01-01T00:00:30Z"
        )
        .await)
        .len(),
        1
    );
    let (mut seen, mut query) = (Vec::new(), "?limit=1".to_owned());
    loop {
        let page = list(&all, &query).await;
        seen.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("?limit=1&cursor={cursor}");
    }
    assert_eq!(seen, everything);
    let theirs = ids(&list(&limited, "").await);
    let hidden = everything.iter().find(|id| !theirs.contains(id)).unwrap();
    let (_, unknown) = send(&desk, &limited, Method::GET, "/v1/alerts/00ff", "").await;
    let path = format!("/v1/alerts/{hidden}");
    let (status, refused) = send(&desk, &limited, Method::GET, &path, "").await;
    assert_eq!((status, refused), (StatusCode::NOT_FOUND, unknown));
    for wrong in [
        "?level=x",
        "?state=x",
        "?cursor=x",
        "?limit=0",
        "?colour=red",
    ] {
        let path = format!("/v1/alerts{wrong}");
        let (status, problem) = send(&desk, &all, Method::GET, &path, "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_acknowledge_assign_and_close_alerts_and_all_of_it_is_recorded() {
    let desk = Desk::guarded().await;
    store_all(&desk.store, &account(), &[acted("alert-1", 10)]);
    judge_all(&desk.store, ACTED);
    let token = |permissions: &[Permission], sources: Vec<Source>| {
        desk.token(Grant {
            permissions: permissions.iter().copied().collect(),
            sources,
            bodies: true,
        })
    };
    let ann = token(&[Permission::Search, Permission::Alerts], vec![]);
    let reads = token(&[Permission::Search], vec![]);
    let elsewhere = token(
        &[Permission::Alerts],
        vec![Source::account("f00df00d").unwrap()],
    );
    let (_, page) = send(&desk, &ann, Method::GET, "/v1/alerts", "").await;
    let path = format!("/v1/alerts/{}", ids(&page)[0]);
    let patch =
        async |token: &str, body: &str| send(&desk, token, Method::PATCH, &path, body).await;
    let closed = r#"{"state": "closed", "reason": "planned"}"#;
    assert_eq!(patch(&reads, closed).await.0, StatusCode::FORBIDDEN);
    assert_eq!(patch(&elsewhere, closed).await.0, StatusCode::NOT_FOUND);
    for wrong in [
        "{}",
        "[]",
        r#"{"state": "closed"}"#,
        r#"{"state": "retracted", "reason": "x"}"#,
        r#"{"state": "gone"}"#,
        r#"{"colour": "red"}"#,
    ] {
        assert_eq!(
            patch(&ann, wrong).await.0,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    let (status, alert) = patch(&ann, r#"{"state": "acknowledged", "assignee": "ann"}"#).await;
    assert_eq!(status, StatusCode::OK, "{alert}");
    assert_eq!(
        (&alert["state"], &alert["assignee"]),
        (&json!("acknowledged"), &json!("ann"))
    );
    let (_, alert) = patch(&ann, r#"{"assignee": null}"#).await;
    assert_eq!(
        (&alert["state"], &alert["assignee"]),
        (&json!("acknowledged"), &Value::Null)
    );
    let (_, alert) = patch(&ann, closed).await;
    let history = alert["history"].as_array().unwrap();
    let states: Vec<&Value> = history.iter().map(|change| &change["state"]).collect();
    assert_eq!(states, ["open", "acknowledged", "acknowledged", "closed"]);
    assert_eq!(history[3]["reason"], "planned");
    assert!(
        history[3]["who"].as_str().unwrap().starts_with("token:"),
        "{alert}"
    );
    // What is judged again stays closed.
    judge_all(&desk.store, ACTED);
    let (_, again) = send(&desk, &ann, Method::GET, &path, "").await;
    assert_eq!(again, alert);
}
