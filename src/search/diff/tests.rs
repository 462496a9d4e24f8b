//! What events change of a resource, event by event.

use serde_json::{Value, json};

use super::*;
use crate::event::Reading;
use crate::position::Source;

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

/// What each event changed: `SEQ basis status: +added -removed ~changed`.
fn told(entries: &[Value]) -> Vec<String> {
    let mut states = States::default();
    let diffs = (1..)
        .zip(entries)
        .map(|(seq, entry)| states.take(&event(seq, entry)));
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
        let diff =
            Diff::empty(Basis::Request).with(&leaves(before).unwrap(), &leaves(after).unwrap());
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
    states.take(&event(1, &many(1)));
    let diff = states.take(&event(2, &many(MAX_DIFFERENCES + 2)));
    assert_eq!((diff.added.len(), diff.more), (MAX_DIFFERENCES, true));
    // What is too much to compare counts as unknown, whether by its length, its depth or its repeated names.
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BODY_LEN));
    let deep = "{\"a\":".repeat(MAX_DEPTH + 1) + "1" + &"}".repeat(MAX_DEPTH + 1);
    let wide = format!("{{\"{}\":[{}1]}}", "x".repeat(10_000), "1,".repeat(1_000));
    for body in [long, deep, wide] {
        let entry = format!(r#"{{"action":{{"type":"update"}},"resource":{{"value":{body}}}}}"#);
        assert_eq!(stated(&entry, Basis::Value), None);
    }
}
