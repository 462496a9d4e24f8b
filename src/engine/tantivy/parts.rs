//! The dictionaries of a field in parts, which are read at the same time where the machine has processors for that.

use std::sync::Arc;

use tantivy::{InvertedIndexReader, TantivyError};

use crate::engine::error::EngineError;
use crate::task;

/// A part has at least so many terms: with fewer, it is read before another thread has begun.
pub(super) const MIN_TERMS: usize = 5_000;

/// The most parts.
const MAX_PARTS: usize = 8;

/// The terms from one text on, and before another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DictionaryPart {
    pub(super) first: Vec<u8>,
    pub(super) before: Option<Vec<u8>>,
}

/// Parts of about the same length, in order: as many as there are processors, and one where there are few terms.
pub(super) fn parts(
    dictionaries: &[Arc<InvertedIndexReader>],
    min_terms: usize,
) -> Result<Vec<DictionaryPart>, EngineError> {
    let n_terms = |dictionary: &&Arc<InvertedIndexReader>| dictionary.terms().num_terms();
    let longest = dictionaries.iter().max_by_key(n_terms);
    let len = longest.as_ref().map_or(0, n_terms);
    let most = task::processors().min(MAX_PARTS);
    let n_parts = (len / min_terms).min(most);
    let mut parts = vec![DictionaryPart::default()];
    for i in 1..n_parts {
        let number = (len * i / n_parts) as u64;
        let mut border = Vec::new();
        let has_term = match longest {
            Some(longest) => longest.terms().ord_to_term(number, &mut border),
            None => Ok(false),
        };
        if !has_term.map_err(TantivyError::from)? {
            continue;
        }
        if let Some(last) = parts.last_mut() {
            last.before = Some(border.clone());
        }
        parts.push(DictionaryPart {
            first: border,
            before: None,
        });
    }
    Ok(parts)
}
