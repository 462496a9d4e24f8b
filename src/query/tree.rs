//! A question as a tree, and what can be wrong with one.

use std::net::IpAddr;
use std::sync::Arc;

use super::pattern::Pattern;
use super::seq_set::SeqSet;
use crate::field::Part;

/// A question about one entry: yes or no.
///
/// `at`, where a node has it, is the position of its name or text in the question, in characters: for errors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Query {
    /// Yes.
    All,
    /// Every one says yes.
    And(Vec<Self>),
    /// At least one says yes.
    Or(Vec<Self>),
    /// It says no.
    Not(Box<Self>),
    /// The text's words are adjacent in one value. Of a part of the entry: some value of the part is the text, or the
    /// text's words are side by side in a value of a field that has words.
    Words {
        /// Where to look.
        part: Option<Part>,
        /// What to look for.
        text: String,
    },
    /// A word matches, or words side by side do.
    WordsLike {
        /// What they look like.
        pattern: Pattern,
        /// See [`Query`].
        at: usize,
    },
    /// A word matches a regular expression.
    WordMatches {
        /// The expression.
        regex: String,
        /// See [`Query`].
        at: usize,
    },
    /// A field or path has that value.
    Equals {
        /// The field's name, or a dotted path.
        path: String,
        /// The value.
        value: String,
        /// See [`Query`].
        at: usize,
    },
    /// A field that has words has that value, or a value with that word.
    Contains {
        /// The field's name.
        path: String,
        /// The value, or one of its words.
        text: String,
        /// See [`Query`].
        at: usize,
    },
    /// A field or path has a value that looks so, or a word that does where the field has words.
    Like {
        /// The field's name, or a dotted path.
        path: String,
        /// What it looks like.
        pattern: Pattern,
        /// See [`Query`].
        at: usize,
    },
    /// A field or path has a value that matches a regular expression.
    Matches {
        /// The field's name, or a dotted path.
        path: String,
        /// The expression.
        regex: String,
        /// See [`Query`].
        at: usize,
    },
    /// A field or path has a value in an interval.
    Within {
        /// The field's name, or a dotted path.
        path: String,
        /// The interval.
        interval: Interval,
        /// See [`Query`].
        at: usize,
    },
    /// A field or path has any value, or a path below it has.
    Exists {
        /// The field's name, or a dotted path.
        path: String,
        /// See [`Query`].
        at: usize,
    },
    /// A field or path has one of many values. The language has no spelling for it.
    OneOf {
        /// The field's name, or a dotted path.
        path: String,
        /// The values.
        values: Arc<[String]>,
    },
    /// The event is one of these. The language has no spelling for it.
    At(Arc<SeqSet>),
    /// The event is the last revision of its id, among those that are asked. The language has no spelling for it.
    Latest,
}

/// What a value is between.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Interval {
    /// Instants, in microseconds since 1970: from `since_us` on, before `before_us`.
    Time {
        /// The first instant in it.
        since_us: Option<i64>,
        /// The first instant after it.
        before_us: Option<i64>,
    },
    /// Addresses of one family, both ends included; none at all when `last` is before `first`.
    Addresses {
        /// The lowest.
        first: IpAddr,
        /// The highest.
        last: IpAddr,
    },
    /// Numbers or texts.
    Values {
        /// The lower end.
        lower: Bound,
        /// The upper end.
        upper: Bound,
    },
}

/// An end of an interval of values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bound {
    /// There is none.
    Open,
    /// This, and what is within.
    Including(String),
    /// What is within, without this.
    Excluding(String),
}

impl Query {
    /// Events with a value that equals this one.
    #[must_use]
    pub fn equals(path: &str, value: &str) -> Self {
        Self::Equals {
            path: path.to_owned(),
            value: value.to_owned(),
            at: 0,
        }
    }

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

    /// What this is not.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            query => Self::Not(Box::new(query)),
        }
    }

    /// Whether it asks about other events than the one it is held against.
    #[must_use]
    pub fn asks_of_others(&self) -> bool {
        match self {
            Self::Latest => true,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::asks_of_others),
            Self::Not(part) => part.asks_of_others(),
            _ => false,
        }
    }

    /// Calls `visit` with each path that is asked for, and its place.
    pub fn paths<'a>(&'a self, visit: &mut impl FnMut(&'a str, usize)) {
        match self {
            Self::All
            | Self::Latest
            | Self::At(_)
            | Self::OneOf { .. }
            | Self::Words { .. }
            | Self::WordsLike { .. }
            | Self::WordMatches { .. } => {}
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.paths(visit)),
            Self::Not(inner) => inner.paths(visit),
            Self::Equals { path, at, .. }
            | Self::Contains { path, at, .. }
            | Self::Like { path, at, .. }
            | Self::Matches { path, at, .. }
            | Self::Within { path, at, .. }
            | Self::Exists { path, at } => visit(path, *at),
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

impl QueryError {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}
