//! The README's chapter on questions, held to what it says: its command lines are run, its routes and its queries are asked.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chrono::TimeDelta;
use orgtrail::http::Limits;
use reqwest::StatusCode;
use url::form_urlencoded::byte_serialize;

use crate::desk::Desk;
use crate::{skip_slow_tests, tell};

/// Where the README's service answers.
const README_URL: &str = "http://127.0.0.1:7070";

/// The chapter, without what follows.
fn chapter() -> &'static str {
    let readme = include_str!("../../README.md");
    let chapter = readme.split("\n## Ask it\n").nth(1).unwrap();
    chapter.split("\n## ").next().unwrap()
}

/// The first cell of each row of the table that has this column, as its pieces of code.
fn first_cells(column: &str) -> Vec<Vec<String>> {
    let table = chapter().split(&format!("| {column} |")).nth(1).unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        // A bar that belongs to the text is written `\|` in a table.
        let row = row.replace("\\|", "\u{1}");
        let cell = row.split('|').nth(1).unwrap();
        let code = cell.split('`').skip(1).step_by(2);
        code.map(|piece| piece.replace('\u{1}', "|")).collect()
    })
    .collect()
}

/// A service with a history of everything.
async fn desk() -> Desk {
    let limits = Limits {
        // Other tests run beside this one.
        looking: TimeDelta::seconds(60),
        waiting: Duration::from_secs(60),
        ..Limits::default()
    };
    Desk::of_history_with(3_000, limits).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_readme_is_answered() {
    let mut desk = desk().await;
    let queries = first_cells("write");
    assert!(queries.len() > 15, "{queries:?}");
    for query in queries.iter().flatten() {
        let encoded: String = byte_serialize(query.as_bytes()).collect();
        let (status, body) = desk.ask(&format!("/v1/count?q={encoded}")).await;
        assert_eq!(status, StatusCode::OK, "{query}: {body}");
        tell(format!("{query}: {body}"));
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_and_parameter_of_the_readme_is_there() {
    let mut desk = desk().await;
    let routes: Vec<String> = first_cells("route").concat();
    assert!(routes.len() > 15, "{routes:?}");
    for route in &routes {
        let path = route.trim_start_matches("GET ");
        let path = match path {
            "/v1/facets" => "/v1/facets?field=actor.email".to_owned(),
            "/v1/events/{seq}/around" => "/v1/events/1/around?by=actor".to_owned(),
            path => path
                .replace("{seq}", "1")
                .replace("{name}", "actor.email")
                .replace("{address}", "203.0.113.7")
                .replace("{email or id}", "alice@example.com")
                .replace("{id}", "1"),
        };
        // A stream never ends; that it begins is enough.
        let answer = desk.open(&path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{route}");
    }
    for parameter in first_cells("parameter").concat() {
        // What is wrong with an empty value is another matter than a name that is not known.
        let (_, body) = desk.ask(&format!("/v1/events?{parameter}")).await;
        assert!(!body.contains("unknown parameter"), "{parameter}: {body}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_line_of_the_readme_does_what_it_says() {
    // It takes `curl`, and some seconds.
    if skip_slow_tests() {
        return;
    }
    let mut desk = desk().await;
    let work = tempfile::tempdir().unwrap();
    // Without `--server`, the data directory is the configuration's.
    let configuration = format!(
        "data_dir = '{}'\n[[accounts]]\nid = \"f00d\"\n",
        desk.data_dir().display()
    );
    std::fs::write(work.path().join("orgtrail.toml"), configuration).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_orgtrail")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let blocks = chapter().split("```sh\n").skip(1);
    let lines: Vec<String> = blocks
        .flat_map(|block| {
            block
                .split("```")
                .next()
                .unwrap()
                .replace("\\\n", " ")
                .lines()
                .map(ToOwned::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert!(lines.len() > 8, "{lines:?}");
    for line in &lines {
        let line = line.replace(README_URL, &desk.url);
        // What goes on for ever is stopped once it has begun.
        let is_endless = line.contains("--follow") || line.contains("/stream");
        let script = if is_endless {
            line.replacen("orgtrail", "timeout 2 orgtrail", 1)
                .replacen("curl", "timeout 2 curl", 1)
        } else {
            line.clone()
        };
        let mut command = Command::new("sh");
        command
            .args(["-euc", &script])
            .current_dir(work.path())
            .env("PATH", &path)
            .env_remove("RUST_LOG");
        let done = tokio::task::block_in_place(|| command.output()).unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        let complained = String::from_utf8_lossy(&done.stderr);
        let expect = if is_endless { 124 } else { 0 };
        assert_eq!(
            done.status.code(),
            Some(expect),
            "{line}: {said}{complained}"
        );
        assert!(!said.contains("urn:orgtrail:problem"), "{line}: {said}");
        let is_written_elsewhere = line.contains(" > ") || line.contains(" -o ");
        assert!(
            is_written_elsewhere || !said.is_empty(),
            "{line} says nothing"
        );
        tell(format!(
            "{line}\n{}",
            said.chars().take(300).collect::<String>()
        ));
    }
    desk.stop().await;
}
