//! The program as the person meets it who installs and watches it: what `check` says, what `serve` refuses, what the log and the
//! status tell, and how commands end.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, TimeDelta};
use indicatif::HumanCount;
use orgtrail::clock::Clock;
use orgtrail::config::Config;
use orgtrail_simulator::SimConfig;
use serde_json::json;

use crate::backfill::Shell;
use crate::fixture_log::{Desk, account};
use crate::harness::{Service, Upstream};

fn orgtrail() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    command
        .env_remove("CLOUDFLARE_API_TOKEN")
        .env_remove("RUST_LOG")
        .env_remove("COLUMNS");
    command
}

fn run(args: &[&str]) -> Output {
    orgtrail().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A configuration in which everything is wrong that shows without asking upstream.
fn all_wrong(dir: &Path) -> PathBuf {
    std::fs::write(dir.join("file"), "not a directory").unwrap();
    let config = Config::example()
        .replace("data_dir = \"data\"", "data_dir = \"file/data\"")
        .replace("max_requests = 600", "max_requests = 2000")
        .replace("127.0.0.1:7070", "192.0.2.1:7070");
    let path = dir.join("orgtrail.toml");
    let other =
        "\n[[accounts]]\nid = \"11111111111111111111111111111111\"\ntoken_file = \"nowhere\"\n";
    std::fs::write(&path, config + other).unwrap();
    path
}

const PLACES: [&str; 6] = [
    "`data_dir`: could not make `file/data` in `file`",
    "`listen`: could not listen on 192.0.2.1:7070",
    "`organizations/00000000000000000000000000000000` has the id of the example configuration",
    "`accounts/11111111111111111111111111111111` has the id of the example configuration",
    "the environment variable `CLOUDFLARE_API_TOKEN` is not set",
    "could not read `nowhere`",
];

#[test]
fn check_warns_of_an_id_that_upstream_does_not_give() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orgtrail.toml");
    let warned = |id: &str| {
        let config =
            format!("[upstream]\nbase_url = \"http://127.0.0.1:9\"\n[[accounts]]\nid = \"{id}\"\n");
        std::fs::write(&path, config).unwrap();
        let checked = orgtrail().current_dir(dir.path()).arg("check").output();
        text(&checked.unwrap().stdout).contains(&format!(
            "WARNING  `accounts/{id}`: an id of Cloudflare has 32 characters"
        ))
    };
    assert!(warned("03c2e6e1-5416-bd9c-fd66-ec25e5d2acf9"));
    assert!(warned("03C2E6E15416BD9CFD66EC25E5D2ACF9"));
    assert!(!warned("03c2e6e15416bd9cfd66ec25e5d2acf9"));
}

#[test]
fn check_reports_all_problems_at_once_and_warns_of_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    all_wrong(dir.path());
    let checked = orgtrail()
        .current_dir(dir.path())
        .env("ORGTRAIL_HTTP_LISTEN", "127.0.0.1:1")
        .arg("check")
        .output()
        .unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let said = text(&checked.stdout);
    for problem in PLACES {
        let is_said = |line: &str| line.starts_with("PROBLEM") && line.contains(problem);
        assert!(said.lines().any(is_said), "{problem} is missing in\n{said}");
    }
    assert_eq!(said.matches("PROBLEM").count(), PLACES.len(), "{said}");
    let warnings = [
        "`max_requests` is 2000",
        "`auth` is \"tokens\" and there are no valid tokens",
        "the variable `ORGTRAIL_HTTP_LISTEN` has no effect, did you mean `ORGTRAIL__HTTP__LISTEN`?",
    ];
    for warning in warnings {
        let is_said = |line: &str| line.starts_with("WARNING") && line.contains(warning);
        assert!(said.lines().any(is_said), "{warning} is missing in\n{said}");
    }
    assert!(
        text(&checked.stderr).contains("there are 6 problems"),
        "{checked:?}"
    );
    assert!(!dir.path().join("file/data").exists());
}

#[test]
fn serve_refuses_what_can_never_work_in_the_words_of_check() {
    let dir = tempfile::tempdir().unwrap();
    all_wrong(dir.path());
    let served = orgtrail()
        .current_dir(dir.path())
        .arg("serve")
        .output()
        .unwrap();
    assert_eq!(served.status.code(), Some(1));
    let said = text(&served.stderr);
    let refusal = said.split("orgtrail: ").nth(1).unwrap_or_default();
    // A file with a token may come later.
    for problem in &PLACES[..5] {
        assert!(refusal.contains(problem), "{problem} is missing in\n{said}");
    }
    assert!(
        said.contains("WARN") && said.contains("there are no valid tokens"),
        "{said}"
    );
}

