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

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use chrono::TimeDelta;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::debug;

use crate::clock::{CallOff, Clock, Deadline};
use crate::health::Board;
use crate::index::{Index, Snapshot};
use crate::search::Pivot;
use crate::store::Store;
use crate::task;

pub use self::guard::Auth;
use self::line::Patience;
use self::problem::Problem;

/// How many questions are worked on at once; more wait for their turn.
const MAX_QUESTIONS: usize = 8;

/// How long a question has a turn among the others: then it makes room for the next one, and goes on as a long one.
const QUICK: Duration = Duration::from_secs(1);

/// How many long questions are worked on beside the others. One more keeps its turn as long as nobody waits for that, and is
/// then called off.
const MAX_LONG_QUESTIONS: usize = 8;

/// How long a question waits for its turn, and then for its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a question's answer may be looked for: then it is cut off, and the next one has its turn.
const TIME_LIMIT: TimeDelta = TimeDelta::seconds(10);

/// How many pieces of exports are worked on at once, and how many of tails. Neither waits for the other, nor a question for
/// them.
const MAX_PIECES: usize = 2;

/// The most exports at once.
const MAX_EXPORTS: usize = 8;

/// The most tails at once.
const MAX_TAILS: usize = 500;

/// How long a client may take to say what it asks; and how long its line is kept when it asks nothing.
const HEARING: Duration = Duration::from_secs(60);

/// How long a client may take nothing of what it is sent.
const STALL: Duration = Duration::from_secs(30);

/// How long a stop waits for answers under way.
const GRACE: Duration = Duration::from_secs(5);

/// How long questions and clients have, and how many may stay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long an answer may be looked for, or a piece of an export or a tail.
    pub looking: TimeDelta,
    /// How long a question has a turn among the others, before it is a long one.
    pub quick: Duration,
    /// How long a question waits for its turn, and then for its answer.
    pub waiting: Duration,
    /// How long a client may take to say what it asks, from when the line is free for it.
    pub hearing: Duration,
    /// How long a client may take nothing of what it is sent.
    pub stalling: Duration,
    /// How many tails may be open.
    pub tails: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            looking: TIME_LIMIT,
            quick: QUICK,
            waiting: PATIENCE,
            hearing: HEARING,
            stalling: STALL,
            tails: MAX_TAILS,
        }
    }
}

/// What the handlers need. A clone costs a few reference counts.
#[derive(Clone)]
pub struct AppState {
    store: Store,
    index: Index,
    board: Board,
    clock: Clock,
    auth: Auth,
    limits: Limits,
    questions: Arc<Semaphore>,
    long_questions: Arc<Semaphore>,
    export_pieces: Arc<Semaphore>,
    tail_pieces: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    /// Cancelled when the service stops: whatever goes on and on then ends.
    stopping: CancellationToken,
    /// In the hands of the work for one request: calls it off when nobody waits for it.
    call_off: CallOff,
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
            limits: Limits::default(),
            questions: at_once(MAX_QUESTIONS),
            long_questions: at_once(MAX_LONG_QUESTIONS),
            export_pieces: at_once(MAX_PIECES),
            tail_pieces: at_once(MAX_PIECES),
            exports: at_once(MAX_EXPORTS),
            tails: at_once(MAX_TAILS),
            stopping: CancellationToken::new(),
            call_off: CallOff::default(),
        }
    }

    /// With other limits than the usual ones.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self {
            limits,
            tails: Arc::new(Semaphore::new(limits.tails)),
            ..self
        }
    }

    /// What can be asked now, by one question, which is cut off when it takes too long.
    fn snapshot(&self) -> Snapshot {
        self.index.snapshot().until(self.deadline())
    }

    /// When what is begun now is cut off.
    fn deadline(&self) -> Deadline {
        Deadline::after(&self.clock, self.limits.looking).or(self.call_off.clone())
    }

    /// Works a question out where it may block, in its turn.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.work(&self.questions, Some(&self.long_questions), question)
            .await
    }

    /// As [`AppState::ask`], for a piece of an export.
    async fn export<T: Send + 'static>(
        &self,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.work(&self.export_pieces, None, piece).await
    }

    /// As [`AppState::ask`], for a piece of a tail.
    async fn tail<T: Send + 'static>(
        &self,
        piece: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.work(&self.tail_pieces, None, piece).await
    }

    /// Works something out in its turn. Where there are turns for long work, one that takes long goes on in one of these; when
    /// there is none and somebody waits, it is called off. So is what nobody waits for any more, it being too late or the
    /// client gone.
    async fn work<T: Send + 'static>(
        &self,
        turns: &Arc<Semaphore>,
        long_turns: Option<&Arc<Semaphore>>,
        question: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let waited_for = WaitedFor(CallOff::default());
        let state = Self {
            call_off: waited_for.0.clone(),
            ..self.clone()
        };
        let Limits { quick, waiting, .. } = self.limits;
        let work = async {
            let turn = Turn::of(Arc::clone(turns).acquire_owned().await.ok());
            let held = turn.clone();
            let mut working = pin!(task::blocking(move || {
                // Held until the work is done, also when nobody waits for it any more.
                let _held = held;
                question(&state)
                    .map_err(|problem| problem.or_rebuilding(state.index.is_rebuilding()))
            }));
            while let Some(long_turns) = long_turns {
                tokio::select! {
                    done = &mut working => return done,
                    () = tokio::time::sleep(quick) => {}
                }
                if let Ok(long) = Arc::clone(long_turns).try_acquire_owned() {
                    turn.give_for(long);
                    break;
                }
                if turns.available_permits() == 0 {
                    return Err(Problem::too_many("long questions", MAX_LONG_QUESTIONS));
                }
            }
            working.await
        };
        tokio::time::timeout(waiting, work)
            .await
            .unwrap_or_else(|_| Err(Problem::too_slow(waiting)))
    }
}

