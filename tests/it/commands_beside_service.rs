//! Commands beside a running service.

use std::path::Path;
use std::process::{Command, Output};

use orgtrail_simulator::{Faults, SimConfig};
use serde_json::Value;

use crate::harness::{Service, Upstream, until};

/// A command beside the service that this process runs, of which tasks go on meanwhile.
fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    command.env_remove("RUST_LOG").args(args);
    tokio::task::block_in_place(|| command.output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn small() -> Upstream {
    Upstream::new(SimConfig {
        events: 20,
        accounts: 1,
        days: 3,
        ..SimConfig::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_beside_a_running_service_asks_it() {
    let upstream = small().await;
    let forbidden = upstream.simulator.sources().remove(1);
    upstream.simulator.set_faults(Faults {
        forbidden: vec![forbidden.clone()],
        ..Faults::default()
    });
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    let is_failing = |told: &Value| {
        let mut sources = told["sources"].as_array().unwrap().iter();
        sources
            .any(|source| source["source"] == forbidden.to_string() && source["state"] == "failing")
    };
    service.until("/v1/sources", is_failing).await;
    // Only the service knows that.
    let lacks = |args: &[&str]| {
        let found = run(&[&["search", "--data-dir", &data], args].concat());
        assert!(found.status.success(), "{found:?}");
        text(&found.stderr)
    };
    for args in [&[][..], &["--all"], &["--facets", "actor.email"]] {
        let said = lacks(args);
        assert!(said.contains("  failing: 1 gap in 1 source"), "{said}");
    }
    let address = service.url.trim_start_matches("http://").to_owned();
    let named = run(&["search", "--server", &address, "--limit", "1"]);
    assert!(named.status.success(), "a scheme is not needed: {named:?}");
    service.stop().await.unwrap();
    let said = lacks(&[]);
    assert!(!said.contains("failing"), "{said}");
    let gone = run(&["search", "--server", &address]);
    let said = text(&gone.stderr);
    assert!(
        said.contains(&format!("could not reach http://{address}: "))
            && said.contains("is the service running"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_of_the_data_directory_needs_no_token() {
    let upstream = small().await;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let configuration = upstream.configuration(dir.path());
    let configuration = configuration.replace("auth = \"none\"", "auth = \"tokens\"");
    let service = Service::start(&configuration).await;
    let place = data.display().to_string();
    until("all are found", || {
        let found = run(&["search", "--json", "--data-dir", &place]);
        found.status.success() && text(&found.stdout).lines().count() == 20
    })
    .await;
    let told = run(&["status", "--json", "--data-dir", &place]);
    assert!(
        told.status.success() && !text(&told.stdout).contains("\"stopped\""),
        "{told:?}"
    );
    let secret = std::fs::read_to_string(data.join("orgtrail.secret")).unwrap();
    let ask = async |bearer: &str| {
        let request = reqwest::Client::new().get(format!("{}/v1/count", service.url));
        let answer = request.bearer_auth(bearer).send().await.unwrap();
        answer.status().as_u16()
    };
    assert_eq!(ask(&secret).await, 200);
    for wrong in ["", "x", &secret[1..], &secret.to_uppercase()] {
        assert_eq!(ask(wrong).await, 401, "{wrong}");
    }
    assert_eq!(
        run(&["search", "--server", &service.url]).status.code(),
        Some(1)
    );
    service.stop().await.unwrap();
    assert!(!data.join("orgtrail.secret").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_needs_the_directory_to_itself_is_told_who_has_it() {
    let upstream = small().await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(2).await;
    let address = service.url.trim_start_matches("http://").to_owned();
    let holder = format!(
        "already uses the data directory `{}`: process {}, which answers on {address}, since 20",
        dir.path().join("data").display(),
        std::process::id()
    );
    let refused = |args: &[&str], what_to_do: &str| {
        let said = run(args);
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let said = text(&said.stderr);
        assert!(
            said.contains(&holder) && said.contains(what_to_do),
            "{said}"
        );
    };
    let place = dir.path().join("data").display().to_string();
    refused(&["reindex", "--data-dir", &place], "stop the service first");
    refused(
        &["import", "--data-dir", &place, "-"],
        "stop the service first",
    );
    // Whether its address is the same or another.
    for listen in ["127.0.0.1:0", &address] {
        let second = second(dir.path(), listen, &upstream);
        refused(
            &["serve", "--config", &second],
            "stop that one first, or write another `data_dir`",
        );
    }
    service.stop().await.unwrap();
}

/// The file of a configuration that differs in the address only.
fn second(dir: &Path, listen: &str, upstream: &Upstream) -> String {
    let configuration = upstream.configuration(dir);
    let configuration = configuration.replace("[http]", &format!("[http]\nlisten = \"{listen}\""));
    let file = dir.join("second.toml");
    std::fs::write(&file, configuration).unwrap();
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_beside_a_running_service_asks_it() {
    let upstream = Upstream::new(SimConfig {
        events: 20,
        accounts: 1,
        days: 3,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let states = || -> Vec<String> {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_orgtrail"));
        command.args(["status", "--json", "--data-dir"]).arg(&data);
        let told = tokio::task::block_in_place(|| command.output().unwrap());
        assert!(told.status.success(), "{told:?}");
        let text = String::from_utf8(told.stdout).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
        rows.map(|row: serde_json::Value| row["state"].as_str().unwrap().to_owned())
            .collect()
    };
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(2).await;
    let are_live = |told: &serde_json::Value| {
        let sources = told["sources"].as_array().unwrap();
        sources.iter().all(|source| source["state"] == "live")
    };
    service.until("/v1/sources", are_live).await;
    assert_eq!(states(), ["live", "live"]);
    let url = service.url.clone();
    service.stop().await.unwrap();
    assert_eq!(states(), ["stopped", "stopped"]);
    // As after a crash, when another program has taken the address: another log's service is not believed.
    let other = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(other.path())).await;
    service.settle(2).await;
    let address = service.url.trim_start_matches("http://");
    std::fs::write(data.join("orgtrail.lock"), address).unwrap();
    assert_eq!(states(), ["stopped", "stopped"]);
    std::fs::write(
        data.join("orgtrail.lock"),
        url.trim_start_matches("http://"),
    )
    .unwrap();
    assert_eq!(states(), ["stopped", "stopped"], "nobody answers there");
    service.stop().await.unwrap();
}
