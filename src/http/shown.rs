//! How the events of an answer are shown: with some paths of their entries only, and with what was asked for marked.

use serde::Serialize;
use utoipa::ToSchema;

use super::params::{Given, bad, flag};
use super::problem::Problem;
use crate::engine::{Caller, View};
use crate::event::EntryPaths;
use crate::people::KnownEvent;
use crate::query::Query;
use crate::search::{self, Highlighter, Match};

/// What a route that lists takes, to say how events are shown.
pub(super) const SHOWN: [&str; 2] = ["fields", "highlight"];

/// The most paths that a request names.
const MAX_PATHS: usize = 100;

/// The paths of entries that are wanted; all, when there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(EntryPaths);

impl Fields {
    /// Reads `fields=`, which may be repeated: paths with commas between them.
    pub(super) fn read(given: &Given) -> Result<Self, Problem> {
        let mut paths = Vec::new();
        for path in given.all("fields").flat_map(|list| list.split(',')) {
            let path = path.trim();
            if path.is_empty() {
                return Err(bad(
                    "fields",
                    "write paths of the entry with commas between them",
                ));
            }
            if paths.len() == MAX_PATHS {
                return Err(bad("fields", format!("more than {MAX_PATHS} paths")));
            }
            paths.push(path.to_owned());
        }
        Ok(Self(EntryPaths::new(paths)))
    }

    /// That the caller knows all of them.
    pub(super) fn check(&self, view: &View, caller: &Caller) -> Result<(), Problem> {
        Ok(search::check_paths(self.0.iter(), "fields", view, caller)?)
    }

    /// Leaves of each entry what is wanted.
    pub(super) fn cut(&self, events: &mut [KnownEvent], caller: &Caller) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let is_over = || caller.budget.check_time().is_err();
        for event in events {
            event.event.entry = self.0.excerpt(&event.event.entry, &is_over);
            caller
                .budget
                .check_time()
                .map_err(search::SearchError::from)?;
        }
        Ok(())
    }
}

/// How the events of a list are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ShownAs {
    fields: Fields,
    highlight: bool,
}

/// An event as it is shown.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownEvent {
    #[serde(flatten)]
    event: KnownEvent,
    /// Where it has what was asked for; left out where that is not wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Match>, required = false)]
    matches: Option<Vec<Match>>,
}

impl ShownAs {
    pub(super) fn read(given: &Given) -> Result<Self, Problem> {
        Ok(Self {
            fields: Fields::read(given)?,
            highlight: flag(given, "highlight")?,
        })
    }

    /// That the caller knows the paths that are wanted.
    pub(super) fn check(&self, view: &View, caller: &Caller) -> Result<(), Problem> {
        self.fields.check(view, caller)
    }

    /// The events that a query found, as they are wanted.
    pub(super) fn of(
        &self,
        mut events: Vec<KnownEvent>,
        query: &Query,
        caller: &Caller,
    ) -> Result<Vec<ShownEvent>, Problem> {
        let matches = if self.highlight {
            self.matches(&events, query, caller)?
        } else {
            events.iter().map(|_| None).collect()
        };
        self.fields.cut(&mut events, caller)?;
        let shown = events.into_iter().zip(matches);
        Ok(shown
            .map(|(event, matches)| ShownEvent { event, matches })
            .collect())
    }

    fn matches(
        &self,
        events: &[KnownEvent],
        query: &Query,
        caller: &Caller,
    ) -> Result<Vec<Option<Vec<Match>>>, Problem> {
        let highlighter = Highlighter::new(query, caller)?;
        let mut all = Vec::new();
        for event in events {
            let matches = highlighter.matches(&event.event);
            let mut matches = matches.map_err(search::SearchError::from)?;
            matches.retain(|found| self.fields.0.is_empty() || self.fields.0.has(&found.path));
            all.push(Some(matches));
        }
        Ok(all)
    }
}
