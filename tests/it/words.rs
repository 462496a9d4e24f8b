//! How people write values, words and times, and how answers spell them.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// A desk with some entries that people would look for.
async fn desk() -> Desk {
    let mut desk = Desk::on_both_engines().await;
    let entry = |n: u32, description: &str, agent: &str, email: &str| {
        json!({"id": format!("e{n}"),
            "action": {"time": format!("2026-08-0{n}T23:30:00Z"), "type": "update", "description": description, "result": "success"},
            "actor": {"email": email, "token_name": "CI Deploy", "ip_address": "2001:DB8::1"},
            "raw": {"user_agent": agent, "status_code": 200},
            "resource": {"id": "dns", "type": "dns_record", "request": {"note": "a dns", "zone": "DNS", "ttl": 300}}})
        .to_string()
    };
    let entries = [
        entry(1, "Create DNS record", "terraform/1.9.2 (linux)", "Alice@Example.com"),
        entry(2, "dns", "curl/8.5.0", "bob@example.com"),
        entry(3, "Add member", "terraform-provider", "Alice@Example.com"),
        json!({"id": "odd", "action": {"time": "yesterday"}, "actor": {"ip_address": "300.1.2.3"}, "raw": {"status_code": "abc"}})
            .to_string(),
    ];
    desk.keep(&account(), &entries);
    desk.search_all();
    desk
}

