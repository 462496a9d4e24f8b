//! `/v1/export`: the whole of an answer, as NDJSON or CSV.
//!
//! A piece is made when the client has taken the one before, and the events of the next one are read meanwhile, so an export of
//! any length costs the memory of two pieces. When one cannot be made, the answer breaks off without the end that HTTP marks it with: a file is never quietly short.

use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::RawQuery;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Exchange;
use super::exports::ExportPlace;
use super::openapi::{ParameterKind, Route, query};
use super::params::{FILTERS, Given, bad, order, question};
use super::principal::Principal;
use super::problem::Problem;
use super::recording::Streamed;
use super::scoped::ScopedApp;
use super::shown::Fields;
use crate::engine::Caller;
use crate::event::AuditEvent;
use crate::people::{self, KnownEvent};
use crate::search::{Export, SearchError, csv};
use crate::store::Store;
use crate::task;
use crate::wording::quoted;
use orgtrail_cloudflare::json;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Ndjson,
    Csv,
}

impl Format {
    fn read(given: &Given) -> Result<Self, Problem> {
        match given.one("format")? {
            None | Some("ndjson") => Ok(Self::Ndjson),
            Some("csv") => Ok(Self::Csv),
            Some(other) => {
                let detail = format!("{} is neither `ndjson` nor `csv`", quoted(other));
                Err(bad("format", detail))
            }
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Ndjson => "attachment; filename=\"events.ndjson\"",
            Self::Csv => "attachment; filename=\"events.csv\"",
        }
    }

    /// What stands before the first event.
    fn head(self) -> Result<Vec<u8>, Problem> {
        match self {
            Self::Ndjson => Ok(Vec::new()),
            Self::Csv => Ok(csv::header()?),
        }
    }

    fn lines(
        self,
        store: &Store,
        caller: &Caller,
        events: Vec<AuditEvent>,
        fields: &Fields,
    ) -> Result<Vec<u8>, Problem> {
        match self {
            Self::Ndjson => {
                let mut events = people::with_known_people(store, &caller.scope, events)?;
                fields.cut(&mut events, caller)?;
                ndjson(&events)
            }
            Self::Csv => Ok(csv::rows(&events)?),
        }
    }
}

fn ndjson(events: &[KnownEvent]) -> Result<Vec<u8>, Problem> {
    let mut lines = Vec::new();
    for event in events {
        let start = lines.len();
        serde_json::to_writer(&mut lines, event)?;
        json::keep_on_one_line(&mut lines[start..]);
        lines.push(b'\n');
    }
    Ok(lines)
}

/// An export under way.
struct Exporting {
    app: ScopedApp,
    export: Export,
    /// The events of the next piece, when they were read already, or why they cannot be.
    ahead: Option<Result<Vec<AuditEvent>, SearchError>>,
    format: Format,
    fields: Fields,
    /// What is made, and not sent yet.
    piece: Vec<u8>,
    place: ExportPlace,
    /// One of the principal's own streams.
    _stream: Option<OwnedSemaphorePermit>,
    exchange: Option<Arc<Exchange>>,
    principal: Principal,
    streamed: Streamed,
    /// The events in `piece`.
    events: usize,
}

impl Exporting {
    /// Adds the next events to what is sent next; nothing when there are no more. Their lines are made in halves, and the events
    /// after them are read, at the same time.
    fn make_piece(&mut self, app: &ScopedApp) -> Result<(), Problem> {
        let deadline = app.deadline();
        let mut events = match self.ahead.take() {
            Some(ahead) => ahead?,
            None => self.export.next_events(Some(deadline.clone()))?,
        };
        if events.is_empty() {
            return Ok(());
        }
        self.events += events.len();
        let (_, caller) = app.asking();
        let lines = |events| self.format.lines(&app.store, &caller, events, &self.fields);
        let second_half = events.split_off(events.len() / 2);
        let export = &mut self.export;
        let ((first, second), ahead) = task::both(
            || task::both(|| lines(events), || lines(second_half)),
            || export.next_events(Some(deadline)),
        );
        self.piece.extend(first?);
        self.piece.extend(second?);
        self.ahead = Some(ahead);
        Ok(())
    }
}

