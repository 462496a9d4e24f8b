//! Histories of resources, categories of products, and filters that match rarely.

use serde_json::json;

use super::*;

const ALL: &str = "since=2026-01-01&before=2026-12-31";

/// The path of an entry's history.
fn history_of(source: &Source, entry: &Value) -> String {
    let id = entry["id"].as_str().unwrap();
    let time = escaped(entry["action"]["time"].as_str().unwrap());
    format!("/{source}/logs/audit/{id}/history?action_time={time}")
}

fn parsed(texts: &[String]) -> Vec<Value> {
    texts
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

#[tokio::test]
async fn a_history_holds_every_change_of_the_resource_and_its_own_entry() {
    let upstream = Upstream::start(small()).await;
    let source = &upstream.simulator.sources()[1];
    let entries = parsed(&upstream.simulator.entries(source, upstream.clock.now()));
    let own = |entry: &Value| {
        let uri = entry["raw"]["uri"].as_str()?;
        let id = entry["resource"]["id"].as_str()?;
        Some(match entry["raw"]["method"].as_str()? {
            "POST" => format!("{uri}/{id}"),
            _ => uri.to_owned(),
        })
    };
    let mut counts: HashMap<String, usize> = HashMap::new();
    for uri in entries.iter().filter_map(own) {
        *counts.entry(uri).or_default() += 1;
    }
    let (uri, count) = counts.into_iter().max_by_key(|(_, count)| *count).unwrap();
    assert!(count > 5, "{count}");
    let expected: Vec<&Value> = entries
        .iter()
        .filter(|entry| own(entry).as_ref() == Some(&uri))
        .collect();
    for entry in [expected[0], expected[count - 1]] {
        let history = history_of(source, entry);
        let first = upstream
            .get(&format!("{history}&{ALL}&direction=asc&limit=3"))
            .await;
        assert_eq!(first.json()["result_info"]["history_status"], "exact");
        let found = texts(
            upstream
                .walk(&format!("{history}&{ALL}&direction=asc&limit=3"), |_| ())
                .await,
        );
        assert_eq!(parsed(&found).iter().collect::<Vec<_>>(), expected);
    }
    // The window cuts the history, and not the search for the entry it is asked by.
    let history = history_of(source, expected[0]);
    let answer = upstream
        .get(&format!("{history}&since=2026-08-02&before=2026-08-03"))
        .await;
    assert!(answer.result().as_array().unwrap().len() < count);
}

#[tokio::test]
async fn a_history_says_how_well_it_knows_the_resource() {
    let upstream = Upstream::start(SimConfig {
        events: 0,
        ..small()
    })
    .await;
    let source = &upstream.simulator.sources()[1];
    let now = upstream.clock.now();
    let time = "2026-08-03T12:00:00Z";
    let publish = |id: &str, rest: Value| {
        let mut entry = json!({ "id": id, "action": { "time": time } });
        entry["resource"] = rest["resource"].clone();
        entry["raw"] = rest["raw"].clone();
        upstream
            .simulator
            .publish(source, &entry.to_string(), now, now);
    };
    let resource = json!({ "id": "r", "product": "dns", "type": "record" });
    publish(
        "called",
        json!({ "resource": resource, "raw": { "method": "PUT", "uri": "/zones/z/dns_records/r" } }),
    );
    publish("named", json!({ "resource": resource }));
    publish("neither", json!({ "resource": { "product": "dns" } }));
    for (id, status, ids) in [
        ("called", "exact", &["called"][..]),
        ("named", "approximate", &["called", "named"]),
        ("neither", "unavailable", &[]),
    ] {
        let path =
            format!("/{source}/logs/audit/{id}/history?action_time={time}&{ALL}&direction=asc");
        let answer = upstream.get(&path).await;
        assert_eq!(answer.json()["result_info"]["history_status"], status);
        let result = answer.result();
        let found: Vec<&str> = result
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["id"].as_str().unwrap())
            .collect();
        assert_eq!(found, ids, "{id}");
    }
    let own = format!("/{source}/logs/audit/called/history");
    for (query, status, message) in [
        (ALL.to_owned(), 400, "action_time is required"),
        (
            format!("action_time=soon&{ALL}"),
            400,
            "action_time must be a date (yyyy-mm-dd) or an RFC 3339 time",
        ),
        (
            format!("action_time={time}&since=2026-01-01"),
            400,
            "before is required",
        ),
        (
            format!("action_time=2026-08-03T11:00:00Z&{ALL}"),
            404,
            "there is no audit log entry of that id near action_time",
        ),
    ] {
        let answer = upstream.get(&format!("{own}?{query}")).await;
        assert_eq!(
            (answer.status, answer.message().as_str()),
            (status, message),
            "{query}"
        );
    }
}

