//! The files in `examples/`, each run as its user would run it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use chrono::Days;
use orgtrail::clock::Clock;
use orgtrail::config::Config;
use orgtrail_simulator::SimConfig;

use crate::guide_commands::shell;
use crate::harness::{Service, Upstream};
use crate::skip_slow_tests;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

async fn upstream(events: u64) -> Upstream {
    let config = SimConfig {
        events,
        accounts: 2,
        days: 12,
        ..SimConfig::default()
    };
    Upstream::new(config).await
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let done = tokio::task::block_in_place(|| command.output());
    let Output {
        status,
        stdout,
        stderr,
    } = done.unwrap_or_else(|error| panic!("could not run {command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn each_example_has_a_test() {
    let names = std::fs::read_dir(example("")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(
        names,
        ["export-day.py", "one-organization.toml", "page-through.sh"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_of_one_organization_collects_it() {
    let upstream = upstream(60).await;
    let text = std::fs::read_to_string(example("one-organization.toml")).unwrap();
    let given = Config::parse(&text, "one-organization.toml", std::iter::empty()).unwrap();
    assert_eq!(given.http.listen.port(), 7070);
    let work = tempfile::tempdir().unwrap();
    let id = upstream.simulator.organization_id();
    let text = text.replace(&"0".repeat(32), &id.to_string());
    std::fs::write(work.path().join("orgtrail.toml"), text).unwrap();
    for (line, expected) in [
        ("orgtrail check", "ok"),
        ("orgtrail backfill", "60"),
        ("orgtrail search --all --json", "\"seq\":60,"),
    ] {
        let mut command = shell(line, work.path());
        command
            .env("CLOUDFLARE_API_TOKEN", "any-token")
            .env("ORGTRAIL__UPSTREAM__BASE_URL", &upstream.base_url);
        let (status, printed, errors) = output(&mut command);
        assert_eq!(status, Some(0), "{line}: {printed}{errors}");
        assert!(printed.contains(expected), "{line}: {printed}{errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scripts_read_what_is_covered_and_refuse_the_rest() {
    // They take `curl`, `jq` and `python3`.
    if skip_slow_tests() {
        return;
    }
    let upstream = upstream(4_000).await;
    let work = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(work.path())).await;
    service.settle(3).await;
    let run = |program: &str, args: &[&str]| {
        let mut command = Command::new(example(program));
        command
            .args(args)
            .current_dir(work.path())
            .env("ORGTRAIL_URL", &service.url);
        output(&mut command)
    };

    // Several pages of a thousand.
    let count = service.count("since=8d&before=1d").await;
    assert!(count > 2_000, "{count}");
    let (status, printed, errors) = run("page-through.sh", &[]);
    assert_eq!(status, Some(0), "{errors}");
    assert_eq!(printed.lines().count() as u64, count);
    let deleted = service
        .count("q=action.type:delete&since=8d&before=1d")
        .await;
    let (_, printed, _) = run("page-through.sh", &["action.type:delete"]);
    assert_eq!(printed.lines().count() as u64, deleted);
    // Older than what was asked of upstream.
    let (status, _, errors) = run("page-through.sh", &["", "90d"]);
    assert_eq!(status, Some(1), "{errors}");
    assert!(errors.contains("not_asked_for"), "{errors}");

    let now = Clock::system().now();
    let day = |days_ago| (now - Days::new(days_ago)).date_naive();
    let bounds = format!("since={}&before={}", day(3), day(2));
    let count = service.count(&bounds).await;
    let (status, printed, errors) = run("export-day.py", &[&day(3).to_string(), "day.ndjson"]);
    assert_eq!(status, Some(0), "{errors}");
    assert!(
        printed.starts_with(&format!("{count} events, ")),
        "{printed}"
    );
    let exported = std::fs::read_to_string(work.path().join("day.ndjson")).unwrap();
    assert_eq!(exported.lines().count() as u64, count);
    let (status, _, errors) = run("export-day.py", &[&day(90).to_string(), "old.ndjson"]);
    assert_eq!(status, Some(1), "{errors}");
    assert!(!work.path().join("old.ndjson").exists());
    service.stop().await.unwrap();
}
