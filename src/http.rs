//! The thin HTTP face: who may ask, which question that is, and its answer as JSON.
//!
//! A handler takes the request apart, calls one function, and wraps what comes back; the questions themselves are
//! [`crate::search`]'s business. Whatever goes wrong leaves as `application/problem+json` (RFC 9457).

mod access;
mod access_log;
mod access_writer;
mod admission;
mod assertion;
mod bucket;
mod connection;
mod cors;
mod counted;
mod coverage;
mod coverage_cursor;
mod etag;
mod events;
mod export;
mod failures;
mod fair;
mod form;
mod guard;
mod limit;
mod metrics;
mod openapi;
mod panics;
mod params;
mod parse;
mod people;
mod pivot;
mod principal;
mod problem;
mod proxy;
mod recording;
mod request_body;
mod response_memory;
mod scoped;
mod searches;
mod session;
mod shown;
mod status;
mod strangers;
mod stream;
mod tally;
mod ui;
mod v4;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler as _;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use orgtrail_cloudflare::request::BASE_PATH;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::access::Permission;
use crate::clock::{Cancel, Clock, Deadline};
use crate::engine::Engine;
use crate::follow::board::FollowerBoard;
use crate::health::Board;
use crate::metrics::Metrics;
use crate::search::Pivot;
use crate::store::Store;

pub use self::access::{Access, AccessSettings};
pub use self::admission::Limits;
use self::admission::{
    Exports, MAX_LONG_QUESTIONS, MAX_PIECES, MAX_QUESTIONS, MAX_TAIL_PATTERNS_KIB, MAX_WAITING,
    SPARE_CONNECTIONS,
};
use self::connection::ConnectionTimeouts;
use self::fair::FairPermits;
use self::guard::{Needs, Required};
use self::metrics::Scrapes;
use self::openapi::Description;
use self::panics::Panics;
use self::problem::Problem;
use self::response_memory::ResponseMemory;

/// How long a stop waits for answers under way.
const GRACE: Duration = Duration::from_secs(5);

/// What the handlers need. A clone costs a few reference counts.
#[derive(Clone)]
pub struct AppState {
    store: Store,
    engine: Engine,
    board: Board,
    followers: FollowerBoard,
    metrics: Metrics,
    scrapes: Scrapes,
    clock: Clock,
    access: Access,
    limits: Limits,
    questions: FairPermits,
    long_questions: Arc<Semaphore>,
    /// The questions that wait for their turn or have one.
    waiting: Arc<Semaphore>,
    export_pieces: Arc<Semaphore>,
    tail_pieces: Arc<Semaphore>,
    exports: Exports,
    tails: Arc<Semaphore>,
    /// The memory for the patterns of all tails, in KiB.
    tail_patterns: Arc<Semaphore>,
    response_memory: ResponseMemory,
    panics: Panics,
    /// Cancelled when the service stops: exports and tails then end.
    stopping: CancellationToken,
    /// Cancels the work for one request when its client is gone.
    cancel: Cancel,
}

impl AppState {
    /// What is asked is answered from `store` and `engine`; how the sources are doing, from `board`.
    #[must_use]
    pub fn new(store: Store, engine: Engine, board: Board, clock: Clock, access: Access) -> Self {
        let at_once = |n| Arc::new(Semaphore::new(n));
        Self {
            store,
            engine,
            board,
            followers: FollowerBoard::default(),
            metrics: Metrics::default(),
            scrapes: Scrapes::default(),
            clock,
            access,
            limits: Limits::default(),
            questions: FairPermits::new(MAX_QUESTIONS),
            long_questions: at_once(MAX_LONG_QUESTIONS),
            waiting: at_once(MAX_WAITING),
            export_pieces: at_once(MAX_PIECES),
            tail_pieces: at_once(MAX_PIECES),
            exports: Exports::default(),
            tails: at_once(Limits::default().tails),
            tail_patterns: at_once(MAX_TAIL_PATTERNS_KIB),
            response_memory: ResponseMemory::default(),
            panics: Panics::default(),
            stopping: CancellationToken::new(),
            cancel: Cancel::default(),
        }
    }

