//! Every answer against the reference's over the entries: counts by value and by time, profiles, histories, exports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use orgtrail::event::AuditEvent;
use orgtrail::field::{self, FIELDS, Origin};
use orgtrail::query::parse;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};
use crate::reference::{Entry, counted_values, matches, now};

/// Entries that nobody would expect, and that must be counted all the same.
fn strange_entries() -> Vec<String> {
    let at = |second: u32| format!("2026-08-03T08:00:{second:02}Z");
    let mut entries = [
        json!({"id":"s1","action":{"time":at(1),"type":["create","DELETE","create"]},"actor":{"email":"MiXeD@Example.com"},
            "resource":{"request":{"list":[{"Name":"A"},{"name":"a"},{"name":"b"},7,true,null,""]}}}),
        json!({"id":"s2","action":{"time":at(2),"type":{"deep":{"er":"x"}}},"actor":{"ip_address":"2001:DB8:0::1"},
            "raw":{"status_code":"0404"},"resource":{"scope":{"kind":"zones"},"request":"plain text"}}),
        json!({"id":"s3","action":{"time":"never"},"actor":{"ip_address":"::ffff:192.0.2.1","email":7},"raw":{"status_code":404.5}}),
        json!(["not", "an", "object"]),
        json!({"id":"s4","action":{"time":"0001-01-01T00:00:00Z"},"actor":{"email":"mixed@example.COM","token_name":"=1+1"}}),
        json!({"id":"s5","action":{"time":at(59)},"resource":{"request":{"": "empty name", "a.b": {"c": "dotted"}}}}),
    ]
    .iter()
    .map(Value::to_string)
    .collect::<Vec<_>>();
    entries.push(r#"{"id":"s6","action":{"time":"2026-08-03T08:00:03Z","type":"Create","type":"view"},"a":"x"}"#.into());
    entries
}

async fn desk() -> Desk {
    with_strange_entries(Desk::of_history_on_both_engines(500).await)
}

fn with_strange_entries(mut desk: Desk) -> Desk {
    desk.keep(&account(), &strange_entries());
    desk.search_all();
    desk
}

/// Every event, laid out for the reference.
fn entries(desk: &Desk) -> Vec<Entry> {
    desk.events().into_iter().map(Entry::of).collect()
}

/// The different values that an event has of a field, as they are counted and given back.
fn values_of(entry: &Entry, name: &str) -> BTreeSet<String> {
    let before = match field::by_name(name) {
        Some(field) if field.kind != field::Kind::Any => String::new(),
        _ => format!("{name}\u{1f}"),
    };
    let values = counted_values(entry, name);
    values
        .iter()
        .map(|value| shortened(&before, value))
        .collect()
}

/// A value as it is given back when, with its path before it, it is very long: its beginning and its hash.
fn shortened(before: &str, value: &str) -> String {
    let term = format!("{before}{value}");
    if term.len() <= 256 {
        return value.to_owned();
    }
    let hash = orgtrail::event::sha256(term.as_bytes());
    let hex: String = hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept = &term[before.len()..term.floor_char_boundary(128)];
    format!("{kept}…{hex}")
}

/// The most frequent values, counted plainly.
fn counted<'e>(
    entries: impl IntoIterator<Item = &'e Entry>,
    name: &str,
    size: usize,
) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for entry in entries {
        for value in values_of(entry, name) {
            *counts.entry(value).or_default() += 1;
        }
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    ranked.truncate(size);
    ranked
}

fn ranked(values: &Value) -> Vec<(String, u64)> {
    let values = values.as_array().unwrap().iter();
    values
        .map(|found| {
            let value = found["value"].as_str().unwrap().to_owned();
            (value, found["count"].as_u64().unwrap())
        })
        .collect()
}

/// A question, and whether it means an event, as the reference says.
type Meant = (String, Box<dyn Fn(&Entry) -> bool>);

