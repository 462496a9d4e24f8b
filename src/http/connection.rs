//! Closes connections whose client reads too slowly, or takes too long to send a request.
//!
//! Answers are made as fast as they are read. So a client that stops reading would keep its answer, and a snapshot of the index
//! with it, for any time, and would delay a stop of the service. Only the connection notices that no bytes move any more.
//!
//! The number of connections is bounded, because each takes a handle that the log and the index may need. At the bound the
//! connection that is idle longest is closed for the new one.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::{debug, warn};

use super::panics::Panics;
use crate::sync::lock;

/// The times after which a connection is closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionTimeouts {
    /// For receiving the head of a request, from the end of the answer before it; so it closes idle connections, too.
    pub(super) request_header: Duration,
    /// For a write during which the client reads nothing.
    pub(super) write_stall: Duration,
}

/// The most bytes of a request's head that are read: longer addresses and headers are refused.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// How long a new client waits for the end of the connection that is closed for it.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// How long to wait after a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How often it is logged that connections cannot be accepted.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Accepts connections until `stop`, at most `most` at once; then waits until what is being answered is finished, or `cut`.
pub(super) async fn answer(
    listener: TcpListener,
    router: Router,
    (timeouts, most): (ConnectionTimeouts, usize),
    panics: Panics,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let connections = Connections::default();
    let mut logged: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            // Reap finished connections.
            Some(ended) = tasks.join_next() => {
                panics.count_if(&ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_client(&error) => continue,
            Err(error) => {
                if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                    logged = Some(Instant::now());
                    warn!(error = %error, connections = tasks.len(), "Connections cannot be accepted; idle ones are closed.");
                }
                connections.close_longest_idle();
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        if tasks.len() >= most {
            // When all are being answered, the new one is refused.
            if !connections.close_longest_idle() {
                debug!(
                    connections = most,
                    "A connection is refused: all are in use."
                );
                continue;
            }
            if let Ok(Some(ended)) = tokio::time::timeout(CLOSED_WITHIN, tasks.join_next()).await {
                panics.count_if(&ended);
            }
        }
        // A tail's messages are small, and wait for nothing.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(error = %error, "TCP_NODELAY could not be set.");
        }
        let client = connections.add(address.ip(), cut.child_token());
        let connection = Connection::new(stream, timeouts.write_stall, &client.close);
        let answering = answer_one(connection, router.clone(), client, timeouts, stop.clone());
        tasks.spawn(answering);
    }
    drop(listener);
    while let Some(ended) = tasks.join_next().await {
        panics.count_if(&ended);
    }
}

/// Whether an error of accepting is about the one connection only.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

async fn answer_one(
    connection: Connection<TcpStream>,
    router: Router,
    client: Arc<Client>,
    timeouts: ConnectionTimeouts,
    stop: CancellationToken,
) {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.request_header)
        .max_buf_size(MAX_HEAD_BYTES);
    let (router, close) = (TowerToHyperService::new(router), client.close.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&client));
        let busy = Busy::of(Arc::clone(&client));
        let answer = router.call(request);
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| Tracked { body, _busy: busy }))
        }
    });
    let mut answering = pin!(protocol.serve_connection(TokioIo::new(connection), service));
    let ended = tokio::select! {
        ended = &mut answering => ended,
        () = close.cancelled() => return,
        () = stop.cancelled() => {
            answering.as_mut().graceful_shutdown();
            tokio::select! {
                ended = answering => ended,
                () = close.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(error = %error, "A connection ended with an error.");
    }
}

/// The open connections.
#[derive(Default)]
struct Connections(Mutex<Vec<Weak<Client>>>);

impl Connections {
    fn add(&self, address: IpAddr, close: CancellationToken) -> Arc<Client> {
        let client = Arc::new(Client {
            address,
            close,
            use_: Mutex::new(Use {
                requests: 0,
                free_since: Instant::now(),
            }),
        });
        let mut clients = lock(&self.0);
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(&client));
        client
    }

    /// Closes the connection that is idle longest; says whether any was idle.
    fn close_longest_idle(&self) -> bool {
        let clients = lock(&self.0);
        let open = clients.iter().filter_map(Weak::upgrade);
        let idle = open
            .filter(|client| !client.close.is_cancelled())
            .filter_map(|client| Some((client.idle_since()?, client)));
        let idlest = idle.min_by_key(|(since, _)| *since);
        if let Some((_, client)) = &idlest {
            client.close();
        }
        idlest.is_some()
    }
}

