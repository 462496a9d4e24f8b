//! What events change of a resource, event by event.

use serde_json::{Value, json};

use chrono::DateTime;
use orgtrail_cloudflare::json;
use serde_json::value::RawValue;

use super::form::MAX_DIFF_BYTES;
use super::leaves::{Leaves, MAX_DEPTH, MAX_STATE_BYTES, TimeCheck};
use super::states::MAX_RECENT_BYTES;
use super::told::{Basis, MAX_BODY_LEN, stated};
use super::*;
use crate::event::AuditEvent;
use crate::event::Reading;
use crate::position::{Seq, Source};
use crate::search::error::SearchError;

fn event(seq: u64, entry: &Value) -> AuditEvent {
    let body = entry.to_string();
    let reading = Reading::of(&body);
    AuditEvent {
        seq: Seq(seq),
        source: Source::account("a").unwrap(),
        id: reading.id,
        revision: 0,
        time: reading.time,
        received_at: DateTime::UNIX_EPOCH,
        problem: reading.problem,
        entry: RawValue::from_string(body).unwrap(),
        sha256: None,
    }
}

/// An entry of one kind of action and method, with these members of its resource.
fn change(kind: &str, method: &str, resource: Value) -> Value {
    json!({"action": {"type": kind, "result": "success"}, "raw": {"method": method}, "resource": resource})
}

/// With all the time in the world.
const NEVER: TimeCheck<'_> = &|| Ok(());

fn taken(states: &mut States, event: &AuditEvent) -> Diff {
    states.take(event, NEVER).unwrap()
}

/// What each event changed: `SEQ basis status: +added -removed ~changed`.
fn told(entries: &[Value]) -> Vec<String> {
    let mut states = States::default();
    let diffs = (1..)
        .zip(entries)
        .map(|(seq, entry)| taken(&mut states, &event(seq, entry)));
    diffs
        .map(|diff| {
            let against = diff.against.as_ref().map_or(0, |against| against.seq.0);
            let shown = |sign: char, list: &[Difference]| -> String {
                let list = list.iter().map(|at| format!(" {sign}{}", at.path));
                list.collect()
            };
            format!(
                "{against} {} {}:{}{}{}",
                diff.basis,
                diff.status,
                shown('+', &diff.added),
                shown('-', &diff.removed),
                shown('~', &diff.changed)
            )
        })
        .collect()
}

#[test]
fn what_a_patch_does_not_send_stays() {
    let request = |kind, method, body| change(kind, method, json!({"request": body}));
    assert_eq!(
        told(&[
            request(
                "create",
                "POST",
                json!({"name": "www", "ttl": 300, "tls": {"min": 1, "max": 3}})
            ),
            request("update", "PATCH", json!({"ttl": 60})),
            request(
                "update",
                "PATCH",
                json!({"ttl": 60, "proxied": true, "tls": {"min": 2}})
            ),
            request("update", "PATCH", json!({"tls": "off"})),
            request("update", "PUT", json!({"name": "www", "ttl": 60})),
        ]),
        [
            "0 request partial: +name +tls.max +tls.min +ttl",
            "1 request partial: ~ttl",
            "2 request partial: +proxied ~tls.min",
            "3 request partial: +tls -tls.max -tls.min",
            "4 request partial: -proxied -tls",
        ]
    );
}

#[test]
fn answers_are_compared_with_answers() {
    let both =
        |kind, method, sent, got| change(kind, method, json!({"request": sent, "response": got}));
    assert_eq!(
        told(&[
            both(
                "create",
                "POST",
                json!({"name": "a"}),
                json!({"success": true, "errors": [], "result": {"id": "1", "name": "a", "tags": []}})
            ),
            both(
                "update",
                "PATCH",
                json!({"name": "b"}),
                json!({"success": true, "result": {"id": "1", "name": "b", "tags": []}})
            ),
            // Only the request is known: it is compared with requests, and the next answer has two changes to tell of.
            change("update", "PATCH", json!({"request": {"tags": ["x"]}})),
            both(
                "update",
                "PATCH",
                json!({"on": true}),
                json!({"id": "1", "name": "b", "tags": ["x"], "on": true})
            ),
            change("delete", "DELETE", json!({"response": {"id": "1"}})),
            both(
                "create",
                "POST",
                json!({"name": "c"}),
                json!({"id": "1", "name": "c"})
            ),
        ]),
        [
            "0 response exact: +id +name +tags",
            "1 response exact: ~name",
            "2 request partial: +tags",
            "2 response partial: +on ~tags",
            "4 response exact: -id -name -on -tags",
            "5 response exact: +id +name",
        ]
    );
}

