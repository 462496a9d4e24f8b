//! What can go wrong with the index as a whole, and how the engine's errors become ours.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use tantivy::TantivyError;

use crate::durable::InjectedFailure;
use crate::engine::error::{EngineError, OutOfMemory};

/// An error of the index. The variants differ in what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Rebuild: it cannot be used, for this reason.
    #[error("the index is {0}")]
    Unusable(String),
    /// Open it first.
    #[error("the search index cannot be opened now; try again later")]
    Unavailable,
    /// Reopen, which takes it back to its last commit; later again when that fails too.
    #[error("the index failed: {0}")]
    Engine(#[from] TantivyError),
    /// Stop, or try again later: the directory cannot be used.
    #[error("could not use `{}`: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A test's doing.
    #[error(transparent)]
    InjectedFailure(#[from] InjectedFailure),
}

impl From<TantivyError> for EngineError {
    fn from(error: TantivyError) -> Self {
        match &error {
            TantivyError::IoError(inner)
                if inner
                    .get_ref()
                    .is_some_and(|inner| inner.is::<OutOfMemory>()) =>
            {
                Self::TooLarge
            }
            _ => Self::Failed(Box::new(error)),
        }
    }
}

/// Through the engine's own loops, which know only its errors.
impl From<OutOfMemory> for TantivyError {
    fn from(error: OutOfMemory) -> Self {
        Self::IoError(Arc::new(io::Error::new(ErrorKind::OutOfMemory, error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tantivy::proof::is_proof;

    #[test]
    fn a_question_out_of_memory_is_told_from_a_damaged_index() {
        let error = TantivyError::from(OutOfMemory);
        assert!(!is_proof(&error));
        assert!(matches!(EngineError::from(error), EngineError::TooLarge));
    }
}
