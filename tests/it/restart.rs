//! The index is disposable: whatever happens to it, it comes back from the log.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orgtrail::sim::SimConfig;

use crate::harness::{Service, Upstream};

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
            let whole = orgtrail::index::verify_beside(&data, log.log_id());
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
