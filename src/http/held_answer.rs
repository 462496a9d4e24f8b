//! The layer that holds an answer in the memory of unread answers.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::connection::Exchange;
use super::encoding::{accepts_gzip, allow_encoder, compressed};
use super::fixed_answer::NeedsNoRoom;
use super::metrics;
use super::problem::Problem;
use super::state::AppState;
use super::turn::KeptTurn;

/// Compresses an answer that is made as a whole, and finds room for it. Exports and tails find it for each of their pieces.
pub(super) async fn hold_answer(
    State(app): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let exchange = request.extensions().get::<Arc<Exchange>>().cloned();
    let is_gzip_accepted = accepts_gzip(request.headers());
    KeptTurn::scope(async {
        let response = next.run(request).await;
        if response.extensions().get::<NeedsNoRoom>().is_some() {
            return response;
        }
        if response.body().size_hint().exact().is_none() {
            let is_accepted = is_gzip_accepted && !is_tail(&response);
            return allow_encoder(response, is_accepted, &app.encoders);
        }
        let (mut parts, body) = response.into_parts();
        let Ok(mut bytes) = axum::body::to_bytes(body, usize::MAX).await else {
            return Problem::internal().into_response();
        };
        let held = async {
            app.response_memory.check_size(bytes.len())?;
            if parts.status.is_success() {
                bytes = compressed(bytes, is_gzip_accepted, &mut parts.headers).await;
            }
            let held = app.response_memory.hold_whole(bytes, exchange.as_ref());
            held.await
        };
        match held.await {
            Ok(bytes) => Response::from_parts(parts, Body::from(bytes)),
            Err(problem) => {
                let response = problem.into_response();
                metrics::count_refusal(&app, &response);
                response
            }
        }
    })
    .await
}

/// Whether an answer is a tail: its messages are sent one by one, each at once.
fn is_tail(response: &Response) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE);
    content_type.is_some_and(|content_type| content_type == "text/event-stream")
}