/// A turn, shared by the work and by whoever waits for it.
#[derive(Clone)]
struct Turn(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Turn {
    fn of(permit: Option<OwnedSemaphorePermit>) -> Self {
        Self(Arc::new(Mutex::new(permit)))
    }

    /// Gives the turn to the next in the row, having another instead.
    fn give_for(&self, other: OwnedSemaphorePermit) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(other);
    }
}

/// Calls work off when it is no longer waited for.
struct WaitedFor(CallOff);

impl Drop for WaitedFor {
    fn drop(&mut self) {
        self.0.call_off();
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
        .route("/v1/events/{seq}/diff", get(pivot::diff))
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
pub async fn serve(listener: TcpListener, state: AppState, stop: CancellationToken) {
    let state = AppState {
        stopping: stop.clone(),
        ..state
    };
    let cut = CancellationToken::new();
    let patience = Patience {
        hearing: state.limits.hearing,
        stalling: state.limits.stalling,
    };
    let answering = line::answer(listener, router(state), patience, stop.clone(), cut.clone());
    let last_call = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
        cut.cancel();
        std::future::pending().await
    };
    tokio::select! {
        () = answering => {}
        () = last_call => {}
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

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::durable::Breaker;

    fn app(dir: &std::path::Path) -> AppState {
        let store = Store::open(dir, Breaker::default()).unwrap();
        let breaker = Breaker::default();
        let (index, _) = Index::open(dir, store.log_id(), store.head(), breaker).unwrap();
        let clock = Clock::system();
        AppState::new(store, index, Board::default(), clock, Auth::None).with_limits(Limits {
            looking: TimeDelta::days(1),
            waiting: Duration::from_secs(60),
            ..Limits::default()
        })
    }

    #[tokio::test]
    async fn what_is_asked_is_called_off_when_the_client_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path());
        let (begin, begun) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let asked = app.ask(move |app| {
            let deadline = app.deadline();
            begin.send(()).unwrap();
            while !deadline.has_passed() {
                std::thread::yield_now();
            }
            end.send(()).unwrap();
            Ok(())
        });
        tokio::select! {
            _ = asked => panic!("nothing ends it yet"),
            begun = begun => begun.unwrap(),
        }
        ended.await.unwrap();
        // The next one has all of its time.
        let next = app.ask(|app| Ok(app.deadline().has_passed()));
        assert!(!next.await.unwrap());
    }
}
