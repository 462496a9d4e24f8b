//! What Cloudflare's API over a log says of its own completeness while events in that log are damaged, many or only for a time.

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail_cloudflare::coverage::{Covered, CoveredState, HEADER};
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};
use crate::v4::{entry, log_path};

fn text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A page, and what its header says of the range that is asked about.
async fn page(desk: &Desk, path: &str) -> (Covered, Value) {
    let answer = desk.open(path).await;
    let covered = Covered::read(answer.headers()[HEADER].to_str().unwrap()).unwrap();
    let body = answer.text().await.unwrap();
    (covered, serde_json::from_str(&body).unwrap())
}

fn log(desk: &Desk) -> rusqlite::Connection {
    rusqlite::Connection::open(desk.data_dir().join("orgtrail.db")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_repaired_during_a_walk_is_not_proven_by_it() {
    let mut desk = Desk::new().await;
    let now = Clock::system().now();
    let at = |minutes: i64| now - TimeDelta::minutes(minutes);
    let entries = [40, 30, 20, 10].map(|n| entry(&n.to_string(), &text(at(n)), &json!({})));
    desk.keep(&account(), &entries);
    desk.search_all();
    let window = format!(
        "since={}&before={}&direction=asc&limit=1",
        text(at(50)),
        text(at(5))
    );
    let path = log_path(&account(), &window);
    let db = log(&desk);
    let hash: Vec<u8> = db
        .query_row("SELECT sha256 FROM event WHERE seq = 2", (), |row| {
            row.get(0)
        })
        .unwrap();
    let set_hash = |hash: &[u8]| {
        db.execute("UPDATE event SET sha256 = ?1 WHERE seq = 2", [hash])
            .unwrap()
    };
    set_hash(&[0; 32]);
    let (mut cursor, mut shown) = (String::new(), Vec::new());
    let last = loop {
        let (covered, body) = page(&desk, &format!("{path}&cursor={cursor}")).await;
        shown.push(body["result"][0]["id"].as_str().unwrap().to_owned());
        if shown.len() == 2 {
            // Its bytes are whole again before the walk ends.
            set_hash(&hash);
            desk.store.save_damage_seen(now).unwrap();
        }
        cursor = body["result_info"]["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break covered;
        }
    };
    assert_eq!(shown, ["40", "20", "10"]);
    assert_eq!(last.state, CoveredState::Partial);
    assert_eq!(text(last.until), text(at(30)));
    let (since, before) = last.next[0];
    assert_eq!(
        (text(since), text(before)),
        (text(at(30) + TimeDelta::seconds(1)), text(at(5)))
    );
    // A new walk has it.
    let (covered, _) = page(&desk, &path.replace("limit=1", "limit=10")).await;
    assert_eq!(covered.state, CoveredState::Complete);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_second_is_proven_whose_event_is_damaged_however_many_are() {
    /// More than are remembered until they are written down.
    const MANY: usize = 10_001;
    let mut desk = Desk::new().await;
    let now = Clock::system().now();
    let at = |minutes: i64| now - TimeDelta::minutes(minutes);
    let one = |n: usize, minutes| entry(&format!("e{n}"), &text(at(minutes)), &json!({}));
    let mut entries: Vec<String> = (0..MANY).map(|n| one(n, 30)).collect();
    entries.extend([one(MANY, 20), one(MANY + 1, 10)]);
    desk.keep(&account(), &entries);
    desk.search_all();
    log(&desk)
        .execute(
            "UPDATE event SET sha256 = zeroblob(32) WHERE seq <= ?1",
            [MANY + 1],
        )
        .unwrap();
    let window = format!(
        "since={}&before={}&direction=asc&limit=1000",
        text(at(40)),
        text(at(5))
    );
    let (covered, body) = page(&desk, &log_path(&account(), &window)).await;
    assert_eq!(body["result"].as_array().unwrap().len(), 1);
    assert_eq!(text(covered.until), text(at(30)));
    let second = at(20);
    let is_proven = covered
        .next
        .iter()
        .any(|(since, before)| *since <= second && second < *before);
    assert!(!is_proven, "{covered:?}");
    desk.stop().await;
}
