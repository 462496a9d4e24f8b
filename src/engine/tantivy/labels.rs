//! Where a value can be looked up as events spell it.

use tantivy::schema::IndexRecordOption;
use tantivy::{TantivyError, Term};

use super::matches::Matches;
use crate::engine::error::EngineError;
use crate::position::Seq;

impl Matches {
    /// The place in the log of one of the events that has a value, as [`Matches::values`] gives it.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when a file cannot be read.
    pub fn place_with(&self, name: &str, value: &str) -> Result<Option<Seq>, EngineError> {
        if self.snapshot.scope.hides(name) {
            return Ok(None);
        }
        let (_, field, before_value) = self.snapshot.shape().place_of(name);
        let term = Term::from_field_text(field, &(before_value + value));
        let steps = self.snapshot.budget().steps();
        let segments = self.snapshot.searcher.segment_readers().iter();
        for ((found, reader), segment) in self
            .found
            .iter()
            .zip(segments)
            .zip(&*self.snapshot.segments)
        {
            let inverted = reader.inverted_index(field)?;
            let info = inverted.get_term_info(&term).map_err(TantivyError::from)?;
            let Some(info) = info else { continue };
            let mut postings = inverted
                .read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)
                .map_err(TantivyError::from)?;
            while !postings.docs().is_empty() && !steps.step() {
                let doc = postings.docs().iter().find(|doc| found.contains(**doc));
                if let Some(doc) = doc {
                    return Ok(Some(Seq(segment.seq.get_val(*doc))));
                }
                postings.advance();
            }
        }
        self.snapshot.budget().check()?;
        Ok(None)
    }
}
