//! What the service notices about its log, as alerts of the built-in rules over HTTP.

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::access::{Grant, Permission};
use orgtrail::clock::Clock;
use orgtrail::detect::Detect;
use orgtrail::event::Arrival;
use orgtrail::follow::Follower as _;
use orgtrail::health::Board;
use orgtrail::metrics::Metrics;
use orgtrail::notice::Noticing;
use orgtrail::position::Source;
use orgtrail::rules::Rules;
use orgtrail::store::{Imported, NewNotice, NoticeKind, Store};
use reqwest::{Method, StatusCode};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::fixture_log::{Desk, account};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

/// A new start of what judges, until there is nothing more to judge.
fn judge_all(store: &Store) {
    let clock = Clock::manual(at(100_000));
    let mut detect = Detect::new(store.clone(), Rules::built_in(), Metrics::default(), clock);
    while detect.turn_once().unwrap().has_more {}
}

fn notice(kind: NoticeKind, source: &str, facts: &Value) -> NewNotice {
    let facts: Map<String, Value> = facts.as_object().unwrap().clone();
    NewNotice {
        kind,
        source: source.to_owned(),
        subject: facts.values().map(ToString::to_string).collect(),
        facts,
        summary: format!("about {source}"),
    }
}

async fn ask(desk: &Desk, token: &str, method: Method, path: &str) -> (StatusCode, Value) {
    let url = format!("{}{path}", desk.url);
    let request = reqwest::Client::new().request(method.clone(), url);
    let request = request.bearer_auth(token);
    let request = if method == Method::PATCH {
        let closed = json!({"state": "closed", "reason": "seen"});
        request
            .header("Content-Type", "application/json")
            .body(closed.to_string())
    } else {
        request
    };
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_notices_is_an_alert_without_events_for_those_who_may_see_its_source() {
    let desk = Desk::guarded().await;
    judge_all(&desk.store);
    let (own, other) = (account().to_string(), "accounts/f00df00d");
    let notices = [
        notice(
            NoticeKind::SourceSilent,
            &own,
            &json!({"reason": "no_entries"}),
        ),
        notice(
            NoticeKind::CoverageGap,
            other,
            &json!({"reason": "unreadable"}),
        ),
        notice(NoticeKind::EntryDisappeared, &own, &json!({"id": "e1"})),
        notice(NoticeKind::LogDamaged, "", &json!({"seq": 7})),
        // No rule wants it.
        notice(NoticeKind::CoverageGap, &own, &json!({"reason": "not_yet"})),
    ];
    desk.store.save_notices(&notices, &[], at(50)).unwrap();
    for _ in 0..3 {
        judge_all(&desk.store);
    }
    let token = |sources: Vec<Source>| {
        desk.token(Grant {
            permissions: [Permission::Search, Permission::Alerts]
                .into_iter()
                .collect(),
            sources,
            bodies: false,
        })
    };
    let (all, limited) = (token(Vec::new()), token(vec![account()]));
    let list = async |token: &str| {
        let (status, page) = ask(&desk, token, Method::GET, "/v1/alerts").await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page["alerts"].as_array().unwrap().clone()
    };
    let everything = list(&all).await;
    let titles = |alerts: &[Value]| {
        let titles = alerts
            .iter()
            .map(|alert| alert["rule"]["title"].as_str().unwrap().to_owned());
        let mut titles: Vec<String> = titles.collect();
        titles.sort();
        titles
    };
    assert_eq!(
        titles(&everything),
        [
            "A source fell silent",
            "An entry disappeared upstream",
            "An event of the log is damaged",
            "Coverage has a gap",
        ]
    );
    for alert in &everything {
        assert_eq!(alert["events"], json!([]), "{alert}");
        assert_eq!(
            (&alert["events_total"], &alert["group"]),
            (&json!(0), &json!({}))
        );
        assert_eq!(alert["first_time"], "1970-01-01T00:00:50Z");
        assert_eq!(alert["last_time"], alert["first_time"]);
    }
    let theirs = list(&limited).await;
    assert_eq!(
        titles(&theirs),
        ["A source fell silent", "An entry disappeared upstream"]
    );
    for alert in &everything {
        let path = format!("/v1/alerts/{}", alert["id"].as_str().unwrap());
        let is_theirs = theirs.contains(alert);
        let expect = if is_theirs {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        assert_eq!(
            ask(&desk, &limited, Method::GET, &path).await.0,
            expect,
            "{alert}"
        );
        let (status, closed) = ask(&desk, &all, Method::PATCH, &path).await;
        assert_eq!(
            (status, &closed["state"]),
            (StatusCode::OK, &json!("closed"))
        );
    }
    // Judged again, they stay closed, and no other is raised.
    judge_all(&desk.store);
    let after = list(&all).await;
    assert_eq!(after.len(), 4);
    assert!(
        after.iter().all(|alert| alert["state"] == "closed"),
        "{after:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_damaged_on_disk_raises_one_alert() {
    let desk = Desk::guarded().await;
    let entries = [1, 2].map(|n| Imported {
        source: account(),
        label: None,
        arrival: Arrival::read(
            RawValue::from_string(json!({"id": n.to_string()}).to_string()).unwrap(),
        ),
    });
    desk.store.begin_import().unwrap();
    desk.store.import(&entries, at(10)).unwrap();
    judge_all(&desk.store);
    let file = desk.data_dir().join(orgtrail::store::FILE_NAME);
    let db = rusqlite::Connection::open(file).unwrap();
    db.execute("UPDATE event SET body = x'00' WHERE seq = 2", [])
        .unwrap();
    let clock = Clock::manual(at(100_000));
    let noticing = Noticing::new(desk.store.clone(), Board::default(), clock);
    // A read finds the damage.
    let read = desk.store.event(orgtrail::position::Seq(2)).unwrap();
    assert!(read.unwrap().is_damaged());
    desk.store.save_damage_seen(at(100_000)).unwrap();
    assert_eq!((noticing.look().unwrap(), noticing.look().unwrap()), (1, 0));
    for _ in 0..2 {
        judge_all(&desk.store);
    }
    let token = desk.token(Grant {
        permissions: [Permission::Search].into_iter().collect(),
        sources: Vec::new(),
        bodies: true,
    });
    let (_, page) = ask(&desk, &token, Method::GET, "/v1/alerts?level=high").await;
    let summaries: Vec<&str> = page["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|alert| alert["summary"].as_str())
        .filter(|summary| summary.contains("damaged"))
        .collect();
    assert_eq!(summaries.len(), 1, "{page}");
    assert!(summaries[0].contains("event 2 of "), "{summaries:?}");
}
