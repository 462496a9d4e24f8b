//! Files to log: what is new, what is held already, what cannot be understood, and what a killed import leaves behind.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use orgtrail::clock::Clock;
use orgtrail::durable::{Failpoints, StepFailure};
use orgtrail::import::{self, Report};
use orgtrail::position::{Seq, Source};
use orgtrail::store::{self, Store, StoreError};
use orgtrail_simulator::SimConfig;
use serde_json::{Value, json};

use crate::harness::{Service, Upstream};
use crate::samples::{ORGANIZATION, entries, folder};
use crate::{skip_slow_tests, tell};

const LOGPUSH: &str = "logpush_audit_logs_v2.ndjson";

/// A data directory of its own, and the real program on it.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
        command
            .current_dir(self.dir.path())
            .args([name, "--data-dir"])
            .arg(self.data_dir());
        command
    }

    /// Writes a file to import; gives its name.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.dir.path().join(name), content).unwrap();
        name.to_owned()
    }

    fn import(&self, args: &[&str]) -> Output {
        self.command("import").args(args).output().unwrap()
    }

    /// Imports one file: (new, held, revised, not understood).
    fn counts(&self, args: &[&str]) -> (u64, u64, u64, u64) {
        let output = self.import(&[&["--json"], args].concat());
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let count = |name: &str| told["files"][0][name].as_u64().unwrap();
        let names = ["new", "held", "revised", "not_understood"];
        let [new, held, revised, not_understood] = names.map(count);
        assert_eq!(
            count("lines"),
            new + held + revised + not_understood,
            "{told}"
        );
        (new, held, revised, not_understood)
    }

    /// All that is held: source, revision and entry.
    fn held(&self) -> Vec<(String, u32, String)> {
        let store = Store::open_beside(&self.data_dir()).unwrap();
        held(&store)
    }

    /// How many events the shell finds.
    fn found(&self, query: &str) -> usize {
        let output = self
            .command("search")
            .args(["--json", "--limit", "1000", query])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout).lines().count()
    }
}

