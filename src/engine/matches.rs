//! The events that a question means, found once and then counted in several ways.

use super::error::EngineError;
use super::hit::ValueCount;
use super::memory;
use super::ranking::{RankedValues, ValuesOf};
use super::tantivy::IndexMatches;
use crate::position::Seq;

/// The events that a question means. What is counted of them is of one view.
pub struct Matches(EngineMatches);

enum EngineMatches {
    Tantivy(IndexMatches),
    Memory(memory::MemoryMatches),
}

impl From<IndexMatches> for Matches {
    fn from(matches: IndexMatches) -> Self {
        Self(EngineMatches::Tantivy(matches))
    }
}

impl From<memory::MemoryMatches> for Matches {
    fn from(matches: memory::MemoryMatches) -> Self {
        Self(EngineMatches::Memory(matches))
    }
}

impl Matches {
    /// How many they are.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.0 {
            EngineMatches::Tantivy(matches) => matches.count(),
            EngineMatches::Memory(matches) => matches.count(),
        }
    }

    /// The `seq` of each, in any order.
    #[must_use]
    pub fn seqs(&self) -> Vec<Seq> {
        match &self.0 {
            EngineMatches::Tantivy(matches) => matches.seqs(),
            EngineMatches::Memory(matches) => matches.seqs(),
        }
    }

    /// What the oldest and the newest of them are ordered by, in microseconds since 1970.
    #[must_use]
    pub fn extent(&self) -> Option<(i64, i64)> {
        match &self.0 {
            EngineMatches::Tantivy(matches) => matches.extent(),
            EngineMatches::Memory(matches) => matches.extent(),
        }
    }

    /// How many of them are in each stretch between two successive `edges`, which are times in microseconds, ascending.
    #[must_use]
    pub fn histogram(&self, edges: &[i64]) -> Vec<u64> {
        match &self.0 {
            EngineMatches::Tantivy(matches) => matches.histogram(edges),
            EngineMatches::Memory(matches) => matches.histogram(edges),
        }
    }

    /// The `size` values of a field or path that most of the events have, of those that begin with `prefix`: see
    /// [`Matches::ranked`].
    ///
    /// # Errors
    /// As [`Matches::ranked`].
    pub fn values(
        &self,
        name: &str,
        prefix: &str,
        size: usize,
        most_terms: Option<u64>,
    ) -> Result<Option<Vec<ValueCount>>, EngineError> {
        let wanted = ValuesOf::new(name, size).beginning(prefix);
        let found = self.ranked(&wanted, most_terms)?;
        Ok(found.map(|found| found.values))
    }

    /// The values of a field or path, each with how many of the events have it. `None` when an engine would have to look at more
    /// than `most_terms` values.
    ///
    /// # Errors
    /// [`EngineError::CutOff`] when it takes too long, [`EngineError::Failed`] when the engine fails.
    pub fn ranked(
        &self,
        wanted: &ValuesOf<'_>,
        most_terms: Option<u64>,
    ) -> Result<Option<RankedValues>, EngineError> {
        match &self.0 {
            EngineMatches::Tantivy(matches) => matches.ranked(wanted, most_terms),
            EngineMatches::Memory(matches) => matches.ranked(wanted).map(Some),
        }
    }

    /// How many of them have any value at a field or path.
    ///
    /// # Errors
    /// As [`Matches::ranked`].
    pub fn count_with(&self, name: &str) -> Result<u64, EngineError> {
        match &self.0 {
            EngineMatches::Tantivy(matches) => matches.count_with(name),
            EngineMatches::Memory(matches) => Ok(matches.count_with(name)),
        }
    }

    /// Those of them that have a value, as [`Matches::ranked`] gives it.
    ///
    /// # Errors
    /// As [`Matches::ranked`].
    pub fn with(&self, name: &str, value: &str) -> Result<Self, EngineError> {
        Ok(match &self.0 {
            EngineMatches::Tantivy(matches) => matches.with(name, value)?.into(),
            EngineMatches::Memory(matches) => matches.with(name, value).into(),
        })
    }

    /// The `seq` of one of the events that may spell a value, as [`Matches::ranked`] gives it, in another way than it is
    /// compared; `None` where none does.
    ///
    /// # Errors
    /// As [`Matches::ranked`].
    pub fn seq_with_spelling(&self, name: &str, value: &str) -> Result<Option<Seq>, EngineError> {
        match &self.0 {
            EngineMatches::Tantivy(matches) => matches.seq_with_spelling(name, value),
            EngineMatches::Memory(matches) => Ok(matches.seq_with_spelling(name, value)),
        }
    }
}
