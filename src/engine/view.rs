//! The log at one place, as an engine has it: all questions go through here.

use std::collections::HashSet;
use std::sync::Arc;

use super::ask::{Ask, Caller};
use super::error::EngineError;
use super::hit::{Hit, Order, Range};
use super::matches::Matches;
use super::memory;
use super::scope::Scope;
use super::tantivy::Snapshot;
use crate::clock::Deadline;
use crate::position::Seq;
use crate::query::Query;

/// The log at one place. It stays the same while events arrive. A clone is another handle to the same one.
///
/// Methods that look for events or names take a [`Caller`]: events outside its scope do not affect the answer, and the method
/// fails when its deadline passes.
#[derive(Clone)]
pub struct View(EngineView);

#[derive(Clone)]
enum EngineView {
    Tantivy(Arc<Snapshot>),
    Memory(Arc<memory::MemorySnapshot>),
}

impl From<Arc<Snapshot>> for View {
    fn from(snapshot: Arc<Snapshot>) -> Self {
        Self(EngineView::Tantivy(snapshot))
    }
}

impl From<Arc<memory::MemorySnapshot>> for View {
    fn from(snapshot: Arc<memory::MemorySnapshot>) -> Self {
        Self(EngineView::Memory(snapshot))
    }
}

impl View {
    /// The caller of one question: its scope and its deadline.
    #[must_use]
    pub fn caller(&self, scope: Scope, deadline: Option<Deadline>) -> Caller {
        let budget = match &self.0 {
            EngineView::Tantivy(snapshot) => snapshot.budget_until(deadline),
            EngineView::Memory(snapshot) => snapshot.budget_until(deadline),
        };
        Caller { scope, budget }
    }

    /// The last event that can be found, with all before it.
    #[must_use]
    pub fn seq(&self) -> Seq {
        match &self.0 {
            EngineView::Tantivy(snapshot) => snapshot.seq(),
            EngineView::Memory(snapshot) => snapshot.seq(),
        }
    }

    /// The first `limit` answers after `after`, of the events up to `upto`, in order.
    ///
    /// # Errors
    /// [`EngineError::CutOff`] when it takes too long, [`EngineError::TooLarge`] and [`EngineError::Question`] when it would
    /// take too much memory, [`EngineError::Failed`] when the engine fails.
    pub fn hits(
        &self,
        ask: &Ask<'_>,
        order: Order,
        after: Option<Hit>,
        upto: Seq,
        limit: usize,
    ) -> Result<Vec<Hit>, EngineError> {
        let query = ask.caller.scope.narrowed(ask.query);
        match &self.0 {
            EngineView::Tantivy(snapshot) => {
                let snapshot = snapshot.of_caller(ask.caller);
                snapshot.hits(&query, ask.range, order, after, upto, limit)
            }
            EngineView::Memory(snapshot) => {
                let found = snapshot.matches(ask, upto)?;
                Ok(found.hits(order, after, limit))
            }
        }
    }

    /// The first `limit` matching events with a `seq` above `after`, by `seq`.
    ///
    /// # Errors
    /// As [`View::hits`].
    pub fn arrivals(
        &self,
        ask: &Ask<'_>,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Seq>, EngineError> {
        let query = ask.caller.scope.narrowed(ask.query);
        match &self.0 {
            EngineView::Tantivy(snapshot) => {
                let snapshot = snapshot.of_caller(ask.caller);
                snapshot.arrivals(&query, ask.range, after, limit)
            }
            EngineView::Memory(snapshot) => {
                let found = snapshot.matches(ask, self.seq())?;
                Ok(found.arrivals(after, limit))
            }
        }
    }

    /// The newest event up to `upto` that the caller may see, by its place.
    ///
    /// # Errors
    /// As [`View::hits`].
    pub fn newest(&self, caller: &Caller, upto: Seq) -> Result<Option<Seq>, EngineError> {
        let ask = Ask {
            query: &Query::All,
            range: Range::default(),
            caller,
        };
        let query = caller.scope.narrowed(ask.query);
        match &self.0 {
            EngineView::Tantivy(snapshot) => snapshot.of_caller(caller).newest(&query, upto),
            EngineView::Memory(snapshot) => {
                Ok(snapshot.matches(&ask, upto)?.seqs().into_iter().max())
            }
        }
    }

    /// How many events a question means, exactly.
    ///
    /// # Errors
    /// As [`View::hits`].
    pub fn count(&self, ask: &Ask<'_>) -> Result<u64, EngineError> {
        let query = ask.caller.scope.narrowed(ask.query);
        match &self.0 {
            EngineView::Tantivy(snapshot) => {
                snapshot.of_caller(ask.caller).count(&query, ask.range)
            }
            EngineView::Memory(snapshot) => Ok(snapshot.matches(ask, self.seq())?.count()),
        }
    }

    /// The events up to `upto` that a question means, to be counted in several ways.
    ///
    /// # Errors
    /// As [`View::hits`].
    pub fn matches(&self, ask: &Ask<'_>, upto: Seq) -> Result<Matches, EngineError> {
        let query = ask.caller.scope.narrowed(ask.query);
        match &self.0 {
            EngineView::Tantivy(snapshot) => {
                let snapshot = snapshot.of_caller(ask.caller);
                Ok(snapshot.matches(&query, ask.range, upto)?.into())
            }
            EngineView::Memory(snapshot) => Ok(snapshot.matches(ask, upto)?.into()),
        }
    }

    /// Whether any entry has a value, an empty text or `null` at a path that is not in the table of fields, or below it.
    ///
    /// # Errors
    /// As [`View::hits`].
    pub fn knows_path(&self, path: &str, caller: &Caller) -> Result<bool, EngineError> {
        match &self.0 {
            EngineView::Tantivy(snapshot) => snapshot.of_caller(caller).knows_path(path),
            EngineView::Memory(snapshot) => Ok(snapshot.knows_path(path, caller)),
        }
    }

    /// The paths at which entries have values, or below which they have, in lower case and in order; 10,000 at most.
    ///
    /// # Errors
    /// As [`View::hits`].
    pub fn all_paths(&self, caller: &Caller) -> Result<Vec<String>, EngineError> {
        match &self.0 {
            EngineView::Tantivy(snapshot) => snapshot.of_caller(caller).all_paths(),
            EngineView::Memory(snapshot) => Ok(snapshot.all_paths(caller)),
        }
    }

    /// The paths that entries have and the table of fields has not, those that begin with `prefix`: the first `limit` by
    /// name.
    ///
    /// # Errors
    /// As [`View::hits`].
    pub fn paths(
        &self,
        prefix: &str,
        limit: usize,
        caller: &Caller,
    ) -> Result<Vec<String>, EngineError> {
        match &self.0 {
            EngineView::Tantivy(snapshot) => snapshot.of_caller(caller).paths(prefix, limit),
            EngineView::Memory(snapshot) => Ok(snapshot.paths(prefix, limit, caller)),
        }
    }

    /// Those of some events that are found by what their row says alone, because the engine could not take their entries in.
    ///
    /// # Errors
    /// As [`View::hits`].
    pub fn not_indexed(
        &self,
        hits: impl IntoIterator<Item = Hit> + Clone,
    ) -> Result<HashSet<Seq>, EngineError> {
        match &self.0 {
            EngineView::Tantivy(snapshot) => snapshot.not_indexed(hits),
            EngineView::Memory(_) => Ok(HashSet::new()),
        }
    }
}
