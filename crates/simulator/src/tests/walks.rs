//! Reading the logs: whole walks, windows, filters, live entries, and very long histories.

use std::time::Instant;

use super::*;

const ALL: &str = "since=2026-01-01&before=2026-12-31";

#[tokio::test]
async fn every_entry_comes_once_while_others_arrive() {
    let upstream = Upstream::start(small()).await;
    for (source, direction, limit) in [
        (0, "asc", 7),
        (0, "desc", 1_000),
        (1, "asc", 1_000),
        (1, "desc", 61),
    ] {
        let source = &upstream.simulator.sources()[source];
        let mut expected = upstream.simulator.entries(source, upstream.clock.now());
        assert!(!expected.is_empty());
        let question = format!("/{source}/logs/audit?{ALL}&direction={direction}&limit={limit}");
        let publish = |n: usize| {
            let now = upstream.clock.now();
            for (kind, age) in [("new", 0), ("old", 86_400 * 5), ("ancient", 86_400 * 19)] {
                let text = format!(r#"{{"published":"{kind} {direction} {limit} {n}"}}"#);
                upstream
                    .simulator
                    .publish(source, &text, now - TimeDelta::seconds(age), now);
            }
        };
        let mut found = texts(upstream.walk(&question, publish).await);
        let known: std::collections::HashSet<&String> = expected.iter().collect();
        // What arrived on the way may be seen or not; what was there must be, once and in order.
        found.retain(|text| known.contains(text));
        if direction == "desc" {
            expected.reverse();
        }
        assert_eq!(found, expected, "{direction} {limit}");
    }
}

#[tokio::test]
async fn entries_come_in_the_order_of_the_times_they_tell() {
    let upstream = Upstream::start(small()).await;
    for source in upstream.simulator.sources() {
        let times: Vec<DateTime<Utc>> = upstream
            .simulator
            .entries(&source, upstream.clock.now())
            .iter()
            .map(|text| {
                let entry: Value = serde_json::from_str(text).unwrap();
                at(entry["action"]["time"].as_str().unwrap())
            })
            .collect();
        assert!(times.is_sorted(), "{source}");
    }
}

#[tokio::test]
async fn windows_meet_without_loss() {
    let upstream = Upstream::start(small()).await;
    let source = &upstream.simulator.sources()[1];
    let mut found = Vec::new();
    for day in 10..34 {
        let edge = |day: i64| {
            (at("2026-07-01T00:00:00Z") + TimeDelta::days(day))
                .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
        };
        let (since, before) = (edge(day), edge(day + 1));
        let question =
            format!("/{source}/logs/audit?since={since}&before={before}&direction=asc&limit=1000");
        found.extend(texts(upstream.walk(&question, |_| ()).await));
    }
    assert_eq!(
        found,
        upstream.simulator.entries(source, upstream.clock.now())
    );
}

#[tokio::test]
async fn bounds_are_as_configured() {
    let moment = at("2026-08-03T10:00:00Z");
    for (bounds, expect) in [
        (Bounds::HalfOpen, 1),
        (Bounds::Closed, 2),
        (Bounds::Open, 0),
    ] {
        let config = SimConfig {
            events: 0,
            bounds,
            ..small()
        };
        let upstream = Upstream::start(config).await;
        let source = &upstream.simulator.sources()[0];
        for offset in [0, 60] {
            upstream
                .simulator
                .publish(source, "{}", moment + TimeDelta::seconds(offset), moment);
        }
        let question = format!(
            "/{source}/logs/audit?since=2026-08-03T10:00:00Z&before=2026-08-03T12:01:00%2B02:00"
        );
        let found = texts(upstream.walk(&question, |_| ()).await);
        assert_eq!(found.len(), expect, "{bounds:?}");
    }
}

#[tokio::test]
async fn filters_walk_too() {
    let upstream = Upstream::start(small()).await;
    let source = &upstream.simulator.sources()[2];
    let everything = upstream.simulator.entries(source, upstream.clock.now());
    let product = |text: &String| {
        let entry: Value = serde_json::from_str(text).unwrap();
        entry["resource"]["product"].as_str().unwrap().to_owned()
    };
    for (filter, keeps) in [("resource_product", true), ("resource_product.not", false)] {
        let question = format!(
            "/{source}/logs/audit?{ALL}&direction=asc&limit=3&{filter}=dns&{filter}=workers"
        );
        let found = texts(upstream.walk(&question, |_| ()).await);
        let expected: Vec<String> = everything
            .iter()
            .filter(|text| ["dns", "workers"].contains(&product(text).as_str()) == keeps)
            .cloned()
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(found, expected, "{filter}");
    }
}

#[tokio::test]
async fn strange_texts_go_out_as_they_are() {
    let upstream = Upstream::start(SimConfig {
        events: 0,
        ..small()
    })
    .await;
    let source = &upstream.simulator.sources()[3];
    let now = upstream.clock.now();
    let strange = [
        r#"{"action":"create","action":"again"}"#,
        "  { \"id\" : 1e400 }\n",
        "null",
        r#"[[],"\ud83d\ude00\u0000"]"#,
    ];
    for text in strange {
        upstream.simulator.publish(source, text, now, now);
    }
    upstream
        .simulator
        .publish(source, r#""hidden""#, now, now + TimeDelta::minutes(1));
    let answer = upstream
        .get(&format!("/{source}/logs/audit?{ALL}&direction=asc"))
        .await;
    assert!(answer.text.contains(&strange.join(",")), "{}", answer.text);
    assert!(!answer.text.contains("hidden"));
    upstream.clock.advance(TimeDelta::minutes(1));
    let answer = upstream
        .get(&format!("/{source}/logs/audit?{ALL}&direction=asc"))
        .await;
    assert!(answer.text.contains("hidden"));
}

#[tokio::test]
async fn live_entries_appear_as_time_goes_by_and_some_are_late() {
    let config = SimConfig {
        live_per_minute: 600.0,
        ..small()
    };
    let upstream = Upstream::start(config).await;
    upstream.simulator.set_faults(Faults {
        late: 0.3,
        max_lateness: TimeDelta::minutes(20),
        ..Faults::default()
    });
    let sources = upstream.simulator.sources();
    let visible = |by: DateTime<Utc>| -> Vec<String> {
        sources
            .iter()
            .flat_map(|source| upstream.simulator.entries(source, by))
            .collect()
    };
    let start = upstream.clock.now();
    assert_eq!(visible(start).len(), 3_000);
    let after = visible(start + TimeDelta::minutes(10));
    let much_later = visible(start + TimeDelta::minutes(60));
    let soon = after.len() - 3_000;
    assert!((4_000..5_900).contains(&soon), "{soon}");
    assert!(
        (36_800..37_500).contains(&much_later.len()),
        "{}",
        much_later.len()
    );
    let later: std::collections::HashSet<_> = much_later.iter().collect();
    assert!(after.iter().all(|text| later.contains(text)));

    // The same entries are seen over the wire, and only when their time has come.
    upstream.clock.advance(TimeDelta::minutes(10));
    let source = &sources[1];
    let question = format!("/{source}/logs/audit?{ALL}&direction=asc&limit=1000");
    let found = texts(upstream.walk(&question, |_| ()).await);
    assert_eq!(
        found,
        upstream.simulator.entries(source, upstream.clock.now())
    );
}

#[tokio::test]
async fn ten_million_entries_cost_nothing_until_they_are_read() {
    let before = Instant::now();
    let config = SimConfig {
        events: 10_000_000,
        accounts: 500,
        days: 540,
        ..SimConfig::default()
    };
    let upstream = Upstream::start(config).await;
    let started = before.elapsed();
    let source = &upstream.simulator.sources()[1];
    let question = format!("/{source}/logs/audit?since=2026-03-01&before=2026-08-01&limit=100");
    let before = Instant::now();
    let first = upstream.get(&question).await.page();
    let answered = before.elapsed();
    println!("started in {started:?}, answered in {answered:?}");
    assert_eq!(first.entries.len(), 100);
    assert!(started.as_secs() < 2 && answered.as_millis() < 1_000);
}

#[test]
fn the_same_seed_makes_the_same_world() {
    let make = |seed| {
        let config = SimConfig {
            seed,
            live_per_minute: 60.0,
            ..small()
        };
        let simulator = Simulator::new(config, Clock::manual(at(START)).reader());
        let later = at(START) + TimeDelta::minutes(5);
        let sources = simulator.sources();
        let entries: Vec<_> = sources
            .iter()
            .flat_map(|source| simulator.entries(source, later))
            .collect();
        (sources, entries)
    };
    assert_eq!(make(11), make(11));
    assert_ne!(make(11).1, make(12).1);
}

#[test]
fn entries_look_like_upstreams() {
    let config = SimConfig {
        events: 20_000,
        ..small()
    };
    let simulator = Simulator::new(config, Clock::manual(at(START)).reader());
    let entries: Vec<String> = simulator
        .sources()
        .iter()
        .flat_map(|source| simulator.entries(source, at(START)))
        .collect();
    assert_eq!(entries.len(), 20_000);
    let average = entries.iter().map(String::len).sum::<usize>() / entries.len();
    println!("{average} bytes on average; for example {}", entries[9_000]);
    assert!(
        (1_000..1_500).contains(&average),
        "{average} bytes on average"
    );

    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut ids = std::collections::HashSet::new();
    for text in &entries {
        let entry: Value = serde_json::from_str(text).unwrap();
        assert!(ids.insert(entry["id"].as_str().unwrap().to_owned()));
        for pointer in [
            "/action/result",
            "/action/type",
            "/actor/type",
            "/actor/context",
            "/resource/product",
        ] {
            let value = entry.pointer(pointer).unwrap_or(&Value::Null);
            *seen.entry(format!("{pointer} {value}")).or_default() += 1;
        }
    }
    for expected in [
        "/action/result \"failure\"",
        "/action/type \"login\"",
        "/actor/type \"system\"",
        "/actor/type \"account\"",
        "/actor/type \"delegated_service\"",
        "/actor/type \"cloudflare_admin\"",
        "/actor/type null",
        "/actor/context \"dash\"",
        "/actor/context \"origin_ca_key\"",
        "/resource/product \"organizations\"",
    ] {
        assert!(seen.contains_key(expected), "{expected} in {seen:#?}");
    }
    let n_products = seen
        .keys()
        .filter(|key| key.starts_with("/resource/product"))
        .count();
    assert!(n_products >= 30, "{n_products}");
}