pub(super) async fn export(
    app: ScopedApp,
    Extension(principal): Extension<Principal>,
    exchange: Option<Extension<Arc<Exchange>>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let given = Given::read(
        query.as_deref(),
        &[&FILTERS[..], &["format", "order", "fields"]].concat(),
    )?;
    let (format, order) = (Format::read(&given)?, order(&given)?);
    let fields = Fields::read(&given)?;
    if format == Format::Csv && fields != Fields::default() {
        return Err(bad(
            "fields",
            "CSV has columns of its own: leave `fields` out",
        ));
    }
    if app.engine.is_rebuilding() {
        return Err(Problem::rebuilding());
    }
    if !app.engine.is_available() {
        return Err(Problem::unavailable());
    }
    let exchange = exchange.map(|Extension(exchange)| exchange);
    let own = app.access.usage().stream(&principal, app.clock.steady())?;
    let place = app
        .exports
        .begin(&principal, exchange.clone(), app.limits.slow_export)?;
    let streamed = Streamed::default();
    let (of_all_pieces, of_the_line) = (app.clone(), streamed.clone());
    let exporting = app.export(move |app| {
        let question = question(&given, order, app.clock.now())?;
        let (view, caller) = app.asking();
        fields.check(&view, &caller)?;
        let mut exporting = Exporting {
            export: Export::new(app.store.clone(), view, app.scope().clone(), question)?,
            ahead: None,
            format,
            fields,
            piece: format.head()?,
            place,
            _stream: own,
            exchange,
            principal,
            streamed: of_the_line,
            events: 0,
            app: of_all_pieces,
        };
        // Before anything is sent: what goes wrong at once can still be told.
        exporting.make_piece(app)?;
        Ok(exporting)
    });
    let exporting = exporting.await?;
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CONTENT_DISPOSITION, format.file_name()),
    ];
    let body = Body::from_stream(stream::try_unfold(exporting, next_piece));
    Ok((headers, Extension(streamed), body).into_response())
}

async fn next_piece(mut exporting: Exporting) -> io::Result<Option<(Bytes, Exporting)>> {
    exporting.place.note(false);
    let app = exporting.app.clone();
    let now = app.clock.now();
    if !app.access.still_answers(&exporting.principal, now).await {
        return Err(io::Error::other("the token or session has ended"));
    }
    if exporting.piece.is_empty() {
        let piece = app.export(move |app| {
            exporting.make_piece(app)?;
            Ok(exporting)
        });
        exporting = tokio::select! {
            made = piece => made.map_err(|_| io::Error::other("the export broke off"))?,
            () = app.stopping.cancelled() => return Err(io::Error::other("the service is stopping")),
        };
    }
    let piece = std::mem::take(&mut exporting.piece);
    if piece.is_empty() {
        return Ok(None);
    }
    let held = app
        .response_memory
        .hold(piece.into(), exporting.exchange.as_ref());
    let piece = held
        .await
        .ok_or_else(|| io::Error::other("other answers are not read"))?;
    exporting.place.note(true);
    exporting
        .streamed
        .add(std::mem::take(&mut exporting.events));
    Ok(Some((piece, exporting)))
}

/// The description of the route here.
pub(super) fn describe() -> Vec<Route> {
    vec![
        Route::get("/v1/export", "export_events", "Export all events of a question")
            .about("The answer is one snapshot. When it cannot go on, the connection breaks off: a download that ended normally is whole.")
            .filtered(&FILTERS)
            .takes(&["order", "fields"])
            .with(query("format", ParameterKind::Word(&["ndjson", "csv"]), "The form of the file."))
            .answers_text(Format::Ndjson.content_type(), "The events: one event of JSON a line, or CSV with a header.")
            .answers_text(Format::Csv.content_type(), "The events: one event of JSON a line, or CSV with a header.")
            .header("Content-Disposition")
            .example(
                "One day as JSON lines",
                "/v1/export",
                &[("since", "2026-08-03"), ("before", "2026-08-04")],
            ),
    ]
}
