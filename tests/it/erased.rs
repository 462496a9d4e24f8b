//! Events whose bodies were erased: their rows stay, answers leave them out, and nothing stops at them.

use std::collections::BTreeSet;
use std::path::Path;

use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::engine::tantivy::DIR_NAME;
use orgtrail::engine::{Range, ValuesOf};
use orgtrail::event::{Arrival, hex, sha256};
use orgtrail::follow::index::{Indexing, open_index};
use orgtrail::position::Seq;
use orgtrail::query::Query;
use orgtrail::store::{Appended, Checkpoint, FILE_NAME, Imported, Store};
use orgtrail_cloudflare::json::canonical;
use reqwest::StatusCode;
use rusqlite::Connection;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// How many entries there are.
const ALL: u64 = 12;

/// The seqs that [`erase`] erases; the last one is the newest.
const ERASED: [u64; 3] = [3, 7, 12];

fn entry(n: u64) -> String {
    json!({"id": format!("id-{n}"), "n": n,
        "action": {"time": format!("2026-08-03T08:00:{n:02}Z"), "type": format!("type-{n}")},
        "actor": {"id": "u1", "email": "a@example.com"},
        "resource": {"id": "r1", "product": "dns", "request": {"ttl": n}}})
    .to_string()
}

fn entries() -> Vec<String> {
    (1..=ALL).map(entry).collect()
}

/// What retention does to a row, by SQL.
fn erase(data: &Path) {
    let db = Connection::open(data.join(FILE_NAME)).unwrap();
    db.execute(
        "INSERT INTO erasure_policy (id, source, events) VALUES (1, 'accounts/f00d', '30d')",
        [],
    )
    .unwrap();
    for seq in ERASED {
        let form = sha256(canonical(&entry(seq)).as_bytes());
        db.execute(
            "UPDATE event SET body = x'', dictionary = 0, erased_us = 1785800000000000, erased_by = 1, canonical_sha256 = ?2
             WHERE seq = ?1",
            (seq, form),
        )
        .unwrap();
    }
}

fn left() -> Vec<u64> {
    (1..=ALL).filter(|seq| !ERASED.contains(seq)).collect()
}

