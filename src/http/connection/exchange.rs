//! One request and its answer, and the body of the answer: a piece at a time, as its client takes them.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use crate::sync::lock;

/// The largest piece of an answer that is given to a connection at once.
const PIECE_BYTES: usize = 64 * 1024;

/// One request and its answer, for the handlers that work on it.
pub(crate) struct Exchange {
    client: Arc<Client>,
    number: u64,
    is_http2: bool,
    /// Ends the answer: on HTTP/2 it alone, on HTTP/1.1 its connection.
    end: CancellationToken,
    /// Whose answer it is.
    holder: Mutex<Arc<str>>,
}

impl Exchange {
    /// The next one of a connection of HTTP/1.1.
    pub(super) fn on_http1(client: &Arc<Client>) -> Arc<Self> {
        Self::new(client, client.closing().clone(), false)
    }

    /// The next one of a connection of HTTP/2.
    pub(super) fn on_http2(client: &Arc<Client>) -> Arc<Self> {
        Self::new(client, client.closing().child_token(), true)
    }

    fn new(client: &Arc<Client>, end: CancellationToken, is_http2: bool) -> Arc<Self> {
        Arc::new(Self {
            client: Arc::clone(client),
            number: client.begin_request(),
            is_http2,
            end,
            holder: Mutex::new(client.address().to_string().into()),
        })
    }

    /// The connection.
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Whose answer it is: the name of its principal, or the address of a client without one.
    pub(crate) fn holder(&self) -> Arc<str> {
        Arc::clone(&lock(&self.holder))
    }

    /// Notes that a principal sends the request.
    pub(crate) fn note_principal(&self, name: &str) {
        *lock(&self.holder) = name.into();
        self.client.note_principal();
    }

    /// Ends the answer at once, and the work for it.
    pub(crate) fn end(&self) {
        self.end.cancel();
    }

    /// What ends it.
    pub(super) fn ending(&self) -> &CancellationToken {
        &self.end
    }
}

/// A request that is being answered, until its answer's body is dropped.
pub(super) struct Busy(Arc<Exchange>);

impl Busy {
    pub(super) fn of(exchange: Arc<Exchange>) -> Self {
        Self(exchange)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.client.end_request(self.0.number);
    }
}

/// The body of an answer, which says as long as it lasts that its connection is not idle.
///
/// On HTTP/2 it lasts until the client has taken all of it: each piece, and the end, wait until the piece before was taken. So an answer
/// that is not taken can be reset by itself.
pub(super) struct Tracked {
    body: axum::body::Body,
    /// What is left of a large piece.
    rest: Bytes,
    /// The piece that the client has not taken yet; on HTTP/2 only.
    given: Option<Arc<Taking>>,
    busy: Busy,
}

impl Tracked {
    pub(super) fn new(body: axum::body::Body, busy: Busy) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            given: None,
            busy,
        }
    }

    fn next_piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(PIECE_BYTES);
        let bytes = self.rest.split_to(length);
        if bytes.is_empty() || !self.busy.0.is_http2 {
            return Frame::data(bytes);
        }
        let taking = Arc::new(Taking::default());
        self.given = Some(Arc::clone(&taking));
        Frame::data(Bytes::from_owner(GivenBytes { bytes, taking }))
    }
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(given) = &self.given {
            std::task::ready!(given.poll(context));
            self.given = None;
        }
        let exchange = Arc::clone(&self.busy.0);
        exchange.client.note_taken(exchange.number);
        if self.rest.is_empty() {
            let frame = match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        exchange.client.note_given(exchange.number, &exchange.end);
        Poll::Ready(Some(Ok(self.next_piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.given.is_none() && self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        let mut whole = SizeHint::new();
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole.set_lower(hint.lower() + rest);
        whole
    }
}

/// Whether a piece was taken.
#[derive(Default)]
struct Taking {
    is_taken: AtomicBool,
    waker: AtomicWaker,
}

impl Taking {
    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.is_taken.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// A piece of an answer, which is taken when it is dropped.
struct GivenBytes {
    bytes: Bytes,
    taking: Arc<Taking>,
}

impl AsRef<[u8]> for GivenBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for GivenBytes {
    fn drop(&mut self) {
        self.taking.is_taken.store(true, Ordering::Release);
        self.taking.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use axum::body::{Body, HttpBody as _};
    use futures_util::FutureExt as _;
    use futures_util::future::poll_fn;

    use super::super::client::Connections;
    use super::*;

    fn client() -> Arc<Client> {
        let address = IpAddr::from([127, 0, 0, 1]);
        Connections::default().add(address, true, CancellationToken::new())
    }

    fn tracked(exchange: Arc<Exchange>, bytes: usize) -> Tracked {
        let body = Body::from(Bytes::from(vec![b'x'; bytes]));
        Tracked::new(body, Busy::of(exchange))
    }

    #[tokio::test]
    async fn on_http2_the_next_piece_waits_until_the_one_before_is_taken() {
        let client = client();
        let exchange = Exchange::on_http2(&client);
        let mut tracked = tracked(exchange, 2 * PIECE_BYTES + 1);
        assert_eq!(
            tracked.size_hint().exact(),
            Some(2 * PIECE_BYTES as u64 + 1)
        );
        for (piece, left) in [(PIECE_BYTES, PIECE_BYTES + 1), (PIECE_BYTES, 1), (1, 0)] {
            let frame = poll_fn(|context| Pin::new(&mut tracked).poll_frame(context)).await;
            let data = frame.unwrap().unwrap().into_data().unwrap();
            assert_eq!(data.len(), piece);
            assert_eq!(tracked.size_hint().exact(), Some(left as u64));
            assert!(!tracked.is_end_stream() && client.waits_since().is_some());
            let next = poll_fn(|context| Pin::new(&mut tracked).poll_frame(context));
            assert!(next.now_or_never().is_none());
            assert!(client.waits_since().is_some());
        }
        let end = poll_fn(|context| Pin::new(&mut tracked).poll_frame(context)).await;
        assert!(end.is_none() && tracked.is_end_stream());
        assert!(client.waits_since().is_none() && client.idle_since().is_none());
        drop(tracked);
        assert!(client.idle_since().is_some());
    }

    #[tokio::test]
    async fn an_answer_of_http2_ends_alone_and_one_of_http1_with_its_connection() {
        let client = client();
        let exchange = Exchange::on_http2(&client);
        exchange.end();
        assert!(exchange.ending().is_cancelled() && !client.closing().is_cancelled());
        let exchange = Exchange::on_http1(&client);
        let mut tracked = tracked(Arc::clone(&exchange), 1);
        let frame = poll_fn(|context| Pin::new(&mut tracked).poll_frame(context)).await;
        assert!(frame.unwrap().is_ok() && tracked.is_end_stream());
        client.end_stalled(Duration::ZERO);
        assert!(client.closing().is_cancelled());
    }
}
