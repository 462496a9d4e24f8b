//! The TLS handshake of a connection: it has a time limit, and a request in plain HTTP is answered with an error.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::socket::Connection;
use crate::tls::Tls;

/// The first byte of a connection with TLS: a record of the handshake.
const HANDSHAKE_RECORD: u8 = 22;

/// What plain HTTP is answered, in the form of our errors.
const SPEAK_HTTPS: &str = "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\
     \"detail\":\"this port speaks HTTPS: write `https://` at the beginning of the address\"}";

/// How long, and how much, of the request is read after that, so that the answer arrives before the end of the connection.
const READ_ON: Duration = Duration::from_secs(1);
const MOST_READ_ON: u64 = 64 * 1024;

/// The name of HTTP/2 among the protocols that are offered.
const H2: &[u8] = b"h2";

/// Makes a connection one with TLS. Fails if the client does not finish within some time, or does not speak TLS.
pub(super) async fn shake_hands(
    connection: Connection<TcpStream>,
    tls: &Tls,
    within: Duration,
) -> io::Result<TlsStream<Connection<TcpStream>>> {
    let shaken = tokio::time::timeout(within, async {
        let mut first = [0; 1];
        let read = connection.get_ref().peek(&mut first).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first != [HANDSHAKE_RECORD] {
            return Err(refuse_plain(connection, first).await);
        }
        TlsAcceptor::from(tls.server_config())
            .accept(connection)
            .await
    });
    shaken
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whether a client has chosen HTTP/2.
pub(super) fn speaks_h2<S>(stream: &TlsStream<S>) -> bool {
    let (_, session) = stream.get_ref();
    session.alpn_protocol() == Some(H2)
}

/// Answers a request in plain HTTP that this port speaks HTTPS. Anything else is closed without an answer.
async fn refuse_plain<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    first: [u8; 1],
) -> io::Error {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{SPEAK_HTTPS}",
        SPEAK_HTTPS.len()
    );
    let answered = async {
        if first[0].is_ascii_uppercase() {
            stream.write_all(answer.as_bytes()).await?;
        }
        stream.shutdown().await?;
        let mut rest = stream.take(MOST_READ_ON);
        let mut ignored = tokio::io::sink();
        let reading = tokio::io::copy(&mut rest, &mut ignored);
        tokio::time::timeout(READ_ON, reading).await?
    };
    match answered.await {
        Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS"),
        Err(error) => error,
    }
}
