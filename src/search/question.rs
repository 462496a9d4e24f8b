//! A question, and what is found out about it before it is answered.

use super::error::SearchError;
use super::known;
use super::names::check_names;
use crate::engine::{Ask, Caller, Order, Range, Scope, View};
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

    /// Checks the names in it, and resolves the fields of lists.
    ///
    /// # Errors
    /// [`SearchError::UnknownField`]; what the log and the index say.
    pub fn prepare(
        &self,
        store: &Store,
        view: &View,
        caller: &Caller,
    ) -> Result<Prepared, SearchError> {
        check_names(&self.query, view, caller)?;
        Ok(Prepared {
            asked: self.clone(),
            resolved: self.resolved(store, &caller.scope)?,
        })
    }

    /// The same without fields of lists, see [`known`].
    pub(super) fn resolved(&self, store: &Store, scope: &Scope) -> Result<Self, SearchError> {
        Ok(Self {
            query: known::resolved(store, scope, &self.query)?.into_owned(),
            range: self.range,
            order: self.order,
        })
    }
}

/// A question that can be answered. It is checked and resolved once: a page and the numbers beside it are of the same question.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) asked: Question,
    /// Without fields of lists.
    pub(super) resolved: Question,
}
