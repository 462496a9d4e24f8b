//! The thin HTTP face: who may ask, which question that is, and its answer as JSON.
//!
//! A handler takes the request apart, calls one function, and wraps what comes back; the questions themselves are
//! [`crate::search`]'s business. Whatever goes wrong leaves as `application/problem+json` (RFC 9457).

mod coverage;
mod events;
mod guard;
mod params;
mod people;
mod problem;
mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::debug;

use crate::clock::Clock;
use crate::health::Board;
use crate::index::Index;
use crate::store::Store;
use crate::task;

pub use self::guard::Auth;
use self::problem::Problem;

/// How many questions are worked on at once; more wait for their turn.
const MAX_QUESTIONS: usize = 8;

/// How long a question waits for its turn, and then for its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the handlers need. A clone costs a few reference counts.
#[derive(Clone)]
pub struct AppState {
    store: Store,
    index: Index,
    board: Board,
    clock: Clock,
    auth: Auth,
    questions: Arc<Semaphore>,
}

impl AppState {
    /// What is asked is answered from `store` and `index`; how the sources are doing, from `board`.
    #[must_use]
    pub fn new(store: Store, index: Index, board: Board, clock: Clock, auth: Auth) -> Self {
        let questions = Arc::new(Semaphore::new(MAX_QUESTIONS));
        Self {
            store,
            index,
            board,
            clock,
            auth,
            questions,
        }
    }

    /// Works a question out where it may block, in its turn, within [`PATIENCE`].
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let state = self.clone();
        let work = async move {
            let turn = Arc::clone(&state.questions).acquire_owned().await;
            task::blocking(move || {
                // Held until the work is done, also when nobody waits for it any more.
                let _turn = turn;
                question(&state)
            })
            .await
        };
        tokio::time::timeout(PATIENCE, work)
            .await
            .unwrap_or_else(|_| Err(Problem::too_slow(PATIENCE)))
    }
}

/// All routes.
fn router(state: AppState) -> Router {
    // For whoever may read: the questions.
    let questions = Router::new()
        .route("/v1/events", get(events::list))
        .route("/v1/events/{seq}", get(events::one))
        .route("/v1/count", get(events::count))
        .route("/v1/sources", get(status::sources))
        .route("/v1/coverage", get(coverage::list))
        .route("/v1/members", get(people::members))
        .route("/v1/accounts", get(people::accounts))
        .route_layer(middleware::from_fn_with_state(state.clone(), guard::check));
    // For whoever runs the service.
    let operation = Router::new()
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz));
    questions
        .merge(operation)
        .fallback(unknown_route)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(middleware::from_fn_with_state(
            state.clone(),
            guard::check_host,
        ))
        .layer(CatchPanicLayer::custom(|_| problem::panicked()))
        .layer(middleware::from_fn(finish))
        .with_state(state)
}

/// Answers on `listener` until `stop`; what is being answered then is finished.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(state))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::unknown_route(uri.path())
}

/// Logs the request, and says on every answer that it is nobody else's.
async fn finish(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    debug!(http.method = %method, http.path = path, http.status = response.status().as_u16(), "Answered a request.");
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
