//! What a page shows beside its list: facets with what they leave out, values for completion, and a histogram that is split and
//! that one strange event does not spoil.

use std::collections::BTreeSet;

use orgtrail::position::Source;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// A facet as `value count`, one after the other, and what is beside the values.
fn told(facet: &Value) -> String {
    let values = facet["values"].as_array().unwrap().iter();
    let values = values.map(|one| format!("{} {}", one["value"].as_str().unwrap(), one["count"]));
    let values = values.collect::<Vec<_>>().join(", ");
    format!(
        "{values} | missing {} distinct {} other {}",
        facet["missing"], facet["distinct"], facet["other"]
    )
}

fn entry(n: u32, kind: &str, email: &str, more: &Value) -> String {
    let mut entry = json!({
        "id": format!("e{n}"),
        "action": {"time": format!("2026-08-03T08:00:{n:02}Z"), "type": kind},
        "actor": {"email": email},
    });
    for (name, value) in more.as_object().unwrap() {
        entry[name] = value.clone();
    }
    entry.to_string()
}

/// Seven events: three of Ann's, two of Ben's, one of Cleo's, one of nobody's.
async fn small() -> Desk {
    let mut desk = Desk::new().await;
    desk.keep(
        &account(),
        &[
            entry(
                1,
                "create",
                "Ann@example.com",
                &json!({"resource": {"product": "dns"}}),
            ),
            entry(
                2,
                "create",
                "ann@example.com",
                &json!({"resource": {"product": "ssl"}}),
            ),
            entry(3, "delete", "ann@example.com", &json!({"tags": {"a": "x"}})),
            entry(4, "delete", "ben@example.com", &json!({"tags": ["x", "y"]})),
            entry(5, "create", "ben@example.com", &json!({"tags": "y"})),
            entry(
                6,
                "update",
                "cleo@example.com",
                &json!({"tags": ["y", "y"]}),
            ),
            entry(
                7,
                "update",
                "",
                &json!({"resource": {"product": {"deep": "dns"}}}),
            ),
        ],
    );
    desk.search_all();
    desk
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_facet_says_what_it_does_not_list() {
    let desk = small().await;
    let facet = async |asked: &str, field: &str| {
        let answer = desk.get(&format!("/v1/facets?field={field}{asked}")).await;
        told(&answer["facets"][field])
    };
    for (asked, field, expected) in [
        (
            "&size=2",
            "actor.email",
            "ann@example.com 3, ben@example.com 2 | missing 1 distinct 3 other 1",
        ),
        (
            "&sort=rare&size=1",
            "actor.email",
            "cleo@example.com 1 | missing 1 distinct 3 other 5",
        ),
        (
            "&sort=frequent",
            "resource.product",
            "dns 1, ssl 1 | missing 5 distinct 2 other 0",
        ),
        // An event counts once for each different value; one has a value below the path, and none at it.
        ("", "tags", "y 3, x 1 | missing 4 distinct 2 other 0"),
        ("&size=1", "tags", "y 3 | missing 4 distinct 2 other 1"),
        ("", "tags.a", "x 1 | missing 6 distinct 1 other 0"),
        ("&q=nothing", "tags", " | missing 0 distinct 0 other 0"),
        ("&size=1", "id", "e1 1 | missing 0 distinct 7 other 6"),
        (
            "&size=1&sort=rare",
            "seq",
            "1 1 | missing 0 distinct 7 other 6",
        ),
        ("&q=-id:e7", "problem", " | missing 6 distinct 0 other 0"),
    ] {
        assert_eq!(facet(asked, field).await, expected, "{field}{asked}");
    }
    let answer = desk.get("/v1/facets?field=actor.email&size=1").await;
    let first = &answer["facets"]["actor.email"]["values"][0];
    assert!(["Ann@example.com", "ann@example.com"].contains(&first["label"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidebar_keeps_the_other_values_of_a_field_that_is_filtered() {
    let desk = small().await;
    for (asked, field, expected) in [
        (
            "q=actor.email:ann@example.com",
            "actor.email",
            "ann@example.com 3, ben@example.com 2, cleo@example.com 1 | missing 1 distinct 3 other 0",
        ),
        // Filters on other fields count.
        (
            "q=actor.email:(ann* OR cleo*) -action.type:create",
            "actor.email",
            "ann@example.com 1, ben@example.com 1, cleo@example.com 1 | missing 1 distinct 3 other 0",
        ),
        (
            "q=actor.email:(ann* OR cleo*) -action.type:create",
            "action.type",
            "create 2, delete 1, update 1 | missing 0 distinct 3 other 0",
        ),
        // By a parameter, and by one that excludes.
        (
            "action_type=create&action_type.not=create&actor_email=ben@example.com",
            "action.type",
            "create 1, delete 1 | missing 0 distinct 2 other 0",
        ),
        (
            "source=accounts/f00d",
            "source",
            "accounts/f00d 7 | missing 0 distinct 1 other 0",
        ),
        // What asks about several fields stays.
        (
            "q=action.type:delete OR actor.email:cleo*",
            "action.type",
            "delete 2, update 1 | missing 0 distinct 2 other 0",
        ),
    ] {
        let asked = asked.replace(' ', "+");
        let path = format!("/v1/facets?field={field}&exclude_own=true&{asked}");
        let answer = desk.get(&path).await;
        assert_eq!(told(&answer["facets"][field]), expected, "{field}: {asked}");
        let beside = format!("/v1/events?facet={field}&exclude_own=true&limit=0&{asked}");
        assert_eq!(
            desk.get(&beside).await["facets"],
            answer["facets"],
            "{asked}"
        );
    }
    let rare = "/v1/events?facet=actor.email&facet_sort=rare&facet_size=1&limit=0";
    let rare = desk.get(rare).await;
    assert_eq!(
        told(&rare["facets"]["actor.email"]),
        "cleo@example.com 1 | missing 1 distinct 3 other 5"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_found_by_what_is_in_them() {
    let desk = small().await;
    for (asked, expected) in [
        ("actor.email/values?contains=NN@", "ann@example.com 3"),
        (
            "actor.email/values?contains=example&sort=rare&size=2",
            "cleo@example.com 1, ben@example.com 2",
        ),
        (
            "actor.email/values?prefix=be&contains=com",
            "ben@example.com 2",
        ),
        (
            "actor.email/values?contains=e&q=-action.type:create&size=1",
            "ann@example.com 1",
        ),
        ("tags/values?contains=y", "y 3"),
        ("tags/values?contains=z", ""),
        ("source/values?contains=F00", "accounts/f00d 7"),
    ] {
        let answer = desk.get(&format!("/v1/fields/{asked}")).await;
        let values = answer["values"].as_array().unwrap().iter();
        let values =
            values.map(|one| format!("{} {}", one["value"].as_str().unwrap(), one["count"]));
        assert_eq!(values.collect::<Vec<_>>().join(", "), expected, "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_histogram_is_split_by_a_field() {
    let mut desk = Desk::of_history(2_000).await;
    desk.keep(
        &account(),
        &[entry(
            1,
            "create",
            "x@example.com",
            &json!({"actor": "no object"}),
        )],
    );
    desk.search_all();
    for (question, field) in [
        ("q=*", "action.type"),
        ("q=-action.type:create", "actor.email"),
        ("since=now-30d&before=now-10d", "resource.request.name"),
        ("q=action.type:create", "raw.status_code"),
        ("q=*", "account.name"),
        ("q=*", "source"),
    ] {
        let answer = desk
            .get(&format!("/v1/histogram?interval=1d&by={field}&{question}"))
            .await;
        assert_eq!(answer["by"], field);
        let values = answer["values"].as_array().unwrap();
        let facets = desk
            .get(&format!("/v1/facets?field={field}&{question}"))
            .await;
        assert_eq!(
            &facets["facets"][field]["values"], &answer["values"],
            "{field}"
        );
        for (i, value) in values.iter().enumerate() {
            let buckets = answer["buckets"].as_array().unwrap();
            let total: u64 = buckets
                .iter()
                .map(|bucket| bucket["split"][i].as_u64().unwrap())
                .sum();
            assert_eq!(value["count"], total, "{field}: {value}");
        }
        let beside = format!("/v1/events?limit=0&histogram=1d&histogram_by={field}&{question}");
        let beside = desk.get(&beside).await;
        assert_eq!(beside["histogram"]["buckets"], answer["buckets"], "{field}");
        // Each part is the histogram of the events with that value.
        if let Some(value) = values.get(1).filter(|_| !question.contains('q')) {
            let (value, since) = (
                value["value"].as_str().unwrap(),
                &answer["buckets"][0]["time"],
            );
            let alone = format!("/v1/histogram?interval=1d&q={field}:\"{value}\"&{question}");
            let alone = desk.get(&alone).await;
            assert_eq!(&alone["buckets"][0]["time"], since);
            let counts = |answer: &Value, of: &dyn Fn(&Value) -> Value| -> Vec<Value> {
                answer["buckets"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(of)
                    .collect()
            };
            let split = counts(&answer, &|bucket| bucket["split"][1].clone());
            assert_eq!(
                split,
                counts(&alone, &|bucket| bucket["count"].clone()),
                "{field}"
            );
        }
    }
    let plain = desk.get("/v1/histogram?interval=1d").await;
    assert_eq!(
        (&plain["by"], &plain["values"]),
        (&Value::Null, &Value::Null)
    );
    assert!(plain["buckets"][0].get("split").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_event_of_another_century_does_not_spoil_the_histogram() {
    let hour = |n: u32| format!("2026-08-03T{n:02}:30:00Z");
    for (lone, interval) in [
        (vec!["1970-01-01T00:00:01Z"], "15m"),
        (vec!["9999-12-31T23:59:59Z"], "15m"),
        (
            vec!["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"],
            "15m",
        ),
        (vec![], "15m"),
        // Not so far away: it is one of them.
        (vec!["2026-07-01T00:00:00Z"], "12h"),
    ] {
        let mut desk = Desk::new().await;
        let times = (0..20)
            .map(hour)
            .chain(lone.iter().map(|time| (*time).to_owned()));
        let entries: Vec<String> = times
            .enumerate()
            .map(|(n, time)| json!({"id": n, "action": {"time": time, "type": "x"}}).to_string())
            .collect();
        desk.keep(&account(), &entries);
        desk.search_all();
        let answer = desk.get("/v1/histogram?interval=auto&by=action.type").await;
        let buckets = answer["buckets"].as_array().unwrap();
        assert_eq!(answer["interval"], interval, "{lone:?}");
        assert!((10..=110).contains(&buckets.len()), "{lone:?}");
        let counts = buckets
            .iter()
            .map(|bucket| bucket["count"].as_u64().unwrap());
        assert_eq!(counts.sum::<u64>(), entries.len() as u64, "{lone:?}");
        for pair in buckets.windows(2) {
            assert_eq!(pair[0]["end"], pair[1]["time"], "{lone:?}: no hole");
        }
        for bucket in buckets {
            assert_eq!(bucket["split"][0], bucket["count"], "{lone:?}");
        }
        // With both ends, the stretch is what was asked for.
        let asked = "/v1/histogram?since=2026-08-03&before=2026-08-04";
        assert_eq!(
            desk.get(asked).await["buckets"].as_array().unwrap().len(),
            96
        );
        desk.stop().await;
    }
    // Of two events, neither is the strange one.
    let mut desk = Desk::new().await;
    let entries = ["1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z"];
    let entries = entries.map(|time| json!({"id": time, "action": {"time": time}}).to_string());
    desk.keep(&account(), &entries);
    desk.search_all();
    assert_eq!(desk.get("/v1/histogram").await["interval"], "364d");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_parameter_of_a_count_is_named() {
    let desk = small().await;
    for (asked, parameter) in [
        ("/v1/facets?field=actor.email&sort=big", "sort"),
        (
            "/v1/facets?field=actor.email&exclude_own=yes",
            "exclude_own",
        ),
        ("/v1/facets?field=actor.email&facet_sort=rare", "facet_sort"),
        ("/v1/events?facet_sort=rare", "facet_sort"),
        ("/v1/events?exclude_own=true", "exclude_own"),
        ("/v1/events?histogram_by=actor.email", "histogram_by"),
        (
            "/v1/events?histogram=auto&histogram_by=actor.mail",
            "histogram_by",
        ),
        ("/v1/histogram?by=actor.mail", "by"),
        ("/v1/histogram?by=actor.email&by=id", "by"),
        ("/v1/fields/actor.email/values?sort=count", "sort"),
        (
            "/v1/fields/actor.email/values?contains=a&contains=b",
            "contains",
        ),
    ] {
        let (status, body) = desk.ask(asked).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{asked}: {body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["parameter"], parameter, "{asked}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coverage_of_counted_sources_is_that_of_all_of_them() {
    let mut desk = Desk::new().await;
    let other = Source::account("beef").unwrap();
    for source in [account(), other] {
        desk.keep(
            &source,
            &[entry(1, "create", "ann@example.com", &json!({}))],
        );
    }
    desk.search_all();
    for route in ["/v1/facets?field=SOURCE", "/v1/events?limit=0&facet=SOURCE"] {
        for (exclude_own, n_sources) in [(true, 2), (false, 1)] {
            let path = format!("{route}&source=accounts/beef&exclude_own={exclude_own}");
            let answer = desk.get(&path).await;
            let counted = answer["facets"]["SOURCE"]["values"].as_array().unwrap();
            assert_eq!(counted.len(), n_sources, "{path}");
            let missing = answer["coverage"]["missing"].as_array().unwrap().iter();
            let sources: BTreeSet<&str> =
                missing.map(|one| one["source"].as_str().unwrap()).collect();
            assert_eq!(sources.len(), n_sources, "{path}: {sources:?}");
        }
    }
}
