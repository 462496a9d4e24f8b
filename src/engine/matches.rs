//! The events that a question means, found once and then counted in several ways.

use super::error::EngineError;
use super::hit::ValueCount;
use super::memory;
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

    /// Their places in the log, in any order.
    #[must_use]
    pub fn places(&self) -> Vec<Seq> {
        match &self.0 {
            EngineMatches::Tantivy(matches) => matches.places(),
            EngineMatches::Memory(matches) => matches.places(),
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

    /// The `size` values of a field or path that most of the events have, of those that begin with `prefix`: most first,
    /// equals by value. `None` when an engine would have to look at more than `most_terms` values.
    ///
    /// # Errors
    /// [`EngineError::CutOff`] when it takes too long, [`EngineError::Failed`] when the engine fails.
    pub fn values(
        &self,
        name: &str,
        prefix: &str,
        size: usize,
        most_terms: Option<u64>,
    ) -> Result<Option<Vec<ValueCount>>, EngineError> {
        match &self.0 {
            EngineMatches::Tantivy(matches) => matches.values(name, prefix, size, most_terms),
            EngineMatches::Memory(matches) => matches.values(name, prefix, size).map(Some),
        }
    }

    /// The place in the log of one of the events that may spell a value, as [`Matches::values`] gives it, in another way than it is
    /// compared; `None` where none does.
    ///
    /// # Errors
    /// As [`Matches::values`].
    pub fn place_with(&self, name: &str, value: &str) -> Result<Option<Seq>, EngineError> {
        match &self.0 {
            EngineMatches::Tantivy(matches) => matches.place_with(name, value),
            EngineMatches::Memory(matches) => Ok(matches.place_with(name, value)),
        }
    }
}