async fn count(desk: &Desk, parameter: &str, value: &str) -> u64 {
    let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let told = desk.get(&format!("/v1/count?{parameter}={value}")).await;
    told["count"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_text_fields_are_found_without_quotes() {
    let mut desk = desk().await;
    for (query, expect) in [
        ("action.description:dns", 2),
        ("action.description:\"dns\"", 1),
        ("action.description:DNS\\ record", 0),
        ("action.description:Create\\ dns\\ record", 1),
        ("action.description:record\\ dns", 0),
        ("action.description:rec*", 1),
        ("action.description:(dns OR member)", 3),
        ("-action.description:dns", 2),
        ("raw.user_agent:terraform", 2),
        ("raw.user_agent:terraform/1.9.2", 0),
        ("raw.user_agent:terraform/1.9.2*", 1),
        ("raw.user_agent:\"terraform\"", 0),
        ("raw.user_agent:terra*", 2),
        ("actor.token_name:deploy", 3),
        ("actor.token_name:ci\\-deploy", 0),
        // These are no running text.
        ("actor.email:alice", 0),
        ("action.type:up", 0),
        ("resource.request.note:dns", 0),
        // What is wrong upstream is found by its looks, and by being there.
        ("actor.ip_address:300*", 1),
        ("raw.status_code:/[a-z]+/", 1),
        ("action.time:yester*", 1),
        ("actor.ip_address:*", 4),
    ] {
        assert_eq!(count(&desk, "q", query).await, expect, "{query}");
    }
    let fields = desk.get("/v1/fields").await;
    let fields = fields["fields"].as_array().unwrap();
    let with_words: Vec<&str> = fields
        .iter()
        .filter(|field| field["words"] == true)
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    assert!(with_words.contains(&"action.description"), "{with_words:?}");
    assert!(with_words.contains(&"raw.user_agent"), "{with_words:?}");
    assert!(fields.iter().all(|field| field["words"].is_boolean()));
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_an_entry_is_asked_for_by_whole_values_and_words_of_text() {
    let mut desk = desk().await;
    for (parameter, value, expect) in [
        ("actor", "alice@example.com", 2),
        ("actor", "deploy", 3),
        ("actor", "2001:db8:0:0::1", 3),
        ("actor", "alice", 0),
        ("action", "member", 1),
        ("action", "UPDATE", 3),
        ("action", "2026-08-02T23:30:00.000Z", 1),
        ("resource", "dns", 3),
        ("resource", "A DNS", 3),
        ("resource", "3e2", 3),
        ("resource", "record", 0),
    ] {
        assert_eq!(
            count(&desk, parameter, value).await,
            expect,
            "{parameter}={value}"
        );
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counted_values_have_a_label_as_an_event_spells_them() {
    let mut desk = desk().await;
    let told = desk
        .get("/v1/facets?field=actor.email&field=actor.ip_address&field=raw.status_code&field=resource.request.zone&field=source")
        .await;
    assert_eq!(
        told["facets"],
        json!({
            "actor.email": {"values": [
                {"value": "alice@example.com", "label": "Alice@Example.com", "count": 2},
                {"value": "bob@example.com", "label": "bob@example.com", "count": 1},
            ], "missing": 1, "distinct": 2, "other": 0},
            "actor.ip_address": {"values": [
                {"value": "2001:db8::1", "label": "2001:DB8::1", "count": 3},
                {"value": "300.1.2.3", "label": "300.1.2.3", "count": 1},
            ], "missing": 0, "distinct": 2, "other": 0},
            "raw.status_code": {"values": [
                {"value": "200", "label": "200", "count": 3},
                {"value": "abc", "label": "abc", "count": 1},
            ], "missing": 0, "distinct": 2, "other": 0},
            "resource.request.zone": {"values": [
                {"value": "dns", "label": "DNS", "count": 3},
            ], "missing": 1, "distinct": 1, "other": 0},
            "source": {"values": [
                {"value": account().to_string(), "label": account().to_string(), "count": 4},
            ], "missing": 0, "distinct": 1, "other": 0},
        })
    );
    // The label is of an event that is meant.
    let told = desk
        .get("/v1/facets?field=action.description&q=action.description:%22dns%22")
        .await;
    assert_eq!(
        told["facets"]["action.description"]["values"],
        json!([{"value": "dns", "label": "dns", "count": 1}])
    );
    let profile = desk.get("/v1/actors/alice@example.com").await;
    assert_eq!(profile["actors"][0]["label"], "Alice@Example.com");
    let page = desk.get("/v1/events?facet=actor.token_name&limit=0").await;
    assert_eq!(
        page["facets"]["actor.token_name"]["values"][0]["label"],
        "CI Deploy"
    );
    assert_eq!(page["events"], json!([]));
    let values = desk.get("/v1/fields/actor.email/values?prefix=al").await;
    assert_eq!(values["values"][0]["label"], "Alice@Example.com");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_written_alike_everywhere_and_dates_are_of_a_zone() {
    let mut desk = Desk::on_both_engines().await;
    let now = orgtrail::clock::Clock::system().now();
    let entry = |hours: i64| {
        let time = (now - chrono::TimeDelta::hours(hours)).to_rfc3339();
        json!({"id": format!("h{hours}"), "action": {"time": time}}).to_string()
    };
    let mut entries: Vec<String> = [1, 25, 49, 24 * 8].map(entry).into();
    entries.push(json!({"id": "summer", "action": {"time": "2026-03-28T23:30:00Z"}}).to_string());
    desk.keep(&account(), &entries);
    desk.search_all();
    let n =
        async |question: &str| desk.get(&format!("/v1/count?{question}")).await["count"].clone();
    for since in ["2d", "now-2d", "48h", "now-48h"] {
        assert_eq!(n(&format!("since={since}")).await, 2, "{since}");
        assert_eq!(
            n(&format!("q=action.time:%3E%3D{since}")).await,
            2,
            "{since}"
        );
        assert_eq!(
            n(&format!("q=action.time:[{since}%20TO%20now]")).await,
            2,
            "{since}"
        );
    }
    assert_eq!(n("since=7d&before=1d").await, 2);
    assert_eq!(n("since=2026-03-29&before=2026-03-30").await, 0);
    let berlin = "since=2026-03-29&before=2026-03-30&tz=Europe/Berlin";
    assert_eq!(n(berlin).await, 1);
    assert_eq!(n("q=action.time:2026-03-29&tz=Europe/Berlin").await, 1);
    assert_eq!(n("q=action.time:2026-03-29").await, 0);
    // A later page means the same moment by `2d` as the first.
    let first = desk.get("/v1/events?since=2d&limit=1").await;
    let next = first["next_cursor"].as_str().unwrap();
    let second = desk
        .get(&format!("/v1/events?since=2d&limit=1&cursor={next}"))
        .await;
    assert_eq!(second["events"][0]["id"], "h25");
    assert_eq!(second["next_cursor"], Value::Null);
    let coverage = desk
        .get("/v1/coverage?since=7d&before=now/d&tz=Europe/Berlin")
        .await;
    assert!(coverage["sources"].is_array(), "{coverage}");
    // A page of nothing is followed by what it follows.
    let none = desk
        .get(&format!("/v1/events?since=2d&limit=0&cursor={next}"))
        .await;
    assert_eq!(none["next_cursor"], next);
    // Without saying what they have in common, all events around one are meant.
    let around = desk.get("/v1/events/1/around?within=25h").await;
    assert_eq!(around["events"].as_array().unwrap().len(), 2);
    assert_eq!(
        desk.get("/v1/events/1/around?by=all&within=25h").await["events"],
        around["events"]
    );
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_long_numbers_in_a_parameter_are_an_error_of_that_parameter() {
    // Only Tantivy compiles them to automata, and needs memory for it.
    let mut desk = Desk::new().await;
    let numbers = (0..30).map(|n| format!("resource={}{:02}", "9".repeat(1_899), n));
    let numbers: Vec<String> = numbers.collect();
    let (status, body) = desk.ask(&format!("/v1/count?{}", numbers.join("&"))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["parameter"], "resource", "{body}");
    assert_eq!(problem["at"], Value::Null, "{body}");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_should_not_occur_are_found_in_quotes() {
    let mut desk = desk().await;
    let odd = [
        json!({"id": "zone", "action": {"time": "tomorrow"}, "actor": {"ip_address": "fe80::1%eth0"}}),
        json!({"id": "span", "action": {"time": "7d"}, "actor": {"ip_address": "10.0.0.0/99"}}),
    ];
    desk.keep(&account(), &odd.map(|entry| entry.to_string()));
    desk.search_all();
    for (query, expect) in [
        ("actor.ip_address:\"300.1.2.3\"", 1),
        ("actor.ip_address:\"FE80::1%eth0\"", 1),
        ("actor.ip_address:\"10.0.0.0/99\"", 1),
        ("actor.ip_address:\"10.0.0.300\"", 0),
        ("actor.ip_address:(\"300.1.2.3\" OR 2001:db8::1)", 4),
        ("-actor.ip_address:\"300.1.2.3\"", 5),
        ("raw.status_code:\"ABC\"", 1),
        ("action.time:\"yesterday\"", 1),
        ("action.time:\"7d\"", 1),
        // An address, a number and a time in any spelling; no network and no day.
        ("actor.ip_address:\"2001:db8:0::1\"", 3),
        ("actor.ip_address:2001:db8::/32", 3),
        ("actor.ip_address:\"2001:db8::/32\"", 0),
        ("raw.status_code:\"200.0\"", 3),
        ("action.time:\"2026-08-02T01:30:00+02:00\"", 1),
        ("action.time:2026-08-01", 1),
        ("action.time:\"2026-08-01\"", 0),
        ("action.time:[\"2026-08-01\" TO \"2026-08-02\"]", 2),
        ("action.time:\"now/d\"", 0),
    ] {
        assert_eq!(count(&desk, "q", query).await, expect, "{query}");
    }
    // What facets list can be asked for.
    for field in ["actor.ip_address", "raw.status_code", "action.time"] {
        let listed = desk.get(&format!("/v1/facets?field={field}")).await;
        let values = listed["facets"][field]["values"].as_array().unwrap();
        assert!(!values.is_empty(), "{listed}");
        for value in values {
            let query = format!("{field}:\"{}\"", value["value"].as_str().unwrap());
            assert_eq!(count(&desk, "q", &query).await, value["count"], "{query}");
        }
    }
    for query in [
        "actor.ip_address:300.1.2.3",
        "actor.ip_address:10.0.0.0/99",
        "raw.status_code:abc",
        "action.time:yesterday",
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let (status, body) = desk.ask(&format!("/v1/count?q={encoded}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
        assert!(body.contains("in quotes"), "{query}: {body}");
    }
    // What orgtrail itself says has no such values.
    for query in ["source:\"zones/1\"", "actor.known.two_factor:\"perhaps\""] {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let (status, body) = desk.ask(&format!("/v1/count?q={encoded}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
        assert!(!body.contains("in quotes"), "{query}: {body}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_with_marks_and_apostrophes_are_found_without_quotes() {
    let mut desk = Desk::on_both_engines().await;
    let entry = |n: usize, name: &str| {
        json!({"id": n.to_string(), "actor": {"token_name": name}}).to_string()
    };
    let names = [
        "मेरी हिन्दी कुंजी",
        "Zoe\u{308}'s key",
        "Please don't use",
        "a‿b key",
        "my_key one",
    ];
    let entries: Vec<String> = (0..).zip(names).map(|(n, name)| entry(n, name)).collect();
    desk.keep(&account(), &entries);
    desk.search_all();
    for (query, expect) in [
        ("actor.token_name:हिन्दी", 1),
        ("actor.token_name:कुंजी", 1),
        ("actor.token_name:zoe\u{308}", 1),
        ("actor.token_name:Zoe\u{308}'s", 1),
        ("actor.token_name:DON'T", 1),
        ("actor.token_name:don’t", 1),
        ("actor.token_name:\"don't\"", 0),
        ("actor.token_name:t'don", 0),
        // These join words to one value.
        ("actor.token_name:my_key", 0),
        ("actor.token_name:a‿b", 0),
        ("actor.token_name:don/t", 0),
        ("actor.token_name:don't\\ use", 0),
    ] {
        assert_eq!(count(&desk, "q", query).await, expect, "{query}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_parameter_takes_any_letter_case() {
    let mut desk = desk().await;
    let source = account().to_string();
    assert_eq!(count(&desk, "source", &source).await, 4);
    let spelled = source
        .replace("accounts", "Accounts")
        .replace("f00d", "F00D");
    assert_ne!(spelled, source);
    assert_eq!(count(&desk, "source", &spelled).await, 4);
    assert_eq!(count(&desk, "q", &format!("source:{spelled}")).await, 4);
    desk.stop().await;
}
