//! History in the foreground, by the program itself: all of it once, however often it is interrupted.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use orgtrail::clock::Clock;
use orgtrail::position::{Seq, Source};
use orgtrail::store::Store;
use orgtrail_simulator::{Faults, SimConfig, Simulator};
use serde_json::Value;

use crate::harness::{Service, Upstream};
use crate::{skip_slow_tests, tell};

/// The program with a configuration of its own.
pub(crate) struct Shell {
    dir: tempfile::TempDir,
}

impl Shell {
    pub(crate) fn new(upstream: &Upstream) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shell = Self { dir };
        let configuration = upstream.configuration(shell.dir.path());
        std::fs::write(shell.configuration_file(), configuration).unwrap();
        shell
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn configuration_file(&self) -> PathBuf {
        self.dir.path().join("orgtrail.toml")
    }

    pub(crate) fn configuration(&self) -> String {
        std::fs::read_to_string(self.configuration_file()).unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orgtrail"));
        command
            .current_dir(self.dir.path())
            .env_remove("RUST_LOG")
            .args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a command says with `--json`, and its exit code.
    pub(crate) fn json(&self, args: &[&str]) -> (Value, Option<i32>) {
        let output = self.run(&[args, &["--json"]].concat());
        let said = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (said, output.status.code())
    }

    /// Every entry that is held, with its source, in order of both.
    pub(crate) fn held(&self) -> Vec<(String, String)> {
        let store = Store::open_beside(&self.data_dir()).unwrap();
        let events = store
            .events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX)
            .unwrap();
        let pairs = events
            .into_iter()
            .map(|event| (event.source.to_string(), event.entry.get().to_owned()));
        sorted(pairs.collect())
    }
}

fn sorted(mut pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    pairs.sort();
    pairs
}

