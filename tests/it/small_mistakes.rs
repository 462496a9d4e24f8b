//! What a user reads after a small mistake on the command line or in a request.

use std::process::{Command, Output};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::access::Guarded;
use crate::fixture_log::{Desk, account};

/// Runs the program in a directory of its own.
fn orgtrail(dir: &std::path::Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    command.current_dir(dir).args(args).env_remove("RUST_LOG");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let texts =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    texts.concat()
}

#[test]
fn a_file_of_csv_is_named_as_one_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let csv = "\"seq\",\"time\",\"source\"\r\n\"1\",\"2026-08-03T08:00:00Z\",\"accounts/f00d\"\r\n";
    std::fs::write(dir.path().join("events.csv"), csv).unwrap();
    let done = orgtrail(
        dir.path(),
        &[
            "import",
            "events.csv",
            "--source",
            "accounts/f00d",
            "--data-dir",
            "data",
        ],
    );
    let said = said(&done);
    assert!(!done.status.success(), "{said}");
    assert!(said.contains("2 lines: "), "{said}");
    assert!(
        said.contains("  line 1: CSV, which does not keep entries as they were"),
        "{said}"
    );
    assert!(said.contains("  and 1 more"), "{said}");
    assert!(!said.contains("line 2:"), "{said}");
}

#[test]
fn a_wrong_limit_names_the_way_to_every_event() {
    let dir = tempfile::tempdir().unwrap();
    for wrong in ["2000", "abc", "0"] {
        let said = said(&orgtrail(dir.path(), &["search", "--limit", wrong, "x"]));
        assert!(
            said.contains("a number from 1 to 1000; `--all` shows every event"),
            "{said}"
        );
    }
}

#[test]
fn a_simulation_refuses_to_forbid_a_log_that_it_does_not_have() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "simulate",
        "--listen",
        "127.0.0.1:0",
        "--events",
        "10",
        "--forbid",
        "accounts/nope",
    ];
    let done = orgtrail(dir.path(), &args);
    let said = said(&done);
    assert!(
        !done.status.success() && said.contains("accounts/nope is no log of this simulation"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_missing_is_not_quoted_as_an_empty_text() {
    let mut desk = Desk::new().await;
    let entry = json!({"id": "x", "action": {"time": "2026-08-03T08:00:00Z"}}).to_string();
    desk.keep(&account(), &[entry]);
    desk.search_all();
    for path in [
        "/v1/events?=1",
        "/v1/coverage?=1",
        "/v1/facets?field=",
        "/v1/events?fields=",
    ] {
        let (status, body) = desk.ask(path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {body}");
        assert!(!body.contains("unknown"), "{path}: {body}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_with_an_unknown_field_is_not_saved() {
    let mut desk = Desk::new().await;
    let entry = json!({"id": "x", "action": {"time": "2026-08-03T08:00:00Z", "type": "create"}})
        .to_string();
    desk.keep(&account(), &[entry]);
    desk.search_all();
    let save = async |q: &str| {
        let body = json!({"name": "n", "q": q});
        let request = reqwest::Client::new()
            .post(format!("{}/v1/searches", desk.url))
            .json(&body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (status, problem) = save("x action.typ:delete").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        (&problem["parameter"], &problem["at"]),
        (&json!("q"), &json!(2))
    );
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("`action.type`"),
        "{problem}"
    );
    assert_eq!(save("action.type:delete").await.0, StatusCode::CREATED);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_asked_for_as_a_whole() {
    let mut desk = Desk::new().await;
    let entry = |id: &str, time: &str| json!({"id": id, "action": {"time": time}}).to_string();
    let entries = [
        entry("a", "2026-07-31T23:59:59Z"),
        entry("b", "2026-08-01T00:00:00Z"),
        entry("c", "2026-08-31T23:59:59Z"),
        entry("d", "2026-09-01T00:00:00Z"),
        entry("e", "2025-12-31T23:59:59Z"),
    ];
    desk.keep(&account(), &entries);
    desk.search_all();
    assert_eq!(desk.count("since=2026-08&before=2026-09").await, 2);
    assert_eq!(desk.count("q=action.time:2026-08").await, 2);
    assert_eq!(desk.count("q=action.time:2026").await, 4);
    assert_eq!(desk.count("since=2026").await, 4);
    assert_eq!(desk.count("q=action.time:[2025 TO 2026-07]").await, 2);
    for wrong in ["since=2026-13", "since=26-08", "since=2026-8"] {
        let (status, body) = desk.ask(&format!("/v1/count?{wrong}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {body}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_revoked_and_its_lines_are_found_by_its_name() {
    let guarded = Guarded::start("").await;
    let dir = guarded.dir.path().to_owned();
    let run = |args: &[&str]| tokio::task::block_in_place(|| orgtrail(&dir, args));
    let create = |name: &str| {
        let done = run(&[
            "token",
            "create",
            name,
            "--scope",
            "search",
            "--json",
            "--data-dir",
            "data",
        ]);
        let token: Value = serde_json::from_slice(&done.stdout).unwrap();
        let text = |name: &str| token[name].as_str().unwrap().to_owned();
        (text("id"), text("token"))
    };
    let (id, token) = create("dashboard");
    create("other");
    guarded.status("/v1/count?q=seen", &token).await;
    let lines = said(&run(&[
        "access-log",
        "--principal",
        "dashboard",
        "--since",
        "1h",
        "--data-dir",
        "data",
    ]));
    assert!(
        lines.contains(&format!("token:{id} (dashboard)")) && lines.contains("q=seen"),
        "{lines}"
    );
    assert!(lines.lines().all(|line| line.contains(&id)), "{lines}");
    let none = said(&run(&[
        "access-log",
        "--principal",
        "dashboard",
        "--before",
        "1h",
        "--data-dir",
        "data",
    ]));
    assert!(!none.contains("q=seen"), "{none}");

    let (second, _) = create("dashboard");
    let twice = run(&["token", "revoke", "dashboard", "--data-dir", "data"]);
    let text = said(&twice);
    assert!(
        !twice.status.success() && text.contains(&id) && text.contains(&second),
        "{text}"
    );
    assert!(
        run(&["token", "revoke", &second, "--data-dir", "data"])
            .status
            .success()
    );
    assert!(
        run(&["token", "revoke", "dashboard", "--data-dir", "data"])
            .status
            .success()
    );
    assert_eq!(
        guarded.status("/v1/count", &token).await,
        StatusCode::UNAUTHORIZED
    );
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_a_source_that_the_log_does_not_know_comes_with_a_warning() {
    let guarded = Guarded::start("").await;
    let dir = guarded.dir.path().to_owned();
    let source = format!("accounts/{}", "0123456789abcdef".repeat(2));
    let args = [
        "token",
        "create",
        "limited",
        "--scope",
        "search",
        "--data-dir",
        "data",
        "--source",
        &source,
    ];
    let done = tokio::task::block_in_place(|| orgtrail(&dir, &args));
    let text = said(&done);
    assert!(done.status.success(), "{text}");
    assert!(
        text.contains(&format!("the log has no source {source}")),
        "{text}"
    );
    guarded.service.stop().await.unwrap();
}
