//! Where events have what a question asks for.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::error::SearchError;
use crate::engine::{Caller, EngineError, text_of};
use crate::event::{AuditEvent, NOT_INDEXED, searchable};
use crate::query::{CharRange, Matcher, Query, ShownValue};
use orgtrail_cloudflare::json::Scalar;

/// The most values of one event in which something is marked.
const MAX_MATCHES: usize = 100;

/// A value of an entry, and where it has what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Match {
    /// The value's path, as the entry spells it.
    pub path: String,
    /// Which of the values at that path, counted from 0.
    pub index: usize,
    /// The ranges of characters, in order: the first one, and the first after it.
    #[schema(value_type = Vec<Vec<usize>>)]
    pub ranges: Vec<CharRange>,
}

/// Marks what a question asks for.
pub struct Highlighter {
    matcher: Matcher,
    caller: Caller,
}

impl Highlighter {
    /// For a question of a caller.
    ///
    /// # Errors
    /// [`SearchError::Query`] when a pattern would take too much memory.
    pub fn new(query: &Query, caller: &Caller) -> Result<Self, SearchError> {
        let scope = &caller.scope;
        Ok(Self {
            matcher: Matcher::of(&scope.narrowed(query), scope.has_bodies())?,
            caller: caller.clone(),
        })
    }

    /// The values of an event in which something is found, in the order of the entry.
    ///
    /// # Errors
    /// [`SearchError::Engine`] when it takes too long.
    pub fn matches(&self, event: &AuditEvent) -> Result<Vec<Match>, EngineError> {
        let mut found = Vec::new();
        if event.problem.as_deref() == Some(NOT_INDEXED) {
            return Ok(found);
        }
        let mut at_paths: HashMap<String, usize> = HashMap::new();
        let is_over = || self.caller.budget.check_time().is_err();
        searchable::walk(event.entry.get(), |path, value, is_searchable| {
            if found.len() == MAX_MATCHES {
                return;
            }
            let index = at_paths.entry(path.to_owned()).or_default();
            let Some(text) = text_of(&value) else {
                *index += 1;
                return;
            };
            let shown = match &value {
                Scalar::Text(text) => text,
                Scalar::Number(number) => *number,
                _ => &*text,
            };
            let value = ShownValue {
                path,
                text: &text,
                shown,
                is_searchable,
            };
            let ranges = self.matcher.ranges(value, &is_over);
            if !ranges.is_empty() {
                found.push(Match {
                    path: path.to_owned(),
                    index: *index,
                    ranges,
                });
            }
            *index += 1;
        });
        self.caller.budget.check_time()?;
        Ok(found)
    }
}
