//! Cloudflare's own client against the simulated API: whoever wrote for the one can try it on the other.

use std::path::{Path, PathBuf};
use std::process::Command;

use orgtrail::sim::{CursorForm, SimConfig};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudflares_own_client_works_unchanged() {
    if skip_slow_tests() {
        return;
    }
    let python = python();
    let upstream = Upstream::new(SimConfig {
        events: 4_000,
        accounts: 3,
        days: 20,
        // The official pager reads another place than the documentation names.
        cursor_form: CursorForm::Both,
        ..SimConfig::default()
    })
    .await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_client/walk.py");
    let done = tokio::task::block_in_place(|| {
        Command::new(&python)
            .arg(script)
            .arg(&upstream.base_url)
            .output()
    });
    let done = done.unwrap_or_else(|error| {
        panic!(
            "could not run {}, which {PYTHON} names: {error}",
            python.display()
        )
    });
    tell(String::from_utf8_lossy(&done.stdout));
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}