#[tokio::test]
async fn categories_name_the_products_that_entries_have() {
    let upstream = Upstream::start(small()).await;
    let source = &upstream.simulator.sources()[1];
    let categories = upstream
        .get(&format!("/{source}/logs/audit/product_categories"))
        .await
        .result();
    for category in categories.as_array().unwrap() {
        let value = category["value"].as_str().unwrap();
        let products: Vec<&Value> = category["products"]
            .as_array()
            .unwrap()
            .iter()
            .map(|product| &product["value"])
            .collect();
        let question = format!(
            "/{source}/logs/audit?{ALL}&limit=1000&product_category={}",
            value.to_uppercase()
        );
        let found = parsed(&texts(upstream.walk(&question, |_| ()).await));
        assert!(
            found
                .iter()
                .all(|entry| products.contains(&&entry["resource"]["product"])),
            "{value}"
        );
    }
    assert!(categories.as_array().unwrap().len() >= 10);
    let organization = &upstream.simulator.sources()[0];
    let answer = upstream
        .get(&format!("/{organization}/logs/audit/product_categories"))
        .await;
    assert_eq!(answer.status, 404);
}

/// Every filter of the table, over the wire, against the same question put to the entries.
#[tokio::test]
async fn every_filter_and_its_twin_divide_the_log() {
    let upstream = Upstream::start(small()).await;
    for source in &upstream.simulator.sources()[..2] {
        let entries = parsed(&upstream.simulator.entries(source, upstream.clock.now()));
        for filter in orgtrail_cloudflare::filter::FILTERS
            .iter()
            .filter(|filter| filter.is_in(source.kind()) && filter.has_not)
        {
            let pointer = format!("/{}", filter.path.replace('.', "/"));
            let value = |entry: &Value| match entry.pointer(&pointer) {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            };
            let wanted = entries.iter().rev().find_map(value).unwrap();
            let (with, without): (Vec<&Value>, Vec<&Value>) = entries
                .iter()
                .partition(|entry| value(entry).as_ref() == Some(&wanted));
            for (name, expected) in [
                (filter.name.to_owned(), with),
                (format!("{}.not", filter.name), without),
            ] {
                let question = format!(
                    "/{source}/logs/audit?{ALL}&direction=asc&limit=1000&{name}={}",
                    escaped(&wanted)
                );
                let found = parsed(&texts(upstream.walk(&question, |_| ()).await));
                assert_eq!(
                    found.iter().collect::<Vec<_>>(),
                    expected,
                    "{name}={wanted}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_filter_that_matches_too_rarely_is_refused_and_does_not_hang() {
    let config = SimConfig {
        events: 10_000_000,
        accounts: 1,
        days: 540,
        ..SimConfig::default()
    };
    let upstream = Upstream::start(config).await;
    let source = &upstream.simulator.sources()[1];
    let ask = async |window: &str| {
        let question = format!("/{source}/logs/audit?{window}&actor_email=nobody@example.com");
        upstream.get(&question).await
    };
    let refused = ask("since=2026-01-01&before=2026-08-01").await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.message().contains("first 100000 entries"),
        "{}",
        refused.message()
    );
    let nothing = ask("since=2026-07-31T10:00:00Z&before=2026-07-31T10:10:00Z").await;
    assert_eq!(nothing.result(), json!([]));
}
