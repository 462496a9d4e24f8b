//! A running service whose certificate is renewed, rightly and wrongly, and the commands beside it.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use orgtrail_simulator::SimConfig;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;

use super::authority::{Authority, NAME, address, with_tls};
use crate::harness::{Upstream, until};
use crate::operator::Served;

const RENEWED: &str = "New connections get the renewed certificate.";
const REFUSED: &str = "The renewed certificate cannot be used.";

async fn upstream() -> Upstream {
    Upstream::new(SimConfig {
        events: 20,
        accounts: 1,
        days: 2,
        ..SimConfig::default()
    })
    .await
}

/// How often the log of a service has a text.
fn times(served: &Served, wanted: &str) -> usize {
    served.log.lock().unwrap().matches(wanted).count()
}

fn url(served: &Served, path: &str) -> String {
    format!("https://{NAME}:{}{path}", address(&served.url).port())
}

async fn ready(authority: &Authority, served: &Served) -> Value {
    let client = authority.client().build().unwrap();
    let answer = client.get(url(served, "/readyz")).send().await.unwrap();
    answer.json().await.unwrap()
}

/// Asks again and again, on one connection or on a new one each time, until the end. Gives how many were answered.
async fn ask_on(
    client: reqwest::Client,
    url: String,
    end: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) {
    while !end.load(Ordering::Relaxed) {
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.bytes().await.unwrap();
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_under_load_and_no_request_is_lost() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let dir = tempfile::tempdir().unwrap();
    authority.good().write(dir.path());
    let config = with_tls(&upstream.configuration(dir.path()), dir.path());
    let served = Served::start(dir.path(), &config);
    let (end, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut asking = JoinSet::new();
    for n in 0..6 {
        let client = match n % 2 {
            0 => authority.client(),
            _ => authority.client().pool_max_idle_per_host(0),
        };
        let (client, url) = (client.build().unwrap(), url(&served, "/v1/me"));
        asking.spawn(ask_on(client, url, Arc::clone(&end), Arc::clone(&answered)));
    }
    for n in 1..=3 {
        let next = authority.good();
        next.write(dir.path());
        // The last one is found without a signal.
        if n < 3 {
            served.signal("-HUP");
        }
        until("the certificate is renewed", || {
            times(&served, RENEWED) == n
        })
        .await;
        assert_eq!(authority.presented(address(&served.url)).await, next.der);
        let before = answered.load(Ordering::Relaxed);
        until("more is answered", || {
            answered.load(Ordering::Relaxed) > before + 20
        })
        .await;
    }
    end.store(true, Ordering::Relaxed);
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
    assert_eq!(times(&served, REFUSED), 0);
    served.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_renewal_keeps_the_certificate_and_is_reported() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let dir = tempfile::tempdir().unwrap();
    let first = authority.issue(&[NAME], -1, 10);
    first.write(dir.path());
    let config = with_tls(&upstream.configuration(dir.path()), dir.path());
    let served = Served::start(dir.path(), &config);
    let before = ready(&authority, &served).await;
    assert_eq!(
        before["problems"],
        serde_json::json!(["certificate expires soon"]),
        "{before}"
    );
    assert_eq!(before["certificate"]["names"][0], NAME);

    for bad in [
        authority.issue(&[NAME], -90, -1),
        authority.issue(&[NAME], 20, 90),
    ] {
        let refused = times(&served, REFUSED);
        bad.write(dir.path());
        served.signal("-HUP");
        until("the renewal is refused", || {
            times(&served, REFUSED) > refused
        })
        .await;
        assert_eq!(authority.presented(address(&served.url)).await, first.der);
    }
    let refused = ready(&authority, &served).await;
    let problems = serde_json::json!(["certificate expires soon", "certificate renewal refused"]);
    assert_eq!(refused["problems"], problems, "{refused}");
    assert!(
        refused["certificate"]["renewal_refused_since"].is_string(),
        "{refused}"
    );

    let next = authority.good();
    next.write(dir.path());
    until("the certificate is renewed", || {
        times(&served, RENEWED) == 1
    })
    .await;
    assert_eq!(authority.presented(address(&served.url)).await, next.der);
    let after = ready(&authority, &served).await;
    assert_eq!(after["problems"], serde_json::json!([]), "{after}");
    served.stop();
}

/// What a command says: on standard output, and on standard error.
fn command(data: &Path, args: &[&str]) -> (String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args(args)
        .arg("--data-dir")
        .arg(data)
        .output()
        .unwrap();
    assert!(run.status.success(), "{args:?}: {run:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(run.stdout), text(run.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_reach_their_service_by_its_own_certificate_whatever_its_names() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    authority
        .issue(&["audit.example.com"], -1, 90)
        .write(dir.path());
    let config = upstream
        .configuration(dir.path())
        .replace("auth = \"none\"\n", "");
    let served = Served::start(dir.path(), &with_tls(&config, dir.path()));
    served.until("Service started.");
    // The health check of the image, with this data directory in place of its own.
    let image = include_str!("../../../deploy/Containerfile");
    let check = image.lines().find(|line| line.starts_with("HEALTHCHECK"));
    let (_, check) = check.unwrap().split_once(" CMD ").unwrap();
    let check: Vec<String> = serde_json::from_str(check).unwrap();
    let check = check[1..]
        .iter()
        .map(|arg| arg.replace("/var/lib/orgtrail", data.to_str().unwrap()));
    let check: Vec<String> = check.collect();
    let asks_all = || {
        assert!(command(&data, &["health"]).0.contains("\"status\":\"ok\""));
        let health = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
            .args(&check)
            .output();
        let health = health.unwrap();
        assert!(health.status.success(), "{check:?}: {health:?}");
        let (_, said) = command(&data, &["status"]);
        let (found, _) = command(&data, &["search", "--limit", "1", "--json"]);
        serde_json::from_str::<Value>(found.lines().next().unwrap_or("{}")).unwrap();
        said
    };
    let said = asks_all();
    assert!(
        said.contains("The certificate is for audit.example.com and expires at"),
        "{said}"
    );

    // One that no client would take.
    authority
        .issue(&["other.example.com"], -1, 5)
        .write(dir.path());
    served.signal("-HUP");
    until("the certificate is renewed", || {
        times(&served, RENEWED) == 1
    })
    .await;
    let said = asks_all();
    assert!(
        said.contains("other.example.com") && said.contains("Problem: certificate expires soon."),
        "{said}"
    );
    served.stop();
    assert!(!data.join("orgtrail.secret").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_do_not_send_their_secret_to_a_server_with_another_certificate() {
    let (authority, upstream) = (Authority::new(), upstream().await);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    authority.good().write(dir.path());
    let config = with_tls(&upstream.configuration(dir.path()), dir.path());
    let served = Served::start(dir.path(), &config);
    served.until("Service started.");
    // As if the service had another one than the owner of the data directory knows.
    std::fs::write(data.join("orgtrail.certificate"), "0".repeat(64)).unwrap();
    let health = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args(["health", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(!health.status.success(), "{health:?}");
    served.stop();
}
