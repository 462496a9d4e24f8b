//! An event that was damaged when it was indexed is found by its words again once its body is put back.

use orgtrail::position::Seq;
use orgtrail::store::{FILE_NAME, Store};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

fn entry(n: u64, revision: u64) -> String {
    json!({"id": format!("id-{n}"), "action": {"time": format!("2026-08-03T08:00:{n:02}Z")},
        "actor": {"email": "a@example.com"}, "note": format!("marker{n} revision{revision}")})
    .to_string()
}

fn entries() -> Vec<String> {
    let mut entries: Vec<String> = (1..=6).map(|n| entry(n, 0)).collect();
    // The seventh replaces the third.
    entries.push(entry(3, 1));
    entries
}

/// Has a pass over the whole log find what is damaged.
fn scrub(store: &Store) {
    let found = store.scrub(Seq::ZERO, 100, usize::MAX).unwrap();
    let now = orgtrail::clock::Clock::system().now();
    store
        .save_scrub((Seq::ZERO, found.upto), &found.damaged, true, now)
        .unwrap();
}

async fn found(desk: &Desk, query: &str) -> Vec<Value> {
    let page = desk
        .get(&format!("/v1/events?limit=50&order=asc&{query}"))
        .await;
    let events = page["events"].as_array().unwrap();
    events.iter().map(|event| event["seq"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repaired_event_is_found_by_its_words_in_the_next_turn_of_the_index() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries());
    let db = Connection::open(desk.data_dir().join(FILE_NAME)).unwrap();
    db.execute_batch("UPDATE event SET body = x'00' WHERE seq IN (2, 7)")
        .unwrap();
    desk.search_all();
    scrub(&desk.store);
    assert_eq!(found(&desk, "q=marker2").await, [] as [Value; 0]);
    assert_eq!(found(&desk, "q=source:accounts/f00d").await.len(), 7);

    // The same entries come in again, with a new one behind them.
    let again = [entry(2, 0), entry(3, 1), entry(8, 0)];
    desk.keep(&account(), &again);
    desk.search_all();
    assert_eq!(found(&desk, "q=marker2").await, [2]);
    assert_eq!(found(&desk, "q=marker3").await, [3, 7]);
    assert_eq!(found(&desk, "q=marker3&revision=latest").await, [7]);
    assert_eq!(found(&desk, "q=marker8").await, [8]);
    assert_eq!(found(&desk, "q=source:accounts/f00d").await.len(), 8);
    assert_eq!(desk.get("/v1/count").await["count"], 8);
    let left = desk.store.repaired(Seq(u64::MAX >> 1), 10).unwrap();
    assert_eq!(left, []);

    // The index is whole, also for those who open it later.
    let dir = desk.close().await;
    let data = dir.path().join("data");
    let store = Store::open(&data, orgtrail::durable::Failpoints::default()).unwrap();
    let opened = orgtrail::follow::index::open_index(
        &data,
        &store,
        orgtrail::durable::Failpoints::default(),
    );
    let (_index, why) = opened.unwrap();
    assert_eq!(why, None);
}