    /// With the board on which the followers of the log report.
    #[must_use]
    pub fn with_followers(self, followers: FollowerBoard) -> Self {
        Self { followers, ..self }
    }

    /// With the metrics that `/metrics` reports, to which the routes add theirs.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// With other limits than the usual ones.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        // Some connections are left for those who ask something else.
        let spare = limits.connections.saturating_sub(SPARE_CONNECTIONS).max(1);
        let limits = Limits {
            tails: limits.tails.min(spare),
            ..limits
        };
        Self {
            limits,
            waiting: Arc::new(Semaphore::new(MAX_WAITING.min(spare))),
            tails: Arc::new(Semaphore::new(limits.tails)),
            response_memory: ResponseMemory::new(limits.unread, limits.slow, limits.room_within),
            ..self
        }
    }

    /// When what is begun now is cut off.
    fn deadline(&self) -> Deadline {
        Deadline::after(&self.clock, self.limits.looking).or(self.cancel.clone())
    }
}

/// All routes.
fn router(state: AppState) -> Router {
    let needs = |credential, action, takes_forms| Needs {
        app: state.clone(),
        credential,
        action,
        takes_forms,
    };
    let guard_with = |routes: Router<AppState>, needs| {
        routes.route_layer(middleware::from_fn_with_state(needs, guard::check))
    };
    let guarded = |routes, credential, action| guard_with(routes, needs(credential, action, false));
    let asked = |routes, permission, action| {
        guard_with(routes, needs(Required::With(permission), action, true))
    };
    let unknown = middleware::from_fn_with_state(
        needs(Required::Any, recording::REFUSED, false),
        guard::check_unknown,
    );
    let exports = Router::new().route("/v1/export", by_get_or_post(export::export));
    let monitoring = Router::new().route("/metrics", get(metrics::scrape));
    let administration = Router::new().route("/v1/access-log", get(access_log::list));
    let searches = Router::new()
        .route("/v1/searches", get(searches::list).post(searches::save))
        .route("/v1/searches/{id}", delete(searches::delete));
    // Without a credential: for clients that have none yet, and for operators.
    let session = Router::new().route("/v1/session", post(session::begin).delete(session::end));
    let operation = Router::new()
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz));
    let panics = state.panics.clone();
    let measure = middleware::from_fn_with_state(state.clone(), metrics::measure);
    let of_cloudflare = guarded(v4::routes(), Required::With(Permission::Search), "search");
    asked(questions(), Permission::Search, "search")
        .merge(of_cloudflare)
        .merge(asked(exports, Permission::Export, "export"))
        .route_layer(measure)
        .merge(guarded(
            monitoring,
            Required::With(Permission::Metrics),
            "metrics",
        ))
        .merge(guarded(
            administration,
            Required::With(Permission::Admin),
            "access-log",
        ))
        .merge(guarded(
            searches,
            Required::With(Permission::Search),
            "searches",
        ))
        .merge(guarded(session, Required::Nothing, "session"))
        .merge(operation)
        .merge(openapi::routes(|| &DESCRIPTION))
        .merge(ui::routes())
        .fallback(unknown_route.layer(unknown.clone()))
        .method_not_allowed_fallback(method_not_allowed.layer(unknown))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            guard::check_origin,
        ))
        .layer(CatchPanicLayer::custom(move |_| panics.answer()))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            response_memory::hold_answer,
        ))
        .layer(middleware::from_fn(v4::wrap_errors))
        // Outside the memory of unread answers: what is held is read only as fast as its client reads.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(middleware::from_fn(finish))
        .with_state(state)
}

/// A question that can be asked with either method.
fn by_get_or_post<H, T>(handler: H) -> MethodRouter<AppState>
where
    H: axum::handler::Handler<T, AppState>,
    T: 'static,
{
    get(handler.clone()).post(handler)
}

/// The description of all routes, made once.
static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| Description::of(described()));

