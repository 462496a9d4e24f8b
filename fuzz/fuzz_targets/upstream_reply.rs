//! Whatever upstream answers is a page or an error: the client reads it from a real socket.

#![no_main]

use std::sync::{Arc, LazyLock, Mutex};

use chrono::TimeDelta;
use libfuzzer_sys::fuzz_target;
use orgtrail::clock::Clock;
use orgtrail::event::Arrival;
use orgtrail::position::{Source, Window};
use orgtrail::upstream::{Quota, ReadToken, Timeouts, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What the server answers next.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static UPSTREAM: LazyLock<(Runtime, Upstream, Clock)> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let base_url = format!(
        "http://{}/client/v4",
        listener.local_addr().expect("an address")
    );
    runtime.spawn(async move {
        while let Ok((line, _)) = listener.accept().await {
            tokio::spawn(answer_all(line));
        }
    });
    let clock = Clock::system();
    let quota = Quota::new(100_000_000, None, clock.steady());
    let token: ReadToken = Arc::new(|| Ok("any".into()));
    let upstream = Upstream::new(
        base_url.parse().expect("a URL"),
        token,
        quota,
        clock.clone(),
        Timeouts::default(),
    );
    (runtime, upstream.expect("a client"), clock)
});

/// Answers one request after the other. Each is small and comes at once.
async fn answer_all(mut line: TcpStream) {
    let mut request = vec![0; 8_192];
    while line.read(&mut request).await.is_ok_and(|read| read > 0) {
        let answer = ANSWER.lock().expect("an answer").clone();
        if line.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let (runtime, upstream, clock) = &*UPSTREAM;
    let Some((first, body)) = data.split_first() else {
        return;
    };
    // No 429: it would hold back the calls after it.
    let status = [
        "200 OK",
        "400 Bad Request",
        "403 Forbidden",
        "502 Bad Gateway",
    ][usize::from(first % 4)];
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    *ANSWER.lock().expect("an answer") = answer;
    let now = clock.now();
    let window = Window::new(now - TimeDelta::hours(1), now);
    let source = Source::account("a").expect("a source");
    let permit = loop {
        if let Ok(permit) = upstream.quota().take(clock.steady()) {
            break permit;
        }
    };
    let page = runtime.block_on(upstream.fetch_log_page(permit, &source, window, None, 1_000));
    if let Ok(page) = page {
        for entry in page.entries {
            let _ = Arrival::read(entry);
        }
    }
});
