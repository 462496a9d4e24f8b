//! The beginning of connections: who is answered, and who is refused how quickly.

use std::time::{Duration, Instant};

use orgtrail::http::Limits;
use reqwest::header::SET_COOKIE;
use reqwest::{StatusCode, Version};
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::authority::{Authority, NAME, address};
use crate::fixture_log::Desk;

const SOON: Duration = Duration::from_millis(300);

/// What counts as at once, beside tests that run at the same time.
const AT_ONCE: Duration = Duration::from_secs(5);

/// All that a server sends until it closes the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let read = stream.read_to_end(&mut bytes);
    drop(tokio::time::timeout(4 * AT_ONCE, read).await.unwrap());
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_3_and_1_2_are_spoken_with_http2_or_http1() {
    let authority = Authority::new();
    let desk = Desk::over_tls(Limits::default(), authority.good().tls()).await;
    let address = address(&desk.url);
    for (version, protocol) in [
        (&TLS13, "h2"),
        (&TLS12, "h2"),
        (&TLS13, "http/1.1"),
        (&TLS12, "http/1.1"),
    ] {
        let stream = authority
            .connect(address, &[version], &[protocol])
            .await
            .unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(protocol.as_bytes()));
        assert_eq!(session.protocol_version(), Some(version.version));
    }
    // A client that speaks neither protocol is refused during the handshake.
    let other = authority.connect(address, &[&TLS13], &["spdy/3"]).await;
    assert!(other.is_err());

    let url = format!("https://{NAME}:{}", address.port());
    for (client, version) in [
        (authority.client(), Version::HTTP_2),
        (authority.client().http1_only(), Version::HTTP_11),
    ] {
        let client = client.build().unwrap();
        let answer = client.get(format!("{url}/healthz")).send().await.unwrap();
        assert_eq!(
            (answer.status(), answer.version()),
            (StatusCode::OK, version)
        );
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("strict-transport-security"), "max-age=31536000");
        assert_eq!(header("x-content-type-options"), "nosniff");
        // The page's own requests for a change are answered, and other sites' are not.
        let token = desk.token(orgtrail::access::Grant::everything());
        let sign_in = |origin: String| {
            let request = client.post(format!("{url}/v1/session"));
            request
                .header("origin", origin)
                .json(&json!({"token": &token}))
                .send()
        };
        let own = sign_in(url.clone()).await.unwrap();
        assert_eq!(own.status(), StatusCode::CREATED);
        let cookie = own.headers()[SET_COOKIE].to_str().unwrap();
        assert!(
            cookie.starts_with("__Host-orgtrail_session=") && cookie.contains("; Secure"),
            "{cookie}"
        );
        let foreign = sign_in("https://evil.example".to_owned()).await.unwrap();
        assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tls_nothing_says_that_browsers_must_use_it() {
    let desk = Desk::new().await;
    let answer = desk.open("/healthz").await;
    assert!(!answer.headers().contains_key("strict-transport-security"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_1_and_plain_http_are_refused_at_once() {
    let authority = Authority::new();
    let desk = Desk::over_tls(Limits::default(), authority.good().tls()).await;
    let begun = Instant::now();
    let mut hello = vec![0x01, 0x00, 0x00, 0x3d, 0x03, 0x02];
    hello.extend([7; 32]);
    hello.extend([0x00, 0x00, 0x04, 0xc0, 0x13, 0x00, 0x2f, 0x01, 0x00]);
    // Algorithms of signatures, and groups: nothing is missing but the version.
    hello.extend([0x00, 0x10, 0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x04, 0x03]);
    hello.extend([0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x17]);
    let mut record = vec![0x16, 0x03, 0x01, 0x00, hello.len() as u8];
    record.extend(hello);
    let mut stream = TcpStream::connect(address(&desk.url)).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let alert = rest(&mut stream).await;
    // A fatal alert: the version of the protocol, or that the handshake failed.
    assert!(
        alert[0] == 0x15 && alert[5] == 2 && [40, 70].contains(&alert[6]),
        "{alert:?}"
    );

    for (plain, answer) in [
        (
            "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
        ),
        ("\u{0}\u{1}\u{2}", ""),
    ] {
        let mut stream = TcpStream::connect(address(&desk.url)).await.unwrap();
        stream.write_all(plain.as_bytes()).await.unwrap();
        let said = String::from_utf8(rest(&mut stream).await).unwrap();
        assert!(said.starts_with(answer), "{said}");
        assert_eq!(
            said.contains("this port speaks HTTPS"),
            !answer.is_empty(),
            "{said}"
        );
    }
    assert!(begun.elapsed() < AT_ONCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_handshakes_are_closed_and_take_no_connections_from_others() {
    let authority = Authority::new();
    let limits = Limits {
        handshake: SOON,
        ..Limits::default()
    };
    let desk = Desk::over_tls(limits, authority.good().tls()).await;
    let mut silent = TcpStream::connect(address(&desk.url)).await.unwrap();
    let mut begun = TcpStream::connect(address(&desk.url)).await.unwrap();
    begun.write_all(&[0x16, 0x03, 0x01, 0x01]).await.unwrap();
    assert!(rest(&mut silent).await.is_empty());
    rest(&mut begun).await;

    let limits = Limits {
        handshake: Duration::from_secs(3_600),
        connections: 8,
        ..Limits::default()
    };
    let desk = Desk::over_tls(limits, authority.good().tls()).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(address(&desk.url)).await.unwrap());
    }
    let client = authority.client().build().unwrap();
    let url = format!("https://{NAME}:{}/healthz", address(&desk.url).port());
    assert_eq!(
        client.get(url).send().await.unwrap().status(),
        StatusCode::OK
    );
}
