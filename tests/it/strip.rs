//! What is proven of all sources together: the same as of each source by itself, the weakest at each moment.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound as _, SecondsFormat, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail::http::Limits;
use orgtrail::position::{Source, Window, WindowKind};
use orgtrail::store::{Page, SourceSeen, Then};
use orgtrail_simulator::SimConfig;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};
use crate::harness::{Service, Upstream};

/// A stretch: since, before, what holds, the reason.
type Stretch = (String, String, String, Value);

/// What is proven of each source by itself.
fn of_each(coverage: &Value) -> Vec<Vec<Stretch>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let sources = coverage["sources"].as_array().unwrap().iter();
    let stretches = sources.map(|source| {
        let intervals = source["intervals"].as_array().unwrap().iter();
        let intervals = intervals.map(|one| (one, text(&one["state"]), Value::Null));
        let gaps = source["gaps"].as_array().unwrap().iter();
        let gaps = gaps.map(|one| (one, "missing".to_owned(), one["reason"].clone()));
        let all = intervals.chain(gaps);
        all.map(|(one, state, reason)| (text(&one["since"]), text(&one["before"]), state, reason))
            .collect()
    });
    stretches.collect()
}

/// Compares each merged stretch with what holds for each source at its first moment.
fn compare(merged: &Value, coverage: &Value) {
    let each = of_each(coverage);
    let stretches = merged["merged"].as_array().unwrap();
    assert!(!stretches.is_empty());
    for pair in stretches.windows(2) {
        assert_eq!(pair[0]["before"], pair[1]["since"]);
        let same = ["state", "reason", "sources"].iter();
        assert!(
            same.clone().any(|name| pair[0][*name] != pair[1][*name]),
            "{pair:?}"
        );
    }
    for stretch in stretches {
        // Whole seconds in UTC: their texts have the order of the times.
        let at = stretch["since"].as_str().unwrap();
        let holding = each.iter().flatten();
        let holding =
            holding.filter(|(since, before, ..)| since.as_str() <= at && at < before.as_str());
        let mut count: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (.., state, reason) in holding {
            *count
                .entry((state.clone(), reason.to_string()))
                .or_default() += 1;
        }
        let states: Vec<&str> = count.keys().map(|(state, _)| state.as_str()).collect();
        let weakest = ["missing", "settling", "complete"];
        let weakest = weakest.into_iter().find(|state| states.contains(state));
        assert_eq!(stretch["state"].as_str(), weakest, "{stretch}");
        let key = (weakest.unwrap().to_owned(), stretch["reason"].to_string());
        assert_eq!(stretch["sources"], count[&key], "{stretch}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coverage_of_all_sources_is_the_weakest_of_each() {
    let upstream = Upstream::new(SimConfig {
        events: 200,
        accounts: 3,
        days: 10,
        ..SimConfig::default()
    });
    let upstream = upstream.await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(4).await;
    // Until a moment that no scan will change any more.
    let until = "before=now-1h&since=now-600d";
    let coverage = service.get(&format!("/v1/coverage?{until}")).await;
    let merged = service
        .get(&format!("/v1/coverage?merged=true&{until}"))
        .await;
    compare(&merged, &coverage);
    assert_eq!(merged["next_cursor"], Value::Null);
    let named = |answer: &Value| -> Vec<Value> {
        let sources = answer["sources"].as_array().unwrap().iter();
        sources.map(|source| source["source"].clone()).collect()
    };
    assert_eq!(named(&merged), named(&coverage));
    let names = merged["sources"].as_array().unwrap().iter();
    assert_eq!(names.filter(|source| source["name"].is_string()).count(), 3);
    for source in named(&coverage) {
        let asked = format!("source={}&{until}", source.as_str().unwrap());
        let coverage = service.get(&format!("/v1/coverage?{asked}")).await;
        let merged = service
            .get(&format!("/v1/coverage?merged=true&{asked}"))
            .await;
        compare(&merged, &coverage);
    }
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coverage_of_all_sources_is_paged() {
    let stretches = 1;
    let limits = Limits {
        stretches,
        ..Limits::default()
    };
    let desk = Desk::with_limits(limits).await;
    let entry = json!({"id": "x", "action": {"time": "2026-08-03T08:00:00Z"}}).to_string();
    desk.keep(&account(), std::slice::from_ref(&entry));
    desk.keep(&Source::account("beef").unwrap(), &[entry]);
    let mut stretches: Vec<Value> = Vec::new();
    let mut path = "/v1/coverage?merged=true&since=now-30d".to_owned();
    let mut first = Value::Null;
    loop {
        let page = desk.get(&path).await;
        stretches.extend(page["merged"].as_array().unwrap().iter().cloned());
        assert!(page["merged"].as_array().unwrap().len() <= 1);
        if first.is_null() {
            first = page["next_cursor"].clone();
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/coverage?merged=true&since=now-30d&cursor={cursor}");
    }
    assert!(stretches.len() >= 2, "{stretches:?}");
    for pair in stretches.windows(2) {
        assert_eq!(pair[0]["before"], pair[1]["since"]);
    }
    let cursor = first.as_str().unwrap();
    for wrong in [
        "merged=yes".to_owned(),
        "merged=true&merged=true".to_owned(),
        format!("since=now-30d&cursor={cursor}"),
        format!("merged=true&since=now-31d&cursor={cursor}"),
        "merged=true&cursor=x".to_owned(),
    ] {
        let (status, body) = desk.ask(&format!("/v1/coverage?{wrong}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {body}");
    }
}

/// Has it proven that a source has nothing in the last `days`.
fn prove(desk: &Desk, source: &Source, created_at: Option<DateTime<Utc>>, days: i64) {
    let now = Clock::system().now();
    let seen = SourceSeen {
        source: source.clone(),
        organization: None,
        label: None,
        created_at,
    };
    desk.store.save_sources(&[seen], now).unwrap();
    let window = Window::new(now - TimeDelta::days(days), now);
    let window = desk
        .store
        .begin_window(source, WindowKind::Backfill, window, now);
    let page = Page {
        window: window.unwrap().id,
        asked: None,
        resumed: None,
        limit: None,
        claim_since: DateTime::UNIX_EPOCH,
        arrivals: Vec::new(),
        then: Then::Seal,
        claim_before: now,
        received_at: now,
        sealed_at: now,
    };
    desk.store.append(&page).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_proven_of_all_sources_before_the_last_of_them_begins() {
    let desk = Desk::new().await;
    let ten_days_ago = Clock::system().now() - TimeDelta::days(10);
    let ten_days_ago = ten_days_ago.duration_trunc(TimeDelta::seconds(1)).unwrap();
    prove(&desk, &account(), None, 60);
    prove(
        &desk,
        &Source::account("beef").unwrap(),
        Some(ten_days_ago),
        10,
    );
    let whole = desk.get("/v1/coverage?merged=true").await;
    let since = whole["merged"][0]["since"].as_str().unwrap();
    let each = desk.get(&format!("/v1/coverage?since={since}")).await;
    compare(&whole, &each);
    let stretches = whole["merged"].as_array().unwrap().iter();
    let proven: Vec<&Value> = stretches
        .filter(|one| one["state"] != "missing")
        .map(|one| &one["since"])
        .collect();
    let begin = ten_days_ago.to_rfc3339_opts(SecondsFormat::Secs, true);
    assert_eq!(proven.len(), 1, "{whole}");
    assert!(proven[0].as_str().unwrap() >= begin.as_str(), "{whole}");
}
