//! The layer that holds an answer in the memory of unread answers.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::connection::Client;
use super::metrics;
use super::problem::Problem;
use super::state::AppState;
use super::turn::KeptTurn;

/// Finds room for an answer that is made as a whole. Exports and tails find it for each of their pieces.
pub(super) async fn hold_answer(
    State(app): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let client = request.extensions().get::<Arc<Client>>().cloned();
    KeptTurn::scope(async {
        let (parts, body) = next.run(request).await.into_parts();
        if body.size_hint().exact().is_none() {
            return Response::from_parts(parts, body);
        }
        let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
            return Problem::internal().into_response();
        };
        match app.response_memory.hold_whole(bytes, client.as_ref()).await {
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
