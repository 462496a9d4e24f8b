//! `/v1/events`, `/v1/events/{seq}`, `/v1/count`.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;

use super::AppState;
use super::coverage::{self, Proven};
use super::params::{ListParams, read_filters};
use super::problem::Problem;
use crate::coverage::{Asked, Verdict};
use crate::index::{Range, Snapshot};
use crate::people::{self, KnownEvent};
use crate::position::Seq;
use crate::search::{self, Question};
use crate::wording::quoted;

/// A page of events.
#[derive(Serialize)]
pub(super) struct EventsPage {
    events: Vec<KnownEvent>,
    next_cursor: Option<String>,
    index: IndexState,
    coverage: Verdict,
}

/// A number of events.
#[derive(Serialize)]
pub(super) struct Count {
    count: u64,
    index: IndexState,
    coverage: Verdict,
}

/// What the answer was made of, beside what the log holds.
#[derive(Serialize)]
pub(super) struct IndexState {
    state: &'static str,
    searchable: Seq,
    held: Seq,
}

impl IndexState {
    pub(super) fn of(app: &AppState, snapshot: &Snapshot) -> Self {
        let (searchable, held) = (snapshot.seq(), app.store.head());
        let state = match app.index.is_rebuilding() {
            true => "rebuilding",
            false if searchable < held => "behind",
            false => "current",
        };
        Self {
            state,
            searchable,
            held,
        }
    }
}

/// What a question is about, for what is proven of it.
fn asked(query: Option<&str>, question: &Question) -> Asked {
    let Range {
        since_us,
        before_us,
    } = question.range;
    coverage::asked(query, since_us, before_us)
}

pub(super) async fn list(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<EventsPage>, Problem> {
    let ListParams {
        question,
        limit,
        cursor,
    } = ListParams::read(query.as_deref())?;
    let asked = asked(query.as_deref(), &question);
    let now = app.clock.now();
    let page = app.ask(move |app| {
        let proven = Proven::look(app, asked, now)?;
        let snapshot = app.index.snapshot();
        let answer = search::page(&app.store, &snapshot, &question, cursor.as_deref(), limit)?;
        let index = IndexState::of(app, &snapshot);
        Ok(EventsPage {
            events: people::introduce(&app.store, answer.events)?,
            next_cursor: answer.next_cursor,
            index,
            coverage: proven.of_answer(snapshot.seq()),
        })
    });
    Ok(Json(page.await?))
}

pub(super) async fn one(
    State(app): State<AppState>,
    Path(seq): Path<String>,
) -> Result<Json<KnownEvent>, Problem> {
    // SQLite counts to 2⁶³; beyond that there is no event.
    let Some(place) = seq
        .parse::<i64>()
        .ok()
        .and_then(|place| u64::try_from(place).ok())
    else {
        return Err(Problem::parameter(
            "seq",
            format!("{} is no place in the log", quoted(&seq)),
        ));
    };
    let event = app.ask(move |app| {
        let event = app.store.event(Seq(place))?;
        Ok(people::introduce(&app.store, Vec::from_iter(event))?.pop())
    });
    let event = event.await?;
    event.map(Json).ok_or_else(|| {
        Problem::not_found(format!(
            "there is no event {place}; the newest is {}",
            app.store.head()
        ))
    })
}

pub(super) async fn count(
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Json<Count>, Problem> {
    let question = read_filters(query.as_deref())?;
    let asked = asked(query.as_deref(), &question);
    let now = app.clock.now();
    let count = app.ask(move |app| {
        let proven = Proven::look(app, asked, now)?;
        let snapshot = app.index.snapshot();
        Ok(Count {
            count: search::count(&snapshot, &question)?,
            index: IndexState::of(app, &snapshot),
            coverage: proven.of_answer(snapshot.seq()),
        })
    });
    Ok(Json(count.await?))
}
