//! The program as a person starts it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use orgtrail::clock::Clock;
use orgtrail::durable::Failpoints;
use orgtrail::store::Store;
use orgtrail_simulator::SimConfig;

use crate::harness::{Service, Upstream};

fn orgtrail() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
    // Those of the tests and of the build would be reported as unknown.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORGTRAIL_") {
            command.env_remove(name);
        }
    }
    command
        .env_remove("CLOUDFLARE_API_TOKEN")
        .env_remove("RUST_LOG");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn run(args: &[&str]) -> Output {
    orgtrail().args(args).output().unwrap()
}

#[test]
fn the_example_configuration_is_printed_and_can_be_checked() {
    let printed = run(&["config"]);
    assert!(printed.status.success());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orgtrail.toml");
    std::fs::write(&file, &printed.stdout).unwrap();
    let checked = orgtrail()
        .current_dir(dir.path())
        .arg("check")
        .output()
        .unwrap();
    assert_eq!(checked.status.code(), Some(1));
    insta::assert_snapshot!(text(&checked.stdout) + &text(&checked.stderr));
}

#[test]
fn the_version_says_of_which_commit_and_day_it_is() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    let version = text(&version.stdout);
    let number = env!("CARGO_PKG_VERSION");
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        let output = git
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("TZ", "UTC")
            .args(args)
            .output();
        let output = output.ok().filter(|output| output.status.success());
        output.map(|output| text(&output.stdout).trim().to_owned())
    };
    let is_given = option_env!("ORGTRAIL_COMMIT").or(option_env!("SOURCE_DATE_EPOCH"));
    let is_checkout = git(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
    if is_given.is_some() || !is_checkout {
        // A packager's, or a tarball's.
        assert!(
            version.starts_with(&format!("orgtrail {number}")),
            "{version}"
        );
        return;
    }
    let commit = git(&["rev-parse", "--short=10", "HEAD"]).unwrap();
    let day = ["log", "-1", "--date=format-local:%Y-%m-%d", "--format=%cd"];
    let day = git(&day).unwrap();
    assert_eq!(version, format!("orgtrail {number} ({commit} {day})\n"));
}

#[test]
fn wrong_usage_and_wrong_configuration_have_their_exit_codes() {
    assert_eq!(run(&["serv"]).status.code(), Some(2));
    assert_eq!(run(&["search", "--limit", "0"]).status.code(), Some(2));
    for rate in ["NaN", "-1", "1e300"] {
        let rate = format!("--live-per-minute={rate}");
        assert_eq!(run(&["simulate", &rate]).status.code(), Some(2), "{rate}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wrong.toml");
    std::fs::write(
        &file,
        "data_dri = 1\n[http]\nlisten = \"here\"\n[poll]\ninterval = \"soon\"\n",
    )
    .unwrap();
    let checked = run(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(1));
    let told = text(&checked.stderr);
    for mistake in ["data_dri", "listen", "soon", "nothing to collect"] {
        assert!(told.contains(mistake), "{mistake} is missing in {told}");
    }
}

#[test]
fn a_demo_that_cannot_begin_ends_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let _other = Store::open(dir.path(), Failpoints::default()).unwrap();
    let (listen, upstream) = ("--listen", "--upstream-listen");
    let mut child = orgtrail()
        .args(["demo", "--events", "10", listen, "127.0.0.1:0"])
        .args([upstream, "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed().as_secs() > 30 {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let told = text(&ended.stderr);
    assert!(told.contains("another orgtrail already uses"), "{told}");
}

#[test]
fn a_directory_without_a_log_is_named_once_and_not_made() {
    for command in ["search", "status", "reindex"] {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("nowhere");
        let asked = run(&[command, "--data-dir", nowhere.to_str().unwrap()]);
        assert_eq!(asked.status.code(), Some(1), "{command}");
        let told = text(&asked.stderr);
        let expect = format!("orgtrail: there is no log in `{}`", nowhere.display());
        assert!(told.starts_with(&expect), "{command}: {told}");
        assert!(!nowhere.exists(), "{command}");
    }
}

#[test]
fn what_a_server_says_moves_no_cursor() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 4096]).unwrap();
        let body = r#"{"detail":"no\u001b[2J\u202esuch"}"#;
        let length = body.len();
        let head = "HTTP/1.1 400 Bad Request\r\nConnection: close";
        write!(client, "{head}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    });
    let asked = run(&["status", "--server", &server]);
    answering.join().unwrap();
    assert_eq!(asked.status.code(), Some(1));
    let told = text(&asked.stderr);
    assert!(told.contains("no\u{fffd}[2J\u{fffd}such"), "{told:?}");
}

