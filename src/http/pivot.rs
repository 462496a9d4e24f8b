//! From one value or one event to what belongs to it: `/v1/actors/…`, `/v1/tokens/…`, `/v1/ips/…`, `/v1/resources/…`,
//! `/v1/events/{seq}/history`, `/v1/events/{seq}/around`.

use axum::extract::RawQuery;
use axum::routing::MethodRouter;
use chrono::TimeDelta;
use serde::Serialize;
use utoipa::ToSchema;

use super::counted::{Counted, counted};
use super::coverage::Proven;
use super::events::{EventsPage, IndexState, described_seq, event_at, place};
use super::form::by_get_or_post;
use super::list_params::ListParams;
use super::openapi::{ParameterKind, Route, path as described_path, query as described_query};
use super::params::{
    FILTERS, Given, MAX_VALUE_LEN, Named, PAGING, asked, bad, flag, order, paging, question,
};
use super::problem::Problem;
use super::scoped::ScopedApp;
use super::shown::ShownAs;
use super::state::AppState;
use super::tally::described_size;
use super::tally_params::size;
use crate::coverage::{Asked, Verdict};
use crate::engine::Order;
use crate::people::{self, KnownEvent};
use crate::query::{Query, check_value};
use crate::search::{self, Against, Diff, Difference, FoundBy, Pivot, Profile, Tally, Which};
use crate::span;
use crate::wording::quoted;

/// Default distance in time from the event.
const DEFAULT_WITHIN: TimeDelta = TimeDelta::minutes(30);

/// What a value was seen with.
#[derive(Serialize, ToSchema)]
#[schema(as = ProfileOfValue)]
pub(super) struct ProfileAnswer {
    by: &'static str,
    value: String,
    #[serde(flatten)]
    profile: Profile,
    index: IndexState,
    coverage: Verdict,
}

/// What became of a resource.
#[derive(Serialize, ToSchema)]
#[schema(as = History)]
pub(super) struct HistoryAnswer {
    found_by: FoundBy,
    changes: Vec<ChangeAnswer>,
    next_cursor: Option<String>,
    previous_cursor: Option<String>,
    index: IndexState,
    coverage: Verdict,
}

/// One change of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
pub(super) struct ChangeAnswer {
    event: KnownEvent,
    /// `null` when neither state is known.
    diff: Option<Vec<Difference>>,
    against: Option<Against>,
    basis: &'static str,
    status: &'static str,
}

impl ChangeAnswer {
    fn new(event: KnownEvent, diff: Diff) -> Self {
        let is_known = diff.against.is_some() || diff.status == "exact";
        Self {
            event,
            diff: is_known.then(|| diff.differences()),
            against: diff.against,
            basis: diff.basis,
            status: diff.status,
        }
    }
}

/// The route of what `by` was seen with.
pub(super) fn seen_with(by: Pivot) -> MethodRouter<AppState> {
    by_get_or_post(move |app, value, query| profile(by, app, value, query))
}

async fn profile(
    by: Pivot,
    app: ScopedApp,
    Named(value): Named,
    RawQuery(query): RawQuery,
) -> Result<Counted<ProfileAnswer>, Problem> {
    if value.len() > MAX_VALUE_LEN {
        let detail = format!("longer than the {MAX_VALUE_LEN} bytes that are looked for");
        return Err(bad(name_of(by), detail));
    }
    for field in by.fields() {
        check_value(field, &value).map_err(|message| bad(name_of(by), message))?;
    }
    let given = Given::read(query.as_deref(), &[&FILTERS[..], &["size"]].concat())?;
    let size = size(&given, "size")?;
    let answer = app.ask(move |app| {
        let mut question = question(&given, Order::Descending, app.clock.now())?;
        let asked = asked(&given, question.range)?;
        question.query = Query::and(vec![by.query(&value), question.query]);
        let proven = Proven::look(app, asked)?;
        let (view, caller) = app.asking();
        Ok(ProfileAnswer {
            by: name_of(by),
            value,
            profile: search::profile(&app.store, &view, &caller, &question, size)?,
            index: IndexState::of(app, &view, &caller)?,
            coverage: proven.of_answer(view.seq()),
        })
    });
    let answer = answer.await?;
    Ok(counted(answer.profile.count, answer))
}

