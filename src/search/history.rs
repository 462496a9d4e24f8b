//! What became of one resource: every change to it, in order, and what each of them changed.
//!
//! Changes are found by the resource's id within one source: ids are only unique within a log, and what is not in the same
//! log is not known to be the same thing. Some ids are names, `brotli` in every zone that has that setting: so the product and
//! the zone must be the same too, where the event tells them.

use std::collections::VecDeque;

use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::cursor::EventCursor;
use super::diff::{Diff, States};
use super::error::SearchError;
use super::page::{Answer, MAX_PAGE_BYTES, newest, page};
use super::pivot::text_at;
use super::question::Question;
use super::visible;
use crate::engine::{Caller, Hit, Order, Range, View};
use crate::event::AuditEvent;
use crate::position::Seq;
use crate::query::Query;
use crate::store::Store;

/// How far back the state before a page's first change is looked for, in changes.
const LOOK_BACK: usize = 100;

/// About how many bytes of entries are read for that.
const LOOK_BACK_BYTES: usize = 4 * 1024 * 1024;

/// What makes events changes of one resource, beside their source: the first must be there.
const SAME: [&str; 3] = ["resource.id", "resource.product", "zone.id"];

/// A page of a resource's history.
#[derive(Debug)]
pub struct History {
    /// How the changes were found.
    pub found_by: FoundBy,
    /// The changes, in the requested order.
    pub changes: Vec<Change>,
    /// Where the next page goes on.
    pub next_cursor: Option<String>,
    /// Of a page around an event: where the page before this one goes on, in the opposite order.
    pub previous_cursor: Option<String>,
    /// The newest event that may be on any of the pages.
    pub upto: Seq,
}

/// The fields that identify the resource, with their values; a JSON object.
#[derive(Debug)]
pub struct FoundBy(pub Vec<(&'static str, String)>);

impl FoundBy {
    /// `None` when the event does not say which resource it is about.
    fn of(event: &AuditEvent) -> Option<Self> {
        let told = SAME.map(|field| Some((field, text_at(event, field)?)));
        told[0].as_ref()?;
        let source = [("source", event.source.to_string())];
        Some(Self(
            source
                .into_iter()
                .chain(told.into_iter().flatten())
                .collect(),
        ))
    }

    fn query(&self) -> Query {
        let same = self
            .0
            .iter()
            .map(|(field, value)| Query::equals(field, value));
        Query::and(same.collect())
    }
}

impl Serialize for FoundBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, value)| (field, value)))
    }
}

impl PartialSchema for FoundBy {
    fn schema() -> RefOr<Schema> {
        let fields = ObjectBuilder::new().additional_properties(Some(String::schema()));
        let description = "The fields in which the changes are the same, and what they have there.";
        fields.description(Some(description)).into()
    }
}

impl ToSchema for FoundBy {}

/// The events that are changes of the resource that an event is about; `None` when it does not say which resource that is.
#[must_use]
pub fn same_resource(event: &AuditEvent) -> Option<Query> {
    Some(FoundBy::of(event)?.query())
}

/// One change.
#[derive(Debug)]
pub struct Change {
    /// The event that tells of it.
    pub event: AuditEvent,
    /// What it changed.
    pub diff: Diff,
}

/// Which page of a history.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// The first.
    First,
    /// The one that begins at a cursor.
    At(&'a str),
    /// The one that has the event in its middle.
    Around,
}

/// A page of the history of the resource that `event` is about: at most `limit` changes. `None` when the event does not say
/// which resource that is.
///
/// # Errors
/// [`SearchError`], named by whose fault it is.
pub fn history(
    store: &Store,
    view: &View,
    caller: &Caller,
    event: &AuditEvent,
    order: Order,
    which: Which<'_>,
    limit: usize,
) -> Result<Option<History>, SearchError> {
    let Some(found_by) = FoundBy::of(event) else {
        return Ok(None);
    };
    let question = Question {
        query: found_by.query(),
        range: Range::default(),
        order,
    };
    // Nothing in the question depends on when it is asked.
    let asked_at = event.received_at;
    let get = |cursor, limit| page(store, view, caller, &question, asked_at, cursor, limit);
    let (mut answer, previous_cursor) = match which {
        Which::First => (get(None, limit)?, None),
        Which::At(cursor) => (get(Some(cursor), limit)?, None),
        Which::Around => around_event(store, view, caller, event, &question, limit)?,
    };
    if order == Order::Descending {
        answer.events.reverse();
    }
    let mut states = match answer.events.first() {
        Some(first) => states_before(store, view, caller, &question, first, answer.upto)?,
        None => States::default(),
    };
    let kept = match (which, order) {
        (Which::Around, _) => answer.events.iter().position(|at| at.seq == event.seq),
        (_, Order::Ascending) => Some(0),
        (_, Order::Descending) => answer.events.len().checked_sub(1),
    };
    let told = fitting(answer.events, kept.unwrap_or_default(), |event| {
        states.take(event, &|| Ok(caller.budget.check_time()?))
    })?;
    let cursor = |order, at: Option<&Change>| {
        let place = EventCursor {
            asked_at_us: asked_at.timestamp_micros(),
            upto: answer.upto,
            after: hit_of(&at?.event),
        };
        let question = Question {
            order,
            ..question.clone()
        };
        Some(place.write(&question, &caller.scope, store.log_id()))
    };
    let older = told
        .is_cut_before
        .then(|| cursor(Order::Descending, told.changes.front()));
    let newer = told
        .is_cut_after
        .then(|| cursor(Order::Ascending, told.changes.back()));
    let (next, previous) = match order {
        Order::Ascending => (newer, older),
        Order::Descending => (older, newer),
    };
    let mut changes = Vec::from(told.changes);
    if order == Order::Descending {
        changes.reverse();
    }
    Ok(Some(History {
        found_by,
        changes,
        next_cursor: next.unwrap_or(answer.next_cursor),
        previous_cursor: previous.unwrap_or(previous_cursor),
        upto: answer.upto,
    }))
}

