//! The line to each client: one that does not take what it is sent is closed, and so is one that does not come to the point.
//!
//! Answers are not made faster than they are taken, so a client that stops reading would keep its answer, and a snapshot of
//! the index with it, for as long as it likes; and a stop of the service would wait for it. Only the line sees that nothing
//! moves any more.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::debug;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// To say what it asks, from when the line is free for it; this ends idle lines, too.
    pub(super) hearing: Duration,
    /// Before it takes some of what it is sent.
    pub(super) stalling: Duration,
}

/// Takes calls, each on a line of its own, until `stop`; then waits until what is being answered is finished, or `cut`.
pub(super) async fn answer(
    mut listener: TcpListener,
    router: Router,
    patience: Patience,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let mut lines = JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            () = stop.cancelled() => break,
            // What has ended is let go of.
            Some(_) = lines.join_next() => continue,
            accepted = Listener::accept(&mut listener) => accepted,
        };
        // A tail's messages are small, and wait for nothing.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(error = %error, "A client's line sends in its own time.");
        }
        let line = Line::new(stream, patience.stalling, &cut);
        lines.spawn(answer_one(line, router.clone(), patience, stop.clone()));
    }
    drop(listener);
    while lines.join_next().await.is_some() {}
}

async fn answer_one(
    line: Line<TcpStream>,
    router: Router,
    patience: Patience,
    stop: CancellationToken,
) {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(patience.hearing);
    let service = TowerToHyperService::new(router);
    let mut answering = pin!(protocol.serve_connection(TokioIo::new(line), service));
    let ended = tokio::select! {
        ended = &mut answering => ended,
        () = stop.cancelled() => {
            answering.as_mut().graceful_shutdown();
            answering.await
        }
    };
    if let Err(error) = ended {
        debug!(error = %error, "A client's line broke off.");
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
