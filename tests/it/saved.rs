//! Saved searches: each principal has its own, and sees those that others share.

use orgtrail::access::{Grant, Permission};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixture_log::{Desk, account};

/// Asks as the owner of a token.
struct Asker<'d> {
    desk: &'d Desk,
    token: String,
    http: reqwest::Client,
}

impl<'d> Asker<'d> {
    fn new(desk: &'d Desk, permissions: &[Permission], is_limited: bool) -> Self {
        let sources = if is_limited {
            vec![account()]
        } else {
            Vec::new()
        };
        let token = desk.token(Grant {
            permissions: permissions.iter().copied().collect(),
            sources,
            bodies: true,
        });
        Self {
            desk,
            token,
            http: reqwest::Client::new(),
        }
    }

    async fn send(&self, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.desk.url);
        let request = self.http.request(method, url).bearer_auth(&self.token);
        let request = request.header("Content-Type", "application/json");
        let answer = request.body(body.to_owned()).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn save(&self, body: &Value) -> Value {
        let (status, saved) = self
            .send(Method::POST, "/v1/searches", &body.to_string())
            .await;
        assert_eq!(status, StatusCode::CREATED, "{saved}");
        saved
    }

    /// The names of what it sees, and whether these are its own.
    async fn seen(&self) -> Vec<(String, bool)> {
        let (mut seen, mut path) = (Vec::new(), "/v1/searches?limit=1".to_owned());
        loop {
            let (status, page) = self.send(Method::GET, &path, "").await;
            assert_eq!(status, StatusCode::OK, "{page}");
            for one in page["searches"].as_array().unwrap() {
                let name = one["name"].as_str().unwrap().to_owned();
                seen.push((name, one["own"].as_bool().unwrap()));
            }
            let Some(cursor) = page["next_cursor"].as_str() else {
                seen.sort();
                return seen;
            };
            path = format!("/v1/searches?limit=1&cursor={cursor}");
        }
    }

    async fn delete(&self, id: &Value) -> StatusCode {
        let path = format!("/v1/searches/{}", id.as_str().unwrap());
        self.send(Method::DELETE, &path, "").await.0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_are_saved_shared_and_deleted() {
    let desk = Desk::guarded().await;
    let search = [Permission::Search];
    let ann = Asker::new(&desk, &search, false);
    let ben = Asker::new(&desk, &search, false);
    let admin = Asker::new(&desk, &[Permission::Search, Permission::Admin], false);
    let limited = Asker::new(&desk, &search, true);
    let nobody = Asker::new(&desk, &[Permission::Export], false);

    let own = ann
        .save(&json!({"name": " mine ", "q": "action.type:delete"}))
        .await;
    assert_eq!(
        (&own["name"], &own["q"], &own["own"]),
        (&json!("mine"), &json!("action.type:delete"), &json!(true))
    );
    assert_eq!(
        (&own["state"], &own["shared"]),
        (&Value::Null, &json!(false))
    );
    let shared = ann
        .save(&json!({"name": "for all", "state": "?q=x&since=now-7d", "shared": true}))
        .await;
    let of_limited = limited
        .save(&json!({"name": "narrow", "q": "x", "shared": true}))
        .await;

    let named = |names: &[(&str, bool)]| -> Vec<(String, bool)> {
        names
            .iter()
            .map(|(name, own)| ((*name).to_owned(), *own))
            .collect()
    };
    assert_eq!(
        ann.seen().await,
        named(&[("for all", true), ("mine", true), ("narrow", false)])
    );
    assert_eq!(
        ben.seen().await,
        named(&[("for all", false), ("narrow", false)])
    );
    // One that sees a part of the log only is told nothing of what others look for.
    assert_eq!(limited.seen().await, named(&[("narrow", true)]));

    // What somebody does not see is not there for them.
    assert_eq!(ben.delete(&own["id"]).await, StatusCode::NOT_FOUND);
    assert_eq!(limited.delete(&shared["id"]).await, StatusCode::NOT_FOUND);
    assert_eq!(ben.delete(&shared["id"]).await, StatusCode::FORBIDDEN);
    assert_eq!(admin.delete(&shared["id"]).await, StatusCode::NO_CONTENT);
    assert_eq!(ann.delete(&own["id"]).await, StatusCode::NO_CONTENT);
    assert_eq!(ann.delete(&own["id"]).await, StatusCode::NOT_FOUND);
    assert_eq!(
        limited.delete(&of_limited["id"]).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(ann.seen().await, named(&[]));
    let (status, _) = nobody.send(Method::GET, "/v1/searches", "").await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    let (_, log) = admin
        .send(Method::GET, "/v1/access-log?limit=1000", "")
        .await;
    let lines = log["entries"].as_array().unwrap().iter();
    let saved = lines.filter(|line| line["action"] == "searches" && line["status"] == 201);
    assert_eq!(saved.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_cannot_be_saved_says_why() {
    let desk = Desk::guarded().await;
    let ann = Asker::new(&desk, &[Permission::Search], false);
    for (body, parameter) in [
        (json!({"q": "x"}), "name"),
        (json!({"name": " ", "q": "x"}), "name"),
        (json!({"name": "x".repeat(201), "q": "x"}), "name"),
        (json!({"name": "a\nb", "q": "x"}), "name"),
        (json!({"name": "x"}), "q"),
        (json!({"name": "x", "state": {"a": 1}}), "state"),
        (json!({"name": "x", "q": "(a"}), "q"),
        (json!({"name": "x", "state": "s".repeat(20_000)}), "state"),
        (json!({"name": "x", "q": "x", "color": 1}), "body"),
        (json!("x"), "body"),
    ] {
        let (status, problem) = ann
            .send(Method::POST, "/v1/searches", &body.to_string())
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {problem}");
        assert_eq!(problem["parameter"], parameter, "{body}: {problem}");
    }
    let large = json!({"name": "x", "state": "s".repeat(70_000)}).to_string();
    let (status, _) = ann.send(Method::POST, "/v1/searches", &large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    for n in 0..500 {
        ann.save(&json!({"name": n.to_string(), "q": "x"})).await;
    }
    let (status, _) = ann
        .send(
            Method::POST,
            "/v1/searches",
            r#"{"name":"one more","q":"x"}"#,
        )
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (status, problem) = ann.send(Method::GET, "/v1/searches?cursor=x", "").await;
    assert_eq!(
        (status, &problem["parameter"]),
        (StatusCode::BAD_REQUEST, &json!("cursor"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_saves_nothing_where_no_credential_is_needed() {
    let desk = Desk::new().await;
    let http = reqwest::Client::new();
    let url = format!("{}/v1/searches", desk.url);
    let save = async |origin: &str| {
        // An older browser says nothing but the origin.
        let request = http.post(&url).header("Content-Type", "application/json");
        let request = request.header("Origin", origin);
        let search = json!({"name": "x", "q": "x"}).to_string();
        request.body(search).send().await.unwrap().status()
    };
    for origin in ["https://evil.example", "http://127.0.0.1:1", "null"] {
        assert_eq!(save(origin).await, StatusCode::FORBIDDEN, "{origin}");
    }
    assert_eq!(
        desk.get("/v1/searches").await["searches"],
        json!([]),
        "nothing is saved"
    );
    assert_eq!(save(&desk.url).await, StatusCode::CREATED);
}
