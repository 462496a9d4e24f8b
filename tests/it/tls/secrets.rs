//! No credential is shown: not in the log of the service, in errors, metrics, databases, a backup or the description of the API.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

use orgtrail_simulator::SimConfig;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;

use super::authority::{Authority, NAME, address, with_tls};
use crate::harness::Upstream;
use crate::operator::Served;

/// What upstream is asked with.
const UPSTREAM: &str = "cfut_Upstream0Secret1Upstream2Secret3Upstr";

/// A part of the heartbeat's URL.
const HEARTBEAT: &str = "heartbeat-4f1c9a7b2e";

/// An assertion without a valid signature.
const ASSERTION: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6Ims3In0.eyJlbWFpbCI6ImFAZXhhbXBsZS5jb20ifQ.c2lnbmF0dXJlLXNlY3JldC0wMTIz";

/// Runs a command on the data directory, and gives all that it says.
fn said(data: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    let run = command.args(args).arg("--data-dir").arg(data).output();
    let run = run.unwrap();
    assert!(run.status.success(), "{args:?}: {run:?}");
    String::from_utf8(run.stdout).unwrap() + &String::from_utf8(run.stderr).unwrap()
}

/// All that an answer says.
async fn told(request: RequestBuilder) -> String {
    let answer = request.send().await.unwrap();
    let head = format!("{} {:?}", answer.status(), answer.headers());
    head + &answer.text().await.unwrap()
}

/// The bytes of all files below a directory.
fn files(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credential_is_shown_anywhere() {
    let authority = Authority::new();
    let upstream = Upstream::new(SimConfig {
        events: 20,
        accounts: 1,
        days: 2,
        ..SimConfig::default()
    });
    let upstream = upstream.await;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let key_file = authority.good().write(dir.path()).key;
    let access = "auth = \"tokens\"\n[http.access]\nteam_domain = \"team.cloudflareaccess.com\"\n\
                  audience = \"a1\"\nkeys_url = \"http://127.0.0.1:9/certs\"\n";
    let config = upstream.configuration(dir.path());
    let config = config.replace("auth = \"none\"\n", access);
    let config = config.replace(
        "[poll]\n",
        "[poll]\nheartbeat_url_env = \"TEST_HEARTBEAT\"\n",
    );
    std::fs::write(dir.path().join("token"), UPSTREAM).unwrap();
    let heartbeat = format!("http://127.0.0.1:9/{HEARTBEAT}");
    let served = Served::start_with(
        dir.path(),
        &with_tls(&config, dir.path()),
        &["-vv"],
        &[("TEST_HEARTBEAT", &heartbeat)],
    );
    served.until("Service started.");

    let created = said(
        &data,
        &[
            "token",
            "create",
            "x",
            "--scope",
            "search,export,metrics,admin",
            "--json",
        ],
    );
    let created: Value = serde_json::from_str(&created).unwrap();
    let token = created["token"].as_str().unwrap().to_owned();
    let client = authority.client().build().unwrap();
    let url = |path: &str| format!("https://{NAME}:{}{path}", address(&served.url).port());
    let get = |path: &str| client.get(url(path));
    let sign_in = client.post(url("/v1/session"));
    let begun = sign_in.json(&serde_json::json!({"token": token})).send();
    let begun = begun.await.unwrap();
    assert_eq!(begun.status(), StatusCode::CREATED);
    let cookie = begun.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let session = cookie.split_once('=').unwrap().1.to_owned();
    let owner = std::fs::read_to_string(data.join("orgtrail.secret")).unwrap();
    let owner = owner.trim().to_owned();

    let mut shown = Vec::new();
    for path in [
        "/v1/count",
        "/v1/events",
        "/v1/me",
        "/v1/export",
        "/v1/access-log",
        "/metrics",
        "/readyz",
    ] {
        shown.push(told(get(path).bearer_auth(&token)).await);
        shown.push(told(get(path).header(COOKIE, &cookie)).await);
        shown.push(told(get(path).header("cf-access-jwt-assertion", ASSERTION)).await);
        shown.push(told(get(path).bearer_auth(&token[..token.len() - 1])).await);
        shown.push(told(get(path).header(AUTHORIZATION, format!("Basic {token}"))).await);
    }
    // Where no credential belongs.
    for sent in [&token[..], &session, ASSERTION, UPSTREAM] {
        // Anywhere by its form, or by the name of its parameter.
        let has_form = [&token[..], UPSTREAM].contains(&sent);
        let names = ["token", "q", "cursor", "x"];
        for name in &names[..if has_form { names.len() } else { 1 }] {
            let to = url("/v1/events");
            let to = reqwest::Url::parse_with_params(&to, [(name, sent)]).unwrap();
            let request = client.get(to);
            // An error names the value of a parameter to the one who sent it.
            drop(told(request.bearer_auth(&token)).await);
        }
        let body = format!("{{\"token\": \"{sent}\"");
        let broken = client.post(url("/v1/session")).body(body);
        shown.push(told(broken.header(CONTENT_TYPE, "application/json")).await);
    }
    for path in ["/openapi.json", "/docs", "/healthz"] {
        shown.push(told(get(path)).await);
    }
    for args in [
        &["status"][..],
        &["token", "list"],
        &["access-log", "--limit", "0"],
    ] {
        shown.push(said(&data, args));
    }
    let backup = dir.path().join("backup");
    shown.push(said(&data, &["backup", backup.to_str().unwrap()]));
    served.until("Heartbeat failed");
    let log = served.log.lock().unwrap().clone();
    shown.push(log);
    served.stop();

    let mut places: Vec<(String, Vec<u8>)> = shown
        .into_iter()
        .enumerate()
        .map(|(n, text)| (format!("answer {n}"), text.into_bytes()))
        .collect();
    files(&data, &mut places);
    files(&backup, &mut places);
    let key = std::fs::read_to_string(key_file).unwrap();
    let signature = ASSERTION.rsplit('.').next().unwrap();
    let secrets = [
        ("token", &token[4..44]),
        ("session", &session[..]),
        ("owner's secret", &owner[..]),
        ("assertion", signature),
        ("upstream's token", &UPSTREAM[5..]),
        ("heartbeat", HEARTBEAT),
        ("key", key.lines().nth(1).unwrap()),
    ];
    for (place, bytes) in &places {
        for (name, secret) in secrets {
            let has = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().find(|line| line.contains(secret));
            assert!(!has, "{name} in {place}: {line:?}");
        }
    }
}
