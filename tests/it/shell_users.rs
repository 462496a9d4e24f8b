//! The program as those meet it who use a shell: a token for a server, a check before the first start, a full disk.

use std::process::{Command, Output};

use orgtrail::position::Source;
use orgtrail_simulator::{Faults, SimConfig};

use crate::access::Guarded;
use crate::backfill::Shell;
use crate::harness::{Service, Upstream};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn orgtrail() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    command.env_remove("RUST_LOG").env_remove("ORGTRAIL_TOKEN");
    command
}

fn run(command: &mut Command) -> Output {
    tokio::task::block_in_place(|| command.output()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_named_is_asked_with_a_token() {
    let guarded = Guarded::start("").await;
    let (_, token) = guarded.token("search");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let url = guarded.service.url.clone();
    let search = || {
        let mut command = orgtrail();
        command.args(["search", "--server", &url]);
        command
    };
    let without = run(&mut search());
    assert_eq!(without.status.code(), Some(1), "{without:?}");
    for (command, expected) in [
        (search().env("ORGTRAIL_TOKEN", &token), 0),
        (search().arg("--token-file").arg(&file), 0),
        (search().env("ORGTRAIL_TOKEN", "Bearer x"), 1),
    ] {
        let done = run(command);
        assert_eq!(done.status.code(), Some(expected), "{done:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_asks_for_the_log_of_each_listed_account() {
    let config = SimConfig {
        events: 100,
        accounts: 3,
        ..SimConfig::default()
    };
    let upstream = Upstream::new(config).await;
    let sources = upstream.simulator.sources();
    let is_account = |source: &&Source| source.to_string().starts_with("accounts/");
    let forbidden = sources.iter().find(is_account).unwrap().clone();
    let shell = Shell::new(&upstream);
    let whole = run(&mut shell.command(&["check"]));
    let said = text(&whole.stdout);
    assert!(whole.status.success(), "{said}");
    assert!(said.contains("the logs of 3 of the 3 accounts"), "{said}");

    upstream.simulator.set_faults(Faults {
        forbidden: vec![forbidden.clone()],
        ..Faults::default()
    });
    let checked = run(&mut shell.command(&["check"]));
    let said = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    let expected = format!("PROBLEM  the log of {forbidden} ");
    assert!(said.contains(&expected), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_a_route_does_not_take_and_an_unknown_route_lead_to_the_right_ones() {
    let guarded = Guarded::start("").await;
    let (_, token) = guarded.token("search");
    let answer = guarded.get("/v1/searches/x").bearer_auth(&token).send();
    let answer = answer.await.unwrap();
    assert!(answer.headers().contains_key("allow"), "{answer:?}");
    let problem: serde_json::Value = answer.json().await.unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("`Allow`"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_side_by_side_are_one_query() {
    let upstream = Upstream::new(SimConfig {
        events: 50,
        accounts: 1,
        ..SimConfig::default()
    })
    .await;
    let work = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(work.path())).await;
    let lines = |words: &[&str]| {
        let done = run(orgtrail()
            .args(["search", "--json", "--server", &service.url])
            .args(words));
        assert!(done.status.success(), "{done:?}");
    };
    lines(&["action.type:create", "resource.product:members"]);
    service.stop().await.unwrap();
}

/// On a file system of its own that is full, as another user of the machine may fill it.
#[cfg(target_os = "linux")]
#[test]
fn a_token_is_revoked_and_questions_are_answered_and_recorded_on_a_full_disk() {
    const SCRIPT: &str = r#"
set -eu
mount -t tmpfs -o size=16m tmpfs "$1" || exit 77
cd "$1"
echo any > token
cat > orgtrail.toml <<END
data_dir = "data"
[http]
listen = "127.0.0.1:0"
[upstream]
base_url = "http://127.0.0.1:9"
token_file = "token"
[[organizations]]
id = "0123456789abcdef0123456789abcdef"
END
"$2" serve > url 2> log &
serve=$!
trap 'kill $serve' EXIT
until [ -s url ]; do kill -0 $serve; sleep 0.1; done
id=$("$2" token create test --scope search --json | sed 's/.*"id":"\([0-9a-f]*\)".*/\1/')
dd if=/dev/zero of=filling bs=4096 2>/dev/null || true
"$2" token revoke "$id"
dd if=/dev/zero of=filling2 bs=4096 2>/dev/null || true
"$2" token list
"$2" access-log --limit 1
"$2" search waits_in_memory
rm filling filling2
until "$2" access-log --limit 0 | grep -q waits_in_memory; do kill -0 $serve; sleep 0.1; done
"#;
    let dir = tempfile::tempdir().unwrap();
    let done = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            SCRIPT,
            "sh",
        ])
        .arg(dir.path())
        .arg(env!("CARGO_BIN_EXE_orgtrail"))
        .output()
        .unwrap();
    let (said, errors) = (text(&done.stdout), text(&done.stderr));
    // Not every machine lets its users mount.
    if done.status.code() == Some(77) || errors.contains("unshare:") {
        crate::tell(format!(
            "SKIPPED: users of this machine may not mount: {errors}"
        ));
        return;
    }
    assert!(done.status.success(), "{said}{errors}");
    assert!(said.contains("Revoked token"), "{said}{errors}");
    assert!(said.contains(" revoked "), "{said}{errors}");
}
