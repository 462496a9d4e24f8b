//! What became of one resource: every change to it, in order, and what each of them changed.
//!
//! Changes are found by the resource's id within one source: ids are only unique within a log, and what is not in the same
//! log is not known to be the same thing. Some ids are names, `brotli` in every zone that has that setting: so the product and
//! the zone must be the same too, where the event tells them.

use serde::{Serialize, Serializer};

use super::diff::{Diff, States};
use super::pivot::text_at;
use super::{Answer, Place, Question, SearchError, equals, page};
use crate::event::AuditEvent;
use crate::index::{Hit, Order, Range, Snapshot};
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
    /// They, in the order that was asked for.
    pub changes: Vec<Change>,
    /// Where the next page goes on.
    pub next_cursor: Option<String>,
    /// Of a page around an event: where the page before this one goes on, in the opposite order.
    pub previous_cursor: Option<String>,
    /// The newest event that may be on any of the pages.
    pub upto: Seq,
}

/// The fields in which events are the same that are changes of one resource, and what they have there: as JSON an object.
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
        let same = self.0.iter().map(|(field, value)| equals(field, value));
        Query::and(same.collect())
    }
}

impl Serialize for FoundBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, value)| (field, value)))
    }
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
    snapshot: &Snapshot,
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
    let get = |cursor, limit| page(store, snapshot, &question, asked_at, cursor, limit);
    let (mut answer, previous_cursor) = match which {
        Which::First => (get(None, limit)?, None),
        Which::At(cursor) => (get(Some(cursor), limit)?, None),
        Which::Around => around_event(store, snapshot, event, &question, limit)?,
    };
    if order == Order::Descending {
        answer.events.reverse();
    }
    let mut states = match answer.events.first() {
        Some(first) => states_before(store, snapshot, &question, first, answer.upto)?,
        None => States::default(),
    };
    let mut changes = Vec::new();
    for event in answer.events {
        // Bodies can be large, and a page has a thousand of them at most.
        snapshot.check_time()?;
        let diff = states.take(&event);
        changes.push(Change { event, diff });
    }
    if order == Order::Descending {
        changes.reverse();
    }
    Ok(Some(History {
        found_by,
        changes,
        next_cursor: answer.next_cursor,
        previous_cursor,
        upto: answer.upto,
    }))
}

/// What an event changed of its resource. Of an event that does not say which resource that is, the state before is unknown.
///
/// # Errors
/// [`SearchError`], named by whose fault it is.
pub fn diff(store: &Store, snapshot: &Snapshot, event: &AuditEvent) -> Result<Diff, SearchError> {
    let mut states = match FoundBy::of(event) {
        Some(found_by) => {
            let question = Question {
                query: found_by.query(),
                range: Range::default(),
                order: Order::Ascending,
            };
            states_before(store, snapshot, &question, event, snapshot.seq())?
        }
        None => States::default(),
    };
    snapshot.check_time()?;
    Ok(states.take(event))
}

/// The changes before, at and after an event, in the question's order; where the page before them goes on, too.
fn around_event(
    store: &Store,
    snapshot: &Snapshot,
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
    let at_event = Place {
        asked_at_us: asked_at.timestamp_micros(),
        upto: snapshot.seq(),
        after: Hit {
            at_us: event.ordered_at().timestamp_micros(),
            seq: event.seq,
        },
    };
    let from_event = |question: &Question, limit| {
        let cursor = at_event.write(question, store.log_id());
        page(store, snapshot, question, asked_at, Some(&cursor), limit)
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
    snapshot: &Snapshot,
    question: &Question,
    first: &AuditEvent,
    upto: Seq,
) -> Result<States, SearchError> {
    let first = Hit {
        at_us: first.ordered_at().timestamp_micros(),
        seq: first.seq,
    };
    let order = Order::Descending;
    let hits = snapshot.hits(
        &question.query,
        question.range,
        order,
        Some(first),
        upto,
        LOOK_BACK,
    )?;
    let places: Vec<Seq> = hits.iter().map(|hit| hit.seq).collect();
    let earlier = store.events(&places, LOOK_BACK_BYTES)?;
    let mut states = States::default();
    for event in earlier.iter().rev() {
        snapshot.check_time()?;
        states.take(event);
    }
    Ok(states)
}