/// The changes of a page, the oldest first, as far as their differences fit on it.
#[derive(Debug, Default)]
struct Fitting {
    changes: VecDeque<Change>,
    is_cut_before: bool,
    is_cut_after: bool,
}

/// What events changed, the oldest first, up to about [`MAX_PAGE_BYTES`] of differences. The event at `kept` is among them; of
/// those before it about half as many bytes stay when there are others after it.
fn fitting(
    events: Vec<AuditEvent>,
    kept: usize,
    mut take: impl FnMut(&AuditEvent) -> Result<Diff, SearchError>,
) -> Result<Fitting, SearchError> {
    let mut told = Fitting::default();
    let mut n_bytes = 0;
    let n_events = events.len();
    for (at, event) in events.into_iter().enumerate() {
        let diff = take(&event)?;
        n_bytes += diff.bytes();
        if at > kept && n_bytes > MAX_PAGE_BYTES {
            told.is_cut_after = true;
            break;
        }
        told.changes.push_back(Change { event, diff });
        let most = if kept + 1 == n_events {
            MAX_PAGE_BYTES
        } else {
            MAX_PAGE_BYTES / 2
        };
        while at <= kept && n_bytes > most && told.changes.len() > 1 {
            let first = told.changes.pop_front();
            n_bytes -= first.map_or(0, |first| first.diff.bytes());
            told.is_cut_before = true;
        }
    }
    Ok(told)
}

fn hit_of(event: &AuditEvent) -> Hit {
    Hit {
        at_us: event.ordered_at().timestamp_micros(),
        seq: event.seq,
    }
}

/// What an event changed of its resource. Of an event that does not say which resource that is, the state before is unknown.
///
/// # Errors
/// [`SearchError`], named by whose fault it is.
pub fn diff(
    store: &Store,
    view: &View,
    caller: &Caller,
    event: &AuditEvent,
) -> Result<Diff, SearchError> {
    let mut states = match FoundBy::of(event) {
        Some(found_by) => {
            let question = Question {
                query: found_by.query(),
                range: Range::default(),
                order: Order::Ascending,
            };
            states_before(store, view, caller, &question, event, view.seq())?
        }
        None => States::default(),
    };
    states.take(event, &|| Ok(caller.budget.check_time()?))
}

/// The changes before, at and after an event, in the question's order; where the page before them goes on, too.
fn around_event(
    store: &Store,
    view: &View,
    caller: &Caller,
    event: &AuditEvent,
    question: &Question,
    limit: usize,
) -> Result<(Answer, Option<String>), SearchError> {
    let opposite = Question {
        order: match question.order {
            Order::Ascending => Order::Descending,
            Order::Descending => Order::Ascending,
        },
        ..question.clone()
    };
    let asked_at = event.received_at;
    let at_event = EventCursor {
        asked_at_us: asked_at.timestamp_micros(),
        upto: newest(store, view, caller, view.seq())?,
        after: hit_of(event),
    };
    let from_event = |question: &Question, limit| {
        let cursor = at_event.write(question, &caller.scope, store.log_id());
        page(
            store,
            view,
            caller,
            question,
            asked_at,
            Some(&cursor),
            limit,
        )
    };
    let n_before = limit.saturating_sub(1) / 2;
    let before = from_event(&opposite, n_before)?;
    let n_after = limit.saturating_sub(before.events.len() + 1);
    let mut answer = from_event(question, n_after)?;
    let mut events = before.events;
    events.reverse();
    if limit > 0 {
        events.push(event.clone());
    }
    events.append(&mut answer.events);
    answer.events = events;
    Ok((answer, before.next_cursor))
}

/// What is known of the resource before an event, from the changes of the question before it.
fn states_before(
    store: &Store,
    view: &View,
    caller: &Caller,
    question: &Question,
    first: &AuditEvent,
    upto: Seq,
) -> Result<States, SearchError> {
    let first = hit_of(first);
    let order = Order::Descending;
    let hits = view.hits(&question.ask(caller), order, Some(first), upto, LOOK_BACK)?;
    let places: Vec<Seq> = hits.iter().map(|hit| hit.seq).collect();
    let (earlier, _) = visible::events(store, &caller.scope, &places, LOOK_BACK_BYTES)?;
    let mut states = States::default();
    for event in earlier.iter().rev() {
        states.take(event, &|| Ok(caller.budget.check_time()?))?;
    }
    Ok(states)
}
