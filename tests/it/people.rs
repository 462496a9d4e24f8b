//! Who an actor is: members and accounts beside the answer, their history, and what happens when nobody may read them.

use std::collections::BTreeSet;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use chrono::TimeDelta;
use orgtrail::sim::SimConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::drive::{Plan, World};
use crate::harness::{Service, Upstream, configuration};

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
    let first = world.store().members(("", ""), 1_000).unwrap();
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
    let members = world.store().members(("", ""), 1_000).unwrap();
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
    let hours = (world.clock.now() - crate::drive::start()).num_hours();
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
