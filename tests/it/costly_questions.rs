//! The worst that can be asked: it is cut off at the limit, and whoever asks something else has an answer meanwhile.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::future::join_all;
use orgtrail::http::Limits;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::form_urlencoded::byte_serialize;

use crate::fixture_log::{Desk, account};
use crate::tell;

/// How many entries there are, and how many values each has that no other has.
const ENTRIES: usize = 600;
const VALUES: usize = 100;

/// Entries that are costly to look through: many different words, and the same few again and again.
fn entries() -> Vec<String> {
    let again = "and so on ".repeat(200);
    let entry = |n: usize| {
        let values: Map<String, Value> = (0..VALUES)
            .map(|i| {
                (
                    format!("key{i}"),
                    json!(format!("ab-{i}x{n}-aabbab-{}", n * i)),
                )
            })
            .collect();
        json!({
            "id": format!("{n:032x}"),
            "action": {"time": "2026-08-03T08:00:00Z", "type": "create"},
            "actor": {"email": format!("user{n}@example.com")},
            "resource": {"id": format!("{n:032x}"), "request": values},
            "note": again,
        })
        .to_string()
    };
    (0..ENTRIES).map(entry).collect()
}

fn many(n: usize, part: impl Fn(usize) -> String) -> String {
    (0..n).map(part).collect::<Vec<_>>().join(" OR ")
}

/// Questions that cost as much as a question may.
fn worst_questions() -> Vec<(&'static str, String)> {
    vec![
        ("wildcards", many(64, |i| format!("*a*b*{i}*b*"))),
        (
            "wildcards of one field",
            many(64, |i| format!("resource.request.key{i}:*a*b*{i}*")),
        ),
        (
            "words that look so side by side",
            many(10, |i| format!("*a*-*b*-*{i}*")),
        ),
        ("expressions", many(64, |i| format!("/.*(a|b)+.*{i}.*b/"))),
        ("phrases", many(200, |i| format!("\"so on and so {i}\""))),
        (
            "one very long phrase",
            format!("\"{}x\"", "and so on ".repeat(800)),
        ),
        ("ranges", many(64, |i| format!("resource.id:[{i} TO z]"))),
        (
            "negations",
            format!("-({})", many(64, |i| format!("*b*a*{i}*"))),
        ),
    ]
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// What may be asked of each of these questions.
fn worst_paths() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for (name, question) in worst_questions() {
        let q = encoded(&question);
        for route in ["events?order=asc&", "count?", "histogram?interval=1m&"] {
            paths.push((format!("{route} {name}"), format!("/v1/{route}q={q}")));
        }
    }
    let q = encoded(&many(64, |i| format!("*a*b*{i}*")));
    let facets: String = (0..20)
        .map(|i| format!("field=resource.request.key{i}&"))
        .collect();
    paths.push((
        "facets".into(),
        format!("/v1/facets?{facets}size=1000&q={q}"),
    ));
    paths.push((
        "ids".into(),
        format!("/v1/facets?field=resource.id&size=1000&q={q}"),
    ));
    paths.push((
        "values".into(),
        format!("/v1/fields/resource.id/values?size=1000&q={q}"),
    ));
    paths.push((
        "profile".into(),
        format!("/v1/resources/{:032x}?size=1000&q={q}", 7),
    ));
    paths.push(("export".into(), format!("/v1/export?q={q}")));
    paths
}

