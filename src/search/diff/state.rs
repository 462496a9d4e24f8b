//! What is known of a resource at one moment, and what an event changes of that.

use std::sync::Arc;

use super::form::{Against, Diff};
use super::leaves::{Leaves, TimeCheck};
use super::told::{Basis, Effect, ToldChange};
use crate::search::error::SearchError;

/// The last state that is known in one way.
#[derive(Debug, Clone)]
pub(super) struct KnownState {
    pub(super) leaves: Arc<Leaves>,
    of: Against,
    /// Whether no later change could be told in this way.
    is_current: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// By [`Basis::ALL`].
    pub(super) known: [Option<KnownState>; 3],
    /// The delete after which nothing was made again.
    gone: Option<Against>,
}

impl State {
    /// What is known after an event.
    pub(super) fn after(
        &self,
        told: &ToldChange,
        clock: TimeCheck<'_>,
    ) -> Result<Self, SearchError> {
        let mut after = self.clone();
        match told.effect {
            Effect::Nothing => return Ok(after),
            Effect::Deletes => {
                return Ok(Self {
                    gone: Some(told.of.clone()),
                    ..Self::default()
                });
            }
            _ => after.gone = None,
        }
        let places = Basis::ALL.into_iter().zip(&mut after.known);
        for ((basis, known), own) in places.zip(&told.own) {
            let Some(own) = own else {
                if let Some(known) = known {
                    known.is_current = false;
                }
                continue;
            };
            let leaves = match known.as_ref().filter(|_| merges(told.effect, basis)) {
                Some(known) => known.leaves.merged(own, clock)?.map(Arc::new),
                None => Some(own.clone()),
            };
            *known = leaves.map(|leaves| KnownState {
                leaves,
                of: told.of.clone(),
                is_current: true,
            });
        }
        Ok(after)
    }

    /// What an event changed, after which that is known.
    pub(super) fn diff(
        &self,
        told: &ToldChange,
        after: &Self,
        clock: TimeCheck<'_>,
    ) -> Result<Diff, SearchError> {
        match told.effect {
            Effect::Nothing => {
                let last = self.last();
                Ok(Diff {
                    against: last
                        .map(|(_, known)| known.of.clone())
                        .or(self.gone.clone()),
                    status: "exact",
                    ..Diff::empty(last.map_or(Basis::Request, |(basis, _)| basis))
                })
            }
            Effect::Deletes => self.deleted(clock),
            _ => self.changed(told, after, clock),
        }
    }

    /// The state that is known best: of those that are current, or of all.
    fn last(&self) -> Option<(Basis, &KnownState)> {
        let all = || Basis::ALL.into_iter().zip(&self.known);
        let known = |(basis, known): (Basis, &'_ Option<KnownState>)| -> Option<Basis> {
            known.as_ref().map(|_| basis)
        };
        let current = all().filter(|(_, known)| known.as_ref().is_some_and(|it| it.is_current));
        let basis = current.filter_map(known).next();
        let basis = basis.or_else(|| all().filter_map(known).next())?;
        Some((basis, self.known[basis as usize].as_ref()?))
    }

    fn deleted(&self, clock: TimeCheck<'_>) -> Result<Diff, SearchError> {
        match self.last() {
            Some((basis, known)) => Diff {
                against: Some(known.of.clone()),
                status: status(basis, known.is_current),
                ..Diff::empty(basis)
            }
            .with(&known.leaves, &Leaves::default(), clock),
            // What there was is not known, or was gone already.
            None => Ok(Diff {
                against: self.gone.clone(),
                status: status(Basis::Value, self.gone.is_some()),
                ..Diff::empty(Basis::Request)
            }),
        }
    }

    fn changed(
        &self,
        told: &ToldChange,
        after: &Self,
        clock: TimeCheck<'_>,
    ) -> Result<Diff, SearchError> {
        let is_new = self.gone.is_some() || told.effect == Effect::Creates;
        let has = |basis: Basis| told.own[basis as usize].is_some();
        let comparable = |basis: &Basis| self.known[*basis as usize].is_some() || is_new;
        let mut bases = Basis::ALL.into_iter().filter(|basis| has(*basis));
        let first = bases.clone().next();
        let Some(basis) = bases.find(comparable).or(first) else {
            return Ok(Diff {
                against: self.last().map(|(_, known)| known.of.clone()),
                ..Diff::empty(Basis::Request)
            });
        };
        let before = self.known[basis as usize].as_ref();
        let is_whole = before.map_or(is_new, |known| known.is_current);
        let diff = Diff {
            against: before.map(|known| known.of.clone()).or(self.gone.clone()),
            status: status(basis, is_whole),
            ..Diff::empty(basis)
        };
        let empty = Leaves::default();
        let before = before.map_or(&empty, |known| &known.leaves);
        match &after.known[basis as usize] {
            Some(after) => diff.with(before, &after.leaves, clock),
            // It is too large to be known.
            None => Ok(Diff {
                status: "partial",
                more: true,
                ..diff
            }),
        }
    }
}

/// Whether a state is what was known and what is told now: so it is of a request that does not send everything.
fn merges(effect: Effect, basis: Basis) -> bool {
    basis == Basis::Request && effect == Effect::Merges
}

fn status(basis: Basis, is_whole: bool) -> &'static str {
    match basis {
        Basis::Value | Basis::Response if is_whole => "exact",
        _ => "partial",
    }
}

impl Diff {
    pub(super) fn empty(basis: Basis) -> Self {
        Self {
            against: None,
            basis: basis.name(),
            status: "partial",
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            more: false,
        }
    }
}
