//! Who is answered: tokens, sessions, limits, other sites, reverse proxies, and the access log.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use orgtrail_simulator::SimConfig;
use reqwest::header::{COOKIE, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Service, Upstream};

/// A service that asks for tokens, and its data directory.
pub(crate) struct Guarded {
    pub(crate) service: Service,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) http: reqwest::Client,
    _upstream: Upstream,
}

impl Guarded {
    pub(crate) async fn start(extra: &str) -> Self {
        let upstream = Upstream::new(SimConfig {
            events: 20,
            accounts: 1,
            days: 2,
            ..SimConfig::default()
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let configuration = upstream.configuration(dir.path());
        let guarded = format!("auth = \"tokens\"\n{extra}");
        let configuration = configuration.replace("auth = \"none\"\n", &guarded);
        let service = Service::start(&configuration).await;
        // Commands come later: they and the service would make the access database at the same time.
        service.ask("/healthz").await;
        Self {
            service,
            dir,
            http: reqwest::Client::new(),
            _upstream: upstream,
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> String {
        command(&self.dir.path().join("data"), args)
    }

    /// A new token with these scopes: its id, and the token.
    pub(crate) fn token(&self, scopes: &str) -> (String, String) {
        let args = ["token", "create", "test", "--scope", scopes, "--json"];
        let created: Value = serde_json::from_str(&self.command(&args)).unwrap();
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        (text("id"), text("token"))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.service.url))
    }

    pub(crate) async fn status(&self, path: &str, token: &str) -> StatusCode {
        let answer = self.get(path).bearer_auth(token).send().await.unwrap();
        answer.status()
    }

    pub(crate) fn access_log(&self) -> Vec<Value> {
        let args = ["access-log", "--limit", "0", "--json"];
        let log: Value = serde_json::from_str(&self.command(&args)).unwrap();
        log["entries"].as_array().unwrap().clone()
    }

    /// The lines of the access log after an orderly stop, the newest first.
    pub(crate) async fn log_after_stop(self) -> Vec<Value> {
        let data = self.dir.path().join("data");
        self.service.stop().await.unwrap();
        let args = ["access-log", "--limit", "0", "--json"];
        let log: Value = serde_json::from_str(&command(&data, &args)).unwrap();
        log["entries"].as_array().unwrap().clone()
    }
}

pub(crate) fn command(data: &Path, args: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args(args)
        .arg("--data-dir")
        .arg(data)
        .output()
        .unwrap();
    assert!(run.status.success(), "{args:?}: {run:?}");
    String::from_utf8(run.stdout).unwrap()
}

async fn problem(answer: Response) -> Value {
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_what_its_scopes_allow_until_it_is_revoked() {
    let guarded = Guarded::start("").await;
    let answer = guarded.get("/v1/count").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Bearer");

    let (id, search) = guarded.token("search");
    let (_, everything) = guarded.token("search,export,admin");
    for (path, of_search) in [
        ("/v1/events", StatusCode::OK),
        ("/v1/me", StatusCode::OK),
        ("/v1/export", StatusCode::FORBIDDEN),
        ("/v1/access-log", StatusCode::FORBIDDEN),
    ] {
        assert_eq!(guarded.status(path, &search).await, of_search, "{path}");
        let all = guarded.status(path, &everything).await;
        assert_eq!(all, StatusCode::OK, "{path}");
    }
    let me = guarded.get("/v1/me").bearer_auth(&search).send().await;
    let me: Value = me.unwrap().json().await.unwrap();
    assert_eq!(me["principal"], format!("token:{id}"));
    assert_eq!(me["scopes"], json!(["search"]));

    let mut mistyped = search.clone();
    mistyped.replace_range(10..11, if &search[10..11] == "a" { "b" } else { "a" });
    let answer = guarded.get("/v1/count").bearer_auth(&mistyped).send().await;
    let answer = problem(answer.unwrap()).await;
    assert!(
        answer["detail"].as_str().unwrap().contains("checksum"),
        "{answer}"
    );

    guarded.command(&["token", "revoke", &id]);
    let revoked = guarded.status("/v1/count", &search).await;
    assert_eq!(revoked, StatusCode::UNAUTHORIZED);
    let listed: Value =
        serde_json::from_str(&guarded.command(&["token", "list", "--json"])).unwrap();
    let first = &listed["tokens"][0];
    assert_eq!(first["id"], Value::from(id));
    assert!(first["last_used_at"].is_string() && first["revoked_at"].is_string());
    assert!(!listed.to_string().contains(&search));
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_stands_for_its_token_and_other_sites_cannot_use_it() {
    let guarded = Guarded::start("public_url = \"https://audit.example.com\"\n").await;
    let (id, token) = guarded.token("search");
    let url = format!("{}/v1/session", guarded.service.url);
    let begin = |token: &str| guarded.http.post(&url).json(&json!({ "token": token }));
    let refused = begin("otr_wrong").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let foreign = begin(&token).header("origin", "https://evil.example");
    assert_eq!(
        foreign.send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );

    let own = begin(&token).header("origin", "https://audit.example.com");
    let begun = own.send().await.unwrap();
    assert_eq!(begun.status(), StatusCode::CREATED);
    let cookie = begun.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    assert!(
        cookie.ends_with("HttpOnly; SameSite=Strict; Secure"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let with_cookie = || guarded.get("/v1/count").header(COOKIE, &cookie);
    assert_eq!(with_cookie().send().await.unwrap().status(), StatusCode::OK);

    let end = guarded.http.delete(&url).header(COOKIE, &cookie);
    assert_eq!(end.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let after = with_cookie().send().await.unwrap().status();
    assert_eq!(after, StatusCode::UNAUTHORIZED);

    let again = begin(&token).send().await.unwrap();
    let cookie = again.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    guarded.command(&["token", "revoke", &id]);
    let request = guarded
        .get("/v1/count")
        .header(COOKIE, cookie.split(';').next().unwrap());
    let revoked = request.send().await.unwrap().status();
    assert_eq!(revoked, StatusCode::UNAUTHORIZED);
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_when_its_token_is_revoked() {
    let guarded = Guarded::start("").await;
    let (id, token) = guarded.token("search");
    let request = guarded.get("/v1/events/stream?last_event_id=0");
    let mut stream = request.bearer_auth(&token).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    stream.chunk().await.unwrap().unwrap();
    guarded.command(&["token", "revoke", &id]);
    // What was made before may still come; then it ends, at the next heartbeat at the latest.
    while stream.chunk().await.unwrap().is_some() {}
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_sign_in_is_told_nothing_of_what_it_sent() {
    let guarded = Guarded::start("").await;
    let url = format!("{}/v1/session", guarded.service.url);
    let secret = "otr_secretsecretsecret";
    let long = format!("{{\"token\": \"{}\"}}", secret.repeat(100));
    for (body, status) in [
        (secret, StatusCode::BAD_REQUEST),
        (&format!("\"{secret}\""), StatusCode::BAD_REQUEST),
        (&format!("{{\"{secret}\": 1}}"), StatusCode::BAD_REQUEST),
        (&long, StatusCode::PAYLOAD_TOO_LARGE),
        ("", StatusCode::BAD_REQUEST),
    ] {
        let answer = guarded
            .http
            .post(&url)
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status);
        let answer = problem(answer).await;
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_recorded_before_it_is_answered_without_its_credentials() {
    let guarded = Guarded::start("trusted_proxies = [\"127.0.0.0/8\"]\n").await;
    let (id, token) = guarded.token("search,admin");
    let request = guarded.get("/v1/count?q=action.type:create");
    let forwarded = request.header("x-forwarded-for", "203.0.113.9, 198.51.100.7");
    let count: Value = forwarded
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let newest = guarded.access_log().remove(0);
    assert_eq!(newest["principal"], format!("token:{id}"));
    assert_eq!(newest["address"], "198.51.100.7");
    assert_eq!(newest["action"], "search");
    assert_eq!(newest["route"], "/v1/count");
    assert_eq!(newest["parameters"], "?q=action.type:create");
    assert_eq!(newest["results"], count["count"]);
    assert_eq!(newest["status"], 200);

    // A token in the address is refused, and hidden in the log.
    let in_url = guarded
        .get(&format!("/v1/count?token={token}"))
        .send()
        .await;
    assert_eq!(in_url.unwrap().status(), StatusCode::UNAUTHORIZED);
    let in_query = format!("/v1/count?q={token}");
    guarded.status(&in_query, &token).await;
    let log = guarded.access_log();
    assert_eq!(log[1]["action"], "refused");
    assert_eq!(log[1]["principal"], "nobody");
    assert!(!Value::from(log.clone()).to_string().contains(&token));
    let created = log.last().unwrap();
    assert_eq!(created["action"], "token.create");
    assert!(created["principal"].as_str().unwrap().starts_with("system"));

    // The same over HTTP, in pages.
    let mut pages = Vec::new();
    let mut path = "/v1/access-log?limit=2".to_owned();
    while pages.len() <= log.len() {
        let page = guarded.get(&path).bearer_auth(&token).send().await.unwrap();
        let page: Value = page.json().await.unwrap();
        pages.extend(page["entries"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/access-log?limit=2&cursor={next}");
    }
    // The command has recorded itself, and does not show its own line.
    assert_eq!(pages.remove(0)["route"], "orgtrail access-log");
    assert_eq!(pages, log);
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_over_its_limit_is_refused_and_others_are_answered() {
    let limits = "[http.limits]\nrequests_per_minute = 3\n";
    let guarded = Guarded::start(limits).await;
    let ((_, first), (_, second)) = (guarded.token("search"), guarded.token("search"));
    let ask = |token: &str| guarded.get("/v1/count").bearer_auth(token).send();
    for left in ["r=2;", "r=1;", "r=0;"] {
        let answer = ask(&first).await.unwrap();
        let state = answer.headers()["ratelimit"].to_str().unwrap();
        assert!(
            answer.status().is_success() && state.contains(left),
            "{state}"
        );
    }
    let over = ask(&first).await.unwrap();
    assert_eq!(over.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = over.headers()[RETRY_AFTER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=20).contains(&seconds), "{seconds}");
    assert_eq!(ask(&second).await.unwrap().status(), StatusCode::OK);
    // Commands of the owner have no limit.
    for _ in 0..5 {
        guarded.command(&["search", "--limit", "1"]);
    }
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_listed_origins_may_ask_and_read() {
    let guarded = Guarded::start("cors_origins = [\"https://search.example.com\"]\n").await;
    let (_, token) = guarded.token("search");
    let url = format!("{}/v1/count", guarded.service.url);
    let preflight = |origin: &'static str| {
        let request = guarded.http.request(reqwest::Method::OPTIONS, &url);
        request
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .send()
    };
    let allowed = preflight("https://search.example.com").await.unwrap();
    assert_eq!(allowed.status(), StatusCode::NO_CONTENT);
    let of = |answer: &Response| answer.headers().get("access-control-allow-origin").cloned();
    assert_eq!(of(&allowed).unwrap(), "https://search.example.com");
    let refused = preflight("https://evil.example").await.unwrap();
    assert!(of(&refused).is_none(), "{refused:?}");
    let asked = guarded.get("/v1/count").bearer_auth(&token);
    let asked = asked.header("origin", "https://search.example.com").send();
    assert_eq!(
        of(&asked.await.unwrap()).unwrap(),
        "https://search.example.com"
    );
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_waits_for_a_locked_access_log_and_is_refused_while_it_stays_locked() {
    let guarded = Guarded::start("").await;
    let (_, token) = guarded.token("search");
    // Its last use is written once, so that the next request only reads.
    guarded.status("/v1/count", &token).await;
    let busy = rusqlite::Connection::open(guarded.dir.path().join("data/access.db")).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    let asked = guarded.get("/v1/count?q=while").bearer_auth(&token).send();
    let mut asked = std::pin::pin!(asked);
    let early = tokio::time::timeout(Duration::from_secs(2), &mut asked).await;
    assert!(
        early.is_err(),
        "it was answered before it was recorded: {early:?}"
    );
    busy.execute_batch("ROLLBACK").unwrap();
    assert_eq!(asked.await.unwrap().status(), StatusCode::OK);
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = guarded.status("/v1/count?q=refused", &token).await;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    busy.execute_batch("ROLLBACK").unwrap();
    let log = guarded.access_log();
    let line = log
        .iter()
        .find(|line| line["parameters"] == "?q=while")
        .unwrap();
    assert_eq!(line["status"], 200);
    let answered = log.iter().filter(|line| line["parameters"] == "?q=refused");
    assert!(answered.filter(|line| line["status"] == 200).count() == 0);
    guarded.service.stop().await.unwrap();
}
