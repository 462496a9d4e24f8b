//! What is damaged on disk costs what is damaged, and nothing else: answers, exports, tails, the index, the start and the shell.

use std::process::Command;
use std::sync::Arc;

use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::{DIR_NAME, Index};
use orgtrail::follow::index::{Indexing, open_index};
use orgtrail::position::Seq;
use orgtrail::store::{FILE_NAME, ScrubState, Store};
use orgtrail_simulator::SimConfig;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::backfill::Shell;
use crate::engine_queries::Asked;
use crate::fixture_log::{Desk, account};
use crate::harness::{Service, Upstream, until};

/// How many entries there are.
const ALL: u64 = 12;

/// The seqs that [`damage`] damages.
const DAMAGED: [u64; 4] = [3, 5, 7, 9];

fn entries() -> Vec<String> {
    let entry = |n| {
        json!({"id": format!("id-{n}"), "n": n,
            "action": {"time": format!("2026-08-03T08:00:{n:02}Z"), "type": "update"},
            "actor": {"id": "u1", "email": "a@example.com"},
            "resource": {"id": "r1", "product": "dns", "request": {"ttl": n}}})
        .to_string()
    };
    (1..=ALL).map(entry).collect()
}

/// Damages four events, each in its own way.
fn damage(data: &std::path::Path) {
    let db = Connection::open(data.join(FILE_NAME)).unwrap();
    db.execute_batch(
        "PRAGMA foreign_keys = OFF;
         UPDATE event SET body = x'28b52ffd00' WHERE seq = 3;
         UPDATE event SET body = (SELECT body FROM event WHERE seq = 1) WHERE seq = 5;
         UPDATE event SET dictionary = 99 WHERE seq = 7;
         DELETE FROM event WHERE seq = 9;",
    )
    .unwrap();
}

