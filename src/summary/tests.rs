//! Sentences about entries of every kind.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn of(entry: &Value) -> String {
    summary(&entry.to_string(), Some("Example Holdings"))
}

#[test]
fn a_sentence_says_who_did_what_to_which_thing() {
    let ann =
        json!({"email": "ann@example.com", "context": "dash", "ip_address": "198.51.100.128"});
    let ci = json!({"email": "", "token_name": "terraform-prod", "context": "api_token"});
    let record =
        json!({"product": "dns", "type": "record", "id": "7fdbafab9bbb2e9f9f94738212edfd85"});
    let with = |resource: &Value, request: Value| {
        let mut resource = resource.clone();
        resource["request"] = request;
        resource
    };
    let setting = json!({"product": "zone_settings", "type": "setting", "id": "min_tls_version"});
    let member = json!({"product": "members", "type": "member", "id": "8cff"});
    let script = json!({"product": "workers", "type": "script", "id": "checkout-edge"});
    let queue =
        json!({"product": "queues", "type": "consumer", "id": "8cff00000000000000000000000000aa"});
    let zone = json!({"name": "example.com"});
    let cases = [
        (
            json!({"action": {"type": "delete", "result": "success"}, "actor": ann,
                "resource": with(&record, json!({"type": "MX", "name": "mail.example.com", "content": "10 mail.example.com"})), "zone": zone}),
            "ann@example.com deleted DNS record MX mail.example.com in example.com, by dashboard, from 198.51.100.128",
        ),
        (
            json!({"action": {"type": "delete", "result": "success"}, "actor": ann, "resource": with(&member, json!({"email": "ben@example.com"}))}),
            "ann@example.com removed ben@example.com from Example Holdings, by dashboard, from 198.51.100.128",
        ),
        (
            json!({"action": {"type": "create", "result": "failure"}, "actor": ann, "resource": member}),
            "ann@example.com could not add 8cff to Example Holdings, by dashboard, from 198.51.100.128",
        ),
        (
            json!({"action": {"type": "update", "result": "success"}, "actor": ci, "resource": with(&setting, json!({"value": "1.2"})), "zone": zone}),
            "token terraform-prod changed zone setting min_tls_version in example.com to 1.2, by API token",
        ),
        (
            json!({"action": {"type": "update", "result": "success"}, "actor": ci, "resource": script}),
            "token terraform-prod changed Worker checkout-edge, by API token",
        ),
        (
            json!({"action": {"type": "create", "description": "Create queue consumer"}, "actor": ci, "resource": queue}),
            "token terraform-prod created queue consumer, by API token",
        ),
        (
            json!({"action": {"type": "login", "result": "failure"}, "actor": ann}),
            "ann@example.com could not sign in, by dashboard, from 198.51.100.128",
        ),
        (
            json!({"action": {"type": "rotate", "description": "Rotate keys"}, "actor": {"type": "system"}, "resource": script}),
            "Cloudflare did \"Rotate keys\" on checkout-edge",
        ),
        (
            json!({"actor": {"token": {"name": "ci"}}}),
            "token ci did \"an unnamed action\"",
        ),
        (json!({}), "an unknown actor did \"an unnamed action\""),
        (json!(null), "an entry that cannot be read"),
    ];
    for (entry, expected) in cases {
        assert_eq!(of(&entry), expected, "{entry}");
    }
}

#[test]
fn long_names_and_control_characters_do_not_spoil_a_sentence() {
    let entry = json!({"action": {"type": "delete"}, "actor": {"email": "a\n\u{1b}[31m".repeat(1_000)}, "resource": {"product": "dns", "id": "x".repeat(1_000_000)}});
    let sentence = of(&entry);
    assert!(sentence.chars().count() < 400, "{}", sentence.len());
    assert!(!sentence.contains(char::is_control));
}

proptest! {
    #[test]
    fn any_text_has_a_sentence(text in ".{0,200}") {
        prop_assert!(!summary(&text, None).is_empty());
    }
}
