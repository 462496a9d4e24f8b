//! `first_seen`: what an event's actor had not been seen with before, as a question about events.
//!
//! Whether an event is the first changes when an earlier one comes, so it is in no document. The log knows which events were the first as of
//! each of its events; a question gets the set of those that were as of its snapshot. All pages of an answer are as of the snapshot of
//! the first page.
//!
//! It is known up to where the detection has read. A question waits for it a moment, and is refused when it stays behind: what is not
//! known is not answered.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::error::SearchError;
use crate::engine::{Caller, Range};
use crate::field::{FIRST_SEEN, FIRST_SEEN_NAMES};
use crate::position::Seq;
use crate::query::{Query, QueryError, SeqSet, ValueTester};
use crate::store::Store;

/// How often it is looked whether the detection has read far enough, and how long.
const LOOK_EVERY: Duration = Duration::from_millis(25);
const LOOKS: usize = 80;

/// The most memory that one set takes, in bytes.
const MAX_SET_BYTES: u64 = 64 * 1024 * 1024;

/// Whether a path is this field.
pub(super) fn is_first_seen(path: &str) -> bool {
    path.eq_ignore_ascii_case(FIRST_SEEN)
}

/// The place of the field in a question, if it asks about it.
pub(super) fn asks(query: &Query) -> Option<usize> {
    let mut found = None;
    query.paths(&mut |path, at| {
        if is_first_seen(path) {
            found = found.or(Some(at));
        }
    });
    found
}

/// As of when, and in which stretch of time.
#[derive(Clone, Copy)]
pub(super) struct FirstIn<'a> {
    pub(super) store: &'a Store,
    pub(super) caller: &'a Caller,
    /// The last event of the snapshot.
    pub(super) upto: Seq,
    pub(super) range: Range,
}

impl FirstIn<'_> {
    /// A question without the field: it has the events that it stands for.
    ///
    /// # Errors
    /// [`SearchError::NotKnownYet`] when the detection is behind; [`SearchError::Query`] for what is not noted.
    pub(super) fn resolved<'q>(
        &self,
        query: Cow<'q, Query>,
    ) -> Result<Cow<'q, Query>, SearchError> {
        if asks(&query).is_none() {
            return Ok(query);
        }
        self.wait_until_known()?;
        Ok(Cow::Owned(self.resolve(&query)?))
    }

    fn resolve(&self, query: &Query) -> Result<Query, SearchError> {
        let all = |parts: &[Query]| -> Result<Vec<Query>, SearchError> {
            parts.iter().map(|part| self.resolve(part)).collect()
        };
        Ok(match query {
            Query::And(parts) => Query::And(all(parts)?),
            Query::Or(parts) => Query::Or(all(parts)?),
            Query::Not(inner) => self.resolve(inner)?.negated(),
            leaf => match asks(leaf) {
                Some(at) => self.leaf(leaf, at)?,
                None => leaf.clone(),
            },
        })
    }

    /// The events that had any of the things that a leaf means for the first time.
    fn leaf(&self, leaf: &Query, at: usize) -> Result<Query, SearchError> {
        let tester = ValueTester::of(leaf)?;
        let names: Vec<&str> = FIRST_SEEN_NAMES
            .into_iter()
            .filter(|name| tester.passes(name))
            .collect();
        if names.is_empty() {
            let known = FIRST_SEEN_NAMES.map(|name| format!("`{name}`")).join(", ");
            let message = format!("`first_seen` has none of these values; it has {known}");
            return Err(QueryError::new(at, message).into());
        }
        self.events(&names)
    }

    /// The events that had any of these for the first time. Wait until it is known before.
    pub(super) fn events(&self, names: &[&str]) -> Result<Query, SearchError> {
        let mut places = SeqSet::default();
        // All events together are not known to those that see some of them.
        if !self.caller.scope.has_all_sources() {
            return Ok(Query::At(Arc::new(places)));
        }
        if SeqSet::bytes_upto(self.upto) > MAX_SET_BYTES {
            let message = "the log has too many events to ask for `first_seen`";
            return Err(QueryError::new(0, message).into());
        }
        for (pair, name) in (0_u8..).zip(FIRST_SEEN_NAMES) {
            if names.contains(&name) {
                self.caller.budget.check_time()?;
                let range = (self.range.since_us, self.range.before_us);
                self.store
                    .first_in(pair, self.upto, range, |seq| places.insert(seq))?;
            }
        }
        Ok(Query::At(Arc::new(places)))
    }

    /// Waits until the detection has read the snapshot's events.
    ///
    /// # Errors
    /// [`SearchError::NotKnownYet`] when that takes long.
    pub(super) fn wait_until_known(&self) -> Result<(), SearchError> {
        let mut known = known_upto(self.store)?;
        for _ in 0..LOOKS {
            if known >= self.upto {
                return Ok(());
            }
            self.caller.budget.check_time()?;
            std::thread::sleep(LOOK_EVERY);
            known = known_upto(self.store)?;
        }
        if known >= self.upto {
            return Ok(());
        }
        Err(SearchError::NotKnownYet {
            known,
            needs: self.upto,
        })
    }
}

/// The last event up to which it is known what events had for the first time.
///
/// # Errors
/// What the log says.
pub(super) fn known_upto(store: &Store) -> Result<Seq, SearchError> {
    Ok(store.pairs_known_upto()?)
}
