//! Why a question has no answer.

use crate::engine::EngineError;
use crate::position::Seq;
use crate::query::QueryError;
use crate::store::StoreError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The question cannot be understood.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A field is asked about that neither the table of fields nor any entry has, as far as the index has come.
    #[error("{message}")]
    UnknownField {
        /// The parameter that names it.
        parameter: &'static str,
        /// The character of the query it is about, counted from 0.
        at: Option<usize>,
        /// Which, and the name that was probably meant, for a person.
        message: String,
    },
    /// What is to be counted cannot be.
    #[error("{message}")]
    Counting {
        /// The parameter that asks for it.
        parameter: &'static str,
        /// What is wrong and what to do, for a person.
        message: String,
    },
    /// The cursor is not one for this question.
    #[error("{0}")]
    Cursor(&'static str),
    /// The index is being filled anew, and does not hold yet what the cursor's first page was made of.
    #[error(
        "the index is being rebuilt: it holds {has} events of the {needs} this cursor was made of; try again soon"
    )]
    Behind {
        /// The newest event that can be found.
        has: Seq,
        /// The newest event of the cursor's first page.
        needs: Seq,
    },
    /// It is not known yet which events of the snapshot were the first.
    #[error(
        "`first_seen` is known of {known} events of the {needs} that are asked about: the service reads them in the background; try again soon"
    )]
    NotKnownYet {
        /// The last event up to which it is known.
        known: Seq,
        /// The newest event that is asked about.
        needs: Seq,
    },
    /// The index failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The log failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
