//! `/metrics`, the files in `deploy/` that use it, `/readyz`, and the heartbeat.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use orgtrail::access::{Grant, Permission};
use orgtrail_simulator::{Faults, SimConfig};
use regex::Regex;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use crate::fixture_log::{Desk, account};
use crate::harness::{Client, Service, Upstream, configuration, until};
use crate::{guide, skip_slow_tests, tell};

/// A scrape, taken apart.
struct Scrape {
    text: String,
    /// The type of each family.
    families: BTreeMap<String, String>,
    /// The value of each sample, by its name and labels as they are written.
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    async fn of(service: &Client) -> Self {
        let (status, text) = service.ask("/metrics").await;
        assert_eq!(status, StatusCode::OK, "{text}");
        Self::read(text)
    }

    fn read(text: String) -> Self {
        let mut families = BTreeMap::new();
        let mut samples = BTreeMap::new();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').unwrap();
                assert_eq!(
                    families.insert(name.to_owned(), kind.to_owned()),
                    None,
                    "{name} is there twice"
                );
            } else if !line.starts_with('#') {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let twice = samples.insert(sample.to_owned(), value.parse().unwrap());
                assert_eq!(twice, None, "{sample} is there twice");
            }
        }
        Self {
            text,
            families,
            samples,
        }
    }

    fn value(&self, sample: &str) -> f64 {
        *self
            .samples
            .get(sample)
            .unwrap_or_else(|| panic!("no {sample} in {}", self.text))
    }

    /// The names of all samples, without labels.
    fn names(&self) -> BTreeSet<&str> {
        let samples = self.samples.keys();
        samples
            .map(|sample| sample.split('{').next().unwrap())
            .collect()
    }
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

