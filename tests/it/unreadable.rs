//! Rows of the log that do not tell whose they are: answers to a limited token go on, and say no more than is proven.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use orgtrail::access::Grant;
use orgtrail::clock::Clock;
use orgtrail::position::Source;
use orgtrail_cloudflare::coverage::{Covered, CoveredState};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// How many events the account of the token has.
const ALL: u64 = 6;

fn text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// When an event happened.
fn at(now: DateTime<Utc>, n: u64) -> DateTime<Utc> {
    now - TimeDelta::minutes(60 - 5 * i64::try_from(n).unwrap())
}

/// A log with events of two accounts, and a token that may see the first. Two rows of the first are damaged: 3 is missing, and 5
/// names no source.
async fn damaged(now: DateTime<Utc>) -> (Desk, String) {
    let mut desk = Desk::guarded().await;
    let entry = |n: u64| {
        json!({"id": format!("id-{n}"), "action": {"time": text(at(now, n)), "type": "update"}})
            .to_string()
    };
    let entries: Vec<String> = (1..=ALL).map(entry).collect();
    desk.keep(&account(), &entries);
    desk.keep(&Source::account("beef").unwrap(), &[entry(7), entry(8)]);
    desk.search_all();
    let db = rusqlite::Connection::open(desk.data_dir().join("orgtrail.db")).unwrap();
    db.execute_batch(
        "PRAGMA foreign_keys = OFF;
         DELETE FROM event WHERE seq = 3;
         UPDATE event SET source = 99 WHERE seq = 5;",
    )
    .unwrap();
    let mut grant = Grant::everything();
    grant.sources = vec![account()];
    let token = desk.token(grant);
    (desk, token)
}

async fn ask(desk: &Desk, token: &str, path: &str) -> Response {
    let request = reqwest::Client::new().get(format!("{}{path}", desk.url));
    request.bearer_auth(token).send().await.unwrap()
}

fn seqs(events: &[Value]) -> Vec<u64> {
    let seqs = events.iter().map(|event| event["seq"].as_u64().unwrap());
    seqs.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_row_is_in_the_pages_exports_and_tails_of_a_limited_token() {
    let (mut desk, token) = damaged(Clock::system().now()).await;
    for limit in [1, 3, 50] {
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/events?order=asc&limit={limit}{next}");
            let page: Value = ask(&desk, &token, &path).await.json().await.unwrap();
            found.extend(page["events"].as_array().unwrap().clone());
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(seqs(&found), (1..=ALL).collect::<Vec<_>>(), "limit={limit}");
        for lost in [2, 4] {
            let event = &found[lost];
            assert_eq!(event["problem"], "damaged");
            for nothing in ["id", "time", "entry", "sha256"] {
                assert!(event[nothing].is_null(), "{nothing}: {event}");
            }
        }
    }
    let export = ask(&desk, &token, "/v1/export?order=asc").await;
    let export = export.text().await.unwrap();
    let export = export
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    assert_eq!(
        seqs(&export.collect::<Vec<_>>()),
        (1..=ALL).collect::<Vec<_>>()
    );

    let mut tail = ask(&desk, &token, "/v1/events/stream?last_event_id=0").await;
    let mut seen = String::new();
    let last = format!("id: {ALL}\ndata:");
    while !seen.contains(&last) {
        let chunk = tokio::time::timeout(Duration::from_secs(60), tail.chunk()).await;
        let chunk = chunk.unwrap().unwrap().expect("the tail goes on");
        seen += std::str::from_utf8(&chunk).unwrap();
    }
    // By its place alone it is not known to be the token's.
    for (seq, status) in [
        (3, StatusCode::NOT_FOUND),
        (4, StatusCode::OK),
        (5, StatusCode::NOT_FOUND),
    ] {
        let answer = ask(&desk, &token, &format!("/v1/events/{seq}")).await;
        assert_eq!(answer.status(), status, "{seq}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudflare_s_api_does_not_prove_the_moment_of_an_unreadable_row() {
    let now = Clock::system().now();
    let (mut desk, token) = damaged(now).await;
    let path = format!(
        "/client/v4/accounts/f00d/logs/audit?since={}&before={}&direction=asc",
        text(at(now, 0)),
        text(at(now, 11))
    );
    let answer = ask(&desk, &token, &path).await;
    let covered = answer.headers()["orgtrail-coverage"].to_str().unwrap();
    let covered = Covered::read(covered).unwrap();
    assert_eq!(covered.state, CoveredState::Partial);
    assert_eq!(text(covered.until), text(at(now, 3)));
    let (since, before) = covered.next[0];
    assert_eq!(text(since), text(at(now, 3) + TimeDelta::seconds(1)));
    assert_eq!(text(before), text(at(now, 5)));
    desk.stop().await;
}
