//! The forms of answers, beside the samples of upstream's: the same members, the same failures, the same statuses.

use std::path::Path;

use super::*;

/// A sample's status as the manifest has it, and its text.
fn sample(name: &str) -> (u16, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/samples");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let manifest: Value = serde_json::from_str(&read("manifest.json")).unwrap();
    let status = manifest["files"][name]["status"].as_u64().unwrap();
    (u16::try_from(status).unwrap(), read(name))
}

/// Checks that an answer is the sample, word for word.
fn assert_same(answer: &Answer, name: &str) {
    let (status, text) = sample(name);
    let expected: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((answer.status, answer.json()), (status, expected), "{name}");
}

/// Checks that an object has the members of the sample, down to those of the first item of a list. What stands under
/// `free` differs from answer to answer.
fn assert_alike(answer: &Value, expected: &Value, free: &[&str], at: &str) {
    match (answer, expected) {
        (Value::Object(answer), Value::Object(expected)) => {
            let names = |object: &serde_json::Map<String, Value>| -> Vec<String> {
                let names = object.keys().filter(|name| !free.contains(&name.as_str()));
                names.cloned().collect()
            };
            assert_eq!(names(answer), names(expected), "{at}");
            for (name, value) in expected
                .iter()
                .filter(|(name, _)| !free.contains(&name.as_str()))
            {
                assert_alike(&answer[name], value, free, &format!("{at}.{name}"));
            }
        }
        (Value::Array(answer), Value::Array(expected)) => {
            if let (Some(answer), Some(expected)) = (answer.first(), expected.first()) {
                assert_alike(answer, expected, free, &format!("{at}[0]"));
            }
        }
        _ => {
            let kind = |value: &Value| std::mem::discriminant(value);
            assert_eq!(
                kind(answer),
                kind(expected),
                "{at}: {answer} and {expected}"
            );
        }
    }
}

fn assert_alike_sample(answer: &Answer, name: &str, free: &[&str]) {
    let (status, text) = sample(name);
    assert_eq!(answer.status, status, "{name}");
    let expected: Value = serde_json::from_str(&text).unwrap();
    assert_alike(&answer.json(), &expected, free, name);
}

#[tokio::test]
async fn refusals_are_upstreams_word_for_word() {
    let upstream = Upstream::start(SimConfig {
        token: Some("right".to_owned()),
        ..small()
    })
    .await;
    let source = &upstream.simulator.sources()[0];
    let ask = async |path: &str, token: &str| {
        let request = upstream.client.get(format!("{}{path}", upstream.base));
        upstream.send_as(token, request).await
    };
    let log = format!("/{source}/logs/audit?since=2026-08-01");
    assert_same(&ask(&log, "right").await, "error_400_missing_before.json");
    assert_same(
        &ask(&log, "not one").await,
        "error_400_bad_authorization_header.json",
    );
    assert_same(&ask(&log, "wrong").await, "error_401_invalid_token.json");
    assert_same(
        &ask("/organizations/x", "right").await,
        "error_404_no_route.json",
    );
    upstream.simulator.set_faults(Faults {
        forbidden: vec![source.clone()],
        ..Faults::default()
    });
    assert_same(
        &ask(&log, "right").await,
        "error_403_authentication_error.json",
    );
    upstream.simulator.set_faults(Faults {
        rate_limited: 1.0,
        retry_after_seconds: 187,
        ..Faults::default()
    });
    let limited = ask(&log, "right").await;
    assert_same(&limited, "error_429_rate_limited.json");
    for (name, value) in [
        ("retry-after", "187"),
        ("ratelimit", "\"default\";r=0;t=187"),
        ("ratelimit-policy", "\"default\";q=1200;w=300"),
    ] {
        assert_eq!(limited.headers[name], value);
    }
}

#[tokio::test]
async fn failures_are_upstreams_word_for_word() {
    let upstream = Upstream::start(small()).await;
    let path = format!("/organizations/{}", upstream.simulator.organization_id());
    upstream.simulator.set_faults(Faults {
        success_false: 1.0,
        ..Faults::default()
    });
    assert_same(&upstream.get(&path).await, "error_200_success_false.json");
    upstream.simulator.set_faults(Faults {
        server_error: 1.0,
        ..Faults::default()
    });
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let answer = upstream.get(&path).await;
        let is_json = answer.headers["content-type"] == "application/json";
        match (answer.status, is_json) {
            (500, true) => assert_same(&answer, "error_500_json.json"),
            (500, false) => {
                let without_ray = |text: &str| text.split("<strong>").next().map(str::to_owned);
                assert_eq!(
                    without_ray(&answer.text),
                    without_ray(&sample("error_500.html").1)
                );
            }
            (502, false) => assert_eq!(answer.text, sample("error_502.html").1),
            (status, _) => assert_eq!(status, 503),
        }
        seen.insert((answer.status, is_json));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[tokio::test]
async fn answers_have_the_members_of_upstreams() {
    let upstream = Upstream::start(small()).await;
    let id = upstream.simulator.organization_id();
    let account = &upstream.simulator.sources()[1];
    let organization = format!("/organizations/{id}");
    let list = upstream.get("/organizations").await;
    // A newer reference has one flag more than the sample.
    assert_alike_sample(
        &list,
        "organizations_list.json",
        &["account_creation_applies_tenant_defaults"],
    );
    let one = upstream.get(&organization).await;
    // An older revision: `flags`, and a parent that the first organization does not have.
    assert_alike_sample(
        &one,
        "organization_get.json",
        &["meta", "parent", "profile"],
    );
    let below = upstream
        .post(
            "/organizations",
            &serde_json::json!({ "name": "x", "parent": { "id": id } }),
        )
        .await;
    assert_alike_sample(&below, "organization_get.json", &["meta"]);
    let accounts = upstream
        .get(&format!("{organization}/accounts?page_size=2"))
        .await;
    assert_alike_sample(
        &accounts,
        "organization_accounts_page1.json",
        &["access_approval_expiry", "api_access_enabled"],
    );
    let members = upstream
        .get(&format!("{organization}/members?page_size=100"))
        .await;
    assert_alike_sample(&members, "organization_members.json", &[]);
    let profile = upstream.get(&format!("{organization}/profile")).await;
    assert_alike_sample(&profile, "organization_profile.json", &[]);
    let categories = upstream
        .get(&format!("/{account}/logs/audit/product_categories"))
        .await;
    assert_alike_sample(&categories, "account_audit_product_categories.json", &[]);

    upstream
        .post(
            &format!("{organization}/members"),
            &serde_json::json!({ "member": { "user": { "email": "x@example.com" }, "status": "active" } }),
        )
        .await
        .result();
    let window = "since=2026-08-03T12:00:00Z&before=2026-08-04&limit=15";
    let page = upstream
        .get(&format!("{organization}/logs/audit?{window}&limit=1"))
        .await;
    assert_alike_sample(&page, "org_audit_page1.json", &["cursor"]);
    let empty = upstream
        .get(&format!(
            "{organization}/logs/audit?since=2019-01-01&before=2019-01-02"
        ))
        .await;
    assert_alike_sample(&empty, "org_audit_empty_no_cursor.json", &[]);
    let entry = &page.result()[0];
    let history = upstream
        .get(&format!(
            "{organization}/logs/audit/{}/history?action_time={}&{window}",
            entry["id"].as_str().unwrap(),
            escaped(entry["action"]["time"].as_str().unwrap()),
        ))
        .await;
    assert_alike_sample(
        &history,
        "org_audit_history.json",
        &["cursor", "request", "response", "scope"],
    );
}
