//! Entries as hostile as JSON allows: each is kept byte for byte, found by its own word, and stops nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use chrono::TimeDelta;
use orgtrail::clock::Clock;
use orgtrail::engine::tantivy::{Faults, Work};
use orgtrail::position::Seq;
use orgtrail::store::Store;
use orgtrail_simulator::SimConfig;
use reqwest::StatusCode;
use serde::Deserialize;

use crate::fixture_log::{Desk, account};
use crate::harness::{Client, Service, Upstream, raw_entries};
use crate::tell;

/// Numbers that JSON can write.
pub(crate) const NUMBERS: [&str; 13] = [
    "1e-2147483648",
    "1e2147483648",
    "-1E-9223372036854775808",
    "1e-170141183460469231731687303715884105729",
    "1e400",
    "10e399",
    "-1.5e+400",
    "-0",
    "-0.0e-0",
    "0e99999999999999999999",
    "1e00000000000000000000000000000000000000000000000001",
    "18446744073709551616",
    "0.1000000000000000055511151231257827",
];

/// What stands where an id should.
pub(crate) const IDS: [&str; 10] = [
    "17",
    "1e400",
    "null",
    "true",
    "\"\"",
    "[]",
    "[\"a\",\"b\"]",
    "{\"a\":1}",
    "\"a b/ü?#%00\"",
    "\"\\ud800\"",
];

/// Keys that mean something to somebody.
pub(crate) const KEYS: [&str; 14] = [
    "",
    ".",
    "..",
    "a.",
    ".a",
    "source",
    "problem",
    "seq",
    "_path",
    "\\u0000",
    "\\u001ftimes",
    "\\ud800",
    "ΟΔΟΣ\\n",
    "ACTOR",
];

