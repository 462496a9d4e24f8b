//! What is counted can be asked for: each row of a facet, and each bucket of a histogram, finds the events that it counts.

use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// Texts that are spelled in many ways, very long, or something else in another field.
fn texts() -> Vec<String> {
    let short = [
        "200",
        "0200",
        "+200",
        "200.0",
        "2e2",
        "2E2",
        " 200 ",
        "0",
        "-0",
        "00",
        "1e400",
        "1e+400",
        "-1.50",
        "-1.5",
        "10.0.0.7",
        "10.0.0.0/8",
        "10.0.0.300",
        "2001:DB8::1",
        "2026-08-03",
        "2026-08-03T10:00:00+02:00",
        "now-7d",
        "7d",
        "yesterday",
        "İstanbul",
        "i\u{307}stanbul",
        "İSTANBUL ŞEHİR",
        "ſtop",
        "\u{212a}",
        "a\"b\\c",
        "*",
        "a b",
    ];
    let long = ['x', 'X', 'é', '…', '🏢', '7', 'İ'].map(|c| c.to_string().repeat(2_100));
    let more = [
        "0".repeat(2_100) + "1",
        "x".repeat(2_101),
        "a b ".repeat(600),
    ];
    let short = short.map(ToOwned::to_owned).into_iter();
    short.chain(long).chain(more).collect()
}

const FIELDS: [&str; 9] = [
    "actor.email",
    "actor.id",
    "actor.ip_address",
    "actor.token_name",
    "action.time",
    "raw.status_code",
    "resource.id",
    "resource.request.n",
    "resource.scope",
];

/// An entry with these values at each of the fields.
fn entry(id: usize, values: &Value) -> String {
    json!({"id": id.to_string(), "action": {"time": values},
        "actor": {"email": values, "id": values, "ip_address": values, "token_name": values},
        "raw": {"status_code": values},
        "resource": {"id": values, "scope": values, "request": {"n": values}}})
    .to_string()
}

async fn count(desk: &Desk, query: &str) -> Value {
    let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    desk.get(&format!("/v1/count?q={query}")).await["count"].clone()
}

fn quoted(value: &Value) -> String {
    let value = value.as_str().unwrap();
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_of_a_facet_finds_the_events_that_it_counts() {
    let mut desk = Desk::on_both_engines().await;
    let texts = texts();
    let mut entries: Vec<String> = (0..)
        .zip(&texts)
        .map(|(id, text)| entry(id, &json!(text)))
        .collect();
    // Several spellings in one entry count once.
    entries.push(entry(100, &json!(["200", "0200", "+200", 200, "x"])));
    entries.push(entry(101, &json!([2e2, "2e2", -1.5])));
    for half in entries.chunks(entries.len() / 2) {
        desk.keep(&account(), half);
        desk.search_all();
    }
    for field in FIELDS {
        for among in ["*", "NOT id:(1 OR 100)"] {
            let path = format!(
                "/v1/facets?field={field}&size=1000&q={}",
                among.replace(' ', "+")
            );
            let rows = desk.get(&path).await["facets"][field]["values"].clone();
            let rows = rows.as_array().unwrap();
            assert!(rows.len() > 20, "{field}");
            for row in rows {
                let query = format!("{field}:{}", quoted(&row["value"]));
                let found = count(&desk, &format!("({among}) AND {query}")).await;
                assert_eq!(found, row["count"], "{query:.80} among {among}");
            }
        }
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_one_row_however_it_is_spelled() {
    let mut desk = Desk::on_both_engines().await;
    let values = [
        "\"0200\"",
        "\"+200\"",
        "200",
        "2e2",
        "\"2e2\"",
        "[\"200.0\", \"0200\"]",
        "\"007\"",
        "\"7.50\"",
        "0.75e1",
        r#"["5","05","005","+5","5.0","5.00","05.0","+05","+5.0","+05.0"]"#,
    ];
    let entries = (0..)
        .zip(values)
        .map(|(id, value)| format!(r#"{{"id":"{id}","n":{value},"code":{value}}}"#));
    let mut entries: Vec<String> = entries.collect();
    // So many values that few events are read instead.
    let many: Vec<String> = (1_000..3_000).map(|n| format!("\"0{n}\"")).collect();
    entries.push(format!(r#"{{"id":"many","n":[{}]}}"#, many.join(",")));
    desk.keep(&account(), &entries);
    desk.search_all();
    let rows = async |path: &str| {
        let rows = desk.get(path).await["facets"]["n"]["values"].clone();
        let rows = rows.as_array().unwrap().iter();
        let told = |row: &Value| {
            format!(
                "{} {} {}",
                row["value"].as_str().unwrap(),
                row["label"].as_str().unwrap(),
                row["count"]
            )
        };
        rows.map(told).collect::<Vec<_>>()
    };
    let expect = ["200 200 5", "7.5 7.5 2", "2e2 2e2 1", "5 5 1", "7 007 1"];
    assert_eq!(rows("/v1/facets?field=n&q=-id:many").await, expect);
    assert_eq!(rows("/v1/facets?field=n&size=3").await[..2], expect[..2]);
    let one = rows("/v1/facets?field=n&q=id:(0+OR+5)").await;
    assert_eq!(one, ["200 0200 2"]);
    let read = rows("/v1/facets?field=n&size=1&q=id:many").await;
    assert_eq!(read, ["1000 01000 1"]);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_holds_what_its_ends_say_however_far_apart_events_are() {
    let mut desk = Desk::on_both_engines().await;
    let times = [
        "0000-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2026-08-03T08:00:00Z",
        "9999-12-31T23:59:59.999999Z",
    ];
    let entries = (0..)
        .zip(times)
        .map(|(id, time)| json!({"id": id.to_string(), "action": {"time": time}}).to_string());
    let entries: Vec<String> = entries.collect();
    desk.keep(&account(), &entries);
    desk.search_all();
    for (query, zone) in [
        ("*", "UTC"),
        ("*", "Pacific/Apia"),
        ("id:(1 OR 2)", "Europe/Berlin"),
        ("id:(2 OR 3)", "Africa/Monrovia"),
        ("id:1", "UTC"),
        ("id:3", "UTC"),
    ] {
        let ask = format!("q={}&tz={zone}", query.replace(' ', "+"));
        let told = desk
            .get(&format!("/v1/histogram?{ask}&interval=auto"))
            .await;
        let buckets = told["buckets"].as_array().unwrap();
        assert!(
            (1..=102).contains(&buckets.len()),
            "{ask}: {}",
            buckets.len()
        );
        for pair in buckets.windows(2) {
            assert_eq!(pair[0]["end"], pair[1]["time"], "{ask}");
        }
        let mut sum = 0;
        for bucket in buckets {
            let since = bucket["time"].as_str().unwrap();
            let before = bucket["end"].as_str().map(|end| format!("&before={end}"));
            let path = format!(
                "/v1/count?{ask}&since={since}{}",
                before.unwrap_or_default()
            );
            assert_eq!(desk.get(&path).await["count"], bucket["count"], "{path}");
            sum += bucket["count"].as_u64().unwrap();
        }
        assert_eq!(json!(sum), count(&desk, query).await, "{ask}");
    }
    desk.stop().await;
}
