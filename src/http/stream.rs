//! `/v1/events/stream`: events as they become searchable, as server-sent events.
//!
//! Each tail reads the index's snapshots at its own pace, from the place it has come to: nothing is queued for it, so a slow
//! client is only late, and one that takes nothing any more is closed by its line. Announcements of commits only wake it.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::RawQuery;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::connection::Exchange;
use super::openapi::{ParameterKind, Route, header as described_header, query};
use super::params::{FILTERS, Given, bad, question};
use super::principal::Principal;
use super::problem::Problem;
use super::recording::Streamed;
use super::scoped::ScopedApp;
use super::shown::Fields;
use crate::engine::Order;
use crate::people::{self, KnownEvent};
use crate::position::Seq;
use crate::search::{self, Question, Tail};
use crate::wording::quoted;
use orgtrail_cloudflare::json;

/// How often something is said when there is nothing to tell, so that both ends know that the line is good.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often a tail looks whether the detection has read what it waits for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How soon a client is to come back after a break, in milliseconds.
pub(super) const RETRY_MS: u32 = 2_000;

/// The header and the parameter that say where to go on; the header is the later word.
pub(super) const LAST_EVENT_ID: [&str; 2] = ["last-event-id", "last_event_id"];

/// A tail under way.
struct Tailing {
    app: ScopedApp,
    tail: Tail,
    fields: Fields,
    commits: watch::Receiver<Seq>,
    has_greeted: bool,
    /// The last event up to which it has come, of those that the principal may see.
    at: Seq,
    /// When something is sent at the latest. It does not depend on events that the principal may not see.
    heartbeat: Instant,
    _place: OwnedSemaphorePermit,
    /// One of the principal's own streams.
    _stream: Option<OwnedSemaphorePermit>,
    /// Of the memory for the patterns of all tails.
    _patterns: Option<OwnedSemaphorePermit>,
    exchange: Option<Arc<Exchange>>,
    principal: Principal,
    streamed: Streamed,
}

pub(super) async fn tail(
    app: ScopedApp,
    Extension(principal): Extension<Principal>,
    exchange: Option<Extension<Arc<Exchange>>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let given = Given::read(
        query.as_deref(),
        &[&FILTERS[..], &LAST_EVENT_ID[1..], &["fields"]].concat(),
    )?;
    let fields = Fields::read(&given)?;
    let own = app.access.usage().stream(&principal, app.clock.steady())?;
    let place = app.tails.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::too_many("tails", app.limits.tails))?;
    let commits = app.engine.commits();
    let tail = app.tail(move |app| {
        let after = last_event_id(app, &headers, &given)?;
        let question = question(&given, Order::Ascending, app.clock.now())?;
        let mut tail = begin(app, question, after)?;
        let (view, caller) = app.asking();
        fields.check(&view, &caller)?;
        let patterns = match_in_memory(app, &mut tail);
        Ok((tail, patterns, fields))
    });
    let (tail, patterns, fields) = tail.await?;
    let streamed = Streamed::default();
    let tailing = Tailing {
        tail,
        fields,
        commits,
        _patterns: patterns,
        has_greeted: false,
        at: Seq(0),
        heartbeat: Instant::now() + HEARTBEAT,
        _place: place,
        _stream: own,
        exchange: exchange.map(|Extension(exchange)| exchange),
        principal,
        streamed: streamed.clone(),
        app,
    };
    let body = Body::from_stream(stream::unfold(tailing, next_piece));
    Ok(event_stream(body, streamed))
}

/// The answer that a stream of server-sent events is.
pub(super) fn event_stream(body: Body, streamed: Streamed) -> Response {
    let headers = [
        (header::CONTENT_TYPE.as_str(), "text/event-stream"),
        // For proxies that would rather collect a little first.
        ("x-accel-buffering", "no"),
    ];
    (headers, Extension(streamed), body).into_response()
}

/// Where the client says it has come to, as it sent it.
pub(super) fn sent_place<'a>(
    headers: &'a HeaderMap,
    given: &'a Given,
) -> Result<Option<&'a str>, Problem> {
    let [header, parameter] = LAST_EVENT_ID;
    let in_header = headers.get(header).and_then(|value| value.to_str().ok());
    Ok(in_header.or(given.one(parameter)?))
}

/// Where the client says it has come to.
fn last_event_id(
    app: &ScopedApp,
    headers: &HeaderMap,
    given: &Given,
) -> Result<Option<Seq>, Problem> {
    let parameter = LAST_EVENT_ID[1];
    let Some(text) = sent_place(headers, given)? else {
        return Ok(None);
    };
    let head = app.head()?;
    match text.parse() {
        Ok(seq) if Seq(seq) <= head => Ok(Some(Seq(seq))),
        Ok(_) => Err(bad(
            parameter,
            format!("this log has no event {text}: its newest is {head}"),
        )),
        Err(_) => Err(bad(
            parameter,
            format!("{} is no place in the log", quoted(text)),
        )),
    }
}

