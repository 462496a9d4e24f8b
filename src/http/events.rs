//! `/v1/events`, `/v1/events/{seq}`, `/v1/count`.

use axum::extract::RawQuery;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::counted::{Counted, counted};
use super::coverage::Proven;
use super::etag::tagged;
use super::list_params::ListParams;
use super::openapi::{Parameter, ParameterKind, Route, path};
use super::params::{FILTERS, Given, Named, PAGING, asked, question};
use super::problem::Problem;
use super::scoped::ScopedApp;
use super::shown::{Fields, SHOWN, ShownEvent};
use super::tally_params::{TALLY, counted_of};
use crate::clock::from_micros;
use crate::coverage::Verdict;
use crate::engine::{Caller, Order, Range, View};
use crate::event::AuditEvent;
use crate::people;
use crate::position::{Seq, rfc3339};
use crate::search::{self, FieldValues, Histogram};
use crate::wording::quoted;

/// A page of events.
#[derive(Serialize, ToSchema)]
pub(super) struct EventsPage {
    events: Vec<ShownEvent>,
    next_cursor: Option<String>,
    count: Option<u64>,
    facets: Option<FieldValues>,
    histogram: Option<Histogram>,
    range: AskedRange,
    /// The newest event of the snapshot: a tail that begins after it misses nothing.
    snapshot: Seq,
    index: IndexState,
    coverage: Verdict,
}

impl EventsPage {
    /// How many events are on it.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The page that was asked for, and what is to be counted beside it, of the same snapshot.
    pub(super) fn make(app: &ScopedApp, list: &ListParams) -> Result<Self, Problem> {
        let proven = Proven::look(app, counted_of(list.asked.clone(), &list.tally))?;
        let (view, caller) = app.asking();
        let ListParams {
            question,
            asked: _,
            limit,
            cursor,
            asked_at,
            tally,
            shown,
        } = list;
        shown.check(&view, &caller)?;
        let cursor = cursor.as_deref();
        let store = &app.store;
        let answer = search::page(store, &view, &caller, question, *asked_at, cursor, *limit)?;
        let tallied = search::tally(store, &view, &caller, &answer.question, answer.upto, tally)?;
        let events = people::with_known_people(&app.store, app.scope(), answer.events)?;
        Ok(Self {
            events: shown.of(events, &question.query, &caller)?,
            range: AskedRange::of(question.range),
            snapshot: answer.upto,
            next_cursor: answer.next_cursor,
            count: tallied.count,
            facets: tallied.facets,
            histogram: tallied.histogram,
            index: IndexState::of(app, &view, &caller)?,
            // What arrived since the first page is on none of them.
            coverage: proven.of_answer(answer.upto),
        })
    }
}

/// The stretch of time that a question is about, in absolute times.
#[derive(Serialize, ToSchema)]
struct AskedRange {
    #[schema(format = DateTime)]
    since: Option<String>,
    #[schema(format = DateTime)]
    before: Option<String>,
}

impl AskedRange {
    fn of(range: Range) -> Self {
        let time = |micros: Option<i64>| micros.map(|micros| rfc3339(from_micros(micros)));
        Self {
            since: time(range.since_us),
            before: time(range.before_us),
        }
    }
}

/// A number of events.
#[derive(Serialize, ToSchema)]
pub(super) struct Count {
    count: u64,
    index: IndexState,
    coverage: Verdict,
}

/// What the answer was made of, beside what the log holds.
#[derive(Serialize, ToSchema)]
pub(super) struct IndexState {
    state: &'static str,
    searchable: Seq,
    held: Seq,
}

impl IndexState {
    /// Both places are those of the newest event that the principal may see.
    pub(super) fn of(app: &ScopedApp, view: &View, caller: &Caller) -> Result<Self, Problem> {
        let (searchable, held) = (app.newest(view, caller, view.seq())?, app.head()?);
        let state = match app.engine.is_rebuilding() {
            true => "rebuilding",
            false if !app.engine.is_available() => "unavailable",
            false if searchable < held => "behind",
            false => "current",
        };
        Ok(Self {
            state,
            searchable,
            held,
        })
    }
}

pub(super) async fn list(
    app: ScopedApp,
    RawQuery(query): RawQuery,
) -> Result<Counted<EventsPage>, Problem> {
    let page = app.ask(move |app| {
        let list = ListParams::read(query.as_deref(), app.clock.now())?;
        EventsPage::make(app, &list)
    });
    let page = page.await?;
    Ok(counted(page.len(), page))
}