#[test]
fn the_resource_itself_is_known_best_and_a_failed_or_reading_action_changes_nothing() {
    let mut failed = change("update", "PATCH", json!({"value": {"a": 9}}));
    failed["action"]["result"] = "failure".into();
    let refused = json!({"action": {"type": "delete"}, "raw": {"method": "DELETE", "status_code": 403}, "resource": {}});
    assert_eq!(
        told(&[
            change(
                "update",
                "PUT",
                json!({"value": {"a": 1}, "response": {"b": 1}})
            ),
            change(
                "update",
                "PUT",
                json!({"value": {"a": 2}, "response": {"b": 1}})
            ),
            failed,
            refused,
            change("view", "GET", json!({"response": {"b": 7}})),
            change("update", "PUT", json!({"value": {"a": 2}})),
        ]),
        [
            "0 value partial: +a",
            "1 value exact: ~a",
            "2 value exact:",
            "2 value exact:",
            "2 value exact:",
            "2 value exact:",
        ]
    );
}

#[test]
fn another_revision_of_an_event_tells_of_the_same_change() {
    let revision = |id: &str, body: Value| {
        let mut entry = change("update", "PUT", json!({"value": body}));
        entry["id"] = id.into();
        entry
    };
    assert_eq!(
        told(&[
            revision("a", json!({"n": 1})),
            revision("b", json!({"n": 2})),
            revision("b", json!({"n": 3})),
            revision("c", json!({"n": 4})),
        ]),
        [
            "0 value partial: +n",
            "1 value exact: ~n",
            "1 value exact: ~n",
            "3 value exact: ~n",
        ]
    );
}

#[test]
fn bodies_differ_by_path() {
    let told = |before, after| {
        let leaves = |text| Leaves::read(text, NEVER).unwrap().unwrap();
        let diff = Diff::empty(Basis::Request).with(&leaves(before), &leaves(after), NEVER);
        let diff = diff.unwrap();
        let told = diff.differences().into_iter();
        told.map(|at| serde_json::to_string(&at).unwrap())
            .collect::<Vec<_>>()
    };
    insta::assert_debug_snapshot!(told(
        r#"{"name":"www","ttl":300,"tags":["a","b"],"settings":{"tls":true},"gone":"x"}"#,
        r#"{"ttl":3600,"name":"www","tags":["a"],"settings":{"tls":true,"note":null},"new":{"deep":"\ud800"}}"#,
    ), @r#"
    [
        "{\"path\":\"gone\",\"change\":\"removed\",\"before\":\"x\",\"after\":null}",
        "{\"path\":\"new.deep\",\"change\":\"added\",\"before\":null,\"after\":\"�\"}",
        "{\"path\":\"settings.note\",\"change\":\"added\",\"before\":null,\"after\":null}",
        "{\"path\":\"tags\",\"change\":\"changed\",\"before\":[\"a\",\"b\"],\"after\":\"a\"}",
        "{\"path\":\"ttl\",\"change\":\"changed\",\"before\":300,\"after\":3600}",
    ]
    "#);
    assert_eq!(told("[1,2]", "[1, 2]"), Vec::<String>::new());
    assert_eq!(told("\"a\"", "7").len(), 1);
}

#[test]
fn a_diff_is_bounded() {
    let many = |n: usize| {
        let members: Vec<String> = (0..n).map(|i| format!("\"k{i}\":{i}")).collect();
        let body = format!("{{{}}}", members.join(","));
        change(
            "update",
            "PUT",
            json!({"value": serde_json::from_str::<Value>(&body).unwrap()}),
        )
    };
    let mut states = States::default();
    taken(&mut states, &event(1, &many(1)));
    let diff = taken(&mut states, &event(2, &many(MAX_DIFFERENCES + 2)));
    assert_eq!((diff.added.len(), diff.more), (MAX_DIFFERENCES, true));
    // What is too much to compare counts as unknown, whether by its length, its depth or its repeated names.
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BODY_LEN));
    let deep = "{\"a\":".repeat(MAX_DEPTH + 1) + "1" + &"}".repeat(MAX_DEPTH + 1);
    let wide = format!("{{\"{}\":[{}1]}}", "x".repeat(10_000), "1,".repeat(1_000));
    let dotted = format!("{{\"{}\":1}}", "a.".repeat(MAX_DEPTH + 1));
    let name = "x".repeat(json::MAX_PATH_LEN);
    let listed = format!("{{\"{name}\":[{}1]}}", "1,".repeat(10_000));
    for body in [long, deep, wide, dotted, listed] {
        let entry = format!(r#"{{"action":{{"type":"update"}},"resource":{{"value":{body}}}}}"#);
        assert_eq!(stated(&entry, Basis::Value, NEVER).unwrap(), None);
    }
}

#[test]
fn long_paths_are_not_compared_with_all_that_is_above_them() {
    let name = "a.".repeat(150_000) + "b";
    let members: Vec<String> = (0..25).map(|i| format!("\"k{i}\":{i}")).collect();
    let body = format!("{{\"{name}\":{{{}}}}}", members.join(","));
    let patch = |seq| {
        let request: Value = serde_json::from_str(&body).unwrap();
        event(seq, &change("update", "PATCH", json!({"request": request})))
    };
    let mut states = States::default();
    for seq in 1..=3 {
        let diff = taken(&mut states, &patch(seq));
        assert_eq!((diff.differences().len(), diff.status), (0, "partial"));
    }
    assert!(states.now.known.iter().all(Option::is_none));
}