fn begin(app: &ScopedApp, question: Question, after: Option<Seq>) -> Result<Tail, Problem> {
    let (view, caller) = app.asking();
    search::check_names(&question.query, &view, &caller)?;
    let after = after.unwrap_or(view.seq());
    Ok(Tail::new(app.store.clone(), question, after))
}

/// Has new events held against the tail's question in memory, if there is room for its patterns; gives that room. Without it
/// the tail searches the index: it is slower, and finds the same.
fn match_in_memory(app: &ScopedApp, tail: &mut Tail) -> Option<OwnedSemaphorePermit> {
    let spare = app.tail_patterns.available_permits() * 1024;
    let bytes = tail.match_in_memory(&app.engine, app.scope(), spare);
    let kib = u32::try_from(bytes.div_ceil(1024)).ok()?;
    let room = app.tail_patterns.clone().try_acquire_many_owned(kib).ok();
    if room.is_none() {
        // Another one was faster.
        tail.match_in_memory(&app.engine, app.scope(), 0);
    }
    room
}

/// What is sent next; nothing more when the service stops, or after a failure, which is logged: the client comes back and
/// goes on where it was.
async fn next_piece(mut tailing: Tailing) -> Option<(Result<Bytes, Infallible>, Tailing)> {
    if !tailing.has_greeted {
        tailing.has_greeted = true;
        let greeting = format!(": orgtrail\nretry: {RETRY_MS}\n\n");
        return Some((Ok(greeting.into()), tailing));
    }
    let app = tailing.app.clone();
    loop {
        let now = app.clock.now();
        if !app.access.still_answers(&tailing.principal, now).await {
            return None;
        }
        // Registered before looking: what is announced meanwhile wakes the next look.
        tailing.commits.mark_unchanged();
        let piece = app.tail(move |app| {
            let (view, caller) = app.asking();
            let events = tailing.tail.next_events(&view, &caller)?;
            let mut events = people::with_known_people(&app.store, app.scope(), events)?;
            tailing.fields.cut(&mut events, &caller)?;
            if events.is_empty() {
                tailing.at = app.newest(&view, &caller, tailing.tail.at())?;
            }
            let waits = tailing.tail.waits(&view)?;
            Ok((messages(&events)?, events.len(), waits, tailing))
        });
        let (messages, n, waits, mut resting) = tokio::select! {
            piece = piece => piece.ok()?,
            () = app.stopping.cancelled() => return None,
        };
        if !messages.is_empty() {
            // Without room the tail ends: the client comes back and goes on where it was.
            resting.heartbeat = Instant::now() + HEARTBEAT;
            let held = app
                .response_memory
                .hold(messages.into(), resting.exchange.as_ref());
            let held = held.await?;
            resting.streamed.add(n);
            return Some((Ok(held), resting));
        }
        tokio::select! {
            () = app.stopping.cancelled() => return None,
            Ok(()) = resting.commits.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY), if waits => {}
            () = tokio::time::sleep_until(resting.heartbeat) => {
                // An id without data moves the client's place on, though nothing there was for it.
                let heartbeat = format!(": heartbeat\nid: {}\n\n", resting.at);
                resting.heartbeat = Instant::now() + HEARTBEAT;
                return Some((Ok(heartbeat.into()), resting));
            }
        }
        tailing = resting;
    }
}

fn messages(events: &[KnownEvent]) -> Result<String, Problem> {
    let mut messages = String::new();
    for event in events {
        let data = serde_json::to_string(event)?;
        let data = json::one_line(&data);
        write!(messages, "id: {}\ndata: {data}\n\n", event.event.seq).unwrap_or_default();
    }
    Ok(messages)
}

/// The description of the route here.
pub(super) fn describe() -> Vec<Route> {
    let last =
        "Goes on after the event at this place, without a gap. Without it the stream begins now.";
    vec![
        Route::get("/v1/events/stream", "stream_events", "Receive events as they arrive, as server-sent events")
            .about("Each message's `id` is the event's `seq`, and its data is the event as JSON. Every 15 seconds there is a heartbeat, which moves the id on too.")
            .filtered(&FILTERS)
            .takes(&["fields"])
            .with(query(LAST_EVENT_ID[1], ParameterKind::Place, last).such_as(4))
            .with(described_header("Last-Event-ID", ParameterKind::Place, "The same, as browsers send it. It counts before the parameter."))
            .answers_text("text/event-stream", "A stream of events that does not end.")
            .example(
                "The events after the fourth",
                "/v1/events/stream",
                &[(LAST_EVENT_ID[1], "4")],
            ),
    ]
}
