//! Reads the body of a request whole before the request is answered: within a limit, and within a time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;

use super::connection::Client;
use super::problem::Problem;

/// The most bytes of a request's body: a form with the longest query, or a token.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The most bytes of the body of a request that needs no credential: a token has 50.
const MAX_SMALL_BYTES: usize = 1_024;

/// The time for such a body.
const SMALL_WITHIN: Duration = Duration::from_secs(5);

/// Reads the body. Until it has come, its connection may be closed for another one.
pub(super) async fn read(request: Request, within: Duration) -> Result<Request, Problem> {
    read_up_to(MAX_BODY_BYTES, request, within, std::future::ready(())).await
}

/// As [`read`], of a request that needs no credential, as soon as there is a place for it. Its time is short.
pub(super) async fn read_small<P>(
    request: Request,
    within: Duration,
    place: impl Future<Output = P>,
) -> Result<Request, Problem> {
    read_up_to(MAX_SMALL_BYTES, request, within.min(SMALL_WITHIN), place).await
}

/// Reads a body of at most so many bytes. Of one that says that it is larger nothing is read.
async fn read_up_to<P>(
    most: usize,
    request: Request,
    within: Duration,
    place: impl Future<Output = P>,
) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return Ok(Request::from_parts(parts, body));
    }
    if body.size_hint().lower() > most as u64 {
        return Err(Problem::too_large_a_body(most));
    }
    let client = parts.extensions.get::<Arc<Client>>().cloned();
    let _receiving = client.map(Client::receive);
    let read = async {
        let _place = place.await;
        to_bytes(body, most).await
    };
    match tokio::time::timeout(within, read).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        // The body is longer than announced, or the client closed the connection and does not read this.
        Ok(Err(_)) => Err(Problem::too_large_a_body(most)),
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
