//! `/metrics`: what the service measures of itself, for Prometheus and others that read its formats.
//!
//! Most figures are in memory. Those that are read from the log and the disk (coverage above all, which looks at every source) are
//! kept for some seconds, and are read by one scrape at a time, where they may block. A scrape waits for no question: it has its
//! own few places.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use futures_util::stream;

use super::evidence;
use super::log_facts::{FactSources, LogFacts};
use super::openapi::Route;
use super::problem::{Problem, ProblemKind};
use super::state::AppState;
use crate::metrics::Gauges;

/// The length of the pieces in which an answer is sent: none needs room among the unread answers of questions.
const PIECE_BYTES: usize = 8 * 1024;

/// The name of the follower that fills the index.
const INDEX: &str = "index";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn scrape(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = app.scrapes.begin()?;
    let facts = facts(&app).await;
    let gauges = gauges(&app, facts.as_deref());
    let (content_type, text) = if is_old_format(&headers) {
        (PROMETHEUS_TEXT, app.metrics.prometheus_text(&gauges))
    } else {
        (OPEN_METRICS, app.metrics.open_metrics(&gauges))
    };
    let mut text = Bytes::from(text);
    let pieces = std::iter::from_fn(move || {
        // Held until the last piece is taken.
        let _place = &place;
        let length = text.len().min(PIECE_BYTES);
        (length > 0).then(|| Ok::<_, std::convert::Infallible>(text.split_to(length)))
    });
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
    let body = Body::from_stream(stream::iter(pieces));
    Ok((content_type, body).into_response())
}

/// What is known of the log and the disk; `None` when they cannot be read.
async fn facts(app: &AppState) -> Option<Arc<LogFacts>> {
    let sources = FactSources {
        store: app.store.clone(),
        engine: app.engine.clone(),
        board: app.board.clone(),
    };
    app.scrapes.facts(sources, &app.clock).await
}

/// Whether a client accepts Prometheus's older text format and not `OpenMetrics`.
fn is_old_format(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted: Vec<_> = accepted.filter_map(|value| value.to_str().ok()).collect();
    let names = |media_type: &str| accepted.iter().any(|value| value.contains(media_type));
    names("text/plain") && !names("application/openmetrics-text")
}

fn gauges(app: &AppState, facts: Option<&LogFacts>) -> Gauges {
    let head = app.store.head();
    let states = app.followers.states(head);
    let mut followers: BTreeMap<&'static str, u64> = states
        .iter()
        .map(|state| (state.name, state.lag()))
        .collect();
    // Before its first turn, the index itself says how far it has come.
    let behind = head.0.saturating_sub(app.engine.view().seq().0);
    followers.entry(INDEX).or_insert(behind);
    let in_memory = Gauges {
        quotas: app.metrics.quotas(app.clock.steady()),
        followers: followers.into_iter().collect(),
        missing_cosignatures: Some(evidence::missing_cosignatures(app)),
        access_lines_waiting: Some(app.access.writer().waiting() as u64),
        ..Gauges::default()
    };
    let Some(facts) = facts else {
        return in_memory;
    };
    let now = app.clock.now();
    let lag = |end: DateTime<Utc>| (now - end).num_milliseconds().max(0) as f64 / 1_000.0;
    let ends = facts.collected_to.iter();
    Gauges {
        source_lag: ends
            .map(|(source, end)| (source.clone(), lag(*end)))
            .collect(),
        gaps: facts.gaps.clone(),
        log_bytes: Some(facts.log_bytes),
        index_bytes: facts.index_bytes,
        disk_free_bytes: facts.disk_free_bytes,
        damaged_events: Some(facts.damaged_events),
        delivery_lag: Some(facts.delivering_since.map_or(0.0, lag)),
        ..in_memory
    }
}

/// A layer for the routes of questions: measures how long each takes until its answer begins, or counts that it was refused.
pub(super) async fn measure(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let began = Instant::now();
    let response = next.run(request).await;
    if !count_refusal(&app, &response)
        && let Some(route) = route
    {
        app.metrics.answered(route.as_str(), began.elapsed());
    }
    response
}

