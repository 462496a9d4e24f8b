//! Cloudflare's own API over the log: what its clients ask, in its forms, and another orgtrail as a client.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail::position::{Source, SourceKind};
use orgtrail_cloudflare::coverage::{Covered, CoveredState};
use orgtrail_cloudflare::filter::{FILTERS, PRODUCT_CATEGORY};
use orgtrail_cloudflare::product::products_in;
use orgtrail_simulator::SimConfig;
use proptest::prelude::*;
use reqwest::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::access::Guarded;
use crate::fixture_log::{Desk, account};
use crate::harness::{Client, Service, Upstream, configuration};

/// All of a log's time.
const ALWAYS: &str = "since=2000-01-01&before=2100-01-01";

/// A page as a client of Cloudflare's reads it.
#[derive(serde::Deserialize)]
struct Page {
    success: bool,
    errors: Vec<Value>,
    result: Vec<Box<RawValue>>,
    result_info: Value,
}

impl Page {
    fn read(body: &str) -> Self {
        let page: Self = serde_json::from_str(body).unwrap();
        assert!(page.success && page.errors.is_empty(), "{body}");
        let (info, len) = (&page.result_info, page.result.len());
        assert_eq!(info["count"], len.to_string());
        assert_eq!(info["cursor"], info["cursors"]["after"], "{info}");
        assert!(page.cursor().is_empty() || len > 0, "{body}");
        page
    }

    fn cursor(&self) -> &str {
        self.result_info["cursors"]["after"].as_str().unwrap()
    }
}

pub(crate) fn log_path(source: &Source, parameters: &str) -> String {
    format!("/client/v4/{source}/logs/audit?{parameters}")
}

/// A value in a query string.
fn coded(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// All entries of a walk through the pages of a question.
async fn walk(client: &Client, path: &str) -> Vec<String> {
    let (mut entries, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, body) = client.ask(&format!("{path}&cursor={cursor}")).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        let page = Page::read(&body);
        entries.extend(page.result.iter().map(|entry| entry.get().to_owned()));
        if page.cursor().is_empty() {
            return entries;
        }
        cursor = coded(page.cursor());
    }
}

fn client(desk: &Desk) -> Client {
    Client::new(desk.url.clone())
}

