//! Documents that have any of some given values of a field: many terms, looked up one by one.

use std::sync::Arc;

use tantivy::Term;
use tantivy::schema::Field;

use super::bit_set_builder::BitSetBuilder;

/// Which terms of a field.
#[derive(Debug, Clone)]
pub(super) struct OneOf {
    /// The field.
    pub(super) field: Field,
    /// The terms.
    pub(super) terms: Arc<[Term]>,
}

impl OneOf {
    /// Adds the documents of one segment.
    pub(super) fn gather(&self, into: &mut BitSetBuilder<'_>) -> tantivy::Result<()> {
        let inverted = into.reader.inverted_index(self.field)?;
        let steps = into.budget.steps();
        for term in self.terms.iter() {
            if steps.step() {
                break;
            }
            if let Some(info) = inverted.get_term_info(term)? {
                into.add_term(self.field, &inverted, &info)?;
            }
        }
        Ok(())
    }
}
