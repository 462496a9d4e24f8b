//! Clients without a valid credential, clients that take more than their share, and what the access log says of each request.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use orgtrail::access::ApiToken;
use orgtrail::http::Limits;
use reqwest::header::{COOKIE, RETRY_AFTER, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::access::{Guarded, command};
use crate::fixture_log::Desk;
use crate::{skip_slow_tests, tell};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_a_token_are_limited_and_take_few_lines_of_the_access_log() {
    let guarded = Guarded::start("").await;
    let (_, token) = guarded.token("search");
    let long = format!("/v1/count?q={}", "x".repeat(3_000));
    let mut refused = Vec::new();
    for _ in 0..10 {
        let sent = (0..50).map(|_| guarded.get(&long).send());
        refused.extend(join_all(sent).await.into_iter().map(Result::unwrap));
    }
    let limited = refused
        .iter()
        .filter(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS);
    let limited: Vec<_> = limited.collect();
    assert!(limited.len() > 100, "{}", limited.len());
    assert!(limited[0].headers().contains_key(RETRY_AFTER));
    let answered = guarded.status("/v1/count", &token).await;
    assert_eq!(answered, StatusCode::OK);

    let log = guarded.log_after_stop().await;
    let lines: Vec<_> = log
        .iter()
        .filter(|line| line["principal"] == "nobody")
        .collect();
    assert!(lines.len() <= 6, "{}", lines.len());
    let mut count = 0;
    for line in lines {
        let parameters = line["parameters"].as_str().unwrap();
        assert!(parameters.len() <= 300, "{line}");
        count += match parameters.strip_prefix("repeated=") {
            Some(repeated) => repeated.parse().unwrap(),
            None => 1,
        };
    }
    assert_eq!(count, 500, "each refusal is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessed_tokens_are_limited_and_a_known_token_from_the_same_address_is_answered() {
    let guarded = Guarded::start("").await;
    let (_, token) = guarded.token("search");
    assert_eq!(guarded.status("/v1/me", &token).await, StatusCode::OK);
    let guesses: Vec<_> = (0..300).map(|_| ApiToken::generate().unwrap()).collect();
    let sent = guesses
        .iter()
        .map(|guess| guarded.status("/v1/me", guess.reveal()));
    let refused = join_all(sent).await;
    let limited = refused
        .iter()
        .filter(|status| **status == StatusCode::TOO_MANY_REQUESTS);
    assert!(limited.count() > 100, "{refused:?}");
    assert_eq!(guarded.status("/v1/me", &token).await, StatusCode::OK);
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_has_the_results_of_every_question() {
    let guarded = Guarded::start("").await;
    let (_, token) = guarded.token("search,export,admin");
    let ask = async |path: &str| -> Value {
        let answer = guarded.get(path).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    };
    while ask("/v1/count").await["count"].as_u64().unwrap() < 20 {}
    let events = ask("/v1/events?limit=1").await;
    let event = &events["events"][0];
    let (seq, actor) = (&event["seq"], &event["entry"]["actor"]["id"]);
    let actor = actor.as_str().unwrap();
    for path in [
        "/v1/events?limit=3".to_owned(),
        format!("/v1/events/{seq}"),
        format!("/v1/events/{seq}/history"),
        format!("/v1/events/{seq}/diff"),
        format!("/v1/events/{seq}/around"),
        "/v1/count".to_owned(),
        "/v1/facets?field=action.type&field=actor.email".to_owned(),
        "/v1/histogram".to_owned(),
        "/v1/fields".to_owned(),
        "/v1/fields/action.type/values".to_owned(),
        format!("/v1/actors/{actor}"),
        "/v1/sources".to_owned(),
        "/v1/coverage".to_owned(),
        "/v1/members".to_owned(),
        "/v1/accounts".to_owned(),
        "/v1/me".to_owned(),
        "/v1/access-log?limit=2".to_owned(),
    ] {
        let answer = ask(&path).await;
        let newest = guarded.access_log().remove(0);
        assert!(newest["results"].is_u64(), "{path}: {newest}");
        let lists = ["events", "sources", "members", "accounts", "entries"];
        let list = lists.iter().find_map(|list| answer[list].as_array());
        if let Some(list) = list.filter(|_| path != "/v1/me") {
            assert_eq!(newest["results"], list.len(), "{path}");
        }
    }
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_and_a_broken_off_tail_have_their_results_and_duration_in_the_access_log() {
    let guarded = Guarded::start("").await;
    let (_, token) = guarded.token("search,export");
    let export = guarded.get("/v1/export").bearer_auth(&token);
    let export = export.send().await.unwrap().text().await.unwrap();
    let tail = guarded.get("/v1/events/stream?last_event_id=0");
    let mut tail = tail.bearer_auth(&token).send().await.unwrap();
    let mut seen = String::new();
    while !seen.contains("data:") {
        seen += std::str::from_utf8(&tail.chunk().await.unwrap().unwrap()).unwrap();
    }
    drop(tail);
    let log = guarded.log_after_stop().await;
    let of = |route: &str| log.iter().find(|line| line["route"] == route).unwrap();
    assert_eq!(of("/v1/export")["results"], export.lines().count());
    assert!(of("/v1/export")["duration_ms"].is_u64());
    let tail = of("/v1/events/stream");
    assert!(tail["results"].as_u64().unwrap() >= 1, "{tail}");
    assert!(tail["duration_ms"].is_u64(), "{tail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_route_a_wrong_method_and_a_foreign_page_are_recorded() {
    let guarded = Guarded::start("").await;
    let (id, token) = guarded.token("search");
    assert_eq!(
        guarded.status("/v1/nothing", &token).await,
        StatusCode::NOT_FOUND
    );
    let url = |path: &str| format!("{}{path}", guarded.service.url);
    let wrong_method = guarded.http.request(Method::PUT, url("/v1/count"));
    let wrong_method = wrong_method.bearer_auth(&token).send().await.unwrap();
    assert_eq!(wrong_method.status(), StatusCode::METHOD_NOT_ALLOWED);
    let log = guarded.access_log();
    for (line, status) in log.iter().zip([405, 404]) {
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["principal"], format!("token:{id}"), "{line}");
        assert_eq!(line["action"], "refused", "{line}");
    }
    let unknown = guarded.get("/v1/nothing").send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);

    let foreign = guarded.http.post(url("/v1/session"));
    let foreign = foreign.header("origin", "https://evil.example");
    let foreign = foreign.json(&json!({ "token": token })).send().await;
    assert_eq!(foreign.unwrap().status(), StatusCode::FORBIDDEN);
    let log = guarded.access_log();
    let line = log.iter().find(|line| line["status"] == 403);
    assert_eq!(line.unwrap()["action"], "refused");
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_before_the_answer_is_recorded() {
    let guarded = Guarded::start("").await;
    let mut tries = 0;
    while !guarded
        .access_log()
        .iter()
        .any(|line| line["status"] == 499)
    {
        tries += 1;
        assert!(tries < 100, "a client that hung up was not recorded");
        // The first use of a token is written down, which waits for this lock.
        let (_, token) = guarded.token("search");
        let busy = rusqlite::Connection::open(guarded.dir.path().join("data/access.db")).unwrap();
        busy.execute_batch("BEGIN IMMEDIATE").unwrap();
        let address = guarded.service.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let authorization = format!("Authorization: Bearer {token}\r\n");
        let request = format!("GET /v1/me HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        // Time for the request to begin; another try has more.
        tokio::time::sleep(Duration::from_millis(20 * tries)).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(20 * tries)).await;
        busy.execute_batch("ROLLBACK").unwrap();
    }
    guarded.service.stop().await.unwrap();
}

/// A measurement, not a check: requests a second that 64 clients get, each recorded before it is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_are_recorded_together() {
    if skip_slow_tests() {
        return;
    }
    let guarded =
        Guarded::start("[http.limits]\nrequests_per_minute = 1000000\nquestions = 100\n").await;
    let (_, token) = guarded.token("search");
    let begun = Instant::now();
    let clients = (0..64).map(|_| async {
        let mut answered = 0;
        while begun.elapsed() < Duration::from_secs(5) {
            let status = guarded.status("/v1/me", &token).await;
            assert_eq!(status, StatusCode::OK);
            answered += 1;
        }
        answered
    });
    let answered: u64 = join_all(clients).await.into_iter().sum();
    tell(format!("{} requests a second", answered / 5));
    let log = guarded.log_after_stop().await;
    let recorded = log.iter().filter(|line| line["route"] == "/v1/me");
    assert_eq!(recorded.count() as u64, answered);
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_the_other_family_does_not_change_the_address() {
    let proxies = "trusted_proxies = [\"127.0.0.0/8\"]\n";
    for (setting, x_forwarded_for, forwarded) in [
        ("", "198.51.100.7", "203.0.113.9"),
        (
            "forwarded_header = \"forwarded\"\n",
            "203.0.113.9",
            "198.51.100.7",
        ),
    ] {
        let guarded = Guarded::start(&format!("{proxies}{setting}")).await;
        let (_, token) = guarded.token("search");
        let request = guarded.get("/v1/count").bearer_auth(&token);
        let request = request.header("x-forwarded-for", x_forwarded_for);
        let request = request.header("forwarded", format!("for={forwarded}"));
        request.send().await.unwrap();
        assert_eq!(guarded.access_log()[0]["address"], "198.51.100.7");
        guarded.service.stop().await.unwrap();
    }
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ins_are_recorded_with_their_token_and_the_oldest_of_many_sessions_ends() {
    let guarded = Guarded::start("public_url = \"https://audit.example.com\"\n").await;
    let (id, token) = guarded.token("search");
    let url = format!("{}/v1/session", guarded.service.url);
    let sign_in = async || {
        let begin = guarded.http.post(&url).json(&json!({ "token": token }));
        begin.send().await.unwrap()
    };
    let cookie = |answer: &reqwest::Response| {
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    };
    let first = cookie(&sign_in().await);
    assert!(first.starts_with("__Host-orgtrail_session="), "{first}");
    let newest = guarded.access_log().remove(0);
    assert_eq!(newest["principal"], format!("token:{id}"), "{newest}");
    let status = async |cookie: &str| {
        let request = guarded.get("/v1/me").header(COOKIE, cookie);
        request.send().await.unwrap().status()
    };
    assert_eq!(status(&first).await, StatusCode::OK);
    let mut last = first.clone();
    for _ in 0..20 {
        last = cookie(&sign_in().await);
    }
    assert_eq!(status(&first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&last).await, StatusCode::OK);
    let mut limited = StatusCode::CREATED;
    for _ in 0..40 {
        limited = sign_in().await.status();
    }
    assert_eq!(limited, StatusCode::TOO_MANY_REQUESTS);
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_recorded_with_the_name_of_the_user() {
    let guarded = Guarded::start("").await;
    // The command asks the service only when it answers.
    guarded.get("/readyz").send().await.unwrap();
    guarded.command(&["search", "--limit", "1", "--json"]);
    let asked = guarded.access_log().remove(0);
    let user = asked["principal"].as_str().unwrap().to_owned();
    assert!(
        user.starts_with("system:") && user.len() > "system:".len(),
        "{user}"
    );
    let data = guarded.dir.path().join("data");
    guarded.service.stop().await.unwrap();
    // Without a service the commands read the data directory.
    command(&data, &["search", "action.type:create", "--limit", "1"]);
    command(&data, &["status"]);
    command(&data, &["scrub"]);
    let file = guarded.dir.path().join("more.ndjson");
    std::fs::write(&file, r#"{"id":"imported-1"}"#).unwrap();
    let source = format!("accounts/{:032x}", 7);
    command(
        &data,
        &["import", "--source", &source, file.to_str().unwrap()],
    );
    let log = command(&data, &["access-log", "--limit", "4", "--json"]);
    let log: Value = serde_json::from_str(&log).unwrap();
    let lines = log["entries"].as_array().unwrap();
    let expected = [
        ("orgtrail import", "files="),
        ("orgtrail scrub", ""),
        ("orgtrail status", ""),
        ("orgtrail search", "action.type:create"),
    ];
    for (line, (route, parameters)) in lines.iter().zip(expected) {
        assert_eq!(line["principal"], user, "{line}");
        assert_eq!(line["route"], route, "{line}");
        let recorded = line["parameters"].as_str().unwrap();
        assert!(recorded.contains(parameters), "{line}");
    }
    assert_eq!(lines[0]["results"], 1, "{}", lines[0]);
    assert!(lines[1]["results"].is_u64(), "{}", lines[1]);
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_in_parameters_are_not_recorded() {
    let guarded = Guarded::start("").await;
    let (_, token) = guarded.token("search");
    for parameters in [
        "password=hunter2hunter2",
        "api_key=hunter2hunter2",
        "access%5Ftoken=hunter2hunter2",
        "q=Bearer+hunter2hunter2hunter2",
        "q=Authorization:%20bearer%20hunter2hunter2hunter2",
        "q=orgtrail_session=hunter2hunter2",
    ] {
        guarded
            .status(&format!("/v1/count?{parameters}"), &token)
            .await;
    }
    let log = Value::from(guarded.access_log()).to_string();
    assert!(!log.contains("hunter2"), "{log}");
    guarded.service.stop().await.unwrap();
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_body_that_is_too_large_or_never_ends_is_refused() {
    let guarded = Guarded::start("").await;
    let (_, token) = guarded.token("search");
    let large = guarded
        .http
        .post(format!("{}/v1/count", guarded.service.url));
    let large = large.bearer_auth(&token).body("x".repeat(200_000));
    assert!(!large.send().await.unwrap().status().is_success());
    // The answer comes before the body has ended.
    let address = guarded.service.url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_idle_is_closed_after_a_while() {
    let limits = Limits {
        request_header: Duration::from_millis(500),
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    let address = desk.url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let closed = stream.read_to_end(&mut answer);
    let closed = tokio::time::timeout(Duration::from_secs(60), closed).await;
    assert!(closed.is_ok(), "it is still open");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    desk.stop().await;
}
