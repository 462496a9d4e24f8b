//! Engines as tests ask them: for somebody who may see everything and has all the time there is, unless a test says otherwise.

use orgtrail::clock::Deadline;
use orgtrail::engine::tantivy::Index;
use orgtrail::engine::{
    Ask, Caller, Engine, EngineError, Hit, Matches, Memory, Order, Range, Scope, View,
};
use orgtrail::event::AuditEvent;
use orgtrail::position::Seq;
use orgtrail::query::Query;

/// A view, and who asks it.
pub(crate) struct Asked {
    pub(crate) view: View,
    pub(crate) caller: Caller,
}

impl Asked {
    pub(crate) fn everything(view: View) -> Self {
        Self::of(view, Scope::everything(), None)
    }

    pub(crate) fn of(view: View, scope: Scope, deadline: Option<Deadline>) -> Self {
        let caller = view.caller(scope, deadline);
        Self { view, caller }
    }

    pub(crate) fn index(index: &Index) -> Self {
        Self::everything(index.snapshot().into())
    }

    fn ask<'a>(&'a self, query: &'a Query, range: Range) -> Ask<'a> {
        Ask {
            query,
            range,
            caller: &self.caller,
        }
    }

    pub(crate) fn count(&self, query: &Query, range: Range) -> Result<u64, EngineError> {
        self.view.count(&self.ask(query, range))
    }

    pub(crate) fn hits(
        &self,
        query: &Query,
        range: Range,
        order: Order,
        after: Option<Hit>,
        upto: Seq,
        limit: usize,
    ) -> Result<Vec<Hit>, EngineError> {
        let ask = self.ask(query, range);
        self.view.hits(&ask, order, after, upto, limit)
    }

    pub(crate) fn arrivals(
        &self,
        query: &Query,
        range: Range,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Seq>, EngineError> {
        self.view.arrivals(&self.ask(query, range), after, limit)
    }

    pub(crate) fn matches(
        &self,
        query: &Query,
        range: Range,
        upto: Seq,
    ) -> Result<Matches, EngineError> {
        self.view.matches(&self.ask(query, range), upto)
    }

    pub(crate) fn knows_path(&self, path: &str) -> bool {
        self.view.knows_path(path, &self.caller).unwrap()
    }
}

/// The plain engine, with some events.
pub(crate) fn in_memory<'e>(events: impl IntoIterator<Item = &'e AuditEvent>) -> Engine {
    let memory = Memory::default();
    memory.add_all(events.into_iter().map(|event| (event, None)));
    Engine::Memory(memory)
}
