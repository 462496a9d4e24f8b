//! A log of hostile entries, asked on every route, by GET and by form, in every form of export, and under `/client/v4`: each
//! answer is what its content type says, and none is an error of the service.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use orgtrail::clock::Clock;
use orgtrail::position::Source;
use orgtrail::store::{AccountList, SourceSeen};
use orgtrail_cloudflare::member::Member;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;
use url::form_urlencoded::byte_serialize;

use crate::fixture_log::{Desk, account};
use crate::hostile::{IDS, KEYS, NUMBERS, corpus};
use crate::scoped::{routes_in_the_code, takes_forms};

/// Every route, and what is asked there. `{seq}` is each event's place, `{text}` each hostile text, `{day}` the range that has the entries.
const ROUTES: [(&str, &[&str]); 55] = [
    ("/", &["/"]),
    ("/healthz", &["/healthz"]),
    ("/readyz", &["/readyz"]),
    ("/metrics", &["/metrics"]),
    ("/openapi.json", &["/openapi.json"]),
    ("/docs", &["/docs"]),
    ("/v1/me", &["/v1/me"]),
    (
        "/v1/access-log",
        &["/v1/access-log?limit=1000", "/v1/access-log?cursor={text}"],
    ),
    ("/v1/holds", &["/v1/holds"]),
    ("/v1/session", &[]),
    (
        "/v1/events/{seq}/proof",
        &["/v1/events/{seq}/proof", "/v1/events/{text}/proof"],
    ),
    ("/log/checkpoint", &["/log/checkpoint"]),
    (
        "/log/tile/{path}",
        &["/log/tile/0/000", "/log/tile/{text}", "/log/tile/0/{text}"],
    ),
    ("/log/previous", &["/log/previous"]),
    (
        "/log/statements/checkpoint",
        &["/log/statements/checkpoint"],
    ),
    (
        "/log/statements/tile/{path}",
        &["/log/statements/tile/{text}"],
    ),
    (
        "/v1/events",
        &[
            "/v1/events?limit=1000&order=asc",
            "/v1/events?limit=1000&revision=latest&highlight=true&q=marker* OR 7",
            "/v1/events?limit=20&count=true&facet=id&facet=n&histogram=auto&histogram_by=id",
            "/v1/events?limit=1000&fields=x,note,n,action",
            "/v1/events?q={text}&limit=5&highlight=true",
            "/v1/events?q=n:{text}&limit=5&count=true",
            "/v1/events?q=id:{text}&limit=5",
            "/v1/events?fields={text}&limit=3",
            "/v1/events?facet={text}&limit=0",
            "/v1/events?limit=0&histogram=1h&histogram_by={text}",
            "/v1/events?cursor={text}",
            "/v1/events?source={text}",
            "/v1/events?since={text}",
        ],
    ),
    (
        "/v1/events/stream",
        &[
            "/v1/events/stream?last_event_id=x",
            "/v1/events/stream?q={text}&last_event_id=x",
        ],
    ),
    (
        "/v1/events/{seq}",
        &["/v1/events/{seq}", "/v1/events/{seq}?fields=x,n,action"],
    ),
    (
        "/v1/events/{seq}/history",
        &[
            "/v1/events/{seq}/history",
            "/v1/events/{seq}/history?around=true&order=desc&limit=2",
        ],
    ),
    ("/v1/events/{seq}/diff", &["/v1/events/{seq}/diff"]),
    (
        "/v1/events/{seq}/around",
        &[
            "/v1/events/{seq}/around",
            "/v1/events/{seq}/around?by=actor",
            "/v1/events/{seq}/around?by=resource&within=1000d",
            "/v1/events/{seq}/around?by=token",
            "/v1/events/{seq}/around?by=ip",
        ],
    ),
    (
        "/v1/count",
        &[
            "/v1/count",
            "/v1/count?q={text}",
            "/v1/count?q=x.{text}:*",
            "/v1/count?q=n:[{text} TO *]",
        ],
    ),
    (
        "/v1/facets",
        &[
            "/v1/facets?field=n&field=note&size=1000",
            "/v1/facets?field=list&size=1000",
            "/v1/facets?field=id&field=raw.status_code&field=action.time&field=problem",
            "/v1/facets?field={text}&sort=rare",
            "/v1/facets?field=x.{text}&exclude_own=true",
        ],
    ),
    (
        "/v1/histogram",
        &[
            "/v1/histogram?interval=auto",
            "/v1/histogram?interval=1d&by=n",
            "/v1/histogram?by={text}",
        ],
    ),
    (
        "/v1/fields",
        &[
            "/v1/fields",
            "/v1/fields?prefix={text}",
            "/v1/fields?limit=1000",
        ],
    ),
    (
        "/v1/fields/{name}/values",
        &[
            "/v1/fields/n/values?size=1000",
            "/v1/fields/note/values?contains=marker",
            "/v1/fields/{text}/values",
            "/v1/fields/id/values?prefix={text}",
            "/v1/fields/list/values?contains={text}&sort=rare",
        ],
    ),
    ("/v1/actors/{value}", &["/v1/actors/{text}"]),
    ("/v1/tokens/{value}", &["/v1/tokens/{text}"]),
    ("/v1/ips/{value}", &["/v1/ips/{text}"]),
    ("/v1/resources/{value}", &["/v1/resources/{text}"]),
    ("/v1/parse", &["/v1/parse?q={text}", "/v1/parse?q=n:{text}"]),
    ("/v1/sources", &["/v1/sources"]),
    (
        "/v1/alerts",
        &[
            "/v1/alerts?limit=1000",
            "/v1/alerts?rule={text}",
            "/v1/alerts?since={text}",
            "/v1/alerts?cursor={text}",
        ],
    ),
    (
        "/v1/alerts/stream",
        &[
            "/v1/alerts/stream?last_event_id=x",
            "/v1/alerts/stream?level={text}",
            "/v1/alerts/stream?rule={text}&last_event_id=x",
        ],
    ),
    (
        "/v1/alerts/feed.atom",
        &[
            "/v1/alerts/feed.atom?rule={text}",
            "/v1/alerts/feed.atom?key={text}",
        ],
    ),
    (
        "/v1/alerts/feed.json",
        &[
            "/v1/alerts/feed.json?rule={text}",
            "/v1/alerts/feed.json?key={text}",
        ],
    ),
    ("/v1/alerts/{id}", &["/v1/alerts/{text}"]),
    ("/v1/rules", &["/v1/rules"]),
    (
        "/v1/coverage",
        &[
            "/v1/coverage",
            "/v1/coverage?merged=true",
            "/v1/coverage?source={text}",
            "/v1/coverage?since={text}",
        ],
    ),
    ("/v1/members", &["/v1/members", "/v1/members?limit={text}"]),
    ("/v1/accounts", &["/v1/accounts"]),
    (
        "/v1/searches",
        &["/v1/searches?limit=1000", "/v1/searches?cursor={text}"],
    ),
    ("/v1/searches/{id}", &[]),
    (
        "/v1/export",
        &[
            "/v1/export",
            "/v1/export?format=csv",
            "/v1/export?format=csv&order=asc&q=note:* OR x:*",
            "/v1/export?fields=x,n,note",
            "/v1/export?format=csv&q={text}",
            "/v1/export?q=n:{text}",
        ],
    ),
    (
        "/client/v4/organizations/{id}/logs/audit",
        &["/client/v4/organizations/beef/logs/audit?{day}&limit=1000"],
    ),
    (
        "/client/v4/accounts/{id}/logs/audit",
        &[
            "/client/v4/accounts/f00d/logs/audit?{day}&limit=1000",
            "/client/v4/accounts/f00d/logs/audit?{day}&limit=7&direction=asc",
            "/client/v4/accounts/f00d/logs/audit?{day}&limit=3&cursor={text}",
            "/client/v4/accounts/f00d/logs/audit?{day}&limit=3&cursor=a~{text}",
            "/client/v4/accounts/f00d/logs/audit?{day}&limit=3&actor_email={text}",
            "/client/v4/accounts/f00d/logs/audit?{day}&limit=3&raw_status_code={text}",
            "/client/v4/accounts/f00d/logs/audit?since={text}&before={text}",
        ],
    ),
    (
        "/client/v4/organizations/{id}/logs/audit/{entry}/history",
        &["/client/v4/organizations/beef/logs/audit/{text}/history?{day}&action_time={time}"],
    ),
    (
        "/client/v4/accounts/{id}/logs/audit/{entry}/history",
        &[
            "/client/v4/accounts/f00d/logs/audit/id{seq}/history?{day}&action_time={time}",
            "/client/v4/accounts/f00d/logs/audit/{text}/history?{day}&action_time={time}",
        ],
    ),
    (
        "/client/v4/accounts/{id}/logs/audit/product_categories",
        &["/client/v4/accounts/f00d/logs/audit/product_categories"],
    ),
    (
        "/client/v4/organizations/{id}/accounts",
        &["/client/v4/organizations/beef/accounts?per_page=50"],
    ),
    (
        "/client/v4/organizations/{id}/members",
        &[
            "/client/v4/organizations/beef/members",
            "/client/v4/organizations/beef/members?page_token={text}",
        ],
    ),
    (
        "/client/v4/organizations/{id}/members/{member}",
        &["/client/v4/organizations/beef/members/{text}"],
    ),
    (
        "/client/v4/accounts/{id}",
        &["/client/v4/accounts/{text}", "/client/v4/accounts/f00d"],
    ),
    (
        "/client/v4/user/tokens/verify",
        &["/client/v4/user/tokens/verify"],
    ),
];

