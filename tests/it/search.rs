//! What a search page sees: questions, pages, and what is said when a question is wrong.

use std::fmt::Write as _;

use chrono::TimeDelta;
use orgtrail::clock::Clock;
use orgtrail_simulator::SimConfig;
use reqwest::StatusCode;
use serde_json::Value;

use crate::fixture_log::Desk;
use crate::harness::{Service, Upstream, raw_entries};

async fn small_world() -> (Upstream, tempfile::TempDir, Service) {
    let config = SimConfig {
        events: 1_500,
        accounts: 2,
        days: 30,
        ..SimConfig::default()
    };
    let upstream = Upstream::new(config).await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    assert_eq!(service.settle(3).await, 1_500);
    (upstream, dir, service)
}

/// The `seq` of a question's events, page by page, while `between` happens between pages.
async fn walk(service: &Service, question: &str, between: impl FnMut()) -> Vec<u64> {
    walk_pages(
        async |path: &str| service.get(path).await,
        question,
        between,
    )
    .await
}

/// The same, with the pages that `get` answers.
async fn walk_pages(
    get: impl AsyncFn(&str) -> Value,
    question: &str,
    mut between: impl FnMut(),
) -> Vec<u64> {
    let mut places = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(&format!("/v1/events?limit=37&{question}{cursor}")).await;
        places.extend(
            page["events"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|event| event["seq"].as_u64()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return places,
        }
        between();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_what_was_held_at_the_first_one_while_entries_arrive() {
    let (upstream, _dir, service) = small_world().await;
    let clock = Clock::system();
    let source = upstream.simulator.sources().remove(1);
    for order in ["desc", "asc"] {
        let held = service.get("/readyz").await["index"]["held"]
            .as_u64()
            .unwrap();
        let mut n = 0;
        let places = walk(&service, &format!("order={order}"), || {
            n += 1;
            // Some of them happened long ago: in the middle of what is being walked.
            let time = clock.now() - TimeDelta::days(n % 2 * 12);
            let text = time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            let entry = format!(r#"{{"id":"{order}-{n}","action":{{"time":"{text}"}}}}"#);
            upstream
                .simulator
                .publish(&source, &entry, clock.now(), clock.now());
        })
        .await;
        let mut sorted = places.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            (1..=held).collect::<Vec<_>>(),
            "each event held at the first page, once"
        );
        service
            .until("/readyz", |ready| {
                ready["index"]["searchable"].as_u64() >= Some(held + 20)
            })
            .await;
    }
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_what_a_walk_finds_and_filters_narrow() {
    let mut desk = Desk::of_history_on_both_engines(600).await;
    let events = desk.events();
    let sources = events.iter().map(|event| event.source.to_string());
    let account = sources.max().unwrap();
    let newest = desk.get("/v1/events?limit=1").await["events"][0].clone();
    let email = newest["entry"]["actor"]["email"]
        .as_str()
        .unwrap_or("terraform")
        .to_owned();
    let questions = [
        String::new(),
        "q=dns".to_owned(),
        format!("actor={email}"),
        "action=delete".to_owned(),
        "action=delete&action=create".to_owned(),
        "resource=workers&action=update".to_owned(),
        format!("source={account}"),
        "since=2020-01-01&before=2100-01-01T00:00:00Z".to_owned(),
        "q=action.result:failure".to_owned(),
    ];
    let mut counts = Vec::new();
    for question in &questions {
        let count = desk.count(question).await;
        let walked = walk_pages(async |path: &str| desk.get(path).await, question, || {}).await;
        assert_eq!(walked.len() as u64, count, "{question}");
        counts.push(count);
    }
    let all = events.len() as u64;
    assert_eq!((counts[0], counts[7]), (all, all));
    assert!(
        counts[1..7].iter().all(|count| (1..all).contains(count)),
        "{counts:?}"
    );
    assert!(
        counts[3] < counts[4],
        "a repeated filter means OR: {counts:?}"
    );

    let seq = newest["seq"].as_u64().unwrap();
    assert_eq!(desk.get(&format!("/v1/events/{seq}")).await, newest);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_request_is_said_with_its_place() {
    let upstream = Upstream::new(SimConfig {
        events: 20,
        accounts: 0,
        days: 5,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(1).await;
    let long = format!("/v1/events?q={}", "a".repeat(9_000));
    let cursor = service.get("/v1/events?limit=1").await["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let foreign = format!("/v1/events?q=dns&cursor={cursor}");
    let requests = [
        "/v1/events?acter=x",
        "/v1/events?limit=-1",
        "/v1/events?limit=1001",
        "/v1/events?order=up",
        "/v1/events?since=yesterday",
        "/v1/events?since=2026-02-01&before=2026-01-01",
        "/v1/events?q=actor.mail:x",
        "/v1/events?q=dns%20%22open",
        "/v1/events?q=a%20OR",
        "/v1/events?q=a&q=b",
        "/v1/events?actor=",
        "/v1/events?source=zones/1",
        "/v1/events?cursor=abc",
        &foreign,
        &long,
        "/v1/events/0",
        "/v1/events/99999999999999999999",
        "/v1/events/x",
        "/v1/count?limit=1",
        "/v2/events",
        "/v1/events?q=%1b[",
        "/v1/events?q=a%20AND%20(b",
        "/v1/events?q=resource.request:/(/",
        "/v1/events?q=raw.status_code:>=x",
        "/v1/events?q=actor.email:/(%5Cw{90}){90}/",
        "/v1/events?actor_emial=x",
        "/v1/events?action_typ.not=x",
        "/v1/events?product_category.not=x",
        "/v1/events?product_category=dns",
        "/v1/events?raw_status_code=abc",
        "/v1/events?actor_ip_address=10.0.0.0/8",
        "/v1/events?zone_name=",
        "/v1/events?revision=newest",
        "/v1/events?q=dns%20actor.ip_address:999.1.1.1/99",
        "/v1/events?q=actor.ip_address:300.1.2.3/8",
        "/v1/events?q=actor.ip_address:x",
        "/v1/ips/x",
        "/v1/ips/10.0.0.0%2F8",
        "/v1/events?q=action.time:2026-02-30",
        "/v1/events?q=raw.status_code:abc",
        "/v1/events?q=raw.status_code:[500%20TO%201]",
        "/v1/count?q=resource.type:[b%20TO%20a]",
        "/v1/facets?field=actor.email&q=source:accounts",
        "/v1/export?q=source:5d1f",
        "/v1/events?source=5d1f",
        "/v1/events?actor_ip_address=x",
        "/v1/events?since=2026-02-30",
        "/v1/events?since=now/d&before=now-1d",
        "/v1/events?since=7d&before=8d",
        "/v1/events?since=7w",
        "/v1/events?tz=Mars/Olympus",
        "/v1/events?tz=UTC&tz=UTC",
        "/v1/coverage?since=7w",
        "/v1/coverage?tz=Mars",
        "/v1/events/1/diff?x=1",
        "/v1/events/1/history?around=maybe",
        "/v1/events/1/history?order=up",
    ];
    let mut told = String::new();
    for request in requests {
        let (status, body) = service.ask(request).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], status.as_u16());
        let shown: String = request.chars().take(60).collect();
        let shown = shown.replace(&cursor[..20], "CURSOR");
        let at = problem["at"]
            .as_u64()
            .map_or(String::new(), |at| format!(" at {at}"));
        let detail = problem["detail"].as_str().unwrap();
        writeln!(
            told,
            "{}\n    {status}{at}: {detail}",
            shown.split("CURSOR").next().unwrap()
        )
        .unwrap();
    }
    insta::assert_snapshot!(told);
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_filters_keep_and_drop_by_their_own_names() {
    let mut desk = Desk::of_history_on_both_engines(1_500).await;
    let all = desk.count("").await;
    let events = desk.get("/v1/events?limit=1000").await;
    let events = events["events"].as_array().unwrap();
    for filter in orgtrail_cloudflare::filter::FILTERS {
        if filter.name == orgtrail_cloudflare::filter::PRODUCT_CATEGORY {
            continue;
        }
        let value_of = |event: &Value| -> Option<String> {
            let pointer = format!("/entry/{}", filter.path.replace('.', "/"));
            match event.pointer(&pointer)? {
                Value::String(text) if !text.is_empty() => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            }
        };
        let mut values: Vec<String> = events.iter().filter_map(value_of).collect();
        values.dedup();
        let [first, .., last] = values.as_slice() else {
            panic!("no entry has {}", filter.path);
        };
        let (first, last) = (
            url::form_urlencoded::byte_serialize(first.as_bytes()).collect::<String>(),
            url::form_urlencoded::byte_serialize(last.as_bytes()).collect::<String>(),
        );
        let name = filter.name;
        let one = desk.count(&format!("{name}={first}")).await;
        let both = desk.count(&format!("{name}={first}&{name}={last}")).await;
        let neither = desk
            .count(&format!("{name}.not={first}&{name}.not={last}"))
            .await;
        let but_one = desk
            .count(&format!("{name}={last}&{name}.not={first}"))
            .await;
        assert!(one > 0 && one <= both, "{name}");
        assert_eq!(both + neither, all, "{name}");
        assert!(but_one <= both, "{name}");
    }
    let question =
        "action_type=create&action_type=delete&raw_status_code.not=403&q=actor.type:user";
    let query = "q=action.type:(create OR delete) -raw.status_code:403 actor.type:user";
    assert_eq!(desk.count(question).await, desk.count(query).await);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_revision_of_each_id_can_be_asked_for() {
    let upstream = Upstream::new(SimConfig {
        events: 10,
        accounts: 1,
        days: 2,
        ..SimConfig::default()
    })
    .await;
    let clock = Clock::system();
    let at = clock.now() - TimeDelta::seconds(30);
    let time = at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let source = upstream.simulator.sources().remove(1);
    let entry =
        |word: &str| format!(r#"{{"id":"again","action":{{"time":"{time}"}},"word":"{word}"}}"#);
    upstream
        .simulator
        .publish(&source, &entry("earlier"), at, at);
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(2).await;
    let all = service.count("").await;
    assert_eq!(service.count("revision=latest").await, all);
    // The simulator holds both; each scan of the window shows the one and the other.
    upstream
        .simulator
        .publish(&source, &entry("later"), at, clock.now());
    service
        .until("/v1/count", |answer| answer["count"] == all + 1)
        .await;
    assert_eq!(service.count("revision=all&q=id:again").await, 2);
    assert_eq!(service.count("revision=latest").await, all);
    let latest = service.get("/v1/events?revision=latest&id=again").await;
    assert_eq!(latest["events"][0]["entry"]["word"], "later");
    assert_eq!(latest["events"].as_array().unwrap().len(), 1);
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relative_time_means_the_same_on_every_page() {
    let mut desk = Desk::of_history_on_both_engines(600).await;
    let question = "q=action.time:[now-20d%20TO%20now]";
    let count = desk.count(question).await;
    assert!((1..600).contains(&count), "{count}");
    let mut places = walk_pages(async |path: &str| desk.get(path).await, question, || {}).await;
    places.dedup();
    assert!(
        places.len() as u64 >= count - 5,
        "entries leave at the far end only"
    );
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_entries_are_kept_marked_and_found() {
    let upstream = Upstream::new(SimConfig {
        events: 0,
        accounts: 1,
        days: 2,
        ..SimConfig::default()
    })
    .await;
    let clock = Clock::system();
    let now = clock.now() - TimeDelta::hours(1);
    let time = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let huge = format!(
        r#"{{"id":"huge","action":{{"time":"{time}"}},"resource":{{"request":"{} needle"}}}}"#,
        "x ".repeat(500_000)
    );
    let deep = format!(
        r#"{{"id":"deep","action":{{"time":"{time}"}},"deep":{}"bottom"{}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let entries = [
        (r#"{"note":"without an id"}"#, "without", true),
        (r#"{"id":"s","action":"stringy"}"#, "stringy", true),
        (
            r#"{"id":"d","id":"d2","action":{"time":"x"},"a":"doubled","a":"twice"}"#,
            "doubled",
            true,
        ),
        (
            r#"{"id":"c","t":"control\u0000\u001b[2J<script>here"}"#,
            "here",
            true,
        ),
        (
            r#"{"id":"\ud800","t":"surrogate \udc00 broken"}"#,
            "surrogate",
            true,
        ),
        (r#""not an object but text""#, "\"not an object\"", true),
        (r#"[17, "listed"]"#, "listed", true),
        (&huge, "needle", false),
        (&deep, "bottom", false),
    ];
    let source = upstream.simulator.sources().remove(1);
    for (entry, ..) in &entries {
        upstream.simulator.publish(&source, entry, now, now);
    }
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    assert_eq!(service.settle(2).await, entries.len() as u64);
    for (entry, word, has_problem) in entries {
        let (status, body) = service.ask(&format!("/v1/events?q={word}")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(raw_entries(&body), [entry], "{word}");
        // Only orgtrail's own members are read here: a broken surrogate in the entry is not for every reader.
        assert_eq!(!body.contains(r#""problem":null"#), has_problem, "{word}");
    }
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_added_upstream_is_found_a_moment_later() {
    let upstream = Upstream::new(SimConfig {
        events: 50,
        accounts: 1,
        days: 2,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    let url = format!(
        "{}/organizations/{}/members",
        upstream.base_url,
        upstream.simulator.organization_id()
    );
    let body = r#"{"member":{"user":{"email":"new.colleague@example.com"},"status":"active"}}"#;
    let added = reqwest::Client::new()
        .post(url)
        .bearer_auth("any")
        .body(body)
        .send()
        .await
        .unwrap();
    assert!(added.status().is_success(), "{added:?}");
    let question = "/v1/events?resource=new.colleague@example.com&action=create";
    let found = service
        .until(question, |answer| {
            answer["events"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        })
        .await;
    assert_eq!(found["events"].as_array().unwrap().len(), 1);
    assert_eq!(
        found["events"][0]["entry"]["action"]["description"],
        "Add Member"
    );
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_without_a_token_unless_on_this_machine() {
    let upstream = Upstream::new(SimConfig {
        events: 5,
        accounts: 0,
        days: 2,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let open = upstream.configuration(dir.path());
    let service = Service::start(&open.replace("auth = \"none\"", "auth = \"tokens\"")).await;
    for path in [
        "/v1/events",
        "/v1/events/1",
        "/v1/events/1/history",
        "/v1/events/1/around?by=actor",
        "/v1/events/stream",
        "/v1/export",
        "/v1/count",
        "/v1/facets?field=id",
        "/v1/histogram",
        "/v1/fields",
        "/v1/fields/id/values",
        "/v1/actors/x",
        "/v1/resources/x",
        "/v1/sources",
    ] {
        assert_eq!(
            service.ask(path).await.0,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(service.ask(path).await.0, StatusCode::OK, "{path}");
    }
    service.stop().await.unwrap();

    let service = Service::start(&open).await;
    let http = reqwest::Client::new();
    let url = format!("{}/v1/events", service.url);
    let foreign = http
        .get(&url)
        .header("host", "rebound.example.com")
        .send()
        .await
        .unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let put = http.put(&url).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(put.headers()["content-type"], "application/problem+json");
    service.stop().await.unwrap();
}