fn seqs(events: &Value) -> Vec<u64> {
    let events = events.as_array().unwrap();
    events
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_events_are_listed_counted_exported_and_tailed_like_any_other() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries());
    desk.search_all();
    let before = desk.get("/v1/events?limit=50&order=asc").await;
    damage(&desk.data_dir());

    let page = desk.get("/v1/events?limit=50&order=asc").await;
    assert_eq!(seqs(&page["events"]), (1..=ALL).collect::<Vec<_>>());
    for (event, was) in page["events"]
        .as_array()
        .unwrap()
        .iter()
        .zip(before["events"].as_array().unwrap())
    {
        let seq = event["seq"].as_u64().unwrap();
        if !DAMAGED.contains(&seq) {
            assert_eq!(event, was);
            continue;
        }
        assert_eq!(
            (&event["entry"], &event["problem"]),
            (&Value::Null, &json!("damaged"))
        );
        if seq != 9 {
            for same in ["id", "source", "time", "received_at", "revision", "sha256"] {
                assert_eq!(event[same], was[same], "{same} of {seq}");
            }
            assert!(event["sha256"].is_string());
        }
        assert_eq!(desk.get(&format!("/v1/events/{seq}")).await, *event);
    }
    // Page by page, and by content, which the index still knows.
    let mut paged = Vec::new();
    let mut next = String::new();
    loop {
        let page = desk
            .get(&format!(
                "/v1/events?limit=5&q=actor.email:a@example.com{next}"
            ))
            .await;
        paged.extend(seqs(&page["events"]));
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, (1..=ALL).rev().collect::<Vec<_>>());
    assert_eq!(desk.get("/v1/count").await["count"], ALL);

    let (_, ndjson) = desk.ask("/v1/export?order=asc").await;
    let lines: Vec<Value> = ndjson
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(Value::from(lines), page["events"]);
    let (_, csv) = desk.ask("/v1/export?format=csv&order=asc").await;
    assert_eq!(csv.lines().count() as u64, ALL + 1);
    assert_eq!(
        csv.lines().filter(|line| line.contains("damaged")).count(),
        DAMAGED.len()
    );

    let history = desk.get("/v1/events/1/history?limit=50").await;
    assert_eq!(history["changes"].as_array().unwrap().len() as u64, ALL);
    let profile = desk.get("/v1/actors/a@example.com").await;
    assert_eq!(profile["count"], ALL, "{profile:#}");
    let facets = desk
        .get("/v1/facets?field=id&field=actor.email&size=50")
        .await;
    assert_eq!(facets["facets"]["id"]["distinct"], ALL);
    assert_eq!(facets["facets"]["actor.email"]["values"][0]["count"], ALL);

    let mut tail = desk.open("/v1/events/stream?last_event_id=0").await;
    let mut told = String::new();
    while told.matches("\nid: ").count() + usize::from(told.starts_with("id: ")) < ALL as usize {
        let chunk = tail.chunk().await.unwrap().unwrap();
        told.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_made_again_from_a_damaged_log() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries());
    desk.search_all();
    damage(&desk.data_dir());
    let dir = desk.close().await;
    let data = dir.path().join("data");
    std::fs::remove_dir_all(data.join(DIR_NAME)).unwrap();

    let rebuild = || {
        let store = Store::open(&data, Failpoints::default()).unwrap();
        let (index, why) = open_index(&data, &store, Failpoints::default()).unwrap();
        let mut indexing = Indexing::new(store.clone(), index.clone(), Clock::system());
        indexing.catch_up().unwrap();
        assert_eq!(index.checkpoint(), Seq(ALL));
        index.close().unwrap();
        store.close().unwrap();
        why
    };
    assert_eq!(rebuild().as_deref(), Some("the index is missing"));
    assert_eq!(rebuild(), None, "it is whole");
    for (query, expect) in [
        ("", ALL),
        ("problem:damaged", 4),
        ("source:accounts/f00d", 11),
        ("a@example.com", 8),
    ] {
        let mut search = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
        let found = search
            .args(["search", "--json", "--limit", "100", "--data-dir"])
            .arg(&data)
            .arg(query)
            .output()
            .unwrap();
        assert!(found.status.success(), "{found:?}");
        assert_eq!(
            found.stdout.split(|byte| *byte == b'\n').count() as u64 - 1,
            expect,
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_starts_and_collects_with_a_damaged_log_and_no_index() {
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let configuration = upstream.configuration(dir.path());
    let service = Service::start(&configuration).await;
    assert_eq!(service.settle(2).await, 300);
    service.stop().await.unwrap();
    let data = dir.path().join("data");
    damage(&data);
    std::fs::remove_dir_all(data.join(DIR_NAME)).unwrap();

    let service = Service::start(&configuration).await;
    let source = upstream.simulator.sources().remove(1);
    let now = Clock::system().now();
    upstream.simulator.publish(
        &source,
        r#"{"id":"late","action":{"time":"2026-01-01T00:00:00Z"}}"#,
        now,
        now,
    );
    service
        .until("/v1/count", |answer| {
            answer["count"] == 301 || answer["count"] == 300
        })
        .await;
    assert_eq!(service.count("q=problem:damaged").await, 4);
    service.stop().await.unwrap();
}

async fn upstream() -> Upstream {
    Upstream::new(SimConfig {
        events: 300,
        accounts: 1,
        days: 10,
        ..SimConfig::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scrub_lists_damage_repairs_it_from_upstream_and_check_says_so() {
    let upstream = upstream().await;
    let shell = Shell::new(&upstream);
    let (said, code) = shell.json(&["backfill", "--since", "12d"]);
    assert_eq!(code, Some(0), "{said:#}");
    let held = shell.held();
    let check = || String::from_utf8(shell.run(&["check"]).stdout).unwrap();
    assert!(
        check().contains("not every event has been compared with its hash yet"),
        "{}",
        check()
    );
    damage(&shell.data_dir());

    // Without a configuration it only lists.
    let data = shell.data_dir();
    let data = data.to_str().unwrap();
    let (said, code) = shell.json(&["scrub", "--data-dir", data, "--config", "nowhere.toml"]);
    assert_eq!(code, Some(1), "{said:#}");
    let listed = |said: &Value| -> Vec<String> {
        let listed = said["damaged"].as_array().unwrap().iter();
        listed
            .map(|event| format!("{} {} {}", event["seq"], event["problem"], event["reason"]))
            .collect()
    };
    let expect = [
        r#"3 "body_unreadable" "upstream_not_asked""#,
        r#"5 "hash_mismatch" "upstream_not_asked""#,
        r#"7 "dictionary_missing" "upstream_not_asked""#,
        r#"9 "row_missing" "source_unknown""#,
    ];
    assert_eq!(listed(&said), expect, "{said:#}");
    assert_eq!(said["events"], 300);
    let detail = said["damaged"][0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("there is no usable configuration"),
        "{detail}"
    );
    assert!(
        check().contains("events that are damaged in the log: 4"),
        "{}",
        check()
    );
    assert!(
        check().contains("every body was last compared with its hash at 20"),
        "{}",
        check()
    );

    // Made while they are damaged, the index must be made again when they are not.
    assert!(shell.run(&["reindex"]).status.success());
    let (said, code) = shell.json(&["scrub"]);
    assert_eq!(code, Some(1), "{said:#}");
    assert_eq!(seqs(&said["repaired"]), [3, 5, 7], "{said:#}");
    assert_eq!(
        listed(&said),
        [r#"9 "row_missing" "source_unknown""#],
        "{said:#}"
    );
    let now = shell.held();
    assert_eq!(
        now.iter()
            .filter(|entry| held.binary_search(entry).is_ok())
            .count(),
        299
    );
    let store = Store::open_beside(&shell.data_dir()).unwrap();
    let snapshot = Index::open_beside(&shell.data_dir(), store.log_id()).unwrap();
    let asked = Asked::everything(Arc::new(snapshot).into());
    let damaged = orgtrail::query::parse("problem:damaged", Clock::system().now()).unwrap();
    assert_eq!(
        asked
            .count(&damaged, orgtrail::engine::Range::default())
            .unwrap(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scrub_beside_a_service_lists_and_changes_nothing() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries());
    desk.search_all();
    damage(&desk.data_dir());
    let scrub = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .env_remove("RUST_LOG")
        .args(["scrub", "--data-dir"])
        .arg(desk.data_dir())
        .output()
        .unwrap();
    assert_eq!(scrub.status.code(), Some(1), "{scrub:?}");
    let (said, told) = (
        String::from_utf8(scrub.stdout).unwrap(),
        String::from_utf8(scrub.stderr).unwrap(),
    );
    for line in [
        "12 events checked.",
        "4 events are damaged:",
        "  seq 5: hash_mismatch (not repaired: upstream could not be asked: a service uses this log; stop it and run \
         `orgtrail scrub` again)",
    ] {
        assert!(said.lines().any(|found| found == line), "{line} in {said}");
    }
    assert!(told.contains("A service uses this log"), "{told}");
    assert_eq!(desk.store.scrub_state().unwrap(), ScrubState::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_log_that_has_grown_past_its_index_is_noticed() {
    let mut desk = Desk::new().await;
    let data = desk.data_dir();
    desk.keep(&account(), &entries()[..4]);
    // A copy of the log as it was: the write-ahead log is in it.
    let older = data.join("older.db");
    let copy = Connection::open(data.join(FILE_NAME)).unwrap();
    copy.execute("VACUUM INTO ?1", [older.to_str().unwrap()])
        .unwrap();
    drop(copy);
    desk.keep(&account(), &entries()[4..8]);
    desk.search_all();
    let dir = desk.close().await;
    let data = dir.path().join("data");
    for ending in ["", "-wal", "-shm"] {
        let file = data.join(format!("{FILE_NAME}{ending}"));
        if file.exists() {
            std::fs::remove_file(file).unwrap();
        }
    }
    std::fs::rename(data.join("older.db"), data.join(FILE_NAME)).unwrap();

    // It grows past the index, with other events at the same places.
    let store = Store::open(&data, Failpoints::default()).unwrap();
    let others: Vec<orgtrail::store::Imported> = (1..=9)
        .map(|n| orgtrail::store::Imported {
            source: account(),
            label: None,
            arrival: orgtrail::event::Arrival::read(
                serde_json::value::RawValue::from_string(format!(
                    r#"{{"id":"other-{n}","word":"elsewhere"}}"#
                ))
                .unwrap(),
            ),
        })
        .collect();
    store.begin_import().unwrap();
    store.import(&others, Clock::system().now()).unwrap();
    assert_eq!(store.head(), Seq(13));
    let (index, why) = open_index(&data, &store, Failpoints::default()).unwrap();
    let why = why.unwrap();
    assert!(
        why.contains("event 8 is not the one that was indexed"),
        "{why}"
    );
    Indexing::new(store.clone(), index.clone(), Clock::system())
        .catch_up()
        .unwrap();
    let elsewhere = orgtrail::query::parse("elsewhere", Clock::system().now()).unwrap();
    let found = Asked::index(&index).count(&elsewhere, orgtrail::engine::Range::default());
    assert_eq!(found.unwrap(), 9);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_cannot_be_opened_now_is_not_deleted_and_is_tried_again() {
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let configuration = upstream.configuration(dir.path());
    let service = Service::start(&configuration).await;
    assert_eq!(service.settle(2).await, 300);
    service.stop().await.unwrap();
    let data = dir.path().join("data");
    let index = data.join(DIR_NAME);
    // The superuser may read anything, but a link in a circle nobody can follow: ELOOP.
    let aside = data.join("aside");
    std::fs::rename(&index, &aside).unwrap();
    std::os::unix::fs::symlink(&index, &index).unwrap();
    let before = std::fs::read(aside.join("meta.json")).unwrap();

    let service = Service::start(&configuration).await;
    let (status, body) = service.ask("/readyz").await;
    assert_eq!(status.as_u16(), 503, "{body}");
    assert!(body.contains("index-unavailable"), "{body}");
    let (status, body) = service.ask("/v1/events").await;
    assert_eq!(status.as_u16(), 503, "{body}");
    let (status, _) = service.ask("/v1/export").await;
    assert_eq!(status.as_u16(), 503);
    // It collects all the same.
    let source = upstream.simulator.sources().remove(1);
    let time = Clock::system().now();
    let stamp = time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let entry = format!(r#"{{"id":"new","action":{{"time":"{stamp}"}}}}"#);
    upstream.simulator.publish(&source, &entry, time, time);
    let log = Store::open_beside(&data).unwrap();
    until("the entry is stored", || {
        log.event(Seq(301)).unwrap().is_some()
    })
    .await;
    assert_eq!(std::fs::read(aside.join("meta.json")).unwrap(), before);
    assert!(
        !data.join("index.new").exists(),
        "a rebuild began without a proof of damage"
    );

    std::fs::remove_file(&index).unwrap();
    std::fs::rename(&aside, &index).unwrap();
    let begun = std::time::Instant::now();
    while service.ask("/readyz").await.0.as_u16() == 503 {
        assert!(begun.elapsed().as_secs() < 120, "it was not tried again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    service
        .until("/v1/count", |answer| answer["count"] == 301)
        .await;
    service.stop().await.unwrap();
}
