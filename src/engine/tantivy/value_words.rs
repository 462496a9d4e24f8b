//! Documents that have words side by side in a value of a column, or a word of its own in the index.
//!
//! Each segment's map says which values have the words ([`super::word_map`]). Of a few values the postings are walked; of many
//! that few documents have, the documents are gathered first; of others, the columns are read while the documents are walked over.

use std::sync::Arc;

use tantivy::postings::TermInfo;
use tantivy::query::{EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, InvertedIndexReader, Score, SegmentReader, Term};

use super::bit_set_builder::add;
use super::bits::{BitDocs, Bits};
use super::explained::explained;
use super::schema::IndexSchema;
use super::word_docs::{ColumnValues, WordDocs};
use super::word_map::{FoundValues, MappedField, WordMap, WordPattern};
use super::word_map_builder::has_words_here;
use super::word_maps::WordMaps;
use crate::engine::budget::Budget;
use crate::field::Kind;
use crate::query::words;

/// Of so many values the postings are walked side by side.
const FEW_VALUES: usize = 8;

/// The documents of values are gathered when at most one in so many documents has one of them.
const GATHERED_RATIO: u64 = 16;

/// The question.
#[derive(Clone)]
pub(super) struct ValueWords {
    /// The words side by side.
    pub(super) asked: Arc<[WordPattern]>,
    /// Other terms of the index that mean the same.
    pub(super) terms: Vec<Term>,
    pub(super) shape: Arc<IndexSchema>,
    pub(super) maps: Arc<WordMaps>,
    pub(super) budget: Budget,
}

impl std::fmt::Debug for ValueWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("ValueWords");
        shown
            .field("asked", &self.asked)
            .field("terms", &self.terms);
        shown.finish_non_exhaustive()
    }
}

impl Query for ValueWords {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for ValueWords {
    fn scorer(&self, reader: &SegmentReader, _: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut docs = WordDocs::new(reader.max_doc(), &self.budget);
        for term in &self.terms {
            let inverted = reader.inverted_index(term.field())?;
            if let Some(postings) = inverted.read_postings(term, IndexRecordOption::Basic)? {
                docs.add_docs(Box::new(postings), None);
            }
        }
        if let Some(map) = self.maps.of(reader, &self.shape, &self.budget)? {
            for found in map.find(&self.asked, &self.budget)? {
                self.add_values(reader, &map, &found, &mut docs)?;
            }
            for of in &map.unmapped {
                let found = self.scan(reader, of)?;
                self.add_values(reader, &map, &found, &mut docs)?;
            }
        }
        docs.begin();
        Ok(Box::new(docs))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        explained(self.scorer(reader, 1.0)?, doc)
    }
}

impl ValueWords {
    /// The values of a field that is in no map, by reading all of them.
    fn scan<'a>(
        &self,
        reader: &SegmentReader,
        of: &'a MappedField,
    ) -> tantivy::Result<FoundValues<'a>> {
        let kind = self.shape.worded().find(|worded| worded.field == of.field);
        let kind = kind.map_or(Kind::Text, |worded| worded.kind);
        let inverted = reader.inverted_index(of.field)?;
        let steps = self.budget.steps();
        let mut terms = inverted.terms().stream()?;
        let (mut numbers, mut infos) = (Vec::new(), Vec::new());
        while terms.advance() && !steps.step() {
            let value = std::str::from_utf8(terms.key()).unwrap_or_default();
            if has_words_here(kind, value) && self.is_in(value) {
                numbers.push(terms.term_ord());
                infos.push(terms.value().clone());
            }
        }
        Ok(FoundValues { of, numbers, infos })
    }

    fn is_in(&self, value: &str) -> bool {
        let found = words::of(value);
        let mut runs = found.windows(self.asked.len().max(1));
        runs.any(|run| {
            let mut pairs = self.asked.iter().zip(run);
            pairs.all(|(asked, word)| asked.is(word))
        })
    }

    /// Adds the documents of some values in the way that costs least.
    fn add_values(
        &self,
        reader: &SegmentReader,
        map: &WordMap,
        found: &FoundValues<'_>,
        docs: &mut WordDocs,
    ) -> tantivy::Result<()> {
        let inverted = reader.inverted_index(found.of.field)?;
        let without = map.respelled.clone();
        let without = without.filter(|_| found.of.has_one_spelling);
        if found.infos.len() <= FEW_VALUES {
            for info in &found.infos {
                let basic = IndexRecordOption::Basic;
                let postings = inverted.read_postings_from_terminfo(info, basic)?;
                docs.add_docs(Box::new(postings), without.clone());
            }
            return Ok(());
        }
        let n_docs: u64 = found
            .infos
            .iter()
            .map(|info| u64::from(info.doc_freq))
            .sum();
        let are_many = n_docs > u64::from(reader.max_doc()) / GATHERED_RATIO;
        if let Some(column) = found.of.column.as_ref().filter(|_| are_many) {
            let n_values = inverted.terms().num_terms();
            let column = column.clone();
            let values = ColumnValues::new(column, &found.numbers, n_values, &self.budget)?;
            docs.add_column(values, without);
        } else {
            let gathered = self.gathered(reader, &inverted, &found.infos)?;
            docs.add_docs(Box::new(BitDocs::new(Arc::new(gathered))), without);
        }
        Ok(())
    }

    fn gathered(
        &self,
        reader: &SegmentReader,
        inverted: &InvertedIndexReader,
        infos: &[TermInfo],
    ) -> tantivy::Result<Bits> {
        let mut docs = Bits::new(reader.max_doc(), self.budget.memory())?;
        let steps = self.budget.steps();
        for info in infos {
            if self.budget.is_over() {
                break;
            }
            add(&mut docs, inverted, info, &steps, |_| true)?;
        }
        Ok(docs)
    }
}