/// Reads a process's output up to the line that holds `last`.
fn read_until(output: &mut BufReader<ChildStdout>, last: &str) -> String {
    let mut read = String::new();
    while !read.contains(last) {
        assert!(
            output.read_line(&mut read).unwrap() > 0,
            "it ended after: {read}"
        );
    }
    read
}

fn stop(mut child: Child) {
    assert!(
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
}

/// What stands between two quotes after `start`.
fn quoted_after<'a>(text: &'a str, start: &str) -> &'a str {
    text.split(start)
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_can_be_followed_to_the_letter() {
    let args = [
        "demo",
        "--events",
        "300",
        "--listen",
        "127.0.0.1:0",
        "--upstream-listen",
        "127.0.0.1:0",
    ];
    let mut child = orgtrail()
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let told = read_until(&mut output, "Ctrl-C stops it.");
    let http = reqwest::Client::new();

    // Its first line is the page's address.
    let page = told.lines().next().unwrap();
    let page = page.strip_prefix("The search page is at ").unwrap();
    let page = http.get(page).send().await.unwrap().text().await.unwrap();
    assert!(page.starts_with("<!doctype html>"), "{page}");
    let search = quoted_after(&told, "curl -s '").to_owned();
    assert!(search.contains("/v1/events?limit=3"), "{told}");
    let members = quoted_after(&told, "-X POST '").to_owned();
    let body = quoted_after(&told, "-d '").to_owned();
    let find = told
        .rsplit("curl -s '")
        .next()
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .to_owned();
    let added = http
        .post(members)
        .bearer_auth("demo-token")
        .body(body)
        .send()
        .await
        .unwrap();
    assert!(added.status().is_success(), "{added:?}");
    let begun = std::time::Instant::now();
    loop {
        let found: serde_json::Value =
            serde_json::from_str(&http.get(&find).send().await.unwrap().text().await.unwrap())
                .unwrap();
        if found["events"][0]["entry"]["action"]["description"] == "Add Member" {
            break;
        }
        assert!(
            begun.elapsed().as_secs() < 60,
            "the member was not found: {found}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let server = search.split("/v1").next().unwrap();
    let searched = run(&["search", "--server", server, "new.colleague@example.com"]);
    assert!(
        text(&searched.stdout).contains("Add Member"),
        "{searched:?}"
    );

    let alerts = told.lines().find(|line| line.contains("/v1/alerts?"));
    let alerts = quoted_after(alerts.unwrap(), "curl -s '").to_owned();
    let expected = [
        "Super administrator role given",
        "Logpush job deleted or turned off",
        "Zone deleted",
    ];
    loop {
        let answer = http
            .get(&alerts)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        if expected.iter().all(|title| answer.contains(title)) {
            break;
        }
        let took = begun.elapsed().as_secs();
        assert!(took < 120, "alerts are missing: {answer}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let listed = run(&["alerts", "--server", server, "--level", "high"]);
    assert!(text(&listed.stdout).contains("Zone deleted"), "{listed:?}");
    stop(child);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulator_does_what_its_options_say() {
    // The same seed makes the same accounts, so that one can be named before.
    let known = Upstream::new(SimConfig::default()).await;
    let account = known.simulator.sources()[1].to_string();
    let mut child = orgtrail()
        .args(["simulate", "--listen", "127.0.0.1:0", "--events", "100"])
        .args(["--organizations", "2", "--forbid", &account])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let told = read_until(&mut output, "Ctrl-C stops it.");
    let base_url = told.lines().next().unwrap().rsplit(' ').next().unwrap();
    let http = reqwest::Client::new();
    let ask = async |url: String| {
        let answer = http.get(url).bearer_auth("any").send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    };
    let (status, organizations) = ask(format!("{base_url}/organizations")).await;
    assert_eq!(status, 200);
    let organizations: serde_json::Value = serde_json::from_str(&organizations).unwrap();
    for organization in organizations["result"].as_array().unwrap() {
        let id = organization["id"].as_str().unwrap();
        assert!(told.contains(id), "{id} in {told}");
    }
    assert_eq!(organizations["result_info"]["total_size"], 2);
    // Every line that reads, as it is printed.
    for line in told.lines().filter(|line| line.contains("curl -H")) {
        let url = line.rsplit('\'').nth(1).unwrap();
        assert_eq!(ask(url.to_owned()).await.0, 200, "{line}");
    }
    let log = format!("{base_url}/{account}/logs/audit?since=2026-01-01&before=2100-01-01");
    assert_eq!(ask(log).await.0, 403);
    stop(child);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_is_searched_described_and_indexed_anew_from_the_shell() {
    let upstream = Upstream::new(SimConfig {
        events: 200,
        accounts: 1,
        days: 5,
        ..SimConfig::default()
    })
    .await;
    let source = upstream.simulator.sources().remove(1);
    let time = Clock::system().now() - TimeDelta::hours(1);
    let stamp = time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let hostile = format!(
        r#"{{"id":"h","action":{{"time":"{stamp}","description":"evil\u001b[2J\u202e"}},"actor":{{"email":"a\u0007@example.com"}}}}"#
    );
    upstream.simulator.publish(&source, &hostile, time, time);
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    assert_eq!(service.settle(2).await, 201);
    let data = dir.path().join("data");
    let data = data.to_str().unwrap().to_owned();

    // Beside the running service.
    let found = run(&["search", "--data-dir", &data, "evil"]);
    let shown = text(&found.stdout);
    assert!(
        shown.contains("evil\u{fffd}[2J\u{fffd}") && shown.contains("a\u{fffd}@example.com"),
        "{shown}"
    );
    let found = run(&["search", "--data-dir", &data, "evil", "--json"]);
    let event: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(event["entry"]["id"], "h");
    assert!(!text(&found.stdout).contains('\u{1b}'));
    assert_eq!(
        run(&["reindex", "--data-dir", &data]).status.code(),
        Some(1),
        "the service is running"
    );
    service.stop().await.unwrap();

    let status = run(&["status", "--data-dir", &data]);
    assert!(
        text(&status.stdout).contains(&source.to_string()),
        "{status:?}"
    );
    let reindexed = run(&["reindex", "--data-dir", &data]);
    assert_eq!(text(&reindexed.stdout), "The index holds all 201 events.\n");
    let found = run(&["search", "--data-dir", &data, "--json", "--limit", "1000"]);
    assert_eq!(text(&found.stdout).lines().count(), 201);
    let wrong = run(&["search", "--data-dir", &data, "actor.mail:x"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("did you mean `actor.email`?"),
        "{wrong:?}"
    );
}

#[test]
fn completions_of_each_shell_name_every_command_and_shells_can_read_them() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell]);
        assert!(script.status.success(), "{script:?}");
        let text = text(&script.stdout);
        for command in ["serve", "backup", "restore", "access-log"] {
            assert!(text.contains(command), "{shell}: {command}");
        }
        let file = dir.path().join(shell);
        std::fs::write(&file, text).unwrap();
        if !["bash", "zsh", "fish"].contains(&shell) {
            continue;
        }
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(read) => assert!(read.status.success(), "{shell}: {read:?}"),
            Err(error) => crate::tell(format!("SKIPPED: {shell} cannot be run: {error}")),
        }
    }
    assert_eq!(run(&["completions", "sh"]).status.code(), Some(2));
}

#[test]
fn there_is_a_manual_page_for_every_command_that_a_formatter_reads_without_warnings() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("man1");
    let written = run(&["man", "--out", out.to_str().unwrap()]);
    assert!(written.status.success(), "{written:?}");
    let whole = run(&["man"]);
    assert_eq!(whole.stdout, std::fs::read(out.join("orgtrail.1")).unwrap());
    let mut pages = 0;
    for entry in std::fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        let page = std::fs::read_to_string(&path).unwrap();
        for part in [".TH orgtrail", ".SH NAME", ".SH SYNOPSIS"] {
            assert!(page.contains(part), "{}: {part}", path.display());
        }
        pages += 1;
        let format = ["-Kutf8", "-man", "-Tutf8", "-ww", "-z"];
        match Command::new("groff").args(format).arg(&path).output() {
            Ok(read) => {
                let warnings = text(&read.stderr);
                assert!(read.status.success() && warnings.is_empty(), "{warnings}");
            }
            Err(error) => crate::tell(format!("SKIPPED: groff cannot be run: {error}")),
        }
    }
    // `orgtrail`, its commands, and those of `token`.
    assert!(pages > 20, "only {pages} pages");
    for name in ["orgtrail-serve.1", "orgtrail-token-create.1"] {
        assert!(out.join(name).exists(), "{name}");
    }
}
