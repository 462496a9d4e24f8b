//! Cloudflare's own clients read the log with a token of ours: Python, TypeScript and Go.

use std::path::{Path, PathBuf};
use std::process::Command;

use orgtrail::position::SourceKind;
use orgtrail_simulator::SimConfig;
use serde_json::{Value, json};

use crate::access::command;
use crate::harness::{Service, Upstream};
use crate::{skip_slow_tests, tell};

/// How a client is run with what its variable names.
type MakeCommand = fn(&Path) -> Command;

/// The clients: the variable that names what one needs, and how it is run with that.
const CLIENTS: [(&str, MakeCommand); 3] = [
    ("ORGTRAIL_PYTHON", |python| {
        let mut command = Command::new(python);
        command.arg("tests/official_client/read.py");
        command
    }),
    ("ORGTRAIL_NODE_CLIENT", |modules| {
        let mut command = Command::new("node");
        command.arg("tests/official_client/node/read.mjs");
        command.env("NODE_MODULES", modules);
        command
    }),
    ("ORGTRAIL_GO_CLIENT", |program| Command::new(program)),
];

/// What a variable names: a path that may be relative to the package's folder.
fn named(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable)?;
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudflares_clients_list_filter_exclude_page_and_read_a_history() {
    if skip_slow_tests() {
        return;
    }
    let upstream = Upstream::new(SimConfig {
        events: 2_000,
        accounts: 2,
        days: 20,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let configuration = upstream.configuration(dir.path());
    let filling = Service::start(&configuration).await;
    filling.settle(upstream.simulator.sources().len()).await;
    let sources = upstream.simulator.sources();
    let account = sources
        .iter()
        .find(|source| source.kind() == SourceKind::Account);
    let account = account.unwrap();
    // Dates that hold for a while: today is left out, because entries arrive.
    let sources = filling
        .get("/v1/histogram?since=now/d-25d&before=now/d&interval=1d")
        .await;
    let buckets = sources["buckets"].as_array().unwrap();
    let date = |bucket: &Value, name: &str| bucket[name].as_str().unwrap()[..10].to_owned();
    let since = date(buckets.first().unwrap(), "time");
    let before = date(buckets.last().unwrap(), "end");
    let path = format!(
        "/client/v4/{account}/logs/audit?since={since}&before={before}&direction=asc&limit=1000"
    );
    let listed = filling.get(&path).await;
    let ids: Vec<Value> = listed["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["id"].clone())
        .collect();
    assert!((100..1_000).contains(&ids.len()), "{}", ids.len());
    let deletes = filling.get(&format!("{path}&action_type=delete")).await;
    let deletes = deletes["result"].as_array().unwrap().len();
    filling.stop().await.unwrap();

    let guarded = configuration.replace("auth = \"none\"", "auth = \"tokens\"");
    let service = Service::start(&guarded).await;
    let data = dir.path().join("data");
    let args = ["token", "create", "client", "--scope", "search", "--json"];
    let created: Value = serde_json::from_str(&command(&data, &args)).unwrap();
    let expected = json!({
        "ids": ids, "without": ids.len() - deletes, "deletes": deletes,
        "in_history": true, "categories": true,
    });
    for (variable, client) in CLIENTS {
        let Some(found) = named(variable) else {
            tell(format!(
                "SKIPPED: {variable} is not set, see CONTRIBUTING.md"
            ));
            continue;
        };
        let mut client = client(&found);
        client.current_dir(env!("CARGO_MANIFEST_DIR"));
        client.arg(format!("{}/client/v4", service.url));
        client.args([
            created["token"].as_str().unwrap(),
            account.id(),
            &since,
            &before,
        ]);
        let done = tokio::task::block_in_place(|| client.output()).unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{variable}: {said}");
        let found: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(found, expected, "{variable}");
        tell(format!("{variable}: {} entries", ids.len()));
    }
    service.stop().await.unwrap();
}