/// Counts a refusal, if a response is one.
pub(super) fn count_refusal(app: &AppState, response: &Response) -> bool {
    let is_refusal = matches!(
        response.status(),
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
    );
    let kind = response.extensions().get::<ProblemKind>();
    if let Some(kind) = kind.filter(|_| is_refusal) {
        app.metrics.refused(kind.name());
    }
    is_refusal
}

/// The description of the route here.
pub(super) fn describe() -> Vec<Route> {
    vec![
        Route::get("/metrics", "read_metrics", "Read what the service measures of itself")
            .about("A request that accepts `text/plain` and not OpenMetrics gets the older text format of Prometheus.")
            .answers_text(OPEN_METRICS, "The metrics.")
            .answers_text(PROMETHEUS_TEXT, "The metrics.")
            .example("All metrics", "/metrics", &[]),
    ]
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::clock::Clock;
    use crate::durable::Failpoints;
    use crate::engine::Engine;
    use crate::engine::tantivy::Index;
    use crate::health::Board;
    use crate::http::Access;
    use crate::http::log_facts::MAX_SCRAPES;
    use crate::position::Source;
    use crate::store::{SourceSeen, Store};

    fn app(dir: &std::path::Path) -> AppState {
        let store = Store::open(dir, Failpoints::default()).unwrap();
        let index = Index::unopened(dir, store.log_id(), Failpoints::default()).unwrap();
        AppState::new(
            store,
            Engine::Tantivy(index),
            Board::default(),
            Clock::system(),
            Access::open_to_this_machine(dir).unwrap(),
        )
    }

    async fn scraped(app: &AppState) -> String {
        let answer = scrape(State(app.clone()), HeaderMap::new()).await;
        let answer = answer.unwrap_or_else(|problem| problem.into_response());
        let text = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
        String::from_utf8(text.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_scrape_waits_for_no_question() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path());
        let count = u32::try_from(app.waiting.available_permits()).unwrap();
        let _taken = app.waiting.clone().try_acquire_many_owned(count).unwrap();
        let principal = "a".into();
        let mut questions = Vec::new();
        while !app.questions.is_exhausted() {
            questions.push(app.questions.acquire(&principal).await);
        }
        assert!(
            app.ask(|_| Ok(())).await.is_err(),
            "no question has a place"
        );
        assert!(scraped(&app).await.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn answers_that_are_not_read_take_few_places() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path());
        let mut unread = Vec::new();
        for _ in 0..MAX_SCRAPES {
            let answer = scrape(State(app.clone()), HeaderMap::new()).await;
            unread.push(answer.unwrap_or_else(|problem| problem.into_response()));
        }
        let refused = scrape(State(app.clone()), HeaderMap::new()).await;
        let refused = refused.unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        unread.clear();
        assert!(scraped(&app).await.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn a_scrape_of_many_sources_is_short_and_reads_the_log_once_in_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(dir.path());
        let now = app.clock.now();
        let seen: Vec<SourceSeen> = (0..501)
            .map(|n| SourceSeen {
                source: Source::account(&format!("{n:032x}")).unwrap(),
                organization: None,
                label: None,
                created_at: None,
            })
            .collect();
        app.store.save_sources(&seen, now).unwrap();
        let interval = Some(TimeDelta::minutes(1));
        for one in &seen {
            app.board
                .write(&one.source, |health| health.interval = interval);
        }
        let text = scraped(&app).await;
        let read = facts(&app).await.unwrap();
        let lags = text
            .lines()
            .filter(|line| line.starts_with("orgtrail_source_lag_seconds"));
        assert_eq!(lags.count(), 1);
        assert!(text.len() < 32 * 1024, "{} bytes", text.len());
        // The log has changed, and is not read again for it.
        app.store.save_sources(&seen[..1], now).unwrap();
        assert!(Arc::ptr_eq(&read, &facts(&app).await.unwrap()));
    }

    #[test]
    fn the_older_format_is_for_those_who_know_no_other() {
        let check = |accept: &[&'static str], expected: bool| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(is_old_format(&headers), expected, "{accept:?}");
        };
        check(&[], false);
        check(&["*/*"], false);
        check(&["text/plain"], true);
        check(&["text/plain;version=0.0.4;q=0.5, */*;q=0.1"], true);
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2";
        check(&[prometheus], false);
        check(&["text/plain", "application/openmetrics-text"], false);
    }
}
