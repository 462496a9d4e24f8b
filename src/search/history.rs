//! What became of one resource: every change to it, in order, and what differs between one request and the one before.
//!
//! Changes are found by the resource's id within one source: ids are only unique within a log, and what is not in the same
//! log is not known to be the same thing. Some ids are names, `brotli` in every zone that has that setting: so the product and
//! the zone must be the same too, where the event tells them.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::pivot::text_at;
use super::{Question, SearchError, equals, page};
use crate::event::AuditEvent;
use crate::index::{Hit, Order, Range, Snapshot};
use crate::json::{self, Scalar};
use crate::position::Seq;
use crate::query::Query;
use crate::store::Store;

/// The most differences that are told of one change.
const MAX_DIFFERENCES: usize = 1_000;

/// How far back the request before a page's first is looked for, in changes.
const LOOK_BACK: usize = 100;

/// About how many bytes of entries are read for that.
const LOOK_BACK_BYTES: usize = 4 * 1024 * 1024;

/// What makes events changes of one resource, beside their source: the first must be there.
const SAME: [&str; 3] = ["resource.id", "resource.product", "zone.id"];

/// Where an entry keeps the body of its request.
const REQUEST: [&str; 2] = ["resource", "request"];

/// A page of a resource's history.
#[derive(Debug)]
pub struct History {
    /// How the changes were found.
    pub found_by: FoundBy,
    /// They, the oldest first.
    pub changes: Vec<Change>,
    /// Where the next page goes on.
    pub next_cursor: Option<String>,
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
    /// What its request's body has that the one before had not, by path, and the other way round; `None` when either is
    /// missing.
    pub diff: Option<Vec<Difference>>,
}

/// Where two bodies differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The dotted path within the body; empty for a body that is a plain value.
    pub path: String,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// What stood there before: `null` for nothing, a list where there are several.
    pub before: Shown,
    /// What stands there now.
    pub after: Shown,
}

/// What stands at a path: its values, as JSON texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(Vec<String>);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = match self.0.as_slice() {
            [] => "null".to_owned(),
            [one] => one.clone(),
            several => format!("[{}]", several.join(",")),
        };
        RawValue::from_string(text)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
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
    cursor: Option<&str>,
    limit: usize,
) -> Result<Option<History>, SearchError> {
    let Some(found_by) = FoundBy::of(event) else {
        return Ok(None);
    };
    let question = Question {
        query: found_by.query(),
        range: Range::default(),
        order: Order::Ascending,
    };
    // Nothing in the question depends on when it is asked.
    let asked_at = event.received_at;
    let answer = page(store, snapshot, &question, asked_at, cursor, limit)?;
    let mut before = match answer.events.first() {
        Some(first) => request_before(store, snapshot, &question, first, answer.upto)?,
        None => None,
    };
    let mut changes = Vec::new();
    for event in answer.events {
        // Bodies can be large, and a page has a thousand of them at most.
        snapshot.check_time()?;
        let request = request_of(&event);
        let diff = before
            .as_deref()
            .zip(request.as_deref())
            .map(|(before, after)| differences(before, after));
        before = request.or(before);
        changes.push(Change { event, diff });
    }
    Ok(Some(History {
        found_by,
        changes,
        next_cursor: answer.next_cursor,
        upto: answer.upto,
    }))
}

/// The body of a change's request, if it has one.
fn request_of(event: &AuditEvent) -> Option<String> {
    let body = json::member(event.entry.get(), &REQUEST)?;
    (body != "null").then(|| body.to_owned())
}

/// The last request's body before a page's first event.
fn request_before(
    store: &Store,
    snapshot: &Snapshot,
    question: &Question,
    first: &AuditEvent,
    upto: Seq,
) -> Result<Option<String>, SearchError> {
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
    Ok(earlier.iter().find_map(request_of))
}

/// Where two JSON texts differ, by path, at most [`MAX_DIFFERENCES`].
fn differences(before: &str, after: &str) -> Vec<Difference> {
    let (mut before, after) = (leaves(before), leaves(after));
    let mut found = Vec::new();
    for (path, after) in after {
        match before.remove(&path) {
            Some(before) if before == after => {}
            Some(before) => found.push(difference(path, "changed", before, after)),
            None => found.push(difference(path, "added", Vec::new(), after)),
        }
    }
    let removed = before.into_iter();
    found.extend(removed.map(|(path, before)| difference(path, "removed", before, Vec::new())));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.truncate(MAX_DIFFERENCES);
    found
}

fn difference(
    path: String,
    change: &'static str,
    before: Vec<String>,
    after: Vec<String>,
) -> Difference {
    Difference {
        path,
        change,
        before: Shown(before),
        after: Shown(after),
    }
}

/// What stands at each path, as JSON texts in order.
fn leaves(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut leaves: BTreeMap<String, Vec<String>> = BTreeMap::new();
    json::walk(text, |path, value| {
        let shown = match value {
            Scalar::Text(text) => serde_json::Value::from(text.as_ref()).to_string(),
            Scalar::Number(number) => number.to_owned(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Null => "null".to_owned(),
        };
        leaves.entry(path.to_owned()).or_default().push(shown);
    });
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_differ_by_path() {
        let told = |before, after| {
            let told = differences(before, after).into_iter();
            told.map(|at| serde_json::to_string(&at).unwrap())
                .collect::<Vec<_>>()
        };
        insta::assert_debug_snapshot!(told(
            r#"{"name":"www","ttl":300,"tags":["a","b"],"settings":{"tls":true},"gone":"x"}"#,
            r#"{"ttl":3600,"name":"www","tags":["a"],"settings":{"tls":true,"note":null},"new":{"deep":"\ud800"}}"#,
        ), @r#"
        [
            "{\"path\":\"gone\",\"change\":\"removed\",\"before\":\"x\",\"after\":null}",
            "{\"path\":\"new.deep\",\"change\":\"added\",\"before\":null,\"after\":\"�\"}",
            "{\"path\":\"settings.note\",\"change\":\"added\",\"before\":null,\"after\":null}",
            "{\"path\":\"tags\",\"change\":\"changed\",\"before\":[\"a\",\"b\"],\"after\":\"a\"}",
            "{\"path\":\"ttl\",\"change\":\"changed\",\"before\":300,\"after\":3600}",
        ]
        "#);
        assert_eq!(told("[1,2]", "[1, 2]"), Vec::<String>::new());
        assert_eq!(told("\"a\"", "7").len(), 1);
    }
}
