//! Questions and their answers: what to ask of the index, in which order, and where a page goes on.
//!
//! A question is answered from one snapshot of the index, which gives places; the log gives the events at those places.
//! A cursor remembers the newest event of the first page's snapshot, so that later pages show what was held then,
//! whatever has arrived meanwhile.
//!
//! Does not depend on HTTP. The current time is an argument.

mod counting;
pub mod csv;
mod diff;
mod facets;
mod highlight;
mod histogram;
mod history;
mod known;
mod main_part;
mod pivot;
mod spelling;
mod split;
mod tally;
mod visible;
mod walk;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::clock::from_micros;
use crate::engine::{Ask, Caller, EngineError, Hit, Order, Range, Scope, View};
use crate::event::{AuditEvent, NOT_INDEXED, sha256};
use crate::field::{self, Origin};
use crate::position::Seq;
use crate::query::entry::leads_to;
use crate::query::{Query, QueryError};
use crate::store::{Store, StoreError};
use crate::wording::{nearest, quoted};

pub use self::diff::{Against, Diff, Difference, MAX_DIFFERENCES, Shown};
pub use self::facets::{
    DEFAULT_SIZE, Facet, Facets, FieldValues, LabelledValue, MAX_FACETS, MAX_SIZE,
};
pub use self::highlight::{Highlighter, Match};
pub use self::histogram::{Bucket, Histogram, MAX_BUCKETS, Scale, parse_zone};
pub use self::history::{Change, FoundBy, History, Which, diff, history, same_resource};
pub use self::pivot::{Pivot, Profile, around, profile};
pub use self::split::{MAX_SPLIT, Split};
pub use self::tally::{Tallied, Tally, completions, tally};
pub use self::visible::{event, newest_held};
pub use self::walk::{Export, Tail};

/// The most events on one page.
pub const MAX_LIMIT: usize = 1_000;

/// About the most bytes of entries on one page; beyond it the page is shorter.
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// Default page size.
pub const DEFAULT_LIMIT: usize = 50;

/// What is asked, apart from paging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Which events.
    pub query: Query,
    /// In which stretch of time.
    pub range: Range,
    /// In which order.
    pub order: Order,
}

impl Question {
    /// As an engine is asked, for a caller.
    fn ask<'a>(&'a self, caller: &'a Caller) -> Ask<'a> {
        Ask {
            query: &self.query,
            range: self.range,
            caller,
        }
    }
}

/// One page of an answer.
#[derive(Debug)]
pub struct Answer {
    /// Its events, in order.
    pub events: Vec<AuditEvent>,
    /// Where the next page goes on; `None` when this is the last.
    pub next_cursor: Option<String>,
    /// The newest event of the snapshot that the first page was made of: nothing after it is shown.
    pub upto: Seq,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The question cannot be understood.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A field is asked about that neither the table of fields nor any entry has, as far as the index has come.
    #[error("{message}")]
    UnknownField {
        /// The parameter that names it.
        parameter: &'static str,
        /// The character of the query it is about, counted from 0.
        at: Option<usize>,
        /// Which, and the name that was probably meant, for a person.
        message: String,
    },
    /// What is to be counted cannot be.
    #[error("{message}")]
    Counting {
        /// The parameter that asks for it.
        parameter: &'static str,
        /// What is wrong and what to do, for a person.
        message: String,
    },
    /// The cursor is not one for this question.
    #[error("{0}")]
    Cursor(&'static str),
    /// The index is being filled anew, and does not hold yet what the cursor's first page was made of.
    #[error(
        "the index is being rebuilt: it holds {has} events of the {needs} this cursor was made of; try again soon"
    )]
    Behind {
        /// The newest event that can be found.
        has: Seq,
        /// The newest event of the cursor's first page.
        needs: Seq,
    },
    /// The index failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The log failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The page of a question that begins at `cursor`, or its first: at most `limit` events.