#[test]
fn a_state_is_merged_as_the_paths_above_and_below_say() {
    // In the order of bytes, `a b` and `a-b` are between `a` and what is below it.
    let known = r#"{"a":{"x":1,"y":{"z":2}},"a b":3,"a-b":4,"a.y":5,"b":6,"c":{"d":7},"cc":8}"#;
    let told = r#"{"a":{"y":9},"b":{"n":10},"c":11,"d":12}"#;
    let read = |text| Leaves::read(text, NEVER).unwrap().unwrap();
    let merged = read(known).merged(&read(told), NEVER).unwrap().unwrap();
    let expected = r#"{"a":{"x":1,"y":9},"a b":3,"a-b":4,"b":{"n":10},"c":11,"cc":8,"d":12}"#;
    assert_eq!(merged, read(expected));
}

#[test]
fn a_merged_state_that_is_too_large_is_not_known() {
    let patch = |seq: u64| {
        let name = format!("{seq:0>900}");
        let members: serde_json::Map<String, Value> = (0..1_000)
            .map(|i| (format!("k{i}"), Value::from(i)))
            .collect();
        let request = json!({name: members});
        event(seq, &change("update", "PATCH", json!({"request": request})))
    };
    let mut states = States::default();
    let mut n_unknown = 0;
    for seq in 1..=30 {
        let diff = taken(&mut states, &patch(seq));
        assert_eq!((diff.status, diff.basis), ("partial", "request"));
        let known = states.now.known[Basis::Request as usize].as_ref();
        n_unknown += usize::from(known.is_none());
        assert!(known.is_none_or(|known| known.leaves.bytes() <= MAX_STATE_BYTES));
        assert_eq!(known.is_none(), diff.more, "{seq}");
        let recent = states.recent.iter().map(|(_, told)| told.bytes());
        assert!(recent.sum::<usize>() <= MAX_RECENT_BYTES);
    }
    assert!(n_unknown > 1);
}

#[test]
fn a_large_diff_says_that_there_is_more() {
    let request = |text: &str| {
        let members: serde_json::Map<String, Value> = (0..900)
            .map(|i| (format!("{i:0>900}"), json!([text, text, text, text, text])))
            .collect();
        change("update", "PUT", json!({"request": members}))
    };
    let mut states = States::default();
    taken(&mut states, &event(1, &request("a")));
    let diff = taken(&mut states, &event(2, &request("b")));
    assert!(
        diff.more && diff.changed.len() > 500,
        "{}",
        diff.changed.len()
    );
    assert!(diff.bytes() <= MAX_DIFF_BYTES + MAX_DIFFERENCES * json::MAX_PATH_LEN);
}

#[test]
fn comparing_ends_when_the_time_is_up() {
    let members: serde_json::Map<String, Value> = (0..20_000)
        .map(|i| (format!("k{i}"), Value::from(i)))
        .collect();
    let patch = change("update", "PATCH", json!({"request": members}));
    // How often the clock is looked at, of which none may be the first or the last only.
    let looks = std::cell::Cell::new(0_usize);
    let count = || {
        looks.set(looks.get() + 1);
        Ok(())
    };
    let mut states = States::default();
    states.take(&event(1, &patch), &count).unwrap();
    let n_reading = looks.replace(0);
    states.take(&event(2, &patch), &count).unwrap();
    let n_all = looks.get();
    assert!(
        n_reading > 50 && n_all > 3 * n_reading / 2,
        "{n_reading} {n_all}"
    );
    for most in (0..n_all).step_by(20) {
        let left = std::cell::Cell::new(most);
        let clock = || match left.replace(left.get().saturating_sub(1)) {
            0 => Err(SearchError::Cursor("the time is up")),
            _ => Ok(()),
        };
        assert!(states.clone().take(&event(3, &patch), &clock).is_err());
    }
}

#[test]
fn a_late_revision_tells_of_its_own_change_and_not_of_what_followed() {
    let patch = |id: &str, ttl: u32| {
        let mut entry = change("update", "PATCH", json!({"request": {"ttl": ttl, id: ttl}}));
        entry["id"] = id.into();
        entry
    };
    assert_eq!(
        told(&[
            patch("c", 0),
            patch("a", 1),
            patch("b", 2),
            // The first two happened in the same second.
            patch("a", 7),
            patch("d", 2),
        ]),
        [
            "0 request partial: +c +ttl",
            "1 request partial: +a ~ttl",
            "2 request partial: +b ~ttl",
            "1 request partial: +a ~ttl",
            "3 request partial: +d",
        ]
    );
}
