//! `orgtrail search` as people use it: what it prints, in which form, and what never reaches their terminal.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use chrono::{SecondsFormat, TimeDelta};
use orgtrail::clock::Clock;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// Everything that would do something to a terminal.
const HOSTILE: &str = "evil\u{1b}]0;title\u{7}\u{1b}[31m\u{9b}2J\r\u{202e}";

fn orgtrail() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    command
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR")
        .env("TZ", "Asia/Tokyo")
        .arg("search");
    command
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Ten entries, an hour apart, the newest an hour ago; the newest is hostile.
async fn desk() -> Desk {
    let mut desk = Desk::new().await;
    let now = Clock::system().now();
    let entry = |n: i32| {
        let time = (now - TimeDelta::hours(n.into())).to_rfc3339_opts(SecondsFormat::Secs, true);
        let (email, result) = match n {
            1 => (HOSTILE.to_owned(), "failure"),
            _ => (format!("user{}@example.com", n % 2), "success"),
        };
        json!({"id": n.to_string(), "action": {"time": time, "description": "Do", "result": result},
            "actor": {"email": email, "ip_address": "=1+1"}})
        .to_string()
    };
    desk.keep(&account(), &(1..=10).rev().map(entry).collect::<Vec<_>>());
    desk.search_all();
    desk
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_and_a_data_directory_give_the_same() {
    let mut desk = desk().await;
    let (url, dir) = (desk.url.clone(), desk.data_dir());
    let both = |args: &'static [&'static str]| {
        let places = [
            ("--server", url.clone()),
            ("--data-dir", dir.to_str().unwrap().to_owned()),
        ];
        let [a, b] = places.map(|(flag, place)| {
            text(&orgtrail().args([flag, &place]).args(args).output().unwrap())
        });
        assert_eq!(a, b, "{args:?}");
        a
    };
    let lines = |text: &str| text.lines().count();
    assert_eq!(lines(&both(&["--json"])), 10);
    assert_eq!(lines(&both(&["--json", "--since", "210m"])), 3);
    assert_eq!(
        lines(&both(&["--json", "--since", "210m", "--before", "90m"])),
        2
    );
    assert_eq!(lines(&both(&["--all", "--json", "--oldest-first"])), 10);
    // A header and ten rows, whether they come at once or one by one.
    for table in [both(&["--limit", "10"]), both(&["--all"])] {
        assert_eq!(lines(&table), 11, "{table}");
        assert!(table.starts_with(" SEQ "), "{table}");
        assert!(table.lines().all(|line| !line.trim().is_empty()), "{table}");
    }
    let csv = both(&["--csv", "--limit", "3"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!((rows.len(), &rows[0][0]), (3, "10"));
    assert!(csv.contains(",\"'=1+1\","), "{csv}");
    assert_eq!(both(&["--csv", "--all"]).matches("\r\n").count(), 11);
    let facets = both(&[
        "--facets",
        "actor.email",
        "--facets",
        "action.result",
        "--json",
    ]);
    let first: Value = serde_json::from_str(facets.lines().next().unwrap()).unwrap();
    assert_eq!(
        first,
        json!({"field": "actor.email", "value": "user0@example.com", "label": "user0@example.com", "count": 5})
    );
    let facets = both(&["--facets", "action.result"]);
    assert_eq!(
        facets,
        " COUNT  ACTION.RESULT \n 9      success       \n 1      failure       \n"
    );
    let local = both(&["--limit", "1"]);
    assert!(local.contains("+09:00"), "{local}");
    let utc = both(&["--limit", "1", "--utc"]);
    assert!(!utc.contains("+09:00") && utc.contains('Z'), "{utc}");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stretch_that_ends_before_it_begins_is_refused_everywhere() {
    let mut desk = desk().await;
    let (url, dir) = (desk.url.clone(), desk.data_dir());
    for place in [["--server", &url], ["--data-dir", dir.to_str().unwrap()]] {
        for args in [&[][..], &["--all"], &["--facets", "id"]] {
            let stretch = ["--since", "1h", "--before", "2h"];
            let mut command = orgtrail();
            let refused = command.args(place).args(args).args(stretch).output();
            let refused = refused.unwrap();
            assert_eq!(refused.status.code(), Some(2), "{place:?} {args:?}");
            assert_eq!(
                String::from_utf8_lossy(&refused.stderr),
                "orgtrail: `--before` is not after `--since`\n"
            );
        }
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_our_own_colors_reach_a_terminal_and_only_when_wanted() {
    let desk = desk().await;
    let dir = desk.data_dir();
    let shown = |args: &[&str], no_color: bool| {
        let mut command = orgtrail();
        command.arg("--data-dir").arg(&dir).args(args);
        if no_color {
            command.env("NO_COLOR", "1");
        }
        text(&command.output().unwrap())
    };
    for args in [
        &[][..],
        &["--json"],
        &["--facets", "actor.email"],
        &["--all"],
        &["--color", "never"],
    ] {
        let shown = shown(args, false);
        let is_harmful = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(shown.contains("evil"), "{args:?}");
        assert!(!shown.contains(is_harmful), "{args:?}: {shown:?}");
    }
    let colored = shown(&["--color", "always", "--limit", "1"], true);
    assert!(colored.contains("\u{1b}[38;5;9m Do failure"), "{colored:?}");
    assert!(
        !colored.contains("\u{1b}]0") && !colored.contains('\u{9b}') && !colored.contains('\u{7}')
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_shows_the_newest_and_then_each_that_comes() {
    let mut desk = desk().await;
    let (url, dir) = (desk.url.clone(), desk.data_dir());
    let mut followers: Vec<_> = [
        ("--server", url),
        ("--data-dir", dir.to_str().unwrap().to_owned()),
    ]
    .into_iter()
    .map(|(flag, place)| {
        let mut child = orgtrail()
            .args([flag, &place, "--follow", "--json", "--limit", "2"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        (child, output)
    })
    .collect();
    let id = |output: &mut BufReader<_>| {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "it ended");
        let event: Value = serde_json::from_str(&line).unwrap();
        event["id"].as_str().unwrap().to_owned()
    };
    for (_, output) in &mut followers {
        assert_eq!([id(output), id(output)], ["2", "1"]);
    }
    for n in ["a", "b", "c"] {
        // Of long ago: what counts is when it came.
        let entry = json!({"id": n, "action": {"time": "2020-01-01T00:00:00Z"}}).to_string();
        desk.keep(&account(), &[entry]);
        desk.search_all();
        for (_, output) in &mut followers {
            assert_eq!(id(output), n);
        }
    }
    for (mut child, _) in followers {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_are_named_as_they_are_called() {
    let mut desk = desk().await;
    let other = orgtrail::position::Source::account("beef").unwrap();
    desk.keep(&other, &[json!({"id": "other"}).to_string()]);
    desk.search_all();
    let (url, dir) = (desk.url.clone(), desk.data_dir());
    for place in [["--server", &url], ["--data-dir", dir.to_str().unwrap()]] {
        let ids = |args: &[&str]| {
            let output = orgtrail().args(place).args(args).arg("--json").output();
            let lines = text(&output.unwrap());
            let read = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].clone();
            lines.lines().map(read).collect::<Vec<_>>()
        };
        assert_eq!(ids(&["--source", "accounts/beef"]), ["other"]);
        assert_eq!(ids(&["--source", "accounts/f00d"]).len(), 10);
        assert_eq!(ids(&["--source", "accounts/f00d", "id:3"]), ["3"]);
        let both = ["--source", "accounts/f00d", "--source", "accounts/beef"];
        assert_eq!(ids(&both).len(), 11);
        assert_eq!(ids(&["--source", "accounts/none"]).len(), 0);
    }
    desk.stop().await;
}
