//! `/v1/alerts/stream`: changes of alerts as they are made, as server-sent events.
//!
//! Each stream reads the order of changes in the log at its own pace, from the place it has come to: nothing is queued for it, and
//! announcements of changes only wake it.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::RawQuery;
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::alerts::{filter, filter_parameters, reader};
use super::connection::Exchange;
use super::openapi::{ParameterKind, Route, header as described_header, query};
use super::params::{Given, bad};
use super::principal::Principal;
use super::problem::Problem;
use super::recording::Streamed;
use super::scoped::ScopedApp;
use super::stream::{HEARTBEAT, LAST_EVENT_ID, RETRY_MS, event_stream, sent_place};
use crate::alert::Alert;
use crate::store::alerts::{AlertFilter, AlertReader, ChangePlace, LoggedChange};
use crate::wording::quoted;
use orgtrail_cloudflare::json;

/// The parameters.
const PARAMETERS: [&str; 4] = ["rule", "level", "state", LAST_EVENT_ID[1]];

/// How many changes are looked at in one piece.
const MAX_PIECE: usize = 100;

/// A stream under way.
struct AlertTail {
    app: ScopedApp,
    filter: AlertFilter,
    reader: AlertReader,
    changes: watch::Receiver<i64>,
    has_greeted: bool,
    /// The place up to which it has looked.
    at: ChangePlace,
    /// The last place up to there that the principal may see: the one that is sent.
    shown: ChangePlace,
    heartbeat: Instant,
    _place: OwnedSemaphorePermit,
    /// One of the principal's own streams.
    _stream: Option<OwnedSemaphorePermit>,
    exchange: Option<Arc<Exchange>>,
    principal: Principal,
    streamed: Streamed,
}

/// A change as it is sent: the alert as it is now, and what happened to it.
#[derive(Serialize)]
struct ShownChange<'a> {
    change: &'static str,
    #[serde(flatten)]
    alert: &'a Alert,
}

/// What a piece found.
struct AlertPiece {
    messages: String,
    sent: usize,
    has_more: bool,
}

pub(super) async fn follow(
    app: ScopedApp,
    Extension(principal): Extension<Principal>,
    exchange: Option<Extension<Arc<Exchange>>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let given = Given::read(query.as_deref(), &PARAMETERS)?;
    let filter = filter(&given, app.clock.now())?;
    let own = app.access.usage().stream(&principal, app.clock.steady())?;
    let place = app.tails.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::too_many("tails", app.limits.tails))?;
    let changes = app.store.alert_changes();
    let reader = reader(&principal);
    let begin = {
        let reader = reader.clone();
        move |app: &ScopedApp| begin(app, &reader, sent_place(&headers, &given)?)
    };
    let (at, shown) = app.tail(begin).await?;
    let streamed = Streamed::default();
    let tail = AlertTail {
        filter,
        reader,
        changes,
        has_greeted: false,
        at,
        shown,
        heartbeat: Instant::now() + HEARTBEAT,
        _place: place,
        _stream: own,
        exchange: exchange.map(|Extension(exchange)| exchange),
        principal,
        streamed: streamed.clone(),
        app,
    };
    let body = Body::from_stream(stream::unfold(tail, next_piece));
    Ok(event_stream(body, streamed))
}

/// The place from which is looked, and the one that is sent for it. Without a place that the client sends, a stream begins now.
fn begin(
    app: &ScopedApp,
    reader: &AlertReader,
    sent: Option<&str>,
) -> Result<(ChangePlace, ChangePlace), Problem> {
    let (newest, visible) = app.store.newest_alert_change(reader)?;
    let Some(text) = sent else {
        return Ok((newest, visible));
    };
    let place: ChangePlace = text.parse().map_err(|()| {
        let detail = format!("{} is no place in this stream", quoted(text));
        bad(LAST_EVENT_ID[1], detail)
    })?;
    // After a clock that was wrong, the newest change may be after the present.
    let latest = app.clock.now().timestamp_micros().max(visible.moment_us);
    if place.moment_us > latest {
        let detail = format!("{} is after the present", quoted(text));
        return Err(bad(LAST_EVENT_ID[1], detail));
    }
    Ok((place.clone(), place))
}

