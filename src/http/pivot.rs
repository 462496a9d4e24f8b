//! From one value or one event to what belongs to it: `/v1/actors/…`, `/v1/tokens/…`, `/v1/ips/…`, `/v1/resources/…`,
//! `/v1/events/{seq}/history`, `/v1/events/{seq}/around`.

use axum::extract::RawQuery;
use axum::routing::MethodRouter;
use chrono::TimeDelta;
use serde::Serialize;

use super::counted::{Counted, counted};
use super::coverage::Proven;
use super::events::{EventsPage, IndexState, asked, event_at, place};
use super::params::{
    FILTERS, Given, ListParams, MAX_VALUE_LEN, Named, PAGING, bad, flag, order, paging, question,
};
use super::problem::Problem;
use super::scoped::ScopedApp;
use super::shown::ShownAs;
use super::tally::size;
use super::{AppState, by_get_or_post};
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
#[derive(Serialize)]
pub(super) struct ProfileAnswer {
    by: &'static str,
    value: String,
    #[serde(flatten)]
    profile: Profile,
    index: IndexState,
    coverage: Verdict,
}

/// What became of a resource.
#[derive(Serialize)]
pub(super) struct HistoryAnswer {
    found_by: FoundBy,
    changes: Vec<ChangeAnswer>,
    next_cursor: Option<String>,
    previous_cursor: Option<String>,
    index: IndexState,
    coverage: Verdict,
}

/// One change of it.
#[derive(Serialize)]
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
        let asked = asked(query.as_deref(), &question);
        question.query = Query::and(vec![by.query(&value), question.query]);
        let proven = Proven::look(app, asked)?;
        let (view, caller) = app.asking();
        Ok(ProfileAnswer {
            by: name_of(by),
            value,
            profile: search::profile(&app.store, &view, &caller, &question, size)?,
            index: IndexState::of(app, &view)?,
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
        let events = people::introduce(&app.store, app.scope(), events)?;
        let changes = events.into_iter().zip(diffs);
        Ok(HistoryAnswer {
            found_by: history.found_by,
            changes: changes
                .map(|(event, diff)| ChangeAnswer::new(event, diff))
                .collect(),
            next_cursor: history.next_cursor,
            previous_cursor: history.previous_cursor,
            index: IndexState::of(app, &view)?,
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
        let about = asked(None, &question);
        let list = ListParams {
            question,
            limit,
            cursor,
            // Nothing in the question depends on when it is asked.
            asked_at: event.received_at,
            tally: Tally::default(),
            shown,
        };
        EventsPage::make(app, &list, about)
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
