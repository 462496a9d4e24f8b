//! Accepts connections, with TLS or without. Closes those whose client reads too slowly, or takes too long to send a request.
//!
//! Answers are made as fast as they are read. So a client that stops reading would keep its answer, and a snapshot of the index
//! with it, for any time, and would delay a stop of the service. Only the connection notices that no bytes move any more.
//!
//! The number of connections is bounded, because each takes a handle that the log and the index may need. At the bound the
//! connection that is idle longest is closed for the new one, or one whose client does not take its answer. One address has at
//! most half of the connections, unless it is this machine or a trusted proxy, where many clients have it.

mod client;
mod exchange;
mod handshake;
mod protocol;
mod socket;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub(super) use self::client::Client;
use self::client::Connections;
pub(super) use self::exchange::Exchange;
use self::handshake::{shake_hands, speaks_h2};
pub(super) use self::protocol::ConnectionTimeouts;
use self::protocol::{answer_http1, answer_http2};
use self::socket::Connection;
use super::access::Access;
use super::panics::Panics;
use crate::tls::Tls;

/// How long a new client waits for the end of the connection that is closed for it.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// How long to wait after a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How often it is logged that connections cannot be accepted.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How connections are answered.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) router: Router,
    pub(super) access: Access,
    /// The certificate; without one, HTTP/1.1 is spoken in clear.
    pub(super) tls: Option<Tls>,
    pub(super) timeouts: ConnectionTimeouts,
    pub(super) panics: Panics,
}

impl Answering {
    /// Whether an address may be that of many clients.
    fn is_shared(&self, address: IpAddr) -> bool {
        let settings = self.access.settings();
        let mut proxies = settings.trusted_proxies.iter();
        address.is_loopback() || proxies.any(|network| network.contains(&address))
    }
}

/// Accepts connections until `stop`, at most `most` at once; then waits until what is being answered is finished, or `cut`.
pub(super) async fn answer(
    listener: TcpListener,
    answering: Answering,
    most: usize,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let panics = answering.panics.clone();
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
                connections.close_one(None);
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let has_share = !answering.is_shared(address.ip())
            && connections.count_of(address.ip()) >= most.div_ceil(2);
        if has_share || tasks.len() >= most {
            // When all are being answered, the new one is refused.
            if !connections.close_one(has_share.then_some(address.ip())) {
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
        let is_tls = answering.tls.is_some();
        let client = connections.add(address.ip(), is_tls, cut.child_token());
        tasks.spawn(answer_one(answering.clone(), stream, client, stop.clone()));
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

/// Answers on one connection. While it shakes hands it is idle, so it may be closed for another one.
async fn answer_one(
    answering: Answering,
    stream: TcpStream,
    client: Arc<Client>,
    stop: CancellationToken,
) {
    let Answering {
        router,
        tls,
        timeouts,
        panics,
        ..
    } = answering;
    let connection = Connection::new(stream, timeouts.write_stall, client.closing());
    let Some(tls) = tls else {
        let answered = answer_http1(connection, router, &client, timeouts, &stop).await;
        return note_end(answered);
    };
    let shaken = tokio::select! {
        shaken = shake_hands(connection, &tls, timeouts.handshake) => shaken,
        () = client.closing().cancelled() => return,
        () = stop.cancelled() => return,
    };
    let stream = match shaken {
        Ok(stream) => stream,
        Err(error) => {
            debug!(error = %error, "A TLS handshake failed.");
            return;
        }
    };
    note_end(if speaks_h2(&stream) {
        answer_http2(stream, router, &client, timeouts, &stop, &panics).await
    } else {
        answer_http1(stream, router, &client, timeouts, &stop).await
    });
}

fn note_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(error = %error, "A connection ended with an error.");
    }
}
