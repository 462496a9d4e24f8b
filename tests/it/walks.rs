//! Long walks: a cursor while events arrive, and an export of a million events by the real program.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use orgtrail::engine::{Order, Range, Scope};
use orgtrail::event::AuditEvent;
use orgtrail::position::Seq;
use orgtrail::query::Query;
use orgtrail::search::{self, Export, Question, SearchError, Tail};
use reqwest::StatusCode;

use crate::engine_queries::Asked;
use crate::fixture_log::{Desk, account};
use crate::reference::now;
use crate::{skip_slow_tests, tell};

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(900);

/// An entry of some second of a year; many share one.
fn entry(n: u64, rng: &mut Rng) -> String {
    let (month, day) = (rng.u32(1..=12), rng.u32(1..=28));
    let (hour, minute, second) = (rng.u32(0..24), rng.u32(0..60), rng.u32(0..3));
    let time = format!("2025-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    let (actor, product) = (rng.u32(0..500), rng.u32(0..20));
    format!(
        r#"{{"id":"{n}","action":{{"time":"{time}","type":"update"}},"actor":{{"email":"user{actor}@example.com"}},"resource":{{"product":"product{product}"}}}}"#
    )
}

fn entries(range: std::ops::Range<u64>, rng: &mut Rng) -> Vec<String> {
    range.map(|n| entry(n, rng)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_shows_each_event_held_at_the_first_page_once_in_order_while_others_arrive() {
    let (held, arriving, limit) = if skip_slow_tests() {
        (4_000_u64, 400_u64, 50)
    } else {
        (200_000, 20_000, 1_000)
    };
    let seed = 20_261_125;
    tell(format!("seed {seed}"));
    let mut rng = Rng::with_seed(seed);
    let mut desk = Desk::new().await;
    desk.keep(&account(), &entries(0..held, &mut rng));
    desk.search_all();
    let mut n = held;
    for order in [Order::Descending, Order::Ascending] {
        let question = Question {
            query: Query::All,
            range: Range::default(),
            order,
        };
        let held = desk.store.head().0;
        // Between each page and the next.
        let breaks = held.div_ceil(limit as u64) - 1;
        let mut shown: Vec<(i64, u64)> = Vec::new();
        let mut cursor = None;
        loop {
            let Asked { view, caller } = Asked::index(&desk.index);
            let page = search::page(
                &desk.store,
                &view,
                &caller,
                &question,
                now(),
                cursor.as_deref(),
                limit,
            );
            let page = page.unwrap();
            let events = page.events.iter();
            shown.extend(events.map(|event| (event.ordered_at().timestamp_micros(), event.seq.0)));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
            let some = entries(n..n + (arriving / 2).div_ceil(breaks), &mut rng);
            n += some.len() as u64;
            desk.keep(&account(), &some);
            desk.search_all();
        }
        let in_order = |pair: &[(i64, u64)]| match order {
            Order::Ascending => pair[0] < pair[1],
            Order::Descending => pair[0] > pair[1],
        };
        assert!(shown.windows(2).all(in_order));
        let places: HashSet<u64> = shown.iter().map(|(_, seq)| *seq).collect();
        assert_eq!(places, (1..=held).collect());
    }
    assert!(n >= held + arriving, "{} arrived", n - held);
    whole_walks(&desk, n);
}

/// An export and a tail of everything, which is more than is looked up at once.
fn whole_walks(desk: &Desk, n: u64) {
    let question = Question {
        query: Query::All,
        range: Range::default(),
        order: Order::Ascending,
    };
    let Asked { view, caller } = Asked::index(&desk.index);
    let mut tail = Tail::new(desk.store.clone(), question.clone(), Seq(0));
    let tailed = pieces(|| tail.next_events(&view, &caller));
    assert_eq!(tailed, (1..=n).collect::<Vec<_>>());
    let mut export = Export::new(desk.store.clone(), view, Scope::everything(), question).unwrap();
    let mut exported = pieces(|| export.next_events(None));
    exported.sort_unstable();
    assert_eq!(exported, tailed);
}

/// The places of all events that come piece by piece.
fn pieces(mut next: impl FnMut() -> Result<Vec<AuditEvent>, SearchError>) -> Vec<u64> {
    let mut places = Vec::new();
    loop {
        let events = next().unwrap();
        if events.is_empty() {
            return places;
        }
        places.extend(events.iter().map(|event| event.seq.0));
    }
}

/// A running program on a data directory, with no upstream to reach.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    async fn start(dir: &Path) -> Self {
        // Free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let file = dir.join("orgtrail.toml");
        let text = format!(
            "data_dir = '{}'\n[http]\nlisten = \"127.0.0.1:{port}\"\nauth = \"none\"\n\
             [upstream]\nbase_url = \"http://127.0.0.1:9/client/v4\"\ntoken_env = \"ORGTRAIL_TEST_TOKEN\"\n\
             [[accounts]]\nid = \"f00d\"\n",
            dir.join("data").display()
        );
        std::fs::write(&file, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_orgtrail"))
            .args(["serve", "--config"])
            .arg(&file)
            .env("ORGTRAIL_TEST_TOKEN", "any")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let program = Self { child, url };
        let begun = Instant::now();
        loop {
            let ready = reqwest::get(format!("{}/readyz", program.url)).await;
            if ready.is_ok_and(|ready| ready.status() == StatusCode::OK) {
                return program;
            }
            assert!(begun.elapsed() < DEADLINE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the process holds in memory apart from mapped files, in KiB.
    fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_events_are_exported_in_constant_memory() {
    if skip_slow_tests() {
        return;
    }
    const EVENTS: u64 = 1_000_000;
    /// What an export may take beyond what the process held before, in KiB.
    const MOST_MORE: u64 = 128 * 1024;
    let mut rng = Rng::with_seed(1);
    let mut desk = Desk::new().await;
    for from in (0..EVENTS).step_by(50_000) {
        desk.keep(&account(), &entries(from..from + 50_000, &mut rng));
        desk.search_all();
    }
    let dir = desk.close().await;
    let program = Program::start(dir.path()).await;
    for format in ["ndjson", "csv"] {
        let before = program.memory_kib();
        let begun = Instant::now();
        let mut answer = reqwest::get(format!("{}/v1/export?format={format}", program.url))
            .await
            .unwrap();
        let (mut lines, mut most) = (0, before);
        while let Some(chunk) = answer.chunk().await.unwrap() {
            lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
            most = most.max(program.memory_kib());
        }
        tell(format!(
            "{format}: {before} KiB before, {most} KiB at most, {:?}",
            begun.elapsed()
        ));
        assert_eq!(lines, EVENTS + u64::from(format == "csv"));
        assert!(most < before + MOST_MORE, "from {before} to {most} KiB");
    }
}
