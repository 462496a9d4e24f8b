//! The whole of an answer, piece by piece: for an export, which wants every event of one snapshot in order, and for a tail,
//! which wants every event in the order of arrival and then those that come.
//!
//! Whoever takes the pieces sets the pace. Between two pieces only places are kept, so memory does not depend on how many
//! events there are.

use std::collections::VecDeque;

use super::error::SearchError;
use super::known::asks_lists;
use super::page::{report_not_indexed, without_erased};
use super::question::{Question, resolved};
use super::{first, visible};
use crate::clock::Deadline;
use crate::engine::{Ask, Caller, Engine, Following, Hit, Recent, Scope, View};
use crate::event::AuditEvent;
use crate::position::Seq;
use crate::query::Matcher;
use crate::store::{Store, StoreError};

/// How many places of an export are looked up at once.
const MAX_PLACES: usize = 50_000;

/// The same for a tail: there are many of these at once, and five hundred that are far behind take 64 MB so.
const MAX_TAIL_PLACES: usize = 16_000;

/// The most events in a piece.
const MAX_EVENTS: usize = 500;

/// About the most bytes of entries in a piece of an export.
const EXPORT_BYTES: usize = 1024 * 1024;

/// About the most bytes of entries in a piece of a tail: there are many of these at once.
const TAIL_BYTES: usize = 64 * 1024;

/// Every event that a question has in one snapshot, in the question's order.
pub struct Export {
    store: Store,
    view: View,
    scope: Scope,
    question: Question,
    places: VecDeque<Hit>,
    after: Option<Hit>,
    is_last: bool,
}

impl Export {
    /// From the first event on.
    ///
    /// # Errors
    /// When the question asks for what no entry has.
    pub fn new(
        store: Store,
        view: View,
        scope: Scope,
        question: Question,
    ) -> Result<Self, SearchError> {
        let caller = view.caller(scope.clone(), None);
        let question = question.prepare(&store, &view, &caller)?.resolved;
        Ok(Self {
            store,
            view,
            scope,
            question,
            places: VecDeque::new(),
            after: None,
            is_last: false,
        })
    }

    /// The next events, looked for until `deadline`; none when all have been given.
    ///
    /// # Errors
    /// [`SearchError`]: what was given so far is then not the whole.
    pub fn next_events(
        &mut self,
        deadline: Option<Deadline>,
    ) -> Result<Vec<AuditEvent>, SearchError> {
        loop {
            let events = self.next_piece(deadline.as_ref())?;
            // Every event of a piece may have been erased meanwhile: that is not the end.
            if !events.is_empty() || self.is_over() {
                return Ok(events);
            }
        }
    }

    fn next_piece(&mut self, deadline: Option<&Deadline>) -> Result<Vec<AuditEvent>, SearchError> {
        if self.places.is_empty() && !self.is_last {
            let caller = self.view.caller(self.scope.clone(), deadline.cloned());
            let ask = self.question.ask(&caller);
            let (order, upto) = (self.question.order, self.view.seq());
            let hits = self.view.hits(&ask, order, self.after, upto, MAX_PLACES)?;
            self.is_last = hits.len() < MAX_PLACES;
            self.after = hits.last().copied().or(self.after);
            self.places.extend(hits);
        }
        let places = self.places.iter().map(|hit| hit.seq);
        let events = read(&self.store, &self.scope, places, EXPORT_BYTES)?;
        let taken = events.len();
        let mut events = without_erased(events);
        report_not_indexed(&self.view, &mut events)?;
        self.places.drain(..taken);
        Ok(events)
    }

    /// Whether everything has been given.
    fn is_over(&self) -> bool {
        self.is_last && self.places.is_empty()
    }
}

/// Every event after a place that a question means, in the order of arrival, as far as the index has come. New ones are held
/// against the question in memory, where that can be; the index is searched for those that it is behind by.
pub struct Tail {
    store: Store,
    question: Question,
    recent: Option<RecentEvents>,
    places: VecDeque<Seq>,
    /// Everything up to here has been given, or is in `places`.
    after: Seq,
}

/// Where a tail finds new events in memory.
struct RecentEvents {
    recent: Recent,
    matcher: Matcher,
    _following: Following,
}

impl Tail {
    /// From the event after `after` on. The question's order is not asked for.
    #[must_use]
    pub fn new(store: Store, question: Question, after: Seq) -> Self {
        Self {
            store,
            question,
            recent: None,
            places: VecDeque::new(),
            after,
        }
    }

