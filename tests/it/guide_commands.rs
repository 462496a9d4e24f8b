//! What a newcomer does: the commands of the guide, each where its mark says, and Cloudflare's own client.
//!
//! `CONTRIBUTING.md` describes the marks.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use chrono::TimeDelta;
use flate2::{Compression, write::GzEncoder};
use orgtrail::clock::Clock;
use orgtrail::http::Limits;
use orgtrail_simulator::{CursorForm, SimConfig};

use crate::fixture_log::Desk;
use crate::guide::{Block, page, pages};
use crate::harness::Upstream;
use crate::{skip_slow_tests, tell};

/// Where the guide's service answers.
const SERVICE_URL: &str = "http://127.0.0.1:7070";

/// Where the guide's simulated upstream answers.
const SIMULATOR_URL: &str = "http://127.0.0.1:7071/client/v4";

/// Names a Python interpreter that has what `tests/official_client/requirements.txt` lists.
const PYTHON: &str = "ORGTRAIL_PYTHON";

/// The interpreter, once it is known that there is one to use.
fn python() -> PathBuf {
    let Some(python) = std::env::var_os(PYTHON) else {
        panic!(
            "the slow tests need Cloudflare's Python client: make an environment with `python3 -m venv target/python`, fill \
             it with `target/python/bin/pip install -r tests/official_client/requirements.txt`, and set {PYTHON} to \
             `target/python/bin/python`"
        );
    };
    // Tests run in the package's folder, from where a relative path is meant.
    Path::new(env!("CARGO_MANIFEST_DIR")).join(python)
}

/// A simulator as the `simulate` command starts it, only smaller.
async fn upstream() -> Upstream {
    Upstream::new(SimConfig {
        events: 4_000,
        accounts: 3,
        days: 20,
        // The official pager reads another place than the documentation names.
        cursor_form: CursorForm::Both,
        ..SimConfig::default()
    })
    .await
}

/// Limits under which a question may take long, because other tests run at the same time.
pub(crate) fn patient_limits() -> Limits {
    Limits {
        looking: TimeDelta::seconds(60),
        waiting: Duration::from_secs(60),
        ..Limits::default()
    }
}

/// A command that runs a line of shell in `dir`, with our program on the path and no variables of ours.
pub(crate) fn shell(script: &str, dir: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_orgtrail")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(dir);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORGTRAIL_") {
            command.env_remove(name);
        }
    }
    command.env("PATH", path).env_remove("RUST_LOG");
    command
}

/// Runs a line of the guide, and checks that it does something and goes well. A line that never ends is stopped.
fn run_line(line: &str, dir: &Path) {
    let is_endless = line.contains("--follow") || line.contains("/stream");
    let script = if is_endless {
        line.replacen("orgtrail", "timeout 2 orgtrail", 1)
            .replacen("curl", "timeout 2 curl", 1)
    } else {
        line.to_owned()
    };
    let mut command = shell(&script, dir);
    let done = tokio::task::block_in_place(|| command.output()).unwrap();
    let printed = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    let expected = if is_endless { 124 } else { 0 };
    let what = format!("{line}: {printed}{errors}");
    assert_eq!(done.status.code(), Some(expected), "{what}");
    assert!(!printed.contains("urn:orgtrail:problem"), "{what}");
    let is_written_to_a_file = line.contains(" > ") || line.contains(" -o ");
    assert!(is_written_to_a_file || !printed.is_empty(), "{what}");
    let beginning: String = printed.chars().take(300).collect();
    tell(format!("{line}\n{beginning}"));
}

/// The part of a URL without its scheme.
fn host(url: &str) -> &str {
    url.trim_start_matches("http://")
}

/// The guide's blocks that are run in such a place.
fn blocks_run_in(place: &str) -> Vec<Block> {
    let blocks = pages().into_iter().flat_map(|page| page.blocks());
    blocks
        .filter(|block| block.runs_in(place).is_some())
        .collect()
}

