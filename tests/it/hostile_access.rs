//! Clients that try to use up the access log, its database or the connections, and what the access log keeps of a question.

use futures_util::future::join_all;
use orgtrail::access::Grant;
use orgtrail::http::Limits;
use reqwest::StatusCode;
use reqwest::header::COOKIE;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::access::Guarded;
use crate::fixture_log::{Desk, account};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_without_a_session_writes_nothing_and_is_limited() {
    let guarded = Guarded::start("").await;
    let url = format!("{}/v1/session", guarded.service.url);
    let cookie = format!("orgtrail_session={}", "a".repeat(40));
    let sign_out = async || {
        let request = guarded.http.delete(&url).header(COOKIE, &cookie);
        request.send().await.unwrap().status()
    };
    // The service answers when its database is there.
    assert_eq!(sign_out().await, StatusCode::NO_CONTENT);
    let data = guarded.dir.path().join("data");
    let busy = rusqlite::Connection::open(data.join("access.db")).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    // A write would fail.
    assert_eq!(sign_out().await, StatusCode::NO_CONTENT);
    busy.execute_batch("ROLLBACK").unwrap();
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.extend(join_all((0..40).map(|_| sign_out())).await);
    }
    let limited = answers
        .iter()
        .filter(|status| **status == StatusCode::TOO_MANY_REQUESTS);
    assert!(limited.count() > 100, "{answers:?}");
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_over_its_limit_takes_few_lines_of_the_access_log() {
    let guarded = Guarded::start("[http.limits]\nrequests_per_minute = 10\n").await;
    let (id, token) = guarded.token("search");
    let long = format!("/v1/count?q={}", "x".repeat(3_000));
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.extend(join_all((0..40).map(|_| guarded.status(&long, &token))).await);
    }
    let limited = sent
        .iter()
        .filter(|status| **status == StatusCode::TOO_MANY_REQUESTS);
    let limited = limited.count() as u64;
    assert!(limited > 150, "{sent:?}");
    let log = guarded.log_after_stop().await;
    let refused = log
        .iter()
        .filter(|line| line["principal"] == format!("token:{id}") && line["status"] == 429)
        // Refused for another reason: too many questions at once.
        .filter(|line| line["action"] == "refused");
    let parameters: Vec<_> = refused
        .map(|line| line["parameters"].as_str().unwrap())
        .collect();
    let repeated = |text: &&str| text.strip_prefix("repeated=")?.parse::<u64>().ok();
    let counted: u64 = parameters.iter().filter_map(repeated).sum();
    assert!(counted > 100, "{parameters:?}");
    assert!(
        counted + parameters.len() as u64 > limited,
        "each is counted"
    );
    assert!(parameters.len() < 30, "{}", parameters.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_whose_bodies_do_not_come_give_way_to_other_connections() {
    let limits = Limits {
        connections: 16,
        ..Limits::default()
    };
    let mut desk = Desk::guarded_with(limits).await;
    let mut held = Vec::new();
    for _ in 0..limits.connections {
        let address = desk.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "POST /v1/session HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
                    Content-Length: 10\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // The service says so when it waits for the body.
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100");
        held.push(stream);
    }
    let (status, _) = desk.ask("/healthz").await;
    assert_eq!(status, StatusCode::OK);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_size_of_a_hidden_body_does_not_show_in_the_pieces_of_a_tail() {
    let mut desk = Desk::guarded().await;
    let entry = |n: usize, bytes: usize| {
        json!({"id": format!("id-{n}"), "action": {"time": "2026-08-03T08:00:00Z"},
            "resource": {"id": "r", "request": {"zone": "x".repeat(bytes)}}})
        .to_string()
    };
    desk.keep(&account(), &[entry(1, 100_000), entry(2, 1), entry(3, 1)]);
    desk.search_all();
    let token = desk.token(Grant {
        bodies: false,
        ..Grant::everything()
    });
    let url = format!("{}/v1/events/stream?last_event_id=0", desk.url);
    let tail = reqwest::Client::new().get(url).bearer_auth(token).send();
    let mut tail = tail.await.unwrap();
    let first = loop {
        let chunk = tail.chunk().await.unwrap().unwrap();
        let chunk = String::from_utf8(chunk.to_vec()).unwrap();
        if chunk.contains("id: 1\n") {
            break chunk;
        }
    };
    assert!(first.contains("id: 3\n"), "{first}");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_whether_the_service_is_ready_takes_no_place_of_a_question() {
    // Of these, 12 are left for other requests than questions: two questions may wait.
    let limits = Limits {
        connections: 14,
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    for _ in 0..20 {
        let asked = join_all((0..4).map(|_| desk.ask("/readyz"))).await;
        for (status, body) in asked {
            assert_eq!(status, StatusCode::OK, "{body}");
        }
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_read_the_access_database_are_recorded() {
    let guarded = Guarded::start("").await;
    guarded.token("search");
    guarded.command(&["token", "list"]);
    let before = guarded.access_log();
    let log = guarded.access_log();
    assert_eq!(log.len(), before.len() + 1);
    for (line, action) in log.iter().zip(["access-log", "token.list", "token.create"]) {
        assert_eq!(line["action"], action, "{line}");
        assert!(line["principal"].as_str().unwrap().starts_with("system"));
    }
    assert_eq!(log[0]["results"], before.len());
    assert_eq!(log[0]["parameters"], "limit=0");
    assert_eq!(log[1]["results"], 1);
    guarded.service.stop().await.unwrap();
}
