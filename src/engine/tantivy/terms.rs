//! Documents that have any of many terms: those of a dictionary's part that an automaton or a test lets pass.
//!
//! A dictionary is walked once for each segment and question; its terms' documents become one set ([`super::sets`]).

use std::sync::Arc;

use tantivy::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::schema::Field;

use super::bit_set_builder::BitSetBuilder;
use super::dictionary_walk::DictionaryWalk;
use crate::engine::budget::Budget;
use crate::query::automaton::Automaton;
use crate::query::value_test::ValueTest;
use crate::query::words;

/// Which terms.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// Of which field.
    pub(super) field: Field,
    /// How they begin, before their value.
    pub(super) prefix: String,
    /// How much of a longer value is kept before its hash.
    pub(super) kept_len: usize,
    /// Their value matches one of these; with none, any value does.
    pub(super) automata: Arc<[Automaton]>,
    /// Their value passes this.
    pub(super) test: ValueTest,
    /// How much time there is.
    pub(super) budget: Budget,
}

impl Terms {
    /// Calls `visit` with each term; until it fails, or time is up.
    fn each(
        &self,
        inverted: &InvertedIndexReader,
        mut visit: impl FnMut(&TermInfo) -> tantivy::Result<()>,
    ) -> tantivy::Result<()> {
        let prefix = self.prefix.as_bytes();
        let mut passes = |key: &[u8], info: &TermInfo| {
            let value = key.get(prefix.len()..).map(std::str::from_utf8);
            let Some(Ok(value)) = value else {
                return Ok(());
            };
            let kept = words::kept_text(value, self.kept_len);
            if self.test.passes(kept, kept.len() < value.len()) {
                visit(info)
            } else {
                Ok(())
            }
        };
        if self.automata.is_empty() {
            let steps = self.budget.steps();
            let mut terms = inverted.terms().range().ge(prefix).into_stream()?;
            while terms.advance() && terms.key().starts_with(prefix) && !steps.step() {
                passes(terms.key(), terms.value())?;
            }
        }
        for automaton in self.automata.iter() {
            let walk = DictionaryWalk {
                automaton,
                prefix,
                kept_len: self.kept_len,
                steps: self.budget.steps(),
            };
            let mut terms = inverted.terms().search(walk).into_stream()?;
            while terms.advance() && !self.budget.is_over() {
                passes(terms.key(), terms.value())?;
            }
        }
        Ok(())
    }

    /// Adds the documents of one segment that have any of the terms.
    pub(super) fn gather(&self, into: &mut BitSetBuilder<'_>) -> tantivy::Result<()> {
        let inverted = into.reader.inverted_index(self.field)?;
        self.each(&inverted, |info| into.add_term(self.field, &inverted, info))
    }

    /// The terms themselves.
    pub(super) fn infos(&self, inverted: &InvertedIndexReader) -> tantivy::Result<Vec<TermInfo>> {
        let mut infos = Vec::new();
        self.each(inverted, |info| {
            infos.push(info.clone());
            Ok(())
        })?;
        Ok(infos)
    }
}