#[test]
fn a_host_that_cannot_be_found_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[http]\nauth = \"none\"\nlisten = \"127.0.0.1:0\"\n[upstream]\nbase_url = \"https://nowhere.invalid/client/v4\"\n\
         token_env = \"SOME_TOKEN\"\n[[accounts]]\nid = \"f00d\"\n";
    std::fs::write(dir.path().join("orgtrail.toml"), config).unwrap();
    let checked = orgtrail()
        .current_dir(dir.path())
        .env("SOME_TOKEN", "t0ken")
        .arg("check")
        .output()
        .unwrap();
    let said = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(said.contains("could not reach nowhere.invalid: "), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_ends_with_0_done_1_failed_or_2_wrong_usage() {
    let desk = Desk::new().await;
    desk.keep(&account(), &[json!({"id": "a"}).to_string()]);
    let dir = desk.close().await;
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let nowhere = dir.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let cases: &[(&[&str], i32)] = &[
        (&["config"], 0),
        (&["--help"], 0),
        (&["search", "-h"], 0),
        (&["--version"], 0),
        (&["reindex", "--data-dir", data], 0),
        (&["search", "--data-dir", data, "nothing"], 0),
        (&["search", "--data-dir", data, "--", "-nothing"], 0),
        (&["status", "--data-dir", data], 0),
        (&["import", "--data-dir", data, "/dev/null"], 0),
        (&["search", "--data-dir", data, "no.such:field"], 2),
        (&["search", "--data-dir", data, "a AND (b"], 2),
        (&["search", "--data-dir", data, "--facets", "no.such"], 2),
        (&["search", "--data-dir", data, "--source", "nothing"], 2),
        (&["search", "--data-dir", nowhere], 1),
        (&["search", "--server", "http://127.0.0.1:1"], 1),
        (&["status", "--data-dir", nowhere], 1),
        (&["reindex", "--data-dir", nowhere], 1),
        (&["import", "--data-dir", data, nowhere], 1),
        (&["backfill", "--config", nowhere], 1),
        (&["check", "--config", nowhere], 1),
        (&["serve", "--config", nowhere], 1),
        (&[], 2),
        (&["serve", "now"], 2),
        (&["--log-format", "xml", "config"], 2),
        (&["search", "-x"], 2),
        (&["search", "--since", "soon"], 2),
        (&["search", "--json", "--csv"], 2),
        (&["status", "--verify", "accounts/a"], 2),
        (&["backfill", "--since", "soon"], 2),
        (&["import"], 2),
        (&["import", "--source", "nothing", "file"], 2),
        (&["simulate", "--fault", "sunshine=1"], 2),
        (&["demo", "--accounts", "501"], 2),
    ];
    for (args, code) in cases {
        let ended = run(args);
        assert_eq!(ended.status.code(), Some(*code), "{args:?}: {ended:?}");
        let is_silent = ended.stderr.is_empty();
        assert!(*code == 0 || !is_silent, "{args:?} does not say why");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_index_is_built_again_by_reindex_as_search_says() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &[json!({"id": "a"}).to_string()]);
    desk.search_all();
    let dir = desk.close().await;
    let data = dir.path().join("data");
    std::fs::remove_dir_all(data.join("index")).unwrap();
    let data = data.to_str().unwrap();
    for args in [
        &["search"][..],
        &["search", "--all"],
        &["search", "--facets", "id"],
    ] {
        let asked = run(&[args, &["--data-dir", data]].concat());
        assert_eq!(asked.status.code(), Some(1));
        assert!(
            text(&asked.stderr).contains("`orgtrail reindex`"),
            "{asked:?}"
        );
    }
    assert_eq!(run(&["reindex", "--data-dir", data]).status.code(), Some(0));
    assert_eq!(run(&["search", "--data-dir", data]).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_says_how_much_of_it_is_shown_and_what_it_lacks() {
    let mut desk = Desk::new().await;
    let now = Clock::system().now();
    let entry = |n: i64| {
        let time = (now - TimeDelta::minutes(n)).to_rfc3339_opts(SecondsFormat::Secs, true);
        json!({"id": n.to_string(), "action": {"time": time, "type": format!("type{n}")}})
            .to_string()
    };
    desk.keep(&account(), &(1..=30).map(entry).collect::<Vec<_>>());
    desk.search_all();
    let (url, dir) = (desk.url.clone(), desk.data_dir());
    for place in [["--server", &url], ["--data-dir", dir.to_str().unwrap()]] {
        let asked = |args: &[&str]| {
            let output = run(&[&["search"], &place[..], args].concat());
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            (text(&output.stdout), text(&output.stderr))
        };
        for form in [&[][..], &["--json"], &["--csv"]] {
            let (_, said) = asked(&[form, &["--limit", "3"]].concat());
            assert!(said.starts_with("3 of 30 results.\nCoverage: "), "{said}");
        }
        let (_, said) = asked(&["--all", "--json"]);
        assert!(said.starts_with("30 of 30 results.\n"), "{said}");
        let (_, said) = asked(&["--facets", "action.type", "--limit", "4"]);
        assert!(
            said.starts_with("4 of 30 values of action.type.\n"),
            "{said}"
        );
        // This server follows nothing, so to it everything is a loss.
        if place[0] == "--server" {
            let (shown, said) = asked(&["nothing", "--since", "20m"]);
            assert_eq!(shown, "Nothing found, but the answer is incomplete.\n");
            assert!(said.contains("not followed: "), "{said}");
            assert!(!said.contains("0 of 0"), "{said}");
            let wrong = run(&["search", "--server", &url, "no.such:field"]);
            assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
            continue;
        }
        // Only the newest moments are missing.
        let (shown, said) = asked(&["nothing", "--since", "20m"]);
        assert_eq!(shown, "Nothing found.\n");
        assert!(said.starts_with("Coverage: "), "{said}");
        assert!(said.contains("What happened after "), "{said}");
        assert!(!said.contains("incomplete"), "{said}");
        // A hundred days of which nobody read anything.
        let (shown, said) = asked(&["nothing", "--since", "100d"]);
        assert_eq!(shown, "Nothing found, but the answer is incomplete.\n");
        assert!(
            said.contains("Coverage: partial. The answer is incomplete:\n  not scanned yet: "),
            "{said}"
        );
        assert!(
            said.contains(" in 1 source, 99d23h in all, between "),
            "{said}"
        );
        let (shown, said) = asked(&["nothing", "--since", "100d", "--json"]);
        assert!(
            shown.is_empty() && said.contains("incomplete"),
            "{shown}{said}"
        );
        let (_, said) = asked(&["nothing", "--since", "100d", "--facets", "id"]);
        assert!(said.contains("incomplete"), "{said}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_and_no_time_is_broken_on_a_narrow_terminal() {
    let mut desk = Desk::new().await;
    let email = "genoveva.wolfeschlegelsteinhausen@subsidiary.example.com";
    let id = "8433825880ed073a2041beaae28629b8";
    let entry = json!({"id": "1", "action": {"time": "2026-08-03T09:10:11.123456Z", "description": "Update zone setting"},
        "actor": {"email": email, "ip_address": "2001:db8:300e:1111:2222:3333:2bdc:3b9c"},
        "account": {"id": "f00d", "name": "Example - Production"},
        "resource": {"product": "zones", "type": "setting", "id": id}});
    let bare = json!({"id": "2", "action": {"time": "2026-08-03T09:10:12Z"}});
    desk.keep(&account(), &[entry.to_string(), bare.to_string()]);
    desk.search_all();
    let dir = desk.data_dir();
    for (columns, form) in [
        (80, "--limit=9"),
        (60, "--limit=9"),
        (80, "--all"),
        (300, "--limit=9"),
        (300, "--all"),
    ] {
        let output = orgtrail()
            .env("COLUMNS", columns.to_string())
            .args(["search", "--utc", form, "--data-dir", dir.to_str().unwrap()])
            .output()
            .unwrap();
        let shown = text(&output.stdout);
        for whole in [
            email,
            id,
            "2026-08-03T09:10:11.123456Z",
            "2001:db8:300e:1111:2222:3333:2bdc:3b9c",
            "Example - Production",
        ] {
            assert!(
                shown.contains(whole),
                "{whole} is broken in {columns} columns: {shown}"
            );
        }
        for column in ["ACCOUNT", "f00d"] {
            assert!(shown.contains(column), "{shown}");
        }
        for line in shown.lines() {
            assert!(
                line.chars().count() <= columns,
                "more than {columns} columns: {line}"
            );
        }
        let expect = if columns == 300 {
            3
        } else {
            shown.lines().count()
        };
        assert_eq!(shown.lines().count(), expect, "{shown}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_page_of_the_api_is_imported_however_it_is_printed() {
    let desk = Desk::new().await;
    let dir = desk.close().await;
    let data = dir.path().join("data");
    let entry = |n: u32| json!({"id": n.to_string(), "account": {"id": "f00d"}, "action": {"time": "2026-08-03T09:10:00Z"}});
    let page = |from: u32| {
        let result: Vec<_> = (from..from + 50).map(entry).collect();
        json!({"success": true, "errors": [], "messages": [], "result": result, "result_info": {"count": "50"}})
    };
    let file = |name: &str, text: String| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).to_str().unwrap().to_owned()
    };
    let files = [
        file("one-line.json", page(0).to_string()),
        file(
            "pretty.json",
            serde_json::to_string_pretty(&page(50)).unwrap(),
        ),
        file(
            "two.json",
            format!(
                "{}\n{}\n",
                page(100),
                serde_json::to_string_pretty(&page(150)).unwrap()
            ),
        ),
    ];
    let data = data.to_str().unwrap();
    let imported = orgtrail()
        .args(["import", "--data-dir", data])
        .args(&files)
        .output()
        .unwrap();
    let said = text(&imported.stdout);
    assert_eq!(imported.status.code(), Some(0), "{imported:?}");
    assert!(said.contains("two.json: 100 lines: 100 new"), "{said}");
    assert!(said.contains("Events in the log: 200"), "{said}");
    // What is no page says what would be.
    let wrong = file("wrong.json", "id,time\n1,2026\n".to_owned());
    let imported = orgtrail()
        .args(["import", "--data-dir", data, &wrong])
        .output()
        .unwrap();
    assert_eq!(imported.status.code(), Some(1));
    let said = text(&imported.stdout);
    assert!(
        said.contains("{\"result\": […]}") && said.contains("audit_logs_v2"),
        "{said}"
    );
}

/// A service in a process of its own, and what it logs.
pub(crate) struct Served {
    child: Child,
    pub(crate) url: String,
    pub(crate) log: Arc<Mutex<String>>,
}

impl Served {
    pub(crate) fn start(dir: &Path, config: &str) -> Self {
        Self::start_with(dir, config, &[], &[])
    }

    /// With more arguments, and variables in its environment.
    pub(crate) fn start_with(
        dir: &Path,
        config: &str,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        std::fs::write(dir.join("orgtrail.toml"), config).unwrap();
        let mut child = orgtrail()
            .current_dir(dir)
            .arg("serve")
            .args(args)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (
            BufReader::new(child.stderr.take().unwrap()),
            Arc::clone(&log),
        );
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        let mut answers = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut answers)
            .unwrap();
        let url = answers.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(
            url.starts_with("http://") || url.starts_with("https://"),
            "{answers} {}",
            log.lock().unwrap()
        );
        Self { child, url, log }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits until the log has a line with this.
    pub(crate) fn until(&self, wanted: &str) -> String {
        let begun = Instant::now();
        loop {
            let log = self.log.lock().unwrap().clone();
            if let Some(line) = log.lines().find(|line| line.contains(wanted)) {
                return line.to_owned();
            }
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "no {wanted:?} in {log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks until so many events are found. What is read is searchable only after the index's next commit.
    fn until_found(&self, events: usize) {
        let begun = Instant::now();
        let wanted = format!("1 of {} results.", HumanCount(events as u64));
        loop {
            let found = run(&["search", "--server", &self.url, "--limit", "1"]);
            let said = text(&found.stderr);
            if said.starts_with(&wanted) {
                return;
            }
            assert!(said.contains("not searchable yet"), "{found:?}");
            assert!(begun.elapsed() < Duration::from_secs(120), "{found:?}");
        }
    }

    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log.lock().unwrap());
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_logs_its_history_and_goes_on_after_sighup() {
    let upstream = Upstream::new(SimConfig {
        events: 2_000,
        accounts: 2,
        days: 30,
        ..SimConfig::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let listen = "[http]\nlisten = \"127.0.0.1:0\"";
    let config = upstream.configuration(dir.path()).replace("[http]", listen);
    let ended = orgtrail::task::blocking(move || {
        let served = Served::start(dir.path(), &config);
        served.until("Reading history.");
        let line = served.until("All history is read.");
        assert!(line.contains("sources=3"), "{line}");

        served.signal("-HUP");
        served.until("SIGHUP: the configuration is unchanged.");
        let path = dir.path().join("orgtrail.toml");
        std::fs::write(
            &path,
            config
                .replace("interval = \"1s\"", "interval = \"2s\"")
                .replace("max_interval = \"1s\"", "max_interval = \"2s\""),
        )
        .unwrap();
        served.signal("-HUP");
        served.until("Restart the service to use it.");
        std::fs::write(&path, "nonsense").unwrap();
        served.signal("-HUP");
        served.until("The service continues with the old one.");
        // It answers still.
        served.until_found(2_000);
        let log = served.log.lock().unwrap().clone();
        assert!(!log.contains("Upstream said to wait"), "{log}");
        served.stop();
    });
    ended.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_names_the_service_that_uses_the_data_directory() {
    let upstream = Upstream::new(SimConfig {
        events: 0,
        accounts: 1,
        days: 2,
        ..SimConfig::default()
    })
    .await;
    let shell = Shell::new(&upstream);
    let check = || text(&shell.run(&["check"]).stdout);
    assert!(!check().contains("uses the data directory"), "{}", check());
    let service = Service::start(&shell.configuration()).await;
    let said = check();
    assert!(
        said.contains("ok       another orgtrail already uses the data directory"),
        "{said}"
    );
    assert!(said.contains(": process "), "{said}");
    service.stop().await.unwrap();
}