/// What is asked for in place of `{text}`.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = NUMBERS
        .iter()
        .chain(&IDS)
        .map(ToString::to_string)
        .collect();
    for key in KEYS {
        let text: String =
            serde_json::from_str(&format!("\"{key}\"")).unwrap_or_else(|_| key.to_owned());
        texts.push(text);
    }
    let more = [
        "=1+1",
        "-1",
        "~",
        "~1_1.1_1",
        "%",
        "%00",
        "*",
        "?",
        "/(a|b)*/",
        "\"",
        "(",
        "NOT",
        "[* TO *]",
        "a:b:c",
        "\u{202e}",
        "k:k:k",
        "9223372036854775808",
        "-9223372036854775809",
        "0x1",
        "NaN",
        "Infinity",
        "2026-02-30",
        "now/x",
        "::1/200",
        "x.x",
    ];
    texts.extend(more.map(ToOwned::to_owned));
    texts.push("k".repeat(900));
    texts.push("x.".repeat(200));
    texts.push("é".repeat(3_000));
    texts
}

/// A log of the corpus in an account and an organization, with lists of hostile names.
async fn hostile_desk(time: DateTime<Utc>) -> (Desk, u64) {
    let mut desk = Desk::new().await;
    let corpus = corpus(&time.to_rfc3339());
    let entries: Vec<String> = corpus.into_iter().map(|(_, body)| body).collect();
    desk.keep(&account(), &entries);
    let organization = Source::organization("beef").unwrap();
    desk.keep(&organization, &entries[..20]);
    let now = Clock::system().now();
    let seen = |source: Source, label: &str| SourceSeen {
        source,
        organization: Some("beef".to_owned()),
        label: Some(label.to_owned()),
        created_at: None,
    };
    let sources = [
        seen(account(), "=HYPERLINK(\"x\")\u{0}\n\u{202e}"),
        seen(Source::account("dead").unwrap(), ""),
    ];
    let list = AccountList {
        organization: "beef",
        accounts: &sources,
        is_complete: true,
        began_at: now,
        by_themselves: &HashSet::new(),
    };
    desk.store.save_accounts(&list, now).unwrap();
    let member = |id: &str, text: &str| Member {
        id: id.to_owned(),
        user_id: Some(text.to_owned()),
        email: Some(text.to_owned()),
        name: Some(text.to_owned()),
        status: Some(text.to_owned()),
        two_factor: None,
        joined_at: None,
    };
    let members = [
        member("m1", "\u{0}\"\\\u{1f}"),
        member("..", ""),
        member("a b/ü?#%00", "é"),
    ];
    desk.store
        .save_members("beef", &members, true, now)
        .unwrap();
    desk.search_all();
    let events = desk.events().len() as u64;
    (desk, events)
}

