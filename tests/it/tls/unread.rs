//! Answers that clients of HTTP/2 do not take, and bodies that they do not send: what these may cost, and whom they end.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::Request;
use h2::RecvStream;
use h2::client::Builder;
use orgtrail::access::Grant;
use orgtrail::http::Limits;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, IF_NONE_MATCH, VARY};
use tokio::task::JoinSet;

use super::authority::{Authority, NAME, address};
use super::http2::{Connection, DEADLINE, SOON, request};
use crate::fixture_log::{Desk, account};

/// A client that takes nothing of an answer's body.
fn closed_window() -> Builder {
    let mut builder = Builder::new();
    builder.initial_window_size(0);
    builder
}

/// The head of an answer, and the body that is still to be taken.
async fn asked(connection: &Connection, request: Request<()>) -> (StatusCode, RecvStream) {
    let mut client = connection.client.clone().ready().await.unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let answer = tokio::time::timeout(DEADLINE, answer).await.unwrap();
    let answer = answer.unwrap();
    (answer.status(), answer.into_body())
}

/// Waits until the server ends an answer before its end; says whether it ended it alone.
async fn is_reset(mut body: RecvStream) -> bool {
    let ended = async {
        loop {
            match body.data().await {
                // What is taken is not given back, so no more comes.
                Some(Ok(_)) => {}
                Some(Err(error)) => return error.is_reset(),
                None => panic!("the answer is whole"),
            }
        }
    };
    // Much sooner than an idle connection is closed.
    let soon = Duration::from_secs(20);
    tokio::time::timeout(soon, ended).await.unwrap()
}

