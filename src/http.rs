//! The thin HTTP face: who may ask, which question that is, and its answer as JSON.
//!
//! A handler takes the request apart, calls one function, and wraps what comes back; the questions themselves are
//! [`crate::search`]'s business. Whatever goes wrong leaves as `application/problem+json` (RFC 9457).

mod coverage;
mod events;
mod export;
mod guard;
mod line;
mod params;
mod people;
mod pivot;
mod problem;
mod status;
mod stream;
mod tally;

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use chrono::TimeDelta;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::debug;

use crate::clock::{Clock, Deadline};
use crate::health::Board;
use crate::index::{Index, Snapshot};
use crate::search::Pivot;
use crate::store::Store;
use crate::task;

pub use self::guard::Auth;
use self::line::Lines;
use self::problem::Problem;

/// How many questions are worked on at once; more wait for their turn.
const MAX_QUESTIONS: usize = 8;

/// How long a question waits for its turn, and then for its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the index may look for a question's answer: then it is cut off, and the next one has its turn.
const TIME_LIMIT: TimeDelta = TimeDelta::seconds(10);
/// How many pieces of exports and tails are worked on at once, apart from the questions: the one does not wait for the other.
const MAX_PIECES: usize = 2;

/// The most exports at once.
const MAX_EXPORTS: usize = 8;

/// The most tails at once.
const MAX_TAILS: usize = 500;

/// How long a client may take nothing of what it is sent.
const STALL: Duration = Duration::from_secs(30);

/// How long a stop waits for answers under way.
const GRACE: Duration = Duration::from_secs(5);

/// What the handlers need. A clone costs a few reference counts.
#[derive(Clone)]
pub struct AppState {
    store: Store,
    index: Index,
    board: Board,
    clock: Clock,
    auth: Auth,
    questions: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    /// Cancelled when the service stops: whatever goes on and on then ends.
    stopping: CancellationToken,
}

impl AppState {
    /// What is asked is answered from `store` and `index`; how the sources are doing, from `board`.
    #[must_use]
    pub fn new(store: Store, index: Index, board: Board, clock: Clock, auth: Auth) -> Self {
        let at_once = |n| Arc::new(Semaphore::new(n));
        Self {
            store,
            index,
            board,
            clock,
            auth,
            questions: at_once(MAX_QUESTIONS),
            pieces: at_once(MAX_PIECES),
            exports: at_once(MAX_EXPORTS),
            tails: at_once(MAX_TAILS),
            stopping: CancellationToken::new(),
        }
    }

    /// What can be asked now, by one question, which is cut off after [`TIME_LIMIT`].
    fn snapshot(&self) -> Snapshot {
        let deadline = Deadline::after(&self.clock, TIME_LIMIT);
        self.index.snapshot().until(deadline)
    }

    /// Works a question out where it may block, in its turn, within [`PATIENCE`].
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.work(&self.questions, question).await
    }

    /// As [`AppState::ask`], for a piece of an export or a tail.
    async fn ask_for_piece<T: Send + 'static>(
        &self,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.work(&self.pieces, piece).await
    }

    async fn work<T: Send + 'static>(
        &self,
        turns: &Arc<Semaphore>,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (state, turns) = (self.clone(), Arc::clone(turns));
        let work = async move {
            let turn = turns.acquire_owned().await;
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
        .route("/v1/events/stream", get(stream::tail))
        .route("/v1/events/{seq}", get(events::one))
        .route("/v1/events/{seq}/history", get(pivot::history))
        .route("/v1/events/{seq}/around", get(pivot::around))
        .route("/v1/export", get(export::export))
        .route("/v1/count", get(events::count))
        .route("/v1/facets", get(tally::facets))
        .route("/v1/histogram", get(tally::histogram))
        .route("/v1/fields", get(tally::fields))
        .route("/v1/fields/{name}/values", get(tally::values))
        .route("/v1/actors/{value}", pivot::seen_with(Pivot::Actor))
        .route("/v1/tokens/{value}", pivot::seen_with(Pivot::Token))
        .route("/v1/ips/{value}", pivot::seen_with(Pivot::Ip))
        .route("/v1/resources/{value}", pivot::seen_with(Pivot::Resource))
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

/// Answers on `listener` until `stop`; what is being answered then is finished, as far as that takes no longer than a few
/// seconds. Exports break off visibly, and tails end.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let state = AppState {
        stopping: stop.clone(),
        ..state
    };
    let cut = CancellationToken::new();
    let serving = axum::serve(Lines::new(listener, STALL, cut.clone()), router(state))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let last_call = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
        cut.cancel();
        std::future::pending().await
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = last_call => Ok(()),
    }
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