/// Runs a program to its end, and gives what it wrote if it went well.
fn run(command: &mut Command) -> String {
    let done = tokio::task::block_in_place(|| command.output());
    let Output {
        status,
        stdout,
        stderr,
    } = done.unwrap_or_else(|error| panic!("could not run {command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(
        status.success(),
        "{command:?} ended with {status}: {stderr}"
    );
    String::from_utf8(stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudflares_own_client_works_unchanged() {
    if skip_slow_tests() {
        return;
    }
    let python = python();
    let upstream = upstream().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_client/walk.py");
    let mut walk = Command::new(python);
    tell(run(walk.arg(script).arg(&upstream.base_url)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_lines_about_the_simulator_do_what_it_says() {
    if skip_slow_tests() {
        return;
    }
    let blocks = page("docs/src/simulator.md").blocks();
    let mut blocks = blocks
        .iter()
        .filter(|block| block.runs_in("simulator").is_some());
    let lines = &blocks.next().unwrap().code;
    assert!(blocks.next().is_none() && blocks_run_in("simulator").len() == 1);
    let upstream = upstream().await;
    let script = lines.replace(SIMULATOR_URL, &upstream.base_url);
    assert_ne!(script, *lines, "the guide names the address in another way");
    let said = run(Command::new("sh").args(["-euc", &script]));
    // Each line that begins with `curl` shows an answer, and only the last is a refusal.
    let n_shown = lines
        .lines()
        .filter(|line| line.starts_with("curl"))
        .count();
    assert_eq!(
        said.matches("\"success\":true").count(),
        n_shown - 1,
        "{said}"
    );
    assert!(said.contains("\"history_status\":\"exact\""), "{said}");
    assert!(
        said.ends_with("\"success\":false}") && said.contains("organization is not empty"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_lines_beside_a_service_do_what_it_says() {
    // They take `curl`, and some seconds.
    if skip_slow_tests() {
        return;
    }
    let mut desk = Desk::of_history_with(3_000, patient_limits()).await;
    let work = tempfile::tempdir().unwrap();
    // Without `--server`, the data directory is the configuration's.
    let configuration = format!(
        "data_dir = '{}'\n[[accounts]]\nid = \"f00d\"\n",
        desk.data_dir().display()
    );
    std::fs::write(work.path().join("orgtrail.toml"), configuration).unwrap();
    let account = desk.store.sources().unwrap().remove(0).source.to_string();
    let blocks = blocks_run_in("service");
    assert!(blocks.len() >= 4);
    for line in blocks.iter().flat_map(Block::commands) {
        let line = line.replace(SERVICE_URL, &desk.url);
        let line = line.replace(host(SERVICE_URL), host(&desk.url));
        run_line(&line.replace("accounts/ID", &account), work.path());
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guides_lines_in_a_directory_do_what_it_says() {
    if skip_slow_tests() {
        return;
    }
    let config = SimConfig {
        events: 300,
        accounts: 2,
        days: 35,
        ..SimConfig::default()
    };
    let upstream = Upstream::new(config).await;
    let sources = upstream.simulator.sources();
    let blocks = blocks_run_in("directory");
    assert!(blocks.len() >= 4);
    for block in blocks {
        let work = tempfile::tempdir().unwrap();
        let configuration = upstream.configuration(work.path());
        std::fs::write(work.path().join("orgtrail.toml"), configuration).unwrap();
        if let Some(name) = block.runs_in("directory").unwrap().strip_prefix(" with ") {
            let entries = upstream
                .simulator
                .entries(&sources[1], Clock::system().now());
            let file = std::fs::File::create(work.path().join(name)).unwrap();
            let mut file = GzEncoder::new(file, Compression::fast());
            file.write_all(entries.join("\n").as_bytes()).unwrap();
            file.finish().unwrap();
        }
        // History is read, as in a directory that has been in use.
        run(&mut shell("orgtrail backfill", work.path()));
        for line in block.commands() {
            let line = line.replace("organizations/ID", &sources[0].to_string());
            run_line(
                &line.replace("accounts/ID", &sources[1].to_string()),
                work.path(),
            );
        }
    }
}