    /// From here on, events that `engine` takes in are held against the question in memory, if that takes no more than
    /// `spare` bytes. Says how many it takes.
    pub fn match_in_memory(&mut self, engine: &Engine, scope: &Scope, spare: usize) -> usize {
        let query = &self.question.query;
        // Lists change while it goes on: each time the index is asked, they are read.
        let is_beside = asks_lists(query).is_some() || first::asks(query).is_some();
        if is_beside || query.asks_of_others() {
            return 0;
        }
        let matcher = Matcher::of(&scope.narrowed(query), scope.has_bodies());
        let matcher = matcher.ok().filter(|matcher| matcher.size() <= spare);
        self.recent = engine
            .recent()
            .zip(matcher)
            .map(|(recent, matcher)| RecentEvents {
                recent: recent.clone(),
                matcher,
                _following: recent.follow(),
            });
        self.recent
            .as_ref()
            .map_or(0, |recent| recent.matcher.size())
    }

    /// How far it has come, once a call of [`Tail::next_events`] gave none: nothing up to here is left to give.
    #[must_use]
    pub fn at(&self) -> Seq {
        self.after
    }

    /// The next events that `view` has for `caller`; none when there are no more in it.
    ///
    /// # Errors
    /// [`SearchError`]; nothing is passed over, and the same may be asked again.
    pub fn next_events(
        &mut self,
        view: &View,
        caller: &Caller,
    ) -> Result<Vec<AuditEvent>, SearchError> {
        loop {
            let events = self.next_piece(view, caller)?;
            let is_over = self.places.is_empty() && self.limit(view)? <= self.after;
            if !events.is_empty() || is_over {
                return Ok(events);
            }
        }
    }

    /// The last event that can be given now: of later ones it is not known yet which were the first.
    fn limit(&self, view: &View) -> Result<Seq, SearchError> {
        if first::asks(&self.question.query).is_none() {
            return Ok(view.seq());
        }
        Ok(view.seq().min(first::known_upto(&self.store)?))
    }

    /// Whether it waits for the detection to read events that `view` has.
    ///
    /// # Errors
    /// What the log says.
    pub fn waits(&self, view: &View) -> Result<bool, SearchError> {
        Ok(self.limit(view)? < view.seq())
    }

    fn next_piece(&mut self, view: &View, caller: &Caller) -> Result<Vec<AuditEvent>, SearchError> {
        let limit = self.limit(view)?;
        if self.places.is_empty() && limit > self.after {
            let Question { query, range, .. } = &self.question;
            let recent = match &self.recent {
                Some(RecentEvents {
                    recent, matcher, ..
                }) => recent.arrivals(matcher, *range, caller, self.after, view.seq())?,
                None => None,
            };
            let mut is_cut = false;
            let found = match recent {
                Some(found) => found,
                None => {
                    let query = resolved(&self.store, caller, limit, *range, query)?;
                    let ask = Ask {
                        query: &query,
                        range: *range,
                        caller,
                    };
                    let mut found = view.arrivals(&ask, self.after, MAX_TAIL_PLACES)?;
                    is_cut = found.len() == MAX_TAIL_PLACES;
                    found.retain(|seq| *seq <= limit);
                    found
                }
            };
            self.after = match found.last() {
                Some(last) if is_cut => *last,
                _ => limit,
            };
            self.places.extend(found);
        }
        let places = self.places.iter().copied();
        let events = read(&self.store, &caller.scope, places, TAIL_BYTES)?;
        let taken = events.len();
        let mut events = without_erased(events);
        report_not_indexed(view, &mut events)?;
        self.places.drain(..taken);
        if self.places.is_empty() {
            // What it took while it was behind is given back.
            self.places = VecDeque::new();
        }
        Ok(events)
    }
}

/// The events at the first of some places, at least one: at most [`MAX_EVENTS`], and about `max_bytes`.
pub(super) fn read(
    store: &Store,
    scope: &Scope,
    places: impl Iterator<Item = Seq>,
    max_bytes: usize,
) -> Result<Vec<AuditEvent>, SearchError> {
    let places: Vec<Seq> = places.take(MAX_EVENTS).collect();
    let (events, _) = visible::events(store, scope, &places, max_bytes)?;
    let given = events.iter().map(|event| event.seq);
    match given.zip(&places).find(|(given, place)| given != *place) {
        None if events.is_empty() && !places.is_empty() => Err(missing(places[0])),
        None => Ok(events),
        Some((_, place)) => Err(missing(*place)),
    }
}

/// An answer with a hole would pass for the whole.
fn missing(place: Seq) -> SearchError {
    StoreError::Damaged(format!("the index has event {place}, the log has not")).into()
}
