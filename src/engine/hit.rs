//! The position of an event in an answer, the order and time range of an answer, and a value with its count.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::position::Seq;

/// One event of an answer: its time and its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// What it is ordered by, in microseconds since 1970.
    pub at_us: i64,
    /// Its place in the log.
    pub seq: Seq,
}

/// The order of answers: by time, then by place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Newest first.
    Descending,
    /// Oldest first.
    Ascending,
}

impl Order {
    pub(crate) fn compare(self, a: Hit, b: Hit) -> Ordering {
        let ascending = (a.at_us, a.seq).cmp(&(b.at_us, b.seq));
        match self {
            Self::Ascending => ascending,
            Self::Descending => ascending.reverse(),
        }
    }
}

/// A stretch of time, `[since, before)`, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Range {
    /// The first moment in it.
    pub since_us: Option<i64>,
    /// The first moment after it.
    pub before_us: Option<i64>,
}

impl Range {
    /// Whether a moment is in it.
    #[must_use]
    pub fn contains(&self, at_us: i64) -> bool {
        self.since_us.is_none_or(|since| at_us >= since)
            && self.before_us.is_none_or(|before| at_us < before)
    }
}

/// A value, in lower case, and how many events have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueCount {
    /// The value as it is compared; one that is very long, by its beginning and its hash.
    pub value: String,
    /// How many events have it.
    pub count: u64,
}
