//! What a newcomer does with the simulated API: the lines of the README with `curl`, and Cloudflare's own client.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use orgtrail_simulator::{CursorForm, SimConfig};

use crate::harness::Upstream;
use crate::{skip_slow_tests, tell};

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
async fn the_readmes_lines_do_what_it_says() {
    if skip_slow_tests() {
        return;
    }
    let readme = include_str!("../../README.md");
    let section = readme.split("## The simulated upstream").nth(1).unwrap();
    let block = section.split("```sh\n").nth(1).unwrap();
    let lines = block.split("```").next().unwrap();
    let upstream = upstream().await;
    let script = lines.replace("http://127.0.0.1:7071/client/v4", &upstream.base_url);
    assert_ne!(script, lines, "the README names the address in another way");
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