/// Whether an answer was cut off at the limit; any other but a right one is a failure.
async fn is_cut_off(desk: &Desk, name: &str, path: &str) -> bool {
    let begun = Instant::now();
    let answer = desk.open(path).await;
    let status = answer.status();
    let body = answer.text().await;
    tell(format!("{name}: {status} after {:?}", begun.elapsed()));
    match (status, body) {
        (StatusCode::OK, Ok(_)) => false,
        // An export that cannot go on breaks off.
        (StatusCode::OK, Err(_)) => true,
        (StatusCode::SERVICE_UNAVAILABLE, Ok(body)) => {
            assert!(body.contains("was cut off"), "{name}: {body}");
            true
        }
        (status, body) => panic!("{name}: {status}, {body:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worst_questions_are_cut_off_and_another_has_its_answer_meanwhile() {
    let limits = Limits {
        looking: TimeDelta::milliseconds(300),
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    desk.keep(&account(), &entries());
    desk.search_all();
    let worst = worst_paths();
    let asked = join_all(
        worst
            .iter()
            .map(|(name, path)| is_cut_off(&desk, name, path)),
    );
    let ordinary = async {
        for n in 0..10 {
            let begun = Instant::now();
            let (status, body) = desk
                .ask(&format!("/v1/events?q=actor.email:user{n}@example.com"))
                .await;
            tell(format!(
                "an ordinary question: {status} after {:?}",
                begun.elapsed()
            ));
            assert_eq!(status, StatusCode::OK, "{body}");
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
    };
    let (cut_off, ()) = tokio::join!(asked, ordinary);
    let n_cut_off = cut_off.iter().filter(|is_cut_off| **is_cut_off).count();
    tell(format!("{n_cut_off} of {} were cut off", worst.len()));
    assert!(n_cut_off > 0, "these were not the worst questions");
    // Afterwards everything is as before.
    assert_eq!(desk.get("/v1/count").await["count"], ENTRIES);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_long_questions_there_are_an_ordinary_one_has_its_turn() {
    let limits = Limits {
        // Nothing is cut off here: what takes long makes room.
        looking: TimeDelta::seconds(120),
        waiting: Duration::from_secs(120),
        quick: Duration::from_millis(300),
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    desk.keep(&account(), &entries());
    desk.search_all();
    let q = encoded(&many(64, |i| format!("*a*b*{i}*b*")));
    let path = format!("/v1/events?q={q}");
    let long = join_all((0..30).map(|_| desk.ask(&path)));
    let ordinary = async {
        for n in 0..10 {
            let path = format!("/v1/events/{}", n + 1);
            let (status, body) = desk.ask(&path).await;
            assert_eq!(status, StatusCode::OK, "{body}");
        }
    };
    let (long, ()) = tokio::join!(long, ordinary);
    let (answered, refused): (Vec<_>, Vec<_>) = long
        .iter()
        .partition(|(status, _)| *status == StatusCode::OK);
    tell(format!(
        "{} were answered, {} refused",
        answered.len(),
        refused.len()
    ));
    // There was room for eight at a time.
    assert!(answered.len() >= 8);
    assert!(!refused.is_empty());
    for (status, body) in refused {
        assert_eq!(*status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert!(body.contains("8 long questions are open already"), "{body}");
    }
    // Those that were refused do not go on: there is room again at once.
    assert_eq!(desk.ask(&path).await.0, StatusCode::OK);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_looked_for_ends_with_its_time() {
    let limits = Limits {
        looking: TimeDelta::zero(),
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    desk.keep(&account(), &entries()[..10]);
    desk.search_all();
    for path in [
        "/v1/events",
        "/v1/events?q=create",
        "/v1/events?count=true&facet=actor.email&histogram=auto",
        "/v1/events?revision=latest",
        "/v1/events/1/history",
        "/v1/events/1/around?by=actor",
        "/v1/count",
        "/v1/facets?field=resource.id",
        "/v1/histogram",
        "/v1/fields/resource.id/values",
        "/v1/actors/user1@example.com",
        "/v1/export",
    ] {
        assert!(is_cut_off(&desk, path, path).await, "{path}");
    }
    // A tail that cannot go on ends, and loses nothing: its client comes back.
    let tail = desk.open("/v1/events/stream?last_event_id=0").await;
    let given = tail.text().await.unwrap();
    assert!(!given.contains("data:"), "{given}");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_finishes_its_request_is_closed_while_others_are_answered() {
    let limits = Limits {
        request_header: Duration::from_secs(1),
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    let address = desk.url.trim_start_matches("http://");
    // The server may begin to count before the first byte was said.
    let begun = Instant::now();
    let line = TcpStream::connect(address).await.unwrap();
    let (mut hearing, mut saying) = line.into_split();
    saying
        .write_all(b"GET /v1/count HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let mut others = 0;
    let others_ask = async {
        // One more byte of its header each time somebody else was answered.
        while saying.write_all(b"x").await.is_ok() {
            assert_eq!(desk.get("/v1/count").await["count"], 0);
            others += 1;
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "it is still open"
            );
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // Whether it ends or breaks off depends on what was on its way.
        _ = hearing.read_to_end(&mut answer) => {}
        () = others_ask => {}
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(others > 0 && answer.is_empty(), "{answer:?}");
    tell(format!("closed after {others} other answers"));
    desk.stop().await;
}
