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
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream;
use tokio::sync::{Mutex, Semaphore};
use tracing::warn;

use super::AppState;
use super::openapi::Route;
use super::problem::{Problem, ProblemKind};
use crate::coverage::{self, Asked, Reason};
use crate::engine::Scope;
use crate::metrics::Gauges;
use crate::position::Source;
use crate::store::StoreError;
use crate::task;

/// How long what was read from the log and the disk is used.
const FACTS_FOR: TimeDelta = TimeDelta::seconds(10);

/// How many scrapes may have an answer that is not read yet.
const MAX_SCRAPES: usize = 16;

/// The length of the pieces in which an answer is sent: none needs room among the unread answers of questions.
const PIECE_BYTES: usize = 8 * 1024;

/// The name of the follower that fills the index.
const INDEX: &str = "index";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What scrapes share. A clone is the same.
#[derive(Clone)]
pub(super) struct Scrapes {
    facts: Arc<Mutex<Option<Arc<LogFacts>>>>,
    places: Arc<Semaphore>,
}

impl Default for Scrapes {
    fn default() -> Self {
        Self {
            facts: Arc::default(),
            places: Arc::new(Semaphore::new(MAX_SCRAPES)),
        }
    }
}

/// What was read from the log and the disk.
struct LogFacts {
    /// When, by the steady clock.
    read_at: DateTime<Utc>,
    /// Up to when each source that is followed is collected without a break.
    collected_to: Vec<(String, DateTime<Utc>)>,
    gaps: Vec<(&'static str, i64)>,
    log_bytes: u64,
    index_bytes: Option<u64>,
    disk_free_bytes: Option<u64>,
    damaged_events: u64,
}

pub(super) async fn scrape(
    State(app): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = Arc::clone(&app.scrapes.places)
        .try_acquire_owned()
        .map_err(|_| Problem::too_many("scrapes", MAX_SCRAPES))?;
    let facts = facts(&app).await;
    let gauges = gauges(&app, facts.as_deref());
    let (content_type, text) = match is_old_format(&headers) {
        true => (PROMETHEUS_TEXT, app.metrics.prometheus_text(&gauges)),
        false => (OPEN_METRICS, app.metrics.open_metrics(&gauges)),
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

/// Whether a client accepts Prometheus's older text format and not `OpenMetrics`.
fn is_old_format(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted: Vec<_> = accepted.filter_map(|value| value.to_str().ok()).collect();
    let names = |media_type: &str| accepted.iter().any(|value| value.contains(media_type));
    names("text/plain") && !names("application/openmetrics-text")
}

/// What is known of the log and the disk; `None` when they cannot be read.
async fn facts(app: &AppState) -> Option<Arc<LogFacts>> {
    let mut kept = app.scrapes.facts.lock().await;
    let now = app.clock.steady();
    if let Some(facts) = kept.as_ref().filter(|one| now - one.read_at < FACTS_FOR) {
        return Some(Arc::clone(facts));
    }
    let reader = app.clone();
    *kept = match task::caught(move || LogFacts::read(&reader, now)).await {
        Ok(Ok(facts)) => Some(Arc::new(facts)),
        Ok(Err(error)) => {
            warn!(error = %error, "Some metrics could not be read from the log; they are left out.");
            None
        }
        Err(_) => None,
    };
    kept.clone()
}

impl LogFacts {
    fn read(app: &AppState, read_at: DateTime<Utc>) -> Result<Self, StoreError> {
        let now = app.clock.now();
        Ok(Self {
            read_at,
            collected_to: collected_to(app)?,
            gaps: gaps(app, now)?,
            log_bytes: app.store.file_bytes(),
            index_bytes: app.engine.file_bytes(),
            disk_free_bytes: app.store.free_bytes(),
            damaged_events: app.store.scrub_state()?.damaged,
        })
    }
}

/// Up to when each source that is followed is collected without a break. A source of which nothing is collected yet is behind
/// since it was first seen.
fn collected_to(app: &AppState) -> Result<Vec<(String, DateTime<Utc>)>, StoreError> {
    let rows = app.store.sources()?;
    let first_seen: BTreeMap<Source, DateTime<Utc>> = rows
        .into_iter()
        .map(|row| (row.source, row.first_seen_at))
        .collect();
    let mut ends = Vec::new();
    for (source, _) in app.board.followed() {
        let end = app.store.progress(&source)?.live_before;
        if let Some(end) = end.or_else(|| first_seen.get(&source).copied()) {
            ends.push((source.to_string(), end));
        }
    }
    Ok(ends)
}

/// Seconds of the sources' time that are not proven, for each reason that speaks of time. Of an organization whose list of
/// accounts is not known: the time since the list was last read.
fn gaps(app: &AppState, now: DateTime<Utc>) -> Result<Vec<(&'static str, i64)>, StoreError> {
    // Only principals who may see every source get a scrape: see `Principal::require`.
    let (scope, asked) = (Scope::everything(), Asked::default());
    let verdict = coverage::verdict(&app.store, Some(&app.board), &scope, &asked, now)?;
    let unlisted = coverage::accounts_unknown(&app.store, &scope, &asked, now)?;
    let mut unlisted_for = TimeDelta::zero();
    if !unlisted.is_empty() {
        let lists = app.store.account_lists()?;
        let rows = app.store.sources()?;
        for organization in unlisted {
            let read_at = lists.iter().find(|(source, _)| *source == organization);
            let since = read_at.and_then(|(_, at)| *at);
            let seen = rows.iter().find(|row| row.source == organization);
            let since = since.or(seen.map(|row| row.first_seen_at));
            unlisted_for += since.map_or(TimeDelta::zero(), |since| (now - since).abs());
        }
    }
    let reasons = Reason::ALL
        .into_iter()
        .filter(|reason| *reason != Reason::NotSearchableYet);
    Ok(reasons
        .map(|reason| {
            let total = verdict.missing_by_reason.get(&reason);
            let seconds = match reason {
                Reason::AccountsUnknown => unlisted_for.num_seconds(),
                _ => total.and_then(|total| total.seconds).unwrap_or_default(),
            };
            (reason.as_str(), seconds)
        })
        .collect())
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
    use super::*;
    use crate::clock::Clock;
    use crate::durable::Breaker;
    use crate::engine::Engine;
    use crate::engine::tantivy::Index;
    use crate::health::Board;
    use crate::http::Access;
    use crate::store::{SourceSeen, Store};

    fn app(dir: &std::path::Path) -> AppState {
        let store = Store::open(dir, Breaker::default()).unwrap();
        let index = Index::unopened(dir, store.log_id(), Breaker::default()).unwrap();
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
        let all = |turns: &Arc<Semaphore>| {
            let count = u32::try_from(turns.available_permits()).unwrap();
            Arc::clone(turns).try_acquire_many_owned(count).unwrap()
        };
        let _taken = [&app.long_questions, &app.waiting].map(all);
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
