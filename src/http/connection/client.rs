//! The open connections: how long each is idle, and whether its client takes what it is sent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::sync::lock;

/// The largest piece of an answer that is given to a connection at once. HTTP/2 keeps a whole piece for a client that takes a part of it.
const PIECE_BYTES: usize = 64 * 1024;

/// The open connections.
#[derive(Default)]
pub(super) struct Connections(Mutex<Vec<Weak<Client>>>);

impl Connections {
    pub(super) fn add(
        &self,
        address: IpAddr,
        is_tls: bool,
        close: CancellationToken,
    ) -> Arc<Client> {
        let client = Arc::new(Client {
            address,
            is_tls,
            close,
            use_: Mutex::new(Use {
                requests: 0,
                receiving: 0,
                free_since: Instant::now(),
                next: 0,
                given: HashMap::new(),
            }),
        });
        let mut clients = lock(&self.0);
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(&client));
        client
    }

    /// Closes the connection that is idle longest; says whether any was idle.
    pub(super) fn close_longest_idle(&self) -> bool {
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
pub(crate) struct Client {
    address: IpAddr,
    is_tls: bool,
    close: CancellationToken,
    use_: Mutex<Use>,
}

struct Use {
    /// How many requests are being answered.
    requests: usize,
    /// Of how many of them the body has not come yet.
    receiving: usize,
    /// Since when the connection is idle, if it is.
    free_since: Instant,
    /// The number of the next answer.
    next: u64,
    /// The answers of which the client was given a piece and did not ask for the next one yet; since when.
    given: HashMap<u64, Instant>,
}

impl Client {
    /// The address of its client.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Whether several requests are being answered on it at once, as HTTP/2 can.
    pub(crate) fn has_several_requests(&self) -> bool {
        lock(&self.use_).requests > 1
    }

    /// Closes the connection at once; what is being answered is cancelled.
    pub(crate) fn close(&self) {
        self.close.cancel();
    }

    /// What closes it.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.close
    }

    /// Notes that a request's body has not come yet, until the returned value is dropped: so long the request does not keep the
    /// connection from being idle.
    pub(crate) fn receive(self: Arc<Self>) -> Receiving {
        self.change(|used| {
            used.receiving += 1;
            used.free_since = Instant::now();
        });
        Receiving(self)
    }

    /// Since when it is idle; `None` while a request is being answered whose body has come.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let used = lock(&self.use_);
        (used.requests == used.receiving).then_some(used.free_since)
    }

    /// Whether it was given a piece of an answer and has not taken it for longer than `stall`.
    pub(super) fn is_stalled(&self, stall: Duration) -> bool {
        let used = lock(&self.use_);
        used.given.values().any(|since| since.elapsed() >= stall)
    }

    fn change(&self, change: impl FnOnce(&mut Use)) {
        change(&mut lock(&self.use_));
    }
}

/// A request whose body has not come yet.
pub(crate) struct Receiving(Arc<Client>);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.change(|used| {
            used.receiving = used.receiving.saturating_sub(1);
            used.free_since = Instant::now();
        });
    }
}

/// A request that is being answered, until its answer's body is dropped.
pub(super) struct Busy {
    client: Arc<Client>,
    number: u64,
}

impl Busy {
    pub(super) fn of(client: Arc<Client>) -> Self {
        let mut number = 0;
        client.change(|used| {
            number = used.next;
            used.next += 1;
            used.requests += 1;
        });
        Self { client, number }
    }

    /// Notes that a piece of the answer was given to the client, or that the client asks for the next one.
    fn note(&self, is_given: bool) {
        self.client.change(|used| {
            if is_given {
                used.given.insert(self.number, Instant::now());
            } else {
                used.given.remove(&self.number);
            }
        });
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.client.change(|used| {
            used.requests = used.requests.saturating_sub(1);
            used.given.remove(&self.number);
            used.free_since = Instant::now();
        });
    }
}

/// The body of an answer, which says as long as it lasts that its connection is not idle.
pub(super) struct Tracked {
    body: axum::body::Body,
    /// What is left of a large piece.
    rest: Bytes,
    busy: Busy,
}

impl Tracked {
    pub(super) fn new(body: axum::body::Body, busy: Busy) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            busy,
        }
    }

    fn next_piece(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(PIECE_BYTES);
        Frame::data(self.rest.split_to(length))
    }
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.busy.note(false);
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
        self.busy.note(true);
        Poll::Ready(Some(Ok(self.next_piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
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

#[cfg(test)]
mod tests {
    use axum::body::{Body, HttpBody as _};
    use futures_util::future::poll_fn;

    use super::*;

    fn client() -> Arc<Client> {
        let address = IpAddr::from([127, 0, 0, 1]);
        Connections::default().add(address, true, CancellationToken::new())
    }

    #[tokio::test]
    async fn a_large_answer_is_given_in_pieces_and_a_client_that_takes_none_is_noticed() {
        let client = client();
        let whole = Bytes::from(vec![b'x'; 2 * PIECE_BYTES + 1]);
        let busy = Busy::of(Arc::clone(&client));
        let mut tracked = Tracked::new(Body::from(whole), busy);
        assert_eq!(
            tracked.size_hint().exact(),
            Some(2 * PIECE_BYTES as u64 + 1)
        );
        for (piece, left) in [(PIECE_BYTES, PIECE_BYTES + 1), (PIECE_BYTES, 1), (1, 0)] {
            let frame = poll_fn(|context| Pin::new(&mut tracked).poll_frame(context)).await;
            let data = frame.unwrap().unwrap().into_data().unwrap();
            assert_eq!(data.len(), piece);
            assert_eq!(tracked.size_hint().exact(), Some(left as u64));
            assert!(client.is_stalled(Duration::ZERO));
            assert!(!client.is_stalled(Duration::from_secs(3_600)));
        }
        assert!(tracked.is_end_stream() && client.idle_since().is_none());
        drop(tracked);
        assert!(!client.is_stalled(Duration::ZERO) && client.idle_since().is_some());
    }

    #[test]
    fn requests_beside_each_other_are_counted() {
        let client = client();
        let first = Busy::of(Arc::clone(&client));
        assert!(!client.has_several_requests());
        let second = Busy::of(Arc::clone(&client));
        assert!(client.has_several_requests());
        assert!(client.idle_since().is_none());
        let receiving = Arc::clone(&client).receive();
        assert!(client.idle_since().is_none());
        drop(first);
        assert!(client.idle_since().is_some());
        drop((receiving, second));
        assert!(!client.has_several_requests() && client.idle_since().is_some());
    }
}
