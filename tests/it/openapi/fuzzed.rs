//! schemathesis sends requests that it makes from the document, with a token of each role.

use std::path::Path;
use std::process::Command;

use orgtrail::access::{Grant, Permission};
use orgtrail::position::Source;

use super::filled::{ACCOUNT, Filled};
use crate::{skip_slow_tests, tell};

/// Names a Python interpreter that has what `tests/openapi/requirements.txt` lists.
const PYTHON: &str = "ORGTRAIL_PYTHON";

/// How many requests are made for each operation, in each phase and role.
const EXAMPLES: &str = "10";

/// How long each role takes, in seconds.
const SECONDS: &str = "25";

/// The checks: no 5xx, and status, type, headers and body are as documented; what violates the document is refused; an
/// operation with a scope is not answered without a credential.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection,unsupported_method,ignored_auth";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_answer_that_is_not_documented() {
    if skip_slow_tests() {
        return;
    }
    let Some(python) = std::env::var_os(PYTHON) else {
        tell(format!("SKIPPED: {PYTHON} is not set, see CONTRIBUTING.md"));
        return;
    };
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(python)
        .with_file_name("schemathesis");
    let filled = Filled::new().await;
    let everything = Grant::everything();
    let only = |permission: Permission| Grant {
        permissions: [permission].into_iter().collect(),
        ..Grant::everything()
    };
    let limited = Grant {
        sources: vec![Source::account(ACCOUNT).unwrap()],
        bodies: false,
        ..only(Permission::Search)
    };
    let roles = [
        ("everything", everything),
        ("search", only(Permission::Search)),
        ("export", only(Permission::Export)),
        ("search in one source without bodies", limited),
    ];
    for (role, grant) in roles {
        let token = filled.desk.token(grant);
        let mut command = Command::new(&program);
        command.args([
            "run",
            "docs/openapi.json",
            "--no-color",
            "--continue-on-failure",
        ]);
        command.args(["--url", &filled.desk.url, "--checks", CHECKS]);
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
        // A stream does not end. Its refusals are those of the other routes.
        command.args(["--exclude-path", "/v1/events/stream"]);
        command.args([
            "--max-time",
            SECONDS,
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            EXAMPLES,
        ]);
        command.args([
            "--seed",
            "1",
            "--generation-database",
            "none",
            "--request-timeout",
            "30",
        ]);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        let done = tokio::task::block_in_place(|| command.output()).unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{role}: {said}\n{errors}");
        let summary = said
            .lines()
            .filter(|line| line.contains("generated") || line.contains("passed"));
        tell(format!(
            "{role}: {}",
            summary.collect::<Vec<_>>().join("; ")
        ));
    }
}
