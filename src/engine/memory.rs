//! The plainest engine: events in a list, and each question held against each of them. It is what every other engine is compared
//! with, and so small that it can be read as the meaning of a [`View`](super::View). Not for service: it is slow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use super::ask::{Ask, Caller};
use super::budget::Budget;
use super::error::EngineError;
use super::hit::{Hit, Order};
use super::ranking::{RankedValues, Ranking, ValuesOf};
use super::values::{counted, entry_of, has_other_spellings, kind_of};
use crate::clock::Deadline;
use crate::event::AuditEvent;
use crate::field::{self, FIELDS, Kind, Number, Origin, folded, spelled_path};
use crate::position::{Seq, Source};
use crate::query::entry::leads_to;
use crate::query::{Entry, Matcher};

/// Events in memory. A clone has the same ones.
#[derive(Clone, Default)]
pub struct Memory(Arc<RwLock<Arc<MemorySnapshot>>>);

/// An event, with its place.
#[derive(Clone)]
struct MemoryEvent {
    hit: Hit,
    source: Source,
    entry: Arc<Entry>,
    replaced_by: Option<Seq>,
}

impl MemoryEvent {
    fn of(event: &AuditEvent) -> Self {
        Self {
            hit: Hit {
                at_us: event.ordered_at().timestamp_micros(),
                seq: event.seq,
            },
            source: event.source.clone(),
            entry: Arc::new(entry_of(event)),
            replaced_by: None,
        }
    }

    /// The different values of a field or path, as they are counted.
    fn counted_values(&self, name: &str) -> BTreeSet<String> {
        let values = self.entry.values(name).into_iter();
        let kind = kind_of(name);
        values
            .map(|value| counted(kind, value.to_owned()))
            .collect()
    }
}

impl Memory {
    /// Adds events, the next ones of the log, each with the revision that it replaces.
    pub fn add_all<'e>(&self, events: impl IntoIterator<Item = (&'e AuditEvent, Option<Seq>)>) {
        let mut shown = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = MemorySnapshot::clone(&shown);
        for (event, replaces) in events {
            let replaced = next
                .held
                .iter_mut()
                .filter(|held| Some(held.hit.seq) == replaces);
            replaced.for_each(|held| held.replaced_by = Some(event.seq));
            next.held.push(MemoryEvent::of(event));
        }
        *shown = Arc::new(next);
    }

    /// What can be asked now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<MemorySnapshot> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&shown)
    }
}

/// The events up to one place.
#[derive(Clone, Default)]
pub struct MemorySnapshot {
    held: Vec<MemoryEvent>,
    budget: Budget,
}

impl MemorySnapshot {
    pub(super) fn budget_until(&self, deadline: Option<Deadline>) -> Budget {
        self.budget.of_another(deadline)
    }

    pub(super) fn seq(&self) -> Seq {
        self.held.last().map_or(Seq::ZERO, |held| held.hit.seq)
    }

    pub(super) fn matches(&self, ask: &Ask<'_>, upto: Seq) -> Result<MemoryMatches, EngineError> {
        let Caller { scope, budget } = ask.caller;
        let query = scope.narrowed(ask.query);
        let matcher = Matcher::of(&query, scope.has_bodies())?;
        let steps = budget.steps();
        let mut found = Vec::new();
        for held in &self.held {
            let is_asked = held.hit.seq <= upto && ask.range.contains(held.hit.at_us);
            let is_replaced = held.replaced_by.is_some_and(|by| by <= upto);
            let entry = if is_replaced {
                &Arc::new(Entry::clone(&held.entry).replaced())
            } else {
                &held.entry
            };
            if is_asked && matcher.matches(entry, &|| steps.step()) {
                found.push(held.clone());
            }
        }
        budget.check_time()?;
        Ok(MemoryMatches {
            found,
            caller: ask.caller.clone(),
        })
    }

    /// The events of the caller's scope.
    fn visible<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a Entry> {
        let held = self.held.iter();
        held.filter(|held| caller.scope.has_source(&held.source))
            .map(|held| &*held.entry)
    }

    pub(super) fn knows_path(&self, path: &str, caller: &Caller) -> bool {
        let path = spelled_path(path);
        let is_known = |entry: &Entry| {
            let mut paths = entry.paths().chain(entry.paths_of_nothing());
            paths.any(|at| leads_to(&path, at) && !caller.scope.hides(at))
        };
        !field::is_own(&path) && self.visible(caller).any(is_known)
    }