/// Every entry that upstream can show, with its source, in order of both.
pub(crate) fn shown(simulator: &Simulator) -> Vec<(String, String)> {
    let now = Clock::system().now();
    let of = |source: Source| {
        let entries = simulator.entries(&source, now).into_iter();
        entries.map(move |entry| (source.to_string(), entry))
    };
    sorted(simulator.sources().into_iter().flat_map(of).collect())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn small() -> SimConfig {
    SimConfig {
        events: 1_500,
        accounts: 3,
        days: 50,
        ..SimConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_history_is_read_found_at_once_and_read_once() {
    let upstream = Upstream::new(small()).await;
    let shell = Shell::new(&upstream);
    let (first, code) = shell.json(&["backfill", "--since", "60d"]);
    assert_eq!(code, Some(0), "{first:#}");
    assert_eq!(first["done"], true, "{first:#}");
    assert_eq!(
        (&first["new"], &first["events"]),
        (&1_500.into(), &1_500.into())
    );
    assert_eq!(first["sources"].as_array().unwrap().len(), 4);
    for source in first["sources"].as_array().unwrap() {
        assert_eq!(source["read_since"], source["since"], "{source}");
        assert_eq!(
            (&source["done"], &source["error"]),
            (&true.into(), &Value::Null)
        );
    }
    assert!(
        shell.held() == shown(&upstream.simulator),
        "other entries are held"
    );
    let found = shell.run(&["search", "--json", "--all", ""]);
    assert_eq!(text(&found.stdout).lines().count(), 1_500, "{found:?}");

    // Nothing is left to ask for, but for the list of accounts.
    let requests = upstream.simulator.requests().len();
    let (again, code) = shell.json(&["backfill", "--since", "60d"]);
    assert_eq!(
        (code, &again["new"], &again["done"]),
        (Some(0), &0.into(), &true.into())
    );
    assert_eq!(upstream.simulator.requests().len(), requests + 1);

    // A service goes on from there, and what it is to do is what its configuration says.
    let service = Service::start(&shell.configuration()).await;
    assert_eq!(service.settle(4).await, 1_500);
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_can_be_named_and_the_end_too() {
    let upstream = Upstream::new(small()).await;
    let shell = Shell::new(&upstream);
    let [organization, one, other] = [0, 1, 2].map(|n| upstream.simulator.sources()[n].to_string());
    let day = (Clock::system().now() - chrono::TimeDelta::days(20))
        .date_naive()
        .to_string();
    let (said, code) = shell.json(&[
        "backfill",
        "--since",
        &day,
        "--source",
        &one,
        "--source",
        &organization,
    ]);
    assert_eq!(code, Some(0), "{said:#}");
    let mut read: Vec<&str> = said["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| {
            assert_eq!(source["since"], format!("{day}T00:00:00Z"));
            source["source"].as_str().unwrap()
        })
        .collect();
    read.sort_unstable();
    let mut named = [one.as_str(), organization.as_str()];
    named.sort_unstable();
    assert_eq!(read, named);
    assert!(shell.held().iter().all(|(source, _)| *source != other));
    assert!(
        upstream
            .simulator
            .requests()
            .iter()
            .all(|request| !request.path_and_query.contains(&other))
    );

    // The same program is refused what makes no sense.
    let stranger = shell.run(&["backfill", "--source", "accounts/stranger"]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(
        text(&stranger.stderr).contains("does not follow accounts/stranger"),
        "{stranger:?}"
    );
    for wrong in [["--since", "soon"], ["--source", "stranger"]] {
        assert_eq!(
            shell.run(&["backfill", wrong[0], wrong[1]]).status.code(),
            Some(2)
        );
    }
    let service = Service::start(&shell.configuration()).await;
    let beside = shell.run(&["backfill"]);
    assert_eq!(beside.status.code(), Some(1));
    assert!(
        text(&beside.stderr).contains("stop the service first"),
        "{beside:?}"
    );
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_named_and_the_rest_is_read() {
    let upstream = Upstream::new(small()).await;
    let shell = Shell::new(&upstream);
    let forbidden = upstream.simulator.sources()[2].clone();
    upstream.simulator.set_faults(Faults {
        forbidden: vec![forbidden.clone()],
        ..Faults::default()
    });
    let (said, code) = shell.json(&["backfill"]);
    assert_eq!((code, &said["done"]), (Some(1), &false.into()), "{said:#}");
    for source in said["sources"].as_array().unwrap() {
        let is_forbidden = source["source"] == forbidden.to_string();
        assert_eq!(source["done"], !is_forbidden, "{source}");
        assert_eq!(source["error"].is_string(), is_forbidden, "{source}");
        assert_eq!(source["refused"], is_forbidden, "{source}");
        // Of a log that was never read nothing is claimed.
        assert_eq!(source["read_since"].is_null(), is_forbidden, "{source}");
    }
    let told = shell.run(&["backfill"]);
    assert!(
        text(&told.stdout).contains(&format!(
            "{forbidden} is not read: the credential may not read"
        )),
        "{told:?}"
    );
    assert!(
        text(&told.stderr).contains("upstream refuses 1 of them to their credential"),
        "{told:?}"
    );
    assert!(
        text(&told.stderr).contains("1 of 4 sources could not be read"),
        "{told:?}"
    );

    // It is read when it can be.
    upstream.simulator.set_faults(Faults::default());
    let (said, code) = shell.json(&["backfill"]);
    assert_eq!((code, &said["done"]), (Some(0), &true.into()), "{said:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_credential_ends_it() {
    let upstream = Upstream::new(SimConfig {
        token: Some("another".into()),
        ..small()
    })
    .await;
    let shell = Shell::new(&upstream);
    let refused = shell.run(&["backfill"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("upstream refused the credential file:"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_year_without_entries_costs_few_requests() {
    let upstream = Upstream::new(SimConfig {
        events: 0,
        accounts: 0,
        ..small()
    })
    .await;
    let shell = Shell::new(&upstream);
    let (said, code) = shell.json(&["backfill", "--since", "500d"]);
    assert_eq!((code, &said["events"]), (Some(0), &0.into()), "{said:#}");
    let requests = upstream.simulator.requests().len();
    assert!(requests <= 16, "{requests} requests for 500 empty days");
}

/// Waits until so many events are held by a process that is at it.
fn wait_for(shell: &Shell, child: &mut Child, events: u64) {
    let begun = Instant::now();
    while Store::open_beside(&shell.data_dir()).map_or(0, |store| store.head().0) < events {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it keeps nothing"
        );
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_killed_and_ill_served_it_holds_everything_once() {
    const SEED: u64 = 20_261_125;
    tell(format!("seed {SEED}"));
    let upstream = Upstream::new(SimConfig {
        events: 4_000,
        ..small()
    })
    .await;
    upstream.simulator.set_faults(Faults {
        seed: SEED,
        server_error: 0.02,
        cut_body: 0.02,
        expired_cursor: 0.1,
        short_page: 0.2,
        repeat_across_pages: 0.2,
        cursor_loop: 0.02,
        empty_with_cursor: 0.2,
        ..Faults::default()
    });
    let shell = Shell::new(&upstream);
    let start = || {
        let mut command = shell.command(&["backfill", "--since", "60d", "--json"]);
        // Small pages: there is more to interrupt.
        command.env("ORGTRAIL__UPSTREAM__PAGE_SIZE", "40");
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut interrupted = start();
    wait_for(&shell, &mut interrupted, 300);
    let id = interrupted.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = interrupted.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("run it again to go on"),
        "{output:?}"
    );
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let held = said["events"].as_u64().unwrap();
    assert!((300..4_000).contains(&held), "{said:#}");

    let mut killed = start();
    wait_for(&shell, &mut killed, held + 500);
    killed.kill().unwrap();
    killed.wait().unwrap();

    let output = start().wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&said["done"], &said["events"]),
        (&true.into(), &4_000.into()),
        "{said:#}"
    );
    assert!(said["new"].as_u64().unwrap() < 4_000 - held, "{said:#}");
    assert!(
        shell.held() == shown(&upstream.simulator),
        "other entries are held"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_takes_no_more_memory_than_a_short_one() {
    if skip_slow_tests() {
        return;
    }
    let n: u64 =
        std::env::var("ORGTRAIL_BACKFILL_EVENTS").map_or(300_000, |events| events.parse().unwrap());
    let (few, all) = (peaks_of(n / 10).await, peaks_of(n).await);
    assert!(
        all[0] as f64 <= few[0] as f64 * 1.5,
        "{few:?} KiB for {}, {all:?} KiB for {n}",
        n / 10
    );
    // The index fills buffers of a fixed size, which fewer entries do not fill yet.
    assert!(
        all[1] <= crate::import::MOST_WHILE_INDEXING,
        "{few:?} KiB for {}, {all:?} KiB for {n}",
        n / 10
    );
}

/// The most memory that a backfill of so many entries takes, while reading and to its end; its rate is told beside what
/// reading the same entries as JSON takes.
#[cfg(target_os = "linux")]
async fn peaks_of(n: u64) -> [u64; 2] {
    let upstream = Upstream::new(SimConfig {
        events: n,
        accounts: 10,
        days: 300,
        ..SimConfig::default()
    })
    .await;
    let shell = Shell::new(&upstream);
    let begun = Instant::now();
    let child = shell
        .command(&["backfill", "--since", "310d"])
        .env("ORGTRAIL__UPSTREAM__MAX_REQUESTS", "1000000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let peaks = crate::import::peaks_of(child, &shell.data_dir().join("index"));
    let took = begun.elapsed();
    let store = Store::open_beside(&shell.data_dir()).unwrap();
    assert_eq!(store.head().0, n);
    // Each entry read as JSON, and nothing else.
    let mut parsing = Duration::ZERO;
    let mut at = Seq::ZERO;
    loop {
        let events = store.events_after(at, 10_000, usize::MAX).unwrap();
        let Some(last) = events.last() else { break };
        at = last.seq;
        let begun = Instant::now();
        for event in &events {
            serde_json::from_str::<Value>(event.entry.get()).unwrap();
        }
        parsing += begun.elapsed();
    }
    tell(format!(
        "{n} entries: {:.0} a second, the simulator and indexing included; parsing alone {:.0} a second, {:.1} times as fast; \
         at most {} MiB while reading, {} MiB while indexing",
        n as f64 / took.as_secs_f64(),
        n as f64 / parsing.as_secs_f64(),
        took.as_secs_f64() / parsing.as_secs_f64(),
        peaks[0] / 1024,
        peaks[1] / 1024,
    ));
    peaks
}
