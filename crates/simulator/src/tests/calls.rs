//! The calls around the logs: refusals, credentials, the quota, accounts, members.

use serde_json::json;

use super::*;

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_upstreams_words() {
    let upstream = Upstream::start(small()).await;
    let log = format!(
        "/organizations/{}/logs/audit",
        upstream.simulator.organization_id()
    );
    for (query, message) in [
        ("", "since is required"),
        ("since=2026-08-01", "before is required"),
        (
            "since=2026-08-01&before=soon",
            "before must be a date (yyyy-mm-dd) or an RFC 3339 time",
        ),
        (
            "since=2026-08-02&before=2026-08-01",
            "since must be earlier than before",
        ),
        (
            "since=2026-08-01&before=2026-08-02&limit=0",
            "limit must be a number from 1 to 1000",
        ),
        (
            "since=2026-08-01&before=2026-08-02&limit=1001",
            "limit must be a number from 1 to 1000",
        ),
        (
            "since=2026-08-01&before=2026-08-02&direction=up",
            "direction must be one of: desc, asc",
        ),
        (
            "since=2026-08-01&before=2026-08-02&cursor=xyz",
            "cursor is not valid for this query",
        ),
    ] {
        let answer = upstream.get(&format!("{log}?{query}")).await;
        assert_eq!(
            (answer.status, answer.message().as_str()),
            (400, message),
            "{query}"
        );
    }
    let unknown =
        "/accounts/00000000000000000000000000000000/logs/audit?since=2026-08-01&before=2026-08-02";
    for path in [unknown, "/organizations/x", "/nothing"] {
        let answer = upstream.get(path).await;
        assert_eq!(
            (answer.status, answer.message().as_str()),
            (404, "No route for the URI."),
            "{path}"
        );
    }
    let unreadable = upstream.get("/organizations/%ff/members").await;
    assert_eq!(
        (unreadable.status, unreadable.message().as_str()),
        (400, "Bad Request")
    );
    let long = format!("{log}?since={}", "x".repeat(20_000));
    assert_eq!(upstream.get(&long).await.status, 414);
}

#[tokio::test]
async fn a_cursor_is_good_for_its_query_and_any_page_size() {
    let upstream = Upstream::start(small()).await;
    let source = &upstream.simulator.sources()[1];
    let ask = async |query: String| upstream.get(&format!("/{source}/logs/audit?{query}")).await;
    let window = "since=2026-07-01&before=2026-08-03";
    let first = ask(format!("{window}&direction=asc&limit=50")).await.page();
    let cursor = escaped(&first.cursor.unwrap());
    let smaller = ask(format!("limit=5&cursor={cursor}&direction=asc&{window}")).await;
    assert_eq!(smaller.page().entries.len(), 5);
    for other in ["direction=desc", "direction=asc&action_type=create"] {
        let answer = ask(format!("{window}&{other}&cursor={cursor}")).await;
        assert_eq!(answer.status, 400, "{other}");
    }
}

#[tokio::test]
async fn credentials_are_looked_at_first() {
    let upstream = Upstream::start(SimConfig {
        token: Some("right".to_owned()),
        ..small()
    })
    .await;
    let path = format!(
        "{}/organizations/{}",
        upstream.base,
        upstream.simulator.organization_id()
    );
    let get = || upstream.client.get(&path);
    assert_eq!(upstream.send_as("right", get()).await.status, 200);
    let wrong = upstream.send_as("wrong", get()).await;
    assert_eq!(
        (wrong.status, wrong.json()["errors"][0]["code"].as_u64()),
        (401, Some(1000))
    );
    for malformed in ["Basic xyz", "Bearer ", "Bearer a b", "right"] {
        let response = get()
            .header("authorization", malformed)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 400, "{malformed}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["errors"][0]["code"], 6003);
        assert_eq!(body["errors"][0]["error_chain"][0]["code"], 6111);
    }
    let seen = upstream.simulator.requests();
    assert_eq!(seen.len(), 6);
    assert!(
        seen.iter()
            .all(|request| !request.credential.contains("right"))
    );
}

#[tokio::test]
async fn passing_the_quota_blocks_every_call_for_five_minutes() {
    let upstream = Upstream::start(SimConfig {
        quota: 3,
        ..small()
    })
    .await;
    let path = format!("/organizations/{}", upstream.simulator.organization_id());
    for remaining in [2, 1, 0] {
        let answer = upstream.get(&path).await;
        assert_eq!(
            answer.headers["ratelimit"],
            format!("\"default\";r={remaining};t=300")
        );
        assert_eq!(answer.headers["ratelimit-policy"], "\"default\";q=3;w=300");
        assert_eq!(answer.headers["date"], "Mon, 03 Aug 2026 12:00:00 GMT");
    }
    let refused = upstream.get(&path).await;
    assert_eq!(
        (refused.status, refused.headers["retry-after"].as_str()),
        (429, "300")
    );
    assert!(
        refused
            .message()
            .starts_with("More than 3 requests per 300 seconds")
    );
    upstream.clock.advance(TimeDelta::milliseconds(299_500));
    let told = upstream.get(&path).await;
    assert_eq!(
        (told.status, told.headers["retry-after"].as_str()),
        (429, "1")
    );
    let other = upstream.client.get(format!("{}{path}", upstream.base));
    assert_eq!(upstream.send_as("another", other).await.status, 200);
    upstream.clock.advance(TimeDelta::milliseconds(500));
    assert_eq!(upstream.get(&path).await.status, 200);
    let told: Vec<_> = upstream
        .simulator
        .requests()
        .iter()
        .map(|seen| seen.while_told_to_wait)
        .collect();
    assert_eq!(told, [false, false, false, false, true, false, false]);
}

