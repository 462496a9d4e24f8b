//! Organizations come, change and go, and their logs tell.

use serde_json::json;

use super::*;

/// Nothing but organizations: no history.
fn quiet() -> SimConfig {
    SimConfig {
        events: 0,
        accounts: 2,
        ..SimConfig::default()
    }
}

fn ids(list: &Value) -> Vec<&str> {
    let items = list.as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

async fn create(upstream: &Upstream, name: &str, parent: Option<&str>) -> String {
    let mut wanted = json!({ "name": name });
    if let Some(parent) = parent {
        wanted["parent"] = json!({ "id": parent });
    }
    let made = upstream.post("/organizations", &wanted).await.result();
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_write_leaves_an_entry_in_the_log_of_its_organization() {
    let upstream = Upstream::start(quiet()).await;
    let profile = json!({
        "business_address": "Zürichstraße 5",
        "business_email": "ops@example.org",
        "business_name": "株式会社",
        "business_phone": "",
        "external_metadata": "{\"quoted\": true}",
    });
    let wanted = json!({ "name": "Made \"here\"", "profile": profile });
    let made = upstream.post("/organizations", &wanted).await;
    let id = made.result()["id"].as_str().unwrap().to_owned();
    let path = format!("/organizations/{id}");
    let renamed = json!({ "name": "Renamed" });
    upstream.put(&path, &renamed).await.result();
    let mut changed = profile.clone();
    changed["business_phone"] = json!("+41 44 000 00 00");
    upstream
        .put(&format!("{path}/profile"), &changed)
        .await
        .result();
    let told = upstream.get(&format!("{path}/profile")).await.result();
    assert_eq!(told, changed);
    let batch = json!({ "members": [{ "user": { "email": "a@example.com" } }, { "user": { "email": "b@example.com" }, "status": "active" }] });
    let joined = upstream
        .post(&format!("{path}/members:batchCreate"), &batch)
        .await
        .result();
    assert_eq!(
        (joined[0]["status"].as_str(), joined[1]["status"].as_str()),
        (Some("pending"), Some("active"))
    );

    let entries = upstream.log(&id).await;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            let text = |pointer: &str| entry.pointer(pointer).unwrap().as_str().unwrap();
            [
                text("/action/description"),
                text("/action/type"),
                text("/raw/method"),
                text("/raw/uri"),
                text("/resource/type"),
            ]
            .map(|text| text.replace(&id, "ID"))
        })
        .collect();
    let expected = [
        [
            "Create organization",
            "create",
            "POST",
            "/organizations",
            "organization",
        ],
        [
            "Modify organization",
            "update",
            "PUT",
            "/organizations/ID",
            "organization",
        ],
        [
            "Modify organization profile",
            "update",
            "PUT",
            "/organizations/ID/profile",
            "profile",
        ],
        [
            "Add Members",
            "create",
            "POST",
            "/organizations/ID/members:batchCreate",
            "members",
        ],
    ];
    assert_eq!(told, expected);
    assert_eq!(entries[0]["resource"]["request"], wanted);
    assert_eq!(entries[0]["resource"]["response"], made.result());
    assert_eq!(entries[2]["resource"]["request"], changed);
    assert_eq!(entries[3]["resource"]["response"], joined);
    for entry in &entries {
        assert_eq!(entry["organization"]["id"], id);
        assert_eq!(entry["actor"]["context"], "api_token");
        assert_eq!(entry["raw"]["cf_ray_id"].as_str().unwrap().len(), 16);
    }
    let source = Source::organization(&id).unwrap();
    assert!(upstream.simulator.sources().contains(&source));
    assert_eq!(
        upstream
            .simulator
            .entries(&source, upstream.clock.now())
            .len(),
        4
    );
    // Nothing of it stands in another organization's log.
    let seeded = upstream.simulator.organization_id();
    assert_eq!(upstream.log(&seeded).await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_organization_must_be_empty_to_go_and_its_log_outlives_it() {
    let upstream = Upstream::start(quiet()).await;
    let seeded = upstream.simulator.organization_id();
    let refused = upstream.delete(&format!("/organizations/{seeded}")).await;
    assert_eq!(
        (refused.status, refused.message().as_str()),
        (
            400,
            "organization is not empty: it has 2 accounts, 14 members"
        )
    );
    let above = create(&upstream, "Above", None).await;
    let below = create(&upstream, "Below", Some(&above)).await;
    let refused = upstream.delete(&format!("/organizations/{above}")).await;
    assert_eq!(
        refused.message(),
        "organization is not empty: it has 1 organizations"
    );
    for id in [&below, &above] {
        let gone = upstream.delete(&format!("/organizations/{id}")).await;
        assert_eq!(gone.result(), json!({ "id": id }));
        for path in ["", "/members", "/accounts", "/profile"] {
            let answer = upstream.get(&format!("/organizations/{id}{path}")).await;
            assert_eq!(answer.status, 404, "{path}");
        }
    }
    let descriptions: Vec<Value> = upstream
        .log(&above)
        .await
        .iter()
        .map(|entry| entry["action"]["description"].clone())
        .collect();
    assert_eq!(descriptions, ["Create organization", "Delete organization"]);

    upstream.clock.advance(TimeDelta::days(547));
    assert_eq!(upstream.log(&above).await.len(), 2);
    upstream.clock.advance(TimeDelta::days(2));
    let log = format!("/organizations/{above}/logs/audit?since=2020-01-01&before=2100-01-01");
    assert_eq!(upstream.get(&log).await.status, 404);
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_not_shown() {
    let upstream = Upstream::start(SimConfig {
        days: 20,
        kept_days: 10,
        events: 2_000,
        ..quiet()
    })
    .await;
    let source = &upstream.simulator.sources()[1];
    let expected = upstream.simulator.entries(source, upstream.clock.now());
    let question = format!("/{source}/logs/audit?since=2026-01-01&before=2027-01-01&direction=asc");
    assert_eq!(texts(upstream.walk(&question, |_| ()).await), expected);
    let oldest: Value = serde_json::from_str(&expected[0]).unwrap();
    let oldest = at(oldest["action"]["time"].as_str().unwrap());
    let age = upstream.clock.now() - oldest;
    assert!(
        age <= TimeDelta::days(10) && age > TimeDelta::days(9),
        "{age}"
    );
    upstream.clock.advance(TimeDelta::days(11));
    assert_eq!(texts(upstream.walk(&question, |_| ()).await).len(), 0);
}

#[tokio::test]
async fn organizations_are_found_by_what_they_are_and_hold() {
    let upstream = Upstream::start(SimConfig {
        organizations: 3,
        ..quiet()
    })
    .await;
    let seeded = upstream.simulator.organization_ids();
    let above = create(&upstream, "ÜBER allem", Some(&seeded[1])).await;
    let below = create(&upstream, "Below", Some(&above)).await;
    let members = upstream
        .get(&format!("/organizations/{}/members", seeded[2]))
        .await
        .result();
    let user = members[5]["user"]["id"].as_str().unwrap();
    let account = upstream
        .get(&format!("/organizations/{}/accounts", seeded[1]))
        .await
        .result();
    let account = account[0]["id"].as_str().unwrap();
    let check = async |query: &str, expected: &[&String]| {
        let found = upstream
            .get(&format!("/organizations?page_size=100&{query}"))
            .await;
        assert_eq!(ids(&found.result()), expected, "{query}");
    };
    check("", &[&seeded[0], &seeded[1], &seeded[2], &above, &below]).await;
    check(
        &format!("id={below}&id={}", seeded[0]),
        &[&seeded[0], &below],
    )
    .await;
    check("parent.id=null", &[&seeded[0], &seeded[1], &seeded[2]]).await;
    check(&format!("parent.id={above}"), &[&below]).await;
    check("parent.id=nobody", &[]).await;
    check(&format!("name.contains={}", escaped("über")), &[&above]).await;
    check("name.startsWith=be&name.endsWith=OW", &[&below]).await;
    check(
        &format!("containing.organization={below}"),
        &[&seeded[1], &above],
    )
    .await;
    check(&format!("containing.account={account}"), &[&seeded[1]]).await;
    check(&format!("containing.user={user}"), &[&seeded[2]]).await;
    check("containing.user=nobody", &[]).await;

    let first = upstream.get("/organizations?page_size=2").await;
    let token = first.json()["result_info"]["next_page_token"].clone();
    assert_eq!(first.json()["result_info"]["total_size"], 5);
    let second = upstream
        .get(&format!(
            "/organizations?page_size=3&page_token={}",
            escaped(token.as_str().unwrap())
        ))
        .await;
    assert_eq!(ids(&second.result()), [&seeded[2], &above, &below]);
    assert_eq!(second.json()["result_info"], json!({ "total_size": 5 }));
}

#[tokio::test]
async fn bad_organizations_are_refused_and_leave_no_entry() {
    let upstream = Upstream::start(quiet()).await;
    let above = create(&upstream, "Above", None).await;
    let below = create(&upstream, "Below", Some(&above)).await;
    for (body, message) in [
        (json!({}), "missing field `name`"),
        (
            json!({ "name": " " }),
            "name must have from 1 to 1024 characters",
        ),
        (
            json!({ "name": "x".repeat(1_025) }),
            "name must have from 1 to 1024 characters",
        ),
        (
            json!({ "name": "x", "parent": { "id": "nobody" } }),
            "parent.id is not an organization",
        ),
        (
            json!({ "name": "x", "profile": { "business_name": "x" } }),
            "missing field `business_address`",
        ),
        (json!([1]), "the body is not an organization in JSON"),
    ] {
        for answer in [
            upstream.post("/organizations", &body).await,
            upstream
                .put(&format!("/organizations/{above}"), &body)
                .await,
        ] {
            assert_eq!(answer.status, 400, "{body}");
            assert!(answer.message().contains(message), "{}", answer.message());
        }
    }
    for parent in [&above, &below] {
        let body = json!({ "name": "x", "parent": { "id": parent } });
        let answer = upstream
            .put(&format!("/organizations/{above}"), &body)
            .await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    let mut last = below;
    for depth in 3..=8 {
        last = create(&upstream, &format!("depth {depth}"), Some(&last)).await;
    }
    let deeper = json!({ "name": "deeper", "parent": { "id": last } });
    assert_eq!(upstream.post("/organizations", &deeper).await.status, 400);
    let profile = upstream
        .get(&format!("/organizations/{above}/profile"))
        .await;
    assert_eq!(profile.status, 404);
    let nothing = upstream
        .put(&format!("/organizations/{above}/profile"), &json!({}))
        .await;
    assert_eq!(nothing.status, 400);
    assert_eq!(upstream.log(&above).await.len(), 1);
}

#[tokio::test]
async fn all_of_a_batch_join_or_none() {
    let upstream = Upstream::start(quiet()).await;
    let id = create(&upstream, "x", None).await;
    let path = format!("/organizations/{id}/members:batchCreate");
    let batch = |emails: &[&str]| {
        let members: Vec<Value> = emails
            .iter()
            .map(|email| json!({ "user": { "email": email } }))
            .collect();
        json!({ "members": members })
    };
    for (emails, status) in [
        (&["a@example.com", "nobody"][..], 400),
        (&["a@example.com", "A@Example.com"], 409),
        (&[], 400),
    ] {
        assert_eq!(
            upstream.post(&path, &batch(emails)).await.status,
            status,
            "{emails:?}"
        );
    }
    let members = format!("/organizations/{id}/members?page_size=2&status=pending&status=active");
    let total = async || upstream.get(&members).await.json()["result_info"]["total_size"].clone();
    assert_eq!(total().await, 0);
    let good = batch(&["a@example.com", "b@example.com", "c@example.com"]);
    assert_eq!(upstream.post(&path, &good).await.status, 200);
    assert_eq!(total().await, 3);
    assert_eq!(upstream.log(&id).await.len(), 2);
}

#[tokio::test]
async fn accounts_are_sorted_and_tagged_on_request() {
    let upstream = Upstream::start(SimConfig {
        accounts: 30,
        ..quiet()
    })
    .await;
    let list = format!(
        "/organizations/{}/accounts",
        upstream.simulator.organization_id()
    );
    let names = async |query: &str| -> Vec<String> {
        let mut names = Vec::new();
        let mut token = String::new();
        loop {
            let page = upstream
                .get(&format!("{list}?page_size=7&{query}{token}"))
                .await
                .json();
            let accounts = page["result"].as_array().unwrap();
            names.extend(
                accounts
                    .iter()
                    .map(|account| account["name"].as_str().unwrap().to_owned()),
            );
            match page["result_info"]["next_page_token"].as_str() {
                Some(next) => token = format!("&page_token={}", escaped(next)),
                None => return names,
            }
        }
    };
    let mut sorted = names("").await;
    sorted.sort();
    assert_eq!(names("order_by=account_name").await, sorted);
    sorted.reverse();
    assert_eq!(names("order_by=account_name&direction=desc").await, sorted);
    sorted.retain(|name| name.to_lowercase().contains("sample"));
    assert!(sorted.len() > 1);
    let filtered = "order_by=account_name&direction=desc&account_pubname.contains=SAMPLE";
    assert_eq!(names(filtered).await, sorted);
    let tagged = upstream
        .get(&format!("{list}?include_tags=true"))
        .await
        .result();
    assert_eq!(tagged[0]["tags"]["env"], "production");
    assert_eq!(upstream.get(&list).await.result()[0].get("tags"), None);
    for nonsense in ["order_by=id", "direction=up", "include_tags=maybe"] {
        assert_eq!(
            upstream.get(&format!("{list}?{nonsense}")).await.status,
            400,
            "{nonsense}"
        );
    }
}

#[tokio::test]
async fn a_key_is_as_good_as_a_token_and_the_entry_names_its_address() {
    let upstream = Upstream::start(quiet()).await;
    let ask = async |email: &str, key: &str| {
        let request = upstream
            .client
            .post(format!("{}/organizations", upstream.base))
            .header("x-auth-email", email)
            .header("x-auth-key", key)
            .body(r#"{"name":"by key"}"#);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap())
    };
    let (status, made) = ask("eve@example.com", "0123456789abcdef").await;
    assert_eq!(status, 200, "{made}");
    let entries = upstream.log(made["result"]["id"].as_str().unwrap()).await;
    let actor = &entries[0]["actor"];
    assert_eq!(
        (&actor["context"], &actor["email"]),
        (&json!("api_key"), &json!("eve@example.com"))
    );
    for (email, key, code) in [("nobody", "0123", 6102), ("eve@example.com", "a b", 6103)] {
        let (status, refused) = ask(email, key).await;
        let cause = &refused["errors"][0]["error_chain"][0]["code"];
        assert_eq!((status, cause.as_u64()), (400, Some(code)), "{refused}");
    }
}

#[tokio::test]
async fn what_is_forbidden_is_refused_and_nothing_else() {
    let upstream = Upstream::start(quiet()).await;
    let sources = upstream.simulator.sources();
    upstream.simulator.set_faults(Faults {
        forbidden: vec![sources[1].clone()],
        ..Faults::default()
    });
    let window = "since=2026-08-01&before=2026-08-02";
    for (source, status) in sources.iter().zip([200, 403, 200]) {
        let answer = upstream
            .get(&format!("/{source}/logs/audit?{window}"))
            .await;
        assert_eq!(answer.status, status, "{source}");
    }
}
