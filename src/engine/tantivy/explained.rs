//! Why a document matches. There are no scores to explain: it does, or it does not.

use tantivy::query::{Explanation, Scorer};
use tantivy::{DocId, DocSet, TERMINATED, TantivyError};

/// What a query that is asked about one document answers.
///
/// # Errors
/// When the document does not match.
pub(super) fn explained(mut scorer: Box<dyn Scorer>, doc: DocId) -> tantivy::Result<Explanation> {
    let is_there = scorer.doc() != TERMINATED && scorer.doc() <= doc && scorer.seek(doc) == doc;
    if is_there {
        Ok(Explanation::new("matches", 1.0))
    } else {
        Err(TantivyError::InvalidArgument(
            "the document does not match".to_owned(),
        ))
    }
}
