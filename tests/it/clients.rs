//! Clients that want too much: of the processor, of connections, of memory, of the machine they are on. Whoever else asks is
//! answered.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use orgtrail::http::Limits;
use orgtrail_simulator::SimConfig;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::form_urlencoded::byte_serialize;

use crate::backfill::{Shell, shown};
use crate::desk::{Desk, account};
use crate::harness::{Client, Upstream};
use crate::tell;

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_expressions_hold_nobody_up() {
    let mut desk = Desk::new().await;
    // Each class has nearly all characters there are, and each of them is looked up in both letter cases.
    let large = format!("/(?i){}/", "[^a]".repeat(250));
    let query = [large.as_str(); 8].join(" OR ");
    let query: String = byte_serialize(query.as_bytes()).collect();
    let path = format!("/v1/count?q={query}");
    let begun = Instant::now();
    let large = join_all((0..8).map(|_| desk.ask(&path)));
    let others = async {
        for _ in 0..20 {
            let begun = Instant::now();
            desk.get("/healthz").await;
            assert!(
                begun.elapsed() < Duration::from_secs(1),
                "{:?}",
                begun.elapsed()
            );
        }
    };
    let (answers, ()) = tokio::join!(large, others);
    tell(format!("refused after {:?}", begun.elapsed()));
    for (status, body) in answers {
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["at"], 0, "{body}");
        assert!(body.contains("more than 64 classes"), "{body}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_patterns_of_one_question_are_bounded_together() {
    let mut desk = Desk::new().await;
    desk.keep(&account(), &[json!({"note": "x"}).to_string()]);
    desk.search_all();
    // One of them is small enough.
    let one = |i: usize| format!("/.*a.{{9}}{i}/");
    let count = |query: String| {
        let query: String = byte_serialize(query.as_bytes()).collect();
        format!("/v1/count?q={query}")
    };
    assert_eq!(desk.get(&count(one(1))).await["count"], 0);
    let all: Vec<String> = (0..64).map(one).collect();
    let (status, body) = desk.ask(&count(all.join(" OR "))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert!(
        body.contains("together would take too much memory"),
        "{body}"
    );
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_is_not_answered_where_no_token_is_needed() {
    let mut desk = Desk::new().await;
    let http = reqwest::Client::new();
    let ask = |site: &'static str| {
        let request = http.get(format!("{}/v1/count", desk.url));
        request.header("Sec-Fetch-Site", site).send()
    };
    for (site, expect) in [
        ("cross-site", StatusCode::FORBIDDEN),
        ("same-origin", StatusCode::OK),
        ("none", StatusCode::OK),
    ] {
        assert_eq!(ask(site).await.unwrap().status(), expect, "{site}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_by_another_name_of_this_machine_is_refused() {
    let mut desk = Desk::new().await;
    for (hosts, expect) in [
        (&["localhost:7070"][..], "200"),
        (&["[::1]:7070"], "200"),
        (&["localhost:80@evil"], "403"),
        (&["[::1"], "403"),
        (&["localh\u{f6}st"], "403"),
        (&["localhost", "evil"], "403"),
    ] {
        let mut connection = Connection::open(&desk.url).await;
        let hosts = hosts.iter().map(|host| format!("Host: {host}\r\n"));
        let request = format!("GET /healthz HTTP/1.1\r\n{}\r\n", hosts.collect::<String>());
        connection.0.write_all(request.as_bytes()).await.unwrap();
        let head = connection.head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {expect}")),
            "{request}{head}"
        );
    }
    desk.stop().await;
}

/// A connection on which requests are made one after the other.
struct Connection(TcpStream);

impl Connection {
    async fn open(url: &str) -> Self {
        let address = url.trim_start_matches("http://");
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn send(&mut self, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    /// Waits until a request is answered: the head of the answer.
    async fn ask(&mut self, path: &str) -> String {
        self.send(path).await;
        self.head().await
    }

    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if let Some(length) = length.filter(|length| length.len() < 5) {
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).await.unwrap();
        }
        head
    }

    /// Reads until the connection is closed; gives how many bytes came.
    async fn read_to_end(&mut self) -> usize {
        let mut rest = Vec::new();
        // Whether it ends or breaks off depends on what was on its way.
        let read = self.0.read_to_end(&mut rest);
        let _ended = tokio::time::timeout(DEADLINE, read).await.unwrap();
        rest.len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_that_is_idle_longest_is_closed_for_a_new_one() {
    let limits = Limits {
        connections: 3,
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    let mut tail = Connection::open(&desk.url).await;
    assert!(tail.ask("/v1/events/stream").await.contains("200 OK"));
    let mut first = Connection::open(&desk.url).await;
    first.ask("/healthz").await;
    let mut second = Connection::open(&desk.url).await;
    second.ask("/healthz").await;
    first.ask("/healthz").await;
    // The tail was there before, but is not idle.
    let mut third = Connection::open(&desk.url).await;
    assert!(third.ask("/healthz").await.contains("200 OK"));
    assert_eq!(second.read_to_end().await, 0);
    assert!(first.ask("/healthz").await.contains("200 OK"));
    desk.keep(&account(), &[json!({"id": "1"}).to_string()]);
    desk.search_all();
    let mut said = [0; 1];
    tail.0.read_exact(&mut said).await.unwrap();
    desk.stop().await;
}

/// Entries that make a large page.
fn large_entries(n: usize) -> Vec<String> {
    let filler = "x".repeat(100_000);
    (0..n)
        .map(|n| json!({"id": format!("n{n}"), "filler": filler}).to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_take_bounded_memory() {
    let limits = Limits {
        unread: 25_000_000,
        slow: Duration::from_secs(3_600),
        room_within: Duration::from_millis(100),
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    desk.keep(&account(), &large_entries(110));
    desk.search_all();
    // Each page has ten megabytes: far more than the buffers of a connection hold.
    let page = "/v1/events?limit=100";
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open(&desk.url).await;
        assert!(connection.ask(page).await.contains("200 OK"));
        stalled.push(connection);
    }
    let refused = desk.open(page).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "5");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "urn:orgtrail:problem:unread");
    // What is small needs no room.
    assert_eq!(desk.get("/v1/count").await["count"], 110);
    // An answer that is read gives its room back.
    drop(stalled.pop());
    let begun = Instant::now();
    loop {
        let (status, body) = desk.ask(page).await;
        if status == StatusCode::OK {
            assert!(body.len() > 10_000_000);
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{body}");
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_written_answers_wait_for_room_and_the_others_are_refused_at_once() {
    let limits = Limits {
        unread: 15_000_000,
        slow: Duration::from_secs(3_600),
        // On a slow machine they must not be refused for another reason.
        looking: chrono::TimeDelta::hours(1),
        waiting: Duration::from_secs(3_600),
        quick: Duration::from_secs(3_600),
        room_within: Duration::from_secs(3_600),
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    desk.keep(&account(), &large_entries(110));
    desk.search_all();
    // It takes ten megabytes of the room, and is not read.
    let page = "/v1/events?limit=100";
    let mut stalled = Connection::open(&desk.url).await;
    assert!(stalled.ask(page).await.contains("200 OK"));
    let mut answers: FuturesUnordered<_> = (0..16).map(|_| desk.ask(page)).collect();
    for refused in 0..12 {
        let next = tokio::time::timeout(DEADLINE, answers.next());
        let (status, body) = next
            .await
            .unwrap_or_else(|_| panic!("only {refused} answers are refused"))
            .unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body:.200}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["type"], "urn:orgtrail:problem:unread");
    }
    // Those that wait keep no turn.
    assert_eq!(desk.get("/v1/count").await["count"], 110);
    drop(stalled);
    while let Some((status, body)) = answers.next().await {
        assert_eq!(status, StatusCode::OK, "{body:.200}");
    }
    drop(answers);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_larger_than_all_room_is_refused() {
    let limits = Limits {
        unread: 5_000_000,
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    desk.keep(&account(), &large_entries(110));
    desk.search_all();
    let (status, body) = desk.ask("/v1/events?limit=100").await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body:.200}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["type"], "urn:orgtrail:problem:answer-too-large");
    assert!(body.contains("`limit`"), "{body}");
    let (status, body) = desk.ask("/v1/events?limit=10").await;
    assert_eq!(status, StatusCode::OK, "{body:.200}");
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slowest_reader_is_closed_when_another_answer_needs_its_room() {
    let limits = Limits {
        unread: 15_000_000,
        slow: Duration::from_millis(1),
        ..Limits::default()
    };
    let mut desk = Desk::with_limits(limits).await;
    desk.keep(&account(), &large_entries(110));
    desk.search_all();
    let page = "/v1/events?limit=100";
    let mut stalled = Connection::open(&desk.url).await;
    assert!(stalled.ask(page).await.contains("200 OK"));
    let (status, body) = desk.ask(page).await;
    assert_eq!(status, StatusCode::OK, "{body:.200}");
    assert!(stalled.read_to_end().await < body.len());
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_a_megabyte_is_refused() {
    let mut desk = Desk::new().await;
    let mut connection = Connection::open(&desk.url).await;
    let (mut hearing, mut saying) = connection.0.split();
    let long = format!("GET /v1/count?q={} HTTP/1.1\r\n", "x".repeat(1_000_000));
    let mut said = [0; 12];
    let write = saying.write_all(long.as_bytes());
    // The server may close before it has taken all.
    let (_written, read) = tokio::join!(write, hearing.read_exact(&mut said));
    read.unwrap();
    assert!(
        matches!(&said, b"HTTP/1.1 414" | b"HTTP/1.1 431"),
        "{said:?}"
    );
    assert_eq!(desk.get("/v1/count").await["count"], 0);
    desk.stop().await;
}

/// The program serving, with few files that it may open.
struct Few {
    child: Child,
    client: Client,
    log: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Few {
    fn serve(shell: &Shell, files: u32) -> Self {
        let limited = format!(r#"ulimit -n {files}; exec "$@""#);
        let mut child = Command::new("sh")
            .current_dir(shell.dir())
            .env("ORGTRAIL__HTTP__LISTEN", "127.0.0.1:0")
            .env("RUST_LOG", "orgtrail=info")
            .args([
                "-c",
                &limited,
                "sh",
                env!("CARGO_BIN_EXE_orgtrail"),
                "serve",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let lines = BufReader::new(log).lines();
            lines.map_while(Result::ok).collect()
        });
        let mut says = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut says).unwrap();
        let url = says.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://"), "{says}");
        Self {
            child,
            client: Client::new(url),
            log: Some(log),
        }
    }

    /// Stops it as a supervisor would; gives its log.
    fn stop(mut self) -> Vec<String> {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").arg(id).status();
        assert!(kill.unwrap().success());
        let status = self.child.wait().unwrap();
        let log = self.log.take().unwrap().join().unwrap();
        assert!(status.success(), "{status}: {log:#?}");
        log
    }
}

impl Drop for Few {
    fn drop(&mut self) {
        // When a test failed; otherwise it has ended.
        let _was_running = self.child.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_150_files_and_hundreds_of_idle_clients_everything_goes_on() {
    let upstream = Upstream::new(SimConfig {
        events: 3_000,
        accounts: 4,
        days: 30,
        ..SimConfig::default()
    })
    .await;
    let upstream = Arc::new(upstream);
    let shell = Shell::new(&upstream);
    let few = Few::serve(&shell, 150);
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(Connection::open(&few.client.url).await);
    }
    // Idle clients keep coming while everything is polled, indexed and asked for.
    let begun = Instant::now();
    let expect = shown(&upstream.simulator).len();
    loop {
        for _ in 0..20 {
            idle.push(Connection::open(&few.client.url).await);
        }
        idle.drain(..20);
        assert_eq!(few.client.ask("/healthz").await.0, StatusCode::OK);
        let sources = few.client.get("/v1/sources").await;
        let sources = sources["sources"].as_array().unwrap();
        let is_done = |source: &Value| source["backfill_done"] == true;
        let is_found = few.client.count("").await == expect as u64;
        if is_found && sources.len() == 5 && sources.iter().all(is_done) {
            break;
        }
        assert!(begun.elapsed() < 2 * DEADLINE, "{sources:#?}");
    }
    let log = few.stop();
    for word in [
        "Rebuilding",
        "refused",
        "os error 24",
        "Too many open files",
    ] {
        assert!(
            !log.iter().any(|line| line.contains(word)),
            "{word}: {log:#?}"
        );
    }
    drop(idle);
}