async fn upstream() -> Upstream {
    Upstream::new(SimConfig {
        events: 300,
        accounts: 2,
        days: 20,
        ..SimConfig::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_has_a_sample_from_the_first_scrape_on_and_is_in_the_guide() {
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    let scrape = Scrape::of(&service).await;
    let guide = guide::page("docs/src/monitoring.md").first_cells("metric");
    let guide: BTreeSet<String> = guide.into_iter().flatten().collect();
    let counted = |(name, kind): (&String, &String)| match kind.as_str() {
        "counter" => format!("{name}_total"),
        _ => name.clone(),
    };
    let scraped: BTreeSet<String> = scrape.families.iter().map(counted).collect();
    assert_eq!(scraped, guide);
    for (name, kind) in &scrape.families {
        let sample = match kind.as_str() {
            "counter" => format!("{name}_total"),
            "histogram" => format!("{name}_bucket"),
            _ => name.clone(),
        };
        assert!(
            scrape.names().contains(sample.as_str()),
            "{sample}: {}",
            scrape.text
        );
    }
    assert!(scrape.text.ends_with("\n# EOF\n"), "{}", scrape.text);
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_says_what_was_collected_and_answered() {
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    let held = service.settle(3).await;
    assert_eq!(
        service.ask("/v1/count?q=no.such.field:1").await.0,
        StatusCode::BAD_REQUEST
    );
    service.count("").await;
    let scrape = Scrape::of(&service).await;
    let kinds = ["live", "sweep", "backfill"];
    let stored =
        kinds.map(|kind| scrape.value(&format!("orgtrail_entries_total{{kind=\"{kind}\"}}")));
    assert_eq!(stored.iter().sum::<f64>(), held as f64);
    assert!(scrape.value("orgtrail_requests_total{outcome=\"ok\"}") >= 3.0);
    assert_eq!(
        scrape.value("orgtrail_requests_total{outcome=\"rate_limited\"}"),
        0.0
    );
    assert_eq!(
        scrape.value("orgtrail_follower_lag_events{follower=\"index\"}"),
        0.0
    );
    assert_eq!(
        scrape.value("orgtrail_question_seconds_count{route=\"/v1/count\"}"),
        2.0
    );
    assert_eq!(scrape.value("orgtrail_damaged_events"), 0.0);
    let lags = scrape
        .samples
        .iter()
        .filter(|(name, _)| name.starts_with("orgtrail_source_lag_seconds"));
    let lags: Vec<f64> = lags.map(|(_, lag)| *lag).collect();
    assert_eq!(lags.len(), 3);
    assert!(
        lags.iter().all(|lag| (0.0..120.0).contains(lag)),
        "{lags:?}"
    );
    let log = dir
        .path()
        .join("data/orgtrail.db")
        .metadata()
        .unwrap()
        .len();
    assert!(scrape.value("orgtrail_log_bytes") >= log as f64 / 2.0);
    assert!(scrape.value("orgtrail_index_bytes") > 0.0);
    assert!(scrape.value("orgtrail_disk_free_bytes") > 0.0);
    let quota = scrape
        .samples
        .iter()
        .find(|(name, _)| name.starts_with("orgtrail_quota_remaining{"));
    let left = *quota.unwrap().1;
    assert!((1.0..100_000.0).contains(&left), "{left}");
    // Neither the token's text nor its place's content is in it.
    assert!(!scrape.text.contains("any-token"), "{}", scrape.text);
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gaps_and_refusals_are_reported_by_reason() {
    let upstream = upstream().await;
    let refused = upstream.simulator.sources().remove(1);
    upstream.simulator.set_faults(Faults {
        statuses: [(refused.clone(), 403)].into_iter().collect(),
        ..Faults::default()
    });
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    let refused = refused.to_string();
    service
        .until("/v1/sources", |answer| {
            let sources = answer["sources"].as_array().unwrap();
            sources
                .iter()
                .any(|one| one["source"] == refused && one["state"] == "refused")
        })
        .await;
    let begun = Instant::now();
    let scrape = loop {
        // What is read from the log is used for ten seconds.
        let scrape = Scrape::of(&service).await;
        if scrape.value("orgtrail_coverage_gap_seconds{reason=\"credential_refused\"}") > 0.0 {
            break scrape;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", scrape.text);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(scrape.value("orgtrail_requests_total{outcome=\"forbidden\"}") >= 1.0);
    let coverage = service.get("/v1/count").await;
    let missing = coverage["coverage"]["missing_by_reason"]["credential_refused"]["seconds"]
        .as_f64()
        .unwrap();
    let measured = scrape.value("orgtrail_coverage_gap_seconds{reason=\"credential_refused\"}");
    assert!((missing - measured).abs() < 60.0, "{missing} {measured}");
    service.stop().await.unwrap();
}

/// Runs `orgtrail token create`.
fn create_token(data: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args(["token", "create", "test", "--json", "--data-dir"])
        .arg(data)
        .args(args)
        .output()
        .unwrap()
}

fn token(data: &Path, scopes: &str) -> String {
    let run = create_token(data, &["--scope", scopes]);
    let created: Value = serde_json::from_slice(&run.stdout).unwrap();
    created["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_need_their_scope_and_a_scrape_leaves_no_line_in_the_access_log() {
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let text = upstream.configuration(dir.path()).replace(
        "auth = \"none\"",
        "auth = \"tokens\"\n[http.limits]\nquestions = 1",
    );
    let service = Service::start(&text).await;
    let data = dir.path().join("data");
    let (metrics, search) = (token(&data, "metrics"), token(&data, "search"));
    let admin = token(&data, "admin");
    let http = reqwest::Client::new();
    let get = |path: &str, token: &str| -> RequestBuilder {
        http.get(format!("{}{path}", service.url))
            .bearer_auth(token)
    };
    let status = async |path: &str, token: &str| get(path, token).send().await.unwrap().status();
    assert_eq!(service.ask("/metrics").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(status("/metrics", &search).await, StatusCode::FORBIDDEN);
    assert_eq!(status("/metrics", &metrics).await, StatusCode::OK);
    assert_eq!(status("/v1/count", &metrics).await, StatusCode::FORBIDDEN);
    let log: Value = get("/v1/access-log", &admin)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let entries = log["entries"].as_array().unwrap().iter();
    let of_metrics = entries.filter(|entry| entry["route"] == "/metrics");
    let seen: Vec<&Value> = of_metrics.map(|entry| &entry["status"]).collect();
    assert_eq!(seen.len(), 2, "only the refusals are recorded: {log:#}");
    assert!(!seen.contains(&&json!(200)), "{log:#}");

    // Refused questions are counted by their reason.
    let scraped = get("/metrics", &metrics)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let scrape = Scrape::read(scraped);
    assert_eq!(
        scrape.value("orgtrail_questions_refused_total{reason=\"forbidden\"}"),
        1.0
    );
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_some_sources_gets_no_metrics_and_one_without_bodies_does() {
    let mut desk = Desk::guarded().await;
    desk.keep(&account(), &[json!({"id": "1"}).to_string()]);
    desk.search_all();
    let grant = |sources, bodies| Grant {
        permissions: [Permission::Metrics].into_iter().collect(),
        sources,
        bodies,
    };
    let http = reqwest::Client::new();
    for (grant, expected) in [
        (grant(vec![account()], true), StatusCode::FORBIDDEN),
        (grant(Vec::new(), false), StatusCode::OK),
    ] {
        let answer = http
            .get(format!("{}/metrics", desk.url))
            .bearer_auth(desk.token(grant));
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), expected);
        let text = answer.text().await.unwrap();
        assert_eq!(
            text.contains("orgtrail_"),
            expected == StatusCode::OK,
            "{text}"
        );
    }
    let source = "accounts/0123456789abcdef0123456789abcdef";
    let limited = ["--scope", "metrics", "--source", source];
    let refused = create_token(&desk.data_dir(), &limited);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("cannot be limited by `--source`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_the_format_that_it_accepts() {
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    let http = reqwest::Client::new();
    let url = format!("{}/metrics", service.url);
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2";
    for (accept, expected, counter) in [
        (
            "*/*",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# TYPE orgtrail_entries counter\n",
        ),
        (
            prometheus,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# TYPE orgtrail_entries counter\n",
        ),
        (
            "text/plain",
            "text/plain; version=0.0.4; charset=utf-8",
            "# TYPE orgtrail_entries_total counter\n",
        ),
    ] {
        let answer = http.get(&url).header(ACCEPT, accept).send().await.unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], expected, "{accept}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(counter), "{accept}: {text}");
    }
    service.stop().await.unwrap();
}

/// The names of metrics in an expression.
fn names_in(expression: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\borgtrail_\w+").unwrap();
    name.find_iter(expression)
        .map(|found| found.as_str().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_and_the_alert_rules_use_metrics_that_exist() {
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    let scrape = Scrape::of(&service).await;
    service.stop().await.unwrap();
    let scraped: BTreeSet<String> = scrape.names().into_iter().map(ToOwned::to_owned).collect();

    let rules = YamlLoader::load_from_str(&file("deploy/prometheus/rules.yml")).unwrap();
    let mut used = BTreeSet::new();
    let mut alerts = BTreeSet::new();
    for rule in rules[0]["groups"]
        .as_vec()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_vec().unwrap())
    {
        let text = |value: &Yaml| value.as_str().unwrap_or_default().to_owned();
        let alert = text(&rule["alert"]);
        assert!(alerts.insert(alert.clone()), "{alert} is there twice");
        let severity = text(&rule["labels"]["severity"]);
        assert!(
            ["critical", "warning", "info"].contains(&severity.as_str()),
            "{alert}: {severity}"
        );
        for annotation in ["summary", "action"] {
            assert!(
                text(&rule["annotations"][annotation]).len() > 20,
                "{alert} has no {annotation}"
            );
        }
        let names = names_in(&text(&rule["expr"]));
        assert!(!names.is_empty(), "{alert}");
        used.extend(names);
    }
    assert!(alerts.len() > 15, "{alerts:?}");

    let dashboard: Value = serde_json::from_str(&file("deploy/grafana/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let mut shown = BTreeSet::new();
    for target in panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten()) {
        let expression = target["expr"].as_str().unwrap();
        let names = names_in(expression);
        assert!(!names.is_empty(), "{expression}");
        shown.extend(names);
    }
    used.extend(shown.iter().cloned());
    let unknown: Vec<_> = used.difference(&scraped).collect();
    assert!(unknown.is_empty(), "{unknown:?} are not among {scraped:?}");
    // And the dashboard leaves none out.
    let unseen = |name: &String| {
        let other = ["_sum", "_count", "_bucket"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        !shown
            .iter()
            .any(|one| one == name || other.is_some_and(|family| one.starts_with(family)))
    };
    let unseen: Vec<_> = scraped.iter().filter(|name| unseen(name)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");

    // The label values that they select exist, too.
    let selected = Regex::new(r#"(reason|outcome)=~?"([^"]+)""#).unwrap();
    for text in [
        file("deploy/prometheus/rules.yml"),
        file("deploy/grafana/dashboard.json").replace("\\\"", "\""),
    ] {
        for found in selected.captures_iter(&text) {
            for value in found[2].split('|') {
                let label = format!("{}=\"{value}\"", &found[1]);
                assert!(scrape.text.contains(&label), "no sample has {label}");
            }
        }
    }
}

/// Prometheus's own tool, if the slow tests run and it is there.
fn promtool() -> Option<Command> {
    if skip_slow_tests() {
        return None;
    }
    match std::env::var_os("ORGTRAIL_PROMTOOL") {
        Some(path) => Some(Command::new(path)),
        None => {
            tell("SKIPPED: ORGTRAIL_PROMTOOL does not name promtool; `.ci/run` unpacks it");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_accepts_the_scrape_the_rules_and_their_tests() {
    let Some(mut check) = promtool() else { return };
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&upstream.configuration(dir.path())).await;
    service.settle(3).await;
    let http = reqwest::Client::new();
    let scrape = http
        .get(format!("{}/metrics", service.url))
        .header(ACCEPT, "text/plain");
    let scrape = scrape.send().await.unwrap().text().await.unwrap();
    service.stop().await.unwrap();
    let mut checking = check
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    checking
        .stdin
        .take()
        .unwrap()
        .write_all(scrape.as_bytes())
        .unwrap();
    let checked = checking.wait_with_output().unwrap();
    assert!(checked.status.success(), "{checked:?}\n{scrape}");
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    for args in [
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules.test.yml"],
    ] {
        let mut run = promtool().unwrap();
        let run = run.args(args).current_dir(&rules).output().unwrap();
        assert!(run.status.success(), "{args:?}: {run:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readyz_names_the_part_and_the_reason_of_a_refused_credential() {
    let upstream = upstream().await;
    let sources = upstream.simulator.sources();
    upstream.simulator.set_faults(Faults {
        statuses: sources.iter().map(|source| (source.clone(), 401)).collect(),
        ..Faults::default()
    });
    let dir = tempfile::tempdir().unwrap();
    let account = format!("[[accounts]]\nid = \"{}\"", sources[1].id());
    let service = Service::start(&configuration(dir.path(), &upstream.base_url, &account)).await;
    let (status, body) = service.ask("/readyz").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let ready = service
        .until("/readyz", |ready| {
            ready["problems"] == json!(["credential refused"])
        })
        .await;
    let detail = &ready["problem_details"][0];
    assert_eq!(
        (&detail["problem"], &detail["part"]),
        (&json!("credential refused"), &json!("upstream"))
    );
    assert!(
        detail["why"].as_str().unwrap().contains("refused"),
        "{ready:#}"
    );
    let body = ready.to_string();
    assert!(
        !sources.iter().any(|source| body.contains(source.id())),
        "{body}"
    );
    service.stop().await.unwrap();
}

/// A monitor that answers each call with a status and remembers what was asked for.
struct Monitor {
    url: String,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Monitor {
    fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://{}/ping/s3cr3t-path?key=s3cr3t-key",
            listener.local_addr().unwrap()
        );
        let calls = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                heard.lock().unwrap().push(line.trim_end().to_owned());
                let answer = format!(
                    "HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { url, calls }
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

/// A program that serves, with a heartbeat; its log goes to a file.
struct Program {
    child: std::process::Child,
    log: PathBuf,
    client: Client,
}

impl Program {
    fn start(dir: &Path, configuration: &str, heartbeat: &str) -> Self {
        let configuration = configuration
            .replace("[http]\n", "[http]\nlisten = \"127.0.0.1:0\"\n")
            .replace(
                "[poll]\n",
                "[poll]\nheartbeat_url_env = \"HEARTBEAT_URL\"\n",
            );
        let (file, log) = (dir.join("orgtrail.toml"), dir.join("log"));
        fs::write(&file, configuration).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
            .args(["serve", "-v", "--config"])
            .arg(&file)
            .env("HEARTBEAT_URL", heartbeat)
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self {
            child,
            log,
            client: Client::new(url),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_cycle_calls_the_heartbeats_url_at_most_once_a_minute() {
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start("200 OK");
    let begun = Instant::now();
    let program = Program::start(
        dir.path(),
        &upstream.configuration(dir.path()),
        &monitor.url,
    );
    until("the monitor was called", || !monitor.calls().is_empty()).await;
    // Each source is read every second, so that several cycles are complete meanwhile.
    let calls = upstream.simulator.requests().len();
    until("several cycles are complete", || {
        upstream.simulator.requests().len() > calls + 12
    })
    .await;
    let calls = monitor.calls();
    let minutes = begun.elapsed().as_secs() / 60;
    assert!(
        calls.len() as u64 <= minutes + 1,
        "{} calls in {minutes} minutes",
        calls.len()
    );
    assert_eq!(calls[0], "GET /ping/s3cr3t-path?key=s3cr3t-key HTTP/1.1");
    let log = program.log();
    assert!(log.contains("Heartbeat sent"), "{log}");
    assert!(!log.contains("s3cr3t"), "the URL was logged");
    let (_, metrics) = program.client.ask("/metrics").await;
    assert!(!metrics.contains("s3cr3t"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_heartbeat_is_sent_while_a_source_cannot_be_read() {
    let upstream = upstream().await;
    let refused = upstream.simulator.sources().remove(1);
    upstream.simulator.set_faults(Faults {
        statuses: [(refused, 403)].into_iter().collect(),
        ..Faults::default()
    });
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start("200 OK");
    let _program = Program::start(
        dir.path(),
        &upstream.configuration(dir.path()),
        &monitor.url,
    );
    // The other sources are read many times.
    until("the others are read", || {
        upstream.simulator.requests().len() > 60
    })
    .await;
    assert_eq!(monitor.calls(), Vec::<String>::new());
    upstream.simulator.set_faults(Faults::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_heartbeat_is_sent_while_the_list_of_accounts_is_unknown() {
    let upstream = upstream().await;
    upstream.simulator.set_faults(Faults {
        list_forbidden: 1.0,
        ..Faults::default()
    });
    let dir = tempfile::tempdir().unwrap();
    let monitor = Monitor::start("200 OK");
    let program = Program::start(
        dir.path(),
        &upstream.configuration(dir.path()),
        &monitor.url,
    );
    let organization = upstream.simulator.sources().remove(0);
    let path = format!(
        "/{}/{}/logs/audit?",
        organization.kind().as_str(),
        organization.id()
    );
    until("the organization's log is read many times", || {
        let requests = upstream.simulator.requests();
        let read = requests
            .iter()
            .filter(|one| one.status == 200 && one.path_and_query.contains(&path));
        read.count() > 20
    })
    .await;
    let coverage = program.client.get("/v1/coverage").await;
    assert_eq!(
        coverage["accounts_unknown"],
        json!([organization.to_string()])
    );
    assert_eq!(monitor.calls(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_that_fails_is_logged_without_its_url_and_harms_nothing() {
    for (status, said) in [
        ("500 Internal Server Error", "the response was 500"),
        ("302 Found", "the response was 302"),
    ] {
        let upstream = upstream().await;
        let dir = tempfile::tempdir().unwrap();
        let monitor = Monitor::start(status);
        let program = Program::start(
            dir.path(),
            &upstream.configuration(dir.path()),
            &monitor.url,
        );
        until("the failure was logged", || {
            program.log().contains("Heartbeat failed")
        })
        .await;
        let log = program.log();
        assert!(log.contains(said), "{log}");
        assert!(!log.contains("s3cr3t"), "the URL was logged");
        assert_eq!(
            monitor.calls().len(),
            1,
            "a redirect is not followed, and a failure not repeated at once"
        );
        program.client.settle(3).await;
        assert_eq!(program.client.get("/readyz").await["problems"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_url_that_may_not_be_called_is_reported_and_does_not_stop_the_service() {
    let upstream = upstream().await;
    let dir = tempfile::tempdir().unwrap();
    let url = "http://monitor.example.com/s3cr3t-path";
    let program = Program::start(dir.path(), &upstream.configuration(dir.path()), url);
    program.client.settle(3).await;
    let log = program.log();
    assert!(
        log.contains("HEARTBEAT_URL") && !log.contains("s3cr3t"),
        "{log}"
    );
    let check = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args(["check", "--config"])
        .arg(dir.path().join("orgtrail.toml"))
        .env("HEARTBEAT_URL", url)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("PROBLEM  no heartbeat is sent"),
        "{printed}"
    );
    assert!(!printed.contains("s3cr3t"), "{printed}");
}
