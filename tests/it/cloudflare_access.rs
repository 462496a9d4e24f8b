//! Cloudflare Access in front: whose assertions are believed, what they allow, and where the keys come from.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use orgtrail::clock::Clock;
use orgtrail::keyring::{Keyring, NoKey, key_names};
use orgtrail_simulator::SimConfig;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{Service, Upstream};

const TEAM: &str = "example.cloudflareaccess.com";
const AUDIENCE: &str = "97e2aae120121f902df8bc99fc345913";

/// A key that signs assertions.
struct Signer {
    key_id: &'static str,
    pair: KeyPair,
}

impl Signer {
    fn new(key_id: &'static str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        Self { key_id, pair }
    }

    /// The bytes of the public key, as PKCS #1 has them.
    fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    fn jwk(&self) -> Value {
        let public = self.public();
        // The modulus of 2,048 bits is behind the heads of the sequence and the number, and a zero; the exponent is the end.
        let (modulus, exponent) = (&public[9..265], &public[public.len() - 3..]);
        json!({
            "kid": self.key_id, "kty": "RSA", "alg": "RS256", "use": "sig",
            "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent),
        })
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(
            &json!({"alg": "RS256", "kid": self.key_id, "typ": "JWT"}),
            claims,
        )
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        let signed = self
            .pair
            .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature);
        signed.unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn claims() -> Value {
    let now = Clock::system().now().timestamp();
    json!({
        "iss": format!("https://{TEAM}"), "aud": [AUDIENCE], "type": "app", "sub": "7335d417",
        "exp": now + 600, "iat": now - 10, "nbf": now - 10, "email": "Alice@Example.com", "country": "US",
    })
}

/// The same claims but one.
fn with(key: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[key] = value.into();
    claims
}

/// The server of a team's keys, which counts how often it is asked.
struct KeysServer {
    url: String,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
    _server: JoinSet<()>,
}

#[derive(Clone)]
enum Answer {
    Keys(Value),
    Status(StatusCode),
    Huge,
    Never,
}

impl KeysServer {
    async fn start(signers: &[&Signer]) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(Mutex::new(Answer::Keys(key_set(signers))));
        let (counted, answered) = (Arc::clone(&asked), Arc::clone(&answer));
        let handler = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = answered.lock().unwrap().clone();
            answer.response()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/certs", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let router = Router::new().route("/certs", get(handler));
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            url,
            asked,
            answer,
            _server: server,
        }
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Its keys in the hands of a service, by `clock`; they are fetched once already.
    async fn keyring(&self, clock: &Clock) -> (Keyring, JoinSet<()>) {
        let keyring = Keyring::new(self.url.parse().unwrap(), clock.clone()).unwrap();
        let mut keeping = JoinSet::new();
        let kept = keyring.clone();
        keeping.spawn(async move { kept.keep(CancellationToken::new()).await });
        keyring.find("unknown").await.unwrap_err();
        (keyring, keeping)
    }
}

impl Answer {
    async fn response(self) -> Response {
        match self {
            Self::Keys(keys) => axum::Json(keys).into_response(),
            Self::Status(status) => (status, [("location", "/certs")]).into_response(),
            Self::Huge => vec![b' '; 1024 * 1024].into_response(),
            Self::Never => std::future::pending().await,
        }
    }
}

fn key_set(signers: &[&Signer]) -> Value {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({"keys": keys, "public_certs": []})
}

/// A service behind Access.
struct Guarded {
    service: Service,
    http: reqwest::Client,
    dir: tempfile::TempDir,
    _upstream: Upstream,
}

