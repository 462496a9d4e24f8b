//! A question about entries, as a tree, and the language people write it in.
//!
//! ```text
//! query   = { term }                       terms side by side must all match; no term at all matches everything
//! term    = [ name ":" ] text
//! name    = letters, digits, "_", "-", "." a field of the table, or any dotted path that entries have
//! text    = word | "\"" any text "\""      in quotes, \" and \\ stand for themselves
//! word    = anything without white space
//! ```
//!
//! A text without a name looks everywhere in the entry, nested request and response included: its words must stand there
//! side by side, in order. `name:text` is that field's whole value. Letter case never matters.
//!
//! The signs that a fuller language needs are refused outside quotes, each with its place: `AND OR NOT`, a leading `-` or
//! `+`, `( ) [ ] { } * ?`, a comparison after the colon, and a text between slashes. Nothing that means one thing today will
//! mean another later.
//!
//! The tree knows nothing of the index it is asked of.

mod parse;

use crate::field::Part;

pub use self::parse::{MAX_QUERY_LEN, parse};

/// A question about one entry: yes or no.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Query {
    /// Yes.
    All,
    /// Every one says yes.
    And(Vec<Self>),
    /// At least one says yes.
    Or(Vec<Self>),
    /// The text's words stand side by side in one value, of that part of the entry or of any.
    Words {
        /// Where to look.
        part: Option<Part>,
        /// What to look for.
        text: String,
    },
    /// A field or path has that value.
    Equals {
        /// The field's name, or a dotted path.
        path: String,
        /// The value.
        value: String,
        /// Where in the question the name stands, in characters; for errors.
        at: usize,
    },
}

impl Query {
    /// All of these together.
    #[must_use]
    pub fn and(mut parts: Vec<Self>) -> Self {
        parts.retain(|part| *part != Self::All);
        match parts.len() {
            0 => Self::All,
            1 => parts.remove(0),
            _ => Self::And(parts),
        }
    }

    /// Any of these.
    #[must_use]
    pub fn or(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            parts.remove(0)
        } else {
            Self::Or(parts)
        }
    }

    /// Calls `visit` with each path that is asked for, and its place.
    pub fn paths<'a>(&'a self, visit: &mut impl FnMut(&'a str, usize)) {
        match self {
            Self::All | Self::Words { .. } => {}
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.paths(visit)),
            Self::Equals { path, at, .. } => visit(path, *at),
        }
    }
}

/// What is wrong with a question, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// The character it is about, counted from 0.
    pub at: usize,
    /// What is wrong and what to do, for a person.
    pub message: String,
}