/// What is sent next; nothing more when the service stops, or after a failure, which is logged: the client comes back and
/// goes on where it was.
async fn next_piece(mut tail: AlertTail) -> Option<(Result<Bytes, Infallible>, AlertTail)> {
    if !tail.has_greeted {
        tail.has_greeted = true;
        // With its place, so that a client whose connection breaks before the first change misses none.
        let shown = &tail.shown;
        let greeting = format!(": orgtrail\nretry: {RETRY_MS}\nid: {shown}\n\n");
        return Some((Ok(greeting.into()), tail));
    }
    let app = tail.app.clone();
    loop {
        let now = app.clock.now();
        if !app.access.still_answers(&tail.principal, now).await {
            return None;
        }
        // Registered before looking: what is announced meanwhile wakes the next look.
        tail.changes.mark_unchanged();
        let look = app.tail(move |app| {
            let piece = tail.look(app)?;
            Ok((piece, tail))
        });
        let (piece, mut resting) = tokio::select! {
            look = look => look.ok()?,
            () = app.stopping.cancelled() => return None,
        };
        if !piece.messages.is_empty() {
            resting.heartbeat = Instant::now() + HEARTBEAT;
            let held = app
                .response_memory
                .hold(piece.messages.into(), resting.exchange.as_ref());
            let held = held.await?;
            resting.streamed.add(piece.sent);
            return Some((Ok(held), resting));
        }
        if !piece.has_more {
            tokio::select! {
                () = app.stopping.cancelled() => return None,
                Ok(()) = resting.changes.changed() => {}
                () = tokio::time::sleep_until(resting.heartbeat) => {
                    // An id without data moves the client's place on, though nothing there was for it.
                    let heartbeat = format!(": heartbeat\nid: {}\n\n", resting.shown);
                    resting.heartbeat = Instant::now() + HEARTBEAT;
                    return Some((Ok(heartbeat.into()), resting));
                }
            }
        }
        tail = resting;
    }
}

impl AlertTail {
    /// Looks at the next changes.
    fn look(&mut self, app: &ScopedApp) -> Result<AlertPiece, Problem> {
        let found = app
            .store
            .alert_changes_after(&self.at, &self.reader, MAX_PIECE)?;
        self.at = found.upto;
        if let Some(last) = found.changes.last() {
            self.shown = last.place.clone();
        }
        let mut piece = AlertPiece {
            messages: String::new(),
            sent: 0,
            has_more: found.has_more,
        };
        let wanted = found.changes.iter();
        for logged in wanted.filter(|logged| self.filter.has(&logged.alert)) {
            piece.messages.push_str(&message(logged)?);
            piece.sent += 1;
        }
        Ok(piece)
    }
}

fn message(logged: &LoggedChange) -> Result<String, Problem> {
    let data = serde_json::to_string(&ShownChange {
        change: logged.change.as_str(),
        alert: &logged.alert,
    })?;
    let mut message = String::new();
    let (place, data) = (&logged.place, json::one_line(&data));
    write!(message, "id: {place}\ndata: {data}\n\n").unwrap_or_default();
    Ok(message)
}

/// The description of the route here.
pub(super) fn describe() -> Vec<Route> {
    let last = "Goes on after the change at this place, without a gap. Without it the stream begins now; `0` is the beginning.";
    vec![
    filter_parameters(Route::get(
        "/v1/alerts/stream",
        "stream_alerts",
        "Receive changes of alerts as they are made, as server-sent events",
    ))
    .about("The data of each message is the alert as it is now, with `change`: `raised`, `updated` (other events, or a person changed it) or `retracted`. Its `id` is the place of the change. Every 15 seconds there is a heartbeat, which moves the id on too.")
    .with(query(LAST_EVENT_ID[1], ParameterKind::Text, last))
    .with(described_header("Last-Event-ID", ParameterKind::Text, "The same, as browsers send it. It counts before the parameter."))
    .answers_text("text/event-stream", "A stream of changes that does not end.")
    .example("Every change of alerts that are open", "/v1/alerts/stream", &[("state", "open"), (LAST_EVENT_ID[1], "0")]),
    ]
}