fn name_of(by: Pivot) -> &'static str {
    let known = Pivot::NAMES.into_iter().find(|(_, pivot)| *pivot == by);
    known.map_or("value", |(name, _)| name)
}

pub(super) async fn history(
    app: ScopedApp,
    Named(seq): Named,
    RawQuery(query): RawQuery,
) -> Result<Counted<HistoryAnswer>, Problem> {
    let place = place(&seq)?;
    let given = Given::read(query.as_deref(), &[&["around"], &PAGING[..]].concat())?;
    let (_, limit, cursor) = paging(&given)?;
    // The oldest first, unless somebody says.
    let order = match given.one("order")? {
        None => Order::Ascending,
        Some(_) => order(&given)?,
    };
    let is_around = flag(&given, "around")?;
    if is_around && cursor.is_some() {
        let detail = "a cursor already says which page: leave `around` out on later pages";
        return Err(bad("around", detail));
    }
    let answer = app.ask(move |app| {
        let event = event_at(app, place)?;
        let proven = Proven::look(
            app,
            Asked {
                sources: vec![event.source.clone()],
                ..Asked::default()
            },
        )?;
        let (view, caller) = app.asking();
        let which = match &cursor {
            Some(cursor) => Which::At(cursor),
            None if is_around => Which::Around,
            None => Which::First,
        };
        let store = &app.store;
        let history = search::history(store, &view, &caller, &event, order, which, limit)?;
        let history = history.ok_or_else(|| {
            let detail = format!("event {place} has no `resource.id`: its resource is not known");
            Problem::not_found(detail)
        })?;
        let changes = history.changes.into_iter();
        let (events, diffs): (Vec<_>, Vec<_>) =
            changes.map(|change| (change.event, change.diff)).unzip();
        let events = people::with_known_people(&app.store, app.scope(), events)?;
        let changes = events.into_iter().zip(diffs);
        Ok(HistoryAnswer {
            found_by: history.found_by,
            changes: changes
                .map(|(event, diff)| ChangeAnswer::new(event, diff))
                .collect(),
            next_cursor: history.next_cursor,
            previous_cursor: history.previous_cursor,
            index: IndexState::of(app, &view, &caller)?,
            coverage: proven.of_answer(history.upto),
        })
    });
    let answer = answer.await?;
    Ok(counted(answer.changes.len(), answer))
}

pub(super) async fn diff(
    app: ScopedApp,
    Named(seq): Named,
    RawQuery(query): RawQuery,
) -> Result<Counted<Diff>, Problem> {
    let place = place(&seq)?;
    Given::read(query.as_deref(), &[])?;
    let answer = app.ask(move |app| {
        let event = event_at(app, place)?;
        let (view, caller) = app.asking();
        Ok(search::diff(&app.store, &view, &caller, &event)?)
    });
    let answer = answer.await?;
    let differences = [&answer.added, &answer.removed, &answer.changed];
    let differences: usize = differences.map(Vec::len).into_iter().sum();
    Ok(counted(differences, answer))
}

pub(super) async fn around(
    app: ScopedApp,
    Named(seq): Named,
    RawQuery(query): RawQuery,
) -> Result<Counted<EventsPage>, Problem> {
    let place = place(&seq)?;
    let given = Given::read(
        query.as_deref(),
        &[&["by", "within", "fields"], &PAGING[..]].concat(),
    )?;
    let shown = ShownAs::read(&given)?;
    let (by, within) = (by(&given)?, within(&given)?);
    let (order, limit, cursor) = paging(&given)?;
    let page = app.ask(move |app| {
        let event = event_at(app, place)?;
        let question = search::around(&event, by, within, order).ok_or_else(|| {
            let wanted = by.map_or(String::new(), Pivot::wanted);
            bad("by", format!("event {place} has no {wanted}"))
        })?;
        let list = ListParams {
            asked: asked(&given, question.range)?,
            question,
            limit,
            cursor,
            // Nothing in the question depends on when it is asked.
            asked_at: event.received_at,
            tally: Tally::default(),
            shown,
        };
        EventsPage::make(app, &list)
    });
    let page = page.await?;
    Ok(counted(page.len(), page))
}

