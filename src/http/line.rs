//! The line to each client: one that does not take what it is sent is closed, and so is one that does not come to the point.
//!
//! Answers are not made faster than they are taken, so a client that stops reading would keep its answer, and a snapshot of
//! the index with it, for as long as it likes; and a stop of the service would wait for it. Only the line sees that nothing
//! moves any more.
//!
//! The number of connections is bounded, because each takes a handle that the log and the index may need. At the bound the
//! connection that is idle longest is closed for the new one.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError, Weak};
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

use super::problem::Panics;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// To say what it asks, from when the line is free for it; this ends idle lines, too.
    pub(super) hearing: Duration,
    /// Before it takes some of what it is sent.
    pub(super) stalling: Duration,
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
    (patience, most): (Patience, usize),
    panics: Panics,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let mut lines = JoinSet::new();
    let clients = Clients::default();
    let mut logged: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            // What has ended is let go of.
            Some(ended) = lines.join_next() => {
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
                    warn!(error = %error, connections = lines.len(), "Connections cannot be accepted; idle ones are closed.");
                }
                clients.close_idlest();
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        if lines.len() >= most {
            // When all are being answered, the new one is refused.
            if !clients.close_idlest() {
                debug!(
                    connections = most,
                    "A connection is refused: all are in use."
                );
                continue;
            }
            if let Ok(Some(ended)) = tokio::time::timeout(CLOSED_WITHIN, lines.join_next()).await {
                panics.count_if(&ended);
            }
        }
        // A tail's messages are small, and wait for nothing.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(error = %error, "A client's line sends in its own time.");
        }
        let client = clients.add(address.ip(), cut.child_token());
        let line = Line::new(stream, patience.stalling, &client.close);
        let answering = answer_one(line, router.clone(), client, patience, stop.clone());
        lines.spawn(answering);
    }
    drop(listener);
    while let Some(ended) = lines.join_next().await {
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
    line: Line<TcpStream>,
    router: Router,
    client: Arc<Client>,
    patience: Patience,
    stop: CancellationToken,
) {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(patience.hearing)
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
    let mut answering = pin!(protocol.serve_connection(TokioIo::new(line), service));
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
        debug!(error = %error, "A client's line broke off.");
    }
}

/// The clients that are connected.
#[derive(Default)]
struct Clients(Mutex<Vec<Weak<Client>>>);

impl Clients {
    fn add(&self, address: IpAddr, close: CancellationToken) -> Arc<Client> {
        let client = Arc::new(Client {
            address,
            close,
            use_: Mutex::new(Use {
                requests: 0,
                free_since: Instant::now(),
            }),
        });
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(&client));
        client
    }

    /// Closes the connection that is idle longest; says whether any was idle.
    fn close_idlest(&self) -> bool {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

/// One connection, as those see it who answer on it.
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
    /// Where it is connected from.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Closes the connection at once; what is being answered is called off.
    pub(super) fn close(&self) {
        self.close.cancel();
    }

    /// Since when nothing is answered; `None` while something is.
    fn idle_since(&self) -> Option<Instant> {
        let used = self.use_.lock().unwrap_or_else(PoisonError::into_inner);
        (used.requests == 0).then_some(used.free_since)
    }

    fn count(&self, change: impl FnOnce(usize) -> usize) {
        let mut used = self.use_.lock().unwrap_or_else(PoisonError::into_inner);
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

/// One line. It ends when its client takes nothing of what it is sent for as long as `stall`, or when `cut` is cancelled.
struct Line<S> {
    stream: S,
    stall: Duration,
    /// Set while a write waits for the client.
    patience: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Line<S> {
    fn new(stream: S, stall: Duration, cut: &CancellationToken) -> Self {
        Self {
            stream,
            stall,
            patience: None,
            cut: Box::pin(cut.clone().cancelled_owned()),
        }
    }

    /// A write's result; an error when it has waited too long, or the line was cut meanwhile.
    fn or_end<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.patience = None;
            return written;
        }
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.stall)));
        if patience.as_mut().poll(context).is_ready() || self.is_cut(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    fn is_cut(&mut self, context: &mut Context<'_>) -> bool {
        self.cut.as_mut().poll(context).is_ready()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        let read = Pin::new(&mut line.stream).poll_read(context, buffer);
        if read.is_pending() && line.is_cut(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let written = Pin::new(&mut line.stream).poll_write(context, bytes);
        line.or_end(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let written = Pin::new(&mut line.stream).poll_write_vectored(context, slices);
        line.or_end(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        let flushed = Pin::new(&mut line.stream).poll_flush(context);
        line.or_end(flushed, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        let shut = Pin::new(&mut line.stream).poll_shutdown(context);
        line.or_end(shut, context)
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
        let mut line = Line::new(ours, SOON, &cut);
        let (sent, ()) = tokio::join!(line.write_all(b"more than fits"), async {
            let mut taken = [0; 14];
            theirs.read_exact(&mut taken).await.unwrap();
            assert_eq!(&taken, b"more than fits");
        });
        sent.unwrap();
        let stalled = line.write_all(b"more than fits").await.unwrap_err();
        assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_cut_ends_both_directions() {
        let (ours, _theirs) = duplex(4);
        let cut = CancellationToken::new();
        let (mut reading, mut writing) = tokio::io::split(Line::new(ours, NEVER, &cut));
        let mut byte = [0; 1];
        let (read, written, ()) = tokio::join!(
            reading.read_exact(&mut byte),
            writing.write_all(b"more than fits"),
            async { cut.cancel() }
        );
        assert!(read.is_err() && written.is_err());
    }
}