/// One connection, for the handlers that answer on it.
pub(super) struct Client {
    address: IpAddr,
    close: CancellationToken,
    use_: Mutex<Use>,
}

struct Use {
    /// How many requests are being answered.
    requests: usize,
    /// Since when there is none, or the connection is open.
    free_since: Instant,
}

impl Client {
    /// The address of its client.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Closes the connection at once; what is being answered is cancelled.
    pub(super) fn close(&self) {
        self.close.cancel();
    }

    /// Since when it is idle; `None` while a request is being answered.
    fn idle_since(&self) -> Option<Instant> {
        let used = lock(&self.use_);
        (used.requests == 0).then_some(used.free_since)
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut used = lock(&self.use_);
        used.requests = change(used.requests);
        used.free_since = Instant::now();
    }
}

/// A request that is being answered, until its answer's body is dropped.
struct Busy(Arc<Client>);

impl Busy {
    fn of(client: Arc<Client>) -> Self {
        client.count(|requests| requests + 1);
        Self(client)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.count(|requests| requests.saturating_sub(1));
    }
}

/// A body that says as long as it lasts that its connection is not idle.
struct Tracked {
    body: axum::body::Body,
    _busy: Busy,
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// One connection. It ends when its client reads nothing for as long as `stall`, or when `cut` is cancelled.
struct Connection<S> {
    stream: S,
    stall: Duration,
    /// Set while a write waits for the client.
    timeout: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Connection<S> {
    fn new(stream: S, stall: Duration, cut: &CancellationToken) -> Self {
        Self {
            stream,
            stall,
            timeout: None,
            cut: Box::pin(cut.clone().cancelled_owned()),
        }
    }

    /// A write's result; an error when it has waited too long, or the connection was cut meanwhile.
    fn or_end<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timeout = None;
            return written;
        }
        let timeout = self
            .timeout
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.stall)));
        if timeout.as_mut().poll(context).is_ready() || self.is_cut(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    fn is_cut(&mut self, context: &mut Context<'_>) -> bool {
        self.cut.as_mut().poll(context).is_ready()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        let read = Pin::new(&mut connection.stream).poll_read(context, buffer);
        if read.is_pending() && connection.is_cut(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let written = Pin::new(&mut connection.stream).poll_write(context, bytes);
        connection.or_end(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let written = Pin::new(&mut connection.stream).poll_write_vectored(context, slices);
        connection.or_end(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        let flushed = Pin::new(&mut connection.stream).poll_flush(context);
        connection.or_end(flushed, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        let shut = Pin::new(&mut connection.stream).poll_shutdown(context);
        connection.or_end(shut, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const NEVER: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up_and_one_that_takes_a_little_is_not() {
        let (ours, mut theirs) = duplex(4);
        let cut = CancellationToken::new();
        let mut connection = Connection::new(ours, SOON, &cut);
        let (sent, ()) = tokio::join!(connection.write_all(b"more than fits"), async {
            let mut taken = [0; 14];
            theirs.read_exact(&mut taken).await.unwrap();
            assert_eq!(&taken, b"more than fits");
        });
        sent.unwrap();
        let stalled = connection.write_all(b"more than fits").await.unwrap_err();
        assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_cut_ends_both_directions() {
        let (ours, _theirs) = duplex(4);
        let cut = CancellationToken::new();
        let (mut reading, mut writing) = tokio::io::split(Connection::new(ours, NEVER, &cut));
        let mut byte = [0; 1];
        let (read, written, ()) = tokio::join!(
            reading.read_exact(&mut byte),
            writing.write_all(b"more than fits"),
            async { cut.cancel() }
        );
        assert!(read.is_err() && written.is_err());
    }
}
