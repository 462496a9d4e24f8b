//! `/v1/export`: the whole of an answer, as NDJSON or CSV.
//!
//! A piece is made when the client has taken the one before, so an export of any length costs the memory of a piece. When
//! one cannot be made, the answer breaks off without the end that HTTP marks it with: a file is never quietly short.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::params::{FILTERS, Given, bad, order, question};
use super::problem::Problem;
use super::{AppState, MAX_EXPORTS, TIME_LIMIT};
use crate::clock::Deadline;
use crate::event::AuditEvent;
use crate::json;
use crate::people::{self, KnownEvent};
use crate::search::{Export, csv};
use crate::store::Store;
use crate::wording::quoted;

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

    fn lines(self, store: &Store, events: Vec<AuditEvent>) -> Result<Vec<u8>, Problem> {
        match self {
            Self::Ndjson => ndjson(&people::introduce(store, events)?),
            Self::Csv => Ok(csv::rows(&events)?),
        }
    }
}

fn ndjson(events: &[KnownEvent]) -> Result<Vec<u8>, Problem> {
    let mut lines = Vec::new();
    for event in events {
        let line = serde_json::to_string(event)?;
        lines.extend_from_slice(json::one_line(&line).as_bytes());
        lines.push(b'\n');
    }
    Ok(lines)
}

/// An export under way.
struct Exporting {
    app: AppState,
    export: Export,
    format: Format,
    /// Written before the next events.
    head: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn export(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let given = Given::read(
        query.as_deref(),
        &[&FILTERS[..], &["format", "order"]].concat(),
    )?;
    let format = Format::read(&given)?;
    let question = question(&given, order(&given)?, app.clock.now())?;
    if app.index.is_rebuilding() {
        return Err(Problem::rebuilding());
    }
    let place = app.exports.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::too_many("exports", MAX_EXPORTS))?;
    let export = app.ask_for_piece(|app| {
        let (store, snapshot) = (app.store.clone(), app.index.snapshot());
        Ok(Export::new(store, snapshot, question)?)
    });
    let exporting = Exporting {
        export: export.await?,
        format,
        head: format.head()?,
        _place: place,
        app,
    };
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CONTENT_DISPOSITION, format.file_name()),
    ];
    let body = Body::from_stream(stream::try_unfold(exporting, next_piece));
    Ok((headers, body).into_response())
}

async fn next_piece(exporting: Exporting) -> io::Result<Option<(Bytes, Exporting)>> {
    let app = exporting.app.clone();
    let piece = app.ask_for_piece(move |app| {
        let mut exporting = exporting;
        let deadline = Deadline::after(&app.clock, TIME_LIMIT);
        let events = exporting.export.next_events(Some(deadline))?;
        let mut piece = std::mem::take(&mut exporting.head);
        piece.extend(exporting.format.lines(&app.store, events)?);
        Ok((piece, exporting))
    });
    let made = tokio::select! {
        made = piece => made.map_err(|_| io::Error::other("the export broke off"))?,
        () = app.stopping.cancelled() => return Err(io::Error::other("the service is stopping")),
    };
    let (piece, exporting) = made;
    Ok((!piece.is_empty()).then(|| (piece.into(), exporting)))
}
