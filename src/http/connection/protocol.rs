//! HTTP/1.1 and HTTP/2 on one connection, with their limits.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::exchange::{Busy, Exchange, Tracked};
use crate::http::panics::Panics;
use crate::sync::lock;

/// The times after which a connection is closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionTimeouts {
    /// For the handshake of TLS.
    pub(crate) handshake: Duration,
    /// For receiving the head of a request, from the end of the answer before it; so it closes idle connections, too.
    pub(crate) request_header: Duration,
    /// For a write during which the client reads nothing.
    pub(crate) write_stall: Duration,
}

/// The most bytes of a request's head that are read: longer addresses and headers are refused.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// The same for HTTP/2, where each header counts for 32 bytes more.
const MAX_HEADER_LIST_BYTES: u32 = 128 * 1024;

/// The most requests at once on one connection of HTTP/2. A page asks a dozen questions.
const MAX_STREAMS: u32 = 64;

/// The most requests of one connection that were taken back before they were begun; beyond it, the connection is closed.
const MAX_PENDING_RESETS: usize = 20;

/// The most requests of one connection that were refused for an error of the client; beyond it, the connection is closed.
const MAX_ERROR_RESETS: usize = 128;

/// The most bytes of requests' bodies that a client may send ahead: of one request, and of a connection. A body has 64 KiB at most.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// The most bytes of one answer that are kept for a client that does not take them.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How often a client of HTTP/2 is asked whether it is still there, and how long it has for the answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WITHIN: Duration = Duration::from_secs(20);

/// The bounds of how often a connection of HTTP/2 is looked at.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(5);
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(10);

/// Answers on a connection of HTTP/1.1 until it ends, is closed, or has answered what is under way at the `stop`.
pub(super) async fn answer_http1(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    client: &Arc<Client>,
    timeouts: ConnectionTimeouts,
    stop: &CancellationToken,
) -> hyper::Result<()> {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.request_header)
        .max_buf_size(MAX_HEAD_BYTES);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| answer(router.clone(), Exchange::on_http1(client), request));
    let mut answering = pin!(protocol.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = &mut answering => ended,
        () = client.closing().cancelled() => Ok(()),
        () = stop.cancelled() => {
            answering.as_mut().graceful_shutdown();
            tokio::select! {
                ended = answering => ended,
                () = client.closing().cancelled() => Ok(()),
            }
        }
    }
}

/// The same for HTTP/2, on which requests are answered side by side.
///
/// A client of HTTP/2 can read nothing and keep the connection alive all the same. So it is watched how long the connection is
/// idle, and how long each answer waits for its client. An answer that waits too long is reset; when all do, the connection is closed.
pub(super) async fn answer_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    client: &Arc<Client>,
    timeouts: ConnectionTimeouts,
    stop: &CancellationToken,
    panics: &Panics,
) -> hyper::Result<()> {
    let router = TowerToHyperService::new(router);
    let own = Arc::clone(client);
    // Dropped at the end of the connection, and all of its requests with it.
    let requests = StreamTasks::new(panics.clone());
    let tasks = requests.clone();
    let service = service_fn(move |request| {
        let exchange = Exchange::on_http2(&own);
        // The task of this request is spawned next.
        tasks.end_next_by(exchange.ending().clone());
        answer(router.clone(), exchange, request)
    });
    let protocol = http2_builder(requests.clone());
    let mut answering = pin!(protocol.serve_connection(TokioIo::new(stream), service));
    let mut look = tokio::time::interval(
        (timeouts.request_header.min(timeouts.write_stall) / 4)
            .clamp(LOOK_AT_MOST_EVERY, LOOK_AT_LEAST_EVERY),
    );
    let mut ending_since: Option<Instant> = None;
    loop {
        let is_ending = ending_since.is_some();
        let is_idle = tokio::select! {
            ended = &mut answering => return ended,
            () = client.closing().cancelled() => return Ok(()),
            () = stop.cancelled(), if !is_ending => true,
            _ = look.tick() => is_idle(client, timeouts.request_header),
        };
        if client.end_stalled(timeouts.write_stall) {
            return Ok(());
        }
        match ending_since {
            None if is_idle => {
                ending_since = Some(Instant::now());
                answering.as_mut().graceful_shutdown();
            }
            Some(since)
                if client.idle_since().is_some() && since.elapsed() >= timeouts.write_stall =>
            {
                return Ok(());
            }
            _ => {}
        }
    }
}

fn is_idle(client: &Client, longest: Duration) -> bool {
    let idle = client.idle_since();
    idle.is_some_and(|since| since.elapsed() >= longest)
}

fn http2_builder(requests: StreamTasks) -> http2::Builder<StreamTasks> {
    let mut protocol = http2::Builder::new(requests);
    protocol
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN);
    protocol
}

/// Answers one request.
fn answer(
    router: TowerToHyperService<Router>,
    exchange: Arc<Exchange>,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Tracked>, Infallible>> {
    let extensions = request.extensions_mut();
    extensions.insert(Arc::clone(exchange.client()));
    extensions.insert(Arc::clone(&exchange));
    let busy = Busy::of(exchange);
    async move {
        let answer = router.call(request).await?;
        Ok(answer.map(|body| Tracked::new(body, busy)))
    }
}

/// The requests of a connection of HTTP/2 that are being answered: each is a task that ends with the connection at the latest.
#[derive(Clone)]
struct StreamTasks {
    tasks: Arc<Mutex<JoinSet<()>>>,
    /// What ends the task that is spawned next.
    next_end: Arc<Mutex<CancellationToken>>,
    panics: Panics,
}

impl StreamTasks {
    fn new(panics: Panics) -> Self {
        Self {
            tasks: Arc::default(),
            next_end: Arc::default(),
            panics,
        }
    }

    fn end_next_by(&self, end: CancellationToken) {
        *lock(&self.next_end) = end;
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for StreamTasks {
    fn execute(&self, request: F) {
        let mut tasks = lock(&self.tasks);
        while let Some(ended) = tasks.try_join_next() {
            self.panics.count_if(&ended);
        }
        let end = std::mem::take(&mut *lock(&self.next_end));
        tasks.spawn(async move {
            // What is dropped before its end is a stream that is reset.
            tokio::select! {
                _ = request => {}
                () = end.cancelled() => {}
            }
        });
    }
}