/// What events around another one have in common with it; `None` for all events.
fn by(given: &Given) -> Result<Option<Pivot>, Problem> {
    let name = given.one("by")?.unwrap_or("all");
    let known = Pivot::NAMES.into_iter().find(|(known, _)| *known == name);
    match known {
        Some((_, by)) => Ok(Some(by)),
        None if name == "all" => Ok(None),
        None => {
            let wanted = "write `actor`, `token`, `ip`, `resource` or `all`";
            Err(bad("by", format!("{} is none: {wanted}", quoted(name))))
        }
    }
}

fn within(given: &Given) -> Result<TimeDelta, Problem> {
    match given.one("within")? {
        None => Ok(DEFAULT_WITHIN),
        Some(text) => {
            span::parse(text).map_err(|error| bad("within", format!("{}: {error}", quoted(text))))
        }
    }
}

/// The description of the routes of one event.
pub(super) fn describe() -> Vec<Route> {
    let order = ParameterKind::Word(&["asc", "desc"]);
    let by = ParameterKind::Word(&["all", "actor", "token", "ip", "resource"]);
    vec![
        Route::get("/v1/events/{seq}/history", "list_history", "List the changes of an event's resource, the oldest first")
            .about("Each change has the differences between the states before and after it; they are `null` when no state before is known.")
            .with(described_seq())
            .with(described_query("around", ParameterKind::Flag, "Whether the page has the event in its middle."))
            .with(described_query("order", order, "The oldest or the newest first."))
            .takes(&["limit", "cursor"])
            .answers::<HistoryAnswer>("A page of changes.")
            .refuses(&[404, 410])
            .example("The first change of a resource", "/v1/events/2/history", &[("limit", "1")]),
        Route::get("/v1/events/{seq}/diff", "read_diff", "Read what an event changed of its resource")
            .with(described_seq())
            .answers::<Diff>("The differences between the states before and after the event.")
            .refuses(&[404, 410])
            .example("What the second event changed", "/v1/events/2/diff", &[]),
        Route::get("/v1/events/{seq}/around", "list_around", "List events near an event in time")
            .with(described_seq())
            .with(described_query("by", by, "What the events have in common with it."))
            .with(described_query("within", ParameterKind::Text, "The most distance in time, a span. Default `30m`."))
            .takes(&PAGING)
            .takes(&["fields"])
            .answers::<EventsPage>("A page of events.")
            .refuses(&[404, 410])
            .example(
                "By the same actor, within a day",
                "/v1/events/2/around",
                &[("by", "actor"), ("within", "1d"), ("limit", "1")],
            ),
    ]
}

/// The description of the routes of values.
pub(super) fn describe_profiles() -> Vec<Route> {
    let profile = |path, id, summary, value, about| {
        Route::get(path, id, summary)
            .filtered(&FILTERS)
            .with(described_path("value", ParameterKind::Name(value), about))
            .with(described_size())
            .answers::<ProfileAnswer>("When it was seen first and last, and with what.")
    };
    let actor = (
        "alice@example.com",
        "An e-mail address, or the id of an actor.",
    );
    let token = ("c1d2e3f4", "The id of a token.");
    let ip = ("203.0.113.7", "An IP address.");
    let resource = ("rec-www", "The id of a resource.");
    vec![
        profile(
            "/v1/actors/{value}",
            "read_actor",
            "Read what an actor was seen with",
            actor.0,
            actor.1,
        )
        .example(
            "One person, the most frequent values alone",
            "/v1/actors/alice@example.com",
            &[("size", "1")],
        ),
        profile(
            "/v1/tokens/{value}",
            "read_token",
            "Read what an API token was seen with",
            token.0,
            token.1,
        )
        .example("One token", "/v1/tokens/c1d2e3f4", &[("size", "1")]),
        profile(
            "/v1/ips/{value}",
            "read_ip",
            "Read what an IP address was seen with",
            ip.0,
            ip.1,
        )
        .example("One address", "/v1/ips/203.0.113.7", &[("size", "1")]),
        profile(
            "/v1/resources/{value}",
            "read_resource",
            "Read what a resource was seen with",
            resource.0,
            resource.1,
        )
        .example("One DNS record", "/v1/resources/rec-www", &[("size", "1")]),
    ]
}
