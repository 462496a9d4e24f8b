//! Reads the body of a request whole before the request is answered: within a limit, and within a time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;

use super::connection::Client;
use super::problem::Problem;

/// The most bytes of a request's body: a form with the longest query, or a token.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The time for the body of a request that needs no credential: a token has 50 bytes.
pub(super) const WITHOUT_CREDENTIAL: Duration = Duration::from_secs(5);

/// Reads the body. Until it has come, its connection may be closed for another one. Of a body that says that it is too large nothing is read.
pub(super) async fn read(request: Request, within: Duration) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return Ok(Request::from_parts(parts, body));
    }
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(Problem::too_large_a_body(MAX_BODY_BYTES));
    }
    let client = parts.extensions.get::<Arc<Client>>().cloned();
    let _receiving = client.map(Client::receive);
    match tokio::time::timeout(within, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        // The body is longer than announced, or the client closed the connection and does not read this.
        Ok(Err(_)) => Err(Problem::too_large_a_body(MAX_BODY_BYTES)),
        Err(_) => Err(Problem::too_slow_a_body(within)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use futures_util::stream;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    fn status(outcome: Result<Request, Problem>) -> StatusCode {
        outcome.err().unwrap().status()
    }

    #[tokio::test]
    async fn a_body_is_read_within_limits() {
        let whole = read(Request::new(Body::from("{}")), SOON).await.unwrap();
        assert_eq!(to_bytes(whole.into_body(), 10).await.unwrap(), "{}");
        let large = || vec![b'x'; MAX_BODY_BYTES + 1];
        let refused = read(Request::new(Body::from(large())), SOON).await;
        assert_eq!(status(refused), StatusCode::PAYLOAD_TOO_LARGE);
        // One that does not say how long it is.
        let pieces = stream::once(async move { Ok::<_, std::io::Error>(large()) });
        let refused = read(Request::new(Body::from_stream(pieces)), SOON).await;
        assert_eq!(status(refused), StatusCode::PAYLOAD_TOO_LARGE);
        let endless = stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let refused = read(Request::new(Body::from_stream(endless)), SOON).await;
        assert_eq!(status(refused), StatusCode::REQUEST_TIMEOUT);
    }
}
