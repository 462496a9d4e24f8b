//! The HTTP API: checks who asks, reads the request, answers in JSON.
//!
//! A handler takes the request apart, calls one function, and wraps what comes back; the questions themselves are
//! [`crate::search`]'s business. Whatever goes wrong leaves as `application/problem+json` (RFC 9457).

mod access;
mod access_log;
mod access_writer;
mod admission;
mod alert_stream;
mod alerts;
mod assertion;
mod bucket;
mod certificate;
mod connection;
mod cors;
mod counted;
mod coverage;
mod coverage_cursor;
mod encoding;
mod etag;
mod events;
mod evidence;
mod export;
mod exports;
mod failures;
mod fair;
mod feeds;
mod fixed_answer;
mod form;
mod guard;
mod held_answer;
mod holding_body;
mod holds;
mod limit;
mod limits;
mod list_params;
mod log_facts;
mod long_turns;
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
mod readiness;
mod recorded_parameters;
mod recording;
mod request_body;
mod response_memory;
mod rules;
mod scoped;
mod searches;
mod session;
mod shown;
mod state;
mod status;
mod stream;
mod tally;
mod tally_params;
mod trouble;
mod turn;
mod ui;
mod unauthenticated;
mod v4;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler as _;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, patch, post};
use orgtrail_cloudflare::request::BASE_PATH;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::access::Permission;
use crate::search::Pivot;

pub use self::access::{Access, AccessSettings};
use self::connection::{Answering, Client, ConnectionTimeouts};
use self::encoding::HasEncoder;
use self::form::by_get_or_post;
use self::guard::{Needs, Required};
pub use self::limits::Limits;
use self::openapi::Description;
use self::problem::Problem;
pub use self::state::AppState;

/// How long a stop waits for answers under way.
const GRACE: Duration = Duration::from_secs(5);

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
    let holds = Router::new().route("/v1/holds", get(holds::list));
    // Without a credential: for clients that have none yet, and for operators.
    let session = Router::new().route("/v1/session", post(session::begin).delete(session::end));
    let operation = Router::new().route("/healthz", get(status::healthz));
    let readiness = Router::new().route("/readyz", get(status::readyz));
    let measure = middleware::from_fn_with_state(state.clone(), metrics::measure);
    let of_cloudflare = guarded(v4::routes(), Required::With(Permission::Search), "search");
    let routes = asked(questions(), Permission::Search, "search")
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
            holds,
            Required::With(Permission::Admin),
            "hold.list",
        ))
        .merge(guarded(
            searches(),
            Required::With(Permission::Search),
            "searches",
        ))
        .merge(guarded(
            work_on_alerts(),
            Required::With(Permission::Alerts),
            "alert.update",
        ))
        .merge(guarded(feeds(), Required::Feed, "alert.feed"))
        .merge(guarded(session, Required::Nothing, "session"))
        .merge(guarded(evidence::routes(), Required::WholeLog, "evidence"))
        .merge(guarded(readiness, Required::IfSent, "ready"))
        .merge(operation)
        .merge(openapi::routes(|| &DESCRIPTION))
        .merge(ui::routes())
        .fallback(unknown_route.layer(unknown.clone()))
        .method_not_allowed_fallback(method_not_allowed.layer(unknown));
    layered(routes, state)
}

/// The routes of saved searches.
fn searches() -> Router<AppState> {
    Router::new()
        .route("/v1/searches", get(searches::list).post(searches::save))
        .route("/v1/searches/{id}", delete(searches::delete))
}

/// The route by which people work on alerts.
fn work_on_alerts() -> Router<AppState> {
    Router::new().route("/v1/alerts/{id}", patch(alerts::update))
}

/// The routes of feeds.
fn feeds() -> Router<AppState> {
    Router::new()
        .route("/v1/alerts/feed.atom", get(feeds::atom))
        .route("/v1/alerts/feed.json", get(feeds::json))
}

/// The routes with what is done for all of them.
fn layered(routes: Router<AppState>, state: AppState) -> Router {
    let panics = state.panics.clone();
    routes
        .layer(middleware::from_fn_with_state(
            state.clone(),
            guard::check_origin,
        ))
        .layer(CatchPanicLayer::custom(move |_| panics.answer()))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            held_answer::hold_answer,
        ))
        .layer(middleware::from_fn(v4::wrap_errors))
        // Outside the memory of unread answers: what is held is read only as fast as its client reads.
        .layer(
            CompressionLayer::new()
                .quality(CompressionLevel::Fastest)
                .compress_when(HasEncoder),
        )
        .layer(middleware::from_fn(finish))
        .with_state(state)
}

/// The description of all routes, made once.
static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| Description::of(described()));

/// All routes as they are described, in the groups that the description has.
fn described() -> Vec<(openapi::RouteGroup, Vec<openapi::Route>)> {
    use openapi::RouteGroup;
    let events = [
        events::describe(),
        pivot::describe(),
        stream::describe(),
        evidence::describe(),
    ];
    let operation = [
        status::describe_operation(),
        openapi::describe(),
        ui::describe(),
        session::describe(),
    ];
    let sources = [status::describe(), coverage::describe()];
    let asked = openapi::by_get_or_post;
    let queries = [asked(parse::describe()), searches::describe()];
    vec![
        (RouteGroup::EVENTS, asked(events.concat())),
        (RouteGroup::NUMBERS, asked(tally::describe())),
        (RouteGroup::QUERIES, queries.concat()),
        (RouteGroup::PROFILES, asked(pivot::describe_profiles())),
        (RouteGroup::EXPORT, asked(export::describe())),
        (RouteGroup::SOURCES, asked(sources.concat())),
        (
            RouteGroup::ALERTS,
            [
                alerts::describe(),
                alert_stream::describe(),
                feeds::describe(),
                rules::describe(),
            ]
            .concat(),
        ),
        (RouteGroup::ALERT_WORK, alerts::describe_update()),
        (RouteGroup::PEOPLE, asked(people::describe())),
        (RouteGroup::PRINCIPAL, session::describe_me()),
        (RouteGroup::EVIDENCE, evidence::describe_log()),
        (RouteGroup::CLOUDFLARE, v4::describe()),
        (
            RouteGroup::ADMINISTRATION,
            [access_log::describe(), holds::describe()].concat(),
        ),
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
        .route("/v1/events/{seq}/proof", by_get_or_post(evidence::proof))
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
        .route("/v1/alerts", get(alerts::list))
        .route("/v1/alerts/stream", get(alert_stream::follow))
        .route("/v1/alerts/{id}", get(alerts::one))
        .route("/v1/rules", get(rules::list))
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
        handshake: state.limits.handshake,
        request_header: state.limits.request_header,
        write_stall: state.limits.write_stall,
    };
    let most = state.limits.connections;
    let (access, clock) = (state.access.clone(), state.clock.clone());
    let answering = Answering {
        timeouts,
        tls: state.tls.clone(),
        panics: state.panics.clone(),
        access: access.clone(),
        router: router(state),
    };
    let answering = connection::answer(listener, answering, most, stop.clone(), cut.clone());
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

/// For how long browsers that came by TLS ask this host by TLS only: a year.
const ONLY_BY_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds the security headers to every response.
async fn finish(request: Request, next: Next) -> Response {
    let client = request.extensions().get::<Arc<Client>>();
    let is_tls = client.is_some_and(|client| client.is_tls());
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
    if is_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, ONLY_BY_TLS);
    }
    response
}
