//! The index is disposable: whatever happens to it, it comes back from the log.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use orgtrail::clock::Clock;
use orgtrail::durable::{Failpoints, StepFailure};
use orgtrail::engine::Range;
use orgtrail::engine::tantivy::{self, Index};
use orgtrail::event::Arrival;
use orgtrail::follow::board::FollowerBoard;
use orgtrail::follow::index::{Indexing, IndexingError, open_index};
use orgtrail::position::Seq;
use orgtrail::store::{Imported, Store};
use orgtrail_simulator::SimConfig;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::engine_queries::Asked;
use crate::fixture_log::{Desk, account};
use crate::harness::{Service, Upstream, until};

/// A file of the index with this ending.
fn file_of(index: &Path, ending: &str) -> PathBuf {
    let files = fs::read_dir(index)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .into_iter()
        .find(|path| path.extension().is_some_and(|found| found == ending))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_the_index_everything_is_found_again() {
    let upstream = Upstream::new(SimConfig {
        events: 800,
        accounts: 1,
        days: 30,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let configuration = upstream.configuration(dir.path());
    let index = dir.path().join("data/index");
    let service = Service::start(&configuration).await;
    assert_eq!(service.settle(2).await, 800);
    let found = service.count("q=dns").await;
    assert!(found > 0);
    service.stop().await.unwrap();

    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("deleted", |index| fs::remove_dir_all(index).unwrap()),
        ("its meta cut short", |index| {
            fs::write(index.join("meta.json"), "{\"segm").unwrap()
        }),
        ("a file missing", |index| {
            fs::remove_file(file_of(index, "term")).unwrap()
        }),
        ("a file cut short", |index| {
            let file = fs::File::options()
                .write(true)
                .open(file_of(index, "idx"))
                .unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
        ("a byte flipped", |index| {
            let file = file_of(index, "pos");
            let mut bytes = fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            fs::write(&file, bytes).unwrap();
        }),
    ];
    for (name, damage) in damages {
        damage(&index);
        let service = Service::start(&configuration).await;
        // A flipped byte is found by its checksum a moment after the start; then the index is filled anew.
        let data = dir.path().join("data");
        let log = orgtrail::store::Store::open_beside(&data).unwrap();
        let begun = Instant::now();
        loop {
            let whole = orgtrail::engine::tantivy::verify_beside(&data, log.log_id());
            if whole.as_ref().is_ok_and(|seq| *seq == log.head()) {
                break;
            }
            assert!(begun.elapsed().as_secs() < 60, "{name}: {whole:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let answer = service
            .until("/v1/count?q=dns", |answer| {
                answer["index"]["state"] == "current"
            })
            .await;
        assert_eq!(answer["count"], found, "{name}");
        service.stop().await.unwrap();
    }
}

/// An upstream with hardly anything in its one log, and room for a service's data.
async fn few_events() -> (Upstream, tempfile::TempDir) {
    let upstream = Upstream::new(SimConfig {
        events: 5,
        accounts: 0,
        days: 2,
        ..SimConfig::default()
    });
    (upstream.await, tempfile::tempdir().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_on_the_same_data_refuses() {
    let (upstream, dir) = few_events().await;
    let configuration = upstream.configuration(dir.path());
    let first = Service::start(&configuration).await;
    first.settle(1).await;
    let refused = Service::start(&configuration)
        .await
        .ends()
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("another orgtrail already uses the data directory"),
        "{refused:#}"
    );
    first.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_finishes_asking_holds_up_no_stop() {
    let (upstream, dir) = few_events().await;
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(1).await;
    let address = service.url.strip_prefix("http://").unwrap();
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client
        .write_all(b"GET /v1/events HTTP/1.1\r\nHost: loc")
        .unwrap();
    let stopped = tokio::time::timeout(Duration::from_secs(20), service.stop());
    stopped.await.expect("it waits for the client").unwrap();
}

/// A data directory with a log of `events` entries and its index, closed in order.
async fn closed(events: usize) -> tempfile::TempDir {
    let mut desk = Desk::new().await;
    let entry = |n: usize| format!(r#"{{"id":"{n}","word":"common"}}"#);
    desk.keep(&account(), &(0..events).map(entry).collect::<Vec<_>>());
    desk.search_all();
    desk.close().await
}

/// The log and the index of a data directory.
fn open(data: &Path, failpoints: Failpoints) -> (Store, Index, Option<String>) {
    let store = Store::open(data, Failpoints::default()).unwrap();
    let (index, why) = open_index(data, &store, failpoints).unwrap();
    (store, index, why)
}

fn catch_up(store: &Store, index: &Index) -> Result<(), IndexingError> {
    Indexing::new(store.clone(), index.clone(), Clock::system()).catch_up()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_replaced_only_by_a_whole_one_whenever_the_process_is_killed() {
    // (the step of the swap, how it breaks); the last one is a kill in the middle of the rebuild.
    let kills = [
        (0, StepFailure::Before),
        (0, StepFailure::After),
        (1, StepFailure::Before),
        (1, StepFailure::After),
        (9, StepFailure::Before),
    ];
    for (at, how) in kills {
        let dir = closed(60).await;
        let data = dir.path().join("data");
        let (index_dir, new_dir) = (data.join("index"), data.join("index.new"));
        let whole = fs::read(index_dir.join("meta.json")).unwrap();
        let step = AtomicUsize::new(0);
        let failpoints = Failpoints::new(move |this| {
            let is_swap = this == tantivy::steps::SWAP;
            (is_swap && step.fetch_add(1, Ordering::SeqCst) == at).then_some(how)
        });
        let (store, index, _) = open(&data, failpoints);
        index.clear(store.head()).unwrap();
        assert!(index.is_rebuilding() && new_dir.exists());
        assert_eq!(fs::read(index_dir.join("meta.json")).unwrap(), whole);
        if at < 2 {
            let broken = catch_up(&store, &index).unwrap_err();
            assert!(broken.to_string().contains("on purpose"), "{broken}");
        } else {
            let events = store.events_after(Seq::ZERO, 20, usize::MAX).unwrap();
            index.add(&events).unwrap();
            index.commit().unwrap();
        }
        drop(index);
        store.close().unwrap();
        drop(store);

        let (store, index, _) = open(&data, Failpoints::default());
        catch_up(&store, &index).unwrap();
        let query = orgtrail::query::parse("common", Clock::system().now()).unwrap();
        let found = Asked::index(&index)
            .count(&query, Range::default())
            .unwrap();
        assert_eq!(found, 60, "{at} {how:?}");
        assert!(!index.is_rebuilding());
        assert!(index_dir.exists() && !new_dir.exists() && !data.join("index.old").exists());
        index.verify().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_orderly_stop_only_files_written_since_then_are_verified_at_once() {
    let dir = closed(40).await;
    let data = dir.path().join("data");
    let (store, index, why) = open(&data, Failpoints::default());
    assert_eq!(why, None);
    let files = index.unverified().unwrap();
    assert_eq!(files.new, Vec::<PathBuf>::new());
    assert!(!files.rest.is_empty());

    store.begin_import().unwrap();
    let entry = RawValue::from_string(r#"{"id":"more"}"#.to_owned()).unwrap();
    let more = Imported {
        source: account(),
        label: None,
        arrival: Arrival::read(entry),
    };
    store.import(&[more], Clock::system().now()).unwrap();
    catch_up(&store, &index).unwrap();
    // Killed: nothing is closed in order.
    drop(index);
    drop(store);
    let (_store, index, _) = open(&data, Failpoints::default());
    let after = index.unverified().unwrap();
    assert_eq!(after.rest, files.rest);
    assert!(!after.new.is_empty());
    // One that was damaged meanwhile is found, whichever it is.
    let file = after
        .rest
        .iter()
        .find(|file| file.extension().is_some_and(|end| end == "term"));
    let file = data.join("index").join(file.unwrap());
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(
        index.verify_files(&after.new).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(index.verify_files(&after.rest).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_while_indexing_ends_one_turn_only() {
    let dir = closed(10).await;
    let data = dir.path().join("data");
    fs::remove_dir_all(data.join("index")).unwrap();
    let has_panicked = AtomicBool::new(false);
    let failpoints = Failpoints::new(move |step| {
        let is_first = step == tantivy::steps::COMMIT && !has_panicked.swap(true, Ordering::SeqCst);
        assert!(!is_first, "on purpose");
        None
    });
    let (store, index, _) = open(&data, failpoints);
    let before = orgtrail::task::panics();
    let stop = CancellationToken::new();
    let mut following = JoinSet::new();
    let follower = Indexing::new(store.clone(), index.clone(), Clock::system());
    following.spawn(follower.run(FollowerBoard::default(), stop.clone()));
    until("everything is indexed", || {
        index.checkpoint() == store.head()
    })
    .await;
    assert!(orgtrail::task::panics() > before);
    stop.cancel();
    following.join_next().await.unwrap().unwrap().unwrap();
}

/// Opens the log in a directory, adds entries with these ids, and indexes them. Says why the index is made anew, if it is.
fn grow(data: &Path, ids: &[&str]) -> Option<String> {
    let store = Store::open(data, Failpoints::default()).unwrap();
    store.begin_import().unwrap();
    for id in ids {
        let text = format!(r#"{{"id":"{id}","word":"{id}"}}"#);
        let entry = Imported {
            source: "accounts/a".parse().unwrap(),
            label: None,
            arrival: Arrival::read(RawValue::from_string(text).unwrap()),
        };
        store.import(&[entry], Clock::system().now()).unwrap();
    }
    let (index, why) = open_index(data, &store, Failpoints::default()).unwrap();
    catch_up(&store, &index).unwrap();
    index.close().unwrap();
    store.close().unwrap();
    why
}

#[test]
fn an_older_log_that_has_grown_to_the_same_last_event_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (data, older) = (dir.path().join("data"), dir.path().join("older.db"));
    let log = data.join("orgtrail.db");
    grow(&data, &["a"]);
    fs::copy(&log, &older).unwrap();
    assert_eq!(grow(&data, &["b", "c", "d"]), None);
    assert_eq!(grow(&data, &[]), None);
    // An older copy is put back. The same entries come again, two of them in another order.
    fs::copy(&older, &log).unwrap();
    let store = Store::open(&data, Failpoints::default()).unwrap();
    store.close().unwrap();
    drop(store);
    let without_index = dir.path().join("moved");
    fs::rename(data.join("index"), &without_index).unwrap();
    grow(&data, &["c", "b", "d"]);
    fs::remove_dir_all(data.join("index")).unwrap();
    fs::rename(&without_index, data.join("index")).unwrap();
    let beside = Store::open_beside(&data).unwrap();
    assert!(orgtrail::follow::index::open_beside(&data, &beside).is_err());
    drop(beside);
    let why = grow(&data, &[]).unwrap();
    assert!(why.contains("of another state of this log"), "{why}");
    // It is made anew once.
    assert_eq!(grow(&data, &["e"]), None);
    assert_eq!(grow(&data, &[]), None);
    let store = Store::open(&data, Failpoints::default()).unwrap();
    let (index, _) = open_index(&data, &store, Failpoints::default()).unwrap();
    let query = orgtrail::query::parse("word:b", Clock::system().now()).unwrap();
    let found = Asked::index(&index).count(&query, Range::default());
    assert_eq!(found.unwrap(), 1);
}
