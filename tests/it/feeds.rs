//! Feeds of alerts: created and revoked while the service runs, read by a feed reader, and known to those alone who have the URL.

use std::process::{Command, Output};

use feed_rs::model::{Feed, FeedType};
use orgtrail::access::{Grant, Permission};
use orgtrail::position::Source;
use orgtrail::store::AccessStore;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::alert_stream::{RULE, judge_at, raise_at, store_entries};
use crate::fixture_log::{Desk, account};

/// Runs a command on the desk's data directory, as an operator does beside the service.
fn run(desk: &Desk, public_url: &str, args: &[&str]) -> Output {
    let config = desk.data_dir().join("feeds.toml");
    let text = format!(
        "data_dir = {:?}\n[http]\n{public_url}\n[[accounts]]\nid = \"f00d\"\n",
        desk.data_dir()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    let command = command.arg("--config").arg(config);
    command
        .args(["alerts", "feed"])
        .args(args)
        .output()
        .unwrap()
}

fn done(output: Output) -> Value {
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    serde_json::from_str(&text).unwrap()
}

const PUBLIC: &str = "public_url = \"https://audit.example.com\"";

/// A new feed: its URLs, as the desk answers them.
fn create(desk: &Desk, args: &[&str]) -> (String, String) {
    let args = [&["create", "--json"], args].concat();
    let created = done(run(desk, PUBLIC, &args));
    let url = |form: &str| {
        let url = created["feed"][form].as_str().unwrap();
        let path = url.strip_prefix("https://audit.example.com").unwrap();
        format!("{}{path}", desk.url)
    };
    (url("atom"), url("json"))
}

async fn get(url: &str) -> Response {
    reqwest::get(url).await.unwrap()
}

/// A feed, as a feed reader reads it.
async fn read(url: &str) -> Feed {
    let answer = get(url).await;
    assert_eq!(answer.status(), StatusCode::OK);
    feed_rs::parser::parse(&answer.bytes().await.unwrap()[..]).unwrap()
}

fn token(desk: &Desk, permission: Permission, sources: &[Source]) -> String {
    desk.token(Grant {
        permissions: [permission].into_iter().collect(),
        sources: sources.to_vec(),
        bodies: true,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_reader_reads_alerts_by_the_url_of_a_feed_until_it_is_revoked() {
    let desk = Desk::guarded().await;
    raise_at(&desk.store, &account(), &["alert-1", "alert-2"], 1_000);
    raise_at(&desk.store, &account(), &["<alert & 3>"], 2_000);
    let (atom, json) = create(&desk, &["ops"]);
    let (of_atom, of_json) = (read(&atom).await, read(&json).await);
    assert_eq!(of_atom.feed_type, FeedType::Atom);
    assert_eq!(of_json.feed_type, FeedType::JSON);
    for feed in [&of_atom, &of_json] {
        assert_eq!(feed.entries.len(), 3);
        assert_eq!(feed.title.as_ref().unwrap().content, "orgtrail alerts: ops");
        let times: Vec<_> = feed.entries.iter().map(|entry| entry.published).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
        for entry in &feed.entries {
            let title = &entry.title.as_ref().unwrap().content;
            assert_eq!(title, "[high] Deleted");
            assert!(entry.id.starts_with("urn:uuid:") && entry.updated.is_some());
            assert!(
                entry.links[0].href.contains("?view=alerts&alert="),
                "{:?}",
                entry.links
            );
        }
    }
    let same = of_atom.entries.iter().zip(&of_json.entries);
    assert!(same.into_iter().all(|(a, b)| a.id == b.id));
    assert_eq!(of_atom.authors[0].name.as_deref(), Some("orgtrail"));
    let own = of_atom
        .links
        .iter()
        .find(|link| link.rel.as_deref() == Some("self"));
    assert_eq!(own.unwrap().href, atom);

    let listed = done(run(&desk, PUBLIC, &["list", "--json"]));
    assert_eq!(listed["feeds"][0]["name"], "ops");
    assert_ne!(listed["feeds"][0]["last_used_at"], Value::Null);
    assert!(!run(&desk, PUBLIC, &["create", "ops"]).status.success());
    done(run(&desk, PUBLIC, &["revoke", "ops", "--json"]));
    for url in [&atom, &json] {
        let answer = get(url).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert!(answer.headers().contains_key("www-authenticate"));
    }
    assert!(!run(&desk, PUBLIC, &["revoke", "ops"]).status.success());
    // The same name again is another feed with another secret.
    let (again, _) = create(&desk, &["ops"]);
    assert_eq!(read(&again).await.entries.len(), 3);
    assert_eq!(get(&atom).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_has_its_filters_and_sources_and_its_secret_opens_nothing_else() {
    let desk = Desk::guarded().await;
    let elsewhere = "accounts/0123456789abcdef0123456789abcdef";
    raise_at(&desk.store, &account(), &["alert-1"], 1_000);
    raise_at(
        &desk.store,
        &elsewhere.parse().unwrap(),
        &["alert-2"],
        2_000,
    );
    let count = async |url: &str| read(url).await.entries.len();
    let (low, _) = create(&desk, &["low", "--level", "low"]);
    assert_eq!(count(&low).await, 0);
    let (_, open) = create(&desk, &["open", "--state", "open", "--rule", "deleted"]);
    assert_eq!(count(&open).await, 2);
    let (limited, _) = create(&desk, &["limited", "--source", elsewhere]);
    assert_eq!(count(&limited).await, 1);

    let key = limited.split_once("key=").unwrap().1;
    for path in ["/v1/alerts", "/v1/events", "/v1/me", "/v1/alerts/stream"] {
        for request in [
            reqwest::Client::new().get(format!("{}{path}?key={key}", desk.url)),
            reqwest::Client::new()
                .get(format!("{}{path}", desk.url))
                .bearer_auth(key),
        ] {
            let status = request.send().await.unwrap().status();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    // Its filters are its own.
    let answer = get(&format!("{limited}&level=high")).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    for wrong in [
        "",
        "x",
        &key[..key.len() - 1],
        &key.replace("otr_feed_", "otr_"),
    ] {
        let answer = get(&format!("{}/v1/alerts/feed.json?key={wrong}", desk.url)).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{wrong}");
    }
    // Tokens read feeds too, with filters in the URL.
    let path = |query: &str| format!("{}/v1/alerts/feed.atom{query}", desk.url);
    let ask = async |url: String, token: &str| {
        let request = reqwest::Client::new().get(url).bearer_auth(token);
        request.send().await.unwrap()
    };
    assert_eq!(get(&path("")).await.status(), StatusCode::UNAUTHORIZED);
    let exports = token(&desk, Permission::Export, &[]);
    assert_eq!(
        ask(path(""), &exports).await.status(),
        StatusCode::FORBIDDEN
    );
    let searches = token(&desk, Permission::Search, &[account()]);
    let answer = ask(path("?level=high"), &searches).await;
    let feed = feed_rs::parser::parse(&answer.bytes().await.unwrap()[..]).unwrap();
    assert_eq!(feed.entries.len(), 1);
    let wrong = ask(path("?colour=red"), &searches).await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_has_not_changed_is_not_sent_again() {
    let desk = Desk::guarded().await;
    raise_at(&desk.store, &account(), &["alert-1"], 1_000);
    let (atom, json) = create(&desk, &["ops"]);
    for url in [&atom, &json] {
        let first = get(url).await;
        assert_eq!(first.headers()["cache-control"], "private, no-cache");
        let again = async |name: &str, value: &str| {
            let request = reqwest::Client::new().get(url).header(name, value);
            request.send().await.unwrap()
        };
        let known = |name: &str| first.headers()[name].to_str().unwrap().to_owned();
        let (tag, modified) = (known("etag"), known("last-modified"));
        let answer = again("If-None-Match", &tag).await;
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer.headers()["etag"], *tag);
        let answer = again("If-Modified-Since", &modified).await;
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        raise_at(&desk.store, &account(), &[url], 5_000);
        assert_eq!(again("If-None-Match", &tag).await.status(), StatusCode::OK);
        let answer = again("If-Modified-Since", &modified).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    // An alert that leaves a feed changes it.
    let (open, _) = create(&desk, &["open", "--state", "open"]);
    let before = get(&open).await;
    let modified = before.headers()["last-modified"].clone();
    judge_at(&desk.store, &RULE.replace("alert-test", "other"), 9_000);
    let request = reqwest::Client::new().get(&open);
    let after = request.header("If-Modified-Since", modified).send().await;
    let after = after.unwrap().bytes().await.unwrap();
    assert_eq!(feed_rs::parser::parse(&after[..]).unwrap().entries.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feeds_are_in_the_access_log_without_their_secrets_and_bounded() {
    let desk = Desk::guarded().await;
    let ids: Vec<String> = (0..150).map(|n| format!("alert-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    raise_at(&desk.store, &account(), &ids, 1_000);
    let (atom, _) = create(&desk, &["ops"]);
    assert_eq!(read(&atom).await.entries.len(), 100);
    let key = atom.split_once("key=").unwrap().1;
    done(run(&desk, PUBLIC, &["revoke", "ops", "--json"]));
    assert_eq!(get(&atom).await.status(), StatusCode::UNAUTHORIZED);
    let access = AccessStore::open(&desk.data_dir()).unwrap();
    let lines = access.access_entries(None, 100).unwrap().entries;
    let has = |action: &str, principal: &str| {
        lines
            .iter()
            .any(|line| line.action == action && line.principal.starts_with(principal))
    };
    assert!(has("feed.create", "system") && has("feed.revoke", "system"));
    let read = lines
        .iter()
        .find(|line| line.principal == "feed:ops")
        .unwrap();
    assert_eq!(
        (read.action.as_str(), read.results),
        ("alert.feed", Some(100))
    );
    assert!(read.parameters.starts_with("?key=[credential]"), "{read:?}");
    assert!(lines.iter().all(|line| !format!("{line:?}").contains(key)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_public_url_the_urls_of_a_feed_have_the_address_that_is_listened_on() {
    let desk = Desk::guarded().await;
    let output = run(
        &desk,
        "listen = \"127.0.0.1:7171\"",
        &["create", "ops", "--json"],
    );
    let warning = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(warning.contains("`public_url` is not set"), "{warning}");
    let url = done(output)["feed"]["atom"].as_str().unwrap().to_owned();
    assert!(url.starts_with("http://127.0.0.1:7171/v1/alerts/feed.atom?key=otr_feed_"));
    // The answer names itself as its reader reached it.
    store_entries(&desk.store, &account(), &[], 1);
    let url = url.replace("http://127.0.0.1:7171", &desk.url);
    let feed = read(&url).await;
    assert!(
        feed.links.iter().any(|link| link.href == url),
        "{:?}",
        feed.links
    );
}
