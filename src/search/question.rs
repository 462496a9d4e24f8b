//! A question, and what is found out about it before it is answered.

use std::borrow::Cow;

use super::error::SearchError;
use super::first::FirstIn;
use super::known;
use super::names::check_names;
use crate::engine::{Ask, Caller, Order, Range, View};
use crate::position::Seq;
use crate::query::Query;
use crate::store::Store;

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
    pub(super) fn ask<'a>(&'a self, caller: &'a Caller) -> Ask<'a> {
        Ask {
            query: &self.query,
            range: self.range,
            caller,
        }
    }

    /// Checks the names in it, and resolves the fields that are not in the index.
    ///
    /// # Errors
    /// [`SearchError::UnknownField`]; what the log and the index say.
    pub fn prepare(
        &self,
        store: &Store,
        view: &View,
        caller: &Caller,
    ) -> Result<Prepared, SearchError> {
        self.prepare_upto(store, view, caller, view.seq())
    }

    /// The same about the events up to `upto`: a page that is not the first is of the snapshot of the first.
    pub(super) fn prepare_upto(
        &self,
        store: &Store,
        view: &View,
        caller: &Caller,
        upto: Seq,
    ) -> Result<Prepared, SearchError> {
        check_names(&self.query, view, caller)?;
        Ok(Prepared {
            asked: self.clone(),
            resolved: self.resolved(store, caller, upto)?,
        })
    }

    /// The same without fields that are not in the index, see [`resolved`].
    pub(super) fn resolved(
        &self,
        store: &Store,
        caller: &Caller,
        upto: Seq,
    ) -> Result<Self, SearchError> {
        let query = resolved(store, caller, upto, self.range, &self.query)?;
        Ok(Self {
            query: query.into_owned(),
            range: self.range,
            order: self.order,
        })
    }
}

/// A query without fields that are not in the index: those of lists ([`known`]) and `first_seen` ([`first`](super::first)), as of the
/// event `upto`.
pub(super) fn resolved<'q>(
    store: &Store,
    caller: &Caller,
    upto: Seq,
    range: Range,
    query: &'q Query,
) -> Result<Cow<'q, Query>, SearchError> {
    let first = FirstIn {
        store,
        caller,
        upto,
        range,
    };
    first.resolved(known::resolved(store, &caller.scope, query)?)
}

/// A question that can be answered. It is checked and resolved once: a page and the numbers beside it are of the same question.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) asked: Question,
    /// Without fields that are not in the index.
    pub(super) resolved: Question,
}
