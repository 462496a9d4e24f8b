//! schemathesis sends requests that it makes from the document, with a token of each role.

use std::path::{Path, PathBuf};
use std::process::Command;

use orgtrail::access::{Grant, Permission};
use orgtrail::position::Source;

use super::filled::{ACCOUNT, Filled};
use crate::{skip_slow_tests, tell};

/// Names a Python interpreter that has what `tests/openapi/requirements.txt` lists.
const PYTHON: &str = "ORGTRAIL_PYTHON";

/// The committed document.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

/// The checks: no 5xx, and status, type, headers and body are as documented; what violates the document is refused.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection,unsupported_method";

/// What is sent in each role: random requests to every route, and all edge cases of the routes without the many filters.
/// With these, the edge cases alone would be thousands.
const RUNS: [&[&str]; 2] = [
    &["--phases", "examples,fuzzing", "--max-examples", "8"],
    &[
        "--phases",
        "coverage",
        "--exclude-path-regex",
        "^/v1/(events|export|facets|histogram|count|fields/|actors|tokens|ips|resources)|logs/audit$",
    ],
];

/// The program, beside the interpreter that the variable names.
fn program() -> Option<PathBuf> {
    let python = std::env::var_os(PYTHON)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Some(root.join(python).with_file_name("schemathesis"))
}

/// The roles, by their names.
fn roles() -> [(&'static str, Grant); 5] {
    let only = |permission: Permission| Grant {
        permissions: [permission].into_iter().collect(),
        ..Grant::everything()
    };
    let limited = Grant {
        sources: vec![Source::account(ACCOUNT).unwrap()],
        bodies: false,
        ..only(Permission::Search)
    };
    [
        ("everything", Grant::everything()),
        ("search", only(Permission::Search)),
        ("export", only(Permission::Export)),
        ("metrics", only(Permission::Metrics)),
        ("search in one source without bodies", limited),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_answer_that_is_not_documented() {
    if skip_slow_tests() {
        return;
    }
    let Some(program) = program() else {
        tell(format!("SKIPPED: {PYTHON} is not set, see CONTRIBUTING.md"));
        return;
    };
    let filled = Filled::new().await;
    // It keeps files where it is run.
    let dir = tempfile::tempdir().unwrap();
    for (role, grant) in roles() {
        let token = filled.desk.token(grant);
        for run in RUNS {
            let mut command = Command::new(&program);
            command.args(["run", DOCUMENT, "--no-color", "--continue-on-failure"]);
            command.args(["--url", &filled.desk.url, "--checks", CHECKS]);
            command.args(["--header", &format!("Authorization: Bearer {token}")]);
            // A stream does not end. Its refusals are those of the other routes.
            command.args(["--exclude-path", "/v1/events/stream", "--no-shrink"]);
            command.args(["--seed", "1", "--generation-database", "none"]);
            command.args(run).current_dir(dir.path());
            let done = tokio::task::block_in_place(|| command.output()).unwrap();
            let said = String::from_utf8_lossy(&done.stdout);
            let errors = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{role}: {said}\n{errors}");
            let mut lines = said.lines().map(str::trim);
            let generated = lines.find(|line| line.contains(" generated, "));
            tell(format!("{role}: {}", generated.unwrap_or_default()));
            assert!(
                generated.is_some_and(|line| !line.starts_with("0 ")),
                "{said}"
            );
        }
    }
}
