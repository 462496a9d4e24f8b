//! The form of an event and of a page, member by member: clients read these names, so none changes unnoticed.

use chrono::DateTime;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// A log that is the same in every run, but for the times at which it was made.
async fn fixed_log() -> Desk {
    let mut desk = Desk::on_both_engines().await;
    let entries = [
        json!({"id": "e1", "action": {"time": "2026-08-01T08:00:00Z", "type": "create", "result": "success"},
            "actor": {"email": "Alice@Example.com", "id": "u1", "type": "user", "ip_address": "2001:DB8::1"},
            "resource": {"id": "r1", "type": "dns_record", "product": "dns", "request": {"name": "www", "ttl": 300}}}),
        json!({"id": "e2", "action": {"time": "2026-08-02T08:00:00Z", "type": "update", "result": "success"},
            "actor": {"email": "bob@example.com", "id": "u2", "type": "user"}, "resource": {"id": "r1", "product": "dns"}}),
        json!({"id": "e3", "action": {"time": "yesterday", "type": "update"}}),
    ];
    desk.keep(&account(), &entries.map(|entry| entry.to_string()));
    desk.search_all();
    desk
}

/// Hides what differs from run to run: cursors, the times at which entries were stored and windows sealed, and lengths up to now.
fn redacted(mut value: Value) -> Value {
    redact(&mut value, false);
    value
}

fn redact(value: &mut Value, is_coverage: bool) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if let ("missing", Some(gaps)) = (name.as_str(), member.as_array_mut()) {
                    // Whether there is a gap after the window depends on the second in which the page is asked.
                    gaps.truncate(1);
                }
                match name.as_str() {
                    "next_cursor" if member.is_string() => *member = json!("[cursor]"),
                    "received_at" => *member = json!("[time]"),
                    _ => redact(member, is_coverage || name == "coverage"),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, is_coverage)),
        Value::String(text) if is_coverage && DateTime::parse_from_rfc3339(text).is_ok() => {
            *value = json!("[time]");
        }
        Value::Number(_) if is_coverage => *value = json!("[number]"),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_and_a_page_have_the_documented_members() {
    let mut desk = fixed_log().await;
    let event = redacted(desk.get("/v1/events/1").await);
    insta::assert_snapshot!("event", serde_json::to_string_pretty(&event).unwrap());
    let page = desk
        .get("/v1/events?limit=2&count=true&facet=action.type")
        .await;
    insta::assert_snapshot!(
        "page",
        serde_json::to_string_pretty(&redacted(page)).unwrap()
    );
    desk.stop().await;
}
