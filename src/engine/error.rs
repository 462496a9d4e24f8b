//! Why an engine does not answer.

use std::error::Error;

use crate::query::QueryError;

/// No memory is left for the sets of documents of a question.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("out of memory for the document sets of this question")]
pub struct OutOfMemory;

/// Why there is no answer, by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Report to the caller: no index is available now; it is being reopened.
    #[error("the search index cannot be opened now; try again later")]
    Unavailable,
    /// Report to the caller: a part of the query would take too much memory.
    #[error(transparent)]
    Question(#[from] QueryError),
    /// Report to the caller: a parameter of the request would take too much memory.
    #[error("{message}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// What is wrong.
        message: String,
    },
    /// Report to the caller: the document sets of this query would take too much memory.
    #[error(
        "the question would take too much memory: ask about a shorter time with `since` and `before`, or with fewer wildcards"
    )]
    TooLarge,
    /// Report to the caller: the query took too long.
    #[error(
        "the question was cut off after {seconds} seconds: ask about a shorter time with `since` and `before`, or for something rarer"
    )]
    CutOff {
        /// How long it had.
        seconds: i64,
    },
    /// Log it, and ask again later: the engine itself failed.
    #[error("the index failed: {0}")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

impl EngineError {
    /// As it is for a part of the question that a parameter of that name asks, not the query.
    pub(super) fn in_parameter(self, parameter: &'static str) -> Self {
        match self {
            Self::Question(QueryError { message, .. }) => Self::Parameter { parameter, message },
            other => other,
        }
    }
}

impl From<OutOfMemory> for EngineError {
    fn from(_: OutOfMemory) -> Self {
        Self::TooLarge
    }
}