fn questions(entries: &[Entry]) -> Vec<Meant> {
    let email = values_of(&entries[0], "actor.email").pop_first();
    let email = email.unwrap_or_else(|| "mixed@example.com".into());
    let (since, before) = ("2026-08-03T08:00:01Z", "2026-11-01T00:00:00Z");
    let moment = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let (first, end) = (moment(since), moment(before));
    let is_meant = |text: &str| {
        let query = parse(text, now()).unwrap();
        move |entry: &Entry| matches(&query, entry)
    };
    let by_email = format!("actor.email:{email}");
    let of_source = format!("source:{}", account());
    let is_deleted = is_meant("action.type:delete");
    vec![
        (String::new(), Box::new(is_meant("*"))),
        (format!("q={by_email}"), Box::new(is_meant(&by_email))),
        (
            "q=action.type:delete".into(),
            Box::new(is_meant("action.type:delete")),
        ),
        (
            format!("since={since}&before={before}"),
            Box::new(move |entry| (first..end).contains(&entry.event.ordered_at())),
        ),
        (
            format!("source={}", account()),
            Box::new(is_meant(&of_source)),
        ),
        (
            format!("q=action.type:delete&before={before}"),
            Box::new(move |entry| is_deleted(entry) && entry.event.ordered_at() < end),
        ),
        (
            "q=nothing-has-this".into(),
            Box::new(is_meant("nothing-has-this")),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_counted_exactly_for_every_field_and_path() {
    // So many values that the engine in memory would take minutes; `engine_vs_reference` counts values on both.
    let desk = with_strange_entries(Desk::of_history(500).await);
    let events = entries(&desk);
    let known = desk.get("/v1/fields").await;
    // `first_seen` is known when the detection has read the log: see `first_seen.rs`.
    let fields = FIELDS.iter().filter(|field| field.origin != Origin::Log);
    let mut names: Vec<String> = fields.map(|field| field.name.to_owned()).collect();
    let paths: Vec<String> = serde_json::from_value(known["paths"].clone()).unwrap();
    assert_eq!(known["fields"].as_array().unwrap().len(), FIELDS.len());

    // Every path that an entry has is listed, and no other.
    let table: BTreeSet<&str> = FIELDS
        .iter()
        .filter(|field| field.kind != field::Kind::Any && field.origin == Origin::Entry)
        .map(|field| field.name)
        .collect();
    let texts = events.iter().flat_map(Entry::texts);
    let expect: BTreeSet<String> = texts
        .filter(|(path, text)| !table.contains(path) && !text.is_empty())
        .map(|(path, _)| path.to_owned())
        .collect();
    assert_eq!(paths, expect.into_iter().collect::<Vec<_>>());
    names.extend(
        paths
            .into_iter()
            .filter(|path| !path.is_empty() && field::by_name(path).is_none()),
    );

    for (question, is_meant) in questions(&events) {
        let meant: Vec<&Entry> = events.iter().filter(|event| is_meant(event)).collect();
        for some in names.chunks(20) {
            let fields: String = some.iter().fold(String::new(), |mut all, name| {
                write!(all, "&field={}", encoded(name)).unwrap();
                all
            });
            let answer = desk
                .get(&format!("/v1/facets?{question}{fields}&size=500"))
                .await;
            for name in some {
                let facet = &answer["facets"][name];
                let found = ranked(&facet["values"]);
                let mut expect = counted(meant.iter().copied(), name, usize::MAX);
                assert_eq!(facet["distinct"], expect.len(), "{name} of {question:?}");
                let missing = meant
                    .iter()
                    .filter(|event| values_of(event, name).is_empty());
                assert_eq!(facet["missing"], missing.count(), "{name} of {question:?}");
                let other = expect.split_off(expect.len().min(500));
                let other: u64 = other.iter().map(|(_, count)| count).sum();
                assert_eq!(facet["other"], other, "{name} of {question:?}");
                assert_eq!(found, expect, "{name} of {question:?}");
            }
        }
        let count = desk.get(&format!("/v1/count?{question}")).await["count"].clone();
        assert_eq!(count, meant.len());
    }
    let found = desk
        .get("/v1/fields/action.type/values?prefix=DE&size=3")
        .await;
    let mut expect = counted(&events, "action.type", 1_000);
    expect.retain(|(value, _)| value.starts_with("de"));
    assert_eq!(ranked(&found["values"]), expect);
    let found = desk.get("/v1/fields?prefix=actor.").await;
    assert_eq!(found["fields"].as_array().unwrap().len(), 17);
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_are_counted_exactly_in_every_time_zone() {
    let desk = desk().await;
    let events = entries(&desk);
    for zone in [Tz::UTC, Tz::Europe__Berlin, Tz::America__St_Johns] {
        for (question, is_meant) in questions(&events) {
            let since = "2026-08-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
            let given = question.contains("since=");
            let question = if given {
                question
            } else {
                format!("{question}&since=2026-08-01")
            };
            let path = format!("/v1/histogram?{question}&interval=1d&tz={}", zone.name());
            let answer = desk.get(&path).await;
            let mut expect: BTreeMap<NaiveDate, u64> = BTreeMap::new();
            for event in &events {
                let at = event.event.ordered_at();
                if is_meant(event) && (given || at >= since) {
                    *expect
                        .entry(at.with_timezone(&zone).date_naive())
                        .or_default() += 1;
                }
            }
            let mut found: BTreeMap<NaiveDate, u64> = BTreeMap::new();
            let mut next: Option<NaiveDate> = None;
            for bucket in answer["buckets"].as_array().unwrap() {
                let time: DateTime<Utc> = bucket["time"].as_str().unwrap().parse().unwrap();
                let local = time.with_timezone(&zone);
                assert_eq!(local.time(), chrono::NaiveTime::MIN, "{path}");
                assert!(
                    next.is_none_or(|next| next == local.date_naive()),
                    "a hole in {path}"
                );
                next = local.date_naive().succ_opt();
                let count = bucket["count"].as_u64().unwrap();
                if count > 0 {
                    found.insert(local.date_naive(), count);
                }
            }
            assert_eq!(found, expect, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_and_the_interval_that_fits_hold_everything() {
    let desk = desk().await;
    let total = desk.store.head().0;
    let sum = |answer: &Value| -> u64 {
        let buckets = answer["buckets"].as_array().unwrap().iter();
        buckets
            .map(|bucket| bucket["count"].as_u64().unwrap())
            .sum()
    };
    let all = desk.get("/v1/histogram").await;
    // One event is of the year 1: it is in a stretch of its own.
    assert_eq!(sum(&all), total);
    let interval = all["interval"].as_str().unwrap();
    assert!(["1d", "7d"].contains(&interval), "{interval}");
    let first = &all["buckets"][0];
    assert_eq!(first["time"], "0001-01-01T00:00:00Z");
    assert_eq!(first["count"], 1);
    let recent = "since=2026-08-01&before=2026-12-31";
    let inside = desk.get(&format!("/v1/count?{recent}")).await["count"]
        .as_u64()
        .unwrap();
    for interval in ["auto", "1h", "6h", "7d", "30d"] {
        let answer = desk
            .get(&format!("/v1/histogram?{recent}&interval={interval}"))
            .await;
        assert_eq!(sum(&answer), inside, "{interval}");
        assert_eq!(answer["tz"], "UTC");
    }
    let none = desk.get("/v1/histogram?q=nothing-has-this").await;
    assert_eq!(none["buckets"], json!([]));
    let empty = desk
        .get("/v1/histogram?since=2026-01-01&before=2026-01-04&interval=1d")
        .await;
    let day = |n| json!({"time": format!("2026-01-0{n}T00:00:00Z"), "end": format!("2026-01-0{}T00:00:00Z", n + 1), "count": 0});
    assert_eq!(empty["buckets"], json!([day(1), day(2), day(3)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_and_what_is_counted_beside_it_are_of_one_snapshot() {
    let mut desk = desk().await;
    let question = "q=action.type:create";
    let beside = "count=true&facet=actor.email&facet=resource.product&facet_size=5&histogram=1d&tz=Asia/Tokyo";
    let ask = format!("/v1/events?{question}&limit=10&{beside}");
    let first = desk.get(&ask).await;
    let facets = desk
        .get(&format!(
            "/v1/facets?{question}&field=actor.email&field=resource.product&size=5"
        ))
        .await;
    let ask_alone = format!("/v1/histogram?{question}&interval=1d&tz=Asia/Tokyo");
    let histogram = desk.get(&ask_alone).await;
    assert_eq!(first["facets"], facets["facets"]);
    assert_eq!(first["histogram"]["buckets"], histogram["buckets"]);
    assert_eq!(
        first["count"],
        desk.get(&format!("/v1/count?{question}")).await["count"]
    );

    // What arrives later is neither on later pages nor counted beside them.
    let late = r#"{"id":"late","action":{"time":"2026-08-03T08:00:00Z","type":"create"},"actor":{"email":"late@example.com"}}"#;
    desk.keep(&account(), &[late.to_owned()]);
    desk.search_all();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = desk.get(&format!("{ask}&cursor={cursor}")).await;
    for counted in ["count", "facets", "histogram"] {
        assert_eq!(second[counted], first[counted], "{counted}");
    }
    let bare = desk.get("/v1/events?limit=1").await;
    assert!(
        ["count", "facets", "histogram"]
            .iter()
            .all(|key| bare[*key] == Value::Null)
    );
    assert!(bare.as_object().unwrap().contains_key("facets"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_leads_to_everything_it_was_seen_with() {
    let desk = desk().await;
    let events = entries(&desk);
    let lists = [
        ("actions", "action.type"),
        ("products", "resource.product"),
        ("actors", "actor.email"),
        ("addresses", "actor.ip_address"),
        ("tokens", "actor.token_id"),
        ("user_agents", "raw.user_agent"),
        ("accounts", "account.id"),
    ];
    for (route, fields) in [
        ("actors", &["actor.email", "actor.id"][..]),
        ("tokens", &["actor.token_id"]),
        ("ips", &["actor.ip_address"]),
        ("resources", &["resource.id"]),
    ] {
        for name in fields {
            let with_it = |event: &&Entry| !values_of(event, name).is_empty();
            let value = values_of(events.iter().rfind(with_it).unwrap(), name)
                .pop_first()
                .unwrap();
            let is_it = |event: &&Entry| {
                fields
                    .iter()
                    .any(|field| values_of(event, field).contains(&value))
            };
            let meant: Vec<&Entry> = events.iter().filter(is_it).collect();
            let answer = desk
                .get(&format!("/v1/{route}/{}?size=100", encoded(&value)))
                .await;
            assert_eq!(answer["count"], meant.len(), "{route} {value}");
            for (list, field) in lists {
                let expect = counted(meant.iter().copied(), field, 100);
                assert_eq!(ranked(&answer[list]), expect, "{list} of {route} {value}");
            }
            let times = meant.iter().map(|entry| entry.event.ordered_at());
            let seen = |key: &str| {
                answer[key]
                    .as_str()
                    .unwrap()
                    .parse::<DateTime<Utc>>()
                    .unwrap()
            };
            assert_eq!(seen("first_seen"), times.clone().min().unwrap());
            assert_eq!(seen("last_seen"), times.max().unwrap());
        }
    }
    let nobody = desk.get("/v1/actors/nobody@example.com").await;
    assert_eq!(
        (nobody["count"].as_u64(), nobody["first_seen"].clone()),
        (Some(0), Value::Null)
    );

    // Around one event: the same actor, not longer before or after than asked.
    let event = events
        .iter()
        .rfind(|event| !values_of(event, "actor.email").is_empty())
        .unwrap();
    let ask = format!(
        "/v1/events/{}/around?by=actor&within=3d&limit=1000",
        event.event.seq
    );
    let answer = desk.get(&ask).await;
    let near = |other: &&Entry| {
        let span = (other.event.ordered_at() - event.event.ordered_at()).abs();
        let same = |field| !values_of(event, field).is_disjoint(&values_of(other, field));
        span <= chrono::TimeDelta::days(3) && (same("actor.email") || same("actor.id"))
    };
    let near = events.iter().filter(near);
    let mut expect: Vec<&AuditEvent> = near.map(|entry| &entry.event).collect();
    expect.sort_by_key(|event| std::cmp::Reverse((event.ordered_at(), event.seq)));
    let expect: Vec<u64> = expect.iter().map(|event| event.seq.0).collect();
    let found = answer["events"].as_array().unwrap().iter();
    assert_eq!(
        found
            .map(|event| event["seq"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        expect
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_tells_its_history_and_what_changed() {
    let mut desk = Desk::on_both_engines().await;
    let change = |second: u32, kind: &str, request: Value| {
        json!({"id": format!("c{second}"), "action": {"time": format!("2026-08-03T08:00:{second:02}Z"), "type": kind},
            "resource": {"id": "R1", "product": "workers", "request": request}})
        .to_string()
    };
    // The second to happen arrives last; another product's, another resource, and the same in another log, are not this one's.
    let entries = [
        change(1, "create", json!({"name": "www", "ttl": 300, "tags": ["a", "b"]})),
        change(3, "update", json!({"name": "www", "ttl": 60, "proxied": true})),
        change(4, "delete", Value::Null),
        change(5, "create", json!({"name": "www"})),
        json!({"id":"p","action":{"time":"2026-08-03T08:00:02Z"},"resource":{"id":"R1","product":"dns","request":{"ttl":1}}}).to_string(),
        json!({"id":"x","action":{"time":"2026-08-03T08:00:02Z"},"resource":{"id":"R2","request":{"ttl":1}}}).to_string(),
        change(2, "update", json!({"name": "www", "ttl": 3600, "tags": ["b"]})),
    ];
    desk.keep(&account(), &entries);
    let other = orgtrail::position::Source::account("beef").unwrap();
    desk.keep(&other, &[change(6, "update", json!({"ttl": 2}))]);
    desk.search_all();
    let whole = desk.get("/v1/events/2/history").await;
    assert_eq!(
        whole["found_by"],
        json!({"source": account().to_string(), "resource.id": "R1", "resource.product": "workers"})
    );
    let told: Vec<Value> = whole["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| json!({"id": change["event"]["id"], "diff": change["diff"]}))
        .collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&told).unwrap());

    // Page by page it is the same, the first difference of a page included.
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = desk
            .get(&format!("/v1/events/2/history?limit=2{cursor}"))
            .await;
        paged.extend(page["changes"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(Value::from(paged), whole["changes"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_the_whole_answer_in_order() {
    let desk = desk().await;
    let events = entries(&desk);
    for (question, is_meant) in questions(&events) {
        for order in ["desc", "asc"] {
            let meant = events.iter().filter(|event| is_meant(event));
            let mut expect: Vec<&AuditEvent> = meant.map(|entry| &entry.event).collect();
            expect.sort_by_key(|event| (event.ordered_at(), event.seq));
            if order == "desc" {
                expect.reverse();
            }
            let expect: Vec<AuditEvent> = expect.into_iter().cloned().collect();
            let expect = orgtrail::people::with_known_people(
                &desk.store,
                &orgtrail::engine::Scope::everything(),
                expect,
            )
            .unwrap();
            let lines: Vec<String> = expect
                .iter()
                .map(|event| {
                    serde_json::to_string(event)
                        .unwrap()
                        .replace(['\n', '\r'], " ")
                })
                .collect();
            let (_, body) = desk
                .ask(&format!("/v1/export?{question}&order={order}"))
                .await;
            assert_eq!(body.lines().collect::<Vec<_>>(), lines, "{question}");
        }
    }
    let (_, body) = desk.ask("/v1/export?format=csv&order=asc").await;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(false)
        .from_reader(body.as_bytes());
    assert_eq!(&reader.headers().unwrap()[0], "seq");
    let mut seqs: Vec<u64> = Vec::new();
    for row in reader.records() {
        let row = row.unwrap();
        assert!(
            row.iter()
                .all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r'])),
            "{row:?}"
        );
        seqs.push(row[0].parse().unwrap());
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
    assert!(body.contains("'=1+1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_question_for_numbers_is_said_with_its_place() {
    let mut desk = Desk::on_both_engines().await;
    desk.keep(&account(), &strange_entries());
    desk.search_all();
    let mut told = String::new();
    for request in [
        "/v1/facets",
        "/v1/facets?field=actor.mail",
        "/v1/facets?field=resource.request.list.name&size=0",
        "/v1/facets?field=id&size=1001",
        "/v1/facets?field=id&limit=7",
        "/v1/fields/actor.mail/values",
        "/v1/histogram?interval=7h",
        "/v1/histogram?interval=hour",
        "/v1/histogram?interval=1m&since=2000-01-01&before=2020-01-01",
        "/v1/histogram?tz=Berlin",
        "/v1/events?facet=nothing.here",
        "/v1/events?facet=email",
        "/v1/events?q=time:%3Enow-1d",
        "/v1/events?facet_size=3",
        "/v1/events?tz=Nowhere",
        "/v1/events?histogram=1m&since=2000-01-01&before=2020-01-01",
        "/v1/events?count=yes",
        "/v1/events/1/around?by=colour",
        "/v1/events/1/around?by=token",
        "/v1/events/1/around?by=actor&within=soon",
        "/v1/events/1/history",
        "/v1/events/99/history",
        "/v1/export?format=xml",
        "/v1/export?q=actor.mail:x",
        "/v1/events/stream?last_event_id=99",
        "/v1/events/stream?last_event_id=x",
        "/v1/events/stream?order=asc",
        "/v1/actors/x?size=many",
        "/v1/events/1?source=accounts/a",
        "/v1/sources?source=accounts/a",
        "/v1/actors/%FF",
        "/v1/events/%FF",
        "/v1/events/%FF/history",
        "/v1/fields/%FF/values",
    ] {
        let (status, body) = desk.ask(request).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        let parameter = problem["parameter"]
            .as_str()
            .map_or(String::new(), |name| format!(" {name}"));
        let detail = problem["detail"].as_str().unwrap();
        writeln!(
            told,
            "{request}\n    {}{parameter}: {detail}",
            status.as_u16()
        )
        .unwrap();
    }
    insta::assert_snapshot!(told);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_with_many_values_is_read_once_for_all_their_labels() {
    let mut desk = Desk::new().await;
    let values: Vec<String> = (0..1_000).map(|i| format!("Value-{i:03}")).collect();
    // The values come last: whoever looks for one reads all the numbers.
    let numbers = vec!["7"; 200_000].join(",");
    let values = json!(values);
    let entry = format!(
        r#"{{"id":"x","action":{{"time":"2026-08-03T08:00:00Z"}},"resource":{{"request":{{"n":[{numbers}],"v":{values}}}}}}}"#
    );
    desk.keep(&account(), &[entry]);
    desk.search_all();
    let begun = std::time::Instant::now();
    let answer = desk
        .get("/v1/facets?field=resource.request.v&size=1000")
        .await;
    // Read once for each value, it would take minutes.
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    let found = answer["facets"]["resource.request.v"]["values"]
        .as_array()
        .unwrap();
    assert_eq!(found.len(), 1_000);
    for value in found {
        let label = value["label"].as_str().unwrap();
        assert!(label.starts_with("Value-"), "{label}");
        assert_eq!(value["value"], label.to_lowercase());
    }
    desk.stop().await;
}