///
/// `asked_at` is the moment for which the question was read, its `now`: that of the first page, see [`asked_at`].
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
    check_names(&question.query, view, caller)?;
    let query = known::resolved(store, &caller.scope, &question.query)?;
    let after = place.map(|place| place.after);
    // One more than asked for tells whether there is another page.
    let ask = Ask {
        query: &query,
        range: question.range,
        caller,
    };
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
        // A page of nothing is followed by what it follows.
        None if limit == 0 && !hits.is_empty() => cursor.map(ToOwned::to_owned),
        _ => None,
    };
    let mut events = without_erased(events);
    report_not_indexed(view, &mut events)?;
    Ok(Answer {
        events,
        next_cursor,
        upto,
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
fn without_erased(mut events: Vec<AuditEvent>) -> Vec<AuditEvent> {
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
pub fn count(
    store: &Store,
    view: &View,
    caller: &Caller,
    question: &Question,
) -> Result<u64, SearchError> {
    check_names(&question.query, view, caller)?;
    let query = known::resolved(store, &caller.scope, &question.query)?;
    let ask = Ask {
        query: &query,
        range: question.range,
        caller,
    };
    Ok(view.count(&ask)?)
}

/// The moment for which a cursor's question was read: relative times mean the same on each of its pages. `None` for what is no
/// cursor of ours, which [`page`] complains of.
#[must_use]
pub fn asked_at(cursor: &str) -> Option<DateTime<Utc>> {
    let bytes = EventCursor::bytes(cursor).ok()?;
    Some(from_micros(EventCursor::number(&bytes, 25).cast_signed()))
}

/// A path that no entry has is a mistake, not an empty answer.
///
/// # Errors
/// [`SearchError::UnknownField`] with the first such path; what the index says.
pub fn check_names(query: &Query, view: &View, caller: &Caller) -> Result<(), SearchError> {
    let mut paths = Vec::new();
    query.paths(&mut |path, at| paths.push((path, at)));
    for (path, at) in paths {
        if known::is_member(path) || is_known_field(path, view, caller)? {
            continue;
        }
        return Err(unknown_field(view, caller, path, "q", Some(at)));
    }
    Ok(())
}

/// As [`check_names`], for paths of entries that a parameter names. What orgtrail says beside the entry is none.
///
/// # Errors
/// [`SearchError::UnknownField`] with the first that is unknown; what the index says.
pub fn check_paths<'p>(
    paths: impl IntoIterator<Item = &'p str>,
    parameter: &'static str,
    view: &View,
    caller: &Caller,
) -> Result<(), SearchError> {
    for path in paths {
        let of_entries = field::FIELDS
            .iter()
            .filter(|field| field.origin == Origin::Entry);
        let mut above = of_entries.filter(|field| leads_to(path, field.name));
        let is_above = above.any(|field| !is_hidden(&caller.scope, field.name));
        if !is_above && !view.knows_path(path, caller)? {
            return Err(unknown_field(view, caller, path, parameter, None));
        }
    }
    Ok(())
}

/// As [`check_names`], for a field that a parameter names.
fn known_field(
    view: &View,
    caller: &Caller,
    name: &str,
    parameter: &'static str,
) -> Result<(), SearchError> {
    if is_known_field(name, view, caller)? {
        Ok(())
    } else {
        Err(unknown_field(view, caller, name, parameter, None))
    }
}

/// Whether a field is unknown to a scope. The stored reasons why an entry cannot be understood are about its bodies too.
#[must_use]
pub fn is_hidden(scope: &Scope, name: &str) -> bool {
    scope.hides(name) || (!scope.has_bodies() && name.eq_ignore_ascii_case("problem"))
}

/// Whether the table of fields or an entry has a field, as far as the caller may see.
fn is_known_field(name: &str, view: &View, caller: &Caller) -> Result<bool, EngineError> {
    let is_in_table = field::by_name(name).is_some() && !is_hidden(&caller.scope, name);
    Ok(is_in_table || view.knows_path(name, caller)?)
}

fn unknown_field(
    view: &View,
    caller: &Caller,
    path: &str,
    parameter: &'static str,
    at: Option<usize>,
) -> SearchError {
    let known = match view.all_paths(caller) {
        Ok(known) => known,
        Err(error) => return error.into(),
    };
    let names = field::FIELDS.iter().map(|field| field.name);
    let names = names.chain(known.iter().map(String::as_str));
    let visible = names.filter(|name| !is_hidden(&caller.scope, name));
    let hint = match nearest(path, visible) {
        Some(name) => format!("did you mean {}?", quoted(name)),
        None => "no entry has it either".to_owned(),
    };
    SearchError::UnknownField {
        parameter,
        at,
        message: format!("unknown field {}: {hint}", quoted(path)),
    }
}

/// The question without fields of lists, see [`known`].
fn resolved(store: &Store, scope: &Scope, question: &Question) -> Result<Question, SearchError> {
    Ok(Question {
        query: known::resolved(store, scope, &question.query)?.into_owned(),
        range: question.range,
        order: question.order,
    })
}

/// Where a page goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EventCursor {
    /// For which moment the question was read.
    asked_at_us: i64,
    /// The newest event of the first page's snapshot: what came later is not shown.
    upto: Seq,
    /// The last event of the page before.
    after: Hit,
}

/// The first byte of a cursor, raised when its form changes.
const CURSOR_VERSION: u8 = 2;

const CURSOR_LEN: usize = 1 + 16 + 8 + 4 * 8;

impl EventCursor {
    fn write(self, question: &Question, scope: &Scope, log_id: Uuid) -> String {
        let mut bytes = Vec::with_capacity(CURSOR_LEN);
        bytes.push(CURSOR_VERSION);
        bytes.extend(log_id.as_bytes());
        bytes.extend(fingerprint(question, scope));
        bytes.extend(self.asked_at_us.to_be_bytes());
        bytes.extend(self.upto.0.to_be_bytes());
        bytes.extend(self.after.at_us.to_be_bytes());
        bytes.extend(self.after.seq.0.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn bytes(cursor: &str) -> Result<[u8; CURSOR_LEN], SearchError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
        if bytes
            .first()
            .is_some_and(|version| *version < CURSOR_VERSION)
        {
            return Err(SearchError::Cursor(
                "this cursor is of another version: start from the first page",
            ));
        }
        match <[u8; CURSOR_LEN]>::try_from(bytes) {
            Ok(bytes) if bytes[0] == CURSOR_VERSION => Ok(bytes),
            _ => Err(SearchError::Cursor(
                "this is no cursor of ours: take `next_cursor` as it is, or leave it out",
            )),
        }
    }

    fn number(bytes: &[u8; CURSOR_LEN], at: usize) -> u64 {
        let mut part = [0; 8];
        part.copy_from_slice(&bytes[at..at + 8]);
        u64::from_be_bytes(part)
    }

    fn read(
        cursor: &str,
        question: &Question,
        scope: &Scope,
        log_id: Uuid,
    ) -> Result<Self, SearchError> {
        let bytes = Self::bytes(cursor)?;
        if bytes[1..17] != *log_id.as_bytes() {
            return Err(SearchError::Cursor(
                "this cursor is of another log: start from the first page",
            ));
        }
        if bytes[17..25] != fingerprint(question, scope) {
            return Err(SearchError::Cursor(
                "this cursor belongs to another question: repeat its parameters as they were",
            ));
        }
        let after = Hit {
            at_us: Self::number(&bytes, 41).cast_signed(),
            seq: Seq(Self::number(&bytes, 49)),
        };
        Ok(Self {
            asked_at_us: Self::number(&bytes, 25).cast_signed(),
            upto: Seq(Self::number(&bytes, 33)),
            after,
        })
    }
}

/// Tells questions apart, and the scopes in which they are asked. It changes when their form in the code does, which makes older
/// cursors another question's.
fn fingerprint(question: &Question, scope: &Scope) -> [u8; 8] {
    let hash = sha256(format!("{question:?} {scope:?}").as_bytes());
    let mut short = [0; 8];
    short.copy_from_slice(&hash[..8]);
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use serde_json::value::RawValue;

    use crate::durable::Breaker;
    use crate::engine::memory::Memory;
    use crate::position::Source;
    use crate::store::SourceSeen;

    fn question(text: &str) -> Question {
        Question {
            query: crate::query::parse(text, from_micros(0)).unwrap(),
            range: Range::default(),
            order: Order::Descending,
        }
    }

    fn told(result: Result<EventCursor, SearchError>) -> String {
        result
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn a_cursor_is_bound_to_its_question_and_its_log() {
        let place = EventCursor {
            asked_at_us: 7,
            upto: Seq(9),
            after: Hit {
                at_us: -5,
                seq: Seq(3),
            },
        };
        let cursor = place.write(&question("a"), &Scope::everything(), Uuid::nil());
        assert_eq!(
            EventCursor::read(&cursor, &question("a"), &Scope::everything(), Uuid::nil()).unwrap(),
            place
        );
        assert_eq!(asked_at(&cursor), Some(from_micros(7)));
        assert!(
            told(EventCursor::read(
                &cursor,
                &question("b"),
                &Scope::everything(),
                Uuid::nil()
            ))
            .contains("another question")
        );
        assert!(
            told(EventCursor::read(
                &cursor,
                &question("a"),
                &Scope::everything(),
                Uuid::max()
            ))
            .contains("another log")
        );
        let ascending = Question {
            order: Order::Ascending,
            ..question("a")
        };
        assert!(
            told(EventCursor::read(
                &cursor,
                &ascending,
                &Scope::everything(),
                Uuid::nil()
            ))
            .contains("another question")
        );
    }

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
        let store = Store::open(dir.path(), Breaker::default()).unwrap();
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

    proptest! {
        #[test]
        fn any_text_is_a_cursor_or_an_error(text in "[A-Za-z0-9_-]{0,80}") {
            prop_assert!(EventCursor::read(&text, &question("a"), &Scope::everything(), Uuid::nil()).is_err());
        }
    }
}