fn coded(text: &str) -> String {
    // Also in a path, where `+` is no space.
    byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// The requests that a pattern stands for.
fn requests(pattern: &str, events: u64, time: DateTime<Utc>) -> Vec<String> {
    let second =
        |moment: DateTime<Utc>| coded(&moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    let (since, before) = (
        second(time - TimeDelta::hours(1)),
        second(time + TimeDelta::hours(1)),
    );
    let pattern = pattern
        .replace("{day}", &format!("since={since}&before={before}"))
        .replace("{time}", &second(time))
        .replace(' ', "%20");
    if pattern.contains("{seq}") {
        return (0..=events)
            .map(|seq| pattern.replace("{seq}", &seq.to_string()))
            .collect();
    }
    if pattern.contains("{text}") {
        // Every second text, from the first or the second on, so that it does not take too long.
        let first = pattern.len() % 2;
        let some = texts().into_iter().skip(first).step_by(2);
        return some
            .map(|text| pattern.replace("{text}", &coded(&text)))
            .collect();
    }
    vec![pattern]
}

/// Sends a request; checks that its answer is none of a service that failed, and is what it says it is.
async fn check(request: RequestBuilder, what: &str) -> (StatusCode, String) {
    let answer = request
        .send()
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let status = answer.status();
    let kind = answer
        .headers()
        .get(CONTENT_TYPE)
        .map(|kind| kind.to_str().unwrap().to_owned());
    let kind = kind.unwrap_or_default();
    let body = answer
        .bytes()
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let body = String::from_utf8(body.to_vec()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let shown: String = body.chars().take(500).collect();
    // On a busy machine a costly question may meet its limit of time, which is no failure of the service.
    let is_cut_off = status == StatusCode::SERVICE_UNAVAILABLE && body.contains("was cut off");
    assert!(
        !status.is_server_error() || is_cut_off,
        "{what}: {status} {shown}"
    );
    match kind.split(';').next().unwrap_or_default() {
        "application/json" | "application/problem+json" => is_json(&body, what),
        "application/atom+xml" | "application/feed+json" => {
            let feed = feed_rs::parser::parse(body.as_bytes());
            assert!(feed.is_ok(), "{what}: {feed:?}");
        }
        "application/x-ndjson" => body.lines().for_each(|line| is_json(line, what)),
        "text/csv" => {
            let mut rows = csv::Reader::from_reader(body.as_bytes());
            assert!(rows.headers().unwrap().len() > 6, "{what}");
            rows.records()
                .for_each(|row| assert!(row.is_ok(), "{what}: {row:?}"));
        }
        "text/html" | "text/plain" | "application/openmetrics-text" => {}
        "" => assert!(body.is_empty(), "{what}: {shown}"),
        other => panic!("{what}: {other}"),
    }
    (status, body)
}

/// Any depth of JSON, numbers of any length and halves of characters are JSON.
fn is_json(text: &str, what: &str) {
    let read = serde_json::from_str::<&RawValue>(text);
    assert!(read.is_ok(), "{what}: {read:?}");
}

#[test]
fn every_route_is_asked_of_hostile_entries() {
    let asked: BTreeSet<String> = ROUTES
        .iter()
        .map(|(route, _)| (*route).to_owned())
        .collect();
    assert_eq!(asked, routes_in_the_code());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_fails_over_hostile_entries_or_questions() {
    let time = Clock::system().now() - TimeDelta::minutes(1);
    let (mut desk, events) = hostile_desk(time).await;
    let http = reqwest::Client::new();
    let mut answered = 0_u64;
    for (route, patterns) in ROUTES {
        let all = patterns.iter();
        let all = all.flat_map(|pattern| requests(pattern, events, time));
        for (n, request) in all.enumerate() {
            let url = format!("{}{request}", desk.url);
            let (status, _) = check(http.get(&url), &request).await;
            answered += u64::from(status.is_success());
            let Some((path, form)) = url
                .split_once('?')
                .filter(|_| takes_forms(route) && n % 3 == 0)
            else {
                continue;
            };
            let by_form = http.post(path).body(form.to_owned());
            let by_form = by_form.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            let (same, _) = check(by_form, &format!("POST {request}")).await;
            if !status.is_server_error() && !same.is_server_error() {
                assert_eq!(status, same, "{request}");
            }
        }
    }
    // Most hostile texts are no question; each event is shown, as a whole and in parts.
    assert!(answered > 2 * events, "{answered} of {events} events");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_entry_is_in_each_form_of_export_and_on_the_pages_of_cloudflares_api() {
    let time = Clock::system().now() - TimeDelta::minutes(1);
    let (mut desk, events) = hostile_desk(time).await;
    let http = reqwest::Client::new();
    let get = async |path: &str| check(http.get(format!("{}{path}", desk.url)), path).await.1;
    let lines = get("/v1/export").await;
    assert_eq!(lines.lines().count() as u64, events);
    let csv = get("/v1/export?format=csv").await;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names = reader.headers().unwrap().clone();
    let column = names.iter().position(|name| name == "sha256").unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len() as u64, events);
    // By its hash each row can be compared with the entry as it was received.
    let in_rows: BTreeSet<String> = rows.iter().map(|row| row[column].to_owned()).collect();
    let in_lines = lines.lines().map(|line| {
        #[derive(serde::Deserialize)]
        struct Hashed {
            sha256: String,
        }
        serde_json::from_str::<Hashed>(line).unwrap().sha256
    });
    assert_eq!(in_rows, in_lines.collect());
    // One that is no object, or has no time of its own, is in the page that has the time at which it was received.
    for (source, most) in [("accounts/f00d", events - 20), ("organizations/beef", 20)] {
        let path = format!("/client/v4/{source}/logs/audit?{{day}}&limit=7&direction=asc");
        let path = &requests(&path, 0, time)[0];
        let (mut entries, mut cursor) = (0, String::new());
        loop {
            #[derive(serde::Deserialize)]
            struct Page<'p> {
                #[serde(borrow)]
                result: Vec<&'p RawValue>,
                #[serde(borrow)]
                result_info: &'p RawValue,
            }
            let body = get(&format!("{path}&cursor={cursor}")).await;
            let page: Page<'_> = serde_json::from_str(&body).unwrap();
            entries += page.result.len() as u64;
            let info: serde_json::Value = serde_json::from_str(page.result_info.get()).unwrap();
            let next = info["cursor"].as_str().unwrap_or_default();
            if next.is_empty() {
                break;
            }
            cursor = coded(next);
        }
        // Entries with one id are one.
        assert!(
            entries <= most && entries > most / 2,
            "{source}: {entries} of {most}"
        );
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_searches_and_sessions_are_refused_or_kept_as_they_are() {
    let time = Clock::system().now() - TimeDelta::minutes(1);
    let (mut desk, _) = hostile_desk(time).await;
    let http = reqwest::Client::new();
    let searches = format!("{}/v1/searches", desk.url);
    for text in texts() {
        for body in [
            json!({"name": text, "q": "note:*"}),
            json!({"name": "n", "q": text}),
            json!({"name": "n", "state": text}),
            json!({text.clone(): "n"}),
        ] {
            let (status, answer) = check(http.post(&searches).json(&body), &body.to_string()).await;
            if status == StatusCode::CREATED {
                let saved: serde_json::Value = serde_json::from_str(&answer).unwrap();
                assert_eq!(saved["q"], body["q"], "{body}");
                assert_eq!(saved["state"], body["state"], "{body}");
            }
        }
        let raw = http
            .post(&searches)
            .header(CONTENT_TYPE, "application/json")
            .body(text.clone());
        check(raw, &text).await;
        let one = format!("{searches}/{}", coded(&text));
        for method in [Method::DELETE, Method::GET, Method::PATCH] {
            check(http.request(method, &one), &one).await;
        }
        let session = http.post(format!("{}/v1/session", desk.url));
        check(session.json(&json!({"token": text})), &text).await;
    }
    check(http.get(format!("{searches}?limit=1000")), "all searches").await;
    desk.stop().await;
}