fn held(store: &Store) -> Vec<(String, u32, String)> {
    let events = store
        .events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX)
        .unwrap();
    events
        .into_iter()
        .map(|event| {
            (
                event.source.to_string(),
                event.revision,
                event.entry.get().to_owned(),
            )
        })
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn lines<'a>(entries: impl IntoIterator<Item = &'a String>) -> String {
    // An entry that came on several lines says the same on one.
    let lines = entries
        .into_iter()
        .map(|entry| entry.replace('\n', " ") + "\n");
    lines.collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

#[test]
fn what_logpush_wrote_is_found_at_once_and_kept_once() {
    let bench = Bench::new();
    let file = folder().join(LOGPUSH);
    let output = bench.import(&[file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let told = text(&output.stdout).replace(file.to_str().unwrap(), LOGPUSH);
    insta::assert_snapshot!(told, @r#"
    logpush_audit_logs_v2.ndjson: 8 lines: 8 new, 0 held already, 0 revised, 0 not understood
    Events in the log: 8, all of them searchable.
    "#);

    // The mapped names, each in a query of its own.
    assert_eq!(bench.found("actor.email:alice@example.com"), 2);
    assert_eq!(bench.found("actor.token_name:terraform-prod"), 1);
    assert_eq!(bench.found("action.time:2026-08-03T09:11:30Z"), 1);
    assert_eq!(bench.found("logpush.dataset:audit_logs_v2"), 8);
    assert_eq!(bench.found("resource.request.name:www"), 1);
    let snapshot: Vec<Value> = bench
        .held()
        .iter()
        .map(|(_, _, entry)| serde_json::from_str(entry).unwrap())
        .collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&snapshot).unwrap());

    assert_eq!(bench.counts(&[file.to_str().unwrap()]), (0, 8, 0, 0));
}

#[test]
fn the_entries_of_the_samples_are_kept_by_the_rules_of_pages() {
    let bench = Bench::new();
    let source = format!("organizations/{ORGANIZATION}");
    let mut of_pages = entries("org_audit_page1.json");
    of_pages.extend(entries("org_audit_page2.json"));
    let file = bench.file("pages.ndjson", lines(&of_pages));

    // Some entries of the page say nothing of their organization.
    let not_told = bench.counts(&[&file]);
    assert!(not_told.0 > 0 && not_told.3 > 0, "{not_told:?}");
    let told = bench.counts(&[&file, "--source", &source]);
    assert_eq!(told.3, 0);
    let held = bench.held();
    for entry in &of_pages {
        let id = serde_json::from_str::<Value>(entry).unwrap()["id"].clone();
        let same = held.iter().filter(|(_, _, held)| {
            id.is_string() && serde_json::from_str::<Value>(held).unwrap()["id"] == id
        });
        assert!(id.is_null() || same.count() == 1, "{entry}");
    }
    assert!(held.iter().all(|(found, ..)| *found == source));
    let again = bench.counts(&[&file, "--source", &source]);
    assert_eq!((again.0, again.2, again.3), (0, 0, 0));
}

/// The line that Logpush would write of an account's entry.
fn logpush_line(entry: &str) -> String {
    let entry: Value = serde_json::from_str(entry).unwrap();
    let of = |section: &str, name: &str| entry[section][name].clone();
    let time = entry["action"]["time"].as_str().unwrap();
    let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
    json!({
        "AccountID": of("account", "id"),
        "AccountName": of("account", "name"),
        "ActionDescription": of("action", "description"),
        "ActionResult": of("action", "result"),
        "ActionTimestamp": time.timestamp_nanos_opt().unwrap(),
        "ActionType": of("action", "type"),
        "ActorEmail": of("actor", "email"),
        "ActorID": of("actor", "id"),
        "AuditLogID": entry["id"],
        "ResourceProduct": of("resource", "product"),
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_polled_is_held_already_in_every_form_of_a_file() {
    let upstream = Upstream::new(SimConfig {
        events: 600,
        accounts: 2,
        days: 20,
        ..SimConfig::default()
    })
    .await;
    let clock = Clock::system();
    let sources = upstream.simulator.sources();
    // Equal entries without an id: as many are held as upstream shows.
    let nameless = r#"{"action":{"time":"2026-01-02T03:04:05Z"},"raw":{"a":1}}"#;
    let time = clock.now() - chrono::TimeDelta::hours(2);
    for _ in 0..2 {
        upstream
            .simulator
            .publish(&sources[1], nameless, time, time);
    }
    let bench = Bench::new();
    let service = Service::start(&upstream.configuration(bench.dir.path())).await;
    assert_eq!(service.settle(3).await, 602);
    let mut events = String::new();
    let mut cursor = String::new();
    loop {
        let page = service.get(&format!("/v1/events?limit=1000{cursor}")).await;
        for event in page["events"].as_array().unwrap() {
            events += &format!("{event}\n");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let refused = bench.import(&[&bench.file("events.ndjson", &events)]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr).replace(bench.dir.path().to_str().unwrap(), "DIR");
    // Who has it is told in `beside`.
    let (told, _who) = told.split_once(": process ").unwrap();
    insta::assert_snapshot!(told, @r#"orgtrail: an import needs the log to itself: stop the service first: another orgtrail already uses the data directory `DIR/data`"#);
    service.stop().await.unwrap();
    let before = bench.held();

    assert_eq!(bench.counts(&["events.ndjson"]), (0, 602, 0, 0));
    for source in &sources {
        let shown = upstream.simulator.entries(source, clock.now());
        let file = bench.file("entries.ndjson", lines(&shown));
        let n = shown.len() as u64;
        let counts = bench.counts(&[&file, "--source", &source.to_string()]);
        assert_eq!(counts, (0, n, 0, 0), "{source}");
        // Logpush has the accounts' logs only, and cannot name what has no id.
        if source.to_string().starts_with("accounts/") {
            let of_logpush: Vec<String> = shown
                .iter()
                .filter(|entry| *entry != nameless)
                .map(|entry| logpush_line(entry))
                .collect();
            let file = bench.file("logpush.ndjson", lines(&of_logpush));
            let counts = bench.counts(&[&file, "--source", &source.to_string()]);
            assert_eq!(counts, (0, of_logpush.len() as u64, 0, 0), "{source}");
        }
    }
    assert_eq!(bench.held(), before);

    // The service goes on as if nothing had been, and its windows are what they were.
    let service = Service::start(&upstream.configuration(bench.dir.path())).await;
    assert_eq!(service.settle(3).await, 602);
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_sends_is_kept_beside_what_logpush_wrote_before() {
    let upstream = Upstream::new(SimConfig {
        events: 0,
        accounts: 1,
        days: 20,
        ..SimConfig::default()
    })
    .await;
    let account = upstream.simulator.sources().remove(1);
    let time = Clock::system().now() - chrono::TimeDelta::hours(2);
    let entry = json!({
        "id": "twin",
        "account": {"id": account.id()},
        "action": {"time": time.to_rfc3339(), "type": "create"},
    })
    .to_string();
    upstream.simulator.publish(&account, &entry, time, time);
    let bench = Bench::new();
    let file = bench.file("line.ndjson", logpush_line(&entry));
    assert_eq!(bench.counts(&[&file]), (1, 0, 0, 0));
    let service = Service::start(&upstream.configuration(bench.dir.path())).await;
    assert_eq!(service.settle(2).await, 2);
    service.stop().await.unwrap();
    let held = bench.held();
    assert_eq!((held[0].1, held[1].1), (0, 1));
    assert_eq!(held[1].2, entry);
    assert_eq!(bench.counts(&[&file]), (0, 1, 0, 0));
}

/// Entries of which every seventh is one of a few equal ones without an id; each of those stands there several times.
fn many(n: usize) -> Vec<String> {
    (0..n)
        .map(|i| match i % 7 {
            0 => format!(
                r#"{{"account":{{"id":"a{}"}},"action":{{"time":"2026-08-03T09:10:00Z"}},"raw":{{"n":{}}}}}"#,
                i % 3,
                i % 49
            ),
            _ => format!(
                r#"{{"id":"entry-{i}","account":{{"id":"a{}"}},"action":{{"time":"2026-08-03T09:10:{:02}Z"}}}}"#,
                i % 3,
                i % 60
            ),
        })
        .collect()
}

/// What is held, in an order of its own.
fn sorted(mut held: Vec<(String, u32, String)>) -> Vec<(String, u32, String)> {
    held.sort();
    held
}

/// What must be held of [`many`].
fn expected(entries: &[String]) -> Vec<(String, u32, String)> {
    let rows = entries.iter().map(|entry| {
        let value: Value = serde_json::from_str(entry).unwrap();
        let account = value["account"]["id"].as_str().unwrap();
        (format!("accounts/{account}"), 0, entry.clone())
    });
    sorted(rows.collect())
}

#[test]
fn however_a_file_is_packed_it_says_the_same() {
    let entries = many(2_500);
    let plain = lines(&entries);
    let crlf = format!("\u{feff}{}", plain.replace('\n', "\r\n\r\n"));
    let packed = [
        ("a.ndjson", plain.clone().into_bytes()),
        ("b.ndjson.gz", gzip(plain.as_bytes())),
        ("c.ndjson.zst", zstd(plain.as_bytes())),
        ("named-wrongly.zst", gzip(plain.as_bytes())),
        ("d.ndjson", crlf.into_bytes()),
    ];
    for (name, content) in &packed {
        let bench = Bench::new();
        let counts = bench.counts(&[&bench.file(name, content)]);
        assert_eq!(counts, (2_500, 0, 0, 0), "{name}");
        assert_eq!(sorted(bench.held()), expected(&entries), "{name}");
    }
    // From standard input, after all the others: nothing is new.
    let bench = Bench::new();
    for (name, content) in &packed {
        bench.file(name, content);
    }
    let mut child = bench
        .command("import")
        .args(packed.each_ref().map(|(name, _)| *name))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&packed[1].1).unwrap();
    let output = child.wait_with_output().unwrap();
    insta::assert_snapshot!(text(&output.stdout), @r#"
    a.ndjson: 2,500 lines: 2,500 new, 0 held already, 0 revised, 0 not understood
    b.ndjson.gz: 2,500 lines: 0 new, 2,500 held already, 0 revised, 0 not understood
    c.ndjson.zst: 2,500 lines: 0 new, 2,500 held already, 0 revised, 0 not understood
    named-wrongly.zst: 2,500 lines: 0 new, 2,500 held already, 0 revised, 0 not understood
    d.ndjson: 2,500 lines: 0 new, 2,500 held already, 0 revised, 0 not understood
    standard input: 2,500 lines: 0 new, 2,500 held already, 0 revised, 0 not understood
    Events in the log: 2,500, all of them searchable.
    "#);
}

#[test]
fn what_cannot_be_understood_is_named_by_its_line_and_the_rest_is_kept() {
    let bench = Bench::new();
    let mut bad = br#"{"id":"1","account":{"id":"a"}}

not json
{"id":"2"}
{"result":[],"success":true,"errors":[]}
"#
    .to_vec();
    bad.extend(b"{\"id\":\"\xff\"}\n{\"id\":\"3\",\"account\":{\"id\":\"a\"}");
    bench.file("bad.ndjson", &bad);
    std::fs::copy(
        folder().join("logpush_audit_logs_v1.ndjson"),
        bench.dir.path().join("v1.ndjson"),
    )
    .unwrap();
    let long = lines(&many(30_000));
    for (name, packed) in [
        ("cut.gz", gzip(long.as_bytes())),
        ("cut.zst", zstd(long.as_bytes())),
    ] {
        bench.file(name, &packed[..packed.len() / 2]);
    }
    bench.file("many-bad.ndjson", "x\n".repeat(1_200));
    bench.file("empty.ndjson", "");

    let small = [
        "bad.ndjson",
        "v1.ndjson",
        "many-bad.ndjson",
        "nowhere.ndjson",
        ".",
        "empty.ndjson",
    ];
    let output = bench.import(&small);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(text(&output.stdout) + &text(&output.stderr), @r#"
    bad.ndjson: 5 lines: 1 new, 0 held already, 0 revised, 4 not understood
      line 3: not JSON: expected ident at byte 2
      line 4: it has no `account.id` or `organization.id`: say whose log it is from with `--source`
      line 6: not UTF-8 at byte 8
      line 7: not JSON: EOF while parsing an object at byte 30
    v1.ndjson: 2 lines: 0 new, 0 held already, 0 revised, 2 not understood
      line 1: a line of Logpush's first dataset `audit_logs`, whose entries have other ids and fields: only `audit_logs_v2` can be imported
      and 1 more
      A file has an entry of the audit log (v2) on each line, as Cloudflare's API sends them, or a line of Logpush's
      `audit_logs_v2`, or an event of `/v1/events` or `/v1/export`; or it is a saved page of the API, `{"result": […]}`.
    many-bad.ndjson: 1,200 lines: 0 new, 0 held already, 0 revised, 1,200 not understood
      line 1: not JSON: expected value at byte 1
      and 1,199 more
      A file has an entry of the audit log (v2) on each line, as Cloudflare's API sends them, or a line of Logpush's
      `audit_logs_v2`, or an event of `/v1/events` or `/v1/export`; or it is a saved page of the API, `{"result": […]}`.
    nowhere.ndjson: 0 lines: 0 new, 0 held already, 0 revised, 0 not understood
      it could not be opened: No such file or directory (os error 2)
    .: 0 lines: 0 new, 0 held already, 0 revised, 0 not understood
      it could not be read: Is a directory (os error 21)
    empty.ndjson: 0 lines: 0 new, 0 held already, 0 revised, 0 not understood
    Events in the log: 1, all of them searchable.
    orgtrail: 5 of 6 files could not be taken in wholly
    "#);
    assert_eq!(bench.held().len(), 1);

    for name in ["cut.gz", "cut.zst"] {
        let output = bench.import(&["--json", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let told = &told["files"][0];
        let why = told["broke_off"].as_str().unwrap();
        assert!(why.starts_with("it breaks off in line "), "{why}");
        let lines = told["lines"].as_u64().unwrap();
        assert!(lines > 5_000, "{told}");
        assert_eq!(
            told["new"].as_u64().unwrap() + told["held"].as_u64().unwrap(),
            lines
        );
    }
}

/// Imports in process, with failpoints.
fn import_with(dir: &Path, content: &str, failpoints: Failpoints) -> Result<Report, StoreError> {
    let store = Store::open(dir, failpoints).unwrap();
    import::import(
        &store,
        content.as_bytes(),
        None::<&Source>,
        &Clock::system(),
        |_| (),
    )
}

#[test]
fn whatever_breaks_a_second_run_makes_it_whole() {
    let entries = many(4_500);
    let content = lines(&entries);
    // Each of the two batches breaks, in both ways, and the dictionary that is trained on the way.
    for (step, times) in [
        (store::steps::APPEND_IMPORT, 2),
        (store::steps::SAVE_DICTIONARY, 1),
    ] {
        for how in [StepFailure::Before, StepFailure::After] {
            for at in 0..times {
                let dir = tempfile::tempdir().unwrap();
                let left = Arc::new(Mutex::new(at + 1));
                let failpoints = Failpoints::new(move |met| {
                    let mut left = left.lock().unwrap();
                    *left -= i32::from(met == step);
                    (met == step && *left == 0).then_some(how)
                });
                let failed = import_with(dir.path(), &content, failpoints);
                assert!(
                    matches!(failed, Err(StoreError::InjectedFailure(_))),
                    "{failed:?}"
                );
                let report = import_with(dir.path(), &content, Failpoints::default()).unwrap();
                assert_eq!(report.new + report.held, 4_500, "{step:?} {how:?} {at}");
                let store = Store::open_beside(dir.path()).unwrap();
                assert_eq!(
                    sorted(held(&store)),
                    expected(&entries),
                    "{step:?} {how:?} {at}"
                );
                store.check().unwrap();
            }
        }
    }
}

#[test]
fn a_file_cannot_fill_the_log_with_made_up_logs() {
    let dir = tempfile::tempdir().unwrap();
    let content: String = (0..10_050)
        .map(|n| format!(r#"{{"id":"x","account":{{"id":"a{n}"}}}}"#) + "\n")
        .collect();
    let report = import_with(dir.path(), &content, Failpoints::default()).unwrap();
    assert_eq!((report.new, report.not_understood), (10_000, 50));
    assert!(
        report.reasons[0].reason.contains("more than 10000 logs"),
        "{report:?}"
    );
}

#[test]
fn a_killed_import_goes_on_when_it_is_run_again() {
    const SEED: u64 = 20_260_804;
    tell(format!("seed {SEED}"));
    let mut rng = fastrand::Rng::with_seed(SEED);
    let bench = Bench::new();
    let entries = many(20_000);
    let file = bench.file("many.ndjson.gz", gzip(lines(&entries).as_bytes()));
    for kill in 0..3 {
        let mut child = bench
            .command("import")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let wanted = 4_000 * (kill + 1);
        let begun = Instant::now();
        // The process makes the log; until then there is none to look into.
        while Store::open_beside(&bench.data_dir()).map_or(0, |store| store.head().0) < wanted {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it keeps nothing"
            );
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            std::thread::sleep(Duration::from_millis(2));
        }
        // The very moment is chance.
        std::thread::sleep(Duration::from_micros(rng.u64(..10_000)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (new, held, revised, not_understood) = bench.counts(&[&file]);
    assert!(held >= 12_000, "{held}");
    assert_eq!((new + held, revised, not_understood), (20_000, 0, 0));
    assert_eq!(sorted(bench.held()), expected(&entries));
    assert_eq!(bench.counts(&[&file]), (0, 20_000, 0, 0));
    assert_eq!(bench.found("id:entry-19998"), 1);
}

/// The most memory of its own that a process holds, in KiB, until it writes to `index` and until it ends. Pages of files
/// that are mapped do not count.
#[cfg(target_os = "linux")]
pub(crate) fn peaks_of(mut child: std::process::Child, index: &Path) -> [u64; 2] {
    let mut peaks = [0, 0];
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.unwrap_or_default();
        let anonymous = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = anonymous.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        let kib = kib.unwrap_or(0);
        if !index.exists() {
            peaks[0] = kib.max(peaks[0]);
        }
        peaks[1] = kib.max(peaks[1]);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return peaks;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the index may hold of memory while it takes in events, however many, in KiB.
#[cfg(target_os = "linux")]
pub(crate) const MOST_WHILE_INDEXING: u64 = 256 * 1024;

#[cfg(target_os = "linux")]
#[test]
fn a_million_lines_take_no_more_memory_than_a_hundred_thousand() {
    if skip_slow_tests() {
        return;
    }
    let n: usize =
        std::env::var("ORGTRAIL_IMPORT_LINES").map_or(1_000_000, |lines| lines.parse().unwrap());
    let peaks = |n: usize| {
        let bench = Bench::new();
        let path = bench.dir.path().join("many.ndjson");
        let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        for i in 0..n {
            writeln!(
                file,
                r#"{{"AuditLogID":"{:032x}","AccountID":"a{}","ActionTimestamp":{},"ActorEmail":"user{}@example.com","ActionType":"create","ResourceProduct":"dns","ResourceRequest":{{"name":"host-{i}","content":"192.0.2.{}"}}}}"#,
                (i as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834),
                i % 50,
                1_785_748_201 + i,
                i % 997,
                i % 256,
            )
            .unwrap();
        }
        file.flush().unwrap();
        // Each line read as JSON, and nothing else.
        let begun = Instant::now();
        let content = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        for line in std::io::BufRead::lines(content) {
            serde_json::from_str::<Value>(&line.unwrap()).unwrap();
        }
        let parsing = begun.elapsed();
        let begun = Instant::now();
        let child = bench
            .command("import")
            .arg(&path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let peaks = peaks_of(child, &bench.data_dir().join("index"));
        let took = begun.elapsed();
        tell(format!(
            "{n} lines: {:.0} a second, indexing included; parsing alone {:.0} a second, {:.1} times as fast; \
             at most {} MiB while reading, {} MiB while indexing",
            n as f64 / took.as_secs_f64(),
            n as f64 / parsing.as_secs_f64(),
            took.as_secs_f64() / parsing.as_secs_f64(),
            peaks[0] / 1024,
            peaks[1] / 1024,
        ));
        peaks
    };
    let (few, all) = (peaks(n / 10), peaks(n));
    assert!(
        all[0] as f64 <= few[0] as f64 * 1.5,
        "{few:?} KiB for {}, {all:?} KiB for {n}",
        n / 10
    );
    // The index fills buffers of a fixed size, which fewer lines do not fill yet.
    assert!(
        all[1] <= MOST_WHILE_INDEXING,
        "{few:?} KiB for {}, {all:?} KiB for {n}",
        n / 10
    );
}
