//! The real program, killed again and again while everything that can go wrong upstream does.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use futures_util::future::join_all;
use orgtrail::clock::Clock;
use orgtrail::engine::Range;
use orgtrail::engine::tantivy::Index;
use orgtrail::ledger::{Sealed, open_parts};
use orgtrail::position::{Seq, Window};
use orgtrail::query::Query;
use orgtrail::store::Store;
use orgtrail_simulator::{Faults, SeenRequest, SimConfig, Simulator};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::engine_queries::Asked;
use crate::harness::until;
use crate::{seeds, tell};

/// How often the process of each seed is killed.
const KILLS: usize = 5;

/// How long a call can have been under way, or a wait not have been written down yet: half of the waits here.
const UNDER_WAY: TimeDelta = TimeDelta::seconds(1);

/// What is scanned again, and when.
const SWEEPS: [TimeDelta; 2] = [TimeDelta::seconds(3), TimeDelta::seconds(12)];

/// Later than the overlap, and not as late as the last sweep.
const MAX_LATENESS: TimeDelta = TimeDelta::seconds(8);

fn configuration(
    dir: &Path,
    upstream: std::net::SocketAddr,
    organizations: &[String],
    page_size: u32,
) -> String {
    let organizations: String = organizations
        .iter()
        .map(|id| format!("[[organizations]]\nid = \"{id}\"\n"))
        .collect();
    format!(
        r#"data_dir = '{}'
[http]
listen = "127.0.0.1:0"
auth = "none"
[upstream]
base_url = "http://{upstream}/client/v4"
token_env = "ORGTRAIL_TEST_TOKEN"
max_requests = 100000
page_size = {page_size}
[poll]
interval = "1s"
max_interval = "1s"
overlap = "2s"
sweeps = ["3s", "12s"]
backfill_since = "5d"
{organizations}"#,
        dir.join("data").display()
    )
}