    pub(super) fn all_paths(&self, caller: &Caller) -> Vec<String> {
        let mut found = BTreeSet::new();
        for path in self.visible(caller).flat_map(Entry::paths) {
            let mut next = Some(path).filter(|path| !caller.scope.hides(path));
            while let Some(path) = next.filter(|path| !path.is_empty()) {
                found.insert(path.to_owned());
                next = path.rsplit_once('.').map(|(above, _)| above);
            }
        }
        found.into_iter().collect()
    }

    pub(super) fn paths(&self, prefix: &str, limit: usize, caller: &Caller) -> Vec<String> {
        let prefix = folded(prefix);
        let is_known = |path: &str| {
            let field = FIELDS.iter().find(|field| field.name == path);
            field.is_some_and(|field| field.origin == Origin::Entry && field.kind != Kind::Any)
        };
        let found: BTreeSet<&str> = self
            .visible(caller)
            .flat_map(Entry::paths)
            .filter(|path| path.starts_with(&prefix) && !is_known(path))
            .filter(|path| !caller.scope.hides(path))
            .collect();
        found
            .into_iter()
            .take(limit)
            .map(ToOwned::to_owned)
            .collect()
    }
}

/// The events that a question means.
pub struct MemoryMatches {
    found: Vec<MemoryEvent>,
    caller: Caller,
}

impl MemoryMatches {
    pub(super) fn count(&self) -> u64 {
        self.found.len() as u64
    }

    pub(super) fn hits(&self, order: Order, after: Option<Hit>, limit: usize) -> Vec<Hit> {
        let mut hits: Vec<Hit> = self.found.iter().map(|held| held.hit).collect();
        hits.retain(|hit| after.is_none_or(|after| order.compare(*hit, after).is_gt()));
        hits.sort_unstable_by(|a, b| order.compare(*a, *b));
        hits.truncate(limit);
        hits
    }

    pub(super) fn arrivals(&self, after: Seq, limit: usize) -> Vec<Seq> {
        let later = self.seqs().into_iter().filter(|seq| *seq > after);
        later.take(limit).collect()
    }

    pub(super) fn seqs(&self) -> Vec<Seq> {
        self.found.iter().map(|held| held.hit.seq).collect()
    }

    pub(super) fn extent(&self) -> Option<(i64, i64)> {
        let times = || self.found.iter().map(|held| held.hit.at_us);
        times().min().zip(times().max())
    }

    pub(super) fn histogram(&self, edges: &[i64]) -> Vec<u64> {
        let count = |pair: &[i64]| {
            let times = self.found.iter().map(|held| held.hit.at_us);
            times.filter(|at| (pair[0]..pair[1]).contains(at)).count() as u64
        };
        edges.windows(2).map(count).collect()
    }

    pub(super) fn ranked(&self, wanted: &ValuesOf<'_>) -> Result<RankedValues, EngineError> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for held in self.visible_with(wanted.name) {
            self.caller.budget.check_time()?;
            for value in held.counted_values(wanted.name) {
                *counts.entry(value).or_default() += 1;
            }
        }
        let mut ranking = Ranking::new(wanted);
        let counts = counts.iter().filter(|(value, _)| wanted.passes(value));
        counts.for_each(|(value, count)| ranking.take(value, *count));
        Ok(ranking.into_values())
    }

    pub(super) fn count_with(&self, name: &str) -> u64 {
        let found = self.visible_with(name);
        found
            .filter(|held| !held.counted_values(name).is_empty())
            .count() as u64
    }

    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let found = self.visible_with(name);
        let found = found.filter(|held| held.counted_values(name).contains(value));
        Self {
            found: found.cloned().collect(),
            caller: self.caller.clone(),
        }
    }

    /// The events; none, when the caller may not see the values of a field or path.
    fn visible_with(&self, name: &str) -> impl Iterator<Item = &MemoryEvent> {
        let is_hidden = self.caller.scope.hides(name);
        self.found.iter().filter(move |_| !is_hidden)
    }

    pub(super) fn seq_with_spelling(&self, name: &str, value: &str) -> Option<Seq> {
        if self.caller.scope.hides(name) {
            return None;
        }
        let kind = kind_of(name);
        let as_compared = || self.first(|held| held.entry.values(name).contains(&value));
        match Number::plain(value).filter(|_| kind == Kind::Any) {
            None if has_other_spellings(kind, value) => as_compared(),
            None => None,
            Some(_) if as_compared().is_some() => None,
            Some(_) => self.first(|held| held.counted_values(name).contains(value)),
        }
    }

    fn first(&self, is_wanted: impl Fn(&MemoryEvent) -> bool) -> Option<Seq> {
        let found = self.found.iter().find(|held| is_wanted(held));
        found.map(|held| held.hit.seq)
    }
}
