//! What an event changed of its resource, and a history in both orders and around an event.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// A change of the resource `R`, the n-th second of a day.
fn change(n: u32, kind: &str, method: &str, request: Value, response: Value) -> String {
    json!({"id": format!("c{n}"),
        "action": {"time": format!("2026-08-03T08:00:{n:02}Z"), "type": kind, "result": "success"},
        "raw": {"method": method},
        "resource": {"id": "R", "request": request, "response": response}})
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_diff_compares_states_of_the_resource() {
    let mut desk = Desk::new().await;
    let mut failed: Value = serde_json::from_str(&change(
        4,
        "update",
        "PATCH",
        json!({"ttl": 1}),
        Value::Null,
    ))
    .unwrap();
    failed["action"]["result"] = "failure".into();
    desk.keep(
        &account(),
        &[
            change(
                1,
                "create",
                "POST",
                json!({"name": "www", "ttl": 300}),
                Value::Null,
            ),
            change(2, "update", "PATCH", json!({"ttl": 60}), Value::Null),
            change(
                3,
                "update",
                "PATCH",
                json!({"proxied": true}),
                json!({"id": "R", "name": "www", "ttl": 60, "proxied": true}),
            ),
            failed.to_string(),
            change(
                5,
                "update",
                "PATCH",
                json!({"ttl": 1}),
                json!({"id": "R", "name": "www", "ttl": 1, "proxied": true}),
            ),
            change(6, "delete", "DELETE", Value::Null, json!({"id": "R"})),
            json!({"id": "x", "action": {"time": "2026-08-03T08:00:07Z", "type": "login"}})
                .to_string(),
        ],
    );
    desk.search_all();
    let diff = async |seq: u64| desk.get(&format!("/v1/events/{seq}/diff")).await;
    let differs = |path: &str, change: &str, before: Value, after: Value| json!({"path": path, "change": change, "before": before, "after": after});
    assert_eq!(
        diff(2).await,
        json!({"against": {"seq": 1, "time": "2026-08-03T08:00:01Z"}, "basis": "request", "status": "partial",
            "added": [], "removed": [], "changed": [differs("ttl", "changed", json!(300), json!(60))], "more": false})
    );
    let third = diff(3).await;
    assert_eq!(
        (&third["basis"], &third["status"], &third["removed"]),
        (&json!("request"), &json!("partial"), &json!([]))
    );
    assert_eq!(
        third["added"],
        json!([differs("proxied", "added", Value::Null, json!(true))])
    );
    let fourth = diff(4).await;
    assert_eq!(
        (&fourth["added"], &fourth["changed"], &fourth["status"]),
        (&json!([]), &json!([]), &json!("exact"))
    );
    assert_eq!(
        diff(5).await,
        json!({"against": {"seq": 3, "time": "2026-08-03T08:00:03Z"}, "basis": "response", "status": "exact",
            "added": [], "removed": [], "changed": [differs("ttl", "changed", json!(60), json!(1))], "more": false})
    );
    let gone = diff(6).await;
    assert_eq!(
        (&gone["against"]["seq"], &gone["basis"], &gone["status"]),
        (&json!(5), &json!("response"), &json!("exact"))
    );
    let removed: Vec<&str> = gone["removed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|at| at["path"].as_str().unwrap())
        .collect();
    assert_eq!(removed, ["id", "name", "proxied", "ttl"]);
    // An event of no known resource has nothing to be compared with.
    assert_eq!(diff(7).await["against"], Value::Null);
    let (status, _) = desk.ask("/v1/events/99/diff").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // The history says the same.
    let history = desk.get("/v1/events/2/history").await;
    for (i, change) in history["changes"].as_array().unwrap().iter().enumerate() {
        let own = diff(i as u64 + 1).await;
        for key in ["against", "basis", "status"] {
            assert_eq!(change[key], own[key], "{i}");
        }
        let n = |key: &str| own[key].as_array().unwrap().len();
        let all = change["diff"].as_array().map_or(0, Vec::len);
        assert!(
            all == n("added") + n("removed") + n("changed") || i == 0,
            "{change:#}"
        );
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_read_in_both_orders_and_around_an_event() {
    let mut desk = Desk::new().await;
    let entries: Vec<String> = (0..9)
        .map(|n| change(n, "update", "PATCH", json!({"ttl": n}), Value::Null))
        .collect();
    desk.keep(&account(), &entries);
    desk.search_all();
    let seqs = |page: &Value| -> Vec<u64> {
        let changes = page["changes"].as_array().unwrap().iter();
        changes
            .map(|change| change["event"]["seq"].as_u64().unwrap())
            .collect()
    };
    let get = async |rest: &str| desk.get(&format!("/v1/events/5/history?{rest}")).await;
    let up = get("").await;
    assert_eq!(seqs(&up), (1..=9).collect::<Vec<u64>>());
    let mut down = get("order=desc").await["changes"]
        .as_array()
        .unwrap()
        .clone();
    down.reverse();
    assert_eq!(Value::from(down), up["changes"]);
    // Around the event, and on from there in both directions.
    let middle = get("around=true&limit=3").await;
    assert_eq!(seqs(&middle), [4, 5, 6]);
    let next = middle["next_cursor"].as_str().unwrap();
    assert_eq!(seqs(&get(&format!("limit=2&cursor={next}")).await), [7, 8]);
    let previous = middle["previous_cursor"].as_str().unwrap();
    let before = get(&format!("order=desc&limit=9&cursor={previous}")).await;
    assert_eq!(seqs(&before), [3, 2, 1]);
    assert_eq!(before["next_cursor"], Value::Null);
    assert_eq!(
        seqs(&get("around=true&order=desc&limit=4").await),
        [6, 5, 4, 3]
    );
    assert_eq!(
        seqs(&get("around=true").await),
        (1..=9).collect::<Vec<u64>>()
    );
    let (status, body) = desk
        .ask(&format!("/v1/events/5/history?around=true&cursor={next}"))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_of_large_changes_ends_its_pages_early_and_leaves_nothing_out() {
    const CHANGES: u32 = 14;
    let mut desk = Desk::new().await;
    let entries: Vec<String> = (1..=CHANGES)
        .map(|n| {
            let members = (0..1_000).map(|i| (format!("k{i}"), json!(n)));
            let members: serde_json::Map<String, Value> = members.collect();
            let body = json!({"n".repeat(900): members});
            change(n, "update", "PUT", body, Value::Null)
        })
        .collect();
    desk.keep(&account(), &entries);
    desk.search_all();
    let seqs = |page: &Value| -> Vec<u64> {
        let changes = page["changes"].as_array().unwrap().iter();
        changes
            .map(|change| change["event"]["seq"].as_u64().unwrap())
            .collect()
    };
    // From a page on, by its cursors.
    let follow = async |order: &str, cursor: &Value| {
        let (mut found, mut cursor, mut n_pages) = (Vec::new(), cursor.clone(), 0);
        while let Some(at) = cursor.as_str() {
            let path = format!("/v1/events/7/history?order={order}&cursor={at}");
            let (_, body) = desk.ask(&path).await;
            assert!(body.len() < 24 * 1024 * 1024, "{}", body.len());
            let page: Value = serde_json::from_str(&body).unwrap();
            assert!(!seqs(&page).is_empty());
            found.extend(seqs(&page));
            cursor = page["next_cursor"].clone();
            n_pages += 1;
        }
        (found, n_pages)
    };
    let all: Vec<u64> = (1..=u64::from(CHANGES)).collect();
    let down: Vec<u64> = all.iter().rev().copied().collect();
    for (order, opposite, expected) in [("asc", "desc", &all), ("desc", "asc", &down)] {
        let first = desk
            .get(&format!("/v1/events/7/history?order={order}"))
            .await;
        let mut found = seqs(&first);
        let (rest, n_pages) = follow(order, &first["next_cursor"]).await;
        assert!(n_pages >= 1, "{order}");
        found.extend(rest);
        assert_eq!(&found, expected, "{order}");

        let around = desk
            .get(&format!("/v1/events/7/history?around=true&order={order}"))
            .await;
        assert!(seqs(&around).contains(&7) && seqs(&around).len() < expected.len());
        let (mut found, _) = follow(opposite, &around["previous_cursor"]).await;
        found.reverse();
        found.extend(seqs(&around));
        found.extend(follow(order, &around["next_cursor"]).await.0);
        assert_eq!(&found, expected, "around, {order}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_comes_late_is_compared_with_what_was_before_its_first_one() {
    let mut desk = Desk::new().await;
    let change_at = |id: &str, second: u32, kind: &str, ttl: u32| {
        let text = change(second, kind, "PATCH", json!({"ttl": ttl}), Value::Null);
        let mut entry: Value = serde_json::from_str(&text).unwrap();
        entry["id"] = id.into();
        entry
    };
    let mut late = change_at("a", 2, "update", 1);
    late["resource"]["request"]["note"] = "late".into();
    let entries = [
        change_at("c", 1, "create", 0),
        change_at("a", 2, "update", 1),
        change_at("b", 2, "update", 2),
        late,
        change_at("d", 3, "update", 3),
    ];
    desk.keep(&account(), &entries.map(|entry| entry.to_string()));
    desk.search_all();
    let history = desk.get("/v1/events/1/history").await;
    for (seq, against, before, after) in [(3, 2, 1, 2), (4, 1, 0, 1), (5, 3, 2, 3)] {
        let diff = desk.get(&format!("/v1/events/{seq}/diff")).await;
        assert_eq!(diff["against"]["seq"], against, "{seq}");
        let ttl = json!([{"path": "ttl", "change": "changed", "before": before, "after": after}]);
        assert_eq!(diff["changed"], ttl, "{seq}");
        let change = &history["changes"][seq - 1];
        assert_eq!(change["event"]["seq"], seq);
        assert_eq!(change["against"]["seq"], against, "{seq}");
    }
    desk.stop().await;
}
