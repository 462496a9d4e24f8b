//! The bytes of one connection, which ends when its client reads nothing for too long or when it is cut.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// One connection. It ends when its client reads nothing for as long as `stall`, or when `cut` is cancelled.
pub(super) struct Connection<S> {
    stream: S,
    stall: Duration,
    /// Set while a write waits for the client.
    timeout: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Connection<S> {
    pub(super) fn new(stream: S, stall: Duration, cut: &CancellationToken) -> Self {
        Self {
            stream,
            stall,
            timeout: None,
            cut: Box::pin(cut.clone().cancelled_owned()),
        }
    }

    /// What is below.
    pub(super) fn get_ref(&self) -> &S {
        &self.stream
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