/// Entries of 2 KB each.
fn keep_entries(desk: &mut Desk, n: usize) {
    let padding = "x".repeat(2_000);
    let entry = |n| {
        format!(r#"{{"id":"id{n}","action":{{"time":"2026-11-01T00:00:00Z"}},"x":"{padding}"}}"#)
    };
    desk.keep(&account(), &(0..n).map(entry).collect::<Vec<_>>());
    desk.search_all();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_whose_answers_are_not_taken_give_way_to_others() {
    let authority = Authority::new();
    let limits = Limits {
        connections: 16,
        ..Limits::default()
    };
    let desk = Desk::over_tls(limits, authority.good().tls()).await;
    let mut held = Vec::new();
    for _ in 0..limits.connections {
        let connection = Connection::open(&authority, address(&desk.url), &closed_window()).await;
        let answer = asked(&connection, request("/healthz", "")).await;
        held.push((connection, answer));
    }
    // Much sooner than such an answer is given up.
    let begun = Instant::now();
    loop {
        let connect = authority.connect(address(&desk.url), rustls::ALL_VERSIONS, &["h2"]);
        if let Ok(stream) = connect.await {
            let (client, connection) = Builder::new().handshake::<_, Bytes>(stream).await.unwrap();
            let mut running = JoinSet::new();
            running.spawn(connection);
            if let Ok(mut client) = client.ready().await
                && let Ok((answer, _)) = client.send_request(request("/healthz", ""), true)
                && let Ok(answer) = answer.await
            {
                assert_eq!(answer.status(), StatusCode::OK);
                break;
            }
        }
        assert!(begun.elapsed() < limits.write_stall / 2, "no place");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_descriptions_take_no_room_of_answers() {
    let authority = Authority::new();
    let limits = Limits {
        unread: 1024 * 1024,
        ..Limits::default()
    };
    let mut desk = Desk::over_tls(limits, authority.good().tls()).await;
    keep_entries(&mut desk, 50);
    let token = desk.token(Grant::everything());
    let unread = Connection::open(&authority, address(&desk.url), &closed_window()).await;
    let mut held = Vec::new();
    for _ in 0..30 {
        held.push(asked(&unread, request("/openapi.json", "")).await);
    }
    let other = Connection::open(&authority, address(&desk.url), &Builder::new()).await;
    let (status, _) = asked(&other, request("/v1/events?limit=50", &token)).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_that_reads_nothing_leaves_room_for_answers_of_others() {
    let authority = Authority::new();
    let limits = Limits {
        unread: 400_000,
        ..Limits::default()
    };
    let mut desk = Desk::over_tls(limits, authority.good().tls()).await;
    keep_entries(&mut desk, 50);
    let (greedy, other) = (
        desk.token(Grant::everything()),
        desk.token(Grant::everything()),
    );
    let unread = Connection::open(&authority, address(&desk.url), &closed_window()).await;
    let mut held = Vec::new();
    loop {
        let (status, body) = asked(&unread, request("/v1/events?limit=40", &greedy)).await;
        if status != StatusCode::OK {
            break;
        }
        held.push(body);
    }
    assert!(held.len() > 1, "{}", held.len());
    let connection = Connection::open(&authority, address(&desk.url), &Builder::new()).await;
    let (status, _) = asked(&connection, request("/v1/events?limit=40", &other)).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_taken_ends_alone_on_its_connection() {
    let authority = Authority::new();
    let limits = Limits {
        write_stall: SOON,
        ..Limits::default()
    };
    let mut desk = Desk::over_tls(limits, authority.good().tls()).await;
    keep_entries(&mut desk, 500);
    let token = desk.token(Grant::everything());
    let mut small = Builder::new();
    small.initial_window_size(1_000);
    let connection = Connection::open(&authority, address(&desk.url), &small).await;
    let (status, _tail) = asked(&connection, request("/v1/events/stream", &token)).await;
    assert_eq!(status, StatusCode::OK);
    let (status, export) = asked(&connection, request("/v1/export", &token)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(is_reset(export).await);
    // The tail is still there, and so is the connection.
    let status = connection.status(request("/healthz", "")).await;
    assert_eq!(status.unwrap(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_answers_that_are_not_taken_end_as_large_ones_do() {
    let authority = Authority::new();
    let limits = Limits {
        write_stall: SOON,
        ..Limits::default()
    };
    let mut desk = Desk::over_tls(limits, authority.good().tls()).await;
    keep_entries(&mut desk, 10);
    let token = desk.token(Grant::everything());
    let mut small = Builder::new();
    small.initial_window_size(1);
    let connection = Connection::open(&authority, address(&desk.url), &small).await;
    let mut pages = Vec::new();
    for _ in 0..5 {
        pages.push(asked(&connection, request("/v1/events?limit=4", &token)).await);
    }
    for (status, body) in pages {
        assert_eq!(status, StatusCode::OK);
        is_reset(body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_of_sign_ins_are_refused_before_they_come() {
    let authority = Authority::new();
    let desk = Desk::over_tls(Limits::default(), authority.good().tls()).await;
    let connection = Connection::open(&authority, address(&desk.url), &Builder::new()).await;
    let begun = Instant::now();
    for method in ["POST", "DELETE"].repeat(8) {
        let mut client = connection.client.clone().ready().await.unwrap();
        let sign_in = Request::builder()
            .method(method)
            .uri(format!("https://{NAME}/v1/session"))
            .header(CONTENT_LENGTH, 60_000)
            .body(())
            .unwrap();
        let (answer, _body) = client.send_request(sign_in, false).unwrap();
        let answer = tokio::time::timeout(DEADLINE, answer).await.unwrap();
        assert_eq!(answer.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_compressed_as_a_whole_and_small_ones_are_not() {
    let mut desk = Desk::guarded().await;
    keep_entries(&mut desk, 20);
    let token = desk.token(Grant::everything());
    let http = reqwest::Client::builder().no_gzip().build().unwrap();
    let get = async |path: &str, encoding: &str| {
        let request = http.get(format!("{}{path}", desk.url));
        let request = request.header("accept-encoding", encoding);
        request.bearer_auth(&token).send().await.unwrap()
    };
    for small in ["/healthz", "/v1/count", "/v1/nothing"] {
        let answer = get(small, "gzip").await;
        assert_eq!(answer.headers().get(CONTENT_ENCODING), None, "{small}");
    }
    for large in ["/v1/events", "/openapi.json", "/docs"] {
        let plain = get(large, "identity").await;
        assert_eq!(plain.headers().get(CONTENT_ENCODING), None, "{large}");
        let plain = plain.text().await.unwrap();
        assert_eq!(
            get(large, "gzip;q=0").await.headers().get(CONTENT_ENCODING),
            None
        );
        let answer = get(large, "br, gzip;q=0.5").await;
        assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(answer.headers()[VARY], "accept-encoding");
        let length = answer.headers().get(CONTENT_LENGTH).expect(large).clone();
        let bytes = answer.bytes().await.unwrap();
        assert_eq!(length.to_str().unwrap(), bytes.len().to_string());
        assert!(bytes.len() < plain.len() / 2, "{large}");
        let mut read = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&bytes[..]);
        std::io::Read::read_to_string(&mut decoder, &mut read).unwrap();
        assert_eq!(read.len(), plain.len());
    }
    for described in ["/openapi.json", "/docs"] {
        let tag = get(described, "gzip").await.headers()[ETAG].clone();
        let request = http.get(format!("{}{described}", desk.url));
        let again = request.header(IF_NONE_MATCH, tag).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
    let export = get("/v1/export", "gzip").await;
    assert_eq!(export.headers()[CONTENT_ENCODING], "gzip");
    desk.stop().await;
}
