//! HTTP/2: many requests on one connection, within the same limits as on many, and what one connection may not do.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::Request;
use futures_util::future::join_all;
use h2::client::{Builder, SendRequest};
use h2::{Error, Reason};
use orgtrail::access::Grant;
use orgtrail::http::Limits;
use reqwest::StatusCode;
use tokio::task::JoinSet;

use super::authority::{Authority, NAME, address};
use crate::fixture_log::{Desk, account};

pub(super) const SOON: Duration = Duration::from_millis(300);

/// How long anything may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// A connection of HTTP/2, and how it ends.
pub(super) struct Connection {
    pub(super) client: SendRequest<axum::body::Bytes>,
    running: JoinSet<Result<(), Error>>,
}

impl Connection {
    pub(super) async fn open(
        authority: &Authority,
        address: SocketAddr,
        builder: &Builder,
    ) -> Self {
        let stream = authority
            .connect(address, rustls::ALL_VERSIONS, &["h2"])
            .await
            .unwrap();
        let (client, connection) = builder.handshake(stream).await.unwrap();
        let mut running = JoinSet::new();
        running.spawn(connection);
        Self {
            client: client.ready().await.unwrap(),
            running,
        }
    }

    /// How the server ends it.
    async fn end(mut self) -> Result<(), Error> {
        drop(self.client);
        let ended = self.running.join_next();
        tokio::time::timeout(DEADLINE, ended)
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    /// What is answered to a request.
    pub(super) async fn status(&self, request: Request<()>) -> Result<StatusCode, Error> {
        let mut client = self.client.clone().ready().await?;
        let (answer, _) = client.send_request(request, true)?;
        Ok(answer.await?.status())
    }
}

pub(super) fn request(path: &str, token: &str) -> Request<()> {
    let request = Request::get(format!("https://{NAME}{path}"));
    let request = request.header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_on_one_connection_are_answered_side_by_side() {
    let authority = Authority::new();
    let desk = Desk::over_tls(Limits::default(), authority.good().tls()).await;
    let token = desk.token(Grant::everything());
    let connection = Connection::open(&authority, address(&desk.url), &Builder::new()).await;
    // A stream of events does not end. The other requests do not wait for it.
    let tail = connection
        .status(request("/v1/events/stream", &token))
        .await;
    assert_eq!(tail.unwrap(), StatusCode::OK);
    assert_eq!(connection.client.current_max_send_streams(), 64);
    let asked = (0..200).map(|_| connection.status(request("/v1/me", &token)));
    for status in join_all(asked).await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_a_valid_token_are_limited_on_one_connection_as_on_many() {
    let authority = Authority::new();
    let desk = Desk::over_tls(Limits::default(), authority.good().tls()).await;
    let token = desk.token(Grant::everything());
    let connection = Connection::open(&authority, address(&desk.url), &Builder::new()).await;
    let me = connection.status(request("/v1/me", &token)).await;
    assert_eq!(me.unwrap(), StatusCode::OK);
    let asked = (0..300).map(|_| connection.status(request("/v1/me", "no-token")));
    let answered: Vec<_> = join_all(asked)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let of = |wanted: StatusCode| answered.iter().filter(|status| **status == wanted).count();
    assert!(of(StatusCode::UNAUTHORIZED) >= 60, "{answered:?}");
    assert!(of(StatusCode::TOO_MANY_REQUESTS) > 100, "{answered:?}");
    let me = connection.status(request("/v1/me", &token)).await;
    assert_eq!(me.unwrap(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_resets_ends_its_connection_and_no_other() {
    let authority = Authority::new();
    let desk = Desk::over_tls(Limits::default(), authority.good().tls()).await;
    let token = desk.token(Grant::everything());
    let other = Connection::open(&authority, address(&desk.url), &Builder::new()).await;
    let connection = Connection::open(&authority, address(&desk.url), &Builder::new()).await;
    let mut sent = 0;
    while let Ok(mut client) = connection.client.clone().ready().await {
        let Ok((_, mut stream)) = client.send_request(request("/v1/count", &token), true) else {
            break;
        };
        stream.send_reset(Reason::CANCEL);
        sent += 1;
        assert!(sent < 100_000, "the connection goes on");
    }
    let ended = connection.end().await.unwrap_err();
    // What the server says last is lost when the client is still writing.
    let is_calmed = ended.reason() == Some(Reason::ENHANCE_YOUR_CALM);
    assert!(is_calmed || ended.is_io(), "{ended}");
    let status = other.status(request("/v1/me", &token)).await;
    assert_eq!(status.unwrap(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_too_large_a_head_is_refused() {
    let authority = Authority::new();
    let desk = Desk::over_tls(Limits::default(), authority.good().tls()).await;
    let connection = Connection::open(&authority, address(&desk.url), &Builder::new()).await;
    let large = Request::get(format!("https://{NAME}/healthz"));
    let large = large
        .header("x-large", "x".repeat(140 * 1024))
        .body(())
        .unwrap();
    let refused = connection.status(large).await;
    let refused = refused.map(|status| status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(refused.unwrap_or(true), "it was answered");
    let again = Connection::open(&authority, address(&desk.url), &Builder::new()).await;
    let status = again.status(request("/healthz", "")).await;
    assert_eq!(status.unwrap(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_in_order() {
    let authority = Authority::new();
    let limits = Limits {
        request_header: SOON,
        ..Limits::default()
    };
    let desk = Desk::over_tls(limits, authority.good().tls()).await;
    let connection = Connection::open(&authority, address(&desk.url), &Builder::new()).await;
    let status = connection.status(request("/healthz", "")).await;
    assert_eq!(status.unwrap(), StatusCode::OK);
    // The client's own part stays open, so the server ends it.
    let Connection {
        client,
        mut running,
    } = connection;
    let ended = tokio::time::timeout(DEADLINE, running.join_next()).await;
    ended.unwrap().unwrap().unwrap().unwrap();
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_of_its_answer_is_closed() {
    let authority = Authority::new();
    let limits = Limits {
        write_stall: SOON,
        ..Limits::default()
    };
    let mut desk = Desk::over_tls(limits, authority.good().tls()).await;
    let token = desk.token(Grant::everything());
    let padding = "x".repeat(2_000);
    let entry = |n| {
        format!(r#"{{"id":"id{n}","action":{{"time":"2026-11-01T00:00:00Z"}},"x":"{padding}"}}"#)
    };
    desk.keep(&account(), &(0..500).map(entry).collect::<Vec<_>>());
    desk.search_all();
    let mut small = Builder::new();
    small.initial_window_size(1_000);
    let connection = Connection::open(&authority, address(&desk.url), &small).await;
    let mut client = connection.client.clone();
    let (answer, _) = client
        .send_request(request("/v1/export", &token), true)
        .unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let Connection { mut running, .. } = connection;
    let ended = tokio::time::timeout(DEADLINE, running.join_next()).await;
    drop(ended.unwrap().unwrap().unwrap());
    drop(answer);
    desk.stop().await;
}