pub(super) async fn one(
    app: ScopedApp,
    Named(seq): Named,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let place = place(&seq)?;
    let given = Given::read(query.as_deref(), &["fields"])?;
    let fields = Fields::read(&given)?;
    let event = app.ask(move |app| {
        let (view, caller) = app.asking();
        fields.check(&view, &caller)?;
        let event = event_at(app, place)?;
        let mut events = people::with_known_people(&app.store, app.scope(), vec![event])?;
        fields.cut(&mut events, &caller)?;
        Ok(events.pop())
    });
    let event = event.await?.ok_or_else(Problem::internal)?;
    tagged((&method, &headers), 1, &event)
}

/// The place that a path names.
pub(super) fn place(seq: &str) -> Result<Seq, Problem> {
    // SQLite counts to 2⁶³; beyond that there is no event.
    let place = seq.parse::<i64>().ok();
    match place.and_then(|place| u64::try_from(place).ok()) {
        Some(place) => Ok(Seq(place)),
        None => Err(Problem::parameter(
            "seq",
            format!("{} is no place in the log", quoted(seq)),
        )),
    }
}

/// The event at a place; that there is none, or that its body was erased.
pub(super) fn event_at(app: &ScopedApp, place: Seq) -> Result<AuditEvent, Problem> {
    let Some(mut event) = search::event(&app.store, app.scope(), place)? else {
        let newest = app.head()?;
        let detail = format!("there is no event {place}; the newest is {newest}");
        return Err(Problem::not_found(detail));
    };
    if event.is_erased() {
        let erased = app.store.erased(place)?.ok_or_else(Problem::internal)?;
        return Err(Problem::gone(&event, erased));
    }
    search::report_not_indexed(&app.engine.view(), std::slice::from_mut(&mut event))?;
    Ok(event)
}

pub(super) async fn count(
    app: ScopedApp,
    RawQuery(query): RawQuery,
) -> Result<Counted<Count>, Problem> {
    let count = app.ask(move |app| {
        let given = Given::read(query.as_deref(), &FILTERS)?;
        let question = question(&given, Order::Descending, app.clock.now())?;
        let proven = Proven::look(app, asked(&given, question.range)?)?;
        let (view, caller) = app.asking();
        let question = question.prepare(&app.store, &view, &caller)?;
        Ok(Count {
            count: search::count(&view, &caller, &question)?,
            index: IndexState::of(app, &view, &caller)?,
            coverage: proven.of_answer(view.seq()),
        })
    });
    let count = count.await?;
    Ok(counted(count.count, count))
}

/// The part of a path that names an event.
pub(super) fn described_seq() -> Parameter {
    path("seq", ParameterKind::Place, "The event's place in the log.")
}

/// The description of the routes here.
pub(super) fn describe() -> Vec<Route> {
    vec![
        Route::get("/v1/events", "list_events", "List events, the newest first")
            .about("`count`, `facet` and `histogram` add numbers of the same snapshot. A cursor stays exact while events arrive.")
            .filtered(&FILTERS)
            .takes(&PAGING)
            .takes(&TALLY)
            .takes(&SHOWN)
            .answers::<EventsPage>("A page of events.")
            .example(
                "The newest deletion outside DNS, and how many there are",
                "/v1/events",
                &[("q", "action.type:delete -resource.product:dns"), ("limit", "1"), ("count", "true")],
            )
            .example(
                "Numbers alone",
                "/v1/events",
                &[("limit", "0"), ("facet", "actor.email"), ("histogram", "1d")],
            ),
        Route::get("/v1/events/{seq}", "read_event", "Read one event")
            .with(described_seq())
            .takes(&["fields"])
            .answers::<crate::people::KnownEvent>("The event.")
            .header("ETag")
            .not_modified()
            .refuses(&[404, 410])
            .example("The second event of the log", "/v1/events/2", &[]),
        Route::get("/v1/count", "count_events", "Count events exactly")
            .filtered(&FILTERS)
            .answers::<Count>("The number of events.")
            .example(
                "Changes by one person in two days",
                "/v1/count",
                &[("actor", "alice@example.com"), ("since", "2026-08-01"), ("before", "2026-08-03")],
            ),
    ]
}
