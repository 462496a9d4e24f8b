//! A page of events, and how many events a question has.

use chrono::{DateTime, Utc};

use super::cursor::EventCursor;
use super::error::SearchError;
use super::question::{Prepared, Question};
use super::visible::{self, newest_held};
use crate::engine::{Caller, Hit, View};
use crate::event::{AuditEvent, NOT_INDEXED};
use crate::position::Seq;
use crate::store::Store;

/// The most events on one page.
pub const MAX_LIMIT: usize = 1_000;

/// About the most bytes of entries on one page; beyond it the page is shorter.
pub(super) const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// Default page size.
pub const DEFAULT_LIMIT: usize = 50;

/// One page of an answer.
#[derive(Debug)]
pub struct Answer {
    /// Its events, in order.
    pub events: Vec<AuditEvent>,
    /// Where the next page goes on; `None` when this is the last.
    pub next_cursor: Option<String>,
    /// The newest event of the snapshot that the first page was made of: nothing after it is shown.
    pub upto: Seq,
    /// The question, for the numbers beside the page.
    pub question: Prepared,
}

/// The page of a question that begins at `cursor`, or its first: at most `limit` events.
///
/// `asked_at` is the moment for which the question was read, its `now`: that of the first page, see [`asked_at`](super::asked_at).
///
/// # Errors
/// [`SearchError`], named by whose fault it is.
pub fn page(
    store: &Store,
    view: &View,
    caller: &Caller,
    question: &Question,
    asked_at: DateTime<Utc>,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Answer, SearchError> {
    let place = cursor
        .map(|cursor| EventCursor::read(cursor, question, &caller.scope, store.log_id()))
        .transpose()?;
    // What others may see is in no cursor and no error.
    let searchable = newest(store, view, caller, view.seq())?;
    let upto = place.as_ref().map_or(searchable, |place| place.upto);
    if upto > newest_held(store, &caller.scope)?.max(searchable) {
        return Err(SearchError::Cursor(
            "this cursor is of events that this log does not have: start from the first page",
        ));
    }
    if upto > searchable {
        return Err(SearchError::Behind {
            has: searchable,
            needs: upto,
        });
    }
    let after = place.map(|place| place.after);
    // One more than asked for tells whether there is another page.
    let prepared = question.prepare(store, view, caller)?;
    let ask = prepared.resolved.ask(caller);
    let hits = view.hits(&ask, question.order, after, upto, limit + 1)?;
    let places: Vec<Seq> = hits.iter().take(limit).map(|hit| hit.seq).collect();
    // Large entries make a shorter page.
    let (events, taken) = visible::events(store, &caller.scope, &places, MAX_PAGE_BYTES)?;
    let next_cursor = match hits.get(taken.wrapping_sub(1)) {
        Some(after) if taken < hits.len() => Some(
            EventCursor {
                asked_at_us: asked_at.timestamp_micros(),
                upto,
                after: *after,
            }
            .write(question, &caller.scope, store.log_id()),
        ),
        // With `limit=0`, the next page begins at the same cursor.
        None if limit == 0 && !hits.is_empty() => cursor.map(ToOwned::to_owned),
        _ => None,
    };
    let mut events = without_erased(events);
    report_not_indexed(view, &mut events)?;
    Ok(Answer {
        events,
        next_cursor,
        upto,
        question: prepared,
    })
}

/// The newest event up to `upto` that the caller may see; 0 when there is none. `upto` is not after what can be found.
///
/// # Errors
/// When the log or the index cannot be read, or the caller has no time left.
pub fn newest(store: &Store, view: &View, caller: &Caller, upto: Seq) -> Result<Seq, SearchError> {
    if caller.scope.has_all_sources() {
        return Ok(upto);
    }
    let held = newest_held(store, &caller.scope)?;
    if held <= upto {
        return Ok(held);
    }
    // The log would be read backwards, through the events of all other sources.
    Ok(view.newest(caller, upto)?.unwrap_or(Seq::ZERO))
}

/// Leaves out events whose body was erased after they were found: the index may still have their documents then.
pub(super) fn without_erased(mut events: Vec<AuditEvent>) -> Vec<AuditEvent> {
    events.retain(|event| !event.is_erased());
    events
}

/// Reports of which events the documents could not be made: they are found by what their rows say, and not by their entries.
///
/// # Errors
/// [`SearchError::Engine`] when the index cannot be read.
pub fn report_not_indexed(view: &View, events: &mut [AuditEvent]) -> Result<(), SearchError> {
    let hits = events.iter().map(|event| Hit {
        at_us: event.ordered_at().timestamp_micros(),
        seq: event.seq,
    });
    let not_indexed = view.not_indexed(hits)?;
    for event in events {
        if not_indexed.contains(&event.seq) && !event.is_damaged() && !event.is_erased() {
            event.problem = Some(NOT_INDEXED.to_owned());
        }
    }
    Ok(())
}

/// How many events a question has, exactly.
///
/// # Errors
/// [`SearchError`], named by whose fault it is.
pub fn count(view: &View, caller: &Caller, question: &Prepared) -> Result<u64, SearchError> {
    Ok(view.count(&question.resolved.ask(caller))?)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::clock::from_micros;
    use crate::durable::Failpoints;
    use crate::engine::Scope;
    use crate::engine::memory::Memory;
    use crate::position::Source;
    use crate::store::SourceSeen;

    fn event(seq: u64, account: &str) -> AuditEvent {
        AuditEvent {
            seq: Seq(seq),
            source: Source::account(account).unwrap(),
            id: None,
            revision: 0,
            time: None,
            received_at: from_micros(0),
            problem: None,
            entry: RawValue::from_string("{}".to_owned()).unwrap(),
            sha256: None,
        }
    }

    #[test]
    fn what_is_newer_than_the_index_is_left_out_without_a_walk_through_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Failpoints::default()).unwrap();
        let source = Source::account("a").unwrap();
        let seen = SourceSeen {
            source: source.clone(),
            organization: None,
            label: None,
            created_at: None,
        };
        store.save_sources(&[seen], from_micros(0)).unwrap();
        // The log has an event that cannot be found yet. Its table of events is empty: nothing is read there.
        let db = rusqlite::Connection::open(dir.path().join(crate::store::FILE_NAME)).unwrap();
        db.execute("UPDATE source SET events = 2, newest_seq = 9", [])
            .unwrap();
        let memory = Memory::default();
        let events = [event(1, "b"), event(2, "a"), event(3, "b")];
        memory.add_all(events.iter().map(|event| (event, None)));
        let view = View::from(memory.snapshot());
        let newest_in = |scope: Scope, upto| {
            let caller = view.caller(scope, None);
            newest(&store, &view, &caller, upto).unwrap()
        };
        let scope = Scope::of_sources([source]);
        assert_eq!(newest_in(scope.clone(), Seq(3)), Seq(2));
        assert_eq!(newest_in(scope.clone(), Seq(1)), Seq::ZERO);
        assert_eq!(newest_in(Scope::everything(), Seq(3)), Seq(3));
        assert_eq!(newest_held(&store, &scope).unwrap(), Seq(9));
    }
}
