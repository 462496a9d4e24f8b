//! Documents that have any of some given values of a field: many terms, looked up one by one.

use std::sync::Arc;

use tantivy::query::{EnableScoring, Query, Weight};
use tantivy::schema::Field;
use tantivy::{BitSet, SegmentReader, Term};

use super::gathered::{Found, Gathered, add};
use super::stopwatch::Watch;

/// Which terms of a field.
#[derive(Debug, Clone)]
pub(super) struct OneOf {
    /// The field.
    pub(super) field: Field,
    /// The terms.
    pub(super) terms: Arc<[Term]>,
    /// How much time there is.
    pub(super) watch: Watch,
}

impl OneOf {
    /// The documents of a segment.
    fn docs(&self, reader: &SegmentReader) -> tantivy::Result<Found> {
        let inverted = reader.inverted_index(self.field)?;
        let steps = self.watch.steps();
        let mut docs: Option<BitSet> = None;
        for term in self.terms.iter() {
            if steps.step() {
                break;
            }
            if let Some(info) = inverted.get_term_info(term)? {
                let docs = docs.get_or_insert_with(|| BitSet::with_max_value(reader.max_doc()));
                add(docs, &inverted, &info, &steps, |_| true)?;
            }
        }
        Ok(docs.map_or(Found::Nothing, Found::Docs))
    }
}

impl Query for OneOf {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let asked = self.clone();
        Ok(Box::new(Gathered::new(move |reader| asked.docs(reader))))
    }
}