impl Guarded {
    async fn start(keys: &KeysServer, grants: &str) -> Self {
        let upstream = Upstream::new(SimConfig {
            events: 20,
            accounts: 1,
            days: 2,
            ..SimConfig::default()
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let configuration = upstream.configuration(dir.path());
        let guarded = format!(
            "auth = \"tokens\"\ncors_origins = [\"https://search.example.com\"]\n[http.access]\n\
             team_domain = \"{TEAM}\"\naudience = \"{AUDIENCE}\"\nkeys_url = \"{}\"\n{grants}\n",
            keys.url
        );
        let configuration = configuration.replace("auth = \"none\"\n", &guarded);
        Self {
            service: Service::start(&configuration).await,
            http: reqwest::Client::new(),
            dir,
            _upstream: upstream,
        }
    }

    fn get(&self, path: &str, assertion: &str) -> RequestBuilder {
        let request = self.http.get(format!("{}{path}", self.service.url));
        request.header("Cf-Access-Jwt-Assertion", assertion)
    }

    async fn ask(&self, path: &str, assertion: &str) -> (StatusCode, Value) {
        let answer = self.get(path, assertion).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Why an assertion is refused.
    async fn refusal(&self, assertion: &str) -> String {
        let (status, problem) = self.ask("/v1/me", assertion).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{problem}");
        problem["detail"].as_str().unwrap().to_owned()
    }
}

const EVERYONE: &str =
    "[[http.access.grants]]\nemails = [\"*@example.com\"]\nscopes = [\"search\"]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_in_person_is_answered_as_the_first_fitting_grant_says() {
    let signer = Signer::new("a");
    let keys = KeysServer::start(&[&signer]).await;
    let grants = "[[http.access.grants]]\ngroups = [\"Auditors\"]\nscopes = [\"search\", \"export\"]\n\
        [[http.access.grants]]\nemails = [\"*@EXAMPLE.com\"]\nscopes = [\"search\"]\n\
        [[http.access.grants]]\ncommon_names = [\"e367826f.access\"]\nscopes = [\"export\"]\n\
        [[http.access.grants]]\nemails = [\"limited@example.org\"]\nscopes = [\"search\"]\nbodies = false";
    let guarded = Guarded::start(&keys, grants).await;

    let alice = signer.sign(&claims());
    let (status, me) = guarded.ask("/v1/me", &alice).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(me["principal"], "access:alice@example.com");
    assert_eq!(me["name"], "alice@example.com");
    assert_eq!(me["scopes"], json!(["search"]));
    assert!(me["expires_at"].is_string(), "{me}");
    let (status, _) = guarded.ask("/v1/export", &alice).await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    let auditor = signer.sign(&with("custom", json!({"groups": ["x", "Auditors"]})));
    let (_, me) = guarded.ask("/v1/me", &auditor).await;
    assert_eq!(me["scopes"], json!(["search", "export"]));

    let mut of_program = with("common_name", "E367826F.access");
    of_program["email"] = Value::Null;
    of_program["sub"] = "".into();
    let program = signer.sign(&of_program);
    let exported = guarded.get("/v1/export", &program).send().await.unwrap();
    assert_eq!(exported.status(), StatusCode::OK);
    let (status, _) = guarded.ask("/v1/me", &program).await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    let stranger = signer.sign(&with("email", "eve@example.org"));
    let (status, problem) = guarded.ask("/v1/me", &stranger).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("no grant"), "{detail}");

    guarded.service.stop().await.unwrap();
    let log = std::process::Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args(["access-log", "--limit", "0", "--json", "--data-dir"])
        .arg(guarded.dir.path().join("data"))
        .output()
        .unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    for principal in [
        "access:alice@example.com",
        "access:e367826f.access",
        "access:eve@example.org",
    ] {
        assert!(log.contains(principal), "{log}");
    }
    assert!(!log.contains(&alice));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_that_is_wrong_in_any_way_is_refused() {
    let (signer, other) = (Signer::new("a"), Signer::new("a"));
    let keys = KeysServer::start(&[&signer]).await;
    let guarded = Guarded::start(&keys, EVERYONE).await;
    let (status, _) = guarded.ask("/v1/me", &signer.sign(&claims())).await;
    assert_eq!(status, StatusCode::OK);

    let now = Clock::system().now().timestamp();
    for (key, value, why) in [
        (
            "iss",
            json!("https://evil.cloudflareaccess.com"),
            "another team",
        ),
        ("iss", json!(format!("https://{TEAM}/")), "another team"),
        ("aud", json!(["other"]), "another application"),
        ("aud", json!([]), "another application"),
        ("aud", json!("other"), "another application"),
        ("exp", json!(now - 31), "expired"),
        ("exp", json!(-1), "expired"),
        ("nbf", json!(now + 60), "not valid yet"),
        ("iat", json!(now + 60), "not valid yet"),
        ("exp", json!("never"), "not a JSON Web Token"),
        ("exp", Value::Null, "not a JSON Web Token"),
        ("email", json!(""), "names neither"),
        ("email", json!("a b@example.com"), "names neither"),
        ("email", json!("a\n@example.com"), "names neither"),
    ] {
        let refusal = guarded
            .refusal(&signer.sign(&with(key, value.clone())))
            .await;
        assert!(refusal.contains(why), "{key} {value}: {refusal}");
    }
    // One text is a list of one.
    let (status, _) = guarded
        .ask("/v1/me", &signer.sign(&with("aud", AUDIENCE)))
        .await;
    assert_eq!(status, StatusCode::OK);

    // Signed by somebody else, with the same name of a key; and with claims of another one.
    let right = signer.sign(&claims());
    let signature = right.rsplit_once('.').unwrap().1;
    let header = json!({"alg": "RS256", "kid": "a"});
    let changed = unsigned(&header, &with("email", "root@example.com"));
    for wrong in [
        other.sign(&claims()),
        format!("{changed}.{signature}"),
        format!("{changed}."),
    ] {
        let refusal = guarded.refusal(&wrong).await;
        assert!(refusal.contains("signature is wrong"), "{refusal}");
    }
    // Its own key, or an address of keys, has no effect.
    let jwk = other.jwk();
    for header in [
        json!({"alg": "RS256", "kid": "a", "jku": keys.url, "x5u": keys.url}),
        json!({"alg": "RS256", "kid": "a", "jwk": jwk}),
    ] {
        let refusal = guarded.refusal(&other.sign_as(&header, &claims())).await;
        assert!(refusal.contains("signature is wrong"), "{refusal}");
    }
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_without_a_signature_of_rs256_is_refused() {
    let signer = Signer::new("a");
    let keys = KeysServer::start(&[&signer]).await;
    let guarded = Guarded::start(&keys, EVERYONE).await;
    for alg in ["none", "None", "RS384", "PS256"] {
        let text = unsigned(&json!({"alg": alg, "kid": "a"}), &claims());
        for wrong in [format!("{text}."), format!("{text}.AAAA")] {
            let refusal = guarded.refusal(&wrong).await;
            assert!(refusal.contains("RS256"), "{alg}: {refusal}");
        }
    }
    // With the public key as the secret of a hash, in each form that it is published in.
    let text = unsigned(&json!({"alg": "HS256", "kid": "a"}), &claims());
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n",
        URL_SAFE_NO_PAD.encode(signer.public())
    );
    for secret in [
        signer.public(),
        pem.into_bytes(),
        signer.jwk().to_string().into_bytes(),
    ] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let tag = aws_lc_rs::hmac::sign(&key, text.as_bytes());
        let forged = format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
        let refusal = guarded.refusal(&forged).await;
        assert!(refusal.contains("RS256"), "{refusal}");
    }
    let long = format!("{}.{}.x", "a".repeat(20_000), "b");
    let refusal = guarded.refusal(&long).await;
    assert!(refusal.contains("longer than"), "{refusal}");
    let twice = guarded.get("/v1/me", &signer.sign(&claims()));
    let twice = twice.header("Cf-Access-Jwt-Assertion", signer.sign(&claims()));
    assert_eq!(
        twice.send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_wins_over_an_assertion_and_a_proxy_without_the_header_gets_nothing() {
    let signer = Signer::new("a");
    let keys = KeysServer::start(&[&signer]).await;
    let guarded = Guarded::start(&keys, EVERYONE).await;
    let assertion = signer.sign(&claims());
    let wrong = guarded.get("/v1/me", &assertion).bearer_auth("otr_wrong");
    assert_eq!(
        wrong.send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    let without = guarded.http.get(format!("{}/v1/me", guarded.service.url));
    let cookie = without.header("cookie", format!("CF_Authorization={assertion}"));
    assert_eq!(
        cookie.send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    // A session that has ended does not keep out who is signed in.
    let ended = format!("orgtrail_session={}", "a".repeat(40));
    let ended = guarded.get("/v1/me", &assertion).header("cookie", ended);
    assert_eq!(ended.send().await.unwrap().status(), StatusCode::OK);
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_cannot_use_the_assertion_of_a_browser() {
    let signer = Signer::new("a");
    let keys = KeysServer::start(&[&signer]).await;
    let guarded = Guarded::start(&keys, EVERYONE).await;
    let assertion = signer.sign(&claims());
    let own = guarded.service.url.clone();
    for (name, value, expect) in [
        ("sec-fetch-site", "cross-site", StatusCode::FORBIDDEN),
        ("sec-fetch-site", "same-origin", StatusCode::OK),
        ("sec-fetch-site", "none", StatusCode::OK),
        ("origin", "https://evil.example", StatusCode::FORBIDDEN),
        ("origin", "null", StatusCode::FORBIDDEN),
        ("origin", "https://search.example.com", StatusCode::OK),
        ("origin", &own, StatusCode::OK),
    ] {
        let request = guarded.get("/v1/count", &assertion).header(name, value);
        let status = request.send().await.unwrap().status();
        assert_eq!(status, expect, "{name}: {value}");
    }
    guarded.service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_keys_are_asked_for_once_a_minute_and_a_rotation_is_noticed() {
    let (first, second) = (Signer::new("first"), Signer::new("second"));
    let keys = KeysServer::start(&[&first]).await;
    let clock = Clock::manual(Clock::system().now());
    let (keyring, _keeping) = keys.keyring(&clock).await;
    assert_eq!(keys.asked(), 1);
    keyring.find("first").await.unwrap();
    keys.answers(Answer::Keys(key_set(&[&second, &first])));

    let mut flood = JoinSet::new();
    for n in 0..200 {
        let keyring = keyring.clone();
        flood.spawn(async move { keyring.find(&format!("unknown {n}")).await });
    }
    for found in flood.join_all().await {
        assert_eq!(found, Err(NoKey::Unknown));
    }
    assert_eq!(keys.asked(), 1);

    clock.advance(TimeDelta::minutes(1));
    let mut flood = JoinSet::new();
    for _ in 0..20 {
        let keyring = keyring.clone();
        flood.spawn(async move { keyring.find("second").await });
    }
    for found in flood.join_all().await {
        found.unwrap();
    }
    assert_eq!(keys.asked(), 2);
    // The previous key is valid as long as the team publishes it.
    keyring.find("first").await.unwrap();
    keys.answers(Answer::Keys(key_set(&[&second])));
    clock.advance(TimeDelta::hours(1));
    // Another fetch is due: nothing waits for it.
    keyring.find("second").await.unwrap();
    crate::harness::until("the keys are fetched again", || keys.asked() == 3).await;
    clock.advance(TimeDelta::minutes(1));
    assert_eq!(keyring.find("first").await, Err(NoKey::Unknown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_used_for_a_day_while_their_server_does_not_answer_well() {
    let signer = Signer::new("a");
    let keys = KeysServer::start(&[&signer]).await;
    let clock = Clock::manual(Clock::system().now());
    let (keyring, _keeping) = keys.keyring(&clock).await;
    for answer in [
        Answer::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Answer::Status(StatusCode::FOUND),
        Answer::Huge,
        Answer::Keys(json!({"keys": []})),
        Answer::Keys(json!("no keys")),
    ] {
        keys.answers(answer);
        clock.advance(TimeDelta::minutes(1));
        let asked = keys.asked();
        assert_eq!(keyring.find("b").await, Err(NoKey::Unknown));
        assert_eq!(keys.asked(), asked + 1);
        keyring.find("a").await.unwrap();
    }
    // A keys server that never answers delays only requests that need another key.
    keys.answers(Answer::Never);
    clock.advance(TimeDelta::minutes(1));
    let asked = keys.asked();
    let waits = keyring.clone();
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { waits.find("b").await });
    crate::harness::until("the keys are asked for", || keys.asked() > asked).await;
    let known = tokio::time::timeout(Duration::from_millis(500), keyring.find("a")).await;
    known.unwrap().unwrap();
    assert_eq!(
        waiting.join_next().await.unwrap().unwrap(),
        Err(NoKey::Unknown)
    );

    keys.answers(Answer::Status(StatusCode::BAD_GATEWAY));
    clock.advance(TimeDelta::days(1));
    assert_eq!(keyring.find("a").await, Err(NoKey::Unreachable));
    keys.answers(Answer::Keys(key_set(&[&signer])));
    clock.advance(TimeDelta::minutes(1));
    keyring.find("a").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_says_why_there_are_no_keys() {
    let signer = Signer::new("a");
    let keys = KeysServer::start(&[&signer]).await;
    let url = keys.url.parse().unwrap();
    assert_eq!(key_names(&url).await.unwrap(), ["a"]);
    for (answer, why) in [
        (Answer::Status(StatusCode::FOUND), "302"),
        (Answer::Huge, "more than"),
        (
            Answer::Keys(json!({"keys": [{"kty": "EC", "kid": "b"}]})),
            "no RSA key",
        ),
    ] {
        keys.answers(answer);
        let error = key_names(&url).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_when_its_assertion_has_expired() {
    let signer = Signer::new("a");
    let keys = KeysServer::start(&[&signer]).await;
    let guarded = Guarded::start(&keys, EVERYONE).await;
    // It is still accepted, because clocks may differ.
    let late = signer.sign(&with("exp", Clock::system().now().timestamp() - 5));
    let stream = guarded.get("/v1/events/stream?last_event_id=0", &late);
    let mut stream = stream.send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    // At the next heartbeat at the latest.
    while stream.chunk().await.unwrap().is_some() {}
    guarded.service.stop().await.unwrap();
}
