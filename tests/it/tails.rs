//! Answers that go on and on: tails that miss nothing, clients that take nothing, exports that break off, and a stop.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use orgtrail::event::AuditEvent;
use orgtrail::http::Limits;
use orgtrail::position::Seq;
use orgtrail::store::FILE_NAME;
use reqwest::StatusCode;
use serde_json::json;
use url::form_urlencoded::byte_serialize;

use crate::fixture_log::{Desk, account};
use crate::{skip_slow_tests, tell};

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(60);

/// Entries `from..to`, every third of them a deletion, and every fifth of long ago.
fn entries(from: u64, to: u64) -> Vec<String> {
    let entries = (from..to).map(|n| {
        let year = if n.is_multiple_of(5) { 2024 } else { 2026 };
        let kind = if n.is_multiple_of(3) { "delete" } else { "create" };
        let time = format!("{year}-03-01T{:02}:{:02}:{:02}Z", n / 3_600 % 24, n / 60 % 60, n % 60);
        json!({"id": format!("n{n}"), "action": {"time": time, "type": kind}, "note": "line\nbreak"}).to_string()
    });
    entries.collect()
}

/// A client of a tail.
struct Client {
    answer: reqwest::Response,
    held: String,
}

impl Client {
    async fn open(desk: &Desk, question: &str, last_event_id: Option<u64>) -> Self {
        let url = format!("{}/v1/events/stream?{question}", desk.url);
        let mut request = reqwest::Client::new().get(url);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        Self::of(request.send().await.unwrap())
    }

    fn of(answer: reqwest::Response) -> Self {
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            held: String::new(),
        }
    }

    /// The next event and its id; `None` when the stream has ended.
    async fn next(&mut self) -> Option<(u64, AuditEvent)> {
        self.try_next().await.unwrap()
    }

    async fn try_next(&mut self) -> reqwest::Result<Option<(u64, AuditEvent)>> {
        loop {
            while let Some((message, rest)) = self.held.split_once("\n\n") {
                let lines: Vec<String> = message.lines().map(ToOwned::to_owned).collect();
                self.held = rest.to_owned();
                let value = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name));
                if let Some(data) = value("data: ") {
                    let id = value("id: ").unwrap().parse().unwrap();
                    return Ok(Some((id, serde_json::from_str(data).unwrap())));
                }
            }
            let chunk = tokio::time::timeout(DEADLINE, self.answer.chunk()).await;
            match chunk.unwrap()? {
                Some(chunk) => self.held.push_str(std::str::from_utf8(&chunk).unwrap()),
                None => return Ok(None),
            }
        }
    }

    /// What was sent before the line was closed.
    async fn take_until_broken(&mut self) -> Vec<u64> {
        let mut ids = Vec::new();
        loop {
            match self.try_next().await {
                Ok(Some((id, _))) => ids.push(id),
                Ok(None) => panic!("it ended as if it were over"),
                Err(_) => return ids,
            }
        }
    }

    async fn take(&mut self, n: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        while ids.len() < n {
            let (id, event) = self.next().await.unwrap();
            assert_eq!(event.seq, Seq(id));
            ids.push(id);
        }
        ids
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_goes_on_where_it_was_and_gives_each_event_once() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries(1, 51));
    desk.search_all();
    let is_deletion = |seq: &u64| seq.is_multiple_of(3);
    let question = "q=action.type:delete";

    // One that begins now does not see what was there.
    let mut newest = Client::open(&desk, question, None).await;
    let mut client = Client::open(&desk, question, Some(0)).await;
    let mut found = client.take(7).await;
    drop(client);
    desk.keep(&account(), &entries(51, 1_400));
    desk.search_all();
    let mut client = Client::open(&desk, question, found.last().copied()).await;
    let expect: Vec<u64> = (1..1_400).filter(is_deletion).collect();
    found.extend(client.take(expect.len() - found.len() - 1).await);
    // By parameter as well; then up to the present, and on.
    let last = format!("{question}&last_event_id={}", found[found.len() - 1]);
    let mut client = Client::open(&desk, &last, None).await;
    found.extend(client.take(1).await);
    assert_eq!(found, expect);
    assert_eq!(newest.take(3).await, [51, 54, 57]);

    desk.keep(&account(), &entries(1_400, 1_406));
    desk.search_all();
    assert_eq!(client.take(2).await, [1_401, 1_404]);
    desk.stop().await;
    assert!(
        client.next().await.is_none(),
        "it ends when the service stops"
    );
}

