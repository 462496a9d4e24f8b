//! Commands beside a running service.

use orgtrail_simulator::SimConfig;

use crate::harness::{Service, Upstream};

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
