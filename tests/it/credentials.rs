//! Credentials where none is needed, what ended ones leave behind, and what is recorded of those that are made.

use std::process::{Command, Output};

use orgtrail::access::{Grant, Permission};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::access::Guarded;
use crate::fixture_log::{Desk, account};

/// The lines of the access log about a route.
fn lines_of(guarded: &Guarded, route: &str) -> Vec<(String, u64)> {
    let log = guarded.access_log();
    let lines = log.iter().filter(|line| line["route"] == route);
    lines
        .map(|line| {
            let principal = line["principal"].as_str().unwrap().to_owned();
            (principal, line["status"].as_u64().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_checked_counted_and_recorded_also_where_none_is_needed() {
    let guarded = Guarded::start("[http.limits]\nrequests_per_minute = 20\n").await;
    let (id, token) = guarded.token("search");
    let without = guarded.get("/readyz").send().await.unwrap();
    assert_eq!(without.status(), StatusCode::OK);
    let other_cookie = guarded.get("/readyz").header("cookie", "theme=dark");
    assert_eq!(other_cookie.send().await.unwrap().status(), StatusCode::OK);
    assert!(lines_of(&guarded, "/readyz").is_empty());
    for wrong in ["wrong", &format!("otr_{}", "a".repeat(46))] {
        let status = guarded.status("/readyz", wrong).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    assert!(lines_of(&guarded, "/readyz").contains(&("nobody".to_owned(), 401)));
    let mut statuses = Vec::new();
    for _ in 0..25 {
        statuses.push(guarded.status("/readyz", &token).await);
    }
    assert_eq!(statuses[0], StatusCode::OK);
    assert_eq!(statuses[24], StatusCode::TOO_MANY_REQUESTS);
    assert!(lines_of(&guarded, "/readyz").contains(&(format!("token:{id}"), 200)));
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_is_saved_only_as_json_and_says_so() {
    let desk = Desk::guarded().await;
    let token = desk.token(Grant::everything());
    let url = format!("{}/v1/searches", desk.url);
    let save = async |content_type: &str| {
        let request = reqwest::Client::new().post(&url).bearer_auth(&token);
        let request = request.header(CONTENT_TYPE, content_type);
        let body = json!({"name": "x", "q": "a"}).to_string();
        request.body(body).send().await.unwrap().status()
    };
    let json = save("application/json; charset=utf-8").await;
    assert_eq!(json, StatusCode::CREATED);
    for other in ["text/plain", "application/x-www-form-urlencoded"] {
        let status = save(other).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{other}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_says_that_the_access_log_is_not_written() {
    let guarded = Guarded::start("").await;
    let (_, token) = guarded.token("search");
    let db = guarded.dir.path().join("data/access.db");
    let db = rusqlite::Connection::open(db).unwrap();
    let is_reported = async || {
        let ready = guarded.get("/readyz").send().await.unwrap();
        let ready: Value = ready.json().await.unwrap();
        ready["problems"]
            .to_string()
            .contains("access log not written")
    };
    assert!(!is_reported().await);
    db.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON access BEGIN SELECT RAISE(ABORT, 'no line'); END",
    )
    .unwrap();
    let status = guarded.status("/v1/count", &token).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(is_reported().await);
    db.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(guarded.status("/v1/count", &token).await, StatusCode::OK);
    assert!(!is_reported().await);
    guarded.service.stop().await.unwrap();
}

/// The names on all pages of the saved searches that a token sees, and the most bytes of a page.
async fn searches(desk: &Desk, token: &str) -> (Vec<String>, usize) {
    let (mut names, mut most, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let url = format!("{}/v1/searches?limit=1000{cursor}", desk.url);
        let page = reqwest::Client::new().get(url).bearer_auth(token).send();
        let page = page.await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        let page = page.text().await.unwrap();
        most = most.max(page.len());
        let page: Value = serde_json::from_str(&page).unwrap();
        for one in page["searches"].as_array().unwrap() {
            names.push(one["name"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next_cursor"].as_str() else {
            return (names, most);
        };
        cursor = format!("&cursor={next}");
    }
}

async fn save(desk: &Desk, token: &str, search: &Value) -> String {
    let request = reqwest::Client::new().post(format!("{}/v1/searches", desk.url));
    let saved = request
        .bearer_auth(token)
        .json(search)
        .send()
        .await
        .unwrap();
    assert_eq!(saved.status(), StatusCode::CREATED);
    let saved: Value = saved.json().await.unwrap();
    saved["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_saved_searches_is_bounded_in_bytes_and_none_is_left_out() {
    let mut desk = Desk::guarded().await;
    let token = desk.token(Grant::everything());
    let state = "\"".repeat(16_000);
    for n in 0..150 {
        let search = json!({"name": format!("n{n}"), "state": state});
        save(&desk, &token, &search).await;
    }
    let (mut names, most) = searches(&desk, &token).await;
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 150);
    assert!(most < 2_500_000, "{most}");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_sees_and_deletes_the_searches_of_others() {
    let mut desk = Desk::guarded().await;
    let of = |permissions: &[Permission], is_limited: bool| {
        desk.token(Grant {
            permissions: permissions.iter().copied().collect(),
            sources: Vec::from_iter(is_limited.then(account)),
            bodies: true,
        })
    };
    let ann = of(&[Permission::Search], true);
    let ben = of(&[Permission::Search], false);
    let admin = of(&[Permission::Search, Permission::Admin], false);
    let id = save(&desk, &ann, &json!({"name": "own", "q": "a"})).await;
    assert_eq!(searches(&desk, &admin).await.0, ["own"]);
    assert!(searches(&desk, &ben).await.0.is_empty());
    let delete = async |token: &str| {
        let url = format!("{}/v1/searches/{id}", desk.url);
        let request = reqwest::Client::new().delete(url).bearer_auth(token);
        request.send().await.unwrap().status()
    };
    assert_eq!(delete(&ben).await, StatusCode::NOT_FOUND);
    assert_eq!(delete(&admin).await, StatusCode::NO_CONTENT);
    assert!(searches(&desk, &ann).await.0.is_empty());
    desk.stop().await;
}

/// Runs a command on a data directory.
fn run(data: &std::path::Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    command.args(args).arg("--data-dir").arg(data);
    command.output().unwrap()
}

#[test]
fn a_revoked_token_leaves_no_saved_searches() {
    let dir = tempfile::tempdir().unwrap();
    let created = run(
        dir.path(),
        &["token", "create", "x", "--scope", "search", "--json"],
    );
    let created: Value = serde_json::from_slice(&created.stdout).unwrap();
    let id = created["id"].as_str().unwrap();
    let db = rusqlite::Connection::open(dir.path().join("access.db")).unwrap();
    let save = "INSERT INTO saved_search (id, principal, name, query, state, shared, created_us)
                VALUES (?1, ?2, 'n', 'a', NULL, 0, 0)";
    db.execute(save, ("1", format!("token:{id}"))).unwrap();
    db.execute(save, ("2", "token:another")).unwrap();
    assert!(run(dir.path(), &["token", "revoke", id]).status.success());
    let left: Vec<String> = db
        .prepare("SELECT id FROM saved_search")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(left, ["2"]);
}

#[test]
fn a_token_is_created_and_revoked_only_together_with_its_line_in_the_access_log() {
    let dir = tempfile::tempdir().unwrap();
    let create = ["token", "create", "x", "--scope", "search", "--json"];
    let created = run(dir.path(), &create);
    let created: Value = serde_json::from_slice(&created.stdout).unwrap();
    let db = rusqlite::Connection::open(dir.path().join("access.db")).unwrap();
    db.execute_batch(
        "CREATE TRIGGER full BEFORE INSERT ON access BEGIN SELECT RAISE(ABORT, 'no line'); END",
    )
    .unwrap();
    assert!(!run(dir.path(), &create).status.success());
    let revoke = ["token", "revoke", created["id"].as_str().unwrap()];
    assert!(!run(dir.path(), &revoke).status.success());
    let tokens: (u64, u64) = db
        .query_row("SELECT count(*), count(revoked_us) FROM token", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(tokens, (1, 0));
}

#[test]
fn a_restore_that_fails_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let missing = dir.path().join("no-backup");
    let restored = run(&data, &["restore", missing.to_str().unwrap()]);
    assert!(!restored.status.success());
    let log = run(&data, &["access-log", "--json"]);
    let log: Value = serde_json::from_slice(&log.stdout).unwrap();
    let lines: Vec<_> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["action"] == "restore")
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    let parameters = lines[0]["parameters"].as_str().unwrap();
    assert!(parameters.contains("no-backup"), "{parameters}");
    assert!(parameters.contains("failed"), "{parameters}");
}