/// The value at a dotted path, as filters compare it.
fn value_at(entry: &str, path: &str) -> Option<String> {
    let entry: Value = serde_json::from_str(entry).ok()?;
    match entry.pointer(&format!("/{}", path.replace('.', "/")))? {
        Value::String(text) => Some(text.to_lowercase()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn sorted(mut entries: Vec<String>) -> Vec<String> {
    entries.sort();
    entries
}

/// The entries of a source as they are stored, each id once with its newest content.
fn stored(desk: &Desk, source: &Source) -> Vec<String> {
    let mut events = desk.events();
    events.retain(|event| event.source == *source);
    let ids = events.iter().filter_map(|event| event.id.clone());
    assert_eq!(
        ids.clone().count(),
        ids.collect::<BTreeSet<_>>().len(),
        "the history has revisions, which this test does not know"
    );
    let texts = events.iter().map(|event| event.entry.get().to_owned());
    texts.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_of_cloudflares_keeps_and_drops_what_it_names() {
    let mut desk = Desk::of_history(1_500).await;
    let asked = client(&desk);
    let sources: BTreeSet<Source> = desk
        .events()
        .into_iter()
        .map(|event| event.source)
        .collect();
    let mut tried = 0;
    for source in &sources {
        let all = stored(&desk, source);
        for filter in FILTERS.iter().filter(|filter| filter.is_in(source.kind())) {
            if filter.name == PRODUCT_CATEGORY {
                continue;
            }
            let values: BTreeSet<String> = all
                .iter()
                .filter_map(|entry| value_at(entry, filter.path))
                .filter(|value| !value.is_empty())
                .collect();
            let wanted: Vec<&String> = values.iter().take(2).collect();
            if wanted.is_empty() {
                continue;
            }
            tried += 1;
            let keeps = |entry: &String| {
                value_at(entry, filter.path).is_some_and(|value| wanted.contains(&&value))
            };
            for (not, sense) in [("", true), (".not", false)] {
                let parts = wanted.iter();
                let parts = parts.map(|value| format!("&{}{not}={}", filter.name, coded(value)));
                let path = log_path(
                    source,
                    &format!("{ALWAYS}&limit=1000{}", parts.collect::<String>()),
                );
                let found = sorted(walk(&asked, &path).await);
                let expected: Vec<String> = all
                    .iter()
                    .filter(|entry| keeps(entry) == sense)
                    .cloned()
                    .collect();
                assert_eq!(found, sorted(expected), "{path}");
            }
        }
        let path = log_path(
            source,
            &format!("{ALWAYS}&limit=1000&product_category=ZeroTrust"),
        );
        let found = sorted(walk(&asked, &path).await);
        let in_category = |entry: &&String| {
            source.kind() == SourceKind::Organization
                || value_at(entry, "resource.product")
                    .is_some_and(|product| products_in("zerotrust").any(|name| name == product))
        };
        let expected: Vec<String> = all.iter().filter(in_category).cloned().collect();
        assert_eq!(found, sorted(expected), "{path}");
    }
    assert!(tried > 50, "{tried} filters had values");
    desk.stop().await;
}

pub(crate) fn entry(id: &str, time: &str, rest: &Value) -> String {
    let mut entry = json!({"id": id, "action": {"time": time, "type": "update"}});
    let members = rest.as_object().unwrap().clone();
    entry.as_object_mut().unwrap().extend(members);
    entry.to_string()
}

fn numbered(n: u32) -> String {
    let time = format!("2026-08-03T08:{:02}:{:02}.5Z", n / 60, n % 60);
    entry(&format!("e{n:04}"), &time, &json!({}))
}

fn ids(entries: &[String]) -> Vec<String> {
    let id = |entry: &String| value_at(entry, "id").unwrap_or_default();
    entries.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_in_either_direction_is_of_its_first_page_while_entries_arrive() {
    let mut desk = Desk::new().await;
    let first: Vec<String> = (0..40).map(|n| numbered(n * 2)).collect();
    desk.keep(&account(), &first);
    desk.search_all();
    for direction in ["asc", "desc"] {
        let path = log_path(
            &account(),
            &format!("{ALWAYS}&direction={direction}&limit=7"),
        );
        let held = sorted(walk(&client(&desk), &path).await);
        let (mut entries, mut cursor) = (Vec::new(), String::new());
        loop {
            let (_, body) = desk.ask(&format!("{path}&cursor={cursor}")).await;
            let page = Page::read(&body);
            entries.extend(page.result.iter().map(|entry| entry.get().to_owned()));
            cursor = coded(page.cursor());
            if cursor.is_empty() {
                break;
            }
            let n = entries.len() as u32 * 2 + 1;
            let late = numbered(n + if direction == "asc" { 0 } else { 1_000 });
            desk.keep(&account(), &[late]);
            desk.search_all();
        }
        let mut in_order = ids(&held);
        if direction == "desc" {
            in_order.reverse();
        }
        assert_eq!(ids(&entries), in_order, "{direction}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_cloudflares_envelope() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &[numbered(1)]);
    desk.search_all();
    let log = log_path(&account(), ALWAYS);
    let history =
        "/client/v4/accounts/f00d/logs/audit/e0001/history?since=2026-08-03&before=2026-08-04";
    let cases = [
        (
            "/client/v4/accounts/f00d/logs/audit".to_owned(),
            400,
            "since is required",
        ),
        (format!("{log}&direction=up"), 400, "direction must be"),
        (format!("{log}&limit=0"), 400, "limit must be"),
        (format!("{log}&limit=1001"), 400, "limit must be"),
        (
            format!("{log}&since=yesterday"),
            400,
            "since must be a date",
        ),
        (
            format!("{log}&before=1999-01-01"),
            400,
            "since must be earlier",
        ),
        (format!("{log}&cursor=x"), 400, "cursor"),
        (format!("{log}&actor_email="), 400, "1 to"),
        (format!("{log}&raw_status_code=x"), 400, ""),
        (
            format!("{log}&product_category=cheese"),
            400,
            "not a product category",
        ),
        (history.to_owned(), 400, "action_time is required"),
        (
            format!("{history}&action_time=2026-08-03T09:00:00Z"),
            404,
            "no audit log entry",
        ),
        (
            "/client/v4/accounts/beef/logs/audit".to_owned(),
            404,
            "No route",
        ),
        (
            "/client/v4/organizations/f00d/logs/audit".to_owned(),
            404,
            "No route",
        ),
        (
            "/client/v4/organizations/f00d/accounts".to_owned(),
            404,
            "No route",
        ),
        ("/client/v4/zones".to_owned(), 404, "No route"),
        ("/client/v4".to_owned(), 404, "No route"),
        (format!("{log}&a={}", "x".repeat(20_000)), 400, "too long"),
    ];
    for (path, status, wanted) in cases {
        let (got, body) = desk.ask(&path).await;
        assert_eq!(got.as_u16(), status, "{path}: {body}");
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(told["success"], false, "{body}");
        let message = told["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(wanted), "{path}: {body}");
        assert_eq!(told["errors"][0]["code"].is_null(), status == 400, "{body}");
    }
    let unknown = desk.ask("/client/v4/accounts/beef/logs/audit").await;
    assert_eq!(desk.ask("/client/v4/zones").await, unknown);
    let http = reqwest::Client::new();
    let posted = http
        .post(format!("{}{log}", desk.url))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    let told: Value = posted.json().await.unwrap();
    assert_eq!(told["errors"][0]["code"], 10_405);
    // Outside of `/client/v4` errors keep their own form.
    let (_, body) = desk.ask("/v1/events?nonsense=1").await;
    assert!(body.contains("urn:orgtrail:problem"), "{body}");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_begins_with_since_and_ends_before_before() {
    let mut desk = Desk::new().await;
    let at = |id: &str, time: &str| entry(id, time, &json!({}));
    desk.keep(
        &account(),
        &[
            at("a", "2026-08-02T23:59:59.999999Z"),
            at("b", "2026-08-03T00:00:00Z"),
            at("c", "2026-08-03T02:00:00.000001+02:00"),
            at("d", "2026-08-03T23:59:59.999999Z"),
            at("e", "2026-08-04T00:00:00Z"),
            json!({"id": "no time", "action": {}}).to_string(),
            json!({"action": {"time": "2026-08-03T12:00:00Z"}}).to_string(),
            "7".to_owned(),
        ],
    );
    desk.search_all();
    let walked = async |parameters: &str| {
        let path = log_path(&account(), &format!("{parameters}&direction=asc"));
        let found = walk(&client(&desk), &path).await;
        ids(&found).join(",")
    };
    assert_eq!(walked("since=2026-08-03&before=2026-08-04").await, "b,c,,d");
    let moment = "since=2026-08-03T02:00:00%2B02:00&before=2026-08-03T00:00:00.000001Z";
    assert_eq!(walked(moment).await, "b");
    // What has no time stands where it was received.
    let now = Clock::system().now();
    let around = |moment: DateTime<Utc>| moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let hour = TimeDelta::hours(1);
    let recent = format!("since={}&before={}", around(now - hour), around(now + hour));
    assert_eq!(walked(&recent).await, "no time,");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_comes_once_with_its_newest_revision() {
    let mut desk = Desk::new().await;
    let time = "2026-08-03T08:00:00Z";
    let old = entry("x", time, &json!({"note": "old"}));
    let new = entry("x", time, &json!({"note":  "new"}));
    desk.keep(&account(), &[old, numbered(7)]);
    desk.keep(&account(), std::slice::from_ref(&new));
    desk.search_all();
    let path = log_path(&account(), &format!("{ALWAYS}&direction=asc"));
    assert_eq!(walk(&client(&desk), &path).await, [new, numbered(7)]);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_has_its_own_entry_and_is_found_by_the_second() {
    let mut desk = Desk::new().await;
    let change = |id: &str, time: &str, resource: &str| {
        let resource = json!({"id": resource, "product": "dns", "type": "record"});
        entry(id, time, &json!({"resource": resource}))
    };
    let changes = [
        change("one", "2026-08-03T08:00:00.25Z", "r"),
        change("other", "2026-08-03T08:00:01Z", "q"),
        change("two", "2026-08-05T08:00:00.75Z", "r"),
        entry("nothing", "2026-08-03T09:00:00Z", &json!({})),
    ];
    desk.keep(&account(), &changes);
    desk.search_all();
    let path = |id: &str, time: &str| {
        format!(
            "/client/v4/accounts/f00d/logs/audit/{id}/history?{ALWAYS}&direction=asc&limit=1&action_time={time}"
        )
    };
    for time in ["2026-08-05T08:00:00Z", "2026-08-05T08:00:00.75Z"] {
        let found = walk(&client(&desk), &path("two", time)).await;
        assert_eq!(ids(&found), ["one", "two"], "{time}");
        let told = desk.get(&path("two", time)).await;
        assert_eq!(told["result_info"]["history_status"], "approximate");
    }
    let told = desk.get(&path("nothing", "2026-08-03T09:00:00Z")).await;
    assert_eq!(told["result"], json!([]));
    assert_eq!(told["result_info"]["history_status"], "unavailable");
    let (status, _) = desk.ask(&path("TWO", "2026-08-05T08:00:00Z")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    desk.stop().await;
}

async fn covered(client: &Client, path: &str) -> Covered {
    let answer = reqwest::get(format!("{}{path}", client.url)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let value = answer.headers().get("orgtrail-coverage").unwrap();
    Covered::read(value.to_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_entry_is_left_out_and_its_second_is_not_proven() {
    let mut desk = Desk::new().await;
    let now = Clock::system().now();
    let at = |minutes: i64| now - TimeDelta::minutes(minutes);
    let text = |moment: DateTime<Utc>| moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let entries = [
        entry("a", &text(at(30)), &json!({})),
        entry("b", &text(at(20)), &json!({})),
        entry("c", &text(at(10)), &json!({})),
    ];
    desk.keep(&account(), &entries);
    desk.search_all();
    let asked = client(&desk);
    let window = format!(
        "since={}&before={}&direction=asc",
        text(at(40)),
        text(at(5))
    );
    let path = log_path(&account(), &window);
    let whole = covered(&asked, &path).await;
    assert_eq!(whole.state, CoveredState::Complete);
    assert_eq!(text(whole.until), text(at(5)));
    let db = rusqlite::Connection::open(desk.data_dir().join("orgtrail.db")).unwrap();
    db.execute("UPDATE event SET sha256 = zeroblob(32) WHERE seq = 2", ())
        .unwrap();
    let found = walk(&asked, &format!("{path}&limit=1")).await;
    assert_eq!(ids(&found), ["a", "c"]);
    let left = covered(&asked, &path).await;
    assert_eq!(left.state, CoveredState::Partial);
    assert_eq!(text(left.until), text(at(20)));
    let (since, before) = left.next[0];
    assert_eq!(text(since), text(at(20) + TimeDelta::seconds(1)));
    assert_eq!(text(before), text(at(5)));
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_a_lost_row_is_not_proven_and_none_is_where_it_can_be_of_any_time() {
    let now = Clock::system().now();
    let at = |minutes: i64| now - TimeDelta::minutes(minutes);
    let text = |moment: DateTime<Utc>| moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    // One whose neighbours came with the same page; the same where they came from a file; one without neighbours; and one that
    // was received before a neighbour.
    let received = format!(
        "UPDATE event SET received_us = {}",
        at(95).timestamp_micros()
    );
    for (lost, change, until, next) in [
        (
            &[2][..],
            "",
            at(30),
            Some((at(10) + TimeDelta::seconds(1), at(5))),
        ),
        (&[2], "INSERT INTO imported VALUES (1, 3)", at(40), None),
        (&[1, 2], "", at(40), None),
        (&[1, 2], &received, at(40), Some((at(35), at(5)))),
    ] {
        let mut desk = Desk::new().await;
        let entries = [30, 20, 10].map(|n| entry(&n.to_string(), &text(at(n)), &json!({})));
        desk.keep(&account(), &entries);
        let db = rusqlite::Connection::open(desk.data_dir().join("orgtrail.db")).unwrap();
        db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        for seq in lost {
            db.execute("DELETE FROM event WHERE seq = ?1", [seq])
                .unwrap();
            db.execute(
                "INSERT INTO damaged (seq, problem, found_us) VALUES (?1, 'row_missing', 0)",
                [seq],
            )
            .unwrap();
        }
        db.execute_batch(change).unwrap();
        // The index does not know them either.
        desk.search_all();
        let window = format!(
            "since={}&before={}&direction=asc",
            text(at(40)),
            text(at(5))
        );
        let left = covered(&client(&desk), &log_path(&account(), &window)).await;
        assert_eq!(left.state, CoveredState::Partial);
        assert_eq!(text(left.until), text(until), "{lost:?}");
        let texts = |(since, before)| (text(since), text(before));
        let named: Vec<_> = left.next.into_iter().map(texts).collect();
        assert_eq!(named, Vec::from_iter(next.map(texts)), "{lost:?} {change}");
        desk.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_searchable_yet_is_not_proven() {
    let mut desk = Desk::new().await;
    let now = Clock::system().now();
    let at = |minutes: i64| now - TimeDelta::minutes(minutes);
    let text = |moment: DateTime<Utc>| moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    desk.keep(&account(), &[entry("a", &text(at(30)), &json!({}))]);
    desk.search_all();
    desk.keep(&account(), &[entry("b", &text(at(20)), &json!({}))]);
    let window = format!("since={}&before={}", text(at(40)), text(at(5)));
    let path = log_path(&account(), &window);
    let asked = client(&desk);
    let behind = covered(&asked, &path).await;
    assert_eq!(behind.state, CoveredState::Partial);
    assert_eq!((text(behind.until), behind.next), (text(at(20)), vec![]));
    // An event outside of the window is not missed in it.
    let window = format!("since={}&before={}", text(at(40)), text(at(25)));
    let before_it = covered(&asked, &log_path(&account(), &window)).await;
    assert_eq!(before_it.state, CoveredState::Complete);
    desk.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]
    #[test]
    fn a_walk_gives_exactly_what_its_filters_mean(
        given in prop::collection::vec((0..3_usize, 0..3_usize, 0..50_u32), 1..40),
        questions in prop::collection::vec((0..4_usize, 0..4_usize, 0..50_u32, 1..50_u32, 1..6_usize, any::<bool>()), 6),
    ) {
        const TYPES: [&str; 3] = ["create", "update", "delete"];
        let entries: Vec<String> = given.iter().enumerate().map(|(n, (kind, product, second))| {
            json!({
                "id": format!("e{n}"),
                "action": {"time": format!("2026-08-03T08:00:{second:02}Z"), "type": TYPES[*kind]},
                "resource": {"product": format!("p{product}")},
            }).to_string()
        }).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut desk = Desk::new().await;
            desk.keep(&account(), &entries);
            desk.search_all();
            for (kind, not_product, since, span, limit, ascending) in questions {
                let before = since + span;
                let mut parameters = format!(
                    "since=2026-08-03T08:00:{since:02}Z&before=2026-08-03T08:{:02}:{:02}Z&limit={limit}&direction={}",
                    before / 60, before % 60, if ascending { "asc" } else { "desc" }
                );
                if let Some(kind) = TYPES.get(kind) {
                    parameters += &format!("&action_type={kind}&action_type=view");
                }
                if not_product < 3 {
                    parameters += &format!("&resource_product.not=P{not_product}");
                }
                let found = walk(&client(&desk), &log_path(&account(), &parameters)).await;
                let keeps = |(k, p, s): &(usize, usize, u32)| {
                    (kind == 3 || *k == kind) && *p != not_product && *s >= since && *s < before
                };
                let mut expected: Vec<(u32, usize)> = given.iter().enumerate()
                    .filter(|(_, one)| keeps(one)).map(|(n, one)| (one.2, n)).collect();
                expected.sort_unstable();
                if !ascending {
                    expected.reverse();
                }
                let expected: Vec<&String> = expected.iter().map(|(_, n)| &entries[*n]).collect();
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{parameters}");
            }
            desk.stop().await;
        });
    }
}

/// All events of a service: source, id, revision, bytes.
async fn events_of(service: &Client) -> BTreeSet<(String, String, u64, String)> {
    let (status, body) = service.ask("/v1/export?format=ndjson&order=asc").await;
    assert_eq!(status, StatusCode::OK);
    let event = |line: &str| {
        #[derive(serde::Deserialize)]
        struct Event {
            source: String,
            id: Option<String>,
            revision: u64,
            entry: Box<RawValue>,
        }
        let event: Event = serde_json::from_str(line).unwrap();
        let entry = event.entry.get().to_owned();
        (
            event.source,
            event.id.unwrap_or_default(),
            event.revision,
            entry,
        )
    };
    body.lines().map(event).collect()
}

async fn upstream() -> Upstream {
    Upstream::new(SimConfig {
        events: 3_000,
        accounts: 3,
        days: 30,
        ..SimConfig::default()
    })
    .await
}

/// The configuration of an orgtrail that polls another one.
fn second_configuration(upstream: &Upstream, first: &Client, dir: &std::path::Path) -> String {
    let organization = upstream.simulator.organization_id();
    let sources = format!("[[organizations]]\nid = \"{organization}\"");
    let base_url = format!("{}/client/v4", first.url);
    configuration(dir, &base_url, &sources).replace("40d", "35d")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_orgtrail_polls_another_and_ends_with_the_same_events() {
    let upstream = upstream().await;
    let n_sources = upstream.simulator.sources().len();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Service::start(&upstream.configuration(dirs[0].path())).await;
    let held = first.settle(n_sources).await;
    let second = Service::start(&second_configuration(&upstream, &first, dirs[1].path())).await;
    second.settle(n_sources).await;
    second
        .until("/readyz", |ready| {
            ready["index"]["searchable"].as_u64() >= Some(held)
        })
        .await;
    let (ours, theirs) = (events_of(&first).await, events_of(&second).await);
    let missing: Vec<_> = ours.difference(&theirs).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    let strange: Vec<_> = theirs
        .difference(&events_of(&first).await)
        .cloned()
        .collect();
    assert!(strange.is_empty(), "{strange:#?}");
    second.stop().await.unwrap();
    first.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orgtrail_seals_no_more_than_the_one_it_polls_has_proven() {
    let upstream = upstream().await;
    let n_sources = upstream.simulator.sources().len();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // The first has only read the last ten days.
    let short = upstream.configuration(dirs[0].path()).replace("40d", "10d");
    let first = Service::start(&short).await;
    first.settle(n_sources).await;
    let second = Service::start(&second_configuration(&upstream, &first, dirs[1].path())).await;
    let recent = "/v1/coverage?since=now-9d&before=now-1d";
    let no_gap = |answer: &Value| {
        let sources = answer["sources"].as_array().unwrap();
        sources.len() == n_sources && sources.iter().all(|source| source["gaps"] == json!([]))
    };
    second.until(recent, no_gap).await;
    let old = second
        .get("/v1/coverage?since=now-30d&before=now-11d")
        .await;
    for source in old["sources"].as_array().unwrap() {
        assert_eq!(source["intervals"], json!([]), "{source:#}");
    }
    // The first reads the rest, and the second follows.
    first.stop().await.unwrap();
    let first = Service::start(&upstream.configuration(dirs[0].path())).await;
    first.settle(n_sources).await;
    second.stop().await.unwrap();
    // It asks for it again with its next sweep, which is due at once here.
    let sweeping = second_configuration(&upstream, &first, dirs[1].path())
        .replace("backfill_since", "sweeps = [\"1s\"]\nbackfill_since");
    let second = Service::start(&sweeping).await;
    second.settle(n_sources).await;
    second
        .until("/v1/coverage?since=now-30d&before=now-1d", no_gap)
        .await;
    // What was read is not searchable at once.
    second
        .until("/readyz", |ready| {
            ready["index"]["searchable"] == ready["index"]["held"]
        })
        .await;
    let (ours, theirs) = (events_of(&first).await, events_of(&second).await);
    let missing: Vec<_> = ours.difference(&theirs).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    second.stop().await.unwrap();
    first.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_that_the_polled_orgtrail_cannot_prove_is_the_only_gap() {
    let upstream = upstream().await;
    let n_sources = upstream.simulator.sources().len();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = Service::start(&upstream.configuration(dirs[0].path())).await;
    first.settle(n_sources).await;
    // One entry in the middle of its history is damaged on its disk.
    let db = rusqlite::Connection::open(dirs[0].path().join("data/orgtrail.db")).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    let middle = Clock::system().now() - TimeDelta::days(15);
    let (seq, source): (u64, String) = db
        .query_row(
            "SELECT seq, (SELECT name FROM source WHERE id = source) FROM event
             WHERE time_us < ?1 ORDER BY time_us DESC LIMIT 1",
            [middle.timestamp_micros()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    for sql in [
        "UPDATE event SET sha256 = zeroblob(32) WHERE seq = ?1",
        "INSERT INTO damaged (seq, problem, found_us) VALUES (?1, 'hash_mismatch', 0)",
    ] {
        db.execute(sql, [seq]).unwrap();
    }
    let second = Service::start(&second_configuration(&upstream, &first, dirs[1].path())).await;
    let is_whole_but_for_a_second = |answer: &Value| {
        let sources = answer["sources"].as_array().unwrap();
        let span = |gap: &Value| {
            let at = |name: &str| {
                gap[name]
                    .as_str()
                    .unwrap()
                    .parse::<DateTime<Utc>>()
                    .unwrap()
            };
            at("before") - at("since")
        };
        sources.len() == n_sources
            && sources.iter().all(|one| {
                let gaps = one["gaps"].as_array().unwrap();
                match one["source"] == json!(source) {
                    true => gaps.len() == 1 && span(&gaps[0]) <= TimeDelta::seconds(2),
                    false => gaps.is_empty(),
                }
            })
    };
    second
        .until(
            "/v1/coverage?since=now-30d&before=now-1d",
            is_whole_but_for_a_second,
        )
        .await;
    second.stop().await.unwrap();
    first.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_and_members_are_listed_as_last_read() {
    let upstream = upstream().await;
    let n_sources = upstream.simulator.sources().len();
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(n_sources).await;
    let organization = upstream.simulator.organization_id();
    let base = format!("/client/v4/organizations/{organization}");
    let theirs = async |path: &str| -> Value {
        let path = path.strip_prefix("/client/v4").unwrap();
        let url = format!("{}{path}", upstream.base_url);
        let request = reqwest::Client::new().get(url).bearer_auth("any-token");
        request.send().await.unwrap().json().await.unwrap()
    };
    for (list, members) in [
        ("accounts", &["id", "name"][..]),
        ("members", &["id", "status", "user"]),
    ] {
        let path = format!("{base}/{list}?page_size=1000");
        service
            .until(&format!("/v1/{list}"), |answer| answer[list] != json!([]))
            .await;
        let told = |answer: &Value| -> BTreeSet<String> {
            let items = answer["result"].as_array().unwrap().iter();
            let item = |item: &Value| members.iter().map(|name| item[name].to_string()).collect();
            items.map(item).collect()
        };
        let ours = service.get(&path).await;
        assert_eq!(told(&ours), told(&theirs(&path).await), "{list}");
        let total = ours["result_info"]["total_size"].as_u64().unwrap() as usize;
        let (mut walked, mut token) = (0, String::new());
        loop {
            let page = service
                .get(&format!("{base}/{list}?page_size=2&page_token={token}"))
                .await;
            walked += page["result"].as_array().unwrap().len();
            match page["result_info"]["next_page_token"].as_str() {
                Some(next) => token = coded(next),
                None => break,
            }
        }
        assert_eq!(walked, total, "{list}");
    }
    let account = service.get(&format!("{base}/accounts")).await["result"][0].clone();
    let id = account["id"].as_str().unwrap();
    assert_eq!(
        service.get(&format!("/client/v4/accounts/{id}")).await["result"],
        account
    );
    let verified = service.get("/client/v4/user/tokens/verify").await;
    assert_eq!(verified["result"]["status"], "active");
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_not_read_yet_is_not_answered() {
    let mut desk = Desk::new().await;
    let organization = Source::organization("0a").unwrap();
    desk.keep(&organization, &[]);
    for list in ["accounts", "members"] {
        let answer = desk
            .open(&format!("/client/v4/organizations/0a/{list}"))
            .await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told["success"], false, "{told}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_ask_is_told_so_in_cloudflares_envelope() {
    let guarded = Guarded::start("[http.limits]\nrequests_per_minute = 2\n").await;
    let path = "/client/v4/user/tokens/verify";
    let ask = async |token: &str| {
        let answer = guarded.get(path).bearer_auth(token).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told["success"], status == StatusCode::OK, "{told}");
        (status.as_u16(), told["errors"][0]["code"].clone(), headers)
    };
    let (status, code, headers) = ask("otr_nonsense").await;
    assert_eq!((status, code), (401, json!(1000)));
    assert!(headers.contains_key("www-authenticate"));
    let (status, code, _) = ask(&guarded.token("export").1).await;
    assert_eq!((status, code), (403, json!(10_000)));
    let (_, token) = guarded.token("search");
    assert_eq!(ask(&token).await.0, 200);
    assert_eq!(ask(&token).await.0, 200);
    let (status, code, headers) = ask(&token).await;
    assert_eq!((status, code), (429, json!(971)));
    assert!(headers.contains_key("retry-after"));
    guarded.service.stop().await.unwrap();
}
