//! The open connections: how long each is idle, and whether its client takes what it is sent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::sync::lock;

/// How long a client may let an answer wait and keep its connection although another client needs one.
const MAY_WAIT: Duration = Duration::from_secs(1);

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
            has_principal: AtomicBool::new(false),
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

    /// Closes a connection for another one, of this address or of any: the one that is idle longest. When none is idle, the one whose
    /// client has let an answer wait longest, those without a valid credential first. Says whether there was one.
    pub(super) fn close_one(&self, of: Option<IpAddr>) -> bool {
        let clients = lock(&self.0);
        let open: Vec<_> = clients
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|client| !client.close.is_cancelled())
            .filter(|client| of.is_none_or(|address| address == client.address))
            .collect();
        let idle = open
            .iter()
            .filter_map(|client| Some((client.idle_since()?, client)));
        let idlest = idle.min_by_key(|(since, _)| *since);
        let waiting = open.iter().filter_map(|client| {
            let since = client.waits_since()?;
            (since.elapsed() >= MAY_WAIT).then_some((client.has_principal(), since, client))
        });
        let slowest = waiting.min_by_key(|(has_principal, since, _)| (*has_principal, *since));
        let slowest = slowest.map(|(_, _, client)| client);
        let closed = idlest.map(|(_, client)| client).or(slowest);
        if let Some(client) = closed {
            client.close();
        }
        closed.is_some()
    }

    /// How many an address has.
    pub(super) fn count_of(&self, address: IpAddr) -> usize {
        let clients = lock(&self.0);
        let open = clients.iter().filter_map(Weak::upgrade);
        let open = open.filter(|client| !client.close.is_cancelled());
        open.filter(|client| client.address == address).count()
    }
}

/// One connection, for the handlers that answer on it.
pub(crate) struct Client {
    address: IpAddr,
    is_tls: bool,
    close: CancellationToken,
    /// Whether a request with a valid credential came on it.
    has_principal: AtomicBool,
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
    /// The answers of which the client was given a piece and has not taken it yet.
    given: HashMap<u64, GivenPiece>,
}

/// A piece of an answer that waits for the client.
struct GivenPiece {
    since: Instant,
    /// Ends the answer.
    end: CancellationToken,
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

    /// Since when an answer waits for the client, the oldest of them.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        lock(&self.use_)
            .given
            .values()
            .map(|piece| piece.since)
            .min()
    }

    /// Notes that a request with a valid credential came.
    pub(crate) fn note_principal(&self) {
        self.has_principal.store(true, Ordering::Relaxed);
    }

    fn has_principal(&self) -> bool {
        self.has_principal.load(Ordering::Relaxed)
    }

    /// Ends the answers that the client has not taken for longer than `stall`; says whether these were all.
    pub(super) fn end_stalled(&self, stall: Duration) -> bool {
        let mut used = lock(&self.use_);
        let stalled: Vec<u64> = used
            .given
            .iter()
            .filter(|(_, piece)| piece.since.elapsed() >= stall)
            .map(|(number, _)| *number)
            .collect();
        let are_all = !stalled.is_empty() && stalled.len() >= used.requests;
        let ended: Vec<_> = stalled
            .iter()
            .filter_map(|number| used.given.remove(number))
            .collect();
        drop(used);
        ended.iter().for_each(|piece| piece.end.cancel());
        are_all
    }

    /// Begins another request; gives its number.
    pub(super) fn begin_request(&self) -> u64 {
        let mut used = lock(&self.use_);
        let number = used.next;
        used.next += 1;
        used.requests += 1;
        number
    }

    pub(super) fn end_request(&self, number: u64) {
        self.change(|used| {
            used.requests = used.requests.saturating_sub(1);
            used.given.remove(&number);
            used.free_since = Instant::now();
        });
    }

    /// Notes that a piece of an answer was given to the client, with what ends the answer.
    pub(super) fn note_given(&self, number: u64, end: &CancellationToken) {
        let piece = GivenPiece {
            since: Instant::now(),
            end: end.clone(),
        };
        self.change(|used| {
            used.given.insert(number, piece);
        });
    }

    /// Notes that the client has taken what it was given of an answer.
    pub(super) fn note_taken(&self, number: u64) {
        self.change(|used| {
            used.given.remove(&number);
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn client_of(connections: &Connections, n: u8) -> Arc<Client> {
        let address = IpAddr::from([192, 0, 2, n]);
        connections.add(address, true, CancellationToken::new())
    }

    #[test]
    fn requests_beside_each_other_are_counted() {
        let client = client_of(&Connections::default(), 1);
        let first = client.begin_request();
        assert!(!client.has_several_requests());
        let second = client.begin_request();
        assert!(client.has_several_requests());
        assert!(client.idle_since().is_none());
        let receiving = Arc::clone(&client).receive();
        assert!(client.idle_since().is_none());
        client.end_request(first);
        assert!(client.idle_since().is_some());
        drop(receiving);
        client.end_request(second);
        assert!(!client.has_several_requests() && client.idle_since().is_some());
    }

    #[test]
    fn answers_that_wait_too_long_end_and_the_others_go_on() {
        let client = client_of(&Connections::default(), 1);
        let ends = [CancellationToken::new(), CancellationToken::new()];
        let [first, second] = [client.begin_request(), client.begin_request()];
        client.note_given(first, &ends[0]);
        assert!(!client.end_stalled(Duration::from_secs(3_600)));
        assert!(!client.end_stalled(Duration::ZERO), "another one goes on");
        assert!(ends[0].is_cancelled() && !ends[1].is_cancelled());
        client.end_request(first);
        client.note_given(second, &ends[1]);
        assert!(client.end_stalled(Duration::ZERO));
    }

    #[test]
    fn the_connection_of_the_slowest_stranger_is_closed_for_another_when_none_is_idle() {
        let connections = Connections::default();
        let [known, stranger, working] = [1, 2, 3].map(|n| client_of(&connections, n));
        for client in [&known, &stranger] {
            let number = client.begin_request();
            client.note_given(number, client.closing());
        }
        working.begin_request();
        known.note_principal();
        assert!(!connections.close_one(None), "none waits long");
        for client in [&known, &stranger] {
            let given = &mut lock(&client.use_).given;
            given.values_mut().for_each(|piece| piece.since -= MAY_WAIT);
        }
        assert!(!connections.close_one(Some(working.address())));
        assert!(connections.close_one(None));
        assert!(stranger.closing().is_cancelled() && !known.closing().is_cancelled());
        assert_eq!(connections.count_of(stranger.address()), 0);
        assert!(connections.close_one(None));
        assert!(known.closing().is_cancelled());
        assert!(!connections.close_one(None));
    }
}