/// Entries of 100 KB each: forty of them are more than the buffers of a line hold.
fn large_entries(from: u64, to: u64) -> Vec<String> {
    let filler = "x".repeat(100_000);
    let entries = (from..to).map(|n| {
        json!({"id": format!("n{n}"), "action": {"time": "2026-08-03T08:00:00Z"}, "filler": filler}).to_string()
    });
    entries.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_tails_half_of_them_stalled_lose_nothing_and_slow_nothing() {
    let n_tails = if skip_slow_tests() { 20 } else { 200 };
    let n_events = 40;
    let limits = Limits {
        write_stall: Duration::from_secs(3),
        tails: n_tails,
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    desk.keep(&account(), &entries(1, 2));
    desk.search_all();
    let mut reading = join_all((0..n_tails).map(|_| Client::open(&desk, "", None))).await;
    // These never take a byte of their answers.
    let stalled = reading.split_off(n_tails / 2);
    let tail = "/v1/events/stream";
    assert_eq!(
        desk.open(tail).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    let writing = async {
        for n in (0..n_events).step_by(4) {
            desk.keep(&account(), &large_entries(n, n + 4));
            desk.search_all();
            let begun = Instant::now();
            assert_eq!(desk.get("/v1/count").await["count"], 1 + n + 4);
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{:?}",
                begun.elapsed()
            );
        }
    };
    let readers = join_all(
        reading
            .iter_mut()
            .map(|client| client.take(n_events as usize)),
    );
    let (found, ()) = tokio::join!(readers, writing);
    let expect: Vec<u64> = (2..2 + n_events).collect();
    assert!(found.iter().all(|ids| *ids == expect));

    // Each that is stalled is closed and makes room for another; those that read stay.
    let mut others = Vec::new();
    let begun = Instant::now();
    while others.len() < stalled.len() {
        assert!(
            begun.elapsed() < DEADLINE,
            "{} of {} were closed",
            others.len(),
            stalled.len()
        );
        match desk.open(tail).await {
            answer if answer.status() == StatusCode::OK => others.push(answer),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    tell(format!(
        "{} were closed {:?} after all was read",
        others.len(),
        begun.elapsed()
    ));
    drop(others);
    // They lose nothing either, when they come back.
    for mut client in stalled {
        let mut ids = client.take_until_broken().await;
        assert!(ids.len() < expect.len(), "it was never stalled");
        let last = ids.last().copied().unwrap_or(1);
        let mut again = loop {
            match desk.open(&format!("{tail}?last_event_id={last}")).await {
                answer if answer.status() == StatusCode::OK => break Client::of(answer),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        ids.extend(again.take(expect.len() - ids.len()).await);
        assert_eq!(ids, expect);
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_costly_tails_have_each_event_soon() {
    let n_tails = if skip_slow_tests() { 60 } else { 400 };
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries(1, 2));
    desk.search_all();
    // To look for these in a dictionary takes an automaton for each, in each tail.
    let words = (0..60).map(|n| format!("*e*t*{n}*"));
    let question = words.chain(["create".into()]).collect::<Vec<_>>();
    let question: String = byte_serialize(question.join(" OR ").as_bytes()).collect();
    let question = format!("q={question}");
    let mut tails = join_all((0..n_tails).map(|_| Client::open(&desk, &question, None))).await;
    let begun = Instant::now();
    for n in 0..10 {
        let events = entries(2 + 3 * n, 5 + 3 * n);
        let deletions = (2 + 3 * n..5 + 3 * n).filter(|n| n.is_multiple_of(3));
        desk.keep(&account(), &events);
        desk.search_all();
        let n_found = events.len() - deletions.count();
        join_all(tails.iter_mut().map(|tail| tail.take(n_found))).await;
    }
    let each = begun.elapsed() / 10;
    tell(format!("{n_tails} tails had what came after {each:?}"));
    assert!(each < Duration::from_millis(1_000), "{each:?}");
    drop(tails);
    desk.stop().await;
}

/// More than the buffers between two sockets hold.
async fn desk_with_much_to_export() -> Desk {
    let mut desk = Desk::new().await;
    let filler = "x".repeat(100_000);
    let entries: Vec<String> = (0..400)
        .map(|n| json!({"id": n.to_string(), "action": {"time": "2026-08-03T08:00:00Z"}, "filler": filler}).to_string())
        .collect();
    desk.keep(&account(), &entries);
    desk.search_all();
    desk
}

/// Reads an answer up to where it breaks off.
async fn breaks_off(mut answer: reqwest::Response) -> reqwest::Error {
    loop {
        match answer.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a part passed for the whole"),
            Err(error) => return error,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_whole_in_spite_of_damage_and_breaks_off_when_the_log_cannot_be_read() {
    let mut desk = desk_with_much_to_export().await;
    let log = rusqlite::Connection::open(desk.data_dir().join(FILE_NAME)).unwrap();
    // The last one of the answer: the newest are first.
    let damage = "UPDATE event SET sha256 = zeroblob(32) WHERE seq = 1";
    assert_eq!(log.execute(damage, []).unwrap(), 1);
    let (status, export) = desk.ask("/v1/export").await;
    assert_eq!((status, export.lines().count()), (StatusCode::OK, 400));
    let last: serde_json::Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["seq"], &last["problem"]),
        (&json!(1), &json!("damaged"))
    );

    for format in ["ndjson", "csv"] {
        let mut export = desk.open(&format!("/v1/export?format={format}")).await;
        assert_eq!(export.status(), StatusCode::OK);
        assert!(export.chunk().await.unwrap().is_some());
        log.execute_batch("ALTER TABLE event RENAME TO elsewhere")
            .unwrap();
        tell(breaks_off(export).await);
        log.execute_batch("ALTER TABLE elsewhere RENAME TO event")
            .unwrap();
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_nobody_and_an_export_is_never_quietly_short() {
    let mut desk = desk_with_much_to_export().await;
    let mut export = desk.open("/v1/export").await;
    assert!(export.chunk().await.unwrap().is_some());
    let tail = Client::open(&desk, "last_event_id=0", None).await;
    let begun = Instant::now();
    // Neither of them is read meanwhile.
    desk.stop().await;
    tell(format!("stopped after {:?}", begun.elapsed()));
    assert!(begun.elapsed() < Duration::from_secs(15));
    tell(breaks_off(export).await);
    drop(tail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_index_is_rebuilt_nothing_passes_for_the_whole_and_a_tail_waits() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries(1, 31));
    desk.search_all();
    let mut client = Client::open(&desk, "last_event_id=0", None).await;
    assert_eq!(client.take(30).await, (1..31).collect::<Vec<_>>());
    desk.index.clear(desk.store.head()).unwrap();
    let (status, body) = desk.ask("/v1/export").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    // Which fields entries have is not known either: none is called unknown that may come back.
    for path in [
        "/v1/count?q=note:break",
        "/v1/facets?field=note",
        "/v1/fields/note/values",
    ] {
        let (status, body) = desk.ask(path).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {body}");
    }
    desk.keep(&account(), &entries(31, 33));
    desk.search_all();
    assert_eq!(client.take(2).await, [31, 32], "and gives nothing twice");
    assert_eq!(desk.ask("/v1/export").await.0, StatusCode::OK);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_exports_at_once_and_no_more() {
    let mut desk = desk_with_much_to_export().await;
    let mut open = join_all((0..8).map(|_| desk.open("/v1/export"))).await;
    assert!(open.iter().all(|answer| answer.status() == StatusCode::OK));
    let (status, body) = desk.ask("/v1/export").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(body.contains("8 exports are open already"), "{body}");
    // Questions are answered all the same, and an export that has ended makes room.
    assert_eq!(desk.get("/v1/count").await["count"], 400);
    let whole = open.remove(0).text().await.unwrap();
    assert_eq!(whole.lines().count(), 400);
    drop(open);
    let begun = Instant::now();
    while desk.open("/v1/export?q=nothing-has-this").await.status() != StatusCode::OK {
        assert!(begun.elapsed() < DEADLINE);
    }
    desk.stop().await;
}