/// All routes as they are described, in the groups that the description has.
fn described() -> Vec<(openapi::RouteGroup, Vec<openapi::Route>)> {
    use openapi::RouteGroup;
    let events = [events::describe(), pivot::describe(), stream::describe()];
    let operation = [
        status::describe_operation(),
        openapi::describe(),
        ui::describe(),
        session::describe(),
    ];
    let sources = [status::describe(), coverage::describe()];
    vec![
        (RouteGroup::EVENTS, events.concat()),
        (RouteGroup::NUMBERS, tally::describe()),
        (
            RouteGroup::QUERIES,
            [parse::describe(), searches::describe()].concat(),
        ),
        (RouteGroup::PROFILES, pivot::describe_profiles()),
        (RouteGroup::EXPORT, export::describe()),
        (RouteGroup::SOURCES, sources.concat()),
        (RouteGroup::PEOPLE, people::describe()),
        (RouteGroup::PRINCIPAL, session::describe_me()),
        (RouteGroup::CLOUDFLARE, v4::describe()),
        (RouteGroup::ADMINISTRATION, access_log::describe()),
        (RouteGroup::MONITORING, metrics::describe()),
        (RouteGroup::OPERATION, operation.concat()),
    ]
}

/// The routes of questions.
fn questions() -> Router<AppState> {
    Router::new()
        .route("/v1/events", by_get_or_post(events::list))
        .route("/v1/events/stream", by_get_or_post(stream::tail))
        .route("/v1/events/{seq}", by_get_or_post(events::one))
        .route("/v1/events/{seq}/history", by_get_or_post(pivot::history))
        .route("/v1/events/{seq}/diff", by_get_or_post(pivot::diff))
        .route("/v1/events/{seq}/around", by_get_or_post(pivot::around))
        .route("/v1/count", by_get_or_post(events::count))
        .route("/v1/facets", by_get_or_post(tally::facets))
        .route("/v1/histogram", by_get_or_post(tally::histogram))
        .route("/v1/fields", by_get_or_post(tally::fields))
        .route("/v1/fields/{name}/values", by_get_or_post(tally::values))
        .route("/v1/actors/{value}", pivot::seen_with(Pivot::Actor))
        .route("/v1/tokens/{value}", pivot::seen_with(Pivot::Token))
        .route("/v1/ips/{value}", pivot::seen_with(Pivot::Ip))
        .route("/v1/resources/{value}", pivot::seen_with(Pivot::Resource))
        .route("/v1/parse", by_get_or_post(parse::parse))
        .route("/v1/sources", by_get_or_post(status::sources))
        .route("/v1/coverage", by_get_or_post(coverage::list))
        .route("/v1/members", by_get_or_post(people::members))
        .route("/v1/accounts", by_get_or_post(people::accounts))
        .route("/v1/me", get(session::me))
}

/// Answers on `listener` until `stop`; what is being answered then is finished, as far as that takes no longer than a few
/// seconds. Exports break off visibly, and tails end.
pub async fn serve(listener: TcpListener, state: AppState, stop: CancellationToken) {
    let state = AppState {
        stopping: stop.clone(),
        ..state
    };
    let cut = CancellationToken::new();
    let timeouts = ConnectionTimeouts {
        request_header: state.limits.request_header,
        write_stall: state.limits.write_stall,
    };
    let (most, panics) = (state.limits.connections, state.panics.clone());
    let (access, clock) = (state.access.clone(), state.clock.clone());
    let router = router(state);
    let answering = connection::answer(
        listener,
        router,
        (timeouts, most),
        panics,
        stop.clone(),
        cut.clone(),
    );
    let last_call = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
        cut.cancel();
        std::future::pending().await
    };
    let answered = CancellationToken::new();
    let answering = async {
        tokio::select! {
            () = answering => {}
            () = last_call => {}
        }
        answered.cancel();
    };
    tokio::join!(answering, access.write_log(&clock, answered.clone()));
}

async fn unknown_route(uri: Uri) -> Problem {
    match uri.path().strip_prefix(BASE_PATH) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Problem::no_route(),
        _ => Problem::unknown_route(uri.path()),
    }
}

async fn method_not_allowed() -> Problem {
    Problem::method_not_allowed()
}

/// Adds the security headers to every response.
async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}