/// Entries, each with a word that no other has.
pub(crate) fn corpus(time: &str) -> Vec<(String, String)> {
    let mut bodies: Vec<String> = Vec::new();
    let action = format!(r#""action":{{"time":"{time}","type":"create"}}"#);
    let long_number = "7".repeat(3_000);
    for number in NUMBERS.into_iter().chain([&*long_number]) {
        bodies.push(format!(
            r#"{{"id":"ID",{action},"raw":{{"status_code":{number}}},"n":{number},"list":[{number},{number}],"note":"MARKER"}}"#
        ));
        bodies.push(format!(
            r#"{{"action":{{"time":{number}}},"note":"MARKER"}}"#
        ));
    }
    for id in IDS {
        bodies.push(format!(r#"{{"id":{id},{action},"note":"MARKER"}}"#));
    }
    for key in KEYS {
        bodies.push(format!(
            r#"{{"id":"ID",{action},"{key}":"MARKER","x":{{"{key}":{{"{key}":["MARKER",null,""]}}}}}}"#
        ));
    }
    for depth in [127, 128, 129, 5_000] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        bodies.push(format!(
            r#"{{"id":"ID",{action},"x":{open}"MARKER"{close}}}"#
        ));
        let (open, close) = (r#"{"k":"#.repeat(depth), "}".repeat(depth));
        bodies.push(format!(
            r#"{{"id":"ID",{action},"x":{open}"MARKER"{close}}}"#
        ));
    }
    bodies.extend(broad(&action));
    let same = r#""note":"MARKER","note":"MARKER","#.repeat(20);
    bodies.push(format!(
        r#"{{"id":"ID","id":"ID",{same}{action},{action},"n":1,"n":1.0}}"#
    ));
    bodies.push(format!(
        r#"{{"id":"ID",{action},"note":"MARKER \ud800","actor":{{"email":"\udc00a\ud83d"}}}}"#
    ));
    bodies.push(
        r#"{"id":"ID","action":[],"actor":"x","resource":7,"raw":null,"zone":{},"note":"MARKER"}"#
            .to_owned(),
    );
    bodies
        .into_iter()
        .enumerate()
        .map(|(n, body)| {
            let marker = format!("marker{n}x");
            let body = body
                .replace("MARKER", &marker)
                .replace("\"ID\"", &format!("\"id{n}\""));
            (marker, body)
        })
        .collect()
}

/// Entries that are broad or long.
fn broad(action: &str) -> Vec<String> {
    let members = |n: usize, key: &dyn Fn(usize) -> String| -> String {
        let members: Vec<String> = (0..n).map(|i| format!(r#""{}":{i},"#, key(i))).collect();
        members.concat()
    };
    let long = "k".repeat(900);
    let chain = format!("{}7{}", r#"{"abcde":"#.repeat(120), "}".repeat(120));
    let leaves = |n: usize| {
        (0..n)
            .map(|i| chain.replacen("abcde", &format!("k{i}"), 1))
            .collect::<Vec<_>>()
            .join(",")
    };
    let wide = [
        members(12_000, &|i| format!("key{i}")),
        members(300, &|i| format!("{}{i}", "a.".repeat(300))),
        format!(r#""{long}":[{}0],"#, "1,".repeat(20_000)),
        format!(r#""list":[{}],"#, leaves(200)),
        format!(r#""list":[{}null],"#, r#"null,"","#.repeat(5_000)),
        format!(r#""text":"{}","#, "x".repeat(1_000_000)),
        format!(r#""text":"{}","#, "é ".repeat(50_000)),
        format!(r#""text":"{}","#, "\\u00e9".repeat(100_000)),
        format!(r#""{}":1,"#, "key".repeat(20_000)),
    ];
    wide.into_iter()
        .map(|wide| format!(r#"{{"id":"ID",{wide}{action},"note":"MARKER"}}"#))
        .collect()
}

#[derive(Deserialize)]
struct Page {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    seq: u64,
    problem: Option<String>,
}

/// Every entry is found by its word, and comes back byte for byte, on every route and in every export.
async fn check_everything(client: &Client, corpus: &[(String, String)]) {
    for (marker, body) in corpus {
        let (status, answer) = client.ask(&format!("/v1/events?q={marker}")).await;
        assert_eq!(status, StatusCode::OK, "{marker}: {answer}");
        assert_eq!(raw_entries(&answer), std::slice::from_ref(body), "{marker}");
        let page: Page = serde_json::from_str(&answer).unwrap();
        let seq = page.events[0].seq;
        let (status, one) = client.ask(&format!("/v1/events/{seq}")).await;
        assert!(status == StatusCode::OK && one.contains(body), "{marker}");
        for route in ["history", "around?by=actor", "around?by=resource"] {
            let (status, answer) = client.ask(&format!("/v1/events/{seq}/{route}")).await;
            assert!(!status.is_server_error(), "{marker} {route}: {answer}");
        }
    }
    let (status, lines) = client.ask("/v1/export?format=ndjson").await;
    assert_eq!(status, StatusCode::OK);
    for (marker, body) in corpus {
        assert!(lines.contains(body), "{marker} is not in the export");
    }
    let (status, csv) = client
        .ask("/v1/export?format=csv&q=note:*%20OR%20x:*")
        .await;
    assert_eq!(status, StatusCode::OK);
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    assert!(rows.records().map(Result::unwrap).count() > 40);
    for path in [
        "/v1/facets?field=n&field=note&field=raw.status_code&field=action.time&field=id&field=problem&size=1000",
        "/v1/histogram?interval=auto",
        "/v1/fields",
        "/v1/fields/n/values?size=1000",
        "/v1/events?q=n:[1%20TO%201e99999999999999999999]&count=true",
        "/v1/events?q=n:1e-2147483648&facet=list",
        "/v1/events?revision=latest&order=asc&limit=1000",
        "/v1/actors/x",
        "/v1/resources/7",
        "/v1/sources",
        "/v1/coverage",
        "/readyz",
    ] {
        let (status, answer) = client.ask(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    }
    for (question, expect) in [
        ("n:1e400", 2),
        ("n:10e399", 2),
        ("n:>1e400", 2),
        ("n:[1e-2147483648 TO 1e-2147483648]", 1),
        ("n:{0 TO 1e-100}", 2),
        ("n:<0", 2),
        ("raw.status_code:1e400", 2),
    ] {
        let question =
            url::form_urlencoded::byte_serialize(question.as_bytes()).collect::<String>();
        assert_eq!(
            client.count(&format!("q={question}")).await,
            expect,
            "{question}"
        );
    }
    let mut tail = reqwest::get(format!("{}/v1/events/stream?last_event_id=0", client.url))
        .await
        .unwrap();
    let mut missing: BTreeSet<&str> = corpus.iter().map(|(_, body)| body.as_str()).collect();
    let mut read: Vec<u8> = Vec::new();
    while !missing.is_empty() {
        read.extend(tail.chunk().await.unwrap().expect("the tail ended"));
        if let Some(end) = read.windows(2).rposition(|pair| pair == b"\n\n") {
            let events: Vec<u8> = read.drain(..end).collect();
            let events = String::from_utf8(events).unwrap();
            missing.retain(|body| !events.contains(*body));
        }
    }
}

fn reindex(data_dir: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args(["reindex", "--data-dir"])
        .arg(data_dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_entries_are_polled_rebuilt_and_given_back_byte_for_byte_on_every_route() {
    let config = SimConfig {
        events: 0,
        accounts: 1,
        live_per_minute: 0.0,
        ..SimConfig::default()
    };
    let upstream = Upstream::new(config).await;
    let now = Clock::system().now();
    let time = (now - TimeDelta::minutes(1)).to_rfc3339();
    let corpus = corpus(&time);
    let source = upstream.simulator.sources()[0].clone();
    for (_, body) in &corpus {
        upstream
            .simulator
            .publish(&source, body, now - TimeDelta::minutes(1), now);
    }
    let dir = tempfile::tempdir().unwrap();
    let configuration = upstream
        .configuration(dir.path())
        .replace("\"40d\"", "\"1d\"");
    let service = Service::start(&configuration).await;
    let all = corpus.len() as u64;
    let is_there = |answer: &serde_json::Value| answer["count"].as_u64() >= Some(all);
    service.until("/v1/count", is_there).await;
    check_everything(&service, &corpus).await;
    service.stop().await.unwrap();
    reindex(&dir.path().join("data"));
    let service = Service::start(&configuration).await;
    service.until("/v1/count", is_there).await;
    for (marker, body) in &corpus {
        let (_, answer) = service.ask(&format!("/v1/events?q={marker}")).await;
        assert_eq!(raw_entries(&answer), std::slice::from_ref(body), "{marker}");
    }
    service.stop().await.unwrap();
}

#[test]
fn hostile_lines_are_imported_byte_for_byte_and_found() {
    let dir = tempfile::tempdir().unwrap();
    let corpus = corpus("2026-08-03T08:00:00Z");
    let lines: Vec<&str> = corpus.iter().map(|(_, body)| body.as_str()).collect();
    std::fs::write(dir.path().join("lines.ndjson"), lines.join("\n")).unwrap();
    let program = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_orgtrail"))
            .current_dir(dir.path())
            .args(args)
            .args(["--data-dir", "data"])
            .output()
            .unwrap()
    };
    let output = program(&["import", "lines.ndjson", "--source", "accounts/f00d"]);
    assert!(output.status.success(), "{output:?}");
    let store = Store::open_beside(&dir.path().join("data")).unwrap();
    let events = store.events_after(Seq::ZERO, 100_000, usize::MAX).unwrap();
    let kept: Vec<&str> = events.iter().map(|event| event.entry.get()).collect();
    assert_eq!(kept.len(), lines.len());
    assert!(kept == lines, "some entry was changed");
    for (marker, body) in corpus.iter().step_by(7) {
        let output = program(&["search", "--json", marker]);
        let found = String::from_utf8(output.stdout).unwrap();
        assert!(found.contains(body), "{marker}: {:?}", output.stderr);
    }
}

/// Entries of one shape, about `len` bytes long.
#[cfg(target_os = "linux")]
fn shaped(shape: &str, len: usize) -> String {
    let fill = |unit: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for i in 0.. {
            if text.len() >= len {
                break;
            }
            text.push_str(&unit(i));
        }
        text
    };
    let inner = match shape {
        "many names" => fill(&|i| format!(r#""key{i}":{i},"#)),
        "dotted names" => fill(&|i| format!(r#""{}{i}":1,"#, "a.".repeat(300))),
        "a list under a long name" => {
            let list = fill(&|i| format!("{i},"));
            format!(r#""{}":[{list}0],"#, "k".repeat(900))
        }
        "deep leaves" => {
            let list = fill(&|i| {
                format!(
                    r#"{{"k{i}":{}7{}}},"#,
                    r#"{"abcde":"#.repeat(100),
                    "}".repeat(100)
                )
            });
            format!(r#""list":[{list}0],"#)
        }
        "nulls" => format!(
            r#""{}":[{}0],"#,
            "k".repeat(900),
            fill(&|_| r#"null,"","#.to_owned())
        ),
        "one word" => format!(r#""text":"{}","#, "x".repeat(len)),
        _ => format!(r#""text":"{}","#, fill(&|i| format!("w{i} "))),
    };
    format!(r#"{{"id":"a","action":{{"time":"2026-08-03T08:00:00Z"}},{inner}"note":"end"}}"#)
}

#[cfg(target_os = "linux")]
#[test]
fn memory_grows_with_the_bytes_of_entries_whatever_their_shape() {
    /// The most bytes of memory for each byte of an entry, in any shape.
    const MOST_PER_BYTE: f64 = 250.0;
    const SMALL: usize = 100_000;
    const LARGE: usize = 600_000;
    for shape in [
        "many names",
        "dotted names",
        "a list under a long name",
        "deep leaves",
        "nulls",
        "one word",
        "words",
    ] {
        let peak = |len: usize| {
            let dir = tempfile::tempdir().unwrap();
            let line = shaped(shape, len);
            std::fs::write(dir.path().join("line.ndjson"), &line).unwrap();
            let child = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
                .current_dir(dir.path())
                .args([
                    "import",
                    "line.ndjson",
                    "--source",
                    "accounts/f00d",
                    "--data-dir",
                    "data",
                ])
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let index = dir.path().join("data/index");
            let [reading, indexing] = crate::import::peaks_of(child, &index);
            (line.len(), reading.max(indexing) * 1024)
        };
        let (small, large) = (peak(SMALL), peak(LARGE));
        let grown = large.1.saturating_sub(small.1) as f64 / (large.0 - small.0) as f64;
        tell(format!(
            "{shape}: {} KiB for an entry of {} bytes, {} KiB for {}: {grown:.0} bytes for each byte more",
            small.1 / 1024,
            small.0,
            large.1 / 1024,
            large.0
        ));
        assert!(grown < MOST_PER_BYTE, "{shape}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_makes_no_document_is_found_by_its_row_and_stops_no_other() {
    let faults = Faults::new(|work, text| {
        if work == Work::MakeDocument && text.contains("panics") {
            panic!("a test makes the document of this entry panic");
        }
        if work == Work::CutWords && text.contains("breaks the writer") {
            panic!("a test makes the index's writer panic");
        }
        work == Work::MakeDocument && text.contains("fails")
    });
    let mut desk = Desk::with_faults(faults).await;
    let entry = |id: &str, note: &str| {
        format!(r#"{{"id":"{id}","action":{{"time":"2026-08-03T08:00:00Z"}},"note":"{note}"}}"#)
    };
    let mut entries: Vec<String> = (0..40)
        .map(|n| entry(&format!("good{n}"), "whole"))
        .collect();
    entries.insert(5, entry("bad1", "it panics"));
    entries.insert(20, entry("bad2", "it breaks the writer"));
    entries.insert(30, entry("bad3", "it fails"));
    desk.keep(&account(), &entries);
    desk.search_all();
    assert_eq!(desk.get("/v1/count?q=note:whole").await["count"], 40);
    assert_eq!(
        desk.get("/v1/count?q=problem:not_indexed").await["count"],
        3
    );
    for (id, seq) in [("bad1", 6), ("bad2", 21), ("bad3", 31)] {
        let path =
            format!("/v1/events?q=id:{id}&since=2026-08-03T08:00:00Z&before=2026-08-03T08:00:01Z");
        let (status, answer) = desk.ask(&path).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let page: Page = serde_json::from_str(&answer).unwrap();
        assert_eq!(page.events.len(), 1, "{id}");
        assert_eq!(page.events[0].seq, seq);
        assert_eq!(page.events[0].problem.as_deref(), Some("not_indexed"));
        assert_eq!(raw_entries(&answer), [entries[seq as usize - 1].clone()]);
        let one = desk.get(&format!("/v1/events/{seq}")).await;
        assert_eq!(one["problem"], "not_indexed");
    }
    let (_, lines) = desk.ask("/v1/export").await;
    assert_eq!(lines.matches(r#""problem":"not_indexed""#).count(), 3);
    let facets = desk.get("/v1/facets?field=note&field=id&size=100").await;
    assert_eq!(facets["facets"]["note"]["distinct"], 1);
    assert_eq!(facets["facets"]["id"]["distinct"], 43);
    // What the log says of them depends on their bytes alone.
    assert!(desk.events().iter().all(|event| event.problem.is_none()));
    desk.stop().await;
}