fn serve(config: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_orgtrail"))
        .args(["serve", "--config"])
        .arg(config)
        .env("ORGTRAIL_TEST_TOKEN", "any")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_and_keep_nothing_twice() {
    let seeds = seeds(2, 10);
    // Side by side: the processes wait more than they work.
    let runs = join_all(seeds.iter().copied().map(run)).await;
    // One seed alone may happen to see neither.
    if seeds.len() > 1 {
        let late: u64 = runs.iter().map(|seen| seen.late).sum();
        assert!(late > 0, "no entry was late: the test does not test it");
        let waits: usize = runs.iter().map(|seen| seen.waits).sum();
        assert!(
            waits > 0,
            "nobody was told to wait: the test does not test it"
        );
    }
}

/// What a seed had in it.
struct Seen {
    /// Entries that came after their stretch was sealed.
    late: u64,
    /// How often a process was told to wait.
    waits: usize,
}

async fn run(seed: u64) -> Seen {
    tell(format!("seed {seed}; again with ORGTRAIL_SEED={seed}"));
    let mut rng = Rng::with_seed(seed);
    let config = SimConfig {
        seed,
        events: rng.u64(1_000..4_000),
        organizations: rng.u32(1..3),
        accounts: rng.u32(1..3),
        days: 4,
        live_per_minute: 240.0,
        quota: 1_000_000,
        max_limit: rng.usize(20..60),
        ..SimConfig::default()
    };
    let page_size = rng.u32(20..60);
    let simulator = Simulator::new(config, Clock::system().reader());
    let mut share = |most: f64| rng.f64() * most;
    simulator.set_faults(Faults {
        seed,
        server_error: share(0.1),
        cut_body: share(0.1),
        expired_cursor: share(0.1),
        short_page: share(0.2),
        repeat_across_pages: share(0.2),
        stall: share(0.1),
        stall_for: Duration::from_millis(50),
        rate_limited: share(0.04),
        retry_after_seconds: 2,
        late: 0.3,
        max_lateness: MAX_LATENESS,
        ..Faults::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orgtrail.toml");
    let text = configuration(
        dir.path(),
        listener.local_addr().unwrap(),
        &simulator.organization_ids(),
        page_size,
    );
    std::fs::write(&file, text).unwrap();
    let mut servers = JoinSet::new();
    servers.spawn(simulator.clone().serve(listener, std::future::pending()));

    let mut killed_at = Vec::new();
    for kill in 0..KILLS {
        let mut child = serve(&file);
        let calls = rng.usize(5..60);
        let before = simulator.requests().len();
        until("the process has made its calls", || {
            simulator.requests().len() >= before + calls
        })
        .await;
        // The very moment is chance: between two calls, inside a transaction, in the middle of a commit.
        tokio::time::sleep(Duration::from_micros(rng.u64(..30_000))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        killed_at.push(Clock::system().now());
        tell(format!("seed {seed}, kill {kill} after {calls} calls"));
    }

    simulator.set_faults(Faults::default());
    let mut child = serve(&file);
    let data = dir.path().join("data");
    // Entries go on arriving, so the end is a moment: everything that had happened by then, some seconds later.
    let end = Clock::system().now();
    let store = || Store::open_beside(&data).unwrap();
    until("everything until then has had its last sweep", || {
        let store = store();
        let range = Window::new(end - TimeDelta::days(5) + TimeDelta::seconds(120), end);
        simulator.sources().iter().all(|source| {
            let Ok(progress) = store.progress(source) else {
                return false;
            };
            let complete: Vec<Sealed> = progress
                .proven
                .iter()
                .filter(|piece| piece.is_complete(&SWEEPS))
                .cloned()
                .collect();
            open_parts(&complete, range).is_empty()
        })
    })
    .await;
    stop(&mut child);

    let store = store();
    let events = store
        .events_after(Seq::ZERO, usize::MAX >> 1, usize::MAX)
        .unwrap();
    let mut late = 0;
    for source in simulator.sources() {
        let shown = simulator.entries(&source, end);
        assert!(!shown.is_empty(), "{source} has nothing to lose");
        let lateness = store.lateness(&source).unwrap();
        late += lateness.map_or(0, |lateness| lateness.entries);
        let mut held: Vec<&str> = events
            .iter()
            .filter(|event| event.source == source)
            .map(|event| event.entry.get())
            .collect();
        let total = held.len();
        held.sort_unstable();
        held.dedup();
        assert_eq!(
            held.len(),
            total,
            "seed {seed}: {source} holds entries twice"
        );
        let lost: Vec<_> = shown
            .iter()
            .filter(|text| held.binary_search(&text.as_str()).is_err())
            .collect();
        assert!(
            lost.is_empty(),
            "seed {seed}: {source} lost {} of {}: {:#?}",
            lost.len(),
            shown.len(),
            lost.first()
        );
    }
    let snapshot = Index::open_beside(&data, store.log_id()).unwrap();
    let asked = Asked::everything(Arc::new(snapshot).into());
    assert_eq!(
        asked.view.seq(),
        store.head(),
        "the index was not brought up to date by the orderly stop"
    );
    assert_eq!(
        asked.count(&Query::All, Range::default()).unwrap(),
        store.head().0
    );
    let waits = no_call_but_those_under_way(&simulator.requests(), &killed_at);
    Seen { late, waits }
}

/// No call is begun while told to wait, but for those that were under way when that was said, and for what a process was
/// told that was killed before it could write it down. Gives how often somebody was told to.
fn no_call_but_those_under_way(requests: &[SeenRequest], killed_at: &[DateTime<Utc>]) -> usize {
    let mut told_at = None;
    let mut waits = 0;
    for request in requests {
        if !request.while_told_to_wait {
            if request.status == 429 {
                told_at = Some(request.at);
                waits += 1;
            }
            continue;
        }
        let told_at = told_at.expect("nobody was told to wait");
        let is_near = |at: DateTime<Utc>| at - told_at < UNDER_WAY;
        let is_forgotten = killed_at.iter().any(|at| *at >= told_at && is_near(*at));
        assert!(
            is_near(request.at) || is_forgotten,
            "told at {told_at} to wait, and yet: {request:?}"
        );
    }
    waits
}

/// Asks the process to stop, and sees that it does so in order.
fn stop(child: &mut Child) {
    let told = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(told.success());
    let status = child.wait().unwrap();
    assert!(status.success(), "the service ended with {status}");
}