#[tokio::test]
async fn accounts_page_by_token() {
    let upstream = Upstream::start(SimConfig {
        accounts: 37,
        events: 0,
        ..small()
    })
    .await;
    let list = format!(
        "/organizations/{}/accounts?page_size=15",
        upstream.simulator.organization_id()
    );
    let mut ids = Vec::new();
    let mut token = String::new();
    for _ in 0..3 {
        let page = upstream.get(&format!("{list}{token}")).await.json();
        assert_eq!(page["result_info"]["total_size"], 37);
        ids.extend(
            page["result"]
                .as_array()
                .unwrap()
                .iter()
                .map(|account| account["id"].clone()),
        );
        token = page["result_info"]["next_page_token"]
            .as_str()
            .map_or(String::new(), |token| {
                format!("&page_token={}", escaped(token))
            });
    }
    assert_eq!(token, "");
    let sources = upstream.simulator.sources();
    let expected: Vec<_> = sources[1..]
        .iter()
        .map(|source| json!(source.id()))
        .collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn a_member_joins_and_leaves_and_the_log_tells() {
    let upstream = Upstream::start(SimConfig {
        events: 0,
        ..small()
    })
    .await;
    let id = upstream.simulator.organization_id();
    let members = format!("{}/organizations/{id}/members", upstream.base);
    let wanted =
        json!({ "member": { "user": { "email": "dave@example.com" }, "status": "active" } });
    let request = upstream
        .client
        .post(&members)
        .header("user-agent", "curl/8.9.1");
    let added = upstream.send(request.body(wanted.to_string())).await;
    assert_eq!(added.status, 200, "{}", added.text);
    let member = added.json()["result"].clone();
    let listed = upstream
        .get(&format!(
            "/organizations/{id}/members?user.email=dave@example.com"
        ))
        .await;
    assert_eq!(listed.json()["result"], json!([member]));

    upstream.clock.advance(TimeDelta::seconds(1));
    let one = format!("{members}/{}", member["id"].as_str().unwrap());
    assert_eq!(
        upstream.send(upstream.client.delete(&one)).await.status,
        200
    );
    assert_eq!(upstream.send(upstream.client.get(&one)).await.status, 404);
    assert_eq!(
        upstream.send(upstream.client.delete(&one)).await.status,
        404
    );

    upstream.clock.advance(TimeDelta::seconds(1));
    let log =
        format!("/organizations/{id}/logs/audit?since=2026-08-03&before=2026-08-04&direction=asc");
    let entries = texts(upstream.walk(&log, |_| ()).await);
    let entries: Vec<Value> = entries
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["action"]["description"], "Add Member");
    assert_eq!(
        entries[0]["raw"]["cf_ray_id"],
        added.headers["cf-ray"].as_str()
    );
    assert_eq!(entries[0]["raw"]["user_agent"], "curl/8.9.1");
    assert_eq!(entries[0]["resource"]["request"], wanted);
    assert_eq!(entries[0]["resource"]["response"], member);
    assert_eq!(entries[0]["actor"]["context"], "api_token");
    assert_eq!(entries[1]["action"]["description"], "Delete Member");
    assert_eq!(entries[1]["resource"]["id"], member["id"]);
}

#[tokio::test]
async fn bad_members_are_refused() {
    let upstream = Upstream::start(SimConfig {
        events: 0,
        ..small()
    })
    .await;
    let members = format!(
        "{}/organizations/{}/members",
        upstream.base,
        upstream.simulator.organization_id()
    );
    let post = async |body: String| {
        upstream
            .send(upstream.client.post(&members).body(body))
            .await
            .status
    };
    assert_eq!(post("{".to_owned()).await, 400);
    assert_eq!(post("{}".to_owned()).await, 400);
    assert_eq!(post("[".repeat(60_000)).await, 400);
    assert_eq!(post("x".repeat(MAX_BODY_LEN + 1)).await, 413);
    assert_eq!(
        post(json!({ "member": { "user": { "email": "nobody" } } }).to_string()).await,
        400
    );
    let good = json!({ "member": { "user": { "email": "erin@example.com" } } }).to_string();
    assert_eq!(post(good.clone()).await, 200);
    assert_eq!(post(good).await, 409);
    assert_eq!(
        upstream.send(upstream.client.put(&members)).await.status,
        405
    );
}