fn seqs(events: &Value) -> Vec<u64> {
    let events = events.as_array().unwrap();
    let seqs = events.iter().map(|event| event["seq"].as_u64().unwrap());
    seqs.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_leave_erased_events_out_although_the_index_has_their_documents_still() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries());
    desk.search_all();
    erase(&desk.data_dir());

    let mut paged = Vec::new();
    let mut next = String::new();
    loop {
        let path = format!("/v1/events?order=asc&limit=2&q=actor.email:a@example.com{next}");
        let page = desk.get(&path).await;
        paged.extend(seqs(&page["events"]));
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, left());
    let (status, export) = desk.ask("/v1/export?format=ndjson&order=asc").await;
    assert_eq!(status, StatusCode::OK, "{export}");
    let lines: Value = export
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .collect();
    assert_eq!(seqs(&lines), left());
    let history = desk.get("/v1/events/1/history").await;
    let changes = history["changes"].as_array().unwrap();
    let changed: Value = changes
        .iter()
        .map(|change| change["event"].clone())
        .collect();
    assert_eq!(seqs(&changed), left());
    let ready = desk.get("/readyz").await;
    assert_eq!(ready["log"]["damaged"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_event_by_itself_is_gone_with_what_is_left_of_it() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries());
    desk.search_all();
    let whole = desk.get("/v1/events/3").await;
    erase(&desk.data_dir());
    for path in ["", "/history", "/diff", "/around"] {
        let (status, body) = desk.ask(&format!("/v1/events/3{path}")).await;
        assert_eq!(status, StatusCode::GONE, "{path}: {body}");
        let gone: Value = serde_json::from_str(&body).unwrap();
        for same in [
            "seq",
            "source",
            "id",
            "revision",
            "time",
            "received_at",
            "sha256",
        ] {
            assert_eq!(gone[same], whole[same], "{same}");
        }
        assert_eq!(gone["sha256"], hex(&sha256(entry(3).as_bytes())));
        assert_eq!(gone["erased_at"], "2026-08-03T23:33:20Z");
        assert_eq!(
            gone["policy"],
            json!({"source": "accounts/f00d", "events": "30d"})
        );
        assert_eq!(gone["status"], 410);
    }
    assert_eq!(desk.get("/v1/events/4").await["id"], "id-4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuilt_index_has_no_document_of_an_erased_event_and_is_whole() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries());
    desk.search_all();
    erase(&desk.data_dir());
    let dir = desk.close().await;
    let data = dir.path().join("data");
    std::fs::remove_dir_all(data.join(DIR_NAME)).unwrap();
    let rebuild = || {
        let store = Store::open(&data, Failpoints::default()).unwrap();
        let (index, why) = open_index(&data, &store, Failpoints::default()).unwrap();
        Indexing::new(store.clone(), index.clone(), Clock::system())
            .catch_up()
            .unwrap();
        let snapshot = index.snapshot();
        assert_eq!((snapshot.seq(), snapshot.documents()), (Seq(ALL), 9));
        let all = Range::default();
        assert_eq!(snapshot.count(&Query::All, all).unwrap(), 9);
        let matches = snapshot.matches(&Query::All, all, Seq(ALL)).unwrap();
        assert_eq!(matches.count(), 9);
        let values = matches
            .ranked(&ValuesOf::new("action.type", 100), None)
            .unwrap()
            .unwrap();
        let values: BTreeSet<String> = values.values.into_iter().map(|value| value.value).collect();
        assert_eq!(values.len(), 9);
        assert!(values.contains("type-4") && !values.contains("type-3"));
        assert_eq!(store.scrub(Seq::ZERO, 100, usize::MAX).unwrap().damaged, []);
        index.close().unwrap();
        store.close().unwrap();
        why
    };
    assert_eq!(rebuild().as_deref(), Some("the index is missing"));
    assert_eq!(rebuild(), None, "it is whole");
    let mut search = std::process::Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    let found = search
        .args(["search", "--json", "--limit", "100", "--data-dir"])
        .arg(&data)
        .arg("")
        .output()
        .unwrap();
    let lines = String::from_utf8(found.stdout).unwrap();
    assert_eq!(lines.lines().count(), 9, "beside a service, too: {lines}");
}

#[test]
fn what_was_erased_comes_in_again_only_with_other_content() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
    let now = Clock::system().now();
    let import = |texts: &[String]| -> Appended {
        let imported = texts.iter().map(|text| Imported {
            source: account(),
            label: None,
            arrival: Arrival::read(RawValue::from_string(text.clone()).unwrap()),
        });
        store.begin_import().unwrap();
        store.import(&imported.collect::<Vec<_>>(), now).unwrap()
    };
    import(&entries());
    erase(dir.path());
    // It was known as damaged before, so the same bytes would be put back.
    let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    db.execute(
        "INSERT INTO damaged (seq, problem, found_us) VALUES (3, 'hash_mismatch', 0)",
        [],
    )
    .unwrap();
    let again = import(&entries());
    assert_eq!((again.new, again.held), (0, 12));
    let spaced = entry(7).replace(',', " , ");
    assert_eq!(import(&[spaced]).held, 1, "the same content in other bytes");
    assert!(
        store
            .repair(&account(), &[&entry(3)])
            .unwrap()
            .repaired
            .is_empty()
    );
    for seq in ERASED {
        assert!(store.event(Seq(seq)).unwrap().unwrap().is_erased());
    }
    let changed = import(&[entry(7).replace("dns", "zones")]);
    assert_eq!((changed.new, changed.revisions), (1, 1));
}

#[test]
fn a_data_directory_of_version_1_is_upgraded_in_place_and_keeps_its_pages() {
    let dir = tempfile::tempdir().unwrap();
    // Twelve events, the last a revision; a sealed window and an open one. Written with the schema of version 1.
    let kept = include_bytes!("../data/version_1/orgtrail.db");
    std::fs::write(dir.path().join(FILE_NAME), kept).unwrap();
    let store = Store::open(dir.path(), Failpoints::default()).unwrap();
    assert_eq!(
        store.log_id().to_string(),
        "6f1d8a52-3c47-4f0e-9b1a-2d5c7e9f0a31"
    );
    let events = store.events_after(Seq::ZERO, 100, usize::MAX).unwrap();
    assert_eq!(events.len(), 12);
    assert!(events.iter().all(|event| event.problem.is_none()));
    assert_eq!(events[11].revision, 1);
    assert_eq!(store.scrub(Seq::ZERO, 100, usize::MAX).unwrap().damaged, []);
    assert_eq!(store.erased(Seq(1)).unwrap(), None);
    assert_eq!(store.checkpoint("index").unwrap(), Checkpoint::default());
    let (index, _) = open_index(dir.path(), &store, Failpoints::default()).unwrap();
    Indexing::new(store.clone(), index.clone(), Clock::system())
        .catch_up()
        .unwrap();
    assert_eq!(index.snapshot().documents(), 12);
    store.check().unwrap();

    // A vacuum of a large file takes long: only a new file has it from the start.
    let auto_vacuum = |dir: &Path| -> i64 {
        let db = Connection::open(dir.join(FILE_NAME)).unwrap();
        db.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(auto_vacuum(dir.path()), 0);
    let new = tempfile::tempdir().unwrap();
    drop(Store::open(new.path(), Failpoints::default()).unwrap());
    assert_eq!(auto_vacuum(new.path()), 2, "incremental");
}
