//! Who an actor is: members and accounts beside the answer, their history, and what happens when nobody may read them.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use chrono::TimeDelta;
use orgtrail::clock::Clock;
use orgtrail::position::Source;
use orgtrail::store::SourceSeen;
use orgtrail_cloudflare::member::Member;
use orgtrail_simulator::SimConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::form_urlencoded::byte_serialize;

use crate::fixture_log::{Desk, account};
use crate::harness::{Service, Upstream, configuration};
use crate::manual_clock::{Plan, World};

/// A whole list, page by page.
async fn walk(service: &Service, list: &str, limit: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let told = service
            .get(&format!("/v1/{list}?limit={limit}{cursor}"))
            .await;
        let page = told[list].as_array().unwrap();
        assert!((1..=limit).contains(&page.len()), "{told}");
        found.extend_from_slice(page);
        match told["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acted_and_for_which_account_is_told_beside_the_entry() {
    let upstream = Upstream::new(SimConfig {
        events: 400,
        accounts: 2,
        days: 20,
        ..SimConfig::default()
    })
    .await;
    // More members than a page of their list has.
    let url = format!(
        "{}/organizations/{}/members",
        upstream.base_url,
        upstream.simulator.organization_id()
    );
    let http = reqwest::Client::new();
    for n in 0..110 {
        let member = json!({"member": {"user": {"email": format!("guest{n}@example.com")}}});
        let added = http.post(&url).bearer_auth("any").body(member.to_string());
        assert!(added.send().await.unwrap().status().is_success());
    }
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(3).await;
    let told = service
        .until("/v1/members", |told| {
            !told["members"].as_array().unwrap().is_empty()
        })
        .await;
    let members = told["members"].as_array().unwrap();
    assert_eq!(members.len(), 124);
    assert_eq!(walk(&service, "members", 50).await, *members);
    let names = service.get("/v1/accounts").await;
    let names = names["accounts"].as_array().unwrap();
    assert_eq!(names.len(), 2);
    assert_eq!(walk(&service, "accounts", 1).await, *names);
    // A cursor is of its own list.
    let of_accounts = service.get("/v1/accounts?limit=1").await;
    let cursor = of_accounts["next_cursor"].as_str().unwrap();
    let (status, body) = service.ask(&format!("/v1/members?cursor={cursor}")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("no cursor of this list"), "{body}");

    let page = service.get("/v1/events?limit=1000").await;
    let (mut n_known, mut n_unknown, mut of_accounts) = (0, 0, BTreeSet::new());
    for event in page["events"].as_array().unwrap() {
        let member = members
            .iter()
            .find(|member| member["user_id"] == event["entry"]["actor"]["id"]);
        match &event["actor_known"] {
            Value::Null => {
                n_unknown += 1;
                assert_eq!(member, None, "{event:#}");
            }
            known => {
                n_known += 1;
                let member = member.unwrap();
                for name in [
                    "id",
                    "organization",
                    "email",
                    "status",
                    "two_factor",
                    "joined_at",
                ] {
                    assert_eq!(known[name], member[name], "{name} in {event:#}");
                }
                assert_eq!(known["left_at"], Value::Null);
            }
        }
        let named = names
            .iter()
            .find(|named| named["source"] == event["source"]);
        assert_eq!(
            event["account_name"],
            named.map_or(Value::Null, |named| named["name"].clone())
        );
        of_accounts.extend(named.map(|named| named["source"].to_string()));
        assert_eq!(event["entry"]["actor_known"], Value::Null);
    }
    assert!(n_known > 10 && n_unknown > 10, "{n_known}, {n_unknown}");
    assert_eq!(of_accounts.len(), 2);
    let one = service.get("/v1/events/1").await;
    assert!(one["actor_known"].is_object() || one["actor_known"].is_null());
    let keys: BTreeSet<&str> = one
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert!(
        keys.contains("account_name") && keys.contains("actor_known"),
        "{keys:?}"
    );
    service.stop().await.unwrap();
}

#[tokio::test]
async fn members_are_read_again_hourly_and_those_who_left_are_remembered() {
    let config = SimConfig {
        events: 60,
        accounts: 1,
        days: 2,
        ..SimConfig::default()
    };
    let mut world = World::new(config, Plan::default()).await;
    world.settle().await;
    let first = world.store().members(None, ("", ""), 1_000).unwrap();
    assert_eq!(first.len(), 14);
    let (leaver, organization) = (first[3].member.clone(), first[3].organization.clone());
    let url = format!("{}/organizations/{organization}/members", world.base_url);
    let http = reqwest::Client::new();
    let gone = http
        .delete(format!("{url}/{}", leaver.id))
        .bearer_auth("any");
    assert!(gone.send().await.unwrap().status().is_success());

    let until = world.clock.now() + TimeDelta::hours(3);
    while world.clock.now() < until {
        world.poll().await;
    }
    let members = world.store().members(None, ("", ""), 1_000).unwrap();
    let left = members.iter().find(|row| row.member == leaver).unwrap();
    assert!(
        left.until.is_some() && left.since == first[3].since,
        "{left:#?}"
    );
    assert_eq!(members.iter().filter(|row| row.until.is_none()).count(), 13);
    let asked = world.simulator.requests();
    let asked = asked
        .iter()
        .filter(|asked| asked.method == "GET" && asked.path_and_query.contains("/members?"));
    let hours = (world.clock.now() - crate::manual_clock::start()).num_hours();
    let asked = i64::try_from(asked.count()).unwrap();
    assert!(
        asked >= 4 && (hours..=hours + 1).contains(&asked),
        "{asked} requests in {hours} hours: once at the start, and then once an hour"
    );
    while world.follow() {}
    world.invariants();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_members_may_not_be_read_nothing_else_is_amiss() {
    async fn respond(uri: Uri) -> axum::response::Response {
        let refused = r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"result":null}"#;
        let entry = r#"{"id":"e","action":{"time":"2026-01-01T00:00:00Z"},"actor":{"id":"u","email":"u@example.com"}}"#;
        if uri.path().ends_with("/members") {
            return (StatusCode::FORBIDDEN, refused).into_response();
        }
        format!(r#"{{"success":true,"result":[{entry}],"result_info":{{}}}}"#).into_response()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/client/v4", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        axum::serve(listener, Router::new().fallback(respond))
            .await
            .unwrap();
    });
    let dir = tempfile::tempdir().unwrap();
    let sources = "[[organizations]]\nid = \"o\"\naccounts = \"none\"";
    let text = configuration(dir.path(), &base_url, sources).replace("\"40d\"", "\"1d\"");
    let service = Service::start(&text).await;
    assert_eq!(service.settle(1).await, 1);
    let is_live = |told: &Value| told["sources"][0]["state"] == "live";
    let told = service.until("/v1/sources", is_live).await;
    assert_eq!(told["sources"][0]["last_error"], Value::Null);
    let event = service.get("/v1/events/1").await;
    assert_eq!(
        (&event["actor_known"], &event["account_name"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        service.get("/v1/members").await,
        json!({"members": [], "next_cursor": null})
    );
    service.stop().await.unwrap();
}

/// A member with an address of the same name.
fn member(name: &str, status: &str, two_factor: bool) -> Member {
    Member {
        id: format!("m-{name}"),
        user_id: (status != "pending").then(|| format!("u-{name}")),
        email: Some(format!("{name}@example.com")),
        name: Some(format!("{name} Of Example")),
        status: Some(status.to_owned()),
        two_factor: Some(two_factor),
        joined_at: Some("2026-01-02T03:04:05+01:00".to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_of_actors_and_accounts_can_be_searched_and_counted() {
    let mut desk = Desk::new().await;
    let now = Clock::system().now();
    let by = |n: u32, actor: Value, account: Value| {
        let time = format!("2026-08-03T08:00:{n:02}Z");
        json!({"id": format!("e{n}"), "action": {"time": time}, "actor": actor, "account": account})
            .to_string()
    };
    let actors = [
        json!({"id": "u-Ann", "email": "ann@example.com"}),
        json!({"id": "u-ann", "email": "bob@example.com"}),
        json!({"id": "u-gone", "email": "BOB@example.com"}),
        json!({"email": "Carl@Example.com"}),
        json!({"id": "u-dora"}),
        json!({"id": "u-nobody", "email": "nobody@example.com"}),
        json!({}),
    ];
    let entries: Vec<String> = (0..21_usize)
        .map(|n| {
            let account = match n % 3 {
                0 => json!({"id": "f00d", "name": "Old Name"}),
                1 => json!({"id": "beef"}),
                _ => Value::Null,
            };
            by(n as u32, actors[n % actors.len()].clone(), account)
        })
        .collect();
    let organization = Source::organization("o").unwrap();
    desk.keep(&organization, &entries[..7]);
    desk.keep(&account(), &entries[7..]);
    let listed = |ann: &str| {
        vec![
            member("ann", ann, true),
            member("bob", "active", false),
            member("carl", "pending", false),
            member("dora", "active", true),
        ]
    };
    desk.store
        .save_members("o", &listed("pending"), true, now - TimeDelta::days(2))
        .unwrap();
    desk.store
        .save_members("o", &listed("active"), true, now - TimeDelta::days(1))
        .unwrap();
    desk.store
        .save_members("o", &listed("active")[..3], true, now)
        .unwrap();
    let names = [("f00d", "Account Of Food"), ("beef", "Old Name")].map(|(id, name)| SourceSeen {
        source: Source::account(id).unwrap(),
        organization: Some("o".to_owned()),
        created_at: None,
        label: Some(name.to_owned()),
    });
    desk.store.save_sources(&names, now).unwrap();
    desk.search_all();

    let page = desk.get("/v1/events?limit=100").await;
    let events = page["events"].as_array().unwrap();
    let fields = desk.get("/v1/fields?prefix=actor.known.").await;
    let fields = fields["fields"].as_array().unwrap();
    assert_eq!(fields.len(), 10);
    let names = fields.iter().map(|field| field["name"].as_str().unwrap());
    for name in names.chain(["account.name"]) {
        // Each value with the events that show it, in the way that it is compared.
        let mut shown: BTreeMap<String, u64> = BTreeMap::new();
        for event in events {
            let values: BTreeSet<String> = match name.strip_prefix("actor.known.") {
                Some(member) => shown_as_text(&event["actor_known"][member])
                    .into_iter()
                    .collect(),
                None => [&event["account_name"], &event["entry"]["account"]["name"]]
                    .into_iter()
                    .filter_map(shown_as_text)
                    .collect(),
            };
            for value in values {
                *shown.entry(value).or_default() += 1;
            }
        }
        assert!(!shown.is_empty(), "{name}");
        let facets = desk.get(&format!("/v1/facets?field={name}&size=100")).await;
        let facet = &facets["facets"][name];
        assert_eq!(facet["distinct"], shown.len(), "{name}");
        let without = count(&desk, &format!("-{name}:*")).await;
        assert_eq!(facet["missing"], without, "{name}");
        let facets = facet["values"].as_array().unwrap();
        let counted: BTreeMap<String, u64> = facets
            .iter()
            .map(|found| {
                (
                    found["value"].as_str().unwrap().to_owned(),
                    found["count"].as_u64().unwrap(),
                )
            })
            .collect();
        assert_eq!(counted, shown, "{name}");
        for (value, n) in &shown {
            let query = format!("{name}:\"{value}\"");
            assert_eq!(count(&desk, &query).await, *n, "{query}");
            let others = format!("-{query}");
            assert_eq!(count(&desk, &others).await, 21 - n, "{others}");
        }
        let any: u64 = count(&desk, &format!("{name}:*")).await;
        let all = shown
            .keys()
            .map(|value| format!("\"{value}\""))
            .collect::<Vec<_>>();
        assert_eq!(
            any,
            count(&desk, &format!("{name}:({})", all.join(" OR "))).await,
            "{name}"
        );
    }
    for (query, expect) in [
        ("actor.known.email:ANN*", 6),
        ("actor.known.name:of", 15),
        ("actor.known.name:/bob .*/", 3),
        ("actor.known:*", 15),
        ("actor.known.left_at:>=now-1h", 3),
        ("actor.known.two_factor:false actor.id:u-gone", 3),
        ("account.name:food", 17),
    ] {
        assert_eq!(count(&desk, query).await, expect, "{query}");
    }
    for query in [
        "actor.known.two_factor:maybe",
        "actor.known:x",
        "actor.known.mail:x",
        "actor.known.joined_at:soon",
    ] {
        let query: String = byte_serialize(query.as_bytes()).collect();
        let (status, body) = desk.ask(&format!("/v1/count?q={query}")).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, problem["at"].is_u64()),
            (StatusCode::BAD_REQUEST, true),
            "{query}: {body}"
        );
    }
    // Every route that takes filters takes these.
    let (_, exported) = desk.ask("/v1/export?q=actor.known.status:pending").await;
    assert_eq!(exported.lines().count(), 3);
    let told = desk
        .get("/v1/actors/u-ann?q=actor.known.status:active")
        .await;
    assert_eq!(told["count"], 6);
    let values = desk
        .get("/v1/fields/actor.known.name/values?prefix=a")
        .await;
    assert_eq!(
        values["values"],
        json!([{"value": "ann of example", "label": "ann Of Example", "count": 6}])
    );
    desk.stop().await;
}

async fn count(desk: &Desk, query: &str) -> u64 {
    let query: String = byte_serialize(query.as_bytes()).collect();
    let told = desk.get(&format!("/v1/count?q={query}")).await;
    told["count"].as_u64().unwrap()
}

/// A value as it is compared.
fn shown_as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(match chrono::DateTime::parse_from_rfc3339(text) {
            Ok(time) => time
                .to_utc()
                .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            Err(_) => text.to_lowercase(),
        }),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
