//! Which events are indexed by what their rows say alone, because their entries made no document.

use std::collections::HashSet;

use tantivy::DocSet as _;
use tantivy::schema::IndexRecordOption;

use super::snapshot::Snapshot;
use crate::engine::error::EngineError;
use crate::engine::hit::Hit;
use crate::event::NOT_INDEXED;
use crate::position::Seq;

impl Snapshot {
    /// Those of some events that are indexed by what their row says, because their documents could not be made.
    ///
    /// # Errors
    /// As [`Snapshot::knows_path`].
    pub fn not_indexed(
        &self,
        hits: impl IntoIterator<Item = Hit> + Clone,
    ) -> Result<HashSet<Seq>, EngineError> {
        let term = self.shape.value_term("problem", NOT_INDEXED);
        let mut found = HashSet::new();
        for (segment, reader) in self.segments.iter().zip(self.searcher.segment_readers()) {
            let inverted = reader.inverted_index(term.field())?;
            let Some(info) = inverted
                .get_term_info(&term)
                .map_err(tantivy::TantivyError::from)?
            else {
                continue;
            };
            for hit in hits.clone() {
                let mut docs = segment.docs_at(hit.at_us);
                let Some(doc) = docs.find(|doc| segment.seq.get_val(*doc) == hit.seq.0) else {
                    continue;
                };
                let mut postings = inverted
                    .read_postings_from_terminfo(&info, IndexRecordOption::Basic)
                    .map_err(tantivy::TantivyError::from)?;
                if postings.doc() == doc || (postings.doc() < doc && postings.seek(doc) == doc) {
                    found.insert(hit.seq);
                }
            }
        }
        Ok(found)
    }
}
